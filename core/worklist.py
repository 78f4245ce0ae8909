"""What needs a person now, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from core.decisions import withdrawn
from core.types import Decision, MaskRecord


class WorklistStore(Protocol):
    """What the worklist reads."""

    def patients(self) -> list[dict[str, Any]]: ...
    def timepoints(self, patient_id: str) -> list[str]: ...
    def masks(self, patient_id: str, timepoint: str | None = None) -> list[MaskRecord]: ...
    def ood_scores(self, patient_id: str | None = None, timepoint: str | None = None) -> list[dict[str, Any]]: ...
    def mask_anomalies(self, patient_id: str | None = None) -> list[dict[str, Any]]: ...
    def decisions(self, patient_id: str) -> list[Decision]: ...


@dataclass(frozen=True)
class WorkItem:
    """One thing to do.

    Args:
        urgency: 0 = a gate has doubts, 1 = a proposal waits, 2 = nothing has been segmented yet.
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

    A timepoint whose mask is accepted is done, whatever a gate said: a named person has decided.
    """
    scans = {(row["patient_id"], row["timepoint"]): row for row in store.ood_scores()}
    masks = {row["mask_id"]: row for row in store.mask_anomalies()}
    items = []
    for patient in store.patients():
        patient_id = str(patient["patient_id"])
        versions: dict[str, list[MaskRecord]] = {}
        for record in store.masks(patient_id):
            versions.setdefault(record.timepoint, []).append(record)
        back = withdrawn(store.decisions(patient_id))
        for timepoint in store.timepoints(patient_id):
            here, scan = versions.get(timepoint, []), scans.get((patient_id, timepoint))
            item = _item(patient_id, timepoint, here, scan, masks, back)
            if item is not None:
                items.append(item)
    return sorted(items, key=lambda item: (item.urgency, item.patient_id, item.timepoint))


def _item(
    patient_id: str,
    timepoint: str,
    versions: list[MaskRecord],
    scan: dict[str, Any] | None,
    anomalies: dict[str, dict[str, Any]],
    back: frozenset[str],
) -> WorkItem | None:
    if any(record.status == "accepted" for record in versions):
        return None
    doubts = [_scan_doubt(scan)] if scan is not None and scan["state"] == OOD_FLAG else []
    open_versions = [record for record in versions if record.status == "proposed"]
    if not open_versions:
        task = "Segment again" if versions else "Segment"
        # Accepting one version supersedes the others: withdrawn later, it leaves nothing proposed.
        withdrawn = any(record.status == "superseded" for record in versions)
        rejected = "the accepted version was withdrawn" if withdrawn else "every version was rejected"
        reason = rejected if versions else "no mask yet"
        return WorkItem(0 if doubts else 2, patient_id, timepoint, None, task, "; ".join([*doubts, reason]))
    newest = open_versions[-1]
    anomaly = anomalies.get(newest.mask_id)
    if anomaly is not None and anomaly["flagged"]:
        doubts.append(f"mask gate: unusual shape (p = {anomaly['p_value']:.3f})")
    again = ": its acceptance was withdrawn" if newest.mask_id in back else ""
    reason = "; ".join([*doubts, f"version {newest.version} ({newest.method}) is proposed{again}"])
    return WorkItem(0 if doubts else 1, patient_id, timepoint, newest.version, "Accept or reject", reason)


def _scan_doubt(scan: dict[str, Any]) -> str:
    return f"scan gate: out of distribution ({scan['score']:.2f}, threshold {scan['threshold']:.2f})"
