"""The mask gate over the store: the verdict on a mask.

The reference is every lesion that stands in an *accepted* mask of *other* patients (`core.gates.mask.judging` has the
form, `core.gates.mask.joint` the arithmetic). The gate is fitted after what is accepted has changed
(`core.gates.mask.fitting`) and stored (`core.gates.mask.fitted`); what judges a mask only reads it.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from core.gates.mask import fitted
from core.gates.mask.components import BOUNDS, component_of
from core.gates.mask.conformal import scores_needed
from core.gates.mask.fitted import ALPHA, K_NEAREST, REAL, SIMULATED, FittedGate
from core.gates.mask.judging import NOT_ENOUGH, NOT_FITTED, cannot_be_judged, judged
from core.gates.mask.looking import NOTHING, Surroundings, vectors_of
from core.gates.mask.probability import doubting_unsure
from core.gates.mask.surroundings import Link, LookStore, last_accepted, lost_lesions, surroundings
from core.lesions.shape import VECTOR_NAMES
from core.remembered.judgements import JUDGEMENT
from core.remembered.rows import LesionVector, ShapeVector
from core.remembered.sources import HasReferenceSets, HasRoot, HasVectors, HasVerdicts
from core.remembered.untyped import JsonDict
from core.review.scan_measures import LookedAt, looked_at
from core.types import LabelMap, MaskRecord, Volume

__all__ = ["ALPHA", "K_NEAREST", "NOT_ENOUGH", "NOT_FITTED", "REAL", "SIMULATED", "vectors_of"]
logger = logging.getLogger("twinreview.gates")


class GateStore(LookStore, HasRoot, HasVectors, HasVerdicts, HasReferenceSets, Protocol):
    """Store parts that the gate reads."""


def remember_vectors(
    store: GateStore, record: MaskRecord, labels: LabelMap, person: str, seen: Surroundings = NOTHING
) -> Sequence[LesionVector]:
    """Stores the vectors of a version that was stored without them, or with older ones, so that scoring it again reads
    no images; gives them."""
    vectors = vectors_of(labels, seen)
    for row in vectors:
        store.vectors.add(record.mask_id, row.lesion_id, record.patient_id, row.vector, row.names, person)
    return vectors


def reference(store: GateStore) -> list[ShapeVector]:
    """The vectors of accepted masks' lesions, without the lesions that were rejected."""
    return store.vectors.all("accepted")


def is_simulated(store: LookStore, patient_id: str) -> bool:
    """Whether a program made any of a patient's scans: such patients judge no real one, nor real ones them."""
    return any(bool(scan.metadata.get("simulated")) for scan in store.scans.of(patient_id))


def gate_for(store: GateStore) -> FittedGate | None:
    """The stored gate. A patient's own lesions take part in its scale alone (median and spread), neither as neighbours
    nor in calibration scores.

    Returns:
        One that knows no lesion where none is accepted; None where some are, but no gate was fitted yet.
    """
    gate = fitted.stored_gate(store)
    return fitted.fit([], 0) if gate is None and store.vectors.accepted_count() == 0 else gate


def score_mask(store: GateStore, patient_id: str, timepoint: str, version: int, person: str) -> dict[str, Any]:
    """The gate's verdict on one stored mask version (`verdict_on`), recorded.

    It reads no image, but for a version that has no vectors, or shape alone, or to which a scan has come since: then
    they are measured and stored.
    """
    record = store.masks.version(patient_id, timepoint, version)
    result = verdict_again(store, record, person)
    store.verdicts.add_mask_verdict(record.mask_id, result, person)
    return result


def verdict_again(store: GateStore, record: MaskRecord, person: str) -> JsonDict:
    """The gate's verdict on a stored version as things are now. Not recorded; vectors that it lacked are."""
    links = store.links.of_mask(record.mask_id)
    try:
        vectors, seen = _measured(store, record, links, person)
        result = verdict_on(store, vectors, record.patient_id, seen, _lost(store, record, links))
    except Exception as error:
        result = _crashed(error)
    result = doubting_unsure(result, record.lesions)
    said = result[JUDGEMENT]
    return {**result, JUDGEMENT: {**said, "seen": list(dict.fromkeys([*said["seen"], record.mask_sha256]))}}


def _measured(
    store: GateStore, record: MaskRecord, links: Sequence[Link], person: str
) -> tuple[Sequence[LesionVector], Surroundings]:
    vectors: Sequence[LesionVector] = store.vectors.of(record.mask_id)
    scans = store.scans.of(record.patient_id, record.timepoint)
    newest = store.verdicts.of_masks(mask_id=record.mask_id)
    before = newest[-1].result.get(JUDGEMENT, {}) if newest else {}
    hashes = tuple(str(one) for one in before.get("seen", ()))
    if len(vectors) >= len(record.lesions) and not _to_be_measured(vectors, {scan.sha256 for scan in scans}, hashes):
        past = last_accepted(store, record.patient_id, record.timepoint, record.author)
        return vectors, Surroundings(hashes=hashes, timepoint_before="" if past is None else past.timepoint)
    labels = store.masks.load(record)
    of_record = [_Labelled(int(one["label"]), str(one["lesion_id"])) for one in record.lesions]
    read = [looked_at(scan, store.scans.load) for scan in scans]
    seen = surroundings(store, record.patient_id, record.timepoint, record.author, of_record, read)
    return remember_vectors(store, record, labels, person, seen), seen


