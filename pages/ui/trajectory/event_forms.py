"""Forms for events of a patient, by the table of fields of `core.review.events`; what flips is seen before a click."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import streamlit as st

from core.errors import InputError, TwinReviewError
from core.remembered.rows import Event, EventRecord
from core.remembered.vocabulary import EventKind
from core.review.event_words import read_event
from core.review.events import ENTERED_KINDS, FIELDS, CheckedEvent, Field, checked_event, event_text, is_checked
from core.twin.response_change import Foreseen, events_with, events_without, preview_events
from core.twin.timeline import PatientTimeline
from core.types import parse_date
from pages.ui.frame import session
from pages.ui.guard import rights
from pages.ui.shared.edit_notice import CONFIRM_FIRST
from pages.ui.shared.text import plain
from pages.ui.trajectory.foreseen_notice import confirmed_change
from store import SeenStore

_COLUMNS = 3
#: Before any that a patient here can have had; Streamlit's own begins ten years ago.
_EARLIEST = dt.date(1900, 1, 1)


@dataclass(frozen=True)
class _Place:
    """Which form of which patient; another turn is an empty one."""

    patient: str
    form: str
    turn: int

    def key(self, name: str) -> str:
        return session.EVENT_FIELD.key(self.patient, self.turn, self.form, name)


@dataclass(frozen=True)
class _Write:
    """What a button writes. Args: action: as the audit calls it; record: writes it, with what was foreseen."""

    action: str
    label: str
    done: str
    record: Callable[[Foreseen], object]


def today() -> dt.date:
    """The day of whoever works here."""
    return dt.datetime.now().astimezone().date()


def enter(store: SeenStore, timeline: PatientTimeline) -> None:
    """A form for a new event."""
    patient = timeline.patient_id
    place = _place(patient, "enter")
    date, kind = _day_and_kind(place, None, EventKind.DRUG_START)
    found = _checked(kind, date, _fields(place, kind, {}))

    def record(seen: Foreseen) -> None:
        if isinstance(found, CheckedEvent):
            said = (found.date, str(found.kind), found.detail)
            store.events.add(patient, *said, store.person, seen.flips, seen.told)

    events = None if isinstance(found, InputError) else events_with(store.events.of(patient), found, patient)
    problem = found if isinstance(found, InputError) else None
    _finish(store, timeline, place, events, problem, _Write("event.added", "Enter this event", "Entered.", record))


def correct(store: SeenStore, timeline: PatientTimeline, standing: Sequence[EventRecord]) -> None:
    """A form to put another event in the place of one."""
    patient = timeline.patient_id
    old = _choose(patient, "correct", standing, "Event to correct")
    place = _place(patient, f"correct {old.event_id}")
    kind_now = read_event(old).kind or EventKind.OTHER
    date, kind = _day_and_kind(place, old, kind_now)
    kept = old.detail if is_checked(old) and kind == old.kind else {}
    found = _checked(kind, date, _fields(place, kind, kept))
    reason = _reason(place)

    def record(seen: Foreseen) -> None:
        if isinstance(found, CheckedEvent):
            said = (found.date, str(found.kind), found.detail)
            store.events.correct(old.event_id, *said, store.person, reason, seen.flips, seen.told)

    events = None
    if isinstance(found, CheckedEvent):
        events = events_with(store.events.of(patient), found, patient, old.event_id)
    problem = found if isinstance(found, InputError) else None
    what = _Write("event.corrected", "Correct this event", "Corrected; the old one stays on record.", record)
    _finish(store, timeline, place, events, problem, what)


def withdraw(store: SeenStore, timeline: PatientTimeline, standing: Sequence[EventRecord]) -> None:
    """A form to take an event back."""
    patient = timeline.patient_id
    old = _choose(patient, "withdraw", standing, "Event to withdraw")
    place = _place(patient, f"withdraw {old.event_id}")
    reason = _reason(place)
    events = events_without(store.events.of(patient), old.event_id)
    what = _Write(
        "event.withdrawn",
        "Withdraw this event",
        "Withdrawn; it stays on record.",
        lambda seen: store.events.withdraw(old.event_id, store.person, reason, seen.flips, seen.told),
    )
    _finish(store, timeline, place, events, None, what)


def _place(patient: str, form: str) -> _Place:
    return _Place(patient, form, session.EVENT_TURN.get(patient) or 0)


def _choose(patient: str, form: str, standing: Sequence[EventRecord], label: str) -> EventRecord:
    by_id = {one.event_id: one for one in standing}
    key = session.EVENT_CHOSEN.key(patient, form)
    if session.EVENT_CHOSEN.get(patient, form) not in by_id:
        session.EVENT_CHOSEN.drop(patient, form)
    chosen = st.selectbox(
        label,
        list(by_id),
        format_func=lambda name: f"{by_id[name].date} {event_text(by_id[name])}",
        key=key,
    )
    return by_id[chosen]


def _day_and_kind(place: _Place, old: EventRecord | None, kind_now: EventKind) -> tuple[str | None, str]:
    """The day, None where none is given yet, and the kind."""
    first, second = st.columns([2, 4])
    day = first.date_input(
        "Day *",
        value=None if old is None else parse_date(old.date),
        min_value=_EARLIEST,
        format="YYYY-MM-DD",
        key=place.key("day"),
        help="The first day of what was given over several.",
    )
    kind = second.selectbox(
        "Kind *",
        [str(one) for one in ENTERED_KINDS],
        index=ENTERED_KINDS.index(kind_now) if kind_now in ENTERED_KINDS else 0,
        format_func=lambda one: one.replace("-", " "),
        key=place.key("kind"),
    )
    return day.isoformat() if isinstance(day, dt.date) else None, str(kind)


def _fields(place: _Place, kind: str, kept: Mapping[str, object]) -> dict[str, object]:
    """What was given under the keys of a kind; what was left empty is not among it."""
    given: dict[str, object] = {}
    fields = FIELDS[EventKind(kind)]
    for start in range(0, len(fields), _COLUMNS):
        for column, one in zip(st.columns(_COLUMNS), fields[start : start + _COLUMNS], strict=False):
            with column:
                value = _field(place.key(f"{kind} {one.key}"), one, kept.get(one.key))
            if value is not None and value != "":
                given[one.key] = value
    return given


def label_of(one: Field) -> str:
    """ "dose gy *": the key as words, with a star where it is needed."""
    words = one.key.replace("_", " ").replace(" gy", ", Gy").replace("mg per day", "mg a day").replace(" ml", ", mL")
    return f"{words[:1].upper()}{words[1:]}{' *' if one.required else ''}"


def _field(key: str, one: Field, kept: object) -> object:
    label, about = label_of(one), plain(one.means)
    if one.shape in ("number", "whole number"):
        whole = one.shape == "whole number"
        number = None if not isinstance(kept, int | float) else int(kept) if whole else float(kept)
        return st.number_input(
            plain(label), value=number, step=1 if whole else 0.1, format="%d" if whole else "%g", key=key, help=about
        )
    if one.shape == "day":
        day = st.date_input(
            plain(label),
            value=parse_date(str(kept)) if kept else None,
            min_value=_EARLIEST,
            format="YYYY-MM-DD",
            key=key,
            help=about,
        )
        return day.isoformat() if isinstance(day, dt.date) else None
    if not one.choices:
        return st.text_input(plain(label), value=str(kept or ""), key=key, help=about).strip()
    options = [*one.choices, *([str(kept)] if kept and kept not in one.choices else [])]
    return st.selectbox(
        plain(label),
        options,
        index=options.index(str(kept)) if kept else None,
        key=key,
        help=about,
        placeholder="not given",
        accept_new_options=one.shape == "words",
    )


def _reason(place: _Place) -> str:
    return st.text_input("Reason *", key=place.key("reason"), placeholder="what was wrong with it; it is kept")


def _checked(kind: str, date: str | None, detail: Mapping[str, object]) -> CheckedEvent | InputError:
    if date is None:
        return InputError("Expected a day, got none.")
    try:
        return checked_event(kind, date, detail, today())
    except InputError as error:
        return error


def _finish(
    store: SeenStore,
    timeline: PatientTimeline,
    place: _Place,
    events: Sequence[Event] | None,
    problem: InputError | None,
    what: _Write,
) -> None:
    """What it changes, and the button that writes it; what is no event is refused when the button is pressed."""
    found, meant = Foreseen(), True
    if events is not None:
        found = preview_events(store, place.patient, events, store.person, timeline)
        made_of = [(one.date, one.kind, str(one.detail)) for one in events]
        meant = confirmed_change(found, place.key(f"mean {made_of}"))
    state = rights.button(store, store.person, what.action, CONFIRM_FIRST if not meant else None, not meant)
    if not st.button(plain(what.label), type="primary", key=place.key("write"), **state) or not meant:
        return
    if problem is not None:
        st.error(plain(problem))
        return
    try:
        what.record(found)
    except TwinReviewError as error:
        st.error(plain(error))
        return
    session.EVENT_TURN.set(place.turn + 1, place.patient)
    session.EVENT_TOLD.set(what.done, place.patient)
    st.rerun()
