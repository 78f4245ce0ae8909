"""Which mask versions a person may see: all of them, unless the timepoint is read blind and they have not finished."""

from __future__ import annotations

from typing import Any

from core.readers import visible
from core.types import MaskRecord


def masks(store: Any, patient: str, timepoint: str, person: str) -> list[MaskRecord]:
    """The versions of a timepoint that this person may see, oldest first."""
    finished = {row["person"] for row in store.readings_finished(patient, timepoint)}
    return visible(store.masks(patient, timepoint), person, store.is_blind(patient, timepoint), finished)


def best(store: Any, patient: str, timepoint: str, person: str) -> MaskRecord | None:
    """Of those, the accepted one, else the newest; None where there is none."""
    records = masks(store, patient, timepoint, person)
    return next((record for record in records if record.status == "accepted"), records[-1] if records else None)


def parent(store: Any, record: MaskRecord, person: str) -> MaskRecord | None:
    """The version that another came from, if there is one that this person may see."""
    records = masks(store, record.patient_id, record.timepoint, person)
    return next((one for one in records if one.version == record.parent_version), None)
