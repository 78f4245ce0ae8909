"""After radiotherapy a growing lesion may be necrosis: a state of its own, neither response nor progression."""

from __future__ import annotations

import re
from collections.abc import Iterable

from core.remembered.rows import Event
from core.remembered.vocabulary import EventKind
from core.types import parse_date

CANNOT_TELL = "necrosis or recurrence cannot be told apart"
#: Growth within this many days of radiotherapy may be radiation necrosis: mostly within two years (assumed).
WINDOW_DAYS = 730
_WORDS = {"radiotherapy", "radiation", "radiosurgery", "srs", "sbrt"}


def radiotherapy_dates(events: Iterable[Event]) -> list[str]:
    """Dates of events that name radiotherapy in their kind or detail."""
    found = []
    for event in events:
        words = re.findall(r"[a-z]+", f"{event.kind} {event.detail}".lower())
        if set(words) & _WORDS and event.kind != EventKind.TREATMENT_STOP:
            found.append(str(event.date))
    return sorted(found)


def cannot_tell(events: Iterable[Event], timepoint: str, percent_change: float | None) -> str | None:
    """The state's name and the date it rests on, for a lesion that has grown within two years of radiotherapy.

    Args:
        timepoint: date of the later scan; percent_change: of the volume since the scan before, None for a new lesion.

    Returns:
        None when it has not grown, or no radiotherapy came before within `WINDOW_DAYS`.
    """
    if percent_change is not None and percent_change <= 0:
        return None
    day = parse_date(timepoint)
    before = [d for d in radiotherapy_dates(events) if 0 <= (day - parse_date(d)).days <= WINDOW_DAYS]
    return f"{CANNOT_TELL} (radiotherapy {before[-1]})" if before else None
