"""The 48 orders in which a file may hold the axes of one image, made by nibabel: not by what is tested with them."""

from __future__ import annotations

from itertools import permutations, product
from typing import TypeVar

import nibabel as nib
import numpy as np

from core.types import Grid, LabelMap, Volume

Image = TypeVar("Image", Volume, LabelMap)

ALL_ORDERS = tuple("".join(code) for axes in permutations(("LR", "PA", "SI")) for code in product(*axes))


def stored_as(image: Image, order: str) -> Image:
    """The same image in space, its axes (i, j, k) running as `order` says, e.g. "RAS"."""
    here = nib.io_orientation(image.grid.affine)
    turn = nib.orientations.ornt_transform(here, nib.orientations.axcodes2ornt(tuple(order)))
    affine = image.grid.affine @ nib.orientations.inv_ornt_aff(turn, image.grid.shape)
    array = np.ascontiguousarray(nib.apply_orientation(image.array, turn))
    where = Grid(array.shape, affine)
    if isinstance(image, LabelMap):
        return LabelMap(array, where)
    return Volume(array, where, image.modality, image.sequence)
