"""Growth laws in closed form: eleven of them, in one table.

Time runs in days from the first point of the series, volumes are mm3, v > 0. Nothing here knows of treatment: over a
stretch in which the treatment changed, a single curve describes and does not explain. Only the last three laws can
shrink and grow again. How they are fitted to a lesion is in `core.growth.fitting`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.errors import InputError

Floats = NDArray[np.float64]
Vectors = list[list[float]]

#: Volume of a sphere of 5 mm diameter. RECIST 1.1 gives 5 mm to what is too small to measure (PMC2755245); a log needs
#: something above 0, so every smaller volume, and an absent lesion, counts as this much.
FLOOR_MM3 = math.pi / 6 * 5.0**3
#: The plateau of the reduced Gompertz law, mm3: one litre, which hardly any lesion passes (assumed).
REDUCED_PLATEAU_MM3 = 1e6
#: Rates are between a doubling in a day or so and one in two hundred years.
LEAST_RATE, MOST_RATE = 1e-5, 1.0

#: How a parameter is fitted, and its interval given: on its own scale, on that of its log, or of its log-odds (0..1).
Scale = Literal["plain", "log", "logit"]


@dataclass(frozen=True)
class Parameter:
    """One parameter of a law: its name, unit, and scale."""

    name: str
    unit: str
    scale: Scale = "log"


@dataclass(frozen=True)
class GrowthLaw:
    """One growth law.

    Args:
        name: its name in the table `GROWTH_LAWS`.
        terms: its parameters, in the order of `log_volume`.
        log_volume: (days (n,), *parameters) -> ln(volume / mm3) (n,).
        bounds: (days, log volumes) -> (lower, upper) in natural units.
        starts: (days, log volumes) -> starting parameter vectors, in natural units.
        equation: for people.
        source: DOI.
    """

    name: str
    terms: tuple[Parameter, ...]
    log_volume: Callable[..., Floats]
    bounds: Callable[[Floats, Floats], tuple[list[float], list[float]]]
    starts: Callable[[Floats, Floats], Vectors]
    equation: str
    source: str

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names, in order."""
        return tuple(term.name for term in self.terms)

    @property
    def units(self) -> tuple[str, ...]:
        """Units, in order."""
        return tuple(term.unit for term in self.terms)

    def volume_mm3(self, days: ArrayLike, *parameters: float) -> Floats:
        """Volumes (n,) mm3 at `days` (n,) since the first point (days >= 0)."""
        return np.exp(self.log_volume(np.asarray(days, dtype=float), *parameters))


def _exponential(days: Floats, v0: float, kappa: float) -> Floats:
    return math.log(v0) + kappa * days


def _linear(days: Floats, v0: float, rate: float) -> Floats:
    return np.log(np.maximum(v0 + rate * days, FLOOR_MM3))


def _power(days: Floats, v0: float, kappa0: float, b: float) -> Floats:
    """dv/dt = a·v^b with a = kappa0·v0^(1 - b), so that `kappa0` is the relative rate at the start."""
    left = 1.0 - b
    if left < 1e-9:
        return math.log(v0) + kappa0 * days
    return math.log(v0) + np.log(np.maximum(1.0 + left * kappa0 * days, 1e-12)) / left


def _general(days: Floats, v0: float, v_inf: float, omega: float, lam: float) -> Floats:
    """ln v∞ + ln(1 + ((v0/v∞)^λ - 1)·e^(-ωt)) / λ; its limit at λ = 0 is the Gompertz law."""
    distance, decay = math.log(v0 / v_inf), np.exp(-omega * days)
    if abs(lam) < 1e-7:
        return math.log(v_inf) + distance * decay
    return math.log(v_inf) + np.log1p(math.expm1(lam * distance) * decay) / lam


def _logistic(days: Floats, v0: float, v_inf: float, omega: float) -> Floats:
    return _general(days, v0, v_inf, omega, -1.0)


def _gompertz(days: Floats, v0: float, v_inf: float, omega: float) -> Floats:
    return _general(days, v0, v_inf, omega, 0.0)


def _classical(days: Floats, v0: float, v_inf: float, omega: float) -> Floats:
    return _general(days, v0, v_inf, omega, 1.0 / 3.0)


def _reduced(days: Floats, v0: float, omega: float) -> Floats:
    return _general(days, v0, REDUCED_PLATEAU_MM3, omega, 0.0)


def _stein_fojo(days: Floats, v0: float, growth: float, decay: float) -> Floats:
    return math.log(v0) + np.log(np.expm1(growth * days) + np.exp(-decay * days))


def _stein_fojo_phi(days: Floats, v0: float, growth: float, decay: float, phi: float) -> Floats:
    return math.log(v0) + np.log((1.0 - phi) * np.exp(growth * days) + phi * np.exp(-decay * days))


