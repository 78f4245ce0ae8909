"""Figures on the page: the same figure on the dark and on the light theme."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
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


def draw(figure: go.Figure, key: str, height: int, alt: str) -> None:
    """The figure in the visitor's theme; a camera on it saves it in the format chosen by `picture_format`.

    Args:
        height: pixels; alt: what it shows, for those who cannot see it.
    """
    room = max(16, (figure.layout.margin.t or 30) - 14)
    shown = for_both_themes(figure).update_layout(height=height, font_size=13, margin={"t": room, "b": 50})
    shown.update_xaxes(title_font_size=13)
    shown.update_yaxes(title_font_size=13)
    camera = {"format": st.session_state.get("picture-format", "svg").lower(), "filename": key, "scale": 2}
    config = {"displaylogo": False, "modeBarButtons": [["toImage"]], "toImageButtonOptions": camera}
    st.plotly_chart(shown, theme="streamlit", key=key, alt=alt, config=config)


def csv_button(rows: Sequence[Mapping[str, Any]], name: str, label: str) -> None:
    """Rows as a file; nothing where there are none."""
    if not rows:
        return
    sink = io.StringIO()
    writer = csv.DictWriter(sink, fieldnames=list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    st.download_button(label, sink.getvalue(), f"{name}.csv", "text/csv", icon=":material/download:",
                       on_click="ignore")  # fmt: skip


def export(rows: Sequence[Mapping[str, Any]], name: str) -> None:
    """The page's figures as files: what the first shows as CSV, and in which format their cameras save pictures."""
    with st.popover("Export", icon=":material/download:"):
        csv_button(rows, name, "Data of the chart (CSV)")
        st.segmented_control("Pictures", ["SVG", "PNG"], default="SVG", required=True, key="picture-format",
                             help="The camera on a chart saves it in this format.")  # fmt: skip
