"""The evidence panel: an answer of the search as one value that leaves the page, with where each number comes from.

It is what a person sees on Evidence and no more, so that whoever gets the file can judge it without TwinReview:
lesions, likeness, course, outcome, sources, what was searched, and what it does not show.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from core.evidence.cases import LesionCase, Similar, SimilarLesions, SpaceName, Therapy
from core.evidence.outcome import LesionOutcome, OutcomeTally, outcome_of, tally_of
from core.evidence.telling import known
from core.version import twinreview_version

#: Whether a panel names patients as they are, or nobody.
Names = Literal["own", "pseudonyms"]
#: By what lesions are compared, in words.
ALIKE: Mapping[SpaceName, str] = {"shape": "shape", "appearance": "appearance", "both": "shape and appearance"}
_START = ord("A")
_LETTERS = 26


@dataclass(frozen=True, slots=True)
class Sources:
    """Where a lesion's numbers come from.

    Args:
        mask_id, version, mask_sha256: the accepted mask; scan_sha256: the scan that it lies on.
        method: how it was made; checkpoint_sha256: of the network's weights, None where none took part.
        made_by, accepted_by: people, "" where it is not on record.
        doubts: what gates doubt of the mask or its scans, in sentences; doubted: how many there are.
    """

    mask_id: str
    version: int
    mask_sha256: str
    scan_sha256: str
    method: str
    checkpoint_sha256: str | None
    made_by: str
    accepted_by: str
    doubts: tuple[str, ...]
    doubted: int


@dataclass(frozen=True, slots=True)
class LesionFacts:
    """A lesion as it was at the visit that is compared.

    Args:
        simulated: a program made any of the patient's scans; None where it is not known.
        volume_mm3: > 0.
        organ: "" where nobody named it. therapies, drugs: given on that day; () where none are on record.
        sources: None where the lesion's case is not known.
    """

    patient: str
    dataset: str
    timepoint: str
    lesion_id: str
    simulated: bool | None
    modality: str
    volume_mm3: float
    organ: str = ""
    therapies: tuple[Therapy, ...] = ()
    drugs: tuple[str, ...] = ()
    sources: Sources | None = None


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A similar lesion.

    Args:
        row: by what it is cited: a letter for each patient, with a number where the patient has several ("B2").
        distance: in the space that was searched, 0 for equal vectors; percentile: how many pairs of lesions of two
            patients are farther apart, percent, 0..100. None where either is not known.
        marked: relevant (True) or not (False) for the lesion asked about; None where nobody said.
    """

    row: str
    rank: int
    lesion: LesionFacts
    distance: float | None
    percentile: float | None
    marked: bool | None
    outcome: LesionOutcome


@dataclass(frozen=True, slots=True)
class EvidencePanel:
    """One answer of the search.

    Args:
        names: "own", or "pseudonyms" (`core.evidence.pseudonyms`): then texts that could name somebody are "" or
            `core.evidence.pseudonyms.WITHHELD`.
        question: the lesion asked about; neighbours: the nearest first.
        space: by what they were compared; metric: id of the learned metric in force, "" where none is.
        searched, patients: how many lesions of how many patients were compared; not_compared: how many passed the
            filter and have no vector. filters: in words.
        as_of: audit entry up to which the evidence knows the store.
        twinreview: version of the program; made_at: UTC, RFC 3339.
        limits: what this does not show, in sentences.
    """

    names: Names
    question: LesionFacts
    neighbours: tuple[Neighbour, ...]
    tally: OutcomeTally
    space: SpaceName
    metric: str
    searched: int
    patients: int
    not_compared: int
    filters: tuple[str, ...]
    as_of: int
    twinreview: str
    made_at: str
    limits: tuple[str, ...]


