"""Waterfall, spider and swimmer: order, colours, marks and units; the same for three patients and for sixty."""

from __future__ import annotations

import itertools
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.twin.change import Change
from core.twin.criteria.table import ABOUT
from core.twin.curve import Treatment
from core.twin.happenings import Happening
from core.twin.outcomes import PatientResponse, Visit, best_category, until_progression
from pages.ui.cohort import cohort_charts, cohort_words, swimmer_chart
from pages.ui.shared import plotting
from pages.ui.shared.charts import RESPONSE_COLOURS

VOLUMES = "volume-recist-sphere"


def visits_under(name: str, criterion: str, values: tuple[float | None, ...], new: tuple[bool, ...]) -> list[Visit]:
    """Visits every 30 days, called by the criterion's percentages from baseline and nadir alone; 0 is CR."""
    about, found, seen = ABOUT[criterion], [], [values[0]]
    for n, value in enumerate(values):
        change = None if value is None or not values[0] else 100 * (value / values[0] - 1)
        nadir = min((one for one in seen if one is not None), default=None)
        nadir_change = None if value is None or not nadir else 100 * (value / nadir - 1)
        is_new = n < len(new) and new[n]
        word = "baseline" if not n else "PD" if is_new else "NE" if value is None or change is None else "SD"
        if n and word == "SD":
            if value == 0:
                word = "CR"
            elif (nadir_change or 0) >= (about.pd_percent or 0):
                word = "PD"
            elif (change or 0) <= (about.pr_percent or 0):
                word = "PR"
        appeared = ("L2",) if is_new and not any(new[:n]) else ()
        day = f"2024-{1 + n:02d}-01"
        found.append(
            Visit(day, 30.0 * n, value, change, nadir_change, word, word, appeared, f"{name}-{n}", 1, f"{word}: so.")
        )
        seen.append(value)
    return found


def patient(
    name: str,
    *volumes_ml: float | None,
    new: tuple[bool, ...] = (),
    real: bool = True,
    criterion: str = VOLUMES,
    protocol: str | None = None,
    **more: Any,
):
    """A patient seen every 30 days; of a criterion of diameters the numbers are mL all the same."""
    values = tuple(None if ml is None else 1000.0 * ml for ml in volumes_ml)
    visits = visits_under(name, criterion, values, new)
    progressed_on = next((v.timepoint for v in visits if v.category == "PD"), None)
    counted = until_progression(visits, progressed_on)
    known = [v for v in counted if v.change_percent is not None]
    best = min(known, key=lambda v: v.change_percent or 0.0) if known else None
    verdict = Change(0.0, "real" if real else "within noise", "QIBA") if best else None
    values_of: dict[str, Any] = {
        "before": (),
        "treatments": (),
        "events": (),
        "ended": None,
        "waiting": (),
        "simulated": False,
        **more,
    }
    return PatientResponse(
        patient_id=name,
        dataset="d",
        criterion=criterion,
        protocol_criterion=protocol or criterion,
        visits=tuple(visits),
        best=best,
        best_response=best_category(counted, progressed_on),
        verdict=verdict,
        progressed_on=progressed_on,
        **values_of,
    )


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
    figure = cohort_charts.waterfall_figure(SOME)
    assert list(figure.layout.xaxis.ticktext) == ["GROWS", "STABLE", "SHRINKS", "GONE"]
    assert [bar[1] for bar in bars(figure)] == pytest.approx([100, 10, -80, -100])
    assert [bar[2] for bar in bars(figure)] == [RESPONSE_COLOURS[c] for c in ("PD", "SD", "PR", "CR")]
    assert [bar[3] for bar in bars(figure)] == ["", "/", "", ""]
    assert [bar[4] for bar in bars(figure)] == ["+100 %", "+10 %", "-80 %", "-100 %"]
    assert named(figure, "hatched: volumes within noise")


