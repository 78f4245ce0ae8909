"""Calibration at long horizons and at the floor, on what was made up so that the answer is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from core.growth import population as module
from core.growth.calibrate import came_back, fit_conformal_bands, floor_limits, learn_widening
from core.growth.curves import FLOOR_MM3
from core.growth.population import LEVELS, MEDIAN, default_population, noise_at_floor
from core.growth.series import Lesion, backtest_cases, lesion_histories, padded_history


def test_calibration_makes_a_band_cover_patients_it_was_not_learned_from():
    random = np.random.default_rng(1)
    x = np.stack([np.ones(900), random.uniform(0, 2, 900)], axis=1)
    y = (0.2 + x[:, 1]) * random.standard_normal(900)
    bands = fit_conformal_bands(x[:600], y[:600], np.arange(600) % 5)
    limits = x[600:] @ np.array(bands.coefficients).T + np.array(bands.shift)
    inside = (y[600:] >= limits[:, 1]) & (y[600:] <= limits[:, 5])
    assert 0.73 <= inside.mean() <= 0.87  # 80 % of 300 fresh ones, three standard errors
    # The limit is a multiple of the spread, so it is wider where that is.
    assert limits[x[600:, 1] > 1.5, 5].mean() > 2 * limits[x[600:, 1] < 0.3, 5].mean()
    held = (y[:600, None] < bands.unseen).mean(axis=0)
    assert np.delete(held, MEDIAN) == pytest.approx(np.delete(LEVELS, MEDIAN), abs=0.003)


def test_limits_are_stretched_until_they_hold_for_their_share_of_the_patients_at_long_horizons_only():
    """What came is twice as wide as the limits said beyond 32 weeks; one patient with many scans has none of it."""
    scores = np.arange(-0.995, 1, 0.01)  # 200 patients, evenly
    unseen = np.tile((np.array(LEVELS) - 0.5) * 2, (3 * 200 + 400, 1))
    y = np.concatenate([scores, scores, 2 * scores, np.zeros(400)])
    days = np.repeat([50.0, 168.0, 300.0, 300.0], [200, 200, 200, 400])
    patients = np.concatenate([np.tile(np.arange(200), 3), np.full(400, 777)])
    learned = learn_widening(unseen, y, days, patients)
    assert learned["days"] == [84, 168, 300]
    assert learned["factors"][0] == [1] * 7
    assert learned["factors"][1] == pytest.approx([1] * 7, abs=0.03)
    # But for the one of 201 patients that has no error; the median stays.
    assert learned["factors"][2] == pytest.approx([2, 2, 2, 1, 2, 2, 2], abs=0.06)


def test_a_stretch_is_never_below_1_nor_below_that_of_a_shorter_horizon_and_few_patients_stretch_nothing():
    unseen = np.tile((np.array(LEVELS) - 0.5) * 2, (400, 1))
    scores = np.arange(-0.995, 1, 0.01)
    days, patients = np.repeat([168.0, 300.0], 200), np.tile(np.arange(200), 2)
    wide_first = np.array(learn_widening(unseen, np.concatenate([3 * scores, scores]), days, patients)["factors"])
    assert wide_first[1, 0] == pytest.approx(3, abs=0.1)
    assert (wide_first[2] == wide_first[1]).all()
    narrow = np.array(learn_widening(unseen, np.concatenate([scores, scores]) / 9, days, patients)["factors"])
    assert (narrow == 1).all()
    assert learn_widening(unseen, np.zeros(400), days, patients % 29)["factors"] == [[1.0] * 7]


def test_a_stretch_grows_between_the_horizons_it_was_learned_at_and_leaves_median_and_floor():
    learned = default_population().everyone
    past = lesion_histories(
        [
            padded_history(np.array([0.0, 42.0, 84.0, 126.0]), np.full(4, 5000.0), 3),
            padded_history(np.array([0.0, 42.0, 84.0, 126.0]), np.array([900.0, 500.0, 200.0, FLOOR_MM3]), 3),
        ],
        [4, 4],
    )
    horizon = np.array([[84.0, 126.0, 168.0, 400.0]] * 2)
    widen = {"days": np.array([84.0, 168.0]), "factors": np.array([np.ones(7), np.full(7, 1.5)])}
    plain, wide = (
        module.combined_quantiles(replace(learned, widen=one), past, horizon)
        for one in (dict[str, np.ndarray](), widen)
    )
    floor = np.log(FLOOR_MM3 / 5000)
    assert wide[0] == pytest.approx(np.maximum(plain[0] * np.array([1, 1.25, 1.5, 1.5])[:, None], floor))
    assert wide[1] == pytest.approx(plain[1])


def test_a_lesion_that_came_back_from_the_floor_counts_once_and_as_large_as_it_was_first():
    days = np.array([42.0 * n for n in range(7)], dtype=np.float64)
    volumes: dict[str, list[float]] = {
        "back": [900, 500, FLOOR_MM3, FLOOR_MM3, FLOOR_MM3 * 3, FLOOR_MM3 * 9, FLOOR_MM3],
        "stays": [900, 500, 300, FLOOR_MM3, FLOOR_MM3, FLOOR_MM3, FLOOR_MM3],
        "never": [900] * 7,
        "last": [900] * 6 + [FLOOR_MM3],
    }
    o = backtest_cases([Lesion(f"{name}-1", days, np.array(v, dtype=np.float64)) for name, v in volumes.items()])
    assert came_back(o) == pytest.approx([np.log(3), 0])


def test_limits_at_the_floor_are_of_those_that_came_back_taken_for_as_many_as_may_be():
    # 9 of 60: the upper limit of Clopper and Pearson is .2472; (.9 - .7528) / .2472 = .5955 of the sizes 1 … 9.
    limits = np.array(floor_limits(np.concatenate([np.zeros(51), np.arange(1.0, 10.0)])))
    assert limits[: MEDIAN + 1].tolist() == [0] * 4
    assert limits[5:] == pytest.approx([1 + 8 * 0.5955, 1 + 8 * 0.8989], abs=0.01)
    # Where none came back, or less than noise is left, it is the noise of the readers: .18 log-SD.
    assert floor_limits(np.zeros(60)) == pytest.approx(noise_at_floor(), abs=1e-4)
    assert noise_at_floor()[4:] == pytest.approx([0.1214, 0.2307, 0.3528], abs=1e-4)
    assert limits[4] == pytest.approx(0.1214, abs=1e-4)
