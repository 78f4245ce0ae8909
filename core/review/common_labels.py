"""One numbering for several readers' masks of one timepoint: the same lesion under the same label in all of them.

A label is a number within one file, and what is the first lesion to one reader may be the second to another. Which
lesion each label is the links say (`core.review.identity`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import generate_binary_structure, label

from core.errors import GeometryError, InputError
from core.lesions.matching import MAX_LESIONS
from core.remembered.links import is_unlinked, lesion_number, unlinked_id
from core.types import LabelMap

LesionOf = Mapping[int, str]


@dataclass(frozen=True)
class CommonLabels:
    """Readers' masks under one numbering.

    Args:
        masks: by reader, on their grids as they were.
        lesion_of: label -> lesion id; `unlinked_id(label)` where nobody could tell which lesion it is.
    """

    masks: Mapping[str, LabelMap]
    lesion_of: LesionOf


def common_labels(masks: Mapping[str, LabelMap], lesion_of: Mapping[str, LesionOf]) -> CommonLabels:
    """The readers' masks, in which a lesion has one label whoever drew it.

    A lesion has its own number where that is a label (1..255), else the highest that is free; its pieces in one mask
    come together. What nobody could link is told by place: voxels that touch each other, whoever drew them, are one.

    Args:
        masks: by reader, on one grid.
        lesion_of: by reader, label -> lesion id as records name it.

    Raises:
        GeometryError: if the masks lie on different grids.
        InputError: if there are more than 255 lesions in all.
    """
    names = {name for labels in lesion_of.values() for name in labels.values() if not is_unlinked(name)}
    label_of: dict[str, int] = {}
    for name in sorted(names, key=lambda name: (lesion_number(name), name)):
        label_of[name] = lesion_number(name)
    unlinked = {reader: _unlinked(mask, lesion_of[reader]) for reader, mask in masks.items()}
    blobs, count = _blobs(unlinked)
    _check_count(len(names) + count)
    taken = {number for number in label_of.values() if 1 <= number <= MAX_LESIONS}
    free = iter([number for number in range(MAX_LESIONS, 0, -1) if number not in taken])
    label_of = {name: number if number in taken else next(free) for name, number in label_of.items()}
    blob_label = np.array([0, *(next(free) for _ in range(count))], dtype=np.uint8)
    renamed = {}
    for reader, mask in masks.items():
        lookup = np.zeros(MAX_LESIONS + 1, dtype=np.uint8)
        for number, name in lesion_of[reader].items():
            lookup[number] = label_of.get(name, 0)
        array = lookup[mask.array]
        if count:
            array[unlinked[reader]] = blob_label[blobs[unlinked[reader]]]
        renamed[reader] = LabelMap(array, mask.grid)
    return CommonLabels(
        renamed,
        {number: name for name, number in label_of.items()} | {int(n): unlinked_id(int(n)) for n in blob_label[1:]},
    )


def _unlinked(mask: LabelMap, lesion_of: LesionOf) -> NDArray[np.bool_]:
    """Voxels of labels that are linked to none."""
    labels = [number for number in mask.labels if is_unlinked(lesion_of.get(number, unlinked_id(number)))]
    return np.isin(mask.array, labels)


def _blobs(unlinked: Mapping[str, NDArray[np.bool_]]) -> tuple[NDArray[np.int32], int]:
    """Connected pieces (26 neighbours) of what any reader has there, numbered from 1; and how many."""
    arrays = list(unlinked.values())
    if not any(array.any() for array in arrays):
        return np.zeros((0, 0, 0), np.int32), 0
    if len({array.shape for array in arrays}) > 1:
        raise GeometryError("Expected all readers' masks on one grid. Resample them to the reference scan first.")
    pieces, count = label(np.logical_or.reduce(arrays), structure=generate_binary_structure(3, 3))
    return np.asarray(pieces, dtype=np.int32), int(count)


def _check_count(count: int) -> None:
    if count > MAX_LESIONS:
        raise InputError(
            f"Expected at most {MAX_LESIONS} lesions in the readers' masks together, got {count}. Link their lesions "
            "on Review first."
        )
