"""The people of the system page: their roles, who signs in under which name, and who is kept out."""

from __future__ import annotations

import streamlit as st

from core.access import ADMINISTRATOR, READER, ROLES, datasets_of
from core.remembered.rows import Person
from pages.ui.guard import rights, signin
from pages.ui.shared.text import cells, plain
from store import SeenStore

MAY = {
    "viewer": "look, change nothing",
    "reader": "import, segment, draw, decide, cancel jobs",
    "adjudicator": "the same, and set blind reading, compare readers",
    "administrator": "everything, also people, grants, checks",
}
ALL, SOME = "All data sets", "Only these"


def people(store: SeenStore, person: str) -> None:
    """Who may be named on a record, and what their role lets them do; an administrator adds and changes."""
    known = store.people.all()
    st.dataframe(cells([_row(one) for one in known]), hide_index=True, width="stretch")
    if not signin.configured():
        st.caption(f"{signin.DEMO}. docs/operation.md says how people sign in.")
    reason = rights.why_not(store, person, "person.added")
    if reason:
        st.info(plain(reason))
    elif not any(one.role == ADMINISTRATOR for one in known):
        st.info("Nobody is an administrator yet, so a reader may add people. Make somebody one.")
    if signin.configured() and reason is None:
        _waiting(store, person)
    _add(store, person)
    names = [one.name for one in known]
    _role(store, person, names)
    _grants(store, person, known)
    _access(store, person, known)
    if reason is None and any(one.identity for one in known):
        _account(store, person, known)


def _row(one: Person) -> dict[str, str]:
    """A person as the table shows them."""
    return {
        "name": one.name,
        "role": one.role,
        "sees": _sees(one),
        "may": "nothing: disabled" if one.disabled else MAY.get(one.role, "nothing: no role of this TwinReview"),
        "signs in as": "" if one.identity is None else one.identity.email or one.identity.subject,
        "since (UTC)": one.added_at[:16].replace("T", " "),
    }


def _sees(one: Person) -> str:
    datasets = datasets_of(one.role, one.datasets)
    return ALL if datasets is None else ", ".join(datasets) or "no data set"


def _add(store: SeenStore, person: str) -> None:
    with st.form("person", border=False):
        name, role = st.columns(2)
        new = name.text_input("Name", max_chars=64, help="As it is to stand beside decisions.")
        chosen = role.selectbox("Role", ROLES, index=ROLES.index(READER))
        if st.form_submit_button("Add", **rights.button(store, person, "person.added")):
            store.people.add(new, chosen, by=person)
            st.rerun()


def _role(store: SeenStore, person: str, names: list[str]) -> None:
    with st.form("role", border=False):
        name, role = st.columns(2)
        whose = name.selectbox("Person", names, key="role-of")
        chosen = role.selectbox("New role", ROLES, key="new-role")
        if st.form_submit_button("Change the role", **rights.button(store, person, "role.set")):
            store.people.add(whose, chosen, by=person)
            st.rerun()


def _grants(store: SeenStore, person: str, known: list[Person]) -> None:
    """Which data sets somebody sees; administrators see all."""
    narrowed = {one.name: one for one in known if one.role != ADMINISTRATOR}
    if not narrowed:
        return
    whose = st.selectbox("Whose data sets", list(narrowed), key="grants-of")
    granted = narrowed[whose].datasets
    with st.form("grants", border=False):
        extent, which = st.columns(2)
        chosen = extent.radio(
            "Sees",
            (ALL, SOME),
            index=int(granted is not None),
            horizontal=True,
            key=f"extent/{whose}/{granted is None}",
            help="All, with those that are still to come; or only those that are named. What is not granted is not "
            "there for them: no list, no page, no file has it.",
        )
        offered = sorted({*store.patients.datasets(), *(granted or ())})
        names = which.multiselect(
            "Data sets", offered, list(granted or ()), key=f"datasets/{whose}/{granted}", accept_new_options=True
        )
        if st.form_submit_button("Give these grants", **rights.button(store, person, "grant.set")):
            store.people.grant(whose, names if chosen == SOME else None, by=person)
            st.rerun()


def _access(store: SeenStore, person: str, known: list[Person]) -> None:
    """Keeps somebody out, at once, and lets them in again."""
    by_name = {one.name: one for one in known}
    whose = st.selectbox("Whose access", list(by_name), key="access-of")
    if by_name[whose].disabled:
        if st.button("Enable", **rights.button(store, person, "person.enabled")):
            store.people.enable(whose, by=person)
            st.rerun()
        return
    hint = "They are out with their next click, in every tab; what they recorded stays under their name."
    if st.button("Disable", **rights.button(store, person, "person.disabled", hint)):
        store.people.disable(whose, by=person)
        st.rerun()


def _waiting(store: SeenStore, person: str) -> None:
    """Accounts that signed in and have no name here: an administrator says whose they are."""
    waiting = {f"{found.name} ({found.identity.subject})": found for found in signin.WAITING.all()}
    if not waiting:
        return
    st.info("Somebody signed in and has no role here. Give the account a name, or leave it.")
    chosen = st.selectbox("Account", list(waiting), key="waiting-account")
    found = waiting[chosen]
    st.code(f"issuer   {found.identity.issuer}\nsubject  {found.identity.subject}", language=None)
    with st.form("waiting", border=False):
        name, role = st.columns(2)
        new = name.text_input("Name beside decisions", found.name[:64], max_chars=64, help="A new one, or one above.")
        given = role.selectbox("Role of the account", ROLES, key="waiting-role")
        if st.form_submit_button("Let this account in", **rights.button(store, person, "person.identified")):
            store.people.add(new, given, by=person)
            store.people.identify(new, found.identity, by=person)
            st.rerun()


def _account(store: SeenStore, person: str, known: list[Person]) -> None:
    """Takes an account from a name again."""
    names = [one.name for one in known if one.identity is not None]
    with st.form("account", border=False):
        whose = st.selectbox("Whose account", names, key="account-of")
        hint = "Nobody signs in under the name then, until an account is given to it again."
        if st.form_submit_button("Take the account away", **rights.button(store, person, "person.identified", hint)):
            store.people.identify(whose, None, by=person)
            st.rerun()
