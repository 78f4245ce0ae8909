"""The swimmer: time in view of several patients. Values in, `Figure` out; no Streamlit and no store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from core.twin.curve import Treatment
from core.twin.outcomes import BEST_FIRST, PatientResponse, Visit
from pages.ui.cohort.cohort_charts import DAYS_AXIS, frame
from pages.ui.cohort.cohort_words import (
    COLOURS,
    DOUBT_COLOUR,
    DOUBTED,
    EMPTY,
    clipped,
    count_words,
    head_line,
    letters_of,
    name_of,
    visit_hover,
)
from pages.ui.shared.charts import RESPONSE_COLOURS, TOTAL_COLOUR, faded, say
from pages.ui.shared.text import figure_text

#: Response -> shape, so that colour is not all that tells it.
SYMBOLS: Mapping[str, str] = {
    "CR": "star",
    "PR": "triangle-down",
    "SD": "square",
    "non-CR/non-PD": "square-open",
    "PD": "triangle-up",
    "NE": "x",
}
TREATMENT_COLOUR, RADIATION_COLOUR, EVENT_COLOUR = "#882255", "#E69F00", "#E69F00"
#: What happened -> shape, colour, height beside the bar, size, name in the legend.
_MARKS: Mapping[str, tuple[str, str, float, int, str]] = {
    "surgery": ("cross", "#555555", 0.34, 10, "surgery"),
    "radiotherapy": ("hourglass", RADIATION_COLOUR, 0.34, 11, "radiotherapy, no last day on record"),
    "relapse": ("diamond", "#D55E00", -0.36, 10, "relapse"),
    "other event": ("circle-open", EVENT_COLOUR, 0.34, 8, "other event"),
}
_ENDS: Mapping[str, tuple[str, str]] = {
    "death": ("cross-thin", "death"),
    "last contact": ("arrow-bar-right", "last contact, no later scan"),
    "follow-up end": ("circle-x-open", "follow-up ended"),
}
_ROW_PX, _LEGEND_PX = 26, 20
#: Where the axis ends at most, as shares of the longest bar: one old operation must not squeeze all bars.
EDGES = (-0.2, 1.5)


def swimmer_figure(outcomes: Sequence[PatientResponse]) -> go.Figure:
    """Time in view, a bar a patient, the longest on top: when the response changed, what was new, what was given.

    Returns:
        The figure, higher with every patient; for none an empty one that says so. What lies beyond `EDGES` is drawn
        there; its hover gives the day.
    """
    figure = go.Figure()
    if not outcomes:
        say(figure, EMPTY)
        return frame(figure, DAYS_AXIS, "", "", 300)
    shown = sorted(outcomes, key=lambda o: (-o.days_followed, -o.days_observed, o.patient_id))
    longest = max(shown[0].days_followed, 1.0)
    edges = (EDGES[0] * longest, EDGES[1] * longest)
    days = [_held(day, edges) for o in shown for day in _days(o)]
    axis = max(max(days) - min(days), 1.0)
    _draw_time(figure, shown)
    _draw_treatments(figure, shown, edges)
    _draw_responses(figure, shown)
    _draw_happenings(figure, shown, edges)
    _draw_ends(figure, shown, edges, 0.045 * axis)
    rows = max(len(shown), 8)  # three bars are not drawn as high as the page
    words = sum(trace.showlegend is not False for trace in figure.data)
    height = max(120 + _ROW_PX * max(rows, 10), 100 + _LEGEND_PX * words)
    frame(figure, DAYS_AXIS, "", count_words(outcomes), height)
    # Beside the bars: above them it would take a third of a short figure, below them nobody finds it under sixty.
    figure.update_layout(barmode="overlay", legend={"orientation": "v", "x": 1.01, "y": 1, "yanchor": "top"})
    figure.update_xaxes(range=[min(days) - 0.03 * axis, max(days) + 0.06 * axis], zeroline=False, showgrid=True)
    figure.update_yaxes(
        tickmode="array",
        tickvals=list(range(len(shown))),
        ticktext=[name_of(o, 18, letters_of(outcomes)) for o in shown],
        range=[rows - 0.3, -0.7],
        automargin=True,
        showgrid=False,
        zeroline=False,
        tickfont={"size": 12},
    )
    return figure


def _days(outcome: PatientResponse) -> list[float]:
    """Every day that something is drawn at."""
    given = [day for t in outcome.treatments for day in (t.start_days, t.end_days) if day is not None]
    seen = [one.days for one in outcome.events if one.kind in _MARKS]
    return [0.0, outcome.days_followed, *given, *seen]


def _stop(outcome: PatientResponse, treatment: Treatment) -> float:
    """Where a treatment's bar ends: where the patient's does, if nobody recorded its stop."""
    return max(treatment.start_days, outcome.days_followed) if treatment.end_days is None else treatment.end_days


def _held(day: float, edges: tuple[float, float]) -> float:
    return min(max(day, edges[0]), edges[1])


def _draw_time(figure: go.Figure, shown: Sequence[PatientResponse]) -> None:
    """The bars: from baseline to the last accepted timepoint, and paler from there to death or the last contact."""
    later = [(n, o) for n, o in enumerate(shown) if o.days_followed > o.days_observed]
    for name, starts, bars, alpha in (
        ("in view", [0.0] * len(shown), list(enumerate(shown)), 0.4),
        ("followed, not in view", [o.days_observed for _, o in later], later, 0.15),
    ):
        if bars:
            is_view = name == "in view"
            figure.add_trace(
                go.Bar(
                    base=starts,
                    x=[o.days_observed if is_view else o.days_followed - o.days_observed for _, o in bars],
                    y=[n for n, _ in bars],
                    orientation="h",
                    width=0.46,
                    name=name,
                    marker={"color": faded(TOTAL_COLOUR, alpha), "line": {"width": 0}},
                    hovertext=[_time_hover(o) for _, o in bars],
                    hovertemplate="%{hovertext}<extra></extra>",
                )
            )


def _draw_treatments(figure: go.Figure, shown: Sequence[PatientResponse], edges: tuple[float, float]) -> None:
    """Drugs and courses of radiotherapy under the bar; one whose stop nobody recorded is paler."""
    given = [(n, o, t) for n, o in enumerate(shown) for t in o.treatments]
    drugs = [(n, o, t) for n, o, t in given if _is_drug(t)]
    for name, colour, alpha, bars in (
        ("drug ▶ start, ■ stop", TREATMENT_COLOUR, 0.9, [one for one in drugs if one[2].end_days is not None]),
        ("drug, no stop recorded", TREATMENT_COLOUR, 0.45, [one for one in drugs if one[2].end_days is None]),
        ("radiotherapy", RADIATION_COLOUR, 0.95, [one for one in given if not _is_drug(one[2])]),
    ):
        if not bars:
            continue
        starts = [_held(t.start_days, edges) for _, _, t in bars]
        stops = [_held(_stop(o, t), edges) for _, o, t in bars]
        figure.add_trace(
            go.Bar(
                base=starts,
                x=[stop - start for start, stop in zip(starts, stops, strict=True)],
                y=[n + 0.34 for n, _, _ in bars],
                width=0.16,
                orientation="h",
                name=name,
                marker={"color": faded(colour, alpha), "line": {"width": 0}},
                hovertext=[_treatment_hover(o, t) for _, o, t in bars],
                hovertemplate="%{hovertext}<extra></extra>",
            )
        )
    starts_of = [(n, o, t.start_days, f"start of {t.name}") for n, o, t in drugs]
    stops_of = [(n, o, t.end_days, f"stop of {t.name}") for n, o, t in drugs if t.end_days is not None]
    _points(figure, "start", starts_of, ("triangle-right", TREATMENT_COLOUR, 0.34, 10), edges, in_legend=False)
    _points(figure, "stop", stops_of, ("square", TREATMENT_COLOUR, 0.34, 7), edges, in_legend=False)


def _is_drug(treatment: Treatment) -> bool:
    return not treatment.name.startswith("radiotherapy")


def _treatment_hover(outcome: PatientResponse, treatment: Treatment) -> str:
    end = "… (no stop recorded)" if treatment.end_days is None else f"{treatment.end_days:.0f}"
    return (
        f"<b>{figure_text(outcome.patient_id)}</b> · {figure_text(clipped(treatment.name, 80))}<br>"
        f"day {treatment.start_days:.0f} to {end}"
    )


def _time_hover(outcome: PatientResponse) -> str:
    visits = f"{len(outcome.visits)} accepted timepoints" if len(outcome.visits) > 1 else "no visit after baseline"
    lines = [
        head_line(outcome),
        f"{outcome.days_observed:.0f} days from baseline {outcome.visits[0].timepoint} to the last visit: {visits}",
        figure_text(clipped(outcome.baseline_why, 120)),
        f"best response {outcome.best_response}",
    ]
    if outcome.progression is not None:
        lines.append(f"progression on day {outcome.progression.days:.0f}")
    if outcome.before:
        lines.append(f"before the baseline: {figure_text(clipped(', '.join(outcome.before), 60))}")
    if outcome.waiting:
        lines.append(
            f"{len(outcome.waiting)} timepoints have no accepted mask: "
            f"{figure_text(clipped(', '.join(outcome.waiting), 60))}"
        )
    return "<br>".join(line for line in lines if line)


def _draw_responses(figure: go.Figure, shown: Sequence[PatientResponse]) -> None:
    """A mark in shape and colour where the response is another than before, and a tick at every other visit."""
    marks: dict[str, list[tuple[int, PatientResponse, Visit]]] = {category: [] for category in BEST_FIRST}
    same: list[tuple[int, PatientResponse, Visit]] = []
    for n, o in enumerate(shown):
        for before, visit in zip(o.visits, o.visits[1:], strict=False):
            (same if visit.category == before.category else marks[visit.category]).append((n, o, visit))
    _visits(figure, "response as before", same, "line-ns-open", TOTAL_COLOUR, 9)
    for category, found in marks.items():
        _visits(figure, f"{category} from here", found, SYMBOLS[category], COLOURS[category], 12)
    alone = [(n, o, o.visits[0]) for n, o in enumerate(shown) if len(o.visits) == 1]
    _visits(figure, "no visit after baseline (NE)", alone, "x-open", RESPONSE_COLOURS["NE"], 12)
    doubted = [(n, o, v) for n, o in enumerate(shown) for v in o.doubted]
    _visits(figure, DOUBTED, doubted, "circle-open", DOUBT_COLOUR, 17)
    dated = [(n, o, o.progression) for n, o in enumerate(shown) if o.progression and o.progression.category != "PD"]
    _visits(figure, "progression dates from here", dated, "triangle-up-open", RESPONSE_COLOURS["PD"], 14)


def _visits(
    figure: go.Figure,
    name: str,
    found: Sequence[tuple[int, PatientResponse, Visit]],
    symbol: str,
    colour: str,
    size: int,
) -> None:
    if found:
        figure.add_trace(
            go.Scatter(
                x=[v.days for _, _, v in found],
                y=[n for n, _, _ in found],
                mode="markers",
                name=name,
                cliponaxis=False,
                marker={"symbol": symbol, "color": colour, "size": size, "line": {"color": colour, "width": 1.5}},
                text=[visit_hover(o, v) for _, o, v in found],
                hovertemplate="%{text}<extra></extra>",
            )
        )


def _draw_happenings(figure: go.Figure, shown: Sequence[PatientResponse], edges: tuple[float, float]) -> None:
    """New lesions and relapses above the bar, operations, radiotherapy without a last day and other events under it."""
    lesions = [
        (n, o, v.days, f"new lesion {', '.join(v.appeared)}")
        for n, o in enumerate(shown)
        for v in o.visits
        if v.appeared
    ]
    _points(figure, "new lesion", lesions, ("star-triangle-down", "#CC79A7", -0.36, 11), edges)
    for kind, (symbol, colour, height, size, name) in _MARKS.items():
        found = [(n, o, one.days, one.text) for n, o in enumerate(shown) for one in o.events if one.kind == kind]
        _points(figure, name, found, (symbol, colour, height, size), edges)


def _draw_ends(
    figure: go.Figure, shown: Sequence[PatientResponse], edges: tuple[float, float], past_days: float
) -> None:
    """How each bar ends: a mark where the patient died or was last heard of, an arrow where no end is on record.

    Args:
        past_days: how far behind a mark of the last visit the arrow stands.
    """
    for kind, (symbol, name) in _ENDS.items():
        found = [(n, o, o.ended.days, o.ended.text) for n, o in enumerate(shown) if o.ended and o.ended.kind == kind]
        _points(figure, name, found, (symbol, TOTAL_COLOUR, 0.0, 13), edges)
    going = [(n, o, o.days_followed, "no end is on record") for n, o in enumerate(shown) if o.ended is None]
    _points(figure, "no end on record", going, ("arrow-right", TOTAL_COLOUR, 0.0, 13), edges, past_days)


def _points(
    figure: go.Figure,
    name: str,
    found: Sequence[tuple[int, PatientResponse, float, str]],
    look: tuple[str, str, float, int],
    edges: tuple[float, float],
    shift: float = 0.0,
    in_legend: bool = True,
) -> None:
    """Marks at days, with the patient and a text in their hovers. Args: look: shape, colour, height, size."""
    symbol, colour, height, size = look
    if found:
        figure.add_trace(
            go.Scatter(
                x=[_held(days, edges) + shift for _, _, days, _ in found],
                y=[n + height for n, _, _, _ in found],
                mode="markers",
                name=name,
                cliponaxis=False,
                showlegend=in_legend,
                marker={"symbol": symbol, "color": colour, "size": size, "line": {"color": colour, "width": 1.5}},
                text=[
                    f"<b>{figure_text(o.patient_id)}</b> · day {days:.0f}<br>{figure_text(clipped(text, 80))}"
                    for _, o, days, text in found
                ],
                hovertemplate="%{text}<extra></extra>",
            )
        )
