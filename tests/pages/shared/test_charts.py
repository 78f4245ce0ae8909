"""Figures: what is drawn, in which unit, and that observed never looks like forecast."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.growth.curves import FLOOR_MM3
from core.growth.forecast import QuantileForecast, forecast
from core.twin import trajectory
from core.twin.curve import MaskVolume, Treatment
from core.twin.volume_lines import VolumeLines
from core.types import VolumePoint
from pages.ui.shared import charts, plotting
from pages.ui.trajectory import fit_charts, forecast_charts, growth_charts


def points(volumes, lesion="L1"):
    return [
        VolumePoint(f"2024-01-{1 + i:02d}", 60.0 * i, float(v), lesion, f"id-{lesion}-{i}", i + 1)
        for i, v in enumerate(volumes)
    ]


RISING = points([1000, 1400, 1900, 2300, 2600])


def named(figure, text):
    return [trace for trace in figure.data if trace.name and text in trace.name]


def test_points_are_drawn_in_millilitres_with_bars_of_the_95_percent_interval():
    figure = growth_charts.growth_figure({"L1": points([1000, 2000])}, noise_log_sd={"id-L1-1": 0.1})
    (trace,) = figure.data
    assert list(trace.y) == [1.0, 2.0]
    assert trace.error_y.array[1] == pytest.approx(2 * math.expm1(1.96 * 0.1), rel=1e-4)
    assert trace.error_y.arrayminus[1] == pytest.approx(2 * -math.expm1(-1.96 * 0.1), rel=1e-4)
    assert figure.layout.yaxis.title.text == "Volume (mL)"
    assert figure.layout.xaxis.type == "date"
    assert figure.layout.yaxis.type == "log"


def test_the_linear_axis_and_cubic_millimetres_are_there_for_the_asking():
    figure = growth_charts.growth_figure({"L1": RISING}, log=False, unit="mm³")
    assert list(figure.data[0].y) == [1000, 1400, 1900, 2300, 2600]
    assert figure.layout.yaxis.type is None
    assert figure.layout.yaxis.range[0] == 0


def test_the_hover_names_version_mask_and_reviewer():
    hover = growth_charts.growth_figure({"L1": RISING}, reviewers={"id-L1-2": "demo"}).data[0].text[2]
    assert "version 3" in hover
    assert "id-L1-2" in hover
    assert "accepted by demo" in hover


def test_an_absent_lesion_is_hollow_and_on_a_log_axis_at_5_mm():
    lesion = {"L1": points([0, 500])}
    trace = growth_charts.growth_figure(lesion).data[0]
    assert list(trace.marker.symbol) == ["circle-open", "circle"]
    assert trace.y[0] == pytest.approx(FLOOR_MM3 / 1000)
    assert growth_charts.growth_figure(lesion, log=False).data[0].y[0] == 0
    assert "absent" in trace.text[0]


def test_a_forecast_is_dashed_faded_and_named_and_stands_beside_locf():
    ahead = forecast(RISING, [30, 90])
    figure = growth_charts.growth_figure({"L1": RISING}, ahead)
    (median,) = named(figure, "L1 forecast")
    assert median.line.dash == "dash"
    assert median.line.color.startswith("rgba")
    assert list(median.y) == pytest.approx(ahead.fan.median_mm3 / 1000)
    (locf,) = named(figure, "last value carried forward")
    assert locf.line.dash == "longdash"
    assert list(locf.y) == pytest.approx([2.6, 2.6])
    for level in (50, 80, 95):
        (band,) = [trace for trace in named(figure, f"forecast {level} %") if trace.fill]
        assert band.fill == "tonexty"
        assert list(band.y) == pytest.approx(ahead.fan.limits_mm3(level)[0] / 1000)
    (observed,) = named(figure, "L1")[:1]
    assert observed.line.dash is None


def test_a_total_of_lesions_that_are_gone_is_drawn_on_a_log_axis_at_5_mm():
    gone = QuantileForecast(np.array([300.0, 330.0]), np.zeros((2, 7)))
    ahead = replace(forecast(RISING, [30, 60]), fan=gone, locf=gone)
    for log, lowest in ((True, FLOOR_MM3 / 1000), (False, 0.0)):
        figure = growth_charts.growth_figure({"L1": RISING}, ahead, log=log)
        (median,), (locf,) = named(figure, "L1 forecast"), named(figure, "last value carried forward")
        assert list(median.y) == list(locf.y) == pytest.approx([lowest, lowest])


def test_a_refused_forecast_draws_nothing_and_says_why():
    short = points([1000, 1400])
    figure = growth_charts.growth_figure({"L1": short}, forecast(short, [30]))
    assert len(figure.data) == 1
    assert "at least 3 accepted masks" in figure.layout.annotations[0].text.replace("<br>", " ")


def test_response_marks_stand_at_baseline_nadir_and_thresholds():
    lesion = points([1000, 300, 400])
    lines = VolumeLines(0.0, 1000.0, 60.0, 300.0, -65.7, 72.8, "RECIST 1.1 as sphere volumes")
    figure = growth_charts.growth_figure({"L1": lesion}, lines=lines)
    marks = {trace.text[0]: (trace.x[0], trace.y[0]) for trace in figure.data if trace.mode == "markers+text"}
    assert marks == {"baseline": ("2024-01-01", 1.0), "nadir": ("2024-03-01", 0.3)}
    assert sorted(shape.y0 for shape in figure.layout.shapes) == pytest.approx([0.343, 0.3 * 1.728])
    texts = {a.text: a.y for a in figure.layout.annotations}
    # On a log axis plotly wants the exponent for annotations.
    assert texts["PR -65.7 % of baseline: RECIST 1.1 as sphere volumes"] == pytest.approx(math.log10(0.343))


def test_events_are_marks_at_their_date_with_their_text_and_how_long_after_baseline_they_were():
    told = [(30.0, "chemotherapy"), (33.0, "a fall")]
    figure = growth_charts.growth_figure({"L1": RISING}, events=told, baseline="2024-01-11")
    assert [shape.x0 for shape in figure.layout.shapes] == ["2024-01-31", "2024-02-03"]
    (marks,) = named(figure, "events")
    assert list(marks.x) == ["2024-01-31", "2024-02-03"]
    assert marks.hovertext[0] == "<b>chemotherapy</b><br>2024-01-31, 20 days after baseline"
    assert list(marks.text) == ["", "a fall"]  # beside the first there is no room
    assert marks.yaxis == "y2"


def test_the_time_axis_is_of_dates_and_a_point_tells_its_own():
    figure = growth_charts.growth_figure({"L1": RISING}, baseline="2024-03-01")
    assert figure.layout.xaxis.type == "date"
    assert list(figure.data[0].x)[:2] == ["2024-01-01", "2024-03-01"]
    assert "2024-01-01, 60 days before baseline" in figure.data[0].text[0]
    assert "2024-03-01, at baseline" in figure.data[0].text[1]
    assert figure.data[0].customdata[1] == ["2024-01-02", "2"]  # for the click that opens it


def test_what_is_doubted_is_ringed_and_told_and_a_scan_without_a_point_has_a_cross():
    doubts, missing = {"id-L1-2": ["The link is doubtful."]}, {"2024-02-01": "file lost"}
    figure = growth_charts.growth_figure({"L1": RISING}, doubts=doubts, missing=missing)
    (ring,), (cross,) = named(figure, "doubted"), named(figure, "without a point")
    assert (list(ring.x), list(ring.y)) == (["2024-04-30"], [1.9])
    assert "The link is doubtful." in figure.data[0].text[2]
    assert "The link" not in figure.data[0].text[1]
    assert list(cross.x) == ["2024-02-01"]
    assert "file lost" in cross.hovertext[0]


def test_an_empty_figure_says_what_it_waits_for():
    assert "accepted masks only" in growth_charts.growth_figure({}).layout.annotations[0].text


def test_a_lesion_keeps_its_colour_and_shape_and_neighbours_differ():
    assert len(set(charts.LESION_COLOURS)) == len(charts.LESION_COLOURS) == 8
    assert charts.lesion_colour("L1") == charts.lesion_colour("L9") == charts.LESION_COLOURS[0]
    assert charts.lesion_colour("total") == charts.lesion_colour("?") == charts.TOTAL_COLOUR
    first, ninth = (growth_charts.growth_figure({k: points([500], k)}).data[0].marker.symbol[0] for k in ("L1", "L9"))
    assert first != ninth


#: Linear RGB as seen with deuteranopia and protanopia (Machado 2009, 10.1109/TVCG.2009.113, severity 1).
SEEN_WITH = {
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
}


@pytest.mark.parametrize("sight", sorted(SEEN_WITH))
@pytest.mark.parametrize(
    "colours",
    [
        charts.LESION_COLOURS,
        list(charts.RESPONSE_COLOURS.values()),
        [plotting.ON_BOTH.get(colour, colour) for colour in charts.RESPONSE_COLOURS.values()],
    ],
)
def test_no_two_colours_look_alike_with_red_green_blindness(sight, colours):
    from skimage.color import deltaE_ciede2000, xyz2lab

    to_xyz = np.array([[0.41246, 0.35758, 0.18044], [0.21267, 0.71515, 0.07218], [0.01933, 0.11919, 0.95030]])
    rgb = np.array([[int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)] for colour in colours])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = xyz2lab(np.clip(linear @ np.array(SEEN_WITH[sight]).T, 0, 1) @ to_xyz.T)
    apart = deltaE_ciede2000(seen[:, None], seen[None, :])[np.triu_indices(len(colours), 1)]
    # 2.3 is just noticeable side by side; olive beside vermilion, which deuteranopes confuse, is 5.
    assert apart.min() > 10


def test_the_scan_gate_shows_groups_threshold_and_this_scan():
    figure = charts.scan_gate_figure({"in": [0.1, 0.2], "out": [0.9]}, 0.5, 0.7)
    assert [trace.name for trace in figure.data] == ["in (n = 2)", "out (n = 1)"]
    assert [shape.x0 for shape in figure.layout.shapes] == [0.5, 0.7]
    assert len(charts.scan_gate_figure({"in": [0.1]}, 0.5).layout.shapes) == 1


def test_the_mask_gate_colours_a_small_p_and_says_when_there_is_none():
    flagged = charts.mask_gate_figure([1.0, 1.2], 3.0, 0.01)
    assert flagged.layout.shapes[0].line.color == charts.RESPONSE_COLOURS["PD"]
    assert "p = 0.01" in flagged.layout.annotations[0].text
    assert charts.mask_gate_figure([1.0], 1.0, 0.5).layout.shapes[0].line.color == charts.TOTAL_COLOUR
    silent = charts.mask_gate_figure([], 1.0, None)
    assert any("Not enough reference masks" in a.text for a in silent.layout.annotations)


def test_importing_charts_imports_no_streamlit():
    modules = ", ".join(f"pages.ui.trajectory.{name}_charts" for name in ("growth", "fit", "forecast", "scenario"))
    modules += ", pages.ui.cohort.cohort_charts, pages.ui.shared.charts"
    code = f"import sys, {modules}; sys.exit('streamlit' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3], check=False).returncode == 0


def test_treatments_are_bars_in_as_few_rows_as_do_and_an_open_one_goes_on():
    bars = [Treatment("first", 0, 60), Treatment("with it", 30, 90), Treatment("then", 100, None)]
    figure = growth_charts.growth_figure({"L1": RISING}, treatments=bars)
    first, beside, then = figure.layout.shapes
    assert (first.x0, first.x1, then.x0, then.x1) == ("2024-01-01", "2024-03-01", "2024-04-10", "2024-08-28")
    assert first.y0 == then.y0 < beside.y0
    assert [a.text for a in figure.layout.annotations] == ["first", "with it", "then (ongoing)"]


def test_only_recent_time_is_shown_with_the_treatments_that_reach_into_it():
    bars = [Treatment("over", 0, 60), Treatment("still on", 30, 200), Treatment("new", 150, None)]
    figure = growth_charts.growth_figure({"L1": RISING}, treatments=bars, since_days=100)
    assert figure.layout.xaxis.range == ("2024-04-10", "2024-08-28")
    assert {a.text: a.x for a in figure.layout.annotations} == {"still on": "2024-04-10", "new (ongoing)": "2024-05-30"}


@pytest.mark.parametrize(("volumes", "side"), [([1000, 800, 600, 380, 350], "left"), ([400, 600, 800, 1000], "right")])
def test_the_words_of_a_threshold_stand_where_the_curve_is_not(volumes, side):
    """PR of a baseline of 1000 is 343, of 400 is 137: the first comes down to it, the second rises from it."""
    lesion = points(volumes)
    lines = VolumeLines(0.0, volumes[0], 0.0, volumes[0], -65.7, 72.8, "RECIST 1.1 as sphere volumes")
    figure = growth_charts.growth_figure({"L1": lesion}, lines=lines)
    (words,) = [a for a in figure.layout.annotations if a.text.startswith("PR")]
    assert (words.xanchor, words.x) == (side, float(side == "right"))


def test_a_narrow_log_axis_has_more_ticks_and_a_wide_one_1_2_and_5():
    narrow = growth_charts.growth_figure({"L1": points([12_000, 27_000])}).layout.yaxis
    wide = growth_charts.growth_figure({"L1": points([1_000, 27_000])}).layout.yaxis
    assert [t for t in narrow.tickvals if 10 <= t < 100] == pytest.approx([10, 15, 20, 30, 40, 50, 70])
    assert [t for t in wide.tickvals if 10 <= t < 100] == pytest.approx([10, 20, 50])


def test_only_laws_that_the_points_determine_are_drawn_and_no_further_than_they_reach():
    grown = points([1000 * math.exp(0.004 * 60 * n) for n in range(8)])
    fits = trajectory.fit_all_growth_laws(grown)
    figure = fit_charts.fits_figure(grown, fits, log=True)
    *laws, observed = figure.data
    assert list(observed.y) == pytest.approx([p.volume_mm3 / 1000 for p in grown])
    assert len(laws) == sum(fitted.identifiable for fitted in fits.values())
    (exponential,) = named(figure, "exponential")
    assert (exponential.x[0], exponential.x[-1]) == ("2024-01-01", "2025-02-24")
    assert exponential.y[-1] == pytest.approx(math.exp(0.004 * 420), rel=1e-6)
    assert not named(figure, "Claret")
    by_aicc = [float(trace.name.split("AICc ")[1]) for trace in laws]
    assert by_aicc == sorted(by_aicc)


def test_masks_that_do_not_count_are_grey_crosses_and_in_the_hover_of_their_day():
    rejected = MaskVolume("2024-01-02", 60.0, 5000.0, 1, "nnunet", "rejected")
    figure = growth_charts.growth_figure({"L1": RISING}, others=[rejected])
    (crosses,) = named(figure, "do not count")
    assert (list(crosses.x), list(crosses.y), crosses.marker.color) == (["2024-03-01"], [5.0], growth_charts.UNCOUNTED)
    assert "version 1 (nnunet): 5 mL, rejected" in figure.data[0].text[1]
    assert "rejected" not in figure.data[0].text[0]


def test_small_multiples_share_their_scales():
    figure = growth_charts.lesions_figure({f"L{n}": points([n * 1000, n * 500], f"L{n}") for n in range(1, 6)})
    assert len(figure.data) == 5
    assert figure.layout.yaxis2.matches == "y"
    assert {a.text for a in figure.layout.annotations} == {"L1", "L2", "L3", "L4", "L5"}
    assert figure.layout.height == 480


def test_what_was_said_stands_beside_the_last_value_and_what_came():
    ahead = forecast(points([1000, 1400, 1900, 2300, 2600]), [28])
    figure = forecast_charts.checks_figure(ahead.checks)
    said, last, came = figure.data
    assert list(said.x) == ["2024-01-04", "2024-01-05"]
    assert figure.layout.xaxis.range == ("2023-12-14", "2024-01-26"), "by date, three weeks to either side"
    assert list(last.y) == [1.9, 2.3]
    assert list(came.y) == [2.3, 2.6]
    assert said.error_y.array[0] > 0
