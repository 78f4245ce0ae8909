"""The parts of the cohort page: what is chosen, the numbers above, each figure with its data, the table below."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from statistics import median

import plotly.graph_objects as go
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.remembered.untyped import TableRow
from core.twin.outcomes import BEST_FIRST, Cohort, PatientResponse, cohort, worst_first
from core.twin.response import DEFAULT_RULE, RULES
from core.types import Progress
from pages.ui.frame import address, opening, session, shell
from pages.ui.shared import plotting
from pages.ui.shared.text import cells, plain
from pages.ui.trajectory.growth_panel import VERDICT_HELP
from pages.ui.trajectory.response_panel import CALL_HELP
from store import SeenStore

#: A progress bar that comes and goes in less is noise.
PATIENCE_S = 1.0
BEST_HELP = (
    "The least volume of the baseline lesions against baseline, at any accepted timepoint up to the first progression, "
    "that included. Best response is the best category over the same timepoints: not confirmed by a second scan, and "
    "SD without a least duration."
)
COURSE_HELP = (
    "Volume of the baseline lesions against baseline at every accepted timepoint; new lesions add nothing to it and "
    "are marked. A gap: a lesion was not measured there."
)
DOUBT_HELP = (
    "The first progression came within two years of radiotherapy: growth may be necrosis. It counts as PD all the same."
)
TIME_HELP = (
    "From the first to the last accepted timepoint. A mark stands where the response is another than before. "
    "Treatments are events treatment-start and treatment-stop. Still followed: no event (death, lost-to-follow-up, "
    "end-of-follow-up, off-study) says otherwise."
)


def choose_datasets(known: Sequence[str]) -> list[str]:
    """All datasets or some; nothing is asked where there is one."""
    if len(known) < 2:
        return list(known)
    chosen = address.choose_several("datasets", known, session.COHORT_DATASETS, whose="here")
    st.pills("Datasets", known, selection_mode="multi", key=session.COHORT_DATASETS.key(), format_func=plain)
    return chosen or list(known)


def choose_rule() -> str:
    """A key of `RULES`."""
    rule = address.choose("rule", list(RULES), session.COHORT_RULE, default=DEFAULT_RULE, whose="on this page")
    st.selectbox(
        "Rule in force",
        list(RULES),
        format_func=lambda r: RULES[r].title,
        key=session.COHORT_RULE.key(),
        help="Criteria are never pooled. PD is tested first, against the nadir.",
    )
    return rule


def outcomes(store: SeenStore, rule: str, datasets: Sequence[str]) -> Cohort:
    """`core.twin.outcomes.cohort`, with a progress bar where it takes longer than a second."""
    place = st.empty()
    try:
        return cohort(store, rule, datasets, late(place.progress, PATIENCE_S))
    finally:
        place.empty()


def late(show: Callable[[float, str], object], patience_s: float) -> Progress:
    """`show` as a progress callback that stays silent for the first seconds."""
    begun = time.monotonic()

    def progress(fraction: float, message: str) -> None:
        if time.monotonic() - begun > patience_s:
            show(fraction, message)

    return progress


def nothing_to_show(found: Cohort) -> None:
    """The empty state, with who is left out."""
    st.info(
        "No patient with two accepted timepoints. Open the worklist and accept masks: nothing unreviewed is used here."
    )
    if st.button("Open the worklist", type="primary"):
        shell.go_to("worklist")
    if found.left_out:
        left_out_list(found.left_out)


def summary(found: Cohort, places: Sequence[DeltaGenerator]) -> None:
    """How many responded and progressed, and how long they were seen: a number in each of three places."""
    n, counts = len(found.responses), Counter(o.best_response for o in found.responses)
    of = ", ".join(f"{counts[name]:d} {name}" for name in BEST_FIRST if counts[name])
    places[0].metric(
        "Responded",
        f"{counts['CR'] + counts['PR']:d} of {n:d}",
        help=f"Best response CR or PR. All best responses: {of}. {CALL_HELP}",
    )
    progressed = sum(o.progression is not None for o in found.responses)
    places[1].metric(
        "Progressed", f"{progressed:d} of {n:d}", help="PD at an accepted timepoint, whatever the best response."
    )
    days = [o.days_observed for o in found.responses]
    places[2].metric("Median days in view", f"{median(days):.0f}", help=f"From {min(days):.0f} to {max(days):.0f}.")


def show(figure: go.Figure, name: str, rule: str, rows: Sequence[TableRow], help_text: str) -> None:
    """A figure, which the camera saves as SVG; below it what it means, white paper for it, and its data as CSV."""
    file_name = f"cohort_{name}_{rule}"
    place = st.container()
    meaning, paper, data = st.columns([4, 1, 1], vertical_alignment="center")
    limits = RULES[rule]
    meaning.caption(
        f"PR at {limits.pr_percent:+g} % of baseline, PD at {limits.pd_percent:+g} % of nadir or a new lesion. "
        f"Source: {limits.source}.",
        help=help_text,
    )
    white = paper.toggle(
        "On white", key=f"paper-{name}", help="For print. The camera on the figure saves it as it is seen."
    )
    with data:
        plotting.csv_button(rows, file_name, "Data (CSV)")
    with place:
        plotting.draw(figure, f"{name}-{rule}-{white}", int(figure.layout.height), _ALT[name], file_name, white)


_ALT = {
    "waterfall": "Best change of volume from baseline, a bar a patient, percent",
    "spider": "Change of volume from baseline over days, a line a patient, percent",
    "swimmer": "Days in view, a bar a patient, with responses, new lesions and treatments",
}


def table_rows(found: Sequence[PatientResponse], with_dataset: bool) -> list[TableRow]:
    """A patient a row, in the waterfall's order."""
    return [
        {
            "Patient": o.patient_id,
            **({"Dataset": o.dataset} if with_dataset else {}),
            "Best response": o.best_response,
            "Best change (%)": None if o.best is None else o.best.change_percent,
            "On": o.why_no_best_change if o.best is None else o.best.timepoint,
            "Is it real": "" if o.verdict is None else o.verdict.verdict,
            "Last response": o.visits[-1].category,
            "Last change (%)": o.visits[-1].change_percent,
            "Progression (day)": None if o.progression is None else o.progression.days,
            "Accepted": len(o.visits),
            "Waiting": len(o.waiting),
            "Days in view": o.days_observed,
            "New lesions": ", ".join(name for v in o.visits for name in v.appeared),
            "Treatments": "; ".join(t.name for t in o.treatments),
            "Doubt": o.doubt,
            "Follow-up": "goes on" if o.ended is None else o.ended[1],
            "Simulated": o.simulated,
        }
        for o in worst_first(found)
    ]


