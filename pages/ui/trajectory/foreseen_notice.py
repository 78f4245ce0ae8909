"""What a change of protocol or events does to the response, shown before it is written, with the click it needs."""

from __future__ import annotations

import streamlit as st

from core.remembered.flips import flip_words
from core.twin.response_change import Foreseen, ForeseenOfMany
from pages.ui.shared.flip_notice import confirmed
from pages.ui.shared.text import plain

BLIND = "You read some of this patient blind: what a change does to the response is not shown."
#: Patients whose calls are told one by one.
_IN_SIGHT = 8


def confirmed_change(found: Foreseen, key: str) -> bool:
    """Shows what a change does to one patient's calls; True where the click was given, or none is needed.

    Args:
        key: as `flip_notice.confirmed` takes it: with all that the change is made of.
    """
    if found.is_hidden:
        st.caption(BLIND)
        return True
    return confirmed(found.flips, key)


def confirmed_of_many(found: ForeseenOfMany, key: str) -> bool:
    """The same of several patients."""
    if found.hidden:
        st.caption(f"You read {len(found.hidden)} of the patients blind: what it does to their response is not shown.")
    if not found.flips:
        return True
    told = [f"{patient}: {flip_words(flips)}" for patient, flips in found.flips.items()]
    more = f"  \nand {len(told) - _IN_SIGHT} more patients" if len(told) > _IN_SIGHT else ""
    lines = "  \n".join(plain(line) for line in told[:_IN_SIGHT])
    st.warning(
        f"This changes the response of {len(told)} patient{'s' if len(told) > 1 else ''}.  \n{lines}{more}",
        icon=":material/published_with_changes:",
    )
    if not found.asked:
        return True
    return st.checkbox(
        "I have seen what changes, and mean it",
        key=f"{key}/{'; '.join(told)}",
        help="It is recorded with your name in the audit log.",
    )
