"""Lesions whose logarithm of volume walks at random."""

from __future__ import annotations

import numpy as np

from core.growth.curves import FLOOR_MM3
from core.growth.series import Lesion


def simulated(count=30, seed=0, scans=10):
    random = np.random.default_rng(seed)
    days = 42.0 * np.arange(scans)
    return [
        Lesion(
            f"sim{n}-S1",
            days,
            np.maximum(np.exp(random.normal(8, 1) + np.cumsum(random.normal(0, 0.3, days.size))), FLOOR_MM3),
        )
        for n in range(count)
    ]
