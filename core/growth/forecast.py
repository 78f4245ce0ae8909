"""Looking ahead: one lesion's volume in the weeks to come, always beside the last value carried forward (LOCF).

Over the next scans of treated lesions LOCF beats every classical growth curve (docs/growth.md), so the forecast starts
from it and moves away only where what was learned from other patients has earned it (`core.growth.population`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.errors import InputError
from core.growth import response_probability
from core.growth.curves import FLOOR_MM3
from core.growth.population import (
    LEVELS,
    MEDIAN,
    Population,
    PopulationParameters,
    combined_quantiles,
    default_population,
    locf_quantiles,
)
from core.growth.series import LOG_FLOOR, MAX_HISTORY_SCANS, LesionHistories, lesion_histories, padded_history
from core.growth.support import (
    MIN_POINTS,
    end_days,
    why_doubt_last,
    why_doubt_reach,
    why_it_ends,
    why_no_forecast,
)
from core.types import VolumePoint

Floats = NDArray[np.float64]

#: Fewest hindcasts from which skill on the patient's own series is computed.
MIN_CHECKS = 2
UNAWARE = "It knows of no treatment to come."


def _no_days() -> Floats:
    return np.empty(0)


def _no_quantiles() -> Floats:
    return np.empty((0, len(LEVELS)))


@dataclass(frozen=True, eq=False)
class QuantileForecast:
    """Quantiles (h, 7) mm3 at the levels of `core.growth.population.LEVELS`, at `days` (h,) as `VolumePoint.days`."""

    days: Floats = field(default_factory=_no_days)
    quantiles_mm3: Floats = field(default_factory=_no_quantiles)

    @property
    def median_mm3(self) -> Floats:
        """(h,) mm3."""
        return self.quantiles_mm3[:, MEDIAN]

    def limits_mm3(self, percent: int) -> tuple[Floats, Floats]:
        """Lower and upper limit (h,) mm3 of the 50, 80 or 95 % band."""
        low = {95: 0, 80: 1, 50: 2}[percent]
        return self.quantiles_mm3[:, low], self.quantiles_mm3[:, len(LEVELS) - 1 - low]


class HindcastResult(NamedTuple):
    """A hindcast: the forecast made at one visit (or stored then) for a later one, with the volume observed there.

    Volumes in mm3; `days` from the origin to the target.
    """

    origin_timepoint: str
    target_timepoint: str
    days: float
    median_mm3: float
    low80_mm3: float
    high80_mm3: float
    last_mm3: float
    observed_mm3: float

    @property
    def inside80(self) -> bool:
        """True if the observed volume lies in the 80 % band; limits went through a logarithm, so with a tolerance."""
        return self.low80_mm3 * (1 - 1e-9) <= self.observed_mm3 <= self.high80_mm3 * (1 + 1e-9)

    def to_json(self) -> dict[str, str | float | bool]:
        """Plain values under the keys that the command line prints."""
        printed = {"origin_timepoint": "said_at", "target_timepoint": "about", "observed_mm3": "came_mm3"}
        return {printed.get(name, name): value for name, value in self._asdict().items()} | {"inside80": self.inside80}


@dataclass(frozen=True, eq=False)
class Forecast:
    """Forecast of one lesion's volume, or of all lesions' together.

    Args:
        lesion_id: whose it is.
        fan, locf: the forecast, and the last value carried forward with its measured interval; empty when refused.
        checks: hindcasts of each visit from the one before it.
        skill_vs_locf: 1 - (mean |log error| / that of LOCF) over the checks; None with fewer than two of them or when
            LOCF made no error at all.
        moved: the median is not the last value: what was learned has skill at these horizons and this history.
        probabilities: event of `core.growth.response_probability.EVENTS` -> (h,) probability that the volume is across
            the threshold at that day; an event that is not calibrated, or that the lesion is across already, is not
            there.
        refused: why there is no forecast, or None.
        notes: what to say beside it, the warnings first.
        warnings: those of the notes that ask a person to look: a last value that is hardly plausible, a reach beyond
            the time observed.
        learned_from: the data behind it.
    """

    lesion_id: str
    fan: QuantileForecast = field(default_factory=QuantileForecast)
    locf: QuantileForecast = field(default_factory=QuantileForecast)
    checks: tuple[HindcastResult, ...] = ()
    skill_vs_locf: float | None = None
    moved: bool = False
    probabilities: Mapping[str, Floats] = field(default_factory=dict)
    refused: str | None = None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    learned_from: str = ""


class LesionSeries(NamedTuple):
    """The cleaned series of one lesion: in order of time, one point a day, volumes floored at 5 mm diameter."""

    timepoints: list[str]
    days: Floats
    volumes_mm3: Floats
    noise_log_sd: Floats

    @property
    def span_days(self) -> float:
        """From the first point to the last; 0 without points."""
        return float(self.days[-1] - self.days[0]) if self.days.size else 0.0


def clean_series(points: Sequence[VolumePoint], noise_log_sd: Mapping[str, float] | None = None) -> LesionSeries:
    """The points that are finite and >= 0; of two on one day the one given last.

    Raises:
        InputError: the points are of more than one lesion.
    """
    lesions = sorted({p.lesion_id for p in points})
    if len(lesions) > 1:
        raise InputError(f"A forecast is of one lesion; got points of {', '.join(lesions)}.")
    by_day = {p.days: p for p in points if math.isfinite(p.days) and math.isfinite(p.volume_mm3) and p.volume_mm3 >= 0}
    ordered = [by_day[day] for day in sorted(by_day)]
    return LesionSeries(
        [p.timepoint for p in ordered],
        np.array([p.days for p in ordered], dtype=float),
        np.maximum(np.array([p.volume_mm3 for p in ordered], dtype=float), FLOOR_MM3),
        np.array([(noise_log_sd or {}).get(p.mask_id, 0.0) for p in ordered], dtype=float),
    )


def histories_until(known: LesionSeries, *origins: int) -> LesionHistories:
    """The lesion's history up to and with each of these points, one row for each."""
    past = lesion_histories(
        [padded_history(known.days, known.volumes_mm3, n) for n in origins], [n + 1 for n in origins]
    )
    noise = np.zeros((len(origins), MAX_HISTORY_SCANS))
    for row, n in enumerate(origins):
        recent = known.noise_log_sd[max(0, n + 1 - MAX_HISTORY_SCANS) : n + 1]
        noise[row, : recent.size] = recent
    return LesionHistories(past.days, past.logs, past.seen, past.scans, noise)


