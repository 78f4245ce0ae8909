"""A version whose file cannot be read: why, and the way on without it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import streamlit as st

from core.errors import TwinReviewError
from core.types import MaskRecord
from pages.ui.frame import resources
from pages.ui.guard import rights
from pages.ui.shared.text import plain
from store import SeenStore


def file_problem(store: SeenStore, record: MaskRecord) -> str | None:
    """Why the file of a version is not read, in a sentence; None where it is the one that was stored."""
    try:
        store.masks.path(record)
    except TwinReviewError as error:
        return str(error)
    return None


def file_panel(store: SeenStore, record: MaskRecord | None, person: str) -> None:
    """Where a version's file cannot be read: says so, and lets it be marked lost, found again, or a draft of it go."""
    problem = None if record is None else file_problem(store, record)
    if record is None or problem is None:
        return
    st.error(plain(problem), icon=":material/error:")
    place = (record.patient_id, record.timepoint, record.version)
    lost = record.mask_id in store.masks.losses(record.patient_id)
    if lost:
        state = rights.button(store, person, "mask.found", "Its hash is compared with the record first.")
        if st.button("The file is back", **state):
            _do(lambda: store.losses.mark_found(*place, person))
    else:
        with st.form(f"lost-{record.mask_id}", border=False):
            reason = st.text_input("What became of the file", max_chars=500, placeholder="disk failure, no backup")
            if st.form_submit_button("Mark the file as lost", **rights.button(store, person, "mask.lost")):
                _do(lambda: store.losses.mark_lost(*place, reason, person))
    for draft in store.drafts.of(record.patient_id, record.timepoint, person):
        if draft.parent_version == record.version:
            state = rights.button(store, person, "draft.edited", "It was drawn on this version, which nobody can read.")
            if st.button("Discard your draft of it", key=f"discard-{draft.draft_id}", **state):
                _do(partial(store.drafts.discard, draft.draft_id))


def _do(what: Callable[[], object]) -> None:
    try:
        what()
        resources.reference_changed()
    except TwinReviewError as error:
        st.error(plain(error))
        return
    st.rerun()
