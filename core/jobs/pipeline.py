"""The stages in their order: scans and masks in, then jobs that compute and records that remember.

Knows no SQL and no page: stores come as `core.jobs.stages.common.StageStore`. Each job is three functions
(`core.jobs.jobs.JobKind`): prepare and record run where the store is, compute runs in a worker on files alone.
"""

from __future__ import annotations

from core.gates.scan import measuring
from core.jobs.jobs import JobKind
from core.jobs.mask_import import import_mask
from core.jobs.scan_import import ScanDetails, import_scan
from core.jobs.stages import (
    learn_evidence,
    lesion_looks,
    mask_gate,
    refine,
    rescoring,
    scan_gate,
    scan_reference,
    segment,
    verify,
)

__all__ = ["KINDS", "ScanDetails", "import_mask", "import_scan"]


KINDS: dict[str, JobKind] = {
    "segment": JobKind("segment", segment.prepare_segment, segment.compute_segment, segment.record_segment),
    "refine": JobKind("refine", refine.prepare_refine, refine.compute_refine, refine.record_refine),
    "score_ood": JobKind(
        "score_ood", scan_gate.prepare_score_scan, scan_gate.compute_score_scan, scan_gate.record_score_scan
    ),
    mask_gate.KIND.name: mask_gate.KIND,
    rescoring.KIND.name: rescoring.KIND,
    scan_reference.KIND.name: scan_reference.KIND,
    lesion_looks.KIND.name: lesion_looks.KIND,
    learn_evidence.KIND.name: learn_evidence.KIND,
    "evaluate_ood": JobKind(
        "evaluate_ood",
        measuring.prepare_evaluate_scan_gate,
        measuring.compute_evaluate_scan_gate,
        measuring.record_evaluate_scan_gate,
    ),
    verify.KIND.name: verify.KIND,
}
