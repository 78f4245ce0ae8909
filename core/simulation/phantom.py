"""Thigh-like CT + PET phantoms with tumours of a known volume. Synthetic, and labelled so wherever they are shown.

The look follows soft-tissue sarcoma scans (Vallieres 2015, doi:10.7937/K9/TCIA.2015.7GO2GSKS): voxel sizes, crop,
tissue values, noise and blur were measured there; no voxel of a patient is in a phantom.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from core.errors import InputError
from core.types import Grid, LabelMap, Volume

Array = NDArray[np.float32]

#: tissue -> (CT in HU, uptake in SUV), medians as measured on the sarcoma scans.
TISSUES: Mapping[str, tuple[float, float]] = {
    "air": (-1000, 0.0),
    "table": (-150, 0.0),
    "skin": (10, 0.5),
    "fat": (-103, 0.35),
    "muscle": (57, 0.65),
    "cortical": (1250, 0.35),
    "marrow": (-40, 0.6),
    "vessel": (42, 1.4),
}
PET_FWHM_MM = 6.5
_REACH_MM = 150.0


@dataclass(frozen=True)
class LesionSpec:
    """One tumour as asked for.

    Args:
        label: lesion number, 1..255; identity over time.
        volume_mm3: what is asked; 0 = gone.
        centre_mm: RAS+ mm from the middle of the scan.
        suv: mean uptake of the viable part (blur lowers what the scan shows).
        hu: mean attenuation.
        necrosis: radius of the core without uptake as a share of the tumour's radius, 0..0.8.
        elongation: head-to-foot axis over the transverse axis.
        shape_seed: draws the lobes; the same seed keeps the shape while the volume changes.
    """

    label: int
    volume_mm3: float
    centre_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    suv: float = 6.0
    hu: float = 36.0
    necrosis: float = 0.0
    elongation: float = 1.25
    shape_seed: int = 0


@dataclass(frozen=True)
class PhantomSpec:
    """What is in the scan: body, tumours, pose and scanner.

    Args:
        anatomy: seed of the body (the same over a patient's timepoints).
        lesions: the tumours; labels must differ.
        leg_mm: where the thigh's axis passes the scan's middle, RAS+ mm (right, anterior).
        shape, spacing_mm: CT grid; axes run left, posterior, superior as in the sarcoma scans.
        pet_spacing_mm: PET voxel in plane; its slices are the CT's.
        rotation_deg, shift_mm: the patient's pose (Euler x, y, z about the scan's middle, then shift), RAS+.
        ct_noise_hu: standard deviation of the CT noise.
        pet_noise: standard deviation of the PET noise at SUV 1 (it grows with the root of the uptake).
    """

    anatomy: int
    lesions: tuple[LesionSpec, ...] = ()
    leg_mm: tuple[float, float] = (18.0, 6.0)
    shape: tuple[int, int, int] = (152, 152, 50)
    spacing_mm: tuple[float, float, float] = (0.9766, 0.9766, 3.27)
    pet_spacing_mm: float = 5.47
    rotation_deg: tuple[float, float, float] = (0.0, 0.0, 0.0)
    shift_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    ct_noise_hu: float = 14.0
    pet_noise: float = 0.10

    def __post_init__(self) -> None:
        labels = [lesion.label for lesion in self.lesions]
        if len(set(labels)) != len(labels) or not all(1 <= label <= 255 for label in labels):
            raise InputError(f"Expected lesions with different labels in 1..255, got {labels}.")
        if any(lesion.volume_mm3 < 0 for lesion in self.lesions):
            raise InputError("Expected lesion volumes of 0 mm3 or more, got a negative one.")


@dataclass(frozen=True, eq=False)
class SimulatedTimepoint:
    """A simulated CT + PET pair with what is true about it.

    Args:
        ct, pet: the scans, each on its own grid; they cover the same space.
        truth: lesion labels on the CT grid.
        volumes_mm3: label -> volume of `truth` by voxel counting; 0.0 for a lesion that is gone.
        motion: 4x4, RAS+ mm: takes a point of the body at rest (or in the baseline scan) to this scan.
        metadata: always {"simulated": True, ...}.
    """

    ct: Volume
    pet: Volume
    truth: LabelMap
    volumes_mm3: Mapping[int, float]
    motion: NDArray[np.float64]
    metadata: Mapping[str, Any] = field(default_factory=lambda: {"simulated": True})


def phantom(spec: PhantomSpec, seed: int) -> SimulatedTimepoint:
    """Render `spec`; `seed` draws the noise alone, so that two seeds are two scans of the same moment.

    Every lesion has its asked volume within 1 % (one lesion by itself: within half a voxel, about 2 mm3). The truth
    is a voxel count; as a measure of the smooth shape behind it, its error is about 0.3 * sqrt(surface voxels) voxels:
    0.3 % at 20 mL. Two lesions that overlap share the voxels out to whichever is relatively nearer, and touch.

    Args:
        spec: what to draw; no lesion is a scan with an empty truth.
        seed: noise realisation, 0 or more.

    Raises:
        InputError: a lesion has no room: bone, air and the scan's border leave too few voxels for its volume.
    """
    grid = ct_grid(spec.shape, spec.spacing_mm)
    motion = rigid(spec.rotation_deg, spec.shift_mm)
    points = grid_points(grid, np.linalg.inv(motion))
    hu, suv, room = _body(points, spec)
    labels, depth = _place(points, spec.lesions, room, grid.voxel_volume_mm3)
    _paint(hu, suv, points, labels, depth, spec)
    rng = np.random.default_rng([seed, spec.anatomy, 7])
    hu = ndimage.gaussian_filter(hu, (0.6, 0.6, 0.25))
    ct = np.clip(np.rint(hu + ct_noise(grid.shape, spec.ct_noise_hu, rng)), -1000, 3071)
    pet_grid = pet_grid_for(grid, spec.pet_spacing_mm)
    pet = pet_noisy(scan_pet(suv, grid, pet_grid), spec.pet_noise, rng)
    truth = LabelMap(labels, grid)
    volumes = {lesion.label: count_mm3(truth, lesion.label) for lesion in spec.lesions}
    return SimulatedTimepoint(
        Volume(ct.astype(np.float32), grid, "CT"), Volume(pet, pet_grid, "PET"), truth, volumes, motion
    )


def count_mm3(mask: LabelMap, label: int) -> float:
    """Volume of one label by voxel counting, cubic millimetres; 0.0 when absent."""
    return float(np.count_nonzero(mask.array == label)) * mask.grid.voxel_volume_mm3


def ct_grid(shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]) -> Grid:
    """A grid whose axes run left, posterior, superior, with its middle at the world's origin."""
    affine = np.diag([-spacing_mm[0], -spacing_mm[1], spacing_mm[2], 1.0])
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Grid(shape, affine)


