"""Putting right what came in wrong: to another date or patient, out of lists and curves, one patient's record into
another's, or a patient gone for good. Each with its reason, and with what was done before."""

from __future__ import annotations

import datetime as dt

import streamlit as st

from core.remembered.rows import Correction
from core.remembered.untyped import TableRow
from pages.ui.frame import address, session, shell
from pages.ui.guard import rights
from pages.ui.shared.text import cells, plain
from store import SeenStore

#: As the page names the tab.
TAB = "Put right"
MOVE, WITHDRAW, MERGE, DELETE = "Move", "Withdraw", "Merge", "Delete for good"
ACTIONS = (MOVE, WITHDRAW, MERGE, DELETE)
#: action of the audit -> what was done, in a word.
_DONE = {
    "timepoint.moved": "moved",
    "scan.moved": "moved",
    "timepoint.withdrawn": "withdrawn",
    "scan.withdrawn": "withdrawn",
    "timepoint.restored": "restored",
    "scan.restored": "restored",
    "patients.merged": "merged",
    "patient.deleted": "deleted",
}
_EVERYTHING = "everything of this day"
_OTHERS = "another patient of the list"


def put_right_tab(store: SeenStore, patient: str | None) -> None:
    """Draws the tab for the chosen patient."""
    done = session.PUT_RIGHT_DONE.take()
    if done:
        st.success(plain(done))
    if patient is None:
        st.info("Choose the patient in the sidebar first.")
        _withdrawn(store, None)
        return
    action = st.segmented_control(
        "What is to be done",
        ACTIONS,
        default=MOVE,
        key=session.PUT_RIGHT_ACTION.key(patient),
        help="Every change stays in the audit with its reason. A withdrawal can be taken back; a deletion cannot.",
    )
    if action == MOVE:
        _move(store, patient)
    elif action == WITHDRAW:
        _withdraw(store, patient)
    elif action == MERGE:
        _merge(store, patient)
    elif action == DELETE:
        _delete(store, patient)
    _withdrawn(store, patient)
    _history(store, patient)


def _what(store: SeenStore, patient: str, action: str) -> tuple[str, str | None]:
    """The timepoint that is meant, and the one scan of it; None for all of it."""
    first, second = st.columns(2)
    day = first.selectbox(
        "Timepoint", store.patients.timepoints(patient), key=session.PUT_RIGHT_DAY.key(patient, action)
    )
    scans = [scan.scan_id for scan in store.scans.of(patient, day)]
    chosen = second.selectbox(
        "What of it",
        [_EVERYTHING, *scans],
        format_func=plain,
        key=session.PUT_RIGHT_SCAN.key(patient, action, day),
        help="A scan that masks lie on goes with its timepoint only.",
    )
    masks = len(store.masks.of(patient, day))
    st.caption(f"{len(scans)} scan{_s(len(scans))} and {masks} mask version{_s(masks)} on {plain(day)}.")
    return day, None if chosen == _EVERYTHING else chosen


def _s(number: int) -> str:
    return "" if number == 1 else "s"


def _reason(patient: str, action: str) -> str:
    return st.text_input(
        "Reason",
        key=session.PUT_RIGHT_REASON.key(patient, action),
        max_chars=500,
        help="What was wrong. It stays in the audit; name no person.",
    ).strip()


def _move(store: SeenStore, patient: str) -> None:
    day, scan_id = _what(store, patient, MOVE)
    first, second = st.columns(2)
    date = first.date_input(
        "The right date",
        dt.date.fromisoformat(day),
        min_value=dt.date(1970, 1, 1),
        max_value=dt.date.today() + dt.timedelta(days=1),
        format="YYYY-MM-DD",
        key=session.PUT_RIGHT_DATE.key(patient, day),
    )
    other = second.text_input(
        "The right patient",
        patient,
        key=session.PUT_RIGHT_PATIENT.key(patient),
        help="A pseudonym. Masks that were accepted wait for a person again where that patient has masks: a lesion's "
        "number is no identity.",
    ).strip()
    reason = _reason(patient, MOVE)
    lacking = None
    if date is None or not other:
        lacking = "Give the date and the patient."
    elif (date.isoformat(), other) == (day, patient):
        lacking = "Give another date or another patient."
    elif not reason:
        lacking = "Say why."
    what = f"Move {plain(scan_id or 'the timepoint')} to {plain(other)}, {plain(date or 'no date')}"
    right = "timepoint.moved" if scan_id is None else "scan.moved"
    if _pressed(store, what, right, lacking) and date is not None:
        place = {"to_patient_id": other, "to_timepoint": date.isoformat(), "reason": reason, "person": shell.person()}
        if scan_id is None:
            done = store.corrections.move_timepoint(patient, day, **place)
        else:
            done = store.corrections.move_scan(patient, day, scan_id, **place)
        _finish(done, other)


