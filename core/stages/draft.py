"""A person's draft becomes a version: the last step of editing in the reading room."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from core.errors import InputError
from core.metrics import surface_distances
from core.stages.common import StageStore, add_version
from core.types import LabelMap


def method_of(prompts: Sequence[Mapping[str, Any]], by_hand: bool) -> str:
    """What made a draft: "medsam", "manual", or "medsam-manual"."""
    answered = any(prompt.get("model_id") for prompt in prompts)
    return "medsam-manual" if answered and by_hand else "medsam" if answered else "manual"


def save_draft(
    store: StageStore, patient_id: str, timepoint: str, *, parent_version: int | None, labels: LabelMap,
    prompts: Sequence[Mapping[str, Any]], by_hand: bool, person: str,
) -> dict[str, Any]:  # fmt: skip
    """Store a draft as a version, the child of the one that it was drawn on, scored by the mask gate.

    Args:
        labels: the draft on the reference scan's grid.
        prompts: boxes and points; those that a model answered carry its model_id and checkpoint_sha256. One whose
            answer was not kept ("kept": false) has no part in the version.
        by_hand: whether anything was drawn, not only answered by the model.

    Returns:
        version, mask_id, dice, voxels_added, voxels_removed, volume_delta_mm3, hausdorff95_mm; what compares is None
        without a parent, and the distance also where either mask is empty.

    Raises:
        InputError: if the draft is just as its parent.
        StoreError: as `store.add_mask`.
    """
    parent = None if parent_version is None else store.mask(patient_id, timepoint, parent_version)
    before = None if parent is None else store.load_mask(parent)
    if not np.any(labels.array) if before is None else np.array_equal(before.array, labels.array):
        raise InputError(
            "Expected a draft that differs from its version, got one that is just the same. Nothing saved."
        )
    prompts = [{k: v for k, v in prompt.items() if k != "kept"} for prompt in prompts if prompt.get("kept", True)]
    model: Mapping[str, Any] = next((prompt for prompt in reversed(prompts) if prompt.get("model_id")), {})
    record = add_version(
        store, labels, patient_id, timepoint, method=method_of(prompts, by_hand), reviewer=person,
        model_checkpoint=model.get("model_id"), checkpoint_sha256=model.get("checkpoint_sha256"),
        prompts=prompts, parent_version=parent_version,
    )  # fmt: skip
    return {
        "version": record.version, "mask_id": record.mask_id, "method": record.method,
        "dice": record.dice_vs_previous_version, "voxels_added": record.voxels_added,
        "voxels_removed": record.voxels_removed, "volume_delta_mm3": record.volume_delta_mm3,
        "hausdorff95_mm": hausdorff95_mm(before, labels),
    }  # fmt: skip


def hausdorff95_mm(before: LabelMap | None, after: LabelMap) -> float | None:
    """The 95th percentile of surface distances between two versions; None where either has no voxel."""
    if before is None or not np.any(before.array) or not np.any(after.array):
        return None
    return surface_distances(before.array, after.array, after.grid.spacing_mm).hausdorff95_mm
