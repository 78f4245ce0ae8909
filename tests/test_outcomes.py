"""Many patients by one rule: best change, course, and who is left out; and the figures of it."""

from __future__ import annotations

from typing import Any

import pytest

from core.outcomes import PatientOutcome, cohort, outcome
from core.types import VolumePoint
from pages.ui import cohort_charts

DATES = ("2024-01-01", "2024-02-26", "2024-04-22", "2024-06-17")
RULE = "recist_sphere"


def points(*series: tuple[float, ...]) -> list[VolumePoint]:
    """One lesion a series, with its volume at each date."""
    return [
        VolumePoint(day, 56.0 * n, volume, f"L{lesion + 1}", f"{lesion}{n}", 1)
        for lesion, volumes in enumerate(series) for n, (day, volume) in enumerate(zip(DATES, volumes, strict=False))
    ]  # fmt: skip


def made(name: str, *series: tuple[float, ...], events: tuple[dict[str, Any], ...] = ()) -> PatientOutcome:
    found = outcome(name, "d", points(*series), events, DATES)
    assert isinstance(found, PatientOutcome)
    return found


def test_best_change_and_progression_by_hand():
    # Two lesions: 1000 -> 300 -> 800 mm3 in all; best -70 %, then +167 % of the nadir.
    one = made("P", (600, 200, 500), (400, 100, 300))
    assert one.best_change_percent == pytest.approx(-70)
    assert one.best == "PR"
    assert [r.category for r in one.responses] == ["baseline", "PR", "PD"]
    assert one.progressed_days == 112
    assert one.followed_days == 168


def test_a_lesion_that_only_grows_has_its_least_growth_as_best_change():
    one = made("P", (1000, 1200, 3000))
    assert one.best_change_percent == pytest.approx(20)
    assert (one.best, one.progressed_days) == ("SD", 112)


def test_who_cannot_be_judged_is_left_out_with_the_reason():
    assert outcome("P", "d", [], (), DATES) == "no accepted timepoint"
    assert outcome("P", "d", points((1000,)), (), DATES) == "one accepted timepoint; a change needs two"
    assert outcome("P", "d", points((0, 500)), (), DATES) == "no lesion at the first accepted timepoint"


class Clinic:
    """Two patients of two datasets."""

    def patients(self) -> list[dict[str, Any]]:
        return [{"patient_id": "A", "dataset": "one"}, {"patient_id": "B", "dataset": "two"}]

    def timepoints(self, patient_id: str) -> list[str]:
        return list(DATES)

    def volume_points(self, patient_id: str) -> list[VolumePoint]:
        return points((1000, 200)) if patient_id == "A" else []

    def events(self, patient_id: str) -> list[dict[str, Any]]:
        return [{"date": DATES[1], "kind": "treatment-start", "detail": "X"}]


def test_a_cohort_is_of_one_dataset_if_so_asked():
    found, left_out = cohort(Clinic())
    assert [o.patient_id for o in found] == ["A"]
    assert left_out == {"B": "no accepted timepoint"}
    assert [(t.name, t.start_days, t.end_days) for t in found[0].treatments] == [("X", 56, None)]
    assert cohort(Clinic(), RULE, "two") == ([], {"B": "no accepted timepoint"})


def test_the_waterfall_goes_from_worst_to_best_and_cuts_what_is_too_high():
    some = [made("BEST", (1000, 100)), made("WORST", (1000, 5000)), made("MID", (1000, 1100))]
    figure = cohort_charts.waterfall_figure(some, RULE)
    assert list(figure.layout.xaxis.categoryarray) == ["WORST", "MID", "BEST"]
    bars = {trace.x[0]: trace for trace in figure.data if len(trace.x)}
    assert (bars["WORST"].y[0], bars["WORST"].text[0]) == (200, "+400 %")
    assert bars["BEST"].y[0] == pytest.approx(-90)
    assert [round(shape.y0, 1) for shape in figure.layout.shapes] == [-65.7, 72.8]


def test_the_spider_starts_at_zero_and_marks_new_lesions():
    figure = cohort_charts.spider_figure([made("P", (1000, 700, 800), (0, 0, 300))], RULE)
    (line,) = figure.data
    assert list(line.y) == pytest.approx([0, -30, -20])
    assert list(line.marker.symbol) == ["circle", "circle", "x"]
    assert "new: L2" in line.text[2]


def test_the_swimmer_has_bars_of_days_treatments_and_responses():
    events = ({"date": "2024-01-15", "kind": "treatment-start", "detail": "X"},)
    figure = cohort_charts.swimmer_figure([made("P", (1000, 300, 900), events=events)])
    by_name = {trace.name: trace for trace in figure.data}
    assert list(by_name["observed"].x) == [168]
    assert (by_name["treatment"].base[0], by_name["treatment"].x[0]) == (14, 154)
    assert list(by_name["PR"].x) == [56]
    assert list(by_name["PD"].x) == [112]
    assert "treatment goes on" in by_name


@pytest.mark.parametrize("count", [0, 3, 60])
def test_figures_serve_nobody_three_and_sixty(count: int):
    some = [made(f"P{n:02d}", (1000, 900.0 + n, 800)) for n in range(count)]
    figures = [cohort_charts.waterfall_figure(some, RULE), cohort_charts.spider_figure(some, RULE),
               cohort_charts.swimmer_figure(some)]  # fmt: skip
    for figure in figures:
        said = [a.text for a in figure.layout.annotations if cohort_charts.NOBODY in (a.text or "")]
        assert bool(said) == (count == 0)
    assert figures[2].layout.height == 160 + 28 * max(4, count)