def _withdraw(store: SeenStore, patient: str) -> None:
    day, scan_id = _what(store, patient, WITHDRAW)
    reason = _reason(patient, WITHDRAW)
    what = f"Withdraw {plain(scan_id or 'the timepoint')} of {plain(day)}"
    right = "timepoint.withdrawn" if scan_id is None else "scan.withdrawn"
    if _pressed(store, what, right, None if reason else "Say why."):
        said = {"reason": reason, "person": shell.person()}
        if scan_id is None:
            done = store.corrections.withdraw_timepoint(patient, day, **said)
        else:
            done = store.corrections.withdraw_scan(patient, day, scan_id, **said)
        _finish(done, patient)


def _merge(store: SeenStore, patient: str) -> None:
    others = [one.patient_id for one in store.patients.all() if one.patient_id != patient]
    into = st.selectbox(
        f"All timepoints of {plain(patient)} go to",
        others,
        index=None,
        placeholder=_OTHERS,
        format_func=plain,
        key=session.PUT_RIGHT_INTO.key(patient),
        help="For one patient who came in under two pseudonyms. Refused where both have masks of one date.",
    )
    reason = _reason(patient, MERGE)
    lacking = "Choose the other patient." if into is None else None if reason else "Say why."
    if _pressed(store, f"Merge {plain(patient)} into {plain(into or '…')}", "patients.merged", lacking) and into:
        _finish(store.corrections.merge_patients(patient, str(into), reason=reason, person=shell.person()), str(into))


def _delete(store: SeenStore, patient: str) -> None:
    st.warning(
        "Everything of this patient is erased: scans, masks, drafts, what was withdrawn. The audit keeps pseudonym, "
        "dates and volumes; backups keep what they hold. This cannot be taken back."
    )
    confirm = st.text_input(
        f"Type {plain(patient)} to confirm", key=session.PUT_RIGHT_CONFIRM.key(patient), autocomplete="off"
    ).strip()
    reason = _reason(patient, DELETE)
    lacking = "Type the patient's id." if confirm != patient else None if reason else "Say why."
    if _pressed(store, f"Delete {plain(patient)} for good", "patient.deleted", lacking):
        done = store.corrections.delete_patient(patient, confirm=confirm, reason=reason, person=shell.person())
        _finish(done, None)


def _pressed(store: SeenStore, label: str, action: str, lacking: str | None) -> bool:
    state = rights.button(store, shell.person(), action, lacking, disabled=lacking is not None)
    return st.button(label, type="primary", **state)


def _finish(done: Correction, patient: str | None) -> None:
    """Tells what was done on the page that opens, for the patient who is there then."""
    session.PUT_RIGHT_DONE.set(_words(done))
    there = patient is not None and patient in {one.patient_id for one in shell.store().patients.all()}
    address.leave_for("intake", {address.PATIENT: patient if there else None, "tab": TAB})
    st.rerun()


def _words(done: Correction) -> str:
    """What was done, in a sentence."""
    what = done.scan_id or ", ".join(done.timepoints) or "everything"
    words = f"{done.patient_id}, {what}: {_DONE.get(done.action, done.action)}"
    if done.to_patient_id:
        words += f" to {done.to_patient_id}, {', '.join(done.to_timepoints)}"
    words += f" ({done.scans} scan{_s(done.scans)}, {done.masks} mask version{_s(done.masks)})."
    if done.to_affirm:
        words += f" {done.to_affirm} that {'was' if done.to_affirm == 1 else 'were'} accepted must be accepted again."
    if done.forecasts:
        words += f" {done.forecasts} stored forecast{_s(done.forecasts)} set aside."
    return words


def _withdrawn(store: SeenStore, patient: str | None) -> None:
    """What was withdrawn and can be restored."""
    found = [one for one in store.corrections.withdrawn() if patient in (None, one.patient_id)]
    if not found:
        return
    st.subheader("Withdrawn", divider="gray")
    by_id = {str(one.withdrawal_id): one for one in found}
    chosen = st.selectbox(
        "To be restored",
        list(by_id),
        format_func=lambda one: plain(f"{_words(by_id[one])} {by_id[one].reason}"),
        key=session.RESTORED.key(patient or ""),
    )
    reason = _reason(patient or "nobody", "restore")
    one = by_id[chosen]
    right = "scan.restored" if one.scan_id else "timepoint.restored"
    if _pressed(store, "Restore", right, None if reason else "Say why."):
        done = store.corrections.restore(chosen, reason=reason, person=shell.person())
        _finish(done, one.patient_id)


def _history(store: SeenStore, patient: str) -> None:
    found = store.corrections.history(patient)
    if not found:
        return
    st.subheader("Put right before", divider="gray")
    rows: list[TableRow] = [
        {
            "at (UTC)": one.created_at[:16].replace("T", " "),
            "by": one.person,
            "what": _words(one),
            "reason": one.reason,
        }
        for one in reversed(found)
    ]
    st.dataframe(cells(rows), hide_index=True, width="stretch")
