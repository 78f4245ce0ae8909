"""What marks have taught: the metric in force, what it gained on marks it did not see, and the way back."""

from __future__ import annotations

import streamlit as st

from core.errors import TwinReviewError
from core.evidence.cases import SpaceName
from core.evidence.gain import LEAST_CLICKS, LEAST_GROUPS, in_words
from core.evidence.versions import (
    KeptMetric,
    go_back,
    kept_metrics,
    metric_in_force,
    offered_metric,
    put_in_force,
)
from core.jobs.stages.learn_evidence import JOB
from pages.ui.evidence.cards import SPACE_WORDS
from pages.ui.frame import resources, session, shell
from pages.ui.guard import rights
from pages.ui.shared import job_panel
from pages.ui.shared.text import cells, plain
from store import SeenStore

_GAIN_HELP = (
    "Share of pairs (a relevant lesion, one that is not) of one question that come in the right order, on marks of "
    "patients from whom nothing was learned; with its 95 % interval over patients."
)


def learned_panel(store: SeenStore, space: SpaceName) -> None:
    """The metric of one space, its versions, and learning anew."""
    now, kept = metric_in_force(store, space), kept_metrics(store, space)
    marks = store.marks.standing()
    st.markdown(
        f"Marks (relevant, not relevant) weigh the numbers by which lesions are compared; {len(marks):,} stand. "
        f"Learning needs {LEAST_CLICKS}, on lesions of {LEAST_GROUPS} patients, and is offered only where it gains "
        "on marks that it did not see: a person puts it in force. No gate reads any of it."
    )
    if now is None:
        why = f" {kept[-1].metric.words.capitalize()}." if kept else ""
        st.info(f"Nothing is in force for {SPACE_WORDS[space]}: distances are as they are.{plain(why)}")
    else:
        st.success(
            f"In force for {SPACE_WORDS[space]}: {plain(now.metric.kind)}, version {now.metric.version[:8]}, "
            f"{plain(now.metric.words)}."
        )
    offered = offered_metric(store, space)
    if offered is not None:
        st.info(f"Learned and offered: {plain(offered.metric.kind)}, {plain(offered.metric.words)}.")
    with st.container(horizontal=True):
        _learn_button(store)
        if offered is not None:
            st.button(
                "Put in force",
                type="primary",
                on_click=_put_in_force,
                args=(store, space, offered.metric.version),
                **rights.button(store, shell.person(), "gate_reference.set"),
            )
        if now is not None:
            st.button(
                "Undo: back to the one before",
                icon=":material/undo:",
                on_click=_go_back,
                args=(store, space),
                **rights.button(store, shell.person(), "gate_reference.set"),
            )
    job = session.LEARNING_JOB.get()
    if job is not None:
        job_panel.job_panel(job, "Learning from marks")
    _gains(offered or now)
    _versions(kept)


def _learn_button(store: SeenStore) -> None:
    state = rights.button(store, shell.person(), "job.created", "Of all marks that stand, some seconds.")
    if not st.button("Learn from the marks now", **state):
        return
    try:
        session.LEARNING_JOB.set(resources.get_runner().submit(JOB, {}, shell.person()))
    except TwinReviewError as error:
        st.error(plain(error))
        return
    st.rerun()


def _put_in_force(store: SeenStore, space: SpaceName, version: str) -> None:
    with shell.guarded():
        put_in_force(store, space, version, shell.person())


def _go_back(store: SeenStore, space: SpaceName) -> None:
    with shell.guarded():
        go_back(store, space, shell.person())


def _gains(now: KeptMetric | None) -> None:
    if now is None or not now.metric.gains:
        return
    rows = [
        {
            "metric": gain.metric,
            "over": gain.over,
            "pairs in order, %": round(100 * gain.accuracy, 1),
            "gain (95 %)": in_words(gain),
            "AUROC": None if gain.auroc is None else round(gain.auroc, 3),
            "pairs": gain.pairs,
            "patients": gain.groups,
        }
        for gain in now.metric.gains
    ]
    st.markdown("**Gain on held-out marks**", help=_GAIN_HELP)
    st.dataframe(cells(rows), hide_index=True, width="stretch")


def _versions(kept: list[KeptMetric]) -> None:
    if not kept:
        return
    st.markdown("**Versions**, newest first")
    rows = [
        {
            "version": one.metric.version[:8],
            "what": one.metric.kind,
            "how": one.how,
            "words": one.metric.words,
            "marks": one.metric.clicks,
            "person": one.person,
            "at": one.created_at[:16].replace("T", " "),
        }
        for one in reversed(kept)
    ]
    st.dataframe(cells(rows), hide_index=True, width="stretch")
