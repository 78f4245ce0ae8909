"""A patient's stored rows with a decision or links laid over them that nobody has written yet: nothing is written."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from core.errors import InputError
from core.remembered.hand_measurements import HandMeasurementSource
from core.remembered.links import (
    NOBODYS_WORD,
    LesionLink,
    LinkChange,
    LinkProposal,
    is_unlinked,
)
from core.remembered.rows import MaskVerdict, ScanVerdict
from core.remembered.sources import MaskRecordSource, TimepointSource
from core.review.decisions import counted_lesions, lesions_after, statuses_after
from core.review.identity import (
    changed_id,
    lesions_elsewhere,
    linked_record,
    links_after,
    said_by,
    standing_links,
)
from core.twin.measured_visits import DecisionOfPatientSource, VerdictOfPatientSource
from core.twin.timeline_store import (
    BlindSource,
    ReferenceSetRowSource,
    ScanFieldSource,
    TimelineStore,
    TransformRowSource,
)
from core.types import Decision, MaskRecord


class PreviewStore(TimelineStore, Protocol):
    """Store parts that a preview reads: those of a timeline, masks with what identity needs of them."""

    @property
    def masks(self) -> MaskRecordSource: ...


@dataclass(frozen=True)
class _LaidMasks:
    """Mask versions as they would be."""

    records: Sequence[MaskRecord]
    stored: MaskRecordSource

    def of(self, patient_id: str, timepoint: str | None = None) -> list[MaskRecord]:
        return [one for one in self.records if timepoint in (None, one.timepoint)]

    def problems(self, patient_id: str | None = None) -> dict[str, str]:
        return self.stored.problems(patient_id)


@dataclass(frozen=True)
class _LaidLinks:
    """Links as they would stand."""

    links: Sequence[LesionLink]

    def of(self, patient_id: str, timepoint: str | None = None) -> list[LesionLink]:
        return [one for one in self.links if timepoint in (None, one.timepoint)]


@dataclass(frozen=True)
class _LaidVerdicts:
    """Verdicts, those on the changed mask under the lesions that its labels would have."""

    verdicts: Sequence[MaskVerdict]
    stored: VerdictOfPatientSource

    def of_masks(self, patient_id: str) -> Sequence[MaskVerdict]:
        return self.verdicts

    def of_scans(self, patient_id: str) -> Sequence[ScanVerdict]:
        return self.stored.of_scans(patient_id)


@dataclass(frozen=True)
class _LaidDecisions:
    """Decisions with one more."""

    decision: Decision
    stored: DecisionOfPatientSource

    def of(self, patient_id: str) -> Sequence[Decision]:
        return [*self.stored.of(patient_id), self.decision]

    def to_affirm(self) -> dict[str, str]:
        return {mask: why for mask, why in self.stored.to_affirm().items() if mask != self.decision.mask_id}


@dataclass(frozen=True)
class LaidStore:
    """A store's parts as they would be."""

    masks: _LaidMasks
    verdicts: VerdictOfPatientSource
    links: _LaidLinks
    patients: TimepointSource
    scans: ScanFieldSource
    decisions: DecisionOfPatientSource
    transforms: TransformRowSource
    reference_sets: ReferenceSetRowSource
    readings: BlindSource
    measurements: HandMeasurementSource


def with_links(
    store: PreviewStore,
    patient_id: str,
    mask_id: str,
    changes: Sequence[LinkChange],
    person: str,
    *,
    confirmed: bool = False,
) -> LaidStore:
    """With what a person says of a version's labels and missing lesions.

    Args:
        confirmed: they confirm all of the version's other links with it, as who accepts it does.

    Raises:
        InputError: for a mask that the patient has not, or a label that the mask has not.
    """
    records, links = store.masks.of(patient_id), list(store.links.of(patient_id))
    record = next((one for one in records if one.mask_id == mask_id), None)
    if record is None:
        raise InputError(f"Expected a mask of {patient_id}, got {mask_id[:40]!r}. Nothing was done.")
    elsewhere = lesions_elsewhere(records, record.timepoint)
    own = [link for link in links if link.mask_id == mask_id]
    before = standing_links(record, own, elsewhere)
    after = links_after(before, changes, elsewhere)
    said = after if confirmed else said_by(before, after, changes)
    ids = {link.label: changed_id(link.label, link.lesion_id) for link in said if link.label is not None}
    laid = [linked_record(one, ids) if one.mask_id == mask_id else one for one in records]
    new = {(link.label, link.lesion_id if link.label is None else None): link for link in said}
    kept = [x for x in links if x.mask_id != mask_id or (x.label, x.lesion_id if x.label is None else None) not in new]
    added = [_said(link, record, person) for link in said if link.relation != "not said"]
    odd = [_renamed(one, record, ids) for one in store.verdicts.of_masks(patient_id)]
    return _laid(store, laid, _LaidVerdicts(odd, store.verdicts), [*kept, *added])


