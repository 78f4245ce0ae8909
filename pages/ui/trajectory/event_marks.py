"""What happened, in the chart: treatments as bars, events as marks, what is doubted of a point as a ring about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from core.twin.curve import Treatment
from core.types import parse_date
from pages.ui.shared.charts import faded
from pages.ui.shared.text import figure_text
from pages.ui.trajectory.time_axis import TimeAxis, latest

DOUBT_COLOUR = "#E69F00"
_EVENT_COLOUR = "#555555"
#: Letters of an event's name that are written beside its mark; all of it is told on hover.
_MOST_WRITTEN = 22
#: Of a hover's line.
_LINE = 70


def draw_treatments(
    figure: go.Figure, treatments: Sequence[Treatment], axis: TimeAxis, since_days: float | None = None
) -> None:
    """One bar a treatment above the plot, as few rows as do; without an end it is called ongoing. Those that ended
    before `since_days` are left out."""
    last = _last_days(figure, axis)
    treatments = [t for t in treatments if since_days is None or t.end_days is None or t.end_days > since_days]
    if not treatments:
        return
    height = 0.08
    taken: list[float] = []  # the day until which each row is taken
    for treatment in treatments:
        end = treatment.end_days if treatment.end_days is not None else max(last, treatment.start_days + 14)
        row = next((n for n, until in enumerate(taken) if until < treatment.start_days), len(taken))
        taken[row : row + 1] = [end]
        low = 1.01 + row * height
        figure.add_shape(
            type="rect",
            xref="x",
            yref="paper",
            x0=axis.date(treatment.start_days),
            x1=axis.date(end),
            y0=low,
            y1=low + height - 0.012,
            fillcolor=faded("#0072B2", 0.25),
            line={"width": 0},
            name=figure_text(treatment.name),
        )
        text = figure_text(treatment.name) + ("" if treatment.end_days is not None else " (ongoing)")
        seen_from = treatment.start_days if since_days is None else max(treatment.start_days, since_days)
        told = axis.told(treatment.start_days)
        until = "goes on" if treatment.end_days is None else f"until {axis.told(treatment.end_days)}"
        figure.add_annotation(
            text=text,
            hovertext=f"<b>{figure_text(treatment.name)}</b><br>from {told}<br>{until}",
            x=axis.date(seen_from),
            xref="x",
            xanchor="left",
            xshift=4,
            y=low + height / 2,
            yref="paper",
            yanchor="middle",
            showarrow=False,
            font={"size": 11},
        )
    figure.update_layout(margin_t=34 + 24 * len(taken))


def _last_days(figure: go.Figure, axis: TimeAxis) -> float:
    """The last day of all that is drawn."""
    last = latest(figure)
    return float((parse_date(last[:10]) - axis.zero).days) if last else 0.0


def draw_events(
    figure: go.Figure, events: Sequence[tuple[float, str]], axis: TimeAxis, since_days: float | None = None
) -> None:
    """A mark at the top of the plot and a thin line for each event, by (days, text); named beside the mark where there
    is room, and in full on hover. Those before `since_days` are left out."""
    by_day: dict[float, list[str]] = {}
    for when, what in sorted(events):
        if since_days is None or when >= since_days:
            by_day.setdefault(when, []).append(what)
    days = list(by_day)
    if not days:
        return
    for day in days:
        figure.add_shape(
            type="line",
            x0=axis.date(day),
            x1=axis.date(day),
            yref="paper",
            y0=0,
            y1=1,
            line={"dash": "dot", "color": _EVENT_COLOUR, "width": 1},
        )
    last = max(_last_days(figure, axis), days[-1])
    room = 0.16 * max(last - min(0.0 if since_days is None else since_days, days[0]), 1.0)
    ends = [*days[1:], last]
    _strip(figure)
    figure.add_trace(
        go.Scatter(
            x=axis.dates(days),
            y=[0.955] * len(days),
            yaxis="y2",
            mode="markers+text",
            name="events",
            marker={"symbol": "triangle-down", "size": 12, "color": _EVENT_COLOUR},
            text=[_short(by_day[day]) if end - day > room else "" for day, end in zip(days, ends, strict=True)],
            textposition="middle right",
            textfont={"size": 11},
            hovertext=[f"<b>{'<br>'.join(map(_broken, by_day[day]))}</b><br>{axis.told(day)}" for day in days],
            hovertemplate="%{hovertext}<extra></extra>",
        )
    )


def draw_missing(figure: go.Figure, missing: Mapping[str, str], axis: TimeAxis, since_days: float | None) -> None:
    """A cross at the foot of the plot for each timepoint without a point, with why on hover."""
    days = {day: float((parse_date(day) - axis.zero).days) for day in missing}
    shown = [day for day in missing if since_days is None or days[day] >= since_days]
    if not shown:
        return
    _strip(figure)
    figure.add_trace(
        go.Scatter(
            x=[axis.date(days[day]) for day in shown],
            y=[0.03] * len(shown),
            yaxis="y2",
            mode="markers",
            name="scan without a point",
            marker={"symbol": "x-thin-open", "size": 10, "color": DOUBT_COLOUR, "line": {"width": 2}},
            hovertext=[f"<b>not in the curve</b> · {axis.told(days[day])}<br>{_broken(missing[day])}" for day in shown],
            hovertemplate="%{hovertext}<extra></extra>",
        )
    )


def ring(figure: go.Figure, places: Sequence[tuple[float, float]], axis: TimeAxis, **place: int) -> None:
    """A ring about each doubted point: (days, height in the figure's unit). Args: place: row and col of a subplot."""
    if not places:
        return
    figure.add_trace(
        go.Scatter(
            x=[axis.date(days) for days, _ in places],
            y=[height for _, height in places],
            mode="markers",
            name="doubted: why is on hover",
            marker={"symbol": "circle-open", "size": 17, "color": DOUBT_COLOUR, "line": {"width": 2}},
            hoverinfo="skip",
        ),
        **place,
    )


def doubt_lines(doubts: Sequence[str]) -> str:
    """For the hover of a point."""
    return "".join(f"<br>⚠ {_broken(one)}" for one in doubts)


def _strip(figure: go.Figure) -> None:
    """A second axis of heights over the plot, from 0 to 1, that is not drawn."""
    figure.update_layout(
        yaxis2={"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True, "type": "linear"}
    )


def _short(texts: Sequence[str]) -> str:
    text = texts[0] if len(texts) == 1 else f"{texts[0]} +{len(texts) - 1}"
    return figure_text(text if len(text) <= _MOST_WRITTEN else text[: _MOST_WRITTEN - 1] + "…")


def _broken(text: str) -> str:
    """In lines that fit a hover."""
    lines: list[str] = []
    line = ""
    for word in text.split():
        if line and len(line) + len(word) >= _LINE:
            lines, line = [*lines, line], ""
        line = f"{line} {word}".strip()
    return "<br>".join(figure_text(one) for one in [*lines, line])
