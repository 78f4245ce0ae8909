"""Growth of one patient's lesions by the accepted masks alone: changes between visits, fits and forecasts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from core.errors import InputError, StoreError
from core.growth.burden import total_forecast
from core.growth.curves import GROWTH_LAWS
from core.growth.fitting import fit
from core.growth.forecast import Forecast, QuantileForecast, forecast
from core.growth.population import KIND, Population, active_population
from core.remembered.untyped import Json, JsonDict
from core.twin.installation_noise import NoiseEstimate
from core.twin.measured_visits import MeasuredVisit, counted_volume_mm3, measured_end
from core.twin.measured_visits import diameter_mm as diameter_mm
from core.twin.noise import volume_log_sd
from core.twin.timeline import PatientTimeline, patient_timeline
from core.twin.timeline_changes import IntervalChange as IntervalChange
from core.twin.timeline_changes import change_since_first, lesion_changes
from core.twin.timeline_store import CurveStore, TimelineStore
from core.types import TOTAL_LESION_ID, MaskRecord, VolumePoint

#: Days ahead at which a forecast is printed; the chart draws every week up to the last.
HORIZON_DAYS = (28.0, 56.0, 84.0)


def accepted_masks_by_timepoint(store: CurveStore, patient_id: str) -> dict[str, MaskRecord]:
    """The accepted mask of each timepoint that has one, by timepoint in order of time."""
    finals = {t: store.masks.accepted(patient_id, t) for t in sorted(store.patients.timepoints(patient_id))}
    return {t: record for t, record in finals.items() if record is not None}


def unreadable_accepted_masks(store: TimelineStore, patient_id: str) -> dict[str, str]:
    """`not_read_of` the patient's timeline."""
    return not_read_of(patient_timeline(store, patient_id))


def not_read_of(timeline: PatientTimeline) -> dict[str, str]:
    """Timepoint -> why the mask that was accepted there is not read ("file lost", "file altered", "file missing"), in
    order of time. Its volume is not known now, so it has no point in the curve; it was a visit all the same."""
    return {day: timeline.why_open[day].partition(":")[0] for day in timeline.not_read}


def noise_by_mask(
    visits: Mapping[str, MeasuredVisit], lesion_id: str, installation: Sequence[NoiseEstimate] = ()
) -> dict[str, float]:
    """Mask id -> log-SD of that lesion's volume in it, by its own modality, slices, size and doubts
    (`core.twin.noise.volume_log_sd`)."""
    ends = [measured_end(v, lesion_id, counted_volume_mm3(v.record, lesion_id), 0.0) for v in visits.values()]
    return {end.mask_id: volume_log_sd(end, installation) for end in ends}


def points_by_lesion(points: Sequence[VolumePoint]) -> dict[str, list[VolumePoint]]:
    """Points of each lesion in order of time, by lesion id; "total" last."""
    lesions = sorted({p.lesion_id for p in points}, key=lambda name: (name == TOTAL_LESION_ID, len(name), name))
    return {name: sorted((p for p in points if p.lesion_id == name), key=lambda p: p.days) for name in lesions}


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
        "warnings": list(ahead.warnings),
        "learned_from": ahead.learned_from,
        "bands": _quantile_report(ahead.fan),
        "locf": _quantile_report(ahead.locf),
    }


def growth_report(store: CurveStore, patient_id: str) -> JsonDict:
    """Growth report of a patient, as the command line prints it: plain JSON values, no NaN.

    "not_in_the_curve" are timepoints without a point, "not_read" those of them whose accepted mask cannot be read, with
    why; while there are such, forecasts give no probability of a response.

    Raises:
        StoreError: the patient is not known.
    """
    timepoints = store.patients.timepoints(patient_id)
    if not timepoints:
        raise StoreError(f"There is no patient {patient_id!r}. Import a scan first; the worklist shows who is there.")
    timeline = patient_timeline(store, patient_id)
    not_read, visits = not_read_of(timeline), timeline.visits
    lesions = {}
    series = points_by_lesion(timeline.points)
    population = active_population(store.reference_sets.all(KIND))
    for name, points in series.items():
        noise = noise_by_mask(visits, name, timeline.installation)
        since_first = change_since_first(timeline, name)
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
            "steps": [change.to_json() for change in lesion_changes(timeline, name)],
            "since_first": None if since_first is None else since_first.to_json(),
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
