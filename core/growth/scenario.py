"""What if: a treatment started, stopped or delayed, as a simulation under stated assumptions. It forecasts nothing.

Every draw follows d ln v/dt = g(v) - kill·exp(-resistance·t): untreated growth g by one of five laws that agree on the
rate of today and differ on what comes, and a kill that wears off from the first day of treatment. What differs between
the laws is shown, because nobody knows which is right.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from core.errors import InputError
from core.growth.curves import FLOOR_MM3
from core.growth.effects import Effect
from core.growth.forecast import QuantileForecast
from core.growth.population import LEVELS, default_population
from core.growth.series import LOG_FLOOR

Floats = NDArray[np.float64]

DRAWS, SEED = 300, 20260102
MAX_DAYS = 730.0
#: The plateau lies so many times above the last volume, spread evenly on the log scale (assumed).
PLATEAU_TIMES = (3.0, 100.0)
POWER = 0.75
ASSUMPTIONS = (
    "Simulation under stated assumptions, not a forecast and no advice.",
    "Untreated growth follows one of five laws that agree on today's rate; a plateau lies 3 to 100 times above the "
    "last volume (assumed).",
    "The effect of the treatment wears off from its first day at the rate learned from other patients, and does not "
    "come back after a pause (assumed).",
    "Rates are those of the people in the source, who were treated for a reason: differences between sources are no "
    "differences between treatments.",
)

#: law -> relative rate of growth at y = ln(v / v0), over that at v0; k = ln(plateau / v0).
GROWTH: Mapping[str, Callable[[Floats, Floats], Floats]] = {
    "exponential": lambda y, k: np.ones_like(y),
    "power law": lambda y, k: np.exp((POWER - 1.0) * y),
    "gompertz": lambda y, k: (k - y) / k,
    "logistic": lambda y, k: np.expm1(y - k) / np.expm1(-k),
    "bertalanffy": lambda y, k: np.expm1((k - y) / 3.0) / np.expm1(k / 3.0),
}


@dataclass(frozen=True)
class TreatmentPeriod:
    """A treatment from `start_days` after the last scan on, until `stop_days` (None: to the end)."""

    effect: Effect
    start_days: float
    stop_days: float | None = None


@dataclass(frozen=True, eq=False)
class Simulated:
    """What came of it.

    Args:
        fan: over all laws and draws, days after the last scan.
        medians_mm3: law -> (h,) mm3: how far the choice of law alone moves the middle.
        cannot_tell_from: day after which growth cannot be told from radiation necrosis; None where there was none.
    """

    fan: QuantileForecast
    medians_mm3: Mapping[str, Floats]
    cannot_tell_from: float | None


def _draw(quantiles: Sequence[float], scores: Floats) -> Floats:
    """Draws (n,) whose 10, 50 and 90 % quantiles are those given: half a normal to either side of the median."""
    low, middle, high = quantiles
    at = float(norm.ppf(0.9))
    return np.where(scores < 0, middle + scores * (middle - low) / at, middle + scores * (high - middle) / at)


def check_scenario(last_mm3: float, growth: Sequence[float], courses: Sequence[TreatmentPeriod], days: Floats) -> None:
    """Raises InputError for volumes, rates, courses or days that make no sense."""
    if not (math.isfinite(last_mm3) and last_mm3 >= FLOOR_MM3):
        raise InputError("A simulation needs a lesion larger than 5 mm across at the last accepted timepoint.")
    if len(growth) != 3 or list(growth) != sorted(growth) or not np.isfinite(growth).all():
        raise InputError("Expected the growth rate's 10, 50 and 90 % quantiles, rising.")
    if days.size == 0 or days.min() < 0 or days.max() > MAX_DAYS or (np.diff(days) <= 0).any():
        raise InputError(f"Expected rising days from 0 to {MAX_DAYS:.0f} after the last scan.")
    for course in courses:
        if course.start_days < 0 or (course.stop_days is not None and course.stop_days <= course.start_days):
            raise InputError("A treatment starts after the last scan and stops after it started. Change start or stop.")


def simulate(
    last_mm3: float, growth: Sequence[float], courses: Sequence[TreatmentPeriod], days: Sequence[float]
) -> Simulated:
    """Run every law with the same draws.

    Args:
        last_mm3: the last accepted volume, mm3, above 5 mm diameter.
        growth: 10, 50 and 90 % quantiles of the untreated rate of ln(volume), per day.
        courses: treatments to come, each from a day after the last scan; none: untreated.
        days: (h,) rising days after the last scan, 0 to 730.

    Raises:
        InputError: see `check_scenario`.
    """
    wanted = np.asarray(days, dtype=float)
    check_scenario(last_mm3, growth, courses, wanted)
    random = np.random.default_rng(SEED)
    rate = _draw(growth, random.standard_normal(DRAWS))
    plateau = random.uniform(math.log(PLATEAU_TIMES[0]), math.log(PLATEAU_TIMES[1]), DRAWS)
    scores = random.standard_normal((len(courses), 2, DRAWS))
    wears_off = default_population().everyone.priors["tgi"]["resistance"]
    steps = np.arange(math.ceil(wanted[-1]) + 1, dtype=float)
    kills = np.zeros((steps.size, DRAWS))
    for course, (first, again) in zip(courses, scores, strict=True):
        # On treatment the net rate starts at `first` and ends at `regrowth`.
        strength = np.maximum(_draw(course.effect.regrowth, again) - _draw(course.effect.first, first), 0.0)
        on = (steps >= course.start_days) & (steps < (course.stop_days if course.stop_days is not None else np.inf))
        kills[on] += np.exp(-wears_off * (steps[on] - course.start_days))[:, None] * strength
    paths = {law: _run(shape, rate, plateau, kills, math.log(last_mm3)) for law, shape in GROWTH.items()}
    at = {law: np.array([np.interp(wanted, steps, path) for path in table.T]) for law, table in paths.items()}
    together = np.exp(np.quantile(np.concatenate(list(at.values())), LEVELS, axis=0).T)
    after = [course.start_days for course in courses if course.effect.radiotherapy]
    return Simulated(
        QuantileForecast(wanted, together),
        {law: np.exp(np.median(table, axis=0)) for law, table in at.items()},
        min(after) if after else None,
    )


def _run(
    shape: Callable[[Floats, Floats], Floats], rate: Floats, plateau: Floats, kills: Floats, start: float
) -> Floats:
    """ln volume (days, draws), a day a step, not below 5 mm diameter."""
    out = np.empty_like(kills)
    out[0] = start
    for day in range(1, len(kills)):
        y = np.clip(out[day - 1] - start, -20.0, plateau)
        out[day] = np.clip(out[day - 1] + rate * shape(y, plateau) - kills[day - 1], LOG_FLOOR, start + 25.0)
    return out
