"""The version that stands for a timepoint, and the one that another came from, among those that a person sees."""

from __future__ import annotations

from core.types import MaskRecord
from store import SeenStore


def best(store: SeenStore, patient: str, timepoint: str) -> MaskRecord | None:
    """The accepted version, else the newest; None where there is none."""
    records = store.masks.of(patient, timepoint)
    return next((record for record in records if record.status == "accepted"), records[-1] if records else None)


def parent(store: SeenStore, record: MaskRecord) -> MaskRecord | None:
    """The version that another came from; None where there is none, or none that the person sees."""
    records = store.masks.of(record.patient_id, record.timepoint)
    return next((one for one in records if one.version == record.parent_version), None)
