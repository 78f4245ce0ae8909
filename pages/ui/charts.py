"""Every plotly figure of the dashboard. Values in, `Figure` out; nothing here knows Streamlit or the store.

Observed and forecast never look alike: observed points are filled markers on solid lines, what is ahead is dashed,
faded and named "forecast" in the legend.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from core.growth.curves import FLOOR_MM3
from core.growth.forecast import Band, Forecast
from core.growth.rates import READER_LOG_SD, Z95
from core.response import RULES, Response
from core.types import VolumePoint

#: One colour a lesion, by label, shared with the viewer. Okabe & Ito's palette without yellow (unreadable on white) and
#: black (kept for "total"), with two of Tol's added: told apart with every common colour blindness.
LESION_COLOURS: list[str] = [
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#882255", "#DDCC77",
]  # fmt: skip
_COLOUR_NAMES = ("blue", "vermilion", "green", "pink", "orange", "sky blue", "wine", "sand")
TOTAL_COLOUR = "#222222"
#: After eight lesions colours come again; the marker's shape still differs.
MARKERS = ["circle", "square", "diamond", "triangle-up", "cross", "star"]
#: Category -> colour for response: ordered from blue (good) to vermilion (bad), grey for what is not known.
RESPONSE_COLOURS: Mapping[str, str] = {
    "baseline": "#777777", "CR": "#0072B2", "PR": "#56B4E9", "SD": "#DDCC77", "PD": "#D55E00", "NE": "#AAAAAA",
}  # fmt: skip
MM3_PER_UNIT = {"mL": 1000.0, "mm³": 1.0}


def lesion_number(lesion_id: str) -> int:
    """7 for "L7"; 0 for "total" and anything else that is not a lesion."""
    return int(lesion_id[1:]) if lesion_id[:1] == "L" and lesion_id[1:].isdigit() else 0


def lesion_colour(lesion_id: str) -> str:
    """The colour of a lesion, the same on every page; "total" is near black."""
    number = lesion_number(lesion_id)
    return LESION_COLOURS[(number - 1) % len(LESION_COLOURS)] if number else TOTAL_COLOUR


def lesion_colour_name(lesion_id: str) -> str:
    """What people call that colour; "grey" where it is not a lesion."""
    number = lesion_number(lesion_id)
    return _COLOUR_NAMES[(number - 1) % len(_COLOUR_NAMES)] if number else "grey"


def _marker(lesion_id: str) -> str:
    number = lesion_number(lesion_id)
    return MARKERS[((number - 1) // len(LESION_COLOURS)) % len(MARKERS)] if number else "circle"


def _faded(colour: str, alpha: float) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha})"


def _layout(figure: go.Figure, x: str, y: str) -> go.Figure:
    """One look for all: titled axes, legend below the plot so that nothing covers data at 1280x720."""
    figure.update_layout(
        template="plotly_white", height=480, margin={"l": 70, "r": 20, "t": 30, "b": 60}, hovermode="closest",
        legend={"orientation": "h", "yanchor": "top", "y": -0.2, "x": 0}, font={"size": 14}, showlegend=True,
    )  # fmt: skip
    figure.update_xaxes(title_text=x)
    figure.update_yaxes(title_text=y)
    return figure


def growth_figure(
    points_by_lesion: Mapping[str, Sequence[VolumePoint]],
    forecast: Forecast | None = None,
    log: bool = True,
    events: Sequence[tuple[float, str]] = (),
    unit: str = "mL",
    noise_log_sd: Mapping[str, float] | float = READER_LOG_SD,
    reviewers: Mapping[str, str] | None = None,
    responses: Sequence[Response] = (),
) -> go.Figure:
    """Volumes of the accepted masks over time, and what may come.

    Args:
        points_by_lesion: lesion id -> its points; only accepted masks' volumes belong here. "total" may be among them.
        forecast: of one of these lesions; its fit, 80 and 95 % band and the last value carried forward are drawn,
            unless it was refused, when the reason is written in the figure.
        log: logarithmic volume axis; absent lesions are then drawn hollow at 5 mm diameter.
        events: (days, text), drawn as dotted vertical lines.
        unit: "mL" or "mm³".
        noise_log_sd: log-SD of one measurement, for all or by mask id; bars span its 95 % interval.
        reviewers: mask id -> who accepted it, for the hover.
        responses: of `core.response.volumetric_response`: baseline, nadir and the rule's PR and PD volumes are drawn.

    Returns:
        The figure; with no points an empty one that says so.
    """
    scale = MM3_PER_UNIT[unit]
    figure = go.Figure()
    for lesion_id, points in points_by_lesion.items():
        known = sorted((p for p in points if math.isfinite(p.volume_mm3)), key=lambda p: p.days)
        if known:
            figure.add_trace(_observed(lesion_id, known, scale, unit, log, noise_log_sd, reviewers or {}))
    if not figure.data:
        _say(figure, "No accepted mask yet: the curve is made of accepted masks only.")
    if forecast is not None and forecast.refused:
        _say(figure, f"No forecast. {forecast.refused}", y=1.0)
    elif forecast is not None:
        _draw_forecast(figure, forecast, scale, unit)
    if responses:
        _draw_response(figure, responses, scale, unit, log)
    for days, text in events:
        figure.add_vline(x=days, line={"dash": "dot", "color": "#555555", "width": 1}, annotation_text=text,
                         annotation_textangle=-90, annotation_position="top right")  # fmt: skip
    _layout(figure, "Days since the first timepoint", f"Volume ({unit})")
    if log:
        values = [tick for decade in range(-4, 8) for tick in (10.0**decade, 2 * 10.0**decade, 5 * 10.0**decade)]
        figure.update_yaxes(type="log", tickvals=values, ticktext=[f"{value:,.10g}" for value in values])
    else:
        figure.update_yaxes(range=[0, 1.1 * _ceiling(points_by_lesion, forecast) / scale])
    return figure


def _ceiling(points_by_lesion: Mapping[str, Sequence[VolumePoint]], forecast: Forecast | None) -> float:
    """Top of a linear axis, mm3: a 95 % limit may run to any height and would flatten what was observed."""
    points = (p for series in points_by_lesion.values() for p in series)
    volumes = [1.4 * p.volume_mm3 for p in points if math.isfinite(p.volume_mm3)]
    if forecast is not None and not forecast.refused:
        volumes += [float(v) for v in (*forecast.high80_mm3, *forecast.locf.high80_mm3)]
    return max(volumes, default=0.0) or MM3_PER_UNIT["mL"]


def _say(figure: go.Figure, text: str, y: float = 0.5) -> None:
    lines: list[str] = []
    line = ""
    for word in text.split():
        if len(line) + len(word) > 90:
            lines, line = [*lines, line], ""
        line = f"{line} {word}".strip()
    figure.add_annotation(text="<br>".join([*lines, line]), x=0.5, y=y, xref="paper", yref="paper", showarrow=False,
                          yanchor="top" if y == 1 else "middle", bgcolor="rgba(255,255,255,0.85)")  # fmt: skip


def _observed(
    lesion_id: str, points: Sequence[VolumePoint], scale: float, unit: str, log: bool,
    noise: Mapping[str, float] | float, reviewers: Mapping[str, str],
) -> go.Scatter:  # fmt: skip
    """One lesion's points with noise bars; hollow where the lesion is absent (on a log axis at 5 mm diameter)."""
    volumes = np.array([p.volume_mm3 for p in points])
    shown = np.where((volumes <= 0) & log, FLOOR_MM3, volumes) / scale
    sd = np.array([noise if isinstance(noise, float | int) else noise.get(p.mask_id, READER_LOG_SD) for p in points])
    present = volumes > 0
    colour = lesion_colour(lesion_id)
    hover = [
        f"<b>{lesion_id}</b> · {p.timepoint} (day {p.days:g})<br>"
        + (f"{p.volume_mm3 / scale:.4g} {unit}" if p.volume_mm3 > 0 else "absent")
        + f"<br>mask version {p.version} · {p.mask_id}<br>accepted by {reviewers.get(p.mask_id, 'unknown')}"
        for p in points
    ]
    return go.Scatter(
        x=[p.days for p in points], y=shown, mode="lines+markers", name=lesion_id, legendgroup=lesion_id,
        line={"color": colour, "width": 1.5 if lesion_number(lesion_id) else 2.5},
        marker={
            "color": colour, "size": 9, "line": {"color": colour, "width": 1.5},
            "symbol": [_marker(lesion_id) + ("" if here else "-open") for here in present],
        },
        error_y={
            "type": "data", "symmetric": False, "thickness": 1, "width": 3, "color": _faded(colour, 0.6),
            "array": np.where(present, shown * np.expm1(Z95 * sd), 0.0),
            "arrayminus": np.where(present, -shown * np.expm1(-Z95 * sd), 0.0),
        },
        text=hover, hovertemplate="%{text}<extra></extra>",
    )  # fmt: skip


