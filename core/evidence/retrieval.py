"""The accepted lesions of other patients that are most like one lesion: filtered first, then compared, none lost.

A lesion counts once, as it was when it was most alike; where any of its visits has a later one, only such visits are
compared, since what became of it is what is asked. Real patients are compared with real ones, simulated with simulated.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from core.evidence.base import EvidenceBase, Rows
from core.evidence.cases import CaseKey, Similar, SimilarLesions, SpaceName
from core.evidence.filters import LesionFilter, selected
from core.evidence.learned_metric import LearnedMetric
from core.evidence.nearest.base import NearestIndex
from core.evidence.nearest.choosing import index_in_force
from core.evidence.reordering import reordered
from core.evidence.spaces import Space, fit_space, pair_distances, percentile_of
from core.evidence.versions import KeptMetric, no_metric

#: Pairs of lesions of two patients that say how far apart lesions usually are.
PAIRS, SEED = 20_000, 20261128
EVERYTHING = LesionFilter()
#: Patient and lesion, at whatever visit it is found.
MarkedLesion = tuple[str, str]
#: Of the nearest lesions so many are put in order anew after marks.
REORDERED = 2_000
#: So many are asked for at first, for each that is wanted: a lesion has several visits.
_VISITS = 8


@dataclass(frozen=True, eq=False)
class Question:
    """The lesion that is asked about, accepted or not.

    Args:
        shape: (12,) its shape vector; look: (d,) as the base's encoder sees it; None where it is not known.
        simulated: whether a program made any of the patient's scans.
    """

    key: CaseKey
    patient_id: str
    timepoint: str
    volume_mm3: float
    modality: str
    simulated: bool
    shape: Rows | None
    look: Rows | None

    def why_not_in(self, space: SpaceName) -> str:
        """Why it cannot be compared there, a sentence; "" where it can."""
        if space != "shape" and self.look is None:
            return "How this lesion looks is not known yet: no encoder has looked at it."
        if space != "appearance" and self.shape is None:
            return "The shape of this lesion is not stored. Score its mask again in Review."
        return ""


@dataclass(frozen=True)
class Among:
    """Observations that a query of the graph gave; `words`: the query, for people."""

    keys: frozenset[CaseKey]
    words: str


@dataclass(frozen=True, eq=False)
class Searchable:
    """The lesions of one kind in one space.

    Args:
        rows: (m,) which of the base's cases. vectors: (m, k) in the space, as the metric leaves them.
        sample: distances of pairs of two patients, ascending; none where there is one patient alone.
    """

    rows: NDArray[np.intp]
    vectors: Rows
    plain: Rows
    space: Space
    index: NearestIndex
    sample: NDArray[np.float64]
    metric: LearnedMetric


_lock = threading.Lock()
_searchable: WeakKeyDictionary[EvidenceBase, dict[tuple[object, ...], Searchable | None]] = WeakKeyDictionary()


def similar_lesions(
    base: EvidenceBase,
    question: Question,
    space: SpaceName = "both",
    k: int = 5,
    *,
    wanted: LesionFilter = EVERYTHING,
    marks: Mapping[MarkedLesion, bool] | None = None,
    metric: KeptMetric | None = None,
    own_patient: bool = False,
    among: Among | None = None,
) -> SimilarLesions:
    """The k most alike lesions that pass the filter, nearest first; fewer where there are fewer.

    Args:
        marks: what whoever asks marked relevant or not for this lesion; it changes the order at once.
        metric: learned from all marks; None, or one of another kind of lesion or encoder: distances as they are.
        own_patient: also the patient's own lesions, at other visits.
        among: what a query of the graph gave: nothing else is searched.

    Raises:
        InputError: k below 1; a question that has no vector in that space.
    """
    if k < 1:
        raise InputError(f"Expected k of at least 1, got {k}.")
    if why := question.why_not_in(space):
        raise InputError(f"{why} Compare by shape, or wait until it was looked at.")
    passing, words = _passing(base, question, wanted, own_patient, among)
    there = searchable(base, question.simulated, question.modality, space, metric)
    found, searched = [], np.zeros(0, np.intp)
    if there is not None:
        comparable = np.zeros(len(base.cases), bool)
        comparable[there.rows] = True
        # Of what can be compared: a lesion whose only look is of its last visit is not lost to its other visits.
        allowed = _with_a_future(base, passing & comparable)[there.rows]
        searched = there.rows[allowed]
        found = _nearest(base, there, question, allowed, k, marks or {})
    lesions = _lesions_of(base, searched)
    return SimilarLesions(
        question.key,
        question.patient_id,
        question.timepoint,
        question.volume_mm3,
        question.modality,
        space,
        "" if there is None or there.metric.kind == "none" else there.metric.version,
        tuple(found),
        len(lesions),
        len({patient for patient, _ in lesions}),
        len(_lesions_of(base, np.flatnonzero(passing)) - lesions),
        (*wanted.words(), *words),
        base.as_of,
    )


def _passing(
    base: EvidenceBase, question: Question, wanted: LesionFilter, own_patient: bool, among: Among | None = None
) -> tuple[NDArray[np.bool_], list[str]]:
    """(n,) which cases may be found, and in words how many were left out as it is not known whether they pass, and what
    they were narrowed to."""
    passing = base.simulated == question.simulated
    keys = base.rows
    own = np.array([case.patient_id == question.patient_id for case in base.cases], bool)
    passing &= ~own if not own_patient else np.ones(len(own), bool)
    if (row := keys.get(question.key)) is not None:
        passing[row] = False
    words: list[str] = []
    if wanted != EVERYTHING:
        kind = [one for one in base.patients.values() if one.simulated == question.simulated]
        chosen = selected(wanted, kind, question.volume_mm3, but="" if own_patient else question.patient_id)
        keep = np.zeros(len(base.cases), bool)
        keep[[keys[key] for key in chosen.keys if key in keys]] = True
        passing &= keep
        words += [f"{count:,} left out: {why}" for why, count in chosen.unknown.items() if count]
    if among is not None:
        keep = np.zeros(len(base.cases), bool)
        keep[[keys[key] for key in among.keys if key in keys]] = True
        passing &= keep
        words.append(f"among the {int(keep.sum()):,} observations that the graph gave for {among.words}")
    return passing, words


def _lesions_of(base: EvidenceBase, rows: NDArray[np.intp]) -> set[MarkedLesion]:
    return {(base.cases[row].patient_id, base.cases[row].lesion_id) for row in rows}


def _with_a_future(base: EvidenceBase, passing: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Without the last visits of lesions that have earlier ones among them."""
    followed = {
        (base.cases[row].patient_id, base.cases[row].lesion_id)
        for row in np.flatnonzero(passing)
        if base.cases[row].later
    }
    out = passing.copy()
    for row in np.flatnonzero(passing):
        case = base.cases[row]
        out[row] = case.later > 0 or (case.patient_id, case.lesion_id) not in followed
    return out


