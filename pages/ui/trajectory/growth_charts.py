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
from core.growth.forecast import Forecast
from core.growth.rates import READER_LOG_SD, Z95
from core.remembered.links import lesion_number
from core.twin.curve import MaskVolume, Treatment
from core.twin.volume_lines import VolumeLines
from core.types import VolumePoint
from pages.ui.shared.charts import (
    MM3_PER_UNIT,
    faded,
    layout,
    lesion_colour,
    marker,
    say,
)
from pages.ui.shared.text import figure_text
from pages.ui.trajectory.event_marks import doubt_lines, draw_events, draw_missing, draw_treatments, ring
from pages.ui.trajectory.forecast_fan import draw_forecast
from pages.ui.trajectory.response_lines import draw_lines
from pages.ui.trajectory.time_axis import TimeAxis, axis_of, in_dates, latest

UNCOUNTED = "#8C8C8C"


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
    baseline: str | None = None,
    doubts: Mapping[str, Sequence[str]] | None = None,
    missing: Mapping[str, str] | None = None,
) -> go.Figure:
    """Volumes of the accepted masks over time, and what may come; by date.

    Args:
        points_by_lesion: lesion id -> its points; only accepted masks' volumes belong here. "total" may be among them.
        forecast: of one of these lesions; its fan and the last value carried forward are drawn, unless it was refused,
            when the reason is written in the figure.
        log: logarithmic volume axis; absent lesions are then drawn hollow at 5 mm diameter.
        events: (days, text), marked at the top; treatments: bars above the curve.
        unit: "mL" or "mm³".
        noise_log_sd: log-SD of one measurement, for all or by mask id; bars span its 95 % interval.
        reviewers: mask id -> who accepted it, for the hover.
        lines: baseline, nadir, PR and PD of the sum of the targets' volumes are drawn.
        others: volumes of masks that do not count (proposed, rejected, superseded): named on hover, and grey crosses
            where `others_drawn`.
        since_days: where the time axis begins; None: with the first point.
        baseline: the date that hovers count days from; None: the first visit.
        doubts: mask id -> what is doubted of the volume in it, ringed and told on hover.
        missing: timepoint without a point -> why.

    Returns:
        The figure; with no points an empty one that says so.
    """
    scale = MM3_PER_UNIT[unit]
    figure = go.Figure()
    known = {
        name: sorted((p for p in points if math.isfinite(p.volume_mm3)), key=lambda p: p.days)
        for name, points in points_by_lesion.items()
    }
    every = sorted((p for series in known.values() for p in series), key=lambda p: p.days)
    axis = axis_of(every, baseline)
    layout(figure, "", f"Volume ({unit})")
    if axis is None:
        say(figure, "No accepted mask yet: the curve is made of accepted masks only.")
        return figure
    in_dates(figure)
    for lesion_id, points in known.items():
        if points:
            figure.add_trace(
                _observed(
                    lesion_id, points, scale, unit, log, noise_log_sd, reviewers or {}, others, axis, doubts or {}
                )
            )
    if doubts:
        ring(figure, _doubted(every, doubts, scale, log), axis)
    if others and others_drawn:
        figure.add_trace(_uncounted(others, scale, unit, log, axis))
    if forecast is not None and forecast.refused:
        say(figure, f"No forecast. {forecast.refused}", y=1.0)
    elif forecast is not None:
        draw_forecast(figure, forecast, scale, unit, FLOOR_MM3 if log else 0.0, axis)
    if lines is not None:
        draw_lines(figure, lines, every, scale, unit, log, axis)
    volume_axis(figure, log, 1.1 * _ceiling(points_by_lesion, forecast) / scale)
    if since_days is not None:
        figure.update_xaxes(range=[axis.date(since_days), latest(figure)])
    draw_treatments(figure, treatments, axis, since_days)
    draw_events(figure, events, axis, since_days)
    draw_missing(figure, missing or {}, axis, since_days)
    return figure