def _claret(days: Floats, v0: float, growth: float, kill: float, resistance: float) -> Floats:
    return math.log(v0) + growth * days + kill / resistance * np.expm1(-resistance * days)


def _line(days: Floats, logs: Floats) -> tuple[float, float]:
    """Slope and intercept of the log volumes."""
    slope, intercept = np.polyfit(days, logs, 1)
    return float(slope), float(intercept)


def _volume_bounds(logs: Floats) -> tuple[float, float]:
    # A thousandfold outside what was seen; bounds follow the data so that the unit does not matter.
    return math.exp(logs.min()) / 1e3, math.exp(logs.max()) * 1e3


def _exponential_bounds(days: Floats, logs: Floats) -> tuple[list[float], list[float]]:
    low, high = _volume_bounds(logs)
    return [low, -MOST_RATE], [high, MOST_RATE]


def _exponential_starts(days: Floats, logs: Floats) -> Vectors:
    slope, intercept = _line(days, logs)
    return [[math.exp(intercept), float(np.clip(slope, -0.99, 0.99))]]


def _linear_bounds(days: Floats, logs: Floats) -> tuple[list[float], list[float]]:
    low, high = _volume_bounds(logs)
    return [low, -high], [high, high]


def _linear_starts(days: Floats, logs: Floats) -> Vectors:
    slope, intercept = np.polyfit(days, np.exp(logs), 1)
    first = math.exp(logs[0])
    return [[max(float(intercept), first / 2), float(slope)], [first, 0.0]]


def _power_bounds(days: Floats, logs: Floats) -> tuple[list[float], list[float]]:
    low, high = _volume_bounds(logs)
    return [low, -MOST_RATE, 0.0], [high, MOST_RATE, 1.0]


def _power_starts(days: Floats, logs: Floats) -> Vectors:
    slope, intercept = _line(days, logs)
    steep = float(np.clip(slope, -0.3 / days[-1], 0.9))
    return [
        [math.exp(intercept), steep, 0.5],
        [math.exp(logs[0]), float(np.clip(2 * slope, -0.5 / days[-1], 0.9)), 0.2],
    ]


def _saturating_bounds(days: Floats, logs: Floats) -> tuple[list[float], list[float]]:
    low, high = _volume_bounds(logs)
    return [low, low, LEAST_RATE], [high, high, MOST_RATE]


def _saturating_starts(days: Floats, logs: Floats) -> Vectors:
    first, last, span = math.exp(logs[0]), math.exp(logs[-1]), float(days[-1] - days[0])
    # A plateau ahead in the direction of the trend, approached slowly, and one reached already, approached quickly.
    ahead = last * math.exp(np.clip(2.0 * _line(days, logs)[0] * span, -5.0, 5.0))
    return [[first, ahead, min(1.0 / span, 0.9)], [first, last, min(4.0 / span, 0.9)]]


def _general_bounds(days: Floats, logs: Floats) -> tuple[list[float], list[float]]:
    low, high = _saturating_bounds(days, logs)
    return [*low, -1.0], [*high, 1.0]


def _general_starts(days: Floats, logs: Floats) -> Vectors:
    return [[*start, lam] for start in _saturating_starts(days, logs) for lam in (-0.5, 0.4)]


def _reduced_bounds(days: Floats, logs: Floats) -> tuple[list[float], list[float]]:
    low, high = _volume_bounds(logs)
    return [low, -0.1], [high, MOST_RATE]


def _reduced_starts(days: Floats, logs: Floats) -> Vectors:
    slope, intercept = _line(days, logs)
    room = max(math.log(REDUCED_PLATEAU_MM3) - intercept, 0.5)
    return [[math.exp(intercept), float(np.clip(slope / room, -0.05, 0.9))]]


def _two_rate_bounds(days: Floats, logs: Floats) -> tuple[list[float], list[float]]:
    low, high = _volume_bounds(logs)
    return [low, LEAST_RATE, LEAST_RATE], [high, 0.2, MOST_RATE]


def _two_rate_starts(days: Floats, logs: Floats) -> Vectors:
    first, span, turn = math.exp(logs[0]), float(days[-1] - days[0]), int(np.argmin(logs))
    fall = max((logs[0] - logs[turn]) / max(days[turn] - days[0], span / 10), 0.3 / span)
    rise = max((logs[-1] - logs[turn]) / max(days[-1] - days[turn], span / 10), 0.3 / span)
    return [[first, min(rise, 0.1), min(1.5 * fall, 0.5)], [first, min(0.3 * rise, 0.1), min(0.7 * fall, 0.5)]]


def _phi_bounds(days: Floats, logs: Floats) -> tuple[list[float], list[float]]:
    low, high = _two_rate_bounds(days, logs)
    return [*low, 1e-4], [*high, 1.0 - 1e-4]


