"""Whether immunotherapy is given: iRECIST asks for progression under it to be confirmed, and RECIST 1.1 does not.

Source: iRECIST, 10.1016/S1470-2045(17)30074-8. The names are checkpoint inhibitors in use (assumed, not complete).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from core.remembered.rows import Event
from core.review.drugs import CHECKPOINT_INHIBITORS
from core.twin.curve import treatments

_NAMED = re.compile("|".join(CHECKPOINT_INHIBITORS), re.IGNORECASE)


def immunotherapy_at(events: Iterable[Event], day: str) -> str:
    """The name of a checkpoint inhibitor that is being given on a day; "" where none is on record then."""
    for one in treatments(events, day):
        found = _NAMED.search(one.name)
        if found and one.start_days <= 0 and (one.end_days is None or one.end_days >= 0):
            return found[0].lower()
    return ""


def irecist_note(events: Iterable[Event], criterion: str, progressed_on: str | None) -> str:
    """A sentence where RECIST 1.1 calls progression under immunotherapy; else ""."""
    drug = "" if criterion != "recist-1.1" or progressed_on is None else immunotherapy_at(events, progressed_on)
    return f"It progressed on {drug}: iRECIST may be meant, which asks for progression to be confirmed." if drug else ""