def test_a_doubted_visit_is_marked_in_every_figure_and_its_doubt_is_on_hover():
    whole = patient("DOUBTED", 10, 5, 3)
    visits = tuple(
        replace(v, doubts=("L1: mask gate: doubtful. <b>",) if n else ()) for n, v in enumerate(whole.visits)
    )
    doubted = replace(whole, visits=visits, best=visits[2])
    for draw, at, trace_of_hover in (
        (cohort_charts.waterfall_figure, [(1, 0)], cohort_words.DOUBTED),
        (cohort_charts.spider_figure, [(30, -50), (60, -70)], "best PR"),
        (swimmer_chart.swimmer_figure, [(30, 0), (60, 0)], cohort_words.DOUBTED),
    ):
        figure = draw([doubted, GROWS])
        marks, told = named(figure, cohort_words.DOUBTED), named(figure, trace_of_hover)
        assert [(round(x), round(y)) for x, y in zip(marks.x, marks.y, strict=True)] == at
        assert "⚠ L1: mask gate: doubtful. &lt;b&gt;" in " ".join(told.hovertext or told.text)
        assert "1 with a doubted mask or scan" in figure.layout.xaxis.title.text
        assert cohort_words.DOUBTED not in [trace.name for trace in draw(SOME).data]


def test_thresholds_are_drawn_at_the_criterions_percentages_and_named():
    for draw in (cohort_charts.waterfall_figure, cohort_charts.spider_figure):
        figure = draw([patient("P1", 10, 20, criterion="volume-beaumont")])
        assert {-35.0, 55.0} <= {shape.y0 for shape in figure.layout.shapes}
        assert "PR -35 % of baseline" in texts(figure)
        assert "PD +55 % where baseline is the nadir" in texts(figure)
        assert ABOUT["volume-beaumont"].title in figure.layout.xaxis.title.text


def test_a_bar_above_200_percent_is_cut_and_its_number_written():
    figure = cohort_charts.waterfall_figure([patient("HUGE", 10, 60), patient("ODD", 1, 3), STABLE])
    assert [(bar[1], bar[4]) for bar in bars(figure)][:2] == [(200, "▲ +500 %"), (200, "+200 %")]
    assert figure.layout.yaxis.range[1] < 300
    assert max(figure.layout.yaxis.tickvals) == 200


def test_of_many_patients_only_cut_bars_carry_numbers_and_names_stand_upright():
    figure = cohort_charts.waterfall_figure([*SIXTY, patient("HUGE", 10, 60)])
    assert [bar[4] for bar in bars(figure) if bar[4]] == ["▲ +500 %"]
    assert figure.layout.xaxis.tickangle == -90
    assert len(figure.layout.xaxis.ticktext) == 61
    assert cohort_charts.waterfall_figure(SOME).layout.xaxis.tickangle == 0
    many = [patient(f"P{n}", 10, 9) for n in range(81)]
    assert cohort_charts.waterfall_figure(many).layout.xaxis.showticklabels is False


def test_three_bars_are_not_as_wide_as_the_page():
    low, high = cohort_charts.waterfall_figure(SOME[:3]).layout.xaxis.range
    assert high - low > 8
    low, high = cohort_charts.waterfall_figure(SIXTY).layout.xaxis.range
    assert high - low == pytest.approx(60.2)


def test_long_names_keep_both_ends():
    assert cohort_words.clipped("SITE-12-PATIENT-0042", 12) == "SITE-1…-0042"
    assert cohort_words.clipped("P1", 12) == "P1"


