"""What may become of a patient from one visit to the next, as visits to simulate; the first visit stands still."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from core.errors import InputError
from core.simulation.followups import PlantedLesion, Visit
from core.simulation.painting import room_for
from core.types import LabelMap, Volume

#: Of the lesions that are put in, mm; and the gap to the tumour of one that stays apart, and of one that will merge.
RADIUS_MM, APART_MM, NEAR_MM = 8.0, 14.0, 6.0
#: How a second visit differs that nothing is said of: a patient is never put back in the same place.
_SHIFT_MM, _TURN_DEG = 10.0, 4.0


@dataclass(frozen=True)
class Situation:
    """Visits in their order, the first as the original scan lies.

    Args:
        visits: two or more. why_not: where there is no room for it in this scan, in words; then there are none.
    """

    visits: tuple[Visit, ...] = ()
    why_not: str = ""


def situations(volume: Volume, truth: LabelMap, seed: int = 0) -> Mapping[str, Situation]:
    """Every situation of one scan with one tumour, by name.

    Args:
        volume, truth: the reference scan and its mask; the largest lesion is the tumour, and other lesions stay.
        seed: draws the patients' motions and the noise.

    Raises:
        InputError: the mask is empty.
    """
    if not truth.labels:
        raise InputError("Expected a mask that holds a tumour, got an empty one.")
    tumour = int(np.argmax(truth.voxel_counts[1:])) + 1
    other = max(truth.labels) + 1
    out: dict[str, Situation] = {}

    def add(name: str, *visits: Visit) -> None:
        out[name] = Situation(tuple(visits))

    def later(
        turn: float = _TURN_DEG, shift: float = _SHIFT_MM, slice_mm: float | None = None, **more: object
    ) -> Visit:
        rng = np.random.default_rng([seed, len(out)])
        far, about = (_three(rng, length) for length in (shift, turn))
        visit_seed = seed * 100 + len(out)
        return Visit(shift_mm=far, rotation_deg=about, slice_mm=slice_mm, seed=visit_seed, **more)  # type: ignore[arg-type]

    thick = min(5.0, 1.5 * volume.grid.spacing_mm[2])
    still = Visit(noise_hu=0.0, pet_noise=0.0, mr_noise=0.0)
    add("nothing changes", still, later(slice_mm=thick))
    add("grows by 60 %", still, later(growth={tumour: 1.6}))
    add("shrinks by 50 %", still, later(growth={tumour: 0.5}, slice_mm=thick))
    add("breaks in two", still, later(growth={tumour: 0.8}, split_mm={tumour: 14.0}))
    add("moved by 50 mm", still, later(shift=50.0, follows=0.2))
    add("turned by 20°", still, later(turn=20.0))
    add("the only lesion goes", still, later(growth={tumour: 0}))
    try:
        apart = PlantedLesion(other, room_for(volume, truth, RADIUS_MM, APART_MM), RADIUS_MM)
        both = Visit(noise_hu=0.0, pet_noise=0.0, mr_noise=0.0, planted=(apart,))
        add("another appears", still, later(planted=(apart,)))
        add("another goes", both, later(slice_mm=thick))
        add("the larger goes, another stays", both, later(growth={tumour: 0}, planted=(apart,)))
        add("another comes back", both, later(), later(planted=(apart,)))
    except InputError as error:
        out["another lesion"] = Situation(why_not=str(error))
    try:
        near = PlantedLesion(other, room_for(volume, truth, RADIUS_MM, NEAR_MM), RADIUS_MM)
        add("two merge", _with(still, near), later(planted=(_towards(near, truth, tumour),)))
    except InputError as error:
        out["two merge"] = Situation(why_not=str(error))
    try:
        beyond = PlantedLesion(other, room_for(volume, truth, RADIUS_MM, 2.0, beyond=True), RADIUS_MM)
        add(
            "cut short", _with(still, beyond), later(planted=(beyond,), cut_mm=_cut(truth, beyond), shift=5.0, turn=2.0)
        )
    except InputError as error:
        out["cut short"] = Situation(why_not=str(error))
    return out


def _with(visit: Visit, planted: PlantedLesion) -> Visit:
    return Visit(noise_hu=visit.noise_hu, pet_noise=visit.pet_noise, mr_noise=visit.mr_noise, planted=(planted,))


def _three(rng: np.random.Generator, length: float) -> tuple[float, float, float]:
    vector = rng.normal(size=3)
    x, y, z = (vector * length / np.linalg.norm(vector)).tolist()
    return x, y, z


def _towards(near: PlantedLesion, truth: LabelMap, tumour: int) -> PlantedLesion:
    """The lesion grown so far into its neighbour that it reaches 4 mm below its surface."""
    inside = truth.grid.to_mm(np.argwhere(truth.array == tumour))
    away = inside - near.centre_mm
    gap = float(np.linalg.norm(away, axis=1).min())
    nearest = away[np.linalg.norm(away, axis=1).argmin()]
    step = 0.4 * nearest
    x, y, z = (np.array(near.centre_mm) + step).tolist()
    return PlantedLesion(near.label, (x, y, z), gap - float(np.linalg.norm(step)) + 4.0)


def _cut(truth: LabelMap, beyond: PlantedLesion) -> tuple[float, float]:
    """So much off the end where that lesion lies that it is out of the scan, also of a patient moved by 5 mm."""
    grid = truth.grid
    at = float(grid.to_index(np.array([beyond.centre_mm]))[0][2]) + 0.5
    mm, held = grid.spacing_mm[2], np.flatnonzero((truth.array > 0).any(axis=(0, 1)))
    if at > held.mean():
        return 0.0, (grid.shape[2] - at) * mm + beyond.radius_mm
    return at * mm + beyond.radius_mm, 0.0
