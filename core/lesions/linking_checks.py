"""What the links of a mask, taken together, say against the registration that they were told by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from core.lesions.linking_assignment import Assignment
from core.lesions.linking_evidence import Cloud, Look

#: Lesions that all lie this far to one side were moved by the registration rather than by the tumour (assumed).
DRIFT_MM = 4.0


def drift_mm(one: Look, here: Mapping[int, Cloud], found: Assignment) -> float:
    """How far all lesions that were told by one look lie to one side of their places, millimetres.

    The length of the median way (component by component) from where the middle of a lesion was to where its label has
    it. Lesions that split or merged are left out. With fewer than two lesions it is 0: one may have grown to one side.
    """
    ways = [
        here[label].points_mm.mean(axis=0) - one.lesions[lesion].points_mm.mean(axis=0)
        for label, lesion in found.lesion_of.items()
        if found.edges[label, lesion].look is one
        and len(found.labels_of(lesion)) == 1
        and not found.came_together(label)
    ]
    return float(np.linalg.norm(np.median(ways, axis=0))) if len(ways) > 1 else 0.0


def drifts(here: Mapping[int, Cloud], looks: Sequence[Look], found: Assignment) -> dict[str, float]:
    """Mask id -> drift, of those looks where it is `DRIFT_MM` or more."""
    lengths = {one.known.mask_id: drift_mm(one, here, found) for one in looks}
    return {mask_id: length for mask_id, length in lengths.items() if length >= DRIFT_MM}


def few_found(again: int, new: int, gone: int) -> str | None:
    """A doubt where fewer lesions were found again than are both new and gone: so it looks if the scans do not fit."""
    if again >= min(new, gone):
        return None
    return (
        f"{gone} lesions are gone, {new} are new and only {again} found again: the scans may not be aligned. Compare "
        "them by eye."
    )
