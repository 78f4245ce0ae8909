"""Until when a patient is followed: the dead are, by nobody, followed still."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from core.remembered.rows import Event
from core.remembered.vocabulary import EventKind
from core.review.event_words import DEATH_KINDS

#: Kinds of event after which a patient is no longer followed, whatever else is on record.
FOLLOW_UP_END_KINDS = frozenset(
    {*DEATH_KINDS, EventKind.LAST_CONTACT, "lost-to-follow-up", "follow-up-end", "end-of-follow-up", "off-study"}
)


def _kind(event: Event) -> str:
    return event.kind.lower().replace("_", "-")


def death_of(events: Iterable[Event]) -> Event | None:
    """The first death that stands on record; None where none does, which is no proof of life."""
    dead = [event for event in events if _kind(event) in DEATH_KINDS]
    return min(dead, key=lambda event: event.date) if dead else None


def follow_up_end(events: Sequence[Event], last_visit: str) -> Event | None:
    """The event that ended follow-up; None where none did.

    A death before all else; then the first that says that follow-up ended; then the newest last contact. A last contact
    before the last visit ended nothing: that visit came after it.

    Args:
        last_visit: day of the newest timepoint that is on record.
    """
    dead = death_of(events)
    if dead is not None:
        return dead
    ends = sorted((e for e in events if _kind(e) in FOLLOW_UP_END_KINDS), key=lambda event: event.date)
    said = [event for event in ends if _kind(event) != EventKind.LAST_CONTACT]
    contacts = [event for event in ends if _kind(event) == EventKind.LAST_CONTACT and event.date >= last_visit]
    return said[0] if said else contacts[-1] if contacts else None


def seen_after_death(events: Iterable[Event], visits: Iterable[str]) -> str:
    """A sentence where visits lie after the death on record: one of them is wrong; else ""."""
    dead = death_of(events)
    after = [day for day in visits if dead is not None and day > dead.date]
    return (
        f"{dead.kind} on {dead.date} lies before the visit of {after[0]}: one of them is wrong"
        if dead and after
        else ""
    )
