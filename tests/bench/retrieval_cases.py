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
from scipy import ndimage

from core.errors import InputError
from core.imaging.orienting import canonical
from core.imaging.volumes import read_label_map, read_volume
from core.lesions.metrics import bounding_box
from core.lesions.shape import shape_vector
from core.simulation.followups import Visit, simulated_visit
from core.types import Grid, LabelMap, Volume
from tests.bench import shared_data

#: What is asked, and among what the right answer lies. A hard follow-up has shrunk to a third or a half; its slices are
#: twice as thick, noisy, blurred by 3 mm, with other contrast, and its field is cut off at its four sides.
TASKS = {
    "PET among CTs": "baseline",
    "follow-up": "baseline",
    "hard follow-up": "baseline",
    "upper half of a hard follow-up among lower halves": "lower half",
}
#: Of a hard follow-up: HU of noise; mm of its slices and of its blur (standard deviation); most HU by which soft tissue
#: is brighter or darker; most mm that the field loses at each side.
NOISE_HU, SLICE_MM, BLUR_MM, CONTRAST_HU, CUT_MM = 20.0, 6.54, 3.0, 30.0, 25.0
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
    usual = Visit(growth={1: float(rng.uniform(0.6, 1.6))}, noise_hu=6.0, seed=number)
    found.append(("follow-up", *_later(ct, truth, usual, rng)))
    smaller = {1: float(rng.uniform(0.3, 0.5))}
    hard = Visit(growth=smaller, noise_hu=NOISE_HU, slice_mm=SLICE_MM, seed=number + 100)
    later, shrunk = _spoilt(*_later(ct, truth, hard, rng), rng)
    found += [("hard follow-up", later, shrunk), ("lower half", ct, _halves(lesion)[0])]
    found.append(("upper half of a hard follow-up among lower halves", later, _halves(shrunk)[1]))
    return [Case(folder.name, half, *one) for one in found]


def _spoilt(ct: Volume, lesion: NDArray[np.bool_], rng: np.random.Generator) -> tuple[Volume, NDArray[np.bool_]]:
    """The visit as another scanner might show it: blurred, soft tissue brighter or darker, a smaller field."""
    spacing = np.array(ct.grid.spacing_mm)
    hu = ndimage.gaussian_filter(ct.array, np.array([BLUR_MM, BLUR_MM, 0]) / spacing)
    hu = hu + np.where((hu > -150) & (hu < 250), rng.uniform(-CONTRAST_HU, CONTRAST_HU), 0)
    box = bounding_box(lesion)
    assert box is not None
    cut = []
    for axis in (0, 1):
        low, high = (rng.uniform(0, CUT_MM, 2) / spacing[axis]).astype(int)
        size = lesion.shape[axis]
        cut.append(slice(min(low, box[axis].start), max(size - high, box[axis].stop)))
    affine = ct.grid.affine.copy()
    affine[:3, 3] = ct.grid.to_mm(np.array([[cut[0].start, cut[1].start, 0]]))[0]
    array = np.ascontiguousarray(hu[cut[0], cut[1]], dtype=np.float32)
    return Volume(array, Grid(array.shape, affine), "CT"), lesion[cut[0], cut[1]]


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
