"""The gates' verdicts on scans and masks."""

from __future__ import annotations

import uuid

from core.remembered.rows import MaskVerdict, ScanVerdict
from core.remembered.untyped import JsonObject
from core.remembered.vocabulary import MASK_GATE_VERDICTS, SCAN_GATE_STATES
from store.ledger.writing import Change, LedgerBase, value_of, where
from store.records.scans import Scans
from store.values import check_one_of, plain


class Verdicts:
    """Verdicts of the scan gate and the mask gate, oldest first."""

    def __init__(self, ledger: LedgerBase, scans: Scans) -> None:
        self._ledger, self._scans = ledger, scans

    def add_scan_verdict(self, patient_id: str, timepoint: str, result: JsonObject, person: str) -> str:
        """Remember what the scan gate said of a timepoint; returns the score's id. Numbers in it must be finite."""
        self._scans.reference(patient_id, timepoint)
        check_one_of("state of the scan gate", result.get("state"), SCAN_GATE_STATES)
        values = {
            "score_id": str(uuid.uuid4()),
            "patient_id": patient_id,
            "timepoint": timepoint,
            "result": plain(dict(result), "result"),
        }
        self._ledger.write("ood.scored", person, lambda at: Change(values))
        return str(values["score_id"])

    def of_scans(self, patient_id: str | None = None, timepoint: str | None = None) -> list[ScanVerdict]:
        """Verdicts on scans, oldest first."""
        clause, values = where(patient_id=patient_id, timepoint=timepoint)
        rows = self._ledger.db.query(f"SELECT * FROM ood_scores{clause} ORDER BY seq", values)
        return [value_of(ScanVerdict, row, decoded=["result"]) for row in rows]

    def add_mask_verdict(self, mask_id: str, result: JsonObject, person: str) -> str:
        """Remember what the mask gate said of a mask; returns the anomaly's id. Numbers in it must be finite."""
        self._ledger.mask_row(mask_id)
        check_one_of("verdict of the mask gate", result.get("verdict"), MASK_GATE_VERDICTS)
        values = {"anomaly_id": str(uuid.uuid4()), "mask_id": mask_id, "result": plain(dict(result), "result")}
        self._ledger.write("mask.scored", person, lambda at: Change(values))
        return values["anomaly_id"]

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
        return [value_of(MaskVerdict, row, decoded=["result"]) for row in rows]
