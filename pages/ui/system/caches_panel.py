"""Forgetting what was loaded: for an administrator, as it makes everybody's next page slower."""

from __future__ import annotations

import streamlit as st

from pages.ui.frame import resources
from store import SeenStore


def clear(store: SeenStore, person: str) -> None:
    """A button for administrators; others are told who may."""
    st.markdown("Loaded volumes, fits and pictures are kept in memory for all visitors.")
    administrator = is_administrator(store, person)
    pressed = st.button(
        "Forget what was loaded",
        disabled=not administrator,
        help="It is loaded again when it is asked for. Jobs and drafts are not touched."
        if administrator
        else "An administrator does this.",
    )
    # Asked again: a browser can send a press of a button that it was shown as disabled.
    if pressed and is_administrator(store, person):
        resources.clear_caches()
        st.success("Forgotten.", icon=":material/mop:")


def is_administrator(store: SeenStore, person: str) -> bool:
    """Whether the store knows the person as one."""
    return any(row.name == person and row.role == "administrator" for row in store.people.all())
