"""Simulated follow-ups of one scan that has a mask: what becomes of lesions, patient and scan is known.

A lesion of the mask grows or shrinks by the warp of the tissue around it (`core.simulation.warping`), goes, or breaks
in two; others are put into soft tissue, where they may grow into one with it. The patient moves and turns, the scan has
other slices, other noise and another field. The tissue is that of the one scan: whatever is shown of it must say
"simulated follow-up".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from core.lesions.matching import components
from core.lesions.metrics import bounding_box
from core.simulation.painting import Mask, ball, body, healthy_level, lesion_level, painted, without
from core.simulation.phantom import Array, count_mm3, ct_noise, grid_points, pet_noisy, rigid
from core.simulation.warping import RadialWarp, grow, nearest_label, sample, smooth_distance, through
from core.types import Grid, LabelMap, Volume

SIMULATED = "simulated follow-up"
#: A field needs so many slices.
_FEWEST_SLICES = 4


@dataclass(frozen=True)
class PlantedLesion:
    """A lesion put into soft tissue: a ball with the values of the patient's own tumour.

    Args:
        label: its number, 1..255, none of the mask's.
        centre_mm: RAS+ mm of the original scan. radius_mm: > 0.
    """

    label: int
    centre_mm: tuple[float, float, float]
    radius_mm: float


@dataclass(frozen=True)
class Visit:
    """What is to be on a visit, in terms of the original scan.

    Args:
        growth: label -> volume factor of the mask's lesions (absent = 1); 0: gone, painted over.
        planted: lesions that the original scan has not.
        split_mm: label -> width of the gap of healthy tissue through its middle, across its longest axis.
        rotation_deg, shift_mm: the patient's motion, Euler x, y, z about the scan's middle, then shift; RAS+.
        follows: share of the shift by which the field goes with the patient, 0..1.
        slice_mm: of the reference scan, the others' change alike; None: as they are.
        noise_hu, pet_noise, mr_noise: standard deviation of what is added to the noise there is: HU on CT, SUV at SUV 1
            on PET, share of the whole scan's deviation on MR; 0: none.
        cut_mm: taken off the field at its lower and its upper end along k, in the original scan's place.
        seed: draws noise and texture.
    """

    growth: Mapping[int, float] = field(default_factory=dict)
    planted: tuple[PlantedLesion, ...] = ()
    split_mm: Mapping[int, float] = field(default_factory=dict)
    rotation_deg: tuple[float, float, float] = (0.0, 0.0, 0.0)
    shift_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    follows: float = 0.5
    slice_mm: float | None = None
    noise_hu: float = 6.0
    pet_noise: float = 0.05
    mr_noise: float = 0.03
    cut_mm: tuple[float, float] = (0.0, 0.0)
    seed: int = 0


@dataclass(frozen=True, eq=False)
class SimulatedVisit:
    """A simulated visit with what is true about it.

    Args:
        volumes: the scans, in the order of the originals, each on its own grid.
        truth: voxels with the numbers of the true lesions, on the first scan's grid; touching lesions keep theirs.
        drawn: the same voxels as somebody would draw them: pieces numbered by size, merged lesions in one.
        lesions_of: number in `drawn` -> the true lesions that the piece holds, the larger part first.
        volumes_mm3: true lesion -> its known volume (of the whole lesion, in view or not), counted on the original
            scan's voxels once it has grown there; 0.0: gone.
        in_view: true lesion that is not gone -> share of it that lies in the field, 0..1.
        motion: 4x4, RAS+ mm of the original scan -> this one's.
        what_happened: in words.
        metadata: always {"simulated": True, "method": "simulated follow-up", …}.
    """

    volumes: tuple[Volume, ...]
    truth: LabelMap
    drawn: LabelMap
    lesions_of: Mapping[int, tuple[int, ...]]
    volumes_mm3: Mapping[int, float]
    in_view: Mapping[int, float]
    motion: NDArray[np.float64]
    what_happened: tuple[str, ...]
    metadata: Mapping[str, Any]


@dataclass
class _Place:
    """Where what a visit shows lay in the original scans; the last grid's answer is kept, since scans share grids."""

    warps: Sequence[RadialWarp]
    unmove: NDArray[Any]
    _last: tuple[Grid, Grid, Mask, Array] | None = None

    def of(self, target: Grid, original: Grid) -> tuple[Mask, Array]:
        """Of the voxels of a new grid: which lay in the original field (I, J, K), and where, mm (3, I, J, K)."""
        if self._last is None or not (self._last[0].matches(target) and self._last[1].matches(original)):
            points = grid_points(target, self.unmove)
            self._last = target, original, _inside(points, original), through(self.warps, points)
        return self._last[2], self._last[3]


