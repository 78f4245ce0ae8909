"""Contrast: does the image change where the mask ends, and what lies on the wrong side of its border?

Every number is made so that more is worse. PET is compared in SUV, CT in HU by kinds of tissue; MR, which has no unit,
by how sharp the image is at the border alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from core.gates.mask.local import Around, Bool, Floats

#: Either rim of the border, and the ring that stands for what is around.
RIM_MM, RING_MM = 6.0, (6.0, 20.0)
#: HU: below is fat or air, above is bone.
FAT_HU, BONE_HU = -40.0, 200.0
#: Fewer cubes than these say nothing.
_FEW = 8
_SIDES = np.array([(i, j, k) for i in (-1, 0, 1) for j in (-1, 0, 1) for k in (-1, 0, 1) if abs(i) + abs(j) + abs(k)])


def contrast_of(seen: Around, channel: str) -> dict[str, float]:
    """Name -> number of one lesion on one scan; {} where the scan shows too little of it or of what is around."""
    values = seen.channels[channel]
    known = seen.free & np.isfinite(values)
    inside, ring = known & seen.inside, known & (seen.depth_mm > RING_MM[0]) & (seen.depth_mm <= RING_MM[1])
    if np.count_nonzero(inside) < _FEW or np.count_nonzero(ring) < _FEW:
        return {}
    if channel.startswith("PET"):
        return _pet(seen, values, known, inside, ring)
    if not channel.startswith("CT"):
        return _mr(seen, values, known, inside)
    fat, bone = values < FAT_HU, values > BONE_HU
    rim = inside & (seen.depth_mm > -RIM_MM)
    return {"fat_inside": _share(fat, inside), "fat_in_rim": _share(fat, rim), "bone_inside": _share(bone, inside)}


def _pet(seen: Around, values: Floats, known: Bool, inside: Bool, ring: Bool) -> dict[str, float]:
    high = float(np.percentile(values[inside], 90))
    far = float(np.percentile(values[ring], 25))
    span = max(high - far, 0.1 * max(high, far), 0.05)
    inner = inside & (seen.depth_mm > -RIM_MM)
    outer = known & (seen.depth_mm > 0) & (seen.depth_mm <= RIM_MM)
    step = _mean(values, inner) - _mean(values, outer)
    worst, sides = step, _sides_of(seen)
    for side in range(len(_SIDES)):
        there = sides == side
        a, b = inner & there, outer & there
        if np.count_nonzero(a) >= _FEW and np.count_nonzero(b) >= _FEW:
            worst = min(worst, _mean(values, a) - _mean(values, b))
    hot = known & (seen.depth_mm > 2.0) & (values > far + 0.5 * span)
    cold = values < far + 0.25 * span
    edge = _edge_mm(seen, values, known)  # one that lies inside told nothing more on the patients tuned on
    return {
        "no_step": -step / span,
        "worst_side": -worst / span,
        "left_out": float(np.log1p(np.count_nonzero(hot) / np.count_nonzero(inside))),
        "taken_in": _share(cold, inner),
        "edge_outside": max(edge, 0.0) / 10,
    }


def _edge_mm(seen: Around, values: Floats, known: Bool) -> float:
    """Where the mean value over distance from the border falls most: beyond it (> 0) or inside, mm."""
    edges = np.arange(-15.0, 15.1, 2.5)
    which = np.digitize(seen.depth_mm[known], edges)
    sums = np.bincount(which, values[known], len(edges) + 1)[1:-1]
    counts = np.bincount(which, minlength=len(edges) + 1)[1:-1]
    whole = counts >= _FEW
    if np.count_nonzero(whole) < 3:
        return 0.0
    middles, means = (edges[:-1] + 1.25)[whole], (sums / np.maximum(counts, 1))[whole]
    falls = -np.diff(means) / np.diff(middles)
    at = int(falls.argmax())
    return float((middles[at] + middles[at + 1]) / 2)


def _mr(seen: Around, values: Floats, known: Bool, inside: Bool) -> dict[str, float]:
    """blunt: how much less the image changes at the border than in the ring of 4 to 12 mm about it; alike_outside:
    share of the outer rim whose values are among the middle four fifths of those inside."""
    filled = np.where(np.isfinite(values), values, np.median(values[known]))
    clipped = np.clip(filled, *np.percentile(filled[known], (2, 98)))
    slope = np.sqrt(sum(part**2 for part in np.gradient(clipped)))
    at = known & (np.abs(seen.depth_mm) <= 2.5)
    about = known & (np.abs(seen.depth_mm) > 4.0) & (np.abs(seen.depth_mm) <= 12.0)
    low, high = np.percentile(values[inside], (10, 90))
    outer = known & (seen.depth_mm > 0) & (seen.depth_mm <= RIM_MM)
    return {
        "blunt": -float(np.log(max(_mean(slope, at), 1e-6) / max(_mean(slope, about), 1e-6))),
        "alike_outside": _share((values >= low) & (values <= high), outer),
    }


def _sides_of(seen: Around) -> NDArray[np.int8]:
    """(A, B, C) the number of the direction of `_SIDES` in which each cube lies from the lesion's middle."""
    middle = np.argwhere(seen.inside).mean(axis=0)
    at = np.stack(np.meshgrid(*(np.arange(n) for n in seen.inside.shape), indexing="ij"), axis=-1) - middle
    reach = np.maximum(np.argwhere(seen.inside).std(axis=0), 0.5)  # a long lesion's ends are sides of their own
    unit = _SIDES / np.linalg.norm(_SIDES, axis=1, keepdims=True)
    return np.asarray(((at / reach).astype(np.float32) @ unit.T.astype(np.float32)).argmax(axis=-1), np.int8)


def _mean(values: Floats, where: Bool) -> float:
    return float(values[where].mean()) if where.any() else 0.0


def _share(what: Bool, of: Bool) -> float:
    count = np.count_nonzero(of)
    return float(np.count_nonzero(what & of) / count) if count else 0.0
