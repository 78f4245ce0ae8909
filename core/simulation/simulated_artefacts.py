"""What goes wrong on purpose, for the gates to catch: scans out of distribution, and masks that are no tumour's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from core.errors import InputError
from core.simulation.phantom import Array, SimulatedTimepoint, grid_points, pet_noisy, scan_pet
from core.types import LabelMap, Volume


def out_of_distribution(scan: SimulatedTimepoint, kind: str, seed: int = 0) -> SimulatedTimepoint:
    """The scan with a fault; the truth stays, but for "head", which holds no tumour.

    Kinds: "metal" (two implants with streaks), "calibration" (CT numbers 1000 too high, as when the rescale intercept
    is lost), "noise" (ten times the dose reduction), "inverted" (contrast reversed), "mr" (a T1-like contrast sent in
    as CT), "head" (another body region).

    Args:
        scan: a CT + PET pair.
        kind: one of `FAULTS`.
        seed: draws what is random in the fault.

    Raises:
        InputError: an unknown kind.
    """
    if kind not in FAULTS:
        raise InputError(f"Expected a fault out of {', '.join(FAULTS)}, got {kind!r}.")
    rng = np.random.default_rng([seed, 13])
    out = _head(scan, rng) if kind == "head" else _with_ct(scan, FAULTS[kind](scan, rng))
    return replace(out, metadata={**scan.metadata, "fault": kind})


def bad_mask(scan: SimulatedTimepoint, kind: str, seed: int = 0) -> LabelMap:
    """A mask that went wrong, on the grid of the scan's truth.

    Kinds: "bone" (leaked into all bone that the lesion's slices hold), "sheet" (spilled into a layer two voxels
    thin), "specks" (scattered over the body), "box" (its bounding box). A truth that is empty gives an empty mask,
    but for specks.

    Args:
        scan: whose truth is spoilt.
        kind: one of `BAD_MASKS`.
        seed: draws where the specks fall.

    Raises:
        InputError: an unknown kind.
    """
    if kind not in BAD_MASKS:
        raise InputError(f"Expected a bad mask out of {', '.join(BAD_MASKS)}, got {kind!r}.")
    labels = scan.truth.array.copy()
    extra = BAD_MASKS[kind](scan, np.random.default_rng([seed, 17]))
    labels[extra & (labels == 0)] = scan.truth.labels[0] if scan.truth.labels else 1
    return LabelMap(labels, scan.truth.grid)


def _with_ct(scan: SimulatedTimepoint, hu: Array) -> SimulatedTimepoint:
    hu = np.clip(np.rint(hu), -1024, 3071).astype(np.float32)
    return replace(scan, ct=Volume(hu, scan.ct.grid, "CT"))


def _metal(scan: SimulatedTimepoint, rng: np.random.Generator) -> Array:
    """Two rods along the body near the middle; streaks fan out of each, dark on the line that joins them."""
    hu = scan.ct.array.copy()
    x, y, z = grid_points(scan.ct.grid, np.eye(4))
    rods = [(-24.0, 12.0), (20.0, -16.0)]
    along = np.exp(-((z / 45) ** 4))
    join = np.arctan2(rods[1][1] - rods[0][1], rods[1][0] - rods[0][0])
    slices = hu.shape[2]
    for cx, cy in rods:
        away, angle = np.hypot(x - cx, y - cy), np.arctan2(y - cy, x - cx)
        spokes = ndimage.gaussian_filter(rng.standard_normal((360, slices)), (1.5, 0.8), mode=("wrap", "nearest"))
        turn = np.rint((angle + np.pi) / (2 * np.pi) * 360).astype(int) % 360
        streaks = (spokes / spokes.std())[turn, np.arange(slices)]
        dark = -350 * np.exp(-((np.sin(angle - join) / 0.18) ** 2))
        hu = hu + along * np.exp(-away / 60) * (220 * streaks + dark)
    for cx, cy in rods:
        hu = np.where((np.hypot(x - cx, y - cy) < 7) & (np.abs(z) < 45), 3071, hu)
    return np.asarray(hu, dtype=np.float32)


def _calibration(scan: SimulatedTimepoint, rng: np.random.Generator) -> Array:
    return scan.ct.array + 1000


def _noise(scan: SimulatedTimepoint, rng: np.random.Generator) -> Array:
    return scan.ct.array + 160 * rng.standard_normal(scan.ct.array.shape, dtype=np.float32)


def _inverted(scan: SimulatedTimepoint, rng: np.random.Generator) -> Array:
    return 100 - np.clip(scan.ct.array, -1000, 1200)


def _mr(scan: SimulatedTimepoint, rng: np.random.Generator) -> Array:
    """T1-like values: fat bright, muscle grey, bone and air dark, under a slow shading."""
    hu = ndimage.gaussian_filter(scan.ct.array, (0.7, 0.7, 0.0))
    signal = np.interp(hu, [-1000, -300, -110, -60, 20, 60, 150, 400, 3071], [5, 60, 900, 700, 330, 300, 200, 30, 20])
    x, y, _ = grid_points(scan.ct.grid, np.eye(4))
    shading = 1 + 0.3 * np.sin(x / 70) * np.cos(y / 90)
    noise = 15 * rng.standard_normal(hu.shape, dtype=np.float32)
    return np.abs(signal * shading + noise).astype(np.float32)


def _head(scan: SimulatedTimepoint, rng: np.random.Generator) -> SimulatedTimepoint:
    """An ellipsoid head: scalp, skull, brain with ventricles, sinuses full of air; the brain takes up FDG."""
    x, y, z = grid_points(scan.ct.grid, np.eye(4))
    r = np.sqrt((x / 66) ** 2 + (y / 72) ** 2 + ((z + 10) / 82) ** 2)
    hu, suv = np.full(r.shape, -1000, np.float32), np.zeros(r.shape, np.float32)
    ventricle = np.hypot(np.abs(x) - 9, y / 3) + np.abs(z) / 6 < 7
    sinus = np.hypot(x / 1.5, y - 58) + np.abs(z + 40) / 2 < 16
    layers: list[tuple[NDArray[np.bool_], float, float]] = [
        (r < 1, -60, 0.4),
        (r < 0.96, 1000, 0.4),
        (r < 0.87, 8, 0.4),
        (r < 0.85, 38, 9.0),
        (r < 0.76, 29, 4.0),
        (ventricle & (r < 0.8), 6, 0.5),
        (sinus & (r < 0.96), -900, 0.1),
    ]
    for where, attenuation, uptake in layers:
        hu[where], suv[where] = attenuation, uptake
    hu = ndimage.gaussian_filter(hu, (0.6, 0.6, 0.25)) + 8 * rng.standard_normal(hu.shape, dtype=np.float32)
    pet = pet_noisy(scan_pet(suv, scan.ct.grid, scan.pet.grid), 0.1, rng)
    nothing = LabelMap(np.zeros(scan.truth.array.shape, np.uint8), scan.truth.grid)
    headed = replace(scan, pet=Volume(pet, scan.pet.grid, "PET"), truth=nothing, volumes_mm3={})
    return _with_ct(headed, np.maximum(hu, -1000))


def _bone(scan: SimulatedTimepoint, rng: np.random.Generator) -> NDArray[np.bool_]:
    slices = np.flatnonzero(scan.truth.array.any((0, 1)))
    near = np.zeros(scan.truth.array.shape, bool)
    if slices.size:
        near[:, :, max(slices[0] - 8, 0) : slices[-1] + 9] = True
    return near & (ndimage.gaussian_filter(scan.ct.array, 0.7) > 220)


def _sheet(scan: SimulatedTimepoint, rng: np.random.Generator) -> NDArray[np.bool_]:
    if not scan.truth.labels:
        return np.zeros(scan.truth.array.shape, bool)
    grid = scan.truth.grid
    x, y, z = grid_points(grid, np.eye(4))
    lesion = grid.to_mm(np.argwhere(scan.truth.array > 0))
    cx, cy, cz = lesion.mean(0)
    _, half_y, half_z = np.ptp(lesion, axis=0) / 2 + 35
    off = (x - cx) - 0.006 * (y - cy) ** 2
    inside = (np.abs(y - cy) < half_y) & (np.abs(z - cz) < half_z) & (scan.ct.array > -300)
    return np.asarray((np.abs(off) < grid.spacing_mm[0]) & inside)


def _specks(scan: SimulatedTimepoint, rng: np.random.Generator) -> NDArray[np.bool_]:
    places = np.argwhere(scan.ct.array > -200)
    specks = np.zeros(scan.truth.array.shape, bool)
    specks[tuple(places[rng.integers(len(places), size=220)].T)] = True
    return np.asarray(ndimage.binary_dilation(specks, np.ones((2, 2, 1), bool)))


def _box(scan: SimulatedTimepoint, rng: np.random.Generator) -> NDArray[np.bool_]:
    box = np.zeros(scan.truth.array.shape, bool)
    for found in ndimage.find_objects(scan.truth.array):
        if found is not None:
            box[found] = True
    return box


#: kind -> its CT ("head" changes the PET and the truth too, and is made apart).
FAULTS: Mapping[str, Callable[[SimulatedTimepoint, np.random.Generator], Array]] = {
    "metal": _metal,
    "calibration": _calibration,
    "noise": _noise,
    "inverted": _inverted,
    "mr": _mr,
    "head": lambda scan, rng: _head(scan, rng).ct.array,
}
#: kind -> the voxels added to the truth.
BAD_MASKS: Mapping[str, Callable[[SimulatedTimepoint, np.random.Generator], NDArray[np.bool_]]] = {
    "bone": _bone,
    "sheet": _sheet,
    "specks": _specks,
    "box": _box,
}
