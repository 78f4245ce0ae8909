"""Ways to paint a tumour out of a scan at the network's spacing, for training. What they are measured by is painted by
other ways (`painted_out.py`), so that a network that only knows the brush is found out.

Arrays are (X, Y, Z); CT in HU, PET in SUV; isotropic voxels of about 3.3 mm.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]

WAYS = ("level", "diffusion", "reflection", "contralateral")
#: Voxels (of 3.3 mm) by which the hole is wider than the contour: the contour is rough, and PET is blurred.
CT_MARGIN, PET_MARGIN = (1.0, 3.0), (3.0, 5.0)
#: Uptake that belongs to the tumour though the contour left it out: near it, and well above what is around.
NEAR_VOXELS, HOT_SUV = 9, 2.0


def paint(ct: Array, pet: Array, tumour: Mask, way: str, rng: np.random.Generator) -> tuple[Array, Array]:
    """CT and PET with the tumour painted over by one of `WAYS`; the PET's own way may differ."""
    distance = np.asarray(ndimage.distance_transform_edt(~tumour), dtype=np.float32)
    hole_ct = distance <= rng.uniform(*CT_MARGIN)
    hot = (distance <= NEAR_VOXELS) & (pet > HOT_SUV)
    hole_pet = (distance <= rng.uniform(*PET_MARGIN)) | ndimage.binary_dilation(hot, iterations=1)
    out_ct = fill(ct, hole_ct, tumour, way, rng, low=-20.0, high=110.0)
    pet_way = way if rng.random() < 0.6 else str(rng.choice(["level", "diffusion", "reflection"]))
    out_pet = fill(pet, hole_pet, tumour, pet_way, rng, low=0.0, high=HOT_SUV)
    return out_ct, np.maximum(out_pet, 0)


def fill(
    values: Array, hole: Mask, tumour: Mask, way: str, rng: np.random.Generator, *, low: float, high: float
) -> Array:
    """The hole filled; its edge blended over about a voxel. `low` to `high` are the values of soft tissue."""
    outside = np.asarray(ndimage.distance_transform_edt(~hole), dtype=np.float32)
    ring = values[(outside > 0) & (outside < 6) & (values > low) & (values < high)]
    level = float(np.median(ring)) if ring.size else (low + high) / 2
    spread = float(ring.std()) if ring.size else 0.1 * (high - low)
    filled: Array | None = contralateral(values, hole, tumour) if way == "contralateral" else None
    if way == "level":
        filled = level + _texture(values.shape, rng.uniform(0.3, 1.2) * spread, rng)
    elif way == "diffusion":
        filled = diffused(values, hole) + _texture(values.shape, rng.uniform(0.0, 0.6) * spread, rng)
    if filled is None:
        filled = reflected(values, hole)
    # A reflected hot rim would be a tumour again.
    filled = np.clip(filled, None, high) if low >= 0 else filled
    soft = ndimage.gaussian_filter(hole.astype(np.float32), rng.uniform(0.3, 0.9))
    weight = np.where(hole, np.maximum(soft, 0.5), np.minimum(soft, 0.5))
    return np.asarray(values * (1 - weight) + filled * weight, dtype=np.float32)


def diffused(values: Array, hole: Mask) -> Array:
    """The hole filled from its rim outside in, by averages of what is known over wider and wider neighbourhoods."""
    out, known = np.where(hole, 0, values).astype(np.float32), (~hole).astype(np.float32)
    filled = out.copy()
    missing = hole.copy()
    for sigma in (1.0, 2.0, 4.0, 8.0, 16.0, 32.0):
        weight = ndimage.gaussian_filter(known, sigma)
        mean = ndimage.gaussian_filter(out, sigma) / np.maximum(weight, 1e-6)
        ready = missing & (weight > 0.1)
        filled[ready] = mean[ready]
        missing &= ~ready
    # Joints between the neighbourhoods vanish under a few rounds of averaging within the hole.
    for _ in range(12):
        filled[hole] = ndimage.uniform_filter(filled, 3)[hole]
    return filled


def reflected(values: Array, hole: Mask) -> Array:
    """Each voxel of the hole takes the value as far outside the rim as it lies inside."""
    nearest = ndimage.distance_transform_edt(hole, return_distances=False, return_indices=True)
    here = np.indices(hole.shape)
    source = 2 * nearest - here
    for axis, size in enumerate(hole.shape):
        source[axis] = np.clip(source[axis], 0, size - 1)
    # What lands in the hole again (a rim that is curved, or the scan's edge) takes the rim itself.
    again = hole[tuple(source)]
    source = np.where(again, nearest, source)
    return np.asarray(values[tuple(source)], dtype=np.float32)


def contralateral(values: Array, hole: Mask, tumour: Mask) -> Array | None:
    """The scan mirrored left to right about the plane that lays the least of the tumour on itself; None if much is."""
    axis = hole.ndim - 1  # nnU-Net's last axis is the scan's i: left to right
    size = hole.shape[axis]
    best, plane = 1.0, 0
    for twice in range(size // 2, 3 * size // 2, 2):
        index = np.clip(twice - np.arange(size), 0, size - 1)
        share = float((np.take(hole, index, axis) & tumour).sum() / max(tumour.sum(), 1))
        outside = (twice - np.arange(size) < 0) | (twice - np.arange(size) >= size)
        share += float((tumour & outside).sum() / max(tumour.sum(), 1))
        if share < best:
            best, plane = share, twice
    if best > 0.35:
        return None
    index = np.clip(plane - np.arange(size), 0, size - 1)
    mirrored, gap = np.take(values, index, axis), np.take(hole, index, axis)
    return np.where(gap, reflected(values, hole), mirrored).astype(np.float32)


def _texture(shape: tuple[int, ...], deviation: float, rng: np.random.Generator) -> Array:
    noise = ndimage.gaussian_filter(rng.standard_normal(shape).astype(np.float32), rng.uniform(0.0, 1.2))
    return np.asarray(deviation * noise / max(float(noise.std()), 1e-6), dtype=np.float32)
