"""What needs a person now, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from core.remembered.rows import MaskVerdict, ScanVerdict
from core.remembered.sources import HasDecisions, HasMasks, HasPatients, HasScans, HasVerdicts
from core.review.decisions import withdrawn_mask_ids
from core.types import MaskRecord


class WorklistStore(HasPatients, HasScans, HasMasks, HasVerdicts, HasDecisions, Protocol):
    """What the worklist reads."""


@dataclass(frozen=True)
class WorkItem:
    """One thing to do.

    Args:
        urgency: 0 = a gate has doubts or cannot judge, or a file is not as it was stored; 1 = a proposal waits;
            2 = nothing has been segmented yet.
        version: of the mask in question, None where there is none.
        task: what to do, in words.
        reason: why it is on the list.
    """

    urgency: int
    patient_id: str
    timepoint: str
    version: int | None
    task: str
    reason: str


OOD_FLAG = "out of distribution"


def work_items(store: WorklistStore) -> list[WorkItem]:
    """Everything that waits for a person, the most urgent first, then by patient and date; [] when all is done.

    A timepoint whose mask is accepted is done, whatever a gate said: a named person has decided. Not so where the file
    of that mask, or of a scan, is lost, altered or missing: the decision was about another file than is there now.
    """
    scans = {(row.patient_id, row.timepoint): row for row in store.verdicts.of_scans()}
    masks = {row.mask_id: row for row in store.verdicts.of_masks()}
    scan_files, files, to_affirm = store.scans.problems(), store.masks.problems(), store.decisions.to_affirm()
    items = []
    for patient in store.patients.all():
        patient_id = str(patient.patient_id)
        versions: dict[str, list[MaskRecord]] = {}
        for record in store.masks.of(patient_id):
            versions.setdefault(record.timepoint, []).append(record)
        back = withdrawn_mask_ids(store.decisions.of(patient_id))
        for timepoint in store.patients.timepoints(patient_id):
            here, scan = versions.get(timepoint, []), scans.get((patient_id, timepoint))
            altered = [f"scan {what}" for what in scan_files.get((patient_id, timepoint), [])]
            item = _file_item(patient_id, timepoint, here, altered, files)
            if item is None:
                doubts = [*altered, *_scan_doubts(scan), *_unproven(here, to_affirm)]
                item = _item(patient_id, timepoint, here, doubts, masks, back, files)
            if item is not None:
                items.append(item)
    return sorted(items, key=lambda item: (item.urgency, item.patient_id, item.timepoint))


def _item(
    patient_id: str,
    timepoint: str,
    versions: list[MaskRecord],
    doubts: list[str],
    anomalies: Mapping[str, MaskVerdict],
    back: frozenset[str],
    files: Mapping[str, str],
) -> WorkItem | None:
    """What is to be decided at a timepoint; None where a version is accepted.

    Args:
        doubts: about the timepoint's scans, in words.
        anomalies: mask id -> the mask gate's newest verdict.
        back: mask ids whose acceptance was withdrawn.
        files: mask id -> what is wrong with its file (`store.mask_problems`).
    """
    if any(record.status == "accepted" for record in versions):
        return None
    open_versions = [record for record in versions if record.status == "proposed"]
    if not open_versions:
        task = "Segment again" if versions else "Segment"
        # Accepting one version supersedes the others: withdrawn later, it leaves nothing proposed.
        withdrawn = any(record.status == "superseded" for record in versions)
        rejected = "the accepted version was withdrawn" if withdrawn else "every version was rejected"
        reason = rejected if versions else "no mask yet"
        return WorkItem(0 if doubts else 2, patient_id, timepoint, None, task, "; ".join([*doubts, reason]))
    readable = [record for record in open_versions if record.mask_id not in files]
    newest = (readable or open_versions)[-1]
    doubts = [*doubts, *(f"version {r.version}: {files[r.mask_id]}" for r in open_versions if r.mask_id in files)]
    anomaly = anomalies.get(newest.mask_id)
    if anomaly is None:
        doubts.append("mask gate: cannot be judged, as it was not scored")
    elif anomaly.flagged:
        doubts.append(f"mask gate: unusual shape (p = {anomaly.p_value:.3f})")
    again = ": its acceptance was withdrawn" if newest.mask_id in back else ""
    reason = "; ".join([*doubts, f"version {newest.version} ({newest.method}) is proposed{again}"])
    return WorkItem(0 if doubts else 1, patient_id, timepoint, newest.version, "Accept or reject", reason)


def _unproven(versions: list[MaskRecord], to_affirm: Mapping[str, str]) -> list[str]:
    """What a rebuild could not prove of the versions that are proposed: a person affirms it by accepting one."""
    return [
        f"version {record.version} waits to be affirmed: {to_affirm[record.mask_id]}"
        for record in versions
        if record.status == "proposed" and record.mask_id in to_affirm
    ]


def _scan_doubts(scan: ScanVerdict | None) -> list[str]:
    if scan is None or scan.state != OOD_FLAG:
        return []
    return [f"scan gate: out of distribution ({scan.score:.2f}, threshold {scan.threshold:.2f})"]


def _file_item(
    patient_id: str, timepoint: str, versions: list[MaskRecord], altered_scans: list[str], files: Mapping[str, str]
) -> WorkItem | None:
    """A timepoint that was decided, and whose files are no longer those that the decision was about; else None."""
    accepted = next((record for record in versions if record.status == "accepted"), None)
    if accepted is None:
        return None
    reasons = list(altered_scans)
    if accepted.mask_id in files:
        reasons.append(f"accepted version {accepted.version}: {files[accepted.mask_id]}, so it left the curve")
    if not reasons:
        return None
    return WorkItem(0, patient_id, timepoint, accepted.version, "Look at the file", "; ".join(reasons))
