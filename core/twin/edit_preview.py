"""What a decision or a change of links would do to a patient's response and numbers, told before: nothing is written.

The one place that says which calls an edit flips. Pages show it, and `core.jobs.stages.deciding` records it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol as Parts

from core.errors import InputError
from core.remembered.flips import Flip
from core.remembered.links import LinkChange
from core.remembered.protocols import ProtocolSource
from core.remembered.sources import EventRecordSource
from core.twin.laid_store import LaidStore, PreviewStore, with_decision, with_links
from core.twin.link_preview import MovedNumber, moved_numbers
from core.twin.patient_responses import PatientResponses, flips, patient_responses
from core.twin.timeline import PatientTimeline, patient_timeline
from core.types import MaskRecord


class EditPreviewStore(PreviewStore, Parts):
    """Store parts that it reads: those of a preview, and what a response is told by."""

    @property
    def events(self) -> EventRecordSource: ...
    @property
    def protocols(self) -> ProtocolSource: ...


@dataclass(frozen=True)
class Edit:
    """What a person is about to decide on a version.

    Args:
        verdict: "accept", "reject" or "withdraw"; "" for a change of links alone.
        lesion_id: the one lesion that it is about; None for the whole version.
        links: what they change of which lesion each label is. not_lesions: labels that they say are none.
    """

    verdict: str
    lesion_id: str | None = None
    links: tuple[LinkChange, ...] = ()
    not_lesions: tuple[int, ...] = ()


@dataclass(frozen=True)
class EditPreview:
    """What becomes another: the calls of visits, and volumes, totals and changes with their growth."""

    flips: tuple[Flip, ...] = ()
    moved: tuple[MovedNumber, ...] = ()


def preview_edit(store: EditPreviewStore, record: MaskRecord, edit: Edit, person: str) -> EditPreview:
    """What that person's edit of a version would move.

    Raises:
        InputError: for a mask that the patient has not, or a label that the mask has not.
    """
    if edit.verdict:
        if record.status != "accepted" and (edit.verdict != "accept" or edit.lesion_id is not None):
            return EditPreview()  # it is in no curve, and does not come into one
        return _moved(store, record.patient_id, lambda: _decided(store, record, edit, person))
    laid = (store, record.patient_id, record.mask_id, edit.links, person)
    return _moved(store, record.patient_id, lambda: with_links(*laid))


def _decided(store: EditPreviewStore, record: MaskRecord, edit: Edit, person: str) -> LaidStore:
    return with_decision(store, record, edit.verdict, person, edit.lesion_id, edit.links, edit.not_lesions)


def _moved(store: EditPreviewStore, patient_id: str, laid: Callable[[], LaidStore]) -> EditPreview:
    before, after = patient_timeline(store, patient_id), patient_timeline(laid(), patient_id)
    calls = [_responses(store, timeline) for timeline in (before, after)]
    return EditPreview(flips(*calls), tuple(moved_numbers(before, after)))


def _responses(store: EditPreviewStore, timeline: PatientTimeline) -> PatientResponses | None:
    """None also where the protocol cannot be followed: then no visit has a call."""
    patient_id = timeline.patient_id
    try:
        return patient_responses(timeline, store.protocols.of(patient_id), store.events.of(patient_id))
    except InputError:
        return None
