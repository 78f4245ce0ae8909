"""What speaks against the links of a mask, in sentences: each by itself, and all of them taken together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from core.lesions.linking_assignment import Assignment, overlap_score
from core.lesions.linking_evidence import MIN_OVERLAP, Cloud, KnownLesions, Look, Overlap, gap_mm, near
from core.lesions.linking_history import LastWord, last_word, untold
from core.remembered.links import LabelRelation, is_unlinked, lesion_order

#: A new lesion so near to one that is gone may be that one; so near to another's place, a piece of it (assumed).
NEAR_GONE_MM, NEAR_MM = 15.0, 5.0
#: Lesions that all lie this far to one side were moved by the registration rather than by the tumour (assumed).
DRIFT_MM = 4.0
#: A second lesion that fits at least this well, of the best, makes a link doubtful.
_RIVAL = 0.5
#: A link by less overlap of the smaller is doubtful; so is one of which less lies in view.
_LITTLE, WHOLE = 0.5, 0.9
#: A label of so many times less or more than its lesion, and within so much of one that is gone, may be that one.
_UNLIKE, _ALIKE = 8.0, 3.0


@dataclass(frozen=True, eq=False)
class LinkCase:
    """All that the proposals of one mask are made from.

    Args:
        here: its labels.
        known, looks: the masks that may be told of, and what those show that can be aligned, nearest first.
        timepoint: of the mask.
        found: which label is which known lesion.
        new: label -> name, of those that are none.
        lost: the place here of each lesion that no label is and none swallowed, where it is in view.
    """

    here: Mapping[int, Cloud]
    known: Sequence[KnownLesions]
    looks: Sequence[Look]
    timepoint: str
    found: Assignment
    new: Mapping[int, str]
    lost: Mapping[str, Cloud]

    def word(self, lesion: str) -> LastWord:
        """Whether it was there before this visit."""
        return last_word(lesion, self.known, self.looks, self.timepoint)

    @cached_property
    def vanished(self) -> set[str]:
        """Those of the lost that were there when last looked at; the others were gone before."""
        return {name for name in self.lost if self.word(name) in ("present", "this visit")}

    @cached_property
    def places(self) -> dict[str, Cloud]:
        """Where each lesion was when last seen; those that came later only are among them."""
        found: dict[str, Cloud] = {}
        for one in self.looks:
            for name, cloud in one.lesions.items():
                if not is_unlinked(name):
                    found.setdefault(name, cloud)
        return found

    @cached_property
    def gaps_mm(self) -> dict[tuple[int, str], float]:
        """(label, lesion) -> distance of the label from the lesion's place, up to 15 mm, where one of them is left."""
        gaps = {}
        for label, cloud in self.here.items():
            others = self.places if label in self.new else self.lost
            for name, close in zip(others, near(cloud, others.values(), NEAR_GONE_MM), strict=True):
                if close and (apart := gap_mm(cloud, others[name])) <= NEAR_GONE_MM:
                    gaps[label, name] = apart
        return gaps

    @cached_property
    def lookalikes(self) -> list[tuple[int, str]]:
        """(label, gone lesion) where the label's size is that lesion's, and not of the one it was linked to: when a
        large tumour goes, what lay beside it can come to lie in its place."""
        found = []
        for label, lesion in self.found.lesion_of.items():
            size = self.here[label].volume_mm3
            if len(self.found.labels_of(lesion)) > 1 or _times(size, self.places[lesion].volume_mm3) < _UNLIKE:
                continue
            found += [(label, name) for name in self.vanished if _times(size, self.lost[name].volume_mm3) <= _ALIKE]
        return found

    @cached_property
    def drifts(self) -> dict[str, float]:
        """Mask id -> drift, of those looks where it is `DRIFT_MM` or more."""
        lengths = {one.known.mask_id: drift_mm(one, self.here, self.found) for one in self.looks}
        return {mask_id: length for mask_id, length in lengths.items() if length >= DRIFT_MM}

    @cached_property
    def of_all(self) -> list[str]:
        """What speaks against everything that is new, gone or not in view."""
        days = ", ".join(one.timepoint for one in untold(self.known, self.looks))
        doubts = [f"The scan of {days} could not be aligned: its lesions were not looked for."] if days else []
        gone = len(self.vanished)
        again = len(set(self.found.lesion_of.values())) + len(self.found.swallowed)
        other_scans = any(one.known.timepoint != self.timepoint for one in self.looks)  # one lies on itself
        if other_scans and again < min(len(self.new), gone):
            doubts.append(
                f"Of the lesions that were there {again} are found again, {gone} are gone, and {len(self.new)} are new:"
                " the scans may not be aligned. Compare them by eye."
            )
        return doubts


def _times(one: float, other: float) -> float:
    """How many times as large the larger one is; without end where one is nothing."""
    low, high = sorted((one, other))
    return high / low if low > 0 else np.inf


def drift_mm(one: Look, here: Mapping[int, Cloud], found: Assignment) -> float:
    """How far all lesions that were told by one look lie to one side of their places, millimetres.

    The length of the median way (component by component) from where the middle of a lesion was to where its label has
    it. Lesions that split or merged are left out. With fewer than two lesions it is 0: one may have grown to one side.
    """
    ways = [
        here[label].points_mm.mean(axis=0) - one.lesions[lesion].points_mm.mean(axis=0)
        for label, lesion in found.lesion_of.items()
        if found.edges[label, lesion].look is one
        and len(found.labels_of(lesion)) == 1
        and not found.came_together(label)
    ]
    return float(np.linalg.norm(np.median(ways, axis=0))) if len(ways) > 1 else 0.0


