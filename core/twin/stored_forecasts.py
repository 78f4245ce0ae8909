"""Stored prospective forecasts, and their verification against the volumes observed later.

The hindcasts of earlier visits (`core.growth.forecast.hindcasts`) are made from the masks and the method of today. A
stored forecast stays as it was made, whatever is corrected or learned afterwards. The pages call it a kept forecast.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple, Protocol

import numpy as np

from core.errors import InputError
from core.growth.curves import FLOOR_MM3
from core.growth.forecast import Forecast, HindcastResult, clean_series, skill
from core.growth.population import KIND, LEVELS, MEDIAN, Population, active_population
from core.remembered.rows import GrowthFit
from core.remembered.sources import HasForecasts, HasReadings
from core.remembered.untyped import JsonDict, JsonObject
from core.twin.curve_points import volume_points
from core.twin.timeline import patient_timeline
from core.twin.timeline_store import CurveStore
from core.twin.trajectory import (
    forecast_lesion_or_total,
    noise_by_mask,
    points_by_lesion,
    weekly_days,
)
from core.types import TOTAL_LESION_ID, VolumePoint, parse_date

MODEL = "combined"
MAX_WEEKS = 104


class FitStore(HasForecasts, HasReadings, Protocol):
    """Store methods that read and write stored forecasts."""


class ForecastStore(FitStore, CurveStore, Protocol):
    """Store methods needed to make a forecast, store it and verify it."""


@dataclass(frozen=True)
class StoredForecast:
    """A stored forecast, unchanged since it was made.

    Args:
        stored_at, person: when (ISO 8601, UTC) and by whom it was stored.
        origin_timepoint: the last timepoint that it was made from; last_mm3: the volume there.
        days_ahead: (h,) days after `origin_timepoint`, rising.
        quantiles_mm3: (h, 7) at `core.growth.population.LEVELS`.
        masks: ids of the masks that it was made from.
        learned_from, learned_sha256: the data behind it.
    """

    stored_at: str
    person: str
    origin_timepoint: str
    last_mm3: float
    days_ahead: tuple[float, ...]
    quantiles_mm3: tuple[tuple[float, ...], ...]
    masks: tuple[str, ...]
    learned_from: str
    learned_sha256: str


def forecast_record(ahead: Forecast, points: Sequence[VolumePoint], population: Population) -> JsonDict:
    """The record to store of a forecast made from these points (one lesion's, or the total's): plain JSON values.

    Raises:
        InputError: nothing was forecast.
    """
    if ahead.refused or ahead.fan.days.size < 2:
        raise InputError(f"Expected a forecast to keep, got none. {ahead.refused or 'Choose how many weeks ahead.'}")
    known = clean_series(points)
    return {
        "said_at": known.timepoints[-1],
        "last_mm3": float(known.volumes_mm3[-1]),
        "days_ahead": (ahead.fan.days - known.days[-1]).tolist(),
        "levels": list(LEVELS),
        "quantiles_mm3": ahead.fan.quantiles_mm3.tolist(),
        "masks": sorted({p.mask_id for p in points}),
        "learned_from": population.source,
        "learned_sha256": population.sha256,
    }


def store_forecast(store: FitStore, patient_id: str, lesion_id: str, record: JsonObject, person: str) -> str:
    """The id of the stored `forecast_record`; an equal one that is stored already, by whomever, is not stored twice.

    Raises:
        InputError: while a timepoint of the patient is closed to the person: their curve lacks it, and a forecast that
            is judged later has to say all that was known.
    """
    closed = [timepoint for patient, timepoint in store.readings.closed_to(person) if patient == patient_id]
    if closed:
        raise InputError(
            f"Expected a forecast from the whole curve, but {', '.join(closed)} is read blind by {person}. Keep it "
            "once the reading is finished."
        )
    return find_stored_id(store, patient_id, lesion_id, record) or store.forecasts.add(
        patient_id, lesion_id, MODEL, record, person
    )


def find_stored_id(store: FitStore, patient_id: str, lesion_id: str, record: JsonObject) -> str | None:
    """Id of the stored forecast with equal content, or None."""
    rows = store.forecasts.of(patient_id, lesion_id)
    return next((row.fit_id for row in rows if row.model == MODEL and row.result == record), None)


def stored_forecasts(store: FitStore, patient_id: str, lesion_id: str) -> list[StoredForecast]:
    """The lesion's stored forecasts, oldest first."""
    return [_stored_forecast(row) for row in store.forecasts.of(patient_id, lesion_id) if row.model == MODEL]


def _stored_forecast(row: GrowthFit) -> StoredForecast:
    record = row.result
    return StoredForecast(
        stored_at=row.created_at,
        person=row.person,
        origin_timepoint=record["said_at"],
        last_mm3=record["last_mm3"],
        days_ahead=tuple(record["days_ahead"]),
        quantiles_mm3=tuple(map(tuple, record["quantiles_mm3"])),
        masks=tuple(record["masks"]),
        learned_from=record["learned_from"],
        learned_sha256=record["learned_sha256"],
    )


def compare_with_observed(forecast: StoredForecast, points: Sequence[VolumePoint]) -> tuple[HindcastResult, ...]:
    """Comparison of the forecast with the volume at each later accepted timepoint within its horizon, by date.

    Between two days of the forecast its quantiles are interpolated on the logarithm of volume.
    """
    observed = clean_series(points)
    logs = np.log(np.maximum(forecast.quantiles_mm3, FLOOR_MM3))  # the forecast total of lesions that are gone is 0
    comparisons = []
    for timepoint, volume in zip(observed.timepoints, observed.volumes_mm3, strict=True):
        days = float((parse_date(timepoint) - parse_date(forecast.origin_timepoint)).days)
        if not 0 < days <= forecast.days_ahead[-1]:
            continue
        quantiles = np.exp([np.interp(days, forecast.days_ahead, logs[:, n]) for n in range(len(LEVELS))])
        comparisons.append(
            HindcastResult(
                origin_timepoint=forecast.origin_timepoint,
                target_timepoint=timepoint,
                days=days,
                median_mm3=float(quantiles[MEDIAN]),
                low80_mm3=float(quantiles[1]),
                high80_mm3=float(quantiles[5]),
                last_mm3=forecast.last_mm3,
                observed_mm3=float(volume),
            )
        )
    return tuple(comparisons)


