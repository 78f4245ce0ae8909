"""The reading room: see a timepoint, run the network, refine with boxes and points, decide."""

import streamlit as st

from core.errors import TwinReviewError
from pages.ui.frame import opening, resources, session, shell
from pages.ui.guard import rights
from pages.ui.review import review_panel
from pages.ui.review.alike_strip import alike_strip
from pages.ui.review.deciding import decision_dialog
from pages.ui.review.measurement_panel import measurement_panel
from pages.ui.review.measures_panel import measures_panel
from pages.ui.review.surface_panel import surface_panel
from pages.ui.review.verdict_panel import verdict_panel
from pages.ui.shared import job_panel
from pages.ui.shared.lost_files import file_panel, file_problem
from pages.ui.shared.text import plain
from pages.ui.viewer import wide_page

if shell.patient_id() is None:
    st.title("Review")
store, patient = shell.store(), opening.needed_patient(tell_of_blind_days=False)

wide_page()
timepoint, record, beside = review_panel.choose_mask(store, patient, shell.person())


def start(kind: str, what: str, request: dict) -> None:
    """Queues a job for this timepoint and remembers its id."""
    try:
        job_id = resources.get_runner().submit(
            kind, {"patient_id": patient, "timepoint": timepoint, **request}, shell.person()
        )
    except TwinReviewError as error:
        st.error(plain(error))
        return
    session.REVIEW_JOB.set(session.StartedJob(job_id, what), patient, timepoint)
    session.JOB_TO_SHOW.set(job_id, patient, timepoint)
    st.rerun()


with shell.guarded():
    left, right = st.columns([11, 4], gap="small")
    with left:
        did = review_panel.show(store, patient, timepoint, record, beside, shell.person())
        if did["saved"]:
            review_panel.show_newest_version(patient, timepoint)
            st.rerun()
        if did["decide"] and record is not None:
            decision_dialog(store, patient, timepoint, record, shell.person(), did["decide"]["verdict"])
    with right:
        opening.tell_of_blind(patient)  # not above the picture, which would lose its last lines
        job = session.REVIEW_JOB.get(patient, timepoint)
        if job is not None:
            result = job_panel.job_panel(job.job_id, f"{job.what} of {timepoint}")
            if result and session.JOB_TO_SHOW.take(patient, timepoint) and "version" in result:
                # Only once: the visitor may look at older versions afterwards.
                review_panel.show_newest_version(patient, timepoint)
                st.rerun()
        file_panel(store, record, shell.person())
        if verdict_panel(store, patient, timepoint, record, shell.person()):
            start("score_ood", "Scan gate", {})
        alike_strip(store, record, shell.person())
        segment, refine, decide = review_panel.tabs(record)
        with segment:
            model_id = review_panel.choose_model(store.scans.of(patient, timepoint))
            label = "Run nnU-Net again" if record else "Run nnU-Net"
            state = rights.button(store, shell.person(), "job.created", disabled=model_id is None)
            if st.button(label, type="secondary" if record else "primary", **state):
                start("segment", "Segmentation", {"model_id": model_id})
        with refine:
            request = review_panel.refine_form(store, patient, timepoint, record, shell.person())
            if request is not None:
                start("refine", "Refinement", request)
        with decide:
            review_panel.decide_form(store, patient, timepoint, record, shell.person(), keys=not did["decide"])
        measurement_panel(store, patient, timepoint, shell.person())
        measures_panel(store, None if record is None or file_problem(store, record) else record)
        surface_panel(None if record is None or file_problem(store, record) else record)
        review_panel.history(store, patient, timepoint, record, shell.person())
