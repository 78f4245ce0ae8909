"""A proposal which lesions to follow as targets; a person chooses.

Source: RECIST 1.1, 10.1016/j.ejca.2008.10.026, sections 3.1, 3.2 and 4.2 (not re-read): measurable from 10 mm longest
diameter, nodes from 15 mm short axis; at most five, two an organ, the largest first. That all nodes are one organ:
EORTC, "Two target lesions", read at https://www.eortc.be/Recist/questions_clarifications.html.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from core.twin.criteria.limits import Limits
from core.twin.criteria.measures import TargetSum
from core.twin.criteria.values import FollowedLesion, Measurement, Protocol, Visit

MOST_TARGETS, MOST_AN_ORGAN = 5, 2
LEAST_MM, LEAST_NODE_MM = 10.0, 15.0
_NODES = "lymph nodes"


@dataclass(frozen=True)
class Candidate:
    """A lesion at baseline, and where it is."""

    lesion: FollowedLesion
    measurement: Measurement

    @property
    def size_mm(self) -> float | None:
        """What it is measured by; None where that is not known or it is not measured."""
        if self.measurement.state != "measured":
            return None
        return self.measurement.short_axis_mm if self.lesion.is_node else self.measurement.longest_mm


@dataclass(frozen=True)
class ProposedTargets:
    """Targets by size; the other lesions, and why each is no target, in words."""

    targets: tuple[FollowedLesion, ...]
    nontargets: tuple[FollowedLesion, ...]
    why_not: dict[str, str]


def propose_targets(lesions: Sequence[Candidate]) -> ProposedTargets:
    """The largest measurable lesions, at most five and two an organ; () for none.

    Lesions whose organ nobody said are taken as of one organ, so that none is chosen past the limit by not saying it.
    """
    targets: list[FollowedLesion] = []
    others: list[FollowedLesion] = []
    why_not: dict[str, str] = {}
    an_organ: Counter[str] = Counter()
    for candidate in sorted(lesions, key=lambda c: (-(c.size_mm or 0.0), c.lesion.lesion_id)):
        lesion, organ = candidate.lesion, _organ(candidate.lesion)
        why = _why_not_measurable(candidate)
        if not why and an_organ[organ] == MOST_AN_ORGAN:
            why = f"two lesions of {organ or 'an organ that is not named'} are targets already"
        if not why and len(targets) == MOST_TARGETS:
            why = "five lesions are targets already"
        if not why:
            targets.append(lesion)
            an_organ[organ] += 1
            continue
        why_not[lesion.lesion_id] = why
        if not _is_normal_node(candidate) and candidate.measurement.state != "absent":
            others.append(lesion)
    return ProposedTargets(tuple(targets), tuple(others), why_not)


def _organ(lesion: FollowedLesion) -> str:
    return _NODES if lesion.is_node else lesion.organ.strip().lower()


def _is_normal_node(candidate: Candidate) -> bool:
    return candidate.lesion.is_node and candidate.size_mm is not None and candidate.size_mm < LEAST_MM


def _why_not_measurable(candidate: Candidate) -> str:
    size, is_node = candidate.size_mm, candidate.lesion.is_node
    what, least = ("short axis", LEAST_NODE_MM) if is_node else ("longest diameter", LEAST_MM)
    if candidate.measurement.state != "measured":
        return candidate.measurement.state
    if size is None:
        return f"its {what} is not known"
    return "" if size >= least else f"{what} {size:.3g} mm, below {least:g} mm"


def thickness_notes(baseline: Visit, protocol: Protocol, limits: Limits) -> tuple[str, ...]:
    """Targets that lie in too few slices, or are too narrow, at baseline to be measurable, and those of which that is
    not known; () for a criterion that does not ask, and for nodes."""
    found = {m.lesion_id: m for m in baseline.measurements if m.state == "measured"}
    targets = [found[t.lesion_id] for t in protocol.targets if t.lesion_id in found and not t.is_node]
    asked = (
        [(m.lesion_id, "axial slices", m.slices, limits.least_slices) for m in targets],
        [(m.lesion_id, "mm across its diameter", m.short_axis_mm, limits.least_perpendicular_mm) for m in targets],
    )
    notes = []
    for lesion, what, has, least in [one for kind in asked for one in kind if one[3]]:
        if has is None:
            notes.append(f"How many {what} {lesion} has is not known: measurable from {least:g}, so it may not be.")
        elif has < least:
            notes.append(f"{lesion} has {has:.3g} {what} at baseline: below {least:g}, not measurable.")
    return tuple(notes)


def target_notes(protocol: Protocol, baseline: TargetSum) -> tuple[str, ...]:
    """What is unusual of a protocol's targets at baseline, in sentences: too many, or too small to be targets."""
    notes = []
    if len(protocol.targets) > MOST_TARGETS:
        notes.append(f"{len(protocol.targets)} targets; at most five are asked for.")
    if baseline.measure == "diameter":
        for lesion, amount in sorted(baseline.amounts.items()):
            least = LEAST_NODE_MM if lesion in baseline.nodes else LEAST_MM
            if amount < least:
                notes.append(f"{lesion} has {amount:.3g} mm at baseline: below {least:g} mm, not measurable.")
    return tuple(notes)
