"""Beside the mask gate's verdict: the three accepted lesions most like the mask's largest, and the way to Evidence."""

from __future__ import annotations

import streamlit as st

from core.evidence import asking
from core.evidence.base import evidence_if_there
from core.evidence.outcome import outcome_of
from core.types import MaskRecord
from pages.ui.evidence.cards import SPACE_WORDS, alike_words, fate_words, side_of
from pages.ui.evidence.pictures import lesion_picture, shown_of
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
        st.markdown(
            f"**Most alike to {plain(lesion_words(chosen))}**",
            help=f"Accepted lesions of other patients, by {SPACE_WORDS[space]}; how alike, and what became of them.",
        )
        shown = [
            shown_of(store.masks.version(one.case.patient_id, one.case.timepoint, one.case.version), one.case.lesion_id)
            for one in found.found
        ]
        side = side_of(record, question, shown)
        for column, one, there in zip(st.columns(SHOWN), found.found, shown, strict=False):
            picture = lesion_picture(store, there, side)
            with column:
                if picture is not None:
                    st.image(picture, width="stretch", alt=f"{one.case.patient_id} {one.case.lesion_id}")
                st.markdown(
                    f":small[{plain(one.case.patient_id)}  \n{alike_words(one)}  \n"
                    f"{plain(fate_words(outcome_of(one)))}]"
                )
        st.button(
            "See the evidence",
            icon=":material/hub:",
            key=f"to-evidence-{record.mask_id}",
            type="tertiary",
            on_click=opening.open_in_evidence,
            args=(record.patient_id, record.timepoint, chosen),
        )