def pet_grid_for(ct: Grid, spacing_mm: float) -> Grid:
    """The coarser grid of the PET: the CT's slices, middle and axes, wide enough to cover the CT."""
    spacing = np.array([spacing_mm, spacing_mm, ct.spacing_mm[2]])
    shape = np.ceil(np.array(ct.shape) * ct.spacing_mm / spacing - 1e-9).astype(int)
    affine = ct.affine.copy()
    affine[:3, :3] *= spacing / ct.spacing_mm
    middle = ct.to_mm((np.array([ct.shape]) - 1) / 2)[0]
    affine[:3, 3] = middle - affine[:3, :3] @ ((shape - 1) / 2)
    return Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine)


def rigid(
    rotation_deg: Sequence[float], shift_mm: Sequence[float], about_mm: Sequence[float] = (0.0, 0.0, 0.0)
) -> NDArray[np.float64]:
    """4x4 matrix: turn about a point by Euler angles x, y, z (fixed axes), then shift; RAS+ mm."""
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", rotation_deg, degrees=True).as_matrix()
    matrix[:3, 3] = np.asarray(about_mm) - matrix[:3, :3] @ np.asarray(about_mm) + np.asarray(shift_mm)
    return matrix


def ct_noise(shape: tuple[int, int, int], sd_hu: float, rng: np.random.Generator) -> Array:
    """CT noise (I, J, K): zero mean, the given deviation, correlated in plane as after a soft kernel."""
    noise = ndimage.gaussian_filter(rng.standard_normal(shape, dtype=np.float32), (0.7, 0.55, 0.0))
    return np.asarray(noise * (sd_hu / noise.std()), dtype=np.float32)


