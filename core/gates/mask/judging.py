"""A mask's verdict from its vectors and a fitted gate, in one form: rules first, then one calibrated p-value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from core.gates.mask.components import BOUNDS, component_of, kind_of, split
from core.gates.mask.conformal import scores_needed
from core.gates.mask.fitted import ALPHA, K_NEAREST, FittedGate, ReferenceSet
from core.gates.mask.joint import Joint, Names, joint
from core.gates.mask.rules import Doubt, broken_rules
from core.gates.mask.words import component_words, not_judged_words, oddity_words
from core.remembered.judgements import DOUBTS, JUDGEMENT, PASSES, UNJUDGED, Judgement
from core.remembered.rows import LesionVector
from core.remembered.untyped import JsonDict
from core.remembered.vocabulary import MaskGateVerdict

NOT_ENOUGH: MaskGateVerdict = "not enough reference masks"
NOT_FITTED: MaskGateVerdict = "the mask gate is not fitted yet"


def judged(
    gate: FittedGate | None,
    set_name: str,
    vectors: Sequence[LesionVector],
    patient_id: str,
    *,
    seen: Iterable[str] = (),
    lost: Sequence[tuple[str, str]] = (),
    had_past: bool = False,
    too_few: bool = False,
    problems: Sequence[str] = (),
) -> JsonDict:
    """The stored result of the gate on a mask.

    Args:
        gate: in force; None where none is fitted. set_name: which of its reference sets judges this patient.
        seen: SHA-256 of the files that were looked at.
        lost: (lesion, date) of lesions that the last accepted mask has and this one has not.
        had_past: whether there is an earlier accepted mask. too_few: no gate could judge, whoever fits it.
        problems: what could not be looked at, in sentences.
    """
    reference = ReferenceSet({}) if gate is None else gate.set(set_name)
    scores = [_own_scores(reference, row, patient_id) for row in vectors]
    own = {names: max(one[names] for one in scores if names in one) for each in scores for names in each}
    others = reference.patient_scores(own, patient_id)
    said = joint(own, others, ALPHA)
    components = set() if said is None else {component_of(names[0]) for names in said.judged}
    doubts = broken_rules(vectors, lost, components)
    lesions = []
    for row, one in zip(vectors, scores, strict=True):
        alone = said if said is None or len(vectors) == 1 else joint(one, others, ALPHA)
        lesions.append(_lesion(reference, row, patient_id, alone))
    doubts += _odd_words(reference, vectors, scores, said)
    p_value = None if said is None else said.p_value
    flagged = True if doubts else None if said is None else False
    verdict = _verdict(vectors, gate is None and not too_few, said, bool(doubts))
    missing = not_judged_words(components, had_past, problems)
    judgement = Judgement(
        DOUBTS if doubts else UNJUDGED if said is None or not vectors else PASSES,
        _reason(doubts, said, components, missing, verdict, reference, patient_id),
        "" if gate is None else gate.model_id,
        tuple(seen),
        tuple(f"{one[0]}/{one[1]}" for one in _oddest_first(lesions)[0]["nearest"]) if lesions else (),
        tuple(dict.fromkeys(doubt.kind for doubt in doubts))
        or (() if said is not None and vectors else ("not-judged",)),
    )
    return {
        "verdict": verdict,
        "p_value": p_value,
        "flagged": flagged,
        "n_reference": reference.lesions_without(patient_id),
        "gate": None if gate is None else gate.model_id,
        "alpha": ALPHA,
        "k": K_NEAREST,
        "set": set_name,
        "patients": None if said is None else said.patients,
        "components": _components(said),
        "lesions": lesions,
        JUDGEMENT: judgement.to_json(),
    }


def cannot_be_judged(why: str, seen: Iterable[str] = (), gate_model: str = "") -> JsonDict:
    """The result of a gate that could not look: a doubt, never silence."""
    judgement = Judgement(UNJUDGED, why, gate_model, tuple(seen), (), ("not-judged",))
    none: JsonDict = {"p_value": None, "flagged": None, "n_reference": 0, "gate": gate_model or None, "lesions": []}
    return {"verdict": UNJUDGED, **none, "alpha": ALPHA, "k": K_NEAREST, JUDGEMENT: judgement.to_json()}


def _own_scores(reference: ReferenceSet, row: LesionVector, patient_id: str) -> dict[Names, float]:
    """A lesion's score in each component that the reference has."""
    found: dict[Names, float] = {}
    for names, places in split(row.names).items():
        part = reference.parts.get(names)
        if part is None or component_of(names[0]) == BOUNDS:
            continue
        score = part.gate.odds_of(np.array([row.vector[place] for place in places]), patient_id)
        if score is not None:
            found[names] = score
    return found


