"""Boxes (x0, y0, x1, y1), inclusive, and what touches: the small geometry of propagation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Bool = NDArray[np.bool_]
Box = NDArray[np.float64]


def beside(mask: Bool, hint: Bool) -> Bool:
    """Only the parts of `mask` that touch where the lesion was."""
    parts, count = ndimage.label(mask)
    touched = np.unique(parts[hint & mask])
    return np.isin(parts, touched[touched > 0]) if count else mask


def box_of(mask: Bool) -> Box:
    """(x0, y0, x1, y1) of a mask that is not empty, inclusive."""
    x, y = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return np.array([x[0], y[0], x[-1], y[-1]], dtype=np.float64)


def around(boxes: Sequence[tuple[float, ...]], mask: Bool) -> Box:
    """What is around all boxes; around the mask where there is none; nothing at all for neither."""
    if not boxes:
        return box_of(mask) if mask.any() else np.zeros(4)
    corners = np.array(boxes, dtype=np.float64)
    return np.concatenate([corners[:, :2].min(axis=0), corners[:, 2:].max(axis=0)])


def widened(box: Box, share: float) -> Box:
    return box + np.array([-1, -1, 1, 1]) * np.tile(box[2:] - box[:2] + 1, 2) * share
