"""What a change of links would do to a patient's numbers, told before it is done: nothing is written."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from core.remembered.links import LinkChange, lesion_order
from core.twin.laid_store import PreviewStore, with_links
from core.twin.timeline import PatientTimeline, patient_timeline
from core.twin.timeline_changes import all_changes
from core.types import TOTAL_LESION_ID

Kind = Literal["volume", "total", "change"]


@dataclass(frozen=True)
class Told:
    """What a timeline says of one cell, total or change.

    Args:
        state: of a cell its state, of a change its verdict; number: mm3, of a change percent; None where it is none.
        growth_percent_per_day: of a change; None where it has none.
    """

    state: str
    number: float | None
    growth_percent_per_day: float | None = None


@dataclass(frozen=True)
class MovedNumber:
    """A number on the curve, a state or a verdict that the change moves.

    Args:
        kind: "change" is from `from_timepoint` to `timepoint`; for the others that is "".
        before, after: None where there is no such cell or change.
    """

    kind: Kind
    lesion_id: str
    from_timepoint: str
    timepoint: str
    before: Told | None
    after: Told | None


@dataclass(frozen=True)
class LinkPreview:
    """Timelines before and after, and what differs: by lesion and time, cells first, changes after them."""

    before: PatientTimeline
    after: PatientTimeline
    moved: tuple[MovedNumber, ...]


def preview_links(
    store: PreviewStore, patient_id: str, mask_id: str, changes: Sequence[LinkChange], person: str = ""
) -> LinkPreview:
    """What would differ if a person said that of a version's labels and missing lesions; nothing is written.

    Args:
        person: who would say it: what they say is confirmed.

    Raises:
        InputError: for a mask that the patient has not, or a label that the mask has not.
    """
    before = patient_timeline(store, patient_id)
    after = patient_timeline(with_links(store, patient_id, mask_id, changes, person), patient_id)
    return LinkPreview(before, after, tuple(moved_numbers(before, after)))


def moved_numbers(before: PatientTimeline, after: PatientTimeline) -> list[MovedNumber]:
    """Cells, totals and changes whose number, state or verdict differs between two timelines of a patient."""
    told = (_told(before), _told(after))
    keys = sorted({**told[0], **told[1]}, key=_order)
    pairs = [(key, told[0].get(key), told[1].get(key)) for key in keys]
    return [MovedNumber(*key, one, other) for key, one, other in pairs if not _same(one, other)]


_Key = tuple[Kind, str, str, str]
_KINDS: tuple[Kind, ...] = ("volume", "total", "change")


def _order(key: _Key) -> tuple[int, int, str, str, str]:
    kind, lesion_id, first, second = key
    return _KINDS.index(kind), *lesion_order(lesion_id), second, first  # totals, and what is linked to none, come last


def _told(timeline: PatientTimeline) -> dict[_Key, Told]:
    found: dict[_Key, Told] = {}
    for cell in timeline.cells:
        new = ", new" if timeline.is_new(cell.lesion_id, cell.timepoint) else ""
        words = " ".join([cell.state, *([", ".join(cell.into)] if cell.into else [])]) + new
        found["volume", cell.lesion_id, "", cell.timepoint] = Told(words, cell.volume_mm3)
    for label in timeline.unlinked:
        found["volume", label.lesion_id, "", label.timepoint] = Told("not linked", label.volume_mm3)
    for total in timeline.totals:
        state = "not known" if total.volume_mm3 is None else f"of {', '.join(total.lesions) or 'no lesion'}"
        found["total", TOTAL_LESION_ID, "", total.timepoint] = Told(state, total.volume_mm3)
    for one in all_changes(timeline):
        key: _Key = ("change", one.lesion_id, one.from_timepoint, one.to_timepoint)
        found[key] = Told(one.change.verdict, one.change.percent, one.change.growth_percent_per_day)
    return found


def _same(one: Told | None, other: Told | None) -> bool:
    if one is None or other is None:
        return one is other
    numbers = ((one.number, other.number), (one.growth_percent_per_day, other.growth_percent_per_day))
    return one.state == other.state and all(_same_number(*pair) for pair in numbers)


def _same_number(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return math.isclose(one, other, rel_tol=1e-9)
