"""Lesions of other patients that look like this one, and what became of them."""

import streamlit as st

from core.gates.mask.verdicts import gate_for, similar_lesions
from pages.ui.evidence import neighbours
from pages.ui.frame import address, opening, session, shell
from pages.ui.shared.text import lesion_words, plain

st.title("Evidence")
st.caption("The accepted lesions of other patients whose shape is most like this one, and what became of them.")

store, patient = shell.store(), opening.needed_patient()
with shell.guarded():
    timepoints = store.patients.timepoints(patient)
    with_mask = [t for t in timepoints if store.masks.of(patient, t)]
    when, which = st.columns([1, 3], vertical_alignment="bottom")
    with when:
        default = with_mask[-1] if with_mask else timepoints[-1]
        timepoint = opening.choose_timepoint(
            "Timepoint",
            timepoints,
            session.EVIDENCE_TIMEPOINT,
            [patient],
            default,
            "Its newest mask version is compared.",
        )
    record = next(reversed(store.masks.of(patient, timepoint)), None)
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
    neighbours.query_lesion(record, lesion)
    st.subheader("Most alike", divider="gray")
    gate = gate_for(store)
    if gate is None:
        st.info("The mask gate, which knows the accepted lesions, is being fitted. Come back in a minute.")
        st.stop()
    if all(known.patient_id == patient for known in gate.lesions):
        st.info("No other patient has an accepted mask yet. Accept some: they become the evidence for this one.")
        if st.button("Go to the worklist", type="primary"):
            shell.go_to("worklist")
        st.stop()
    with st.spinner("Looking for similar lesions", show_time=False):
        found = [row for row in similar_lesions(store, patient, timepoint, record.version) if row["of"] == lesion]
        st.caption(neighbours.tally(found))
        neighbours.similar_cards(found)
