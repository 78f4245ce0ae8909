"""The growth curve and what may come of it. Values in, `Figure` out; nothing here knows Streamlit or the store.

Observed, forecast and simulated never look alike: observed points are filled markers on solid lines, a forecast is
dashed within bands, what is simulated is dotted in grey and says so; masks that do not count are grey crosses.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from core.growth.curves import FLOOR_MM3
from core.growth.forecast import Forecast, QuantileForecast
from core.growth.rates import READER_LOG_SD, Z95
from core.remembered.links import lesion_number
from core.twin.curve import MaskVolume, Treatment
from core.twin.volume_lines import VolumeLines
from core.types import VolumePoint
from pages.ui.shared.charts import (
    MM3_PER_UNIT,
    RESPONSE_COLOURS,
    TOTAL_COLOUR,
    faded,
    layout,
    lesion_colour,
    marker,
    say,
)
from pages.ui.shared.text import figure_text

UNCOUNTED = "#8C8C8C"
_BANDS = ((95, 0.08), (80, 0.13), (50, 0.2))


def growth_figure(
    points_by_lesion: Mapping[str, Sequence[VolumePoint]],
    forecast: Forecast | None = None,
    log: bool = True,
    events: Sequence[tuple[float, str]] = (),
    treatments: Sequence[Treatment] = (),
    unit: str = "mL",
    noise_log_sd: Mapping[str, float] | float = READER_LOG_SD,
    reviewers: Mapping[str, str] | None = None,
    lines: VolumeLines | None = None,
    others: Sequence[MaskVolume] = (),
    others_drawn: bool = True,
    since_days: float | None = None,
) -> go.Figure:
    """Volumes of the accepted masks over time, and what may come.

    Args:
        points_by_lesion: lesion id -> its points; only accepted masks' volumes belong here. "total" may be among them.
        forecast: of one of these lesions; its fan and the last value carried forward are drawn, unless it was refused,
            when the reason is written in the figure.
        log: logarithmic volume axis; absent lesions are then drawn hollow at 5 mm diameter.
        events: (days, text), drawn as dotted vertical lines; treatments: bars above the curve.
        unit: "mL" or "mm³".
        noise_log_sd: log-SD of one measurement, for all or by mask id; bars span its 95 % interval.
        reviewers: mask id -> who accepted it, for the hover.
        lines: baseline, nadir, PR and PD of the sum of the targets' volumes are drawn.
        others: volumes of masks that do not count (proposed, rejected, superseded): named on hover, and grey crosses
            where `others_drawn`.
        since_days: where the time axis begins; None: with the first point.

    Returns:
        The figure; with no points an empty one that says so.
    """
    scale = MM3_PER_UNIT[unit]
    figure = go.Figure()
    for lesion_id, points in points_by_lesion.items():
        known = sorted((p for p in points if math.isfinite(p.volume_mm3)), key=lambda p: p.days)
        if known:
            figure.add_trace(_observed(lesion_id, known, scale, unit, log, noise_log_sd, reviewers or {}, others))
    if not figure.data:
        say(figure, "No accepted mask yet: the curve is made of accepted masks only.")
    if others and others_drawn:
        figure.add_trace(_uncounted(others, scale, unit, log))
    if forecast is not None and forecast.refused:
        say(figure, f"No forecast. {forecast.refused}", y=1.0)
    elif forecast is not None:
        _draw_forecast(figure, forecast, scale, unit, FLOOR_MM3 if log else 0.0)
    if lines is not None:
        known = [p for series in points_by_lesion.values() for p in series if math.isfinite(p.volume_mm3)]
        _draw_lines(figure, lines, sorted(known, key=lambda p: p.days), scale, unit, log)
    for days, text in events:
        figure.add_vline(
            x=days,
            line={"dash": "dot", "color": "#555555", "width": 1},
            annotation_text=figure_text(text),
            annotation_textangle=-90,
            annotation_position="top right",
        )
    layout(figure, "Days since the first timepoint", f"Volume ({unit})")
    draw_treatments(figure, treatments, since_days)
    if since_days is not None:
        figure.update_xaxes(range=[since_days, _latest(figure)])
    volume_axis(figure, log, 1.1 * _ceiling(points_by_lesion, forecast) / scale)
    return figure


def volume_axis(figure: go.Figure, log: bool, top: float) -> None:
    """Logarithmic with ticks at 1, 2 and 5 of each decade (more where it spans less than one), or linear from 0 to
    `top`, in the figure's unit."""
    if log:
        drawn = np.concatenate([np.asarray(trace.y, dtype=float) for trace in figure.data] or [np.ones(1)])
        drawn = drawn[np.isfinite(drawn) & (drawn > 0)]
        narrow = drawn.size > 0 and drawn.max() < 10 * drawn.min()
        steps = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0) if narrow else (1.0, 2.0, 5.0)
        values = [step * 10.0**decade for decade in range(-4, 8) for step in steps]
        figure.update_yaxes(type="log", tickvals=values, ticktext=[f"{value:,.10g}" for value in values])
    else:
        figure.update_yaxes(range=[0, top])


