"""The parts of the system page."""

from __future__ import annotations

import json

import streamlit as st

from core.jobs.runner import FINAL
from core.jobs.stages import verify
from core.remembered.flips import Flip, flip_words
from core.remembered.rows import Job
from core.remembered.untyped import JsonObject, TableRow
from pages.ui.frame import resources, shell
from pages.ui.guard import rights
from pages.ui.shared import job_panel
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
    rows = [_shown_entry(entry) for entry in store.audit_log(limit=count)]
    st.dataframe(cells(rows), hide_index=True, width="stretch")
    st.caption(
        "Append-only; every entry holds the hash of the one before. audit.jsonl in the data folder is its mirror."
    )


def _shown_entry(entry: JsonObject) -> TableRow:
    """An entry as the table shows it: of a long payload the beginning, and the calls that it made others by themselves,
    since they come at its end."""
    payload = entry["payload"]
    if isinstance(payload, str):
        return {**entry, "flips": ""}
    flips = payload.get("flips") or payload.get("flips_told") or ""
    words = flip_words([Flip(**flip) for flip in flips]) if isinstance(flips, list) else str(flips)
    first = {name: entry[name] for name in ("seq", "created_at", "person", "action")}
    return {**first, "flips": words, **entry, "payload": json.dumps(payload, default=str)[:300]}


def _newest_check(store: SeenStore) -> Job | None:
    return next(iter(store.jobs.newest(1, kind=verify.NAME)), None)


def check(store: SeenStore, person: str) -> None:
    """`verify` as a job in the background, and what the newest one found; for administrators, as it names patients."""
    st.markdown(
        "Compares every file's hash, every sidecar, the database and the audit chain, as `python cli.py data verify` "
        "does. Others can go on working meanwhile, and so can you."
    )
    state = rights.button(store, person, verify.ACTION)
    if state["disabled"]:
        st.info(plain(state["help"] or ""))
        return
    newest = _newest_check(store)
    if newest is not None and newest.status != "done":
        job_panel.job_panel(newest.job_id, "Check")
        newest = _newest_check(store)  # as it ended meanwhile, or else the panel runs the page again when it does
    under_way = newest is not None and newest.status not in FINAL
    done = next(iter(store.jobs.newest(1, status="done", kind=verify.NAME)), None)
    full = st.checkbox(
        "Hash every file anew", help="Else only files that do not look as they did when they were last found well."
    )
    # By a callback: a click that follows at once, as on another tab, would end the run that was to see the press.
    words = "Check again" if done else "Check now"
    st.button(words, type="primary", disabled=under_way, on_click=_begin_check, args=(full,))
    if done is not None and done.result is not None:
        _found(done, done.result)


def _begin_check(full: bool) -> None:
    with shell.guarded():
        resources.get_runner().submit(verify.NAME, {"full": full}, shell.person())


def _found(job: Job, result: JsonObject) -> None:
    """What a check found, when, and who asked for it."""
    how = "every file hashed" if result["full"] else "files hashed that did not look as before"
    st.caption(f"Done {plain(_minute(job.updated_at))} (UTC), asked for by {plain(job.person)}; {plain(how)}.")
    count = int(result["count"])
    if count:
        said = "1 problem" if count == 1 else f"{count} problems"
        st.error(f"{said}. `python cli.py data rebuild` makes the database again from the files.")
        for problem in result["problems"]:
            st.markdown(f"- {plain(problem)}")
        if count > len(result["problems"]):
            st.markdown(f"- and {count - len(result['problems'])} more: `python cli.py data verify` names them all")
    else:
        st.success("Files, sidecars and database agree.", icon=":material/verified:")
    if lines := result["remarks"]:
        st.markdown("**No damage, but worth knowing**")
        for line in lines:
            st.markdown(f"- {plain(line)}")
