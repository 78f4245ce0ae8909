"""What became of several patients, from accepted masks alone: best change, the course since baseline, time in view.

Baseline is a patient's first accepted timepoint, day 0 of everything here. The target is the lesions that were there at
baseline; a lesion first seen later is new and adds nothing to the target. Rules are those of `core.twin.response`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from core.errors import InputError
from core.remembered.lists import HasViews
from core.remembered.rows import Event
from core.remembered.sources import EventRecordSource, HasPatients, HasReferenceSets, HasScans
from core.remembered.untyped import TableRow
from core.twin.change import Change, change_between
from core.twin.cohort_records import CohortRecords
from core.twin.curve import Treatment, events_on_axis, treatments
from core.twin.follow_up import FOLLOW_UP_END_KINDS as FOLLOW_UP_END_KINDS
from core.twin.follow_up import follow_up_end, seen_after_death
from core.twin.measured_visits import measured_end
from core.twin.radiotherapy import cannot_tell
from core.twin.response import DEFAULT_RULE, RULES, Category, Response, volumetric_response
from core.twin.timeline import PatientTimeline, patient_timeline
from core.twin.timeline_changes import registration_state
from core.twin.timeline_response import response_points
from core.twin.timeline_store import TimelineStore
from core.twin.trajectory import not_read_of
from core.types import MM3_PER_ML, TOTAL_LESION_ID, Progress, VolumePoint, no_progress

#: The best first; what cannot be evaluated comes after everything that can.
BEST_FIRST: tuple[Category, ...] = ("CR", "PR", "SD", "PD", "NE")


class PatientResponseStore(TimelineStore, Protocol):
    """The parts of a store that one patient's response comes from."""

    @property
    def events(self) -> EventRecordSource: ...


class CohortStore(HasPatients, HasScans, HasReferenceSets, HasViews, Protocol):
    """The parts of a store that the responses of all patients come from."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One accepted timepoint of a patient under one rule.

    Args:
        days: since baseline.
        volume_mm3: of the target; NaN where a lesion of it was not measured. new_volume_mm3: of new lesions.
        change_percent: of the target from baseline, >= -100; None where it or the baseline is not known, or that is 0.
        category: by the rule in force; "baseline" at day 0.
        appeared: new lesions that are first seen here.
        mask_id, version: the accepted mask.
        note: for people, or "".
    """

    timepoint: str
    days: float
    volume_mm3: float
    new_volume_mm3: float
    change_percent: float | None
    category: Category
    appeared: tuple[str, ...]
    mask_id: str
    version: int
    note: str


@dataclass(frozen=True)
class PatientResponse:
    """One patient's response under one rule.

    Args:
        visits: in order of time, at least two; the first is the baseline.
        best: the visit with the least `change_percent` from the first after baseline to the first progression, that
            included; the earliest of equals; None where no change is known.
        best_response: the best category among those same visits, `BEST_FIRST`; none has to be confirmed, and SD needs
            no least duration.
        verdict: whether the best change is more than noise; None without one.
        treatments: in days since baseline; events: (days, text) of what else happened, but the end.
        ended: (days, text) of the event that ended follow-up (`core.twin.follow_up.follow_up_end`), or None.
        waiting: timepoints without an accepted mask.
        simulated: any of the scans is.
        doubt: why the first progression may be none (`core.twin.radiotherapy.cannot_tell`), which accepted masks
            cannot be read, and visits after the death on record, or "".
    """

    patient_id: str
    dataset: str
    rule: str
    visits: tuple[Visit, ...]
    best: Visit | None
    best_response: Category
    verdict: Change | None
    treatments: tuple[Treatment, ...]
    events: tuple[tuple[float, str], ...]
    ended: tuple[float, str] | None
    waiting: tuple[str, ...]
    simulated: bool
    doubt: str = ""

    @property
    def days_observed(self) -> float:
        """From baseline to the last accepted timepoint."""
        return self.visits[-1].days

    @property
    def progression(self) -> Visit | None:
        """The first visit that is PD; None where none is."""
        return next((visit for visit in self.visits if visit.category == "PD"), None)

    @property
    def still_followed(self) -> bool:
        """No event says that the follow-up ended."""
        return self.ended is None

    @property
    def why_no_best_change(self) -> str:
        """Why there is no best change; "" where there is one."""
        if self.best is not None:
            return ""
        if self.visits[0].volume_mm3 == 0:
            return "no lesion at baseline, so nothing to change from"
        if math.isnan(self.visits[0].volume_mm3):
            return "a lesion was not measured at baseline"
        return "a baseline lesion was not measured at any timepoint that counts"


