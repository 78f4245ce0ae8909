"""Marks about what is doubted in the waterfall and the spider; the swimmer draws its own as those of visits."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from core.twin.outcomes import PatientResponse
from pages.ui.cohort.cohort_words import DOUBT_COLOUR, DOUBTED


def ring_bars(figure: go.Figure, doubted: Sequence[tuple[float, str]]) -> None:
    """A ring at the foot of each bar whose baseline or best visit is doubted: (place, hover of the bar)."""
    if doubted:
        figure.add_trace(
            go.Scatter(
                x=[x for x, _ in doubted],
                y=[0.0] * len(doubted),
                mode="markers",
                name=DOUBTED,
                marker={"symbol": "circle-open", "size": 12, "color": DOUBT_COLOUR, "line": {"width": 2}},
                hovertext=[hover for _, hover in doubted],
                hovertemplate="%{hovertext}<extra></extra>",
            )
        )


def ring_points(figure: go.Figure, shown: Sequence[PatientResponse]) -> None:
    """A ring about each doubted point; the point's own hover says why."""
    doubted = [v for o in shown for v in o.doubted if v.change_percent is not None]
    if doubted:
        figure.add_trace(
            go.Scatter(
                x=[v.days for v in doubted],
                y=[v.change_percent for v in doubted],
                mode="markers",
                name=DOUBTED,
                marker={"symbol": "circle-open", "size": 17, "color": DOUBT_COLOUR, "line": {"width": 2}},
                hoverinfo="skip",
            )
        )
