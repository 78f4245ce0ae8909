"""Lesions whose like is known: the same patient's on another scan, later, or the other half of it.

Patients with soft-tissue sarcoma (STS, 10.7937/K9/TCIA.2015.7GO2GSKS, CC BY 3.0), one lesion each on CT and PET. The
later visits are simulated (`core.simulation.followups`): the tissue is that of the one scan, which makes them easier
than real ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from core.imaging.orienting import canonical
from core.imaging.volumes import read_label_map, read_volume
from core.lesions.shape import shape_vector
from core.simulation.followups import Visit, simulated_visit
from core.types import LabelMap, Volume
from tests.bench import shared_data

#: What is asked, and among what the right answer lies.
TASKS = {
    "PET among CTs": "baseline",
    "follow-up": "baseline",
    "follow-up, shrunk, thick slices, noisy": "baseline",
    "upper half among lower halves": "lower half",
}
#: Larger growth leaves the cropped scans of some patients; it is then halved.
_TRIES = 4


class Case(NamedTuple):
    """One lesion on one scan. `kind`: a key of `TASKS`, "baseline" or "lower half"."""

    patient: str
    half: str
    kind: str
    volume: Volume
    lesion: NDArray[np.bool_]

    @property
    def shape(self) -> NDArray[np.float64]:
        """(12,) of `core.lesions.shape`."""
        return shape_vector(self.lesion, self.volume.grid.spacing_mm)[1]


def cases_of(folder: Path, number: int) -> list[Case]:
    """Every case of one patient; even numbers are of the half that is tuned on."""
    half = "tuned on" if number % 2 == 0 else "kept back"
    ct = canonical(read_volume(folder / "CT_image.nii.gz", "CT"))
    pet = canonical(read_volume(folder / "PET_image.nii.gz", "PET"))
    truth, on_pet = (canonical(read_label_map(folder / f"{name}_mask.nii.gz")) for name in ("CT", "PET"))
    rng = np.random.default_rng([number, 19])
    lesion = truth.array > 0
    found = [("baseline", ct, lesion), ("PET among CTs", pet, on_pet.array > 0)]
    found += [
        (kind, *_later(ct, truth, visit, rng))
        for kind, visit in (
            ("follow-up", Visit(growth={1: float(rng.uniform(0.6, 1.6))}, noise_hu=6.0, seed=number)),
            (
                "follow-up, shrunk, thick slices, noisy",
                Visit(growth={1: float(rng.uniform(0.3, 0.5))}, noise_hu=20.0, slice_mm=6.54, seed=number + 100),
            ),
        )
    ]
    lower, upper = _halves(lesion)
    found += [("lower half", ct, lower), ("upper half among lower halves", ct, upper)]
    return [Case(folder.name, half, *one) for one in found]


def _later(ct: Volume, truth: LabelMap, visit: Visit, rng: np.random.Generator) -> tuple[Volume, NDArray[np.bool_]]:
    """The lesion on a simulated visit with another position of the patient."""
    one = LabelMap((truth.array > 0).astype(np.uint8), truth.grid)
    factor = visit.growth[1]
    motion = {
        "rotation_deg": tuple(float(v) for v in rng.uniform(-5, 5, 3)),
        "shift_mm": tuple(float(v) for v in rng.uniform(-8, 8, 3)),
    }
    for _ in range(_TRIES):
        asked = Visit(**{**{n: getattr(visit, n) for n in visit.__dataclass_fields__}, **motion, "growth": {1: factor}})
        try:
            seen = simulated_visit([ct], one, asked)
        except InputError:
            factor = 1 + (factor - 1) / 2
            continue
        return seen.volumes[0], seen.truth.array > 0
    raise InputError("Expected a follow-up that can be simulated; none of four could.")


def _halves(lesion: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """The lesion below and above the slice with half of its voxels on either side, one slice apart."""
    below = lesion.sum(axis=(0, 1)).cumsum()
    middle = int(np.searchsorted(below, below[-1] / 2))
    lower, upper = lesion.copy(), lesion.copy()
    lower[:, :, middle:] = False
    upper[:, :, : middle + 1] = False
    return lower, upper


def folders(most: int = 24) -> Sequence[Path]:
    """Of each patient."""
    return sorted(path for path in (shared_data() / "sts").iterdir() if path.is_dir())[:most]
