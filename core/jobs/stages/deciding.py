"""The one way for pages and the command line to decide on a version, or to say which lesion a label is.

What it does to the calls of the patient's visits is found before it is written, and is in its audit entry.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from core.jobs.stages import relinking
from core.jobs.stages.common import StageStore
from core.remembered.flips import CONFIRMED, NOT_SHOWN, SHOWN, TOLD, Flip, FlipsMoved, flip_words, needs_confirming
from core.remembered.hand_measurements import HasHandMeasurements
from core.remembered.links import LesionLink, LinkChange
from core.remembered.protocols import HasProtocols
from core.remembered.sources import HasEvents
from core.review.blind_reading import closed_timepoints
from core.twin.edit_preview import Edit, preview_edit
from core.types import Decision, MaskRecord, Progress, no_progress

#: From finding the flips to writing them: nobody else in this process edits. No other process has the store open.
_EDITING = threading.Lock()


class EditStore(StageStore, HasEvents, HasHandMeasurements, HasProtocols, Protocol):
    """Store parts that an edit needs: those of the pipeline, and what a response is told by."""


@dataclass(frozen=True)
class Decided:
    """A decision with the calls that it made others; none where `told` says that they were not shown."""

    decision: Decision
    flips: tuple[Flip, ...]
    told: str


def decide(
    store: EditStore,
    record: MaskRecord,
    edit: Edit,
    reviewer: str,
    reason: str,
    comment: str = "",
    confirmed: Sequence[Flip] | None = None,
    progress: Progress = no_progress,
) -> Decided:
    """Accept, reject or withdraw a version, or accept or reject one lesion of it; its flips are in the audit with it.

    Args:
        edit: links and labels that are no lesions are of an acceptance, as `relinking.accept` takes them.
        confirmed: the flips that need it (`needs_confirming`) and that the reviewer was shown and confirmed; None
            where nobody was asked (the command line), who are told afterwards.

    Raises:
        InputError, StoreError: as `store.decisions.decide`. FlipsMoved: it flips other calls than were confirmed;
            nothing was decided.
    """
    whole = edit.verdict == "accept" and edit.lesion_id is None
    if whole:
        record = relinking.relink_if_outdated(store, record, reviewer, progress)
    place, said = (record.patient_id, record.timepoint, record.version), (reviewer, reason, comment)
    with _EDITING:
        flips, told = _flips(store, record, edit, reviewer, confirmed)
        if whole:
            decision = relinking.accept(
                store, *place, *said, edit.links, not_lesions=edit.not_lesions, flips=flips, flips_told=told
            )
        else:
            decision = store.decisions.decide(
                *place, edit.verdict, *said, lesion_id=edit.lesion_id, flips=flips, flips_told=told
            )
    return Decided(decision, flips, told)


def change_links(
    store: EditStore,
    record: MaskRecord,
    changes: Sequence[LinkChange],
    person: str,
    reason: str,
    confirmed: Sequence[Flip] | None = None,
) -> tuple[list[LesionLink], tuple[Flip, ...]]:
    """Say which lesions labels of a version are; its flips are in the audit with it.

    Returns:
        What is said of the version now, and the flips.

    Raises:
        InputError, StoreError: as `store.links.change`. FlipsMoved: as `decide`.
    """
    with _EDITING:
        flips, told = _flips(store, record, Edit("", links=tuple(changes)), person, confirmed)
        links = store.links.change(record.mask_id, changes, person, reason, flips, told)
    return links, flips


def _flips(
    store: EditStore, record: MaskRecord, edit: Edit, person: str, confirmed: Sequence[Flip] | None
) -> tuple[tuple[Flip, ...], str]:
    """The flips of an edit, and how its person was told of them. To who reads something of the patient blind they would
    tell of masks that are hidden, or be others than those of the calls in force."""
    if closed_timepoints(store, record.patient_id, person):
        return (), NOT_SHOWN
    flips = preview_edit(store, record, edit, person).flips
    asked = needs_confirming(flips)
    if confirmed is not None and asked != tuple(confirmed):
        now = flip_words(asked) or "none becomes another one"
        raise FlipsMoved(
            f"What this changes in the response is another thing by now: {now}. Nothing was recorded. Look at it again."
        )
    if not flips:
        return (), ""
    return flips, TOLD if confirmed is None else CONFIRMED if asked else SHOWN
