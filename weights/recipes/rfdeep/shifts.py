"""Scans that the network does not know: what goes wrong with a CT + PET pair, and other body parts and modalities.

Each shift is named, so that `core.gates.scan.evaluate` can leave one kind out. They are drawn here, apart from the
faults of the demo cohort (`core.simulation.simulated_artefacts`): the demo's odd scans are then not the very ones that
the gate learned from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from core.types import Grid, Volume

Array = NDArray[np.float32]
Pair = tuple[Volume, Volume]
Shift = Callable[[Volume, Volume, np.random.Generator], Pair]


def _with(volume: Volume, array: NDArray[np.floating]) -> Volume:
    return Volume(np.asarray(array, dtype=np.float32), volume.grid, volume.modality)


def _intercept_lost(ct: Volume, pet: Volume, rng: np.random.Generator) -> Pair:
    return _with(ct, ct.array + rng.choice([1000.0, 1024.0])), pet


def _windowed(ct: Volume, pet: Volume, rng: np.random.Generator) -> Pair:
    """A screen's grey values (0 to 255 over a soft-tissue window) where HU should be."""
    low = rng.choice([-160.0, -200.0])
    return _with(ct, np.clip((ct.array - low) / 400, 0, 1) * 255), pet


def _noise(ct: Volume, pet: Volume, rng: np.random.Generator) -> Pair:
    hu = ct.array + rng.uniform(120, 260) * rng.standard_normal(ct.array.shape, dtype=np.float32)
    suv = pet.array + rng.uniform(0.5, 1.0) * rng.standard_normal(pet.array.shape, dtype=np.float32)
    return _with(ct, np.clip(hu, -1024, 3071)), _with(pet, np.maximum(suv, 0))


def _blur(ct: Volume, pet: Volume, rng: np.random.Generator) -> Pair:
    sigma = rng.uniform(5, 8)
    smooth = (ndimage.gaussian_filter(v.array, sigma / np.array(v.grid.spacing_mm)) for v in (ct, pet))
    return _with(ct, next(smooth)), _with(pet, next(smooth))


def _metal(ct: Volume, pet: Volume, rng: np.random.Generator) -> Pair:
    """One to three rods near the middle; dark and bright rays from each, fading over the image."""
    (i, j), spacing, hu = np.ogrid[: ct.grid.shape[0], : ct.grid.shape[1]], ct.grid.spacing_mm, ct.array.copy()
    for _ in range(rng.integers(1, 4)):
        centre = (np.array(ct.grid.shape[:2]) / 2 + rng.uniform(-25, 25, 2) / spacing[0]).tolist()
        x, y = (i - centre[0]) * spacing[0], (j - centre[1]) * spacing[1]
        away, angle = np.hypot(x, y), np.arctan2(y, x)
        rays = sum(np.sin(n * angle + rng.uniform(0, 6.28)) for n in rng.choice(np.arange(3, 40), 9, replace=False))
        hu += (rng.uniform(150, 300) * rays * np.exp(-away / 60))[:, :, None]
        hu[(away < rng.uniform(5, 9))] = 3071
    return _with(ct, np.clip(hu, -1024, 3071)), pet


def _reversed(ct: Volume, pet: Volume, rng: np.random.Generator) -> Pair:
    return _with(ct, rng.uniform(0, 100) - np.clip(ct.array, -1000, 1000)), pet


def _swapped(ct: Volume, pet: Volume, rng: np.random.Generator) -> Pair:
    return Volume(pet.array, pet.grid, "CT"), Volume(ct.array, ct.grid, "PET")


def _suv_scale(ct: Volume, pet: Volume, rng: np.random.Generator) -> Pair:
    """Bq/mL, a wrong weight or dose: the uptake's scale is off by a factor that people have got wrong."""
    return ct, _with(pet, pet.array * rng.choice([0.1, 0.2, 5.0, 10.0, 1000.0, 4000.0]))


def _pet_misplaced(ct: Volume, pet: Volume, rng: np.random.Generator) -> Pair:
    """The uptake lies elsewhere, as after a wrong frame of reference or another patient's PET."""
    shift = np.round(rng.choice([-1, 1], 2) * rng.uniform(35, 60, 2) / pet.grid.spacing_mm[:2]).astype(int)
    return ct, _with(pet, np.roll(pet.array, tuple(shift), axis=(0, 1)))


def _voxel_size(ct: Volume, pet: Volume, rng: np.random.Generator) -> Pair:
    """A lost or wrong voxel size: the anatomy appears half as large again, or little more than half as large."""
    scale = np.diag([*[rng.choice([0.55, 0.65, 1.5])] * 3, 1.0])
    grids = (Grid(v.grid.shape, scale @ v.grid.affine) for v in (ct, pet))
    return Volume(ct.array, next(grids), "CT"), Volume(pet.array, next(grids), "PET")


