"""A patient's response at every visit, by the protocol in force and by every other criterion beside it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol as Parts

from core.remembered.protocols import Flip, ProtocolSource, StoredProtocol
from core.remembered.rows import Event
from core.remembered.sources import EventRecordSource
from core.remembered.untyped import JsonDict
from core.remembered.vocabulary import EventKind
from core.review.event_words import ReadEvent, read_events
from core.twin.criteria.adapter import ClinicalWord, SteroidDose, from_timeline
from core.twin.criteria.assessments import unheard_assessments, visit_words
from core.twin.criteria.table import ABOUT, COMMON_WORD, calls_by_criterion, calls_of, disagreeing_timepoints
from core.twin.criteria.values import Call, Visit
from core.twin.event_states import dexamethasone_mg_at
from core.twin.hand_diameters import hand_notes
from core.twin.immunotherapy import irecist_note
from core.twin.protocol_in_force import ProtocolInForce, protocol_in_force, visit_days
from core.twin.timeline import PatientTimeline, patient_timeline
from core.twin.timeline_changes import interval_change, number_timepoints
from core.twin.timeline_store import TimelineStore
from core.types import TOTAL_LESION_ID

#: A sphere's diameter is the third root of its volume, and so its logarithm's deviation a third.
_OF_DIAMETER = 1.0 / 3.0
#: How a note begins that tells of volumes that say the opposite.
CONTRADICTED = "The volumes contradict it."
#: Whose calls are held against those of others.
VOLUMES = "volume-recist-sphere"
_STATUS_WORDS = ("better", "stable", "worse")


class ResponseStore(TimelineStore, Parts):
    """The parts of a store that a patient's response comes from."""

    @property
    def events(self) -> EventRecordSource: ...
    @property
    def protocols(self) -> ProtocolSource: ...


@dataclass(frozen=True)
class PatientResponses:
    """What a patient's visits are called.

    Args:
        in_force: by what. calls: one a visit. others: criterion -> its calls, under the same baseline and targets.
        disagree: timepoints at which criteria that have an answer give different ones.
    """

    in_force: ProtocolInForce
    calls: tuple[Call, ...]
    others: Mapping[str, tuple[Call, ...]]
    disagree: tuple[str, ...]


def responses_of(store: ResponseStore, patient_id: str) -> PatientResponses | None:
    """`patient_responses` of what is stored. Raises InputError: as `protocol_in_force`."""
    timeline = patient_timeline(store, patient_id)
    return patient_responses(timeline, store.protocols.of(patient_id), store.events.of(patient_id))


def unheard_days(store: ResponseStore, patient_id: str) -> list[str]:
    """Days of a patient's assessments on which there is no accepted mask, so that they count nowhere."""
    return unheard_assessments(
        read_events(store.events.of(patient_id)), visit_days(patient_timeline(store, patient_id))
    )


def patient_responses(
    timeline: PatientTimeline, stored: StoredProtocol | None = None, events: Sequence[Event] = ()
) -> PatientResponses | None:
    """The calls of every visit; None for a patient without one.

    Raises:
        InputError: as `protocol_in_force`.
    """
    told = _visits_in_force(timeline, stored, events)
    if told is None:
        return None
    in_force, visits = told
    by_criterion = calls_by_criterion(visits, in_force.protocol)
    calls = tuple(
        replace(call, notes=(*call.notes, *_contradictions(timeline, call, volume), *_beside(events, call)))
        for call, volume in zip(_with_noise(timeline, visits, in_force), by_criterion[VOLUMES], strict=True)
    )
    by_criterion[in_force.protocol.criterion] = calls
    by_criterion = {name: _with_hand_notes(timeline, found, in_force) for name, found in by_criterion.items()}
    calls = by_criterion[in_force.protocol.criterion]
    others = {name: found for name, found in by_criterion.items() if name != in_force.protocol.criterion}
    return PatientResponses(in_force, calls, others, disagreeing_timepoints(by_criterion))