def _phi_starts(days: Floats, logs: Floats) -> Vectors:
    return [[*start, phi] for start in _two_rate_starts(days, logs) for phi in (0.5, 0.9)]


def _claret_bounds(days: Floats, logs: Floats) -> tuple[list[float], list[float]]:
    low, high = _volume_bounds(logs)
    return [low, LEAST_RATE, LEAST_RATE, LEAST_RATE], [high, 0.2, MOST_RATE, MOST_RATE]


def _claret_starts(days: Floats, logs: Floats) -> Vectors:
    span = float(days[-1] - days[0])
    return [
        [first, rise, fall + rise, wears_off / span]
        for first, rise, fall in _two_rate_starts(days, logs)
        for wears_off in (2.0, 6.0)
    ]


_V0 = Parameter("v0_mm3", "mm3")
_SATURATING = (_V0, Parameter("v_inf_mm3", "mm3"), Parameter("omega_per_day", "1/day"))
_RATES = (_V0, Parameter("growth_per_day", "1/day"), Parameter("decay_per_day", "1/day"))
_LALEH, _STEIN = "10.1371/journal.pcbi.1009822", "10.1634/theoncologist.2008-0075"

#: Every law by name. Closed forms as in Laleh 2022 and the sources named.
GROWTH_LAWS: Mapping[str, GrowthLaw] = {
    law.name: law
    for law in (
        GrowthLaw(
            "exponential",
            (_V0, Parameter("kappa_per_day", "1/day", "plain")),
            _exponential,
            _exponential_bounds,
            _exponential_starts,
            "v = v0 · exp(κt)",
            _LALEH,
        ),
        GrowthLaw(
            "linear",
            (_V0, Parameter("rate_mm3_per_day", "mm3/day", "plain")),
            _linear,
            _linear_bounds,
            _linear_starts,
            "v = v0 + rt, not below 5 mm diameter",
            "10.1158/0008-5472.CAN-12-4355",
        ),
        GrowthLaw(
            "power_law",
            (_V0, Parameter("kappa0_per_day", "1/day", "plain"), Parameter("b", "1", "plain")),
            _power,
            _power_bounds,
            _power_starts,
            "dv/dt = κ0 · v0^(1-b) · v^b",
            "10.1371/journal.pcbi.1003800",
        ),
        GrowthLaw(
            "logistic",
            _SATURATING,
            _logistic,
            _saturating_bounds,
            _saturating_starts,
            "v = v∞ / (1 + (v∞/v0 - 1)·exp(-ωt))",
            _LALEH,
        ),
        GrowthLaw(
            "gompertz",
            _SATURATING,
            _gompertz,
            _saturating_bounds,
            _saturating_starts,
            "v = v∞ · (v0/v∞)^exp(-ωt)",
            _LALEH,
        ),
        GrowthLaw(
            "reduced_gompertz",
            (_V0, Parameter("omega_per_day", "1/day", "plain")),
            _reduced,
            _reduced_bounds,
            _reduced_starts,
            "Gompertz with the plateau at 1 litre (assumed)",
            "10.1371/journal.pcbi.1007178",
        ),
        GrowthLaw(
            "classical_bertalanffy",
            _SATURATING,
            _classical,
            _saturating_bounds,
            _saturating_starts,
            "v = v∞ · (1 + ((v0/v∞)^(1/3) - 1)·exp(-ωt))^3",
            _LALEH,
        ),
        GrowthLaw(
            "general_bertalanffy",
            (*_SATURATING, Parameter("lambda", "1", "plain")),
            _general,
            _general_bounds,
            _general_starts,
            "v = v∞ · (1 + ((v0/v∞)^λ - 1)·exp(-ωt))^(1/λ)",
            _LALEH,
        ),
        GrowthLaw(
            "stein_fojo",
            _RATES,
            _stein_fojo,
            _two_rate_bounds,
            _two_rate_starts,
            "v = v0 · (exp(gt) + exp(-dt) - 1)",
            _STEIN,
        ),
        GrowthLaw(
            "stein_fojo_phi",
            (*_RATES, Parameter("phi", "1", "logit")),
            _stein_fojo_phi,
            _phi_bounds,
            _phi_starts,
            "v = v0 · ((1-φ)·exp(gt) + φ·exp(-dt))",
            _STEIN,
        ),
        GrowthLaw(
            "claret_tgi",
            (
                _V0,
                Parameter("growth_per_day", "1/day"),
                Parameter("kill_per_day", "1/day"),
                Parameter("resistance_per_day", "1/day"),
            ),
            _claret,
            _claret_bounds,
            _claret_starts,
            "v = v0 · exp(kg·t - (p/c)(1 - exp(-ct)))",
            "10.1200/JCO.2008.21.0807",
        ),
    )
}


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