def _truncated(ct: Volume, pet: Volume, rng: np.random.Generator) -> Pair:
    """A reconstruction circle smaller than the body: nothing beyond it, on the CT alone."""
    (i, j), spacing = np.ogrid[: ct.grid.shape[0], : ct.grid.shape[1]], ct.grid.spacing_mm
    middle = (np.array(ct.grid.shape[:2]) - 1) / 2 + rng.uniform(-15, 15, 2) / spacing[0]
    away = np.hypot((i - middle[0]) * spacing[0], (j - middle[1]) * spacing[1])
    half = min(n * mm for n, mm in zip(ct.grid.shape[:2], spacing[:2], strict=True)) / 2
    beyond = away > half * rng.uniform(0.5, 0.7)
    return _with(ct, np.where(beyond[:, :, None], -1024, ct.array)), pet


def _thick(ct: Volume, pet: Volume, rng: np.random.Generator) -> Pair:
    """Slabs of 13 to 20 mm, told as the thinner slices that they replaced: one mean for every four to six slices."""
    many = int(rng.integers(4, 7))

    def slabs(volume: Volume) -> Volume:
        out = volume.array.copy()
        for start in range(0, out.shape[2], many):
            out[:, :, start : start + many] = out[:, :, start : start + many].mean(axis=2, keepdims=True)
        return _with(volume, out)

    return slabs(ct), slabs(pet)


#: What can be done to any CT + PET pair.
CORRUPTIONS: Mapping[str, Shift] = {
    "CT intercept lost": _intercept_lost,
    "CT windowed to grey values": _windowed,
    "strong noise": _noise,
    "strong blur": _blur,
    "metal streaks": _metal,
    "CT contrast reversed": _reversed,
    "CT and PET swapped": _swapped,
    "SUV scale wrong": _suv_scale,
    "PET misplaced": _pet_misplaced,
    "voxel size wrong": _voxel_size,
    "CT truncated": _truncated,
    "slices too thick": _thick,
}


def _mr_noise(mr: Volume, rng: np.random.Generator) -> Volume:
    level = rng.uniform(0.25, 0.5) * float(np.median(mr.array[mr.array > 0]))
    return _with(mr, np.abs(mr.array + level * rng.standard_normal(mr.array.shape, dtype=np.float32)))


def _mr_blur(mr: Volume, rng: np.random.Generator) -> Volume:
    return _with(mr, ndimage.gaussian_filter(mr.array, rng.uniform(4, 6) / np.array(mr.grid.spacing_mm)))


def _mr_reversed(mr: Volume, rng: np.random.Generator) -> Volume:
    return _with(mr, np.where(mr.array > 0, float(np.percentile(mr.array, 99)) - mr.array, 0).clip(0))


def _mr_bias(mr: Volume, rng: np.random.Generator) -> Volume:
    """A coil at one side: bright there, dark at the other."""
    ramp = np.exp(rng.uniform(1.5, 2.5) * np.linspace(-1, 1, mr.grid.shape[0])).astype(np.float32)
    return _with(mr, mr.array * ramp[:, None, None])


def _mr_thick(mr: Volume, rng: np.random.Generator) -> Volume:
    out, many = mr.array.copy(), int(rng.integers(3, 5))
    for start in range(0, out.shape[2], many):
        out[:, :, start : start + many] = out[:, :, start : start + many].mean(axis=2, keepdims=True)
    return _with(mr, out)


#: What can be done to any MR.
MR_CORRUPTIONS: Mapping[str, Callable[[Volume, np.random.Generator], Volume]] = {
    "MR: strong noise": _mr_noise,
    "MR: strong blur": _mr_blur,
    "MR: contrast reversed": _mr_reversed,
    "MR: coil at one side": _mr_bias,
    "MR: slices too thick": _mr_thick,
}
OTHER_BODY_AS_MR = "MR of head or breast"
CT_AS_MR = "CT as MR"
MR_AS_CT = "MR as CT"
OTHER_BODY_MR = "MR of head or breast as CT"
OTHER_BODY_CT = "CT of another body part"


def brain_like_pet(image: Volume, rng: np.random.Generator) -> Volume:
    """Uptake that follows the image's brightness, as glucose follows the brain; the maximum lies at 4 to 12 SUV."""
    smooth = ndimage.gaussian_filter(np.clip(image.array, 0, None), 4.0 / np.array(image.grid.spacing_mm))
    return Volume((smooth / smooth.max() * rng.uniform(4, 12)).astype(np.float32), image.grid, "PET")


def focal_pet(ct: Volume, rng: np.random.Generator) -> Volume:
    """Body at SUV 0.7 with two hot balls of 12 to 30 mm somewhere in soft tissue, seen at a PET's resolution."""
    tissue = (ct.array > -50) & (ct.array < 150)
    suv = np.where(ct.array > -300, 0.7, 0.05).astype(np.float32)
    points = ct.grid.to_mm(np.argwhere(np.ones(ct.grid.shape, bool))).reshape(*ct.grid.shape, 3)
    for seat in rng.choice(np.argwhere(tissue), 2, replace=False):
        ball = np.linalg.norm(points - ct.grid.to_mm(seat[None])[0], axis=-1) < rng.uniform(12, 30)
        suv[ball & (ct.array > -300)] = rng.uniform(4, 12)
    blurred = ndimage.gaussian_filter(suv, 6.5 / 2.355 / np.array(ct.grid.spacing_mm))
    return Volume(blurred.astype(np.float32), ct.grid, "PET")
