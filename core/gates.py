"""The mask gate over the store: shape vectors of lesions, their distance to accepted ones, and similar lesions.

The reference is every lesion that stands in an *accepted* mask of *other* patients (`core.anomaly` has the arithmetic).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from core.anomaly import MaskGate, NeighbourIndex
from core.errors import InputError
from core.shape import shape_vector
from core.types import LabelMap, MaskRecord

K_NEAREST = 5
ALPHA = 0.05


class GateStore(Protocol):
    """What the gate asks of the store."""

    def mask(self, patient_id: str, timepoint: str, version: int) -> MaskRecord: ...
    def load_mask(self, record: MaskRecord) -> LabelMap: ...
    def add_mask_vector(
        self, mask_id: str, lesion_id: str, patient_id: str, vector: Sequence[float], names: Sequence[str]
    ) -> None: ...
    def mask_vectors(self, status: str | None = None) -> list[dict[str, Any]]: ...
    def neighbour_index(self, vectors: NDArray[np.float64], patient_ids: Sequence[str]) -> NeighbourIndex: ...
    def add_mask_anomaly(self, mask_id: str, result: dict[str, Any], person: str) -> Any: ...


def remember_vectors(store: Any, record: MaskRecord, labels: LabelMap) -> None:
    """Stores one shape vector a lesion of a new version, so that scoring it later reads no images."""
    for label in labels.labels:
        names, vector = shape_vector(labels.array == label, labels.grid.spacing_mm)
        store.add_mask_vector(record.mask_id, f"L{label}", record.patient_id, [float(v) for v in vector], list(names))


def _own_vectors(store: GateStore, record: MaskRecord) -> list[dict[str, Any]]:
    """The mask's vectors, one a lesion. A process that died while a version was stored may have left some unmeasured:
    these are measured now, since a mask without vectors would pass for an empty one."""
    own = [row for row in store.mask_vectors() if row["mask_id"] == record.mask_id]
    if len(own) < len(record.lesions):
        remember_vectors(store, record, store.load_mask(record))
        own = [row for row in store.mask_vectors() if row["mask_id"] == record.mask_id]
    return own


def reference(store: GateStore) -> list[dict[str, Any]]:
    """The vectors of accepted masks' lesions, one dict each (mask_id, lesion_id, patient_id, vector, ...), without the
    lesions that were rejected."""
    return store.mask_vectors("accepted")


def score_mask(store: GateStore, patient_id: str, timepoint: str, version: int, person: str) -> dict[str, Any]:
    """The gate's verdict on one mask version, recorded.

    A mask with several lesions is as odd as its oddest one; its p-value is the smallest times their number
    (Bonferroni), at most 1.

    Returns:
        verdict ("usual" | "unusual" | "not enough reference masks" | "empty mask"), p_value or None, flagged
        (bool or None), n_reference, and `lesions`: one result each.
    """
    record = store.mask(patient_id, timepoint, version)
    own = _own_vectors(store, record)
    rows = [row for row in reference(store) if row["patient_id"] != patient_id]
    if not own:
        result: dict[str, Any] = {
            "verdict": "empty mask", "p_value": None, "flagged": None, "n_reference": len(rows), "lesions": [],
        }  # fmt: skip
    else:
        lesions = _score_lesions(store, own, rows)
        p_values = [lesion["p_value"] for lesion in lesions if lesion["p_value"] is not None]
        p_value = min(1.0, min(p_values) * len(p_values)) if p_values else None
        flagged = None if p_value is None else p_value <= ALPHA
        verdict = "not enough reference masks" if flagged is None else ("unusual" if flagged else "usual")
        result = {
            "verdict": verdict, "p_value": p_value, "flagged": flagged, "n_reference": len(rows), "lesions": lesions,
        }  # fmt: skip
    result = {"alpha": ALPHA, "k": K_NEAREST, **result}
    store.add_mask_anomaly(record.mask_id, result, person)
    return result


def _score_lesions(store: GateStore, own: list[dict[str, Any]], rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    names = own[0]["names"]
    if not rows:
        return [
            {"lesion_id": row["lesion_id"], "score": None, "p_value": None, "verdict": "not enough reference masks"}
            for row in own
        ]
    gate = MaskGate.fit(
        np.array([row["vector"] for row in rows]), [row["patient_id"] for row in rows], k=K_NEAREST, alpha=ALPHA,
        names=names, make_index=store.neighbour_index,
    )  # fmt: skip
    return [
        {"lesion_id": row["lesion_id"], **gate.score(np.array(row["vector"]), row["patient_id"]).to_json()}
        for row in own
    ]


def similar_lesions(
    store: GateStore, patient_id: str, timepoint: str, version: int, k: int = 5
) -> list[dict[str, Any]]:
    """For each lesion of the version, the k most alike lesions of other patients' accepted masks, nearest first.

    A lesion that was accepted at several timepoints counts once, as it was when it was most alike.
    Distance is Euclidean over shape features scaled by the reference's median and MAD; its unit is "typical spreads".
    """
    if k < 1:
        raise InputError(f"Expected k of at least 1, got {k}.")
    own = _own_vectors(store, store.mask(patient_id, timepoint, version))
    rows = [row for row in reference(store) if row["patient_id"] != patient_id]
    if not rows:
        return []
    gate = MaskGate.fit(
        np.array([row["vector"] for row in rows]), [row["patient_id"] for row in rows], k=_enough(rows, k),
        alpha=ALPHA, names=rows[0]["names"], make_index=store.neighbour_index,
    )  # fmt: skip
    out = []
    for row in own:
        closest: dict[tuple[str, str], tuple[int, float]] = {}
        for index, _, distance in gate.score(np.array(row["vector"]), patient_id).nearest:
            closest.setdefault(_lesion(rows[index]), (index, distance))
        ranked = enumerate(list(closest.values())[:k], 1)
        out += [_similar(row, rows[index], distance, rank) for rank, (index, distance) in ranked]
    return out


def _lesion(row: Mapping[str, Any]) -> tuple[str, str]:
    return str(row["patient_id"]), str(row["lesion_id"])


def _enough(rows: Sequence[Mapping[str, Any]], k: int) -> int:
    """How many neighbours hold k different lesions for sure."""
    most = max(Counter(_lesion(row) for row in rows).values())
    return min((k - 1) * most + 1, len(rows))


def _similar(own: Mapping[str, Any], other: Mapping[str, Any], distance: float, rank: int) -> dict[str, Any]:
    keys = ("patient_id", "timepoint", "version", "mask_id", "lesion_id")
    return {"of": own["lesion_id"], "rank": rank, **{key: other[key] for key in keys}, "distance": float(distance)}
