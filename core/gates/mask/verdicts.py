"""The mask gate over the store: shape vectors of lesions, their distance to accepted ones, and similar lesions.

The reference is every lesion that stands in an *accepted* mask of *other* patients (`core.gates.mask.conformal` has the
arithmetic). The gate is fitted after what is accepted has changed (`core.gates.mask.fitting`) and stored
(`core.gates.mask.fitted`); what judges a mask only reads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from core.errors import InputError
from core.gates.mask import fitted
from core.gates.mask.conformal import scores_needed
from core.gates.mask.fitted import ALPHA, K_NEAREST, FittedGate, ReferenceLesion
from core.gates.mask.probability import doubting_unsure
from core.imaging.orienting import canonical
from core.lesions.shape import shape_vector
from core.remembered.rows import LesionVector, ShapeVector
from core.remembered.sources import HasMasks, HasReferenceSets, HasRoot, HasVectors, HasVerdicts
from core.types import LabelMap, MaskRecord

__all__ = ["ALPHA", "K_NEAREST"]
#: What brings a gate about.
FIT_IT = "The server fits it within a minute; on a command line `gate score-mask` does."
NOT_ENOUGH, NOT_FITTED = "not enough reference masks", "the mask gate is not fitted yet"


class GateStore(HasRoot, HasMasks, HasVectors, HasVerdicts, HasReferenceSets, Protocol):
    """Store parts that the gate reads."""


def vectors_of(labels: LabelMap) -> list[LesionVector]:
    """The shape vectors of a mask's lesions, stored or not; [] for an empty mask.

    They are the same however the mask's axes are stored.
    """
    out = []
    labels = canonical(labels)
    for label in labels.labels:
        names, vector = shape_vector(labels.array == label, labels.grid.spacing_mm)
        out.append(LesionVector(f"L{label}", tuple(float(v) for v in vector), tuple(names)))
    return out


def remember_vectors(store: GateStore, record: MaskRecord, labels: LabelMap, person: str) -> None:
    """Stores the shape vectors of a version that was stored without them, so that scoring it again reads no images."""
    for row in vectors_of(labels):
        store.vectors.add(record.mask_id, row.lesion_id, record.patient_id, row.vector, row.names, person)


def _own_vectors(store: GateStore, record: MaskRecord) -> Sequence[LesionVector]:
    """The version's vectors, one a lesion: those that were stored with it, else measured now and not stored."""
    vectors = store.vectors.of(record.mask_id)
    return vectors if len(vectors) >= len(record.lesions) else vectors_of(store.masks.load(record))


def reference(store: GateStore) -> list[ShapeVector]:
    """The vectors of accepted masks' lesions, without the lesions that were rejected."""
    return store.vectors.all("accepted")


def score_mask(store: GateStore, patient_id: str, timepoint: str, version: int, person: str) -> dict[str, Any]:
    """The gate's verdict on one stored mask version (`verdict_on`), recorded, its vectors too where it had none."""
    record = store.masks.version(patient_id, timepoint, version)
    vectors: Sequence[LesionVector] = store.vectors.of(record.mask_id)
    if len(vectors) < len(record.lesions):  # stored by an older TwinReview, or without its vectors
        labels = store.masks.load(record)
        remember_vectors(store, record, labels, person)
        vectors = vectors_of(labels)
    result = doubting_unsure(verdict_on(store, vectors, patient_id), record.lesions)
    store.verdicts.add_mask_verdict(record.mask_id, result, person)
    return result


def gate_for(store: GateStore) -> FittedGate | None:
    """The stored gate. A patient's own lesions take part in its scale alone (median and spread), neither as neighbours
    nor in calibration scores.

    Returns:
        One that knows no lesion where none is accepted; None where some are, but no gate was fitted yet.
    """
    gate = fitted.stored_gate(store)
    return fitted.fit([], 0) if gate is None and store.vectors.accepted_count() == 0 else gate


