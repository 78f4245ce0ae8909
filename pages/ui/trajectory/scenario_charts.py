"""The figure of a simulation: dotted, hatched, in violet, and named so that nobody takes it for what was observed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from core.growth.curves import FLOOR_MM3
from core.growth.scenario import Simulated, TreatmentPeriod
from core.twin.curve import Treatment
from core.twin.radiotherapy import CANNOT_TELL
from core.types import MM3_PER_ML, VolumePoint
from pages.ui.shared.charts import faded, layout, lesion_colour
from pages.ui.shared.text import figure_text
from pages.ui.trajectory.event_marks import draw_treatments
from pages.ui.trajectory.growth_charts import volume_axis
from pages.ui.trajectory.time_axis import axis_of, in_dates

SIMULATED = "#9467BD"


def scenario_figure(
    points: Sequence[VolumePoint], treated: Simulated, without: Simulated | None, courses: Sequence[TreatmentPeriod]
) -> go.Figure:
    """Observed points, and what a simulation makes of them: 80 and 50 % bands, each law's median, and the median
    untreated where there is a treatment."""
    figure = go.Figure()
    last = points[-1].days
    axis = axis_of(points)
    assert axis is not None  # a simulation starts from the last point
    colour = lesion_colour(points[-1].lesion_id)
    figure.add_trace(
        go.Scatter(
            x=axis.dates(p.days for p in points),
            y=[max(p.volume_mm3, FLOOR_MM3) / MM3_PER_ML for p in points],
            mode="lines+markers",
            name="observed",
            line={"color": colour},
            marker={"color": colour, "size": 8},
            text=axis.all_told(p.days for p in points),
            hovertemplate="observed, %{text}<br>%{y:.4g} mL<extra></extra>",
        )
    )
    days = last + treated.fan.days
    dates, told = axis.dates(days), axis.all_told(days)
    plain = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip"}
    for percent, alpha in ((80, 0.25), (50, 0.5)):
        low, high = treated.fan.limits_mm3(percent)
        name = f"simulated {percent} %"
        figure.add_trace(go.Scatter(x=dates, y=high / MM3_PER_ML, showlegend=False, legendgroup=name, **plain))
        figure.add_trace(
            go.Scatter(
                x=dates,
                y=low / MM3_PER_ML,
                fill="tonexty",
                name=name,
                legendgroup=name,
                fillcolor="rgba(0,0,0,0)",
                fillpattern={"shape": "/", "fgcolor": faded(SIMULATED, alpha), "size": 6, "solidity": 0.2},
                **plain,
            )
        )
    for law, median in treated.medians_mm3.items():
        figure.add_trace(
            go.Scatter(
                x=dates,
                y=median / MM3_PER_ML,
                mode="lines",
                name="each growth law",
                legendgroup="laws",
                showlegend=law == next(iter(treated.medians_mm3)),
                line={"color": SIMULATED, "dash": "dot", "width": 1.5},
                text=told,
                hovertemplate=f"simulated, {figure_text(law)}<br>%{{text}}<br>%{{y:.4g}} mL<extra></extra>",
            )
        )
    if without is not None:
        figure.add_trace(
            go.Scatter(
                x=dates,
                y=without.fan.median_mm3 / MM3_PER_ML,
                mode="lines",
                name="simulated, untreated",
                line={"color": "#777777", "dash": "dot", "width": 1.5},
                text=told,
                hovertemplate="simulated, untreated<br>%{text}<br>%{y:.4g} mL<extra></extra>",
            )
        )
    layout(figure, "", "Volume (mL)")
    in_dates(figure)
    since = _shown_since(points, float(treated.fan.days[-1]))
    draw_treatments(
        figure,
        [
            Treatment(
                f"what if: {c.effect.treatment or c.effect.name}",
                last + c.start_days,
                None if c.stop_days is None else last + c.stop_days,
            )
            for c in courses
        ],
        axis,
        since,
    )
    if since is not None:
        figure.update_xaxes(
            range=[axis.date(since), dates[-1]],
            title_text=f"Before {axis.date(since)} not shown",
        )
    style = {"size": 22, "color": faded(SIMULATED, 0.6)}
    figure.add_annotation(
        text="SIMULATION",
        x=0.99,
        y=0.03,
        xref="paper",
        yref="paper",
        showarrow=False,
        xanchor="right",
        yanchor="bottom",
        font=style,
    )
    if treated.cannot_tell_from is not None:
        figure.add_vrect(
            x0=axis.date(last + treated.cannot_tell_from),
            x1=dates[-1],
            fillcolor=faded("#777777", 0.12),
            line_width=0,
            annotation_text=CANNOT_TELL,
            annotation_position="top left",
        )
    volume_axis(figure, True, 0.0)
    seen = [max(p.volume_mm3, FLOOR_MM3) for p in points if since is None or p.days >= since]
    low, high = treated.fan.limits_mm3(80)
    ends = np.array([min(*seen, *low), max(*seen, *high)]) / MM3_PER_ML
    figure.update_yaxes(range=[np.log10(ends[0] / 1.3), np.log10(ends[1] * 1.3)])
    return figure


def _shown_since(points: Sequence[VolumePoint], days_ahead: float) -> float | None:
    """First day of the time axis: of a long history twice as much is shown as is simulated; None: all of it."""
    start = points[-1].days - 2.0 * days_ahead
    return start if start > points[0].days else None
