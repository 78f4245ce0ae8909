"""What a decision is called: its reasons, and those that were made, the newest first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from core.review.decisions import DOUBT_ANSWERED, DOUBT_ANSWERED_WORDS
from core.types import Decision
from pages.ui.shared.text import lesion_words, plain

OTHER = "other"
REASONS: Mapping[str, Mapping[str, str]] = {
    "accept": {
        "agrees": "The mask agrees with the scan",
        "corrected": "Corrected by me",
        OTHER: "Other (see comment)",
    },
    "reject": {
        "under-segmented": "Too small",
        "over-segmented": "Too large or leaking",
        "wrong-lesion": "Not the lesion",
        "scan-unusable": "The scan cannot be used",
        OTHER: "Other (see comment)",
    },
    "reject lesion": {
        "not-a-lesion": "Not a lesion",
        "under-segmented": "Too small",
        "over-segmented": "Too large or leaking",
        "wrong-lesion": "Another lesion than its number says",
        OTHER: "Other (see comment)",
    },
    "withdraw": {
        "withdrawn-error": "Accepted in error",
        "withdrawn-second-look": "To be looked at again",
        OTHER: "Other (see comment)",
    },
}
_IN_WORDS = {code: words for reasons in REASONS.values() for code, words in reasons.items()} | {
    OTHER: "other",
    DOUBT_ANSWERED: DOUBT_ANSWERED_WORDS,
}
SETTLED = {
    "accepted": "This version is accepted and in the curve.",
    "rejected": "This version is rejected. Make a new one by refining or segmenting again.",
    "superseded": "A later decision has put another version in this one's place.",
}
DONE = {"accept": "accepted", "reject": "rejected", "withdraw": "withdrawn"}
_ICONS = {
    "accept": ":green[:material/check_circle:]",
    "reject": ":red[:material/cancel:]",
    "withdraw": ":orange[:material/undo:]",
}
#: More decisions than this scroll in a box of their own.
_IN_SIGHT = 5


def decision_list(decisions: Sequence[Decision], versions: Mapping[str, int]) -> None:
    """Who decided what, when and why, the newest first.

    Args:
        versions: mask id -> its number.
    """
    if not decisions:
        st.caption("Nothing was decided yet.")
        return
    st.caption(f"Decided so far ({len(decisions)})")
    with st.container(height=320 if len(decisions) > _IN_SIGHT else "content", border=False, gap="small"):
        for decision in reversed(decisions):
            st.markdown(decision_line(decision, versions.get(decision.mask_id, 0)))


def decision_line(decision: Decision, version: int) -> str:
    """One decision as Markdown: the verdict and its reason, then who and when, then the comment."""
    what = f"{lesion_words(decision.lesion_id)} of v{version}" if decision.lesion_id else f"v{version}"
    reason = _IN_WORDS.get(decision.reason, decision.reason)
    when = decision.created_at[:16].replace("T", " ")
    lines = [
        f"{_ICONS[decision.verdict]} **{plain(what)} {DONE[decision.verdict]}**: {plain(reason)}",
        f":small[:gray[{plain(decision.reviewer)} · {plain(when)} UTC]]",
    ]
    if decision.answered:
        lines.append(f":small[{plain(answered_words(decision))}]")
    if decision.comment:
        lines.append(f"*“{plain(decision.comment)}”*")
    return "  \n".join(lines)


def answered_words(decision: Decision) -> str:
    """Which doubts it answered: "overrules mask gate (doubtful: position)". Not escaped; "" for none."""
    told = []
    for doubt in decision.answered:
        kinds = ", ".join(str(kind) for kind in doubt.get("kinds", ()))
        stale = ", stale" if doubt.get("stale") else ""
        told.append(f"{doubt['gate']} gate ({doubt['verdict']}{': ' + kinds if kinds else ''}{stale})")
    verb = "overrules" if decision.verdict == "accept" else "upholds"
    return f"{verb} {', '.join(told)}" if told else ""
