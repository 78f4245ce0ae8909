"""Forecasts that a person had written down on the day they were made, and what came of them.

The check on earlier visits (`core.growth.forecast.checks`) is made in hindsight, from the masks and the method of
today. A kept forecast is what was said then, whatever is corrected or learned afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from core.errors import InputError
from core.growth.curves import FLOOR_MM3
from core.growth.forecast import Check, Forecast, skill, usable
from core.growth.population import KIND, LEVELS, MEDIAN, Population, in_force
from core.remembered.sources import HasForecasts
from core.twin.curve_points import volume_points
from core.twin.trajectory import TOTAL, TwinStore, accepted, by_lesion, look_ahead, noise_by_mask, weekly_days
from core.types import VolumePoint, parse_date

MODEL = "combined"
MAX_WEEKS = 104


class FitStore(HasForecasts, Protocol):
    """What is read and written here."""


class KeepingStore(HasForecasts, TwinStore, Protocol):
    """What is needed to make a forecast, keep it, and judge it."""


@dataclass(frozen=True)
class Kept:
    """A forecast as it was said.

    Args:
        kept_at, person: when (ISO 8601, UTC) and by whom it was kept.
        said_at: the last timepoint it knew; last_mm3: the volume there.
        days_ahead: (h,) days after `said_at`, rising.
        quantiles_mm3: (h, 7) at `core.growth.population.LEVELS`.
        masks: the mask ids it was made of.
        learned_from, learned_sha256: the data behind it.
    """

    kept_at: str
    person: str
    said_at: str
    last_mm3: float
    days_ahead: tuple[float, ...]
    quantiles_mm3: tuple[tuple[float, ...], ...]
    masks: tuple[str, ...]
    learned_from: str
    learned_sha256: str


def as_said(ahead: Forecast, points: Sequence[VolumePoint], population: Population) -> dict[str, Any]:
    """What is written down of a forecast of these points (one lesion's, or the total's).

    Raises:
        InputError: nothing was forecast.
    """
    if ahead.refused or ahead.fan.days.size < 2:
        raise InputError(f"Expected a forecast to keep, got none. {ahead.refused or 'Choose how many weeks ahead.'}")
    known = usable(points)
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


def keep(store: FitStore, patient_id: str, lesion_id: str, said: Mapping[str, Any], person: str) -> str:
    """Writes down what `as_said` gave; returns its id. What is kept already, by whomever, is not written twice."""
    return kept_as(store, patient_id, lesion_id, said) or store.forecasts.add(
        patient_id, lesion_id, MODEL, said, person
    )


def kept_as(store: FitStore, patient_id: str, lesion_id: str, said: Mapping[str, Any]) -> str | None:
    """The id under which just this is kept, or None."""
    rows = store.forecasts.of(patient_id, lesion_id)
    return next((str(row.fit_id) for row in rows if row.model == MODEL and row.result == said), None)


def kept(store: FitStore, patient_id: str, lesion_id: str) -> list[Kept]:
    """The lesion's kept forecasts, oldest first."""
    return [
        Kept(
            str(row.created_at),
            str(row.person),
            said["said_at"],
            said["last_mm3"],
            tuple(said["days_ahead"]),
            tuple(map(tuple, said["quantiles_mm3"])),
            tuple(said["masks"]),
            said["learned_from"],
            said["learned_sha256"],
        )
        for row in store.forecasts.of(patient_id, lesion_id)
        if row.model == MODEL
        for said in [row.result]
    ]


def came(forecast: Kept, points: Sequence[VolumePoint]) -> tuple[Check, ...]:
    """What came at each later accepted timepoint that the forecast reaches, by date.

    Between two days of the forecast its limits are interpolated on the logarithm of volume.
    """
    now = usable(points)
    out = []
    for timepoint, volume in zip(now.timepoints, now.volumes_mm3, strict=True):
        days = float((parse_date(timepoint) - parse_date(forecast.said_at)).days)
        if not 0 < days <= forecast.days_ahead[-1]:
            continue
        logs = np.log(np.maximum(forecast.quantiles_mm3, FLOOR_MM3))  # a total of lesions that are gone is said to be 0
        said = np.exp([np.interp(days, forecast.days_ahead, logs[:, n]) for n in range(len(LEVELS))])
        out.append(
            Check(
                forecast.said_at,
                timepoint,
                days,
                float(said[MEDIAN]),
                float(said[1]),
                float(said[5]),
                forecast.last_mm3,
                float(volume),
            )
        )
    return tuple(out)


