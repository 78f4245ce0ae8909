"""The lesions of a version as surfaces in space, made only once somebody opens the panel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
import streamlit as st

from core.lesions.surface import Surface
from core.review.decisions import rejected_lesion_ids
from core.review.identity import numbered_id
from core.types import MaskRecord
from pages.ui.frame import measured
from pages.ui.review.decision_choices import lesion_name
from pages.ui.shared.slices import NUMBERED, outline_rgb
from pages.ui.shared.text import figure_text

HEIGHT_PX = 340
#: Towards the patient from the front, a little from above; so the patient's right is on the left, as in the pictures.
_FROM_THE_FRONT = {"eye": {"x": 0.0, "y": 2.6, "z": 0.7}, "up": {"x": 0, "y": 0, "z": 1}}
_AXES = {"xaxis": "left → right", "yaxis": "back → front", "zaxis": "feet → head"}


def surface_panel(record: MaskRecord | None) -> None:
    """An expander; its surfaces are computed when it is open, and then kept."""
    if record is None or not record.lesions:
        return
    panel = st.expander("3-D", icon=":material/deployed_code:", key=f"surface-{record.mask_id}", on_change="rerun")
    if not panel.open:
        return
    with panel:
        surfaces = measured.lesion_surfaces(record)
        names = {int(lesion["label"]): lesion_name(lesion) for lesion in record.lesions}
        lesion_of = {int(lesion["label"]): str(lesion["lesion_id"]) for lesion in record.lesions}
        out = {
            int(lesion["label"]) for lesion in record.lesions if str(lesion["lesion_id"]) in rejected_lesion_ids(record)
        }
        st.plotly_chart(
            surface_figure(surfaces, names, out, lesion_of),
            theme=None,
            key=f"surface-figure-{record.mask_id}",
            config={"displayModeBar": False},
            alt=f"Surfaces of the lesions of version {record.version}",
        )
        st.caption("Drag to turn, scroll to zoom. Smoothed for the eye: measure on the slices.")


def surface_figure(
    surfaces: Sequence[Surface],
    names: Mapping[int, str],
    out: set[int] | frozenset[int] = frozenset(),
    lesion_of: Mapping[int, str] = NUMBERED,
) -> go.Figure:
    """Every lesion in its colour, on axes in RAS+ millimetres of one scale.

    Args:
        names: label -> what the legend says.
        out: labels of rejected lesions, drawn faintly.
        lesion_of: label -> lesion id; of a label that is not there, "L<label>".
    """
    figure = go.Figure(
        [
            _mesh(
                surface,
                names.get(surface.label, ""),
                outline_rgb(lesion_of.get(surface.label, numbered_id(surface.label))),
                surface.label in out,
            )
            for surface in surfaces
        ]
    )
    axis = {
        "showbackground": False,
        "gridcolor": "rgba(140,159,173,0.4)",
        "zeroline": False,
        "color": "#7F8C96",
        "tickfont": {"size": 10},
        "nticks": 5,
    }
    figure.update_layout(
        height=HEIGHT_PX,
        margin={"l": 0, "r": 0, "t": 0, "b": 0},
        paper_bgcolor="rgba(0,0,0,0)",
        showlegend=True,
        legend={"orientation": "h", "y": 0, "yanchor": "top", "font": {"color": "#7F8C96"}},
        scene={
            "aspectmode": "data",
            "camera": _FROM_THE_FRONT,
            **{
                name: {**axis, "title": {"text": f"{words} (mm)", "font": {"size": 11}}}
                for name, words in _AXES.items()
            },
        },
    )
    return figure


def _mesh(surface: Surface, name: str, rgb: tuple[int, ...], faint: bool) -> go.Mesh3d:
    (x, y, z), (i, j, k) = surface.vertices_mm.T, surface.triangles.T
    red, green, blue = rgb
    return go.Mesh3d(
        x=x,
        y=y,
        z=z,
        i=i,
        j=j,
        k=k,
        color=f"rgb({red},{green},{blue})",
        opacity=0.3 if faint else 1.0,
        name=figure_text(f"{name} · rejected" if faint else name),
        showlegend=True,
        flatshading=False,
        lighting={"ambient": 0.45, "diffuse": 0.7, "specular": 0.15, "roughness": 0.8},
        lightposition={"x": 1000, "y": 3000, "z": 2000},
        hovertemplate=f"<b>{figure_text(name)}</b><br>%{{x:.0f}}, %{{y:.0f}}, %{{z:.0f}} mm<extra></extra>",
    )
