"""What evidence knows of a patient, of the timeline and what the response is told by: accepted masks alone."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

from core.errors import InputError
from core.evidence.cases import (
    CoursePoint,
    EventFact,
    LesionCase,
    PatientEvidence,
    Relation,
    Step,
    Therapy,
    VisitCall,
)
from core.remembered.protocols import StoredProtocol
from core.remembered.rows import Event
from core.remembered.vocabulary import EventKind
from core.review.drugs import drug_classes
from core.review.event_words import ReadEvent, read_events
from core.review.events import event_text
from core.twin.cohort_records import CohortRecords
from core.twin.criteria.values import Call
from core.twin.curve import Treatment, treatments
from core.twin.follow_up import follow_up_end
from core.twin.measured_visits import MeasuredVisit
from core.twin.outcomes import best_category, progression_date, until_progression, visits_of
from core.twin.patient_responses import calls_in_force
from core.twin.protocol_in_force import ProtocolInForce
from core.twin.timeline import PatientTimeline, patient_timeline
from core.twin.timeline_cells import Cell
from core.twin.timeline_changes import interval_change, lesion_changes, number_timepoints

NO_CLASS: Therapy = "drug of no known class"
RADIOTHERAPY: Therapy = "radiotherapy"


def patient_evidence(records: CohortRecords, patient_id: str, dataset: str) -> PatientEvidence:
    """What is known of one patient; without cases for one who has no accepted lesion.

    Where the protocol cannot be followed the visits have no calls, and the response is "": not known.
    """
    timeline, events = patient_timeline(records, patient_id), records.events.of(patient_id)
    simulated = any(bool(scan.metadata.get("simulated")) for scan in records.scans.of(patient_id))
    try:
        told = calls_in_force(timeline, records.protocols.of(patient_id), events)
    except InputError:
        told = None
    of = _Patient(patient_id, dataset, simulated, timeline, events, _organs(records.protocols.of(patient_id)))
    end = follow_up_end(events, max(timeline.timepoints, default=""))
    return PatientEvidence(
        patient_id,
        dataset,
        simulated,
        _cases(of),
        {lesion: _course(timeline, lesion) for lesion in timeline.followed},
        tuple(_steps(timeline)),
        tuple(_relations(timeline)),
        tuple(fact for one in read_events(events) for fact in event_facts(one)),
        *_response(timeline, told),
        "" if end is None else end.kind.lower().replace("_", "-"),
        None if end is None else end.date,
    )


@dataclass(frozen=True)
class _Patient:
    """What the cases of one patient have in common; `organs`: lesion -> organ, as a person named it."""

    patient_id: str
    dataset: str
    simulated: bool
    timeline: PatientTimeline
    events: Sequence[Event]
    organs: dict[str, str]


def _organs(stored: StoredProtocol | None) -> dict[str, str]:
    """Lesion -> organ in a person's words, in small letters; {} where nobody named any, or of lesions of before."""
    if stored is None or stored.lesions_before:
        return {}
    named = (*(stored.protocol.targets or ()), *(stored.protocol.nontargets or ()))
    return {one.lesion_id: one.organ.strip().lower() for one in named if one.organ.strip()}


def _cases(of: _Patient) -> tuple[LesionCase, ...]:
    days = [day for day in of.timeline.timepoints if day in of.timeline.visits]
    given = {day: therapies_on(of.events, day) for day in days} if of.events else {}
    return tuple(
        _case(of, cell, of.timeline.visits[day], *given.get(day, ((), ())))
        for day in days
        for cell in of.timeline.column(day)
        if cell.state == "measured" and cell.lesion_id in of.timeline.followed
    )


def _case(
    of: _Patient, cell: Cell, visit: MeasuredVisit, therapies: tuple[Therapy, ...], drugs: tuple[str, ...]
) -> LesionCase:
    days = number_timepoints(of.timeline, cell.lesion_id)
    later = [day for day in days if day > cell.timepoint]
    known = LesionCase(
        patient_id=of.patient_id,
        dataset=of.dataset,
        timepoint=cell.timepoint,
        lesion_id=cell.lesion_id,
        mask_id=visit.record.mask_id,
        version=visit.record.version,
        mask_sha256=visit.record.mask_sha256,
        scan_sha256=visit.record.scan_sha256,
        method=str(visit.record.method),
        checkpoint_sha256=visit.record.checkpoint_sha256,
        made_by=cell.made_by or "",
        accepted_by=cell.accepted_by or "",
        simulated=of.simulated,
        modality=visit.scan.modality,
        volume_mm3=cell.volume_mm3 or 0.0,
        organ=of.organs.get(cell.lesion_id, ""),
        therapies=therapies,
        drugs=drugs,
        doubts=cell.doubts,
    )
    return known if not later else _with_future(of.timeline, known, later)