def _to_be_measured(vectors: Sequence[LesionVector], scans: Collection[str], seen: Collection[str]) -> bool:
    """Whether vectors are of an older TwinReview, or a scan has come since they were measured."""
    if any(tuple(row.names) == VECTOR_NAMES for row in vectors):
        return True
    looked = any(component_of(name) == BOUNDS for row in vectors for name in row.names)
    return looked and not set(scans) <= set(seen)


class _Labelled:
    """A label that is a lesion, as `surroundings` asks for it."""

    relation = "stable"

    def __init__(self, label: int, lesion_id: str) -> None:
        self.label: int | None = label
        self.lesion_id: str | None = lesion_id


def _lost(store: GateStore, record: MaskRecord, links: Sequence[Link]) -> list[tuple[str, str]]:
    before = last_accepted(store, record.patient_id, record.timepoint, record.author)
    return lost_lesions(links, before, [str(one["lesion_id"]) for one in record.lesions])


def look_and_judge(
    store: GateStore,
    labels: LabelMap,
    patient_id: str,
    timepoint: str,
    person: str,
    links: Sequence[Link] = (),
    scans: Iterable[LookedAt] = (),
    unstored: Sequence[Volume] = (),
) -> tuple[list[LesionVector], JsonDict]:
    """The vectors of a mask that is not stored yet, and the verdict on it. A gate that fails is a doubt, never the loss
    of the mask.

    Args:
        person: who made it. links: as matching proposes. scans: of its timepoint, as `core.review.scan_measures` reads
            them; each is read when it is asked for. unstored: scans that come with the mask, in the place of those: no
            hash of them is known, nor where they lie in those of other timepoints.
    """
    try:
        seen = surroundings(store, patient_id, timepoint, person, links, scans)
        seen = replace(seen, scans=tuple(unstored)) if unstored else seen
        return _judged_with(store, labels, patient_id, timepoint, person, links, seen)
    except Exception as error:
        return [], _crashed(error)


def _judged_with(
    store: GateStore,
    labels: LabelMap,
    patient_id: str,
    timepoint: str,
    person: str,
    links: Sequence[Link],
    seen: Surroundings,
) -> tuple[list[LesionVector], JsonDict]:
    vectors = vectors_of(labels, seen)
    try:
        before = last_accepted(store, patient_id, timepoint, person)
        lost = lost_lesions(links, before, [seen.lesion(label) for label in labels.labels])
        return vectors, verdict_on(store, vectors, patient_id, seen, lost)
    except Exception as error:  # what was measured is kept
        return vectors, _crashed(error)


def _crashed(error: Exception) -> JsonDict:
    """What is stored in the verdict's place. An error's message may name a patient or a path, so it is nowhere."""
    name, at = type(error).__name__, traceback.extract_tb(error.__traceback__)[-1]
    logger.error("the mask gate failed over a mask: %s in %s, line %s", name, Path(at.filename).name, at.lineno)
    return cannot_be_judged(
        f"The mask gate failed over this mask ({name}), so nobody knows whether it is usual. Score the mask again; if "
        "it fails again, tell whoever runs TwinReview."
    )


def verdict_on(
    store: GateStore,
    vectors: Sequence[LesionVector],
    patient_id: str,
    seen: Surroundings = NOTHING,
    lost: Sequence[tuple[str, str]] = (),
) -> dict[str, Any]:
    """The gate's verdict on a mask, whether it is stored or not; records nothing and reads no image.

    Rules come first; then a mask is as odd as its oddest lesion in its oddest component, among other patients of its
    kind, real or simulated, each of whom counts once (`core.gates.mask.joint`).

    Args:
        vectors: of each of its lesions, as `vectors_of` gives them; none for an empty mask.
        patient_id: whose mask it is; lesions of the same patient are no reference.
        seen: what it was looked at with; its hashes and its problems go into the judgement.
        lost: lesions of the last accepted mask that it has not, as `lost_lesions` gives them.

    Returns:
        `judgement` (`core.remembered.judgements.Judgement`), and for figures: verdict ("usual" | "unusual" | "empty
        mask", and where it cannot be judged `NOT_ENOUGH` | `NOT_FITTED`), p_value or None, flagged (bool or None),
        n_reference, patients, set, gate (the `FittedGate.model_id` that judged, or None), alpha, k, components, and
        `lesions`: one result each.
    """
    gate = gate_for(store)
    return judged(
        gate,
        SIMULATED if is_simulated(store, patient_id) else REAL,
        vectors,
        patient_id,
        seen=seen.hashes,
        lost=lost,
        had_past=bool(seen.timepoint_before),
        too_few=gate is None and store.vectors.accepted_count() < scores_needed(ALPHA),
        problems=seen.problems,
    )
