"""Patients, their data sets and the dates of their timepoints."""

from __future__ import annotations

from core.remembered.rows import Patient
from store.ledger.writing import LedgerBase, value_of


class Patients:
    """Who is there, and when they were scanned."""

    def __init__(self, ledger: LedgerBase) -> None:
        self._ledger = ledger

    def datasets(self) -> list[str]:
        """Names of the datasets, sorted."""
        return [
            row["dataset"] for row in self._ledger.db.query("SELECT DISTINCT dataset FROM patients ORDER BY dataset")
        ]

    def all(self) -> list[Patient]:
        """All patients by id, with how much there is of each."""
        rows = self._ledger.db.query(
            """
            SELECT p.patient_id, p.dataset, p.added_at,
                   (SELECT min(t.timepoint) FROM timepoints t WHERE t.patient_id = p.patient_id) AS first_timepoint,
                   (SELECT max(t.timepoint) FROM timepoints t WHERE t.patient_id = p.patient_id) AS last_timepoint,
                   (SELECT count(*) FROM timepoints t WHERE t.patient_id = p.patient_id) AS timepoints,
                   (SELECT count(*) FROM scans s WHERE s.patient_id = p.patient_id) AS scans,
                   (SELECT count(*) FROM masks m WHERE m.patient_id = p.patient_id) AS masks,
                   (SELECT count(*) FROM masks m WHERE m.patient_id = p.patient_id AND m.status = 'proposed')
                       AS proposed,
                   (SELECT count(*) FROM masks m WHERE m.patient_id = p.patient_id AND m.status = 'accepted')
                       AS accepted
            FROM patients p ORDER BY p.patient_id
            """
        )
        return [value_of(Patient, row) for row in rows]

    def require(self, patient_id: str) -> None:
        """Raise StoreError unless the patient is there, InputError if the id cannot be one."""
        self._ledger.dataset_of(patient_id)

    def timepoints(self, patient_id: str) -> list[str]:
        """Dates of a patient's timepoints, ascending; [] for a patient who is not there."""
        sql = "SELECT timepoint FROM timepoints WHERE patient_id = ? ORDER BY timepoint"
        return [row["timepoint"] for row in self._ledger.db.query(sql, [patient_id])]
