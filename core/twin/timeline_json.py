"""A timeline as plain JSON values, with its changes and responses: what `cli.py timeline` prints."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from core.errors import StoreError
from core.growth.rates import Z95
from core.remembered.untyped import JsonDict
from core.twin.change import change_between
from core.twin.measured_visits import measured_end
from core.twin.response import DEFAULT_RULE, RULES, Response, classify_volume, volumetric_response
from core.twin.timeline import PatientTimeline, patient_timeline
from core.twin.timeline_cells import Cell
from core.twin.timeline_changes import all_changes, registration_state
from core.twin.timeline_response import response_points
from core.twin.timeline_store import TimelineStore
from core.types import TOTAL_LESION_ID


def timeline_report(store: TimelineStore, patient_id: str) -> JsonDict:
    """`timeline_json` of a patient. Raises StoreError: the patient is not known."""
    timeline = patient_timeline(store, patient_id)
    if not timeline.timepoints:
        raise StoreError(f"There is no patient {patient_id!r}. Import a scan first; the worklist shows who is there.")
    return timeline_json(timeline)


def timeline_json(timeline: PatientTimeline, rule: str = DEFAULT_RULE) -> JsonDict:
    """Plain JSON values; what is not known is None, never 0.

    Args:
        rule: the response rule, a key of `core.twin.response.RULES`; "protocol" and "criterion" name it.
    """
    answers = volumetric_response(response_points(timeline), rule)
    return {
        "patient_id": timeline.patient_id,
        "protocol": rule,
        "baseline": answers[0].timepoint if answers else next(iter(timeline.visits), None),
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
        "responses": [_response_json(timeline, answer, answers, rule) for answer in answers],
    }


def cell_json(cell: Cell) -> JsonDict:
    """A cell; "link" is None for a mask without links."""
    link = None if cell.link is None else {**vars(cell.link), "doubts": list(cell.link.doubts)}
    values = {name: getattr(cell, name) for name in cell.__dataclass_fields__}
    return values | {"into": list(cell.into), "doubts": list(cell.doubts), "link": link}


def _response_json(timeline: PatientTimeline, answer: Response, answers: Sequence[Response], rule: str) -> JsonDict:
    return {
        "timepoint": answer.timepoint,
        "criterion": rule,
        "call": answer.category,
        "sentence": _sentence(answer, rule),
        "flips_within_noise": flips_within_noise(timeline, answer, answers[0], rule),
    }


def _sentence(answer: Response, rule: str) -> str:
    if answer.category == "baseline":
        return f"Baseline of {RULES[rule].title}."
    changes = [
        f"{percent:+.1f} % of {what}"
        for what, percent in (
            ("baseline", answer.change_from_baseline_percent),
            ("nadir", answer.change_from_nadir_percent),
        )
        if percent is not None
    ]
    told = f"{answer.category} by {RULES[rule].title}: {', '.join(changes) or 'no change can be told'}."
    return f"{told} {answer.note}".strip()


def flips_within_noise(timeline: PatientTimeline, answer: Response, baseline: Response, rule: str) -> bool | None:
    """Whether the call would be another one within the 95 % interval that the noise of both volumes leaves.

    Returns:
        False at baseline, and where a new lesion alone makes it progression; None where it cannot be told (not
        evaluable, gone, or no noise known for the pair).
    """
    if answer.category == "baseline" or answer.new_lesions:
        return False
    both = (baseline.timepoint in timeline.visits, answer.timepoint in timeline.visits)
    volumes = (baseline.volume_mm3, answer.volume_mm3)
    if not all(both) or not all(math.isfinite(volume) and volume > 0 for volume in volumes):
        return None
    state = registration_state(timeline, TOTAL_LESION_ID, baseline.timepoint, answer.timepoint)
    before, after = (
        replace(
            measured_end(timeline.visits[one.timepoint], TOTAL_LESION_ID, one.volume_mm3, one.days),
            registration_state=state,
        )
        for one in (baseline, answer)
    )
    log_sd = change_between(before, after, timeline.installation).log_sd
    if log_sd is None:
        return None
    calls = {
        classify_volume(answer.baseline_mm3, answer.nadir_mm3, answer.volume_mm3 * math.exp(side * Z95 * log_sd), rule)
        for side in (-1.0, 0.0, 1.0)
    }
    return len(calls) > 1
