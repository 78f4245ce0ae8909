"""Probabilities of response: thresholds of nadir and baseline, and how they are calibrated."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import norm

from core.growth import response_probability
from core.growth.population import LEVELS
from core.growth.series import Lesion, backtest_cases


def test_thresholds_are_of_nadir_and_baseline():
    logs = np.log([1000.0, 400.0, 500.0])
    assert response_probability.threshold_change("progression", logs) == pytest.approx(math.log(1.728 * 400 / 500))
    assert response_probability.threshold_change("partial response", logs) == pytest.approx(
        math.log(0.343 * 1000 / 500)
    )


def test_chances_are_calibrated_up_to_3_percent_of_error_over_lesions_that_are_not_across_yet():
    """100 lesions that never changed and may have come to 1.8 of it: 10 % was said, and so many came."""
    days = np.array([0.0, 40.0, 80.0, 120.0])
    # ln(1.728) = 0.547 lies at the level of 0.9, and ln(0.343) far below all limits.
    said = np.log(1.728) * norm.ppf(LEVELS) / norm.ppf(0.9)
    for came, error, calibrated in ((10, 0.0, True), (13, 0.03, True), (14, 0.04, False), (6, 0.04, False)):
        lesions = [Lesion(f"p{n}-1", days, np.array([1e3, 1e3, 1e3, 1800.0 if n < came else 1e3])) for n in range(100)]
        # Ten more were across at their third scan.
        lesions += [Lesion(f"q{n}-1", days, np.array([1e3, 1e3, 1800.0, 1800.0])) for n in range(10)]
        o = backtest_cases(lesions)
        quantiles = np.tile(said, (len(o.target), 1))
        found = response_probability.reliability(lesions, o, quantiles)["progression"]
        assert found["forecasts"] == 100
        assert found["mean_error"] == pytest.approx(error, abs=1e-4)
        assert found["calibrated"] is calibrated
        (bin_,) = found["bins"]
        assert (bin_["said"], bin_["came"]) == (pytest.approx(0.1, abs=1e-4), came / 100)
        assert found["brier"] == pytest.approx(came / 100 * 0.81 + (1 - came / 100) * 0.01, abs=1e-3)
        assert found["brier_of_the_base_rate"] == pytest.approx(came / 100 * (1 - came / 100), abs=1e-4)


def test_the_interval_of_how_often_an_event_came_is_clopper_and_pearsons():
    # 0 of 10: from 0 to 1 - 0.025^(1/10) = 0.3085; 10 of 10: from 0.6915 to 1. 2 of 10: 0.0252 to 0.5561, from tables.
    said = np.full(10, 0.1)
    for came, low, high in ((0, 0.0, 0.3085), (2, 0.0252, 0.5561), (10, 0.6915, 1.0)):
        found = response_probability._reliability_bin(said, np.arange(10) < came, 0.1, 0.2)
        assert (found["forecasts"], found["came"]) == (10, came / 10)
        assert (found["low95"], found["high95"]) == (low, high)
    assert response_probability._reliability_bin(np.array([1.0]), np.array([True]), 0.9, 1.0)["forecasts"] == 1
    assert response_probability._reliability_bin(said, said > 0, 0.05, 0.1)["forecasts"] == 0, "0.1 is in the next bin"


def test_an_event_of_which_no_forecast_was_made_is_not_calibrated():
    days = np.array([0.0, 40.0, 80.0, 120.0])
    lesions = [Lesion("p-1", days, np.array([1e3, 1e3, 1800.0, 1800.0]))]
    o = backtest_cases(lesions)
    found = response_probability.reliability(lesions, o, np.zeros((len(o.target), 7)))
    assert found["progression"] == {"bins": [], "forecasts": 0, "mean_error": 0.0, "calibrated": False}
