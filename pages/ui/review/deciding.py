"""A named person's decisions: on a mask version, or on one lesion of it; and what was decided so far."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from core.errors import TwinReviewError
from core.remembered.flips import FlipsMoved
from core.remembered.judgements import GateVerdict
from core.review.decisions import (
    DOUBT_ANSWERED,
    DOUBT_ANSWERED_WORDS,
    LEAST_COMMENT,
    is_own_comment,
    rejected_lesion_ids,
    why_a_word_is_needed,
)
from core.review.doubts import doubts_among
from core.review.link_choices import LinkTable
from core.twin.edit_preview import Edit
from core.types import Decision, MaskRecord
from pages.ui.frame import address, resources, session
from pages.ui.guard import rights
from pages.ui.review.decision_choices import (
    choose_lesion,
    choose_verdict,
    remind,
    settled_words,
    tell_of_ended,
    tell_of_standing,
)
from pages.ui.review.decision_words import DONE, OTHER, REASONS, decision_list
from pages.ui.review.lesion_links import links_to_accept
from pages.ui.review.unsaved import DRAWN, NO_REASON, STORED, choose_mask_meant, save_form, unsaved_draft
from pages.ui.review.verdict_panel import doubt_words, verdict_panel
from pages.ui.shared.edit_notice import Confirmed, confirmed_flips, look_again
from pages.ui.shared.lost_files import file_problem
from pages.ui.shared.text import lesion_words, plain
from store import SeenStore
from store.files.drafts import Draft

#: Stands for a comment of the person's own where only what else refuses an acceptance is asked.
_SOME_COMMENT = "(what the reviewer will say)"


def keep_version(patient: str, timepoint: str) -> None:
    """Before the page chooses a version: the one that was just decided on stays in view.

    A version's name in its box ends in its status. A browser that still has the old name shows that, and asks for
    a version which is no longer there under it, unless the value is set anew.
    """
    if session.DECIDE_TO_OPEN.take(patient, timepoint):
        session.REVIEW_TAB.set("Decide", "mask")
    version = session.DECIDED_VERSION.take(patient, timepoint)
    if version is not None:
        session.VERSION.set(version, patient, timepoint)


@st.dialog("Decide")
def decision_dialog(
    store: SeenStore, patient: str, timepoint: str, record: MaskRecord, person: str, verdict: str
) -> None:
    """Asks for the reason of a decision that was begun by a key in the viewer."""
    drawn = unsaved_draft(store, patient, timepoint, record.version, person)
    settled = record.status == "accepted" and not store.decisions.doubted_since(record)
    if settled and verdict == "accept" and drawn is None:
        st.success(f"v{record.version} is accepted already. There is nothing to decide.")
        st.caption("To take it back, switch on “Withdraw the acceptance” in the Decide tab.")
        return
    decision_form(store, patient, timepoint, record, person, verdict, drawn=drawn, verdicts="dialog")


def decision_form(
    store: SeenStore,
    patient: str,
    timepoint: str,
    record: MaskRecord,
    person: str,
    verdict: str | None = None,
    keys: bool = True,
    drawn: Draft | None = None,
    verdicts: str = "form",
) -> None:
    """Takes a decision where one is possible, and lists those of the timepoint.

    Args:
        verdict: "accept" or "reject" where it was chosen already; None lets the visitor choose.
        keys: whether keys choose lesions, which only one form of a page may let them.
        drawn: the person's strokes on that version, where they are on the picture beside the form.
        verdicts: what tells the gates' verdicts in the form apart from others on the page; "" shows none.
    """
    if said := session.SAVED_FIRST.get(record.mask_id):
        st.info(plain(said), icon=":material/save:")
    if verdicts:
        verdict_panel(store, patient, timepoint, record, person, verdicts)
    tell_of_ended(store, patient, timepoint, person)
    if record.status == "accepted" and file_problem(store, record):
        st.warning("This version is accepted, but its file cannot be read: it is not in the curve.")
    elif record.status != "proposed":
        {"accepted": st.success, "rejected": st.error}.get(record.status, st.info)(settled_words(record))
    if why := store.decisions.to_affirm().get(record.mask_id):
        st.warning(f"Waits to be affirmed: {plain(why)}. It is out of the curve until somebody accepts it anew.")
    versions = {r.mask_id: r.version for r in store.masks.of(patient, timepoint)}
    said_of = [d for d in store.decisions.of(patient, timepoint) if d.mask_id in versions]
    own = [d for d in said_of if d.mask_id == record.mask_id]
    if not _accept_drawn(store, record, person, drawn, verdict, verdicts) and record.status != "rejected":
        _ask(store, record, person, verdict, own, keys, drawn)
    decision_list(said_of, versions)


def _accept_drawn(
    store: SeenStore, record: MaskRecord, person: str, drawn: Draft | None, verdict: str | None, at: str
) -> bool:
    """Asks which mask is meant while another one is on the picture; False where the stored one is decided on."""
    if drawn is None:
        return False
    if verdict == "reject":
        st.warning(f"What is drawn is not part of v{record.version}. It stays a draft.")
        return False
    at = f"{record.mask_id}-{drawn.draft_id}-{at}"
    meant = choose_mask_meant(store, record, at)
    if meant == DRAWN:
        save_form(store, drawn, person, at)
    return meant != STORED


def _ask(
    store: SeenStore,
    record: MaskRecord,
    person: str,
    verdict: str | None,
    decisions: Sequence[Decision],
    keys: bool,
    drawn: Draft | None,
) -> None:
    """The widgets of one decision; writes it when its button is pressed."""
    at = f"{record.mask_id}-{record.status}-{len(decisions)}-{verdict}"
    lesion = choose_lesion(record, at)
    if lesion is not None and verdict is None:
        address.note("lesion", lesion)
    remind(store, record, lesion)
    doubts = doubts_among(store.verdicts.standing(record)) if lesion is None else ()
    since = lesion is None and store.decisions.doubted_since(record)
    chosen = choose_verdict(record, lesion, decisions, verdict, at, bool(doubts), since)
    if chosen is None:
        return
    at = f"{at}-{lesion}-{chosen}"
    whole = lesion is None and chosen == "accept"
    table = links_to_accept(store, record, person, at, keys) if whole else None
    needed = _word_needed(store, record) if whole else ""
    if whole:
        tell_of_standing(store, record, person)
    answering = doubts if whole else ()
    reason, comment = _ask_why(lesion, chosen, answering, needed, at)
    what = _what(record, lesion, table, whole) + (" without what is drawn" if drawn is not None else "")
    refused = _why_not(store, record, person, lesion, table) if chosen == "accept" else None
    edit = Edit(chosen, lesion, *((table.changes, table.not_lesions) if table else ()))
    told = Confirmed() if refused else confirmed_flips(store, record, edit, f"flips-{at}")
    refused = refused or _unanswered(reason, comment, answering) or told.why_not
    state = rights.button(store, person, "mask.decided", refused, disabled=refused is not None)
    label = f"{plain('Affirm' if since and whole else chosen.capitalize())} {plain(what)}"
    pressed = st.button(label, type="primary", key=f"decide-{at}", **state)
    if state["disabled"] and state["help"]:
        st.caption(plain(state["help"]))
    if not pressed or not told.counts or reason is None:
        return
    if reason == OTHER and not comment:
        st.warning("Say in the comment what the reason is.")
        return
    if needed and len(comment) < LEAST_COMMENT:
        st.warning("Say in the comment where the tumour went.")
        return
    try:
        _write(store, record, edit, person, (reason, comment), told)
    except FlipsMoved as error:
        look_again(error, record)
    except TwinReviewError as error:
        st.error(plain(error))
        return
    st.toast(f"{plain(what)} {DONE[chosen]}.")
    session.SAVED_FIRST.drop(record.mask_id)
    session.DECIDED_VERSION.set(record.version, record.patient_id, record.timepoint)
    st.rerun()


def _ask_why(
    lesion: str | None, chosen: str, answering: Sequence[GateVerdict], needed: str, at: str
) -> tuple[str | None, str]:
    """Reason and comment, of which nothing is chosen before; while a gate doubts what is accepted there is one reason.

    Args:
        answering: the doubts that the decision answers. needed: why it needs a comment, or "".
    """
    reasons = REASONS["reject lesion" if lesion and chosen == "reject" else chosen]
    if answering:
        reasons = {DOUBT_ANSWERED: DOUBT_ANSWERED_WORDS}
        st.warning(f"Accepting it overrules the {plain(doubt_words(answering))}.")
    reason = st.selectbox(
        "Reason",
        list(reasons),
        index=None,
        format_func=lambda r: reasons[r],
        key=f"reason-{at}-{bool(answering)}",
        placeholder="Choose",
        help="Recorded with your name in the audit log.",
    )
    if needed:
        st.info(plain(needed), icon=":material/help:")
    hint = "where did the tumour go?" if needed else "… because" if answering else "optional"
    comment = st.text_input("Comment", key=f"comment-{at}", placeholder=hint, max_chars=500).strip()
    return reason, comment


def _unanswered(reason: str | None, comment: str, answering: Sequence[GateVerdict]) -> str | None:
    """What is still to be said, for the button; None where nothing is."""
    if reason is None:
        return NO_REASON
    if answering and not is_own_comment(comment, answering):
        return "Say in the comment, in your own words, why it is fine. Enter takes it over."
    return None


def _what(record: MaskRecord, lesion: str | None, table: LinkTable | None, whole: bool) -> str:
    """What is decided on: "v2", "v2 without L3", "L3 of v2". Not escaped."""
    out = [lesion_words(name) for name in sorted(rejected_lesion_ids(record))] if whole else []
    out += _left_out(table) if whole and table else []
    what = f"{lesion_words(lesion)} of v{record.version}" if lesion else f"v{record.version}"
    return what + (f" without {', '.join(out)}" if out else "")


def _write(
    store: SeenStore, record: MaskRecord, edit: Edit, person: str, why: tuple[str, str], told: Confirmed
) -> None:
    """Records the decision: an acceptance with what was said of the lesions."""
    from core.jobs.stages import deciding

    deciding.decide(store, record, edit, person, *why, confirmed=told.flips)
    resources.reference_changed()


def _left_out(table: LinkTable) -> list[str]:
    """Labels that were said to be no lesion, in words."""
    return [f"label {label}" for label in table.not_lesions]


def _word_needed(store: SeenStore, record: MaskRecord) -> str:
    """Why accepting this version needs a comment; "" where it does not."""
    accepted = [one for one in store.masks.of(record.patient_id) if one.status == "accepted"]
    return why_a_word_is_needed(record, accepted, "")


def _why_not(
    store: SeenStore, record: MaskRecord, person: str, lesion: str | None, table: LinkTable | None
) -> str | None:
    """Why the store would refuse to accept this version whatever is said of it; None where it would not."""
    if file_problem(store, record):
        return "Its file cannot be read, so nobody can accept it."
    if lesion is None and table is None:
        return "Its lesions could not be told. Tell them anew first."
    if table is not None and table.labels and len(table.not_lesions) == len(table.labels):
        return "No label is a lesion: reject the version instead."
    return store.decisions.why_not_accept(record, person, _SOME_COMMENT, lesion, DOUBT_ANSWERED) or None
