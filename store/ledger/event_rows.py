"""What events of patients are in an audit entry, and in the table.

    event.added        event_id, patient_id, date, kind, detail
    events.imported    events: as many of these, of any patients; patient_id where they are of one
    event.corrected    the new event, with the id that it corrects and the reason
    event.withdrawn    event_id, patient_id, reason

An event that was corrected or withdrawn keeps its row, with who, when and why; `events.of` tells of it no more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from core.remembered.untyped import JsonDict
from store.database.connection import Writer
from store.ledger.audit import Entry
from store.ledger.statements import insert, update
from store.values import check_id, check_text

EVENT_COLUMNS = ("event_id", "patient_id", "date", "kind", "detail")


def _insert(db: Writer, entry: Entry, event: JsonDict, **more: object) -> None:
    row = {name: event[name] for name in EVENT_COLUMNS}
    insert(db, "events", row | {name: entry[name] for name in ("person", "created_at", "seq")} | more)


def _added(db: Writer, entry: Entry, payload: JsonDict) -> None:
    _insert(db, entry, payload)


def _imported(db: Writer, entry: Entry, payload: JsonDict) -> None:
    for place, event in enumerate(payload["events"]):
        _insert(db, entry, event, place=place)


def _corrected(db: Writer, entry: Entry, payload: JsonDict) -> None:
    corrects = check_id("event id", payload["corrects"])
    _insert(db, entry, payload, corrects=corrects)
    _set_aside(db, entry, corrects, payload, payload["event_id"])


def _withdrawn(db: Writer, entry: Entry, payload: JsonDict) -> None:
    _set_aside(db, entry, check_id("event id", payload["event_id"]), payload, None)


def _set_aside(db: Writer, entry: Entry, event_id: str, payload: JsonDict, replaced_by: str | None) -> None:
    said = {"withdrawn_by": entry["person"], "withdrawn_at": entry["created_at"], "replaced_by": replaced_by}
    update(db, "events", {**said, "withdrawn_reason": check_text("reason", payload["reason"])}, {"event_id": event_id})


ACTIONS: Mapping[str, Callable[[Writer, Entry, JsonDict], None]] = {
    "event.added": _added,
    "events.imported": _imported,
    "event.corrected": _corrected,
    "event.withdrawn": _withdrawn,
}