def doubts_of_link(case: LinkCase, label: int, relation: LabelRelation, apart_mm: float) -> list[str]:
    """What speaks against a label being the lesion that it was linked to."""
    lesion = case.found.lesion_of[label]
    edge = case.found.edges[label, lesion]
    one, overlap = edge.look, edge.overlap
    doubts = []
    if merged := ", ".join(case.found.came_together(label)):
        doubts.append(f"{merged} lay where it lies now: grown together with {lesion}, or gone and overgrown.")
    if overlap is None:
        doubts.append(f"It overlaps no known lesion; {lesion} lies nearest, {apart_mm:.0f} mm away.")
    elif overlap.of_smaller < _LITTLE:
        doubts.append(f"Only {overlap.of_smaller:.0%} of the smaller of it and {lesion} overlap.")
    if relation == "split" and overlap and overlap.of_label < WHOLE:
        doubts.append(f"Only {overlap.of_label:.0%} of it lies where {lesion} was: it may be no piece of that.")
    score, rival = case.found.rival(label)
    if rival is not None and score > _RIVAL * edge.score:
        doubts.append(f"{rival} fits {'better' if score > edge.score else 'nearly as well'}.")
    nearer = [other for other in case.looks if other.rank < one.rank and lesion in other.lesions]
    if overlap and any(not overlap_score(other, label, lesion) for other in nearer):
        doubts.append(f"It lies where {lesion} was on {one.known.timepoint}, and not where it was seen since.")
    if one.in_view[lesion] < WHOLE:
        doubts.append(f"Only {one.in_view[lesion]:.0%} of {lesion}'s place lies in this scan.")
    for (other, name), apart in case.gaps_mm.items():
        if other == label and apart <= NEAR_MM and name in case.vanished:
            doubts.append(f"{name}, which is gone, lay {apart:.0f} mm from it: it may have merged into this.")
        elif other in case.new and name == lesion and apart <= NEAR_MM:
            doubts.append(
                f"{case.new[other]}, which is new, lies {apart:.0f} mm from its place: it may be a piece of it."
            )
    for other, name in case.lookalikes:
        if other == label:
            doubts.append(
                f"It has {case.here[label].volume_mm3:.3g} mm3, {lesion} had {case.places[lesion].volume_mm3:.3g}, and "
                f"{name}, which is gone, {case.lost[name].volume_mm3:.3g}: it may be that one."
            )
    return doubts


def doubts_of_new(case: LinkCase, label: int) -> tuple[list[str], float, bool]:
    """What speaks against a label being new; its largest share in a known place; whether a gone lesion lay near."""
    seen = {
        (one.known.timepoint, name): overlap
        for one in case.looks
        for (number, name), overlap in one.overlaps.items()
        if number == label and overlap.of_smaller >= MIN_OVERLAP
    }
    doubts, touched = _touching(seen)
    beside = False
    for (other, name), apart in case.gaps_mm.items():
        if other == label and name in case.lost:
            beside = True
            doubts.append(f"{name}, which is gone, lay {apart:.0f} mm from it: it may be that one.")
        elif other == label and apart <= NEAR_MM and name not in touched:
            doubts.append(f"{name} lay {apart:.0f} mm from it: it may be a piece of that.")
    return doubts + case.of_all, max((overlap.of_label for overlap in seen.values()), default=0.0), beside


def _touching(seen: Mapping[tuple[str, str], Overlap]) -> tuple[list[str], set[str]]:
    """What a new lesion overlaps, of each known lesion the most; and which they are."""
    most: dict[str, tuple[float, str]] = {}
    for (day, name), overlap in seen.items():
        most[name] = max(most.get(name, (0.0, "")), (overlap.of_label, day))
    doubts = []
    for name, (share, day) in sorted(most.items(), key=lambda item: lesion_order(item[0])):
        what = f"label {name.removeprefix('unlinked-')}, which is not linked," if is_unlinked(name) else name
        doubts.append(f"{share:.0%} of it lies where {what} was on {day}: it may be that, or a part of it.")
    return doubts, set(most)


def doubts_of_gone(case: LinkCase, one: Look, lesion: str) -> tuple[list[str], float]:
    """What speaks against a lesion being gone, and the share of its place that lies in labels now."""
    doubts = []
    held = {label: seen.of_lesion for (label, name), seen in one.overlaps.items() if name == lesion}
    large = {label for label, share in held.items() if share >= MIN_OVERLAP}
    for label in sorted(large):
        name = case.found.lesion_of.get(label) or case.new[label]
        doubts.append(f"{held[label]:.0%} of its place lies in {name}: it may have merged into that.")
    for (label, name), apart in case.gaps_mm.items():
        if name == lesion and label in case.new:
            doubts.append(f"{case.new[label]}, which is new, lies {apart:.0f} mm from its place: it may be that one.")
        elif name == lesion and apart <= NEAR_MM and label not in large:
            into = case.found.lesion_of[label]
            doubts.append(f"{into} lies {apart:.0f} mm from its place: it may have merged into that.")
    for label, name in case.lookalikes:
        if name == lesion:
            doubts.append(f"What was taken for {case.found.lesion_of[label]} has about its size: it may be that one.")
    if one.in_view[lesion] < WHOLE:
        doubts.append(f"Only {one.in_view[lesion]:.0%} of its place lies in this scan.")
    if one.known.timepoint == case.timepoint:
        doubts.append("Another version of this visit has it.")
    return doubts + case.of_all, sum(held.values())


def doubts_of_view(case: LinkCase, one: Look, lesion: str) -> list[str]:
    """What speaks against a lesion lying beyond the scan."""
    share = one.in_view[lesion]
    part = [f"{share:.0%} of its place lies in this scan, and nothing of it is there."] if share > 1 - WHOLE else []
    return part + case.of_all
