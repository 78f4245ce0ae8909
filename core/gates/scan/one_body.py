"""Do a CT and a PET show one body? Three doubts that need no model: outlines that differ, grey values that tell
nothing about each other, or that tell more with the PET moved.

The network and RF-Deep look where the network found tumour; a PET of another patient, of another leg or 80 mm off looks
usual there. Measured on 24 sarcoma patients (10.7937/K9/TCIA.2015.7GO2GSKS) against PETs of other patients, shifted and
flipped: `python -m tests.bench one_body` prints what is missed first. Mutual information: Maes 1997,
10.1109/42.563664; normalised: Studholme 1999, 10.1016/S0031-3203(98)00091-0; its bias: Miller 1955.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from core.imaging.coverage import BODY_HU, coverage, partial_words, too_little
from core.imaging.orienting import canonical
from core.imaging.volumes import resample
from core.remembered.untyped import JsonDict
from core.types import Grid, Volume

#: Both scans are compared on voxels of so many millimetres, about a PET's resolution.
VOXEL_MM = 5.0
#: Uptake below this is air or none, SUV.
BODY_SUV = 0.15
#: The air that is looked at reaches so far from either body: more would say nothing and change the figures.
RIM_MM = 20.0
#: Fewer places than this in both scans (a quarter of a litre) cannot be judged.
LEAST_PLACES = 2000
_HU = np.linspace(-200, 200, 25)
_LOG_SUV = np.linspace(np.log(0.05), np.log(10.0), 25)

#: Nine tenths of the lowest that twelve patients with their right PET had; the other twelve lie above as well.
LEAST_OUTLINE, LEAST_INFORMATION = 0.74, 0.098
#: The lowest of twelve patients with their right PET was .96, of the other twelve .93.
#: Least information in the place where the scans are, as a share of the most with the PET moved along an axis.
LEAST_FIT = 0.9
#: By how many voxels it is moved, either way: 10 to 60 mm; and how much of the places must then be left.
STEPS = (-12, -8, -6, -4, -3, -2, 2, 3, 4, 6, 8, 12)
LEAST_LEFT = 0.4

Bool = NDArray[np.bool_]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class OneBody:
    """How well a CT and a PET fit each other.

    Args:
        places: voxels of `VOXEL_MM` that both scans have, at and around the body.
        outline: Dice of the two bodies' outlines there, 0..1; None with fewer than `LEAST_PLACES`.
        information: what either scan tells about the other: (H(CT) + H(PET)) / H(CT, PET) - 1, 0..1; None likewise.
        elsewhere: the most of it that moving the PET along one axis gives; `information` where that is the most.
        elsewhere_mm: by how much the PET was moved for that.
    """

    places: int
    outline: float | None
    information: float | None
    elsewhere: float | None = None
    elsewhere_mm: float = 0.0

    @property
    def judged(self) -> bool:
        """Whether there is enough of both scans in one place to say anything."""
        return self.outline is not None and self.information is not None

    @property
    def doubts(self) -> tuple[str, ...]:
        """Why they may show two bodies, in words; none where they seem to show one or it cannot be judged."""
        found = []
        if self.outline is not None and self.outline < LEAST_OUTLINE:
            found.append(
                f"the outlines of the body on CT and PET differ (Dice {self.outline:.2f}, expected {LEAST_OUTLINE:g} "
                "or more)"
            )
        if self.information is not None and self.information < LEAST_INFORMATION:
            found.append(
                f"CT and PET tell little about each other (shared information {self.information:.3f}, expected "
                f"{LEAST_INFORMATION:g} or more)"
            )
        if self.information is not None and self.elsewhere and self.information < LEAST_FIT * self.elsewhere:
            found.append(
                f"they fit each other better with the PET moved by {self.elsewhere_mm:.0f} mm (shared information "
                f"{self.elsewhere:.3f} instead of {self.information:.3f})"
            )
        return tuple(found)

    def to_json(self) -> JsonDict:
        """Plain JSON values."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


NOTHING_SHARED = OneBody(0, None, None)


@dataclass(frozen=True)
class ScansMatch:
    """How the scans of one timepoint fit each other.

    Args:
        doubts: a sentence each.
        too_little: why they cannot be used together; None where they can.
        coverage, one_body: what was found, as JSON.
    """

    doubts: tuple[str, ...] = ()
    too_little: str | None = None
    coverage: tuple[JsonDict, ...] = ()
    one_body: JsonDict | None = None


def compare_pair(match: ScansMatch) -> OneBody:
    """What was found of the CT and PET of a match; `NOTHING_SHARED` where they were not compared."""
    return NOTHING_SHARED if match.one_body is None else OneBody(**match.one_body)


def match_of(volumes: Sequence[Volume]) -> ScansMatch:
    """Whether each further volume covers the first, and CT and PET, where both are among them, show one body.

    A comparison that is not possible is a doubt, too: nothing is vouched for that was not looked at.
    """
    found = [coverage(volumes[0], other) for other in volumes[1:]]
    told = tuple(one.to_json() for one in found)
    poor = next((one for one in found if not one.enough), None)
    if poor is not None:
        return ScansMatch(too_little=too_little(poor), coverage=told)
    doubts = [partial_words(one) for one in found if not one.whole]
    ct, pet = (next((v for v in volumes if v.modality == wanted), None) for wanted in ("CT", "PET"))
    if ct is None or pet is None:
        return ScansMatch(tuple(doubts), coverage=told)
    compared = one_body(ct, pet)
    if not compared.judged:
        litres = compared.places * VOXEL_MM**3 / 1e6
        doubts.append(
            f"Whether CT and PET show one body cannot be judged: they share {litres:.2f} L at and around it, expected "
            f"{LEAST_PLACES * VOXEL_MM**3 / 1e6:g} L or more."
        )
    elif compared.doubts:
        doubts.append(f"CT and PET may show two bodies, or not in one place: {' and '.join(compared.doubts)}.")
    return ScansMatch(tuple(doubts), coverage=told, one_body=compared.to_json())


