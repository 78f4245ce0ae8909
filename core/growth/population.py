"""What was learned from other patients' lesions, and the forecast it makes: `population.json`, made by `learn.py`.

The forecast's median is the last value, moved as far as the priors (`core.growth.prior`) have earned by past skill: a
prior moves it only at those horizons, with that much history, at which it beat the last value carried forward with a
bootstrap interval clear of 0. Its bands are quantiles of what came, by regression on horizon and what the lesion did
before, calibrated on patients that the regression had not seen.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from core.errors import InputError
from core.growth.prior import posterior
from core.growth.rates import READER_LOG_SD
from core.growth.series import FOLDS, LOG_FLOOR, MIN_HISTORY, LesionHistories
from core.remembered.rows import ReferenceSet

Floats = NDArray[np.float64]

#: Levels of every forecast: the limits of the 95, 80 and 50 % bands about the median.
LEVELS = (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975)
MEDIAN = LEVELS.index(0.5)
#: Horizons are weighed in these bins (days); between their middles weights are interpolated.
WEIGHT_EDGES = (0.0, 56.0, 112.0, np.inf)
WEIGHT_DAYS = (28.0, 84.0, 140.0)
#: What a population that an installation learned itself is called among the store's reference sets.
KIND = "growth-population"
State = Literal["measurable", "at_floor"]
STATES: tuple[State, State] = ("measurable", "at_floor")


def noise_at_floor() -> Floats:
    """(7,) ln(later / floor) by which what is as large as the floor is measured above it, by the readers' noise alone:
    the least that a lesion at the floor is given, for nobody knows that it will not be measured again."""
    return np.maximum(ndtri(LEVELS) * READER_LOG_SD, 0.0)


@dataclass(frozen=True, eq=False)
class PopulationParameters:
    """Parameters of the population model, learned from one set of patients.

    Args:
        priors: law -> parameters; standardised: law -> (7,) quantiles of (outcome - mean) / sd at `LEVELS`.
        weights: law -> (2, 3): at the third scan and later, by the bins of `WEIGHT_EDGES`.
        band: state -> (7, features) coefficients of `design_matrix`; the row of the median is not used.
        shift: state -> (7,) what calibration adds to each quantile.
        locf_days, locf: state -> (bins,) days and (bins, 7) quantiles of ln(later / last).
        max_days: beyond it fewer than 50 lesions were followed: no forecast.
        widen: "days" (k,) and "factors" (k, 7) by which the limits of a measurable lesion are stretched away from the
            median; {}: not at all, as in what was learned before long horizons were calibrated by themselves.
        back: (7,) ln(later / floor) that a lesion at the floor is given at least, whatever the horizon.
    """

    priors: Mapping[str, Mapping[str, float]]
    standardised: Mapping[str, Floats]
    weights: Mapping[str, Floats]
    band: Mapping[str, Floats]
    shift: Mapping[str, Floats]
    locf_days: Mapping[str, Floats]
    locf: Mapping[str, Floats]
    max_days: float
    widen: Mapping[str, Floats] = field(default_factory=dict)
    back: Floats = field(default_factory=noise_at_floor)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> PopulationParameters:
        """Read one of the sets in `population.json`."""
        arrays = ("standardised", "weights", "band", "shift", "locf_days", "locf")
        return cls(
            priors=values["priors"],
            max_days=float(values["max_days"]),
            widen={k: np.array(v, dtype=float) for k, v in values.get("widen", {}).items()},
            back=np.array(values.get("back", noise_at_floor()), dtype=float),
            **{name: {k: np.array(v, dtype=float) for k, v in values[name].items()} for name in arrays},
        )


@dataclass(frozen=True, eq=False)
class Population:
    """The shipped file: what was learned from all patients, and from all but each fold's.

    Args:
        everyone: for a new patient.
        folds: fold -> learned without its patients (`core.growth.series.fold_of`), for scoring.
        reliability: event -> rows of the reliability diagram, see `core.growth.response_probability`.
        next_scan: how often the next scan came inside the 80 % band, see `core.growth.learn.next_scan`; {} where a
            population was learned before that was counted.
        source: data, licence and DOI; sha256 of the file; lesions: how many.
    """

    everyone: PopulationParameters
    folds: tuple[PopulationParameters, ...]
    reliability: Mapping[str, Mapping[str, Any]]
    next_scan: Mapping[str, Mapping[str, float]]
    source: str
    sha256: str
    lesions: int
    version: int

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Population:
        """Read what `core.growth.learn` wrote. Raises InputError for another version."""
        if values.get("version") != 2 or len(values.get("folds", ())) != FOLDS:
            raise InputError("Expected a growth population of version 2. Make it anew: python -m core.growth.learn.")
        return cls(
            PopulationParameters.from_json(values["everyone"]),
            tuple(PopulationParameters.from_json(v) for v in values["folds"]),
            values["reliability"],
            values.get("next_scan", {}),
            values["source"],
            values["source_sha256"],
            int(values["lesions"]),
            2,
        )


@functools.lru_cache(maxsize=4)
def read_population(path: Path) -> Population:
    """A learned population. Raises InputError if the file is none."""
    try:
        return Population.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path.name} is no growth population: {error}. Make it anew with core.growth.learn."
        ) from None


def default_population() -> Population:
    """`population.json`, learned from Laleh 2022 (10.1371/journal.pcbi.1009822)."""
    return read_population(Path(__file__).with_name("population.json"))


def active_population(reference_sets: Sequence[ReferenceSet]) -> Population:
    """The newest of the reference sets of `KIND`, oldest first as the store lists them; else the shipped one."""
    return Population.from_json(reference_sets[-1].detail) if reference_sets else default_population()


def prior_change(
    learned: PopulationParameters, law: str, past: LesionHistories, horizon: Floats
) -> tuple[Floats, Floats]:
    """ln(later / last) by one prior: mean and standard deviation, each (n, h), for horizons (n, h) in days."""
    ahead = past.span[:, None] + horizon
    mean, variance = posterior(law, learned.priors[law], past.days, past.logs, past.seen, ahead, past.noise_log_sd)
    return mean - past.last[:, None], np.sqrt(variance)


def combined_change(learned: PopulationParameters, past: LesionHistories, horizon: Floats) -> Floats:
    """ln(median / last) (n, h) of the combined forecast; 0, the last value carried forward, where no prior has skill.

    A lesion at the floor stays there.
    """
    late = (past.scans > MIN_HISTORY).astype(int)
    total = np.zeros_like(horizon)
    for law, table in learned.weights.items():
        if not table.any():
            continue
        weight = np.array([np.interp(h, WEIGHT_DAYS, table[row]) for h, row in zip(horizon, late, strict=True)])
        moves = weight.any(axis=1) & ~past.floored
        if moves.any():
            some = past.select(moves)
            total[moves] += weight[moves] * prior_change(learned, law, some, horizon[moves])[0]
    return np.maximum(total, LOG_FLOOR - past.last[:, None])


def history_summary(past: LesionHistories) -> dict[str, Floats]:
    """Summary of the histories of n lesions, each (n,).

    Mean step, latest slope, rise above nadir, size above the floor, span.
    """
    gap = np.diff(past.days, axis=1)
    step = np.diff(past.logs, axis=1)
    both = past.seen[:, 1:] & past.seen[:, :-1]
    # A step is counted as over six weeks, the usual distance of two scans.
    scaled = np.abs(step) / np.sqrt(np.maximum(gap, 14.0) / 42.0)
    last = past.seen.sum(axis=1) - 2
    rows = np.arange(len(last))
    return {
        "step": (scaled * both).sum(axis=1) / np.maximum(both.sum(axis=1), 1),
        "slope": np.where(last >= 0, step[rows, last] / np.maximum(gap[rows, last], 20.0) * 30.0, 0.0),
        "rise": past.last - np.where(past.seen, past.logs, np.inf).min(axis=1),
        "size": past.last - LOG_FLOOR,
        "young": np.exp(-past.span / 100.0),
    }


def design_matrix(state: State, history: Mapping[str, Floats], horizon: Floats, moved: Floats) -> Floats:
    """Design matrix (m, features) of the quantile regression.

    All values are (m,) long; `moved` is the combined forecast's change.
    """
    one, root = np.ones_like(horizon), np.sqrt(horizon / 60.0)
    if state == "at_floor":
        return np.stack([one, root, history["young"], root * history["young"]], axis=1)
    step = np.clip(history["step"], 0.0, 1.5)
    small = np.exp(-history["size"])
    return np.stack(
        [
            one,
            root,
            root**2,
            step,
            step * root,
            root * np.clip(history["size"], 0.0, 6.0),
            root * small,
            small,
            root * np.clip(history["slope"], -1.0, 1.0),
            root * history["young"],
            root * np.clip(history["rise"], 0.0, 2.0),
            np.clip(moved, -1.0, 1.0),
        ],
        axis=1,
    )


def fix_quantile_crossing(quantiles: Floats, floor: Floats) -> Floats:
    """(m, 7) so that no limit crosses the median or another limit, nor falls below the floor."""
    out = np.maximum(quantiles, floor[:, None])
    out[:, MEDIAN:] = np.maximum.accumulate(out[:, MEDIAN:], axis=1)
    out[:, : MEDIAN + 1] = np.minimum.accumulate(out[:, MEDIAN::-1], axis=1)[:, ::-1]
    return out


def _stretched(learned: PopulationParameters, state: State, limits: Floats, horizon: Floats) -> Floats:
    """Limits (m, 7) about the median as calibration left them: stretched at long horizons, and never of no width where
    the lesion is at the floor."""
    if state == "at_floor":
        return np.maximum(limits, learned.back)
    if not learned.widen:
        return limits
    days, factors = learned.widen["days"], learned.widen["factors"]
    return limits * np.stack([np.interp(horizon, days, column) for column in factors.T], axis=-1)


def _floor(past: LesionHistories, h: int) -> Floats:
    return np.repeat(LOG_FLOOR - past.last, h)


def combined_quantiles(
    learned: PopulationParameters, past: LesionHistories, horizon: Floats, stretched: bool = True
) -> Floats:
    """Quantiles (n, h, 7) of ln(later / last) at `LEVELS`, for horizons (n, h) in days: the forecast that is shown.

    Args:
        stretched: as bands are; false for the chance of an event. Bands err on the side of width where few patients
            were followed (`PopulationParameters.widen`, `back`); a chance that does is too high (docs/growth.md).
    """
    n, h = horizon.shape
    moved = combined_change(learned, past, horizon)
    history = {name: np.repeat(value, h) for name, value in history_summary(past).items()}
    flat, centre = horizon.ravel(), moved.ravel()
    out = np.empty((n * h, len(LEVELS)))
    for state in STATES:
        rows = np.repeat(past.floored == (state == "at_floor"), h)
        state_history = {name: value[rows] for name, value in history.items()}
        limits = (
            design_matrix(state, state_history, flat[rows], centre[rows]) @ learned.band[state].T + learned.shift[state]
        )
        if stretched:
            limits = _stretched(learned, state, limits, flat[rows])
        out[rows] = centre[rows, None] + limits
    out[:, MEDIAN] = centre
    return fix_quantile_crossing(out, _floor(past, h)).reshape(n, h, len(LEVELS))


def locf_quantiles(learned: PopulationParameters, past: LesionHistories, horizon: Floats) -> Floats:
    """The same of the last value carried forward, by the empirical quantiles of its errors at each horizon."""
    n, h = horizon.shape
    out = np.empty((n, h, len(LEVELS)))
    for state in STATES:
        rows = past.floored == (state == "at_floor")
        days, table = learned.locf_days[state], learned.locf[state]
        out[rows] = np.stack([np.interp(horizon[rows], days, column) for column in table.T], axis=-1)
    out[:, :, MEDIAN] = 0.0
    return fix_quantile_crossing(out.reshape(n * h, len(LEVELS)), _floor(past, h)).reshape(n, h, len(LEVELS))


def prior_alone(learned: PopulationParameters, law: str, past: LesionHistories, horizon: Floats) -> Floats:
    """The same of one prior, its standard deviations scaled so that they cover what they say."""
    mean, sd = prior_change(learned, law, past, horizon)
    quantiles = mean[..., None] + sd[..., None] * learned.standardised[law]
    quantiles[..., MEDIAN] = mean
    n, h = horizon.shape
    return fix_quantile_crossing(quantiles.reshape(n * h, len(LEVELS)), _floor(past, h)).reshape(n, h, len(LEVELS))


def probability_below(quantiles: Floats, value: Floats) -> Floats:
    """P(outcome < value) (m,) of forecasts (m, 7): normal scores, linear between the quantiles and beyond."""
    scores = ndtri(LEVELS)
    out = np.empty(len(value))
    for row, (limits, x) in enumerate(zip(quantiles, value, strict=True)):
        spread, equal = np.unique(limits, return_counts=True)
        if spread.size < 2:
            out[row] = np.inf if x > limits[0] else -np.inf
            continue
        # If several quantiles equal the floor, the highest level counts: that is the probability of being at the floor.
        side = scores[np.cumsum(equal) - 1]
        k = int(np.clip(np.searchsorted(spread, x), 1, spread.size - 1))
        slope = (side[k] - side[k - 1]) / (spread[k] - spread[k - 1])
        out[row] = side[k - 1] + slope * (x - spread[k - 1])
    return np.asarray(ndtr(out), dtype=float)
