"""A growth law fitted to one lesion's volumes: parameters with intervals, or that they cannot be told.

A fit minimises squared error of *log* volume: the error of a segmented volume is proportional to the volume.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import least_squares
from scipy.special import expit, logit
from scipy.stats import t as student_t

from core.errors import InputError
from core.growth.curves import GROWTH_LAWS, GrowthLaw, Scale, prepare

Floats = NDArray[np.float64]

#: A parameter known no better than to a factor e (log standard error above 1) is called not identifiable.
MAX_LOG_SE = 1.0
#: Parameters whose scaled information matrix is worse conditioned than this cannot be told apart.
MAX_CONDITION = 1e12


@dataclass(frozen=True, eq=False)
class Fit:
    """One curve fitted to one series.

    Args:
        curve: the name in `GROWTH_LAWS`.
        parameters: natural units, in the curve's order; v0 is the volume at `first_day`.
        low95, high95: 95 % intervals of the parameters (NaN where no error could be estimated).
        standard_errors: of the parameters, natural units, by the delta method (NaN likewise).
        residual_log_sd: of log volume, root of RSS / (n - p); NaN when n = p.
        aicc: small-sample Akaike criterion counting the residual variance as a parameter; inf when n is too small for
            it.
        identifiable: False when some parameter is at a bound or known no better than to a factor e; `reason` says
            which.
        first_day, last_day: days of the first and last point, on the caller's axis.
        covariance: (p, p) of the parameters on their scales (`core.growth.curves.Scale`).
        n: points used.
    """

    curve: str
    parameters: tuple[float, ...]
    standard_errors: tuple[float, ...]
    low95: tuple[float, ...]
    high95: tuple[float, ...]
    residual_log_sd: float
    aicc: float
    identifiable: bool
    reason: str
    first_day: float
    last_day: float
    covariance: Floats
    n: int

    def volume_mm3(self, days: ArrayLike) -> Floats:
        """The fitted curve (n,) mm3 at `days` (n,) on the caller's axis."""
        return GROWTH_LAWS[self.curve].volume_mm3(np.asarray(days, dtype=float) - self.first_day, *self.parameters)

    def named(self) -> dict[str, float]:
        """Parameter name -> value."""
        return dict(zip(GROWTH_LAWS[self.curve].parameters, self.parameters, strict=True))

    def log_variance(self, days: ArrayLike) -> Floats:
        """Variance (n,) of the fitted log volume at `days` (n,) from the parameters' uncertainty (delta method)."""
        curve = GROWTH_LAWS[self.curve]
        inner = _to_inner(curve, self.parameters)
        times = np.asarray(days, dtype=float) - self.first_day
        gradient = np.empty((times.size, inner.size))
        for column in range(inner.size):
            step = np.zeros_like(inner)
            step[column] = 1e-5 * max(1.0, abs(inner[column])) if curve.terms[column].scale != "plain" else 1e-7
            ahead, behind = (curve.log_volume(times, *_to_natural(curve, inner + s)) for s in (step, -step))
            gradient[:, column] = (ahead - behind) / (2 * step[column])
        return np.einsum("ij,jk,ik->i", gradient, self.covariance, gradient)


def _inner(value: float, scale: Scale) -> float:
    return math.log(value) if scale == "log" else float(logit(value)) if scale == "logit" else value


def _natural(value: float, scale: Scale) -> float:
    return math.exp(min(value, 700.0)) if scale == "log" else float(expit(value)) if scale == "logit" else float(value)


def _to_inner(curve: GrowthLaw, natural: Sequence[float] | Floats) -> Floats:
    return np.array([_inner(float(x), term.scale) for x, term in zip(natural, curve.terms, strict=True)])


def _to_natural(curve: GrowthLaw, inner: Floats) -> list[float]:
    return [_natural(x, term.scale) for x, term in zip(inner, curve.terms, strict=True)]


