"""Priors and the population: what is learned from other patients, and its quantiles, by hand and by brute force."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal, norm

from core.growth import learn
from core.growth import population as module
from core.growth.curves import FLOOR_MM3
from core.growth.methods import POPULATION
from core.growth.population import LEVELS, default_population, probability_below
from core.growth.prior import GROWTH_PRIORS, LEVEL_SD, from_vector, posterior, to_vector
from core.growth.series import LOG_FLOOR, Lesion, backtest_cases, lesion_histories, padded_history


@pytest.mark.parametrize("law", GROWTH_PRIORS)
def test_a_posterior_is_the_conditional_of_the_joint_normal(law):
    values, form = dict(GROWTH_PRIORS[law].start), GROWTH_PRIORS[law]
    days, ahead = np.array([0.0, 40.0, 95.0]), np.array([120.0, 200.0])
    logs = np.array([7.0, 7.3, 7.1])
    both = np.concatenate([days, ahead])
    joint = form.covariance(both[:, None], both[None, :], values) + LEVEL_SD**2 + values["noise"] ** 2 * np.eye(5)
    mean = logs.mean() + form.mean(both, values)
    gain = joint[3:, :3] @ np.linalg.inv(joint[:3, :3])
    wanted = mean[3:] + gain @ (logs - mean[:3])
    left = joint[3:, 3:] - gain @ joint[:3, 3:]
    got, variance = posterior(law, values, days[None], logs[None], np.ones((1, 3), bool), ahead[None])
    assert got[0] == pytest.approx(wanted)
    assert variance[0] == pytest.approx(np.diag(left))
    multivariate_normal(mean, joint)  # a covariance that is none would raise


def test_scans_that_are_not_there_change_nothing():
    values = GROWTH_PRIORS["trend"].start
    days, logs = np.array([[0.0, 40.0, 95.0]]), np.array([[7.0, 7.3, 7.1]])
    ahead = np.array([[150.0]])
    plain = posterior("trend", values, days, logs, np.ones((1, 3), bool), ahead)
    padded = posterior(
        "trend",
        values,
        np.pad(days, ((0, 0), (0, 5))),
        np.pad(logs, ((0, 0), (0, 5))),
        np.arange(8)[None] < 3,
        ahead,
    )
    assert padded[0] == pytest.approx(plain[0])
    assert padded[1] == pytest.approx(plain[1])


@pytest.mark.parametrize("law", GROWTH_PRIORS)
def test_a_measurement_is_never_taken_for_less_noisy_than_measurements_were_learned_to_be(law):
    values = GROWTH_PRIORS[law].start
    days, logs, seen = np.array([[0.0, 40.0, 95.0]]), np.array([[7.0, 7.3, 7.1]]), np.ones((1, 3), bool)
    ahead = np.array([[120.0]])
    learned = posterior(law, values, days, logs, seen, ahead)
    below, above = (posterior(law, values, days, logs, seen, ahead, np.full((1, 3), sd)) for sd in (0.05, 0.3))
    assert (below[0], below[1]) == (learned[0], learned[1])
    assert above[0] != pytest.approx(learned[0])
    # A later measurement has that noise itself, however much is known of the lesion.
    sure = posterior(law, {**values, "wander": 1e-9}, days, logs, seen, days[:, 1:2])
    assert sure[1] > values["noise"] ** 2


@pytest.mark.parametrize("law", GROWTH_PRIORS)
def test_parameters_survive_the_way_through_learning(law):
    assert from_vector(law, to_vector(law, GROWTH_PRIORS[law].start)) == pytest.approx(dict(GROWTH_PRIORS[law].start))


def test_learning_forecasts_lesions_of_its_own_law_almost_as_well_as_the_truth_does():
    random = np.random.default_rng(5)
    values = {
        **GROWTH_PRIORS["gompertz"].start,
        "change": -1.5,
        "change_sd": 0.1,
        "omega": 0.02,
        "noise": 0.02,
        "wander": 0.002,
    }
    days = np.arange(0, 260, 42.0)
    joint = GROWTH_PRIORS["gompertz"].covariance(days[:, None], days[None, :], values) + 0.02**2 * np.eye(days.size)
    mean = 10 + GROWTH_PRIORS["gompertz"].mean(days, values)
    logs = random.multivariate_normal(mean, joint, 80)
    o = backtest_cases([Lesion(f"p{n}-1", days, np.exp(row)) for n, row in enumerate(logs)])
    horizon, column = o.grid()

    def error(with_values):
        ahead = horizon + o.past.span[:, None]
        said, _ = posterior("gompertz", with_values, o.past.days, o.past.logs, o.past.seen, ahead)
        return np.abs(said[o.target, column] - o.outcome - o.past.last[o.target]).mean()

    truth, naive = error(values), error(GROWTH_PRIORS["gompertz"].start)
    assert truth < 0.8 * naive
    assert error(learn.learn_prior("gompertz", o)) < 1.1 * truth


def test_a_prior_gets_weight_only_where_it_beats_the_last_value():
    random = np.random.default_rng(7)
    # Every lesion shrinks at first and then rests: at the third scan there is something to win far ahead, later not.
    days = np.arange(0, 300, 42.0)
    rows = 10 - 0.5 * np.minimum(days, 160) / 40 + random.normal(0, 0.05, (80, days.size))
    o = backtest_cases([Lesion(f"p{n}-1", days, np.exp(row)) for n, row in enumerate(rows)])
    perfect = np.where(o.past.scans[o.target] == 3, o.outcome, 0.3)
    weights = learn.learn_weights(o, {"good": perfect, "bad": np.full_like(perfect, 3.0)})
    assert weights["good"][0][1:] == [1.0, 1.0]
    assert weights["good"][1] == [0.0] * 3
    assert not np.any(weights["bad"])


def test_probability_between_limits_goes_by_normal_scores():
    table = np.tile(norm.ppf(LEVELS), (3, 1))
    assert probability_below(table, np.array([0.3, -2.5, 3.0])) == pytest.approx(norm.cdf([0.3, -2.5, 3.0]))
    floor = np.array([[0.0, 0, 0, 0, 0, 1.0, 2.0]])
    assert probability_below(floor, np.array([1e-9]))[0] == pytest.approx(0.75, abs=1e-3)


def test_limits_do_not_cross_the_median_nor_fall_below_the_floor():
    crossed = np.array([[-9.0, -1.0, 0.4, 0.2, 0.1, 0.6, 0.5]])
    assert module.fix_quantile_crossing(crossed, np.array([-2.0]))[0].tolist() == [-2.0, -1.0, 0.2, 0.2, 0.2, 0.6, 0.6]


def test_a_lesion_at_the_floor_does_not_move_and_none_moves_below_it():
    learned = default_population().everyone
    days = np.array([0.0, 42.0, 84.0])
    far = np.array([[150.0]])

    def moved(*volumes: float) -> float:
        past = lesion_histories([padded_history(days, np.array(volumes), 2)], [3])
        return float(module.combined_change(learned, past, far)[0, 0])

    assert moved(8000, 5000, 3500) != 0
    assert moved(900, 300, FLOOR_MM3) == 0
    sinking = replace(learned, weights={law: np.full((2, 3), 50.0) for law in learned.weights})
    past = lesion_histories([padded_history(days, np.array([9000.0, 900.0, 90.0]), 2)], [3])
    assert module.combined_change(sinking, past, far)[0, 0] == LOG_FLOOR - math.log(90)


def test_calibration_shifts_the_limits_and_not_the_median():
    learned = default_population().everyone
    past = lesion_histories([padded_history(np.array([0.0, 42.0, 84.0, 126.0]), np.full(4, 5000.0), 3)], [4])
    wider = {state: shift + np.array([-1, -1, -1, 9, 1, 1, 1.0]) for state, shift in learned.shift.items()}
    before, after = (
        module.combined_quantiles(one, past, np.array([[56.0]]))[0, 0]
        for one in (learned, replace(learned, shift=wider))
    )
    assert after - before == pytest.approx([-1, -1, -1, 0, 1, 1, 1])


@settings(max_examples=25)
@given(st.lists(st.floats(0.0, 1e6), min_size=4, max_size=12), st.floats(1.0, 700.0))
def test_limits_never_cross_nor_fall_below_the_floor(volumes, horizon):
    floored = np.maximum(np.array(volumes), FLOOR_MM3)
    past = lesion_histories([padded_history(np.arange(floored.size) * 42.0, floored, floored.size - 1)], [floored.size])
    for method in POPULATION.values():
        made = method.forecast(default_population().everyone, past, np.array([[horizon]]))[0, 0]
        assert (np.diff(made) >= 0).all()
        assert math.exp(made[0]) * floored[-1] >= FLOOR_MM3 * (1 - 1e-9)