def _band(figure: go.Figure, days: object, low: object, high: object, colour: str, name: str) -> None:
    plain = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip"}
    figure.add_trace(go.Scatter(x=days, y=high, showlegend=False, legendgroup=name, **plain))
    figure.add_trace(go.Scatter(x=days, y=low, fill="tonexty", fillcolor=colour, name=name, legendgroup=name, **plain))


def _draw_forecast(figure: go.Figure, forecast: Forecast, scale: float, unit: str) -> None:
    colour = lesion_colour(forecast.lesion_id)
    head = f"{forecast.lesion_id} forecast ({forecast.method})"
    for low, high, level, alpha in (
        (forecast.low95_mm3, forecast.high95_mm3, 95, 0.10),
        (forecast.low80_mm3, forecast.high80_mm3, 80, 0.18),
    ):
        _band(figure, forecast.days, low / scale, high / scale, _faded(colour, alpha), f"forecast {level} %")
    skill = "skill unknown" if forecast.skill_vs_locf is None else f"skill against LOCF {forecast.skill_vs_locf:+.2f}"
    figure.add_trace(go.Scatter(
        x=forecast.days, y=forecast.median_mm3 / scale, mode="lines", name=f"{head}, {skill}",
        line={"color": _faded(colour, 0.75), "dash": "dash", "width": 2},
        hovertemplate=f"<b>{head}</b><br>day %{{x:.0f}}: %{{y:.4g}} {unit}<extra></extra>",
    ))  # fmt: skip
    if forecast.fitted is not None and forecast.days.size:
        # The days of the fit are those that were observed: from its first point to where the forecast begins.
        inside = np.linspace(forecast.fitted.first_day, forecast.fitted.last_day, 100)
        figure.add_trace(go.Scatter(
            x=inside, y=forecast.fitted.volume_mm3(inside) / scale, mode="lines", name=f"{forecast.method} fit",
            line={"color": _faded(colour, 0.5), "width": 1.5, "dash": "dot"}, hoverinfo="skip",
        ))  # fmt: skip
    _draw_locf(figure, forecast.locf, scale, unit)


