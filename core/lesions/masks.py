"""What is done with a label map: compare two versions, replace one lesion, measure every lesion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from core.errors import GeometryError, InputError
from core.lesions.diameters import diameters
from core.lesions.metrics import bounding_box, label_confusion
from core.types import LabelMap, LesionMeasure


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
    """Volume, diameters, slices and centroid of every lesion, by ascending number; () for an empty mask.

    Volume is voxels times voxel volume. The diameters are `core.lesions.diameters.diameters`': in the slices nearest to
    axial, edge to edge, added up over the pieces of a lesion in pieces that lie apart.

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
        corner = [a.start + b.start for a, b in zip(around, box, strict=True)]
        x, y, z = grid.to_mm((np.argwhere(mask).mean(axis=0) + corner)[None])[0]
        found = diameters(mask, grid, (corner[0], corner[1], corner[2]))
        assert found is not None, "a label that is there has a voxel"
        measures.append(
            LesionMeasure(
                label=label,
                lesion_id=f"L{label}",
                volume_mm3=voxels * grid.voxel_volume_mm3,
                voxels=voxels,
                longest_diameter_mm=found.longest_mm,
                centroid_mm=(float(x), float(y), float(z)),
                short_axis_mm=found.short_axis_mm,
                longest_diameter_3d_mm=found.longest_3d_mm,
                slices=found.slices,
            )
        )
    return tuple(measures)
