"""What the known masks of a patient say of a lesion before one visit, whatever its place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from core.lesions.linking_evidence import Cloud, KnownLesions, Look
from core.types import LabelMap, parse_date

#: A mask told by a doubtful registration counts this much less.
_DOUBTFUL = 0.6

#: "present": there when it was last looked for, before this visit. "absent": there earlier, and gone since.
#: "this visit", "later": no earlier mask has it. "never": nobody has its voxels.
LastWord = Literal["present", "absent", "this visit", "later", "never"]


def in_order(known: Sequence[KnownLesions], timepoint: str) -> list[tuple[int, KnownLesions]]:
    """Known masks with their rank, nearest first: accepted ones before others, then by days, an earlier visit first."""
    day = parse_date(timepoint)

    def key(one: KnownLesions) -> tuple[bool, int, bool]:
        days = (parse_date(one.timepoint) - day).days
        return not one.accepted, abs(days), days > 0

    ranks = {place: rank for rank, place in enumerate(sorted({key(one) for one in known}))}
    return [(ranks[key(one)], one) for one in sorted(known, key=lambda one: (key(one), one.mask_id))]


def weight(rank: int, known: KnownLesions) -> float:
    """How much a known mask counts, 0.3..1: 1 for the nearest, then 0.75, 0.63 … down to one half."""
    return (0.5 + 0.5**rank / 2) * (_DOUBTFUL if known.registration_state == "doubtful" else 1.0)


def last_word(lesion: str, known: Sequence[KnownLesions], looks: Sequence[Look], timepoint: str) -> LastWord:
    """Whether a lesion was there before this visit.

    A visit after the last one that has it says that it is absent where a reader accepted it as gone, or where its place
    was in view and nothing of it is in the mask. A visit that did not reach there, or that no registration connects,
    says nothing.
    """
    with_it = [one.timepoint for one in known if lesion in one.present]
    earlier = [day for day in with_it if day < timepoint]
    last = max(earlier, default="")
    since = [one for one in known if last < one.timepoint < timepoint]
    if any(lesion in one.gone for one in since):
        return "absent"
    if not earlier:
        return "this visit" if timepoint in with_it else "later" if with_it else "never"
    place = place_of(lesion, looks)
    looked = [one for one in looks if last < one.known.timepoint < timepoint]
    return "absent" if place is not None and any(one.reaches(place) for one in looked) else "present"


def look_at(lesion: str, looks: Sequence[Look]) -> Look | None:
    """The nearest look that has a lesion's voxels; None where no registration tells its place."""
    return next((one for one in looks if lesion in one.lesions), None)


def place_of(lesion: str, looks: Sequence[Look]) -> Cloud | None:
    """Where a lesion was, in the frame of the mask that is to be linked."""
    one = look_at(lesion, looks)
    return None if one is None else one.lesions[lesion]


def untold(known: Sequence[KnownLesions], looks: Sequence[Look]) -> list[KnownLesions]:
    """One mask a visit of which nothing could be told, by date: no scan of it could be aligned."""
    told = {one.known.timepoint for one in looks}
    found = {one.timepoint: one for one in known if one.timepoint not in told and not _empty(one.labels, one.gone)}
    return [found[day] for day in sorted(found)]


def _empty(labels: LabelMap, gone: frozenset[str]) -> bool:
    return not labels.labels and not gone
