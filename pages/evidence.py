"""Lesions of other patients that are like this one, what became of them, and what to take along."""

import streamlit as st

from core.evidence import asking
from core.evidence.base import evidence_at_once
from core.evidence.cases import SPACES
from pages.ui.evidence import alike, cards, filters_panel, graph_panel, learned_panel, take_along
from pages.ui.frame import address, opening, session, shell
from pages.ui.shared.text import lesion_words, plain

TABS = ("Most alike", "Ask the graph", "What was learned")

st.title("Evidence")
st.caption(
    "Accepted lesions of other patients that are like this one, and what became of them. A starting point for a look, "
    "not a prediction."
)

store, patient = shell.store(), opening.needed_patient()
with shell.guarded():
    timepoints = store.patients.timepoints(patient)
    when, which, by = st.columns([2, 3, 3], vertical_alignment="bottom")
    with when:
        known = store.masks.of(patient)
        versions = {one.timepoint: one for one in known}  # the newest of each
        versions |= {one.timepoint: one for one in known if one.status == "accepted"}
        with_mask = [day for day in timepoints if day in versions]
        timepoint = opening.choose_timepoint(
            "Timepoint",
            timepoints,
            session.EVIDENCE_TIMEPOINT,
            [patient],
            with_mask[-1] if with_mask else timepoints[-1],
            "Its accepted mask version is compared, or else its newest.",
        )
    record = versions.get(timepoint)
    lesions = [] if record is None else list(dict.fromkeys(str(lesion["lesion_id"]) for lesion in record.lesions))
    place = f"of {patient} on {timepoint}"
    if record is None or not lesions:
        address.asked("lesion", lesions, whose=place)
        said = "has no mask yet" if record is None else "has an empty mask: there is no lesion to compare"
        st.info(f"{plain(timepoint)} {said}. Segment it in Review.")
        st.button("Go to Review", type="primary", on_click=opening.open_in_review, args=(patient, timepoint))
        st.stop()
    key = session.EVIDENCE_LESION
    lesion = address.choose("lesion", lesions, key, record.mask_id, default=lesions[0], whose=place)
    which.segmented_control(
        "Lesion",
        lesions,
        required=True,
        key=key.key(record.mask_id),
        format_func=lambda name: plain(lesion_words(name)),
    )
    with st.spinner("Gathering the accepted lesions", show_time=True):
        base, behind = evidence_at_once(store)
        question = asking.question_of(store, base, record, lesion)
    with by:
        spaces = [space for space in SPACES if not question.why_not_in(space)]
        space = alike.choose_space(question, spaces)
    if space is None:
        st.info(plain(question.why_not_in("shape")))
        st.stop()
    own = base.case_of(question.key)
    address.choose_tab(TABS, session.EVIDENCE_TAB)
    nearest, graph, learned = address.tabs(TABS, session.EVIDENCE_TAB)
    with nearest:
        wanted = filters_panel.choose_filter(question, own)
        own_too = filters_panel.own_patient_too()
        among = graph_panel.narrowed(base, question, wanted)
        marks = asking.marks_on(store, question, shell.person())
        found = asking.asked(
            store, base, question, shell.person(), space, wanted=wanted, own_patient=own_too, marks=marks, among=among
        )
        shown = cards.shown_cases(store, found)
        side = cards.side_of(record, question, shown)
        cards.question_card(store, record, question, own, side)
        alike.tally(base, found, behind, wanted)
        if found.found:
            cards.similar_cards(store, found, shown, side, marks)
            alike.courses(base, found, own)
            alike.marks_line(store, marks)
            take_along.take_along(store, found, own)
        else:
            alike.nothing_found(base, question, wanted)
    with graph:
        graph_panel.graph_panel(store, base, question, own, wanted)
    with learned:
        learned_panel.learned_panel(store, space)
