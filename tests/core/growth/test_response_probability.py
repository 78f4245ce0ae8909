"""Probabilities of response: thresholds of nadir and baseline, and how they are calibrated."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import norm

from core.growth import response_probability
from core.growth.population import LEVELS
from core.growth.series import BacktestCases, Lesion, backtest_cases


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
    assert found["partial response"]["forecasts"] == 1, "the other event is asked all the same"


def of_three_scans(histories: list[list[float]]) -> tuple[list[Lesion], BacktestCases]:
    """Lesions of four scans: one forecast each, of the fourth from three."""
    days = np.array([0.0, 40.0, 80.0, 120.0])
    lesions = [Lesion(f"p{n}-1", days, np.array(volumes, dtype=float)) for n, volumes in enumerate(histories)]
    return lesions, backtest_cases(lesions)


def said(event: str, lesions: list[Lesion], chances: list[float]) -> NDArray[np.float64]:
    """Forecasts of a log-SD of 1 that give each lesion this chance of the event."""
    up = response_probability.EVENTS[event][2]
    rows = []
    for lesion, chance in zip(lesions, chances, strict=True):
        needed = response_probability.threshold_change(event, np.log(lesion.volumes_mm3[:3]))
        rows.append(needed - norm.ppf(1 - chance if up else chance) + norm.ppf(LEVELS))
    return np.array(rows)


@pytest.mark.parametrize("event", ["progression", "partial response"])
def test_a_chance_is_that_of_lying_beyond_the_threshold_on_the_events_side(event):
    chances = [0.03, 0.2, 0.6, 0.97]
    lesions, _ = of_three_scans([[1000, 900, 950, 1000]] * 4)
    quantiles = said(event, lesions, chances)
    needed = response_probability.threshold_change(event, np.log([1000.0, 900, 950]))
    assert response_probability.probability(event, quantiles, np.full(4, needed)) == pytest.approx(chances)


@pytest.mark.parametrize("event", ["progression", "partial response"])
def test_chances_are_counted_in_bins_of_a_twentieth_and_of_tenths_up_to_one(event):
    middles = [0.02, 0.07, 0.15, 0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.85, 0.97]
    chances = [middle + by for middle in middles for by in (-0.01, 0.02)]
    lesions, o = of_three_scans([[1000, 900, 950, 1000]] * len(chances))
    found = response_probability.reliability(lesions, o, said(event, lesions, chances))[event]
    edges = [0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    assert [(b["from"], b["to"]) for b in found["bins"]] == list(pairwise(edges))
    assert [b["forecasts"] for b in found["bins"]] == [2] * 11
    assert [b["said"] for b in found["bins"]] == pytest.approx([middle + 0.005 for middle in middles], abs=1e-4)
    # None came, so each bin is off by what it said, and so is every chance.
    assert found["mean_error"] == round(sum(chances) / len(chances), 4)
    assert found["brier"] == round(sum(chance**2 for chance in chances) / len(chances), 4)
    assert (found["brier_of_the_base_rate"], found["calibrated"]) == (0, False)


def test_a_response_is_counted_where_it_had_not_come_yet_and_as_come_below_a_third():
    # The threshold is 0.343 of the first: of 1000 mm3 343. The third lesion is across at its third scan.
    lesions, o = of_three_scans(
        [[1000, 700, 500, 340], [1000, 700, 350, 350], [1000, 700, 300, 200], [1000, 2000, 2000, 100]]
    )
    found = response_probability.reliability(lesions, o, said("partial response", lesions, [0.95] * 4))
    (bin_,) = found["partial response"]["bins"]
    assert (bin_["forecasts"], bin_["came"], bin_["said"]) == (3, round(2 / 3, 4), 0.95)
    assert found["partial response"]["forecasts"] == 3
    assert found["partial response"]["brier"] == round((2 * 0.05**2 + 0.95**2) / 3, 4)
    assert found["partial response"]["brier_of_the_base_rate"] == round(2 / 9, 4)
    # The last lesion has progressed already: it is twice its nadir.
    assert found["progression"]["forecasts"] == 3


def test_the_share_that_came_has_the_limits_of_its_own_bin():
    found = response_probability._reliability_bin(np.array([0.1, 0.15, 0.3]), np.array([True, False, True]), 0.1, 0.2)
    # 1 of 2: Clopper and Pearson's limits are 1 - sqrt(0.975) and sqrt(0.975).
    assert found == {
        "from": 0.1,
        "to": 0.2,
        "forecasts": 2,
        "said": 0.125,
        "came": 0.5,
        "low95": round(1 - math.sqrt(0.975), 4),
        "high95": round(math.sqrt(0.975), 4),
    }
    nothing = response_probability._reliability_bin(np.array([0.5]), np.array([True]), 0.1, 0.2)
    assert (nothing["forecasts"], nothing["said"], nothing["came"]) == (0, None, None)
    assert (nothing["low95"], nothing["high95"]) == (0, 1)
