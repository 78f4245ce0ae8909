"""How probable it is that a lesion will cross a response threshold, and whether such probabilities can be believed.

The thresholds are the volumetric equivalents of RECIST 1.1 (sphere), from the nadir and from the baseline:
`core.growth.response_thresholds`.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from core.growth.population import probability_below
from core.growth.response_thresholds import RECIST_SPHERE_PD_PERCENT, RECIST_SPHERE_PR_PERCENT, volume_factor
from core.growth.series import BacktestCases, Lesion

Floats = NDArray[np.float64]

#: event -> (factor, of which volume so far, whether it is crossed upwards).
EVENTS: Mapping[str, tuple[float, str, bool]] = {
    "progression": (volume_factor(RECIST_SPHERE_PD_PERCENT), "nadir", True),
    "partial response": (volume_factor(RECIST_SPHERE_PR_PERCENT), "baseline", False),
}
EDGES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
#: Probabilities are shown when they are off by no more than this on average, over patients not learned from (assumed).
MAX_ERROR = 0.03


def threshold_change(event: str, logs_so_far: Floats) -> float:
    """ln(threshold / last volume) of the log volumes so far (n,), in order of time."""
    factor, of, _ = EVENTS[event]
    reference = logs_so_far.min() if of == "nadir" else logs_so_far[0]
    return float(np.log(factor) + reference - logs_so_far[-1])


def probability(event: str, quantiles: Floats, change: Floats) -> Floats:
    """P(event) (m,) from forecasts (m, 7) of ln(later / last) and the change (m,) that would be the event."""
    below = probability_below(quantiles, change)
    return 1.0 - below if EVENTS[event][2] else below


def reliability(lesions: Sequence[Lesion], o: BacktestCases, quantiles: Floats) -> dict[str, Any]:
    """Reliability of the predicted probabilities: event -> how often it was observed, by predicted probability.

    Args:
        quantiles: (m, 7) at each target of `o`, by what was learned without that patient.

    Returns:
        event -> {"bins": [{"from", "to", "forecasts", "said", "came", "low95", "high95"}], "mean_error", "brier",
        "brier_of_the_base_rate", "calibrated"}; forecasts of lesions that are across already are left out.
    """
    out: dict[str, Any] = {}
    for event, (_, _, up) in EVENTS.items():
        so_far = (np.log(lesions[p].volumes_mm3[:n]) for p, n in zip(o.patients, o.past.scans, strict=True))
        needed = np.array([threshold_change(event, logs) for logs in so_far])[o.target]
        open_ = needed > 0 if up else needed < 0
        predicted = probability(event, quantiles[open_], needed[open_])
        observed = (o.outcome > needed if up else o.outcome < needed)[open_]
        bins = [_reliability_bin(predicted, observed, low, high) for low, high in itertools.pairwise(EDGES)]
        bins = [b for b in bins if b["forecasts"]]
        if not bins:
            out[event] = {"bins": [], "forecasts": 0, "mean_error": 0.0, "calibrated": False}
            continue
        error = sum(b["forecasts"] * abs(b["said"] - b["came"]) for b in bins) / len(predicted)
        out[event] = {
            "bins": bins,
            "forecasts": len(predicted),
            "mean_error": round(error, 4),
            "brier": round(float(((predicted - observed) ** 2).mean()), 4),
            "brier_of_the_base_rate": round(float(observed.mean() * (1 - observed.mean())), 4),
            "calibrated": bool(error <= MAX_ERROR),
        }
    return out


def _reliability_bin(predicted: Floats, observed: NDArray[np.bool_], low: float, high: float) -> dict[str, Any]:
    inside = (predicted >= low) & ((predicted < high) | (high == EDGES[-1]))
    n, k = int(inside.sum()), int(observed[inside].sum())
    limits = beta.ppf((0.025, 0.975), (k, k + 1), (n - k + 1, n - k))  # Clopper-Pearson
    return {
        "from": low,
        "to": high,
        "forecasts": n,
        "said": round(float(predicted[inside].mean()), 4) if n else None,
        "came": round(k / n, 4) if n else None,
        "low95": round(float(np.nan_to_num(limits[0], nan=0.0)), 4),
        "high95": round(float(np.nan_to_num(limits[1], nan=1.0)), 4),
    }
