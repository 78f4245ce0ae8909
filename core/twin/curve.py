"""What a growth curve needs beside its points: who accepted them, their noise, what happened, what is missing."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from core.remembered.rows import Event
from core.remembered.vocabulary import EventKind
from core.review.events import detail_text, drug_text, event_text, is_checked, radiation_text
from core.twin.follow_up import death_of
from core.twin.measured_visits import accepted_by as accepted_by
from core.twin.timeline import PatientTimeline, patient_timeline, rejected_at
from core.twin.timeline_store import CurveStore
from core.types import TOTAL_LESION_ID, MaskRecord, parse_date


def exclusion_reasons(store: CurveStore, patient_id: str) -> dict[str, str]:
    """`exclusions` of the patient's timeline."""
    return exclusions(patient_timeline(store, patient_id))


def exclusions(timeline: PatientTimeline) -> dict[str, str]:
    """Timepoint -> why it, or a lesion of it, is not in the curve, by date; {} when every cell of an accepted mask is a
    number at every timepoint."""
    out = {}
    for day in timeline.timepoints:
        if day in timeline.why_open:
            out[day] = timeline.why_open[day]
            continue
        version = timeline.visits[day].record.version
        rejected = rejected_at(timeline, day)
        parts = [f"{', '.join(rejected)} of version {version}: rejected, and not in that total"] if rejected else []
        parts += [
            f"{cell.lesion_id} {cell.state}{' ' + ', '.join(cell.into) if cell.into else ''}: {cell.why}"
            for cell in timeline.column(day)
            if not cell.is_number and cell.state != "rejected" and cell.lesion_id in timeline.followed
        ]
        parts += [f"{one.lesion_id}: nobody can tell which lesion it is" for one in timeline.unlinked_at(day)]
        if parts:
            out[day] = "; ".join(part.rstrip(".") for part in parts)
    return out


@dataclass(frozen=True)
class Treatment:
    """A treatment on the curve's axis; `end_days` None: it goes on."""

    name: str
    start_days: float
    end_days: float | None


def treatments(events: Iterable[Event], first_timepoint: str) -> list[Treatment]:
    """Treatments by start: drugs from their starts and stops, radiotherapy whose last day is known, and the older
    events "treatment-start" and "treatment-stop"; all of them end with the patient's death.

    A stop of a drug ends that drug alone; a start of one that is being given ends what was given and begins the new
    dose. An older stop ends the treatment of its name, or else the one begun last that still goes on.
    """
    return _spans(events, first_timepoint)[0]


def _spans(events: Iterable[Event], first_timepoint: str) -> tuple[list[Treatment], frozenset[str]]:
    """`treatments`, and the ids of the events that they show."""
    zero = parse_date(first_timepoint)
    begun: list[tuple[str, Treatment]] = []  # with the drug, in small letters; "" of radiotherapy
    shown: set[str] = set()
    told = sorted(events, key=lambda event: str(event.date))
    for event in told:
        day = float((parse_date(str(event.date)) - zero).days)
        on = [n for n, (_, treatment) in enumerate(begun) if treatment.end_days is None]
        new, ended = _begun_by(event, day, zero), _ended_by(event, begun, on)
        begun = [(drug, replace(one, end_days=day) if n in ended else one) for n, (drug, one) in enumerate(begun)]
        begun += [] if new is None else [new]
        # The stop of a drug that nobody said was begun stays an event, lest it be lost.
        if new is not None or ended or event.kind == EventKind.TREATMENT_STOP:
            shown.add(event.event_id)
    dead = death_of(told)
    last = math.inf if dead is None else float((parse_date(dead.date) - zero).days)
    return [_until(treatment, last) for _, treatment in begun], frozenset(shown)


def _begun_by(event: Event, day: float, zero: dt.date) -> tuple[str, Treatment] | None:
    if event.kind == EventKind.TREATMENT_START:
        name = detail_text(event.detail)
        return name.strip().lower(), Treatment(name, day, None)
    if event.kind == EventKind.DRUG_START and is_checked(event):
        return event.detail["drug"].lower(), Treatment(drug_text(event.detail), day, None)
    if event.kind == EventKind.RADIOTHERAPY and is_checked(event) and "end_date" in event.detail:
        end = float((parse_date(event.detail["end_date"]) - zero).days)
        return "", Treatment(f"radiotherapy: {radiation_text(event.detail)}", day, end)
    return None


def _ended_by(event: Event, begun: list[tuple[str, Treatment]], on: list[int]) -> list[int]:
    """Which of those that go on (their numbers) the event ends."""
    if event.kind == EventKind.TREATMENT_STOP:
        named = [n for n in on if begun[n][1].name == detail_text(event.detail)]
        return (named or on)[-1:]
    if event.kind in (EventKind.DRUG_START, EventKind.DRUG_STOP) and is_checked(event):
        return [n for n in on if begun[n][0] == event.detail["drug"].lower()]
    return []


def _until(treatment: Treatment, last: float) -> Treatment:
    """The treatment, ended by that day at the latest."""
    end = math.inf if treatment.end_days is None else treatment.end_days
    return replace(treatment, end_days=last) if treatment.start_days <= last < end else treatment


@dataclass(frozen=True)
class MaskVolume:
    """A mask version that is not the accepted one: what it would have said of the lesion, mm3."""

    timepoint: str
    days: float
    volume_mm3: float
    version: int
    method: str
    status: str


def other_versions(records: Iterable[MaskRecord], first_timepoint: str, lesion_id: str) -> list[MaskVolume]:
    """Those of the versions that are not in the curve, with the lesion's volume (of "total": of all lesions)."""
    zero = parse_date(first_timepoint)
    return [
        MaskVolume(
            record.timepoint,
            float((parse_date(record.timepoint) - zero).days),
            sum(float(x["volume_mm3"]) for x in record.lesions if lesion_id in (TOTAL_LESION_ID, str(x["lesion_id"]))),
            record.version,
            record.method,
            record.status,
        )
        for record in records
        if record.status != "accepted"
    ]


def events_on_axis(events: Iterable[Event], first_timepoint: str) -> list[tuple[float, str]]:
    """(days since the first timepoint, text) of each event as the store lists them; negative before it.

    Treatments that start and stop are bars (`treatments`) and not among them.
    """
    zero = parse_date(first_timepoint)
    return [
        (float((parse_date(str(event.date)) - zero).days), event_text(event))
        for event in events_without_bar(events, first_timepoint)
    ]


def events_without_bar(events: Iterable[Event], first_timepoint: str) -> list[Event]:
    """The events that are no part of a bar of `treatments`, in their order."""
    told = list(events)
    bars = _spans(told, first_timepoint)[1]
    return [event for event in told if event.event_id not in bars]
