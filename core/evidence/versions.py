"""Metrics that were learned from marks: each kept, put in force by a person alone, and a way back to the one before.

Of many looks at many marks some find a gain by chance (docs/evidence.md), so learning offers and a person decides.

A metric lives with the space whose numbers it weighs, as that was when it was learned: numbers that were made anew of
other lesions would be other numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from core.errors import InputError, ModelError
from core.evidence.cases import SPACES, SpaceName
from core.evidence.learned_metric import LearnedMetric, none
from core.evidence.space_text import space_of, space_text
from core.evidence.spaces import Space
from core.remembered.rows import ReferenceSet
from core.remembered.sources import HasReferenceSets
from core.remembered.untyped import TableRow

KIND = "evidence-metric"
#: What a row of the record says: learned and offered; put in force; back to the one before, or to none.
LEARNED, IN_FORCE, GONE_BACK = "learned", "put in force", "gone back"


class MetricStore(HasReferenceSets, Protocol):
    """The part of a store that keeps metrics."""


@dataclass(frozen=True, eq=False)
class KeptMetric:
    """A metric as it was learned, put in force or gone back to.

    Args:
        metric: kind "none" where nothing was learned, or nothing is in force; its words say why.
        space: whose numbers it weighs; None with "none".
        marks_until: the newest mark that it was learned from, by its audit entry.
        how: `LEARNED`, `IN_FORCE` or `GONE_BACK`. person, created_at: who and when.
    """

    set_id: str
    metric: LearnedMetric
    space: Space | None
    marks_until: int
    how: str
    person: str
    created_at: str


def no_metric(space: SpaceName) -> LearnedMetric:
    """Distances as they are."""
    return none(space, "", 0, 0, (), "")


def kept_metrics(store: MetricStore, space: SpaceName | None = None) -> list[KeptMetric]:
    """The whole record, oldest first; one whose text was altered is left out, and so never in force."""
    found = []
    for row in store.reference_sets.all(KIND):
        kept = _read(row)
        if kept is not None and space in (None, kept.metric.space):
            found.append(kept)
    return found


def _read(row: ReferenceSet) -> KeptMetric | None:
    detail: Mapping[str, object] = row.detail
    try:
        metric = LearnedMetric.from_json(str(detail["metric"]))
        text = detail.get("space")
        space = None if text is None else space_of(str(text))
        until = int(str(detail["marks_until"]))
    except (KeyError, ValueError, ModelError, InputError):
        return None
    return KeptMetric(row.set_id, metric, space, until, str(detail.get("how", "")), row.person, row.created_at)


def metric_in_force(store: MetricStore, space: SpaceName) -> KeptMetric | None:
    """What a person put in force last, or went back to; None where that is none."""
    decided = [one for one in kept_metrics(store, space) if one.how != LEARNED]
    return decided[-1] if decided and decided[-1].metric.kind != "none" else None


def offered_metric(store: MetricStore, space: SpaceName) -> KeptMetric | None:
    """What was learned last, where it gains and nobody has put it in force or gone back since; else None."""
    kept = kept_metrics(store, space)
    newest = kept[-1] if kept else None
    return newest if newest is not None and newest.how == LEARNED and newest.metric.kind != "none" else None


def put_in_force(store: MetricStore, space: SpaceName, version: str, person: str) -> KeptMetric:
    """Put a learned metric in force.

    Args:
        version: of it, or its first letters, 8 at least.

    Raises:
        InputError: none of that version was learned for that space.
    """
    for one in reversed(kept_metrics(store, space)):
        known = one.how == LEARNED and one.metric.kind != "none" and len(version) >= 8
        if known and one.metric.version.startswith(version):
            keep_metric(store, one.metric, one.space, one.marks_until, IN_FORCE, person)
            return one
    raise InputError(
        f"Expected a version that was learned by {space} and gains, got {version[:64]!r}. `evidence versions` has them."
    )


def keep_metric(
    store: MetricStore, metric: LearnedMetric, space: Space | None, marks_until: int, how: str, person: str
) -> str:
    """A row of the record; returns its id."""
    detail = {
        "metric": metric.to_json(),
        "space": None if space is None or metric.kind == "none" else space_text(space),
        "marks_until": marks_until,
        "how": how,
    }
    return store.reference_sets.add(KIND, detail, person)


def go_back(store: MetricStore, space: SpaceName, person: str) -> KeptMetric | None:
    """Undo the metric in force: the one that was in force before it stands again, or none. What was undone stays on
    record, and counts as undone.

    Returns:
        What is in force now; None for none.

    Raises:
        InputError: none is in force, or an unknown space.
    """
    if space not in SPACES:
        raise InputError(f"Expected a space of {', '.join(SPACES)}, got {space!r}.")
    now = metric_in_force(store, space)
    if now is None:
        raise InputError(f"Expected a learned metric of {space} in force, there is none. Nothing was undone.")
    before = _before(kept_metrics(store, space))
    until = max(one.marks_until for one in kept_metrics(store, space))
    if before is None:
        keep_metric(store, no_metric(space), None, until, GONE_BACK, person)
    else:
        keep_metric(store, before.metric, before.space, until, GONE_BACK, person)
    return metric_in_force(store, space)


def _before(kept: list[KeptMetric]) -> KeptMetric | None:
    """What was in force before the last one was put there; None where nothing was."""
    stack: list[KeptMetric] = []
    for one in kept:
        if one.how == GONE_BACK:
            stack = stack[:-1]
        elif one.how == IN_FORCE:
            stack.append(one)
    return stack[-2] if len(stack) > 1 else None


def version_rows(store: MetricStore) -> list[TableRow]:
    """Every version with what it gained, oldest first."""
    now = {space: metric_in_force(store, space) for space in SPACES}
    rows: list[TableRow] = []
    for one in kept_metrics(store):
        standing = now[one.metric.space]
        rows.append(
            {
                "by": one.metric.space,
                "version": one.metric.version,
                "kind": one.metric.kind,
                "words": one.metric.words,
                "marks": one.metric.clicks,
                "patients": one.metric.groups,
                "how": one.how,
                "person": one.person,
                "created_at": one.created_at,
                "in_force": standing is not None and standing.set_id == one.set_id,
            }
        )
    return rows
