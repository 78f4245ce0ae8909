"""What the two gates say of what is shown: verdict, reason, what was nearest, and how often such flags were upheld."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from core.errors import StoreError, TwinReviewError
from core.gates.mask.verdicts import score_mask
from core.remembered.judgements import DOUBTS, PASSES, GateVerdict
from core.review.doubts import scan_gate_verdict
from core.review.gate_record import record_for, record_words
from core.types import MaskRecord
from pages.ui.frame import opening, resources
from pages.ui.guard import rights
from pages.ui.shared.text import lesion_words, plain
from store import SeenStore

#: Of what was nearest so many are named.
NAMED = 5
_SCAN_HELP = "Does it look like those the network knows?"
_MASK_HELP = "Compares it with masks that people accepted."


def standing_verdicts(
    store: SeenStore, patient: str, timepoint: str, record: MaskRecord | None
) -> tuple[GateVerdict, ...]:
    """Of the scan gate and of the mask gate; of the scan gate alone where there is no mask."""
    if record is not None:
        return store.verdicts.standing(record)
    sha256s = [scan.sha256 for scan in store.scans.of(patient, timepoint)]
    return (scan_gate_verdict((patient, timepoint), sha256s, store.verdicts.of_scans(patient, timepoint)),)


def verdict_panel(
    store: SeenStore, patient: str, timepoint: str, record: MaskRecord | None, person: str, at: str = ""
) -> bool:
    """Both verdicts; True when the scans are to be scored, which is a job of the page.

    Args:
        at: of the widgets, where the page has another panel; such a one has no button that starts a job.
    """
    wanted = False
    key = f"{resources.position(store)}/gate-record"
    known = resources.kept(key, lambda: record_for(store, person))
    with st.container(border=True, gap="xsmall", key=f"verdicts-{at}-{patient}-{timepoint}"):
        for verdict in standing_verdicts(store, patient, timepoint, record):
            if verdict.is_doubt:
                st.markdown(verdict_head(verdict))
                st.markdown(doubt_reason(verdict, record_words(known, verdict.gate)))
            with st.container(horizontal=True, gap="xsmall", vertical_alignment="center"):
                if not verdict.is_doubt:
                    st.markdown(verdict_head(verdict), help=plain(verdict.judgement.reason), width="content")
                if verdict.gate == "scan":
                    wanted |= not at and _scan_button(store, person, verdict)
                elif record is not None:
                    _mask_button(store, record, person, verdict, at)
                _nearest(store, verdict, at)
    return wanted


def verdict_head(verdict: GateVerdict) -> str:
    """A verdict as Markdown: what it is, and whether it is stale."""
    said = verdict.judgement
    icon = ":orange[:material/help:]"
    if not verdict.stale and said.verdict == PASSES:
        icon = ":green[:material/check_circle:]"
    elif not verdict.stale and said.verdict == DOUBTS:
        icon = ":orange[:material/warning:]"
    state = f"{said.verdict}, but stale" if verdict.stale else said.verdict
    return f"{icon} **{plain(verdict.gate.capitalize())} gate: {plain(state)}**"


def doubt_reason(verdict: GateVerdict, known: str) -> str:
    """Why it is a doubt, and how often such doubts were upheld here. Args: known: `record_words`."""
    lines = [f":small[{plain(verdict.judgement.reason)}]"]
    if verdict.stale:
        lines = [":small[It was said of other files than those that are there now.]"]
    return "  \n".join([*lines, *([f":small[:gray[{plain(known)}]]"] if known else [])])


def doubt_words(doubts: Sequence[GateVerdict]) -> str:
    """Doubts in a line: "scan gate (cannot be judged), mask gate (doubtful: position)". Not escaped."""
    return ", ".join(f"{one.gate} gate ({_in_brackets(one)})" for one in doubts)


def _in_brackets(doubt: GateVerdict) -> str:
    kinds = ", ".join(doubt.judgement.kinds)
    of_what = f": {kinds}" if kinds else ""
    return f"{doubt.judgement.verdict}{of_what}{', stale' if doubt.stale else ''}"


def _label(what: str, verdict: GateVerdict) -> str | None:
    """Of the button that scores; None where the verdict stands."""
    if verdict.verdict_id is None:
        return f"Score the {what}"
    unjudged = verdict.stale or verdict.judgement.verdict not in (PASSES, DOUBTS)
    return f"Score the {what} again" if unjudged else None


def _scan_button(store: SeenStore, person: str, verdict: GateVerdict) -> bool:
    label = _label("scan", verdict)
    return label is not None and st.button(label, **rights.button(store, person, "ood.scored", _SCAN_HELP))


def _mask_button(store: SeenStore, record: MaskRecord, person: str, verdict: GateVerdict, at: str) -> None:
    label = _label("mask", verdict)
    state = rights.button(store, person, "mask.scored", _MASK_HELP)
    if label is None or not st.button(label, key=f"score-{at}-{record.mask_id}", **state):
        return
    try:
        score_mask(store, record.patient_id, record.timepoint, record.version, person)
    except TwinReviewError as error:
        st.error(plain(error))
        return
    st.rerun()


def _nearest(store: SeenStore, verdict: GateVerdict, at: str) -> None:
    """The reference lesions that it was told by, each a way to it for who may see it."""
    named = verdict.judgement.nearest
    if not named:
        return
    help_text = "Accepted lesions that were most like it when it was judged, the nearest first."
    with st.popover(f"Nearest ({len(named)})", type="tertiary", help=help_text):
        unseen = 0
        for one in named[:NAMED]:
            mask_id, _, lesion_id = one.partition("/")
            try:
                record = store.masks.by_id(mask_id)
            except StoreError:  # of a data set that was not granted, or withdrawn since
                unseen += 1
                continue
            there = lesion_id in {str(lesion["lesion_id"]) for lesion in record.lesions}  # it may be linked anew since
            st.button(
                plain(f"{record.patient_id} · {record.timepoint} · {lesion_words(lesion_id)} of v{record.version}"),
                key=f"nearest-{at}-{verdict.gate}-{mask_id}-{lesion_id}",
                type="tertiary",
                on_click=opening.open_in_review,
                args=(record.patient_id, record.timepoint, record.version, lesion_id if there else None),
            )
        if unseen:
            st.caption(f"{unseen} of them you may not see.")
        if len(named) > NAMED:
            st.caption(f"{len(named) - NAMED} more are on record.")
