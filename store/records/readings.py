"""How a timepoint is read: blind or not, and who has finished."""

from __future__ import annotations

from core.errors import InputError
from core.remembered.rows import FinishedReading
from store.ledger.writing import Change, Ledger, value_of
from store.records.scans import Scans
from store.values import check_person


class Readings:
    """Several readers of one timepoint."""

    def __init__(self, ledger: Ledger, scans: Scans) -> None:
        self._ledger, self._scans = ledger, scans

    def set_blind(self, patient_id: str, timepoint: str, blind: bool, person: str) -> None:
        """Have a timepoint read blind, or no longer; the same setting again writes nothing.

        Raises:
            InputError: if `blind` is no bool.
            StoreError: if there is no such timepoint.
        """
        self._scans.reference(patient_id, timepoint)
        if not isinstance(blind, bool):
            raise InputError(f"Expected true or false for blind reading, got {str(blind)[:40]!r}.")
        if self.is_blind(patient_id, timepoint) != blind:
            values = {"patient_id": patient_id, "timepoint": timepoint, "blind": blind}
            self._ledger.write("reading.set", person, lambda at: Change(values))

    def is_blind(self, patient_id: str, timepoint: str) -> bool:
        """Whether a timepoint is read blind; it is not unless somebody set it so."""
        sql = "SELECT blind FROM reading_settings WHERE patient_id = ? AND timepoint = ?"
        rows = self._ledger.db.query(sql, [patient_id, timepoint])
        return bool(rows and rows[0]["blind"])

    def finish(self, patient_id: str, timepoint: str, person: str) -> None:
        """A person says to have finished reading a timepoint, for good; a second time writes nothing.

        Raises:
            StoreError: if there is no such timepoint.
        """
        self._scans.reference(patient_id, timepoint)
        check_person(person)
        if person not in {row.person for row in self.finished(patient_id, timepoint)}:
            values = {"patient_id": patient_id, "timepoint": timepoint}
            self._ledger.write("reading.finished", person, lambda at: Change(values))

    def finished(self, patient_id: str, timepoint: str) -> list[FinishedReading]:
        """Who has finished reading a timepoint, and when; first come first."""
        rows = self._ledger.db.query(
            "SELECT person, created_at FROM readings_finished WHERE patient_id = ? AND timepoint = ? "
            "ORDER BY created_at, person",
            [patient_id, timepoint],
        )
        return [value_of(FinishedReading, row) for row in rows]
