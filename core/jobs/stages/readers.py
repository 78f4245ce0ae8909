"""Several readers of a stored timepoint: their agreement, and the consensus as a version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from core.errors import InputError
from core.jobs.stages.common import StageStore, add_version, timepoint_scans
from core.review.readers import (
    CONSENSUS_METHOD,
    Consensus,
    agreement,
    newest_by_reader,
    readable,
    staple,
    visible_masks,
)
from core.types import MaskRecord


def readers_of_timepoint(store: StageStore, patient_id: str, timepoint: str, person: str) -> dict[str, Any]:
    """Which versions the readers made, pairwise agreement, and what STAPLE says of each; stores nothing.

    Args:
        person: who asks. Of a timepoint that is read blind they are told once they have finished.

    Raises:
        InputError: if there is no such timepoint, or this person may not see versions of at least two people.
    """
    records = _several(store, patient_id, timepoint, person)
    masks = {reader: store.masks.load(record) for reader, record in records.items()}
    consensus = staple(masks, store.scans.reference_grid(patient_id, timepoint))
    return {
        "patient_id": patient_id,
        "timepoint": timepoint,
        "readers": {reader: record.version for reader, record in records.items()},
        "agreement": [asdict(pair) for pair in agreement(masks)],
        "staple": {"volume_mm3": consensus.labels.volume_mm3, "readers": performances(consensus)},
    }


def performances(consensus: Consensus) -> dict[str, dict[str, dict[str, float | None]]]:
    """Sensitivity and specificity by reader and lesion id, as JSON has it."""
    return {
        reader: {f"L{label}": asdict(performance) for label, performance in lesions.items()}
        for reader, lesions in consensus.readers.items()
    }


def add_consensus(store: StageStore, patient_id: str, timepoint: str, person: str) -> MaskRecord:
    """Store the readers' STAPLE consensus as a version.

    Its parent is the newest of the versions that went in (a version has one parent at most); `prompts` says which all
    of them were and what STAPLE estimated of each reader.

    Raises:
        InputError: as `readers_of_timepoint`.
    """
    records = _several(store, patient_id, timepoint, person)
    masks = {reader: store.masks.load(record) for reader, record in records.items()}
    consensus = staple(masks, store.scans.reference_grid(patient_id, timepoint))
    versions = sorted(record.version for record in records.values())
    made_of = {
        "type": "consensus",
        "versions": versions,
        "readers": {reader: record.version for reader, record in records.items()},
        "performance": performances(consensus),
    }
    return add_version(
        store,
        consensus.labels,
        patient_id,
        timepoint,
        method=CONSENSUS_METHOD,
        author=person,
        prompts=[made_of],
        parent_version=versions[-1],
    )


def _several(store: StageStore, patient_id: str, timepoint: str, person: str) -> Mapping[str, MaskRecord]:
    timepoint_scans(store, patient_id, timepoint)  # says what is wrong with a date or patient that is not there
    finished = {row.person for row in store.readings.finished(patient_id, timepoint)}
    if store.readings.is_blind(patient_id, timepoint) and person not in finished:
        raise InputError(
            f"{timepoint} is read blind, and {person} has not finished. Say so on Readers first: you then see the "
            "others' versions."
        )
    records = newest_by_reader(readable(store, patient_id, visible_masks(store, patient_id, timepoint, person)))
    if len(records) < 2:
        who = ", ".join(records) or "nobody"
        raise InputError(
            f"Expected versions of at least two readers on {timepoint}, got {len(records)} ({who}). "
            "Have another person refine or import a mask of this timepoint."
        )
    return records
