"""Baseline, nadir and the limits of response in the chart of volumes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import plotly.graph_objects as go

from core.growth.curves import FLOOR_MM3
from core.twin.volume_lines import VolumeLines
from core.types import VolumePoint
from pages.ui.shared.charts import RESPONSE_COLOURS, TOTAL_COLOUR
from pages.ui.shared.text import figure_text
from pages.ui.trajectory.time_axis import TimeAxis


def draw_lines(
    figure: go.Figure,
    lines: VolumeLines,
    known: Sequence[VolumePoint],
    scale: float,
    unit: str,
    log: bool,
    axis: TimeAxis,
) -> None:
    """Baseline and nadir marks and the limits on the sum of the targets' volumes."""
    marks = [("baseline", lines.days, lines.baseline_mm3), ("nadir", lines.nadir_days, lines.nadir_mm3)]
    if lines.nadir_days == lines.days:
        marks = [("baseline, nadir", lines.days, lines.baseline_mm3)]
    for text, days, volume in marks:
        height = max(volume, FLOOR_MM3 if log else 0.0) / scale
        place = "bottom center" if height > 0 else "top center"  # not upon the numbers of the axis
        figure.add_trace(
            go.Scatter(
                x=[axis.date(days)],
                y=[height],
                mode="markers+text",
                text=[text],
                textposition=place,
                showlegend=False,
                marker={"symbol": "circle-open", "size": 18, "color": TOTAL_COLOUR},
                cliponaxis=False,
                hovertemplate=f"<b>{text}</b>, {axis.date(days)}<br>{volume / scale:.4g} {unit}, "
                "targets<extra></extra>",
            )
        )
    for text, volume, category in (
        (f"PR {lines.pr_percent:+g} % of baseline", lines.baseline_mm3 * (1 + lines.pr_percent / 100), "PR"),
        (f"PD {lines.pd_percent:+g} % of nadir", lines.nadir_mm3 * (1 + lines.pd_percent / 100), "PD"),
    ):
        if volume > 0:
            colour = RESPONSE_COLOURS[category]
            figure.add_hline(y=volume / scale, line={"color": colour, "width": 1, "dash": "dashdot"})
            side = _free_side(known, volume)
            # plotly places annotations of a log axis by the exponent, lines by the value.
            figure.add_annotation(
                text=f"{text}: {figure_text(lines.words)}",
                x=float(side == "right"),
                xref="paper",
                xanchor=side,
                yanchor="bottom",
                y=math.log10(volume / scale) if log else volume / scale,
                font={"color": colour, "size": 12},
                showarrow=False,
            )


def _free_side(known: Sequence[VolumePoint], volume_mm3: float) -> str:
    """At which end, "left" or "right", the measured volumes stay farther from a line at `volume_mm3`."""
    third = (known[-1].days - known[0].days) / 3

    def nearest(some: Sequence[VolumePoint]) -> float:
        return min(abs(math.log(max(r.volume_mm3, FLOOR_MM3) / volume_mm3)) for r in some)

    first = nearest([r for r in known if r.days <= known[0].days + third])
    return "left" if first >= nearest([r for r in known if r.days >= known[-1].days - third]) else "right"