def _draw_locf(figure: go.Figure, locf: Band, scale: float, unit: str) -> None:
    """The last value carried forward: grey, so that it belongs to no lesion, with dashed 80 % limits."""
    line = {"color": "#777777", "width": 1.5, "dash": "longdash"}
    figure.add_trace(go.Scatter(
        x=locf.days, y=locf.median_mm3 / scale, mode="lines", line=line, legendgroup="locf",
        name="LOCF: last value carried forward (80 % limits)",
        hovertemplate=f"<b>last value carried forward</b><br>day %{{x:.0f}}: %{{y:.4g}} {unit}<extra></extra>",
    ))  # fmt: skip
    for limit in (locf.low80_mm3, locf.high80_mm3):
        figure.add_trace(go.Scatter(
            x=locf.days, y=limit / scale, mode="lines", line={**line, "width": 1, "dash": "dot"}, legendgroup="locf",
            showlegend=False, hoverinfo="skip",
        ))  # fmt: skip


def _draw_response(figure: go.Figure, responses: Sequence[Response], scale: float, unit: str, log: bool) -> None:
    """Baseline and nadir marks and the rule's thresholds on the summed volume of the baseline lesions."""
    known = [r for r in responses if math.isfinite(r.volume_mm3)]
    if not known or not math.isfinite(responses[0].baseline_mm3):
        return
    rule = RULES[responses[0].rule]
    baseline = responses[0].baseline_mm3
    nadir = min(known, key=lambda r: r.volume_mm3)
    marks = [("baseline", known[0].days, baseline), ("nadir", nadir.days, nadir.volume_mm3)]
    for text, days, volume in marks:
        height = max(volume, FLOOR_MM3 if log else 0.0) / scale
        figure.add_trace(go.Scatter(
            x=[days], y=[height], mode="markers+text", text=[text], textposition="bottom center", showlegend=False,
            marker={"symbol": "circle-open", "size": 18, "color": TOTAL_COLOUR}, cliponaxis=False,
            hovertemplate=f"<b>{text}</b> {volume / scale:.4g} {unit}<extra></extra>",
        ))  # fmt: skip
    for text, volume, category in (
        (f"PR {rule.pr_percent:+g} % of baseline", baseline * (1 + rule.pr_percent / 100), "PR"),
        (f"PD {rule.pd_percent:+g} % of nadir", nadir.volume_mm3 * (1 + rule.pd_percent / 100), "PD"),
    ):
        if volume > 0:
            colour = RESPONSE_COLOURS[category]
            figure.add_hline(y=volume / scale, line={"color": colour, "width": 1, "dash": "dashdot"})
            # plotly places annotations of a log axis by the exponent, lines by the value.
            figure.add_annotation(
                text=f"{text}: {rule.title}", x=1, xref="paper", xanchor="right", yanchor="bottom", showarrow=False,
                y=math.log10(volume / scale) if log else volume / scale, font={"color": colour, "size": 12},
            )  # fmt: skip


