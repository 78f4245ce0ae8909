"""Several readers of a stored timepoint: their agreement, and the consensus as a version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from core.errors import InputError
from core.jobs.stages.common import StageStore, add_version, timepoint_scans
from core.remembered.links import LinkProposal, is_unlinked
from core.review.common_labels import CommonLabels, common_labels
from core.review.identity import standing_links
from core.review.readers import (
    CONSENSUS_METHOD,
    Consensus,
    agreement,
    newest_by_reader,
    readable,
    staple,
    visible_masks,
)
from core.types import LabelMap, MaskRecord


def readers_of_timepoint(store: StageStore, patient_id: str, timepoint: str, person: str) -> dict[str, Any]:
    """Which versions the readers made, pairwise agreement, and what STAPLE says of each; stores nothing.

    Args:
        person: who asks. Of a timepoint that is read blind they are told once they have finished.

    Raises:
        InputError: if there is no such timepoint, or this person may not see versions of at least two people.
    """
    records = _several(store, patient_id, timepoint, person)
    common = _common(store, records)
    consensus = staple(common.masks, store.scans.reference_grid(patient_id, timepoint))
    return {
        "patient_id": patient_id,
        "timepoint": timepoint,
        "readers": {reader: record.version for reader, record in records.items()},
        "agreement": [asdict(pair) for pair in agreement(common.masks, common.lesion_of)],
        "staple": {
            "volume_mm3": consensus.labels.volume_mm3,
            "readers": performances(consensus, common.lesion_of),
        },
    }


def performances(consensus: Consensus, lesion_of: Mapping[int, str]) -> dict[str, dict[str, dict[str, float | None]]]:
    """Sensitivity and specificity by reader and lesion id, as JSON has it."""
    return {
        reader: {lesion_of[label]: asdict(performance) for label, performance in lesions.items()}
        for reader, lesions in consensus.readers.items()
    }


def add_consensus(store: StageStore, patient_id: str, timepoint: str, person: str) -> MaskRecord:
    """Store the readers' STAPLE consensus as a version, whose labels are the lesions that the readers' labels are.

    Its parent is the newest of the versions that went in (a version has one parent at most); `prompts` says which all
    of them were and what STAPLE estimated of each reader.

    Raises:
        InputError: as `readers_of_timepoint`.
    """
    records = _several(store, patient_id, timepoint, person)
    common = _common(store, records)
    consensus = staple(common.masks, store.scans.reference_grid(patient_id, timepoint))
    versions = sorted(record.version for record in records.values())
    made_of = {
        "type": "consensus",
        "versions": versions,
        "readers": {reader: record.version for reader, record in records.items()},
        "performance": performances(consensus, common.lesion_of),
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
        links=_links(store, consensus.labels, records, common),
    )


def _common(store: StageStore, records: Mapping[str, MaskRecord]) -> CommonLabels:
    """The readers' masks with one label a lesion."""
    lesion_of = {
        reader: {int(lesion["label"]): str(lesion["lesion_id"]) for lesion in record.lesions}
        for reader, record in records.items()
    }
    return common_labels({reader: store.masks.load(record) for reader, record in records.items()}, lesion_of)


def _links(
    store: StageStore, labels: LabelMap, records: Mapping[str, MaskRecord], common: CommonLabels
) -> list[LinkProposal]:
    """What the consensus's labels are; and of lesions that it has not what all readers say alike."""
    versions = sorted(record.version for record in records.values())
    said = [standing_links(record, store.links.of_mask(record.mask_id), ()) for record in records.values()]
    of_labels = {link.lesion_id: link for links in reversed(said) for link in links if link.label is not None}
    found = []
    for label in labels.labels:
        name = common.lesion_of[label]
        if is_unlinked(name):
            found.append(LinkProposal(label, None, "unlinked", evidence={"as_in_versions": versions}))
        else:
            link = of_labels[name]
            relation = "stable" if link.relation == "split" else link.relation
            evidence = {**link.evidence, "as_in_versions": versions}
            found.append(replace(_plain(link), label=label, relation=relation, evidence=evidence))
    there = {link.lesion_id for link in found}
    without = [{(x.lesion_id, x.relation, x.into): x for x in links if x.label is None} for links in said]
    alike = set.intersection(*(set(links) for links in without))
    return [*found, *(_plain(without[0][one]) for one in sorted(alike, key=str) if one[0] not in there)]


def _plain(link: LinkProposal) -> LinkProposal:
    """As a proposal, whoever stored it."""
    return LinkProposal(link.label, link.lesion_id, link.relation, link.confidence, link.into, link.evidence)


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
