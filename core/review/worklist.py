"""What needs a person now, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from core.remembered.judgements import GateVerdict
from core.remembered.lists import HasViews, WorklistRow, WorklistVersion
from core.remembered.sources import HasDecisions, HasMasks, HasScans
from core.review.doubted_since import new_doubts
from core.review.doubts import gate_verdicts, scan_gate_verdict


class WorklistStore(HasViews, HasScans, HasMasks, HasDecisions, Protocol):
    """Store parts that the worklist reads."""


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


def work_items(store: WorklistStore) -> list[WorkItem]:
    """Everything that waits for a person, the most urgent first, then by patient and date; [] when all is done.

    A timepoint whose mask is accepted is done, whatever a gate said: a named person has decided. Not so where the file
    of that mask, or of a scan, is lost, altered or missing: the decision was about another file than is there now. Nor
    where a gate has come to doubt it since: that doubt nobody has answered (`core.review.doubted_since`).
    """
    scan_files, files, to_affirm = store.scans.problems(), store.masks.problems(), store.decisions.to_affirm()
    since = {version.mask_id: doubts for version in store.views.judged_since() if (doubts := new_doubts(version))}
    items = []
    for row in store.views.worklist():
        altered = [f"scan {what}" for what in scan_files.get((row.patient_id, row.timepoint), [])]
        item = _file_item(row, altered, files) or _doubted_item(row, since)
        if item is None:
            item = _item(row, [*altered, *_scan_doubts(row), *_unproven(row, to_affirm)], files)
        if item is not None:
            items.append(item)
    return sorted(items, key=lambda item: (item.urgency, item.patient_id, item.timepoint))


def _item(row: WorklistRow, doubts: list[str], files: Mapping[str, str]) -> WorkItem | None:
    """What is to be decided at a timepoint; None where a version is accepted.

    Args:
        doubts: about the timepoint's scans, in words.
        files: mask id -> what is wrong with its file (`masks.problems`).
    """
    versions = row.versions
    if any(record.status == "accepted" for record in versions):
        return None
    open_versions = [record for record in versions if record.status == "proposed"]
    if not open_versions:
        task = "Segment again" if versions else "Segment"
        # Accepting one version supersedes the others: withdrawn later, it leaves nothing proposed.
        withdrawn = any(record.status == "superseded" for record in versions)
        rejected = "the accepted version was withdrawn" if withdrawn else "every version was rejected"
        reason = rejected if versions else "no mask yet"
        return WorkItem(0 if doubts else 2, row.patient_id, row.timepoint, None, task, "; ".join([*doubts, reason]))
    readable = [record for record in open_versions if record.mask_id not in files]
    newest = (readable or open_versions)[-1]
    doubts = [*doubts, *(f"version {r.version}: {files[r.mask_id]}" for r in open_versions if r.mask_id in files)]
    if (of_mask := _mask_verdict(row, newest)).is_doubt:
        doubts.append(_said(of_mask))
    again = ": its acceptance was withdrawn" if newest.last_verdict == "withdraw" else ""
    reason = "; ".join([*doubts, f"version {newest.version} ({newest.method}) is proposed{again}"])
    urgency = 0 if doubts else 1
    return WorkItem(urgency, row.patient_id, row.timepoint, newest.version, "Accept or reject", reason)


def _doubted_item(row: WorklistRow, since: Mapping[str, Sequence[GateVerdict]]) -> WorkItem | None:
    """A timepoint that was decided, and whose accepted version a gate has come to doubt; else None."""
    accepted = next((record for record in row.versions if record.mask_id in since), None)
    if accepted is None:
        return None
    said = " ".join(doubt.words for doubt in since[accepted.mask_id])
    reason = f"version {accepted.version} is accepted, and doubted since: {said}"
    return WorkItem(0, row.patient_id, row.timepoint, accepted.version, "Affirm or withdraw", reason)


def _unproven(row: WorklistRow, to_affirm: Mapping[str, str]) -> list[str]:
    """What a rebuild could not prove of the versions that are proposed: a person affirms it by accepting one."""
    return [
        f"version {record.version} waits to be affirmed: {to_affirm[record.mask_id]}"
        for record in row.versions
        if record.status == "proposed" and record.mask_id in to_affirm
    ]


def _scan_doubts(row: WorklistRow) -> list[str]:
    """What the scan gate says against the scans as they are now; that it was not asked is none before there is a
    mask."""
    newest = next((record for record in reversed(row.versions) if record.status == "proposed"), None)
    place = (row.patient_id, row.timepoint)
    said = scan_gate_verdict(place, row.scan_sha256s, row.scan_verdicts, newest.mask_id if newest else None)
    not_asked = newest is None and said.verdict_id is None
    return [_said(said)] if said.is_doubt and not not_asked else []


def _mask_verdict(row: WorklistRow, version: WorklistVersion) -> GateVerdict:
    said = version.mask_verdict
    return gate_verdicts(version, row.scan_sha256s, (), () if said is None else (said,))[1]


def _said(verdict: GateVerdict) -> str:
    """A doubt as the list tells it: "scan gate: doubtful. The scan …", of its reason the first sentence alone, without
    the last full stop. Review has the rest."""
    said = verdict.judgement
    first = said.reason.split(". ")[0].rstrip(".")
    stale = ", of other files than those that are there" if verdict.stale else ""
    return f"{verdict.gate} gate: {said.verdict}{stale}. {first}"


def _file_item(row: WorklistRow, altered_scans: list[str], files: Mapping[str, str]) -> WorkItem | None:
    """A timepoint that was decided, and whose files are no longer those that the decision was about; else None."""
    accepted = next((record for record in row.versions if record.status == "accepted"), None)
    if accepted is None:
        return None
    reasons = list(altered_scans)
    if accepted.mask_id in files:
        reasons.append(f"accepted version {accepted.version}: {files[accepted.mask_id]}, so it left the curve")
    if not reasons:
        return None
    return WorkItem(0, row.patient_id, row.timepoint, accepted.version, "Look at the file", "; ".join(reasons))
