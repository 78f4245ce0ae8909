"""One scan's plane shown through another's voxels, so that two timepoints can be looked at in one position."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from core.errors import InputError
from core.types import Grid


def plane_through(
    array: NDArray[Any], grid: Grid, onto: Grid, k: int, matrix: NDArray[np.float64] | None = None, order: int = 1
) -> NDArray[Any]:
    """Slice k of the grid `onto`, filled with what `array` shows there.

    Args:
        array: (I, J, K) voxels on `grid`.
        onto: the grid whose slice is filled; k: index along its third axis.
        matrix: 4x4, RAS mm of `onto` -> RAS mm of `grid` (`core.registration.rigid(onto's scan, grid's scan)`); None:
            the same frame.
        order: 1 for images (linear), 0 for labels (nearest neighbour).

    Returns:
        (I', J') of `onto`, in the array's type. Outside `array`: its smallest value, or 0 for order 0.

    Raises:
        InputError: there is no such slice.
    """
    rows, columns, slices = onto.shape
    if not 0 <= k < slices:
        raise InputError(f"Expected a slice from 0 to {slices - 1}, got {k}.")
    i, j = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    points = onto.to_mm(np.stack([i.ravel(), j.ravel(), np.full(i.size, k)], axis=1))
    if matrix is not None:
        points = points @ matrix[:3, :3].T + matrix[:3, 3]
    outside = 0 if order == 0 else array.min()
    found = map_coordinates(array, grid.to_index(points).T, order=order, mode="constant", cval=outside)
    return np.asarray(found, dtype=array.dtype).reshape(rows, columns)
