"""Which mask versions a person may see: all of them, unless the timepoint is read blind and they have not finished."""

from __future__ import annotations

from core.errors import TwinReviewError
from core.review.readers import visible_masks
from core.types import MaskRecord
from pages.ui.guard.tokens import Claims
from store import Store


def masks(store: Store, patient: str, timepoint: str, person: str) -> list[MaskRecord]:
    """The versions of a timepoint that this person may see, oldest first."""
    return visible_masks(store, patient, timepoint, person)


def best(store: Store, patient: str, timepoint: str, person: str) -> MaskRecord | None:
    """Of those, the accepted one, else the newest; None where there is none."""
    records = masks(store, patient, timepoint, person)
    return next((record for record in records if record.status == "accepted"), records[-1] if records else None)


def parent(store: Store, record: MaskRecord, person: str) -> MaskRecord | None:
    """The version that another came from, if there is one that this person may see."""
    records = masks(store, record.patient_id, record.timepoint, person)
    return next((one for one in records if one.version == record.parent_version), None)


def by_id(store: Store, claims: Claims, mask_id: str) -> MaskRecord | None:
    """The version of that id if a token covers it and its person may see it, else None."""
    try:
        record: MaskRecord = store.masks.by_id(mask_id)
    except TwinReviewError:
        return None
    if record.patient_id != claims.patient_id or record.timepoint not in claims.timepoints:
        return None
    seen = masks(store, record.patient_id, record.timepoint, claims.person)
    return next((one for one in seen if one.mask_id == record.mask_id), None)