def test_a_patient_without_a_known_change_has_a_cross_and_no_bar_and_swims():
    unknown, alone = patient("NEW", 0, 5), patient("ALONE", 10)
    figure = cohort_charts.waterfall_figure([unknown, alone, GROWS])
    assert list(figure.layout.xaxis.ticktext) == ["GROWS", "ALONE", "NEW"]
    crosses = named(figure, "no change known")
    assert (list(crosses.x), list(crosses.text)) == ([1, 2], ["NE", "NE"])
    assert "no visit after baseline" in crosses.hovertext[0]
    assert "2 without a known change" in figure.layout.xaxis.title.text
    assert all(trace.name == "best PD" for trace in cohort_charts.spider_figure([unknown, GROWS]).data[:-1])
    swims = swimmer_chart.swimmer_figure([unknown, alone, GROWS])
    assert {"NEW", "ALONE"} <= set(swims.layout.yaxis.ticktext)
    assert list(named(swims, "no visit after baseline (NE)").x) == [0]
    assert "No patient's change" in texts(cohort_charts.waterfall_figure([unknown]))[0]


def test_patients_of_different_criteria_stand_apart_with_their_own_limits():
    mixed = [patient("D1", 10, 8, criterion="recist-1.1"), patient("D2", 10, 9, criterion="recist-1.1"), SHRINKS]
    figure = cohort_charts.waterfall_figure(mixed)
    assert list(figure.layout.xaxis.tickvals) == [0, 1, 3]
    assert {"<b>RECIST 1.1</b>", "<b>RECIST 1.1 as sphere volumes</b>"} <= set(texts(figure))
    lines = {(shape.y0, shape.x0, shape.x1) for shape in figure.layout.shapes if shape.y0}
    assert lines == {(-30, -0.5, 1.5), (20, -0.5, 1.5), (-65.7, 2.5, 3.5), (72.8, 2.5, 3.5)}
    assert figure.layout.yaxis.title.text == "Best change of what each criterion measures (%)"
    spider = cohort_charts.spider_figure(mixed)
    assert {trace.line.dash for trace in spider.data if trace.legendgroup == "PR"} == {"dash"}
    assert {shape.y0 for shape in spider.layout.shapes} == {0}, "no limit holds for all lines"
    swims = swimmer_chart.swimmer_figure(mixed)
    assert set(swims.layout.yaxis.ticktext) == {"D1 (a)", "D2 (a)", "SHRINKS (b)"}
    assert "(a) RECIST 1.1: 2, (b) RECIST 1.1 as sphere volumes: 1" in swims.layout.xaxis.title.text


def test_who_is_told_by_another_criterion_than_their_protocols_is_marked():
    other = patient("OTHER", 10, 9, protocol="rano-bm")
    for draw in (cohort_charts.waterfall_figure, cohort_charts.spider_figure, swimmer_chart.swimmer_figure):
        figure = draw([other, STABLE])
        assert "another criterion by the protocol" in figure.layout.xaxis.title.text
        assert "OTHER *" in figure.to_json()
        assert "STABLE *" not in figure.to_json()
        assert "protocol: RANO-BM" in figure.to_json()


def test_without_patients_each_figure_says_what_is_missing():
    for draw in (cohort_charts.waterfall_figure, cohort_charts.spider_figure, swimmer_chart.swimmer_figure):
        assert texts(draw([])) == ["No patient with an accepted timepoint."]


def test_the_spider_starts_at_zero_and_its_hover_gives_patient_date_and_volume():
    figure = cohort_charts.spider_figure(SOME)
    (line,) = [trace for trace in figure.data if trace.legendgroup == "PR"]
    assert list(line.x) == [0, 30, 60]
    assert list(line.y) == pytest.approx([0, -80, -40])
    assert line.line.color == RESPONSE_COLOURS["PR"]
    # 6 mL after 2 mL is progression, which the rule counts from the nadir.
    assert list(line.marker.symbol) == ["circle", "circle", "triangle-up"]
    assert all(part in line.text[1] for part in ("SHRINKS", "2024-02-01", "2.0 mL", "-80.0 %", "PR: so."))
    assert "+200.0 % from nadir" in line.text[2]
    assert figure.layout.xaxis.title.text.startswith("Days since the baseline")
    assert figure.layout.yaxis.title.text == "Change from baseline of the sum of volumes (%)"


