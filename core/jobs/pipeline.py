"""The stages in their order: scans and masks in, then jobs that compute and records that remember.

Knows no SQL and no page: stores come as `core.jobs.stages.common.StageStore`. Each job is three functions
(`core.jobs.jobs.JobKind`): prepare and record run where the store is, compute runs in a worker on files alone.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from core.errors import InputError
from core.gates.scan import measuring
from core.imaging.orienting import canonical
from core.imaging.reading_apart import read_mask
from core.imaging.volumes import orientation, resample
from core.jobs.jobs import JobKind
from core.jobs.scan_import import ScanDetails, import_scan
from core.jobs.stages import mask_gate, refine, scan_gate, segment, verify
from core.jobs.stages.common import StageStore, add_version
from core.remembered.vocabulary import MaskMethod
from core.review.readers import newest_visible_version
from core.types import Grid, LabelMap, MaskRecord


def import_mask(store: StageStore, file: Path, *, patient_id: str, timepoint: str, author: str) -> MaskRecord:
    """A mask drawn elsewhere becomes the next version; it must lie on the reference scan's grid.

    A mask on another scan's grid of the same timepoint is resampled (nearest neighbour) to the reference grid. Its
    parent is the newest version that its author may see.
    """
    grid = store.scans.reference_grid(patient_id, timepoint)
    with store.scratch() as scratch:
        imported = canonical(read_mask(file, scratch), orientation(grid))
        labels = (
            imported if imported.grid.matches(grid) else _on_reference(store, imported, grid, patient_id, timepoint)
        )
        parent = newest_visible_version(store, patient_id, timepoint, author)
        return add_version(
            store,
            labels,
            patient_id,
            timepoint,
            method=MaskMethod.IMPORT,
            author=author,
            parent_version=parent,
        )


def _on_reference(store: StageStore, labels_there: LabelMap, grid: Grid, patient_id: str, timepoint: str) -> LabelMap:
    """A mask of another scan of the timepoint, resampled; refused if it is of none, or loses a lesion on the way."""
    others = [store.scans.load(s).grid for s in store.scans.of(patient_id, timepoint)]
    if not any(labels_there.grid.matches(other) for other in others):
        raise InputError(
            f"The mask's grid {labels_there.grid.shape} fits none of the timepoint's scans "
            f"({', '.join(str(g.shape) for g in others)}). Draw or resample it on one of them."
        )
    labels = LabelMap(resample(labels_there.array, labels_there.grid, grid, "nearest").astype(np.uint8), grid)
    lost = sorted(set(labels_there.labels) - set(labels.labels))
    if lost:
        raise InputError(
            f"Lesion {', '.join(map(str, lost))} of the mask has no voxel on the reference scan's grid: it lies "
            "outside that scan, or between its voxels. Draw the mask on the reference scan."
        )
    return labels


__all__ = ["KINDS", "ScanDetails", "import_mask", "import_scan"]

KINDS: dict[str, JobKind] = {
    "segment": JobKind("segment", segment.prepare_segment, segment.compute_segment, segment.record_segment),
    "refine": JobKind("refine", refine.prepare_refine, refine.compute_refine, refine.record_refine),
    "score_ood": JobKind(
        "score_ood", scan_gate.prepare_score_scan, scan_gate.compute_score_scan, scan_gate.record_score_scan
    ),
    mask_gate.KIND.name: mask_gate.KIND,
    "evaluate_ood": JobKind(
        "evaluate_ood",
        measuring.prepare_evaluate_scan_gate,
        measuring.compute_evaluate_scan_gate,
        measuring.record_evaluate_scan_gate,
    ),
    verify.KIND.name: verify.KIND,
}
