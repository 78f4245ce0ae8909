"""The accepted lesions that a person may see, with their vectors: made of the store, and kept in step with it.

Whoever asks gets it as of the newest entry that could change it. Patients of whom nothing changed are not told anew; so
after a decision it takes a fraction of a second, and without one nothing.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from core.errors import TwinReviewError
from core.evidence.cases import CaseKey, LesionCase, PatientEvidence
from core.evidence.gathering import patient_evidence
from core.gates.mask.components import SHAPE, component_of
from core.lesions.shape import VECTOR_NAMES
from core.remembered.evidence_sources import HasLooks
from core.remembered.lists import HasViews
from core.remembered.looks import StoredLook
from core.remembered.rows import LesionVector
from core.remembered.sources import HasPatients, HasReferenceSets, HasRoot, HasScans, HasVectors
from core.twin.cohort_records import CohortRecords
from core.types import Progress, no_progress

Rows = NDArray[np.float32]
#: Scopes of which the newest base is kept: people who work at the same time.
_KEPT = 8
#: A page that waits longer has been noticed to wait.
NOTICED_S = 0.15
#: Accepted lesions that are gathered in a blink.
FEW = 200
logger = logging.getLogger("twinreview.evidence")


class EvidenceStore(HasPatients, HasScans, HasReferenceSets, HasViews, HasVectors, HasLooks, HasRoot, Protocol):
    """The parts of a store that evidence is made of."""


@dataclass(frozen=True, eq=False)
class EvidenceBase:
    """Accepted lesions, one row each in every array.

    Args:
        as_of: the audit entry up to which it knows the store.
        patients: by id, those with an accepted lesion.
        cases: by patient, timepoint and lesion.
        shape: (n, 12) shape vectors, in the order of `core.lesions.shape.VECTOR_NAMES`; NaN where none is stored.
        looks: (n, d) as the encoder sees each on its reference scan; NaN where it has not; d is 0 without any.
        encoder: whose looks; "" without any.
    """

    as_of: int
    patients: Mapping[str, PatientEvidence]
    cases: tuple[LesionCase, ...]
    shape: Rows
    looks: Rows
    encoder: str

    @cached_property
    def rows(self) -> dict[CaseKey, int]:
        """The row of each case."""
        return {case.key: row for row, case in enumerate(self.cases)}

    @cached_property
    def owners(self) -> NDArray[np.intp]:
        """(n,) a number for each case's patient."""
        number = {patient: place for place, patient in enumerate(self.patients)}
        return np.array([number[case.patient_id] for case in self.cases], np.intp)

    @cached_property
    def simulated(self) -> NDArray[np.bool_]:
        """(n,) whether a program made any of the patient's scans."""
        return np.array([case.simulated for case in self.cases], bool)

    def case_of(self, key: CaseKey) -> LesionCase | None:
        """The case of an accepted lesion; None where it is none."""
        row = self.rows.get(key)
        return None if row is None else self.cases[row]


