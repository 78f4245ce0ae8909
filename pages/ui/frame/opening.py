"""Ways into a page and out of it: the patient it needs, and the timepoint that is opened in the reading room."""

from __future__ import annotations

import streamlit as st

from pages.ui.frame import shell
from pages.ui.shared.text import plain

_FLAG = "go-to-review"
_TRAJECTORY = "go-to-trajectory"


def needed_patient() -> str:
    """The chosen patient; without one the page says what to do and ends."""
    patient = shell.patient_id()
    if patient is None:
        st.info("No patient is chosen. Choose one in the sidebar, or start from the worklist.")
        if st.button("Go to the worklist"):
            shell.go_to("worklist")
        st.stop()
    return str(patient)


def nothing_accepted(patient: str) -> None:
    """The empty state of what is made from accepted masks."""
    st.info(f"{plain(patient)} has no accepted mask yet. Accept one in Review: nothing unreviewed is used here.")
    if st.button("Go to Review", type="primary"):
        shell.go_to("review")


def open_in_review(patient: str, timepoint: str) -> None:
    """For the `on_click` of a button: chooses both; `follow` then leaves."""
    shell.choose_patient(patient)
    st.session_state["timepoint"] = timepoint
    st.session_state[_FLAG] = True


def open_in_trajectory(patient: str) -> None:
    """For the `on_click` of a button: chooses the patient; `follow` then leaves."""
    shell.choose_patient(patient)
    st.session_state[_TRAJECTORY] = True


def follow() -> None:
    """Leaves for the page that one of the two asked for; pages that use them call it first."""
    if st.session_state.pop(_FLAG, False):
        shell.go_to("review")
    if st.session_state.pop(_TRAJECTORY, False):
        shell.go_to("trajectory")


def choose_timepoint(label: str, timepoints: list[str], key: str, default: str, help_text: str) -> str:
    """A selectbox that keeps its choice as long as it is a timepoint of this patient."""
    if st.session_state.get(key) not in timepoints:
        st.session_state[key] = default
    return str(st.selectbox(label, timepoints, key=key, help=help_text))
