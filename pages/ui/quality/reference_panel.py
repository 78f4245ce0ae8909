"""References of the scan gate made of own scans: mark scans, fit a gate, compare it, put it in force, go back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import streamlit as st

from core.gates.scan import reference_sets
from core.gates.scan.reference import IN_DISTRIBUTION
from core.gates.scan.reference_sets import SHIPPED, FittedSet, MarkedSet
from core.jobs.stages.scan_reference import JOB, exposures
from core.remembered.untyped import JsonObject
from pages.ui.frame import resources, session, shell
from pages.ui.guard import rights
from pages.ui.shared import job_panel
from pages.ui.shared.text import cells, plain
from store import SeenStore

ACTION = "gate_reference.set"
NOT_MARKED = "not marked"
SET_HELP = "A name; a new one begins a new set. Every mark makes the set's next version."
KIND_HELP = (
    "In distribution: the network is made for such scans. Anything else: of what kind they are not; type your own."
)
FAULT_HELP = "Made from each scan in distribution, so that the gate has seen such faults."
SHIPPED_HELP = "With the scans that TwinReview comes with. Without, at least 19 scans in distribution are needed."


def reference_panel(store: SeenStore, person: str) -> None:
    """What is marked, what was fitted to it, and which gate is in force."""
    st.subheader("References made here", divider="gray")
    now, fitted = reference_sets.gate_in_force(store), reference_sets.fitted_sets(store)
    marked = reference_sets.marked_sets(store)
    name = "the one that comes with TwinReview" if now is None else f"“{now.gate}”"
    st.markdown(f"In force: **{plain(name)}**.")
    if told := session.REFERENCE_TOLD.take():
        st.success(plain(told), icon=":material/check_circle:")
    if reason := rights.why_not(store, person, ACTION):
        st.caption(plain(reason))
    _marking(store, person, marked)
    if marked:
        _fitting(store, person, marked)
    else:
        st.caption("No scan is marked yet. A gate can be fitted once some are.")
    for gate in reversed(fitted.values()):
        _gate(store, person, gate, is_in_force=now is not None and now.gate == gate.gate)
    if now is not None:
        _back(store, person)


def _marking(store: SeenStore, person: str, marked: Mapping[str, MarkedSet]) -> None:
    """The form that marks a timepoint's scans."""
    places = [
        (one.patient_id, day) for one in store.patients.all() for day in store.patients.timepoints(one.patient_id)
    ]
    if not places:
        st.caption("There are no scans to mark yet. Import some first.")
        return
    with st.form("mark-scans", border=True):
        which, where, what = st.columns(3)
        name = which.selectbox(
            "Set",
            sorted(marked),
            index=0 if marked else None,
            accept_new_options=True,
            help=SET_HELP,
            key=session.MARK_SET.key(),
        )
        place = where.selectbox(
            "Scans of",
            places,
            index=None,
            format_func=lambda one: " · ".join(map(plain, one)),
            key=session.MARK_PLACE.key(),
        )
        kinds = [IN_DISTRIBUTION, *exposures(), NOT_MARKED]
        kind = what.selectbox(
            "Are", kinds, index=None, accept_new_options=True, help=KIND_HELP, key=session.MARK_KIND.key()
        )
        pressed = st.form_submit_button("Mark", **rights.button(store, person, ACTION))
    if not pressed:
        return
    if not name or place is None or not kind:
        st.warning("Choose a set, the scans, and what they are.")
        return
    with shell.guarded():
        made = reference_sets.mark(store, name, *place, None if kind == NOT_MARKED else kind, person)
        session.REFERENCE_TOLD.set(f"{place[0]} on {place[1]} is {kind} in {made.name}, version {made.version}.")
        st.rerun()


def _fitting(store: SeenStore, person: str, marked: Mapping[str, MarkedSet]) -> None:
    """What is marked, and the form that fits a gate to it."""
    st.dataframe(cells([row for one in marked.values() for row in _counts(one)]), hide_index=True, height="content")
    with st.form("fit-scan-gate", border=True):
        which, made, alone = st.columns([2, 3, 2], vertical_alignment="bottom")
        name = which.selectbox("Fit to", sorted(marked), key=session.FIT_SET.key())
        faults = made.multiselect(
            "With faults made from them", exposures(), help=FAULT_HELP, key=session.FIT_FAULTS.key()
        )
        with_shipped = alone.checkbox(
            "And the shipped reference", value=True, help=SHIPPED_HELP, key=session.FIT_SHIPPED.key()
        )
        hint = "Some seconds a scan and fault; it is not in force before somebody says so."
        pressed = st.form_submit_button(
            "Fit", icon=":material/play_arrow:", **rights.button(store, person, ACTION, hint)
        )
    if pressed:
        with shell.guarded():
            args = {"name": name, "exposures": list(faults), "with_shipped": with_shipped}
            session.REFERENCE_JOB.set(resources.get_runner().submit(JOB, args, person))
    if job_id := session.REFERENCE_JOB.get():
        job_panel.job_panel(job_id, "Fit of a scan gate")


def _counts(one: MarkedSet) -> list[dict[str, object]]:
    kinds = Counter(member.kind for member in one.members)
    return [
        {"Set": one.name, "Version": one.version, "Scans are": kind, "Timepoints": n, "By": one.person}
        for kind, n in kinds.items()
    ]


def _gate(store: SeenStore, person: str, gate: FittedSet, *, is_in_force: bool) -> None:
    """A fitted gate with its figures, and the button that puts it in force."""
    state = " (in force)" if is_in_force else ""
    with st.expander(f"{plain(gate.gate)}{state}", expanded=not is_in_force):
        faults = ", ".join(gate.exposures) or "none"
        shipped = "with" if gate.with_shipped else "without"
        st.caption(
            plain(f"Fitted by {gate.person}, {gate.created_at[:16].replace('T', ' ')} UTC; faults made: {faults}; ")
            + f"{shipped} the shipped reference."
        )
        st.dataframe(cells([_figure(row) for row in gate.figures]), hide_index=True, height="content")
        st.caption(
            "How many of each kind are flagged. In distribution: fewer is better; every other kind: more is better. A "
            "scan is judged by forests that saw none of its patient; few scans make rough figures."
        )
        for note in gate.notes:
            st.warning(plain(note))
        if not is_in_force and st.button(
            "Put in force",
            key=f"use-{gate.set_id}",
            **rights.button(store, person, ACTION, "Accepted timepoints are scored again by it, one after the other."),
        ):
            with shell.guarded():
                reference_sets.use(store, gate.gate, person)
                session.REFERENCE_TOLD.set(
                    f"{gate.gate} is in force. What is accepted is scored again in the background."
                )
                st.rerun()


def _figure(row: JsonObject) -> dict[str, object]:
    return {
        "Scans": "made or marked here" if row["origin"] == "own" else "shipped",
        "Kind": row["kind"],
        "n": row["scans"],
        "Flagged by the gate in force then": row["in_force"],
        "Flagged by this one": row["candidate"],
    }


def _back(store: SeenStore, person: str) -> None:
    hint = "The gate that was in force before; what is accepted is scored again by it."
    back, shipped = st.columns(2)
    if back.button("Go back to the one before", **rights.button(store, person, ACTION, hint)):
        with shell.guarded():
            session.REFERENCE_TOLD.set(f"In force again: {reference_sets.go_back(store, person)}.")
            st.rerun()
    if shipped.button("Use the shipped one", **rights.button(store, person, ACTION)):
        with shell.guarded():
            session.REFERENCE_TOLD.set(f"In force: {reference_sets.use(store, SHIPPED, person)}.")
            st.rerun()
