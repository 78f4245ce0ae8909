"""A person's draft becomes a version: the last step of editing in the reading room."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import nibabel as nib
import numpy as np

from core.errors import InputError, StoreError
from core.jobs.stages.common import StageStore, add_version
from core.jobs.stages.relinking import draft_links
from core.lesions.metrics import surface_distances
from core.review.model_answers import Answer
from core.review.provenance import explain
from core.review.readers import visible_masks
from core.types import Grid, LabelMap, MaskRecord


def save_draft(
    store: StageStore,
    patient_id: str,
    timepoint: str,
    *,
    parent_version: int | None,
    labels: LabelMap,
    answers: Sequence[Answer],
    person: str,
    drawn: Mapping[int, str | None] | None = None,
) -> dict[str, Any]:
    """Store a draft as a version, the child of the one that it was drawn on, scored by the mask gate.

    Its method, model and prompts are those of the answers that explain its voxels (`core.review.provenance.explain`);
    what no answer explains is by hand.

    Args:
        labels: the draft on the reference scan's grid.
        answers: those of the server that the draft cites, as the server remembers them, oldest first.
        drawn: label that the parent has not -> the lesion of the patient that the person drew, None: a new one; what it
            does not say is understood by `core.review.drawable`.

    Returns:
        version, mask_id, dice, voxels_added, voxels_removed, volume_delta_mm3, hausdorff95_mm; what compares is None
        without a parent, and the distance also where either mask is empty.

    Raises:
        InputError: if the draft is just as its parent.
        StoreError: if the person may not see the parent, and as `store.masks.add`.
    """
    parent = _parent(store, patient_id, timepoint, parent_version, person)
    before = None if parent is None else store.masks.load(parent)
    if not np.any(labels.array) if before is None else np.array_equal(before.array, labels.array):
        raise InputError(
            "Expected a draft that differs from its version, got one that is just the same. Nothing saved."
        )
    provenance = explain(
        None if before is None else before.array,
        labels.array,
        labels.grid,
        answers,
        _grids(store, patient_id, timepoint, answers),
    )
    last = provenance.answers[-1] if provenance.answers else None
    record = add_version(
        store,
        labels,
        patient_id,
        timepoint,
        method=provenance.method,
        author=person,
        model_checkpoint=last.model_id if last else None,
        checkpoint_sha256=last.checkpoint_sha256 if last else None,
        prompts=provenance.prompts(),
        parent_version=parent_version,
        links=draft_links(store, labels, parent, patient_id, timepoint, person, drawn),
    )
    return {
        "version": record.version,
        "mask_id": record.mask_id,
        "method": record.method,
        "dice": record.dice_vs_previous_version,
        "voxels_added": record.voxels_added,
        "voxels_removed": record.voxels_removed,
        "volume_delta_mm3": record.volume_delta_mm3,
        "hausdorff95_mm": hausdorff95_mm(before, labels),
    }


def _parent(store: StageStore, patient_id: str, timepoint: str, version: int | None, person: str) -> MaskRecord | None:
    if version is None:
        return None
    for record in visible_masks(store, patient_id, timepoint, person):
        if record.version == version:
            return record
    raise StoreError(f"Expected a version of {timepoint} that you may see as parent, got {version}. Nothing was saved.")


def _grids(store: StageStore, patient_id: str, timepoint: str, answers: Sequence[Answer]) -> dict[str, Grid]:
    """The grids of the scans that were asked, by SHA-256, of the files' headers alone."""
    asked = {answer.scan_sha256 for answer in answers}
    scans = [scan for scan in store.scans.of(patient_id, timepoint) if scan.sha256 in asked]
    images: dict[str, Any] = {scan.sha256: nib.load(store.scans.path(scan)) for scan in scans}
    return {scan.sha256: Grid(scan.shape, images[scan.sha256].affine) for scan in scans}


def hausdorff95_mm(before: LabelMap | None, after: LabelMap) -> float | None:
    """The 95th percentile of surface distances between two versions; None where either has no voxel."""
    if before is None or not np.any(before.array) or not np.any(after.array):
        return None
    return surface_distances(before.array, after.array, after.grid.spacing_mm).hausdorff95_mm