def _with_future(timeline: PatientTimeline, case: LesionCase, later: Sequence[str]) -> LesionCase:
    """The case with its change to the last visit that tells the lesion's volume."""
    last = timeline.cell(case.lesion_id, later[-1])
    change = interval_change(timeline, case.lesion_id, case.timepoint, later[-1]).change
    return replace(
        case,
        later=len(later),
        last_timepoint=later[-1],
        days_to_last=timeline.days(later[-1]) - timeline.days(case.timepoint),
        volume_at_last_mm3=None if last is None else last.volume_mm3,
        percent_to_last=change.percent,
        verdict_to_last=change.verdict,
        rule_to_last=change.rule,
    )


def therapies_on(events: Sequence[Event], day: str) -> tuple[tuple[Therapy, ...], tuple[str, ...]]:
    """What was being given on a day, and the names as people wrote them; () where nothing is on record."""
    on = [one for one in treatments(events, day) if _is_given(one)]
    found = [kind for one in on for kind in _therapies_named(one.name)]
    return tuple(dict.fromkeys(found)), tuple(dict.fromkeys(one.name for one in on))


def _is_given(treatment: Treatment) -> bool:
    return treatment.start_days <= 0 and (treatment.end_days is None or treatment.end_days >= 0)


def _therapies_named(name: str) -> tuple[Therapy, ...]:
    if name.lower().startswith("radiotherapy"):
        return (RADIOTHERAPY,)
    return cast(tuple[Therapy, ...], drug_classes(name)) or (NO_CLASS,)


def event_facts(read: ReadEvent) -> list[EventFact]:
    """An event in the terms of evidence: once for each class of the drugs that begin with it, so that none of several
    is lost; radiotherapy by that, and by the drugs that are given with it."""
    kind = read.event.kind.lower().replace("_", "-") if read.kind is None else read.kind.value
    drug = str(read.detail.get("drug", ""))
    therapies: tuple[Therapy | None, ...] = (None,)
    if read.kind is EventKind.RADIOTHERAPY:
        therapies = (RADIOTHERAPY, *(_therapies_named(drug) if drug else ()))
    elif read.kind is EventKind.DRUG_START:
        therapies = _therapies_named(drug)
    date, words = str(read.event.date), event_text(read.event)
    return [
        EventFact(f"{read.event.event_id}{f'/{n}' if n else ''}", date, kind, therapy, words)
        for n, therapy in enumerate(dict.fromkeys(therapies))
    ]


def _course(timeline: PatientTimeline, lesion_id: str) -> tuple[CoursePoint, ...]:
    return tuple(
        CoursePoint(cell.timepoint, timeline.days(cell.timepoint), cell.state, cell.volume_mm3)
        for cell in timeline.row(lesion_id)
    )


def _steps(timeline: PatientTimeline) -> list[Step]:
    return [
        Step(
            lesion,
            one.from_timepoint,
            one.to_timepoint,
            timeline.days(one.to_timepoint) - timeline.days(one.from_timepoint),
            one.change.percent,
            one.change.verdict,
        )
        for lesion in timeline.followed
        for one in lesion_changes(timeline, lesion)
    ]


def _relations(timeline: PatientTimeline) -> list[Relation]:
    """Mergers and splits, each at the visit where it is first so."""
    found: dict[tuple[str, str, str], Relation] = {}
    cells = (timeline.row(lesion) for lesion in timeline.lesions)
    for cell in itertools.chain.from_iterable(cells):
        if cell.state in ("merged into", "split into"):
            for into in cell.into:
                found.setdefault(
                    (cell.lesion_id, into, cell.state), Relation(cell.lesion_id, into, cell.timepoint, cell.state)
                )
    return list(found.values())


def _response(
    timeline: PatientTimeline, told: tuple[ProtocolInForce, tuple[Call, ...]] | None
) -> tuple[tuple[VisitCall, ...], str, str, str | None]:
    """Calls, criterion, best response and the day of progression; (), "", "" and None where they cannot be told."""
    if told is None:
        return (), "", "", None
    in_force, made = told
    visits, progressed_on = visits_of(made, timeline), progression_date(made)
    best = best_category(until_progression(visits, progressed_on), progressed_on)
    calls = tuple(VisitCall(visit.timepoint, visit.category, visit.call) for visit in visits)
    return calls, in_force.protocol.criterion, best, progressed_on
