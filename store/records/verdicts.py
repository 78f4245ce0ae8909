"""The gates' verdicts on scans and masks."""

from __future__ import annotations

import uuid
from dataclasses import replace

from core.remembered.judgements import GateVerdict
from core.remembered.links import lesion_number
from core.remembered.rows import MaskVerdict, ScanVerdict
from core.remembered.untyped import JsonObject
from core.remembered.vocabulary import MASK_GATE_VERDICTS, SCAN_GATE_STATES
from core.review.doubts import gate_verdicts
from core.review.identity import ChangedIds
from core.types import MaskRecord
from store.ledger.writing import Change, LedgerBase, value_of, where
from store.records.links import Links
from store.records.scans import Scans
from store.records.staged_masks import with_mask_seen
from store.values import check_judgement, check_one_of, plain


class Verdicts:
    """Verdicts of the scan gate and the mask gate, oldest first."""

    def __init__(self, ledger: LedgerBase, scans: Scans, links: Links) -> None:
        self._ledger, self._scans, self._links = ledger, scans, links

    def add_scan_verdict(self, patient_id: str, timepoint: str, result: JsonObject, person: str) -> str:
        """Remember what the scan gate said of a timepoint; returns the score's id. Numbers in it must be finite."""
        self._scans.reference(patient_id, timepoint)
        check_one_of("state of the scan gate", result.get("state"), SCAN_GATE_STATES)
        check_judgement(result)
        values = {
            "score_id": str(uuid.uuid4()),
            "patient_id": patient_id,
            "timepoint": timepoint,
            "result": plain(dict(result), "result"),
        }
        self._ledger.write("ood.scored", person, lambda at: Change(values))
        return str(values["score_id"])

    def standing(self, record: MaskRecord) -> tuple[GateVerdict, GateVerdict]:
        """The scan gate's and the mask gate's verdict on a version as things are now: what deciding, pages and exports
        go by (`core.review.doubts`). One that was never given, or was of other files, is a doubt."""
        place = (record.patient_id, record.timepoint)
        scans = [scan.sha256 for scan in self._scans.of(*place)]
        return gate_verdicts(record, scans, self.of_scans(*place), self.of_masks(mask_id=record.mask_id))

    def of_scans(self, patient_id: str | None = None, timepoint: str | None = None) -> list[ScanVerdict]:
        """Verdicts on scans, oldest first."""
        clause, values = where(patient_id=patient_id, timepoint=timepoint)
        rows = self._ledger.db.query(f"SELECT * FROM ood_scores{clause} ORDER BY seq", values)
        return [value_of(ScanVerdict, row, decoded=["result"]) for row in rows]

    def add_mask_verdict(self, mask_id: str, result: JsonObject, person: str) -> str:
        """Remember what the mask gate said of a mask; returns the anomaly's id. Numbers in it must be finite. Its
        judgement gets the mask's file among those that were seen: a version's file never becomes another."""
        row = self._ledger.mask_row(mask_id)
        check_one_of("verdict of the mask gate", result.get("verdict"), MASK_GATE_VERDICTS)
        check_judgement(result)
        said = {"anomaly_id": str(uuid.uuid4()), "result": plain(dict(result), "result")}
        values = {**with_mask_seen(said, row["mask_sha256"]), "mask_id": mask_id}
        self._ledger.write("mask.scored", person, lambda at: Change(values))
        return str(values["anomaly_id"])

    def of_masks(
        self, patient_id: str | None = None, timepoint: str | None = None, mask_id: str | None = None
    ) -> list[MaskVerdict]:
        """Verdicts on masks, oldest first."""
        clause, values = where(m__patient_id=patient_id, m__timepoint=timepoint, a__mask_id=mask_id)
        rows = self._ledger.db.query(
            "SELECT a.*, m.patient_id, m.timepoint, m.version FROM mask_anomalies a "
            f"JOIN masks m ON m.mask_id = a.mask_id{clause} ORDER BY a.seq",
            values,
        )
        ids = self._links.changed_ids(patient_id=patient_id, timepoint=timepoint, mask_id=mask_id) if rows else {}
        verdicts = [value_of(MaskVerdict, row, decoded=["result"]) for row in rows]
        return [linked_verdict(verdict, ids.get(verdict.mask_id, {})) for verdict in verdicts]


def linked_verdict(verdict: MaskVerdict, ids: ChangedIds) -> MaskVerdict:
    """A verdict whose lesions are called as their labels are linked; the gate called each by its label's number."""
    if not ids or not verdict.lesions:
        return verdict
    lesions = [
        {**lesion, "lesion_id": ids.get(lesion_number(str(lesion["lesion_id"])), lesion["lesion_id"])}
        for lesion in verdict.lesions
    ]
    return replace(verdict, result={**verdict.result, "lesions": lesions})
