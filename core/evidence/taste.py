"""What people marked, as rows of a space, and the metric that is learned from it. No gate reads any of this."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from core.evidence.base import EvidenceBase, EvidenceStore, evidence_base
from core.evidence.cases import CaseKey, SpaceName
from core.evidence.gain import NEIGHBOURS, choose
from core.evidence.gain import Space as MarkedSpace
from core.evidence.learned_metric import LearnedMetric, none
from core.evidence.learning import Click
from core.evidence.retrieval import Searchable, neighbours_of, searchable, space_id
from core.evidence.spaces import Space
from core.remembered.evidence_sources import HasMarks
from core.remembered.marks import EvidenceMark

SEED = 20261128
NO_MARKS = "no marks on lesions that can be compared"


class LearningStore(EvidenceStore, HasMarks, Protocol):
    """The parts of a store that are learned from."""


def learn_space(store: LearningStore, space: SpaceName) -> tuple[LearnedMetric, Space | None, int]:
    """The metric of all standing marks for one space, the space itself, and the newest mark's audit entry.

    Marks are of real patients or of simulated ones, and in a space of looks of one modality: it is learned from those
    of which there are most.

    Returns:
        A metric of kind "none", with words that say why, where there are too few or nothing is gained.
    """
    base, marks = evidence_base(store), store.marks.standing()
    until = max((mark.seq for mark in marks), default=0)
    kinds = Counter(kind for mark in marks if (kind := _kind(base, mark, space)) is not None)
    if not kinds:
        return none(space, "", 0, 0, (), NO_MARKS), None, until
    (simulated, modality), _ = min(kinds.items(), key=lambda pair: (-pair[1], pair[0]))
    there = searchable(base, simulated, modality, space)
    name = space_id(space, base.encoder, modality, simulated)
    if there is None:
        return none(space, name, 0, 0, (), NO_MARKS), None, until
    clicks = _clicks(base, there, [mark for mark in marks if _kind(base, mark, space) == (simulated, modality)])
    near = neighbours_of(there.plain, NEIGHBOURS)
    metric = choose(there.plain.astype(np.float64), near, clicks, MarkedSpace(space, name), SEED)
    return metric, there.space, until


def _kind(base: EvidenceBase, mark: EvidenceMark, space: SpaceName) -> tuple[bool, str] | None:
    """Simulated or real, and the modality where looks are compared; None of a lesion that is not accepted any more."""
    case = base.case_of(CaseKey(mark.mask_id, mark.lesion_id))
    return None if case is None else (case.simulated, "" if space == "shape" else case.modality)


def _clicks(base: EvidenceBase, there: Searchable, marks: Sequence[EvidenceMark]) -> list[Click]:
    """One click a mark whose two lesions are in the space."""
    place = {int(row): at for at, row in enumerate(there.rows)}
    found = []
    for mark in marks:
        query = base.rows.get(CaseKey(mark.mask_id, mark.lesion_id))
        other = base.rows.get(CaseKey(mark.other_mask_id, mark.other_lesion_id))
        if query in place and other in place and query is not None and other is not None:
            found.append(Click(place[query], place[other], mark.relevant, mark.patient_id))
    return found
