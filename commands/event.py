"""Verbs on events: what was given to a patient and what became of them, entered, corrected, withdrawn, imported."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from commands.parameters import Patient
from commands.running import READS, WRITES, Session
from commands.timepoint import Reason
from commands.verbs import group, verb
from core.errors import InputError

if TYPE_CHECKING:
    import datetime as dt

    from core.remembered.flips import Flip
    from core.remembered.rows import Event, EventRecord
    from core.remembered.untyped import JsonDict

app = group("event", "Events: surgery, radiotherapy, drugs, steroids, clinical status, relapse, death, last contact.")

Day = Annotated[str, typer.Argument(metavar="DATE", help="day of the event, YYYY-MM-DD")]
Kind = Annotated[str, typer.Argument(metavar="KIND", help="as radiotherapy; another one is answered with all of them")]
Details = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY=VALUE]…", help="as dose_gy=50; another key is answered with those of the kind"),
]
EventId = Annotated[str, typer.Argument(metavar="ID", help="of the event; `event list` tells it")]


@verb(app, "add", WRITES, example='P1 2025-02-01 radiotherapy technique=vmat "site=left hip" dose_gy=50 fractions=25')
def add(session: Session, patient: Patient, date: Day, kind: Kind, details: Details = None) -> object:
    """Enters an event of a patient; "flips" has the visits whose call is another one since."""
    from core.review.events import checked_event
    from core.twin.response_change import events_with

    event = checked_event(kind, date, _detail_of(details), _today())
    session.store.patients.require(patient)
    events = session.store.events
    moved, told = _flips(session, patient, events_with(events.of(patient), event, patient))
    new = events.add(patient, event.date, str(event.kind), event.detail, session.person, moved, told)
    return {**shown(events.by_id(new)), "flips": [vars(flip) for flip in moved]}


@verb(app, "list", READS, example="P1 --json")
def list_events(
    session: Session,
    patient: Patient,
    withdrawn: Annotated[bool, typer.Option("--withdrawn", help="also those that stand no more")] = False,
) -> object:
    """Lists a patient's events by date, how rules read each of them, and what they do not read."""
    session.store.patients.require(patient)
    events = session.store.events.history(patient)
    return [shown(one) for one in sorted(events, key=lambda one: one.date) if one.stands or withdrawn]


@verb(app, "correct", WRITES, example='P1 6f1d1c1e-0000-4000-8000-000000000000 dose_gy=60 --reason "a slip"')
def correct(
    session: Session,
    patient: Patient,
    event_id: EventId,
    reason: Reason,
    details: Details = None,
    date: Annotated[str | None, typer.Option(metavar="DATE", help="the right day (default: the same)")] = None,
    kind: Annotated[str | None, typer.Option(metavar="KIND", help="the right kind (default: the same)")] = None,
) -> object:
    """Corrects an event: the values given replace those that it had, KEY= takes one away; the old one stays on record.

    With another kind, or of an event in free text, nothing is kept of the old values.
    """
    from core.review.events import checked_event, is_checked
    from core.twin.response_change import events_with

    old = _of_patient(session, patient, event_id)
    keeps = is_checked(old) and kind in (None, old.kind)
    detail = {**(old.detail if keeps else {}), **_detail_of(details, empty=True)}
    kept = {key: value for key, value in detail.items() if value != ""}
    event = checked_event(kind or old.kind, date or old.date, kept, _today())
    events = session.store.events
    moved, told = _flips(session, patient, events_with(events.of(patient), event, patient, event_id))
    said = (event.date, str(event.kind), event.detail, session.person, reason)
    new = events.correct(event_id, *said, moved, told)
    return {**shown(events.by_id(new)), "flips": [vars(flip) for flip in moved]}


