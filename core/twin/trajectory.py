"""Growth of one patient's lesions by the accepted masks alone: changes between visits, fits and forecasts."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Protocol

import numpy as np

from core.errors import InputError, StoreError
from core.growth.burden import total_forecast
from core.growth.curves import GROWTH_LAWS
from core.growth.fitting import fit
from core.growth.forecast import Forecast, QuantileForecast, forecast
from core.growth.population import KIND, Population, active_population
from core.remembered.sources import (
    HasDecisions,
    HasMasks,
    HasPatients,
    HasReferenceSets,
    HasScans,
    HasVerdicts,
    MeasuredMask,
)
from core.remembered.untyped import Json, JsonDict
from core.review.decisions import counted_lesions, lesions_in_one_total_only
from core.twin.change import Change, change_between, unknown_change
from core.twin.curve_points import CurvePointStore, volume_points
from core.twin.measured_visits import (
    MeasuredVisit,
    counted_volume_mm3,
    measured_end,
    measured_visits,
)
from core.twin.measured_visits import diameter_mm as diameter_mm
from core.twin.noise import volume_log_sd
from core.types import TOTAL_LESION_ID, MaskRecord, VolumePoint, parse_date

#: Days ahead at which a forecast is printed; the chart draws every week up to the last.
HORIZON_DAYS = (28.0, 56.0, 84.0)


class TrajectoryStore(HasPatients, HasScans, HasMasks, HasDecisions, HasVerdicts, HasReferenceSets, Protocol):
    """Store methods that a growth report reads."""


def accepted_masks_by_timepoint(store: TrajectoryStore, patient_id: str) -> dict[str, MaskRecord]:
    """The accepted mask of each timepoint that has one, by timepoint in order of time."""
    finals = {t: store.masks.accepted(patient_id, t) for t in sorted(store.patients.timepoints(patient_id))}
    return {t: record for t, record in finals.items() if record is not None}


def unreadable_accepted_masks(store: CurvePointStore, patient_id: str) -> dict[str, str]:
    """Timepoint -> why the mask that was accepted there is not read ("file lost", "file altered", "file missing"), in
    order of time. Its volume is not known now, so it has no point in the curve; it was a visit all the same."""
    problems = store.masks.problems(patient_id)
    return {record.timepoint: problems[record.mask_id] for record in _unreadable_records(store, patient_id, problems)}


def _unreadable_records(store: CurvePointStore, patient_id: str, problems: Mapping[str, str]) -> list[MeasuredMask]:
    """Accepted records whose file has a problem, by timepoint; `masks.accepted` gives none for a lost file."""
    if not problems:
        return []
    records = [r for r in store.masks.of(patient_id) if r.status == "accepted" and r.mask_id in problems]
    return sorted(records, key=lambda record: record.timepoint)


def unreadable_points(store: CurvePointStore, patient_id: str, points: Sequence[VolumePoint]) -> list[VolumePoint]:
    """Points of NaN mm3, one for every lesion at every timepoint of `unreadable_accepted_masks`.

    Beside `points`, the patient's `volume_points`, they keep a response from taking the first mask that can be read
    for the baseline. Curves and forecasts are made without them.
    """
    records = _unreadable_records(store, patient_id, store.masks.problems(patient_id))
    if not records:
        return []
    names = {p.lesion_id for p in points if p.lesion_id != TOTAL_LESION_ID}
    names |= {str(lesion["lesion_id"]) for record in records for lesion in counted_lesions(record)}
    start = parse_date(store.patients.timepoints(patient_id)[0])
    return [
        VolumePoint(
            record.timepoint,
            float((parse_date(record.timepoint) - start).days),
            math.nan,
            name,
            record.mask_id,
            record.version,
        )
        for record in records
        for name in sorted(names)
    ]


def noise_by_mask(visits: Mapping[str, MeasuredVisit], lesion_id: str) -> dict[str, float]:
    """Mask id -> log-SD of that lesion's volume in it, by its own modality, slices, size and doubts
    (`core.twin.noise.volume_log_sd`)."""
    ends = [measured_end(v, lesion_id, counted_volume_mm3(v.record, lesion_id), 0.0) for v in visits.values()]
    return {end.mask_id: volume_log_sd(end) for end in ends}


def points_by_lesion(points: Sequence[VolumePoint]) -> dict[str, list[VolumePoint]]:
    """Points of each lesion in order of time, by lesion id; "total" last."""
    lesions = sorted({p.lesion_id for p in points}, key=lambda name: (name == TOTAL_LESION_ID, len(name), name))
    return {name: sorted((p for p in points if p.lesion_id == name), key=lambda p: p.days) for name in lesions}


@dataclass(frozen=True)
class IntervalChange:
    """What happened to a lesion, or to the total, between two accepted timepoints."""

    lesion_id: str
    from_timepoint: str
    to_timepoint: str
    change: Change

    def to_json(self) -> JsonDict:
        """Plain JSON values: the keys of a timeline's change, and "rate" and "change" as they have always been."""
        found = self.change
        return {
            "lesion_id": self.lesion_id,
            "from": self.from_timepoint,
            "to": self.to_timepoint,
            **found.to_json(),
            "rate": {
                "sgr_percent_per_day": found.growth_percent_per_day,
                "low95": found.growth_low95,
                "high95": found.growth_high95,
                "doubling_days": found.doubling_days,
                "doubling_low_days": found.doubling_low_days,
                "doubling_high_days": found.doubling_high_days,
                "text": found.growth_text,
                "floored": found.is_bound,
            },
            "change": {
                "verdict": found.verdict,
                "rule": found.rule,
                "percent_change": found.percent,
                "threshold_percent": found.smallest_real_percent,
                "note": found.why,
            },
        }


