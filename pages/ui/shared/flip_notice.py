"""What a change does to the calls of a patient's visits, told before it is made, and the click that confirms it."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from core.remembered.protocols import Flip
from pages.ui.shared.text import plain


def flip_words(flips: Sequence[Flip]) -> str:
    """ "2025-06-23: SD becomes PD; 2025-08-04: none becomes SD"; "" for none. Not escaped."""
    return "; ".join(f"{flip.timepoint}: {flip.before or 'none'} becomes {flip.after or 'none'}" for flip in flips)


def confirmed(flips: Sequence[Flip], key: str) -> bool:
    """Shows what flips and asks for a click; True where it was given, or nothing flips.

    Args:
        key: of the box, with all that the change is made of: what was confirmed for one change holds for no other.
    """
    if not flips:
        return True
    st.warning(f"This changes the response. {plain(flip_words(flips))}.", icon=":material/published_with_changes:")
    return st.checkbox(
        "I have seen what changes, and mean it",
        key=f"{key}/{flip_words(flips)}",
        help="It is recorded with your name in the audit log.",
    )
