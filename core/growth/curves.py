"""Growth curves in closed form, and their fit to one lesion's volumes.

Time runs in days from the first point of the series, volumes are mm3. A fit minimises squared error of *log* volume:
the error of a segmented volume is proportional to the volume. Nothing here knows of treatment: over a stretch in which
the treatment changed, a single curve describes and does not explain.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import least_squares
from scipy.stats import t as student_t

from core.errors import InputError

Floats = NDArray[np.float64]

#: Volume of a sphere of 5 mm diameter. RECIST 1.1 gives 5 mm to what is too small to measure (PMC2755245); a log needs
#: something above 0, so every smaller volume, and an absent lesion, counts as this much.
FLOOR_MM3 = math.pi / 6 * 5.0**3

#: A parameter known no better than to a factor e (log standard error above 1) is called not identifiable.
MAX_LOG_SE = 1.0


@dataclass(frozen=True)
class Curve:
    """One growth law.

    Args:
        name: its name in the table `CURVES`.
        parameters: names, in the order of `log_volume`.
        units: one per parameter.
        positive: one per parameter; those are fitted, and their intervals given, on the log scale.
        log_volume: (days (n,), *parameters) -> ln(volume / mm3) (n,).
        bounds: (days, log volumes) -> (lower, upper) in natural units.
        starts: (days, log volumes) -> starting parameter vectors, in natural units.
        equation: for people.
    """

    name: str
    parameters: tuple[str, ...]
    units: tuple[str, ...]
    positive: tuple[bool, ...]
    log_volume: Callable[..., Floats]
    bounds: Callable[[Floats, Floats], tuple[list[float], list[float]]]
    starts: Callable[[Floats, Floats], list[list[float]]]
    equation: str

    def volume_mm3(self, days: ArrayLike, *parameters: float) -> Floats:
        """Volumes (n,) mm3 at `days` (n,) since the first point (days >= 0)."""
        return np.exp(self.log_volume(np.asarray(days, dtype=float), *parameters))


def _log_exponential(days: Floats, v0_mm3: float, kappa: float) -> Floats:
    return math.log(v0_mm3) + kappa * days


def _log_logistic(days: Floats, v0_mm3: float, v_inf_mm3: float, omega: float) -> Floats:
    return math.log(v_inf_mm3) - np.log1p((v_inf_mm3 / v0_mm3 - 1.0) * np.exp(-omega * days))


def _log_gompertz(days: Floats, v0_mm3: float, v_inf_mm3: float, omega: float) -> Floats:
    return math.log(v_inf_mm3) + math.log(v0_mm3 / v_inf_mm3) * np.exp(-omega * days)


def _slope(days: Floats, logs: Floats) -> float:
    return float(np.polyfit(days, logs, 1)[0])


def _exponential_bounds(days: Floats, logs: Floats) -> tuple[list[float], list[float]]:
    # A doubling in less than two thirds of a day, or halving, is no tumour.
    return [math.exp(logs.min()) / 1e3, -1.0], [math.exp(logs.max()) * 1e3, 1.0]


def _exponential_starts(days: Floats, logs: Floats) -> list[list[float]]:
    slope, intercept = np.polyfit(days, logs, 1)
    return [[math.exp(intercept), float(np.clip(slope, -0.99, 0.99))]]


def _saturating_bounds(days: Floats, logs: Floats) -> tuple[list[float], list[float]]:
    # The plateau may lie a thousandfold outside what was seen; bounds follow the data so that the unit does not matter.
    low, high = math.exp(logs.min()) / 1e3, math.exp(logs.max()) * 1e3
    return [low, low, 1e-5], [high, high, 1.0]


def _saturating_starts(days: Floats, logs: Floats) -> list[list[float]]:
    first, last, span = math.exp(logs[0]), math.exp(logs[-1]), float(days[-1] - days[0])
    # A plateau ahead in the direction of the trend, approached slowly, and one reached already, approached quickly.
    ahead = last * math.exp(np.clip(2.0 * _slope(days, logs) * span, -5.0, 5.0))
    return [[first, ahead, min(1.0 / span, 0.9)], [first, last, min(4.0 / span, 0.9)]]


_SATURATING = (("v0_mm3", "v_inf_mm3", "omega_per_day"), ("mm3", "mm3", "1/day"), (True, True, True))

#: Every curve by name. Sources: Gerlee 2013 (10.1158/0008-5472.CAN-12-4355); closed forms as in
#: Laleh 2022 (10.1371/journal.pcbi.1009822).
CURVES: Mapping[str, Curve] = {
    "exponential": Curve(
        "exponential", ("v0_mm3", "kappa_per_day"), ("mm3", "1/day"), (True, False),
        _log_exponential, _exponential_bounds, _exponential_starts, "v = v0 · exp(κt)",
    ),
    "logistic": Curve(
        "logistic", *_SATURATING, _log_logistic, _saturating_bounds, _saturating_starts,
        "v = v∞ / (1 + (v∞/v0 − 1)·exp(−ωt))",
    ),
    "gompertz": Curve(
        "gompertz", *_SATURATING, _log_gompertz, _saturating_bounds, _saturating_starts,
        "v = v∞ · (v0/v∞)^exp(−ωt)",
    ),
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Fit:
    """One curve fitted to one series.

    Args:
        curve: the name in `CURVES`.
        parameters: natural units, in the curve's order; v0 is the volume at `first_day`.
        low95, high95: 95 % intervals of the parameters (NaN where no error could be estimated).
        standard_errors: of the parameters, natural units, by the delta method (NaN likewise).
        residual_log_sd: of log volume, root of RSS / (n - p); NaN when n = p.
        aicc: small-sample Akaike criterion counting the residual variance as a parameter; inf when n is too small for
            it.
        identifiable: False when some parameter is at a bound or known no better than to a factor e; `reason` says
            which.
        first_day, last_day: days of the first and last point, on the caller's axis.
        covariance: (p, p) of the internal parameters (log of the positive ones).
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
        return CURVES[self.curve].volume_mm3(np.asarray(days, dtype=float) - self.first_day, *self.parameters)

    def named(self) -> dict[str, float]:
        """Parameter name -> value."""
        return dict(zip(CURVES[self.curve].parameters, self.parameters, strict=True))

    def log_variance(self, days: ArrayLike) -> Floats:
        """Variance (n,) of the fitted log volume at `days` (n,) from the parameters' uncertainty (delta method)."""
        curve = CURVES[self.curve]
        inner = _to_inner(curve, self.parameters)
        times = np.asarray(days, dtype=float) - self.first_day
        gradient = np.empty((times.size, inner.size))
        for column in range(inner.size):
            step = np.zeros_like(inner)
            step[column] = 1e-5 * max(1.0, abs(inner[column])) if curve.positive[column] else 1e-7
            ahead, behind = (curve.log_volume(times, *_to_natural(curve, inner + s)) for s in (step, -step))
            gradient[:, column] = (ahead - behind) / (2 * step[column])
        return np.einsum("ij,jk,ik->i", gradient, self.covariance, gradient)


