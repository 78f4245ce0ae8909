"""What a page or a command asks of evidence about one lesion: its question, the marks on it, the metric in force."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol, cast

import numpy as np

from core.errors import InputError
from core.evidence.base import EvidenceBase, EvidenceStore, evidence_base, shape_of
from core.evidence.cases import CaseKey, LesionCase, SimilarLesions, SpaceName
from core.evidence.filters import LesionFilter
from core.evidence.graph_database import Parameter
from core.evidence.retrieval import EVERYTHING, Among, MarkedLesion, Question, similar_lesions
from core.evidence.versions import metric_in_force
from core.gates.mask.looking import vectors_of
from core.imaging.reference_scan import reference_of
from core.remembered.evidence_sources import HasMarks
from core.remembered.marks import EvidenceMark, NewMark
from core.remembered.sources import HasMasks
from core.remembered.untyped import TableRow
from core.types import MaskRecord

#: So far a lesion that is marked may be.
MOST_RANKED = 1_000
#: Letters of a query that are told.
MOST_WORDS = 120


class AskingStore(EvidenceStore, HasMasks, HasMarks, Protocol):
    """The parts of a store that a question needs."""


def question_of(store: AskingStore, base: EvidenceBase, record: MaskRecord, lesion_id: str) -> Question:
    """The question about a lesion of any mask version.

    Raises:
        InputError: for a lesion that the version has not.
    """
    volume_mm3 = sum(float(one["volume_mm3"]) for one in record.lesions if one["lesion_id"] == lesion_id)
    if volume_mm3 <= 0:
        raise InputError(f"Expected a lesion of version {record.version}, got {lesion_id!r}, which it has not.")
    scans = store.scans.of(record.patient_id)
    modality = reference_of([scan for scan in scans if scan.timepoint == record.timepoint]).modality
    return Question(
        CaseKey(record.mask_id, lesion_id),
        record.patient_id,
        record.timepoint,
        volume_mm3,
        modality,
        any(bool(scan.metadata.get("simulated")) for scan in scans),
        _shape(store, record, lesion_id),
        _look(store, base, record, lesion_id, modality),
    )


def _shape(store: AskingStore, record: MaskRecord, lesion_id: str) -> np.ndarray | None:
    stored = store.vectors.of(record.mask_id)
    rows = stored if len(stored) >= len(record.lesions) else vectors_of(store.masks.load(record))
    found = next((shape_of(row) for row in rows if row.lesion_id == lesion_id), ())
    return np.asarray(found, np.float32) if len(found) else None


def _look(
    store: AskingStore, base: EvidenceBase, record: MaskRecord, lesion_id: str, modality: str
) -> np.ndarray | None:
    """As the encoder sees it whose looks the base has."""
    for look in store.looks.of(record.mask_id):
        if (look.lesion_id, look.encoder, look.modality) == (lesion_id, base.encoder, modality) and look.is_told:
            return look.vector if look.vector.size == base.looks.shape[1] else None
    return None


def default_space(question: Question) -> SpaceName:
    """Shape and appearance together where both are known, else the one that is."""
    if question.look is None:
        return "shape"
    return "appearance" if question.shape is None else "both"


def marks_on(store: HasMarks, question: Question, person: str) -> dict[MarkedLesion, EvidenceMark]:
    """What somebody marked for this lesion at this visit, in any version of its mask, by the lesion that was marked."""
    return {
        (mark.other_patient_id, mark.other_lesion_id): mark
        for mark in store.marks.standing(lesion_id=question.key.lesion_id)
        if mark.person == person and (mark.patient_id, mark.timepoint) == (question.patient_id, question.timepoint)
    }


def asked(
    store: AskingStore,
    base: EvidenceBase,
    question: Question,
    person: str,
    space: SpaceName,
    k: int = 5,
    wanted: LesionFilter = EVERYTHING,
    own_patient: bool = False,
    marks: Mapping[MarkedLesion, EvidenceMark] | None = None,
    among: Among | None = None,
) -> SimilarLesions:
    """`similar_lesions` with the marks of whoever asks, and the metric in force for that space."""
    said = marks_on(store, question, person) if marks is None else marks
    return similar_lesions(
        base,
        question,
        space,
        k,
        wanted=wanted,
        marks={lesion: mark.relevant for lesion, mark in said.items()},
        metric=metric_in_force(store, space),
        own_patient=own_patient,
        among=among,
    )


def ask_about(
    store: AskingStore,
    lesion: tuple[str, str, str],
    person: str,
    by: str | None = None,
    k: int = 5,
    wanted: LesionFilter = EVERYTHING,
    same_organ: bool = False,
    cypher: str = "",
    own_patient: bool = False,
) -> tuple[SimilarLesions, LesionCase | None]:
    """The answer about one lesion of a timepoint's accepted mask, or else its newest, and the lesion's own case.

    Args:
        lesion: patient, timepoint, lesion. by: a space; None: by what is known of it. same_organ: of its organ alone.
        cypher: a query of the graph; only the observations that it gives are searched.
        own_patient: also the patient's own lesions.

    Raises:
        InputError: a timepoint without a mask, a lesion that it has not, an organ that nobody named.
        StoreError: no such timepoint.
    """
    patient_id, timepoint, lesion_id = lesion
    record = compared_version(store, patient_id, timepoint)
    base = evidence_base(store)
    question = question_of(store, base, record, lesion_id)
    own = base.case_of(question.key)
    if same_organ:
        if own is None or not own.organ:
            raise InputError(f"Expected an organ that somebody named for {lesion_id}. Name it with the protocol.")
        wanted = replace(wanted, organ=own.organ)
    space = cast(SpaceName, by) if by else default_space(question)
    among = among_of(base, cypher) if cypher.strip() else None
    return asked(store, base, question, person, space, k, wanted, own_patient, among=among), own


def among_of(base: EvidenceBase, cypher: str, parameters: Mapping[str, Parameter] | None = None) -> Among:
    """What a query of the graph narrows a search to. Raises InputError as `EvidenceGraph.observation_keys`."""
    from core.evidence.graphs import graph_of

    words = " ".join(cypher.split())
    shown = words if len(words) <= MOST_WORDS else f"{words[: MOST_WORDS - 1]}…"
    return Among(frozenset(graph_of(base).observation_keys(cypher, parameters)), shown)


def compared_version(store: AskingStore, patient_id: str, timepoint: str) -> MaskRecord:
    """The accepted version of a timepoint, or else its newest. Raises InputError where there is none."""
    record = store.masks.accepted(patient_id, timepoint) or store.masks.latest(patient_id, timepoint)
    if record is None:
        raise InputError(f"Expected a mask of {patient_id} on {timepoint}, there is none. Segment it first.")
    return record


def mark_pair(
    store: AskingStore,
    lesion: tuple[str, str, str],
    other: tuple[str, str, str],
    relevant: bool,
    by: str | None,
    person: str,
) -> EvidenceMark:
    """A mark on a lesion of another patient, which is found again to say how near it was.

    Args:
        lesion, other: patient, timepoint, lesion. by: the space; None: by what is known of it.

    Raises:
        InputError: for lesions that cannot be compared so.
    """
    found, _ = ask_about(store, lesion, person, by, k=MOST_RANKED)
    for one in found.found:
        if (one.case.patient_id, one.case.lesion_id) == (other[0], other[2]):
            record = compared_version(store, other[0], other[1])
            pair = (found.of.mask_id, found.of.lesion_id, record.mask_id, other[2])
            return store.marks.add(NewMark(*pair, relevant, found.space, one.rank, one.distance, found.metric), person)
    raise InputError(
        f"Expected a lesion that is compared with {lesion[2]} of {lesion[0]}, got {other[2]} of {other[0]}. Ask for "
        "`similar` to see which are."
    )


def similar_rows(store: AskingStore, record: MaskRecord, k: int, person: str) -> list[TableRow]:
    """Of each lesion of a version the k most alike of other patients, nearest first, by shape.

    Raises:
        InputError: k below 1.
    """
    if k < 1:
        raise InputError(f"Expected k of at least 1, got {k}.")
    base = evidence_base(store)
    rows: list[TableRow] = []
    for lesion_id in dict.fromkeys(str(one["lesion_id"]) for one in record.lesions):
        found = asked(store, base, question_of(store, base, record, lesion_id), person, "shape", k)
        rows += [
            {
                "of": lesion_id,
                "rank": one.rank,
                "mask_id": one.case.mask_id,
                "lesion_id": one.case.lesion_id,
                "patient_id": one.case.patient_id,
                "timepoint": one.case.timepoint,
                "version": one.case.version,
                "distance": one.distance,
                "percentile": one.percentile,
            }
            for one in found.found
        ]
    return rows
