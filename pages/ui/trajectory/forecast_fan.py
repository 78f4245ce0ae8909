"""A forecast in the chart: dashed within bands, beside the last value carried forward."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from core.growth.forecast import Forecast, QuantileForecast
from pages.ui.shared.charts import faded, lesion_colour
from pages.ui.shared.text import figure_text
from pages.ui.trajectory.time_axis import TimeAxis

_BANDS = ((95, 0.08), (80, 0.13), (50, 0.2))
LOCF_NAME = "last value carried forward (LOCF): it stays as it is; 80 % limits"


def _not_below(fan: QuantileForecast, floor_mm3: float) -> QuantileForecast:
    """The fan where a log axis can show it: a total of lesions that are gone is 0."""
    return QuantileForecast(fan.days, np.maximum(fan.quantiles_mm3, floor_mm3))


def draw_fan(figure: go.Figure, fan: QuantileForecast, colour: str, scale: float, axis: TimeAxis) -> None:
    """Bands of 95, 80 and 50 %, the darkest inside."""
    plain = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip"}
    dates = axis.dates(fan.days)
    for percent, alpha in _BANDS:
        low, high = fan.limits_mm3(percent)
        group = f"forecast {percent} %"
        figure.add_trace(go.Scatter(x=dates, y=high / scale, showlegend=False, legendgroup=group, **plain))
        inside = {"fill": "tonexty", "fillcolor": faded(colour, alpha), "name": group, "legendgroup": group}
        figure.add_trace(go.Scatter(x=dates, y=low / scale, **inside, **plain))


def draw_forecast(
    figure: go.Figure, forecast: Forecast, scale: float, unit: str, floor_mm3: float, axis: TimeAxis
) -> None:
    """The fan with its median, and the last value carried forward."""
    colour, fan = lesion_colour(forecast.lesion_id), _not_below(forecast.fan, floor_mm3)
    draw_fan(figure, fan, colour, scale, axis)
    lesion = figure_text(forecast.lesion_id)
    figure.add_trace(
        go.Scatter(
            x=axis.dates(fan.days),
            y=fan.median_mm3 / scale,
            mode="lines",
            name=f"{lesion} forecast",
            line={"color": faded(colour, 0.75), "dash": "dash", "width": 2},
            text=axis.all_told(fan.days),
            hovertemplate=f"<b>{lesion} forecast</b>, the middle<br>%{{text}}<br>%{{y:.4g}} {unit}<extra></extra>",
        )
    )
    _draw_locf(figure, _not_below(forecast.locf, floor_mm3), scale, unit, axis)


def _draw_locf(figure: go.Figure, locf: QuantileForecast, scale: float, unit: str, axis: TimeAxis) -> None:
    """The last value carried forward: grey, so that it belongs to no lesion, with dotted 80 % limits."""
    line = {"color": "#777777", "width": 1.5, "dash": "longdash"}
    dates = axis.dates(locf.days)
    figure.add_trace(
        go.Scatter(
            x=dates,
            y=locf.median_mm3 / scale,
            mode="lines",
            line=line,
            legendgroup="locf",
            name=LOCF_NAME,
            text=axis.all_told(locf.days),
            hovertemplate="<b>last value carried forward (LOCF)</b>: it stays as it is<br>%{text}<br>"
            f"%{{y:.4g}} {unit}<extra></extra>",
        )
    )
    for limit in locf.limits_mm3(80):
        figure.add_trace(
            go.Scatter(
                x=dates,
                y=limit / scale,
                mode="lines",
                line={**line, "width": 1, "dash": "dot"},
                legendgroup="locf",
                showlegend=False,
                hoverinfo="skip",
            )
        )
