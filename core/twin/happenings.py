"""What happened to a patient beside the visits, in days since a day: for charts of several patients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from core.remembered.rows import Event
from core.remembered.vocabulary import EventKind
from core.review.event_words import DEATH_KINDS, read_event
from core.review.events import event_text
from core.twin.curve import events_without_bar
from core.twin.follow_up import follow_up_end
from core.types import parse_date

HappeningKind = Literal[
    "surgery", "radiotherapy", "relapse", "said of the patient", "other event", "death", "last contact", "follow-up end"
]
_KINDS: dict[EventKind | None, HappeningKind] = {
    EventKind.SURGERY: "surgery",
    EventKind.RADIOTHERAPY: "radiotherapy",
    EventKind.RELAPSE: "relapse",
    EventKind.STEROID_DOSE: "said of the patient",
    EventKind.CLINICAL_STATUS: "said of the patient",
    EventKind.ASSESSMENT: "said of the patient",
}


@dataclass(frozen=True)
class Happening:
    """One event. Args: days: since the baseline, negative before it. text: for people, with its kind."""

    days: float
    kind: HappeningKind
    text: str


def happenings(events: Sequence[Event], zero: str) -> tuple[Happening, ...]:
    """The events that no bar of a treatment shows, as the store lists them."""
    return tuple(
        Happening(_days(event, zero), _KINDS.get(read_event(event).kind, "other event"), event_text(event))
        for event in events_without_bar(events, zero)
    )


def last_happening(events: Sequence[Event], zero: str, last_visit: str) -> tuple[Event, Happening] | None:
    """The event after which the patient is not followed (`follow_up_end`); None where none is on record."""
    end = follow_up_end(events, last_visit)
    if end is None:
        return None
    word = end.kind.lower().replace("_", "-")
    kind: HappeningKind = "death" if word in DEATH_KINDS else "follow-up end"
    kind = "last contact" if word == EventKind.LAST_CONTACT else kind
    return end, Happening(_days(end, zero), kind, event_text(end))


def _days(event: Event, zero: str) -> float:
    return float((parse_date(str(event.date)) - parse_date(zero)).days)