def space_id(space: SpaceName, encoder: str, modality: str, simulated: bool) -> str:
    """What vectors of a space are made of: a metric that was learned of others is not for these."""
    whose = "simulated" if simulated else "real"
    return f"shape/{whose}" if space == "shape" else f"{space}/{encoder}/{modality}/{whose}"


def searchable(
    base: EvidenceBase, simulated: bool, modality: str, space: SpaceName, metric: KeptMetric | None = None
) -> Searchable | None:
    """The lesions of one kind, made once for a base; None where fewer than two can be compared.

    Args:
        modality: of the looks that are compared; of no matter for shapes.
    """
    fits = metric is not None and metric.metric.space_id == space_id(space, base.encoder, modality, simulated)
    usable = metric if fits else None
    key = (simulated, "" if space == "shape" else modality, space, "" if usable is None else usable.set_id)
    with _lock:
        known = _searchable.setdefault(base, {})
        if key not in known:
            known[key] = _made(base, simulated, modality, space, usable)
        return known[key]


def _made(
    base: EvidenceBase, simulated: bool, modality: str, space: SpaceName, kept: KeptMetric | None
) -> Searchable | None:
    can = base.simulated == simulated
    if space != "appearance":
        can &= np.isfinite(base.shape).all(axis=1)
    if space != "shape":
        if not base.looks.shape[1]:
            return None
        can &= np.isfinite(base.looks).all(axis=1)
        can &= np.array([case.modality == modality for case in base.cases], bool)
    rows = np.flatnonzero(can)
    if len(rows) < 2:
        return None
    shape = None if space == "appearance" else base.shape[rows]
    looks = None if space == "shape" else base.looks[rows]
    own = kept.space if kept is not None and kept.space is not None else fit_space(space, shape, looks)
    plain = own.project(shape, looks)
    metric = no_metric(space) if kept is None else kept.metric
    vectors = _learned(metric, plain)
    owners = [base.cases[row].patient_id for row in rows]
    sample = pair_distances(vectors, owners, PAIRS, SEED) if len(set(owners)) > 1 else np.zeros(0)
    return Searchable(rows, vectors, plain, own, index_in_force(vectors), sample, metric)


