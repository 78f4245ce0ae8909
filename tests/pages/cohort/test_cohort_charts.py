"""Waterfall, spider and swimmer: order, colours, marks and units; the same for three patients and for sixty."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from core.twin.change import Change
from core.twin.curve import Treatment
from core.twin.outcomes import BEST_FIRST, PatientResponse, until_progression, visits_of
from core.twin.response import RULES, volumetric_response
from core.types import VolumePoint
from pages.ui.cohort import cohort_charts, swimmer_chart
from pages.ui.shared import plotting
from pages.ui.shared.charts import RESPONSE_COLOURS

RULE = "recist_sphere"


def patient(name: str, *volumes_ml: float, new_ml: tuple[float, ...] = (), real: bool = True, **more: Any):
    """A patient seen every 30 days; `new_ml`: the volumes of a second lesion."""
    points = [
        VolumePoint(f"2024-{1 + n:02d}-01", 30.0 * n, 1000.0 * ml, lesion, f"{name}-{n}", 1)
        for lesion, series in (("L1", volumes_ml), ("L2", new_ml))
        for n, ml in enumerate(series)
    ]
    visits = visits_of(volumetric_response(points, RULE), points)
    counted = until_progression(visits)
    known = [v for v in counted if v.change_percent is not None]
    best = min(known, key=lambda v: v.change_percent or 0.0) if known else None
    verdict = Change(0.0, "real" if real else "within noise", "QIBA") if best else None
    values: dict[str, Any] = {
        "treatments": (),
        "events": (),
        "ended": None,
        "waiting": (),
        "simulated": False,
        **more,
    }
    response = min((v.category for v in counted), key=BEST_FIRST.index)
    return PatientResponse(name, "d", RULE, visits, best, response, verdict, **values)


GROWS, STABLE, SHRINKS, GONE = (
    patient("GROWS", 10, 20),
    patient("STABLE", 10, 11, real=False),
    patient("SHRINKS", 10, 2, 6),
    patient("GONE", 10, 5, 0),
)
SOME = (SHRINKS, GONE, GROWS, STABLE)
SIXTY = [patient(f"P{n:02d}", 10, 10 + n / 10, 4) for n in range(60)]


def bars(figure):
    """(x, y, colour, pattern, text) of each bar, from left to right."""
    found = [
        (x, y, trace.marker.color, pattern, text)
        for trace in figure.data
        if trace.x[0] is not None
        for x, y, pattern, text in zip(trace.x, trace.y, trace.marker.pattern.shape, trace.text, strict=True)
    ]
    return sorted(found)


def named(figure, name):
    return next(trace for trace in figure.data if trace.name == name)


def texts(figure):
    return [a.text for a in figure.layout.annotations]


def test_the_waterfall_goes_from_worst_to_best_in_the_colours_of_the_best_response():
    figure = cohort_charts.waterfall_figure(SOME, RULE)
    assert list(figure.layout.xaxis.ticktext) == ["GROWS", "STABLE", "SHRINKS", "GONE"]
    assert [bar[1] for bar in bars(figure)] == pytest.approx([100, 10, -80, -100])
    assert [bar[2] for bar in bars(figure)] == [RESPONSE_COLOURS[c] for c in ("PD", "SD", "PR", "CR")]
    assert [bar[3] for bar in bars(figure)] == ["", "/", "", ""]
    assert [bar[4] for bar in bars(figure)] == ["+100 %", "+10 %", "-80 %", "-100 %"]
    assert named(figure, "hatched: within noise")


def test_thresholds_are_drawn_at_the_rules_percentages_and_named():
    for draw in (cohort_charts.waterfall_figure, cohort_charts.spider_figure):
        figure = draw(SOME, "beaumont")
        assert {-35.0, 55.0} <= {shape.y0 for shape in figure.layout.shapes}
        assert "PR -35 % of baseline" in texts(figure)
        assert "PD +55 % where baseline is the nadir" in texts(figure)
        assert RULES["beaumont"].title in figure.layout.xaxis.title.text


def test_a_bar_above_200_percent_is_cut_and_its_number_written():
    figure = cohort_charts.waterfall_figure([patient("HUGE", 10, 60), patient("ODD", 1, 3), STABLE], RULE)
    assert [(bar[1], bar[4]) for bar in bars(figure)][:2] == [(200, "▲ +500 %"), (200, "+200 %")]
    assert figure.layout.yaxis.range[1] < 300
    assert max(figure.layout.yaxis.tickvals) == 200


def test_of_many_patients_only_cut_bars_carry_numbers_and_names_stand_upright():
    figure = cohort_charts.waterfall_figure([*SIXTY, patient("HUGE", 10, 60)], RULE)
    assert [bar[4] for bar in bars(figure) if bar[4]] == ["▲ +500 %"]
    assert figure.layout.xaxis.tickangle == -90
    assert len(figure.layout.xaxis.ticktext) == 61
    assert cohort_charts.waterfall_figure(SOME, RULE).layout.xaxis.tickangle == 0
    many = [patient(f"P{n}", 10, 9) for n in range(81)]
    assert cohort_charts.waterfall_figure(many, RULE).layout.xaxis.showticklabels is False


def test_three_bars_are_not_as_wide_as_the_page():
    low, high = cohort_charts.waterfall_figure(SOME[:3], RULE).layout.xaxis.range
    assert high - low > 8
    low, high = cohort_charts.waterfall_figure(SIXTY, RULE).layout.xaxis.range
    assert high - low == pytest.approx(60.2)


def test_long_names_keep_both_ends():
    assert cohort_charts.clipped("SITE-12-PATIENT-0042", 12) == "SITE-1…-0042"
    assert cohort_charts.clipped("P1", 12) == "P1"


def test_a_patient_without_a_known_change_has_no_bar_and_no_line_but_swims():
    unknown = patient("NEW", 0, 5)
    assert [bar[4] for bar in bars(cohort_charts.waterfall_figure([unknown, GROWS], RULE))] == ["+100 %"]
    assert all(trace.name == "best PD" for trace in cohort_charts.spider_figure([unknown, GROWS], RULE).data[:-1])
    assert "NEW" in swimmer_chart.swimmer_figure([unknown, GROWS], RULE).layout.yaxis.ticktext
    assert "No patient's change" in texts(cohort_charts.waterfall_figure([unknown], RULE))[0]


def test_without_patients_each_figure_says_what_is_missing():
    for draw in (cohort_charts.waterfall_figure, cohort_charts.spider_figure, swimmer_chart.swimmer_figure):
        assert texts(draw([], RULE)) == ["No patient with two accepted timepoints."]


def test_the_spider_starts_at_zero_and_its_hover_gives_patient_date_and_volume():
    figure = cohort_charts.spider_figure(SOME, RULE)
    (line,) = [trace for trace in figure.data if trace.legendgroup == "PR"]
    assert list(line.x) == [0, 30, 60]
    assert list(line.y) == pytest.approx([0, -80, -40])
    assert line.line.color == RESPONSE_COLOURS["PR"]
    # 6 mL after 2 mL is progression, which the rule counts from the nadir.
    assert list(line.marker.symbol) == ["circle", "circle", "triangle-up"]
    assert all(part in line.text[1] for part in ("SHRINKS", "2024-02-01", "2.0 mL", "-80.0 %", "PR: "))
    assert figure.layout.xaxis.title.text.startswith("Days since baseline")
    assert figure.layout.yaxis.title.text == "Change of volume from baseline (%)"


def test_a_new_lesion_is_a_star_in_the_spider_and_a_mark_in_the_swimmer():
    mixed = patient("MIXED", 10, 9, 8, new_ml=(0, 0, 3))
    line = cohort_charts.spider_figure([mixed], RULE).data[0]
    assert list(line.marker.symbol) == ["circle", "circle", "star"]
    assert list(line.y) == pytest.approx([0, -10, -20])
    mark = named(swimmer_chart.swimmer_figure([mixed], RULE), "new lesion")
    assert list(mark.x) == [60]
    assert "L2" in mark.text[0]


def test_a_timepoint_that_was_not_measured_is_a_gap_in_the_line():
    line = cohort_charts.spider_figure([patient("GAP", 10, float("nan"), 8)], RULE).data[0]
    assert [line.y[0], line.y[1]] == [0, None]
    assert line.connectgaps is False
    assert "not measured" in line.text[1]


def test_lines_that_leave_the_spider_at_the_top_are_counted():
    figure = cohort_charts.spider_figure([patient("HUGE", 10, 60), STABLE], RULE)
    assert figure.layout.yaxis.range[1] == cohort_charts.SPIDER_TOP_PERCENT
    assert "1 beyond +300 %" in figure.layout.xaxis.title.text


def test_names_at_the_ends_of_lines_do_not_lie_on_each_other():
    alike = [patient(f"P{n}", 10, 9 + n / 1000) for n in range(6)]
    figure = cohort_charts.spider_figure(alike, RULE)
    low, high = figure.layout.yaxis.range
    names = [a for a in figure.layout.annotations if a.text.startswith("P") and a.xanchor == "left" and a.xshift == 8]
    heights = sorted(320 * (a.y - low) / (high - low) + a.yshift for a in names)
    assert len(heights) == 6
    assert min(b - a for a, b in itertools.pairwise(heights)) >= 14.9
    crowd = cohort_charts.spider_figure(SIXTY, RULE)
    assert not [a for a in crowd.layout.annotations if a.xshift == 8]


def test_the_swimmer_marks_only_where_the_response_is_another_than_before():
    swims = patient("SWIMS", 10, 9, 9, 2, 2, 8)  # SD, SD, PR, PR, PD
    figure = swimmer_chart.swimmer_figure([swims], RULE)
    days = {name: list(named(figure, name).x) for name in ("SD from here", "PR from here", "PD from here")}
    assert days == {"SD from here": [30], "PR from here": [90], "PD from here": [150]}
    assert list(named(figure, "response as before").x) == [60, 120]
    assert list(named(figure, "in view").x) == [150]
    assert len({symbol for symbol in swimmer_chart.SYMBOLS.values()}) == len(swimmer_chart.SYMBOLS) == 5


def test_treatments_are_bars_and_one_without_a_stop_runs_to_the_end_of_the_patients_bar():
    treated = patient(
        "T", 10, 9, 9, treatments=(Treatment("doxorubicin", 5.0, 25.0), Treatment("pazopanib", 40.0, None))
    )
    figure = swimmer_chart.swimmer_figure([treated], RULE)
    closed, going = named(figure, "treatment ▶ start, ■ stop"), named(figure, "no stop recorded")
    assert (closed.base[0], closed.x[0]) == (5, 20)
    assert (going.base[0], going.x[0]) == (40, 20)
    assert "no stop recorded" in going.hovertext[0]
    assert list(named(figure, "start").x) == [5, 40]
    assert list(named(figure, "stop").x) == [25]


def test_the_arrow_is_for_those_whose_follow_up_did_not_end():
    dead = patient("DEAD", 10, 9, ended=(45.0, "death: of disease"))
    figure = swimmer_chart.swimmer_figure([STABLE, dead], RULE)
    assert "STABLE" in named(figure, "still followed").text[0]
    assert len(named(figure, "still followed").x) == 1
    assert list(named(figure, "follow-up ended").x) == [45]


def test_what_happened_long_before_is_drawn_at_the_edge_with_its_day_in_the_hover():
    early = patient("OLD", 10, 9, 9, events=((-900.0, "surgery: resection"),))
    figure = swimmer_chart.swimmer_figure([early], RULE)
    mark = named(figure, "other event")
    assert list(mark.x) == [-12]  # a fifth of 60 days
    assert "day -900" in mark.text[0]
    low, high = figure.layout.xaxis.range
    assert -20 < low < -12
    assert 60 < high < 70


def test_the_swimmer_grows_with_its_patients_and_the_longest_is_on_top():
    few, many = swimmer_chart.swimmer_figure(SOME, RULE), swimmer_chart.swimmer_figure(SIXTY, RULE)
    assert few.layout.height < 400
    assert many.layout.height > 60 * 20
    assert list(few.layout.yaxis.ticktext) == ["GONE", "SHRINKS", "GROWS", "STABLE"]
    assert few.layout.yaxis.range[0] > few.layout.yaxis.range[1]
    assert few.layout.xaxis.title.text.startswith("Days since baseline")


def test_simulated_patients_are_said_to_be_in_the_figure_itself():
    made = patient("MADE", 10, 9, simulated=True)
    for draw in (cohort_charts.waterfall_figure, cohort_charts.spider_figure, swimmer_chart.swimmer_figure):
        assert "2 patients, 1 simulated" in draw([made, STABLE], RULE).layout.xaxis.title.text


def test_the_camera_saves_svg_under_a_name_and_white_paper_keeps_the_figures_own_colours():
    options = plotting.controls("cohort_waterfall")["toImageButtonOptions"]
    assert (options["format"], options["filename"]) == ("svg", "cohort_waterfall")
    figure = cohort_charts.waterfall_figure(SOME, RULE)
    assert plotting.for_paper(figure).layout.paper_bgcolor == "white"
    assert RESPONSE_COLOURS["CR"] in plotting.for_paper(figure).to_json()
    assert RESPONSE_COLOURS["CR"] not in plotting.for_both_themes(figure).to_json()


def test_importing_the_figures_imports_no_streamlit():
    code = "import sys, pages.ui.cohort.swimmer_chart; sys.exit('streamlit' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3], check=False).returncode == 0
