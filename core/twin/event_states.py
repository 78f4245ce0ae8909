"""What events say of a day: which dose of steroids was taken. Not known is None, never 0."""

from __future__ import annotations

from collections.abc import Iterable

from core.remembered.rows import Event
from core.remembered.vocabulary import EventKind
from core.review.event_words import ReadEvent, read_events
from core.review.steroids import dexamethasone_mg


def _until(events: Iterable[Event], kind: EventKind, day: str) -> list[ReadEvent]:
    """Those of a kind up to a day, that included, the oldest first; of one day in the order in which they came."""
    told = [one for one in read_events(events) if one.kind is kind and one.event.date <= day]
    return sorted(told, key=lambda one: one.event.date)


def dexamethasone_mg_at(events: Iterable[Event], day: str) -> float | None:
    """The dose of steroids in force on a day, as dexamethasone, mg a day; 0 only where a stop was entered.

    A dose holds until another of its drug is entered; doses of several drugs add up.

    Args:
        day: YYYY-MM-DD.

    Returns:
        None where no dose was entered until then, or one that may still hold is not known.
    """
    doses: dict[str, float | None] = {}
    for one in _until(events, EventKind.STEROID_DOSE, day):
        drug, mg = str(one.detail.get("drug", "")), one.detail.get("mg_per_day")
        doses[drug] = None if mg is None else dexamethasone_mg(drug, float(mg))
    known = [dose for dose in doses.values() if dose is not None]
    return sum(known) if known and len(known) == len(doses) else None