def own_panel(similar: SimilarLesions, query: LesionCase | None, made_at: str = "") -> EvidencePanel:
    """The panel of an answer, with names as they are; `core.evidence.pseudonyms.panel_of` makes either kind.

    Args:
        query: the case of the lesion asked about; None where it has none, and then its sources are not known.
        made_at: UTC, RFC 3339; now if it is "".
    """
    rows = row_names([one.case.patient_id for one in similar.found])
    neighbours = tuple(_neighbour(row, one) for row, one in zip(rows, similar.found, strict=True))
    return EvidencePanel(
        names="own",
        question=_asked(similar) if query is None else _facts(query),
        neighbours=neighbours,
        tally=tally_of(
            [one.outcome for one in neighbours],
            [one.lesion.patient for one in neighbours],
            sum(bool(one.lesion.simulated) for one in neighbours),
        ),
        space=similar.space,
        metric=similar.metric,
        searched=similar.searched,
        patients=similar.patients,
        not_compared=similar.not_compared,
        filters=similar.filters,
        as_of=similar.as_of,
        twinreview=twinreview_version(),
        made_at=made_at or dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        limits=_limits(similar, neighbours),
    )


def row_names(patients: Sequence[str]) -> tuple[str, ...]:
    """A name for each row: A, B, … Z, AA, … by patient as they come first; with a number where one has several."""
    letters = {patient: letters_of(at) for at, patient in enumerate(dict.fromkeys(patients))}
    total, so_far, rows = Counter(patients), Counter[str](), []
    for patient in patients:
        so_far[patient] += 1
        rows.append(letters[patient] + (str(so_far[patient]) if total[patient] > 1 else ""))
    return tuple(rows)


def letters_of(number: int) -> str:
    """0 -> A, 25 -> Z, 26 -> AA, as columns of a spreadsheet."""
    letters = ""
    number += 1
    while number > 0:
        number, last = divmod(number - 1, _LETTERS)
        letters = chr(_START + last) + letters
    return letters


def _neighbour(row: str, found: Similar) -> Neighbour:
    return Neighbour(
        row=row,
        rank=found.rank,
        lesion=_facts(found.case),
        distance=known(found.distance),
        percentile=known(found.percentile),
        marked=found.marked,
        outcome=outcome_of(found),
    )


def _facts(case: LesionCase) -> LesionFacts:
    sources = Sources(
        case.mask_id,
        case.version,
        case.mask_sha256,
        case.scan_sha256,
        case.method,
        case.checkpoint_sha256,
        case.made_by,
        case.accepted_by,
        case.doubts,
        len(case.doubts),
    )
    return LesionFacts(
        patient=case.patient_id,
        dataset=case.dataset,
        timepoint=case.timepoint,
        lesion_id=case.lesion_id,
        simulated=case.simulated,
        modality=case.modality,
        volume_mm3=case.volume_mm3,
        organ=case.organ,
        therapies=case.therapies,
        drugs=case.drugs,
        sources=sources,
    )


def _asked(similar: SimilarLesions) -> LesionFacts:
    """What the answer alone says of the lesion asked about."""
    return LesionFacts(
        patient=similar.patient_id,
        dataset="",
        timepoint=similar.timepoint,
        lesion_id=similar.of.lesion_id,
        simulated=None,
        modality=similar.modality,
        volume_mm3=similar.volume_mm3,
    )


def _limits(similar: SimilarLesions, neighbours: Sequence[Neighbour]) -> tuple[str, ...]:
    made = [one.row for one in neighbours if one.lesion.simulated]
    operated = [one.row for one in neighbours if any(each.therapy == "surgery" for each in one.outcome.begun)]
    limits = [
        f"Alike in {ALIKE[similar.space]}, not in treatment or histology: a starting point for a look, not a "
        "prediction.",
        "The neighbours were chosen by likeness and are few: their counts are no rates.",
        "Only lesions of accepted masks were searched. What is not on record is not known, and is no proof of none.",
    ]
    if similar.not_compared:
        limits.append(f"Passed the filter and could not be compared, for want of a vector: {similar.not_compared:,}.")
    if operated:
        limits.append(f"Operated on after the visit, so that a lesion may be gone by that: rows {', '.join(operated)}.")
    if made:
        limits.append(f"Of simulated patients, whose scans a program made: rows {', '.join(made)}.")
    elif neighbours:
        limits.append("No row is of a simulated patient.")
    return tuple(limits)