def _lesion(reference: ReferenceSet, row: LesionVector, patient_id: str, alone: Joint | None) -> JsonDict:
    """What is told of one lesion: its distance to its nearest neighbours in shape, and its own p-value."""
    score, nearest = reference.nearest(row, patient_id, K_NEAREST)
    verdict: MaskGateVerdict = NOT_ENOUGH if alone is None else "unusual" if alone.p_value <= ALPHA else "usual"
    oddest = None if alone is None else max(alone.judged, key=lambda names: alone.excess[names])
    return {
        "lesion_id": row.lesion_id,
        "score": score,
        "p_value": None if alone is None else alone.p_value,
        "flagged": None if alone is None else alone.p_value <= ALPHA,
        "verdict": verdict,
        "nearest": [[*one] for one in nearest],
        "top_features": [] if oddest is None else [[*one] for one in reference.farthest(row, oddest)],
    }


def _oddest_first(lesions: Sequence[JsonDict]) -> list[JsonDict]:
    return sorted(lesions, key=lambda one: 2.0 if one["p_value"] is None else one["p_value"])


def _odd_words(
    reference: ReferenceSet,
    vectors: Sequence[LesionVector],
    scores: Sequence[Mapping[Names, float]],
    said: Joint | None,
) -> list[Doubt]:
    """A doubt a component that is odd, of the lesion in which it is oddest."""
    found = []
    for names in () if said is None else said.odd:
        at = max((n for n, one in enumerate(scores) if names in one), key=lambda n: scores[n][names])
        component = component_of(names[0])
        on = f"{vectors[at].lesion_id}: " if len(vectors) > 1 else ""
        features = reference.farthest(vectors[at], names)
        found.append(Doubt(kind_of(component), oddity_words(component, features, on)))
    return found


def _verdict(vectors: Sequence[LesionVector], to_be_fitted: bool, said: Joint | None, doubts: bool) -> MaskGateVerdict:
    if not vectors:
        return "empty mask"
    if doubts:
        return "unusual"
    if said is None:
        return NOT_FITTED if to_be_fitted else NOT_ENOUGH
    return "usual"


def _reason(
    doubts: Sequence[Doubt],
    said: Joint | None,
    components: Iterable[str],
    missing: str,
    verdict: MaskGateVerdict,
    reference: ReferenceSet,
    patient_id: str,
) -> str:
    if said is None:
        count = reference.patients_without(patient_id)
        basis = {
            "empty mask": "There is no lesion to compare." if not doubts else "",
            NOT_FITTED: "The mask gate is not fitted yet: no reference masks were compared.",
        }.get(verdict, f"{count} other patients have masks to compare with, {scores_needed(ALPHA)} are needed.")
        if basis and reference.name and verdict == NOT_ENOUGH:
            basis = f"{reference.name[:1].upper()}{reference.name[1:]}: {basis}"
    else:
        names = ", ".join(sorted({component_words(one) for one in components}))
        basis = f"Compared with {said.patients} other patients ({reference.name}) in {names}; p = {said.p_value:.3f}."
    words = "; ".join(f"{doubt.kind}: {doubt.words}" for doubt in doubts)
    return " ".join(
        part for part in (f"{words}." if words else "", basis, missing if verdict != "empty mask" else "") if part
    )


def _components(said: Joint | None) -> list[dict[str, Any]]:
    if said is None:
        return []
    judged_by = [
        {"component": component_of(names[0]), "excess": value, "odd": names in said.odd}
        for names, value in said.excess.items()
    ]
    return judged_by + [{"component": component_of(names[0]), "excess": None, "odd": False} for names in said.left_out]
