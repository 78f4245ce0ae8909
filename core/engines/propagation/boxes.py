"""Boxes (x0, y0, x1, y1), inclusive, and what touches: the small geometry of propagation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Bool = NDArray[np.bool_]
Box = NDArray[np.float64]


def connected_to(mask: Bool, hint: Bool) -> Bool:
    """The connected components of `mask` that overlap `hint`, where the lesion was; (I, J) bool."""
    parts, count = ndimage.label(mask)
    touched = np.unique(parts[hint & mask])
    return np.isin(parts, touched[touched > 0]) if count else mask


def bounding_box_2d(mask: Bool) -> Box:
    """The bounding box (x0, y0, x1, y1), inclusive, of a mask (I, J) that is not empty."""
    x, y = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return np.array([x[0], y[0], x[-1], y[-1]], dtype=np.float64)


def enclosing_box(boxes: Sequence[tuple[float, ...]], mask: Bool) -> Box:
    """The box enclosing all boxes; without boxes the mask's bounding box; zeros without either."""
    if not boxes:
        return bounding_box_2d(mask) if mask.any() else np.zeros(4)
    corners = np.array(boxes, dtype=np.float64)
    return np.concatenate([corners[:, :2].min(axis=0), corners[:, 2:].max(axis=0)])


def widen_box(box: Box, share: float) -> Box:
    """The box made larger by `share` of its width and height on either side."""
    return box + np.array([-1, -1, 1, 1]) * np.tile(box[2:] - box[:2] + 1, 2) * share
