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
from core.twin.criteria.table import ABOUT, CRITERIA
from core.twin.outcome_rows import by_criterion, worst_first
from core.twin.outcomes import BEST_FIRST, Cohort, PatientResponse, cohort
from core.types import Progress
from pages.ui.cohort.cohort_words import MARK, limits_words
from pages.ui.frame import address, opening, resources, session, shell
from pages.ui.shared import plotting
from pages.ui.shared.text import cells, plain
from pages.ui.trajectory.growth_panel import VERDICT_HELP
from pages.ui.trajectory.response_panel import CALL_HELP
from store import SeenStore

#: A progress bar that comes and goes in less is noise.
PATIENCE_S = 1.0
#: The choice by which each patient is told as their protocol says.
OWN = "protocol"
OWN_WORDS = "Each patient's protocol"
CRITERION_HELP = (
    "Each patient by the protocol that was set for them (RECIST 1.1 where nobody set one), or all by one criterion. "
    "Criteria are never pooled; * marks who is told by another criterion than their protocol's."
)
BEST_HELP = (
    "The least value since baseline of what the criterion measures, against baseline, at any accepted timepoint up to "
    "the progression, that included. Best response is the best call over the same timepoints: not confirmed by a "
    "second scan, and SD without a least duration. Who has no visit after baseline is not evaluable (NE)."
)
COURSE_HELP = (
    "Against baseline, at every accepted timepoint from it on; new lesions add nothing to it and are marked. A gap: a "
    "target was not measured there."
)
VERDICT_OF_BEST_HELP = f"Of the targets' volumes from baseline to the best change. {VERDICT_HELP}"
DOUBT_HELP = (
    "Growth within two years of radiotherapy may be necrosis, and counts as PD all the same. Also volumes that say the "
    "opposite of the call, masks that cannot be read, and visits after a death on record."
)
DOUBTED_HELP = (
    "What a gate doubts or has not judged of an accepted mask or its scans, which lesion of it is in doubt, and who "
    "accepted it all the same and why. Ringed in the figures."
)
TIME_HELP = (
    "From the baseline to the last accepted timepoint; paler from there to death or the last contact. A mark stands "
    "where the response is another than before. Bars below: drugs from start to stop, radiotherapy with its last day; "
    "marks: surgery, radiotherapy without one, relapse. An arrow: no event says that follow-up ended: no proof."
)


def choose_datasets(known: Sequence[str]) -> list[str]:
    """All datasets or some; nothing is asked where there is one."""
    if len(known) < 2:
        return list(known)
    chosen = address.choose_several("datasets", known, session.COHORT_DATASETS, whose="here")
    st.pills("Datasets", known, selection_mode="multi", key=session.COHORT_DATASETS.key(), format_func=plain)
    return chosen or list(known)


def choose_criterion() -> str | None:
    """A name of `CRITERIA`; None: each patient by their protocol."""
    known = [OWN, *CRITERIA]
    chosen = address.choose("criterion", known, session.COHORT_CRITERION, default=OWN, whose="on this page")
    st.selectbox(
        "Response by",
        known,
        format_func=lambda name: OWN_WORDS if name == OWN else f"All by {ABOUT[name].title}",
        key=session.COHORT_CRITERION.key(),
        help=CRITERION_HELP,
    )
    return None if chosen == OWN else chosen


def outcomes(store: SeenStore, criterion: str | None, datasets: Sequence[str]) -> Cohort:
    """`core.twin.outcomes.cohort`, a patient's once for a state of their records, with a progress bar where it takes
    longer than a second."""
    place = st.empty()
    try:
        progress = late(place.progress, PATIENCE_S)
        return cohort(store, criterion, datasets, progress, resources.cohort_response)
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
        "No patient with an accepted timepoint. Open the worklist and accept masks: nothing unreviewed is used here."
    )
    if st.button("Open the worklist", type="primary"):
        shell.go_to("worklist")
    if found.left_out:
        left_out_list(found.left_out)


def summary(responses: Sequence[PatientResponse], places: Sequence[DeltaGenerator]) -> None:
    """How many responded, progressed and could not be evaluated, and how long they were seen: a number in each of four
    places; of several criteria, which are not pooled, a line each below."""
    groups = by_criterion(responses)
    days = [o.days_observed for o in responses]
    places[3].metric(
        "Median days", f"{median(days):.0f}", help=f"In view, a patient; from {min(days):.0f} to {max(days):.0f}."
    )
    if len(groups) > 1:
        told = [f"**{plain(ABOUT[name].title)}**: {plain(_counted(group))}" for name, group in groups.items()]
        st.markdown("  \n".join(told), help=CALL_HELP)
        return
    n, counts = len(responses), Counter(o.best_response for o in responses)
    of = ", ".join(f"{counts[category]} {category}" for category in BEST_FIRST if counts[category])
    places[0].metric(
        "Responded",
        f"{counts['CR'] + counts['PR']:d} of {n:d}",
        help=f"Best response CR or PR. All best responses: {plain(of)}. {CALL_HELP}",
    )
    places[1].metric(
        "Progressed", f"{_progressed(responses):d} of {n:d}", help="PD at an accepted timepoint, whatever came before."
    )
    places[2].metric(
        "Not evaluable", f"{counts['NE']:d} of {n:d}", help="No visit after baseline, or none that could be evaluated."
    )