def test_a_new_lesion_is_a_star_in_the_spider_and_a_mark_in_the_swimmer():
    mixed = patient("MIXED", 10, 9, 8, new=(False, False, True))
    line = cohort_charts.spider_figure([mixed]).data[0]
    assert list(line.marker.symbol) == ["circle", "circle", "star"]
    assert list(line.y) == pytest.approx([0, -10, -20])
    mark = named(swimmer_chart.swimmer_figure([mixed]), "new lesion")
    assert list(mark.x) == [60]
    assert "L2" in mark.text[0]


def test_a_timepoint_that_was_not_measured_is_a_gap_in_the_line():
    line = cohort_charts.spider_figure([patient("GAP", 10, None, 8)]).data[0]
    assert [line.y[0], line.y[1]] == [0, None]
    assert line.connectgaps is False
    assert "sum of volumes not known, change not known" in line.text[1]


def test_lines_that_leave_the_spider_at_the_top_are_counted():
    figure = cohort_charts.spider_figure([patient("HUGE", 10, 60), STABLE])
    assert figure.layout.yaxis.range[1] == cohort_charts.SPIDER_TOP_PERCENT
    assert "1 beyond +300 %" in figure.layout.xaxis.title.text


def test_names_at_the_ends_of_lines_do_not_lie_on_each_other():
    alike = [patient(f"P{n}", 10, 9 + n / 1000) for n in range(6)]
    figure = cohort_charts.spider_figure(alike)
    low, high = figure.layout.yaxis.range
    names = [a for a in figure.layout.annotations if a.text.startswith("P") and a.xanchor == "left" and a.xshift == 8]
    heights = sorted(320 * (a.y - low) / (high - low) + a.yshift for a in names)
    assert len(heights) == 6
    assert min(b - a for a, b in itertools.pairwise(heights)) >= 14.9
    crowd = cohort_charts.spider_figure(SIXTY)
    assert not [a for a in crowd.layout.annotations if a.xshift == 8]


def test_the_swimmer_marks_only_where_the_response_is_another_than_before():
    swims = patient("SWIMS", 10, 9, 9, 2, 2, 8)  # SD, SD, PR, PR, PD
    figure = swimmer_chart.swimmer_figure([swims])
    days = {name: list(named(figure, name).x) for name in ("SD from here", "PR from here", "PD from here")}
    assert days == {"SD from here": [30], "PR from here": [90], "PD from here": [150]}
    assert list(named(figure, "response as before").x) == [60, 120]
    assert list(named(figure, "in view").x) == [150]
    assert len({symbol for symbol in swimmer_chart.SYMBOLS.values()}) == len(swimmer_chart.SYMBOLS) == 6


def test_treatments_are_bars_and_one_without_a_stop_runs_to_the_end_of_the_patients_bar():
    treated = patient(
        "T", 10, 9, 9, treatments=(Treatment("doxorubicin", 5.0, 25.0), Treatment("pazopanib", 40.0, None))
    )
    figure = swimmer_chart.swimmer_figure([treated])
    closed, going = named(figure, "drug ▶ start, ■ stop"), named(figure, "drug, no stop recorded")
    assert (closed.base[0], closed.x[0]) == (5, 20)
    assert (going.base[0], going.x[0]) == (40, 20)
    assert "no stop recorded" in going.hovertext[0]
    assert list(named(figure, "start").x) == [5, 40]
    assert list(named(figure, "stop").x) == [25]


def test_the_arrow_is_for_those_of_whom_no_end_is_on_record():
    dead = patient("DEAD", 10, 9, ended=Happening(45.0, "death", "death: of disease"))
    heard = patient("HEARD", 10, 9, ended=Happening(40.0, "last contact", "last-contact"))
    figure = swimmer_chart.swimmer_figure([STABLE, dead, heard])
    arrow = named(figure, "no end on record")
    assert len(arrow.x) == 1
    assert "STABLE" in arrow.text[0]
    assert list(named(figure, "death").x) == [45]
    assert list(named(figure, "last contact, no later scan").x) == [40]
    later = named(figure, "followed, not in view")
    assert (list(later.base), list(later.x)) == ([30, 30], [15, 10])
    assert list(figure.layout.yaxis.ticktext) == ["DEAD", "HEARD", "STABLE"], "who was followed longest is on top"


