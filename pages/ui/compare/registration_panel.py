"""The registration of two timepoints: one scan over the other, what is known of it, and a person's word on it."""

from __future__ import annotations

import math
from typing import Literal

import streamlit as st

from core.errors import TwinReviewError
from core.remembered.links import StoredTransform
from core.remembered.untyped import JsonObject, TableRow
from pages.ui.compare import correcting
from pages.ui.frame import session, visible
from pages.ui.guard import rights
from pages.ui.shared.text import cells, plain
from pages.ui.viewer import viewer
from pages.ui.viewer.describe import Shown, linking, viewer_data
from store import SeenStore

#: What stands above the picture, screen pixels.
ABOVE_PX = 172
#: State -> icon, colour, and what it means.
_STATES: dict[str, tuple[str, Literal["green", "orange", "red"], str]] = {
    "good": (":material/check:", "green", "The program relies on it. Nobody has looked at it yet."),
    "doubtful": (
        ":material/help:",
        "orange",
        "The program found it and doubts it: the scans are linked by it, and a person has to look.",
    ),
    "failed": (":material/link_off:", "red", "The program does not rely on it: it links nothing and numbers nothing."),
    "accepted": (":material/verified:", "green", "A person looked at it and stands for it."),
    "refused": (":material/block:", "red", "A person refused it: it links nothing and numbers nothing."),
}
METHODS = {"rigid": "found by the program", "adjusted": "moved by hand", "landmarks": "set by landmarks"}
OVERLAP_HELP = "Share of the smaller field of view that lies inside the other one; nothing can be linked outside it."
NAMES = {
    "information": "Mutual information",
    "blocks_at_home": "Small pieces in their place",
    "blocks": "Small pieces looked for",
    "block_distance": "Distance of small pieces",
    "outline": "Outlines, Dice",
    "outline_distance": "Distance of the outlines",
    "inverse": "There and back again",
    "rival": "Next best place",
    "residual": "Left at the landmarks",
    "worst": "Left at the worst one",
}


def registration_panel(
    store: SeenStore, patient: str, days: tuple[str, str], found: StoredTransform, person: str
) -> None:
    """The two scans over each other at the left; at the right what is known of it and what may be done."""
    picture, panel = st.columns([7, 3], gap="small")
    correction = correcting.begun(store, patient, days, found)
    with picture:
        told = _picture(store, patient, days, correction, person)
    correcting.take(correction, told)
    with panel:
        _state(found)
        with st.container():  # there while it is empty too, so that the fields below keep their place and the focus
            _judge(store, found, correction, person)
        correcting.correction_panel(store, correction, person)
        _others(store, found)


def _picture(
    store: SeenStore, patient: str, days: tuple[str, str], correction: correcting.Correction, person: str
) -> JsonObject:
    panes = [Shown(day, visible.best(store, patient, day), title=day) for day in days]
    may = rights.why_not(store, person, "transform.added") is None
    data = viewer_data(
        store,
        patient,
        panes,
        person,
        mode="registration",
        link={**linking(correction.found), "matrix": correction.matrix},
        registration=correction.told(may),
    )
    return viewer(data, key=f"registration-{patient}-{'-'.join(days)}", above_px=ABOVE_PX)


def _state(found: StoredTransform) -> None:
    """The state as a badge, why, who and when, and the figures."""
    state = found.registration_state
    icon, colour, means = _STATES[state]
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.badge(state, icon=icon, color=colour, help=means)
        st.caption(plain(METHODS[found.method]), width="content")
    if found.verdict is not None:
        reason = f": {found.judged_reason}" if found.judged_reason else ""
        st.markdown(f"{found.verdict.capitalize()} by {plain(found.judged_by)}{plain(reason)}")
    if found.message != "converged":
        (st.caption if found.numbers_lesions else st.markdown)(plain(found.message))
    with st.container(gap=None):
        overlap = "not measured" if found.overlap is None else f"{found.overlap:.0%}"
        st.caption(f"Overlap: **{plain(overlap)}**", help=OVERLAP_HELP)
        for name, figure in found.figures.items():
            if name != "overlap":
                st.caption(_figure(name, figure), help=plain(str(figure.get("means", ""))))
        st.caption(_made(found), help="Every transform is kept, with who made it and who judged it.")