def _to_inner(curve: Curve, natural: Sequence[float] | Floats) -> Floats:
    return np.array([math.log(x) if p else x for x, p in zip(natural, curve.positive, strict=True)])


def _to_natural(curve: Curve, inner: Floats) -> list[float]:
    return [math.exp(x) if p else float(x) for x, p in zip(inner, curve.positive, strict=True)]


def prepare(days: ArrayLike, volumes_mm3: ArrayLike) -> tuple[Floats, Floats]:
    """Days and floored volumes in order of time, one volume a day (of duplicate days the one given last).

    Args:
        days: (n,) finite, any origin, any order; negative days are days before that origin.
        volumes_mm3: (n,) finite and >= 0; what is below `FLOOR_MM3` becomes `FLOOR_MM3`.

    Returns:
        days (m,) strictly ascending and volumes (m,) mm3, m <= n; two empty arrays for empty input.

    Raises:
        InputError: lengths differ, a value is not finite, or a volume is negative.
    """
    t, v = np.asarray(days, dtype=float).ravel(), np.asarray(volumes_mm3, dtype=float).ravel()
    if t.size != v.size:
        raise InputError(f"Expected one volume a day, got {t.size} days and {v.size} volumes.")
    if not (np.isfinite(t).all() and np.isfinite(v).all()) or (v < 0).any():
        raise InputError("Expected finite days and volumes of at least 0 mm3. Leave missing measurements out.")
    last = {float(day): float(volume) for day, volume in zip(t, v, strict=True)}
    order = sorted(last)
    return np.array(order, dtype=float), np.maximum(np.array([last[day] for day in order], dtype=float), FLOOR_MM3)