def rests_on_replaced(forecast: Kept, points: Sequence[VolumePoint]) -> bool:
    """A mask it was made of is no longer the accepted one."""
    return not set(forecast.masks) <= {p.mask_id for p in points}


def keep_now(store: KeepingStore, patient_id: str, lesion_id: str, weeks: int, person: str) -> str:
    """Keeps what is said now of a lesion, or of the total, for every week ahead; returns the id.

    Raises:
        InputError: the weeks are not 1 to 104, the lesion has no accepted volume, or nothing is forecast of it (the
            reason is told).
        StoreError: the patient is not known.
    """
    store.patients.require(patient_id)
    if not 1 <= weeks <= MAX_WEEKS:
        raise InputError(f"Expected 1 to {MAX_WEEKS} weeks ahead, got {weeks}.")
    series = by_lesion(volume_points(store, patient_id))
    if lesion_id not in series:
        known = ", ".join(series) or "none yet, accept a mask first"
        raise InputError(
            f"Expected a lesion of {patient_id} with an accepted volume, got {lesion_id!r}. Known: {known}."
        )
    points = series[lesion_id]
    modality = store.scans.reference(patient_id, points[0].timepoint).modality
    noise = noise_by_mask(accepted(store, patient_id).values(), lesion_id, modality)
    population = in_force(store.reference_sets.all(KIND))
    ahead = look_ahead(series, lesion_id, weekly_days(weeks), noise, population)
    return keep(store, patient_id, lesion_id, as_said(ahead, points, population), person)


def keep_if_any(store: KeepingStore, patient_id: str, lesion_id: str, weeks: int, person: str) -> str | None:
    """As `keep_now`; None where nothing is forecast yet."""
    try:
        return keep_now(store, patient_id, lesion_id, weeks, person)
    except InputError:
        return None


class Judged(NamedTuple):
    """A kept forecast of one patient, with what came of it so far; `replaced`: see `rests_on_replaced`."""

    patient_id: str
    lesion_id: str
    forecast: Kept
    visits: tuple[Check, ...]
    replaced: bool

    def to_json(self) -> dict[str, Any]:
        """Plain values, for the command line."""
        visits = [visit._asdict() | {"inside80": visit.inside80} for visit in self.visits]
        said = {"patient_id": self.patient_id, "lesion_id": self.lesion_id, **asdict(self.forecast)}
        return {**said, "masks_replaced": self.replaced, "visits": visits}


def judged(store: KeepingStore, patient_id: str | None = None) -> list[Judged]:
    """Every kept forecast of one patient, or of all; by patient and lesion, oldest first.

    Raises:
        StoreError: the patient is not known.
    """
    if patient_id is not None:
        store.patients.require(patient_id)
    out = []
    for patient in [patient_id] if patient_id else [str(row.patient_id) for row in store.patients.all()]:
        lesions = dict.fromkeys(str(row.lesion_id) for row in store.forecasts.of(patient))
        series = by_lesion(volume_points(store, patient)) if lesions else {}
        for lesion in lesions:
            points = series.get(lesion, [])
            out += [
                Judged(patient, lesion, said, came(said, points), rests_on_replaced(said, points))
                for said in kept(store, patient, lesion)
            ]
    return out


def record_so_far(found: Iterable[Judged]) -> dict[str, dict[str, Any]]:
    """How the kept forecasts did: of totals and of single lesions apart, since a total repeats its lesions.

    Of several kept at one timepoint of one lesion the first counts: a later one may have been chosen for its looks.

    Returns:
        "totals" and "single lesions" -> {"forecasts", "patients", "visits", "inside80", "skill_vs_locf"}: how many
        counted and of how many patients; visits that came, and how many of them inside the 80 % band; skill as
        `core.growth.forecast.skill` (None below two visits).
    """
    first: dict[tuple[str, str, str], Judged] = {}
    for one in found:
        key = (one.patient_id, one.lesion_id, one.forecast.said_at)
        if key not in first or one.forecast.kept_at < first[key].forecast.kept_at:
            first[key] = one
    out = {}
    for name, is_total in (("totals", True), ("single lesions", False)):
        mine = [one for one in first.values() if (one.lesion_id == TOTAL) == is_total]
        visits = [visit for one in mine for visit in one.visits]
        out[name] = {
            "forecasts": len(mine),
            "patients": len({one.patient_id for one in mine}),
            "visits": len(visits),
            "inside80": sum(visit.inside80 for visit in visits),
            "skill_vs_locf": skill(visits),
        }
    return out
