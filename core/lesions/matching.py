"""Lesions as connected pieces of a mask. Which lesion of the patient a piece is: `core.lesions.linking`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import generate_binary_structure, label

from core.errors import GeometryError, InputError
from core.lesions.metrics import bounding_box
from core.types import Grid

MAX_LESIONS = 255


def components(binary: NDArray[Any], grid: Grid, min_volume_mm3: float = 30.0) -> NDArray[np.uint8]:
    """Number the connected pieces of a mask, largest first.

    Voxels that share a face, edge or corner are connected (26 neighbours). Pieces of one size are numbered by the place
    of their first voxel. The default leaves out pieces smaller than a ball of 3.9 mm diameter (assumed noise).

    Args:
        binary: (I, J, K) mask; non-zero is foreground.
        grid: where it lies.
        min_volume_mm3: smaller pieces are left out; 0 keeps all.

    Returns:
        (I, J, K) uint8, 0 = background, 1 = the largest piece; all 0 for an empty mask.

    Raises:
        GeometryError: if the mask does not fit the grid.
        InputError: if more than 255 pieces remain: the message names the `min_volume_mm3` that would leave 255.
    """
    if binary.shape != grid.shape:
        raise GeometryError(f"Expected a mask of {grid.shape} voxels, got {binary.shape}.")
    numbered = np.zeros(binary.shape, dtype=np.uint8)
    box = bounding_box(binary)
    if box is None:
        return numbered
    pieces, count = label(binary[box] != 0, structure=generate_binary_structure(3, 3))
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)[1:]
    order = np.argsort(-sizes, kind="stable")
    large_enough = order[sizes[order] * grid.voxel_volume_mm3 >= min_volume_mm3]
    if len(large_enough) > MAX_LESIONS:
        enough = float(sizes[large_enough[MAX_LESIONS]] + 1) * grid.voxel_volume_mm3
        raise InputError(
            f"Expected at most {MAX_LESIONS} separate lesions, got {len(large_enough)} of at least "
            f"{min_volume_mm3:g} mm3. Raise the smallest volume to {enough:g} mm3, or check that this is a tumour mask."
        )
    lookup = np.zeros(count + 1, dtype=np.uint8)
    lookup[large_enough + 1] = np.arange(1, len(large_enough) + 1)
    numbered[box] = lookup[pieces]
    return numbered