@dataclass(frozen=True)
class Hold:
    """A parameter held near `centre` (natural units) with `sd` (of its log where it is positive): a Gaussian prior."""

    centre: float
    sd: float


def fit(
    curve: str | Curve,
    days: ArrayLike,
    volumes_mm3: ArrayLike,
    noise_log_sd: float = 0.0,
    holds: Mapping[str, Hold] | None = None,
) -> Fit:
    """Fit one curve by bounded least squares on log volume, from several starts.

    Args:
        curve: a name in `CURVES`, or a `Curve`.
        days: (n,) days, any origin; see `prepare` for order and duplicates.
        volumes_mm3: (n,) mm3; below 5 mm diameter floored, see `prepare`.
        noise_log_sd: log-SD of one measurement, a lower limit on the scatter that the standard errors assume; it is
            what they rest on when there are as many points as parameters.
        holds: parameter name -> prior, weighed against the points by `noise_log_sd` (which must then be above 0). Holds
            enter parameters and covariance; `identifiable` still says what the points alone determine.

    Returns:
        The best fit over the starts. Standard errors come from s²(JᵀJ)⁻¹ at the optimum, carried to natural units by
        the delta method; intervals by Student's t (normal when they rest on `noise_log_sd`), log-scaled for positive
        ones. When a parameter cannot be told, `identifiable` is False and the curve may still be drawn, not
        extrapolated.

    Raises:
        InputError: unknown curve, unusable values, fewer distinct days than parameters, or holds without noise.
    """
    law = curve if isinstance(curve, Curve) else CURVES.get(curve)
    if law is None:
        raise InputError(f"Unknown growth curve {curve!r}. Known: {', '.join(CURVES)}.")
    t, v = prepare(days, volumes_mm3)
    p = len(law.parameters)
    if t.size < p:
        raise InputError(f"A {law.name} curve has {p} parameters and needs at least {p} timepoints, got {t.size}.")
    times, logs = t - t[0], np.log(v)
    lower, upper = (_to_inner(law, b) for b in law.bounds(times, logs))
    centre, pull = _pull(law, holds or {}, noise_log_sd)

    def residuals(inner: Floats) -> Floats:
        off = law.log_volume(times, *_to_natural(law, inner)) - logs
        return np.concatenate([off, pull * (inner - centre)])

    best: Any = None
    for start in law.starts(times, logs):
        x0 = np.clip(_to_inner(law, start), lower + 1e-9, upper - 1e-9)
        found = _least_squares(residuals, x0, lower, upper, held=bool(pull.any()))
        if best is None or found.cost < best.cost:
            best = found
    jacobian, rss = best.jac[: t.size], float((best.fun[: t.size] ** 2).sum())
    return _summary(law, best.x, jacobian, rss, (lower, upper), t, noise_log_sd, pull)


