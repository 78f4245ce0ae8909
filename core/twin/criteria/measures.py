"""The sum of the targets at a visit: what each counts, by its state.

| state | counts |
|---|---|
| measured | its longest diameter, of a node the short axis; a measured value below 5 mm is kept |
| absent | 0 |
| too small to measure | 5 mm, unless a person measured it by hand: that |
| merged into | nothing of its own: the mass counts once, with its longest diameter |
| split into | the sum of its pieces |
| not in view, rejected, not assessed | not known: the sum is not known |

Source: RECIST 1.1, 10.1016/j.ejca.2008.10.026, section 4.3.2 (5 mm, nodes, split and merged lesions); that a measured
value below 5 mm is kept: EORTC, "Lesions less than 5 mm", https://www.eortc.be/Recist/questions_clarifications.html.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from core.twin.criteria.values import NORMAL_NODE_MM, TOO_SMALL_MM, FollowedLesion, Measurement, Protocol, Visit

Measure = Literal["diameter", "volume"]
#: A sphere 5 mm across.
TOO_SMALL_MM3 = math.pi / 6.0 * TOO_SMALL_MM**3


@dataclass(frozen=True)
class TargetSum:
    """The targets at one visit.

    Args:
        amounts: lesion -> mm (diameter) or mm3 (volume) that it adds; without those that are not known.
        missing: lesion -> why it is not known.
        measure: of the amounts. nodes: lesions of `amounts` that are nodes.
        notes: sentences on lesions that count otherwise than as measured.
    """

    amounts: Mapping[str, float]
    missing: Mapping[str, str]
    measure: Measure
    nodes: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()

    @property
    def known(self) -> float:
        """The sum of those that are known; sorted, so that the order of lesions does not matter."""
        return math.fsum(self.amounts.values())

    @property
    def total(self) -> float | None:
        """The sum of all targets; None where one is missing."""
        return None if self.missing else self.known

    @property
    def is_gone(self) -> bool:
        """Whether every target is known, is absent, or is a node of normal size; False without a target.

        Volumes know no short axis, so that there a node must be absent.
        """
        limit = NORMAL_NODE_MM if self.measure == "diameter" else 0.0
        return (
            not self.missing
            and bool(self.amounts)
            and all(
                amount < limit if lesion in self.nodes and limit else amount == 0
                for lesion, amount in self.amounts.items()
            )
        )

    def scaled(self, factor: float) -> TargetSum:
        """The same with every amount so many times as large."""
        amounts = {lesion: amount * factor for lesion, amount in self.amounts.items()}
        return TargetSum(amounts, self.missing, self.measure, self.nodes, self.notes)

    def relative_sd(self, log_sd: float) -> float:
        """The sum's standard deviation as a share of it, by independent errors of that log-SD; 0 of a sum of 0."""
        return log_sd * math.hypot(*self.amounts.values()) / self.known if self.known > 0 else 0.0


def target_sum(visit: Visit, protocol: Protocol, measure: Measure, not_targets: frozenset[str]) -> TargetSum:
    """The sum of the protocol's targets at a visit.

    Args:
        not_targets: targets that were absent at baseline; they are not in the sum.
    """
    targets = {t.lesion_id: t for t in protocol.targets if t.lesion_id not in not_targets}
    found = {m.lesion_id: m for m in visit.measurements}
    amounts, missing, notes = {}, {}, []
    counted: set[str] = set(targets)
    for target in targets.values():
        amount, why = _amount(target, found, measure, counted, (target.lesion_id,))
        if amount is None:
            missing[target.lesion_id] = why
            continue
        amounts[target.lesion_id] = amount
        if why:
            notes.append(why)
    nodes = frozenset(t.lesion_id for t in targets.values() if t.is_node)
    return TargetSum(amounts, missing, measure, nodes, tuple(notes))


def _amount(
    target: FollowedLesion,
    found: Mapping[str, Measurement],
    measure: Measure,
    counted: set[str],
    path: tuple[str, ...],
) -> tuple[float | None, str]:
    """What the last lesion of the path adds, and a sentence where that needs one; None and why where not known."""
    lesion = path[-1]
    cell = found.get(lesion)
    if cell is None:
        return None, f"{lesion} has no measurement"
    if cell.state == "absent":
        return 0.0, ""
    if cell.state == "too small to measure":
        by_hand = _measured(target, cell, measure)[0] if measure == "diameter" else None
        if by_hand is not None:
            return by_hand, ""
        return (TOO_SMALL_MM if measure == "diameter" else TOO_SMALL_MM3), (
            f"{lesion} is too small to measure and counts 5 mm."
        )
    if cell.state == "measured":
        return _measured(target, cell, measure)
    if cell.state in ("merged into", "split into"):
        return _became(target, cell, found, measure, counted, path)
    return None, f"{lesion} is {cell.state}"


def _measured(target: FollowedLesion, cell: Measurement, measure: Measure) -> tuple[float | None, str]:
    name, amount = "longest diameter", cell.longest_mm
    if measure == "volume":
        name, amount = "volume", cell.volume_mm3
    elif target.is_node:
        name, amount = "short axis", cell.short_axis_mm
    return amount, f"the {name} of {cell.lesion_id} is not known" if amount is None else ""


def _became(
    target: FollowedLesion,
    cell: Measurement,
    found: Mapping[str, Measurement],
    measure: Measure,
    counted: set[str],
    path: tuple[str, ...],
) -> tuple[float | None, str]:
    """The mass or the pieces that a lesion became, each counted once: a target among them counts under its own name."""
    if not cell.into:
        return None, f"{cell.lesion_id} is {cell.state} a lesion that is not named"
    total = 0.0
    for lesion in cell.into:
        if lesion in path or lesion in counted:
            continue
        counted.add(lesion)
        amount, why = _amount(target, found, measure, counted, (*path, lesion))
        if amount is None:
            return None, why
        total += amount
    return total, f"{cell.lesion_id} is {cell.state} {', '.join(cell.into)}."


def absent_at_baseline(baseline: Visit, protocol: Protocol) -> frozenset[str]:
    """Targets of the protocol that are absent at baseline: they are no targets, and new where they are there later."""
    absent = {m.lesion_id for m in baseline.measurements if m.state == "absent"}
    return frozenset(t.lesion_id for t in protocol.targets if t.lesion_id in absent)
