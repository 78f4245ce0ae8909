"""The swimmer: time in view of several patients. Values in, `Figure` out; no Streamlit and no store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from core.twin.curve import Treatment
from core.twin.outcomes import BEST_FIRST, PatientResponse, Visit
from core.twin.response import RULES, Category, ResponseRule
from pages.ui.cohort.cohort_charts import EMPTY, clipped, count_words, frame, visit_hover
from pages.ui.shared.charts import RESPONSE_COLOURS, TOTAL_COLOUR, faded, say
from pages.ui.shared.text import figure_text

#: Response -> shape, so that colour is not all that tells it.
SYMBOLS: Mapping[Category, str] = {
    "CR": "star",
    "PR": "triangle-down",
    "SD": "square",
    "PD": "triangle-up",
    "NE": "x",
}
TREATMENT_COLOUR = "#882255"
_ROW_PX = 26
#: Where the axis ends at most, as shares of the longest bar: one old operation must not squeeze all bars.
EDGES = (-0.2, 1.5)


def swimmer_figure(outcomes: Sequence[PatientResponse], rule_name: str) -> go.Figure:
    """Time in view, a bar a patient, the longest on top: when the response changed, what was new, what was given.

    Args:
        outcomes: of one rule.
        rule_name: key in `RULES`.

    Returns:
        The figure, higher with every patient; for none an empty one that says so. What lies beyond `EDGES` is
        drawn there; its hover gives the day.
    """
    rule = RULES[rule_name]
    figure = go.Figure()
    if not outcomes:
        say(figure, EMPTY)
        return frame(figure, "Days since baseline", "", "", 300)
    shown = sorted(outcomes, key=lambda o: (-o.days_observed, o.patient_id))
    edges = (EDGES[0] * shown[0].days_observed, EDGES[1] * shown[0].days_observed)
    days = [_held(day, edges) for o in shown for day in _days(o)]
    axis = max(days) - min(days)
    _draw_time(figure, shown, edges)
    _draw_changes(figure, shown, rule)
    _draw_happenings(figure, shown, edges, 0.045 * axis)
    rows = max(len(shown), 8)  # three bars are not drawn as high as the page
    height = 120 + _ROW_PX * max(rows, 10)
    frame(figure, "Days since baseline, the first accepted timepoint", "", count_words(outcomes, rule), height)
    # Beside the bars: above them it would take a third of a short figure, below them nobody finds it under sixty.
    figure.update_layout(barmode="overlay", legend={"orientation": "v", "x": 1.01, "y": 1, "yanchor": "top"})
    figure.update_xaxes(range=[min(days) - 0.03 * axis, max(days) + 0.06 * axis], zeroline=False, showgrid=True)
    names = [figure_text(clipped(o.patient_id, 18)) for o in shown]
    figure.update_yaxes(
        tickmode="array",
        tickvals=list(range(len(shown))),
        ticktext=names,
        range=[rows - 0.3, -0.7],
        automargin=True,
        showgrid=False,
        zeroline=False,
        tickfont={"size": 12},
    )
    return figure


def _end(outcome: PatientResponse) -> float:
    return max(outcome.days_observed, outcome.ended[0] if outcome.ended else 0.0)


def _days(outcome: PatientResponse) -> list[float]:
    """Every day that something is drawn at."""
    given = [day for t in outcome.treatments for day in (t.start_days, t.end_days) if day is not None]
    return [0.0, _end(outcome), *given, *(day for day, _ in outcome.events)]


def _stop(outcome: PatientResponse, treatment: Treatment) -> float:
    """Where a treatment's bar ends: where the patient's does, if nobody recorded its stop."""
    return max(treatment.start_days, _end(outcome)) if treatment.end_days is None else treatment.end_days


def _held(day: float, edges: tuple[float, float]) -> float:
    return min(max(day, edges[0]), edges[1])


def _draw_time(figure: go.Figure, shown: Sequence[PatientResponse], edges: tuple[float, float]) -> None:
    """The bars: time in view, and under it the treatments; one whose stop nobody recorded is paler."""
    figure.add_trace(
        go.Bar(
            x=[o.days_observed for o in shown],
            y=list(range(len(shown))),
            orientation="h",
            width=0.46,
            name="in view",
            marker={"color": faded(TOTAL_COLOUR, 0.4), "line": {"width": 0}},
            hovertext=[_time_hover(o) for o in shown],
            hovertemplate="%{hovertext}<extra></extra>",
        )
    )
    for ongoing, name, alpha in ((False, "treatment ▶ start, ■ stop", 0.9), (True, "no stop recorded", 0.45)):
        bars = [
            (n, _held(t.start_days, edges), _held(_stop(o, t), edges), t)
            for n, o in enumerate(shown)
            for t in o.treatments
            if (t.end_days is None) == ongoing
        ]
        if bars:
            figure.add_trace(
                go.Bar(
                    base=[start for _, start, _, _ in bars],
                    x=[stop - start for _, start, stop, _ in bars],
                    y=[n + 0.34 for n, *_ in bars],
                    width=0.16,
                    orientation="h",
                    name=name,
                    marker={"color": faded(TREATMENT_COLOUR, alpha), "line": {"width": 0}},
                    hovertext=[
                        f"<b>{figure_text(shown[n].patient_id)}</b> · {figure_text(clipped(t.name, 80))}<br>"
                        f"day {t.start_days:.0f} to "
                        + ("… (no stop recorded)" if t.end_days is None else f"{t.end_days:.0f}")
                        for n, _, _, t in bars
                    ],
                    hovertemplate="%{hovertext}<extra></extra>",
                )
            )


def _time_hover(outcome: PatientResponse) -> str:
    lines = [
        f"<b>{figure_text(outcome.patient_id)}</b>{' · simulated' if outcome.simulated else ''}",
        f"{outcome.days_observed:.0f} days from baseline to the last of {len(outcome.visits)} accepted timepoints",
    ]
    if outcome.waiting:
        lines.append(
            f"{len(outcome.waiting)} timepoints have no accepted mask: "
            f"{figure_text(clipped(', '.join(outcome.waiting), 60))}"
        )
    return "<br>".join(lines)


def _draw_changes(figure: go.Figure, shown: Sequence[PatientResponse], rule: ResponseRule) -> None:
    """A mark in shape and colour where the response is another than before, and a tick at every other visit."""
    marks: dict[Category, list[tuple[int, PatientResponse, Visit]]] = {category: [] for category in BEST_FIRST}
    same: list[tuple[int, PatientResponse, Visit]] = []
    for n, o in enumerate(shown):
        for before, visit in zip(o.visits, o.visits[1:], strict=False):
            (same if visit.category == before.category else marks[visit.category]).append((n, o, visit))
    _marks(figure, "response as before", same, "line-ns-open", TOTAL_COLOUR, 9, rule)
    for category, found in marks.items():
        _marks(figure, f"{category} from here", found, SYMBOLS[category], RESPONSE_COLOURS[category], 12, rule)


def _marks(
    figure: go.Figure,
    name: str,
    found: Sequence[tuple[int, PatientResponse, Visit]],
    symbol: str,
    colour: str,
    size: int,
    rule: ResponseRule,
) -> None:
    if found:
        figure.add_trace(
            go.Scatter(
                x=[v.days for _, _, v in found],
                y=[n for n, _, _ in found],
                mode="markers",
                name=name,
                marker={"symbol": symbol, "color": colour, "size": size, "line": {"color": colour, "width": 1.5}},
                text=[visit_hover(o, v, rule) for _, o, v in found],
                hovertemplate="%{text}<extra></extra>",
            )
        )


def _draw_happenings(
    figure: go.Figure, shown: Sequence[PatientResponse], edges: tuple[float, float], past_days: float
) -> None:
    """New lesions above the bar, treatment's start and stop and other events under it, and how the bar ends.

    Args:
        past_days: how far behind a mark of the last visit the arrow stands.
    """
    starts = [(n, t.start_days, f"start of {t.name}") for n, o in enumerate(shown) for t in o.treatments]
    stops = [
        (n, t.end_days, f"stop of {t.name}")
        for n, o in enumerate(shown)
        for t in o.treatments
        if t.end_days is not None
    ]
    lesions = [
        (n, v.days, f"new lesion {', '.join(v.appeared)}") for n, o in enumerate(shown) for v in o.visits if v.appeared
    ]
    others = [(n, days, text) for n, o in enumerate(shown) for days, text in o.events]
    followed = [(n, _end(o), "still followed: no event says otherwise") for n, o in enumerate(shown) if not o.ended]
    ended = [(n, o.ended[0], o.ended[1]) for n, o in enumerate(shown) if o.ended]
    for name, found, symbol, colour, offset, size in (
        ("new lesion", lesions, "star-triangle-down", "#CC79A7", -0.36, 11),
        ("start", starts, "triangle-right", TREATMENT_COLOUR, 0.34, 10),
        ("stop", stops, "square", TREATMENT_COLOUR, 0.34, 7),
        ("other event", others, "diamond", "#E69F00", 0.34, 9),
        ("follow-up ended", ended, "circle-x-open", TOTAL_COLOUR, 0.0, 12),
        ("still followed", followed, "arrow-right", TOTAL_COLOUR, 0.0, 13),
    ):
        if found:
            shift = past_days if name == "still followed" else 0.0
            figure.add_trace(
                go.Scatter(
                    x=[_held(days, edges) + shift for _, days, _ in found],
                    y=[n + offset for n, _, _ in found],
                    mode="markers",
                    name=name,
                    cliponaxis=False,
                    showlegend=name not in ("start", "stop"),
                    marker={"symbol": symbol, "color": colour, "size": size, "line": {"color": colour, "width": 1.5}},
                    text=[
                        f"<b>{figure_text(shown[n].patient_id)}</b> · day {days:.0f}<br>"
                        + figure_text(clipped(text, 80))
                        for n, days, text in found
                    ],
                    hovertemplate="%{text}<extra></extra>",
                )
            )
