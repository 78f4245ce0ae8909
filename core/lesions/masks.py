"""What is done with a label map: compare two versions, replace one lesion, measure every lesion."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects, generate_binary_structure
from scipy.ndimage import label as label_pieces
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import pdist

from core.errors import GeometryError, InputError
from core.lesions.metrics import bounding_box, label_confusion
from core.lesions.sizes import MIN_PIECE_MM3
from core.types import Grid, LabelMap, LesionMeasure


@dataclass(frozen=True)
class MaskDiff:
    """What changed from one mask version to the next, over all lesions together, as the sidecar says it.

    A voxel is or is not in any lesion, so always dice = 2 * unchanged / (2 * unchanged + added + removed). A voxel that
    only changes its lesion number is unchanged, and is counted once more as relabelled, so that no change goes unseen.

    Args:
        dice: 0..1; 1 when both versions are empty; None for a first version.
        voxels_added: voxels in a lesion of the new version only.
        voxels_removed: voxels in a lesion of the previous version only.
        voxels_unchanged: voxels in a lesion of both.
        volume_delta_mm3: new minus previous volume of all lesions; None for a first version.
        voxels_relabelled: those of the unchanged voxels whose lesion number differs.
    """

    dice: float | None
    voxels_added: int
    voxels_removed: int
    voxels_unchanged: int
    volume_delta_mm3: float | None
    voxels_relabelled: int = 0


def mask_diff(previous: LabelMap | None, new: LabelMap) -> MaskDiff:
    """Compare a mask version with the one that it came from.

    Args:
        previous: the parent version, or None for a first version: then every voxel is added.
        new: the version to describe, on the same grid.

    Raises:
        GeometryError: if the two lie on different grids.
    """
    if previous is None:
        return MaskDiff(None, int(np.count_nonzero(new.array)), 0, 0, None)
    if not previous.grid.matches(new.grid):
        raise GeometryError(
            f"Expected two versions on one grid, got {previous.grid.shape} and {new.grid.shape} voxels or different "
            "positions in space. Resample the new mask to the reference scan first."
        )
    added, removed, unchanged, relabelled = label_confusion(previous.array, new.array)
    total = 2 * unchanged + added + removed
    return MaskDiff(
        dice=1.0 if total == 0 else 2.0 * unchanged / total,
        voxels_added=added,
        voxels_removed=removed,
        voxels_unchanged=unchanged,
        volume_delta_mm3=(added - removed) * new.grid.voxel_volume_mm3,
        voxels_relabelled=relabelled,
    )


def replace_lesion(label_map: LabelMap, lesion: int, mask: NDArray[np.bool_]) -> LabelMap:
    """The label map with one lesion's voxels replaced by `mask`, except where another lesion already is.

    Args:
        label_map: the version to start from; it is not changed.
        lesion: lesion number 1..255, present or new.
        mask: (I, J, K) bool on the label map's grid; all False takes the lesion away.

    Raises:
        GeometryError: if the mask has another shape.
        InputError: if the mask is not bool or the lesion number is out of range.
    """
    if not 1 <= lesion <= 255:
        raise InputError(f"Expected a lesion number from 1 to 255, got {lesion}.")
    if mask.shape != label_map.array.shape:
        raise GeometryError(f"Expected a lesion mask of {label_map.array.shape} voxels, got {mask.shape}.")
    if mask.dtype != np.bool_:
        raise InputError(f"Expected a lesion mask of bool, got {mask.dtype}. Compare it with 0 first.")
    in_lesion = label_map.array == lesion
    free = label_map.array == 0
    array = label_map.array.copy()
    array[in_lesion] = 0
    array[mask & (in_lesion | free)] = lesion
    return LabelMap(array, label_map.grid)


def measure(label_map: LabelMap) -> tuple[LesionMeasure, ...]:
    """Volume, longest axial diameter and centroid of every lesion, by ascending number; () for an empty mask.

    Volume is voxels times voxel volume. The diameter is RECIST's longest in-plane diameter in the slices nearest to
    axial, edge to edge: the widest span of the convex hull of the outline halfway between inside and outside pixels,
    so that a single pixel measures its longer edge. Of a lesion in pieces that lie apart the diameters of the
    pieces add up, and the gap does not; pieces below `MIN_PIECE_MM3` are specks and add nothing.

    Source: Eisenhauer 2009, 10.1016/j.ejca.2008.10.026 (RECIST 1.1).
    """
    grid = label_map.grid
    measures = []
    around = bounding_box(label_map.array)  # lesions are a small part of a scan
    if around is None:
        return ()
    inside = label_map.array[around]
    for label, box in enumerate(find_objects(inside), start=1):
        if box is None:
            continue
        mask = inside[box] == label
        voxels = int(np.count_nonzero(mask))
        centre = np.argwhere(mask).mean(axis=0) + [a.start + b.start for a, b in zip(around, box, strict=True)]
        x, y, z = grid.to_mm(centre[None])[0]
        measures.append(
            LesionMeasure(
                label=label,
                lesion_id=f"L{label}",
                volume_mm3=voxels * grid.voxel_volume_mm3,
                voxels=voxels,
                longest_diameter_mm=added_diameters_mm(mask, grid),
                centroid_mm=(float(x), float(y), float(z)),
            )
        )
    return tuple(measures)


def axial_axis(grid: Grid) -> int:
    """The array axis (0, 1 or 2) that runs nearest to feet-head: slices across it are the axial ones."""
    return int(np.argmax(np.abs(grid.affine[2, :3]) / np.asarray(grid.spacing_mm)))


def added_diameters_mm(mask: NDArray[np.bool_], grid: Grid) -> float:
    """Longest in-plane diameters of a lesion's separate pieces added up, millimetres; 0 for an empty mask.

    Pieces share no face, edge or corner. Those below `MIN_PIECE_MM3` add nothing; where all are, the largest counts.

    Args: as `longest_axial_diameter_mm`. Source: Eisenhauer 2009, 10.1016/j.ejca.2008.10.026 (a lesion that fragments).
    """
    pieces, count = label_pieces(mask, structure=generate_binary_structure(3, 3))
    if count <= 1:
        return longest_axial_diameter_mm(mask, grid)
    sizes_mm3 = np.bincount(pieces.ravel(), minlength=count + 1)[1:] * grid.voxel_volume_mm3
    counted = np.flatnonzero(sizes_mm3 >= MIN_PIECE_MM3)
    counted = counted if counted.size else np.array([int(np.argmax(sizes_mm3))])
    boxes = find_objects(pieces)
    return sum(longest_axial_diameter_mm(pieces[boxes[n]] == n + 1, grid) for n in counted.tolist())


def longest_axial_diameter_mm(mask: NDArray[np.bool_], grid: Grid) -> float:
    """Longest in-plane diameter over the axial slices of one lesion's mask, millimetres; 0 for an empty mask.

    Args:
        mask: (I, J, K) bool, cropped or not; only spacing and direction are taken from the grid.
        grid: the label map's grid.
    """
    axis = axial_axis(grid)
    pixel_mm = np.delete(np.asarray(grid.spacing_mm), axis)
    slices = [plane for plane in np.moveaxis(mask, axis, 0) if plane.any()]
    outlines = sorted((_outline(plane, pixel_mm) for plane in slices), key=_reach, reverse=True)
    longest = 0.0
    for outline in outlines:
        if _reach(outline) <= longest:
            break
        longest = max(longest, widest_span(outline))
    return longest


def _outline(plane: NDArray[np.bool_], pixel_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points (n, 2) in mm half a pixel beyond each row's and column's outermost pixels: they hold the convex hull."""
    points: list[NDArray[Any]] = []
    for axis in (0, 1):
        lines = plane if axis == 0 else plane.T
        used = np.flatnonzero(lines.any(axis=1))
        first = lines[used].argmax(axis=1) - 0.5
        last = lines.shape[1] - 0.5 - lines[used][:, ::-1].argmax(axis=1)
        for end in (first, last):
            points.append(np.stack([used, end] if axis == 0 else [end, used], axis=1))
    return np.concatenate(points) * pixel_mm


def _reach(points: NDArray[np.float64]) -> float:
    """An upper bound of the widest span: the diagonal of the points' box."""
    return float(np.linalg.norm(np.ptp(points, axis=0)))


def widest_span(points: NDArray[np.float64]) -> float:
    """The largest distance between any two of (n, d) points; 0 for fewer than two."""
    if len(points) < 2:
        return 0.0
    with contextlib.suppress(QhullError):  # all in one line or plane: no hull to thin them out
        points = points[ConvexHull(points).vertices]
    return float(pdist(points).max())
