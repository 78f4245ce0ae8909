"""Simulated scans with a known truth: phantoms (`phantom`), follow-ups of a scan that has a mask, and faults.

A follow-up is the scan itself, the tumour grown or shrunk by a smooth warp, the patient moved, noise anew. Its growth
and motion are known, the tissue is not new: whatever is shown of it must say "simulated follow-up".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from core.errors import InputError
from core.simulation.phantom import (
    TISSUES,
    Array,
    LesionSpec,
    PhantomSpec,
    SimulatedTimepoint,
    count_mm3,
    ct_noise,
    grid_points,
    pet_noisy,
    phantom,
    rigid,
    scan_pet,
)
from core.simulation.simulated_artefacts import BAD_MASKS, FAULTS, bad_mask, out_of_distribution
from core.simulation.warping import RadialWarp, grow, radial_warp, sample, through
from core.types import Grid, LabelMap, Volume

__all__ = [
    "BAD_MASKS",
    "FAULTS",
    "LesionSpec",
    "PhantomSpec",
    "RadialWarp",
    "SimulatedTimepoint",
    "bad_mask",
    "follow_up",
    "out_of_distribution",
    "phantom",
    "radial_warp",
]


def follow_up(
    ct: Volume,
    pet: Volume,
    truth: LabelMap,
    growth: float | Mapping[int, float],
    *,
    rotation_deg: Sequence[float] = (0.0, 0.0, 0.0),
    shift_mm: Sequence[float] = (0.0, 0.0, 0.0),
    seed: int = 0,
    ct_noise_hu: float = 6.0,
    pet_noise: float = 0.05,
    uptake: float | Mapping[int, float] = 1.0,
) -> SimulatedTimepoint:
    """The same patient later: each lesion's volume changed by a known factor, the patient moved, noise added.

    Args:
        ct, pet: the baseline scans, each on its own grid; the new scans have the same grids.
        truth: the lesions, on the CT's grid.
        growth: volume factor, one for all or by label (absent = 1); `GROWTH_RANGE`, or 0: gone, painted over with
            the values of the tissue around (its mask is empty).
        rotation_deg, shift_mm: rigid motion of the patient, Euler x, y, z about the CT's middle, then shift; RAS+.
            What it brings in from outside the scan repeats the scan's edge.
        seed: draws the noise.
        ct_noise_hu, pet_noise: what is added to the noise already there (HU; SUV deviation at SUV 1). 0 = none.
        uptake: factor on the lesions' PET uptake, one for all or by label.

    Returns:
        The new scans; `truth` and `volumes_mm3` of them, within 1 % of growth * baseline volume; `motion` takes
        baseline points to the new scan's.

    Raises:
        InputError: the mask is on another grid; a factor out of range; or the factors cannot be met within 3 %
            because lesions lie in each other's way.
    """
    if not truth.grid.matches(ct.grid):
        raise InputError("Expected the mask on the CT's grid, got another one. Resample the mask to the CT first.")
    factors = _by_label(growth, truth.labels)
    middle = ct.grid.to_mm((np.array([ct.grid.shape]) - 1) / 2)[0]
    motion = rigid(rotation_deg, shift_mm, middle)
    warps, points, labels = grow(truth, factors, np.linalg.inv(motion))
    rng = np.random.default_rng([seed, 11])
    hu = sample(ct, points)
    suv = np.maximum(sample(pet, through(warps, grid_points(pet.grid, np.linalg.inv(motion)))), 0)
    for label, factor in factors.items():
        if factor == 0:
            hu, suv = _paint_over(hu, suv, labels == label, truth.grid, pet.grid, rng)
            labels = np.where(labels == label, 0, labels).astype(np.uint8)
    for label, times in _by_label(uptake, truth.labels).items():
        if times != 1:
            suv *= 1 + (times - 1) * scan_pet((labels == label).astype(np.float32), truth.grid, pet.grid)
    if ct_noise_hu > 0:
        hu = hu + ct_noise(ct.grid.shape, ct_noise_hu, rng)
    if pet_noise > 0:
        suv = pet_noisy(suv, pet_noise, rng)
    mask = LabelMap(labels, truth.grid)
    hu = np.clip(np.rint(hu), -1024, 3071).astype(np.float32)
    metadata = {"simulated": True, "method": "follow-up", "growth": {str(n): f for n, f in factors.items()}}
    volumes = {label: count_mm3(mask, label) for label in factors}
    return SimulatedTimepoint(Volume(hu, ct.grid, "CT"), Volume(suv, pet.grid, "PET"), mask, volumes, motion, metadata)


def _by_label(value: float | Mapping[int, float], labels: Sequence[int]) -> dict[int, float]:
    if not isinstance(value, Mapping):
        return dict.fromkeys(labels, float(value))
    unknown = sorted(set(value) - set(labels))
    if unknown:
        raise InputError(f"Expected lesions that are in the mask ({list(labels)}), got {unknown}.")
    return {label: float(value.get(label, 1.0)) for label in labels}


def _paint_over(
    hu: Array, suv: Array, lesion: NDArray[np.bool_], grid: Grid, pet: Grid, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Replace what is left of a lesion by muscle of the surroundings' noise and by the uptake around it."""
    outside = ndimage.distance_transform_edt(~lesion, grid.spacing_mm)
    ring = hu[(outside > 3) & (outside < 15) & (hu > 0) & (hu < 110)]
    level = float(np.median(ring)) if ring.size else TISSUES["muscle"][0]
    noise = ct_noise(hu.shape, float(ring.std()) if ring.size else 15.0, rng)
    blend = ndimage.gaussian_filter((outside < 2).astype(np.float32), 0.8)
    hu = hu * (1 - blend) + (level + noise) * blend
    cover = np.clip(1.3 * scan_pet((outside < 12).astype(np.float32), grid, pet), 0, 1)
    around = suv[(scan_pet((outside < 24).astype(np.float32), grid, pet) > 0.5) & (cover < 0.1)]
    level = float(np.median(around)) if around.size else TISSUES["muscle"][1]
    return hu.astype(np.float32), (suv * (1 - cover) + level * cover).astype(np.float32)
