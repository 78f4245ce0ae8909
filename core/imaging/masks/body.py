"""How much of the body that a scan shows a mask covers."""

from __future__ import annotations

import numpy as np

from core.types import LabelMap, Volume

#: Air is below, lung and everything else of a body mostly above, HU.
_AIR_HU = -500.0
#: Of the span of an image in other units: what is above is no background.
_DARK = 0.1


def share_of_body(labels: LabelMap, volume: Volume) -> float | None:
    """The part of the body's voxels that is in the mask, 0 to 1; None where the scan shows no body.

    Args:
        labels: on the grid of `volume`.
    """
    if volume.modality == "CT":
        darkest = _AIR_HU
    else:
        low, high = (float(value) for value in np.percentile(volume.array[::2, ::2, ::2], [1.0, 99.0]))
        darkest = low + _DARK * (high - low)
    body = inside = 0
    for k in range(volume.array.shape[2]):
        plane = volume.array[..., k] > darkest
        body += int(np.count_nonzero(plane))
        inside += int(np.count_nonzero(plane & (labels.array[..., k] > 0)))
    return inside / body if body else None