def _doubted(
    points: Sequence[VolumePoint], doubts: Mapping[str, Sequence[str]], scale: float, log: bool
) -> list[tuple[float, float]]:
    """Day and height of the points that are doubted."""
    floor = FLOOR_MM3 if log else 0.0
    return [(p.days, max(p.volume_mm3, floor) / scale) for p in points if doubts.get(p.mask_id)]


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
    axis: TimeAxis,
    doubts: Mapping[str, Sequence[str]],
) -> go.Scatter:
    """One lesion's points with noise bars; hollow where the lesion is absent (on a log axis at 5 mm diameter)."""
    volumes = np.array([p.volume_mm3 for p in points])
    shown = np.where((volumes <= 0) & log, FLOOR_MM3, volumes) / scale
    sd = np.array([noise if isinstance(noise, float | int) else noise.get(p.mask_id, READER_LOG_SD) for p in points])
    present = volumes > 0
    colour, name = lesion_colour(lesion_id), figure_text(lesion_id)
    hover = [
        f"<b>{name}</b> · {axis.told(p.days)}<br>"
        + (f"{p.volume_mm3 / scale:.4g} {unit}" if p.volume_mm3 > 0 else "absent")
        + f"<br>mask version {p.version} · {figure_text(p.mask_id)}"
        + f"<br>accepted by {figure_text(reviewers.get(p.mask_id, 'unknown'))}"
        + "".join(f"<br>{_version(o, scale, unit)}" for o in others if o.timepoint == p.timepoint)
        + doubt_lines(doubts.get(p.mask_id, ()))
        for p in points
    ]
    return go.Scatter(
        x=axis.dates(p.days for p in points),
        y=shown,
        customdata=[[p.timepoint, str(p.version)] for p in points],
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


def _uncounted(others: Sequence[MaskVolume], scale: float, unit: str, log: bool, axis: TimeAxis) -> go.Scatter:
    return go.Scatter(
        x=axis.dates(o.days for o in others),
        y=[max(o.volume_mm3, FLOOR_MM3 if log else 0.0) / scale for o in others],
        mode="markers",
        name="masks that do not count",
        marker={"symbol": "x-thin-open", "size": 8, "color": UNCOUNTED},
        text=[f"<b>not in the curve</b> · {axis.told(o.days)}<br>{_version(o, scale, unit)}" for o in others],
        hovertemplate="%{text}<extra></extra>",
    )


def _rows_of(lesions: int) -> int:
    return max(1, math.ceil(lesions / 3))


def lesions_height(lesions: int) -> int:
    """Of `lesions_figure`, pixels."""
    return 80 + 200 * _rows_of(lesions)


def lesions_figure(
    points_by_lesion: Mapping[str, Sequence[VolumePoint]],
    log: bool = True,
    doubts: Mapping[str, Mapping[str, Sequence[str]]] | None = None,
) -> go.Figure:
    """Small multiples: every lesion alone, all on one scale of days and one of mL, three in a row.

    Args:
        doubts: lesion -> mask id -> what is doubted of its volume in it, ringed and told on hover.
    """
    names = list(points_by_lesion)
    rows = _rows_of(len(names))
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
        if (axis := axis_of(known)) is not None:
            of, place = (doubts or {}).get(name, {}), {"row": n // 3 + 1, "col": n % 3 + 1}
            trace = _observed(name, known, 1000.0, "mL", log, READER_LOG_SD, {}, (), axis, of)
            figure.add_trace(trace, **place)
            ring(figure, _doubted(known, of, 1000.0, log), axis, **place)
    layout(figure, "", "")
    figure.update_layout(showlegend=False, height=lesions_height(len(names)), margin_t=44)
    figure.update_xaxes(type="date", tickformat="%b %Y", nticks=5)
    figure.update_yaxes(title_text="Volume (mL)", col=1)
    if log:
        volume_axis(figure, True, 0.0)
    else:
        figure.update_yaxes(rangemode="tozero")
    return figure
