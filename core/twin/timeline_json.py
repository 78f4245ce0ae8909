"""A timeline as plain JSON values, with its changes and responses: what `cli.py timeline` prints."""

from __future__ import annotations

from core.errors import StoreError
from core.remembered.untyped import JsonDict
from core.twin.cell_measures import CellMeasures
from core.twin.patient_responses import (
    PatientResponses,
    ResponseStore,
    call_json,
    patient_responses,
    protocol_json,
)
from core.twin.timeline import PatientTimeline, patient_timeline
from core.twin.timeline_cells import Cell
from core.twin.timeline_changes import all_changes
from core.twin.visit_doubts import doubts_at


def timeline_report(store: ResponseStore, patient_id: str) -> JsonDict:
    """`timeline_json` of a patient. Raises StoreError: the patient is not known."""
    timeline = patient_timeline(store, patient_id)
    if not timeline.timepoints:
        raise StoreError(f"There is no patient {patient_id!r}. Import a scan first; the worklist shows who is there.")
    found = patient_responses(timeline, store.protocols.of(patient_id), store.events.of(patient_id))
    return timeline_json(timeline, found)


def timeline_json(timeline: PatientTimeline, responses: PatientResponses | None) -> JsonDict:
    """Plain JSON values; what is not known is None, never 0.

    Args:
        responses: of the timeline; None for a patient without a visit.
    """
    return {
        "patient_id": timeline.patient_id,
        "protocol": None if responses is None else responses.in_force.protocol.criterion,
        "baseline": None if responses is None else responses.in_force.protocol.baseline,
        "protocol_in_force": None if responses is None else protocol_json(responses.in_force),
        "timepoints": list(timeline.timepoints),
        "cells": [cell_json(cell) for cell in timeline.cells],
        "totals": [
            {
                "timepoint": total.timepoint,
                "volume_mm3": total.volume_mm3,
                "lesions": list(total.lesions),
                "mask_id": total.mask_id,
                "version": total.version,
                "why": total.why or None,
                "doubts": list(doubts_at(timeline, total.timepoint)),
            }
            for total in timeline.totals
        ],
        "new_lesions": timeline.new_lesions,
        "unlinked": [
            {
                "timepoint": one.timepoint,
                "mask_id": one.mask_id,
                "version": one.version,
                "label": one.label,
                "volume_mm3": one.volume_mm3,
            }
            for one in timeline.unlinked
        ],
        "changes": [change.to_json() for change in all_changes(timeline)],
        "responses": [] if responses is None else [call_json(call) for call in responses.calls],
        "other_criteria": {} if responses is None else _others(responses),
        "criteria_disagree": [] if responses is None else list(responses.disagree),
    }


def cell_json(cell: Cell) -> JsonDict:
    """A cell; "link" is None for a mask without links. Measures stand beside its size, None where not known."""
    link = None if cell.link is None else {**vars(cell.link), "doubts": list(cell.link.doubts)}
    values = {name: getattr(cell, name) for name in cell.__dataclass_fields__ if name != "measures"}
    values |= vars(cell.measures or CellMeasures(sul_why=""))
    lists = {name: list(values[name]) for name in ("into", "doubts", "hand_others")}
    return values | lists | {"link": link}


def _others(responses: PatientResponses) -> JsonDict:
    return {name: [call_json(call) for call in calls] for name, calls in responses.others.items()}
