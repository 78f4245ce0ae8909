"""Several blobs under one label of a drawn or imported mask: told apart where they lie apart, specks said in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects, generate_binary_structure, label
from scipy.spatial import KDTree

from core.errors import InputError
from core.lesions.metrics import border
from core.types import Grid, LabelMap

MAX_LESIONS = 255
#: Of a label in more pieces only the largest are looked at one by one; the rest are counted.
_MOST_PIECES = 300


@dataclass(frozen=True)
class Speck:
    """Voxels of a label that lie apart and are too few to be a lesion.

    Args:
        label: whose they are; they stay in it.
        volume_mm3: of the speck.
        centre_mm: its middle, RAS+ mm.
        alone: whether the label is nothing else.
    """

    label: int
    volume_mm3: float
    centre_mm: tuple[float, float, float]
    alone: bool

    @property
    def words(self) -> str:
        """For the person who drew it."""
        where = ", ".join(f"{value:.0f}" for value in self.centre_mm)
        what = "is nothing but" if self.alone else "has, apart from the rest of it,"
        return (
            f"Label {self.label} {what} {self.volume_mm3:.3g} mm3 at ({where}) mm: too small to be told from a stray "
            "mark. Take it away, or say that it is a lesion."
        )


@dataclass(frozen=True, eq=False)
class SeparatedBlobs:
    """A mask in which blobs that lie apart have labels of their own.

    Args:
        labels: the mask; the same voxels are foreground as before.
        came_from: new label -> the label that it was part of; {} where nothing lay apart.
        specks: what lies apart and was made no lesion, by label, the largest first.
        uncounted: label -> pieces that were too many to be looked at, and stay in it; {} as a rule.
    """

    labels: LabelMap
    came_from: Mapping[int, int]
    specks: tuple[Speck, ...]
    uncounted: Mapping[int, int]

    @property
    def words(self) -> tuple[str, ...]:
        """What a person should know of it, in sentences; () where each label is one blob of some size."""
        apart = [f"Label {new} lay apart from label {old}: a lesion of its own." for new, old in self.came_from.items()]
        many = [f"Label {n} has {count} more small pieces. Check that mask." for n, count in self.uncounted.items()]
        return (*apart, *(speck.words for speck in self.specks), *many)


def separate_blobs(labels: LabelMap, min_volume_mm3: float = 30.0, gap_mm: float = 10.0) -> SeparatedBlobs:
    """Give blobs of one label that lie more than `gap_mm` apart labels of their own, so that each can be a lesion.

    Pieces (26 neighbours) with at most `gap_mm` of free space between them, also by way of others, are one blob. The
    largest blob keeps the label; the others, largest first, get the lowest free numbers. A blob below `min_volume_mm3`
    stays in its label and is reported: no voxel is taken away unasked, and none makes a lesion unasked.

    Args:
        labels: the mask.
        min_volume_mm3: the default is a ball of 3.9 mm diameter (assumed noise, as in `components`).
        gap_mm: free space from voxel face to voxel face (assumed default).

    Raises:
        InputError: if there would be more than 255 labels.
    """
    array = labels.array.copy()
    free = [number for number in range(1, MAX_LESIONS + 1) if number not in labels.labels]
    came_from: dict[int, int] = {}
    specks: list[Speck] = []
    uncounted: dict[int, int] = {}
    for number, box in enumerate(find_objects(labels.array), start=1):
        if box is None:
            continue
        blobs, left = _blobs(labels.array[box] == number, labels.grid, gap_mm)
        if left:
            uncounted[number] = left
        for place, (inner, mask) in enumerate(blobs):
            volume_mm3 = np.count_nonzero(mask) * labels.grid.voxel_volume_mm3
            if volume_mm3 < min_volume_mm3:
                starts = [outer.start + part.start for outer, part in zip(box, inner, strict=True)]
                x, y, z = labels.grid.to_mm(np.argwhere(mask).mean(axis=0, keepdims=True) + starts)[0]
                specks.append(Speck(number, float(volume_mm3), (float(x), float(y), float(z)), len(blobs) == 1))
            elif place > 0:
                if not free:
                    raise InputError(
                        f"Expected at most {MAX_LESIONS} lesions, but label {number} is several that lie apart and no "
                        "number is free. Take false lesions out of the mask first."
                    )
                came_from[free[0]] = number
                array[box][inner][mask] = free.pop(0)
    return SeparatedBlobs(LabelMap(array, labels.grid), came_from, tuple(specks), uncounted)


def _blobs(
    mask: NDArray[np.bool_], grid: Grid, gap_mm: float
) -> tuple[list[tuple[tuple[slice, ...], NDArray[np.bool_]]], int]:
    """Box and mask of each blob of one label, largest first, equals by their first voxel; pieces that were not asked.

    Those are in no blob, and so stay in the label.
    """
    pieces, count = label(mask, structure=generate_binary_structure(3, 3))
    if count == 1:
        return [(tuple(slice(0, n) for n in mask.shape), mask)], 0
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)[1:]
    asked = np.argsort(-sizes, kind="stable")[:_MOST_PIECES]
    boxes = find_objects(pieces)
    blob_of = _joined([_edge(pieces, boxes[n], n + 1) for n in asked], np.asarray(grid.spacing_mm), gap_mm)
    lookup = np.zeros(count + 1, dtype=np.int32)
    lookup[asked + 1] = blob_of + 1
    joined = lookup[pieces]
    volumes = np.bincount(joined.ravel())[1:]
    around = find_objects(joined)
    order = np.argsort(-volumes, kind="stable")
    return [(around[n], joined[around[n]] == n + 1) for n in order], count - len(asked)


def _edge(pieces: NDArray[np.int32], box: tuple[slice, ...], number: int) -> NDArray[np.int64]:
    """(n, 3) indices of the border voxels of one piece."""
    return np.asarray(np.argwhere(border(pieces[box] == number)) + [part.start for part in box])


def _joined(edges: list[NDArray[np.int64]], spacing_mm: NDArray[np.float64], gap_mm: float) -> NDArray[np.int64]:
    """The number of the blob, from 0, of each piece: those within the gap are one, also by way of others."""
    blob_of = np.arange(len(edges))
    low = np.array([edge.min(axis=0) for edge in edges]) * spacing_mm
    high = np.array([edge.max(axis=0) for edge in edges]) * spacing_mm
    trees: dict[int, KDTree] = {}  # of large pieces costly, and few lie near another
    for n in range(len(edges)):
        between = np.maximum(0.0, np.maximum(low - high[n], low[n] - high) - spacing_mm)
        for other in np.flatnonzero(np.linalg.norm(between, axis=1) <= gap_mm):
            if blob_of[n] == blob_of[other]:
                continue
            if n not in trees:
                trees[n] = KDTree(edges[n] * spacing_mm)
            if _free_mm(trees[n], edges[n], edges[other], spacing_mm) <= gap_mm:
                blob_of[blob_of == blob_of[other]] = blob_of[n]
    return np.unique(blob_of, return_inverse=True)[1]


def _free_mm(tree: KDTree, one: NDArray[np.int64], other: NDArray[np.int64], spacing_mm: NDArray[np.float64]) -> float:
    """Free space between two pieces, from voxel face to voxel face, at the voxel centres that lie nearest."""
    _, nearest = tree.query(other * spacing_mm)
    steps = np.maximum(0, np.abs(one[nearest] - other) - 1)
    return float(np.linalg.norm(steps * spacing_mm, axis=1).min())
