"""The three priors: their laws beside plain integrals of what they are made of, and what they make of a few scans."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from core.growth.curves import FLOOR_MM3
from core.growth.prior import (
    GROWTH_PRIORS,
    LEVEL_SD,
    LIMITS,
    bounds,
    from_vector,
    posterior,
    to_vector,
)

SHIPPED = Path(__file__).parents[3] / "core/growth/population.json"

VALUES = {
    "trend": {
        "drift": 0.001,
        "early": -0.02,
        "early_days": 50.0,
        "wander": 0.03,
        "trend_sd": 0.004,
        "decay": 0.02,
        "noise": 0.1,
    },
    "gompertz": {"change": -0.7, "change_sd": 0.5, "omega": 0.02, "wander": 0.04, "noise": 0.1},
    "tgi": {
        "growth": 0.002,
        "growth_sd": 0.001,
        "kill": 0.01,
        "kill_sd": 0.006,
        "resistance": 0.03,
        "wander": 0.05,
        "noise": 0.1,
    },
}


def integral(of: Callable[[np.ndarray], np.ndarray], to: float, steps: int = 4000) -> float:
    """From 0, by the middles of equal steps."""
    return float(of((np.arange(steps) + 0.5) * to / steps).sum() * to / steps)


def faded(days: float, rate: float) -> float:
    return integral(lambda s: np.exp(-rate * s), days)


def mean_of(law: str, t: float) -> float:
    v = VALUES[law]
    if law == "trend":
        return v["drift"] * t + v["early"] * faded(t, 1 / v["early_days"])
    if law == "gompertz":  # dy = omega (change - y) dt from 0: the way to the plateau fades at omega
        return v["change"] * v["omega"] * faded(t, v["omega"])
    return v["growth"] * t - v["kill"] * faded(t, v["resistance"])


def covariance_of(law: str, a: float, b: float) -> float:
    v = VALUES[law]
    early, late = min(a, b), max(a, b)
    if law == "trend":  # a velocity with correlation exp(-decay |s - r|), added up to a and to b
        s, r = ((np.arange(1500) + 0.5) * to / 1500 for to in (a, b))
        velocity = np.exp(-v["decay"] * np.abs(s[:, None] - r)).sum() * a * b / 1500**2
        return v["wander"] ** 2 * early + v["trend_sd"] ** 2 * float(velocity)
    if law == "gompertz":  # noise that came at s has faded for a - s and b - s days
        noise = integral(lambda s: np.exp(-v["omega"] * (early + late - 2 * s)), early)
        shares = (1 - math.exp(-v["omega"] * a)) * (1 - math.exp(-v["omega"] * b))
        return v["change_sd"] ** 2 * shares + v["wander"] ** 2 * noise
    killed = faded(a, v["resistance"]) * faded(b, v["resistance"])
    return v["growth_sd"] ** 2 * a * b + v["kill_sd"] ** 2 * killed + v["wander"] ** 2 * early


@pytest.mark.parametrize("law", GROWTH_PRIORS)
def test_a_law_is_the_integral_of_what_it_is_made_of(law):
    form = GROWTH_PRIORS[law]
    days = np.array([20.0, 60.0, 150.0])
    assert form.mean(days, VALUES[law]) == pytest.approx([mean_of(law, t) for t in days], rel=1e-5)
    assert form.mean(np.zeros(1), VALUES[law]) == pytest.approx([0])
    for a, b in ((20.0, 20.0), (20.0, 150.0), (150.0, 60.0)):
        made = form.covariance(np.array(a), np.array(b), VALUES[law])
        assert made == pytest.approx(covariance_of(law, a, b), rel=1e-4)


def test_two_lesions_are_answered_each_by_its_own_scans():
    """Beside the plain conditional of a joint normal; the second lesion has two scans, one of them blurred."""
    law, values = "trend", VALUES["trend"]
    form = GROWTH_PRIORS[law]
    days, logs = np.array([[0.0, 40.0, 95.0], [0.0, 30.0, 0.0]]), np.array([[7.0, 7.4, 7.1], [9.0, 8.0, 0.0]])
    seen = np.array([[True, True, True], [True, True, False]])
    noise = np.array([[0.1, 0.1, 0.1], [0.1, 0.4, 0.1]])
    ahead = np.array([[120.0, 200.0], [60.0, 90.0]])
    got, variance = posterior(law, values, days, logs, seen, ahead, noise)
    for n, count in enumerate((3, 2)):
        both = np.concatenate([days[n, :count], ahead[n]])
        joint = form.covariance(both[:, None], both[None, :], values) + LEVEL_SD**2
        joint += np.diag([*noise[n, :count] ** 2, 0.1**2, 0.1**2])
        mean = logs[n, :count].mean() + form.mean(both, values)
        gain = joint[count:, :count] @ np.linalg.inv(joint[:count, :count])
        assert got[n] == pytest.approx(mean[count:] + gain @ (logs[n, :count] - mean[:count]))
        assert variance[n] == pytest.approx(np.diag(joint[count:, count:] - gain @ joint[:count, count:]))


def test_without_a_prior_mean_of_its_level_a_lesions_own_scans_decide_it():
    """At rest, 100 and 400 mm3 alike: the level's spread of e^2 draws neither towards anything."""
    values = {"change": 0.0, "change_sd": 0.01, "omega": 0.01, "wander": 0.001, "noise": 0.05}
    for volume in (FLOOR_MM3, 400.0, 1e6):
        logs = np.full((1, 4), math.log(volume))
        mean, _ = posterior("gompertz", values, 42.0 * np.arange(4.0)[None], logs, logs > 0, np.array([[150.0]]))
        assert mean[0, 0] == pytest.approx(math.log(volume))


