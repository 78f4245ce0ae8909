"""The stages in their order: scans and masks in, then jobs that compute and records that remember.

Knows no SQL and no page: stores come as `core.stages.common.StageStore`. Each job is three functions
(`core.jobs.JobKind`): prepare and record run where the store is, compute runs in a worker on files alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import InputError
from core.jobs import JobKind
from core.ood import measuring
from core.readers import newest_visible_mask
from core.stages import ood, refine, segment
from core.stages.common import StageStore, add_version
from core.types import LabelMap, MaskRecord, Modality, Scan, parse_date
from core.volumes import open_scan, read_label_map, resample


def import_scan(
    store: StageStore,
    files: Sequence[Path],
    *,
    dataset: str,
    patient_id: str,
    timepoint: str,
    modality: Modality,
    sequence: str = "",
    person: str,
    extra: Mapping[str, Any] | None = None,
) -> Scan:
    """Reads, checks and stores one scan; nothing is kept when any check fails.

    Raises:
        InputError: the files are not one image, or the names cannot be used. StoreError: the scan is there already.
    """
    parse_date(timepoint)
    if sequence and modality != "MR":
        raise InputError(f"Expected a sequence for MR only, got {sequence!r} for {modality}. Leave it empty.")
    volume, metadata = open_scan(list(files), modality, sequence)
    return store.add_scan(
        volume, dataset=dataset, patient_id=patient_id, timepoint=timepoint, person=person,
        metadata={**metadata, **(extra or {})},
    )  # fmt: skip


def import_mask(store: StageStore, file: Path, *, patient_id: str, timepoint: str, reviewer: str) -> MaskRecord:
    """A mask drawn elsewhere becomes the next version; it must lie on the reference scan's grid.

    A mask on another scan's grid of the same timepoint is resampled (nearest neighbour) to the reference grid. Its
    parent is the newest version that its reviewer may see.
    """
    grid = store.load_reference_grid(patient_id, timepoint)
    own = read_label_map(file)
    if own.grid.matches(grid):
        labels = own
    else:
        others = [store.load_volume(s).grid for s in store.scans(patient_id, timepoint)]
        if not any(own.grid.matches(other) for other in others):
            raise InputError(
                f"The mask's grid {own.grid.shape} fits none of the timepoint's scans "
                f"({', '.join(str(g.shape) for g in others)}). Draw or resample it on one of them."
            )
        labels = LabelMap(resample(own.array, own.grid, grid, "nearest").astype(np.uint8), grid)
        lost = sorted(set(own.labels) - set(labels.labels))
        if lost:
            raise InputError(
                f"Lesion {', '.join(map(str, lost))} of the mask has no voxel on the reference scan's grid: it lies "
                "outside that scan, or between its voxels. Draw the mask on the reference scan."
            )
    parent = newest_visible_mask(store, patient_id, timepoint, reviewer)
    return add_version(
        store, labels, patient_id, timepoint, method="import", reviewer=reviewer,
        parent_version=parent.version if parent else None,
    )  # fmt: skip


KINDS: dict[str, JobKind] = {
    "segment": JobKind("segment", segment.prepare_segment, segment.compute_segment, segment.record_segment),
    "refine": JobKind("refine", refine.prepare_refine, refine.compute_refine, refine.record_refine),
    "score_ood": JobKind("score_ood", ood.prepare_score_ood, ood.compute_score_ood, ood.record_score_ood),
    "evaluate_ood": JobKind(
        "evaluate_ood", measuring.prepare_evaluate_ood, measuring.compute_evaluate_ood, measuring.record_evaluate_ood
    ),
}