def simulated_visit(volumes: Sequence[Volume], truth: LabelMap, visit: Visit) -> SimulatedVisit:
    """What a visit would show.

    Args:
        volumes: the original scans of one timepoint, the reference scan first; at least one.
        truth: its lesions, on the reference scan's grid; perhaps none.

    Returns:
        The scans and what is true of them. A lesion's known volume is within 1 % of what the mask holds times the asked
        factor; within 3 % where lesions lie in each other's way. Where the motion brings in what the original scans do
        not show they hold their least value.

    Raises:
        InputError: the mask is on another grid; a lesion that is not there, or is there already; a factor out of range
            or not to be met (`core.simulation.warping.grow`); a field of no slices.
    """
    if not volumes or not truth.grid.matches(volumes[0].grid):
        raise InputError("Expected scans and a mask on the first one's grid, got others. Resample the mask first.")
    _check(truth, visit)
    rng = np.random.default_rng([visit.seed, 23])
    scans, labels, gone = _at_rest(volumes, truth, visit, rng)
    grid, factors = truth.grid, {n: float(visit.growth.get(n, 1.0)) for n in truth.labels}
    near = _around(LabelMap(labels, grid), max((1.0, *factors.values())))
    own = LabelMap(np.where(np.isin(near.array, truth.labels), near.array, 0).astype(np.uint8), near.grid)
    warps: list[RadialWarp] = []
    signed = {n: smooth_distance(near.array == n, near.grid) for n in near.labels}
    still = near.array
    if any(f != 1 for f in factors.values()):
        lesions = {n: signed[n] for n in factors}
        warps, at_rest, still = grow(own, factors, np.eye(4), lesions)
        still = nearest_label(signed, at_rest, near.grid, exact=True) if visit.planted else still
    motion = rigid(visit.rotation_deg, visit.shift_mm, _middle(grid).tolist())
    target = field_of(grid, visit, grid)
    place = _Place(warps, np.linalg.inv(motion))
    inside, points = place.of(target, grid)
    shown = np.where(inside, nearest_label(signed, points, near.grid, exact=True), 0).astype(np.uint8)
    remnant = np.isin(shown, gone)
    shown[remnant] = 0
    drawn, lesions_of = drawn_pieces(LabelMap(shown, target))
    whole = LabelMap(still, near.grid)
    known = {n: 0.0 if n in gone else count_mm3(whole, n) for n in (*factors, *(one.label for one in visit.planted))}
    places = {n: near.grid.to_mm(np.argwhere(still == n)) for n in signed if n not in gone}
    in_view = {n: _share_in(target, points_mm, motion) for n, points_mm in places.items()}
    return SimulatedVisit(
        tuple(_seen(scan, visit, place, grid, (remnant, target), rng) for scan in scans),
        LabelMap(shown, target),
        drawn,
        lesions_of,
        known,
        in_view,
        motion,
        words(visit, grid, in_view),
        {"simulated": True, "method": SIMULATED, "seed": visit.seed},
    )


def _check(truth: LabelMap, visit: Visit) -> None:
    unknown = sorted({*visit.growth, *visit.split_mm} - set(truth.labels))
    if unknown:
        raise InputError(f"Expected lesions that are in the mask ({list(truth.labels)}), got {unknown}.")
    planted = [one.label for one in visit.planted]
    taken = [n for n in planted if n in truth.labels or not 1 <= n <= 255 or planted.count(n) > 1]
    if taken:
        raise InputError(f"Expected planted lesions with numbers of their own in 1..255, got {taken}.")
    if planted and not truth.labels:
        raise InputError("A planted lesion takes its tissue from the patient's own tumour, and the mask holds none.")


def _at_rest(
    volumes: Sequence[Volume], truth: LabelMap, visit: Visit, rng: np.random.Generator
) -> tuple[list[Volume], NDArray[np.uint8], list[int]]:
    """Scans and labels with what is painted in before anything grows or moves; the lesions that are to go."""
    scans, labels, grid = list(volumes), truth.array.copy(), truth.grid
    for label, width in visit.split_mm.items():
        lesion = labels == label
        gap = lesion & _middle_slab(lesion, grid, width)
        levels = [healthy_level(scan, lesion, grid) for scan in scans]
        scans = [painted(scan, gap, grid, *level, rng) for scan, level in zip(scans, levels, strict=True)]
        labels[gap] = 0
    for one in visit.planted:
        where = ball(grid, one.centre_mm, one.radius_mm) & (labels == 0) & body(volumes[0])
        if not where.any():
            raise InputError(f"Expected a planted lesion within the body, got one at {one.centre_mm}.")
        levels = [lesion_level(scan, truth.array > 0, truth.grid) for scan in volumes]
        scans = [painted(scan, where, grid, *level, rng) for scan, level in zip(scans, levels, strict=True)]
        labels[where] = one.label
    return scans, labels, [n for n, factor in visit.growth.items() if factor == 0]