def test_the_level_of_a_lesion_is_as_unsure_as_a_factor_of_e_squared():
    # One scan at day 0: nothing but the level and the noise; a share of 4 / (4 + 0.01) of it is explained.
    values = {**VALUES["tgi"], "noise": 0.1}
    zero = np.zeros((1, 1))
    _, variance = posterior("tgi", values, zero, np.full((1, 1), 7.0), np.ones((1, 1), bool), zero)
    assert variance[0, 0] == pytest.approx(4 + 0.01 - 16 / 4.01)


@pytest.mark.parametrize("law", GROWTH_PRIORS)
def test_a_parameter_beyond_its_limits_counts_as_the_limit(law):
    days, logs, seen = 42.0 * np.arange(4.0)[None], np.array([[7.0, 7.2, 7.1, 7.5]]), np.ones((1, 4), bool)
    for name in GROWTH_PRIORS[law].start:
        for side, beyond in ((0, -1e9), (1, 1e9)):
            said = [
                posterior(law, {**VALUES[law], name: value}, days, logs, seen, days + 300.0)
                for value in (beyond, LIMITS[name][side])
            ]
            assert np.array_equal(said[0], said[1]), name


def test_a_scan_counts_as_exact_only_to_a_share_of_the_spread_beside_it():
    """Growth of 0.1 a day either way is 1e6 after 10 000 days; a hundred-millionth of it is the square of 0.1."""
    values = {**VALUES["tgi"], "growth_sd": 0.1, "kill_sd": 1e-5, "resistance": 1.0, "wander": 1e-3, "noise": 0.01}
    days, logs, seen = np.array([[0.0, 10_000.0]]), np.array([[7.0, 7.5]]), np.ones((1, 2), bool)
    exact, as_much, more = (
        posterior("tgi", values, days, logs, seen, np.array([[5000.0]]), np.full((1, 2), sd))[0]
        for sd in (0.0, 0.1, 0.3)
    )
    assert exact == pytest.approx(as_much, rel=1e-6)
    assert exact != pytest.approx(more, rel=1e-6)


@pytest.mark.parametrize("law", GROWTH_PRIORS)
def test_learning_sees_logs_of_what_is_positive_and_the_rest_in_units_of_its_start(law):
    form = GROWTH_PRIORS[law]
    vector = to_vector(law, VALUES[law])
    expected = [
        math.log(VALUES[law][name]) if LIMITS[name][0] > 0 else VALUES[law][name] / form.start[name]
        for name in form.start
    ]
    assert vector == pytest.approx(expected)
    assert from_vector(law, vector) == pytest.approx({name: VALUES[law][name] for name in form.start})
    for name, (low, high) in zip(form.start, bounds(law), strict=True):
        ends = LIMITS[name]
        seen = [math.log(x) if ends[0] > 0 else x / form.start[name] for x in ends]
        assert (low, high) == (pytest.approx(min(seen)), pytest.approx(max(seen)))


@pytest.mark.parametrize("law", GROWTH_PRIORS)
def test_learning_starts_and_what_is_shipped_lies_within_the_limits(law):
    start = to_vector(law, GROWTH_PRIORS[law].start)
    assert all(low < x < high for (low, high), x in zip(bounds(law), start, strict=True))
    shipped = json.loads(SHIPPED.read_text())
    for learned in (shipped["everyone"], *shipped["folds"]):
        for name, value in learned["priors"][law].items():
            assert LIMITS[name][0] < value < LIMITS[name][1], name