def _figure(name: str, figure: JsonObject) -> str:
    """One figure as Markdown: its name, value and unit; "not measured" is no number."""
    words = NAMES.get(name, name.replace("_", " ").capitalize())
    value, unit = figure.get("value"), str(figure.get("unit", ""))
    if not isinstance(value, int | float) or not math.isfinite(value):
        return f"{plain(words)}: **not measured**"
    if unit == "share":
        return f"{plain(words)}: **{value:.0%}**"
    digits = f"{value:.0f}" if float(value).is_integer() else f"{value:.1f}" if unit == "mm" else f"{value:.2f}"
    return f"{plain(words)}: **{plain(digits)}{'' if unit == '1' else ' ' + plain(unit)}**"


def _made(found: StoredTransform) -> str:
    if not found.transform_id:
        return "Not stored: your role does not allow it. It counts for this visit alone."
    when = found.created_at[:16].replace("T", " ")
    return f"By {plain(found.person)} on {plain(when)} UTC, id {plain(found.transform_id[:8])}"


def _judge(store: SeenStore, found: StoredTransform, correction: correcting.Correction, person: str) -> None:
    """Accept or refuse what is stored; whatever was said before can be changed."""
    if correction.changed:  # what is seen is not what is stored
        return
    why = "It is not stored, so there is nothing to judge." if not found.transform_id else None
    places = iter(st.columns(2))
    if found.verdict != "accepted":
        state = rights.button(store, person, "transform.judged", why or "You looked at it and stand for it.", bool(why))
        if next(places).button("Accept", type="primary", width="stretch", **state):
            _record(store, found, "accepted", person, "looked at")
    if found.verdict != "refused":
        state = rights.button(store, person, "transform.judged", why or "The scans then move by themselves.", bool(why))
        with next(places).popover("Refuse", width="stretch", **state):
            reason = st.text_input(
                "Why",
                key=session.REFUSED_BECAUSE.key(correction.patient, found.transform_id),
                placeholder="e.g. the ribs do not fit",
                max_chars=500,
            ).strip()
            if st.button("Refuse it", disabled=not reason, help="Recorded with your name and this reason."):
                _record(store, found, "refused", person, reason)


def _record(store: SeenStore, found: StoredTransform, verdict: str, person: str, reason: str) -> None:
    """Records it and runs the page again; says why where the store refuses, and what counts now if that is another."""
    try:
        store.transforms.judge(found.transform_id, verdict, person, reason)
    except TwinReviewError as error:
        st.error(plain(error))
        return
    counts = store.transforms.between(found.patient_id, found.from_timepoint, found.to_timepoint)
    other = counts is not None and counts.transform_id != found.transform_id
    again = " The one that was accepted before it counts again." if other else ""
    st.toast(f"The registration is {plain(verdict)}.{again}")
    st.rerun()


def _others(store: SeenStore, found: StoredTransform) -> None:
    """The pair's other transforms, the newest first; nothing where there is none."""
    ends = {found.from_timepoint, found.to_timepoint}
    pair = [one for one in store.transforms.of(found.patient_id) if {one.from_timepoint, one.to_timepoint} == ends]
    others = [one for one in reversed(pair) if one.transform_id != found.transform_id]
    if not others:
        return
    rows: list[TableRow] = [
        {
            "State": one.registration_state,
            "How": METHODS[one.method],
            "Judged by": one.judged_by or "nobody",
            "Why": one.judged_reason,
            "Made by": one.person,
            "On (UTC)": one.created_at[:16].replace("T", " "),
            "Id": one.transform_id[:8],
        }
        for one in others
    ]
    with st.expander(f"Others of this pair ({len(others)})"):
        st.dataframe(cells(rows), hide_index=True)