def _learned(metric: LearnedMetric, plain: Rows) -> Rows:
    if metric.kind == "none":
        return plain
    near = neighbours_of(plain, metric.neighbours) if metric.kind == "graph network" else None
    return np.asarray(metric.apply(plain.astype(np.float64), near), np.float32)


def neighbours_of(vectors: Rows, k: int) -> NDArray[np.intp]:
    """(n, k) rows of the nearest of each among the others, -1 where there are fewer."""
    index = index_in_force(vectors)
    out = np.full((len(vectors), k), -1, np.intp)
    for row, vector in enumerate(vectors):
        found = [other for other in index.search(vector, k + 1, None)[0] if other != row][:k]
        out[row, : len(found)] = found
    return out


def _nearest(
    base: EvidenceBase,
    there: Searchable,
    question: Question,
    allowed: NDArray[np.bool_],
    k: int,
    marks: Mapping[MarkedLesion, bool],
) -> list[Similar]:
    query = _query_vector(there, question)
    count = int(allowed.sum())
    if not count:
        return []
    ask = min(count, max(_VISITS * k, REORDERED if marks else 0))
    while True:
        at, away = there.index.search(query, ask, allowed)
        order = _ordered(base, there, query, at, away, marks)
        first = _each_once(base, there.rows, order)
        if len(first) >= k or ask >= count:
            break
        ask = min(count, ask * 4)
    found = []
    for rank, (place, distance) in enumerate(first[:k], 1):
        case = base.cases[there.rows[place]]
        share = percentile_of(distance, there.sample) if len(there.sample) else math.nan
        marked = marks.get((case.patient_id, case.lesion_id))
        found.append(Similar(case, base.patients[case.patient_id], rank, distance, share, marked))
    return found


def _ordered(
    base: EvidenceBase,
    there: Searchable,
    query: Rows,
    at: NDArray[np.intp],
    away: NDArray[np.floating],
    marks: Mapping[MarkedLesion, bool],
) -> list[tuple[int, float]]:
    """Places and distances of those that were found, as marks have put them."""
    pairs = [(int(place), float(distance)) for place, distance in zip(at, away, strict=True)]
    cases = [base.cases[there.rows[place]] for place, _ in pairs]
    lesions = [(case.patient_id, case.lesion_id) for case in cases]
    own = {n: marks[lesion] for n, lesion in enumerate(lesions) if lesion in marks}
    if not own:
        return pairs
    vectors = there.vectors[at].astype(np.float64)
    order = reordered(query.astype(np.float64), vectors, np.asarray(away, np.float64), own)
    return [pairs[n] for n in order]


def _each_once(
    base: EvidenceBase, rows: NDArray[np.intp], ordered: Sequence[tuple[int, float]]
) -> list[tuple[int, float]]:
    first: dict[tuple[str, str], tuple[int, float]] = {}
    for place, distance in ordered:
        case = base.cases[rows[place]]
        first.setdefault((case.patient_id, case.lesion_id), (place, distance))
    return list(first.values())


def _query_vector(there: Searchable, question: Question) -> Rows:
    """(k,) of the lesion that is asked about, as the metric leaves it; it is nobody's neighbour."""
    shape = None if there.space.name == "appearance" or question.shape is None else question.shape[None]
    look = None if there.space.name == "shape" or question.look is None else question.look[None]
    plain, metric = there.space.project(shape, look), there.metric
    if metric.kind != "graph network":
        return plain[0] if metric.kind == "none" else np.asarray(metric.apply(plain.astype(np.float64))[0], np.float32)
    near = np.full((1 + len(there.plain), metric.neighbours), -1, np.intp)
    found = index_in_force(there.plain).search(plain[0], metric.neighbours, None)[0]
    near[0, : len(found)] = np.asarray(found) + 1
    both = np.concatenate([plain, there.plain]).astype(np.float64)
    return np.asarray(metric.apply(both, near)[0], np.float32)
