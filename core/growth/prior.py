"""What lesions like it have done: three priors on log volume, each with a closed-form posterior.

Each is Gaussian: ln v(t) = level + mean(t) + deviations whose covariance over time is `covariance`, measured with
noise. What a lesion's own scans say of later ones is then one small linear solve. Their parameters are learned from
other patients (`core.growth.learn`), not assumed.

- trend: the level wanders (Wiener) and carries a trend that dies away (integrated Ornstein-Uhlenbeck process).
- gompertz: dy = ω(y∞ - y)dt + q dW, the Gompertz law with process noise; the plateau y∞ is the lesion's own.
- tgi: Claret's tumour growth inhibition, regrowth and a kill that wears off, both the lesion's own, with Wiener noise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Values = Mapping[str, float]

#: The level's own spread, log-SD: wide enough that the scans alone decide it.
LEVEL_SD = 2.0

#: A scan's variance is never taken for less than this share of the largest variance beside it: it bounds the condition
#: of every system that is solved here (by 8e8 for eight scans), so that no answer hangs on a processor's last bit.
NOISE_SHARE = 1e-8

#: What each parameter can be, per day and in log volume; learning stays within, and a value beyond counts as the limit.
LIMITS: Mapping[str, tuple[float, float]] = {
    "noise": (0.01, 1.0),
    "wander": (1e-3, 0.5),
    "drift": (-0.1, 0.1),
    "early": (-0.1, 0.1),
    "early_days": (3.0, 3650.0),
    "trend_sd": (1e-5, 0.1),
    "decay": (1e-4, 1.0),
    "change": (-10.0, 10.0),
    "change_sd": (0.01, 10.0),
    "omega": (1e-4, 1.0),
    "growth": (-0.1, 0.1),
    "growth_sd": (1e-6, 0.1),
    "kill": (-0.1, 0.1),
    "kill_sd": (1e-5, 0.1),
    "resistance": (1e-4, 1.0),
}


def _fades(days: Floats, rate: float) -> Floats:
    """(1 - exp(-rate·t)) / rate: what an effect that dies away at `rate` has added up to by `days`."""
    return -np.expm1(-rate * days) / rate


def _trend_mean(days: Floats, v: Values) -> Floats:
    return v["drift"] * days + v["early"] * _fades(days, 1 / v["early_days"])


def _trend_covariance(a: Floats, b: Floats, v: Values) -> Floats:
    rate = v["decay"]
    wander = v["wander"] ** 2 * np.minimum(a, b)
    both = 2 * np.minimum(a, b) / rate
    trend = both + (np.exp(-rate * a) + np.exp(-rate * b) - 1 - np.exp(-rate * np.abs(a - b))) / rate**2
    return wander + v["trend_sd"] ** 2 * trend


def _gompertz_mean(days: Floats, v: Values) -> Floats:
    return v["change"] * -np.expm1(-v["omega"] * days)


def _gompertz_covariance(a: Floats, b: Floats, v: Values) -> Floats:
    rate = v["omega"]
    plateau = v["change_sd"] ** 2 * np.expm1(-rate * a) * np.expm1(-rate * b)
    noise = v["wander"] ** 2 / (2 * rate) * (np.exp(-rate * np.abs(a - b)) - np.exp(-rate * (a + b)))
    return plateau + noise


def _tgi_mean(days: Floats, v: Values) -> Floats:
    return v["growth"] * days - v["kill"] * _fades(days, v["resistance"])


def _tgi_covariance(a: Floats, b: Floats, v: Values) -> Floats:
    rate = v["resistance"]
    kill = v["kill_sd"] ** 2 * _fades(a, rate) * _fades(b, rate)
    return v["growth_sd"] ** 2 * a * b + kill + v["wander"] ** 2 * np.minimum(a, b)


@dataclass(frozen=True)
class GrowthPrior:
    """One prior's form. `start` are values to begin learning from; those in `positive` are learned on the log scale."""

    mean: Callable[[Floats, Values], Floats]
    covariance: Callable[[Floats, Floats, Values], Floats]
    start: Mapping[str, float]
    positive: frozenset[str]


_ALWAYS = frozenset(
    {"noise", "wander", "decay", "trend_sd", "early_days", "omega", "change_sd", "resistance", "kill_sd", "growth_sd"}
)