def pet_noisy(pet: Array, level: float, rng: np.random.Generator) -> Array:
    """PET with noise of deviation `level` * sqrt(SUV) (plus a floor), correlated over about a voxel; never below 0."""
    noise = ndimage.gaussian_filter(rng.standard_normal(pet.shape, dtype=np.float32), 0.6)
    noise *= level / noise.std()
    return np.asarray(np.maximum(pet + noise * np.sqrt(pet + 0.02), 0), dtype=np.float32)


def scan_pet(suv: Array, grid: Grid, pet: Grid, fwhm_mm: float = PET_FWHM_MM) -> Array:
    """Blur an uptake map on the CT grid by the scanner's resolution and sample it on the PET grid."""
    sigma = fwhm_mm / 2.355 / np.array(grid.spacing_mm)
    blurred = ndimage.gaussian_filter(suv, sigma, truncate=3.0)
    to_ct = np.linalg.inv(grid.affine) @ pet.affine
    out = ndimage.affine_transform(blurred, to_ct[:3, :3], to_ct[:3, 3], pet.shape, order=1, mode="nearest")
    return np.asarray(out, dtype=np.float32)


def grid_points(grid: Grid, transform: NDArray[Any]) -> Array:
    """(3, I, J, K) millimetres of every voxel after `transform`."""
    matrix = (transform @ grid.affine).astype(np.float32)
    i, j, k = np.ogrid[: grid.shape[0], : grid.shape[1], : grid.shape[2]]
    return np.stack([(r[0] * i + (r[1] * j + r[3]) + r[2] * k).astype(np.float32) for r in matrix[:3]])


def _field(rng: np.random.Generator, points: Array, scale_mm: tuple[float, float, float]) -> Array:
    """A smooth random field of unit deviation, fixed to the body (points in mm), with features of `scale_mm`."""
    step = np.maximum(np.asarray(scale_mm, dtype=np.float32) / 2, 1.5)
    lattice = rng.standard_normal(tuple((2 * _REACH_MM / step).astype(int) + 2), dtype=np.float32)
    lattice = ndimage.gaussian_filter(lattice, 1.0, mode="wrap")
    lattice /= lattice.std()
    # Features of many voxels are looked up at every few voxels only, and interpolated: the look-up is what costs.
    stride = max(1, int(min(scale_mm[:2]) / 5))
    ends = [np.unique(np.append(np.arange(0, n, stride), n - 1)) for n in points.shape[1:3]]
    index = (points[:, ends[0]][:, :, ends[1]] + _REACH_MM) / step[:, None, None, None]
    coarse = ndimage.map_coordinates(lattice, index, order=1, mode="grid-wrap", output=np.float32)
    if stride == 1:
        return np.asarray(coarse)
    across = [_linear(knots, n) for knots, n in zip(ends, points.shape[1:3], strict=True)]
    halfway = np.tensordot(across[0], coarse, (1, 0))
    return np.ascontiguousarray(np.tensordot(across[1], halfway, (1, 1)).swapaxes(0, 1))


def _linear(knots: NDArray[np.int_], n: int) -> Array:
    """(n, knots) matrix of linear interpolation from `knots` to 0..n-1."""
    eye = np.eye(len(knots))
    return np.stack([np.interp(np.arange(n), knots, row) for row in eye], axis=1).astype(np.float32)


def _body(points: Array, spec: PhantomSpec) -> tuple[Array, Array, NDArray[np.bool_]]:
    """CT and uptake of the healthy body at `points`, and where a tumour may lie (inside the skin, outside bone)."""
    rng = np.random.default_rng([spec.anatomy, 1])
    side = 1.0 if spec.leg_mm[0] >= 0 else -1.0
    radius, midline = rng.uniform(72, 84), spec.leg_mm[0] + side * rng.uniform(74, 82)
    # The other leg is this one mirrored at the midline.
    x = np.where((points[0] - midline) * side > 0, 2 * midline - points[0], points[0])
    z = points[2]
    tilt = rng.uniform(-0.06, 0.06, 2).tolist()
    u, v = x - spec.leg_mm[0] - tilt[0] * z, points[1] - spec.leg_mm[1] - tilt[1] * z
    angle = np.arctan2(v, u)
    phase = rng.uniform(0, 2 * np.pi, 3).tolist()
    outline = 1 + 0.05 * np.cos(2 * (angle - phase[0])) + 0.025 * np.cos(3 * (angle - phase[1]))
    depth = radius * outline * (1 + rng.uniform(0.0004, 0.0012) * z) - np.hypot(u, v)
    fat = rng.uniform(8, 16) * (1 + 0.45 * np.cos(angle - phase[2])) + 1.5 * _field(rng, points, (25, 25, 50))

    hu, suv = _muscles(rng, points, u, v, z, radius)
    under = depth < fat + 2
    _fill(hu, suv, under, "fat", 7 * _field(rng, points, (6, 6, 12)))
    _fill(hu, suv, under & (np.abs(_field(rng, points, (14, 14, 30))) < 0.03), "skin")
    _fill(hu, suv, depth < 2, "skin")
    # The femur lies across the thigh's axis from the scan's middle, where the tumour is.
    bone = _bone_and_vessels(rng, hu, suv, u, v, z, float(np.arctan2(spec.leg_mm[1], spec.leg_mm[0])))
    _fill(hu, suv, depth < 0, "air")
    table = points[1] + radius + rng.uniform(6, 12) - spec.leg_mm[1] - 6e-4 * (points[0] - midline) ** 2
    _fill(hu, suv, (np.abs(table) < 1.5) & (depth < 0), "table")
    return hu, suv, (depth > 4) & (bone > 1.5)


