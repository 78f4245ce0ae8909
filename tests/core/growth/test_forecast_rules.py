"""The rules around a forecast, on values written by hand: what counts as a point, bands, hindcasts, skill, notes."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from core.errors import InputError
from core.growth.curves import FLOOR_MM3
from core.growth.forecast import (
    UNAWARE,
    HindcastResult,
    QuantileForecast,
    clean_series,
    forecast,
    histories_until,
    longest_days,
    skill,
)
from core.growth.population import default_population
from core.growth.series import MAX_HISTORY_SCANS
from core.types import VolumePoint

CHECK = HindcastResult("first", "second", 42.0, 100.0, 80.0, 120.0, 90.0, 110.0)


def points(days: list[float], volumes: list[float]) -> list[VolumePoint]:
    return [
        VolumePoint(f"day {d}", float(d), float(v), "L1", f"mask {d}", 1) for d, v in zip(days, volumes, strict=True)
    ]


def test_a_band_lies_between_the_two_levels_that_hold_so_much():
    fan = QuantileForecast(np.array([30.0]), np.array([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]]))
    assert [fan.limits_mm3(percent) for percent in (50, 80, 95)] == [(3, 5), (2, 6), (1, 7)]
    assert fan.median_mm3 == 4


@pytest.mark.parametrize(
    ("observed", "inside"),
    [
        *((value, True) for value in (80.0, 100.0, 120.0, 80 * (1 - 5e-10), 120 * (1 + 5e-10))),
        *((value, False) for value in (0.0, 79.9, 120.1, 300.0)),
    ],
)
def test_what_lies_on_a_limit_is_inside_but_for_rounding(observed: float, inside: bool):
    assert CHECK._replace(observed_mm3=observed).inside80 is inside


def test_a_hindcast_is_printed_under_the_names_of_the_command_line():
    assert CHECK.to_json() == {
        "said_at": "first",
        "about": "second",
        "days": 42.0,
        "median_mm3": 100.0,
        "low80_mm3": 80.0,
        "high80_mm3": 120.0,
        "last_mm3": 90.0,
        "came_mm3": 110.0,
        "inside80": True,
    }


def test_what_was_not_measured_is_no_point_and_a_lesion_that_is_gone_is_one():
    days = [0.0, 10.0, 20.0, 30.0, 40.0, math.nan, math.inf]
    known = clean_series(points(days, [500, 0, 0.5, math.nan, -0.5, 600, 700]), {"mask 10.0": 0.3})
    assert known.days.tolist() == [0, 10, 20]
    assert known.timepoints == ["day 0.0", "day 10.0", "day 20.0"]
    assert known.volumes_mm3 == pytest.approx([500, FLOOR_MM3, FLOOR_MM3])
    assert known.noise_log_sd.tolist() == [0, 0.3, 0]
    assert clean_series(points([0.0], [math.inf])).days.size == 0


def test_a_history_holds_the_noise_of_its_latest_measurements_beside_them():
    days = [10.0 * n for n in range(12)]
    known = clean_series(points(days, [100.0 + n for n in range(12)]), {f"mask {d}": d / 100 for d in days})
    past = histories_until(known, 11, 2, 8)
    noise = past.noise_log_sd
    assert noise is not None
    assert past.scans.tolist() == [12, 3, 9]
    assert noise[0] == pytest.approx([0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1])
    assert noise[1] == pytest.approx([0, 0.1, 0.2] + [0] * (MAX_HISTORY_SCANS - 3))
    assert noise[2] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8])


def test_the_bands_of_a_hindcast_are_those_of_the_forecast_made_then():
    series = points([0, 42, 84, 120, 168], [1000, 1200, 1500, 1400, 2600])
    fan = forecast(series[:4], [48]).fan
    check = forecast(series, [42]).checks[1]
    assert (check.days, check.low80_mm3) == (48, pytest.approx(fan.limits_mm3(80)[0][0]))
    assert check.high80_mm3 == pytest.approx(fan.limits_mm3(80)[1][0])


def test_skill_is_the_share_of_the_last_values_error_that_is_saved():
    # ours ln(1.1), then ln(1/1.1); LOCF's ln(1.1^2) each time: half is saved
    low = HindcastResult("a", "b", 42.0, 110.0, 0.0, 0.0, 121.0, 100.0)
    high = HindcastResult("b", "c", 42.0, 200.0, 0.0, 0.0, 220.0 / 1.21, 220.0)
    assert skill([low, high]) == pytest.approx(0.5)
    assert skill([low]) is None
    gone = HindcastResult("c", "d", 42.0, 0.0, 0.0, 0.0, FLOOR_MM3, 10.0)
    assert skill([low, gone]) == pytest.approx(0.5), "below 5 mm all counts as 5 mm"
    assert skill([gone, gone]) is None


def test_the_time_observed_is_from_the_first_scan_to_the_last_wherever_the_days_begin():
    learned = default_population().everyone
    assert longest_days(clean_series(points([100, 170, 200], [500] * 3)), learned) == 200
    assert longest_days(clean_series(points([-60, -50, 0], [500] * 3)), learned) == 120


@pytest.mark.parametrize("horizon", [[[30.0]], [math.inf], [30.0, math.nan], [-0.5]])
def test_a_horizon_is_a_row_of_finite_days_from_the_last_scan_on(horizon: Any):
    with pytest.raises(InputError, match="at least 0 days"):
        forecast(points([0, 40, 80], [500] * 3), horizon)


def test_a_horizon_may_begin_at_the_last_scan_and_may_be_one_number():
    assert forecast(points([0, 40, 80], [500] * 3), [0, 0.5]).fan.days.tolist() == [80, 80.5]
    assert forecast(points([0, 40, 80], [500] * 3), 28).fan.days.tolist() == [108]


def test_a_forecast_that_is_refused_says_of_which_lesion_and_has_not_moved():
    refused = forecast(points([0], [500]), [30])
    assert (refused.lesion_id, refused.moved) == ("L1", False)
    assert forecast([], [30]).lesion_id == ""


@pytest.mark.parametrize(
    ("volumes", "events"),
    [
        # A half of the first is no response yet, and 0.3 of it is one: the threshold is 0.343.
        ([1000, 900, 700, 500], {"progression", "partial response"}),
        ([1000, 900, 700, 300], {"progression"}),
        # The threshold of 180 mm3 is 61.7 mm3, below the floor of 65.4, wherever the last volume lies.
        ([180, 150, 130, 120], {"progression"}),
        ([1000, 1000, 1000, 1700], {"progression", "partial response"}),
        ([1000, 1000, 1000, 1760], {"partial response"}),
    ],
)
def test_a_chance_is_of_what_has_not_come_yet_and_can_be_measured(volumes: list[float], events: set[str]):
    assert set(forecast(points([0, 42, 84, 126], volumes), [84]).probabilities) == events


def test_the_notes_say_what_the_forecast_is_where_it_ends_and_what_was_floored():
    def said(volumes: list[float], *horizon: float) -> list[str]:
        notes = forecast(points([42.0 * n for n in range(len(volumes))], volumes), horizon).notes
        assert UNAWARE in notes
        words = ("what other lesions did tells more", "the last value here", "It ends after", "count as 5 mm diameter")
        return [word for word in words if any(word in note for note in notes)]

    assert said([1000] * 4, 28) == ["the last value here"]
    assert said([1000, 900, 800, 0], 28, 900) == ["the last value here", "It ends after", "count as 5 mm diameter"]
    assert said([8000, 5000, 3500], 28, 168) == ["what other lesions did tells more"]


def test_what_is_learned_is_the_population_that_is_given():
    assert forecast(points([0], [500]), [30], replace(default_population(), source="here")).learned_from == "here"
