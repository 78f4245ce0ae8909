"""Events of patients: treatments, steroid doses, clinical status."""

from __future__ import annotations

import uuid

from core.remembered.rows import Event
from core.remembered.untyped import Json
from core.types import parse_date
from store.ledger.writing import Change, LedgerBase, value_of
from store.values import check_id, check_text, check_texts, plain


class Events:
    """Events of patients, by date."""

    def __init__(self, ledger: LedgerBase) -> None:
        self._ledger = ledger

    def add(self, patient_id: str, date: str, kind: str, detail: Json, person: str) -> str:
        """Remember a treatment, steroid dose or clinical status; `detail` is text or JSON values. Returns its id."""
        self._ledger.dataset_of(patient_id), check_text("date", date), parse_date(date)
        check_texts("detail", detail)
        values = {
            "event_id": str(uuid.uuid4()),
            "patient_id": patient_id,
            "date": date,
            "kind": check_id("kind", kind),
            "detail": plain(detail, "detail"),
        }
        self._ledger.write("event.added", person, lambda at: Change(values))
        return str(values["event_id"])

    def of(self, patient_id: str) -> list[Event]:
        """A patient's events by date."""
        rows = self._ledger.db.query("SELECT * FROM events WHERE patient_id = ? ORDER BY date, seq", [patient_id])
        return [value_of(Event, row, decoded=["detail"]) for row in rows]
