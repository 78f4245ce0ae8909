"""Forecasts of one lesion and of all: beside the last value carried forward, checked on the patient, or refused."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from core.errors import InputError
from core.growth.burden import _as_gone, _scores, sum_lesion_forecasts, total_forecast
from core.growth.curves import FLOOR_MM3
from core.growth.forecast import clean_series, forecast, histories_until, longest_days
from core.growth.population import LEVELS, MEDIAN, combined_quantiles, default_population
from core.types import VolumePoint


def points(days, volumes, lesion="L1"):
    return [
        VolumePoint(f"day {d}", float(d), float(v), lesion, f"mask {d}", 1) for d, v in zip(days, volumes, strict=True)
    ]


@pytest.mark.parametrize(
    ("volumes", "count"), [([], "none"), ([500], "is 1"), ([500, 600], "are 2"), ([500, 0, 600, 0, math.nan], "are 2")]
)
def test_fewer_than_three_measurable_points_are_refused_with_the_reason(volumes, count):
    answer = forecast(points(range(0, 40 * len(volumes), 40), volumes), [30, 60])
    assert answer.refused is not None
    assert f"there {count}" in answer.refused or f"are {count}" in answer.refused
    assert "at least 3 accepted masks" in answer.refused
    assert answer.fan.days.size == answer.fan.median_mm3.size == answer.locf.median_mm3.size == 0


def test_three_scans_on_one_day_are_one_point():
    assert forecast(points([0, 0, 0], [500, 600, 700]), [30]).refused


def test_of_two_scans_on_one_day_the_one_given_last_counts():
    assert clean_series(points([0, 30, 30], [500, 600, 700])).volumes_mm3.tolist() == [500, 700]


def test_a_forecast_lies_beside_locf_and_its_bands_hold_each_other():
    answer = forecast(points([0, 60, 120, 180, 240], [1000, 1400, 1900, 2300, 2600]), [30, 90, 180])
    assert answer.refused is None
    assert answer.fan.days.tolist() == answer.locf.days.tolist() == [270, 330, 420]
    assert (np.diff(answer.fan.quantiles_mm3, axis=1) >= 0).all()
    low, high = answer.fan.limits_mm3(80)
    assert (np.diff(high / low) > 0).all()
    assert answer.locf.median_mm3.tolist() == [2600] * 3
    assert "10.1371/journal.pcbi.1009822" in answer.learned_from


def test_with_four_scans_the_last_value_is_the_forecast_and_with_three_it_moves_far_ahead():
    falling = [8000, 5000, 3500, 3000]
    four = forecast(points([0, 42, 84, 126], falling), [28, 140, 240])
    assert not four.moved
    assert four.fan.median_mm3.tolist() == pytest.approx([3000] * 3)
    three = forecast(points([0, 42, 84], falling[:3]), [28, 140, 168])
    assert three.moved
    assert three.fan.median_mm3[0] == pytest.approx(3500)
    assert abs(math.log(three.fan.median_mm3[1] / 3500)) > 0.02


def test_a_floored_lesion_stays_at_the_floor_and_cannot_shrink_further():
    answer = forecast(points([0, 40, 80, 120], [900, 500, 300, 0]), [60])
    low, high = answer.fan.limits_mm3(95)
    assert answer.fan.median_mm3[0] == low[0] == pytest.approx(FLOOR_MM3)
    assert high[0] > FLOOR_MM3


def test_the_check_is_what_would_have_been_said_from_what_was_known_then():
    series = points([0, 42, 84, 126, 168], [1000, 1200, 1500, 1400, 2600])
    answer = forecast(series, [42])
    assert [(c.origin_timepoint, c.target_timepoint, c.days) for c in answer.checks] == [
        ("day 84", "day 126", 42),
        ("day 126", "day 168", 42),
    ]
    then = forecast(series[:4], [42])
    assert answer.checks[1].median_mm3 == pytest.approx(then.fan.median_mm3[0])
    assert answer.checks[1].low80_mm3 == pytest.approx(then.fan.limits_mm3(80)[0][0])
    assert (answer.checks[1].last_mm3, answer.checks[1].observed_mm3) == (1400, 2600)
    # Both forecasts are the last value: ours and LOCF's errors are the same.
    assert answer.skill_vs_locf == pytest.approx(0.0)


def test_skill_is_unknown_with_too_few_visits_or_nothing_to_save():
    assert forecast(points([0, 30, 60, 90], [500, 600, 700, 800]), [30]).skill_vs_locf is None
    assert forecast(points([0, 30, 60, 90, 120], [500] * 5), [30]).skill_vs_locf is None


def test_points_of_two_lesions_and_impossible_horizons_are_errors():
    with pytest.raises(InputError, match="L1, L2"):
        forecast(points([0], [1]) + points([0], [1], "L2"), [30])
    with pytest.raises(InputError, match="at least 0 days"):
        forecast(points([0, 21, 42], [500] * 3), [-1])


def test_the_horizon_is_cut_at_twice_the_time_observed_and_that_is_said():
    series = points([0, 50, 100], [500, 600, 700])
    answer = forecast(series, [90, 200, 201, 900])
    assert answer.fan.days.tolist() == [190, 300]
    assert any("ends after 29 weeks: twice the 100 days observed" in note for note in answer.notes)
    long = clean_series(points(range(0, 4000, 100), [500] * 40))
    assert longest_days(long, default_population().everyone) == default_population().everyone.max_days


def test_chances_are_of_events_that_have_not_come_and_rise_with_nearness():
    near = forecast(points([0, 42, 84, 126], [1000, 1000, 1000, 1650]), [84]).probabilities
    far = forecast(points([0, 42, 84, 126], [1000, 1000, 1000, 1000]), [84]).probabilities
    assert 0 < far["progression"][0] < near["progression"][0] < 1
    across = forecast(points([0, 42, 84, 126], [1000, 1000, 1000, 1800]), [84]).probabilities
    assert set(across) == {"partial response"}


@pytest.mark.parametrize("event", ["progression", "partial response"])
def test_a_chance_that_is_not_calibrated_is_not_shown(event):
    known = default_population()
    uncalibrated = {**known.reliability, event: {**known.reliability[event], "calibrated": False}}
    series = points([0, 42, 84, 126], [1000, 1000, 1000, 1000])
    shown = forecast(series, [84], replace(known, reliability=uncalibrated)).probabilities
    assert set(shown) == {"progression", "partial response"} - {event}
    assert set(forecast(series, [84], known).probabilities) == {"progression", "partial response"}


def test_no_chance_is_given_of_a_response_to_below_the_floor():
    # A third of 190 mm3 is 65.2 mm3, below the 65.4 mm3 of the floor; of 200 mm3 it is 68.6 mm3.
    for volume, shown in ((190, set()), (200, {"partial response"})):
        chances = forecast(points([0, 42, 84, 126], [volume] * 4), [84]).probabilities
        assert set(chances) == {"progression"} | shown


def test_a_volume_at_the_floor_does_not_count_towards_the_three():
    assert forecast(points([0, 42, 84, 126], [500, 600, FLOOR_MM3, FLOOR_MM3]), [28]).refused
    assert forecast(points([0, 42, 84, 126], [500, 600, FLOOR_MM3 + 1, FLOOR_MM3]), [28]).refused is None


def test_a_noisier_last_mask_counts_for_less():
    series = points([0, 42, 84], [4000, 2000, 1000])
    exact = forecast(series, [168]).fan.median_mm3[0]
    blurred = forecast(series, [168], noise_log_sd={"mask 84": 0.6}).fan.median_mm3[0]
    assert blurred > exact


@settings(max_examples=15)
@given(
    volumes=st.lists(st.floats(200, 50000), min_size=4, max_size=9),
    shift=st.integers(-300, 300),
)
def test_forecasts_follow_the_origin_of_time_and_hold_the_last_value(volumes, shift):
    days = np.arange(len(volumes)) * 50
    one, two = (forecast(points(days + by, volumes), [40, 160]) for by in (0, shift))
    assert two.fan.quantiles_mm3 == pytest.approx(one.fan.quantiles_mm3)
    assert two.fan.days == pytest.approx(one.fan.days + shift)
    assert one.fan.quantiles_mm3[:, MEDIAN] == pytest.approx([volumes[-1]] * 2)


@settings(max_examples=15)
@given(st.permutations([(0, 800.0), (40, 900.0), (90, 1500.0), (130, 1400.0)]))
def test_the_order_of_the_points_does_not_matter(shuffled):
    ordered = forecast(points(*zip(*sorted(shuffled), strict=True)), [60])
    assert forecast(points(*zip(*shuffled, strict=True)), [60]).fan.quantiles_mm3 == pytest.approx(
        ordered.fan.quantiles_mm3
    )


def test_forty_timepoints_are_forecast_like_three():
    random = np.random.default_rng(3)
    answer = forecast(points(range(0, 1680, 42), 2000 * np.exp(random.normal(0, 0.2, 40))), [28, 84])
    assert len(answer.checks) == 37
    assert np.isfinite(answer.fan.quantiles_mm3).all()


def test_the_total_of_one_lesion_is_that_lesions_forecast():
    series = points([0, 42, 84, 126], [1000, 1200, 1500, 1400])
    total = points([0, 42, 84, 126], [1000, 1200, 1500, 1400], "total")
    ours = total_forecast({"L1": series}, total, [28, 84])
    assert ours.lesion_id == "total"
    assert ours.fan.quantiles_mm3 == pytest.approx(forecast(series, [28, 84]).fan.quantiles_mm3)


def test_a_sum_of_two_lesions_shrinks_less_than_both_could_and_is_wider_than_one():
    learned = default_population().everyone
    known = clean_series(points([0, 42, 84, 126], [1000] * 4))
    one = combined_quantiles(learned, histories_until(known, 3), np.array([[84.0]]))[0]
    alone = 1000 * np.exp(one[0])
    both = sum_lesion_forecasts([one, one], [1000.0, 1000.0], [False, False])[0]
    # What can double can only halve: the median of the sum lies a little above the sum of the medians.
    assert 2000 < both[MEDIAN] < 2250
    low, high = LEVELS.index(0.1), LEVELS.index(0.9)
    assert 2 * alone[low] < both[low] < both[MEDIAN] < both[high]
    assert both[high] - both[low] > alone[high] - alone[low]
    assert sum_lesion_forecasts([one], [1000.0], [False])[0] == pytest.approx(alone, rel=0.12)


def test_the_scores_of_lesions_of_one_patient_are_correlated_by_a_half():
    drawn = _scores(3)
    assert drawn.std(axis=0) == pytest.approx([1, 1, 1], abs=0.04)  # 1/sqrt(2 * 4000) = 0.011 is one standard error
    assert np.asarray(np.corrcoef(drawn.T))[np.triu_indices(3, 1)] == pytest.approx([0.5] * 3, abs=0.04)


def test_a_total_of_two_lesions_spreads_as_their_correlation_says():
    # Each is 1000 mm3 with a log-SD of 0.01, that is 10 mm3: together sqrt(10² + 10² + 2·0.5·10·10) = 17.3 mm3.
    table = 0.01 * norm.ppf(LEVELS)[None, :]
    both = sum_lesion_forecasts([table, table], [1000.0, 1000.0], [False, False])[0]
    assert both == pytest.approx(2000 + math.sqrt(300) * norm.ppf(LEVELS), abs=2)  # 14.1 and 20 mm3 differ by 5


def test_the_middle_of_a_total_is_the_sum_of_the_middles_and_not_of_the_draws():
    days = [0, 42, 84, 126]
    lesions = {name: points(days, [1000] * 4, name) for name in ("L1", "L2", "L3")}
    answer = total_forecast(lesions, points(days, [3000] * 4, "total"), [28, 168])
    assert answer.fan.median_mm3.tolist() == answer.locf.median_mm3.tolist() == pytest.approx([3000, 3000])


def test_a_lesion_that_is_gone_counts_nothing_in_the_middle_of_a_total():
    days = [0, 42, 84, 126]
    lesions = {"L1": points(days, [1000] * 4), "L2": points(days, [900, 500, 300, 0], "L2")}
    answer = total_forecast(lesions, points(days, [1900, 1500, 1300, 1000], "total"), [28])
    assert answer.fan.median_mm3.tolist() == pytest.approx([1000])


def test_an_absent_lesion_adds_nothing_until_it_comes_back():
    learned = default_population().everyone
    gone = clean_series(points([0, 42, 84, 126], [900, 300, 100, 0]))
    table = combined_quantiles(learned, histories_until(gone, 3), np.array([[84.0]]))[0]
    there, absent = (sum_lesion_forecasts([_as_gone(table, out)], [FLOOR_MM3], [out])[0] for out in (False, True))
    # Half of the 4,000 draws of what may be measured above the floor are above it, and their median is not quite it.
    assert there[MEDIAN] == pytest.approx(FLOOR_MM3, rel=0.01)
    assert absent[MEDIAN] == 0.0
    assert absent[-1] == pytest.approx(there[-1])


def test_a_new_lesion_enters_the_total_as_last_measured_and_is_named():
    days = [0, 42, 84, 126]
    lesions = {"L1": points(days, [1000, 1200, 1500, 1400]), "L2": points(days[3:], [300], "L2")}
    total = points(days, [1000, 1200, 1500, 1700], "total")
    answer = total_forecast(lesions, total, [28, 84])
    assert answer.locf.median_mm3.tolist() == [1700, 1700]
    assert any(note.startswith("L2: too few points") for note in answer.notes)
    assert any("assuming that lesions" in note for note in answer.notes)
    assert answer.probabilities == {}
    assert answer.checks[0].last_mm3 == 1500


def test_a_lesion_that_was_rejected_at_the_last_timepoint_is_in_neither_total_nor_forecast():
    days = [0, 42, 84, 126]
    lesions = {"L1": points(days, [1000, 1200, 1500, 1400]), "L2": points(days[:3], [300, 300, 300], "L2")}
    total = points(days, [1300, 1500, 1800, 1400], "total")
    answer = total_forecast(lesions, total, [28, 84])
    alone = forecast(lesions["L1"], [28, 84])
    assert answer.locf.median_mm3.tolist() == [1400, 1400]
    assert answer.fan.median_mm3 == pytest.approx(alone.fan.median_mm3, rel=0.05)
    assert any(note.startswith("L2: not in the last total") for note in answer.notes)
    # At the visit before it was there, and was forecast with the other.
    assert answer.checks[0].last_mm3 == 1800
    assert answer.checks[0].median_mm3 == pytest.approx(1800, rel=0.1)


def test_the_total_of_lesions_that_are_all_gone_stays_at_0_and_is_judged_at_the_floor():
    days = [0, 42, 84, 126, 168, 210]
    lesions = {"L1": points(days, [1000, 800, 500, 0, 0, 0]), "L2": points(days, [900, 500, 300, 0, 0, 0], "L2")}
    answer = total_forecast(lesions, points(days, [1900, 1300, 800, 0, 0, 0], "total"), [28, 84])
    assert answer.fan.median_mm3.tolist() == answer.locf.median_mm3.tolist() == [0, 0]
    assert answer.checks[-1].median_mm3 == 0
    assert answer.checks[-1].observed_mm3 == pytest.approx(FLOOR_MM3)
    assert answer.skill_vs_locf == pytest.approx(0.0, abs=0.01)


def test_the_total_moves_from_the_last_value_only_as_far_as_its_lesions_do():
    days = [0, 42, 84, 126]
    lesions = {"L1": points(days, [1000, 1200, 1500, 1400]), "L2": points(days, [300, 300, 300, 200], "L2")}
    total = points(days, [1300, 1500, 1800, 1600], "total")
    still = total_forecast(lesions, total, [28, 84])
    assert not still.moved
    assert still.fan.median_mm3 == pytest.approx([1600, 1600])
    early = {name: series[:3] for name, series in lesions.items()}
    third = total_forecast(early, total[:3], [28, 168])
    assert third.moved
    alone = sum(forecast(series, [28, 168]).fan.median_mm3 for series in early.values())
    assert third.fan.median_mm3 == pytest.approx(alone)
    assert third.fan.median_mm3[0] == pytest.approx(1800)
    assert third.fan.median_mm3[1] != pytest.approx(1800, rel=0.01)
