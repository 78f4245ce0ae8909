"""What happened to a lesion, or to the total, between two visits of a timeline: one noise model, asked of both ends."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

from core.errors import InputError
from core.remembered.links import transform_that_counts
from core.remembered.untyped import JsonDict
from core.review.decisions import lesions_in_one_total_only
from core.twin.change import Change, change_between, unknown_change
from core.twin.measured_end import MeasuredEnd, RegistrationState
from core.twin.measured_visits import measured_end
from core.twin.timeline import PatientTimeline
from core.types import TOTAL_LESION_ID


@dataclass(frozen=True)
class IntervalChange:
    """What happened to a lesion, or to the total, between two accepted timepoints."""

    lesion_id: str
    from_timepoint: str
    to_timepoint: str
    change: Change

    def to_json(self) -> JsonDict:
        """Plain JSON values: the keys of a timeline's change, and "rate" and "change" as they have always been."""
        found = self.change
        return {
            "lesion_id": self.lesion_id,
            "from": self.from_timepoint,
            "to": self.to_timepoint,
            **found.to_json(),
            "rate": {
                "sgr_percent_per_day": found.growth_percent_per_day,
                "low95": found.growth_low95,
                "high95": found.growth_high95,
                "doubling_days": found.doubling_days,
                "doubling_low_days": found.doubling_low_days,
                "doubling_high_days": found.doubling_high_days,
                "text": found.growth_text,
                "floored": found.is_bound,
            },
            "change": {
                "verdict": found.verdict,
                "rule": found.rule,
                "percent_change": found.percent,
                "threshold_percent": found.smallest_real_percent,
                "note": found.why,
            },
        }


def number_timepoints(timeline: PatientTimeline, lesion_id: str) -> list[str]:
    """Timepoints at which the lesion, or the total, is a number, by time."""
    if lesion_id == TOTAL_LESION_ID:
        return [total.timepoint for total in timeline.totals if total.volume_mm3 is not None]
    row = timeline.row(lesion_id) if lesion_id in timeline.followed else ()
    return [cell.timepoint for cell in row if cell.is_number]


def interval_change(timeline: PatientTimeline, lesion_id: str, first: str, second: str) -> IntervalChange:
    """Change of a lesion (or the total) from one visit to another one, each of which must be a number.

    It is unknown where the two are not of the same thing: another lesion was merged into this one, or came out of it,
    between them; totals are of different lesions (one is new, or rejected in one of the two), or one between them is
    not known. A lesion that is absent at both ends is no matter, and one that is gone stays in the total, as 0.

    Raises:
        InputError: it is no number at one of the two; `PatientTimeline.cell` says what it is.
    """
    ends = [volume_end(timeline, lesion_id, timepoint) for timepoint in (first, second)]
    if None in ends:
        where = first if ends[0] is None else second
        raise InputError(f"Expected a volume of {lesion_id} on {where}, which is not known. Look at its cell for why.")
    state = registration_state(timeline, lesion_id, first, second)
    before, after = (replace(end, registration_state=state) for end in ends if end is not None)
    apart = why_not_the_same(timeline, lesion_id, first, second) if before.volume_mm3 > 0 else None
    if apart is None:
        change = change_between(before, after, timeline.installation)
    else:
        change = unknown_change(before, after, *apart)
    return IntervalChange(lesion_id, first, second, change)


def lesion_changes(timeline: PatientTimeline, lesion_id: str) -> list[IntervalChange]:
    """`interval_change` between neighbours in time of those that are a number; [] below two."""
    pairs = itertools.pairwise(number_timepoints(timeline, lesion_id))
    return [interval_change(timeline, lesion_id, first, second) for first, second in pairs]


def all_changes(timeline: PatientTimeline) -> list[IntervalChange]:
    """`lesion_changes` of every lesion that counts somewhere, then of the total."""
    names = (*timeline.followed, TOTAL_LESION_ID)
    return [change for name in names for change in lesion_changes(timeline, name)]


def change_since_first(timeline: PatientTimeline, lesion_id: str) -> IntervalChange | None:
    """From the first number to the last one; None below two."""
    days = number_timepoints(timeline, lesion_id)
    return interval_change(timeline, lesion_id, days[0], days[-1]) if len(days) > 1 else None


