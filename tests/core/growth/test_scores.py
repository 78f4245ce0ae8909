"""Scores of forecasts and their calibration, by hand and by brute force."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import norm

from core.growth import scores
from core.growth.population import LEVELS


def test_scores_by_hand():
    assert scores.interval_score(np.array([0.0, 0, 0]), np.array([1.0, 1, 1]), np.array([0.5, 1.5, -0.1]), 0.8) == (
        pytest.approx([1.0, 1 + 10 * 0.5, 1 + 10 * 0.1])
    )
    # A forecast that is sure and right scores 0; one that is sure and wrong by 2 scores 2.
    sure = np.zeros((1, 7))
    assert scores.crps(sure, np.array([0.0]))[0] == 0
    assert scores.crps(sure, np.array([2.0]))[0] == pytest.approx(2.0)
    ours, locf = np.array([1.0, 0.0, 2.0]), np.array([1.0, 1.0, 2.0])
    value, low, high = scores.skill(ours, locf, np.array([0, 1, 2]))
    assert value == pytest.approx(0.25)
    assert low <= value <= high
    figures = scores.score(
        np.array([[-1.0, -0.5, -0.2, 0.0, 0.2, 0.5, 1.0], [np.nan] * 7]), np.array([0.3, 0.0]), np.array([0, 1])
    )
    assert (figures["n"], figures["not_made"]) == (1, 1)
    assert (figures["coverage_50"], figures["coverage_80"], figures["coverage_95"]) == (0, 1, 1)
    assert figures["mean_abs_log_error"] == pytest.approx(0.3)
    assert figures["median_ape_percent"] == pytest.approx(100 * (1 - math.exp(-0.3)))


def test_the_crps_of_seven_quantiles_is_near_that_of_the_normal():
    random = np.random.default_rng(2)
    y = random.standard_normal(4000)
    exact = y * (2 * norm.cdf(y) - 1) + 2 * norm.pdf(y) - 1 / math.sqrt(math.pi)
    got = scores.crps(np.tile(norm.ppf(LEVELS), (4000, 1)), y)
    assert got == pytest.approx(exact, abs=0.01)


QUANTILES = np.array([-7.0, -4.0, -1.0, 0.0, 2.0, 5.0, 9.0])


@pytest.mark.parametrize(
    ("outcome", "inside"),
    [
        (0.0, (1, 1, 1)),
        *[(edge, (1, 1, 1)) for edge in (-1.0, 2.0)],
        *[(edge, (0, 1, 1)) for edge in (-1.1, 2.1, -4.0, 5.0)],
        *[(edge, (0, 0, 1)) for edge in (-4.1, 5.1, -7.0, 9.0)],
        *[(edge, (0, 0, 0)) for edge in (-7.1, 9.1)],
    ],
)
def test_each_band_covers_what_lies_between_its_limits_or_on_them(outcome, inside):
    figures = scores.score(QUANTILES[None], np.array([outcome]), np.array([0]))
    assert tuple(figures[f"coverage_{band}"] for band in (50, 80, 95)) == inside
    assert tuple(figures[f"width_{band}"] for band in (50, 80, 95)) == (3, 9, 16)


def test_every_figure_of_two_forecasts_by_hand():
    """Medians are off by 1 and by -3; of the last value 1 and 7. Both lie within the 80 % band, 9 wide."""
    figures = scores.score(np.array([QUANTILES, QUANTILES + 4]), np.array([-1.0, 7.0]), np.array([3, 3]))
    assert (figures["n"], figures["lesions"], figures["not_made"]) == (2, 1, 0)
    assert figures["mean_abs_log_error"] == pytest.approx(2.0)
    assert figures["median_ape_percent"] == pytest.approx(50 * ((math.e - 1) + (1 - math.exp(-3))))
    assert figures["interval_score_80"] == pytest.approx(9.0)
    assert figures["crps"] == pytest.approx(scores.crps(np.array([QUANTILES, QUANTILES - 3]), np.array([-1, 0])).mean())
    one_patient = 1 - 4 / 8
    assert (figures["skill_vs_locf"], figures["skill_low"], figures["skill_high"]) == (one_patient,) * 3


def test_an_outcome_beyond_the_80_percent_band_counts_ten_times_the_distance():
    assert scores.score(QUANTILES[None], np.array([7.0]), np.array([0]))["interval_score_80"] == pytest.approx(
        9 + 10 * 2
    )


def test_a_forecast_beyond_all_numbers_has_a_finite_error():
    figures = scores.score(QUANTILES[None] + 800, np.array([0.0]), np.array([0]))
    assert figures["median_ape_percent"] == pytest.approx(100 * math.expm1(700))


def test_where_nothing_is_forecast_every_figure_is_none():
    figures = scores.score(np.full((2, 7), np.nan), np.zeros(2), np.array([0, 1]))
    assert figures == {"n": 0, "lesions": 0, "not_made": 2, **dict.fromkeys(scores.FIGURES)}


def test_without_an_error_of_the_last_value_there_is_no_skill():
    assert np.isnan(scores.skill(np.array([0.5]), np.array([0.0]), np.array([0]))).all()
    figures = scores.score(QUANTILES[None], np.array([0.0]), np.array([0]))
    assert [figures[name] for name in ("skill_vs_locf", "skill_low", "skill_high")] == [None] * 3
    assert figures["crps"] is not None


def test_the_interval_of_a_skill_goes_over_patients():
    """Of two patients, one without an error of the last value, resamples give 0.5, 0.25 or, without the first, none."""
    ours, locf = np.array([1.0, 1.0, 1.0]), np.array([2.0, 2.0, 0.0])
    value, low, high = scores.skill(ours, locf, np.array([0, 0, 1]))
    assert value == pytest.approx(0.25)
    assert (low, high) == pytest.approx((0.25, 0.5))  # both once; the first twice
    many = scores.skill(np.full(400, 1.0), np.tile([1.0, 3.0], 200), np.arange(400))
    assert many[0] == pytest.approx(0.5)
    # A ratio of means: 1 / 2 of a mean whose standard deviation is 1 / sqrt(400): 0.5 / 2 * 1.96 / 20 each side.
    assert (many[1], many[2]) == pytest.approx((0.5 - 0.0245, 0.5 + 0.0245), abs=0.003)


def test_the_interval_of_a_skill_is_that_of_a_thousand_seeded_resamples():
    ours, locf = np.random.default_rng(5).random((2, 30))
    drawn = np.random.default_rng(0).integers(0, 30, (1000, 30))
    low, high = np.quantile(1 - ours[drawn].sum(axis=1) / locf[drawn].sum(axis=1), (0.025, 0.975))
    assert scores.skill(ours, locf, np.arange(30)) == pytest.approx((1 - ours.sum() / locf.sum(), low, high), rel=1e-12)


def test_the_crps_is_of_a_hundred_levels_on_lines_over_normal_scores_between_and_beyond_the_seven():
    levels = np.linspace(0.005, 0.995, 100)
    at, wanted = norm.ppf(LEVELS), norm.ppf(levels)
    line = np.interp(wanted, at, QUANTILES)
    below, above = wanted < at[0], wanted > at[-1]
    line[below] = -7 + (wanted[below] - at[0]) * 3 / (at[1] - at[0])
    line[above] = 9 + (wanted[above] - at[-1]) * 4 / (at[-1] - at[-2])
    assert below.any()
    assert above.any()
    for outcome in (-9.0, -0.5, 3.0, 12.0):
        loss = [
            level * (outcome - q) if outcome > q else (1 - level) * (q - outcome)
            for level, q in zip(levels, line, strict=True)
        ]
        assert scores.crps(QUANTILES[None], np.array([outcome]))[0] == pytest.approx(2 * np.mean(loss))