def masks_were_replaced(forecast: StoredForecast, points: Sequence[VolumePoint]) -> bool:
    """True if a mask that the forecast was made from is no longer the accepted one."""
    return not set(forecast.masks) <= {p.mask_id for p in points}


def make_and_store_forecast(store: ForecastStore, patient_id: str, lesion_id: str, weeks: int, person: str) -> str:
    """The id of the stored forecast of a lesion, or of the total, made now for every week ahead.

    Raises:
        InputError: the weeks are not 1 to 104, the lesion has no accepted volume, or it cannot be forecast (the
            message says why); or as of `store_forecast`.
        StoreError: the patient is not known.
    """
    store.patients.require(patient_id)
    if not 1 <= weeks <= MAX_WEEKS:
        raise InputError(f"Expected 1 to {MAX_WEEKS} weeks ahead, got {weeks}.")
    timeline = patient_timeline(store, patient_id)
    series = points_by_lesion(timeline.points)
    if lesion_id not in series:
        known = ", ".join(series) or "none yet, accept a mask first"
        raise InputError(
            f"Expected a lesion of {patient_id} with an accepted volume, got {lesion_id!r}. Known: {known}."
        )
    points = series[lesion_id]
    noise = noise_by_mask(timeline.visits, lesion_id, timeline.installation)
    population = active_population(store.reference_sets.all(KIND))
    ahead = forecast_lesion_or_total(series, lesion_id, weekly_days(weeks), noise, population)
    return store_forecast(store, patient_id, lesion_id, forecast_record(ahead, points, population), person)


def try_store_forecast(store: ForecastStore, patient_id: str, lesion_id: str, weeks: int, person: str) -> str | None:
    """The id as of `make_and_store_forecast`; None where no forecast can be made yet."""
    try:
        return make_and_store_forecast(store, patient_id, lesion_id, weeks, person)
    except InputError:
        return None


class ForecastVerification(NamedTuple):
    """A stored forecast with its comparisons so far, one a visit; `masks_replaced`: see `masks_were_replaced`."""

    patient_id: str
    lesion_id: str
    forecast: StoredForecast
    visits: tuple[HindcastResult, ...]
    masks_replaced: bool

    def to_json(self) -> JsonDict:
        """Plain values under the keys that the command line prints."""
        forecast = asdict(self.forecast)
        printed = {"kept_at": forecast.pop("stored_at"), "person": forecast.pop("person")}
        printed |= {"said_at": forecast.pop("origin_timepoint"), **forecast}
        visits = [visit.to_json() for visit in self.visits]
        of_lesion = {"patient_id": self.patient_id, "lesion_id": self.lesion_id}
        return {**of_lesion, **printed, "masks_replaced": self.masks_replaced, "visits": visits}


def verify_forecasts(store: ForecastStore, patient_id: str | None = None) -> list[ForecastVerification]:
    """Verifications of every stored forecast of one patient, or of all; by patient and lesion, oldest first.

    Raises:
        StoreError: the patient is not known.
    """
    if patient_id is not None:
        store.patients.require(patient_id)
    verifications = []
    for patient in [patient_id] if patient_id else [row.patient_id for row in store.patients.all()]:
        lesions = dict.fromkeys(row.lesion_id for row in store.forecasts.of(patient))
        series = points_by_lesion(volume_points(store, patient)) if lesions else {}
        for lesion in lesions:
            points = series.get(lesion, [])
            for forecast in stored_forecasts(store, patient, lesion):
                compared = compare_with_observed(forecast, points)
                replaced = masks_were_replaced(forecast, points)
                verifications.append(ForecastVerification(patient, lesion, forecast, compared, replaced))
    return verifications


def prospective_performance(verifications: Iterable[ForecastVerification]) -> dict[str, JsonDict]:
    """Coverage and skill of stored forecasts: of totals and of single lesions apart, since a total repeats its lesions.

    Of several stored at one timepoint of one lesion the first counts: a later one may have been chosen for its looks.

    Returns:
        "totals" and "single lesions" -> {"forecasts", "patients", "visits", "inside80", "skill_vs_locf"}: how many
        counted and of how many patients; visits since, and how many of them inside the 80 % band; skill as
        `core.growth.forecast.skill` (None below two visits).
    """
    first: dict[tuple[str, str, str], ForecastVerification] = {}
    for verification in verifications:
        forecast = verification.forecast
        key = (verification.patient_id, verification.lesion_id, forecast.origin_timepoint)
        if key not in first or forecast.stored_at < first[key].forecast.stored_at:
            first[key] = verification
    performance = {}
    for name, is_total in (("totals", True), ("single lesions", False)):
        group = [
            verification for verification in first.values() if (verification.lesion_id == TOTAL_LESION_ID) == is_total
        ]
        visits = [visit for verification in group for visit in verification.visits]
        performance[name] = {
            "forecasts": len(group),
            "patients": len({verification.patient_id for verification in group}),
            "visits": len(visits),
            "inside80": sum(visit.inside80 for visit in visits),
            "skill_vs_locf": skill(visits),
        }
    return performance