def interval_change(first: VolumePoint, second: VolumePoint, visits: Mapping[str, MeasuredVisit]) -> IntervalChange:
    """Change of one lesion (or the total) from one accepted timepoint to a later one: `change_between` its two masks.

    Totals of different lesions are not compared: where a lesion is rejected in one mask and counts in the other, or was
    not there before, the verdict is "unknown". One that is gone stays in the total, as 0.
    """
    lesion, visit, later = first.lesion_id, visits[first.timepoint], visits[second.timepoint]
    before = measured_end(visit, lesion, first.volume_mm3, first.days)
    after = measured_end(later, lesion, second.volume_mm3, second.days)
    why = why_not_one_total(visit.record, later.record) if lesion == TOTAL_LESION_ID and first.volume_mm3 > 0 else ""
    change = unknown_change(before, after, "totals of different lesions", why) if why else change_between(before, after)
    return IntervalChange(lesion, first.timepoint, second.timepoint, change)


def why_not_one_total(before: MeasuredMask, after: MeasuredMask) -> str:
    """Why the totals of two masks are of different lesions; "" where they are of the same."""
    rejected = lesions_in_one_total_only(before, after)
    if rejected:
        return f"{', '.join(rejected)} counts in one of the two totals only: rejected in the other mask"
    there = {str(lesion["lesion_id"]) for lesion in before.lesions}
    new = [str(lesion["lesion_id"]) for lesion in counted_lesions(after) if str(lesion["lesion_id"]) not in there]
    return f"{', '.join(new)} was not there before and counts in the second total only" if new else ""


def forecast_lesion_or_total(
    series: Mapping[str, Sequence[VolumePoint]],
    lesion_id: str,
    horizon_days: Sequence[float] = HORIZON_DAYS,
    noise_log_sd: Mapping[str, float] | None = None,
    population: Population | None = None,
) -> Forecast:
    """Forecast of one lesion, or of the total from its lesions together.

    Args:
        series: `points_by_lesion` of one patient's points; lesion_id: one of its keys.
        horizon_days: days ahead. The rest as in `core.growth.forecast.forecast`.
    """
    if lesion_id != TOTAL_LESION_ID:
        return forecast(series[lesion_id], horizon_days, population, noise_log_sd)
    lesions = {name: points for name, points in series.items() if name != TOTAL_LESION_ID}
    return total_forecast(lesions, series[TOTAL_LESION_ID], horizon_days, population, noise_log_sd)


def weekly_days(weeks: int) -> tuple[float, ...]:
    """Every week ahead up to the last, in days, the day of the last scan first."""
    return tuple(7.0 * week for week in range(weeks + 1))