def _ceiling(points_by_lesion: Mapping[str, Sequence[VolumePoint]], forecast: Forecast | None) -> float:
    """Top of a linear axis, mm3: a 95 % limit may run to any height and would flatten what was observed."""
    points = (p for series in points_by_lesion.values() for p in series)
    volumes = [1.4 * p.volume_mm3 for p in points if math.isfinite(p.volume_mm3)]
    if forecast is not None and not forecast.refused:
        volumes += [float(v) for fan in (forecast.fan, forecast.locf) for v in fan.limits_mm3(80)[1]]
    return max(volumes, default=0.0) or MM3_PER_UNIT["mL"]


def _observed(
    lesion_id: str,
    points: Sequence[VolumePoint],
    scale: float,
    unit: str,
    log: bool,
    noise: Mapping[str, float] | float,
    reviewers: Mapping[str, str],
    others: Sequence[MaskVolume],
) -> go.Scatter:
    """One lesion's points with noise bars; hollow where the lesion is absent (on a log axis at 5 mm diameter)."""
    volumes = np.array([p.volume_mm3 for p in points])
    shown = np.where((volumes <= 0) & log, FLOOR_MM3, volumes) / scale
    sd = np.array([noise if isinstance(noise, float | int) else noise.get(p.mask_id, READER_LOG_SD) for p in points])
    present = volumes > 0
    colour, name = lesion_colour(lesion_id), figure_text(lesion_id)
    hover = [
        f"<b>{name}</b> · {figure_text(p.timepoint)} (day {p.days:g})<br>"
        + (f"{p.volume_mm3 / scale:.4g} {unit}" if p.volume_mm3 > 0 else "absent")
        + f"<br>mask version {p.version} · {figure_text(p.mask_id)}"
        + f"<br>accepted by {figure_text(reviewers.get(p.mask_id, 'unknown'))}"
        + "".join(f"<br>{_version(o, scale, unit)}" for o in others if o.timepoint == p.timepoint)
        for p in points
    ]
    return go.Scatter(
        x=[p.days for p in points],
        y=shown,
        mode="lines+markers",
        name=name,
        legendgroup=name,
        line={"color": colour, "width": 1.5 if lesion_number(lesion_id) else 2.5},
        marker={
            "color": colour,
            "size": 9 if len(points) <= 20 else 6,
            "line": {"color": colour, "width": 1.5},
            "symbol": [marker(lesion_id) + ("" if here else "-open") for here in present],
        },
        error_y={
            "type": "data",
            "symmetric": False,
            "thickness": 1,
            "width": 3,
            "color": faded(colour, 0.6),
            "array": np.where(present, shown * np.expm1(Z95 * sd), 0.0),
            "arrayminus": np.where(present, -shown * np.expm1(-Z95 * sd), 0.0),
        },
        text=hover,
        hovertemplate="%{text}<extra></extra>",
    )


def _version(other: MaskVolume, scale: float, unit: str) -> str:
    return figure_text(
        f"version {other.version} ({other.method}): {other.volume_mm3 / scale:.4g} {unit}, {other.status}"
    )


def _uncounted(others: Sequence[MaskVolume], scale: float, unit: str, log: bool) -> go.Scatter:
    return go.Scatter(
        x=[o.days for o in others],
        y=[max(o.volume_mm3, FLOOR_MM3 if log else 0.0) / scale for o in others],
        mode="markers",
        name="masks that do not count",
        marker={"symbol": "x-thin-open", "size": 8, "color": UNCOUNTED},
        text=[f"<b>not in the curve</b> · {figure_text(o.timepoint)}<br>{_version(o, scale, unit)}" for o in others],
        hovertemplate="%{text}<extra></extra>",
    )


def _not_below(fan: QuantileForecast, floor_mm3: float) -> QuantileForecast:
    """The fan where a log axis can show it: a total of lesions that are gone is 0."""
    return QuantileForecast(fan.days, np.maximum(fan.quantiles_mm3, floor_mm3))


def draw_fan(figure: go.Figure, fan: QuantileForecast, colour: str, scale: float, name: str) -> None:
    """Bands of 95, 80 and 50 %, the darkest inside."""
    plain = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip"}
    for percent, alpha in _BANDS:
        low, high = fan.limits_mm3(percent)
        group = f"{name} {percent} %"
        figure.add_trace(go.Scatter(x=fan.days, y=high / scale, showlegend=False, legendgroup=group, **plain))
        inside = {"fill": "tonexty", "fillcolor": faded(colour, alpha), "name": group, "legendgroup": group}
        figure.add_trace(go.Scatter(x=fan.days, y=low / scale, **inside, **plain))


