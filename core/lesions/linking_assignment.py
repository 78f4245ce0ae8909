"""Labels of a mask to lesions of a patient: one assignment over all known masks, then what split and what merged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from core.lesions.linking_evidence import MAX_SURFACE_MM, MIN_OVERLAP, Cloud, Look, Overlap, near, surface_mm
from core.remembered.links import is_unlinked

#: At least this share of a fragment lies where its lesion was; of a swallowed lesion, in what swallowed it.
MOST = 0.5
#: The best that distance alone can score: less than the least overlap (0.05) at the least weight (0.3).
_BY_DISTANCE = 0.01


@dataclass(frozen=True, eq=False)
class Edge:
    """The best that speaks for a label being a lesion.

    Args:
        score: 0..1; of overlaps the mean of Dice and the share of the smaller, times the look's weight.
        look: where it was seen.
        overlap: there; None where distance alone speaks for it.
    """

    score: float
    look: Look
    overlap: Overlap | None


Edges = Mapping[tuple[int, str], Edge]


@dataclass(frozen=True, eq=False)
class Assignment:
    """Which label is which lesion.

    Args:
        edges: all that could be, by (label, lesion).
        lesion_of: label -> lesion; a label that is not there is none of the known ones.
        swallowed: lesion -> the label of another lesion in which most of it lies now, where no label continues it.
    """

    edges: Edges
    lesion_of: Mapping[int, str]
    swallowed: Mapping[str, int]

    def labels_of(self, lesion: str) -> list[int]:
        """The labels of a lesion: several where it split."""
        return [label for label, name in self.lesion_of.items() if name == lesion]

    def came_together(self, label: int) -> list[str]:
        """The lesions that a label swallowed; [] for most."""
        return [lesion for lesion, by in self.swallowed.items() if by == label]

    def rival(self, label: int) -> tuple[float, str | None]:
        """The best other lesion that a label could be, by what is no farther in time than what it was linked by.

        An older look may show another lesion in the same place, and says nothing against a nearer one.
        """
        lesion = self.lesion_of[label]
        edge = self.edges[label, lesion]
        own = {lesion, *self.came_together(label)}
        names = {name for number, name in self.edges if number == label and name not in own}
        looks = {id(other.look): other.look for other in self.edges.values() if other.look.rank <= edge.look.rank}
        scores = [(overlap_score(one, label, name), name) for one in looks.values() for name in names]
        return max(scores, default=(0.0, None), key=lambda item: (item[0], str(item[1])))


def assign(here: Mapping[int, Cloud], looks: Sequence[Look], may_merge: frozenset[str]) -> Assignment:
    """Labels to lesions, so that the sum of scores over all pairs is largest; each label may also be none of them.

    A label that is left lies, with most of its voxels, where a lesion was that another label continues: a fragment of
    it (a split). A lesion that is left lies with most of its voxels in a label of another one: a merge, and the label
    keeps the lesion of which it holds most.

    Args:
        here: labels in an order that does not hang on their numbers: it decides between equals.
        looks: what each known mask shows, nearest first.
        may_merge: the lesions that were there when last looked at: only they can have been swallowed.
    """
    found = _edges(here, looks)
    labels, lesions = list(here), sorted({lesion for _, lesion in found})
    matched = _best(labels, lesions, found)
    fragments: dict[int, str] = {}
    for label in labels:
        whole = [
            (edge.score, lesion)
            for (number, lesion), edge in found.items()
            if number == label and edge.overlap is not None and edge.overlap.of_label >= MOST
        ]
        if label not in matched and whole:
            fragments[label] = max(whole)[1]
    lesion_of = {label: (matched | fragments)[label] for label in labels if label in matched or label in fragments}
    swallowed = {}
    for lesion in sorted(may_merge - set(lesion_of.values())):
        beside = {name for one in looks if lesion in one.lesions for name in one.lesions}  # seen as two, in one visit
        shares = _shares_in(lesion, {n: name for n, name in lesion_of.items() if name in beside}, looks)
        if shares and max(shares)[0] >= MOST:
            swallowed[lesion] = max(shares)[1]
    return Assignment(found, *_kept(lesion_of, swallowed, looks, may_merge))


def overlap_score(one: Look, label: int, lesion: str) -> float:
    """How much an overlap in one look speaks for a label being a lesion, 0..1; 0 for touches."""
    overlap = one.overlaps.get((label, lesion))
    if overlap is None or overlap.of_smaller < MIN_OVERLAP:
        return 0.0
    return one.weight * (overlap.of_smaller + overlap.dice) / 2


def _edges(here: Mapping[int, Cloud], looks: Sequence[Look]) -> dict[tuple[int, str], Edge]:
    found: dict[tuple[int, str], Edge] = {}

    def add(pair: tuple[int, str], edge: Edge) -> None:
        if pair not in found or edge.score > found[pair].score:
            found[pair] = edge

    for one in looks:
        for (label, lesion), overlap in one.overlaps.items():
            score = overlap_score(one, label, lesion)
            if score > 0 and not is_unlinked(lesion):
                add((label, lesion), Edge(score, one, overlap))
    clear = {label for (label, _), edge in found.items() if edge.overlap and edge.overlap.of_smaller >= MOST}
    loose = {label: cloud for label, cloud in here.items() if label not in clear}
    for one in looks:
        lesions = {lesion: cloud for lesion, cloud in one.lesions.items() if not is_unlinked(lesion)}
        for label, cloud in loose.items():
            for lesion, close in zip(lesions, near(cloud, lesions.values(), MAX_SURFACE_MM), strict=True):
                apart = surface_mm(cloud, lesions[lesion]) if close else np.inf
                if apart <= MAX_SURFACE_MM:
                    score = one.weight * _BY_DISTANCE * (1 - apart / (2 * MAX_SURFACE_MM))
                    add((label, lesion), Edge(score, one, None))
    return found


def _best(labels: Sequence[int], lesions: Sequence[str], edges: Edges) -> dict[int, str]:
    """One to one, largest sum of scores. A pair without an edge costs nothing, as does being new: it is left out."""
    cost = np.zeros((len(labels), len(lesions)))
    row, column = {label: n for n, label in enumerate(labels)}, {lesion: n for n, lesion in enumerate(lesions)}
    for (label, lesion), edge in edges.items():
        cost[row[label], column[lesion]] = -edge.score
    pairs = ((labels[i], lesions[j]) for i, j in zip(*linear_sum_assignment(cost), strict=True))
    return {label: lesion for label, lesion in pairs if (label, lesion) in edges}


def _shares_in(lesion: str, lesion_of: Mapping[int, str], looks: Sequence[Look]) -> list[tuple[float, int]]:
    """(share of a lesion, label that it lies in now), where it was last seen; labels that are linked only."""
    for one in looks:
        if lesion in one.lesions:
            pairs = ((label, one.overlaps.get((label, lesion))) for label in lesion_of)
            return [(overlap.of_lesion, label) for label, overlap in pairs if overlap is not None]
    return []


def _kept(
    lesion_of: Mapping[int, str], swallowed: Mapping[str, int], looks: Sequence[Look], may_merge: frozenset[str]
) -> tuple[dict[int, str], dict[str, int]]:
    """The same, where each label that swallowed lesions is the one of which it holds the most voxels."""
    links, inside = dict(lesion_of), dict(swallowed)
    for label in sorted(set(swallowed.values())):
        own = links[label]
        alone = list(links.values()).count(own) == 1
        share = {number: part for part, number in _shares_in(own, links, looks)}.get(label, 0.0)
        if not alone or share < MOST or own not in may_merge:
            continue  # it is not swallowed as a whole, or a fragment of it is elsewhere: it cannot be given up
        names = (own, *(name for name, by in swallowed.items() if by == label))
        held = {name: _held_mm3(label, name, looks) for name in names}
        largest = max(held, key=lambda name: held[name])
        if largest != own:
            links[label] = largest
            inside[own] = inside.pop(largest)
    return links, inside


def _held_mm3(label: int, lesion: str, looks: Sequence[Look]) -> float:
    seen = next((one.overlaps.get((label, lesion)) for one in looks if lesion in one.lesions), None)
    return 0.0 if seen is None else seen.shared_mm3