def _around(labels: LabelMap, factor: float) -> LabelMap:
    """The labels without most of what is empty around them, but with room for them to grow by a factor in volume."""
    box = bounding_box(labels.array)
    if box is None:
        return labels
    grid, cut = labels.grid, []
    for part, n, mm in zip(box, labels.array.shape, grid.spacing_mm, strict=True):
        room = int(np.ceil((factor ** (1 / 3) - 1) * (part.stop - part.start) + 12 / mm))
        cut.append(slice(max(0, part.start - room), min(n, part.stop + room)))
    affine = grid.affine.copy()
    affine[:3, 3] = grid.to_mm(np.array([[part.start for part in cut]]))[0]
    array = np.ascontiguousarray(labels.array[tuple(cut)])
    return LabelMap(array, Grid((array.shape[0], array.shape[1], array.shape[2]), affine))


def _middle_slab(lesion: Mask, grid: Grid, width_mm: float) -> Mask:
    """(I, J, K): within half the width of a plane through a lesion's middle, across its longest axis.

    It slants by 20 degrees: a face that lay along the slices would be in one or in the next with all its area, and the
    volume of the pieces would not be known.
    """
    inside = grid.to_mm(np.argwhere(lesion))
    centre = inside.mean(axis=0)
    axes = np.linalg.eigh(np.cov((inside - centre).T))[1]
    axis = np.cos(np.radians(20)) * axes[:, 2] + np.sin(np.radians(20)) * axes[:, 1]
    points = grid_points(grid, np.eye(4))
    along = np.einsum("a,aijk->ijk", axis.astype(np.float32), points) - float(axis @ centre)
    return np.asarray(np.abs(along) < width_mm / 2)


def field_of(grid: Grid, visit: Visit, reference: Grid) -> Grid:
    """A scan's grid on that visit: other slices, ends cut off, moved with the patient as far as the field follows.

    Args:
        grid: the scan's own. reference: the reference scan's, which the slices are told of, and whose ends are cut.
    """
    axes = grid.affine[:3, :3] / grid.spacing_mm
    ratio = 1.0 if visit.slice_mm is None else visit.slice_mm / reference.spacing_mm[2]
    spacing = np.array(grid.spacing_mm) * [1.0, 1.0, ratio]
    turned = float(axes[:, 2] @ reference.affine[:3, 2]) < 0
    lower, upper = visit.cut_mm[::-1] if turned else visit.cut_mm
    slices = int(np.floor((grid.shape[2] * grid.spacing_mm[2] - lower - upper) / spacing[2] + 1e-6))
    if slices < _FEWEST_SLICES:
        raise InputError(
            f"Expected a field of at least {_FEWEST_SLICES} slices, got {slices} of {spacing[2]:g} mm. "
            "Cut less off, or ask for thinner slices."
        )
    affine = np.eye(4)
    affine[:3, :3] = axes * spacing
    corner = grid.to_mm(np.array([[-0.5, -0.5, -0.5]]))[0] + axes @ [0.0, 0.0, lower]
    affine[:3, 3] = corner + visit.follows * np.array(visit.shift_mm) + affine[:3, :3] @ [0.5, 0.5, 0.5]
    return Grid((grid.shape[0], grid.shape[1], slices), affine)


def _seen(
    scan: Volume,
    visit: Visit,
    place: _Place,
    reference: Grid,
    gone: tuple[Mask, Grid],
    rng: np.random.Generator,
) -> Volume:
    """The scan of that visit: thick slices average what they hold; what is gone is painted over, and noise added."""
    target = field_of(scan.grid, visit, reference)
    parts = max(1, round(target.spacing_mm[2] / scan.grid.spacing_mm[2]))
    inside, points = place.of(_thinner(target, parts), scan.grid)
    values = np.where(inside, sample(scan, points), scan.array.min())
    values = values.reshape(*target.shape, parts).mean(axis=3)
    found = without(Volume(values.astype(np.float32), target, scan.modality, scan.sequence), *gone, rng).array
    if scan.modality == "CT":
        noise = ct_noise(target.shape, visit.noise_hu, rng) if visit.noise_hu > 0 else 0.0
        found = np.clip(np.rint(found + noise), -1024, 3071)
    elif scan.modality == "PET":
        found = np.maximum(found, 0)
        found = pet_noisy(found, visit.pet_noise, rng) if visit.pet_noise > 0 else found
    else:
        deviation = visit.mr_noise * float(scan.array.std())
        noise = ct_noise(target.shape, deviation, rng) if deviation > 0 else 0.0
        found = np.maximum(found + noise, float(scan.array.min()))
    return Volume(found.astype(np.float32), target, scan.modality, scan.sequence)