def volume_end(timeline: PatientTimeline, lesion_id: str, timepoint: str) -> MeasuredEnd | None:
    """How the lesion, or the total, was measured there; None where it is no number. What speaks against the lesion's
    link is a doubt at that end, as those of the gates are."""
    linked: tuple[str, ...] = ()
    if lesion_id == TOTAL_LESION_ID:
        total = timeline.total(timepoint)
        volume = None if total is None else total.volume_mm3
    else:
        cell = timeline.cell(lesion_id, timepoint)
        volume = None if cell is None else cell.volume_mm3
        linked = () if cell is None or cell.link is None else cell.link.doubts
    if volume is None:
        return None
    end = measured_end(timeline.visits[timepoint], lesion_id, volume, timeline.days(timepoint))
    return replace(end, doubts=(*end.doubts, *linked))


def registration_state(timeline: PatientTimeline, lesion_id: str, first: str, second: str) -> RegistrationState | None:
    """Of the two scans, as far as it says that this is the same lesion.

    "accepted" where a person confirmed the later one's link (for the total: those of all its lesions), whatever the
    registration; a registration that a person refused counts as failed; None where none was stored.
    """
    later = max(first, second)
    names: Sequence[str] = [lesion_id]
    if lesion_id == TOTAL_LESION_ID:
        names = [name for timepoint in (first, second) for name in _counted(timeline, timepoint)]
    cells = [timeline.cell(name, later) for name in names]
    if cells and all(cell is not None and cell.confirmed for cell in cells):
        return "accepted"
    found = transform_that_counts(timeline.transforms, first, second)
    if found is None:
        return None
    return "failed" if found.registration_state == "refused" else found.registration_state


def why_not_the_same(timeline: PatientTimeline, lesion_id: str, first: str, second: str) -> tuple[str, str] | None:
    """The rule's name and why (a sentence without its full stop) the two ends are of different things; None where they
    are of the same."""
    if lesion_id == TOTAL_LESION_ID:
        return _why_not_one_total(timeline, first, second)
    held = [timeline.held_by(lesion_id, timepoint) for timepoint in (first, second)]
    joined, left = sorted(held[1] - held[0]), sorted(held[0] - held[1])
    if joined:
        return "no rule: lesions merged", f"{', '.join(joined)} was merged into {lesion_id}, which holds both since"
    if left:
        return "no rule: lesions came apart", f"{', '.join(left)} was part of {lesion_id} before, and is by itself now"
    return None


def _counted(timeline: PatientTimeline, timepoint: str) -> tuple[str, ...]:
    total = timeline.total(timepoint)
    return () if total is None else total.lesions


def _why_not_one_total(timeline: PatientTimeline, first: str, second: str) -> tuple[str, str] | None:
    rule = "totals of different lesions"
    before, after = set(_counted(timeline, first)), set(_counted(timeline, second))
    rejected = lesions_in_one_total_only(*(timeline.visits[timepoint].record for timepoint in (first, second)))
    if rejected:
        return rule, f"{', '.join(rejected)} counts in one of the two totals only: rejected in the other mask"
    new = after - before
    new -= _became(timeline, before, first, second) if new else set()
    if new:
        names = [name for name in timeline.lesions if name in new]
        words = ", ".join(f"new lesion {name}" if timeline.is_new(name, second) else name for name in names)
        return rule, f"{words} was not there before and counts in the second total only"
    low, high = sorted((first, second))
    unknown = [total for total in timeline.totals if low < total.timepoint < high and total.volume_mm3 is None]
    if unknown:
        where = ", ".join(total.timepoint for total in unknown)
        return "a total between is not known", f"Not every lesion was measured on {where}"
    return None


def _became(timeline: PatientTimeline, before: set[str], first: str, second: str) -> set[str]:
    """Lesions that count in the second total as parts of one that counted in the first, or that held them then."""
    split = [cell for cell in timeline.column(second) if cell.state == "split into" and cell.lesion_id in before]
    parts = {part for cell in split for part in cell.into}
    return parts | {other for name in before for other in timeline.held_by(name, first)}
