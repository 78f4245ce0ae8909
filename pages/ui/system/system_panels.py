"""The parts of the system page."""

from __future__ import annotations

import json

import streamlit as st

from core.jobs.runner import FINAL
from pages.ui.frame import resources
from pages.ui.guard import rights
from pages.ui.shared.text import cells, plain
from store import SeenStore


def _minute(moment: str) -> str:
    """RFC 3339 to the minute, as people read it."""
    return moment[:16].replace("T", " ")


def models() -> None:
    """Every model of the manifest and every one dropped in, with its check."""
    from weights import registry

    with st.spinner("Checking the weights' hashes"):
        rows = [
            {
                "model": e.name,
                "id": e.id,
                "kind": e.kind,
                "status": registry.status(e),
                "hash pinned": e.pinned,
                "takes": e.input,
                "licence": e.licence,
                "sha256": e.sha256[:12],
                "source": e.source,
            }
            for e in registry.models()
        ]
    st.dataframe(
        cells(rows),
        hide_index=True,
        width="stretch",
        column_config={
            "hash pinned": st.column_config.CheckboxColumn(
                help="The manifest names the file's SHA-256; it is compared before anything is loaded."
            ),
        },
    )
    st.caption(
        "Drop a trained nnU-Net v2 folder into weights/, or a MedSAM, SAM or SAM2 checkpoint into weights/local/."
    )
    if st.button("Which device will be used?"):
        from core.engines.device import describe_device

        st.info(plain(describe_device()))


def jobs(store: SeenStore, person: str) -> None:
    """The latest jobs; those under way can be cancelled."""
    rows = store.jobs.newest(limit=100)
    if not rows:
        st.info("No job has run yet. Segment a timepoint on the review page to start one.")
        return
    columns = ("kind", "status", "progress", "message", "person")
    st.dataframe(
        cells(
            [
                {
                    "started (UTC)": _minute(row.created_at),
                    **{name: getattr(row, name) for name in columns},
                    "job": row.job_id,
                }
                for row in rows
            ]
        ),
        hide_index=True,
        width="stretch",
        column_config={"progress": st.column_config.ProgressColumn(min_value=0.0, max_value=1.0, format="percent")},
    )
    live = [row.job_id for row in rows if row.status not in FINAL]
    chosen = st.selectbox("Cancel a job", live, index=None, placeholder="none is under way" if not live else "choose")
    if chosen and st.button("Cancel it", **rights.button(store, person, "job.cancelled")):
        resources.get_runner().cancel(chosen, person)
        st.rerun()


def doubted_files(store: SeenStore) -> None:
    """Says which stored files are not as they were stored; nothing where all are, as far as is known."""
    rows = store.files.doubted()
    if not rows:
        return
    what = "file is not as it was stored" if len(rows) == 1 else "files are not as they were stored"
    st.error(f"{len(rows)} {what}, so nothing reads {'it' if len(rows) == 1 else 'them'}.", icon=":material/error:")
    st.dataframe(
        cells([{"file": r.path, "state": r.state, "found (UTC)": _minute(r.created_at)} for r in rows]),
        hide_index=True,
        width="stretch",
    )
    said, button = st.columns([5, 2], vertical_alignment="center")
    said.caption("Restore them from a backup; a mask that cannot be restored can be marked lost on Review.")
    if button.button("Look at all files again", width="stretch"):
        with st.spinner("Reading every file", show_time=True):
            store.files.check()
        st.rerun()


def audit(store: SeenStore) -> None:
    """The newest entries of the hash-chained log, as this person gets to see them."""
    count = st.slider("Entries", 20, 1000, 100, step=20)
    rows = store.audit_log(limit=count)
    for row in rows:
        if not isinstance(row["payload"], str):
            row["payload"] = json.dumps(row["payload"], default=str)[:300]
    st.dataframe(cells(rows), hide_index=True, width="stretch")
    st.caption(
        "Append-only; every entry holds the hash of the one before. audit.jsonl in the data folder is its mirror."
    )


def check(store: SeenStore) -> None:
    """Runs `verify` when asked."""
    st.markdown(
        "Compares every file's hash, every sidecar, the database and the audit chain, as `python cli.py verify` does."
    )
    full = st.checkbox(
        "Hash every file anew", help="Else only files that do not look as they did when they were last found well."
    )
    if st.button("Check now", type="primary", help="Others can go on working meanwhile."):
        place = st.empty()

        def show(fraction: float, message: str) -> None:
            place.progress(fraction, plain(message))

        problems = store.verify(full=full, progress=show)
        place.empty()
        if problems:
            count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
            st.error(f"{count}. `python cli.py rebuild` makes the database again from the files.")
            for problem in problems:
                st.markdown(f"- {plain(problem)}")
        else:
            st.success("Files, sidecars and database agree.", icon=":material/verified:")
        if lines := store.remarks():
            st.markdown("**No damage, but worth knowing**")
            for line in lines:
                st.markdown(f"- {plain(line)}")
