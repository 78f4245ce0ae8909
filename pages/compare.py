"""Two timepoints in one position, or two versions of one mask, side by side."""

import streamlit as st

from pages.ui import comparing, opening, resources, shell

TIMEPOINTS, VERSIONS = "Two timepoints", "Two versions"

st.title("Compare")
st.caption("Two timepoints in the same position of the body, or two versions of one mask, and what differs.")

store, patient = resources.get_store(), opening.needed_patient()
with shell.guarded():
    what = st.segmented_control(
        "Compare", [TIMEPOINTS, VERSIONS], default=TIMEPOINTS, required=True, key="compare-what",
        label_visibility="collapsed",
    )  # fmt: skip
    if what == TIMEPOINTS:
        if len(store.timepoints(patient)) < 2:
            st.info(f"{patient} has one timepoint. Import a second one to compare them.")
            if st.button("Import a scan", type="primary"):
                shell.go_to("intake")
            st.stop()
        left, right, which, window = st.columns([3, 3, 3, 3])
        days = comparing.choose_pair(store, patient, left, right)
        records = [comparing.mask_of(store, patient, day) for day in days]
        chosen = comparing.choose_channel(store, patient, days, which, window)
        if chosen is None:
            st.stop()
        references = [store.reference_scan(patient, day) for day in days]
        link = resources.align(*references)
        comparing.linked_pictures(chosen[0], records, chosen[1], link)
        first, second = records
        if first is None or second is None:
            st.info("Volumes are compared once both timepoints have a mask.")
            if st.button("Go to Review"):
                shell.go_to("review")
        else:
            comparing.lesion_table(comparing.lesion_rows(first, second, references[0].modality, "timepoints"))
    else:
        when, left, right, which, window = st.columns([3, 4, 4, 3, 3])
        pair = comparing.choose_versions(store, patient, when, left, right)
        if pair is None:
            st.info("This timepoint has fewer than two mask versions. Refine its mask in Review to make another.")
            if st.button("Go to Review"):
                shell.go_to("review")
            st.stop()
        timepoint, first, second = pair
        chosen = comparing.choose_channel(store, patient, [timepoint], which, window)
        if chosen is not None:
            comparing.version_pictures(chosen[0][0], first, second, chosen[1])
        comparing.difference(first, second)
        modality = store.reference_scan(patient, timepoint).modality
        comparing.lesion_table(comparing.lesion_rows(first, second, modality, "versions"))
