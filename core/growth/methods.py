"""Every way of forecasting that is measured, in one table: name -> what it says of later log volumes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student_t

from core.errors import InputError
from core.growth.curves import FLOOR_MM3, GROWTH_LAWS
from core.growth.fitting import Fit, fit
from core.growth.population import LEVELS, MEDIAN, PopulationParameters, combined_quantiles, locf_quantiles, prior_alone
from core.growth.prior import GROWTH_PRIORS
from core.growth.rates import READER_LOG_SD
from core.growth.series import LOG_FLOOR, LesionHistories

Floats = NDArray[np.float64]

#: (learned, past of n lesions, horizons (n, h) days) -> quantiles (n, h, 7) of ln(later / last) at `LEVELS`.
Forecaster = Callable[[PopulationParameters, LesionHistories, Floats], Floats]


@dataclass(frozen=True)
class Method:
    """One row of the table of methods; `says` what it rests on."""

    name: str
    says: str
    forecast: Forecaster


def _alone(law: str, learned: PopulationParameters, past: LesionHistories, horizon: Floats) -> Floats:
    return prior_alone(learned, law, past, horizon)


#: Those that learned from other patients, and the reference.
POPULATION: Mapping[str, Method] = {
    "locf": Method("locf", "last value carried forward, empirical quantiles of its errors", locf_quantiles),
    "combined": Method(
        "combined", "last value, moved by the priors where they have skill; calibrated bands", combined_quantiles
    ),
    **{
        f"{law}_prior": Method(f"{law}_prior", f"{law} prior alone, conformal bands", partial(_alone, law))
        for law in GROWTH_PRIORS
    },
}

#: A growth law fitted to the one lesion: name -> law. They learn from nobody else.
FITS: Mapping[str, str] = {f"{law}_fit": law for law in GROWTH_LAWS}


def fit_quantiles(fitted: Fit, days: Floats) -> Floats:
    """Quantiles (h, 7) of ln(volume / mm3) of a later measurement, by one fitted curve carried on.

    On the log scale the variance is g'Σg + s²: Σ the covariance of the parameters, g the curve's gradient (delta
    method), s the residual log-SD, not below 0.18 (readers, assumed). Limits by Student's t with n - p degrees of
    freedom.
    """
    s = READER_LOG_SD if np.isnan(fitted.residual_log_sd) else max(fitted.residual_log_sd, READER_LOG_SD)
    deviation = np.sqrt(np.maximum(fitted.log_variance(days), 0.0) + s**2)
    centre = np.log(np.maximum(fitted.volume_mm3(days), FLOOR_MM3))
    scores = student_t.ppf(LEVELS, max(fitted.n - len(fitted.parameters), 1))
    scores[MEDIAN] = 0.0
    return np.clip(centre[:, None] + deviation[:, None] * scores, LOG_FLOOR, 700.0)


def fit_forecast(law: str, days: Floats, volumes_mm3: Floats, horizon: Floats) -> Floats:
    """Quantiles (h, 7) of ln(later / last) by one law fitted freely to this lesion alone; NaN where it has too few
    points, or runs to where it has no value."""
    try:
        with np.errstate(all="ignore"):
            fitted = fit(law, days, volumes_mm3, READER_LOG_SD)
            out = fit_quantiles(fitted, days[-1] + horizon) - np.log(volumes_mm3[-1])
    except InputError:
        return np.full((len(horizon), len(LEVELS)), np.nan)
    return out
