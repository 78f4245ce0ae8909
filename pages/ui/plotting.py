"""Figures on the page: the same figure on the dark and on the light theme."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go
import plotly.io as pio
import streamlit as st

from pages.ui.charts import TOTAL_COLOUR

#: What `charts` draws for white paper -> what is legible on dark and on light. The page cannot ask which of the two is
#: in force: Streamlit's answer is wrong on the first run of a session.
ON_BOTH = {
    TOTAL_COLOUR: "#8C9FAD", "rgba(34,34,34,": "rgba(140,159,173,", "rgba(255,255,255,0.85)": "rgba(0,0,0,0)",
    "#f3f3f3": "rgba(140,159,173,0.10)", "#555555": "#7F8C96", "#0072B2": "#2F8FCB", "#882255": "#B2477F",
    "rgba(0,114,178,": "rgba(47,143,203,", "rgba(136,34,85,": "rgba(178,71,127,",
}  # fmt: skip


def for_both_themes(figure: go.Figure) -> go.Figure:
    """A copy of the figure without a template of its own, in colours legible on dark and on light."""
    text = pio.to_json(go.Figure(figure).update_layout(template=None), validate=False)
    for white, both in ON_BOTH.items():
        text = text.replace(white, both)
    return pio.from_json(text, skip_invalid=True).update_layout(template="streamlit")


def for_paper(figure: go.Figure) -> go.Figure:
    """A copy as it was drawn, on white, in a font that other programs have too."""
    return go.Figure(figure).update_layout(
        template="plotly_white", paper_bgcolor="white", font_family="Arial, Helvetica, sans-serif"
    )


def draw(figure: go.Figure, key: str, height: int, alt: str, file_name: str = "", on_paper: bool = False) -> None:
    """The figure in the visitor's theme, or on white.

    Args:
        height: pixels; alt: what it shows, for those who cannot see it.
        file_name: without ending; where it is given, a camera above the figure saves it as SVG under that name, as it
            is seen.
    """
    shown = for_paper(figure) if on_paper else for_both_themes(figure)
    shown.update_layout(height=height, font_size=13, margin={"t": 16, "b": 50})
    shown.update_xaxes(title_font_size=13)
    shown.update_yaxes(title_font_size=13)
    st.plotly_chart(
        shown, theme=None if on_paper else "streamlit", key=key, alt=alt, config=controls(file_name)
    )  # fmt: skip


def controls(file_name: str) -> dict[str, Any]:
    """plotly's configuration: nothing above the figure, or with a file name the camera alone, which saves SVG."""
    if not file_name:
        return {"displayModeBar": False}
    return {
        "displayModeBar": True, "displaylogo": False, "modeBarButtons": [["toImage"]],
        "toImageButtonOptions": {"format": "svg", "filename": file_name},
    }  # fmt: skip