@dataclass(frozen=True)
class Cohort:
    """Several patients under one rule; `left_out`: patient -> why there is nothing to show."""

    rule: str
    responses: tuple[PatientResponse, ...]
    left_out: Mapping[str, str]


def cohort(
    store: CohortStore,
    rule: str = DEFAULT_RULE,
    datasets: Collection[str] | None = None,
    progress: Progress = no_progress,
) -> Cohort:
    """The responses of all patients, or of those in the datasets named, by patient id.

    A patient with fewer than two accepted timepoints, or without a lesion in any, is left out with the reason.

    Raises:
        InputError: unknown rule.
    """
    if rule not in RULES:
        raise InputError(f"Unknown response rule {rule!r}. Known: {', '.join(RULES)}.")
    rows = [row for row in store.patients.all() if datasets is None or row.dataset in datasets]
    responses, left_out = [], {}
    records = CohortRecords(store.views.cohort(), store.scans, store.reference_sets)
    for number, row in enumerate(rows):
        patient = str(row.patient_id)
        progress(number / len(rows), f"{patient} ({number + 1} of {len(rows)})")
        response = patient_response(records, patient, str(row.dataset), rule) if row.accepted > 1 else None
        if response is not None:
            responses.append(response)
        elif row.accepted > 1:
            left_out[patient] = "no lesion in any accepted mask"
        else:
            left_out[patient] = f"{row.accepted} of {row.timepoints} timepoints accepted; two are needed"
    progress(1.0, "")
    return Cohort(rule, tuple(responses), left_out)


def patient_response(
    store: PatientResponseStore, patient_id: str, dataset: str, rule: str = DEFAULT_RULE
) -> PatientResponse | None:
    """One patient's response; None with fewer than two accepted timepoints or without a lesion in any of them.

    Raises:
        InputError: unknown rule.

    Source: best response until progression: RECIST (10.1093/jnci/92.3.205), without its confirmation.
    """
    timeline = patient_timeline(store, patient_id)
    points = response_points(timeline)
    answers = volumetric_response(points, rule)
    if len(answers) < 2:
        return None
    visits = visits_of(answers, points)
    counted = until_progression(visits)
    known = [visit for visit in counted if visit.change_percent is not None]
    best = min(known, key=lambda visit: visit.change_percent or 0.0) if known else None
    events, baseline = store.events.of(patient_id), visits[0].timepoint
    days = store.patients.timepoints(patient_id)
    end = follow_up_end(events, max(days))
    others = [event for event in events if event != end]
    done = {visit.timepoint for visit in visits}
    return PatientResponse(
        patient_id,
        dataset,
        rule,
        visits,
        best,
        min((visit.category for visit in counted), key=BEST_FIRST.index),
        None if best is None else _verdict(timeline, visits[0], best),
        tuple(treatments(events, baseline)),
        tuple(events_on_axis(others, baseline)),
        events_on_axis([end], baseline)[0] if end is not None else None,
        tuple(t for t in days if t not in done),
        any(scan.metadata.get("simulated") for scan in store.scans.of(patient_id)),
        _doubt(events, visits, not_read_of(timeline), seen_after_death(events, days)),
    )


def _doubt(events: Sequence[Event], visits: Sequence[Visit], not_read: Mapping[str, str], dead: str) -> str:
    first = next((visit for visit in visits if visit.category == "PD"), None)
    parts = [f"accepted mask of {timepoint}: {why}" for timepoint, why in not_read.items()]
    if first is not None:
        parts.append(cannot_tell(events, first.timepoint, None) or "")
    parts.append(dead)
    return "; ".join(part for part in parts if part)


def visits_of(answers: Sequence[Response], points: Sequence[VolumePoint]) -> tuple[Visit, ...]:
    """The answers of one rule as visits counted from baseline, with the masks that the points name; () for none."""
    masks = {point.timepoint: (point.mask_id, point.version) for point in points}
    seen: set[str] = set()
    visits = []
    for answer in answers:
        appeared = tuple(name for name in answer.new_lesions if name not in seen)
        seen |= set(appeared)
        visits.append(
            Visit(
                answer.timepoint,
                answer.days - answers[0].days,
                answer.volume_mm3,
                answer.new_volume_mm3,
                answer.change_from_baseline_percent,
                answer.category,
                appeared,
                *masks[answer.timepoint],
                answer.note,
            )
        )
    return tuple(visits)


