"""What a network found and a version does not have: told with the version, never dropped silently."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import ndimage

from core.lesions.sizes import MIN_LESION_MM3
from core.types import MM3_PER_ML, LabelMap

#: `prompts` entry of a version.
LEFT_OUT = "left-out"


def left_out(found: LabelMap, labels: LabelMap) -> dict[str, Any] | None:
    """An entry of a version's `prompts`: how many pieces were left out, how large they are; None where none was.

    Args:
        found: what the network found, > 0. labels: what becomes a version, on the same grid.
    """
    pieces, count = ndimage.label((found.array > 0) & (labels.array == 0), np.ones((3, 3, 3)))
    if not count:
        return None
    voxels = np.bincount(pieces.ravel())[1:]
    volume, largest = (float(n) * found.grid.voxel_volume_mm3 for n in (voxels.sum(), voxels.max()))
    several = f"{count} pieces" if count > 1 else "1 piece"
    sizes = f"{volume / MM3_PER_ML:.2f} mL in all, the largest {largest / MM3_PER_ML:.2f} mL"
    return {
        "type": LEFT_OUT,
        "pieces": int(count),
        "volume_mm3": volume,
        "largest_mm3": largest,
        "words": f"{several} of what the network found ({sizes}) left out as noise: "
        f"each is below {MIN_LESION_MM3 / MM3_PER_ML:g} mL and not where a known lesion was.",
    }
