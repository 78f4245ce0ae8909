"""Which calls of a patient would be others with a measurement more, or without one; nothing is written."""

from __future__ import annotations

from dataclasses import replace

from core.errors import InputError
from core.remembered.hand_measurements import Drawn, HandMeasurement, Measured
from core.remembered.protocols import Flip
from core.twin.patient_responses import PatientResponses, ResponseStore, flips, patient_responses
from core.twin.timeline import TimelineRows, build_timeline, timeline_rows


def flips_with(
    store: ResponseStore, patient_id: str, timepoint: str, drawn: Drawn, found: Measured, person: str
) -> tuple[Flip, ...]:
    """What would flip if that were kept; () where it sets no diameter."""
    if drawn.sets is None:
        return ()
    values = {**vars(drawn), **vars(found), "measurement_id": "", "patient_id": patient_id, "of_patient": patient_id}
    new = HandMeasurement(**values, timepoint=timepoint, scan_id="", person=person, created_at="")
    rows = timeline_rows(store, patient_id)
    return _between(store, rows, replace(rows, by_hand=(*rows.by_hand, new)))


def flips_without(store: ResponseStore, kept: HandMeasurement) -> tuple[Flip, ...]:
    """What would flip if that were withdrawn; () where it sets no diameter."""
    if not kept.sets_diameter:
        return ()
    rows = timeline_rows(store, kept.patient_id)
    rest = tuple(one for one in rows.by_hand if one.measurement_id != kept.measurement_id)
    return _between(store, rows, replace(rows, by_hand=rest))


def _between(store: ResponseStore, before: TimelineRows, after: TimelineRows) -> tuple[Flip, ...]:
    return flips(_responses(store, before), _responses(store, after))


def _responses(store: ResponseStore, rows: TimelineRows) -> PatientResponses | None:
    """None where there are none, or the protocol cannot be followed."""
    try:
        return patient_responses(
            build_timeline(rows), store.protocols.of(rows.patient_id), store.events.of(rows.patient_id)
        )
    except InputError:
        return None
