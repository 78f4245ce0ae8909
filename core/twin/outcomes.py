"""What became of several patients, from accepted masks alone: best response and change, time to progression, in view.

Each is told by the protocol in force for the patient (`core.twin.patient_responses`), or all by one criterion. These
are never pooled: every response says by which it is. Day 0 of everything is the patient's baseline.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from core.errors import InputError
from core.remembered.lists import HasViews
from core.remembered.protocols import ProtocolSource
from core.remembered.rows import Event
from core.remembered.sources import EventRecordSource, HasPatients, HasReferenceSets, HasScans
from core.twin.change import Change, change_between
from core.twin.cohort_records import CohortRecords
from core.twin.criteria.table import COMMON_WORD, CRITERIA
from core.twin.criteria.values import BASELINE, BEFORE_BASELINE, Call
from core.twin.curve import Treatment, treatments
from core.twin.follow_up import seen_after_death
from core.twin.happenings import Happening, happenings, last_happening
from core.twin.measured_end import MeasuredEnd
from core.twin.measured_visits import measured_end
from core.twin.patient_responses import CONTRADICTED, VOLUMES, PatientResponses, patient_responses
from core.twin.radiotherapy import cannot_tell
from core.twin.timeline import PatientTimeline, patient_timeline
from core.twin.timeline_changes import registration_state
from core.twin.timeline_store import TimelineStore
from core.twin.trajectory import not_read_of
from core.twin.visit_doubts import doubts_at
from core.types import TOTAL_LESION_ID, Progress, no_progress

#: Words that the criteria have in common (`COMMON_WORD`), the best first; what cannot be evaluated comes last.
BEST_FIRST = ("CR", "PR", "SD", "non-CR/non-PD", "PD", "NE")


class PatientResponseStore(TimelineStore, Protocol):
    """The parts of a store that one patient's response comes from."""

    @property
    def events(self) -> EventRecordSource: ...
    @property
    def protocols(self) -> ProtocolSource: ...


class CohortStore(HasPatients, HasScans, HasReferenceSets, HasViews, Protocol):
    """The parts of a store that the responses of all patients come from."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One accepted timepoint of a patient, from the baseline on.

    Args:
        days: since baseline.
        value: what the criterion measures, in its unit (mm, mm3, SUL); None where not known or nothing is measured.
        change_percent: from baseline; nadir_percent: from the least before; None where either is not known, or is 0.
        category: the call in the words that criteria have in common, "baseline" at day 0. call: the criterion's own.
        appeared: new lesions that count, where they are first seen.
        mask_id, version: the accepted mask.
        sentence: the call and why. notes: what else a reader must know.
        could_flip: within the noise of measuring it would be another call; None: no noise is known.
        doubts: what is doubted of the mask or its scans, or was and was answered, in sentences (`visit_doubts`).
    """

    timepoint: str
    days: float
    value: float | None
    change_percent: float | None
    nadir_percent: float | None
    category: str
    call: str
    appeared: tuple[str, ...]
    mask_id: str
    version: int
    sentence: str
    notes: tuple[str, ...] = ()
    could_flip: bool | None = None
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True)
class PatientResponse:
    """One patient's response by one criterion.

    Args:
        criterion: by which; protocol_criterion: that of the protocol in force.
        visits: from the baseline on, by time; at least that. before: accepted timepoints before it.
        best: the visit with the least `change_percent` from the first after baseline to the progression, that included;
            the earliest of equals; None where no change is known.
        best_response: the best category of those visits, `BEST_FIRST`, PD where it progressed; none has to be
            confirmed, and SD needs no least duration. "NE" without a visit after baseline.
        verdict: whether the targets' volumes changed by more than noise by then; None where they are not known.
        treatments: in days since baseline; events: of what else happened, but the end.
        ended: what ended follow-up, or None.
        waiting: timepoints without an accepted mask.
        simulated: any of the scans is.
        progressed_on: the timepoint that progression dates from, or None.
        doubt: why the progression may be none (`core.twin.radiotherapy.cannot_tell`, volumes that say the opposite),
            which accepted masks cannot be read, and visits after the death on record, or "".
        baseline_why: who set the baseline, or what it is proposed by.
    """

    patient_id: str
    dataset: str
    criterion: str
    protocol_criterion: str
    visits: tuple[Visit, ...]
    before: tuple[str, ...]
    best: Visit | None
    best_response: str
    verdict: Change | None
    treatments: tuple[Treatment, ...]
    events: tuple[Happening, ...]
    ended: Happening | None
    waiting: tuple[str, ...]
    simulated: bool
    progressed_on: str | None = None
    doubt: str = ""
    baseline_why: str = ""

    @property
    def days_observed(self) -> float:
        """From baseline to the last accepted timepoint."""
        return self.visits[-1].days

    @property
    def days_followed(self) -> float:
        """From baseline to the last accepted timepoint, or to what ended follow-up where that came later."""
        return max(self.days_observed, self.ended.days if self.ended else 0.0)

    @property
    def progression(self) -> Visit | None:
        """The visit that progression dates from; None where there is none."""
        return next((visit for visit in self.visits if visit.timepoint == self.progressed_on), None)

    @property
    def doubted(self) -> tuple[Visit, ...]:
        """Its visits whose mask or scans are doubted, or were."""
        return tuple(visit for visit in self.visits if visit.doubts)

    @property
    def days_without_progression(self) -> float | None:
        """To the last visit that could be evaluated, of a patient without progression; None of one who has it."""
        if self.progression is not None:
            return None
        return max((visit.days for visit in self.visits if visit.category != "NE"), default=0.0)

    @property
    def is_by_protocol(self) -> bool:
        """Whether it is told by the patient's own protocol."""
        return self.criterion == self.protocol_criterion

    @property
    def why_no_best_change(self) -> str:
        """Why there is no best change; "" where there is one."""
        if self.best is not None:
            return ""
        if len(self.visits) == 1:
            return "no visit after baseline"
        if not self.visits[0].value:
            return "no sum of targets at baseline, so nothing to change from"
        return "not every target was measured at any visit that counts"