def _draw_forecast(figure: go.Figure, forecast: Forecast, scale: float, unit: str, floor_mm3: float) -> None:
    colour, fan = lesion_colour(forecast.lesion_id), _not_below(forecast.fan, floor_mm3)
    draw_fan(figure, fan, colour, scale, "forecast")
    lesion = figure_text(forecast.lesion_id)
    skill = "" if forecast.skill_vs_locf is None else f", skill against LOCF {forecast.skill_vs_locf:+.2f}"
    figure.add_trace(
        go.Scatter(
            x=fan.days,
            y=fan.median_mm3 / scale,
            mode="lines",
            name=f"{lesion} forecast{skill}",
            line={"color": faded(colour, 0.75), "dash": "dash", "width": 2},
            hovertemplate=f"<b>{lesion} forecast</b><br>day %{{x:.0f}}: %{{y:.4g}} {unit}<extra></extra>",
        )
    )
    _draw_locf(figure, _not_below(forecast.locf, floor_mm3), scale, unit)


def _draw_locf(figure: go.Figure, locf: QuantileForecast, scale: float, unit: str) -> None:
    """The last value carried forward: grey, so that it belongs to no lesion, with dotted 80 % limits."""
    line = {"color": "#777777", "width": 1.5, "dash": "longdash"}
    figure.add_trace(
        go.Scatter(
            x=locf.days,
            y=locf.median_mm3 / scale,
            mode="lines",
            line=line,
            legendgroup="locf",
            name="LOCF: last value carried forward (80 % limits)",
            hovertemplate=f"<b>last value carried forward</b><br>day %{{x:.0f}}: %{{y:.4g}} {unit}<extra></extra>",
        )
    )
    for limit in locf.limits_mm3(80):
        figure.add_trace(
            go.Scatter(
                x=locf.days,
                y=limit / scale,
                mode="lines",
                line={**line, "width": 1, "dash": "dot"},
                legendgroup="locf",
                showlegend=False,
                hoverinfo="skip",
            )
        )


def _latest(figure: go.Figure) -> float:
    """The last day of all that is drawn."""
    return max((float(np.max(trace.x)) for trace in figure.data if trace.x is not None and len(trace.x)), default=0.0)


def draw_treatments(figure: go.Figure, treatments: Sequence[Treatment], since_days: float | None = None) -> None:
    """One bar a treatment above the plot, as few rows as do; without an end it is called ongoing. Those that ended
    before `since_days` are left out."""
    last = _latest(figure)
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
            x0=treatment.start_days,
            x1=end,
            y0=low,
            y1=low + height - 0.012,
            fillcolor=faded("#0072B2", 0.25),
            line={"width": 0},
            name=figure_text(treatment.name),
        )
        text = figure_text(treatment.name) + ("" if treatment.end_days is not None else " (ongoing)")
        seen_from = treatment.start_days if since_days is None else max(treatment.start_days, since_days)
        figure.add_annotation(
            text=text,
            x=seen_from,
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


def _draw_lines(
    figure: go.Figure, lines: VolumeLines, known: Sequence[VolumePoint], scale: float, unit: str, log: bool
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
                x=[days],
                y=[height],
                mode="markers+text",
                text=[text],
                textposition=place,
                showlegend=False,
                marker={"symbol": "circle-open", "size": 18, "color": TOTAL_COLOUR},
                cliponaxis=False,
                hovertemplate=f"<b>{text}</b> {volume / scale:.4g} {unit}, targets<extra></extra>",
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


def lesions_figure(points_by_lesion: Mapping[str, Sequence[VolumePoint]], log: bool = True) -> go.Figure:
    """Small multiples: every lesion alone, all on one scale of days and one of mL, three in a row."""
    names = list(points_by_lesion)
    rows = max(1, math.ceil(len(names) / 3))
    figure = make_subplots(
        rows=rows,
        cols=min(3, max(1, len(names))),
        shared_xaxes=True,
        shared_yaxes=True,
        subplot_titles=[figure_text(name) for name in names],
        vertical_spacing=min(0.12, 0.4 / rows),
        horizontal_spacing=0.03,
    )
    for n, name in enumerate(names):
        known = sorted((p for p in points_by_lesion[name] if math.isfinite(p.volume_mm3)), key=lambda p: p.days)
        figure.add_trace(
            _observed(name, known, 1000.0, "mL", log, READER_LOG_SD, {}, ()), row=n // 3 + 1, col=n % 3 + 1
        )
    layout(figure, "", "")
    figure.update_layout(showlegend=False, height=80 + 200 * rows, margin_t=44)
    figure.update_xaxes(title_text="Days since the first timepoint", row=rows)
    figure.update_yaxes(title_text="Volume (mL)", col=1)
    if log:
        volume_axis(figure, True, 0.0)
    else:
        figure.update_yaxes(rangemode="tozero")
    return figure
