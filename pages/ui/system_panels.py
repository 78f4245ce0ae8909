"""The parts of the system page."""

from __future__ import annotations

import json
from typing import Any

import streamlit as st

from core.runner import FINAL
from pages.ui import resources
from pages.ui.text import cells, plain

ROLES = ("reviewer", "administrator", "viewer")


def _minute(moment: str) -> str:
    """RFC 3339 to the minute, as people read it."""
    return moment[:16].replace("T", " ")


def models() -> None:
    """Every model of the manifest and every one dropped in, with its check."""
    from weights import registry

    with st.spinner("Checking the weights' hashes"):
        rows = [
            {
                "model": e.name, "id": e.id, "kind": e.kind, "status": registry.status(e),
                "hash pinned": e.pinned, "takes": e.input, "licence": e.licence, "sha256": e.sha256[:12],
                "source": e.source,
            }
            for e in registry.models()
        ]  # fmt: skip
    st.dataframe(cells(rows), hide_index=True, width="stretch", column_config={
        "hash pinned": st.column_config.CheckboxColumn(help="The manifest names the file's SHA-256; it is compared "
                                                            "before anything is loaded."),
    })  # fmt: skip
    st.caption(
        "Drop a trained nnU-Net v2 folder into weights/, or a MedSAM, SAM or SAM2 checkpoint into weights/local/."
    )
    if st.button("Which device will be used?"):
        from core.engines.device import describe_device

        st.info(plain(describe_device()))


def jobs(store: Any) -> None:
    """The latest jobs; those under way can be cancelled."""
    rows = store.jobs(limit=100)
    if not rows:
        st.info("No job has run yet. Segment a timepoint on the review page to start one.")
        return
    columns = ("kind", "status", "progress", "message", "person")
    st.dataframe(
        cells([
            {"started (UTC)": _minute(row["created_at"]), **{name: row[name] for name in columns}, "job": row["job_id"]}
            for row in rows
        ]),
        hide_index=True, width="stretch",
        column_config={"progress": st.column_config.ProgressColumn(min_value=0.0, max_value=1.0, format="percent")},
    )  # fmt: skip
    live = [row["job_id"] for row in rows if row["status"] not in FINAL]
    chosen = st.selectbox("Cancel a job", live, index=None, placeholder="none is under way" if not live else "choose")
    if chosen and st.button("Cancel it"):
        resources.get_runner().cancel(chosen)
        st.rerun()


def people(store: Any, person: str) -> None:
    """Who may be named on a decision."""
    st.dataframe(
        cells([{"name": p["name"], "role": p["role"], "since (UTC)": _minute(p["added_at"])} for p in store.people()]),
        hide_index=True, width="stretch",
    )  # fmt: skip
    with st.form("person", border=False):
        name, role = st.columns(2)
        new = name.text_input("Name", help="As it is to stand beside decisions. Sign-in comes later.")
        chosen = role.selectbox("Role", ROLES)
        if st.form_submit_button("Add"):
            store.add_person(new, chosen)
            st.rerun()


def audit(store: Any) -> None:
    """The newest entries of the hash-chained log."""
    count = st.slider("Entries", 20, 1000, 100, step=20)
    rows = [row if isinstance(row, dict) else vars(row) for row in store.audit_log(limit=count)]
    for row in rows:
        if not isinstance(row.get("payload"), str):
            row["payload"] = json.dumps(row.get("payload"), default=str)[:300]
    st.dataframe(cells(rows), hide_index=True, width="stretch")
    st.caption(
        "Append-only; every entry holds the hash of the one before. audit.jsonl in the data folder is its mirror."
    )


def check(store: Any) -> None:
    """Runs `verify` when asked."""
    st.markdown(
        "Compares every file's hash, every sidecar, the database and the audit chain, as `python cli.py verify` does."
    )
    if st.button("Check now", type="primary"):
        with st.spinner("Reading every file", show_time=True):
            problems = store.verify()
        if problems:
            count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
            st.error(f"{count}. `python cli.py rebuild` makes the database again from the files.")
            for problem in problems:
                st.markdown(f"- {plain(problem)}")
        else:
            st.success("Files, sidecars and database agree.", icon=":material/verified:")
