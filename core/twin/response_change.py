"""What a new protocol, or other events, would do to the calls of a patient's visits, told before: nothing is written.

Pages show it, the command line asks for --confirm by it, and the audit entry of what is then written has it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from core.errors import InputError
from core.remembered.flips import CONFIRMED, NOT_SHOWN, SHOWN, Flip, needs_confirming
from core.remembered.protocols import HasProtocols, ResponseProtocol, StoredProtocol
from core.remembered.rows import Event, NewEvent
from core.remembered.sources import HasEvents
from core.review.blind_reading import closed_timepoints
from core.review.events import CheckedEvent
from core.twin.criteria.table import CRITERIA
from core.twin.patient_responses import PatientResponses, flips, patient_responses
from core.twin.timeline import PatientTimeline, patient_timeline
from core.twin.timeline_store import CurveStore


class ResponseChangeStore(CurveStore, HasEvents, HasProtocols, Protocol):
    """Store parts that a response comes from, with who reads blind."""


@dataclass(frozen=True)
class Foreseen:
    """What a change does to the calls of one patient.

    Args:
        flips: the visits whose call becomes another one.
        is_hidden: the person reads something of the patient blind: the flips would tell of masks that are hidden, or
            be others than those of the calls in force, and are not told.
    """

    flips: tuple[Flip, ...] = ()
    is_hidden: bool = False

    @property
    def told(self) -> str:
        """How the person was told, for the audit, where they were asked before."""
        if self.is_hidden:
            return NOT_SHOWN
        return "" if not self.flips else CONFIRMED if needs_confirming(self.flips) else SHOWN


@dataclass(frozen=True)
class ForeseenOfMany:
    """The same of several patients: patient -> flips, of those alone that have any; `hidden`: who are read blind."""

    flips: Mapping[str, tuple[Flip, ...]] = field(default_factory=dict)
    hidden: tuple[str, ...] = ()

    @property
    def asked(self) -> dict[str, tuple[Flip, ...]]:
        """The flips that need a confirming word, by patient."""
        return {patient: asked for patient, found in self.flips.items() if (asked := needs_confirming(found))}

    @property
    def told(self) -> str:
        """As of one patient; of those that are hidden nothing was told."""
        if not self.flips:
            return NOT_SHOWN if self.hidden else ""
        return CONFIRMED if self.asked else SHOWN


def preview_protocol(
    store: ResponseChangeStore,
    patient_id: str,
    new: ResponseProtocol,
    person: str,
    timeline: PatientTimeline | None = None,
) -> Foreseen:
    """What a protocol that is set for a patient would change.

    Args:
        timeline: the patient's, where it is at hand.

    Raises:
        InputError: it cannot be followed: a criterion or a baseline that is none.
    """
    check_criterion(new.criterion)
    timeline = timeline or patient_timeline(store, patient_id)
    events = store.events.of(patient_id)
    after = patient_responses(timeline, as_set(new, patient_id, None, person), events)
    if closed_timepoints(store, patient_id, person):
        return Foreseen(is_hidden=True)
    return Foreseen(flips(responses_or_none(timeline, store.protocols.of(patient_id), events), after))


def preview_dataset_protocol(
    store: ResponseChangeStore, dataset: str, new: ResponseProtocol, person: str
) -> ForeseenOfMany:
    """What a protocol that is set for a data set would change, of its patients who have none of their own.

    Raises:
        InputError: a criterion that is none.
    """
    check_criterion(new.criterion)
    stored, found, hidden = as_set(new, None, dataset, person), {}, []
    for patient_id in (one.patient_id for one in store.patients.all() if one.dataset == dataset):
        now = store.protocols.of(patient_id)
        if now is not None and now.patient_id is not None:
            continue
        if closed_timepoints(store, patient_id, person):
            hidden.append(patient_id)
            continue
        timeline, events = patient_timeline(store, patient_id), store.events.of(patient_id)
        before, after = (responses_or_none(timeline, one, events) for one in (now, stored))
        if moved := flips(before, after):
            found[patient_id] = moved
    return ForeseenOfMany(found, tuple(hidden))


def preview_events(
    store: ResponseChangeStore,
    patient_id: str,
    events: Sequence[Event],
    person: str,
    timeline: PatientTimeline | None = None,
) -> Foreseen:
    """What it would change if these were a patient's events (`events_with`, `events_without`)."""
    if closed_timepoints(store, patient_id, person):
        return Foreseen(is_hidden=True)
    timeline = timeline or patient_timeline(store, patient_id)
    stored = store.protocols.of(patient_id)
    before, after = (responses_or_none(timeline, stored, one) for one in (store.events.of(patient_id), events))
    return Foreseen(flips(before, after))


def preview_new_events(store: ResponseChangeStore, new: Sequence[NewEvent], person: str) -> ForeseenOfMany:
    """What several new events would change, by patient."""
    found, hidden = {}, []
    for patient_id in sorted({one.patient_id for one in new}):
        events = store.events.of(patient_id)
        for one in new:
            if one.patient_id == patient_id:
                events = events_with(events, one, patient_id)
        told = preview_events(store, patient_id, events, person)
        if told.is_hidden:
            hidden.append(patient_id)
        elif told.flips:
            found[patient_id] = told.flips
    return ForeseenOfMany(found, tuple(hidden))


def events_with(
    events: Iterable[Event], new: CheckedEvent | NewEvent, patient_id: str, in_place_of: str | None = None
) -> list[Event]:
    """A patient's events with one more, or with another in the place of one; by date, as the store gives them."""
    added = Event("", patient_id, new.date, str(new.kind), new.detail, "", "")
    return sorted([*events_without(events, in_place_of or ""), added], key=lambda one: one.date)


def events_without(events: Iterable[Event], event_id: str) -> list[Event]:
    """A patient's events without one."""
    return [one for one in events if one.event_id != event_id]


def check_criterion(name: str) -> str:
    """The criterion's name. Raises InputError for one that is none."""
    if name not in CRITERIA:
        raise InputError(f"Expected a criterion of {', '.join(CRITERIA)}, got {name[:40]!r}. Nothing was done.")
    return name


def as_set(new: ResponseProtocol, patient_id: str | None, dataset: str | None, person: str) -> StoredProtocol:
    """A protocol as it would stand once that person had set it."""
    return StoredProtocol("", new, patient_id, dataset, "", person, "")


def responses_or_none(
    timeline: PatientTimeline, stored: StoredProtocol | None, events: Sequence[Event]
) -> PatientResponses | None:
    """The calls; None where there are none, or the protocol cannot be followed: then no visit has a call."""
    try:
        return patient_responses(timeline, stored, events)
    except InputError:
        return None