def test_what_happened_is_marked_by_its_kind_and_what_was_said_of_the_patient_is_not():
    events = (
        Happening(5.0, "surgery", "surgery: resection"),
        Happening(10.0, "radiotherapy", "radiotherapy: vmat"),
        Happening(20.0, "relapse", "relapse: imaging"),
        Happening(20.0, "said of the patient", "clinical-status: ECOG 1"),
    )
    beam = Treatment("radiotherapy: vmat, left hip, 50 Gy", 10.0, 25.0)
    figure = swimmer_chart.swimmer_figure([patient("P", 10, 9, 9, events=events, treatments=(beam,))])
    assert list(named(figure, "surgery").x) == [5]
    assert list(named(figure, "radiotherapy, no last day on record").x) == [10]
    assert list(named(figure, "relapse").x) == [20]
    course = named(figure, "radiotherapy")
    assert (course.base[0], course.x[0]) == (10, 15)
    assert "ECOG" not in figure.to_json()


def test_progression_that_dates_from_a_visit_that_was_none_is_marked_there():
    early = replace(patient("EARLY", 10, 9, 9), progressed_on="2024-02-01")
    assert list(named(swimmer_chart.swimmer_figure([early]), "progression dates from here").x) == [30]


def test_what_happened_long_before_is_drawn_at_the_edge_with_its_day_in_the_hover():
    early = patient("OLD", 10, 9, 9, events=(Happening(-900.0, "surgery", "surgery: resection"),))
    figure = swimmer_chart.swimmer_figure([early])
    mark = named(figure, "surgery")
    assert list(mark.x) == [-12]  # a fifth of 60 days
    assert "day -900" in mark.text[0]
    low, high = figure.layout.xaxis.range
    assert -20 < low < -12
    assert 60 < high < 70


def test_the_swimmer_grows_with_its_patients_and_the_longest_is_on_top():
    few, many = swimmer_chart.swimmer_figure(SOME), swimmer_chart.swimmer_figure(SIXTY)
    assert few.layout.height < 400
    assert many.layout.height > 60 * 20
    assert list(few.layout.yaxis.ticktext) == ["GONE", "SHRINKS", "GROWS", "STABLE"]
    assert few.layout.yaxis.range[0] > few.layout.yaxis.range[1]
    assert few.layout.xaxis.title.text.startswith("Days since the baseline")


def test_simulated_patients_are_said_to_be_in_the_figure_itself():
    made = patient("MADE", 10, 9, simulated=True)
    for draw in (cohort_charts.waterfall_figure, cohort_charts.spider_figure, swimmer_chart.swimmer_figure):
        assert "2 patients, 1 simulated" in draw([made, STABLE]).layout.xaxis.title.text


def test_the_camera_saves_svg_under_a_name_and_white_paper_keeps_the_figures_own_colours():
    options = plotting.controls("cohort_waterfall")["toImageButtonOptions"]
    assert (options["format"], options["filename"]) == ("svg", "cohort_waterfall")
    figure = cohort_charts.waterfall_figure(SOME)
    assert plotting.for_paper(figure).layout.paper_bgcolor == "white"
    assert RESPONSE_COLOURS["CR"] in plotting.for_paper(figure).to_json()
    assert RESPONSE_COLOURS["CR"] not in plotting.for_both_themes(figure).to_json()


def test_importing_the_figures_imports_no_streamlit():
    code = "import sys, pages.ui.cohort.swimmer_chart; sys.exit('streamlit' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3], check=False).returncode == 0
