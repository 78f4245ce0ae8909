"""What a scan looks like before anything is clipped: grey values far beyond the network's window, and how rough it is.

The network sees CT cut to its window and every stage normalised: metal, noise and lost units are gone before the first
average. These are plain counts over the whole scan, so no label and no network is needed; roots of shares, on which a
Euclidean distance is Hellinger's. A PET beside a CT adds how well the two fit (`core.gates.scan.one_body`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.gates.scan.one_body import OneBody
from core.imaging.orienting import canonical
from core.types import Volume

Rows = NDArray[np.float32]

#: Raise it whenever the same scan would give other numbers.
LOOKS_VERSION = 1
FIT = "fit"

#: Grey values: HU from below air to beyond metal, finest in soft tissue; SUV; of MR, medians.
HU_VALUES = np.array(
    [-np.inf, -1010, -950, -800, -500, -250, -160, -130, -110, -90, -70, -50, -30, -10, 10, 25, 40, 55, 70, 90, 120,
     160, 220, 300, 450, 700, 1000, 1500, 2500, np.inf]
)  # fmt: skip
SUV_VALUES = np.concatenate([[-np.inf, 0.0], np.geomspace(0.05, 40.0, 20), [100.0, np.inf]])
MR_VALUES = np.concatenate([[-np.inf, 0.0], np.geomspace(0.05, 8.0, 16), [np.inf]])
#: Steps between neighbours, in the same units.
HU_STEPS = np.array([0, 1, 3, 6, 10, 16, 25, 40, 65, 100, 160, 250, 400, 800, np.inf])
SUV_STEPS = np.concatenate([[0.0], np.geomspace(0.002, 5.0, 12), [np.inf]])
MR_STEPS = np.concatenate([[0.0], np.geomspace(0.005, 2.0, 11), [np.inf]])
#: What is part of the body, so that the air around it, which differs with the field of view, tells nothing.
BODY = {"CT": -300.0, "PET": 0.1, "MR": 0.1}
#: What is above these is measured in millimetres: body, tissue without fat, bone; uptake; bright tissue.
_PARTS_ABOVE = {"CT": (-300.0, -20.0, 180.0), "PET": (0.1, 0.4, 1.5), "MR": (0.1, 0.6, 1.4)}
SIZES = 3
_VALUES = {"CT": HU_VALUES, "PET": SUV_VALUES, "MR": MR_VALUES}
_STEPS = {"CT": HU_STEPS, "PET": SUV_STEPS, "MR": MR_STEPS}


def parts_of(arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Columns of the looks "CT", "PET" and "MR" (scans, features) by part: "CT values", "CT steps", "CT sizes" …"""
    found: dict[str, NDArray[Any]] = {}
    for modality in BODY:
        if modality in arrays:
            ends = np.cumsum([len(_VALUES[modality]) - 1, 3 * (len(_STEPS[modality]) - 1), SIZES])
            cut = np.split(arrays[modality], ends[:-1], axis=-1)
            found |= dict(zip(parts(modality), cut, strict=True))
    return found


def parts(modality: str) -> tuple[str, str, str]:
    """The names of what a look of that modality consists of."""
    return f"{modality} values", f"{modality} steps", f"{modality} sizes"


def widths() -> dict[str, int]:
    """How many features each modality's look has, and the fit."""
    one = {kind: len(_VALUES[kind]) - 1 + 3 * (len(_STEPS[kind]) - 1) + SIZES for kind in BODY}
    return {**one, FIT: 3}


#: What is compared of a CT and a PET.
PAIR_PARTS = (*parts("CT"), *parts("PET"), FIT)


def fit_features(fit: OneBody) -> Rows:
    """(3,) outline, shared information, and that as a share of the most with the PET moved. 0 where they share nothing:
    this is a place far from any reference, and `match_of` says in words what cannot be judged.
    """
    if fit.outline is None or fit.information is None:
        return np.zeros(3, np.float32)
    best = fit.elsewhere or 0.0
    return np.array([fit.outline, 4 * fit.information, fit.information / best if best > 0 else 0.0], np.float32)


def look_at(volume: Volume) -> Rows:
    """(features,) float32: roots of the shares of grey values in the body, and of steps to the next voxel along each
    axis there; then sizes.
    """
    volume = canonical(volume)
    array = np.asarray(volume.array, dtype=np.float32)
    kind = volume.modality
    if kind == "MR":
        above = array[array > 0]
        array = array / max(float(np.median(above)) if above.size else 1.0, 1e-6)
    body = array > BODY[kind]
    shares = [_shares(array[body], _VALUES[kind])]
    for axis in range(3):
        ahead = tuple(slice(1, None) if n == axis else slice(None) for n in range(3))
        behind = tuple(slice(None, -1) if n == axis else slice(None) for n in range(3))
        inside = body[ahead] & body[behind]
        shares.append(_shares(np.abs(array[ahead][inside] - array[behind][inside]), _STEPS[kind]))
    sizes = [_size(array > low, volume.grid.spacing_mm) for low in _PARTS_ABOVE[kind]]
    return np.concatenate([np.sqrt(np.concatenate(shares)), np.array(sizes)]).astype(np.float32)


def _size(part: NDArray[np.bool_], spacing_mm: Sequence[float]) -> float:
    """Log of volume by surface, millimetres: half the thickness of a plate. It does not change with the field of view.
    Of nothing, or of all there is: that of a plate as thick as a voxel or as the field.
    """
    voxel = float(np.prod(spacing_mm))
    faces = [np.count_nonzero(np.diff(part, axis=axis)) * voxel / spacing_mm[axis] for axis in range(3)]
    surface = float(sum(faces))
    field = max(n * mm for n, mm in zip(part.shape, spacing_mm, strict=True))
    thickness = float(np.count_nonzero(part)) * voxel / surface if surface > 0 else field
    return float(np.log(np.clip(thickness, min(spacing_mm) / 2, field)))


def _shares(values: NDArray[np.float32], edges: NDArray[np.float64]) -> Rows:
    """Shares of 1 by bin; all 0 of nothing."""
    place = np.searchsorted(edges[1:-1], values, side="right")
    counts = np.bincount(place, minlength=len(list(pairwise(edges))))
    return (counts / max(values.size, 1)).astype(np.float32)