def until_progression(visits: Sequence[Visit]) -> list[Visit]:
    """The visits after baseline to the first that is PD, that included: those of which the best counts."""
    counted = []
    for visit in visits[1:]:
        counted.append(visit)
        if visit.category == "PD":
            break
    return counted


def _verdict(timeline: PatientTimeline, baseline: Visit, best: Visit) -> Change:
    """`change_between` the target's volumes at baseline and then; the diameters are those of the largest lesions."""
    first, second = baseline.timepoint, best.timepoint
    state = registration_state(timeline, TOTAL_LESION_ID, first, second)
    before, after = (
        replace(
            measured_end(timeline.visits[visit.timepoint], TOTAL_LESION_ID, visit.volume_mm3, visit.days),
            registration_state=state,
        )
        for visit in (baseline, best)
    )
    return change_between(before, after, timeline.installation)


def waterfall_rows(responses: Sequence[PatientResponse]) -> list[TableRow]:
    """Rows of the waterfall: a patient each, the worst best change first, unknown ones last."""
    return [
        {
            "patient": o.patient_id,
            "dataset": o.dataset,
            "rule": o.rule,
            "best_response": o.best_response,
            "best_change_percent": None if o.best is None else round(o.best.change_percent or 0.0, 2),
            "verdict": "" if o.verdict is None else o.verdict.verdict,
            "verdict_rule": "" if o.verdict is None else o.verdict.rule,
            "timepoint": "" if o.best is None else o.best.timepoint,
            "days": None if o.best is None else o.best.days,
            "response_there": "" if o.best is None else o.best.category,
            "baseline_mL": _ml(o.visits[0].volume_mm3),
            "volume_mL": None if o.best is None else _ml(o.best.volume_mm3),
            "progression_days": None if o.progression is None else o.progression.days,
            "doubt": o.doubt,
            "note": o.why_no_best_change,
            "baseline_mask_id": o.visits[0].mask_id,
            "mask_id": "" if o.best is None else o.best.mask_id,
            "simulated": o.simulated,
        }
        for o in worst_first(responses)
    ]


def worst_first(responses: Sequence[PatientResponse]) -> list[PatientResponse]:
    """By best change, the greatest growth first, then by patient; those without a known change last."""
    return sorted(
        responses, key=lambda o: (math.inf if o.best is None else -(o.best.change_percent or 0.0), o.patient_id)
    )


def spider_rows(responses: Sequence[PatientResponse]) -> list[TableRow]:
    """Rows of the spider: an accepted timepoint each."""
    return [
        {
            "patient": o.patient_id,
            "dataset": o.dataset,
            "rule": o.rule,
            "timepoint": v.timepoint,
            "days_since_baseline": v.days,
            "volume_mL": _ml(v.volume_mm3),
            "new_lesions_mL": _ml(v.new_volume_mm3),
            "change_percent": None if v.change_percent is None else round(v.change_percent, 2),
            "response": v.category,
            "note": v.note,
            "mask_version": v.version,
            "mask_id": v.mask_id,
            "simulated": o.simulated,
        }
        for o in responses
        for v in o.visits
    ]


def swimmer_rows(responses: Sequence[PatientResponse]) -> list[TableRow]:
    """Rows of the swimmer: a period or event each, in days since baseline; `to_days` None: it goes on."""
    rows: list[TableRow] = []
    for o in responses:
        periods: list[tuple[str, float, float | None, str]] = [("observed", 0.0, o.days_observed, "")]
        periods += [("response", v.days, v.days, v.category) for v in o.visits]
        periods += [("new lesion", v.days, v.days, ", ".join(v.appeared)) for v in o.visits if v.appeared]
        periods += [("treatment", t.start_days, t.end_days, t.name) for t in o.treatments]
        periods += [("event", days, days, text) for days, text in o.events]
        end, why = o.ended or (o.days_observed, "")
        periods.append(("follow-up ended", end, end, why) if o.ended else ("still followed", end, None, ""))
        rows += [
            {
                "patient": o.patient_id,
                "dataset": o.dataset,
                "rule": o.rule,
                "what": kind,
                "from_days": start,
                "to_days": stop,
                "detail": detail,
                "simulated": o.simulated,
            }
            for kind, start, stop, detail in periods
        ]
    return rows


def _ml(volume_mm3: float) -> float | None:
    return None if math.isnan(volume_mm3) else round(volume_mm3 / MM3_PER_ML, 4)
