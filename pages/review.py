"""The reading room: see a timepoint, run the network, refine with boxes and points, decide."""

import streamlit as st

from core.errors import TwinReviewError
from pages.ui.frame import resources, shell
from pages.ui.guard import rights
from pages.ui.review import review_panel
from pages.ui.review.deciding import decision_dialog, keep_version
from pages.ui.review.surface_panel import surface_panel
from pages.ui.shared import job_panel
from pages.ui.shared.lost_files import file_panel, file_problem
from pages.ui.shared.text import plain
from pages.ui.viewer import wide_page

store, patient = resources.get_store(), shell.patient_id()
if patient is None:
    st.title("Review")
    st.info("No patient is chosen. Choose one in the sidebar, or start from the worklist.")
    if st.button("Go to the worklist"):
        shell.go_to("worklist")
    st.stop()

wide_page()
keep_version()
timepoint, record, beside = review_panel.choose_mask(store, patient, shell.person())
job_key = f"job-{patient}-{timepoint}"


def start(kind: str, what: str, request: dict) -> None:
    """Queues a job for this timepoint and remembers its id."""
    try:
        job_id = resources.get_runner().submit(
            kind, {"patient_id": patient, "timepoint": timepoint, **request}, shell.person()
        )
    except TwinReviewError as error:
        st.error(plain(error))
        return
    st.session_state.update({job_key: job_id, f"{job_key}-what": what, f"{job_key}-new": True})
    st.rerun()


with shell.guarded():
    left, right = st.columns([11, 4], gap="small")
    with left:
        did = review_panel.show(store, patient, timepoint, record, beside, shell.person())
        if did["saved"]:
            review_panel.show_version(timepoint, did["saved"]["version"])
            st.rerun()
        if did["decide"] and record is not None:
            decision_dialog(store, patient, timepoint, record, shell.person(), did["decide"]["verdict"])
    with right:
        if job_key in st.session_state:
            result = job_panel.job_panel(
                st.session_state[job_key], f"{st.session_state[job_key + '-what']} of {timepoint}"
            )
            if result and st.session_state.pop(job_key + "-new", False) and "version" in result:
                # Only once: the visitor may look at older versions afterwards.
                review_panel.show_version(timepoint, result["version"])
                st.rerun()
        file_panel(store, record, shell.person())
        if review_panel.gates(store, patient, timepoint, record, shell.person()):
            start("score_ood", "Scan gate", {})
        segment, refine, decide = st.tabs(["Segment", "Refine", "Decide"], default=review_panel.first_tab(record))
        with segment:
            model_id = review_panel.choose_model()
            label = "Run nnU-Net again" if record else "Run nnU-Net"
            state = rights.button(store, shell.person(), "job.created", disabled=model_id is None)
            if st.button(label, type="secondary" if record else "primary", **state):
                start("segment", "Segmentation", {"model_id": model_id})
        with refine:
            request = review_panel.refine_form(store, patient, timepoint, record, shell.person())
            if request is not None:
                start("refine", "Refinement", request)
        with decide:
            review_panel.decide_form(store, patient, timepoint, record, shell.person())
        surface_panel(None if record is None or file_problem(store, record) else record)
        review_panel.history(store, patient, timepoint, record, shell.person())
