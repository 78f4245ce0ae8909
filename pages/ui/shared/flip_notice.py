"""What a change does to the calls of a patient's visits, told before it is made, and the click that confirms it."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from core.remembered.flips import Flip, flip_words, needs_confirming
from pages.ui.shared.text import plain


def confirmed(flips: Sequence[Flip], key: str) -> bool:
    """Shows what flips and asks for a click; True where it was given, or nothing needs one (`needs_confirming`).

    Args:
        key: of the box, with all that the change is made of: what was confirmed for one change holds for no other.
    """
    if not flips:
        return True
    if not needs_confirming(flips):
        first = "; ".join(f"{flip.timepoint} becomes {flip.after}" for flip in flips)
        st.info(f"The first call of a visit: {plain(first)}.", icon=":material/published_with_changes:")
        return True
    st.warning(f"This changes the response. {plain(flip_words(flips))}.", icon=":material/published_with_changes:")
    return st.checkbox(
        "I have seen what changes, and mean it",
        key=f"{key}/{flip_words(flips)}",
        help="It is recorded with your name in the audit log.",
    )