def _counted(group: Sequence[PatientResponse]) -> str:
    counts = Counter(o.best_response for o in group)
    of = ", ".join(f"{counts[category]} {category}" for category in BEST_FIRST if counts[category])
    return f"{_progressed(group)} of {len(group)} progressed; best responses: {of}"


def _progressed(group: Sequence[PatientResponse]) -> int:
    return sum(o.progression is not None for o in group)


def show(figure: go.Figure, name: str, criteria: Sequence[str], rows: Sequence[TableRow], help_text: str) -> None:
    """A figure, which the camera saves as SVG; below it what it means, white paper for it, and its data as CSV."""
    file_name = f"cohort_{name}_{criteria[0] if len(criteria) == 1 else OWN}"
    place = st.container()
    meaning, paper, data = st.columns([4, 1, 1], vertical_alignment="center")
    meaning.caption("  \n".join(plain(limits_words(one)) for one in criteria), help=help_text)
    white = paper.toggle(
        "On white", key=f"paper-{name}", help="For print. The camera on the figure saves it as it is seen."
    )
    with data:
        plotting.csv_button(rows, file_name, "Data (CSV)")
    with place:
        plotting.draw(figure, f"{file_name}-{white}", int(figure.layout.height), _ALT[name], file_name, white)


_ALT = {
    "waterfall": "Best change from baseline, a bar a patient, percent",
    "spider": "Change from baseline over days, a line a patient, percent",
    "swimmer": "Days in view, a bar a patient, with responses, new lesions and treatments",
}


def table_rows(found: Sequence[PatientResponse], with_dataset: bool) -> list[TableRow]:
    """A patient a row, in the waterfall's order; what differs from the protocol is marked."""
    groups = by_criterion(found)
    return [
        {
            "Patient": o.patient_id,
            **({"Dataset": o.dataset} if with_dataset else {}),
            "Response by": ABOUT[o.criterion].title + ("" if o.is_by_protocol else MARK),
            "Best response": o.best_response,
            "Best change (%)": None if o.best is None else o.best.change_percent,
            "On": o.why_no_best_change if o.best is None else o.best.timepoint,
            "Is it real": "" if o.best is None else "unknown" if o.verdict is None else o.verdict.verdict,
            "Last response": o.visits[-1].call if len(o.visits) > 1 else "NE",
            "Last change (%)": o.visits[-1].change_percent if len(o.visits) > 1 else None,
            "Progression (day)": None if o.progression is None else o.progression.days,
            "Without until (day)": o.days_without_progression,
            "Accepted": len(o.visits) + len(o.before),
            "Waiting": len(o.waiting),
            "Days in view": o.days_observed,
            "New lesions": ", ".join(name for v in o.visits for name in v.appeared),
            "Treatments": "; ".join(t.name for t in o.treatments),
            "Doubt": o.doubt,
            "Doubted masks and scans": "; ".join(f"{v.timepoint}: {' '.join(v.doubts)}" for v in o.doubted),
            "Follow-up": "no end on record" if o.ended is None else f"{o.ended.text} (day {o.ended.days:.0f})",
            "Baseline": f"{o.visits[0].timepoint}: {o.baseline_why}",
            "Simulated": o.simulated,
        }
        for group in groups.values()
        for o in worst_first(group)
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
            "Response by": text(help=CRITERION_HELP),
            "Best response": text(help=CALL_HELP),
            "Best change (%)": number(format="%+.0f", help=BEST_HELP),
            "On": text(help="The timepoint of the best change."),
            "Is it real": text(help=VERDICT_OF_BEST_HELP),
            "Last response": text(help="Response at the last accepted timepoint."),
            "Last change (%)": number(format="%+.0f", help="From baseline to the last accepted timepoint."),
            "Doubt": text(help=DOUBT_HELP),
            "Doubted masks and scans": text(help=DOUBTED_HELP),
            "Progression (day)": number(
                format="%d", help="Time to progression: days from baseline to where it dates from."
            ),
            "Without until (day)": number(
                format="%d", help="Who has not progressed was last evaluated then: their time to progression is longer."
            ),
            "Accepted": number(help="Accepted timepoints."),
            "Waiting": number(help="Timepoints without an accepted mask; nothing here knows of them."),
            "Days in view": number(format="%d", help="From the baseline to the last accepted timepoint."),
        },
    )


def left_out_list(left_out: Mapping[str, str]) -> None:
    """Patients that are in no figure, and why."""
    if not left_out:
        st.caption("Every patient is in the figures.")
    else:
        st.dataframe(cells([{"Patient": name, "Why": why} for name, why in left_out.items()]), hide_index=True)