def _fill(hu: Array, suv: Array, where: NDArray[np.bool_], tissue: str, texture: Array | None = None) -> None:
    hu[where], suv[where] = TISSUES[tissue]
    if texture is not None:
        hu[where] += texture[where]


def _muscles(
    rng: np.random.Generator, points: Array, u: Array, v: Array, z: Array, radius: float
) -> tuple[Array, Array]:
    """Muscle bellies (cells around slanting lines) parted by thin fat septa, with fatty streaks along the fibres."""
    wobble = [4.0 * _field(rng, points, (30, 30, 60)) for _ in range(2)]
    a, b = u + wobble[0], v + wobble[1]
    nearest = np.full(u.shape, np.inf, np.float32)
    second = nearest.copy()
    tone = np.zeros(u.shape, np.float32)
    for ring, count in ((0.28, 4), (0.62, 8)):
        for n in range(count):
            turn = 2 * np.pi * (n + rng.uniform(-0.25, 0.25)) / count
            slope = rng.uniform(-0.12, 0.12, 2).tolist()
            reach = radius * ring * rng.uniform(0.85, 1.15)
            away = (a - reach * math.cos(turn) - slope[0] * z) ** 2 + (b - reach * math.sin(turn) - slope[1] * z) ** 2
            closer = away < nearest
            second = np.where(closer, nearest, np.minimum(second, away))
            tone[closer] = rng.normal(0, 3)
            nearest = np.minimum(nearest, away)
    streaks = _field(rng, points, (4, 4, 24))
    hu = TISSUES["muscle"][0] + tone + 5 * streaks - 55 * np.clip(streaks - 2.0, 0, 1.5)
    suv = TISSUES["muscle"][1] * (1 + 0.12 * _field(rng, points, (12, 12, 20)))
    width = 1.2 + 1.6 * np.clip(_field(rng, points, (22, 22, 40)), -0.8, 3)
    septum = np.sqrt(second) - np.sqrt(nearest) < width
    _fill(hu, suv, septum, "fat")
    return hu.astype(np.float32), suv.astype(np.float32)


def _bone_and_vessels(
    rng: np.random.Generator, hu: Array, suv: Array, u: Array, v: Array, z: Array, turn: float
) -> Array:
    """Draw the femur and the neurovascular bundle; returns the distance to the bone's surface in mm (inside < 0)."""
    slope = rng.uniform(-0.05, 0.05, 2).tolist()
    reach, outer = rng.uniform(8, 16), rng.uniform(12.5, 15)
    shaft = np.hypot(u - reach * math.cos(turn) - slope[0] * z, v - reach * math.sin(turn) - slope[1] * z)
    side = turn + rng.choice([-1, 1]).item() * rng.uniform(1.0, 1.7)
    x, y = 38 * math.cos(side) + 0.1 * z, 38 * math.sin(side) - 0.06 * z
    _fill(hu, suv, np.hypot(u - x, v - y) < 11, "fat")
    _fill(hu, suv, np.hypot(u - x - 3.5, v - y) < 3.8, "vessel")
    _fill(hu, suv, np.hypot(u - x + 4.5, v - y - 1) < 4.8, "vessel")
    _fill(hu, suv, shaft < outer, "cortical")
    _fill(hu, suv, shaft < outer - rng.uniform(5, 7), "marrow")
    return np.asarray(shaft - outer)