@dataclass(frozen=True)
class Cohort:
    """Several patients, all by `criterion`, or where that is None each by their own; `left_out`: patient -> why."""

    criterion: str | None
    responses: tuple[PatientResponse, ...]
    left_out: Mapping[str, str]


#: Gives one patient's response: records, patient, data set, criterion (None: the patient's own).
Told = Callable[[CohortRecords, str, str, str | None], PatientResponse | None]


def patient_response(
    store: PatientResponseStore, patient_id: str, dataset: str, criterion: str | None = None
) -> PatientResponse | None:
    """One patient's response; None without an accepted mask that has a lesion or is not to be read.

    Args:
        criterion: by which; None: by the patient's protocol.

    Raises:
        InputError: unknown criterion, or a protocol that cannot be followed.

    Source: best response until progression: RECIST 1.1 (10.1016/j.ejca.2008.10.026, 4.4), without its confirmation.
    """
    if criterion is not None and criterion not in CRITERIA:
        raise InputError(f"Expected a criterion of {', '.join(CRITERIA)}, got {criterion!r}.")
    timeline, events = patient_timeline(store, patient_id), store.events.of(patient_id)
    found = patient_responses(timeline, store.protocols.of(patient_id), events)
    if found is None or not (timeline.followed or timeline.unlinked or timeline.not_read):
        return None
    by_protocol = found.in_force.protocol.criterion
    named = by_protocol if criterion is None else criterion
    calls = found.calls if named == by_protocol else found.others[named]
    visits, progressed_on = visits_of(calls, timeline), progression_date(calls)
    counted = until_progression(visits, progressed_on)
    known = [visit for visit in counted if visit.change_percent is not None]
    best = min(known, key=lambda visit: visit.change_percent or 0.0) if known else None
    baseline, days = visits[0].timepoint, store.patients.timepoints(patient_id)
    end, ended = last_happening(events, baseline, max(days)) or (None, None)
    accepted = {call.timepoint for call in calls}
    return PatientResponse(
        patient_id,
        dataset,
        named,
        by_protocol,
        visits,
        tuple(call.timepoint for call in calls if call.call == BEFORE_BASELINE),
        best,
        best_category(counted, progressed_on),
        None if best is None else _verdict(timeline, found, baseline, best.timepoint),
        tuple(treatments(events, baseline)),
        happenings([event for event in events if event != end], baseline),
        ended,
        tuple(day for day in days if day not in accepted),
        any(scan.metadata.get("simulated") for scan in store.scans.of(patient_id)),
        progressed_on,
        _doubt(events, visits, progressed_on, not_read_of(timeline), seen_after_death(events, days)),
        found.in_force.baseline_why,
    )


