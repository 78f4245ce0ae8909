"""Add scans: checked, stripped of what names a person, and judged by the scan gate on arrival."""

import streamlit as st

from pages.ui.frame import address, session, shell
from pages.ui.intake import intake_form, put_right_panel, study_form
from pages.ui.shared.text import cells, plain

TABS = ("Study", "Mask", put_right_panel.TAB)

st.title("Intake")
st.caption(
    "Add a study as it comes, scans and masks. First you see what lies in it; nothing is stored until you say so."
)

store = shell.store()
address.choose_tab(TABS, session.INTAKE_TAB)
study_tab, mask_tab, put_right_tab = address.tabs(TABS, session.INTAKE_TAB)

with study_tab, shell.guarded():
    study_form.study_tab(store)

with mask_tab, shell.guarded():
    intake_form.mask_form(store, shell.patient_id(), shell.person())

with put_right_tab, shell.guarded():
    put_right_panel.put_right_tab(store, shell.patient_id())

chosen = shell.patient_id()
if chosen:
    st.subheader(f"Scans of {plain(chosen)}", divider="gray")
    st.dataframe(cells(intake_form.scan_rows(store, chosen)), hide_index=True, width="stretch")
