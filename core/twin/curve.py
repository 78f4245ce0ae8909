"""What a growth curve needs beside its points: who accepted them, their noise, what happened, what is missing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from core.remembered.rows import Event
from core.remembered.vocabulary import EventKind
from core.twin.measured_visits import accepted_by as accepted_by
from core.twin.timeline import PatientTimeline, patient_timeline, rejected_at
from core.twin.timeline_changes import interval_change, number_timepoints, volume_end
from core.twin.timeline_store import CurveStore
from core.types import TOTAL_LESION_ID, MaskRecord, Verdict, parse_date


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
    """Treatments by start, from events "treatment-start" and "treatment-stop" as the store lists them.

    A stop ends the treatment of that name, or else the one begun last that still goes on.
    """
    zero = parse_date(first_timepoint)
    begun: list[Treatment] = []
    for event in sorted(events, key=lambda event: str(event.date)):
        day, name = float((parse_date(str(event.date)) - zero).days), _detail_text(event.detail)
        if event.kind == EventKind.TREATMENT_START:
            begun.append(Treatment(name, day, None))
        elif event.kind == EventKind.TREATMENT_STOP:
            on = [n for n, treatment in enumerate(begun) if treatment.end_days is None]
            named = [n for n in on if begun[n].name == name]
            for n in (named or on)[-1:]:
                begun[n] = replace(begun[n], end_days=day)
    return begun


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
        (float((parse_date(str(event.date)) - zero).days), f"{event.kind}: {_detail_text(event.detail)}")
        for event in events
        if event.kind not in (EventKind.TREATMENT_START, EventKind.TREATMENT_STOP)
    ]


def _detail_text(detail: object) -> str:
    if isinstance(detail, Mapping):
        return ", ".join(f"{key} {value}" for key, value in detail.items())
    return str(detail)


@dataclass(frozen=True)
class NextChange:
    """What became of a lesion by the next accepted timepoint.

    Args:
        timepoint, days: the next one, and the days until then.
        volume_mm3: there; 0 when the lesion is gone.
        percent_change: None when it had no volume before.
        verdict, rule: whether the change is real, by which rule.
    """

    timepoint: str
    days: float
    volume_mm3: float
    percent_change: float | None
    verdict: Verdict
    rule: str


def next_change(store: CurveStore, patient_id: str, timepoint: str, lesion_id: str) -> NextChange | None:
    """The lesion's change from an accepted timepoint to the next at which it is a number; None where there is none."""
    timeline = patient_timeline(store, patient_id)
    days = number_timepoints(timeline, lesion_id)
    if timepoint not in days or timepoint == days[-1]:
        return None
    later = days[days.index(timepoint) + 1]
    after, change = (
        volume_end(timeline, lesion_id, later),
        interval_change(timeline, lesion_id, timepoint, later).change,
    )
    return NextChange(
        later,
        timeline.days(later) - timeline.days(timepoint),
        math.nan if after is None else after.volume_mm3,
        change.percent,
        change.verdict,
        change.rule,
    )
