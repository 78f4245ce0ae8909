"""A mask where the network works: in its order of axes, within the box that it looks at, on its own voxels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.imaging.orienting import axis_order
from core.imaging.volumes import resample
from core.types import Grid, LabelMap


def in_network_box(
    mask: LabelMap, order: str, grid: Grid, properties: Mapping[str, Any], transpose_forward: Sequence[int]
) -> NDArray[np.bool_]:
    """The mask as nnU-Net cuts a scan before it resamples it.

    Args:
        order: of the axes of the network's training. grid: of the scan in that order. properties: nnU-Net's.
    """
    stored = axis_order(mask.grid, order)
    labels = stored.turn(mask.array)
    if not stored.grid.matches(grid):
        labels = resample(labels, stored.grid, grid, "nearest")
    turned = (labels > 0).transpose(2, 1, 0).transpose(transpose_forward)
    return np.asarray(turned[tuple(slice(low, high) for low, high in properties["bbox_used_for_cropping"])])


def touched(inside: NDArray[np.bool_], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """(shape) True where the centre of a True voxel of `inside` lies: nothing is too small to be kept."""
    out = np.zeros(shape, bool)
    ends = np.array(shape) - 1
    places = ((np.argwhere(inside) + 0.5) * (np.array(shape) / inside.shape)).astype(np.int64)
    out[tuple(np.minimum(places, ends).T)] = True
    return out
