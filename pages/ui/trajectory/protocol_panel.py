"""By what a patient's response is told: criterion, baseline and lesions, set here after what flips was seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from core.errors import InputError, TwinReviewError
from core.remembered.links import lesion_number
from core.remembered.protocols import (
    LEAST_NEW_MM,
    LEAST_NEW_NODE_MM,
    FollowedLesion,
    ResponseProtocol,
    StoredProtocol,
)
from core.remembered.untyped import TableRow
from core.review.event_words import read_events
from core.twin.criteria.table import ABOUT, CRITERIA
from core.twin.protocol_in_force import DEFAULT_CRITERION, ProtocolInForce, protocol_in_force, visit_days
from core.twin.response_change import Foreseen, preview_protocol
from core.twin.timeline import PatientTimeline
from pages.ui.frame import session
from pages.ui.guard import rights
from pages.ui.shared.edit_notice import CONFIRM_FIRST
from pages.ui.shared.text import cells, plain
from pages.ui.trajectory import dataset_protocol
from pages.ui.trajectory.foreseen_notice import confirmed_change
from store import SeenStore

PROPOSED = "proposed"
TARGET, NONTARGET, NOT_FOLLOWED = "target", "non-target", "not followed"
BY_SIZE, CHOSEN = "proposed by size", "chosen here"


@dataclass(frozen=True)
class _Form:
    """The fields of one patient's form; another turn is an empty one."""

    patient: str
    turn: int

    def key(self, name: str) -> str:
        return session.PROTOCOL_FIELD.key(self.patient, self.turn, name)


def show(store: SeenStore, timeline: PatientTimeline) -> None:
    """The section: what is in force, a form to set another, who set what, and the data set's."""
    patient = timeline.patient_id
    if told := session.PROTOCOL_TOLD.take(patient):
        st.success(plain(told))
    if not visit_days(timeline):
        st.caption("A protocol needs an accepted mask: its baseline and its lesions are of these.")
        return
    stored = store.protocols.of(patient)
    try:
        in_force = protocol_in_force(timeline, stored, read_events(store.events.of(patient)))
    except InputError as error:
        st.warning(f"The protocol that was set cannot be followed. {plain(error)}", icon=":material/warning:")
        in_force = None
    why = "" if in_force is None else f" Baseline {in_force.protocol.baseline}: {in_force.baseline_why}."
    st.caption(plain(f"{whose(stored)}{why}"))
    new = _form(timeline, stored, in_force)
    _set_button(store, timeline, stored, new)
    _history(store.protocols.history(patient))
    dataset_protocol.show(store, patient)


def whose(stored: StoredProtocol | None) -> str:
    """Who set what is in force, when and why, in a sentence."""
    if stored is None:
        return "Nobody has set a protocol: RECIST 1.1 with a proposed baseline and targets is assumed."
    whom = "this patient" if stored.patient_id else f"the data set {stored.dataset}"
    return f"Set for {whom} by {stored.person} on {stored.created_at[:10]}: {stored.reason.rstrip('.')}."


def _form(
    timeline: PatientTimeline, stored: StoredProtocol | None, in_force: ProtocolInForce | None
) -> ResponseProtocol | InputError:
    """What is chosen in the form, which opens with what is in force; the error for what is no protocol."""
    said = ResponseProtocol(DEFAULT_CRITERION) if stored is None else stored.protocol
    form = _Form(timeline.patient_id, session.PROTOCOL_TURN.get(timeline.patient_id) or 0)
    first, second, third, fourth = st.columns([4, 4, 2, 2], vertical_alignment="bottom")
    names, days = list(CRITERIA), [PROPOSED, *visit_days(timeline)]
    criterion = first.selectbox(
        "Criterion",
        names,
        index=names.index(said.criterion) if said.criterion in names else 0,
        format_func=lambda name: ABOUT[name].title,
        key=form.key("criterion"),
    )
    proposed = ""
    if in_force is not None and said.baseline is None:
        proposed = f": {in_force.protocol.baseline}"
    baseline = second.selectbox(
        "Baseline",
        days,
        index=days.index(said.baseline) if said.baseline in days else 0,
        format_func=lambda day: f"{PROPOSED}{proposed}" if day == PROPOSED else day,
        key=form.key("baseline"),
        help="The visit that changes are told against. Proposed: the last accepted one before treatment began.",
    )
    least = third.number_input(
        "New from, mm",
        value=float(said.least_new_mm),
        step=1.0,
        format="%g",
        key=form.key("least"),
        help="Longest diameter from which a lesion that was not there counts as new without a person's word "
        f"(usually {LEAST_NEW_MM:g}).",
    )
    node = fourth.number_input(
        "Node from, mm",
        value=float(said.least_new_node_mm),
        step=1.0,
        format="%g",
        key=form.key("node"),
        help=f"The same of a lymph node, by its short axis (usually {LEAST_NEW_NODE_MM:g}).",
    )
    try:
        lesions = _lesions(timeline, said, in_force, form)
        return ResponseProtocol(criterion, None if baseline == PROPOSED else baseline, *lesions, least, node)
    except InputError as error:
        return error


