"""What became of a lesion after the visit at which it was compared, and of several of them together.

A change is real, within noise or unknown by the rule that the timeline named (`core.twin.change`); nothing is judged
anew here. What is not known is counted as unknown, and a lesion without a later visit is no unknown one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from core.errors import InputError
from core.evidence.cases import CoursePoint, LesionCase, PatientEvidence, Similar, Therapy
from core.evidence.telling import known
from core.remembered.vocabulary import EventKind
from core.review.event_words import DEATH_KINDS
from core.twin.timeline_cells import NUMBER_STATES
from core.types import parse_date

#: What became of a lesion by the last visit that tells its volume. The first three are real by the rule.
Fate = Literal["gone", "shrank", "grew", "within noise", "unknown", "no later visit"]
FATES: tuple[Fate, ...] = get_args(Fate)
FATE_WORDS: dict[Fate, str] = {
    "gone": "really gone",
    "shrank": "shrank really",
    "grew": "grew really",
    "within noise": "within noise",
    "unknown": "unknown",
    "no later visit": "without a later visit",
}
#: What may be begun after a visit and bears on a lesion's size. A resected lesion is gone, too.
Begun = Therapy | Literal["surgery"]
NO_LATER_CALL = "no later call"
_STOPS = (EventKind.DRUG_STOP, EventKind.TREATMENT_STOP)


@dataclass(frozen=True, slots=True)
class TherapyBegun:
    """A therapy or operation that began after the compared visit.

    Args:
        days: since that visit, > 0; None where its day cannot be read.
        words: of the event, for people.
    """

    therapy: Begun
    days: float | None
    words: str = ""


@dataclass(frozen=True, slots=True)
class LesionOutcome:
    """What became of a lesion. Days are relative to the visit at which it was compared.

    Args:
        course: that visit and all later ones, by time; () where the course is not on record.
        fate: by the last visit that tells its volume; within noise and unknown also where it is gone by then.
        gone: no lesion is left at that visit.
        later: how many later visits tell its volume.
        days, volume_mm3, percent, verdict, rule: of that last visit; None and "" without one or where not known.
        state_since: what it was at the patient's last visit, where that is later and tells no volume ("merged into",
            "not in view", …); "" else.
        response: the patient's best call after the visit (CR, PR, SD, non-CR/non-PD, PD, NE) by `criterion`; "" where
            none was made.
        progressed, progressed_days: whether progression is on record, and when; before the visit, it is no outcome.
        ended, ended_days: kind of what ended follow-up, "" where nothing did, and when. died: it was death.
        begun: after the visit, by time.
    """

    course: tuple[CoursePoint, ...]
    fate: Fate
    gone: bool
    later: int
    days: float | None
    volume_mm3: float | None
    percent: float | None
    verdict: str
    rule: str
    state_since: str
    response: str
    criterion: str
    progressed: bool
    progressed_days: float | None
    ended: str
    ended_days: float | None
    died: bool
    begun: tuple[TherapyBegun, ...] = ()


def outcome_of(found: Similar) -> LesionOutcome:
    """What became of a similar lesion and its patient after the visit at which they are alike."""
    case, patient = found.case, found.patient
    course = _course_from(case, patient)
    after = [point for point in course if point.days > 0]
    last = after[-1] if after and after[-1].state not in NUMBER_STATES else None
    return LesionOutcome(
        course=course,
        fate=_fate(case, bool(after)),
        gone=case.later > 0 and case.volume_at_last_mm3 == 0,
        later=case.later,
        days=known(case.days_to_last),
        volume_mm3=known(case.volume_at_last_mm3),
        percent=known(case.percent_to_last),
        verdict=case.verdict_to_last,
        rule=case.rule_to_last,
        state_since=last.state if last else "",
        response=patient.response_after(case.timepoint),
        criterion=patient.criterion,
        progressed=patient.progressed_on is not None,
        progressed_days=_days_between(case.timepoint, patient.progressed_on),
        ended=patient.ended,
        ended_days=_days_between(case.timepoint, patient.ended_on),
        died=_word(patient.ended) in DEATH_KINDS,
        begun=_begun_after(case.timepoint, patient),
    )


def _course_from(case: LesionCase, patient: PatientEvidence) -> tuple[CoursePoint, ...]:
    """From the compared visit on, which is day 0; () where that visit is not in the course."""
    course = patient.courses.get(case.lesion_id, ())
    zero = next((point.days for point in course if point.timepoint == case.timepoint), None)
    if zero is None:
        return ()
    moved = (CoursePoint(one.timepoint, one.days - zero, one.state, known(one.volume_mm3)) for one in course)
    return tuple(sorted((one for one in moved if one.days >= 0), key=lambda one: one.days))


def _fate(case: LesionCase, seen_later: bool) -> Fate:
    if case.later == 0:  # later visits that tell no volume leave it unknown
        return "unknown" if seen_later else "no later visit"
    if case.verdict_to_last == "within noise":
        return "within noise"
    if case.verdict_to_last != "real":
        return "unknown"
    if case.volume_at_last_mm3 == 0:
        return "gone"
    percent = known(case.percent_to_last)
    return "unknown" if not percent else "shrank" if percent < 0 else "grew"


def _days_between(first: str, second: str | None) -> float | None:
    try:
        return None if second is None else float((parse_date(second) - parse_date(first)).days)
    except InputError:
        return None


def _word(kind: str) -> str:
    return kind.lower().replace("_", "-")


def _begun_after(timepoint: str, patient: PatientEvidence) -> tuple[TherapyBegun, ...]:
    begun = []
    for event in patient.events:
        therapy: Begun | None = "surgery" if _word(event.kind) == EventKind.SURGERY else event.therapy
        days = _days_between(timepoint, event.date)
        if therapy is not None and _word(event.kind) not in _STOPS and (days is None or days > 0):
            begun.append(TherapyBegun(therapy, days, event.words))
    return tuple(sorted(begun, key=lambda one: (one.days is None, one.days or 0.0)))


@dataclass(frozen=True, slots=True)
class OutcomeTally:
    """How often each fate is among several lesions: the counts add up to all of them.

    Args:
        lesions, patients: how many there are.
        fates: one count for each of `FATES`, in that order.
        gone_not_real: of those within noise or unknown, how many are no longer seen.
        responses: patients' calls after the visit, the most frequent first, a lesion each; "" for none.
        died: patients whose death is on record.
        simulated: how many of the lesions are of simulated patients.
    """

    lesions: int
    patients: int
    fates: tuple[int, ...]
    gone_not_real: int
    responses: tuple[tuple[str, int], ...]
    died: int
    simulated: int = 0

    def count(self, fate: Fate) -> int:
        """How many lesions have this fate."""
        return self.fates[FATES.index(fate)]

    @property
    def words(self) -> str:
        """ "Of 5 lesions of 4 patients: 2 shrank really, 1 within noise, 1 unknown, 1 without a later visit." """
        if not self.lesions:
            return "No similar lesion was found."
        told = ", ".join(f"{n} {FATE_WORDS[fate]}" for fate, n in zip(FATES, self.fates, strict=True) if n)
        gone = f"; {self.gone_not_real} of those within noise or unknown no longer seen" if self.gone_not_real else ""
        made = f"; {self.simulated} of them simulated" if self.simulated else ""
        return f"Of {_several(self.lesions, 'lesion')} of {_several(self.patients, 'patient')}: {told}{gone}{made}."

    @property
    def response_words(self) -> str:
        """ "Patient's best response after it: 2 PR, 1 PD, 2 no later call; death on record: 1 patient." """
        if not self.lesions:
            return ""
        told = ", ".join(f"{n} {name or NO_LATER_CALL}" for name, n in self.responses)
        died = _several(self.died, "patient") if self.died else "none"
        return f"Patient's best response after it, by lesion: {told}; death on record: {died}."


def _several(number: int, name: str) -> str:
    return f"{number} {name}" if number == 1 else f"{number} {name}s"


def tally_of(outcomes: Sequence[LesionOutcome], patients: Sequence[str], simulated: int = 0) -> OutcomeTally:
    """Counts over outcomes; none is dropped.

    Args:
        patients: whose each of them is, one for one. simulated: how many are of simulated patients.
    """
    fates = Counter(one.fate for one in outcomes)
    responses = Counter(one.response for one in outcomes)
    return OutcomeTally(
        lesions=len(outcomes),
        patients=len(set(patients)),
        fates=tuple(fates[fate] for fate in FATES),
        gone_not_real=sum(one.gone and one.fate != "gone" for one in outcomes),
        responses=tuple(sorted(responses.items(), key=lambda pair: (-pair[1], pair[0] == "", pair[0]))),
        died=len({patient for one, patient in zip(outcomes, patients, strict=True) if one.died}),
        simulated=simulated,
    )
