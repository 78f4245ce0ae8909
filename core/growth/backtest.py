"""Back-test: every method's hindcasts on a file of measured lesions, against the volumes observed.

No parameter comes from the patients it is scored on: each patient meets what was learned without their fold
(`core.growth.series.fold_of`), which for a patient of another file is as good as any.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from core.growth.methods import FITS, POPULATION, fit_forecast
from core.growth.population import LEVELS, Population, default_population
from core.growth.scores import score
from core.growth.series import FOLDS, MIN_SCORED, BacktestCases, Lesion, backtest_cases, lesions_of, read_table
from core.types import Progress, no_progress

Floats = NDArray[np.float64]

HOLDOUTS = (1, 2, 3)
#: Name -> weeks ahead, above the first and up to the second.
HORIZONS = {"0-8": (0.0, 8.0), "8-16": (8.0, 16.0), "16-32": (16.0, 32.0), ">32": (32.0, np.inf), ">16": (16.0, np.inf)}
#: So many lesions are forecast one by one to time them.
TIMED = 100


def population_forecasts(name: str, o: BacktestCases, population: Population) -> Floats:
    """Quantiles (m, 7) at every target, each by what was learned without the patient's fold."""
    horizon, column = o.grid()
    out = np.empty((len(o.target), len(LEVELS)))
    for fold in range(FOLDS):
        rows = o.folds == fold
        if rows.any():
            quantiles = POPULATION[name].forecast(population.folds[fold], o.past.select(rows), horizon[rows])
            ahead = rows[o.target]
            out[ahead] = quantiles[(np.cumsum(rows) - 1)[o.target[ahead]], column[ahead]]
    return out


def _fits_of(law: str, job: tuple[Lesion, list[tuple[int, Floats]]]) -> list[tuple[Floats, float]]:
    """One lesion's forecasts by one law, from each of its origins, with the seconds each took."""
    lesion, wanted = job
    timed_forecasts = []
    for origin, horizon in wanted:
        start = time.perf_counter()
        until = slice(0, origin + 1)
        timed_forecasts.append(
            (fit_forecast(law, lesion.days[until], lesion.volumes_mm3[until], horizon), time.perf_counter() - start)
        )
    return timed_forecasts


def fit_forecasts(
    name: str, lesions: Sequence[Lesion], o: BacktestCases, pool: ProcessPoolExecutor
) -> tuple[Floats, float]:
    """Quantiles (m, 7) at every target by a law fitted to the lesion alone, and the median milliseconds a forecast."""
    first = np.searchsorted(o.target, np.arange(len(o.left) + 1))
    jobs: list[tuple[Lesion, list[tuple[int, Floats]]]] = [(lesion, []) for lesion in lesions]
    for row, (patient, origin) in enumerate(zip(o.patients, o.past.scans - 1, strict=True)):
        jobs[patient][1].append((int(origin), o.horizon_days[first[row] : first[row + 1]]))
    done = list(pool.map(partial(_fits_of, FITS[name]), jobs, chunksize=16))
    parts = [part for lesion in done for part in lesion]  # origins are in order of lesion, then of time
    return np.concatenate([q for q, _ in parts]), 1000.0 * float(np.median([s for _, s in parts]))


def _milliseconds(name: str, o: BacktestCases, population: Population) -> float:
    """Median time of one lesion's forecast of its next scans, one lesion at a time."""
    horizon, _ = o.grid()
    taken = []
    for row in range(min(TIMED, len(o.left))):
        one = o.past.select(np.arange(len(o.left)) == row)
        start = time.perf_counter()
        POPULATION[name].forecast(population.folds[o.folds[row]], one, horizon[row : row + 1])
        taken.append(time.perf_counter() - start)
    return 1000.0 * float(np.median(taken))


def _cases(o: BacktestCases) -> Iterator[tuple[str, str, NDArray[np.bool_]]]:
    """(section, name, which targets (m,)): the last 1, 2, 3 scans held out; every origin, by horizon; the next scan, by
    whether follow-up went on after it."""
    for n in HOLDOUTS:
        yield "holdout", str(n), o.left[o.target] == n
    for name, (low, high) in HORIZONS.items():
        yield "horizon_weeks", name, (o.horizon_days > 7 * low) & (o.horizon_days <= 7 * high)
    for name, which in o.next_scan().items():
        yield "next_scan", name, which


def backtest(
    lesions: Sequence[Lesion],
    population: Population | None = None,
    fits: bool = True,
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """Every method on every forecast that could have been made of `lesions`.

    Args:
        lesions: of at least `MIN_SCORED` points each.
        population: learned from other patients (default: the shipped one).
        fits: also fit every growth law to every lesion; minutes for hundreds of lesions.

    Returns:
        "holdout": {"1" | "2" | "3": {method: figures}}, "horizon_weeks": {"0-8" | …: {method: figures}}, "next_scan":
        {"any" | "the last" | "not the last": {method: figures}}, figures as in `core.growth.scores.score` with
        "milliseconds" for one lesion's forecast; and what it rests on.

    Raises:
        InputError: there is no lesion with enough points.
    """
    if not lesions:
        raise InputError(
            f"Expected lesions of at least {MIN_SCORED} scans on different days, got none. Each line is one scan of "
            "one lesion; lines of one Pt_hashID belong together."
        )
    population = population or default_population()
    o = backtest_cases(lesions)
    patients = o.patients[o.target]
    names = [*POPULATION, *(FITS if fits else ())]
    answer: dict[str, Any] = {
        "lesions": len(lesions),
        "forecasts": len(o.target),
        "min_points": MIN_SCORED,
        "learned_from": {"source": population.source, "sha256": population.sha256, "lesions": population.lesions},
        "cross_fitted": f"every patient is scored with what was learned without their fold of {FOLDS}",
        "holdout": {},
        "horizon_weeks": {},
        "next_scan": {},
    }
    cases = list(_cases(o))
    # Spawned, not forked: threads of numerical libraries do not survive a fork.
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        for n, name in enumerate(names):
            progress(n / len(names), f"measuring {name}")
            if name in POPULATION:
                quantiles, taken = population_forecasts(name, o, population), _milliseconds(name, o, population)
            else:
                quantiles, taken = fit_forecasts(name, lesions, o, pool)
            for section, case, which in cases:
                if which.any():
                    figures = score(quantiles[which], o.outcome[which], patients[which])
                    answer[section].setdefault(case, {})[name] = figures | {"milliseconds": taken}
    progress(1.0, "measured")
    return answer


def backtest_file(path: Path, fits: bool = True, progress: Progress = no_progress) -> dict[str, Any]:
    """`backtest` of a file with the columns Pt_hashID, T_days, Lesion_vol."""
    table = read_table(path)
    answer = backtest(lesions_of(table), fits=fits, progress=progress)
    return {"file": path.name, "read_as": table.read_as, **answer}