def _fan(known: LesionSeries, quantiles: Floats, horizon: Floats) -> QuantileForecast:
    return QuantileForecast(known.days[-1] + horizon, known.volumes_mm3[-1] * np.exp(np.minimum(quantiles[0], 600.0)))


def hindcasts(known: LesionSeries, learned: PopulationParameters) -> tuple[HindcastResult, ...]:
    """Hindcasts: the forecast of each visit from the one before it, the first from three usable points."""
    later = range(MIN_POINTS, known.days.size)
    visits = [n for n in later if why_no_forecast(known.volumes_mm3[:n], known.days[:n]) is None]
    if not visits:
        return ()
    before = [n - 1 for n in visits]
    apart = known.days[visits] - known.days[before]
    last = known.volumes_mm3[before]
    quantiles = last[:, None] * np.exp(
        combined_quantiles(learned, histories_until(known, *before), apart[:, None])[:, 0]
    )
    return tuple(
        HindcastResult(
            known.timepoints[n - 1],
            known.timepoints[n],
            float(days),
            float(limits[MEDIAN]),
            float(limits[1]),
            float(limits[5]),
            float(carried),
            float(known.volumes_mm3[n]),
        )
        for n, days, limits, carried in zip(visits, apart, quantiles, last, strict=True)
    )


def differs_from_locf(quantiles: Floats) -> bool:
    """The median of these quantiles (h, 7) of ln(later / last) is somewhere not the last value."""
    return bool(np.abs(quantiles[:, MEDIAN]).max(initial=0.0) > 1e-9)


def skill(checks: Sequence[HindcastResult]) -> float | None:
    """1 - mean |log error| / that of LOCF; None for fewer than two checks, or where LOCF made no error.

    Below 5 mm diameter all counts as 5 mm diameter, since the forecast total of lesions that are gone is 0.
    """
    ours = sum(_log_error(check.median_mm3, check.observed_mm3) for check in checks)
    theirs = sum(_log_error(check.last_mm3, check.observed_mm3) for check in checks)
    return 1.0 - ours / theirs if len(checks) >= MIN_CHECKS and theirs > 0 else None


def _log_error(forecast_mm3: float, observed_mm3: float) -> float:
    return abs(math.log(max(forecast_mm3, FLOOR_MM3) / max(observed_mm3, FLOOR_MM3)))


def longest_days(known: LesionSeries, learned: PopulationParameters) -> float:
    """How far ahead this lesion is forecast, days: see `core.growth.support.end_days`."""
    return end_days(known.span_days, learned.max_days)


