"""The courses of a lesion and of those like it, from the visit at which they are alike: per cent of the volume then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from core.evidence.outcome import LesionOutcome
from pages.ui.shared.charts import LESION_COLOURS, TOTAL_COLOUR, layout, say
from pages.ui.shared.text import figure_text, millilitres

#: Zero has no place on a logarithmic axis; it is drawn at the lowest line, and said.
FLOOR_PERCENT = 1.0
_GONE = "circle-x"


@dataclass(frozen=True)
class Course:
    """One lesion's line. `name` for people; `volume_mm3` at the compared visit; `outcome`: what followed."""

    name: str
    volume_mm3: float
    outcome: LesionOutcome
    is_question: bool = False


def course_figure(courses: Sequence[Course]) -> go.Figure:
    """One line a lesion from day 0, the one asked about in its own colour, wider."""
    figure = go.Figure()
    any_later = False
    for number, course in enumerate(courses):
        points = [one for one in course.outcome.course if one.volume_mm3 is not None]
        any_later |= len(points) > 1
        colour = TOTAL_COLOUR if course.is_question else LESION_COLOURS[(number - 1) % len(LESION_COLOURS)]
        name = figure_text(course.name)
        percents = [100.0 * (one.volume_mm3 or 0.0) / course.volume_mm3 for one in points]
        figure.add_trace(
            go.Scatter(
                x=[one.days for one in points],
                y=[max(one, FLOOR_PERCENT) for one in percents],
                mode="lines+markers",
                name=name,
                line={"color": colour, "width": 3 if course.is_question else 2},
                marker={"size": 8, "symbol": [_GONE if not one.volume_mm3 else "circle" for one in points]},
                text=[
                    f"{'gone' if not one.volume_mm3 else f'{millilitres(one.volume_mm3)} mL'}, {percent:.0f} %"
                    for one, percent in zip(points, percents, strict=True)
                ],
                hovertemplate=f"<b>{name}</b><br>day %{{x:.0f}}<br>%{{text}}<extra></extra>",
            )
        )
    figure.add_hline(y=100, line={"color": "#777777", "width": 1, "dash": "dot"})
    layout(figure, "Days since the visit at which they are alike", "Volume, % of that at day 0")
    figure.update_yaxes(type="log")
    if not any_later:
        say(figure, "None of them has a later visit that tells its volume.")
    return figure
