"""What the patient's visits are called: at the head of the page, and by every criterion in a table."""

from __future__ import annotations

import streamlit as st

from core.remembered.untyped import TableRow
from core.twin.criteria.table import ABOUT, COMMON_WORD
from core.twin.criteria.values import Call
from core.twin.patient_responses import CONTRADICTED, VOLUMES, PatientResponses
from pages.ui.shared.text import cells, plain

CALL_HELP = (
    "CR, PR, SD, PD: complete or partial response, stable, progressive disease; NE: not evaluable. With an i before it "
    "by iRECIST, iUPD: progression that waits to be confirmed."
)
_COLOURS = {"CR": "green", "PR": "green", "SD": "blue", "PD": "red"}


def headline(found: PatientResponses | None, problem: str = "") -> None:
    """One sentence: what the newest visit is called, by what, with its numbers, and what speaks against it.

    Args:
        problem: why the protocol cannot be followed.
    """
    if problem:
        st.warning(f"The response cannot be told. {plain(problem)}", icon=":material/warning:")
    if found is None or len(found.calls) < 2:
        return
    call = found.calls[-1]
    contradicted = any(note.startswith(CONTRADICTED) for note in call.notes)
    colour = "orange" if contradicted else _COLOURS.get(COMMON_WORD.get(call.call, call.call), "orange")
    title = ABOUT[call.criterion].title
    told = call.sentence.removeprefix(f"{call.call}: ")
    by_volume = found.others.get(VOLUMES, found.calls)[-1]
    against = f" :red-badge[**by volume {plain(by_volume.call)}**]" if contradicted else ""
    st.markdown(
        f":{colour}-badge[**{plain(call.call)}**]{against} **{plain(title)}, {plain(call.timepoint)}**: {plain(told)}",
        help=f"{CALL_HELP} Baseline {plain(found.in_force.protocol.baseline)}: {plain(found.in_force.baseline_why)}. "
        f"Targets: {plain(found.in_force.targets_why)}.",
    )
    if doubts := doubts_of(call, call.timepoint in found.disagree):
        st.caption(f":orange[:material/warning:] {plain(' '.join(doubts))}")


def doubts_of(call: Call, disagree: bool) -> list[str]:
    """What a reader must know beside the call, in sentences."""
    found = list(call.notes)
    if call.flips_within_noise:
        found.append("Within the noise of measuring it could be another call.")
    if disagree:
        found.append("Other criteria say otherwise: see Response by visit below.")
    return found


def table(found: PatientResponses | None) -> None:
    """Every visit by the protocol's criterion, and what the others call it."""
    if found is None:
        st.caption("There is no response to tell.")
        return
    in_force, name = found.in_force, found.in_force.protocol.criterion
    about = ABOUT[name]
    assumed = f" Assumed: {about.assumed}." if about.assumed else ""
    said = "nobody has set a protocol" if in_force.stored is None else f"set by {in_force.stored.person}"
    targets = ", ".join(lesion.lesion_id for lesion in in_force.protocol.targets) or "none"
    baseline = in_force.protocol.baseline
    st.caption(
        f"{plain(about.title)}; {plain(said)}. Baseline {plain(baseline)}: {plain(in_force.baseline_why)}. "
        f"Targets {plain(targets)}: {plain(in_force.targets_why)}. Source: {plain(about.source)}.{plain(assumed)}"
    )
    st.dataframe(
        cells(rows(found)),
        hide_index=True,
        column_config={
            "Response": st.column_config.TextColumn(help=CALL_HELP),
            "Could flip": st.column_config.TextColumn(
                help="Whether the call would be another one within the 95 % noise of measuring; –: no noise is known."
            ),
            "Other criteria": st.column_config.TextColumn(
                help="Those that have an answer, and another one.", width="medium"
            ),
            "Why": st.column_config.TextColumn(width="large"),
        },
    )


def rows(found: PatientResponses) -> list[TableRow]:
    """A row a visit."""
    return [
        {
            "Timepoint": call.timepoint,
            "Response": call.call,
            "Could flip": {True: "yes", False: "no", None: "–"}[call.flips_within_noise],
            "Other criteria": "; ".join(_others(found, n)),
            "Why": " ".join([call.sentence, *call.notes]),
        }
        for n, call in enumerate(found.calls)
    ]


def _others(found: PatientResponses, n: int) -> list[str]:
    own = COMMON_WORD.get(found.calls[n].call, found.calls[n].call)
    return [
        f"{ABOUT[name].title}: {calls[n].call}"
        for name, calls in found.others.items()
        if calls[n].call != "NE" and COMMON_WORD.get(calls[n].call, calls[n].call) != own
    ]
