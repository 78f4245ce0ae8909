"""Scans with the tumour painted out by ways that no training used: does a network know the brush, or the tumour?

Each way fills the same hole: the contour and 5 mm around it in CT; in PET 13 mm around it, and any uptake near it that
the contour left out. "along" carries on the leg's own tissue from above and below the tumour; "donor" takes another
patient's tissue; "smooth" fits a quadratic to the soft tissue around and adds noise as of a scanner.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from core.imaging.volumes import resample
from core.simulation.demo_timepoints import real_scan
from core.simulation.phantom import ct_noise, pet_noisy
from core.types import Grid, Volume

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]

WAYS = ("along", "donor", "smooth")
CT_MARGIN_MM, PET_MARGIN_MM = 5.0, 13.0
NEAR_MM, HOT_SUV = 30.0, 2.0
#: Fewer healthy slices are not enough to take tissue from.
LEAST_SLICES = 3
CT_SOFT, PET_SOFT = (-20.0, 110.0), (0.0, HOT_SUV)


class Scan:
    """A real patient on the CT's grid, and the holes that are to be filled.

    Args:
        folder: holds CT_image, PET_image and CT_mask (.nii.gz).
    """

    def __init__(self, folder: Path) -> None:
        real = real_scan(folder)
        self.grid: Grid = real.ct.grid
        self.ct = real.ct.array
        self.pet: Array = resample(real.pet.array, real.pet.grid, self.grid, "linear")
        self.tumour: Mask = real.truth.array > 0
        self.distance = np.asarray(ndimage.distance_transform_edt(~self.tumour, self.grid.spacing_mm), dtype=np.float32)
        hot = (self.distance <= NEAR_MM) & (self.pet > HOT_SUV)
        reach = ndimage.binary_dilation(hot, iterations=3)
        self.hole_ct: Mask = self.distance <= CT_MARGIN_MM
        self.hole_pet: Mask = (self.distance <= PET_MARGIN_MM) | reach


@lru_cache(maxsize=24)
def read_scan(folder: Path) -> Scan:
    """`Scan`, kept: 40 MB each, and every patient may be a donor for others."""
    return Scan(folder)


def free_slices(scan: Scan) -> NDArray[np.int64]:
    """The longest run of slices that the holes do not reach and that hold no uptake above `HOT_SUV`."""
    free = np.flatnonzero(~(scan.hole_ct | scan.hole_pet | (scan.pet > HOT_SUV)).any((0, 1)))
    return max(np.split(free, np.flatnonzero(np.diff(free) > 1) + 1), key=len)


def painted_out(folder: Path, way: str, donors: Sequence[Path], seed: int) -> tuple[Volume, Volume] | None:
    """CT and PET, both on the CT's grid, with nothing left to find.

    Args:
        folder: the patient's.
        way: one of `WAYS`.
        donors: folders of the patients whose tissue "donor" may take: the first that has `LEAST_SLICES` free.
        seed: of noise.

    Returns:
        None where no healthy slices are there to take tissue from.
    """
    scan, rng = read_scan(folder), np.random.default_rng([seed, 29])
    if way == "smooth":
        ct = _smooth(scan.ct, scan.hole_ct, scan.grid, CT_SOFT)
        soft = scan.ct[(scan.distance > CT_MARGIN_MM) & (scan.distance < 20) & _between(scan.ct, CT_SOFT)]
        ct = np.where(scan.hole_ct, ct + ct_noise(ct.shape, float(soft.std()) if soft.size else 15.0, rng), scan.ct)
        pet = pet_noisy(_smooth(scan.pet, scan.hole_pet, scan.grid, PET_SOFT), 0.1, rng)
        pet = np.where(scan.hole_pet, pet, scan.pet)
    else:
        sources = (read_scan(f) for f in ([folder] if way == "along" else donors))
        source = next((s for s in sources if len(free_slices(s)) >= LEAST_SLICES), None)
        if source is None:
            return None
        ct, pet = _other_slices(scan, source)
    return (
        Volume(_joined(scan.ct, np.asarray(ct, np.float32), scan.hole_ct), scan.grid, "CT"),
        Volume(np.maximum(_joined(scan.pet, np.asarray(pet, np.float32), scan.hole_pet), 0), scan.grid, "PET"),
    )


def _between(values: Array, limits: tuple[float, float]) -> Mask:
    return (values > limits[0]) & (values < limits[1])


def _joined(values: Array, filled: Array, hole: Mask) -> Array:
    """The fill in the hole, its edge blended over about a voxel."""
    soft = ndimage.gaussian_filter(hole.astype(np.float32), 0.7)
    weight = np.where(hole, np.maximum(soft, 0.5), np.minimum(soft, 0.5))
    return np.asarray(values * (1 - weight) + filled * weight, dtype=np.float32)


def _smooth(values: Array, hole: Mask, grid: Grid, limits: tuple[float, float]) -> Array:
    """A quadratic in position, fitted to the soft tissue within 20 mm of the hole, within that tissue's values."""
    outside = ndimage.distance_transform_edt(~hole, grid.spacing_mm)
    ring = (outside > 1) & (outside < 20) & _between(values, limits)
    if ring.sum() < 50:
        return np.full(values.shape, np.mean(limits), np.float32)
    terms = _quadratic(np.argwhere(ring), grid.shape)
    weights = np.linalg.lstsq(terms, values[ring], rcond=None)[0]
    out = values.copy()
    low, high = np.percentile(values[ring], (5, 95))
    out[hole] = np.clip(_quadratic(np.argwhere(hole), grid.shape) @ weights, low, high)
    return out


def _quadratic(index: NDArray[np.int64], shape: tuple[int, int, int]) -> NDArray[np.float64]:
    """(n, 10) terms of a quadratic in positions scaled to -1..1."""
    x, y, z = (2 * index / (np.array(shape) - 1) - 1).T
    return np.stack([np.ones_like(x), x, y, z, x * x, y * y, z * z, x * y, x * z, y * z], axis=1)


def _other_slices(scan: Scan, source: Scan) -> tuple[Array, Array]:
    """For every slice of the scan one of the free ones of `source`.

    Slices follow on one another to and fro, so that neighbours stay neighbours; in plane the middles of the scans meet.
    """
    longest = free_slices(source)
    period = max(2 * (len(longest) - 1), 1)
    step = np.arange(scan.grid.shape[2]) % period
    slices = longest[np.minimum(step, period - step)]
    at = [
        np.clip(np.arange(n) - n // 2 + m // 2, 0, m - 1)
        for n, m in zip(scan.grid.shape[:2], source.grid.shape[:2], strict=True)
    ]
    index = np.ix_(at[0], at[1], slices)
    return source.ct[index], source.pet[index]
