"""The lesions of a patient over time, which label of which mask each is, and how that is changed."""

import streamlit as st

from core.review.lesion_list import lesions_of
from core.twin.timeline import patient_timeline
from pages.ui.frame import address, opening, session, shell
from pages.ui.lesions import change_panel, lesion_panel

st.title("Lesions")
st.caption("Each lesion over time, and which label of which mask it is. A label is a number in one file alone.")

store, patient = shell.store(), opening.needed_patient()
with shell.guarded():
    with st.spinner("Reading the timeline", show_time=False):
        timeline = patient_timeline(store, patient)
        listed = lesions_of(store.masks.of(patient), store.links.of(patient))
    names = [one.lesion_id for one in listed]
    if not names:
        address.asked("lesion", names, whose=f"of {patient}")
        lesion_panel.no_lesion(patient)
        st.stop()
    key = session.LESION_SHOWN
    lesion = address.choose("lesion", names, key, patient, default=names[0], whose=f"of {patient}")
    lesion_panel.lesion_table(timeline, listed)
    lesion_panel.choose_lesion(patient, names)
    lesion_panel.visits(store, timeline, lesion)
    change_panel.change_panel(store, patient, lesion, shell.person())
