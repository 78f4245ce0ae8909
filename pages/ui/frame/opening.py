"""Ways into a page and out of it: the patient it needs, and the place that is opened on another page."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from pages.ui.frame import address, session, shell
from pages.ui.frame.session import SessionKey
from pages.ui.guard import rights
from pages.ui.shared.text import plain


def needed_patient(tell_of_blind_days: bool = True) -> str:
    """The chosen patient; without one the page says what to do and ends.

    Args:
        tell_of_blind_days: say here what is kept from whoever looks. False: the page says it itself (`tell_of_blind`).
    """
    patient = shell.patient_id()
    if patient is None:
        st.info("No patient is chosen. Choose one in the sidebar, or start from the worklist.")
        if st.button("Go to the worklist"):
            shell.go_to("worklist")
        st.stop()
    if tell_of_blind_days:
        tell_of_blind(str(patient))
    return str(patient)


def tell_of_blind(patient: str) -> None:
    """What is kept from whoever looks while they read some of the patient's timepoints blind; nothing where none is."""
    if (notice := rights.blind_days(shell.store(), patient)) is not None:
        st.info(plain(notice), icon=":material/visibility_off:")


def nothing_accepted(patient: str) -> None:
    """The empty state of what is made from accepted masks."""
    st.info(f"{plain(patient)} has no accepted mask yet. Accept one in Review: nothing unreviewed is used here.")
    if st.button("Go to Review", type="primary"):
        shell.go_to("review")


def open_in_review(patient: str, timepoint: str, version: int | None = None, lesion: str | None = None) -> None:
    """For the `on_click` of a button: the next run opens that place in the reading room."""
    place = {address.PATIENT: patient, "timepoint": timepoint, "version": version, "lesion": lesion}
    address.leave_for("review", place)


def open_in_trajectory(patient: str, lesion: str | None = None) -> None:
    """For the `on_click` of a button: the next run opens the patient's trajectory."""
    address.leave_for("trajectory", {address.PATIENT: patient, "lesion": lesion})


def open_in_evidence(patient: str, timepoint: str, lesion: str | None = None) -> None:
    """For the `on_click` of a button: the next run opens what is like a lesion of that timepoint."""
    address.leave_for("evidence", {address.PATIENT: patient, "timepoint": timepoint, "lesion": lesion})


def open_chosen_in_trajectory() -> None:
    """The same, of the patient who is chosen in the cohort's list as it is clicked."""
    chosen = session.COHORT_PATIENT.get()
    if chosen is not None:
        open_in_trajectory(chosen)


def choose_timepoint(
    label: str,
    timepoints: Sequence[str],
    key: SessionKey[str],
    about: Sequence[str],
    default: str,
    help_text: str,
    name: str = "timepoint",
) -> str:
    """A selectbox that keeps its choice as long as it is a timepoint of this patient; `name` in the address.

    Args:
        about: the place of `key`, its patient first.
    """
    chosen = address.choose(name, timepoints, key, *about, default=default, whose=f"of {about[0]}")
    st.selectbox(label, list(timepoints), key=key.key(*about), help=help_text)
    return chosen
