"""What registration looks at instead of the scan: a copy of about 3 mm, robustly clipped, and the body in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from core.imaging.volumes import from_sitk, to_sitk
from core.types import Grid, Volume

FINE_MM = 3.0
#: Fewer voxels along an axis than this and there is nothing to align.
FEWEST_VOXELS = 4
#: The percentiles at which values are clipped: metal, noise spikes.
CLIPPED_AT = (0.5, 99.5)
#: The body is above this: HU on CT, else the share of the span of values (1st to 99th percentile).
BODY_HU, BODY_SHARE = -300.0, 0.12
#: A field that is filled by more than this with body shows no outline.
FULL = 0.97


@dataclass(frozen=True, eq=False)
class Prepared:
    """A scan, made small.

    Args:
        image: float32, about 3 mm, LPS.
        array, grid: the same, (I, J, K) and RAS+ mm.
        body: bool (I, J, K): the largest connected piece above air, holes filled.
        modality: CT or MR.
    """

    image: sitk.Image
    array: NDArray[np.float32]
    grid: Grid
    body: NDArray[np.bool_]
    modality: str

    @property
    def centre_mm(self) -> NDArray[np.float64]:
        """Of the field of view, RAS+ mm, shape (3,)."""
        return self.grid.to_mm((np.array([self.grid.shape]) - 1) / 2)[0]

    @property
    def body_centre_mm(self) -> NDArray[np.float64]:
        """Of the body's outline, RAS+ mm, shape (3,); of the field where there is no body."""
        inside = np.argwhere(self.body)
        return self.grid.to_mm(inside.mean(axis=0, keepdims=True))[0] if len(inside) else self.centre_mm

    @property
    def has_outline(self) -> bool:
        """Whether both body and what is around it are in the field."""
        return 1 - FULL < float(self.body.mean()) < FULL


def prepare(volume: Volume) -> Prepared:
    """The scan averaged down by whole numbers to about 3 mm, robustly clipped, with its body."""
    low, high = np.percentile(volume.array[::2, ::2, ::2], CLIPPED_AT)
    image = to_sitk(np.clip(volume.array, low, high), volume.grid)
    factors = [max(1, round(FINE_MM / mm)) for mm in volume.grid.spacing_mm]
    factors = [min(factor, size // FEWEST_VOXELS) for factor, size in zip(factors, volume.grid.shape, strict=True)]
    image = sitk.BinShrink(image, factors)
    array, grid = from_sitk(image)
    return Prepared(image, array, grid, body_of(array, volume.modality), volume.modality)


def body_of(array: NDArray[np.float32], modality: str) -> NDArray[np.bool_]:
    """The largest connected piece of what is not air, its holes filled slice by slice; bool of the array's shape."""
    if modality == "CT":
        darkest = BODY_HU
    else:
        low, high = (float(value) for value in np.percentile(array, [1.0, 99.0]))
        darkest = low + BODY_SHARE * (high - low)
    # Beyond the field it is taken to go on as at its edge, or opening would cut the body's corners off there.
    above = ndimage.binary_opening(np.pad(array > darkest, 2, mode="edge"))[2:-2, 2:-2, 2:-2]
    pieces, count = ndimage.label(above)
    if not count:
        return np.zeros(array.shape, dtype=bool)
    largest = pieces == 1 + int(np.argmax(np.bincount(pieces.ravel())[1:]))
    for k in range(largest.shape[2]):
        largest[..., k] = ndimage.binary_fill_holes(largest[..., k])
    return np.asarray(largest, dtype=bool)
