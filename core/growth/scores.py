"""How good forecasts were: errors, coverage, interval score, CRPS, and skill against the last value carried forward.

Everything is on the scale of log volume, where an error of a tenth is about ten per cent of the volume.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from core.growth.population import LEVELS, MEDIAN

Floats = NDArray[np.float64]

#: Coverage in per cent -> places of its limits in `LEVELS`.
BANDS = {50: (2, 4), 80: (1, 5), 95: (0, 6)}
RESAMPLES = 1000
#: What is measured of every method.
FIGURES = (
    "median_ape_percent",
    "mean_abs_log_error",
    *(f"{what}_{band}" for band in BANDS for what in ("coverage", "width")),
    "interval_score_80",
    "crps",
    "skill_vs_locf",
    "skill_low",
    "skill_high",
)


def interval_score(low: Floats, high: Floats, outcome: Floats, coverage: float) -> Floats:
    """Width plus 2/α for every unit by which it was missed (m,), α = 1 - coverage. Gneiting & Raftery 2007,
    10.1198/016214506000001437."""
    miss = np.maximum(low - outcome, 0.0) + np.maximum(outcome - high, 0.0)
    return high - low + 2.0 / (1.0 - coverage) * miss


def _between() -> tuple[Floats, Floats]:
    """A hundred levels, and the weights (100, 7) with which the quantiles at `LEVELS` give those between and beyond
    them: straight lines over normal scores."""
    levels = (np.arange(100) + 0.5) / 100
    at, wanted = norm.ppf(LEVELS), norm.ppf(levels)
    left = np.clip(np.searchsorted(at, wanted) - 1, 0, len(LEVELS) - 2)
    share = (wanted - at[left]) / (at[left + 1] - at[left])
    weights = np.zeros((100, len(LEVELS)))
    weights[np.arange(100), left], weights[np.arange(100), left + 1] = 1.0 - share, share
    return levels, weights


def crps(quantiles: Floats, outcome: Floats) -> Floats:
    """Continuous ranked probability score (m,) of forecasts (m, 7) at `LEVELS`: twice the mean quantile loss over a
    hundred levels, which lie between and beyond the seven on straight lines over normal scores."""
    levels, weights = _between()
    error = outcome[:, None] - quantiles @ weights.T
    return 2.0 * np.maximum(levels * error, (levels - 1.0) * error).mean(axis=1)


def skill(ours: Floats, locf: Floats, patients: NDArray[np.int64]) -> tuple[float, float, float]:
    """1 - mean |log error| / LOCF's, and its 95 % interval by a bootstrap of patients (1000, seeded).

    NaN when LOCF made no error at all.
    """
    if not locf.any():
        return float("nan"), float("nan"), float("nan")
    _, index = np.unique(patients, return_inverse=True)
    method_error, locf_error = np.bincount(index, ours), np.bincount(index, locf)
    resamples = np.random.default_rng(0).integers(0, len(method_error), (RESAMPLES, len(method_error)))
    below = locf_error[resamples].sum(axis=1)
    ratios = 1.0 - method_error[resamples].sum(axis=1)[below > 0] / below[below > 0]
    low, high = np.quantile(ratios, (0.025, 0.975))
    return 1.0 - float(ours.sum() / locf.sum()), float(low), float(high)


def score(quantiles: Floats, outcome: Floats, patients: NDArray[np.int64]) -> dict[str, Any]:
    """All figures of one method over m forecasts.

    Args:
        quantiles: (m, 7) of ln(later / last) at `LEVELS`; rows with NaN (no forecast) are left out, and counted.
        outcome: (m,) ln(later / last) as it came. patients: (m,) whose.

    Returns:
        Name -> number, always the same names; None where there is none: all of them when no forecast was made, the
        skill when LOCF made no error.
    """
    has_forecast = np.isfinite(quantiles).all(axis=1)
    figures: dict[str, Any] = {
        "n": int(has_forecast.sum()),
        "lesions": len(np.unique(patients[has_forecast])),
        "not_made": int((~has_forecast).sum()),
    }
    if not has_forecast.any():
        return figures | dict.fromkeys(FIGURES)
    measured = _measure(quantiles[has_forecast], outcome[has_forecast], patients[has_forecast])
    return figures | {name: measured[name] if np.isfinite(measured[name]) else None for name in FIGURES}


def _measure(q: Floats, y: Floats, patients: NDArray[np.int64]) -> dict[str, float]:
    """The `FIGURES` of forecasts that were made; NaN where there is none."""
    error = q[:, MEDIAN] - y
    out = {
        "median_ape_percent": 100.0 * float(np.median(np.abs(np.expm1(np.minimum(error, 700.0))))),
        "mean_abs_log_error": float(np.abs(error).mean()),
    }
    for percent, (low, high) in BANDS.items():
        out[f"coverage_{percent}"] = float(((y >= q[:, low]) & (y <= q[:, high])).mean())
        out[f"width_{percent}"] = float((q[:, high] - q[:, low]).mean())
    low, high = BANDS[80]
    out["interval_score_80"] = float(interval_score(q[:, low], q[:, high], y, 0.8).mean())
    out["crps"] = float(crps(q, y).mean())
    gained = skill(np.abs(error), np.abs(y), patients)
    return out | dict(zip(("skill_vs_locf", "skill_low", "skill_high"), gained, strict=True))
