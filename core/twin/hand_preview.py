"""Which calls of a patient would be others with a measurement more, or without one; nothing is written."""

from __future__ import annotations

from dataclasses import replace

from core.remembered.flips import Flip
from core.remembered.hand_measurements import Drawn, HandMeasurement, Measured
from core.review.blind_reading import closed_timepoints
from core.twin.patient_responses import flips
from core.twin.response_change import Foreseen, ResponseChangeStore, responses_or_none
from core.twin.timeline import TimelineRows, build_timeline, timeline_rows


def foreseen_with(
    store: ResponseChangeStore, patient_id: str, timepoint: str, drawn: Drawn, found: Measured, person: str
) -> Foreseen:
    """What would flip if that were kept; nothing where it sets no diameter."""
    if closed_timepoints(store, patient_id, person):
        return Foreseen(is_hidden=True)
    if drawn.sets is None:
        return Foreseen()
    values = {**vars(drawn), **vars(found), "measurement_id": "", "patient_id": patient_id, "of_patient": patient_id}
    new = HandMeasurement(**values, timepoint=timepoint, scan_id="", person=person, created_at="")
    rows = timeline_rows(store, patient_id)
    return Foreseen(_between(store, rows, replace(rows, by_hand=(*rows.by_hand, new))))


def foreseen_without(store: ResponseChangeStore, kept: HandMeasurement, person: str) -> Foreseen:
    """What would flip if that were withdrawn; nothing where it sets no diameter."""
    if closed_timepoints(store, kept.patient_id, person):
        return Foreseen(is_hidden=True)
    if not kept.sets_diameter:
        return Foreseen()
    rows = timeline_rows(store, kept.patient_id)
    rest = tuple(one for one in rows.by_hand if one.measurement_id != kept.measurement_id)
    return Foreseen(_between(store, rows, replace(rows, by_hand=rest)))


def _between(store: ResponseChangeStore, before: TimelineRows, after: TimelineRows) -> tuple[Flip, ...]:
    stored, events = store.protocols.of(before.patient_id), store.events.of(before.patient_id)
    return flips(*(responses_or_none(build_timeline(rows), stored, events) for rows in (before, after)))