def _thinner(grid: Grid, parts: int) -> Grid:
    """The same space with each slice cut into so many."""
    affine = grid.affine.copy()
    affine[:3, 2] /= parts
    affine[:3, 3] -= grid.affine[:3, 2] * (0.5 - 0.5 / parts)
    return Grid((grid.shape[0], grid.shape[1], grid.shape[2] * parts), affine)


def _middle(grid: Grid) -> NDArray[np.float64]:
    return np.asarray(grid.to_mm((np.array([grid.shape]) - 1) / 2)[0])


def _inside(points: Array, grid: Grid) -> Mask:
    """(I, J, K): which of the points (3, I, J, K), mm, lie in the grid's field."""
    inverse = np.linalg.inv(grid.affine).astype(np.float32)
    out = np.ones(points.shape[1:], dtype=bool)
    for row, n in zip(inverse[:3], grid.shape, strict=True):
        index = np.einsum("a,aijk->ijk", row[:3], points) + row[3]
        out &= (index >= -0.5 - 1e-3) & (index <= n - 0.5 + 1e-3)
    return out


def _share_in(target: Grid, points_mm: NDArray[np.float64], motion: NDArray[np.float64]) -> float:
    """Share of the points of the original scan (n, 3), mm, that lie in the new field once they have moved."""
    index = target.to_index(points_mm @ motion[:3, :3].T + motion[:3, 3])
    inside = ((index >= -0.5) & (index <= np.array(target.shape) - 0.5)).all(axis=1)
    return float(np.mean(inside)) if len(points_mm) else 0.0


def drawn_pieces(truth: LabelMap) -> tuple[LabelMap, dict[int, tuple[int, ...]]]:
    """True lesions as somebody would draw them: their connected pieces by size, and the true lesions in each, the
    larger part first. Pieces below 30 mm3 are left out, as everywhere."""
    pieces = components(truth.array > 0, truth.grid)
    lesions_of = {}
    for piece in LabelMap(pieces, truth.grid).labels:
        counts = np.bincount(truth.array[pieces == piece], minlength=256)
        lesions_of[piece] = tuple(int(n) for n in np.argsort(-counts, kind="stable") if counts[n] and n)
    return LabelMap(pieces, truth.grid), lesions_of


def words(visit: Visit, grid: Grid, in_view: Mapping[int, float]) -> tuple[str, ...]:
    """What happened on a visit, in sentences without a full stop; the first says that it is simulated."""
    said = [SIMULATED]
    for label, factor in visit.growth.items():
        percent = 100 * (factor - 1)
        said.append(f"L{label} is gone" if factor == 0 else f"L{label} changed by {percent:+.0f} % in volume")
    said += [f"L{n} broke in two, {width:g} mm apart" for n, width in visit.split_mm.items()]
    said += [f"L{one.label} is a lesion put in, of {one.radius_mm:g} mm radius" for one in visit.planted]
    moved = float(np.linalg.norm(visit.shift_mm))
    turn = rigid(visit.rotation_deg, (0.0, 0.0, 0.0))
    degrees = float(np.degrees(np.arccos(np.clip((np.trace(turn[:3, :3]) - 1) / 2, -1, 1))))
    if moved or degrees > 0.01:
        said.append(f"the patient moved by {moved:.0f} mm and turned by {degrees:.0f}°")
    if visit.slice_mm is not None:
        said.append(f"slices of {visit.slice_mm:g} mm instead of {grid.spacing_mm[2]:g} mm")
    if any(visit.cut_mm):
        said.append(f"the scan is {visit.cut_mm[0]:g} mm shorter at its lower end, {visit.cut_mm[1]:g} mm at its upper")
    said += [f"L{n} lies outside the scan" for n, share in in_view.items() if share == 0]
    said += [f"{100 * share:.0f} % of L{n} lie in the scan" for n, share in in_view.items() if 0 < share < 0.999]
    return tuple(said)
