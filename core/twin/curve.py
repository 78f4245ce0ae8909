"""What a growth curve needs beside its points: who accepted them, their noise, what happened, what is missing."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from core.remembered.rows import Event
from core.remembered.sources import HasDecisions, HasMasks, HasPatients, HasReferenceSets, HasScans, HasVerdicts
from core.remembered.vocabulary import EventKind
from core.review.decisions import rejected_lesion_ids, withdrawn_mask_ids
from core.twin.curve_points import volume_points
from core.twin.measured_visits import accepted_by as accepted_by
from core.twin.measured_visits import measured_visits
from core.twin.trajectory import interval_change, points_by_lesion
from core.types import TOTAL_LESION_ID, MaskRecord, Verdict, VolumePoint, parse_date


class CurveStore(HasPatients, HasScans, HasMasks, HasDecisions, HasVerdicts, HasReferenceSets, Protocol):
    """The parts of a store that a curve and its notes come from."""


def exclusion_reasons(store: CurveStore, patient_id: str) -> dict[str, str]:
    """Timepoint -> why it, or a lesion of it, is not in the curve, by date; {} when every timepoint has an accepted
    mask without rejected lesions."""
    out = {}
    back, files = withdrawn_mask_ids(store.decisions.of(patient_id)), store.masks.problems(patient_id)
    unproven = store.decisions.to_affirm()
    for timepoint in sorted(store.patients.timepoints(patient_id)):
        records = store.masks.of(patient_id, timepoint)
        final = next((record for record in records if record.status == "accepted"), None)
        if final is not None and final.mask_id in files:
            out[timepoint] = f"{files[final.mask_id]}: accepted version {final.version}, whose volume is unknown now"
            continue
        if final is not None:
            if rejected_lesion_ids(final):
                lesions = ", ".join(sorted(rejected_lesion_ids(final)))
                out[timepoint] = f"{lesions} of version {final.version}: rejected, and not in that total"
            continue
        proposed = [record for record in records if record.status == "proposed"]
        if not records:
            out[timepoint] = "no mask yet"
        elif proposed:
            out[timepoint] = (
                f"version {proposed[-1].version} is proposed, {_why_open(proposed[-1].mask_id, back, unproven)}"
            )
        else:
            out[timepoint] = "every version was rejected"
    return out


def _why_open(mask_id: str, back: Collection[str], unproven: Mapping[str, str]) -> str:
    if mask_id in unproven:
        return f"and waits to be affirmed: {unproven[mask_id]}"
    return "its acceptance was withdrawn" if mask_id in back else "nobody has decided"


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
    """The lesion's change from an accepted timepoint to the next accepted one; None where there is no later one."""
    points: Sequence[VolumePoint] = points_by_lesion(volume_points(store, patient_id)).get(lesion_id, [])
    here = next((n for n, point in enumerate(points) if point.timepoint == timepoint), None)
    if here is None or here + 1 == len(points):
        return None
    before, after = points[here], points[here + 1]
    change = interval_change(before, after, measured_visits(store, patient_id)).change
    return NextChange(
        after.timepoint,
        after.days - before.days,
        after.volume_mm3,
        change.percent,
        change.verdict,
        change.rule,
    )
