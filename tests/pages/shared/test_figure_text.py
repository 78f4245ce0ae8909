"""Names of people and files in figures: plotly reads a kind of HTML, and `%{…}` in what is shown on hover."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import plotly.graph_objects as go
import pytest

from core.growth.forecast import forecast
from core.twin import trajectory
from core.twin.curve import MaskVolume, Treatment
from core.twin.happenings import Happening
from core.twin.volume_lines import VolumeLines
from pages.ui.cohort import cohort_charts, swimmer_chart
from pages.ui.review import surface_panel
from pages.ui.shared import charts
from pages.ui.trajectory import forecast_charts, growth_charts
from tests.core.lesions.test_surface import ball, surface_of
from tests.pages.cohort.test_cohort_charts import patient
from tests.pages.shared.test_charts import RISING, points

#: Short, since some names are clipped in figures.
EVIL = "<b>%{e}$a$&lt;"
FORMS = ("<b>%{e}", "<b>%", "%{e}", "{e}$a$", "$a$&", "a$&lt;")


def texts(part: Any) -> Iterator[str]:
    """Every text of a figure."""
    if isinstance(part, str):
        yield part
    elif isinstance(part, dict):
        for value in part.values():
            yield from texts(value)
    elif isinstance(part, list | tuple):
        for value in part:
            yield from texts(value)


def evil_patient() -> Any:
    return patient(
        EVIL,
        10,
        5,
        20,
        new=(False, False, True),
        before=(EVIL,),
        baseline_why=EVIL,
        doubt=EVIL,
        waiting=(EVIL,),
        events=(Happening(5.0, "surgery", EVIL),),
        ended=Happening(80.0, "death", EVIL),
        treatments=(Treatment(EVIL, 1.0, 20.0), Treatment(EVIL, 30.0, None)),
    )


def evil_growth() -> go.Figure:
    series = points([1000, 1400, 1900], EVIL)
    return growth_charts.growth_figure(
        {EVIL: series},
        events=[(10.0, EVIL)],
        treatments=[Treatment(EVIL, 1.0, None)],
        reviewers={p.mask_id: EVIL for p in series},
        lines=VolumeLines(0.0, 1000.0, 0.0, 1000.0, -65.7, 72.8, EVIL),
        others=[MaskVolume(series[0].timepoint, 0.0, 900.0, 2, EVIL, EVIL)],
        doubts={p.mask_id: [EVIL] for p in series},
        missing={"2024-02-01": EVIL},
    )


def evil_forecast(refused: str) -> go.Figure:
    ahead = forecast(RISING, trajectory.weekly_days(12))
    return growth_charts.growth_figure({"L1": RISING}, replace(ahead, lesion_id=EVIL, refused=refused))


FIGURES = {
    "growth": evil_growth,
    "forecast": lambda: evil_forecast(""),
    "refused forecast": lambda: evil_forecast(EVIL),
    "lesions": lambda: growth_charts.lesions_figure({EVIL: points([1000, 1400], EVIL)}),
    "waterfall": lambda: cohort_charts.waterfall_figure([evil_patient()]),
    "spider": lambda: cohort_charts.spider_figure([evil_patient()]),
    "swimmer": lambda: swimmer_chart.swimmer_figure([evil_patient()]),
    "surfaces": lambda: surface_panel.surface_figure([surface_of(ball(4.0))], {1: EVIL}),
    "scan scores": lambda: charts.scan_gate_figure({EVIL: [0.1, 0.9]}, 0.5, 0.4),
    "chances": lambda: forecast_charts.reliability_figure(
        [{"said": 0.5, "came": 0.4, "low95": 0.1, "high95": 0.9, "forecasts": 3}], EVIL
    ),
}


@pytest.mark.parametrize("name", FIGURES)
def test_no_name_in_a_figure_is_read_as_a_mark(name: str) -> None:
    found = list(texts(FIGURES[name]().to_plotly_json()))
    assert any("%&#123;e}" in text for text in found), "the name is not shown at all"
    for text in found:
        assert not any(form in text for form in FORMS), text