def patient_table(found: Sequence[PatientResponse], with_dataset: bool) -> None:
    """The table, and a way from it to a patient's trajectory."""
    rows = table_rows(found, with_dataset)
    st.subheader("Patients", divider="gray")
    which, go_there, _, data = st.columns([2, 2, 1, 1], vertical_alignment="bottom")
    which.selectbox("Look closer at", [row["Patient"] for row in rows], key=session.COHORT_PATIENT.key())
    # Read as it is clicked: a quick hand clicks before the page has run with the choice.
    go_there.button("Open the trajectory", on_click=opening.open_chosen_in_trajectory)
    with data:
        plotting.csv_button(rows, "cohort_patients", "Table (CSV)")
    number, text = st.column_config.NumberColumn, st.column_config.TextColumn
    st.dataframe(
        cells(rows),
        hide_index=True,
        placeholder="",
        column_config={
            "Patient": text(pinned=True),
            "Best response": text(help=CALL_HELP),
            "Best change (%)": number(format="%+.0f", help=BEST_HELP),
            "On": text(help="The timepoint of the best change."),
            "Is it real": text(help=VERDICT_HELP),
            "Last response": text(help="Response at the last accepted timepoint."),
            "Last change (%)": number(format="%+.0f", help="From baseline to the last accepted timepoint."),
            "Doubt": text(help=DOUBT_HELP),
            "Progression (day)": number(format="%d", help="Days from baseline to the first PD."),
            "Accepted": number(help="Accepted timepoints."),
            "Waiting": number(help="Timepoints without an accepted mask; nothing here knows of them."),
            "Days in view": number(format="%d", help="From the first to the last accepted timepoint."),
        },
    )


def left_out_list(left_out: Mapping[str, str]) -> None:
    """Patients that are in no figure, and why."""
    if not left_out:
        st.caption("Every patient is in the figures.")
    else:
        st.dataframe(cells([{"Patient": name, "Why": why} for name, why in left_out.items()]), hide_index=True)
