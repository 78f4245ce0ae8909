"""What a change of links would do to a patient's numbers, told before it is done: nothing is written."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from core.errors import InputError
from core.remembered.hand_measurements import HandMeasurementSource
from core.remembered.links import LesionLink, LinkChange, LinkProposal, lesion_order
from core.remembered.rows import MaskVerdict, ScanVerdict
from core.remembered.sources import MaskRecordSource, TimepointSource
from core.review.identity import (
    changed_id,
    lesions_elsewhere,
    linked_record,
    links_after,
    said_by,
    standing_links,
)
from core.twin.measured_visits import DecisionOfPatientSource, VerdictOfPatientSource
from core.twin.timeline import PatientTimeline, patient_timeline
from core.twin.timeline_changes import all_changes
from core.twin.timeline_store import (
    BlindSource,
    ReferenceSetRowSource,
    ScanFieldSource,
    TimelineStore,
    TransformRowSource,
)
from core.types import TOTAL_LESION_ID, MaskRecord

Kind = Literal["volume", "total", "change"]


class PreviewStore(TimelineStore, Protocol):
    """Store parts that a preview reads: those of a timeline, masks with what identity needs of them."""

    @property
    def masks(self) -> MaskRecordSource: ...


@dataclass(frozen=True)
class Told:
    """What a timeline says of one cell, total or change.

    Args:
        state: of a cell its state, of a change its verdict; number: mm3, of a change percent; None where it is none.
    """

    state: str
    number: float | None


@dataclass(frozen=True)
class MovedNumber:
    """A number on the curve, a state or a verdict that the change moves.

    Args:
        kind: "change" is from `from_timepoint` to `timepoint`; for the others that is "".
        before, after: None where there is no such cell or change.
    """

    kind: Kind
    lesion_id: str
    from_timepoint: str
    timepoint: str
    before: Told | None
    after: Told | None


@dataclass(frozen=True)
class LinkPreview:
    """Timelines before and after, and what differs: by lesion and time, cells first, changes after them."""

    before: PatientTimeline
    after: PatientTimeline
    moved: tuple[MovedNumber, ...]


def preview_links(
    store: PreviewStore, patient_id: str, mask_id: str, changes: Sequence[LinkChange], person: str = ""
) -> LinkPreview:
    """What would differ if a person said that of a version's labels and missing lesions; nothing is written.

    Args:
        person: who would say it: what they say is confirmed.

    Raises:
        InputError: for a mask that the patient has not, or a label that the mask has not.
    """
    before = patient_timeline(store, patient_id)
    after = patient_timeline(_Laid.over(store, patient_id, mask_id, changes, person), patient_id)
    return LinkPreview(before, after, tuple(moved_numbers(before, after)))


def moved_numbers(before: PatientTimeline, after: PatientTimeline) -> list[MovedNumber]:
    """Cells, totals and changes whose number, state or verdict differs between two timelines of a patient."""
    told = (_told(before), _told(after))
    keys = sorted({**told[0], **told[1]}, key=_order)
    pairs = [(key, told[0].get(key), told[1].get(key)) for key in keys]
    return [MovedNumber(*key, one, other) for key, one, other in pairs if not _same(one, other)]


_Key = tuple[Kind, str, str, str]
_KINDS: tuple[Kind, ...] = ("volume", "total", "change")


def _order(key: _Key) -> tuple[int, int, str, str, str]:
    kind, lesion_id, first, second = key
    return _KINDS.index(kind), *lesion_order(lesion_id), second, first  # totals, and what is linked to none, come last


def _told(timeline: PatientTimeline) -> dict[_Key, Told]:
    found: dict[_Key, Told] = {}
    for cell in timeline.cells:
        new = ", new" if timeline.is_new(cell.lesion_id, cell.timepoint) else ""
        words = " ".join([cell.state, *([", ".join(cell.into)] if cell.into else [])]) + new
        found["volume", cell.lesion_id, "", cell.timepoint] = Told(words, cell.volume_mm3)
    for label in timeline.unlinked:
        found["volume", label.lesion_id, "", label.timepoint] = Told("not linked", label.volume_mm3)
    for total in timeline.totals:
        state = "not known" if total.volume_mm3 is None else f"of {', '.join(total.lesions) or 'no lesion'}"
        found["total", TOTAL_LESION_ID, "", total.timepoint] = Told(state, total.volume_mm3)
    for one in all_changes(timeline):
        key: _Key = ("change", one.lesion_id, one.from_timepoint, one.to_timepoint)
        found[key] = Told(one.change.verdict, one.change.percent)
    return found


def _same(one: Told | None, other: Told | None) -> bool:
    if one is None or other is None:
        return one is other
    if one.state != other.state or (one.number is None) != (other.number is None):
        return False
    return one.number is None or other.number is None or math.isclose(one.number, other.number, rel_tol=1e-9)


@dataclass(frozen=True)
class _LaidMasks:
    """Mask versions, the changed one under the lesions that its labels would have."""

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
class _Laid:
    """A store's parts with one mask's labels under other ids."""

    masks: _LaidMasks
    verdicts: _LaidVerdicts
    links: _LaidLinks
    patients: TimepointSource
    scans: ScanFieldSource
    decisions: DecisionOfPatientSource
    transforms: TransformRowSource
    reference_sets: ReferenceSetRowSource
    readings: BlindSource
    measurements: HandMeasurementSource

    @classmethod
    def over(
        cls, store: PreviewStore, patient_id: str, mask_id: str, changes: Sequence[LinkChange], person: str
    ) -> _Laid:
        records, links = store.masks.of(patient_id), list(store.links.of(patient_id))
        record = next((one for one in records if one.mask_id == mask_id), None)
        if record is None:
            raise InputError(f"Expected a mask of {patient_id}, got {mask_id[:40]!r}. Nothing was done.")
        elsewhere = lesions_elsewhere(records, record.timepoint)
        own = [link for link in links if link.mask_id == mask_id]
        before = standing_links(record, own, elsewhere)
        said = said_by(before, links_after(before, changes, elsewhere), changes)
        ids = {link.label: changed_id(link.label, link.lesion_id) for link in said if link.label is not None}
        laid = [linked_record(one, ids) if one.mask_id == mask_id else one for one in records]
        new = {(link.label, link.lesion_id if link.label is None else None): link for link in said}
        kept = [
            x for x in links if x.mask_id != mask_id or (x.label, x.lesion_id if x.label is None else None) not in new
        ]
        added = [_said(link, record, person) for link in said if link.relation != "not said"]
        odd = [_renamed(one, record, ids) for one in store.verdicts.of_masks(patient_id)]
        return cls(
            _LaidMasks(laid, store.masks),
            _LaidVerdicts(odd, store.verdicts),
            _LaidLinks([*kept, *added]),
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
    confirmed_by = None if link.lesion_id is None else person
    return LesionLink(**vars(link), **place, confirmed_by=confirmed_by, person=person)  # type: ignore[arg-type]


def _renamed(verdict: MaskVerdict, record: MaskRecord, ids: Mapping[int, str]) -> MaskVerdict:
    """A verdict on the mask with its lesions named as its labels would be linked."""
    if verdict.mask_id != record.mask_id or not verdict.lesions:
        return verdict
    labels = {str(lesion["lesion_id"]): int(lesion["label"]) for lesion in record.lesions}
    lesions = [{**x, "lesion_id": ids.get(labels.get(str(x["lesion_id"]), 0), x["lesion_id"])} for x in verdict.lesions]
    return replace(verdict, result={**verdict.result, "lesions": lesions})
