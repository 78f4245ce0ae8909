"""A named person's decision on one mask version."""

from __future__ import annotations

from typing import Any

import streamlit as st

from core.types import MaskRecord

ACCEPT_REASONS = {
    "agrees": "The mask agrees with the scan",
    "corrected": "Corrected by me",
    "flag-reviewed": "Flagged; looked at, fine",
    "other": "Other (see comment)",
}
REJECT_REASONS = {
    "under-segmented": "Too small", "over-segmented": "Too large or leaking", "wrong-lesion": "Not the lesion",
    "scan-unusable": "The scan cannot be used", "other": "Other (see comment)",
}  # fmt: skip
SETTLED = {
    "accepted": "This version is accepted and in the curve.",
    "rejected": "This version is rejected. Make a new one by refining or segmenting again.",
    "superseded": "A later decision has put another version in this one's place.",
}


@st.dialog("Decide")
def decision_dialog(store: Any, patient: str, timepoint: str, record: MaskRecord, person: str, verdict: str) -> None:
    """Asks for the reason of a decision that was begun by a key in the viewer."""
    decision_form(store, patient, timepoint, record, person, verdict)


def decision_form(
    store: Any, patient: str, timepoint: str, record: MaskRecord, person: str, verdict: str | None = None
) -> None:
    """Shows what was decided, and takes a decision where one is possible.

    Args:
        verdict: "accept" or "reject" where it was chosen already; None lets the visitor choose.
    """
    for decision in store.decisions(patient, timepoint):
        if decision.mask_id == record.mask_id:
            st.caption(
                f"{decision.verdict}ed by {decision.reviewer} ({decision.reason}) at {decision.created_at[:16]} UTC"
                + (f": {decision.comment}" if decision.comment else "")
            )
    if record.status != "proposed":
        {"accepted": st.success, "rejected": st.error}.get(record.status, st.info)(SETTLED[record.status])
    if record.status == "rejected":
        return
    withdrawing = record.status == "accepted"
    verdicts = ["Withdraw (reject)"] if withdrawing else ["Accept", "Reject"]
    at = f"{record.mask_id}-{record.status}-{verdict}"
    wanted = 1 if verdict == "reject" and not withdrawing else 0
    chosen = st.radio("Decision", verdicts, index=wanted, horizontal=True, key=f"verdict-{at}")
    accept = chosen == "Accept"
    reasons = ACCEPT_REASONS if accept else REJECT_REASONS
    reason = st.selectbox(
        "Reason", list(reasons), format_func=lambda r: reasons[r], key=f"reason-{at}-{chosen}",
        help="Recorded with your name in the audit log.",
    )  # fmt: skip
    comment = st.text_input("Comment", key=f"comment-{at}-{chosen}", placeholder="optional", max_chars=500)
    label = f"Accept v{record.version}" if accept else f"Reject v{record.version}"
    if st.button(label, type="primary", key=f"decide-{at}"):
        store.decide(patient, timepoint, record.version, "accept" if accept else "reject", person, reason, comment)
        st.toast(f"v{record.version} {'accepted: it is in the curve now' if accept else 'rejected'}.")
        st.rerun()
