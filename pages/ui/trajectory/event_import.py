"""Events from a table (CSV): what would be entered, what is no event line by line, and the click that enters them."""

from __future__ import annotations

import tempfile
from pathlib import Path

import streamlit as st

from core.errors import TwinReviewError
from core.remembered.rows import NewEvent
from core.remembered.untyped import TableRow
from core.review.event_table import COLUMNS, events_of_table, refuse_known
from core.review.events import detail_text
from core.twin.response_change import preview_new_events
from pages.ui.frame import session
from pages.ui.guard import rights, uploads
from pages.ui.shared.edit_notice import CONFIRM_FIRST
from pages.ui.shared.text import cells, plain
from pages.ui.trajectory.event_forms import today
from pages.ui.trajectory.foreseen_notice import confirmed_of_many
from store import SeenStore

#: Of the uploader: its name is about no patient, as a table may be of several.
UPLOADER = "event-table"


def show(store: SeenStore, patient: str) -> None:
    """An uploader, and what stands in its file."""
    files = uploads.uploader(
        UPLOADER,
        "Table of events, of any patients that you see",
        type=["csv"],
        help=f"CSV in UTF-8. Columns: {', '.join(COLUMNS)}; the first 3 always. An empty cell is not given.",
    )
    if not files:
        return
    try:
        with tempfile.TemporaryDirectory() as folder:
            paths = uploads.saved(files, Path(folder))
            new = events_of_table(paths[0], [one.patient_id for one in store.patients.all()], today())
        refuse_known(store.events, new, files[0].name)
        st.dataframe(cells([new_row(one) for one in new]), hide_index=True, width="stretch")
        found = preview_new_events(store, new, store.person)
        turn = session.EVENT_TURN.get(patient) or 0
        key = session.EVENT_FIELD.key(patient, turn, "import", files[0].file_id)
        meant = confirmed_of_many(found, key)
        state = rights.button(store, store.person, "events.imported", CONFIRM_FIRST if not meant else None, not meant)
        if st.button(f"Enter these {len(new)} events", type="primary", key=f"{key}/write-{patient}", **state) and meant:
            store.events.add_all(new, store.person, found.flips, found.told)
            uploads.let_go(UPLOADER, files)
            session.EVENT_TURN.set(turn + 1, patient)
            session.EVENT_TOLD.set(f"{len(new)} events entered.", patient)
            st.rerun()
    except TwinReviewError as error:
        st.error("  \n".join(plain(line) for line in str(error).split("; ")))


def new_row(one: NewEvent) -> TableRow:
    """One event as it would be entered."""
    return {"Patient": one.patient_id, "Date": one.date, "Kind": one.kind, "Detail": detail_text(one.detail)}
