"""The protocol of a patient's data set: where it comes from, and a form to set it for all without one of their own."""

from __future__ import annotations

import streamlit as st

from core.errors import TwinReviewError
from core.remembered.protocols import LEAST_NEW_MM, LEAST_NEW_NODE_MM, ResponseProtocol, StoredProtocol
from core.twin.criteria.table import ABOUT, CRITERIA
from core.twin.protocol_in_force import DEFAULT_CRITERION
from core.twin.response_change import preview_dataset_protocol
from pages.ui.frame import session
from pages.ui.guard import rights
from pages.ui.shared.edit_notice import CONFIRM_FIRST
from pages.ui.shared.text import plain
from pages.ui.trajectory.foreseen_notice import confirmed_of_many
from store import SeenStore


def show(store: SeenStore, patient: str) -> None:
    """Says what the data set's protocol is, and opens the form to who may set it."""
    dataset = next((one.dataset for one in store.patients.all() if one.patient_id == patient), None)
    if dataset is None:
        return
    set_before = store.protocols.of_dataset(dataset)
    newest = set_before[-1] if set_before else None
    turn = session.PROTOCOL_TURN.get(patient) or 0
    st.markdown(f"**Protocol of the data set {plain(dataset)}**")
    st.caption(plain(of_dataset_words(dataset, newest)))
    why_not = rights.why_not(store, store.person, "protocol.set")
    if why_not is not None:
        st.caption(plain(why_not))
    # Its flips are those of every patient: nobody waits for them who does not ask.
    elif st.toggle("Set it anew", key=session.DATASET_PROTOCOL.key(dataset, turn, "anew")):
        _form(store, patient, dataset, newest, turn)


def of_dataset_words(dataset: str, newest: StoredProtocol | None) -> str:
    """What stands for a data set, who set it and why."""
    if newest is None:
        return f"Nobody has set a protocol for the data set {dataset}."
    protocol = newest.protocol
    about = ABOUT.get(protocol.criterion)
    return (
        f"{protocol.criterion if about is None else about.title}; new lesions from {protocol.least_new_mm:g} mm (nodes "
        f"{protocol.least_new_node_mm:g} mm). Set by {newest.person} on {newest.created_at[:10]}: {newest.reason}. It "
        "counts for patients without a protocol of their own."
    )


def _form(store: SeenStore, patient: str, dataset: str, newest: StoredProtocol | None, turn: int) -> None:
    now = ResponseProtocol(DEFAULT_CRITERION) if newest is None else newest.protocol
    names = list(CRITERIA)

    def key(name: str) -> str:
        return session.DATASET_PROTOCOL.key(dataset, turn, name)

    first, second, third = st.columns([4, 2, 2], vertical_alignment="bottom")
    criterion = first.selectbox(
        "Criterion of the data set",
        names,
        index=names.index(now.criterion) if now.criterion in names else 0,
        format_func=lambda name: ABOUT[name].title,
        key=key("criterion"),
    )
    least = second.number_input(
        "New from, mm ",
        value=float(now.least_new_mm),
        step=1.0,
        format="%g",
        key=key("least"),
        help=f"Usually {LEAST_NEW_MM:g}.",
    )
    node = third.number_input(
        "Node from, mm ",
        value=float(now.least_new_node_mm),
        step=1.0,
        format="%g",
        key=key("node"),
        help=f"Usually {LEAST_NEW_NODE_MM:g}.",
    )
    reason = st.text_input("Reason for the data set's protocol", key=key("reason"), placeholder="why, in words")
    try:
        new = ResponseProtocol(criterion, None, None, None, least, node)
        with st.spinner("Looking what it changes for each patient"):
            found = preview_dataset_protocol(store, dataset, new, store.person)
        meant = confirmed_of_many(found, key(f"mean-{new}"))
        state = rights.button(store, store.person, "protocol.set", CONFIRM_FIRST if not meant else None, not meant)
        if st.button("Set for the data set", key=key("set"), **state) and meant:
            store.protocols.set_for_dataset(dataset, new, store.person, reason, found.flips, found.told)
            session.PROTOCOL_TURN.set(turn + 1, patient)
            session.PROTOCOL_TOLD.set(f"The protocol of the data set {dataset} is set.", patient)
            st.rerun()
    except TwinReviewError as error:
        st.error(plain(error))
