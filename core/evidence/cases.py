"""What evidence is made of: an accepted lesion at one visit, what became of it, and how alike two such are.

`core.evidence.gathering` makes them of a patient's timeline; what searches, filters, learns or tells reads them alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from core.remembered.marks import MarkSpace

#: What may be given on a day; "drug of no known class" of a name that no table has.
Therapy = Literal[
    "chemotherapy", "targeted therapy", "immunotherapy", "hormone therapy", "radiotherapy", "drug of no known class"
]
#: By what two lesions are compared.
SpaceName = MarkSpace
SPACES: tuple[SpaceName, ...] = ("both", "shape", "appearance")


@dataclass(frozen=True, slots=True)
class CaseKey:
    """One lesion of one mask version: what vectors, marks and cases are found by."""

    mask_id: str
    lesion_id: str


@dataclass(frozen=True, slots=True)
class LesionCase:
    """A lesion of an accepted mask, as it was at one visit, and what became of it by the last.

    Args:
        version: of the mask; mask_sha256: of its file; scan_sha256: of the scan that it lies on.
        method: as `core.remembered.vocabulary.MaskMethod`; checkpoint_sha256: of the network's weights, None where none
            took part; made_by, accepted_by: people; "" where it is not recorded.
        simulated: a program made any of the patient's scans.
        modality: of the reference scan.
        volume_mm3: > 0.
        organ: as a person named it in the protocol; "" where nobody did.
        therapies: what was being given on that day; () where nothing is on record, which is no proof of none.
        drugs: their names.
        later: how many later visits tell its volume. last_timepoint, days_to_last: the last of them and the days until
            then; percent_to_last: its change until then, None where it is not known; verdict_to_last: whether that is
            real, within noise or unknown (`core.types.Verdict`), rule_to_last: by which rule.
            "" and None without a later visit. volume_at_last_mm3: 0 where it is gone.
        doubts: what gates doubt of the mask or its scans, in sentences.
    """

    patient_id: str
    dataset: str
    timepoint: str
    lesion_id: str
    mask_id: str
    version: int
    mask_sha256: str
    scan_sha256: str
    method: str
    checkpoint_sha256: str | None
    made_by: str
    accepted_by: str
    simulated: bool
    modality: str
    volume_mm3: float
    organ: str = ""
    therapies: tuple[Therapy, ...] = ()
    drugs: tuple[str, ...] = ()
    later: int = 0
    last_timepoint: str = ""
    days_to_last: float | None = None
    volume_at_last_mm3: float | None = None
    percent_to_last: float | None = None
    verdict_to_last: str = ""
    rule_to_last: str = ""
    doubts: tuple[str, ...] = ()

    @property
    def key(self) -> CaseKey:
        """Of its vectors and marks."""
        return CaseKey(self.mask_id, self.lesion_id)


@dataclass(frozen=True, slots=True)
class CoursePoint:
    """One visit in a lesion's course: days since the visit that was compared (negative before it); the state of its
    cell, and its volume where that is a number."""

    timepoint: str
    days: float
    state: str
    volume_mm3: float | None


@dataclass(frozen=True, slots=True)
class EventFact:
    """An event of the patient, once for each therapy that it begins.

    Args:
        kind: as `core.remembered.vocabulary.EventKind`. therapy: None where it begins none. words: for people.
    """

    event_id: str
    date: str
    kind: str
    therapy: Therapy | None
    words: str


@dataclass(frozen=True, slots=True)
class Step:
    """How a lesion changed from one visit to the next at which it is a number."""

    lesion_id: str
    timepoint: str
    to_timepoint: str
    days: float
    percent: float | None
    verdict: str


@dataclass(frozen=True, slots=True)
class Relation:
    """A lesion that was merged or split at a visit; `relation`: "merged into" or "split into"."""

    lesion_id: str
    into: str
    timepoint: str
    relation: str


@dataclass(frozen=True, slots=True)
class VisitCall:
    """What a visit is called: `category` in the words that criteria have in common (CR, PR, SD, PD, NE, "baseline")."""

    timepoint: str
    category: str
    call: str


@dataclass(frozen=True, slots=True)
class PatientEvidence:
    """What evidence knows of one patient.

    Args:
        cases: by timepoint and lesion. courses: of each lesion all visits, by time, days since the first of them.
        criterion: by which the visits are called, best_response its best (CR, PR, SD, PD, NE); "" where it cannot be
            told. calls: one a visit from baseline on.
        progressed_on: date, or None. ended: kind of what ended follow-up ("death", …), "" where nothing did;
            ended_on: when.
    """

    patient_id: str
    dataset: str
    simulated: bool
    cases: tuple[LesionCase, ...]
    courses: Mapping[str, tuple[CoursePoint, ...]]
    steps: tuple[Step, ...] = ()
    relations: tuple[Relation, ...] = ()
    events: tuple[EventFact, ...] = ()
    calls: tuple[VisitCall, ...] = ()
    criterion: str = ""
    best_response: str = ""
    progressed_on: str | None = None
    ended: str = ""
    ended_on: str | None = None

    def response_after(self, timepoint: str) -> str:
        """The best call of the visits after that one, "" where there is none: what came before is no outcome of it."""
        order = ("CR", "PR", "SD", "non-CR/non-PD", "PD", "NE")
        later = [one.category for one in self.calls if one.timepoint > timepoint and one.category in order]
        return min(later, key=order.index, default="")


@dataclass(frozen=True, slots=True)
class Similar:
    """A lesion of another patient that is like the one asked about.

    Args:
        rank: from 1. distance: in the space that was searched, 0 for equal vectors.
        percentile: how many of the pairs of lesions of two patients are farther apart, in percent, 0..100; NaN where
            there are no such pairs to compare with.
        marked: whether somebody marked it relevant (True) or not (False) for this lesion; None where nobody did.
    """

    case: LesionCase
    patient: PatientEvidence
    rank: int
    distance: float
    percentile: float
    marked: bool | None = None


@dataclass(frozen=True, slots=True)
class SimilarLesions:
    """The answer of one search.

    Args:
        of: the lesion that was asked about: patient, timepoint, lesion, mask.
        space: by what they were compared. metric: id of the learned metric in force, "" where none is.
        found: nearest first.
        searched: how many lesions passed the filter and could be compared; patients: of how many patients.
        not_compared: how many lesions passed the filter, but have no vector in this space.
        filters: what was filtered by, in words.
        as_of: audit entry up to which the evidence knows the store.
    """

    of: CaseKey
    patient_id: str
    timepoint: str
    volume_mm3: float
    modality: str
    space: SpaceName
    metric: str
    found: tuple[Similar, ...]
    searched: int
    patients: int
    not_compared: int
    filters: tuple[str, ...]
    as_of: int
