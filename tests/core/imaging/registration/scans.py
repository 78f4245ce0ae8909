"""Small scans that tests align, and how far an answer is off."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from core.imaging.registration import RigidTransform
from core.imaging.registration.transform import mapped
from core.types import Grid, Volume


def ball(shift: int = 0) -> Volume:
    """A soft lump and a hard ball, moved by `shift` voxels of 2 mm along i."""
    grid = Grid((48, 44, 40), np.diag([2.0, 2.0, 2.0, 1.0]))
    i, j, k = np.ogrid[:48, :44, :40]
    array = np.exp(-(((i - 20 - shift) / 9) ** 2) - ((j - 22) / 7) ** 2 - ((k - 20) / 5) ** 2)
    array = array + 0.5 * ((i - 30 - shift) ** 2 + (j - 14) ** 2 + (k - 24) ** 2 < 25)
    return Volume((100 * array).astype(np.float32), grid, "CT")


def errors_mm(found: RigidTransform, truth: NDArray[np.float64], grid: Grid) -> NDArray[np.float64]:
    """How far off 6 x 6 x 6 points of the field are put, mm."""
    axes = [np.linspace(0, n - 1, 6) for n in grid.shape]
    points = grid.to_mm(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3))
    return np.linalg.norm(found.apply(points) - mapped(truth, points), axis=1)
