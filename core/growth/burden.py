"""All lesions of a patient ahead: their forecasts drawn together and added.

Lesions of one patient do not grow independently. How alike they grow could not be learned: the file behind the
forecasts has one lesion a patient. A correlation of `CORRELATION` is assumed, and a note says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from core.growth.forecast import (
    UNAWARE,
    Forecast,
    HindcastResult,
    LesionSeries,
    QuantileForecast,
    clean_series,
    differs_from_locf,
    forecast,
    histories_until,
    longest_days,
    skill,
    warnings_of,
)
from core.growth.population import (
    LEVELS,
    MEDIAN,
    Population,
    PopulationParameters,
    combined_quantiles,
    default_population,
    fix_quantile_crossing,
    locf_quantiles,
    noise_at_floor,
)
from core.growth.series import LOG_FLOOR
from core.growth.support import MIN_POINTS, why_doubt_reach, why_it_ends, why_no_forecast
from core.types import TOTAL_LESION_ID, VolumePoint

Floats = NDArray[np.float64]

#: Correlation of the normal scores of two lesions of one patient (assumed).
CORRELATION = 0.5
DRAWS, SEED = 4000, 20260101
ASSUMED = (
    "The total is simulated from the lesions together, assuming that lesions of one patient grow alike with a "
    f"correlation of {CORRELATION:g}."
)


def _scores(lesions: int) -> Floats:
    """Normal scores (draws, lesions), equally correlated; the same draws every time."""
    drawn = np.random.default_rng(SEED).standard_normal((DRAWS, lesions + 1))
    return np.sqrt(CORRELATION) * drawn[:, :1] + np.sqrt(1.0 - CORRELATION) * drawn[:, 1:]


def sum_lesion_forecasts(quantiles: Sequence[Floats], last_mm3: Sequence[float], absent: Sequence[bool]) -> Floats:
    """Quantiles (h, 7) mm3 of a sum of lesions.

    Args:
        quantiles: of each lesion, (h, 7) of ln(later / last) at `LEVELS`.
        last_mm3: of each lesion, floored; absent: it was not there at all, so what stays at the floor counts 0.
    """
    drawn, at = _scores(len(quantiles)), norm.ppf(LEVELS)
    total = np.zeros((DRAWS, len(quantiles[0])))
    for n, (table, last, gone) in enumerate(zip(quantiles, last_mm3, absent, strict=True)):
        for h, limits in enumerate(table):
            steps = np.interp(drawn[:, n], at, limits)
            # Beyond the outer limits on a straight line of normal scores, as between them.
            for outer, inner in ((0, 1), (-1, -2)):
                beyond = drawn[:, n] < at[0] if outer == 0 else drawn[:, n] > at[-1]
                slope = (limits[outer] - limits[inner]) / (at[outer] - at[inner])
                steps[beyond] = limits[outer] + slope * (drawn[beyond, n] - at[outer])
            logs = np.maximum(steps + np.log(last), LOG_FLOOR)
            volumes = np.exp(np.minimum(logs, 600.0))
            total[:, h] += np.where((logs <= LOG_FLOOR + 1e-9) & gone, 0.0, volumes)
    return np.quantile(total, LEVELS, axis=0).T


def _why_carried(known: LesionSeries) -> str | None:
    return why_no_forecast(known.volumes_mm3, known.days)


def _as_gone(table: Floats, gone: bool) -> Floats:
    """A forecast (h, 7) as it is added: what was not there at all is not taken for 5 mm because of noise alone."""
    return np.where(table <= noise_at_floor() + 1e-3, np.minimum(table, 0.0), table) if gone else table


def _sum_at(
    known: Mapping[str, LesionSeries], absent: Mapping[str, bool], learned: PopulationParameters, horizon: Floats
) -> tuple[Floats, Floats]:
    """Quantiles (h, 7) mm3 of the forecast total and of LOCF's; a lesion that cannot be forecast is carried forward."""
    ours, theirs, last = [], [], []
    for points in known.values():
        past = histories_until(points, points.days.size - 1)
        carried = locf_quantiles(learned, past, horizon[None, :])[0]
        theirs.append(carried)
        ours.append(carried if _why_carried(points) else combined_quantiles(learned, past, horizon[None, :])[0])
        last.append(float(points.volumes_mm3[-1]))
    gone = list(absent.values())
    nothing = np.zeros(len(horizon))
    sums = []
    for quantiles in (ours, theirs):
        drawn = sum_lesion_forecasts([_as_gone(*pair) for pair in zip(quantiles, gone, strict=True)], last, gone)
        # The median of the sum of draws lies above the sum of medians, by the skew of the bands. That would move the
        # forecast from the last value where no lesion's own has earned it (docs/adr/0009): the middle is the plain sum.
        drawn[:, MEDIAN] = sum(
            v * np.exp(table[:, MEDIAN]) for table, v, out in zip(quantiles, last, gone, strict=True) if not out
        )
        sums.append(fix_quantile_crossing(drawn, nothing))
    return sums[0], sums[1]


def _at(series: Mapping[str, Sequence[VolumePoint]], day: float) -> dict[str, list[VolumePoint]]:
    """Every lesion's points until `day`, if it has one then: a lesion that is no number there is in no total of it."""
    cut = {name: [p for p in points if p.days <= day] for name, points in series.items()}
    return {name: points for name, points in cut.items() if any(p.days == day for p in points)}


