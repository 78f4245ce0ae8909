"""Of a whole store, what a person may see while some timepoints are read blind (`review.readers` says it of one)."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

from core.errors import StoreError
from core.remembered.lists import HasViews
from core.review.readers import ReadingStore, visible, visible_masks
from core.types import MaskRecord

#: Ids, dates and the parts of a path, as they stand in an audit entry.
_NAMES = re.compile(r"[A-Za-z0-9._-]+")


class SeenStore(ReadingStore, HasViews, Protocol):
    """What is read of all patients at once."""


def closed_timepoints(store: ReadingStore, patient_id: str, person: str) -> list[str]:
    """The timepoints of a patient that are read blind and that this person has not finished."""
    return [
        timepoint
        for timepoint in store.patients.timepoints(patient_id)
        if store.readings.is_blind(patient_id, timepoint)
        and person not in {row.person for row in store.readings.finished(patient_id, timepoint)}
    ]


def seen_of_patient(store: ReadingStore, patient_id: str, person: str) -> list[MaskRecord]:
    """The versions of a patient that this person may see, by timepoint and version."""
    closed, records = closed_timepoints(store, patient_id, person), store.masks.of(patient_id)
    if not closed:
        return records
    seen: list[MaskRecord] = []
    for day in sorted({record.timepoint for record in records}):
        seen += visible([record for record in records if record.timepoint == day], person, day in closed, False)
    return seen


def seen_of_all(store: SeenStore, person: str) -> list[MaskRecord]:
    """The versions of every patient that this person may see, by patient, timepoint and version."""
    closed = {(row.patient_id, row.timepoint) for row in store.views.closed_to(person)}
    records = store.masks.of_all()
    if not closed:
        return records
    seen: list[MaskRecord] = []
    for place, versions in groupby(records, key=lambda record: (record.patient_id, record.timepoint)):
        seen += visible(versions, person, place in closed, False)
    return seen


def hidden_of_all(store: SeenStore, person: str) -> frozenset[str]:
    """The ids of the versions of any patient that this person may not see."""
    there = {row.mask_id for row in store.views.closed_to(person) if row.mask_id is not None}
    if not there:
        return frozenset()
    return frozenset(there - {record.mask_id for record in seen_of_all(store, person)})


def seen_version(store: ReadingStore, patient_id: str, timepoint: str, version: int, person: str) -> MaskRecord:
    """One version. Raises StoreError for one that is not there, or that this person may not see: in the same words."""
    seen = visible_masks(store, patient_id, timepoint, person)
    for record in seen:
        if record.version == version:
            return record
    have = ", ".join(str(record.version) for record in seen)
    raise StoreError(
        f"There is no mask version {version} of {patient_id!r} on {timepoint!r} that you may see; "
        f"there {'is ' + have if have else 'are none'}."
    )


@dataclass(frozen=True)
class Closed:
    """What is closed to a person: timepoints (patient, timepoint) that they read blind, and every mask of these."""

    places: frozenset[tuple[str, str]]
    mask_ids: frozenset[str]

    @classmethod
    def to(cls, store: SeenStore, person: str) -> Closed:
        """Of the whole store, for one person."""
        rows = store.views.closed_to(person)
        places = frozenset((row.patient_id, row.timepoint) for row in rows)
        return cls(places, frozenset(row.mask_id for row in rows if row.mask_id is not None))

    def __bool__(self) -> bool:
        return bool(self.places)

    def speaks_of(self, values: object) -> bool:
        """Whether JSON values name a closed timepoint with its patient, or one of its masks, in a path as well."""
        found = _NAMES.findall(json.dumps(values, default=str))
        names = {*found, *(name.strip(".") for name in found)}
        return not names.isdisjoint(self.mask_ids) or any(names >= set(place) for place in self.places)