def _lesions(
    timeline: PatientTimeline, said: ResponseProtocol, in_force: ProtocolInForce | None, form: _Form
) -> tuple[tuple[FollowedLesion, ...] | None, tuple[FollowedLesion, ...] | None]:
    """Targets and non-targets as they are chosen; None for both where they are proposed."""
    how = st.segmented_control(
        "Targets and non-target lesions",
        [BY_SIZE, CHOSEN],
        default=BY_SIZE if said.targets is None else CHOSEN,
        required=True,
        key=form.key("how"),
    )
    if how != CHOSEN:
        if in_force is not None and said.targets is None:
            st.dataframe(cells(proposal_rows(in_force)), hide_index=True, width="stretch")
        else:
            st.caption("The largest at baseline: at most five, two an organ.")
        return None, None
    roles = _roles(in_force)
    targets, nontargets = [], []
    for name in [one for one in timeline.lesions if lesion_number(one)]:
        role, lesion = _lesion_row(timeline, name, roles, in_force, form)
        if role == TARGET:
            targets.append(lesion)
        elif role == NONTARGET:
            nontargets.append(lesion)
    if unlinked := [one for one in timeline.lesions if not lesion_number(one)]:
        st.caption(f"Not to be chosen, as nobody has said which lesions they are: {plain(', '.join(unlinked))}.")
    return tuple(targets), tuple(nontargets)


def _roles(in_force: ProtocolInForce | None) -> dict[str, tuple[str, FollowedLesion]]:
    if in_force is None:
        return {}
    protocol = in_force.protocol
    return {one.lesion_id: (NONTARGET, one) for one in protocol.nontargets} | {
        one.lesion_id: (TARGET, one) for one in protocol.targets
    }


def _lesion_row(
    timeline: PatientTimeline,
    name: str,
    roles: dict[str, tuple[str, FollowedLesion]],
    in_force: ProtocolInForce | None,
    form: _Form,
) -> tuple[str, FollowedLesion]:
    """One lesion: what it is, in which organ, whether a node."""
    role, now = roles.get(name, (NOT_FOLLOWED, FollowedLesion(name)))
    what, followed, organ_box, node_box = st.columns([3, 4, 3, 2], vertical_alignment="center")
    what.markdown(f"**{plain(name)}** {plain(_size(timeline, name, in_force))}")
    chosen = followed.segmented_control(
        f"{plain(name)} is followed as",
        [TARGET, NONTARGET, NOT_FOLLOWED],
        default=role,
        required=True,
        key=form.key(f"role-{name}"),
        label_visibility="collapsed",
    )
    organ = organ_box.text_input(
        f"Organ of {plain(name)}",
        value=now.organ,
        key=form.key(f"organ-{name}"),
        placeholder="organ",
        label_visibility="collapsed",
        max_chars=60,
    )
    is_node = node_box.checkbox("lymph node", value=now.is_node, key=form.key(f"is-node-{name}"))
    return str(chosen), FollowedLesion(name, (organ or "").strip(), is_node)


def _size(timeline: PatientTimeline, name: str, in_force: ProtocolInForce | None) -> str:
    """ "34.2 mm at baseline"; what it is there where it is not measured."""
    cell = None if in_force is None else timeline.cell(name, in_force.protocol.baseline)
    if cell is None:
        return ""
    length = cell.longest_diameter_mm
    return f"{cell.state} at baseline" if length is None else f"{length:.1f} mm at baseline"


def proposal_rows(in_force: ProtocolInForce) -> list[TableRow]:
    """A row a lesion at baseline: what is proposed for it, and why it is no target."""
    protocol = in_force.protocol
    return [
        *({"Lesion": one.lesion_id, "Proposed as": TARGET, "Why": in_force.targets_why} for one in protocol.targets),
        *(
            {"Lesion": one.lesion_id, "Proposed as": NONTARGET, "Why": in_force.why_not.get(one.lesion_id, "")}
            for one in protocol.nontargets
        ),
    ]


def _set_button(
    store: SeenStore, timeline: PatientTimeline, stored: StoredProtocol | None, new: ResponseProtocol | InputError
) -> None:
    """What it changes, the reason, and the button that sets it."""
    patient = timeline.patient_id
    form = _Form(patient, session.PROTOCOL_TURN.get(patient) or 0)
    reason = st.text_input("Reason for the protocol", key=form.key("reason"), placeholder="why, in words; it is kept")
    if isinstance(new, InputError):
        st.error(plain(new))
        return
    if (stored.protocol if stored is not None else ResponseProtocol(DEFAULT_CRITERION)) == new:
        found, meant = Foreseen(), True
    else:
        try:
            found = preview_protocol(store, patient, new, store.person, timeline)
        except TwinReviewError as error:
            st.error(plain(error))
            return
        meant = confirmed_change(found, form.key(f"mean-{new}"))
    state = rights.button(store, store.person, "protocol.set", CONFIRM_FIRST if not meant else None, not meant)
    if not st.button("Set the protocol", type="primary", key=form.key("set"), **state) or not meant:
        return
    try:
        store.protocols.set(patient, new, store.person, reason, found.flips, found.told)
    except TwinReviewError as error:
        st.error(plain(error))
        return
    session.PROTOCOL_TURN.set(form.turn + 1, patient)
    session.PROTOCOL_TOLD.set("The protocol is set, and with what it changed in the audit log.", patient)
    st.rerun()


def _history(stored: Sequence[StoredProtocol]) -> None:
    if not stored:
        return
    st.markdown(f"**Set before** ({len(stored)})")
    st.dataframe(cells([history_row(one) for one in reversed(stored)]), hide_index=True, width="stretch")


def history_row(one: StoredProtocol) -> TableRow:
    """One protocol that was set: who, when, what, why, and what it flipped."""
    protocol = one.protocol
    targets = ", ".join(lesion.lesion_id for lesion in protocol.targets or ())
    about = ABOUT.get(protocol.criterion)
    return {
        "When": one.created_at[:16].replace("T", " "),
        "Who": one.person,
        "Criterion": protocol.criterion if about is None else about.title,
        "Baseline": protocol.baseline or PROPOSED,
        "Targets": PROPOSED if protocol.targets is None else targets or "none",
        "Why": one.reason,
        "Calls that changed": "; ".join(
            f"{f.timepoint}: {f.before or 'none'} to {f.after or 'none'}" for f in one.flips
        ),
    }