def _least_squares(residuals: Callable[[Floats], Floats], x0: Floats, lower: Floats, upper: Floats, held: bool) -> Any:
    """Bounded search; a held fit, which hardly strays, by the faster unbounded one if that ends inside."""
    if held:
        try:
            free = least_squares(residuals, x0, method="lm", xtol=1e-9, ftol=1e-9, max_nfev=300)
            if free.success and ((free.x > lower) & (free.x < upper)).all():
                return free
        except (ArithmeticError, ValueError):  # it strayed to where the curve has no value
            pass
    return least_squares(residuals, x0, bounds=(lower, upper), x_scale="jac", xtol=1e-9, ftol=1e-9, max_nfev=200)


def _pull(law: Curve, holds: Mapping[str, Hold], noise: float) -> tuple[Floats, Floats]:
    """Centres (p,) and weights (p,) of the holds, internal units; weight 0 where there is none."""
    unknown = set(holds) - set(law.parameters)
    if unknown or (holds and noise <= 0):
        raise InputError(f"Expected holds on {', '.join(law.parameters)} and a measurement noise above 0.")
    pairs = zip(law.parameters, law.positive, strict=True)
    centre = [
        0.0 if name not in holds else math.log(holds[name].centre) if p else holds[name].centre for name, p in pairs
    ]
    return np.array(centre), np.array([noise / holds[name].sd if name in holds else 0.0 for name in law.parameters])


def _summary(
    law: Curve, inner: Floats, jacobian: Floats, rss: float, bounds: tuple[Floats, Floats], t: Floats, noise: float,
    pull: Floats,
) -> Fit:  # fmt: skip
    n, p = t.size, inner.size
    residual_sd = math.sqrt(rss / (n - p)) if n > p else math.nan
    on_noise = n == p or residual_sd < noise
    s = max(noise, 0.0 if n == p else residual_sd)
    information = jacobian.T @ jacobian
    scale = np.sqrt(np.diag(information))
    singular = bool((scale == 0).any()) or np.linalg.cond(information / np.outer(scale, scale)) > 1e12
    unknown = singular or (n == p and noise <= 0)
    covariance = np.full((p, p), np.nan) if unknown else np.asarray(s**2 * np.linalg.inv(information))
    alone = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    if pull.any():
        covariance = np.asarray(s**2 * np.linalg.inv(information + np.diag(pull**2)))
    error = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    quantile = 1.959964 if on_noise else float(student_t.ppf(0.975, n - p))
    natural = _to_natural(law, inner)
    positive = np.array(law.positive)

    reasons = []
    if unknown:
        reasons.append("as many points as parameters" if not singular else "the data do not determine the parameters")
    for name, x, low, high, se, log_scale in zip(law.parameters, inner, *bounds, alone, positive, strict=True):
        if min(x - low, high - x) < 1e-6 * (high - low):
            reasons.append(f"{name} is at its bound")
        elif log_scale and se > MAX_LOG_SE:
            reasons.append(f"{name} is known no better than to a factor of {math.exp(min(se, 50.0)):.3g}")
    with np.errstate(over="ignore"):
        ends = [np.where(positive, np.exp(inner + k * error), inner + k * error) for k in (-quantile, quantile)]
    k = p + 1  # the residual variance is estimated too
    aicc = math.inf
    if n > k + 1:
        aicc = n * math.log(max(rss, 1e-12) / n) + 2 * k + 2 * k * (k + 1) / (n - k - 1)
    return Fit(
        curve=law.name, parameters=tuple(natural),
        standard_errors=tuple(float(x) for x in np.where(positive, np.array(natural) * error, error)),
        low95=tuple(float(x) for x in ends[0]), high95=tuple(float(x) for x in ends[1]),
        residual_log_sd=residual_sd, aicc=aicc, identifiable=not reasons, reason="; ".join(reasons),
        first_day=float(t[0]), last_day=float(t[-1]), covariance=covariance.astype(np.float64), n=n,
    )  # fmt: skip