def _reach(points: Array, lesion: LesionSpec) -> Array:
    """Distance from the lesion's centre in units of its lobulated, elongated shape: the tumour is {reach < level}."""
    rng = np.random.default_rng([lesion.shape_seed, lesion.label, 3])
    away = [points[n] - np.float32(lesion.centre_mm[n]) for n in range(3)]
    stretch = (1.0, rng.uniform(0.75, 1.25), lesion.elongation)
    away = [a / s for a, s in zip(away, stretch, strict=True)]
    radius = np.sqrt(away[0] ** 2 + away[1] ** 2 + away[2] ** 2) + np.float32(1e-3)
    bulge = np.ones_like(radius)
    for height in rng.uniform(-0.25, 0.4, 9):
        toward = Rotation.random(rng=rng).apply([0, 0, 1]).astype(np.float32)
        cosine = (away[0] * toward[0] + away[1] * toward[1] + away[2] * toward[2]) / radius
        bulge += np.float32(height) * np.exp(6 * (cosine - 1))
    return np.asarray(radius / bulge)


def _place(
    points: Array, lesions: Sequence[LesionSpec], room: NDArray[np.bool_], voxel_mm3: float
) -> tuple[NDArray[np.uint8], Array]:
    """Choose each lesion's level so that its voxels add up to the asked volume; where two overlap the nearer wins.

    Returns the labels and the relative depth: 0 at a lesion's centre, 1 at its surface, > 1 outside.
    """
    labels, depth = np.zeros(room.shape, np.uint8), np.full(room.shape, np.inf, np.float32)
    present = [lesion for lesion in lesions if lesion.volume_mm3 > 0]
    if not present:
        return labels, depth
    asked = np.array([max(1, round(lesion.volume_mm3 / voxel_mm3)) for lesion in present])
    if asked.sum() > np.count_nonzero(room):
        raise InputError("The lesions are larger than the body part in the scan; ask for smaller ones.")
    reach = [np.where(room, _reach(points, lesion), np.inf) for lesion in present]
    level = np.array([np.partition(r.ravel(), n)[n] for r, n in zip(reach, asked, strict=True)])
    for _ in range(30):
        relative = np.stack([r / np.float32(s) for r, s in zip(reach, level, strict=True)])
        owner = relative.argmin(0)
        depth = relative.min(0)
        counts = np.bincount(owner[depth < 1], minlength=len(present))
        if (np.abs(counts - asked) <= np.maximum(0.5, 0.004 * asked)).all():
            break
        level *= (asked / np.maximum(counts, 1)) ** (1 / 3)
    else:
        raise InputError("The lesions leave each other no room; move their centres apart or ask for smaller ones.")
    numbers = np.array([lesion.label for lesion in present], np.uint8)
    labels[depth < 1] = numbers[owner[depth < 1]]
    return labels, depth


def _paint(hu: Array, suv: Array, points: Array, labels: NDArray[np.uint8], depth: Array, spec: PhantomSpec) -> None:
    """Draw the tumours into CT and uptake: uneven tissue, a necrotic core where asked, a partial rim of fat."""
    if not labels.any():
        return
    rng = np.random.default_rng([spec.anatomy, 5])
    patchy, fine = _field(rng, points, (16, 16, 16)), _field(rng, points, (8, 8, 8))
    rim = (depth >= 1) & (depth < 1.05) & (patchy > 0.4) & (hu > -50) & (hu < 200)
    _fill(hu, suv, rim, "fat")
    for lesion in spec.lesions:
        inside = labels == lesion.label
        if not inside.any():
            continue
        viable = np.ones(int(inside.sum()), np.float32)
        if lesion.necrosis > 0:
            edge = lesion.necrosis * (1 + 0.25 * patchy[inside])
            viable = 1 / (1 + np.exp(-(depth[inside] - edge) / 0.06))
        hu[inside] = lesion.hu + 6 * patchy[inside] + 5 * fine[inside] - 16 * (1 - viable)
        uneven = np.clip(1 + 0.16 * patchy[inside] + 0.12 * fine[inside], 0.4, 1.8)
        suv[inside] = lesion.suv * (0.18 + 0.82 * viable) * uneven
