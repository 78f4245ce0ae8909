"""Growth rates with their intervals, and whether a change is more than measuring twice would give."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InputError
from core.growth.curves import FLOOR_MM3
from core.growth.rates import change_verdict, noise_log_sd, specific_growth_rate


def test_growth_rate_and_doubling_time_computed_by_hand():
    # 1000 -> 2000 mm3 in 100 days: SGR 0.693 %/day, doubling 100 days; half width 1.96·√2·0.05/100 = 0.1386 %/day.
    rate = specific_growth_rate(1000, 2000, 100, 0.05, 0.05)
    assert rate.sgr_percent_per_day == pytest.approx(0.6931, abs=1e-4)
    assert rate.doubling_days == pytest.approx(100)
    assert (rate.low95, rate.high95) == pytest.approx((0.5545, 0.8317), abs=1e-4)
    assert (rate.doubling_low_days, rate.doubling_high_days) == pytest.approx((83.34, 124.99), abs=0.02)
    assert "doubling in 100 days" in rate.text
    assert not rate.floored


def test_a_shrinking_lesion_halves():
    rate = specific_growth_rate(8000, 1000, 90, 0.1, 0.1)
    assert rate.doubling_days == pytest.approx(-30)
    assert "halving in 30 days" in rate.text


def test_the_noise_of_both_measurements_widens_the_interval():
    # √(0.3² + 0.4²) = 0.5, times 1.959964/100 days.
    rate = specific_growth_rate(1000, 8000, 100, 0.3, 0.4)
    assert rate.high95 - rate.sgr_percent_per_day == pytest.approx(0.979982)
    assert rate.sgr_percent_per_day - rate.low95 == pytest.approx(0.979982)
    # Without a noise given it is the readers': 1.959964·√2·0.18/100 days.
    assert specific_growth_rate(1000, 8000, 100).high95 == pytest.approx(100 * math.log(8) / 100 + 0.498925, abs=1e-6)


def test_a_rate_in_words_has_its_interval_and_its_times_in_ascending_order():
    # SGR ±0.6931 %/day, ±0.1386: 0.5545 to 0.8317; times ln 2 of these: 83.3 to 125.0 days.
    assert specific_growth_rate(1000, 2000, 100, 0.05, 0.05).text == (
        "+0.69 % per day (+0.55 to +0.83), doubling in 100 days (83–125)"
    )
    halving = specific_growth_rate(2000, 1000, 100, 0.05, 0.05)
    assert halving.text == "-0.69 % per day (-0.83 to -0.55), halving in 100 days (83–125)"
    assert (halving.doubling_low_days, halving.doubling_high_days) == pytest.approx((-124.99, -83.34), abs=0.02)


def test_no_doubling_time_when_the_interval_spans_0():
    rate = specific_growth_rate(1000, 1100, 60)
    assert rate.text == "not distinguishable from no growth"
    assert rate.doubling_days is None
    assert rate.low95 < 0 < rate.high95


def test_an_interval_that_ends_at_0_spans_it():
    ends_at_0 = []
    for sd in np.linspace(0.05, 0.5, 200):  # of some the logarithm is the half width to the last bit
        growing = 1000 * math.exp(1.959964 * math.hypot(sd, sd))
        for v1, v2 in ((1000, growing), (growing, 1000)):
            rate = specific_growth_rate(v1, v2, 100, sd, sd)
            if 0.0 in (rate.low95, rate.high95):
                ends_at_0.append(v1 < v2)
                assert (rate.doubling_days, rate.text) == (None, "not distinguishable from no growth")
    assert set(ends_at_0) == {True, False}


def test_an_absent_lesion_counts_as_5_mm_and_says_so():
    rate = specific_growth_rate(0, FLOOR_MM3 * math.e, 100)
    assert rate.sgr_percent_per_day == pytest.approx(1.0)
    assert rate.floored
    assert specific_growth_rate(0, 0, 10).sgr_percent_per_day == 0
    assert specific_growth_rate(FLOOR_MM3 * math.e, 1, 100).sgr_percent_per_day == pytest.approx(-1.0)
    assert specific_growth_rate(FLOOR_MM3 * math.e, 1, 100).floored
    assert not specific_growth_rate(FLOOR_MM3, FLOOR_MM3, 100).floored


def test_rates_refuse_no_time_and_no_volume():
    with pytest.raises(InputError, match="later second timepoint"):
        specific_growth_rate(1, 2, 0)
    with pytest.raises(InputError, match="at least 0 mm3"):
        specific_growth_rate(-1, 2, 10)
    for days in (math.nan, math.inf, -10):
        with pytest.raises(InputError, match="later second timepoint"):
            specific_growth_rate(1000, 2000, days)
    for v1, v2 in ((1, -2), (math.nan, 1), (1, math.inf)):
        with pytest.raises(InputError, match="at least 0 mm3"):
            specific_growth_rate(v1, v2, 10)
    for sd1, sd2 in ((0, 0.1), (0.1, 0), (-0.1, 0.1), (0.1, -0.1)):
        with pytest.raises(InputError, match="noise above 0"):
            specific_growth_rate(1000, 2000, 10, sd1, sd2)
    assert specific_growth_rate(1000, 2000, 0.5, 0.5, 0.5).sgr_percent_per_day == pytest.approx(138.63, abs=0.01)
    assert specific_growth_rate(0, 0.5, 10).floored


@given(st.floats(100, 1e5), st.floats(100, 1e5), st.floats(1, 1000), st.floats(1.0, 1000))
def test_growth_rate_ignores_the_unit_and_changes_sign_backwards(v1, v2, days, factor):
    rate = specific_growth_rate(v1, v2, days).sgr_percent_per_day
    assert specific_growth_rate(v1 * factor, v2 * factor, days).sgr_percent_per_day == pytest.approx(rate, abs=1e-9)
    assert specific_growth_rate(v2, v1, days).sgr_percent_per_day == pytest.approx(-rate)


@pytest.mark.parametrize(
    ("diameter", "percent", "verdict", "threshold"),
    [
        (20, 38, "within noise", 39),
        (20, 40, "real", 39),
        (20, -40, "real", 39),
        (34.9, 30, "within noise", 39),
        (35, 30, "real", 29),
        (49.9, 28, "within noise", 29),
        (50, 25, "real", 24),
        (100, 23, "within noise", 24),
        (10, 38, "within noise", 39),
        (10, 40, "real", 39),
        (100, 25, "real", 24),
        (60, 24, "within noise", 24),
    ],
)
def test_ct_changes_are_judged_by_the_band_of_their_diameter(diameter, percent, verdict, threshold):
    answer = change_verdict(1000, 1000 * (1 + percent / 100), diameter, True, "CT")
    assert (answer.verdict, answer.threshold_percent) == (verdict, threshold)
    assert answer.percent_change == pytest.approx(percent)
    assert "assumed" in answer.rule


@pytest.mark.parametrize(
    ("diameter", "up", "down"),
    # 1.959964·√2·√(wCV² + 0.18²) of the bands' 0.141, 0.103 and 0.085; exp of it, less 1.
    [(20, 88.47, 46.94), (40, 77.68, 43.72), (60, 73.63, 42.41)],
)
def test_different_segmenters_widen_the_band_and_warn(diameter, up, down):
    for percent, threshold in ((up + 0.1, up), (up - 0.1, up), (-down - 0.1, down), (-down + 0.1, down)):
        answer = change_verdict(1000, 1000 + 10 * percent, diameter, False, "CT")
        assert answer.threshold_percent == pytest.approx(threshold, abs=0.01)
        assert answer.verdict == ("real" if abs(percent) > threshold else "within noise")
        assert "different segmenters" in answer.note
        assert "widened for different segmenters (assumed)" in answer.rule
    assert change_verdict(1000, 1000, diameter, False, "CT").threshold_percent == pytest.approx(up, abs=0.01)
    assert change_verdict(1000, 999.5, diameter, False, "CT").threshold_percent == pytest.approx(down, abs=0.01)
    same = change_verdict(1000, 1000, diameter, True, "CT")
    assert (same.note, "widened" in same.rule) == ("", False)


@pytest.mark.parametrize(
    ("v1", "diameter", "modality", "rule", "note", "percent"),
    [
        (100, 9.9, "CT", "no rule below 10 mm", "diameter below 10 mm", 4900),
        (4000, 101, "CT", "no rule above 100 mm", "diameter above 100 mm", 25),
        (1000, 20, "MR", "no rule for MR", "on MR", 400),
        (1000, 20, "PET", "no rule for PET", "on PET", 400),
        (0, 20, "CT", "no rule for a new lesion", "new lesion", None),
    ],
)
@pytest.mark.parametrize("same_method", [True, False])
def test_without_a_citable_rule_the_answer_is_unknown(v1, diameter, modality, rule, note, percent, same_method):
    answer = change_verdict(v1, 5000, diameter, same_method, modality)
    assert (answer.verdict, answer.rule, answer.threshold_percent) == ("unknown", rule, None)
    assert answer.percent_change == (None if percent is None else pytest.approx(percent))
    assert note in answer.note
    assert ("different segmenters" in answer.note) is not same_method


def test_a_change_is_judged_of_volumes_and_modalities_alone():
    with pytest.raises(InputError, match="CT, PET or MR, got 'US'"):
        change_verdict(1000, 2000, 20, True, "US")
    with pytest.raises(InputError, match="at least 0 mm3"):
        change_verdict(1000, -1, 20, True, "CT")


def test_a_vanished_lesion_is_a_real_change_and_an_absent_one_is_none():
    vanished = change_verdict(5000, 0, 20, True, "CT")
    assert (vanished.verdict, vanished.percent_change) == ("real", -100)
    for same_method in (True, False):
        absent = change_verdict(0, 0, 0, same_method, "CT")
        assert (absent.verdict, absent.rule, absent.percent_change) == (
            "within noise",
            "absent at both timepoints",
            None,
        )
        assert ("different segmenters" in absent.note) is not same_method
    assert change_verdict(0.5, 0, 20, True, "CT").percent_change == -100
    assert change_verdict(0.5, 1, 20, True, "CT").percent_change == pytest.approx(100)


def test_noise_is_taken_from_the_band_and_else_from_readers():
    for diameter, sd in (
        (10, 0.141),
        (34.9, 0.141),
        (35, 0.103),
        (49.9, 0.103),
        (50, 0.085),
        (60, 0.085),
        (100, 0.085),
    ):
        assert noise_log_sd(diameter, "CT") == (sd, "QIBA CT tumour volume (assumed)")
    for diameter, modality in ((9.9, "CT"), (100.1, "CT"), (60, "MR"), (60, "PET")):
        assert noise_log_sd(diameter, modality) == (0.18, "between readers, brain metastases (assumed)")