def _laid(
    store: PreviewStore,
    records: Sequence[MaskRecord],
    verdicts: VerdictOfPatientSource,
    links: Sequence[LesionLink],
) -> LaidStore:
    """Of a store's parts those with others in their place."""
    return LaidStore(
        _LaidMasks(records, store.masks),
        verdicts,
        _LaidLinks(links),
        store.patients,
        store.scans,
        store.decisions,
        store.transforms,
        store.reference_sets,
        store.readings,
        store.measurements,
    )


def _said(link: LinkProposal, record: MaskRecord, person: str) -> LesionLink:
    """As it would stand once that person had said it."""
    place = {"mask_id": record.mask_id, "timepoint": record.timepoint, "version": record.version}
    confirmed_by = None if link.relation in NOBODYS_WORD else person
    said = (link.label, link.lesion_id, link.relation, link.confidence, link.into, link.evidence)
    return LesionLink(*said, **place, confirmed_by=confirmed_by, person=person)  # type: ignore[arg-type]


def _renamed(verdict: MaskVerdict, record: MaskRecord, ids: Mapping[int, str]) -> MaskVerdict:
    """A verdict on the mask with its lesions named as its labels would be linked."""
    if verdict.mask_id != record.mask_id or not verdict.lesions:
        return verdict
    labels = {str(lesion["lesion_id"]): int(lesion["label"]) for lesion in record.lesions}
    lesions = [{**x, "lesion_id": ids.get(labels.get(str(x["lesion_id"]), 0), x["lesion_id"])} for x in verdict.lesions]
    return replace(verdict, result={**verdict.result, "lesions": lesions})


def with_decision(
    store: PreviewStore,
    record: MaskRecord,
    verdict: str,
    person: str,
    lesion_id: str | None = None,
    changes: Sequence[LinkChange] = (),
    not_lesions: Collection[int] = (),
) -> LaidStore:
    """With a person's decision on a version or one lesion of it, as `core.jobs.stages.relinking.accept` and the store's
    `decide` would write it.

    Raises:
        InputError: as `with_links`.
    """
    patient_id, whole = record.patient_id, lesion_id is None and verdict == "accept"
    left_out = labels_left_out(record, changes, not_lesions)
    if whole:
        apart = [LinkChange(label, None) for label in sorted(left_out) if left_out[label]]
        kept = [change for change in changes if change.label not in not_lesions]
        laid = with_links(store, patient_id, record.mask_id, [*apart, *kept], person, confirmed=True)
    else:
        laid = _laid(store, store.masks.of(patient_id), store.verdicts, store.links.of(patient_id))
    versions = laid.masks.of(patient_id, record.timepoint)
    statuses, _ = statuses_after(record, versions, verdict, lesion_id)
    rejected = {int(x["label"]) for x in record.lesions if str(x["lesion_id"]) == lesion_id} or set(left_out)
    how = verdict if lesion_id is not None else "reject"
    records = [
        replace(
            one,
            status=statuses.get(one.mask_id, one.status),
            lesions=tuple(lesions_after(one.lesions, how, rejected)) if one.mask_id == record.mask_id else one.lesions,
        )
        if one.timepoint == record.timepoint
        else one
        for one in laid.masks.records
    ]
    decision = Decision(str(uuid.uuid4()), record.mask_id, verdict, person, "", "", "", lesion_id)  # type: ignore[arg-type]
    return replace(laid, masks=_LaidMasks(records, store.masks), decisions=_LaidDecisions(decision, store.decisions))


def labels_left_out(record: MaskRecord, changes: Sequence[LinkChange], not_lesions: Collection[int]) -> dict[int, bool]:
    """Labels that are said to be no lesion: whether each is a part of a lesion of which another part stays, so that it
    must be taken from it first."""
    ids = {int(lesion["label"]): str(lesion["lesion_id"]) for lesion in counted_lesions(record)}
    kept = {label: name for label, name in ids.items() if label not in not_lesions}
    named = {*kept.values(), *(change.lesion_id for change in changes if change.label in kept)}
    return {label: ids[label] in named and not is_unlinked(ids[label]) for label in sorted(set(not_lesions) & set(ids))}
