"""Figures on the page: the same figure on the dark and on the light theme."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import plotly.graph_objects as go
import plotly.io as pio
import streamlit as st

from core.remembered.untyped import JsonDict, TableRow
from core.report.csv_text import csv_text
from pages.ui.frame import session
from pages.ui.shared.charts import TOTAL_COLOUR

#: What `charts` draws for white paper -> what is legible on dark and on light. The page cannot ask which of the two is
#: in force: Streamlit's answer is wrong on the first run of a session.
ON_BOTH = {
    TOTAL_COLOUR: "#8C9FAD",
    "rgba(34,34,34,": "rgba(140,159,173,",
    "rgba(255,255,255,0.85)": "rgba(0,0,0,0)",
    "#f3f3f3": "rgba(140,159,173,0.10)",
    "#555555": "#7F8C96",
    "#0072B2": "#2F8FCB",
    "#882255": "#B2477F",
    "rgba(0,114,178,": "rgba(47,143,203,",
    "rgba(136,34,85,": "rgba(178,71,127,",
}


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
    """The figure in the visitor's theme, or on white; a camera on it saves it, as it is seen, in the format chosen by
    `picture_format`.

    Args:
        height: pixels; alt: what it shows, for those who cannot see it.
        file_name: of the picture, without ending; the key where there is none.
    """
    room = max(16, (figure.layout.margin.t or 30) - 14)
    shown = for_paper(figure) if on_paper else for_both_themes(figure)
    shown.update_layout(height=height, font_size=13, margin={"t": room, "b": 50})
    shown.update_xaxes(title_font_size=13)
    shown.update_yaxes(title_font_size=13)
    theme: Literal["streamlit"] | None = None if on_paper else "streamlit"
    st.plotly_chart(shown, theme=theme, key=key, alt=alt, config=controls(file_name or key))


def controls(file_name: str) -> JsonDict:
    """plotly's configuration: of its buttons the camera alone, which saves under that name."""
    camera = {"format": (session.PICTURE_FORMAT.get() or "SVG").lower(), "filename": file_name, "scale": 2}
    return {"displaylogo": False, "modeBarButtons": [["toImage"]], "toImageButtonOptions": camera}


def csv_button(rows: Sequence[TableRow], name: str, label: str) -> None:
    """Rows as a file; nothing where there are none."""
    if not rows:
        return
    st.download_button(label, csv_text(rows), f"{name}.csv", "text/csv", icon=":material/download:", on_click="ignore")


def export(rows: Sequence[TableRow], name: str) -> None:
    """The page's figures as files: what the first shows as CSV, and in which format their cameras save pictures."""
    with st.popover("Export", icon=":material/download:"):
        csv_button(rows, name, "Data of the chart (CSV)")
        st.segmented_control(
            "Pictures",
            ["SVG", "PNG"],
            default="SVG",
            required=True,
            key=session.PICTURE_FORMAT.key(),
            help="The camera on a chart saves it in this format.",
        )
