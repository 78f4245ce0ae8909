"""Events of patients: surgery, radiotherapy, drugs, steroids, clinical status, relapse, death; and whatever else."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence

from core.errors import InputError, StoreError
from core.remembered.flips import Flip, flips_of_patients_said, flips_said
from core.remembered.rows import Event, EventRecord, NewEvent
from core.remembered.untyped import Json, JsonDict
from core.remembered.vocabulary import EventKind
from core.review.events import ENTERED_KINDS, checked_event
from core.types import parse_date
from store.ledger.writing import Change, LedgerBase, value_of
from store.values import check_id, check_person, check_text, check_texts, plain

_STANDING = "SELECT * FROM events WHERE patient_id = ? AND withdrawn_at IS NULL ORDER BY date, seq, place"


class Events:
    """Events of patients, by date. What was entered stays on record: it is corrected or withdrawn with a reason."""

    def __init__(self, ledger: LedgerBase) -> None:
        self._ledger = ledger

    def add(
        self,
        patient_id: str,
        date: str,
        kind: str,
        detail: Json,
        person: str,
        flips: Sequence[Flip] = (),
        flips_told: str = "",
    ) -> str:
        """Remember an event. Returns its id.

        Args:
            detail: JSON values as `core.review.events.FIELDS` has them for its kind, which are checked; free text; of
                any other kind, anything that JSON can hold.
            flips: calls of visits that become others by it, for the audit (`core.twin.response_change`).
            flips_told: how the person was told of them; "" where there is none.

        Raises:
            InputError: for what such an event cannot hold, and a second death.
            StoreError: for a patient who is not there.
        """
        event = NewEvent(patient_id, date, kind, detail)
        values = self._values(event)

        def build(at: str) -> Change:
            self._refuse_second_deaths([event])
            return Change(values | flips_said(flips, flips_told))

        self._ledger.write("event.added", person, build)
        return str(values["event_id"])

    def add_all(
        self,
        events: Sequence[NewEvent],
        person: str,
        flips: Mapping[str, Sequence[Flip]] | None = None,
        flips_told: str = "",
    ) -> list[str]:
        """Remember several events, of any patients, in one change: all of them or none. Returns their ids.

        Args:
            flips: by patient; these and `flips_told` as `add` has them.

        Raises:
            InputError, StoreError: as `add`.
        """
        if not events:
            raise InputError("Expected at least one event, got none. Nothing was recorded.")
        rows = [self._values(event) for event in events]
        patients = {event.patient_id for event in events}

        def build(at: str) -> Change:
            self._refuse_second_deaths(events)
            one = {"patient_id": next(iter(patients))} if len(patients) == 1 else {}
            return Change({**one, "events": rows, **flips_of_patients_said(flips or {}, flips_told)})

        self._ledger.write("events.imported", person, build)
        return [str(row["event_id"]) for row in rows]

    def correct(
        self,
        event_id: str,
        date: str,
        kind: str,
        detail: Json,
        person: str,
        reason: str,
        flips: Sequence[Flip] = (),
        flips_told: str = "",
    ) -> str:
        """Put another event in the place of one that was entered wrong, which stays on record. Returns the new id.

        Args:
            reason: in words. flips, flips_told: as `add` has them.

        Raises:
            InputError: as `add`, without a reason, or where nothing is changed.
            StoreError: if there is no such event, or it stands no more.
        """
        check_person(person), _check_reason(reason)
        old = self._standing(event_id)
        event = NewEvent(old.patient_id, date, kind, detail)
        values = self._values(event)
        if (old.date, old.kind, old.detail) == (values["date"], values["kind"], values["detail"]):
            raise InputError(f"Expected something else than what stands there, got the same {kind} of {date}.")

        def build(at: str) -> Change:
            self._standing(event_id)
            self._refuse_second_deaths([event], besides=event_id)
            said = flips_said(flips, flips_told)
            return Change({**values, "corrects": event_id, "reason": reason, **said})

        self._ledger.write("event.corrected", person, build)
        return str(values["event_id"])

    def withdraw(
        self, event_id: str, person: str, reason: str, flips: Sequence[Flip] = (), flips_told: str = ""
    ) -> None:
        """Take an event back; it stays on record, with who, when and why.

        Args:
            reason: in words. flips, flips_told: as `add` has them.

        Raises:
            InputError: without a reason.
            StoreError: if there is no such event, or it stands no more.
        """
        check_person(person), _check_reason(reason)

        def build(at: str) -> Change:
            event = self._standing(event_id)
            said = flips_said(flips, flips_told)
            return Change({"event_id": event_id, "patient_id": event.patient_id, "reason": reason, **said})

        self._ledger.write("event.withdrawn", person, build)

    def of(self, patient_id: str) -> list[Event]:
        """A patient's events that stand, by date."""
        return [value_of(Event, row, decoded=["detail"]) for row in self._ledger.db.query(_STANDING, [patient_id])]

    def history(self, patient_id: str) -> list[EventRecord]:
        """Everything that was ever entered of a patient, in the order in which it was."""
        rows = self._ledger.db.query("SELECT * FROM events WHERE patient_id = ? ORDER BY seq, place", [patient_id])
        return [value_of(EventRecord, row, decoded=["detail"]) for row in rows]

    def by_id(self, event_id: str) -> EventRecord:
        """An event, whether it stands or not. Raises StoreError if there is none of that id."""
        rows = self._ledger.db.query("SELECT * FROM events WHERE event_id = ?", [event_id])
        if not rows:
            raise StoreError(
                f"There is no event {str(event_id)[:80]!r}. `event list PATIENT` lists those that there are."
            )
        return value_of(EventRecord, rows[0], decoded=["detail"])

    def _standing(self, event_id: str) -> EventRecord:
        event = self.by_id(event_id)
        if not event.stands:
            how = "corrected" if event.replaced_by else "withdrawn"
            now = f" {event.replaced_by} stands in its place." if event.replaced_by else ""
            raise StoreError(
                f"The event {event_id} was {how} by {event.withdrawn_by} at {event.withdrawn_at}: "
                f"{event.withdrawn_reason}.{now} Nothing was recorded."
            )
        return event

    def _values(self, event: NewEvent) -> JsonDict:
        self._ledger.dataset_of(event.patient_id), check_text("date", event.date), parse_date(event.date)
        check_id("kind", event.kind), check_texts("detail", event.detail)
        detail = event.detail
        if event.kind in ENTERED_KINDS and isinstance(detail, Mapping):
            detail = checked_event(event.kind, event.date, detail).detail
        return {
            "event_id": str(uuid.uuid4()),
            "patient_id": event.patient_id,
            "date": event.date,
            "kind": str(event.kind),
            "detail": plain(detail, "detail"),
        }

    def _refuse_second_deaths(self, events: Sequence[NewEvent], besides: str = "") -> None:
        """Raise InputError where somebody would have died twice."""
        new = [event for event in events if event.kind == EventKind.DEATH]
        for number, event in enumerate(new):
            there = [
                old.date for old in self.of(event.patient_id) if old.kind == EventKind.DEATH and old.event_id != besides
            ] + [other.date for other in new[:number] if other.patient_id == event.patient_id]
            if there:
                raise InputError(
                    f"Expected one death of {event.patient_id}, got that of {event.date} beside the one of {there[0]}. "
                    "Correct or withdraw the one that is wrong."
                )


def _check_reason(reason: str) -> str:
    if not check_text("reason", reason).strip():
        raise InputError("Expected a reason in words: what was wrong with it. It stays on record.")
    return reason
