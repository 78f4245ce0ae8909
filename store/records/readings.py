"""How a timepoint is read: blind or not, and who has finished."""

from __future__ import annotations

from core.access import ADJUDICATOR
from core.errors import InputError
from core.remembered.rows import FinishedReading
from core.review.readers import AUTOMATIC_METHODS, CONSENSUS_METHOD
from store.database.connection import Connection
from store.ledger import actors
from store.ledger.writing import Change, LedgerBase, value_of
from store.records.scans import Scans
from store.values import check_person

_CLOSED = """
SELECT r.patient_id, r.timepoint FROM reading_settings r
WHERE r.blind
  AND NOT EXISTS (SELECT 1 FROM readings_finished f WHERE f.patient_id = r.patient_id AND f.timepoint = r.timepoint
                                                      AND f.person = ?)
  AND (NOT ? OR EXISTS (
      SELECT 1 FROM masks m WHERE m.patient_id = r.patient_id AND m.timepoint = r.timepoint
        AND m.status <> 'rejected' AND NOT list_contains(?::VARCHAR[], m.method)
        AND NOT EXISTS (SELECT 1 FROM readings_finished f WHERE f.patient_id = r.patient_id
                                                            AND f.timepoint = r.timepoint AND f.person = m.reviewer)))
  AND (? IS NULL OR r.patient_id = ?) AND (? IS NULL OR r.timepoint = ?)
ORDER BY r.patient_id, r.timepoint
"""
#: Of who drew there, or of anybody where nobody drew, not everybody has finished.
_OPEN = """
SELECT 1 FROM reading_settings r
WHERE r.blind AND r.patient_id = ? AND r.timepoint = ?
  AND (NOT EXISTS (SELECT 1 FROM readings_finished f WHERE f.patient_id = r.patient_id AND f.timepoint = r.timepoint)
       OR EXISTS (
      SELECT 1 FROM masks m WHERE m.patient_id = r.patient_id AND m.timepoint = r.timepoint
        AND m.status <> 'rejected' AND NOT list_contains(?::VARCHAR[], m.method)
        AND NOT EXISTS (SELECT 1 FROM readings_finished f WHERE f.patient_id = r.patient_id
                                                            AND f.timepoint = r.timepoint AND f.person = m.reviewer)))
"""
#: Methods of versions that are nobody's reading.
_NO_READING = sorted(str(method) for method in (*AUTOMATIC_METHODS, CONSENSUS_METHOD))


def _closed(
    db: Connection, person: str, patient_id: str | None = None, timepoint: str | None = None
) -> list[tuple[str, str]]:
    adjudicates = actors.role_of(db, person) == ADJUDICATOR
    place = [patient_id, patient_id, timepoint, timepoint]
    rows = db.query(_CLOSED, [person, adjudicates, _NO_READING, *place])
    return [(row["patient_id"], row["timepoint"]) for row in rows]


def blind_reading_is_open(db: Connection, patient_id: str, timepoint: str, person: str) -> bool:
    """Whether a timepoint is read blind, and nobody has finished, somebody who drew there has not, or this person does
    not see all of it yet: what they accept would replace what they do not see.

    Args:
        db: of the whole store: who has not finished may be hidden from whoever asks.
    """
    return bool(db.query(_OPEN, [patient_id, timepoint, _NO_READING]) or _closed(db, person, patient_id, timepoint))


class Readings:
    """Several readers of one timepoint."""

    def __init__(self, ledger: LedgerBase, scans: Scans) -> None:
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

    def closed_to(self, person: str) -> list[tuple[str, str]]:
        """The timepoints (patient id, date) of which this person sees only what an engine made and their own readings.

        Those that are read blind and that they have not finished. An adjudicator comes after the readers: to them a
        timepoint is closed only while somebody who drew there, be it themselves, has not finished.
        """
        return _closed(self._ledger.whole.db, person)

    def is_closed(self, patient_id: str, timepoint: str, person: str) -> bool:
        """Whether that timepoint is among `closed_to`."""
        return bool(_closed(self._ledger.whole.db, person, patient_id, timepoint))

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