def warnings_of(known: LesionSeries, learned: PopulationParameters, asked_days: Floats) -> tuple[str, ...]:
    """What to ask and to warn of: `Forecast.warnings`, of a lesion asked about at `asked_days` (h,) from its last."""
    when = known.timepoints[-1] if known.timepoints else ""
    doubts = (
        why_doubt_last(known.days, known.volumes_mm3, when),
        why_doubt_reach(known.span_days, learned.max_days, asked_days),
    )
    return tuple(doubt for doubt in doubts if doubt)


def forecast(
    points: Sequence[VolumePoint],
    horizon_days: ArrayLike,
    population: Population | None = None,
    noise_log_sd: Mapping[str, float] | None = None,
) -> Forecast:
    """Forecast one lesion's volume.

    Args:
        points: one lesion's accepted volumes, any order; not finite ones are left out, of two on one day the later
            given counts, and what is below 5 mm diameter is floored and does not count towards the three that are
            needed.
        horizon_days: (h,) days after the last point, >= 0; those beyond `longest_days` are left out, which a note says.
        population: learned from other patients; default: the shipped one.
        noise_log_sd: mask id -> log-SD of that measurement, where it is known.

    Returns:
        The fan, LOCF with its own, the checks on the patient's own visits, and the probabilities that are calibrated.
        `refused` with the reason when fewer than three usable points are there, or they lie within too few days. Where
        the last volume is hardly plausible, the first note asks whether it is, also beside a refusal.

    Raises:
        InputError: points of several lesions, or a horizon that is negative or not finite.
    """
    horizon = np.atleast_1d(np.asarray(horizon_days, dtype=float))
    if horizon.ndim != 1 or not np.isfinite(horizon).all() or (horizon < 0).any():
        raise InputError("Expected horizons of at least 0 days after the last scan.")
    known = clean_series(points, noise_log_sd)
    lesion = points[0].lesion_id if points else ""
    population = population or default_population()
    learned, refused = population.everyone, why_no_forecast(known.volumes_mm3, known.days)
    if refused is not None:
        asked = warnings_of(known, learned, np.empty(0))
        return Forecast(lesion, refused=refused, notes=asked, warnings=asked, learned_from=population.source)
    warnings = warnings_of(known, learned, horizon)
    end = why_it_ends(known.span_days, learned.max_days, horizon)
    horizon = horizon[horizon <= longest_days(known, learned)]
    past = histories_until(known, known.days.size - 1)
    ahead, likely = (combined_quantiles(learned, past, horizon[None, :], stretched) for stretched in (True, False))
    carried = locf_quantiles(learned, past, horizon[None, :])
    checks = hindcasts(known, learned)
    moved = differs_from_locf(ahead[0])
    return Forecast(
        lesion_id=lesion,
        fan=_fan(known, ahead, horizon),
        locf=_fan(known, carried, horizon),
        checks=checks,
        skill_vs_locf=skill(checks),
        moved=moved,
        probabilities=_probabilities(known, likely[0], population),
        notes=(*warnings, *_notes(known, moved, end)),
        warnings=warnings,
        learned_from=population.source,
    )


def _probabilities(known: LesionSeries, quantiles: Floats, population: Population) -> dict[str, Floats]:
    out = {}
    logs = np.log(known.volumes_mm3)
    for event, (_, _, up) in response_probability.EVENTS.items():
        needed = response_probability.threshold_change(event, logs)
        open_ = needed > 0 if up else needed < 0 and logs[-1] + needed > LOG_FLOOR
        if open_ and population.reliability[event]["calibrated"]:
            out[event] = response_probability.probability(event, quantiles, np.full(len(quantiles), needed))
    return out


def _notes(known: LesionSeries, moved: bool, end: str | None) -> tuple[str, ...]:
    notes = []
    if moved:
        notes.append(
            "With this little history, and this far ahead, what other lesions did tells more than the last value alone."
        )
    else:
        notes.append(
            "No method does better than the last value here, so that is the forecast; the band is what counts."
        )
    notes += [UNAWARE, *([end] if end else [])]
    if (known.volumes_mm3 <= FLOOR_MM3).any():
        notes.append("Volumes below 5 mm diameter count as 5 mm diameter.")
    if known.volumes_mm3[-1] <= FLOOR_MM3:
        notes.append("Most lesions that were once this small stayed so; the upper limits are of those that came back.")
    return tuple(notes)
