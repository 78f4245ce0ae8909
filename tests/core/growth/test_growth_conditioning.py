"""What is learned and fitted of growth has an answer for every history, and the same one on every processor."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from core.growth import learn
from core.growth.curves import GROWTH_LAWS
from core.growth.fitting import fit
from core.growth.population import LEVELS, PopulationParameters, combined_quantiles
from core.growth.prior import GROWTH_PRIORS, LIMITS, posterior
from core.growth.series import Lesion, backtest_cases, lesion_histories, padded_history

ROOT = Path(__file__).parents[3]
DAYS: NDArray[np.float64] = 42.0 * np.arange(7, dtype=np.float64)
#: From none to beyond what a float holds when squared.
MAGNITUDES = st.floats(-200, 200).map(lambda power: 10.0**power)


def _cohort(kind: str) -> list[Lesion]:
    rows = {
        "all the same": lambda n: (DAYS, np.full(7, 1000.0)),
        "nothing but size differs": lambda n: (DAYS, np.full(7, 100.0 + n)),
        "exact exponentials": lambda n: (DAYS, 1000 * np.exp(0.01 * DAYS)),
        "exact exponentials of many sizes": lambda n: (DAYS, (100.0 + n) * np.exp(0.01 * DAYS)),
        "four scans within a day": lambda n: (np.arange(4) / 24, np.array([1e3, 2e3, 1e2, 5e5])),
        "decades between scans": lambda n: (3650 * DAYS, np.array([1e3, 1e9, 70, 1e9, 70, 1e9, 70])),
    }
    return [Lesion(f"p{n}-1", *rows[kind](n)) for n in range(60)]


KINDS = (
    "all the same",
    "nothing but size differs",
    "exact exponentials",
    "exact exponentials of many sizes",
    "four scans within a day",
    "decades between scans",
)


@pytest.mark.parametrize("law", GROWTH_PRIORS)
def test_a_prior_without_noise_or_spread_has_an_answer(law):
    nothing = {name: 1e-30 if name in GROWTH_PRIORS[law].positive else 0.0 for name in GROWTH_PRIORS[law].start}
    logs = np.full((1, 7), 7.0)
    mean, variance = posterior(law, nothing, DAYS[None], logs, np.ones((1, 7), bool), np.array([[300.0]]))
    assert mean[0, 0] == pytest.approx(7.0, abs=0.05)
    assert 0 < variance[0, 0] < 1


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_prior_of_any_parameters_and_any_history_is_finite(data):
    law = data.draw(st.sampled_from(sorted(GROWTH_PRIORS)))
    form = GROWTH_PRIORS[law]
    values = {
        name: data.draw(MAGNITUDES) * (1 if name in form.positive else data.draw(st.sampled_from((-1, 1))))
        for name in form.start
    }
    gaps = np.array(data.draw(st.lists(st.floats(0.0, 5000.0), min_size=3, max_size=8)))
    days, logs = (
        np.cumsum(gaps)[None],
        np.array([data.draw(st.lists(st.floats(4.0, 16.0), min_size=gaps.size, max_size=gaps.size))]),
    )
    ahead = days[:, -1:] + np.array([[1.0, 90.0, 5000.0]])
    mean, variance = posterior(law, values, days, logs, np.ones(days.shape, bool), ahead)
    assert np.isfinite(mean).all()
    assert np.isfinite(variance).all()
    assert (variance > 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_cohort_without_any_variety_is_learned_from_within_the_limits(kind):
    o = backtest_cases(_cohort(kind))
    for law in GROWTH_PRIORS:
        for name, value in learn.learn_prior(law, o).items():
            low, high = LIMITS[name]
            assert low * (1 - 1e-9) <= value <= high * (1 + 1e-9), f"{law} {name}"


def test_what_is_learned_from_a_cohort_without_any_variety_makes_a_forecast():
    learned = PopulationParameters.from_json(learn.learn(backtest_cases(_cohort("all the same"))))
    past = lesion_histories([padded_history(DAYS, 900 * np.exp(0.005 * DAYS), 6)], [7])
    made = combined_quantiles(learned, past, np.array([[28.0, 84.0]]))
    assert np.isfinite(made).all()
    assert (np.diff(made) >= 0).all()


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(sorted(GROWTH_LAWS)),
    st.sampled_from([1e-3, 1.0, 4000.0]),
    st.lists(st.sampled_from([70.0, 1000.0, 1e6]), min_size=5, max_size=7),
)
def test_a_fit_of_any_series_has_errors_or_says_why_not(curve, step, volumes):
    found = fit(curve, step * np.arange(len(volumes)), volumes, 0.05)
    known = np.isfinite(found.standard_errors).all()
    assert np.isfinite(found.parameters).all()
    assert known or not found.identifiable
    assert found.identifiable or found.reason


#: Prints what a cohort of 60 random lesions teaches, as the forecasts that a person would see of them.
LEARNS = """
import json
from core.growth import learn
from core.growth.population import PopulationParameters, combined_quantiles
from core.growth.series import backtest_cases
from tests.core.growth.simulated_lesions import simulated
o = backtest_cases(simulated(60, seed=4, scans=7))
made = learn.learn(o)
print(json.dumps(combined_quantiles(PopulationParameters.from_json(made), o.past, o.grid()[0]).tolist()))
"""


def _learned_on(processor: str) -> np.ndarray:
    """What is learned where OpenBLAS takes its code for that processor."""
    environment = {**os.environ, "OPENBLAS_CORETYPE": processor, "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", LEARNS], capture_output=True, text=True, cwd=ROOT, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr[-500:]
    return np.array(json.loads(done.stdout))


@pytest.mark.soak
def test_learning_gives_one_forecast_on_every_processor():
    kept, other = _learned_on("Haswell"), _learned_on("Prescott")
    assert kept.shape[-1] == len(LEVELS)
    # In log volume: no limit and no median differs by more than two per cent.
    assert np.abs(kept - other).max() < 0.02
