"""Figures on the page: the same figure on the dark and on the light theme."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Literal

import plotly.graph_objects as go
import plotly.io as pio
import streamlit as st

from core.remembered.untyped import JsonDict, TableRow
from core.report.csv_text import csv_text
from pages.ui.frame import resources, session
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


def draw(
    figure: go.Figure | Callable[[], go.Figure],
    key: str,
    height: int,
    alt: str,
    file_name: str = "",
    on_paper: bool = False,
    made_from: str = "",
    on_point: Callable[[list[str]], None] | None = None,
) -> None:
    """The figure in the visitor's theme, or on white; a camera on it saves it, as it is seen, in the format chosen by
    `picture_format`.

    Args:
        figure: or what makes it, where it is made once for `made_from`.
        height: pixels; alt: what it shows, for those who cannot see it.
        file_name: of the picture, without ending; the key where there is none.
        made_from: all that the figure hangs on, with a `resources.position`; "": it is made in every run.
        on_point: called with the customdata of a point that was clicked, before the next run; of points without any
            nothing comes.
    """
    if made_from:
        shown = resources.kept(
            f"figure/{made_from}/{key}/{height}/{on_paper}", lambda: _ready(figure, height, on_paper)
        )
    else:
        shown = _ready(figure, height, on_paper)
    theme: Literal["streamlit"] | None = None if on_paper else "streamlit"
    config = controls(file_name or key)
    if on_point is None:
        st.plotly_chart(shown, theme=theme, key=key, alt=alt, config=config)
        return
    place = session.CHART_POINT.key(key)
    clicked = partial(_clicked, key, on_point)
    st.plotly_chart(shown, theme=theme, key=place, alt=alt, config=config, on_select=clicked, selection_mode="points")


def _ready(figure: go.Figure | Callable[[], go.Figure], height: int, on_paper: bool) -> go.Figure:
    made = figure if isinstance(figure, go.Figure) else figure()
    room = max(16, (made.layout.margin.t or 30) - 14)
    shown = for_paper(made) if on_paper else for_both_themes(made)
    shown.update_layout(height=height, font_size=13, margin={"t": room, "b": 50})
    shown.update_xaxes(title_font_size=13)
    shown.update_yaxes(title_font_size=13)
    return shown


def _clicked(key: str, on_point: Callable[[list[str]], None]) -> None:
    """Tells of the first clicked point that says what it is."""
    told = session.CHART_POINT.get(key)
    selection = told.get("selection", {}) if isinstance(told, Mapping) else {}
    for point in selection.get("points", ()):
        said = point.get("customdata")
        if said:
            values = said.values() if isinstance(said, Mapping) else said
            on_point([str(value) for value in values])
            return


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