def calls_in_force(
    timeline: PatientTimeline, stored: StoredProtocol | None = None, events: Sequence[Event] = ()
) -> tuple[ProtocolInForce, tuple[Call, ...]] | None:
    """The calls by the protocol in force alone, as `patient_responses` has them, but without notes and without what
    they would be within noise: for many patients at once, who need neither.

    Raises:
        InputError: as `protocol_in_force`.
    """
    told = _visits_in_force(timeline, stored, events)
    return None if told is None else (told[0], tuple(calls_of(told[1], told[0].protocol)))


def _visits_in_force(
    timeline: PatientTimeline, stored: StoredProtocol | None, events: Sequence[Event]
) -> tuple[ProtocolInForce, Sequence[Visit]] | None:
    """The protocol in force, and the visits as criteria read them; None for a patient without one."""
    read = read_events(events)
    in_force = protocol_in_force(timeline, stored, read)
    if in_force is None:
        return None
    words = visit_words(read, visit_days(timeline))
    return in_force, from_timeline(timeline, in_force.protocol, steroid_doses(events), clinical_words(read), words)


def _with_hand_notes(timeline: PatientTimeline, calls: Sequence[Call], in_force: ProtocolInForce) -> tuple[Call, ...]:
    """The calls, those by diameters with what was set by hand."""
    lesions = (*in_force.protocol.targets, *in_force.protocol.nontargets)
    nodes = frozenset(one.lesion_id for one in lesions if one.is_node)
    return tuple(
        replace(call, notes=(*call.notes, *hand_notes(timeline.column(call.timepoint), nodes)))
        if ABOUT[call.criterion].unit == "mm"
        else call
        for call in calls
    )


def _beside(events: Sequence[Event], call: Call) -> list[str]:
    """That another criterion may be meant, where that is so, as a list of one sentence."""
    return [note] if (note := irecist_note(events, call.criterion, call.progressed_on)) else []


def _contradictions(timeline: PatientTimeline, call: Call, volume: Call) -> list[str]:
    """What the volumes say against a call, in sentences."""
    said, by_volume = (COMMON_WORD.get(one.call, one.call) for one in (call, volume))
    found = []
    if {said, by_volume} in ({"PR", "PD"}, {"CR", "PD"}) and call.criterion != volume.criterion:
        found.append(f"{CONTRADICTED} {volume.sentence}")
    reference = _reference_day(timeline, call)
    if said in ("PR", "PD") and not call.new_lesions and reference is not None:
        change = interval_change(timeline, TOTAL_LESION_ID, reference, call.timepoint).change
        if change.verdict == "within noise":
            found.append(f"The change of the total volume since {reference} is within noise ({change.rule}).")
    return found


def _reference_day(timeline: PatientTimeline, call: Call) -> str | None:
    """The first visit, or for progression that of the least total before: whose total the call's is compared with."""
    days = [day for day in number_timepoints(timeline, TOTAL_LESION_ID) if day <= call.timepoint]
    if len(days) < 2 or days[-1] != call.timepoint:
        return None
    if COMMON_WORD.get(call.call, call.call) == "PR":
        return days[0]
    totals = {day: total.volume_mm3 for day in days[:-1] if (total := timeline.total(day)) is not None}
    return min(totals, key=lambda day: totals[day] or 0.0)


def _with_noise(timeline: PatientTimeline, visits: Sequence[Visit], in_force: ProtocolInForce) -> tuple[Call, ...]:
    """The calls, each asked whether it would be another one within the noise of its own visit."""
    protocol, found = in_force.protocol, []
    plain = calls_of(visits, protocol)
    for n, call in enumerate(plain):
        log_sd = measurement_log_sd(timeline, in_force, call)
        if log_sd is not None:
            noisy = calls_of(visits, replace(protocol, log_sd=log_sd))[n]
            call = replace(call, flips_within_noise=noisy.flips_within_noise)
        found.append(call)
    return tuple(found)