@verb(app, "withdraw", WRITES, example='P1 6f1d1c1e-0000-4000-8000-000000000000 --reason "of another patient"')
def withdraw(session: Session, patient: Patient, event_id: EventId, reason: Reason) -> object:
    """Takes an event back: no rule reads it any more; it stays on record."""
    from core.twin.response_change import events_without

    _of_patient(session, patient, event_id)
    events = session.store.events
    moved, told = _flips(session, patient, events_without(events.of(patient), event_id))
    events.withdraw(event_id, session.person, reason, moved, told)
    return {**shown(events.by_id(event_id)), "flips": [vars(flip) for flip in moved]}


@verb(app, "import", WRITES, example="events.csv")
def import_events(
    session: Session,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV: patient,date,kind and a column a key")],
) -> object:
    """Enters the events of a table: all of them, or none where a line is no event; every such line is named."""
    from core.remembered.flips import TOLD
    from core.review.event_table import events_of_table, refuse_known
    from core.twin.response_change import preview_new_events

    store = session.store
    new = events_of_table(file, [row.patient_id for row in store.patients.all()], _today())
    refuse_known(store.events, new, file.name)
    found = preview_new_events(store, new, session.person)
    told = TOLD if found.flips else found.told
    ids = store.events.add_all(new, session.person, found.flips, told)
    flips = {patient: [vars(flip) for flip in moved] for patient, moved in found.flips.items()}
    return {"imported": len(ids), "patients": sorted({one.patient_id for one in new}), "event_ids": ids, "flips": flips}


def _flips(session: Session, patient: str, events: list[Event]) -> tuple[tuple[Flip, ...], str]:
    """The visits whose call becomes another one with these events (a treatment may move the baseline that is proposed),
    and how the person is told of them."""
    from core.remembered.flips import TOLD
    from core.twin.response_change import preview_events

    found = preview_events(session.store, patient, events, session.person)
    return found.flips, TOLD if found.flips else found.told


def _today() -> dt.date:
    import datetime

    return datetime.datetime.now().astimezone().date()


def _detail_of(details: list[str] | None, *, empty: bool = False) -> JsonDict:
    """KEY=VALUE words as a detail. Raises InputError for what is none, a key given twice, and one without a value."""
    found: JsonDict = {}
    for word in details or []:
        key, equals, value = word.partition("=")
        key = key.strip().replace("-", "_")
        if not equals or not key or key in found or not (value.strip() or empty):
            raise InputError(f"Expected KEY=VALUE, each key once, got {word[:80]!r}. As in dose_gy=50.")
        found[key] = value.strip()
    return found


def _of_patient(session: Session, patient: str, event_id: str) -> EventRecord:
    event = session.store.events.by_id(event_id)
    if event.patient_id != patient:
        raise InputError(f"Expected an event of {patient}, got one of another. `event list {patient}` lists them.")
    return event


def shown(event: EventRecord) -> dict[str, object]:
    """An event as the command line prints it: what was entered, how rules read it, and what became of it."""
    from core.review.event_words import read_event
    from core.review.events import event_text
    from core.review.steroids import dexamethasone_mg

    read = read_event(event)
    alike = None
    if {"drug", "mg_per_day"} <= read.detail.keys():
        alike = dexamethasone_mg(str(read.detail["drug"]), float(read.detail["mg_per_day"]))
    return {
        "event_id": event.event_id,
        "patient_id": event.patient_id,
        "date": event.date,
        "kind": event.kind,
        "detail": event.detail,
        "text": event_text(event),
        "read_as": None if read.kind is None else str(read.kind),
        "read_detail": read.detail,
        "not_recognised": read.not_recognised or None,
        "dexamethasone_mg_per_day": alike,
        "entered_by": event.person,
        "created_at": event.created_at,
        "corrects": event.corrects,
        "stands": event.stands,
        "replaced_by": event.replaced_by,
        "withdrawn_by": event.withdrawn_by,
        "withdrawn_at": event.withdrawn_at,
        "reason": event.withdrawn_reason,
    }
