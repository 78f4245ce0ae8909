"""The parts that a network of several classes tells of a lesion (enhancing, necrotic, oedema), beside its label.

A label says which lesion a voxel belongs to, a compartment which part of it. They are never changed: a version that a
person draws on another keeps those of that other where both have a lesion, and what is new in it has no compartment
("not told").

The enhancing part is told by its class's name (`is_enhancing`), and by nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from scipy.ndimage import find_objects

from core.lesions.diameters import diameters
from core.remembered.compartments import Compartments, clipped
from core.types import LabelMap, LesionMeasure

#: What of a lesion has no compartment.
NOT_TOLD = "not told"
_NOT = ("non", "not", "no", "without", "un")


def is_enhancing(name: str) -> bool:
    """Whether a class is, by its name, what takes up contrast: "enhancing tumour", "ET", not "non-enhancing"."""
    words = re.split(r"[^a-z]+", name.lower())
    if any(word.startswith(("nonenhanc", "unenhanc")) for word in words) or any(word in _NOT for word in words):
        return False
    return any(word.startswith("enhanc") for word in words) or [w for w in words if w] == ["et"]


def with_compartments(
    lesions: Sequence[LesionMeasure], labels: LabelMap, compartments: Compartments
) -> tuple[LesionMeasure, ...]:
    """The lesions, each with its compartments: () for a lesion of which the network told none.

    Each is name, volume_mm3, longest_diameter_mm and short_axis_mm; one that the lesion has not is 0 in all of them,
    since the network looked for it. What has no compartment comes last, as `NOT_TOLD`, with its volume alone.
    """
    inside = clipped(compartments, labels)
    boxes = find_objects(labels.array)
    return tuple(replace(one, compartments=_of_lesion(one.label, boxes, labels, inside)) for one in lesions)


def _of_lesion(
    label: int, boxes: Sequence[tuple[slice, ...] | None], labels: LabelMap, inside: Compartments
) -> tuple[Mapping[str, str | float], ...]:
    box = boxes[label - 1]
    assert box is not None, "a measured lesion has voxels"
    parts = np.where(labels.array[box] == label, inside.array[box], np.uint8(0))
    if not parts.any():
        return ()
    corner = (box[0].start, box[1].start, box[2].start)
    out: list[Mapping[str, str | float]] = []
    for number, name in sorted(inside.names.items()):
        mask = parts == number
        found = diameters(mask, labels.grid, corner) if mask.any() else None
        out.append(
            {
                "name": name,
                "volume_mm3": float(np.count_nonzero(mask)) * labels.grid.voxel_volume_mm3,
                "longest_diameter_mm": 0.0 if found is None else float(found.longest_mm),
                "short_axis_mm": 0.0 if found is None else float(found.short_axis_mm),
            }
        )
    rest = int(np.count_nonzero((labels.array[box] == label) & (parts == 0)))
    if rest:
        out.append({"name": NOT_TOLD, "volume_mm3": rest * labels.grid.voxel_volume_mm3})
    return tuple(out)
