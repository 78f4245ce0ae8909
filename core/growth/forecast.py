"""Looking ahead: one lesion's growth curve carried on, always beside the last value carried forward (LOCF).

Over the next two scans of treated lesions LOCF beats every classical growth curve (see `choose`), so no curve is given
without it, and the skill against it on the patient's own series is part of the answer.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t as student_t

from core.errors import InputError
from core.growth.curves import CURVES, FLOOR_MM3, Fit, Hold, fit, prepare
from core.growth.rates import READER_LOG_SD
from core.types import VolumePoint

Floats = NDArray[np.float64]

#: Fewer measurable volumes than this and nothing is forecast.
MIN_POINTS = 3
#: The check on the patient's own series needs this many forecasts of a point that has come; it looks at the latest ten.
MIN_ORIGINS, MAX_ORIGINS = 2, 10
#: Scatter of a point about the curve that the held fit assumes, log-SD (assumed): more than the readers' 0.18, because
#: no lesion follows a curve.
HELD_LOG_SD = 0.35


def _empty() -> Floats:
    return np.empty(0)


@dataclass(frozen=True, eq=False)
class LocfQuantiles:
    """Measured quantiles of ln(later volume / last volume) by horizon (`core.growth.learn_locf` makes the file).

    Args:
        levels: the five levels, .025 to .975.
        centres_days: (bins,) per table; errors: (bins, 5) per table; tables "measurable" and "at_floor".
        max_days: the longest horizon in the data; beyond it the last bin's quantiles are held.
    """

    levels: tuple[float, ...]
    centres_days: Mapping[str, Floats]
    errors: Mapping[str, Floats]
    max_days: float
    source: str = ""

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> LocfQuantiles:
        """Read what `learn_locf` wrote."""
        tables = {name: values[name] for name in ("measurable", "at_floor")}
        return cls(
            levels=tuple(values["levels"]),
            centres_days={name: np.array([row["median_days"] for row in rows]) for name, rows in tables.items()},
            errors={name: np.array([row["log_error"] for row in rows], dtype=float) for name, rows in tables.items()},
            max_days=float(values["max_days"]),
            source=str(values.get("source", "")),
        )

    def log_errors(self, horizon_days: ArrayLike, at_floor: bool = False) -> Floats:
        """(5, h) log errors at each horizon (h,) days: linear between bin centres, held constant outside them."""
        name = "at_floor" if at_floor else "measurable"
        days = np.asarray(horizon_days, dtype=float)
        return np.array([np.interp(days, self.centres_days[name], column) for column in self.errors[name].T])


@functools.cache
def shipped_quantiles() -> LocfQuantiles:
    """The quantiles in `locf_quantiles.json`, learned from Laleh 2022 (10.1371/journal.pcbi.1009822)."""
    text = Path(__file__).with_name("locf_quantiles.json").read_text(encoding="utf-8")
    return LocfQuantiles.from_json(json.loads(text))


@dataclass(frozen=True, eq=False)
class Band:
    """A median and its 80 and 95 % limits, each (h,) mm3, at `days` (h,) on the axis of `VolumePoint.days`."""

    days: Floats = field(default_factory=_empty)
    median_mm3: Floats = field(default_factory=_empty)
    low80_mm3: Floats = field(default_factory=_empty)
    high80_mm3: Floats = field(default_factory=_empty)
    low95_mm3: Floats = field(default_factory=_empty)
    high95_mm3: Floats = field(default_factory=_empty)


@dataclass(frozen=True, eq=False)
class Forecast:
    """One lesion ahead.

    Args:
        lesion_id: whose it is.
        days, median_mm3, low80_mm3 … high95_mm3: the curve's band, each (h,); empty when refused.
        method: the curve's name in `CURVES`, with " (held)" for "auto"; "" when refused.
        locf: the last value carried forward with its measured interval, on the same days; empty when refused.
        skill_vs_locf: 1 - (mean |log error| of this method / that of LOCF) over one-step-ahead forecasts within the
            patient's own series: above 0 the curve did better; None with fewer than two such forecasts or when LOCF
            made no error at all.
        origins: how many such forecasts there were.
        refused: why there is no forecast, or None.
        notes: what to say beside it.
        fitted: the fit behind the band, for drawing it through the observed points.
    """

    lesion_id: str
    days: Floats
    median_mm3: Floats
    low80_mm3: Floats
    high80_mm3: Floats
    low95_mm3: Floats
    high95_mm3: Floats
    method: str
    locf: Band
    skill_vs_locf: float | None
    origins: int
    refused: str | None
    notes: tuple[str, ...] = ()
    fitted: Fit | None = None

    @property
    def locf_mm3(self) -> Floats:
        """The last value carried forward (h,) mm3."""
        return self.locf.median_mm3


def usable(points: Sequence[VolumePoint]) -> tuple[Floats, Floats]:
    """Days (n,) ascending and floored volumes (n,) mm3 of one lesion's points that are finite and >= 0.

    Raises:
        InputError: the points are of more than one lesion.
    """
    lesions = sorted({p.lesion_id for p in points})
    if len(lesions) > 1:
        raise InputError(f"A forecast is of one lesion; got points of {', '.join(lesions)}.")
    kept = [p for p in points if math.isfinite(p.days) and math.isfinite(p.volume_mm3) and p.volume_mm3 >= 0]
    return prepare([p.days for p in kept], [p.volume_mm3 for p in kept])


def _horizon(horizon_days: ArrayLike) -> Floats:
    horizon = np.atleast_1d(np.asarray(horizon_days, dtype=float))
    if horizon.ndim != 1 or not np.isfinite(horizon).all() or (horizon < 0).any():
        raise InputError("Expected horizons of at least 0 days after the last scan.")
    return horizon


def locf(points: Sequence[VolumePoint], horizon_days: ArrayLike) -> Band:
    """The last value carried forward, with the interval that such forecasts were measured to need.

    Args:
        points: one lesion's, any order; only the last counts.
        horizon_days: (h,) days after the last point, >= 0.

    Returns:
        Median = the last volume (floored at 5 mm diameter) at every horizon; 80 and 95 % limits from the empirical
        quantiles of ln(later / last) in Laleh 2022, by horizon, separately for lesions at the floor. An empty band for
        no usable point.

    Raises:
        InputError: points of several lesions, or a horizon that is negative or not finite.
    """
    t, v = usable(points)
    horizon = _horizon(horizon_days)
    if t.size == 0:
        return Band()
    low95, low80, _, high80, high95 = v[-1] * np.exp(shipped_quantiles().log_errors(horizon, v[-1] <= FLOOR_MM3))
    return Band(t[-1] + horizon, np.full(horizon.size, v[-1]), low80, high80, low95, high95)


def choose(days: Floats, volumes_mm3: Floats, method: str = "auto") -> Fit:
    """The curve that is carried on.

    "auto" is a Gompertz curve whose plateau is held near the last volume (log-SD 0.5) and whose rate near 0.01 per day
    (log-SD 1), weighed against points of log-SD 0.35: mean absolute log error 0.45. Free fits extrapolate whatever the
    last scans did: on the 410 lesions of Laleh 2022 with three measurable points before the last two, the mean absolute
    log error of those two is 0.76 for the free exponential and 0.49 for the free Gompertz. A named `method` is fitted
    freely all the same.
    """
    if method != "auto":
        return fit(method, days, volumes_mm3, READER_LOG_SD)
    return fit("gompertz", days, volumes_mm3, HELD_LOG_SD, held(float(volumes_mm3[-1])))


def held(last_mm3: float) -> dict[str, Hold]:
    """What "auto" assumes of a lesion that measured `last_mm3` last (assumed).

    Round numbers, picked among a dozen with the lesions of `choose` in view: its figures are in-sample in that sense.
    """
    return {"v_inf_mm3": Hold(last_mm3, 0.5), "omega_per_day": Hold(0.01, 1.0)}


def predict(fitted: Fit, days: ArrayLike) -> Band:
    """Carry a fit on, with the uncertainty of its parameters and of the next measurement.

    On the log scale the variance is g'Σg + s²: Σ the covariance of the parameters (from the Jacobian at the optimum), g
    the curve's gradient (delta method), s the residual log-SD, not below 0.18 (readers, assumed). Limits by Student's t
    with n - p degrees of freedom. Measured for "auto" on the lesions of `choose`: the last two scans lie within the 80
    % limits .85, within the 95 % limits .94 of the time; median absolute error 23.6 %, LOCF's 16.5 %.
    """
    at = np.asarray(days, dtype=float)
    s = READER_LOG_SD if math.isnan(fitted.residual_log_sd) else max(fitted.residual_log_sd, READER_LOG_SD)
    deviation = np.sqrt(fitted.log_variance(at) + s**2)
    centre = np.log(fitted.volume_mm3(at))
    dof = max(fitted.n - len(fitted.parameters), 1)
    limits = [np.exp(np.minimum(centre + student_t.ppf(q, dof) * deviation, 700)) for q in (0.025, 0.1, 0.9, 0.975)]
    return Band(at, np.exp(centre), limits[1], limits[2], limits[0], limits[3])


def rolling_skill(days: Floats, volumes_mm3: Floats, method: str = "auto") -> tuple[float | None, int]:
    """What would have been said at each earlier visit about the next one, against LOCF: (skill, forecasts counted).

    Args:
        days, volumes_mm3: (n,) as `usable` gives them.
        method: as in `forecast`; the curve is chosen anew at each visit from what was known then.
    """
    ours, theirs = [], []
    for origin in range(max(MIN_POINTS, days.size - MAX_ORIGINS), days.size):
        if _refusal(volumes_mm3[:origin]) or (method != "auto" and origin < len(CURVES[method].parameters)):
            continue
        fitted = choose(days[:origin], volumes_mm3[:origin], method)
        ours.append(abs(math.log(float(fitted.volume_mm3(days[origin])) / volumes_mm3[origin])))
        theirs.append(abs(math.log(volumes_mm3[origin - 1] / volumes_mm3[origin])))
    if len(ours) < MIN_ORIGINS or sum(theirs) == 0:
        return None, len(ours)
    return 1.0 - sum(ours) / sum(theirs), len(ours)


def _refusal(volumes_mm3: Floats) -> str | None:
    measurable = int((volumes_mm3 > FLOOR_MM3).sum())
    if measurable >= MIN_POINTS:
        return None
    return (
        f"A forecast needs at least {MIN_POINTS} accepted masks at different dates in which the lesion is larger than "
        f"5 mm across; there {'is' if measurable == 1 else 'are'} {measurable or 'none'}. Accept more timepoints."
    )


def forecast(points: Sequence[VolumePoint], horizon_days: ArrayLike, method: str = "auto") -> Forecast:
    """Forecast one lesion's volume.

    Args:
        points: one lesion's accepted volumes, any order; not finite ones are left out, of two on one day the later
            given counts, and what is below 5 mm diameter is floored and does not count towards the three that are
            needed.
        horizon_days: (h,) days after the last point, >= 0.
        method: a name in `CURVES`, or "auto" (see `choose`).

    Returns:
        The band of the curve (see `predict`), LOCF with its own interval, and the skill of the one against the other.
        `refused` with the reason when fewer than three usable points are there or the curve cannot be told from them.

    Raises:
        InputError: points of several lesions, an unknown method, or a horizon that is negative or not finite.
    """
    if method != "auto" and method not in CURVES:
        raise InputError(f"Unknown method {method!r}. Known: auto, {', '.join(CURVES)}.")
    t, v = usable(points)
    horizon = _horizon(horizon_days)
    lesion = points[0].lesion_id if points else ""
    refused = _refusal(v)
    fitted = None
    if refused is None:
        if method != "auto" and t.size < len(CURVES[method].parameters):
            refused = f"A {method} curve needs {len(CURVES[method].parameters)} timepoints; there are {t.size}."
        else:
            fitted = choose(t, v, method)
            if method != "auto" and not fitted.identifiable:
                refused = f"The {fitted.curve} curve cannot be told from these points: {fitted.reason}."
    if refused is not None or fitted is None:
        none = _empty()
        return Forecast(lesion, none, none, none, none, none, none, "", Band(), None, 0, refused)
    band = predict(fitted, t[-1] + horizon)
    skill, origins = rolling_skill(t, v, method)
    return Forecast(
        lesion_id=lesion, days=band.days, median_mm3=band.median_mm3, low80_mm3=band.low80_mm3,
        high80_mm3=band.high80_mm3, low95_mm3=band.low95_mm3, high95_mm3=band.high95_mm3,
        method=fitted.curve + (" (held)" if method == "auto" else ""),
        locf=locf(points, horizon), skill_vs_locf=skill, origins=origins, refused=None,
        notes=_notes(v, t, horizon, skill, origins, fitted), fitted=fitted,
    )  # fmt: skip


def _notes(v: Floats, t: Floats, horizon: Floats, skill: float | None, origins: int, fitted: Fit) -> tuple[str, ...]:
    notes = []
    if not fitted.identifiable:
        notes.append(
            "The points alone do not determine this curve; its plateau is held near the last volume (assumed)."
        )
    if skill is None:
        notes.append("Too few points to check this forecast on the patient's own series.")
    elif skill <= 0:
        notes.append(
            f"On this series the last value carried forward did better ({origins} forecasts, skill {skill:+.2f})."
        )
    if (v <= FLOOR_MM3).any():
        notes.append("Volumes below 5 mm diameter count as 5 mm diameter.")
    if horizon.size and horizon.max() > t[-1] - t[0]:
        notes.append("The horizon is longer than the time observed.")
    if horizon.size and horizon.max() > shipped_quantiles().max_days:
        notes.append("The horizon is longer than any in the data behind the interval of the last value.")
    return tuple(notes)
