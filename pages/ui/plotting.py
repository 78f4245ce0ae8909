"""Figures on the page: the same figure on the dark and on the light theme."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go
import plotly.io as pio
import streamlit as st

from pages.ui.charts import TOTAL_COLOUR

#: What `charts` draws for white paper -> what is legible on the dark theme's background.
ON_DARK = {
    TOTAL_COLOUR: "#DDE3E8", "rgba(34,34,34,": "rgba(221,227,232,", "rgba(255,255,255,0.85)": "rgba(20,24,28,0.85)",
    "#f3f3f3": "#20272D", "#555555": "#9AA5AE", "#777777": "#A3ADB5", "#0072B2": "#3D9BD6", "#882255": "#C2558A",
    "rgba(0,114,178,": "rgba(61,155,214,", "rgba(136,34,85,": "rgba(194,85,138,",
}  # fmt: skip
_GRID = "#2A3138"


def for_dark(figure: go.Figure) -> go.Figure:
    """A copy of the figure for a dark page: same data, lighter colours, transparent paper."""
    text = pio.to_json(figure.update_layout(template=None), validate=False)
    for white, dark in ON_DARK.items():
        text = text.replace(white, dark)
    copy = pio.from_json(text, skip_invalid=True)
    copy.update_layout(
        template="plotly_dark", paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)", font={"color": "#C9D1D8"}
    )
    copy.update_xaxes(gridcolor=_GRID, zerolinecolor=_GRID)
    copy.update_yaxes(gridcolor=_GRID, zerolinecolor=_GRID)
    return copy


def draw(figure: go.Figure, key: str, height: int, alt: str) -> None:
    """The figure in the visitor's theme.

    Args:
        height: pixels; alt: what it shows, for those who cannot see it.
    """
    dark = getattr(st.context.theme, "type", None) != "light"
    shown: Any = for_dark(figure) if dark else figure
    shown.update_layout(height=height, font_size=13, margin={"t": 16, "b": 50})
    st.plotly_chart(shown, theme=None, key=key, alt=alt, config={"displayModeBar": False})
