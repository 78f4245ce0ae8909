"""Strokes on the picture that are in no version: deciding asks which of the two masks is meant, and can save them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import streamlit as st

from core.errors import TwinReviewError
from core.remembered.flips import needs_confirming
from core.remembered.judgements import GateVerdict
from core.review.blind_reading import closed_timepoints
from core.review.doubts import doubts_among
from core.review.link_choices import LinkTable
from core.twin.edit_preview import Edit
from core.types import MaskRecord
from pages.ui.frame import resources, session
from pages.ui.guard import rights
from pages.ui.review.decision_words import OTHER, REASONS
from pages.ui.review.lesion_links import table_of
from pages.ui.review.verdict_panel import doubt_words
from pages.ui.shared.text import plain
from store import SeenStore
from store.files.drafts import Draft

DRAWN, STORED = "drawn", "stored"
NO_REASON = "Choose a reason first."


def unsaved_draft(store: SeenStore, patient: str, timepoint: str, version: int | None, person: str) -> Draft | None:
    """The person's draft of a version (None: of no mask) whose mask is another than the version's; else None.

    One that cannot be read counts: nobody can tell that it is the same.
    """
    for draft in store.drafts.of(patient, timepoint, person):
        if draft.parent_version == version and draft.revision:
            key = f"draft/{draft.draft_id}/{draft.revision}/differs"
            if resources.kept(key, lambda found=draft: _differs(store, found)):  # type: ignore[misc]
                return draft
    return None


def _differs(store: SeenStore, draft: Draft) -> bool:
    try:
        drawn = store.drafts.labels(draft).labels.array
        if draft.parent_version is None:
            return bool(np.any(drawn))
        parent = store.masks.version(draft.patient_id, draft.timepoint, draft.parent_version)
        return not np.array_equal(resources.load_mask(parent).array, drawn)
    except TwinReviewError:
        return True


def next_words(store: SeenStore, patient: str, timepoint: str) -> str:
    """What the draft would be saved as; no number where others' versions are hidden."""
    if (patient, timepoint) in store.scope.closed:
        return "a new version"
    return f"v{max((one.version for one in store.masks.of(patient, timepoint)), default=0) + 1}"


def choose_mask_meant(store: SeenStore, record: MaskRecord, at: str) -> str | None:
    """Which mask is to be accepted, while another one is on the picture: `DRAWN`, `STORED`, None before it is said."""
    new = next_words(store, record.patient_id, record.timepoint)
    st.warning(f"The picture has strokes that are not saved: they are not part of v{record.version}.")
    words = {
        DRAWN: f"Save what is drawn as {new}, and accept that",
        STORED: f"Decide on v{record.version} as it is stored, without them",
    }
    chosen = st.radio("Which mask", list(words), index=None, format_func=words.__getitem__, key=f"meant-{at}")
    return None if chosen is None else str(chosen)


def save_form(store: SeenStore, draft: Draft, person: str, at: str) -> None:
    """Saves a draft as a version and accepts that, where nothing has to be asked about it first."""
    reasons = REASONS["accept"]
    reason = st.selectbox(
        "Reason", list(reasons), index=None, format_func=lambda r: reasons[r], key=f"reason-{at}", placeholder="Choose"
    )
    comment = st.text_input("Comment", key=f"comment-{at}", placeholder="optional", max_chars=500).strip()
    new = next_words(store, draft.patient_id, draft.timepoint)
    missing = NO_REASON if reason is None else None
    state = rights.button(store, person, "mask.decided", missing, disabled=missing is not None)
    if not state["disabled"]:
        state = rights.button(store, person, "mask.added")
    pressed = st.button(f"Save as {new} and accept that", type="primary", key=f"save-{at}", **state)
    if state["disabled"] and state["help"]:
        st.caption(plain(state["help"]))
    if not pressed or reason is None:
        return
    if reason == OTHER and not comment:
        st.warning("Say in the comment what the reason is.")
        return
    save_and_accept(store, draft, person, reason, comment)


def save_and_accept(store: SeenStore, draft: Draft, person: str, reason: str, comment: str) -> None:
    """Saves it; accepts the version, or opens the form for it with what has to be decided first."""
    from core.jobs.stages import deciding
    from pages.ui.api.draft_routes import save_as_version

    place = (draft.patient_id, draft.timepoint)
    try:
        with st.spinner("Saving and measuring it"):
            said = save_as_version(store, draft, draft.revision)
    except TwinReviewError as error:
        st.error(plain(error))
        return
    record = store.masks.version(*place, said["version"])
    try:
        why = why_not_at_once(store, record)
        if not why:
            deciding.decide(store, record, Edit("accept"), person, reason, comment, confirmed=())
            resources.reference_changed()
    except TwinReviewError as error:
        why = str(error)
    if why:
        session.SAVED_FIRST.set(f"Saved as v{record.version}, and not accepted yet: {why}", record.mask_id)
        session.DECIDE_TO_OPEN.set(True, *place)
    else:
        st.toast(f"Saved as v{record.version} and accepted.")
    session.DECIDED_VERSION.set(record.version, *place)
    st.rerun()


def why_not_at_once(store: SeenStore, record: MaskRecord) -> str:
    """What a person has to look at before a version that was just saved is accepted; "" for nothing."""
    doubts = doubts_among(store.verdicts.standing(record))
    if doubts:
        return _doubted(doubts)
    if why := store.links.why_outdated(record.mask_id):
        return f"{why}."
    table = table_of(store, record)
    if not _is_told(table):
        return "say first which lesion each outline is, and what became of those that it has not."
    if closed_timepoints(store, record.patient_id, store.person):
        return ""
    found = resources.edit_preview(store, record, Edit("accept", None, table.changes, table.not_lesions))
    return "what it changes in the response has to be confirmed." if needs_confirming(found.flips) else ""


def _doubted(doubts: Sequence[GateVerdict]) -> str:
    return f"it is doubted by the {doubt_words(doubts)}. Look at it, and say why it is fine, or reject it."


def _is_told(table: LinkTable) -> bool:
    """Whether each outline is a lesion beyond doubt, and none of the patient's is missing."""
    rows = table.labels
    return not table.missing and all(row.link.lesion_id is not None and not row.link.doubts for row in rows)
