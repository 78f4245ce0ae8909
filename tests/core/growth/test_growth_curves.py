"""Growth laws and their fits."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from core.errors import InputError
from core.growth.curves import FLOOR_MM3, GROWTH_LAWS, prepare
from core.growth.fitting import fit

DAYS = np.linspace(0, 400, 8)


def test_floor_is_the_sphere_of_5_mm_diameter():
    assert pytest.approx(65.4498, abs=1e-4) == FLOOR_MM3


def test_curves_have_the_values_computed_by_hand():
    # Exponential: doubling in 100 days.
    assert GROWTH_LAWS["exponential"].volume_mm3([0, 100, 200], 500, math.log(2) / 100) == pytest.approx(
        [500, 1000, 2000]
    )
    # Logistic, half way when (v∞/v0 - 1)·exp(-ωt) = 1: v0 = 100, v∞ = 1000, ωt = ln 9.
    assert GROWTH_LAWS["logistic"].volume_mm3([0, math.log(9) / 0.01], 100, 1000, 0.01) == pytest.approx([100, 500])
    # Gompertz: after ln 2 / ω days the log distance to the plateau has halved: sqrt(100 · 10000) = 1000.
    assert GROWTH_LAWS["gompertz"].volume_mm3([0, math.log(2) / 0.01], 100, 10000, 0.01) == pytest.approx([100, 1000])


#: Parameters that a lesion might have, and days at which they can be told.
TRUTH = {
    "exponential": ((800, -0.004), 360, 10),
    "linear": ((2000, 20.0), 360, 10),
    "power_law": ((1000, 0.03, 0.6), 720, 14),
    "logistic": ((800, 30000, 0.02), 480, 12),
    "gompertz": ((1500, 40000, 0.012), 480, 12),
    "reduced_gompertz": ((1500, 0.004), 360, 10),
    "classical_bertalanffy": ((1500, 40000, 0.015), 480, 12),
    "general_bertalanffy": ((500, 60000, 0.02, -0.4), 480, 16),
    "stein_fojo": ((20000, 0.004, 0.02), 600, 14),
    "stein_fojo_phi": ((20000, 0.004, 0.03, 0.9), 600, 14),
    "claret_tgi": ((20000, 0.004, 0.03, 0.015), 600, 14),
}
#: dv/dt of (t, v, *parameters after v0), v0: the laws as they are written down.
SPEED: dict[str, Any] = {
    "exponential": lambda t, v, v0, kappa: kappa * v,
    "linear": lambda t, v, v0, rate: rate,
    "power_law": lambda t, v, v0, kappa0, b: kappa0 * v0 ** (1 - b) * v**b,
    "logistic": lambda t, v, v0, top, omega: omega * v * (1 - v / top),
    "gompertz": lambda t, v, v0, top, omega: omega * v * math.log(top / v),
    "reduced_gompertz": lambda t, v, v0, omega: omega * v * math.log(1e6 / v),
    "classical_bertalanffy": lambda t, v, v0, top, omega: omega * v * 3 * ((top / v) ** (1 / 3) - 1),
    "general_bertalanffy": lambda t, v, v0, top, omega, lam: omega * v * ((top / v) ** lam - 1) / lam,
    "stein_fojo": lambda t, v, v0, g, d: v0 * (g * math.exp(g * t) - d * math.exp(-d * t)),
    "stein_fojo_phi": lambda t, v, v0, g, d, phi: v0 * ((1 - phi) * g * math.exp(g * t) - phi * d * math.exp(-d * t)),
    "claret_tgi": lambda t, v, v0, g, p, c: v * (g - p * math.exp(-c * t)),
}


def test_eleven_laws_are_in_the_table():
    assert set(GROWTH_LAWS) == set(TRUTH) == set(SPEED)


@pytest.mark.parametrize("name", TRUTH)
def test_closed_forms_solve_their_differential_equation(name):
    truth, end, _ = TRUTH[name]
    t = np.linspace(0, end, 9)
    solved = solve_ivp(
        lambda day, v: [SPEED[name](day, v[0], *truth)], (0, end), [truth[0]], t_eval=t, rtol=1e-10, atol=1e-8
    )
    assert GROWTH_LAWS[name].volume_mm3(t, *truth) == pytest.approx(solved.y[0], rel=1e-6)


def test_general_bertalanffy_has_its_cases_as_limits():
    t, three = np.linspace(0, 900, 30), (700.0, 30000.0, 0.01)
    general = GROWTH_LAWS["general_bertalanffy"]
    for lam, name in ((-1.0, "logistic"), (1e-6, "gompertz"), (-1e-9, "gompertz"), (1 / 3, "classical_bertalanffy")):
        assert general.volume_mm3(t, *three, lam) == pytest.approx(GROWTH_LAWS[name].volume_mm3(t, *three), rel=1e-4)
    reduced = GROWTH_LAWS["reduced_gompertz"].volume_mm3(t, 700, 0.004)
    assert reduced == pytest.approx(GROWTH_LAWS["gompertz"].volume_mm3(t, 700, 1e6, 0.004))


@settings(max_examples=60)
@given(
    name=st.sampled_from(sorted(TRUTH)),
    place=st.lists(st.floats(0, 1), min_size=4, max_size=4),
    logs=st.lists(st.floats(4.2, 15), min_size=4, max_size=4),
    step=st.floats(1, 200),
)
def test_every_law_has_a_value_everywhere_within_its_bounds(name, place, logs, step):
    days = np.arange(4) * step
    low, high = GROWTH_LAWS[name].bounds(days, np.array(logs))
    inside = [a + x * (b - a) for a, b, x in zip(low, high, place, strict=False)]
    with np.errstate(over="ignore"):
        assert np.isfinite(GROWTH_LAWS[name].log_volume(days[:2] / 10, *inside)).all()


@pytest.mark.parametrize("name", TRUTH)
def test_a_fit_to_noiseless_data_gives_the_parameters_back(name):
    truth, end, count = TRUTH[name]
    days = np.linspace(0, end, count)
    found = fit(name, days, GROWTH_LAWS[name].volume_mm3(days, *truth))
    assert found.parameters == pytest.approx(truth, rel=2e-3)
    assert found.identifiable
    assert list(found.named()) == list(GROWTH_LAWS[name].parameters)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in ("exponential", "gompertz") else pytest.mark.soak) for name in TRUTH],
)
def test_intervals_hold_the_true_parameters_95_percent_of_the_time(name):
    truth, end, count = TRUTH[name]
    days, runs = np.linspace(0, end, count), 300
    random = np.random.default_rng(20240501)
    clean = GROWTH_LAWS[name].volume_mm3(days, *truth)
    covered = np.zeros(len(truth))
    for _ in range(runs):
        found = fit(name, days, clean * np.exp(random.normal(0, 0.1, days.size)))
        covered += [low <= x <= high for low, x, high in zip(found.low95, truth, found.high95, strict=True)]
    # The .1 and 99.9 % quantiles of Binomial(300, .95).
    assert (covered >= 272).all()
    assert (covered <= 295).all()


def test_standard_errors_of_a_straight_line_are_those_of_linear_regression():
    logs = np.array([6.0, 6.3, 6.1, 6.6, 6.5])
    t = np.array([0.0, 30, 60, 90, 120])
    found = fit("exponential", t, np.exp(logs))
    slope, intercept = np.polyfit(t, logs, 1)
    s2 = ((logs - intercept - slope * t) ** 2).sum() / 3
    assert found.named()["kappa_per_day"] == pytest.approx(slope, rel=1e-4)
    assert found.standard_errors[1] == pytest.approx(math.sqrt(s2 / ((t - t.mean()) ** 2).sum()), rel=1e-4)
    # n = 5, two parameters and the variance: AICc = n ln(RSS/n) + 2k + 2k(k+1)/(n-k-1).
    assert found.aicc == pytest.approx(5 * math.log(3 * s2 / 5) + 6 + 24, rel=1e-6)


def test_the_band_around_a_fitted_line_is_that_of_linear_regression():
    logs = np.array([6.0, 6.3, 6.1, 6.6, 6.5])
    t = np.array([0.0, 30, 60, 90, 120])
    s2 = ((logs - np.polyval(np.polyfit(t, logs, 1), t)) ** 2).sum() / 3
    at = np.array([0.0, 60.0, 200.0])
    by_hand = s2 * (1 / 5 + (at - 60) ** 2 / ((t - 60) ** 2).sum())
    assert fit("exponential", t, np.exp(logs)).log_variance(at) == pytest.approx(by_hand, rel=1e-3)
    assert fit("exponential", t + 500, np.exp(logs)).log_variance(at + 500) == pytest.approx(by_hand, rel=1e-3)


def test_points_closer_to_the_line_than_their_noise_get_the_interval_of_that_noise_by_the_normal_law():
    t = np.array([0.0, 30, 60, 90, 120])
    logs = 6 + 0.004 * t + np.array([0.01, -0.01, 0.0, -0.01, 0.01])
    found = fit("exponential", t, np.exp(logs), noise_log_sd=0.2)
    error = 0.2 / math.sqrt(((t - 60) ** 2).sum())
    assert found.standard_errors[1] == pytest.approx(error, rel=1e-3)
    assert found.high95[1] - found.low95[1] == pytest.approx(2 * 1.959964 * error, rel=1e-3)
    # Scatter above the noise, by contrast, is itself estimated from three degrees of freedom: Student's t, 3.182.
    wide = fit("exponential", t, np.exp(logs), noise_log_sd=0.001)
    assert wide.high95[1] - wide.low95[1] == pytest.approx(2 * 3.182446 * wide.standard_errors[1], rel=1e-3)


def test_aicc_prefers_the_law_that_made_the_data():
    v = GROWTH_LAWS["gompertz"].volume_mm3(DAYS, 500, 40000, 0.01) * np.exp(np.random.default_rng(3).normal(0, 0.05, 8))
    three = [name for name, law in GROWTH_LAWS.items() if len(law.parameters) <= 3]
    assert min(three, key=lambda name: fit(name, DAYS, v).aicc) == "gompertz"


def test_a_plateau_that_was_not_approached_is_not_identifiable():
    v = GROWTH_LAWS["exponential"].volume_mm3(DAYS, 500, 0.005) * np.exp(np.random.default_rng(1).normal(0, 0.1, 8))
    found = fit("gompertz", DAYS, v)
    assert not found.identifiable
    assert "v_inf_mm3" in found.reason or "omega_per_day" in found.reason


def test_an_unchanging_volume_does_not_determine_a_gompertz_curve():
    assert not fit("gompertz", [0, 50, 100, 150], [1000.0] * 4).identifiable


def test_as_many_points_as_parameters_need_a_known_noise_for_errors():
    assert not fit("exponential", [0, 100], [1000, 2000]).identifiable
    known = fit("exponential", [0, 100], [1000, 2000], noise_log_sd=0.1)
    assert known.identifiable
    assert known.standard_errors[1] == pytest.approx(math.sqrt(2) * 0.1 / 100, rel=1e-4)


def test_fewer_points_than_parameters_is_an_error_that_says_how_many_are_needed():
    with pytest.raises(InputError, match="at least 3 timepoints, got 2"):
        fit("gompertz", [0, 10], [100, 200])


def test_an_unknown_curve_is_named():
    with pytest.raises(InputError, match="'cubic'"):
        fit("cubic", [0, 1, 2], [1, 2, 3])


def test_prepare_sorts_takes_the_last_of_a_day_and_floors():
    days, volumes = prepare([30, -7, 30, 0], [500, 400, 700, 0])
    assert days.tolist() == [-7, 0, 30]
    assert volumes == pytest.approx([400, FLOOR_MM3, 700])
    assert prepare([], [])[0].size == 0


@pytest.mark.parametrize("bad", [([0], [1, 2]), ([0], [-1]), ([math.nan], [1]), ([0], [math.inf])])
def test_prepare_refuses_what_is_no_measurement(bad):
    with pytest.raises(InputError):
        prepare(*bad)


series = st.lists(st.floats(200, 50000), min_size=5, max_size=8)


@given(volumes=series, factor=st.floats(1.0, 100.0), shift=st.floats(-500, 500))
def test_exponential_rate_ignores_the_unit_of_volume_and_the_origin_of_time(volumes, factor, shift):
    t = np.arange(len(volumes)) * 45.0
    one = fit("exponential", t, volumes)
    two = fit("exponential", t + shift, np.array(volumes) * factor)
    assert two.parameters[1] == pytest.approx(one.parameters[1], abs=1e-6)
    assert two.parameters[0] == pytest.approx(one.parameters[0] * factor, rel=1e-4)
