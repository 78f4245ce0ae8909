"""A lesion with the scans around it on one small grid of cubes, on which what the mask gate compares is measured.

Scans lie on grids of their own (a PET beside a CT); nothing is registered: they are taken to lie in one frame.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, map_coordinates

from core.lesions.metrics import bounding_box
from core.types import LabelMap, Volume

Floats = NDArray[np.float32]
Bool = NDArray[np.bool_]

#: So far around a lesion is looked.
MARGIN_MM = 20.0
#: Edge of the cubes: as small as `_MOST_CUBES` of them allow.
_LEAST_MM, _LARGEST_MM, _MOST_CUBES = 1.5, 6.0, 150_000


@dataclass(frozen=True, eq=False)
class Around:
    """One lesion and its surroundings on a grid of cubes along the mask's own axes.

    Args:
        inside: (A, B, C) the lesion. depth_mm: (A, B, C) distance to its surface, negative inside.
        free: (A, B, C) within the mask's own grid and of no other lesion: what may be compared with the lesion.
        channels: scan's channel -> (A, B, C) values, NaN where the scan has none.
        step_mm: edge of a cube.
    """

    inside: Bool
    depth_mm: Floats
    free: Bool
    channels: Mapping[str, Floats]
    step_mm: float


def around(labels: LabelMap, label: int, scans: Sequence[Volume]) -> Around | None:
    """A lesion of a mask (in any order of axes) with the scans around it; None where it has no voxel."""
    array = labels.array
    box = bounding_box(array == label)
    if box is None:
        return None
    spacing = np.array(labels.grid.spacing_mm)
    start = np.array([part.start for part in box]) - 0.5 - MARGIN_MM / spacing
    stop = np.array([part.stop for part in box]) - 0.5 + MARGIN_MM / spacing
    size_mm = (stop - start) * spacing
    step = float(np.clip(np.cbrt(size_mm.prod() / _MOST_CUBES), _LEAST_MM, _LARGEST_MM))
    counts = np.maximum(1, np.round(size_mm / step)).astype(int)
    axes = [a + (np.arange(n) + 0.5) * (b - a) / n for a, b, n in zip(start, stop, counts, strict=True)]
    within = [(axis >= -0.5) & (axis <= n - 0.5) for axis, n in zip(axes, array.shape, strict=True)]
    known = within[0][:, None, None] & within[1][None, :, None] & within[2][None, None, :]
    nearest = [np.clip(np.round(axis), 0, n - 1).astype(int) for axis, n in zip(axes, array.shape, strict=True)]
    found = np.where(known, array[np.ix_(*nearest)], 0)
    inside = found == label
    if not inside.any():  # a lesion thinner than a cube: its own voxels, each in its cube
        at = (np.argwhere(array == label) - start) / (stop - start) * counts
        inside[tuple(np.clip(at.astype(int), 0, counts - 1).T)] = True
    voxel_mm = tuple(float(mm / n) for mm, n in zip(size_mm, counts, strict=True))
    outer = distance_transform_edt(~inside, sampling=voxel_mm)
    inner = distance_transform_edt(inside, sampling=voxel_mm)
    depth = np.where(inside, -inner, outer).astype(np.float32)
    index = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    points = labels.grid.to_mm(index)
    channels = {scan.channel: _sampled(scan, points, inside.shape) for scan in scans}
    return Around(inside, depth, known & ((found == 0) | inside), channels, step)


def _sampled(scan: Volume, points_mm: NDArray[np.float64], shape: tuple[int, ...]) -> Floats:
    at = scan.grid.to_index(points_mm).T
    ends = np.array(scan.array.shape)[:, None] - 0.5
    outside = ((at < -0.5) | (at > ends)).any(axis=0)
    low = np.clip(np.floor(at.min(axis=1)).astype(int) - 1, 0, np.array(scan.array.shape) - 1)
    high = np.clip(np.ceil(at.max(axis=1)).astype(int) + 2, low + 1, scan.array.shape)
    part = scan.array[tuple(slice(a, b) for a, b in zip(low, high, strict=True))].astype(np.float32)
    values = map_coordinates(part, at - low[:, None], order=1, mode="nearest", output=np.float32)
    values[outside] = np.nan
    return np.asarray(values, np.float32).reshape(shape)