def cohort(
    store: CohortStore,
    criterion: str | None = None,
    datasets: Collection[str] | None = None,
    progress: Progress = no_progress,
    told: Told = patient_response,
) -> Cohort:
    """The responses of all patients, or of those in the datasets named, by patient id.

    A patient without an accepted timepoint, without a lesion in any, or whose protocol cannot be followed is left out
    with the reason; one without a visit after baseline is not evaluable, and is there.

    Args:
        criterion: for all; None: each by their protocol.
        told: as `patient_response`, for who remembers what it gave for a state of the records.

    Raises:
        InputError: unknown criterion.
    """
    if criterion is not None and criterion not in CRITERIA:
        raise InputError(f"Expected a criterion of {', '.join(CRITERIA)}, got {criterion!r}.")
    rows = [row for row in store.patients.all() if datasets is None or row.dataset in datasets]
    responses, left_out = [], {}
    records = CohortRecords(store.views.cohort(), store.scans, store.reference_sets)
    for number, row in enumerate(rows):
        patient = str(row.patient_id)
        progress(number / len(rows), f"{patient} ({number + 1} of {len(rows)})")
        if not row.accepted:
            left_out[patient] = f"0 of {row.timepoints} timepoints accepted; one is needed"
            continue
        try:
            response = told(records, patient, str(row.dataset), criterion)
        except InputError as error:
            left_out[patient] = f"The protocol cannot be followed. {error}"
            continue
        if response is None:
            left_out[patient] = "no lesion in any accepted mask"
        else:
            responses.append(response)
    progress(1.0, "")
    return Cohort(criterion, tuple(responses), left_out)


def visits_of(calls: Sequence[Call], timeline: PatientTimeline) -> tuple[Visit, ...]:
    """The calls from the baseline on, counted from it, with the masks that they are of; () for none."""
    told = [call for call in calls if call.call != BEFORE_BASELINE]
    seen: set[str] = set()
    visits = []
    for call in told:
        appeared = tuple(name for name in call.new_lesions if name not in seen)
        seen |= set(appeared)
        there = timeline.visits.get(call.timepoint)
        record = timeline.not_read[call.timepoint] if there is None else there.record
        visits.append(
            Visit(
                call.timepoint,
                call.days - told[0].days,
                call.value,
                0.0 if call.call == BASELINE and call.value else call.change_from_baseline_percent,
                call.change_from_nadir_percent,
                COMMON_WORD.get(call.call, call.call),
                call.call,
                appeared,
                record.mask_id,
                record.version,
                call.sentence,
                call.notes,
                call.flips_within_noise,
                doubts_at(timeline, call.timepoint),
            )
        )
    return tuple(visits)


def progression_date(calls: Sequence[Call]) -> str | None:
    """The timepoint that progression dates from; None without one, and for an iUPD that is not confirmed."""
    return next((call.progressed_on for call in calls if call.progressed_on is not None), None)


def until_progression(visits: Sequence[Visit], progressed_on: str | None) -> list[Visit]:
    """The visits after baseline to that of the progression, that included: those of which the best counts."""
    return [visit for visit in visits[1:] if progressed_on is None or visit.timepoint <= progressed_on]


def best_category(counted: Sequence[Visit], progressed_on: str | None) -> str:
    """The best of the visits that count; that of the progression is PD, also where it was in doubt then."""
    words = ["PD" if visit.timepoint == progressed_on else visit.category for visit in counted]
    return min(words, key=BEST_FIRST.index, default="NE")


def _doubt(
    events: Sequence[Event],
    visits: Sequence[Visit],
    progressed_on: str | None,
    not_read: Mapping[str, str],
    dead: str,
) -> str:
    parts = [f"accepted mask of {timepoint}: {why}" for timepoint, why in not_read.items()]
    if progressed_on is not None:
        parts.append(cannot_tell(events, progressed_on, None) or "")
    parts += [
        f"{visit.timepoint}: {note.rstrip('.')}"
        for visit in visits
        for note in visit.notes
        if note.startswith(CONTRADICTED)
    ]
    parts.append(dead)
    return "; ".join(part for part in parts if part)


def _verdict(timeline: PatientTimeline, found: PatientResponses, first: str, second: str) -> Change | None:
    """`change_between` the volumes of the targets, whatever the criterion measures; the diameters are those of the
    largest lesions."""
    by_volume = found.calls if found.in_force.protocol.criterion == VOLUMES else found.others[VOLUMES]
    volumes = {call.timepoint: call.value for call in by_volume}
    ends = [_end(timeline, day, volumes.get(day), (first, second)) for day in (first, second)]
    if ends[0] is None or ends[1] is None:
        return None
    return change_between(ends[0], ends[1], timeline.installation)


def _end(timeline: PatientTimeline, day: str, volume_mm3: float | None, between: tuple[str, str]) -> MeasuredEnd | None:
    if volume_mm3 is None or day not in timeline.visits:
        return None
    end = measured_end(timeline.visits[day], TOTAL_LESION_ID, volume_mm3, timeline.days(day))
    return replace(end, registration_state=registration_state(timeline, TOTAL_LESION_ID, *between))
