"""Colours, markers and layout of every plotly figure, and the figures of the gates.

Values in, `Figure` out; nothing here knows Streamlit or the store. The growth curve is in `growth_charts`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from core.remembered.links import lesion_number
from pages.ui.shared.text import figure_text

#: One colour a lesion, by label, shared with the viewer. Okabe & Ito's palette without yellow (unreadable on white) and
#: black (kept for "total"), with two of Tol's added: told apart with every common colour blindness.
LESION_COLOURS: list[str] = [
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#882255",
    "#DDCC77",
]
_COLOUR_NAMES = ("blue", "vermilion", "green", "pink", "orange", "sky blue", "wine", "sand")
TOTAL_COLOUR = "#222222"
#: After eight lesions colours come again; the marker's shape still differs.
MARKERS = ["circle", "square", "diamond", "triangle-up", "cross", "star"]
#: Category -> colour for response: ordered from blue (good) to vermilion (bad), grey for what is not known.
RESPONSE_COLOURS: Mapping[str, str] = {
    "baseline": "#777777",
    "CR": "#0072B2",
    "PR": "#56B4E9",
    "SD": "#DDCC77",
    "PD": "#D55E00",
    "NE": "#AAAAAA",
}
MM3_PER_UNIT = {"mL": 1000.0, "mm³": 1.0}


def lesion_colour(lesion_id: str) -> str:
    """The colour of a lesion, the same on every page; "total" is near black."""
    number = lesion_number(lesion_id)
    return LESION_COLOURS[(number - 1) % len(LESION_COLOURS)] if number else TOTAL_COLOUR


def lesion_colour_name(lesion_id: str) -> str:
    """Name of the colour; "grey" where it is not a lesion."""
    number = lesion_number(lesion_id)
    return _COLOUR_NAMES[(number - 1) % len(_COLOUR_NAMES)] if number else "grey"


def marker(lesion_id: str) -> str:
    """The marker's shape of a lesion: another one after every eight lesions."""
    number = lesion_number(lesion_id)
    return MARKERS[((number - 1) // len(LESION_COLOURS)) % len(MARKERS)] if number else "circle"


def faded(colour: str, alpha: float) -> str:
    """A colour #rrggbb with an opacity of 0..1."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha})"


def layout(figure: go.Figure, x: str, y: str) -> go.Figure:
    """One look for all: titled axes, legend below the plot so that nothing covers data at 1280x720."""
    figure.update_layout(
        template="plotly_white",
        height=480,
        margin={"l": 70, "r": 20, "t": 30, "b": 60},
        hovermode="closest",
        legend={"orientation": "h", "yanchor": "top", "y": -0.2, "x": 0},
        font={"size": 14},
        showlegend=True,
    )
    figure.update_xaxes(title_text=x)
    figure.update_yaxes(title_text=y)
    return figure


def say(figure: go.Figure, text: str, y: float = 0.5) -> None:
    """Writes a sentence in the figure, broken at 90 letters: in its middle, or below its top (`y` = 1)."""
    lines: list[str] = []
    line = ""
    for word in text.split():
        if len(line) + len(word) > 90:
            lines, line = [*lines, line], ""
        line = f"{line} {word}".strip()
    broken = "<br>".join(figure_text(one) for one in [*lines, line])
    figure.add_annotation(
        text=broken,
        x=0.5,
        y=y,
        xref="paper",
        yref="paper",
        showarrow=False,
        yanchor="top" if y == 1 else "middle",
        bgcolor="rgba(255,255,255,0.85)",
    )


def scan_gate_figure(scores: Mapping[str, Sequence[float]], threshold: float, score: float | None = None) -> go.Figure:
    """Scan scores of known scans by group, the threshold, and this scan.

    Args:
        scores: group ("in distribution", "out of distribution" …) -> scan scores, each in 0..1.
        threshold: above it a scan is out of distribution.
        score: of the scan in question; None: not scored (no anchor).
    """
    figure = go.Figure()
    for (group, values), colour in zip(scores.items(), LESION_COLOURS, strict=False):
        figure.add_trace(
            go.Histogram(
                x=list(values),
                name=f"{figure_text(group)} (n = {len(values)})",
                marker_color=colour,
                xbins={"start": 0.0, "end": 1.0001, "size": 0.1},
                histnorm="probability",
            )
        )
    figure.update_layout(barmode="group", bargap=0.15)
    _mark(figure, threshold, f"threshold {threshold:.2f}", RESPONSE_COLOURS["PD"], "dash")
    if score is not None:
        _mark(figure, score, f"this scan {score:.2f}", TOTAL_COLOUR, "solid")
    layout(
        figure, "Scan score: how far its oddest part lies from the nearest reference scan", "Share of the group's scans"
    )
    figure.update_xaxes(range=[0, 1.02])
    figure.update_yaxes(tickformat=".0%")
    return figure


def mask_gate_figure(reference_scores: Sequence[float], score: float | None, p: float | None) -> go.Figure:
    """How far reference masks lie from their neighbours, and how far this one does.

    Args:
        reference_scores: mean distances of the calibration masks to their nearest neighbours of other patients.
        score: of this mask; p: its conformal p-value; None where there are not enough reference masks.
    """
    figure = go.Figure(
        go.Histogram(
            x=list(reference_scores),
            nbinsx=30,
            marker_color=LESION_COLOURS[0],
            opacity=0.7,
            name=f"reference masks (n = {len(reference_scores)})",
        )
    )
    if score is not None and math.isfinite(score):
        label = "this mask" if p is None else f"this mask, p = {p:.3g}"
        _mark(figure, score, label, RESPONSE_COLOURS["PD"] if p is not None and p <= 0.05 else TOTAL_COLOUR, "solid")
    if p is None:
        say(figure, "Not enough reference masks for a verdict.", y=1.0)
    figure.update_layout(showlegend=True)
    return layout(figure, "Mean distance to the nearest masks of other patients (scaled units)", "Reference masks")


def _mark(figure: go.Figure, x: float, text: str, colour: str, dash: str) -> None:
    figure.add_vline(
        x=x, line={"color": colour, "dash": dash, "width": 2}, annotation_text=text, annotation_font_color=colour
    )
