"""Bands that hold for patients they were not learned from: their regression, its shift, and what long horizons and the
floor need besides. A part of `core.growth.learn`."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta
from sklearn.linear_model import QuantileRegressor

from core.growth.population import LEVELS, MEDIAN, noise_at_floor
from core.growth.series import BacktestCases

Floats = NDArray[np.float64]

#: Limits are stretched in these bins of the horizon, days, fully at the median of each, and not at all until the middle
#: of the bin of `core.growth.population.WEIGHT_DAYS` before them. A bin needs so many patients.
WIDEN_EDGES, WIDEN_FROM_DAYS, MIN_PATIENTS = (112.0, 224.0, np.inf), 84.0, 30
#: A limit nearer to the median than this is stretched as if it were there, log units.
LEAST_LIMIT = 0.02
#: ln(later / floor) above which a lesion is back.
ABOVE_FLOOR = 1e-9


def _regress(x: Floats, y: Floats, level: float) -> Floats:
    fitted = QuantileRegressor(quantile=level, alpha=1e-4, fit_intercept=False, solver="highs").fit(x, y)
    return np.asarray(fitted.coef_, dtype=float)


class Bands(NamedTuple):
    """`PopulationParameters.band` and `shift` of one state, and the limits (m, 7) that a regression without the patient
    gives each forecast that was learned from, shifted."""

    coefficients: list[list[float]]
    shift: list[float]
    unseen: Floats


def fit_conformal_bands(x: Floats, y: Floats, folds: NDArray[np.int64]) -> Bands:
    """Coefficients (7, features) of each level's quantile, and (7,) what to add so that it holds for unseen patients.

    The addition is split-conformal: the level's quantile of y minus what a regression without that patient's fold says.
    """
    coefficients, shift = np.zeros((len(LEVELS), x.shape[1])), np.zeros(len(LEVELS))
    limits = np.zeros((len(y), len(LEVELS)))
    for n, level in enumerate(LEVELS):
        if n == MEDIAN:
            continue
        for fold in np.unique(folds):
            in_fold = folds == fold
            limits[in_fold, n] = x[in_fold] @ _regress(x[~in_fold], y[~in_fold], level)
        coefficients[n], shift[n] = _regress(x, y, level), np.quantile(y - limits[:, n], level)
    return Bands(np.round(coefficients, 5).tolist(), np.round(shift, 5).tolist(), limits + shift)


def learn_widening(
    unseen: Floats, y: Floats, horizon_days: Floats, patients: NDArray[np.int64]
) -> dict[str, list[Any]]:
    """How far limits must be stretched at long horizons: `PopulationParameters.widen`.

    The shift of `fit_conformal_bands` is one for all horizons, and counts forecasts, of which the few patients who are
    followed for long have the most. Here, in each bin of `WIDEN_EDGES`, patients weigh the same: every limit is
    stretched until it holds for its share of them, never to less than it was or than at a shorter horizon.

    Args:
        unseen: (m, 7) limits about the median, each by a regression without that patient; y: (m,) what came, about it.
    """
    days, factors = [WIDEN_FROM_DAYS], [np.ones(len(LEVELS))]
    for low, high in itertools.pairwise(WIDEN_EDGES):
        cell = (horizon_days > low) & (horizon_days <= high)
        _, index, count = np.unique(patients[cell], return_inverse=True, return_counts=True)
        if len(count) < MIN_PATIENTS:
            break
        stretch = np.ones(len(LEVELS))
        for n, level in enumerate(LEVELS):
            if n != MEDIAN:
                side = -1.0 if level < 0.5 else 1.0
                missed_by = side * y[cell] / np.maximum(side * unseen[cell, n], LEAST_LIMIT)
                share = max(level, 1.0 - level)
                stretch[n] = np.quantile(missed_by, share, weights=1.0 / count[index], method="inverted_cdf")
        days.append(float(np.median(horizon_days[cell])))
        factors.append(np.maximum(stretch, factors[-1]))
    return {"days": days, "factors": [np.round(row, 4).tolist() for row in factors]}


def came_back(o: BacktestCases) -> Floats:
    """(n,) of every lesion that was forecast from the floor: ln(volume / floor) when it was first measured again after
    the first of these forecasts, 0 where it never was."""
    at_floor = o.past.floored[o.target]
    found = []
    for patient in np.unique(o.patients[o.target[at_floor]]):
        first = np.flatnonzero(o.past.floored & (o.patients == patient))[0]
        later = o.outcome[o.target == first]
        found.append(next(iter(later[later > ABOVE_FLOOR]), 0.0))
    return np.array(found)


def floor_limits(back: Floats) -> list[float]:
    """`PopulationParameters.back`, from what `came_back` says.

    Few lesions were seen at the floor, and most stayed: their quantiles have no width. So the share that comes back is
    taken as high as their number leaves open (upper limit, one-sided 95 %, of Clopper and Pearson 1934,
    10.1093/biomet/26.4.404), and how large those are is what these were.
    """
    sizes = back[back > 0]
    if not sizes.size:
        return np.round(noise_at_floor(), 4).tolist()
    share = float(beta.ppf(0.95, sizes.size + 1, back.size - sizes.size)) if sizes.size < back.size else 1.0
    within = (np.array(LEVELS) - (1.0 - share)) / share
    limits = np.where(within > 0, np.quantile(sizes, np.clip(within, 0.0, 1.0)), 0.0)
    return np.round(np.maximum(limits, noise_at_floor()), 4).tolist()