def one_body(ct: Volume, pet: Volume) -> OneBody:
    """Compare a CT (HU) and a PET (SUV) where both are, however their axes are stored. A second or two.

    Returns:
        `outline` and `information` of None where the scans share too little.
    """
    hu, grid = on_coarse_grid(ct)
    return compare(hu, grid, pet)


def on_coarse_grid(ct: Volume) -> tuple[Floats, Grid]:
    """The CT, averaged to voxels of `VOXEL_MM`, in anatomical order."""
    ct = canonical(ct)
    spacing = np.array(ct.grid.spacing_mm)
    shape = tuple(max(1, round(float(n * mm / VOXEL_MM))) for n, mm in zip(ct.grid.shape, spacing, strict=True))
    affine = ct.grid.affine.copy()
    affine[:3, :3] *= VOXEL_MM / spacing
    # The two fields begin at the same corner: half a voxel before the first voxel's middle.
    affine[:3, 3] += ct.grid.affine[:3, :3] @ ((VOXEL_MM / spacing - 1) / 2)
    coarse = Grid((shape[0], shape[1], shape[2]), affine)
    return np.asarray(resample(_smooth(ct), ct.grid, coarse, "linear", -1000.0), dtype=np.float32), coarse


def _smooth(volume: Volume) -> Floats:
    sigma = [VOXEL_MM / 2.355 / mm for mm in volume.grid.spacing_mm]
    return np.asarray(ndimage.gaussian_filter(volume.array, sigma, mode="nearest", truncate=3), dtype=np.float32)


def compare(hu: Floats, grid: Grid, pet: Volume) -> OneBody:
    """`one_body` of a CT that is on its coarse grid already."""
    pet = canonical(pet)
    outside = -1e3  # no uptake is so low
    suv = np.asarray(resample(_smooth(pet), pet.grid, grid, "linear", outside), dtype=np.float32)
    ct_body, both, pet_body = hu > BODY_HU, suv > outside / 2, suv > BODY_SUV
    ct_side, pet_side = _Side(hu, _around(ct_body)), _Side(suv, _around(pet_body), both)
    places = _places(ct_side, pet_side)
    if len(places[0]) < LEAST_PLACES:
        return OneBody(len(places[0]), None, None)
    outline = 2 * int((ct_body & pet_body).sum()) / max(int((ct_body & both).sum()) + int(pet_body.sum()), 1)
    here = _shared_information(*places)
    elsewhere, at_mm = here, 0.0
    for axis in range(3):
        for step in STEPS:
            values = _places(ct_side.cut(axis, -step), pet_side.cut(axis, step))
            if len(values[0]) < max(LEAST_PLACES, LEAST_LEFT * len(places[0])):
                continue
            found = _shared_information(*values)
            if found > elsewhere:
                elsewhere, at_mm = found, abs(step) * VOXEL_MM
    return OneBody(len(places[0]), outline, here, elsewhere, at_mm)


@dataclass(frozen=True, eq=False)
class _Side:
    """One scan on the coarse grid: its values, where its body is near, and where it has values at all."""

    values: Floats
    near: Bool
    there: Bool | None = None

    def cut(self, axis: int, step: int) -> _Side:
        """Without the first `step` voxels along an axis, or without the last if it is negative."""
        part = tuple(slice(max(step, 0), min(step, 0) or None) if n == axis else slice(None) for n in range(3))
        return _Side(self.values[part], self.near[part], None if self.there is None else self.there[part])


def _places(ct: _Side, pet: _Side) -> tuple[Floats, Floats]:
    """The values of both at and around either body."""
    near = ct.near | pet.near
    near &= True if pet.there is None else pet.there
    return ct.values[near], pet.values[near]


def _around(body: Bool) -> Bool:
    """The body and what lies within `RIM_MM` of it."""
    return ndimage.distance_transform_edt(~body) * VOXEL_MM <= RIM_MM if body.any() else body


def _shared_information(hu: Floats, suv: Floats) -> float:
    """Normalised mutual information minus 1, without what chance alone gives so few voxels; 0 for no information."""
    log_suv = np.log(np.clip(suv, np.exp(_LOG_SUV[0]), np.exp(_LOG_SUV[-1])))
    counts, _, _ = np.histogram2d(np.clip(hu, _HU[0], _HU[-1]), log_suv, bins=[_HU, _LOG_SUV])
    joint = _entropy(counts.ravel())
    if joint <= 0:
        return 0.0
    mutual = _entropy(counts.sum(axis=0)) + _entropy(counts.sum(axis=1)) - joint
    return max(0.0, float(mutual / joint))


def _entropy(counts: NDArray[np.float64]) -> float:
    """Of a histogram, nats, with Miller's correction for the number of values."""
    full = counts[counts > 0]
    shares = full / full.sum()
    return float(-(shares * np.log(shares)).sum() + (len(full) - 1) / (2 * full.sum()))
