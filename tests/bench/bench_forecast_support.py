"""What a forecast needs of what was observed: coverage by horizon and reach, the floor, steps from scan to scan.

`GROWTH_FILE` names another file with the columns of Laleh 2022 (default: ../shared/data/growth/laleh2022_dev.csv). The
figures of coverage are of lesions with six points, each patient by what was learned without their fold; "before" is
without the stretching at long horizons and the width at the floor. "patients" are shares in which every patient weighs
the same. The other figures are those of `core.growth.support` and `core.growth.calibrate`.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.growth.backtest import HORIZONS, population_forecasts
from core.growth.calibrate import came_back, floor_limits
from core.growth.learn import MIN_POINTS
from core.growth.population import LEVELS, Population, PopulationParameters, default_population
from core.growth.scores import interval_score
from core.growth.series import BacktestCases, Lesion, backtest_cases, lesions_of, read_table
from core.growth.support import MIN_SPAN_DAYS, SHORTEST_STEP_DAYS, STEP_DAYS
from tests.bench import shared_data

RATIOS = (0.0, 0.5, 1.0, 2.0, 3.0, np.inf)


def run() -> list[dict[str, Any]]:
    """Rows of coverage by horizon, before and after; by horizon over the time observed; and single figures."""
    table = read_table(Path(os.environ.get("GROWTH_FILE", shared_data() / "growth" / "laleh2022_dev.csv")))
    scored, learned = backtest_cases(lesions_of(table)), backtest_cases(lesions_of(table, MIN_POINTS))
    population = default_population()
    rows = []
    for when, one in (("before", _without(population)), ("after", population)):
        quantiles = population_forecasts("combined", scored, one)
        floored = scored.past.floored[scored.target]
        for name, (low, high) in HORIZONS.items():
            cell = (scored.horizon_days > 7 * low) & (scored.horizon_days <= 7 * high)
            rows.append({"of": f"{name} weeks, {when}"} | _figures(scored, quantiles, cell))
        rows.append({"of": f"last two held out, {when}"} | _figures(scored, quantiles, scored.left[scored.target] == 2))
        rows.append({"of": f"from the floor, {when}"} | _figures(scored, quantiles, floored))
        ahead = scored.horizon_days / scored.past.span[scored.target]
        for low, high in itertools.pairwise(RATIOS):
            cell = ~floored & (ahead > low) & (ahead <= high)
            rows.append({"of": f"{low:g}-{high:g} times as far, {when}"} | _figures(scored, quantiles, cell))
    return rows + _steps(lesions_of(table, 2)) + _spans(learned) + _floor(learned)


def _without(population: Population) -> Population:
    def plain(one: PopulationParameters) -> PopulationParameters:
        return replace(one, widen={}, back=np.zeros(len(LEVELS)))

    return replace(population, everyone=plain(population.everyone), folds=tuple(map(plain, population.folds)))


def _figures(o: BacktestCases, quantiles: NDArray[np.float64], cell: NDArray[np.bool_]) -> dict[str, Any]:
    q, y, patients = quantiles[cell], o.outcome[cell], o.patients[o.target[cell]]
    _, index, count = np.unique(patients, return_inverse=True, return_counts=True)
    row: dict[str, Any] = {"n": len(y), "lesions": len(count)}
    for percent, low, high in ((80, 1, 5), (95, 0, 6)):
        inside = (y >= q[:, low]) & (y <= q[:, high])
        row |= {
            f"cover {percent}": float(inside.mean()),
            f"patients {percent}": float(np.average(inside, weights=1.0 / count[index])),
            f"interval score {percent}": float(interval_score(q[:, low], q[:, high], y, percent / 100).mean()),
        }
    return row


def _steps(lesions: Sequence[Lesion]) -> list[dict[str, Any]]:
    gap = np.concatenate([np.diff(one.days) for one in lesions])
    step = np.concatenate([np.diff(np.log(one.volumes_mm3)) for one in lesions])
    scaled = step / np.sqrt(np.maximum(gap, SHORTEST_STEP_DAYS) / STEP_DAYS)
    return [
        {"of": f"step over six weeks, quantile {level:.1%}", "n": len(step), "lesions": len(lesions), "value": value}
        for level in (0.001, 0.01, 0.99, 0.999)
        for value in [float(np.quantile(scaled, level))]
    ]


def _spans(o: BacktestCases) -> list[dict[str, Any]]:
    span, n = o.past.span, len(o.past.span)
    return [
        {"of": "shortest history learned from, days", "n": n, "value": float(span.min())},
        {"of": f"histories shorter than {MIN_SPAN_DAYS:.0f} days", "n": n, "value": int((span < MIN_SPAN_DAYS).sum())},
        {"of": "histories shorter than 56 days", "n": n, "value": int((span < 56).sum())},
    ]


def _floor(o: BacktestCases) -> list[dict[str, Any]]:
    back = came_back(o)
    largest = {"of": "the largest of them, times the floor", "value": float(np.exp(back.max()))}
    limits = [
        {"of": f"limit at the floor, level {level:g}, times", "value": float(np.exp(limit))}
        for level, limit in zip(LEVELS, floor_limits(back), strict=True)
        if level > 0.5
    ]
    return [{"of": "came back from the floor", "lesions": len(back), "value": int((back > 0).sum())}, largest, *limits]