@dataclass(frozen=True)
class LawFit:
    """A growth law fitted to one lesion's points, or why it cannot be.

    Args:
        identifiable: the points determine every parameter.
        reason: what they leave open, or "".
        parameters: name -> value; {} where nothing could be fitted, and then `n` is 0 and the figures are NaN.
        low95, high95: limits of the 95 % interval, in the order of the parameters.
        aicc: Akaike's criterion for few points; residual_log_sd: scatter of ln(volume) about the curve.
        n: how many points.
    """

    identifiable: bool
    reason: str
    parameters: Mapping[str, float]
    low95: tuple[float, ...] = ()
    high95: tuple[float, ...] = ()
    aicc: float = math.nan
    residual_log_sd: float = math.nan
    n: int = 0

    def to_json(self) -> JsonDict:
        """Plain JSON values; only identifiable and reason where nothing could be fitted."""
        out = asdict(self) | {"low95": list(self.low95), "high95": list(self.high95)}
        return out if self.parameters else {"identifiable": False, "reason": self.reason}


def fit_all_growth_laws(points: Sequence[VolumePoint]) -> dict[str, LawFit]:
    """Parameters with intervals of every growth law, by its name; or why it cannot be fitted."""
    out = {}
    for name in GROWTH_LAWS:
        try:
            fitted = fit(name, [p.days for p in points], [p.volume_mm3 for p in points])
        except InputError as error:
            out[name] = LawFit(False, str(error), {})
            continue
        out[name] = LawFit(
            fitted.identifiable,
            fitted.reason,
            fitted.named(),
            fitted.low95,
            fitted.high95,
            fitted.aicc,
            fitted.residual_log_sd,
            fitted.n,
        )
    return out


def _quantile_report(fan: QuantileForecast) -> dict[str, list[float]]:
    out = {"days": fan.days.tolist(), "median_mm3": fan.median_mm3.tolist()}
    for percent in (50, 80, 95):
        low, high = fan.limits_mm3(percent)
        out |= {f"low{percent}_mm3": low.tolist(), f"high{percent}_mm3": high.tolist()}
    return out


def _forecast_report(ahead: Forecast) -> JsonDict:
    return {
        "refused": ahead.refused,
        "moved_from_last_value": ahead.moved,
        "skill_vs_locf": ahead.skill_vs_locf,
        "checks": [check.to_json() for check in ahead.checks],
        "probabilities": {event: values.tolist() for event, values in ahead.probabilities.items()},
        "notes": list(ahead.notes),
        "learned_from": ahead.learned_from,
        "bands": _quantile_report(ahead.fan),
        "locf": _quantile_report(ahead.locf),
    }


def growth_report(store: TrajectoryStore, patient_id: str) -> JsonDict:
    """Growth report of a patient, as the command line prints it: plain JSON values, no NaN.

    "not_in_the_curve" are timepoints without a point, "not_read" those of them whose accepted mask cannot be read, with
    why; while there are such, forecasts give no probability of a response.

    Raises:
        StoreError: the patient is not known.
    """
    timepoints = store.patients.timepoints(patient_id)
    if not timepoints:
        raise StoreError(f"There is no patient {patient_id!r}. Import a scan first; the worklist shows who is there.")
    not_read = unreadable_accepted_masks(store, patient_id)
    visits = {t: visit for t, visit in measured_visits(store, patient_id).items() if t not in not_read}
    lesions = {}
    series = points_by_lesion(volume_points(store, patient_id))
    population = active_population(store.reference_sets.all(KIND))
    for name, points in series.items():
        noise = noise_by_mask(visits, name)
        ahead = _forecast_report(forecast_lesion_or_total(series, name, HORIZON_DAYS, noise, population))
        lesions[name] = {
            "points": [
                {
                    **asdict(p),
                    "method": visits[p.timepoint].record.method,
                    "longest_diameter_mm": diameter_mm(visits[p.timepoint].record, name),
                }
                for p in points
            ],
            "steps": [interval_change(a, b, visits).to_json() for a, b in itertools.pairwise(points)],
            "since_first": interval_change(points[0], points[-1], visits).to_json() if len(points) > 1 else None,
            "fits": {name: fitted.to_json() for name, fitted in fit_all_growth_laws(points).items()},
            "forecast": ahead | ({"probabilities": {}} if not_read else {}),
        }
    return nan_to_null(
        {
            "patient_id": patient_id,
            "timepoints": timepoints,
            "not_in_the_curve": [t for t in timepoints if t not in visits],
            "not_read": not_read,
            "lesions": lesions,
        }
    )


def nan_to_null(value: Json) -> Json:
    """The same JSON values with None for NaN and infinities, which JSON does not have."""
    if isinstance(value, dict):
        return {key: nan_to_null(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [nan_to_null(item) for item in value]
    if isinstance(value, (float, np.floating)):
        return float(value) if np.isfinite(value) else None
    return value