def ood_figure(scores: Mapping[str, Sequence[float]], threshold: float, score: float | None = None) -> go.Figure:
    """Scan scores of known scans by group, the threshold, and this scan.

    Args:
        scores: group ("in distribution", "out of distribution" …) -> scan scores, each in 0..1.
        threshold: at or above it a scan is flagged.
        score: of the scan in question; None: not scored (no anchor).
    """
    figure = go.Figure()
    for (group, values), colour in zip(scores.items(), LESION_COLOURS, strict=False):
        figure.add_trace(go.Histogram(
            x=list(values), name=f"{group} (n = {len(values)})", marker_color=colour,
            xbins={"start": 0.0, "end": 1.0001, "size": 0.1}, histnorm="probability",
        ))  # fmt: skip
    figure.update_layout(barmode="group", bargap=0.15)
    _mark(figure, threshold, f"threshold {threshold:.2f}", RESPONSE_COLOURS["PD"], "dash")
    if score is not None:
        _mark(figure, score, f"this scan {score:.2f}", TOTAL_COLOUR, "solid")
    _layout(figure, "Scan score: mean P(out of distribution) over its crops", "Share of the group's scans")
    figure.update_xaxes(range=[0, 1.02])
    figure.update_yaxes(tickformat=".0%")
    return figure


def anomaly_figure(reference_scores: Sequence[float], score: float | None, p: float | None) -> go.Figure:
    """How far reference masks lie from their neighbours, and how far this one does.

    Args:
        reference_scores: mean distances of the calibration masks to their nearest neighbours of other patients.
        score: of this mask; p: its conformal p-value; None where there are not enough reference masks.
    """
    figure = go.Figure(go.Histogram(
        x=list(reference_scores), nbinsx=30, marker_color=LESION_COLOURS[0], opacity=0.7,
        name=f"reference masks (n = {len(reference_scores)})",
    ))  # fmt: skip
    if score is not None and math.isfinite(score):
        label = "this mask" if p is None else f"this mask, p = {p:.3g}"
        _mark(figure, score, label, RESPONSE_COLOURS["PD"] if p is not None and p <= 0.05 else TOTAL_COLOUR, "solid")
    if p is None:
        _say(figure, "Not enough reference masks for a verdict.", y=1.0)
    figure.update_layout(showlegend=True)
    return _layout(figure, "Mean distance to the nearest masks of other patients (scaled units)", "Reference masks")


def _mark(figure: go.Figure, x: float, text: str, colour: str, dash: str) -> None:
    figure.add_vline(x=x, line={"color": colour, "dash": dash, "width": 2}, annotation_text=text,
                     annotation_font_color=colour)  # fmt: skip


def response_figure(responses: Sequence[Response]) -> go.Figure:
    """Change from baseline at every timepoint, one bar each in the colour of its category, with the rule's thresholds.

    Args:
        responses: of one rule. Timepoints without a known change have no bar; their category is still written.
    """
    figure = go.Figure(go.Bar(
        x=[r.timepoint for r in responses], y=[r.change_from_baseline_percent or 0.0 for r in responses],
        marker_color=[RESPONSE_COLOURS[r.category] for r in responses], text=[r.category for r in responses],
        textposition="outside", cliponaxis=False, showlegend=False,
        hovertext=[r.note for r in responses],
        hovertemplate="%{x}: %{text}, %{y:+.1f} %<br>%{hovertext}<extra></extra>",
    ))  # fmt: skip
    if responses:
        rule = RULES[responses[0].rule]
        figure.add_hline(y=rule.pr_percent, line={"color": RESPONSE_COLOURS["PR"], "dash": "dashdot"},
                         annotation_text=f"PR {rule.pr_percent:+g} %: {rule.title}")  # fmt: skip
    else:
        _say(figure, "No accepted mask yet.")
    figure.update_xaxes(type="category")
    return _layout(figure, "Timepoint", "Change from baseline (%)")
