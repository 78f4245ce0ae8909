"""How much of the scan and of the body a mask takes, and how much of it lies where there is nothing to see.

Shares 0..1 of one lesion; those of a mask are their sums, for its lesions do not overlap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes, label, map_coordinates

from core.types import LabelMap, Volume

#: Darker than this is no body: HU of a CT, SUV of a PET, share of its 95th percentile of an MR.
BODY_HU, BODY_SUV, BODY_MR = -400.0, 0.1, 0.06
#: The body is looked for on a grid of about so many voxels.
_MOST = 400_000
NAMES = ("of_scan", "of_body", "not_body", "full_slices", "no_data")


@dataclass(frozen=True, eq=False)
class Body:
    """What of a scan is body.

    Args:
        scan: which it was told by. strides: every so manieth voxel of the mask's grid was looked at.
        inside: (a, b, c) body there; None where no scan could tell.
        no_data: channel -> (a, b, c) places that the scan does not reach.
    """

    strides: tuple[int, int, int]
    inside: NDArray[np.bool_] | None
    no_data: dict[str, NDArray[np.bool_]]


def body_of(labels: LabelMap, scans: Sequence[Volume]) -> Body:
    """The body on the mask's grid, by its CT, else its PET, else its first MR: everything within its outline, slice by
    slice, so that lungs are body too."""
    shape = np.array(labels.array.shape)
    stride = max(1, int(np.ceil(np.cbrt(shape.prod() / _MOST))))
    strides = tuple(int(min(stride, max(1, n // 16))) for n in shape)
    at = np.stack(np.meshgrid(*(np.arange(0, n, s) for n, s in zip(shape, strides, strict=True)), indexing="ij"), -1)
    points = labels.grid.to_mm(at.reshape(-1, 3))
    values = {scan.channel: _at(scan, points).reshape(at.shape[:3]) for scan in scans}
    no_data = {channel: ~np.isfinite(found) for channel, found in values.items()}
    order = sorted(scans, key=lambda scan: ("CT", "PET", "MR").index(scan.modality))
    inside = None
    if order and np.isfinite(values[order[0].channel]).any():
        inside = _outline(values[order[0].channel], order[0].modality)
    return Body(strides, inside, no_data)  # type: ignore[arg-type]


def bounds_of(labels: LabelMap, number: int, body: Body) -> dict[str, float]:
    """`NAMES` of one lesion; those that need a scan only where there is one.

    of_scan, of_body: share of the scan and of the body that it takes. not_body: share of it that is no body.
    full_slices: share of its slices (along k, as the mask is stored) of which it takes nine tenths of the body.
    no_data: share of it that some scan does not reach, the most of any.
    """
    i, j, k = body.strides
    mask = labels.array[::i, ::j, ::k] == number
    count = max(1, int(np.count_nonzero(mask)))
    found = {"of_scan": float(np.count_nonzero(labels.array == number) / labels.array.size)}
    if not mask.any():
        return found
    if body.inside is not None:
        within = int(np.count_nonzero(mask & body.inside))
        found["of_body"] = float(within / max(1, int(np.count_nonzero(body.inside))))
        found["not_body"] = float(1 - within / count)
        slices, bodies = mask.sum(axis=(0, 1)), np.maximum(body.inside.sum(axis=(0, 1)), 1)
        both = (mask & body.inside).sum(axis=(0, 1))
        found["full_slices"] = float(
            int(np.count_nonzero(both >= 0.9 * bodies)) / max(1, int(np.count_nonzero(slices)))
        )
    if body.no_data:
        found["no_data"] = max(float(int(np.count_nonzero(mask & none)) / count) for none in body.no_data.values())
    return found


def _at(scan: Volume, points: NDArray[np.float64]) -> NDArray[np.float32]:
    at = scan.grid.to_index(points).T
    ends = np.array(scan.array.shape)[:, None] - 0.5
    values = map_coordinates(scan.array, at, order=0, mode="nearest", output=np.float32)
    values[((at < -0.5) | (at > ends)).any(axis=0)] = np.nan
    return np.asarray(values, np.float32)


def _outline(values: NDArray[np.float32], modality: str) -> NDArray[np.bool_]:
    limit = BODY_HU if modality == "CT" else BODY_SUV
    if modality == "MR":
        limit = BODY_MR * float(np.nanpercentile(values, 95))
    body = np.nan_to_num(values, nan=-np.inf) > limit
    pieces, count = label(body)
    if count > 1:  # the couch is no body
        sizes = np.bincount(pieces.ravel())[1:]
        body = np.isin(pieces, np.flatnonzero(sizes >= 0.1 * sizes.max()) + 1)
    for k in range(body.shape[2]):
        body[:, :, k] = binary_fill_holes(body[:, :, k])
    return np.asarray(body)
