"""Measurements that persons drew on scans and kept."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence

from core.errors import InputError, StoreError
from core.remembered.flips import Flip, flips_said
from core.remembered.hand_measurements import Drawn, HandMeasurement, Measured
from core.remembered.untyped import JsonDict
from store.database.connection import Row
from store.ledger.writing import Change, LedgerBase
from store.values import check_person, check_text, plain

_ALL = (
    "SELECT h.*, s.patient_id, s.timepoint, s.scan_id "
    "FROM hand_measurements h JOIN scans s ON s.sha256 = h.scan_sha256 "
)


class Measurements:
    """Kept measurements, by scan. What was kept stays on record: it is withdrawn with a reason."""

    def __init__(self, ledger: LedgerBase) -> None:
        self._ledger = ledger

    def add(
        self, drawn: Drawn, found: Measured, person: str, flips: Sequence[Flip] = (), flips_told: str = ""
    ) -> HandMeasurement:
        """Keep what was drawn, with what it measures (`core.lesions.caliper.measured`, of the scan as it is stored).

        Args:
            flips: calls that it changes, for the audit; `core.twin.hand_preview` finds them.
            flips_told: how the person was told of them; "" where there is none.

        Raises:
            StoreError: for a scan that is not there.
        """
        scan = self._scan(drawn.scan_sha256)
        values: JsonDict = {
            "measurement_id": str(uuid.uuid4()),
            "of_patient": scan["patient_id"],
            **vars(drawn),
            "points_mm": [[float(x) for x in point] for point in drawn.points_mm],
            "value": found.value,
            "unit": found.unit,
            "statistics": None if found.statistics is None else plain(found.statistics, "statistics"),
        }

        def build(at: str) -> Change:
            now = self._scan(drawn.scan_sha256)
            place = {"patient_id": now["patient_id"], "timepoint": now["timepoint"]}
            return Change(values | place | flips_said(flips, flips_told))

        self._ledger.write("measurement.added", person, build)
        return self.by_id(values["measurement_id"])

    def withdraw(
        self, measurement_id: str, person: str, reason: str, flips: Sequence[Flip] = (), flips_told: str = ""
    ) -> None:
        """Take a measurement back; it stays on record, with who, when and why.

        Args:
            reason: in words. flips, flips_told: as of `add`.

        Raises:
            InputError: without a reason.
            StoreError: if there is no such measurement, or it stands no more.
        """
        check_person(person)
        if not check_text("reason", reason).strip():
            raise InputError("Expected a reason in words: what was wrong with it. It stays on record.")

        def build(at: str) -> Change:
            found = self.by_id(measurement_id)
            if not found.stands:
                raise StoreError(
                    f"The measurement {measurement_id} was withdrawn by {found.withdrawn_by} at {found.withdrawn_at}: "
                    f"{found.withdrawn_reason}. Nothing was recorded."
                )
            place = {"patient_id": found.patient_id, "timepoint": found.timepoint}
            said = {"measurement_id": measurement_id, "reason": reason, **flips_said(flips, flips_told)}
            return Change(said | place)

        self._ledger.write("measurement.withdrawn", person, build)

    def of(self, patient_id: str) -> list[HandMeasurement]:
        """Those on a patient's scans that stand, oldest first."""
        return [one for one in self.history(patient_id) if one.stands]

    def history(self, patient_id: str) -> list[HandMeasurement]:
        """All that were ever kept on a patient's scans, oldest first."""
        rows = self._ledger.db.query(_ALL + "WHERE s.patient_id = ? ORDER BY h.seq", [patient_id])
        return [_measurement(row) for row in rows]

    def of_all(self) -> dict[str, list[HandMeasurement]]:
        """Those of all patients that stand, by patient, oldest first."""
        found: dict[str, list[HandMeasurement]] = {}
        for row in self._ledger.db.query(_ALL + "WHERE h.withdrawn_at IS NULL ORDER BY h.seq"):
            found.setdefault(row["patient_id"], []).append(_measurement(row))
        return found

    def by_id(self, measurement_id: str) -> HandMeasurement:
        """One, whether it stands or not. Raises StoreError if there is none of that id."""
        rows = self._ledger.db.query(_ALL + "WHERE h.measurement_id = ?", [measurement_id])
        if not rows:
            raise StoreError(
                f"There is no measurement {str(measurement_id)[:80]!r}. `measurement list PATIENT` lists them."
            )
        return _measurement(rows[0])

    def _scan(self, sha256: str) -> Row:
        rows = self._ledger.db.query("SELECT patient_id, timepoint FROM scans WHERE sha256 = ?", [sha256])
        if not rows:
            raise StoreError("There is no scan to measure on any more. Reload the page. Nothing was recorded.")
        return rows[0]


def _measurement(row: Row) -> HandMeasurement:
    values = {name: row[name] for name in HandMeasurement.__dataclass_fields__}
    values["points_mm"] = tuple(tuple(point) for point in json.loads(row["points_mm"]))
    values["statistics"] = None if row["statistics"] is None else json.loads(row["statistics"])
    return HandMeasurement(**values)
