"""What a response is told from, of a timeline: the lesions' volumes, with what became of those that are no number."""

from __future__ import annotations

import math

from core.growth.curves import FLOOR_MM3
from core.twin.timeline import PatientTimeline, is_accounted_for
from core.twin.timeline_cells import Cell
from core.twin.trajectory import not_read_points
from core.types import VolumePoint


def response_points(timeline: PatientTimeline) -> list[VolumePoint]:
    """One point a lesion and visit for `core.twin.response.volumetric_response`; NaN where its volume is not known.

    As the curve's, and where a curve has none:

    - merged into one that is a number: 0, as its volume is in that one's; so the sum is of the same lesions.
    - split into such: the sum of the parts, which are no new lesions and have no points of their own.
    - too small to measure: 5 mm across (RECIST 1.1) for a lesion that was there at the first visit or was measured
      before; one that was never more than that is no new lesion (NaN).
    - masks that cannot be read: NaN (`not_read_points`).
    """
    parts = _parts_of_split_lesions(timeline)
    found = []
    for lesion in timeline.followed:
        was_there = False
        for n, cell in enumerate(c for c in timeline.row(lesion) if c.timepoint in timeline.visits):
            volume = _volume_mm3(timeline, cell, was_there or n == 0)
            was_there |= cell.state == "measured"
            if lesion not in parts:
                found.append(
                    VolumePoint(
                        cell.timepoint,
                        timeline.days(cell.timepoint),
                        math.nan if volume is None else volume,
                        lesion,
                        cell.mask_id or "",
                        cell.version or 0,
                    )
                )
    return [*found, *not_read_points(timeline)]


def _parts_of_split_lesions(timeline: PatientTimeline) -> frozenset[str]:
    """Lesions that came of another one's splitting, and were not there before."""
    found = set()
    for cell in timeline.cells:
        for part in timeline.parts_of(cell.lesion_id, cell.timepoint):
            before = [c for c in timeline.row(part.lesion_id) if c.timepoint < cell.timepoint]
            if not any(c.state == "measured" for c in before) or part.lesion_id in found:
                found.add(part.lesion_id)
    return frozenset(found)


def _volume_mm3(timeline: PatientTimeline, cell: Cell, was_there: bool) -> float | None:
    if cell.is_number:
        return cell.volume_mm3
    if cell.state == "too small to measure":
        return FLOOR_MM3 if was_there else None
    if not is_accounted_for(timeline, cell):
        return None
    parts = timeline.parts_of(cell.lesion_id, cell.timepoint)
    return sum(_volume_mm3(timeline, part, True) or 0.0 for part in parts)  # merged: no parts, and nothing of its own
