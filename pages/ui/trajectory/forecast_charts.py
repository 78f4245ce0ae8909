"""How good forecasts were: what was said of past visits, and how often chances came true."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from core.growth.curves import FLOOR_MM3
from core.growth.forecast import HindcastResult
from core.types import MM3_PER_ML, parse_date
from pages.ui.shared.charts import layout
from pages.ui.shared.text import figure_text
from pages.ui.trajectory.growth_charts import volume_axis


def checks_figure(checks: Sequence[HindcastResult]) -> go.Figure:
    """Hindcasts: each visit's forecast for the next (80 % limits), last value carried forward, observed volume."""
    figure = go.Figure()
    visits = [check.target_timepoint for check in checks]
    rows = [(c.median_mm3, c.low80_mm3, c.high80_mm3, c.last_mm3, c.observed_mm3) for c in checks]
    median, low, high, last, observed = np.maximum(np.array(rows).reshape(-1, 5), FLOOR_MM3).T / MM3_PER_ML
    figure.add_trace(
        go.Scatter(
            x=visits,
            y=median,
            mode="markers",
            name="forecast (80 % limits)",
            marker={"symbol": "line-ew-open", "size": 16, "color": "#0072B2", "line": {"width": 2}},
            error_y={
                "type": "data",
                "symmetric": False,
                "array": high - median,
                "arrayminus": median - low,
                "width": 5,
            },
            hovertemplate="forecast %{y:.4g} mL<extra></extra>",
        )
    )
    for name, values, symbol, colour in (
        ("last value carried forward", last, "diamond-open", "#777777"),
        ("what came", observed, "circle", "#D55E00"),
    ):
        figure.add_trace(
            go.Scatter(
                x=visits,
                y=values,
                mode="markers",
                name=name,
                marker={"symbol": symbol, "size": 9, "color": colour},
                hovertemplate=f"{name} %{{y:.4g}} mL<extra></extra>",
            )
        )
    layout(figure, "Visit", "Volume (mL)")
    # Room at either end: of a single visit plotly would show milliseconds.
    ends = [parse_date(visits[0]) - dt.timedelta(days=21), parse_date(visits[-1]) + dt.timedelta(days=21)]
    figure.update_xaxes(type="date", tickformat="%Y-%m-%d", range=[end.isoformat() for end in ends], nticks=8)
    volume_axis(figure, True, 0.0)
    return figure


def reliability_figure(bins: Sequence[Mapping[str, float]], event: str) -> go.Figure:
    """How often the event came (95 % interval) by how probable it was said to be; the diagonal is perfect."""
    figure = go.Figure(
        go.Scatter(
            x=[0, 1],
            y=[0, 1],
            mode="lines",
            name="perfect",
            hoverinfo="skip",
            line={"color": "#777777", "dash": "longdash", "width": 1},
        )
    )
    predicted, observed = np.array([b["said"] for b in bins]), np.array([b["came"] for b in bins])
    figure.add_trace(
        go.Scatter(
            x=predicted,
            y=observed,
            mode="lines+markers",
            name=figure_text(event),
            line={"color": "#0072B2"},
            error_y={
                "type": "data",
                "symmetric": False,
                "array": np.array([b["high95"] for b in bins]) - observed,
                "arrayminus": observed - np.array([b["low95"] for b in bins]),
            },
            text=[f"{b['forecasts']} forecasts" for b in bins],
            hovertemplate="said %{x:.0%}, came %{y:.0%}<br>%{text}<extra></extra>",
        )
    )
    layout(figure, "Probability that was said", "Share that came")
    figure.update_xaxes(range=[0, 1], tickformat=".0%")
    figure.update_yaxes(range=[0, 1], tickformat=".0%")
    return figure