def verdict_on(store: GateStore, vectors: Sequence[LesionVector], patient_id: str) -> dict[str, Any]:
    """The gate's verdict on a mask, whether it is stored or not; records nothing.

    A mask with several lesions is as odd as its oddest one; its p-value is the smallest times their number
    (Bonferroni), at most 1.

    Args:
        vectors: of each of its lesions, as `vectors_of` gives them; none for an empty mask.
        patient_id: whose mask it is; lesions of the same patient are no reference.

    Returns:
        verdict ("usual" | "unusual" | "empty mask", and where it cannot be judged `NOT_ENOUGH` | `NOT_FITTED`),
        p_value or None, flagged (bool or None), n_reference, gate (the `FittedGate.model_id` that judged, or None),
        alpha, k, and `lesions`: one result each.
    """
    gate = gate_for(store)
    found = {"alpha": ALPHA, "k": K_NEAREST, "gate": None if gate is None else gate.model_id}
    none: dict[str, Any] = {"p_value": None, "flagged": None}
    if not vectors:
        known = [] if gate is None else [lesion for lesion in gate.lesions if lesion.patient_id != patient_id]
        return found | {"verdict": "empty mask", **none, "n_reference": len(known), "lesions": []}
    names = tuple(vectors[0].names)  # vectors of other features cannot be compared with these
    part = None if gate is None else gate.parts.get(names)
    if part is None:
        too_few = gate is not None or store.vectors.accepted_count() < scores_needed(ALPHA)
        verdict = NOT_ENOUGH if too_few else NOT_FITTED
        unknown = [{"lesion_id": row.lesion_id, "score": None, "p_value": None, "verdict": verdict} for row in vectors]
        return found | {"verdict": verdict, **none, "n_reference": 0, "lesions": unknown}
    results = [part.gate.score(np.array(row.vector), patient_id) for row in vectors]
    lesions = [{"lesion_id": row.lesion_id, **one.to_json()} for row, one in zip(vectors, results, strict=True)]
    p_values = [one.p_value for one in results if one.p_value is not None]
    p_value = min(1.0, min(p_values) * len(p_values)) if p_values else None
    flagged = None if p_value is None else p_value <= ALPHA
    verdict = NOT_ENOUGH if flagged is None else ("unusual" if flagged else "usual")
    n_reference = results[0].n_reference
    return found | {
        "verdict": verdict,
        "p_value": p_value,
        "flagged": flagged,
        "n_reference": n_reference,
        "lesions": lesions,
    }


def similar_lesions(
    store: GateStore, patient_id: str, timepoint: str, version: int, k: int = 5
) -> list[dict[str, Any]]:
    """For each lesion of the version, the k most alike lesions of other patients' accepted masks, nearest first.

    A lesion that was accepted at several timepoints counts once, as it was when it was most alike.
    Distance is Euclidean over shape features scaled by the reference's median and MAD; its unit is "typical spreads".
    They are of those that the stored gate knows, that are still accepted, and that `store` shows.

    Raises:
        InputError: for k below 1, or while the gate is not fitted: which are alike is not known, which is not that
            none are.
    """
    if k < 1:
        raise InputError(f"Expected k of at least 1, got {k}.")
    vectors = _own_vectors(store, store.masks.version(patient_id, timepoint, version))
    gate, shown = gate_for(store), store.vectors.accepted_mask_ids()
    if gate is None:
        raise InputError(
            f"Expected a fitted mask gate, but {NOT_FITTED}: which lesions are alike is not known. {FIT_IT}"
        )
    out: list[dict[str, Any]] = []
    for row in vectors:
        part = gate.parts.get(tuple(row.names))
        if part is None:
            continue
        away = part.gate.distances(np.array(row.vector), patient_id)
        closest: dict[tuple[str, str], tuple[ReferenceLesion, float]] = {}
        for index in np.argsort(away, kind="stable"):
            if len(closest) == k or not np.isfinite(away[index]):
                break
            lesion = part.lesions[index]
            if lesion.mask_id not in shown:  # the gate knows more than whoever asks may see
                continue
            closest.setdefault((lesion.patient_id, lesion.lesion_id), (lesion, float(away[index])))
        out += [_similar(row, *found, rank) for rank, found in enumerate(closest.values(), 1)]
    return out


def _similar(own: LesionVector, other: ReferenceLesion, distance: float, rank: int) -> dict[str, Any]:
    return {"of": own.lesion_id, "rank": rank, **other._asdict(), "distance": distance}
