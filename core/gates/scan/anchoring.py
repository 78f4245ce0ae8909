"""Scans as the reference's were cut: so far around the tumour and no farther."""

from __future__ import annotations

import numpy as np

from core.imaging.orienting import canonical
from core.imaging.volumes import content_sha256
from core.types import Grid, LabelMap, Volume

#: The reference scans reach so far beyond the tumour (the IBSI validation data set's crops).
MARGIN_MM = 50.0


def content_of(volume: Volume) -> str:
    """Hex digits that are the same for the same voxels in the same place, however their axes are stored."""
    return content_sha256(canonical(volume))[:16]


def around(volume: Volume, mask: LabelMap) -> Volume:
    """The part of a volume within `MARGIN_MM` of the mask's box; the volume itself where it reaches no farther.

    Args:
        mask: not empty, on any grid.
    """
    points = mask.grid.to_mm(np.argwhere(mask.array > 0))
    low, high = points.min(axis=0) - MARGIN_MM, points.max(axis=0) + MARGIN_MM
    corners = np.array([[x, y, z] for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])])
    index = volume.grid.to_index(corners)
    first = np.clip(np.floor(index.min(axis=0)).astype(int), 0, np.array(volume.grid.shape) - 1)
    last = np.clip(np.ceil(index.max(axis=0)).astype(int), first, np.array(volume.grid.shape) - 1) + 1
    if (first == 0).all() and (last == volume.grid.shape).all():
        return volume
    affine = volume.grid.affine.copy()
    affine[:3, 3] = volume.grid.to_mm(first[None].astype(float))[0]
    part = volume.array[tuple(slice(a, b) for a, b in zip(first, last, strict=True))]
    i, j, k = (int(n) for n in part.shape)
    return Volume(np.ascontiguousarray(part), Grid((i, j, k), affine), volume.modality, volume.sequence)
