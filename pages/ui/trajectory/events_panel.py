"""A patient's events: what is on record and how rules read it, and forms to enter, correct and withdraw one."""

from __future__ import annotations

import streamlit as st

from core.remembered.rows import EventRecord
from core.remembered.untyped import TableRow
from core.review.event_words import read_event, read_events
from core.review.events import event_text
from core.twin.criteria.assessments import unheard_assessments
from core.twin.protocol_in_force import visit_days
from core.twin.timeline import PatientTimeline
from pages.ui.frame import session
from pages.ui.shared.text import cells, plain
from pages.ui.trajectory import event_forms, event_import
from store import SeenStore

ENTER, CORRECT, WITHDRAW, IMPORT = "Enter", "Correct", "Withdraw", "Import a table"


def show(store: SeenStore, timeline: PatientTimeline) -> None:
    """The section: the table of events, and one form."""
    patient = timeline.patient_id
    if told := session.EVENT_TOLD.take(patient):
        st.success(plain(told))
    history = sorted(store.events.history(patient), key=lambda one: one.date)
    _table(patient, history)
    standing = [one for one in history if one.stands]
    if days := unheard_assessments(read_events(standing), visit_days(timeline)):
        st.warning(
            f"An assessment on {plain(', '.join(days))} counts nowhere: no visit with an accepted mask is on that day. "
            "Correct its day, or accept a mask there.",
            icon=":material/warning:",
        )
    form = st.segmented_control(
        "What to do with events",
        [ENTER, *([CORRECT, WITHDRAW] if standing else []), IMPORT],
        default=ENTER,
        required=True,
        key=session.EVENT_FORM.key(patient),
        label_visibility="collapsed",
    )
    if form == CORRECT:
        event_forms.correct(store, timeline, standing)
    elif form == WITHDRAW:
        event_forms.withdraw(store, timeline, standing)
    elif form == IMPORT:
        event_import.show(store, patient)
    else:
        event_forms.enter(store, timeline)


def _table(patient: str, history: list[EventRecord]) -> None:
    standing = [one for one in history if one.stands]
    gone = len(history) - len(standing)
    label = f"Also those that stand no more ({gone})"
    shown = history if gone and st.toggle(label, key=session.EVENT_CHOSEN.key(patient, "gone")) else standing
    if not shown:
        st.caption("No event is on record.")
        return
    st.dataframe(
        cells([event_row(one, with_end=len(shown) > len(standing)) for one in shown]),
        hide_index=True,
        width="stretch",
        column_config={
            "Event": st.column_config.TextColumn(width="large"),
            "Read by rules as": st.column_config.TextColumn(help="What the response and the forecast take it for."),
            "Not recognised": st.column_config.TextColumn(help="Words of it that no rule reads."),
        },
    )


def event_row(one: EventRecord, *, with_end: bool) -> TableRow:
    """One event: as it was entered, how rules read it, who entered it and when, and what became of it."""
    read = read_event(one)
    row: dict[str, object] = {
        "Date": one.date,
        "Event": event_text(one),
        "Read by rules as": "nothing" if read.kind is None else str(read.kind),
        "Not recognised": read.not_recognised,
        "Who": one.person,
        "When": one.created_at[:16].replace("T", " "),
    }
    if with_end:
        how = "corrected" if one.replaced_by else "withdrawn"
        row["Stands"] = "yes" if one.stands else f"{how} by {one.withdrawn_by}: {one.withdrawn_reason}"
    return row
