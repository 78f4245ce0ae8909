"""The mask gate over the store: shape vectors of lesions, their distance to accepted ones, and similar lesions.

The reference is every lesion that stands in an *accepted* mask of *other* patients (`core.gates.mask.anomaly` has the
arithmetic).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from core.errors import InputError
from core.gates.mask.anomaly import MaskGate
from core.lesions.shape import shape_vector
from core.remembered.rows import LesionVector, ShapeVector
from core.remembered.sources import HasMasks, HasVectors, HasVerdicts
from core.types import LabelMap, MaskRecord

K_NEAREST = 5
ALPHA = 0.05


class GateStore(HasMasks, HasVectors, HasVerdicts, Protocol):
    """What the gate asks of the store."""


def vectors_of(labels: LabelMap) -> list[LesionVector]:
    """The shape vectors of a mask's lesions, stored or not; [] for an empty mask."""
    out = []
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
    own = [row for row in store.vectors.all() if row.mask_id == record.mask_id]
    return own if len(own) >= len(record.lesions) else vectors_of(store.masks.load(record))


def reference(store: GateStore) -> list[ShapeVector]:
    """The vectors of accepted masks' lesions, without the lesions that were rejected."""
    return store.vectors.all("accepted")


def score_mask(store: GateStore, patient_id: str, timepoint: str, version: int, person: str) -> dict[str, Any]:
    """The gate's verdict on one stored mask version (`verdict_on`), recorded, its vectors too where it had none."""
    record = store.masks.version(patient_id, timepoint, version)
    own: Sequence[LesionVector] = [row for row in store.vectors.all() if row.mask_id == record.mask_id]
    if len(own) < len(record.lesions):  # stored by an older TwinReview, or without its vectors
        labels = store.masks.load(record)
        remember_vectors(store, record, labels, person)
        own = vectors_of(labels)
    result = verdict_on(store, own, patient_id)
    store.verdicts.add_mask_verdict(record.mask_id, result, person)
    return result


def verdict_on(store: GateStore, vectors: Sequence[LesionVector], patient_id: str) -> dict[str, Any]:
    """The gate's verdict on a mask, whether it is stored or not; records nothing.

    A mask with several lesions is as odd as its oddest one; its p-value is the smallest times their number
    (Bonferroni), at most 1.

    Args:
        vectors: of each of its lesions, as `vectors_of` gives them; none for an empty mask.
        patient_id: whose mask it is; lesions of the same patient are no reference.

    Returns:
        verdict ("usual" | "unusual" | "not enough reference masks" | "empty mask"), p_value or None, flagged
        (bool or None), n_reference, alpha, k, and `lesions`: one result each.
    """
    names = vectors[0].names if vectors else None  # vectors of other features cannot be compared with these
    rows = [r for r in reference(store) if r.patient_id != patient_id and names in (None, r.names)]
    if not vectors:
        result: dict[str, Any] = {
            "verdict": "empty mask",
            "p_value": None,
            "flagged": None,
            "n_reference": len(rows),
            "lesions": [],
        }
    else:
        lesions = _score_lesions(store, vectors, rows, patient_id)
        p_values = [lesion["p_value"] for lesion in lesions if lesion["p_value"] is not None]
        p_value = min(1.0, min(p_values) * len(p_values)) if p_values else None
        flagged = None if p_value is None else p_value <= ALPHA
        verdict = "not enough reference masks" if flagged is None else ("unusual" if flagged else "usual")
        result = {
            "verdict": verdict,
            "p_value": p_value,
            "flagged": flagged,
            "n_reference": len(rows),
            "lesions": lesions,
        }
    return {"alpha": ALPHA, "k": K_NEAREST, **result}


def _score_lesions(
    store: GateStore, own: Sequence[LesionVector], rows: Sequence[ShapeVector], patient_id: str
) -> list[dict[str, Any]]:
    names = own[0].names
    if not rows:
        return [
            {"lesion_id": row.lesion_id, "score": None, "p_value": None, "verdict": "not enough reference masks"}
            for row in own
        ]
    gate = MaskGate.fit(
        np.array([row.vector for row in rows]),
        [row.patient_id for row in rows],
        k=K_NEAREST,
        alpha=ALPHA,
        names=names,
        make_index=store.vectors.index,
    )
    return [{"lesion_id": row.lesion_id, **gate.score(np.array(row.vector), patient_id).to_json()} for row in own]


def similar_lesions(
    store: GateStore, patient_id: str, timepoint: str, version: int, k: int = 5
) -> list[dict[str, Any]]:
    """For each lesion of the version, the k most alike lesions of other patients' accepted masks, nearest first.

    A lesion that was accepted at several timepoints counts once, as it was when it was most alike.
    Distance is Euclidean over shape features scaled by the reference's median and MAD; its unit is "typical spreads".
    """
    if k < 1:
        raise InputError(f"Expected k of at least 1, got {k}.")
    own = _own_vectors(store, store.masks.version(patient_id, timepoint, version))
    rows = [row for row in reference(store) if row.patient_id != patient_id]
    if not rows:
        return []
    gate = MaskGate.fit(
        np.array([row.vector for row in rows]),
        [row.patient_id for row in rows],
        k=_enough(rows, k),
        alpha=ALPHA,
        names=rows[0].names,
        make_index=store.vectors.index,
    )
    out = []
    for row in own:
        closest: dict[tuple[str, str], tuple[int, float]] = {}
        for index, _, distance in gate.score(np.array(row.vector), patient_id).nearest:
            closest.setdefault(_lesion(rows[index]), (index, distance))
        ranked = enumerate(list(closest.values())[:k], 1)
        out += [_similar(row, rows[index], distance, rank) for rank, (index, distance) in ranked]
    return out


def _lesion(row: ShapeVector) -> tuple[str, str]:
    return str(row.patient_id), str(row.lesion_id)


def _enough(rows: Sequence[ShapeVector], k: int) -> int:
    """How many neighbours hold k different lesions for sure."""
    most = max(Counter(_lesion(row) for row in rows).values())
    return min((k - 1) * most + 1, len(rows))


def _similar(own: LesionVector, other: ShapeVector, distance: float, rank: int) -> dict[str, Any]:
    keys = ("patient_id", "timepoint", "version", "mask_id", "lesion_id")
    return {
        "of": own.lesion_id,
        "rank": rank,
        **{key: getattr(other, key) for key in keys},
        "distance": float(distance),
    }