def _known(series: Mapping[str, Sequence[VolumePoint]], noise: Mapping[str, float] | None) -> dict[str, LesionSeries]:
    usables = {name: clean_series(points, noise) for name, points in series.items()}
    return {name: points for name, points in usables.items() if points.days.size}


def _absent(series: Mapping[str, Sequence[VolumePoint]], known: Mapping[str, LesionSeries]) -> dict[str, bool]:
    """Whether each lesion was not there at its last point."""
    return {name: max(series[name], key=lambda p: p.days).volume_mm3 <= 0 for name in known}


def total_forecast(
    lesions: Mapping[str, Sequence[VolumePoint]],
    total: Sequence[VolumePoint],
    horizon_days: Sequence[float],
    population: Population | None = None,
    noise_log_sd: Mapping[str, float] | None = None,
) -> Forecast:
    """Forecast of a patient's whole burden.

    Args:
        lesions: lesion id -> its accepted volumes; total: the accepted totals, of the same timepoints.
        horizon_days: (h,) days after the last point, >= 0. The rest as in `core.growth.forecast.forecast`.

    Returns:
        As `forecast` does, for "total": refused below three totals larger than 5 mm across. Lesions with fewer than
        three usable points enter as the last value carried forward, with its interval. No probabilities of response:
        those were calibrated on single lesions.
    """
    population = population or default_population()
    learned = population.everyone
    known_total = clean_series(total)
    there = _at(lesions, float(known_total.days[-1])) if known_total.days.size else {}
    known = _known(there, noise_log_sd)
    doubts = _doubts(known, learned)
    refused = _why_carried(known_total)
    if refused is not None or not there:
        return Forecast(
            TOTAL_LESION_ID,
            refused=refused or "No lesion counts in the last total.",
            notes=doubts,
            warnings=doubts,
            learned_from=population.source,
        )
    if len(lesions) == 1:
        alone = forecast(next(iter(there.values())), horizon_days, population, noise_log_sd)
        return replace(alone, lesion_id=TOTAL_LESION_ID)
    horizon = np.asarray(horizon_days, dtype=float)
    far = why_doubt_reach(known_total.span_days, learned.max_days, horizon)
    warnings = (*doubts, far) if far else doubts
    end = why_it_ends(known_total.span_days, learned.max_days, horizon)
    horizon = horizon[horizon <= longest_days(known_total, learned)]
    summed, carried = _sum_at(known, _absent(there, known), learned, horizon)
    seen = _total_hindcasts(lesions, known_total, learned, noise_log_sd)
    axis = known_total.days[-1] + horizon
    moved = any(
        differs_from_locf(
            combined_quantiles(learned, histories_until(points, points.days.size - 1), horizon[None, :])[0]
        )
        for points in known.values()
        if _why_carried(points) is None
    )
    notes = (*warnings, *_notes(sorted(set(lesions) - set(there)), known, end))
    return Forecast(
        TOTAL_LESION_ID,
        QuantileForecast(axis, summed),
        QuantileForecast(axis, carried),
        seen,
        skill(seen),
        moved,
        {},
        None,
        notes,
        warnings,
        population.source,
    )


def _total_hindcasts(
    lesions: Mapping[str, Sequence[VolumePoint]],
    total: LesionSeries,
    learned: PopulationParameters,
    noise: Mapping[str, float] | None,
) -> tuple[HindcastResult, ...]:
    """Hindcasts of the total: the forecast of each visit from the one before it."""
    seen = []
    for n in range(MIN_POINTS, total.days.size):
        before = _at(lesions, float(total.days[n - 1]))
        if why_no_forecast(total.volumes_mm3[:n], total.days[:n]) or not before:
            continue
        days = float(total.days[n] - total.days[n - 1])
        then = _known(before, noise)
        limits = _sum_at(then, _absent(before, then), learned, np.array([days]))[0][0]
        seen.append(
            HindcastResult(
                total.timepoints[n - 1],
                total.timepoints[n],
                days,
                float(limits[MEDIAN]),
                float(limits[1]),
                float(limits[5]),
                float(total.volumes_mm3[n - 1]),
                float(total.volumes_mm3[n]),
            )
        )
    return tuple(seen)


def _doubts(known: Mapping[str, LesionSeries], learned: PopulationParameters) -> tuple[str, ...]:
    """Of each lesion, by its name, whether its last volume is plausible."""
    nothing = np.empty(0)
    return tuple(
        f"{name}: {doubt}" for name, points in known.items() for doubt in warnings_of(points, learned, nothing)
    )


def _notes(left_out: Sequence[str], known: Mapping[str, LesionSeries], end: str | None) -> tuple[str, ...]:
    notes = [ASSUMED, UNAWARE]
    if left_out:
        notes.append(f"{', '.join(left_out)}: not in the last total by itself, and not in its forecast.")
    carried = [name for name, points in known.items() if _why_carried(points)]
    if carried:
        notes.append(f"{', '.join(carried)}: too few points, or too few days, carried forward as last measured.")
    return (*notes, end) if end else tuple(notes)
