"""Which lesions a search is narrowed to before it looks: the same filter over cases and as a query of the graph.

A filter has three answers. What cannot be told (nobody named the organ, no treatment is on record) neither passes nor
fails: it is left out and counted, by the reason.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from core.errors import InputError
from core.evidence.cases import CaseKey, LesionCase, PatientEvidence, Therapy
from core.evidence.graph_schema import DAYS_AFTER, days_until

#: "responded" is CR or PR; the others are that best call itself.
Response = Literal["", "responded", "CR", "PR", "SD", "non-CR/non-PD", "PD"]
RESPONSES: tuple[Response, ...] = get_args(Response)
_CALLED: Mapping[str, tuple[str, ...]] = {"responded": ("CR", "PR")}
_UNKNOWN_DRUG: Therapy = "drug of no known class"

#: True passes, False does not, a text is why it cannot be told.
_Told = bool | str


@dataclass(frozen=True, slots=True)
class Passing:
    """Whether a case passes: True, False, or None where it cannot be told, for the reasons in `unknown`."""

    passes: bool | None
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Selected:
    """The cases that pass, and of how many it cannot be told, by reason (a case may have several)."""

    keys: frozenset[CaseKey]
    unknown: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class LesionFilter:
    """What a lesion at a visit, its patient and what came after must be; what is left as it is asks for nothing.

    Args:
        organ: as it was named. modality: of the reference scan. dataset: of the patient.
        volume_factor: at most so many times larger or smaller than the lesion that is asked about, >= 1.
        therapy: what was being given on that day.
        response: the patient's best call of the visits after that day.
        event_after: a kind of event, or the therapy that one gave, on that day or up to `within_days` after.
        within_days: 1 to 365; None is 365.
        with_later: the lesion's volume is known at a later visit.

    Raises:
        InputError: a factor, a response or a number of days that is none of these.
    """

    organ: str = ""
    volume_factor: float | None = None
    modality: str = ""
    therapy: str = ""
    response: Response = ""
    event_after: str = ""
    within_days: int | None = None
    with_later: bool = False
    dataset: str = ""

    def __post_init__(self) -> None:
        factor, days = self.volume_factor, self.within_days
        if factor is not None and not (math.isfinite(factor) and factor >= 1):
            raise InputError(
                f"Expected a factor of 1 or more between two volumes, got {factor}. Give 2 for half to twice."
            )
        if self.response not in RESPONSES:
            allowed = ", ".join(RESPONSES[1:])
            raise InputError(f"Expected a response of {allowed}, got {self.response!r}. Choose one of these.")
        if days is not None and not (self.event_after and 1 <= days <= DAYS_AFTER):
            raise InputError(
                f"Expected 1 to {DAYS_AFTER} days within which an event followed, and the event, got {days} days and "
                f"{self.event_after!r}. Give both."
            )

    def passes(self, case: LesionCase, patient: PatientEvidence, of_volume_mm3: float) -> Passing:
        """Whether a case passes. Args: of_volume_mm3: volume of the lesion that is asked about, > 0."""
        unknown: list[str] = []
        for told in self._told(case, patient, of_volume_mm3):
            if told is False:
                return Passing(False)
            if isinstance(told, str):
                unknown.append(told)
        return Passing(None if unknown else True, tuple(unknown))

    def _told(self, case: LesionCase, patient: PatientEvidence, of_volume_mm3: float) -> Iterator[_Told]:
        """The answer to each thing that is asked for, what is told fastest first."""
        if self.dataset:
            yield patient.dataset == self.dataset
        if self.modality:
            yield case.modality == self.modality
        if self.with_later:
            yield case.later > 0
        if self.volume_factor is not None:
            least, most = self._volumes(of_volume_mm3)
            yield least <= case.volume_mm3 <= most
        if self.organ:
            yield case.organ == self.organ if case.organ else "nobody named the organ"
        if self.therapy:
            yield self._treated(case)
        if self.response:
            best = patient.response_after(case.timepoint)
            yield best in _CALLED.get(self.response, (self.response,)) if best not in ("", "NE") else "no call after it"
        if self.event_after:
            yield self._followed(case, patient)

    def _volumes(self, of_volume_mm3: float) -> tuple[float, float]:
        if self.volume_factor is None or not (math.isfinite(of_volume_mm3) and of_volume_mm3 > 0):
            raise InputError(
                f"Expected the volume of the lesion that is asked about, above 0 mm³, got {of_volume_mm3}. "
                "Leave out the factor between volumes, or ask about a lesion that was measured."
            )
        return of_volume_mm3 / self.volume_factor, of_volume_mm3 * self.volume_factor

    def _treated(self, case: LesionCase) -> _Told:
        if self.therapy in case.therapies:
            return True
        if not case.therapies:
            return "no treatment on record"
        return "a drug of no known class" if _UNKNOWN_DRUG in case.therapies else False

    def _followed(self, case: LesionCase, patient: PatientEvidence) -> _Told:
        within = DAYS_AFTER if self.within_days is None else self.within_days
        told = [(event, days_until(case.timepoint, event.date)) for event in patient.events]
        near = [event for event, days in told if days is not None and 0 <= days <= within]
        if any(self.event_after in (event.kind, event.therapy) for event in near):
            return True
        if not patient.events:
            return "no event on record"
        if any(days is None for _, days in told):
            return "an event without a date"
        kinds = {event.therapy for event in near}
        return "a drug of no known class" if _UNKNOWN_DRUG in kinds and self.event_after in get_args(Therapy) else False

    def words(self) -> tuple[str, ...]:
        """What is asked for, a phrase each; () where nothing is."""
        within = f" within {self.within_days} days" if self.within_days else " within a year"
        said = (
            (self.dataset, f"data set {self.dataset}"),
            (self.modality, f"modality {self.modality}"),
            (self.organ, f"organ {self.organ}"),
            (self.volume_factor is not None, f"volume within {self.volume_factor or 1:g}×"),
            (self.therapy, f"on {self.therapy}"),
            (self.response, "responded (CR or PR)" if self.response == "responded" else f"best call {self.response}"),
            (self.event_after, f"{self.event_after}{within} after"),
            (self.with_later, "with a later visit"),
        )
        return tuple(words for asked, words in said if asked)

    def cypher(self, of_volume_mm3: float | None = None) -> tuple[str, dict[str, str | float | list[str]]]:
        """The same filter as a query of the graph, and what its parameters stand for: the cases that pass.

        Args: of_volume_mm3: as in `passes`; None where no factor between volumes is asked for.
        """
        asked: dict[str, str | float | list[str]] = {}
        where = ["o.mask_id <> ''"]
        for name, value, text in (
            ("dataset", self.dataset, "p.dataset = $dataset"),
            ("modality", self.modality, "o.modality = $modality"),
            ("organ", self.organ, "l.organ = $organ"),
            ("therapy", self.therapy, "list_contains(o.on_treatment, $therapy)"),
        ):
            if value:
                asked[name] = value
                where.append(text)
        if self.volume_factor is not None:
            asked["least"], asked["most"] = self._volumes(math.nan if of_volume_mm3 is None else of_volume_mm3)
            where.append("o.volume_mm3 >= $least AND o.volume_mm3 <= $most")
        if self.response:
            asked["calls"] = list(_CALLED.get(self.response, (self.response,)))
            where.append("list_contains($calls, o.response_after)")
        if self.with_later:
            where.append("o.later > 0")
        if self.event_after:
            asked["event"] = self.event_after
            asked["within"] = DAYS_AFTER if self.within_days is None else self.within_days
            where.append(
                "EXISTS { MATCH (o)-[b:BEFORE]->(e:Event) "
                "WHERE b.days <= $within AND (e.kind = $event OR e.therapy = $event) }"
            )
        return (
            "MATCH (p:Patient)-[:HAS]->(l:Lesion)-[:SEEN_AS]->(o:Observation)\n"
            f"WHERE {' AND '.join(where)}\n"
            "RETURN o.mask_id AS mask_id, o.lesion_id AS lesion_id",
            asked,
        )


def selected(by: LesionFilter, patients: Sequence[PatientEvidence], of_volume_mm3: float, *, but: str = "") -> Selected:
    """What passes of all these patients. Args: but: a patient whose lesions are left out, "" for none."""
    keys: set[CaseKey] = set()
    unknown: Counter[str] = Counter()
    for patient in patients:
        if patient.patient_id == but:
            continue
        for case in patient.cases:
            answer = by.passes(case, patient, of_volume_mm3)
            unknown.update(answer.unknown)
            if answer.passes:
                keys.add(case.key)
    return Selected(frozenset(keys), dict(unknown))
