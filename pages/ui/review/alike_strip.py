"""Beside the mask gate's verdict: the three accepted lesions most like the mask's largest, and the way to Evidence."""

from __future__ import annotations

import streamlit as st

from core.evidence import asking
from core.evidence.base import evidence_if_there
from core.evidence.outcome import FATE_WORDS, outcome_of
from core.evidence.outcome_words import fate_sentence
from core.types import MaskRecord
from pages.ui.evidence.cards import SPACE_WORDS, alike_words, shown_cases, side_of
from pages.ui.evidence.pictures import lesion_picture
from pages.ui.frame import opening
from pages.ui.shared.text import lesion_words, plain
from store import SeenStore

SHOWN = 3


def alike_strip(store: SeenStore, record: MaskRecord | None, person: str) -> None:
    """Nothing where there is no lesion, or no other patient has an accepted one."""
    if record is None or not record.lesions:
        return
    chosen = str(max(record.lesions, key=lambda one: float(one["volume_mm3"]))["lesion_id"])
    base = evidence_if_there(store)
    if base is None:
        st.caption("Lesions alike: the accepted lesions are being gathered.")
        return
    question = asking.question_of(store, base, record, chosen)
    space = asking.default_space(question)
    if question.why_not_in(space):
        return
    found = asking.asked(store, base, question, person, space, SHOWN)
    if not found.found:
        return
    with st.container(border=True, gap="xsmall", key=f"alike-{record.mask_id}"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(
                f":small[**Most alike to {plain(lesion_words(chosen))}**]",
                help=f"Accepted lesions of other patients, by {SPACE_WORDS[space]}, and what became of them.",
            )
            st.button(
                "Evidence",
                icon=":material/open_in_new:",
                key=f"to-evidence-{record.mask_id}",
                type="tertiary",
                help="All of it: courses, filters, what was learned.",
                on_click=opening.open_in_evidence,
                args=(record.patient_id, record.timepoint, chosen),
            )
        shown = shown_cases(store, found)
        side = side_of(record, question, shown)
        for column, one, there in zip(st.columns(SHOWN), found.found, shown, strict=False):
            picture = lesion_picture(store, there, side)
            outcome = outcome_of(one)
            with column:
                if picture is not None:
                    st.image(picture, width="stretch", alt=f"{one.case.patient_id} {one.case.lesion_id}")
                about = f"{one.case.patient_id} {one.case.lesion_id} of {one.case.timepoint}: {fate_sentence(outcome)}"
                st.caption(f"{alike_words(one)}  \n{plain(FATE_WORDS[outcome.fate])}", help=plain(about))
