"""Waterfall, spider and swimmer: many patients in one figure. Values in, `Figure` out."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from core.outcomes import PatientOutcome
from core.response import RULES
from pages.ui.charts import LESION_COLOURS, MARKERS, RESPONSE_COLOURS, faded, layout, say

#: Higher bars are cut, and their number is written.
CUT_PERCENT = 200.0
NOBODY = "No patient has two accepted timepoints yet."
_SYMBOLS = {"CR": "star", "PR": "triangle-down", "SD": "circle", "PD": "diamond", "NE": "x-thin-open"}


def _thresholds(figure: go.Figure, rule: str) -> None:
    limits = RULES[rule]
    for category, percent in (("PR", limits.pr_percent), ("PD", limits.pd_percent)):
        colour = RESPONSE_COLOURS[category]
        of, place = ("baseline", "bottom left") if category == "PR" else ("nadir", "top right")
        figure.add_hline(y=percent, line={"color": colour, "width": 1, "dash": "dashdot"},
                         annotation_text=f"{category} {percent:+g} % of {of}", annotation_position=place,
                         annotation_font_color=colour)  # fmt: skip


def waterfall_figure(outcomes: Sequence[PatientOutcome], rule: str) -> go.Figure:
    """Best change from baseline of each patient, the worst on the left, coloured by best response."""
    figure = go.Figure()
    known = [(o, o.best_change_percent) for o in outcomes]
    ordered = sorted(((o, c) for o, c in known if c is not None), key=lambda pair: (-pair[1], pair[0].patient_id))
    for category in ("CR", "PR", "SD", "PD", "NE"):
        mine = [(o, c) for o, c in ordered if o.best == category]
        figure.add_trace(go.Bar(
            x=[o.patient_id for o, _ in mine], y=[min(c, CUT_PERCENT) for _, c in mine], name=category,
            marker_color=RESPONSE_COLOURS[category], visible=True if mine else "legendonly",
            text=[f"{c:+.0f} %" if c > CUT_PERCENT else "" for _, c in mine], textposition="outside",
            customdata=[c for _, c in mine],
            hovertemplate=f"<b>%{{x}}</b><br>%{{customdata:+.0f}} %, best response {category}<extra></extra>",
        ))  # fmt: skip
    layout(figure, "Patient", "Best change from baseline (%)")
    if ordered:
        _thresholds(figure, rule)
    else:
        say(figure, NOBODY)
    figure.update_xaxes(
        type="category", categoryorder="array", categoryarray=[o.patient_id for o, _ in ordered],
        tickangle=-60 if len(ordered) > 12 else 0, showticklabels=len(ordered) <= 80,
    )  # fmt: skip
    return figure


def spider_figure(outcomes: Sequence[PatientOutcome], rule: str) -> go.Figure:
    """Change from baseline over time, one line a patient; a new lesion is a cross."""
    figure = go.Figure()
    for n, one in enumerate(outcomes):
        colour = LESION_COLOURS[n % len(LESION_COLOURS)]
        course = [r for r in one.responses if r.change_from_baseline_percent is not None or r.category == "baseline"]
        figure.add_trace(go.Scatter(
            x=[r.days - one.responses[0].days for r in course],
            y=[r.change_from_baseline_percent or 0.0 for r in course],
            mode="lines+markers", name=one.patient_id, line={"color": colour, "width": 1.5},
            marker={"size": 7, "symbol": [
                "x" if r.new_lesions else MARKERS[(n // len(LESION_COLOURS)) % len(MARKERS)] for r in course
            ]},
            text=[
                f"<b>{one.patient_id}</b> · {r.timepoint}<br>{r.volume_mm3 / 1000:.4g} mL, {r.category}"
                + (f"<br>new: {', '.join(r.new_lesions)}" if r.new_lesions else "") for r in course
            ],
            hovertemplate="%{text}<br>%{y:+.0f} % of baseline<extra></extra>",
        ))  # fmt: skip
    layout(figure, "Days since baseline", "Change from baseline (%)")
    if outcomes:
        _thresholds(figure, rule)
        figure.add_hline(y=0, line={"color": "#777777", "width": 1})
    else:
        say(figure, NOBODY)
    figure.update_layout(showlegend=len(outcomes) <= 16)
    return figure


def swimmer_figure(outcomes: Sequence[PatientOutcome]) -> go.Figure:
    """Time observed, a bar a patient, longest on top: treatments, responses, new lesions, and who is still treated."""
    figure = go.Figure()
    ordered = sorted(outcomes, key=lambda o: (o.followed_days, o.patient_id))
    names = [o.patient_id for o in ordered]
    figure.add_trace(go.Bar(
        x=[o.followed_days for o in ordered], y=names, orientation="h", name="observed", width=0.7,
        marker_color=faded("#777777", 0.3), hovertemplate="<b>%{y}</b><br>observed %{x:.0f} days<extra></extra>",
    ))  # fmt: skip
    bars = [(o, t) for o in ordered for t in o.treatments]
    ends = [t.end_days if t.end_days is not None else max(o.followed_days, t.start_days) for o, t in bars]
    figure.add_trace(go.Bar(
        x=[end - t.start_days for (_, t), end in zip(bars, ends, strict=True)], base=[t.start_days for _, t in bars],
        y=[o.patient_id for o, _ in bars], orientation="h", name="treatment", width=0.3,
        marker_color=faded("#0072B2", 0.7), customdata=[t.name for _, t in bars],
        hovertemplate="<b>%{y}</b><br>%{customdata}<extra></extra>",
    ))  # fmt: skip
    for category, symbol in _SYMBOLS.items():
        at = [(o, r) for o in ordered for r in o.responses[1:] if r.category == category]
        if at:
            figure.add_trace(go.Scatter(
                x=[r.days for _, r in at], y=[o.patient_id for o, _ in at], mode="markers", name=category,
                marker={"symbol": symbol, "size": 11, "color": RESPONSE_COLOURS[category],
                        "line": {"width": 1, "color": "#FFFFFF"}},
                text=[r.timepoint + (f", new: {', '.join(r.new_lesions)}" if r.new_lesions else "") for _, r in at],
                hovertemplate=f"<b>%{{y}}</b> %{{text}}<br>{category}, day %{{x:.0f}}<extra></extra>",
            ))  # fmt: skip
    on = [o for o in ordered if any(t.end_days is None for t in o.treatments)]
    if on:
        figure.add_trace(go.Scatter(
            x=[o.followed_days for o in on], y=[o.patient_id for o in on], mode="markers", name="treatment goes on",
            marker={"symbol": "arrow-right", "size": 14, "color": "#0072B2"}, hoverinfo="skip",
        ))  # fmt: skip
    layout(figure, "Days since the first timepoint", "")
    figure.update_layout(barmode="overlay", height=160 + 28 * max(4, len(ordered)))
    figure.update_yaxes(type="category", categoryorder="array", categoryarray=names)
    if not ordered:
        say(figure, NOBODY)
    return figure