class _Memory:
    """What was told of each patient, by the state of their records, for one scope; `took_s`: the newest making."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.told: dict[str, tuple[str, PatientEvidence]] = {}
        self.base: EvidenceBase | None = None
        self.position: tuple[int, str] | None = None
        self.took_s = 0.0
        self.at_work: threading.Thread | None = None
        self.narrowed: tuple[EvidenceBase, frozenset[str], EvidenceBase] | None = None


_lock = threading.Lock()
_memories: OrderedDict[tuple[Path, str], _Memory] = OrderedDict()


def evidence_base(store: EvidenceStore, progress: Progress = no_progress) -> EvidenceBase:
    """The base as of now, of what `store` shows; the same object until something changes.

    Args:
        store: a person's (`Store.seen_by`), or the whole one for work on the installation.
    """
    memory = _memory(store)
    with memory.lock:
        position = store.views.evidence_position()
        if memory.base is None or memory.position != position:
            began = time.monotonic()
            memory.base, memory.position = _made(store, memory, position[0], progress), position
            memory.took_s = time.monotonic() - began
        return memory.base


def evidence_at_once(store: EvidenceStore, progress: Progress = no_progress) -> tuple[EvidenceBase, bool]:
    """For a page: the base, and whether it is behind the store.

    Where taking up what changed would take longer than `NOTICED_S`, the base of before is given, without the masks that
    are not accepted any more, and a thread takes it up meanwhile.
    """
    memory = _memory(store)
    base, position = memory.base, store.views.evidence_position()
    if base is None or memory.position == position or memory.took_s < NOTICED_S:
        return evidence_base(store, progress), False
    _in_background(store, memory)
    accepted = store.vectors.accepted_mask_ids()
    if memory.narrowed is None or memory.narrowed[:2] != (base, accepted):  # what is made of a base is kept with it
        memory.narrowed = (base, accepted, _still_accepted(base, accepted))
    return memory.narrowed[2], True


def evidence_if_there(store: EvidenceStore) -> EvidenceBase | None:
    """For a page that shows evidence beside its own matter: the base, or None while a thread makes it."""
    memory = _memory(store)
    if memory.base is not None or store.vectors.accepted_count() <= FEW:
        return evidence_at_once(store)[0]
    _in_background(store, memory)
    return None


def _in_background(store: EvidenceStore, memory: _Memory) -> None:
    if memory.at_work is None or not memory.at_work.is_alive():
        memory.at_work = threading.Thread(target=_take_up, args=(store,), name="evidence", daemon=True)
        memory.at_work.start()


def _take_up(store: EvidenceStore) -> None:
    try:
        evidence_base(store)
    except TwinReviewError as error:  # the store was closed, or its owner may not see it any more: the next asks anew
        logger.info("evidence was not brought up to date: %s", type(error).__name__)


def _still_accepted(base: EvidenceBase, accepted: Collection[str]) -> EvidenceBase:
    """The base without masks that are not accepted any more; it itself where all are."""
    kept = [row for row, case in enumerate(base.cases) if case.mask_id in accepted]
    if len(kept) == len(base.cases):
        return base
    cases = tuple(base.cases[row] for row in kept)
    patients = {
        name: replace(one, cases=tuple(case for case in one.cases if case.mask_id in accepted))
        for name, one in base.patients.items()
    }
    return replace(base, patients=patients, cases=cases, shape=base.shape[kept], looks=base.looks[kept])


def _memory(store: EvidenceStore) -> _Memory:
    key = (store.root, repr(getattr(store, "scope", None)))
    with _lock:
        memory = _memories.setdefault(key, _Memory())
        _memories.move_to_end(key)
        while len(_memories) > _KEPT:
            _memories.popitem(last=False)
        return memory


def forget_bases() -> None:
    """Let go of all of them; for a store that is closed."""
    with _lock:
        _memories.clear()


def _made(store: EvidenceStore, memory: _Memory, position: int, progress: Progress) -> EvidenceBase:
    records = CohortRecords(store.views.cohort(), store.scans, store.reference_sets)
    known = [patient for patient in store.patients.all() if patient.accepted]
    told: dict[str, tuple[str, PatientEvidence]] = {}
    for number, patient in enumerate(known):
        progress(number / len(known), f"Patient {number + 1} of {len(known)}")
        state, before = records.state_of(patient.patient_id), memory.told.get(patient.patient_id)
        if before is not None and before[0] == state and before[1].dataset == patient.dataset:
            told[patient.patient_id] = before
        else:
            told[patient.patient_id] = (state, patient_evidence(records, patient.patient_id, str(patient.dataset)))
    memory.told = told
    patients = {name: one for name, (_, one) in told.items() if one.cases}
    cases = tuple(case for one in patients.values() for case in one.cases)
    looks, encoder = _looks(cases, store.looks.all("accepted"))
    return EvidenceBase(position, patients, cases, _shapes(cases, store.vectors.all("accepted")), looks, encoder)


def _shapes(cases: Sequence[LesionCase], vectors: Iterable[LesionVector]) -> Rows:
    known: dict[CaseKey, Sequence[float]] = {}
    for row in vectors:
        known.setdefault(CaseKey(str(getattr(row, "mask_id", "")), row.lesion_id), shape_of(row))
    out = np.full((len(cases), len(VECTOR_NAMES)), np.nan, np.float32)
    for place, case in enumerate(cases):
        if (shape := known.get(case.key)) is not None and len(shape):
            out[place] = shape
    return out


def shape_of(row: LesionVector) -> Sequence[float]:
    """The numbers of a stored vector that `VECTOR_NAMES` names, in that order; () where any is missing."""
    names = tuple(row.names)
    if names[: len(VECTOR_NAMES)] == VECTOR_NAMES:
        return list(row.vector[: len(VECTOR_NAMES)])
    own = {name: value for name, value in zip(names, row.vector, strict=True) if component_of(name) == SHAPE}
    return [own[name] for name in VECTOR_NAMES] if set(VECTOR_NAMES) <= set(own) else ()


def _looks(cases: Sequence[LesionCase], stored: Sequence[StoredLook]) -> tuple[Rows, str]:
    """The looks of the encoder that has looked at most lesions: those of two are not compared."""
    seen = [look for look in stored if look.vector.size]
    if not seen:
        return np.empty((len(cases), 0), np.float32), ""
    counted = Counter(look.encoder for look in seen)
    encoder = min(counted, key=lambda name: (-counted[name], name))
    known = {
        (look.mask_id, look.lesion_id, look.modality): look.vector for look in reversed(seen) if look.encoder == encoder
    }
    width = max(len(vector) for vector in known.values())
    out = np.full((len(cases), width), np.nan, np.float32)
    for place, case in enumerate(cases):
        vector = known.get((case.mask_id, case.lesion_id, case.modality))
        if vector is not None and len(vector) == width:
            out[place] = vector
    return out, encoder
