"""Contrast: does the image change where the mask ends, and what lies on the wrong side of its border?

Every number is made so that more is worse. PET is compared in SUV, CT in HU by kinds of tissue; MR, which has no unit,
by how sharp the image is at the border alone.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import label

from core.gates.mask.local import Around, Bool, Floats

#: Either rim of the border, and the ring that stands for what is around.
RIM_MM, RING_MM = 6.0, (6.0, 20.0)
#: The border's outer rim in which a hole is looked for.
OUTER_RIM_MM = 4.0
#: Shares of the way from what is around to what is inside: above, below, and nearly as hot as the lesion.
HOT, COLD, BRIGHT = 0.5, 0.25, 0.75
#: HU: below is fat or air, above is bone.
FAT_HU, BONE_HU = -40.0, 200.0
#: Fewer cubes than these say nothing.
_FEW = 8


def contrast_of(seen: Around, channel: str) -> dict[str, float]:
    """Name -> number of one lesion on one scan; {} where the scan shows too little of it or of what is around."""
    values = seen.channels[channel]
    known = seen.free & np.isfinite(values)
    inside, ring = known & seen.inside, known & (seen.depth_mm > RING_MM[0]) & (seen.depth_mm <= RING_MM[1])
    inner = inside & (seen.depth_mm > -_wide(seen, RIM_MM))
    outer = known & (seen.depth_mm > 0) & (seen.depth_mm <= _wide(seen, OUTER_RIM_MM))
    if min(np.count_nonzero(part) for part in (inside, ring, inner, outer)) < _FEW:
        return {}
    if channel.startswith("PET"):
        return _pet(seen, values, known, inside, ring, inner, outer)
    if not channel.startswith("CT"):
        return _mr(seen, values, known, inside)
    fat, bone = values < FAT_HU, values > BONE_HU
    return {"fat_inside": _share(fat, inside), "fat_in_rim": _share(fat, inner), "bone_inside": _share(bone, inside)}


def _wide(seen: Around, mm: float) -> float:
    """A rim's width, at least a cube's: those of a large lesion are wider than a rim, which would then be empty, and
    nothing found in it would be taken for nothing there."""
    return max(mm, 1.1 * seen.step_mm)


def _pet(
    seen: Around, values: Floats, known: Bool, inside: Bool, ring: Bool, inner: Bool, outer: Bool
) -> dict[str, float]:
    """What is left out and what is taken in are told apart, for no mask does both: a sum of the two hides either.

    left_out: logarithm of the hot beyond the border by the lesion; open_border: share of the outer rim that the largest
    hot piece of it takes; taken_in: share of the inner rim that is cold. How steeply the uptake falls at the border, on
    its worst side and where, told less on the patients tuned on than it hid: true tumours differ too much in it.
    """
    high = float(np.percentile(values[inside], 90))
    far = float(np.percentile(values[ring], 25))
    span = max(high - far, 0.1 * max(high, far), 0.05)
    hot = known & (seen.depth_mm > 2.0) & (values > far + HOT * span)
    pieces, _ = label(outer & (values > far + BRIGHT * span))
    largest = int(np.bincount(pieces.ravel())[1:].max(initial=0))
    return {
        "beyond/left_out": float(np.log1p(np.count_nonzero(hot) / np.count_nonzero(inside))),
        "beyond/open_border": largest / int(np.count_nonzero(outer)),
        "within/taken_in": _share(values < far + COLD * span, inner),
    }


def _mr(seen: Around, values: Floats, known: Bool, inside: Bool) -> dict[str, float]:
    """blunt: how much less the image changes at the border than in the ring of 4 to 12 mm about it; alike_outside:
    share of the outer rim whose values are among the middle four fifths of those inside."""
    filled = np.where(np.isfinite(values), values, np.median(values[known]))
    clipped = np.clip(filled, *np.percentile(filled[known], (2, 98)))
    slope = np.sqrt(sum(part**2 for part in np.gradient(clipped)))
    at = known & (np.abs(seen.depth_mm) <= _wide(seen, 2.5))
    about = known & (np.abs(seen.depth_mm) > 4.0) & (np.abs(seen.depth_mm) <= 12.0)
    low, high = np.percentile(values[inside], (10, 90))
    outer = known & (seen.depth_mm > 0) & (seen.depth_mm <= RIM_MM)
    return {
        "blunt": -float(np.log(max(_mean(slope, at), 1e-6) / max(_mean(slope, about), 1e-6))),
        "alike_outside": _share((values >= low) & (values <= high), outer),
    }


def _mean(values: Floats, where: Bool) -> float:
    return float(values[where].mean()) if where.any() else 0.0


def _share(what: Bool, of: Bool) -> float:
    count = np.count_nonzero(of)
    return float(np.count_nonzero(what & of) / count) if count else 0.0