def fit(curve: str, days: ArrayLike, volumes_mm3: ArrayLike, noise_log_sd: float = 0.0) -> Fit:
    """Fit one law by bounded least squares on log volume, from several starts.

    Args:
        curve: a name in `GROWTH_LAWS`.
        days: (n,) days, any origin; see `core.growth.curves.prepare` for order and duplicates.
        volumes_mm3: (n,) mm3; below 5 mm diameter floored.
        noise_log_sd: log-SD of one measurement, a lower limit on the scatter that the standard errors assume; it is
            what they rest on when there are as many points as parameters.

    Returns:
        The best fit over the starts. Standard errors come from s²(JᵀJ)⁻¹ at the optimum, carried to natural units by
        the delta method; intervals by Student's t (normal when they rest on `noise_log_sd`), on each parameter's scale.
        When a parameter cannot be told, `identifiable` is False and the curve may still be drawn, not extrapolated.

    Raises:
        InputError: unknown curve, unusable values, or fewer distinct days than parameters.
    """
    law = GROWTH_LAWS.get(curve)
    if law is None:
        raise InputError(f"Unknown growth curve {curve!r}. Known: {', '.join(GROWTH_LAWS)}.")
    t, v = prepare(days, volumes_mm3)
    p = len(law.terms)
    if t.size < p:
        raise InputError(f"A {law.name} curve has {p} parameters and needs at least {p} timepoints, got {t.size}.")
    times, logs = t - t[0], np.log(v)
    lower, upper = (_to_inner(law, b) for b in law.bounds(times, logs))

    def residuals(inner: Floats) -> Floats:
        return law.log_volume(times, *_to_natural(law, inner)) - logs

    best: Any = None
    for start in law.starts(times, logs):
        natural = np.clip(start, *law.bounds(times, logs))
        x0 = np.clip(_to_inner(law, natural), lower + 1e-9, upper - 1e-9)
        found = least_squares(residuals, x0, bounds=(lower, upper), x_scale="jac", xtol=1e-8, ftol=1e-8, max_nfev=100)
        if best is None or found.cost < best.cost:
            best = found
    rss = float((best.fun**2).sum())
    return _summary(law, best.x, best.jac, rss, (lower, upper), t, noise_log_sd)


def _summary(
    law: GrowthLaw, inner: Floats, jacobian: Floats, rss: float, bounds: tuple[Floats, Floats], t: Floats, noise: float
) -> Fit:
    n, p = t.size, inner.size
    residual_sd = math.sqrt(rss / (n - p)) if n > p else math.nan
    on_noise = n == p or residual_sd < noise
    s = max(noise, 0.0 if n == p else residual_sd)
    information = jacobian.T @ jacobian
    scale = np.sqrt(np.diag(information))
    # In units of each parameter's own scale: what cannot be told there is singular, whatever the units.
    correlation = information / np.outer(scale, scale) if (scale > 0).all() else np.full((p, p), np.nan)
    singular = not (np.isfinite(correlation).all() and np.linalg.cond(correlation) <= MAX_CONDITION)
    unknown = singular or (n == p and noise <= 0)
    covariance = np.full((p, p), np.nan)
    if not unknown:
        covariance = np.asarray(s**2 * np.linalg.inv(correlation) / np.outer(scale, scale))
    error = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    quantile = 1.959964 if on_noise else float(student_t.ppf(0.975, n - p))
    natural = _to_natural(law, inner)
    slopes = [
        1.0 if term.scale == "plain" else x if term.scale == "log" else x * (1.0 - x)
        for x, term in zip(natural, law.terms, strict=True)
    ]
    reasons = ["the data do not determine the parameters" if singular else "as many points as parameters"][
        : int(unknown)
    ]
    for term, x, low, high, se in zip(law.terms, inner, *bounds, error, strict=True):
        if min(x - low, high - x) < 1e-6 * (high - low):
            reasons.append(f"{term.name} is at its bound")
        elif term.scale != "plain" and se > MAX_LOG_SE:
            reasons.append(f"{term.name} is known no better than to a factor of {math.exp(min(se, 50.0)):.3g}")
        elif term.unit == "1" and quantile * se > (high - low) / 2:
            reasons.append(f"{term.name} may lie anywhere in its range")
    k = p + 1  # the residual variance is estimated too
    aicc = math.inf
    if n > k + 1:
        aicc = n * math.log(max(rss, 1e-12) / n) + 2 * k + 2 * k * (k + 1) / (n - k - 1)
    return Fit(
        curve=law.name,
        parameters=tuple(natural),
        standard_errors=tuple(float(slope * se) for slope, se in zip(slopes, error, strict=True)),
        low95=tuple(_to_natural(law, inner - quantile * error)),
        high95=tuple(_to_natural(law, inner + quantile * error)),
        residual_log_sd=residual_sd,
        aicc=aicc,
        identifiable=not reasons,
        reason="; ".join(reasons),
        first_day=float(t[0]),
        last_day=float(t[-1]),
        covariance=covariance.astype(np.float64),
        n=n,
    )
