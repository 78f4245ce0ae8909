"""The figure of growth laws fitted to one lesion: lines through what was observed, and no further."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from core.growth.curves import FLOOR_MM3, GROWTH_LAWS
from core.twin.trajectory import LawFit
from core.types import MM3_PER_ML, VolumePoint
from pages.ui.shared.charts import LESION_COLOURS, layout, lesion_colour
from pages.ui.trajectory.growth_charts import volume_axis
from pages.ui.trajectory.time_axis import axis_of, in_dates

_DASHES = ("solid", "dash", "dot")


def fits_figure(points: Sequence[VolumePoint], fits: Mapping[str, LawFit], log: bool) -> go.Figure:
    """Observed points, and each law whose parameters they determine, the least AICc first in the legend.

    Args:
        points: one lesion's, by date; fits: law -> as `core.twin.trajectory.fit_all_growth_laws` gives it.
        log: logarithmic volume axis.
    """
    figure = go.Figure()
    days = np.linspace(points[0].days, points[-1].days, 200)
    axis = axis_of(points)
    assert axis is not None  # the caller has points
    colour = lesion_colour(points[0].lesion_id)
    shown = sorted((fitted.aicc, name) for name, fitted in fits.items() if fitted.identifiable)
    for n, (aicc, name) in enumerate(shown):
        volumes = GROWTH_LAWS[name].volume_mm3(days - points[0].days, *fits[name].parameters.values())
        style = {"color": LESION_COLOURS[n % len(LESION_COLOURS)], "dash": _DASHES[n % len(_DASHES)], "width": 2}
        told = f", AICc {aicc:.1f}" if math.isfinite(aicc) else ""
        figure.add_trace(
            go.Scatter(
                x=axis.dates(days),
                y=volumes / MM3_PER_ML,
                mode="lines",
                name=f"{law_title(name)}{told}",
                line=style,
                text=axis.all_told(days),
                hovertemplate=f"{law_title(name)}, %{{text}}<br>%{{y:.4g}} mL<extra></extra>",
            )
        )
    seen = np.array([max(p.volume_mm3, FLOOR_MM3 if log else 0.0) for p in points]) / MM3_PER_ML
    figure.add_trace(
        go.Scatter(
            x=axis.dates(p.days for p in points),
            y=seen,
            mode="markers",
            name="observed",
            marker={"color": colour, "size": 9},
            text=axis.all_told(p.days for p in points),
            hovertemplate="observed, %{text}<br>%{y:.4g} mL<extra></extra>",
        )
    )
    layout(figure, "", "Volume (mL)")
    in_dates(figure)
    volume_axis(figure, log, 1.3 * float(seen.max()))
    return figure


def law_title(law: str) -> str:
    """A law's name for people: "general Bertalanffy"."""
    names = {
        "bertalanffy": "Bertalanffy",
        "gompertz": "Gompertz",
        "stein": "Stein",
        "fojo": "Fojo",
        "claret": "Claret",
        "tgi": "TGI",
        "phi": "φ",
    }
    return " ".join(names.get(part, part) for part in law.split("_"))
