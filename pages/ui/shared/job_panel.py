"""One job on a page: how far it is, a way to stop it, and what became of it."""

from __future__ import annotations

import streamlit as st

from core.jobs.runner import FINAL
from core.remembered.untyped import JsonDict
from pages.ui.frame import resources, shell
from pages.ui.guard import rights
from pages.ui.shared.text import plain

REFRESH_S = 0.5


def job_panel(job_id: str, what: str) -> JsonDict | None:
    """Draws a job until it ends; the page is run again once when it does.

    Args:
        job_id: from `resources.get_runner().submit`.
        what: the job in words, as "Segmentation of 2025-01-20".

    Returns:
        The job's result when it is done, else None (still going, failed or cancelled: said on the page).
    """
    job = shell.store().jobs.get(job_id)
    if job.status not in FINAL:
        _watch(job_id, what)
        return None
    if job.status == "done":
        st.success(f"{plain(what)}: done.", icon=":material/check_circle:")
        result = None if job.result is None else dict(job.result)
        for note in (result or {}).get("notes") or ():
            st.warning(plain(str(note)))
        return result
    kind = st.info if job.status == "cancelled" else st.error
    kind(f"{plain(what)}: {plain(job.status)}. {plain(job.message)}")
    return None


def _cancel(job_id: str) -> None:
    with shell.guarded():
        resources.get_runner().cancel(job_id, shell.person())


@st.fragment(run_every=REFRESH_S)
def _watch(job_id: str, what: str) -> None:
    job = shell.store().jobs.get(job_id)
    if job.status in FINAL:
        st.rerun()
    bar, button = st.columns([5, 1], vertical_alignment="center")
    bar.progress(float(job.progress or 0.0), text=f"{plain(what)}: {plain(job.message or job.status)}")
    button.button(
        "Cancel",
        key=f"cancel-{job_id}",
        on_click=_cancel,
        args=(job_id,),
        width="stretch",
        **rights.button(shell.store(), shell.person(), "job.cancelled", "Stops at the next step; nothing is stored."),
    )
