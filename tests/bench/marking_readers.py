"""Simulated readers who mark lesions relevant or not by a known taste, and the lesions that they look at.

No person made any of these marks. The lesions are of two kinds: masks of 24 sarcoma patients
(10.7937/K9/TCIA.2015.7GO2GSKS) with parts and simulated growth of each, in the numbers that the mask gate compares; and
made vectors with clusters that single distances hide and neighbours reveal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from core.evidence.gain import NEIGHBOURS
from core.evidence.learning import Click
from core.gates.mask.neighbours import nearest_of_all
from core.imaging.orienting import canonical
from core.imaging.volumes import read_label_map
from core.lesions.shape import VECTOR_NAMES, shape_vector

Floats = NDArray[np.float64]

#: Marks on one lesion, among so many that are shown.
MARKS, SHOWN = 5, 10
SIZE = ("log_volume", "log_area", "log_major_axis", "log_minor_axis", "log_least_axis")


@dataclass(frozen=True, eq=False)
class Lesions:
    """What readers look at.

    Args:
        vectors: (n, d) in spreads. patients: (n,) whose they are. hidden: (n,) a cluster that no single number tells,
            or -1.
        names: of the d numbers.
    """

    vectors: Floats
    patients: NDArray[np.intp]
    hidden: NDArray[np.intp]
    names: tuple[str, ...]

    @property
    def neighbours(self) -> NDArray[np.int32]:
        """(n, k) nearest of other patients."""
        return nearest_of_all(self.vectors, self.patients, NEIGHBOURS)[0]

    def columns(self, wanted: Callable[[str], bool]) -> Floats:
        """(n, some) the numbers of these names."""
        return self.vectors[:, [at for at, name in enumerate(self.names) if wanted(name)]]


#: (n, n) how unlike two lesions are to a reader.
Taste = Callable[[Lesions, np.random.Generator], Floats]


def _apart(table: Floats) -> Floats:
    squares = (table**2).sum(axis=1)
    return np.maximum(squares[:, None] + squares[None] - 2 * table @ table.T, 0.0)


TASTES: dict[str, Taste] = {
    "at random": lambda lesions, random: random.random((len(lesions.vectors),) * 2),
    "as the distance is": lambda lesions, random: _apart(lesions.vectors),
    "size alone": lambda lesions, random: _apart(lesions.columns(lambda name: name in SIZE)),
    "form alone": lambda lesions, random: _apart(lesions.columns(lambda name: name not in SIZE)),
    "hidden clusters": lambda lesions, random: (lesions.hidden[:, None] != lesions.hidden[None]).astype(np.float64),
}


def shown_of(lesions: Lesions, most: int = SHOWN) -> NDArray[np.intp]:
    """(n, most) rows of the nearest lesions of other patients."""
    away = _apart(lesions.vectors)
    away[lesions.patients[:, None] == lesions.patients[None]] = np.inf
    return np.argsort(away, axis=1, kind="stable")[:, :most]


def limit_of(lesions: Lesions, apart: Floats) -> float:
    """Below it a lesion is relevant to a reader: how unlike what is shown is on average."""
    return float(np.take_along_axis(apart, shown_of(lesions), axis=1).mean())


def marks_of(
    lesions: Lesions, apart: Floats, queries: NDArray[np.intp], count: int, wrong: float, random: np.random.Generator
) -> list[Click]:
    """What a reader marks of the nearest ten of other patients, five a lesion, until there are `count`: relevant is
    what is less unlike than what is shown is on average.

    Args:
        apart: (n, n) how unlike lesions are to this reader. queries: lesions asked about, in this order.
        wrong: share of marks that are the other way round.
    """
    limit, shown = limit_of(lesions, apart), shown_of(lesions)
    out: list[Click] = []
    for query in queries[: -(-count // MARKS)].tolist():
        for other in random.choice(shown[query], MARKS, replace=False).tolist():
            said = bool(apart[query, other] < limit) ^ bool(random.random() < wrong)
            out.append(Click(query, other, said, f"P{lesions.patients[query]}"))
    return out[:count]


def one_a_patient_first(lesions: Lesions, rows: NDArray[np.intp], random: np.random.Generator) -> NDArray[np.intp]:
    """Rows in the order in which a reader comes to them: a lesion of each patient, then a second one, and so on."""
    drawn = random.permutation(rows)
    seen: dict[int, int] = {}
    turn = []
    for patient in lesions.patients[drawn].tolist():
        turn.append(seen.get(patient, 0))
        seen[patient] = turn[-1] + 1
    return drawn[np.argsort(turn, kind="stable")]


def made_lesions(seed: int, patients: int = 120, each: int = 5, width: int = 12, clusters: int = 8) -> Lesions:
    """(600, 12) vectors whose numbers are called as a shape vector's: clusters of which a lesion's own noise hides
    most, and the mean of its neighbours less."""
    random = np.random.default_rng(seed)
    owners = np.repeat(np.arange(patients), each)
    hidden = random.integers(0, clusters, patients * each)
    centres = random.normal(size=(clusters, width))
    vectors = centres[hidden] + random.normal(size=(patients * each, width))
    return Lesions(_in_spreads(vectors), owners, hidden, VECTOR_NAMES[:width])


def sarcomas(folder: Path, most: int = 24) -> Lesions:
    """Twelve of each patient: the lesion, its six halves, and five of simulated growth or shrinking."""
    rows, owners = [], []
    for number, patient in enumerate(sorted(path for path in folder.iterdir() if path.is_dir())[:most]):
        truth = canonical(read_label_map(patient / "CT_mask.nii.gz"))
        for mask, spacing_mm in _variants(truth.array > 0, truth.grid.spacing_mm, np.random.default_rng(number)):
            rows.append(shape_vector(mask, spacing_mm)[1])
            owners.append(number)
    table = np.stack(rows)
    return Lesions(_in_spreads(table), np.array(owners), np.full(len(rows), -1), VECTOR_NAMES)


def _variants(
    truth: NDArray[np.bool_], spacing_mm: tuple[float, float, float], random: np.random.Generator
) -> Iterator[tuple[NDArray[np.bool_], tuple[float, float, float]]]:
    """Masks and their voxels: the whole, its halves by each axis, and warped by 2 mm and grown by e^±0.5 in length."""
    box = ndimage.find_objects(truth.astype(np.uint8))[0]
    crop = np.pad(truth[box], 8)
    yield crop, spacing_mm
    for axis in range(3):
        planes = np.flatnonzero(crop.any(axis=tuple(other for other in range(3) if other != axis)))
        middle = planes[len(planes) // 2]
        before = np.arange(crop.shape[axis]) < middle
        side = before.reshape([-1 if at == axis else 1 for at in range(3)])
        yield crop & side, spacing_mm
        yield crop & ~side, spacing_mm
    for _ in range(5):
        length = float(np.exp(random.uniform(-0.5, 0.5)))
        a, b, c = spacing_mm
        yield _warped(crop, spacing_mm, random), (a * length, b * length, c * length)


def _warped(
    mask: NDArray[np.bool_], spacing_mm: tuple[float, float, float], random: np.random.Generator
) -> NDArray[np.bool_]:
    """Moved smoothly by 2 mm."""
    at = np.stack(np.meshgrid(*(np.arange(n) for n in mask.shape), indexing="ij")).astype(np.float32)
    for axis in range(3):
        noise = ndimage.gaussian_filter(random.normal(size=mask.shape), 12 / np.array(spacing_mm))
        at[axis] += noise / noise.std() * 2.0 / spacing_mm[axis]
    moved = np.asarray(ndimage.map_coordinates(mask.astype(np.float32), at, order=1) > 0.5)
    return moved if moved.any() else mask


def _in_spreads(table: Floats) -> Floats:
    """Each number minus its median, by 1.4826 times its median absolute deviation, or its spread where that is 0;
    within ten of them."""
    centred = table - np.median(table, axis=0)
    spread = 1.4826 * np.median(np.abs(centred), axis=0)
    spread = np.where(spread > 0, spread, table.std(axis=0))
    return np.asarray(np.clip(centred / np.where(spread > 0, spread, 1.0), -10.0, 10.0))