GROWTH_PRIORS: Mapping[str, GrowthPrior] = {
    "trend": GrowthPrior(
        _trend_mean,
        _trend_covariance,
        {
            "drift": 2e-4,
            "early": -5e-3,
            "early_days": 60.0,
            "noise": 0.1,
            "wander": 0.03,
            "trend_sd": 0.004,
            "decay": 0.01,
        },
        _ALWAYS,
    ),
    "gompertz": GrowthPrior(
        _gompertz_mean,
        _gompertz_covariance,
        {"change": -0.2, "change_sd": 0.5, "omega": 0.01, "noise": 0.1, "wander": 0.04},
        _ALWAYS,
    ),
    "tgi": GrowthPrior(
        _tgi_mean,
        _tgi_covariance,
        {
            "growth": 5e-4,
            "growth_sd": 5e-4,
            "kill": 5e-3,
            "kill_sd": 5e-3,
            "resistance": 0.02,
            "noise": 0.1,
            "wander": 0.04,
        },
        _ALWAYS,
    ),
}


def posterior(
    law: str,
    values: Values,
    days: Floats,
    logs: Floats,
    seen: NDArray[np.bool_],
    ahead: Floats,
    noise_log_sd: Floats | None = None,
) -> tuple[Floats, Floats]:
    """What n lesions' scans say of later log volumes, by one prior.

    Args:
        law: a name in `GROWTH_PRIORS`; values: its parameters, rates per day, standard deviations of log volume;
            beyond `LIMITS` they count as the limit.
        days, logs, seen: (n, p) days since each lesion's first scan, ln(volume / mm3), and which entries are there.
        ahead: (n, h) days since the first scan at which to look.
        noise_log_sd: (n, p) of each measurement, where it is known to be more than the learned `noise`; None: learned.

    Returns:
        Mean (n, h) and variance (n, h) of a later *measurement*'s log volume; finite for finite input.
    """
    form, values = GROWTH_PRIORS[law], _within(values)
    level = LEVEL_SD**2
    noise = np.full(days.shape, values["noise"]) if noise_log_sd is None else np.maximum(noise_log_sd, values["noise"])
    both = seen[:, :, None] & seen[:, None, :]
    covariance = np.where(both, form.covariance(days[:, :, None], days[:, None, :], values) + level, 0.0)
    least = NOISE_SHARE * covariance.max(axis=(1, 2), initial=0.0)[:, None]
    covariance = covariance + np.eye(days.shape[1]) * np.where(seen, np.maximum(noise**2, least), 1.0)[:, None, :]
    across = (form.covariance(ahead[:, :, None], days[:, None, :], values) + level) * seen[:, None, :]
    # The level has no prior mean worth the name: the scans' own mean stands in for it.
    centre = (logs * seen).sum(axis=1, keepdims=True) / seen.sum(axis=1, keepdims=True)
    off = np.where(seen, logs - centre - form.mean(days, values), 0.0)
    solved = np.linalg.solve(covariance, np.concatenate([off[:, :, None], across.transpose(0, 2, 1)], axis=2))
    mean = centre + form.mean(ahead, values) + (across @ solved[:, :, :1])[:, :, 0]
    before = form.covariance(ahead, ahead, values) + level + values["noise"] ** 2
    explained = np.einsum("nhp,nph->nh", across, solved[:, :, 1:])
    return mean, np.maximum(before - explained, values["noise"] ** 2)


def _within(values: Values) -> dict[str, float]:
    return {name: min(max(value, LIMITS[name][0]), LIMITS[name][1]) for name, value in values.items()}


def bounds(law: str) -> list[tuple[float, float]]:
    """`LIMITS` as learning sees them, in the order of `to_vector`."""
    low, high = (to_vector(law, {k: LIMITS[k][side] for k in GROWTH_PRIORS[law].start}) for side in (0, 1))
    return [(min(pair), max(pair)) for pair in zip(low.tolist(), high.tolist(), strict=True)]


def to_vector(law: str, values: Values) -> Floats:
    """The parameters as learning sees them: logs of the positive ones, the others in units of their starting value."""
    form = GROWTH_PRIORS[law]
    return np.array([math.log(values[k]) if k in form.positive else values[k] / form.start[k] for k in form.start])


def from_vector(law: str, vector: Floats) -> dict[str, float]:
    """The inverse of `to_vector`."""
    form = GROWTH_PRIORS[law]
    pairs = zip(form.start.items(), vector, strict=True)
    return {k: math.exp(x) if k in form.positive else float(x) * start for (k, start), x in pairs}
