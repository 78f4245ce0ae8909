"""Of a whole store, what a person may see while some timepoints are read blind (`review.readers` says it of one)."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

from core.access import Scope
from core.errors import StoreError
from core.remembered.lists import HasViews
from core.remembered.sources import HasMasks, HasPatients
from core.review.readers import ReadingStore, masks_visible_to, visible_masks
from core.types import MaskRecord

#: Ids, dates and the parts of a path, as they stand in an audit entry.
_NAMES = re.compile(r"[A-Za-z0-9._-]+")


class AllPatientsStore(ReadingStore, HasViews, Protocol):
    """The parts of a store that say who sees what, of all patients at once."""


def closed_timepoints(store: ReadingStore, patient_id: str, person: str) -> list[str]:
    """The timepoints of a patient that are closed to this person."""
    return [timepoint for patient, timepoint in store.readings.closed_to(person) if patient == patient_id]


def seen_of_patient(store: ReadingStore, patient_id: str, person: str) -> list[MaskRecord]:
    """The versions of a patient that this person may see, by timepoint and version."""
    closed, records = closed_timepoints(store, patient_id, person), store.masks.of(patient_id)
    if not closed:
        return records
    seen: list[MaskRecord] = []
    for day in sorted({record.timepoint for record in records}):
        seen += masks_visible_to([record for record in records if record.timepoint == day], person, day in closed)
    return seen


def seen_of_all(store: AllPatientsStore, person: str) -> list[MaskRecord]:
    """The versions of every patient that this person may see, by patient, timepoint and version."""
    closed = {(row.patient_id, row.timepoint) for row in store.views.closed_to(person)}
    records = store.masks.of_all()
    if not closed:
        return records
    seen: list[MaskRecord] = []
    for place, versions in groupby(records, key=lambda record: (record.patient_id, record.timepoint)):
        seen += masks_visible_to(versions, person, place in closed)
    return seen


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


class HiddenStore(HasPatients, HasMasks, HasViews, Protocol):
    """Store parts that tell what is kept from somebody; of the whole store."""


@dataclass(frozen=True)
class Hidden:
    """What is kept from a person: patients of data sets that were not granted, timepoints (patient, date) that are
    closed to them, and every mask of these."""

    patients: frozenset[str]
    places: frozenset[tuple[str, str]]
    mask_ids: frozenset[str]

    @classmethod
    def of(cls, store: HiddenStore, scope: Scope) -> Hidden:
        """Everything that is hidden from one person, from the whole store."""
        rows = store.views.closed_to(scope.person)
        granted = scope.datasets
        patients = frozenset(
            patient.patient_id
            for patient in store.patients.all()
            if granted is not None and patient.dataset not in granted
        )
        masks = [record.mask_id for record in store.masks.of_all() if record.patient_id in patients] if patients else []
        masks += [row.mask_id for row in rows if row.mask_id is not None]
        return cls(patients, frozenset((row.patient_id, row.timepoint) for row in rows), frozenset(masks))

    def __bool__(self) -> bool:
        return bool(self.patients or self.places or self.mask_ids)

    def is_named_in(self, values: object) -> bool:
        """Whether JSON values name a hidden patient, a closed timepoint with its patient, or one of the masks; also in
        a path."""
        found = _NAMES.findall(json.dumps(values, default=str))
        names = {*found, *(name.strip(".") for name in found)}
        return not names.isdisjoint(self.patients | self.mask_ids) or any(names >= set(place) for place in self.places)
