"""Two timepoints in one position and how that was found, two versions of one mask, or several readers."""

import streamlit as st

from core.twin.timeline import patient_timeline
from pages.ui.compare import comparing, readers_panel, registration_panel
from pages.ui.compare.comparing import READERS, REGISTRATION, TIMEPOINTS, VERSIONS
from pages.ui.frame import address, measured, opening, session, shell, visible
from pages.ui.shared.text import plain
from pages.ui.viewer import wide_page

#: What needs two timepoints.
OF_TWO = (TIMEPOINTS, REGISTRATION)

wide_page()
title, kind, first_choice, second_choice, third_choice = st.columns([5, 15, 6, 6, 6], vertical_alignment="bottom")
title.title("Compare")

store, patient = shell.store(), opening.needed_patient()
with shell.guarded():
    kinds = [TIMEPOINTS, REGISTRATION, VERSIONS, READERS]
    what = address.choose("show", kinds, session.COMPARED, default=TIMEPOINTS, whose="on this page")
    kind.segmented_control("Compare", kinds, required=True, key=session.COMPARED.key(), label_visibility="collapsed")
    if what in OF_TWO:
        if len(store.patients.timepoints(patient)) < 2:
            st.info(f"{plain(patient)} has one timepoint. Import a second one to compare them.")
            if st.button("Import a scan", type="primary"):
                shell.go_to("intake")
            st.stop()
        days = comparing.choose_pair(store, patient, first_choice, second_choice)
        found = measured.aligned(store, patient, *days)
    if what == REGISTRATION:
        registration_panel.registration_panel(store, patient, days, found, shell.person())
    elif what == TIMEPOINTS:
        records = [visible.best(store, patient, day) for day in days]
        not_read = comparing.unread(store, records)
        comparing.show_timepoints(store, patient, days, records, found, shell.person())
        first, second = records
        if first is None or second is None:
            st.info("Volumes are compared once both timepoints have a mask.")
            if st.button("Go to Review"):
                shell.go_to("review")
        else:
            timeline = patient_timeline(store, patient)
            comparing.lesion_table(comparing.lesion_rows(first, second, timeline, "timepoints", not_read))
    elif what == READERS:
        day = readers_panel.choose_timepoint(store, patient, first_choice)
        readers_panel.readers_panel(store, patient, day, shell.person())
    else:
        pair = comparing.choose_versions(store, patient, shell.person(), first_choice, second_choice, third_choice)
        if pair is None:
            st.info("This timepoint has fewer than two mask versions. Refine its mask in Review to make another.")
            if st.button("Go to Review"):
                shell.go_to("review")
            st.stop()
        _, first, second = pair
        not_read = comparing.unread(store, [first, second])
        comparing.show_versions(store, patient, first, second, shell.person())
        if not not_read:
            comparing.show_mask_diff(first, second)
        comparing.lesion_table(comparing.lesion_rows(first, second, None, "versions", not_read))