def measurement_log_sd(timeline: PatientTimeline, in_force: ProtocolInForce, call: Call) -> float | None:
    """The log-normal deviation of one measurement of the call's kind at its visit, from `core.twin.change`.

    The largest of the targets', each half the variance of its change from baseline. That of a diameter is a third of
    the volume's, as of a sphere (assumed). None where it is not known for a target that is a number at both ends, where
    there is none, and for criteria of uptake.
    """
    protocol, timepoint = in_force.protocol, call.timepoint
    share = {"mm": _OF_DIAMETER, "mm3": 1.0}.get(call.unit)
    deviations = []
    for lesion in protocol.targets:
        cells = [timeline.cell(lesion.lesion_id, day) for day in (protocol.baseline, timepoint)]
        if timepoint == protocol.baseline or not all(cell is not None and cell.volume_mm3 for cell in cells):
            continue
        first, second = sorted((protocol.baseline, timepoint))
        log_sd = interval_change(timeline, lesion.lesion_id, first, second).change.log_sd
        if log_sd is None:
            return None
        deviations.append(log_sd)
    if share is None or not deviations:
        return None
    return max(deviations) / math.sqrt(2.0) * share


def steroid_doses(events: Sequence[Event]) -> list[SteroidDose]:
    """The dose a day from each day on which one was entered, as dexamethasone; one that is not known is told as that,
    so that the dose before it does not go on."""
    days = sorted({read.event.date for read in read_events(events) if read.kind is EventKind.STEROID_DOSE})
    return [SteroidDose(day, dexamethasone_mg_at(events, day)) for day in days]


def clinical_words(events: Sequence[ReadEvent]) -> list[ClinicalWord]:
    """What was said of the clinical status against baseline."""
    return [
        ClinicalWord(read.event.date, read.detail["course"])
        for read in events
        if read.kind is EventKind.CLINICAL_STATUS and read.detail.get("course") in _STATUS_WORDS
    ]


def flips(before: PatientResponses | None, after: PatientResponses | None) -> tuple[Flip, ...]:
    """The visits whose call is another one, by time; "" where there is none."""
    calls = [{} if one is None else {call.timepoint: call.call for call in one.calls} for one in (before, after)]
    days = sorted({*calls[0], *calls[1]})
    pairs = [(day, calls[0].get(day, ""), calls[1].get(day, "")) for day in days]
    return tuple(Flip(*one) for one in pairs if one[1] != one[2])


def protocol_json(in_force: ProtocolInForce) -> JsonDict:
    """By what a response is told, as plain JSON values."""
    protocol, stored = in_force.protocol, in_force.stored
    return {
        "criterion": protocol.criterion,
        "baseline": protocol.baseline,
        "baseline_why": in_force.baseline_why,
        "targets": [vars(lesion) for lesion in protocol.targets],
        "nontargets": [vars(lesion) for lesion in protocol.nontargets],
        "targets_why": in_force.targets_why,
        "why_not": in_force.why_not,
        "least_new_mm": protocol.least_new_mm,
        "least_new_node_mm": protocol.least_new_node_mm,
        "set_by": None if stored is None else stored.person,
        "set_for": None if stored is None else "patient" if stored.patient_id else f"data set {stored.dataset}",
        "reason": None if stored is None else stored.reason,
    }


def call_json(call: Call) -> JsonDict:
    """A call as plain JSON values; what is not known is None."""
    values = {name: getattr(call, name) for name in call.__dataclass_fields__}
    percents = {
        "change_from_baseline_percent": call.change_from_baseline_percent,
        "change_from_nadir_percent": call.change_from_nadir_percent,
    }
    lists = {name: list(values[name]) for name in ("missing", "new_lesions", "notes")}
    return values | percents | lists
