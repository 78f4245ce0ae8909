"""What one earlier look at a patient says of the labels of a mask: how they overlap its lesions, how far they lie."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import find_objects
from scipy.spatial import KDTree

from core.errors import GeometryError
from core.lesions.metrics import border
from core.remembered.links import unlinked_id
from core.types import Grid, LabelMap

#: An overlap below this share of the smaller of label and lesion is a touch (misregistration), not a link.
MIN_OVERLAP = 0.1
#: What overlaps nothing may still be a lesion whose surface lies this near, on average (assumed).
MAX_SURFACE_MM = 10.0
#: Voxels of a lesion that are looked up, and border voxels that distances are taken from and to, at most.
_POINTS, _BORDER_FROM, _BORDER_TO = 4000, 500, 4000

RegistrationState = Literal["good", "doubtful", "accepted", "failed", "refused"]


@dataclass(frozen=True, eq=False)
class KnownLesions:
    """The lesions of one mask that is already linked: of an earlier visit, a later one, or another version of this one.

    Args:
        timepoint: its date, YYYY-MM-DD.
        mask_id: of the mask.
        labels: the mask, on its own grid.
        lesion_of: label -> "L1" and so on; several labels may be one lesion, and unlinked labels are left out.
        accepted: whether a person accepted the mask.
        to_here: 4x4, RAS mm of the mask to be linked -> RAS mm of this one; None where no registration says it.
        registration_state: how far to trust it; None within one frame. What failed or was refused tells nothing,
            whatever its matrix.
        transform_id: of the stored transform.
        gone: lesions that a reader accepted as gone there.
    """

    timepoint: str
    mask_id: str
    labels: LabelMap
    lesion_of: Mapping[int, str]
    accepted: bool
    to_here: ArrayLike | None
    registration_state: RegistrationState | None = None
    transform_id: str | None = None
    gone: frozenset[str] = frozenset()

    @property
    def tells(self) -> bool:
        """Whether places here can be looked up there."""
        return self.to_here is not None and self.registration_state not in ("failed", "refused")

    @cached_property
    def present(self) -> frozenset[str]:
        """The lesions that it has voxels of."""
        return frozenset(self.lesion_of[label] for label in self.labels.labels if label in self.lesion_of)

    def matrix(self) -> NDArray[np.float64]:
        """`to_here`, checked. Raises GeometryError unless it is a finite 4x4 that can be turned back."""
        matrix = np.asarray(self.to_here, dtype=np.float64)
        if matrix.shape != (4, 4) or not np.isfinite(matrix).all() or abs(np.linalg.det(matrix)) < 1e-9:
            raise GeometryError(
                f"Expected a finite 4x4 transform to {self.timepoint} that can be turned back, got one that is not. "
                "Register the two scans again."
            )
        return matrix


@dataclass(frozen=True, eq=False)
class Cloud:
    """Points of one lesion, RAS mm of the mask that is to be linked; of large ones a fixed sample.

    Args:
        points_mm: (n, 3) centres of its voxels.
        border_mm: (m, 3) centres of voxels at its border.
        volume_mm3: of all its voxels.
        first_voxel: its first voxel's index in the flat array: an order that does not hang on label numbers.
    """

    points_mm: NDArray[np.float64]
    border_mm: NDArray[np.float64]
    volume_mm3: float
    first_voxel: int = 0

    @cached_property
    def tree(self) -> KDTree:
        """Of its border."""
        return KDTree(self.border_mm)

    @cached_property
    def box_mm(self) -> NDArray[np.float64]:
        """(2, 3): lowest and highest coordinates of its border."""
        return np.stack([self.border_mm.min(axis=0), self.border_mm.max(axis=0)])

    def moved(self, matrix: NDArray[np.float64]) -> Cloud:
        """The same under a 4x4."""
        return Cloud(_moved(self.points_mm, matrix), _moved(self.border_mm, matrix), self.volume_mm3, self.first_voxel)


@dataclass(frozen=True)
class Overlap:
    """What a label and a lesion have in common.

    Args:
        shared_mm3: their common volume.
        of_label, of_lesion: its share of each, 0..1.
        dice: twice the common volume over the sum of both, 0..1.
    """

    shared_mm3: float
    of_label: float
    of_lesion: float
    dice: float

    @property
    def of_smaller(self) -> float:
        """Share of the smaller of the two, 0..1."""
        return max(self.of_label, self.of_lesion)


@dataclass(frozen=True, eq=False)
class Look:
    """What one known mask says of the mask that is to be linked.

    Args:
        known: the mask.
        rank: 0 for the nearest in time, and so on; masks of one visit share it.
        weight: 0..1, how much it counts.
        lesions: lesion -> its points, here; also labels there that are linked to none, as `unlinked_id`.
        in_view: lesion -> share of its points that lies in the grid here, 0..1.
        overlaps: (label, lesion) -> what they share, where it is more than nothing.
    """

    known: KnownLesions
    rank: int
    weight: float
    lesions: Mapping[str, Cloud]
    in_view: Mapping[str, float]
    overlaps: Mapping[tuple[int, str], Overlap]

    def reaches(self, place: Cloud) -> bool:
        """Whether at least half of a place here lies in the grid there."""
        there = _moved(place.points_mm, self.known.matrix())
        return float(_inside(there, self.known.labels.grid)[1].mean()) >= 0.5


def clouds(labels: LabelMap, names: Mapping[int, Any] | None = None) -> dict[Any, Cloud]:
    """Points of each label, in the frame of the mask; labels of one name in `names` are one lesion.

    Returns:
        label, or its name, -> points, by the place of their first voxel; {} for an empty mask.
    """
    named: dict[Any, list[Cloud]] = {}
    for label, box in enumerate(find_objects(labels.array), start=1):
        if box is not None:
            named.setdefault(label if names is None else names[label], []).append(_cloud(labels, label, box))
    joined = {name: parts[0] if len(parts) == 1 else _joined(parts) for name, parts in named.items()}
    return dict(sorted(joined.items(), key=lambda item: item[1].first_voxel))


def look(current: LabelMap, here: Mapping[int, Cloud], known: KnownLesions, rank: int, weight: float) -> Look:
    """Look a mask up in a known one, and the other way round.

    A volume in common is counted from both sides, the larger count stands: where the voxels of one are coarse, or a
    large one is sampled, the other side sees what falls between.
    """
    matrix = known.matrix()
    names = {label: known.lesion_of.get(label, unlinked_id(label)) for label in known.labels.labels}
    there = clouds(known.labels, names)
    back = np.asarray(np.linalg.inv(matrix), dtype=np.float64)
    lesions = {name: cloud.moved(back) for name, cloud in there.items()}
    shared: dict[tuple[int, str], float] = {}
    for label, cloud in here.items():
        found: dict[str, float] = {}
        for number, share in _looked_up(_moved(cloud.points_mm, matrix), known.labels)[0].items():
            found[names[number]] = found.get(names[number], 0.0) + share * cloud.volume_mm3
        shared |= {(label, name): volume for name, volume in found.items()}
    in_view: dict[str, float] = {}
    for name, cloud in lesions.items():
        shares, in_view[name] = _looked_up(cloud.points_mm, current)
        for label, share in shares.items():
            shared[label, name] = max(shared.get((label, name), 0.0), share * cloud.volume_mm3)
    overlaps = {
        (label, name): _overlap(volume, here[label].volume_mm3, lesions[name].volume_mm3)
        for (label, name), volume in shared.items()
    }
    return Look(known, rank, weight, lesions, in_view, overlaps)


def surface_mm(one: Cloud, other: Cloud) -> float:
    """Mean distance between the borders of two lesions, each to the other's nearest, millimetres; 0 for the same.

    Of borders with more than 500 voxels a sample is taken: for a lesion 100 mm across that is right to some 1.5 mm.
    """
    there = other.tree.query(_sample(one.border_mm, _BORDER_FROM))[0]
    back = one.tree.query(_sample(other.border_mm, _BORDER_FROM))[0]
    return float(there.mean() + back.mean()) / 2


def gap_mm(one: Cloud, other: Cloud) -> float:
    """Distance between the nearest border voxels of two lesions, millimetres."""
    return float(one.tree.query(other.border_mm)[0].min())


def near(one: Cloud, others: Iterable[Cloud], reach_mm: float) -> list[bool]:
    """Whether the box around each of the others lies within `reach_mm` of the box around one."""
    boxes = [other.box_mm for other in others]
    if not boxes:
        return []
    low, high = np.stack(boxes, axis=1)
    between = np.maximum(0.0, np.maximum(low - one.box_mm[1], one.box_mm[0] - high))
    return [bool(value) for value in np.linalg.norm(between, axis=1) <= reach_mm]


def _cloud(labels: LabelMap, label: int, box: tuple[slice, ...]) -> Cloud:
    mask = labels.array[box] == label
    start = np.array([part.start for part in box])
    inside = np.flatnonzero(mask)
    first = np.asarray(np.unravel_index(inside[0], mask.shape)) + start
    edge = np.flatnonzero(border(mask))

    def points(flat: NDArray[np.intp], most: int) -> NDArray[np.float64]:
        return labels.grid.to_mm(np.stack(np.unravel_index(_sample(flat, most), mask.shape), axis=1) + start)

    return Cloud(
        points(inside, _POINTS),
        points(edge, _BORDER_TO),
        inside.size * labels.grid.voxel_volume_mm3,
        int(np.ravel_multi_index(tuple(first), labels.array.shape)),
    )


def _joined(parts: list[Cloud]) -> Cloud:
    """Several pieces as one; each is sampled by its volume, so that shares stay shares."""
    total = sum(part.volume_mm3 for part in parts)
    density = min(len(part.points_mm) / part.volume_mm3 for part in parts)
    points = [_sample(part.points_mm, max(1, round(density * part.volume_mm3))) for part in parts]
    edges = np.concatenate([part.border_mm for part in parts])
    first = min(part.first_voxel for part in parts)
    return Cloud(np.concatenate(points), _sample(edges, _BORDER_TO), total, first)


def _sample(rows: NDArray[Any], most: int) -> NDArray[Any]:
    """At most so many rows, the same for the same count; drawn, as every n-th voxel may lie in one plane."""
    if len(rows) <= most:
        return rows
    return rows[np.sort(np.random.default_rng(0).choice(len(rows), most, replace=False))]


def _moved(points_mm: NDArray[np.float64], matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(points_mm @ matrix[:3, :3].T + matrix[:3, 3])


def _inside(points_mm: NDArray[np.float64], grid: Grid) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The voxel nearest to each point, and whether the grid has it."""
    index = np.rint(grid.to_index(points_mm)).astype(np.int64)
    return index, np.asarray(((index >= 0) & (index < np.asarray(grid.shape))).all(axis=1))


def _looked_up(points_mm: NDArray[np.float64], labels: LabelMap) -> tuple[dict[int, float], float]:
    """Share of the points in each label, where there are any; and share of the points in the grid."""
    index, inside = _inside(points_mm, labels.grid)
    counts = np.bincount(labels.array[tuple(index[inside].T)], minlength=256)
    shares = {int(n): float(counts[n]) / len(points_mm) for n in np.flatnonzero(counts[1:]) + 1}
    return shares, float(inside.mean())


def _overlap(shared_mm3: float, label_mm3: float, lesion_mm3: float) -> Overlap:
    shared = min(shared_mm3, label_mm3, lesion_mm3)
    return Overlap(shared, shared / label_mm3, shared / lesion_mm3, 2 * shared / (label_mm3 + lesion_mm3))
