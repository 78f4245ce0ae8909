"""A forecast as the page shows it: every week of 48, bands, LOCF, chances, and the check on each visit that came.

Simulated lesions, six weeks between visits. "total" is of five lesions together; "laws" are all eleven fitted to one
lesion.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from core.growth.burden import total_forecast
from core.growth.forecast import forecast
from core.twin.trajectory import fit_all_growth_laws, weekly_days
from core.types import VolumePoint

VISITS = (3, 6, 10, 40)
WEEKS, LESIONS, REPEATS = 48, 5, 15


def _series(lesion: str, visits: int, seed: int) -> list[VolumePoint]:
    random = np.random.default_rng(seed)
    volumes = np.exp(random.normal(8, 1) + np.cumsum(random.normal(0, 0.2, visits)))
    zero = dt.date(2020, 1, 1)
    return [
        VolumePoint(str(zero + dt.timedelta(days=42 * n)), 42.0 * n, float(volume), lesion, f"mask-{n}", 1)
        for n, volume in enumerate(volumes)
    ]


def _milliseconds(what: Callable[..., object], *given: object) -> float:
    """Median of some repeats, after a first one."""
    what(*given)
    taken = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        what(*given)
        taken.append(time.perf_counter() - start)
    return 1000.0 * float(np.median(taken))


def run() -> list[dict[str, Any]]:
    """One row a number of visits."""
    rows, days = [], weekly_days(WEEKS)
    for visits in VISITS:
        lesions = {f"L{n}": _series(f"L{n}", visits, 100 * visits + n) for n in range(1, LESIONS + 1)}
        total = [
            VolumePoint(same[0].timepoint, same[0].days, sum(p.volume_mm3 for p in same), "total", same[0].mask_id, 1)
            for same in zip(*lesions.values(), strict=True)
        ]
        one = lesions["L1"]
        rows.append(
            {
                "visits": visits,
                "one lesion ms": _milliseconds(forecast, one, days),
                f"total of {LESIONS} ms": _milliseconds(total_forecast, lesions, total, days),
                "eleven laws ms": _milliseconds(fit_all_growth_laws, one),
            }
        )
    return rows
