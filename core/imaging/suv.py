"""PET voxels of a DICOM series into standardised uptake values by body weight (SUVbw, g/mL).

Source: QIBA FDG-PET/CT profile, vendor-neutral pseudo-code for SUV; units as DICOM PS3.3 C.8.9.1 defines them. What a
header says is used only where it is possible, and refused otherwise: one wrong number makes every SUV wrong.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydicom import Dataset
from pydicom.tag import BaseTag, Tag

from core.errors import InputError
from core.imaging.headers.dicom_times import moment, zone
from core.imaging.headers.image_header import code_word
from core.imaging.nuclides import check_half_life

#: Philips' own: counts -> SUV, and counts -> Bq/mL.
PHILIPS_SUV_FACTOR: BaseTag = Tag(0x7053, 0x1000)
PHILIPS_ACTIVITY_FACTOR: BaseTag = Tag(0x7053, 0x1009)
_WEIGHT_KG = (2.0, 300.0)
#: Less cannot be imaged: the number is in MBq or mCi. More is given to nobody before a scan.
_DOSE_BQ = (1e5, 1e10)
_TRACER_FACTS = (
    "RadionuclideTotalDose",
    "RadionuclideHalfLife",
    "RadiopharmaceuticalStartTime",
    "RadiopharmaceuticalStartDateTime",
)
#: After so many half-lives a thousandth is left, too little for an image.
_MOST_HALF_LIVES = 10.0
#: Without a date an injection later in the day than the scan was on the day before, if that is no longer ago than this.
_HALF_LIVES_OVER_MIDNIGHT = 4.0
_SAME_MINUTE_S = 60.0
_SHORTEST_H = 1.0  # of the shortest-lived, too


@dataclass(frozen=True)
class SuvScale:
    """How rescaled voxels (stored value x rescale slope) become SUVbw.

    Args:
        factor: what they are multiplied by.
        warnings: what is doubtful about it.
        facts: what it was computed from, as metadata: "suv_factor", and for activity "weight_kg", "injected_mbq" and
            "uptake_h", the hours from the injection to the time that voxels are corrected to.
    """

    factor: float
    warnings: tuple[str, ...] = ()
    facts: tuple[tuple[str, float], ...] = ()


def suv_scale(slices: Sequence[Dataset], name: str) -> SuvScale:
    """GML is SUV already (1); CNTS uses Philips' own factors; BQML is weight [g] / dose decayed to the time the voxels
    are corrected to [Bq].

    Args:
        slices: the headers of one PET series.
        name: what to call it in messages.

    Raises:
        InputError: another unit or SUV type, no decay correction, or missing or impossible facts, all of them named.
    """
    first = slices[0]
    units = str(first.get("Units") or "")
    if any(str(header.get("Units") or "") != units for header in slices):
        raise InputError(f"{name}: expected one unit, the slices have several. Export the series again.")
    if units == "GML":
        kind = str(first.get("SUVType") or "BW")
        if kind != "BW":
            raise InputError(
                f"{name}: expected SUV by body weight (BW), got {code_word(kind)}. Export the series as SUV BW or BQML."
            )
        return _scale(1.0)
    if units == "CNTS":
        return _from_counts(slices, name)
    if units != "BQML":
        got = code_word(units) if units else "none"
        raise InputError(f"{name}: expected PET in BQML or GML, got unit '{got}'. Export it as BQML.")
    return _from_activity(slices, name)


def _scale(factor: float, warnings: Sequence[str] = (), **facts: float) -> SuvScale:
    return SuvScale(factor, tuple(warnings), (("suv_factor", factor), *facts.items()))


def _from_counts(slices: Sequence[Dataset], name: str) -> SuvScale:
    """Philips' SUV factor where it is there, else its factor to Bq/mL."""

    def common(tag: BaseTag) -> float:
        values = {_number(header[tag].value if tag in header else None) for header in slices}
        if len(values) > 1:
            raise InputError(f"{name}: expected one factor from counts, the slices have several. Export it as BQML.")
        return values.pop()

    if factor := common(PHILIPS_SUV_FACTOR):
        return _scale(factor)
    if activity := common(PHILIPS_ACTIVITY_FACTOR):
        found = _from_activity(slices, name)
        facts = {**dict(found.facts), "suv_factor": activity * found.factor}
        return SuvScale(activity * found.factor, found.warnings, tuple(facts.items()))
    raise InputError(f"{name}: expected PET in BQML or GML, got counts without an SUV factor. Export it as BQML.")


def _from_activity(slices: Sequence[Dataset], name: str) -> SuvScale:
    first = slices[0]
    tracer = _tracer(slices, name)
    weight = _number(first.get("PatientWeight"))
    dose = _number(tracer.get("RadionuclideTotalDose"))
    half_life = _number(tracer.get("RadionuclideHalfLife"))
    correction = str(first.get("DecayCorrection") or "")
    started, warnings = _scan_start(slices)
    injected = _injection(tracer, first, name) if correction == "START" else None
    missing = [
        *(["PatientWeight (0010,1030)"] if not weight else []),
        *(["RadionuclideTotalDose (0018,1074)"] if not dose else []),
        *(["RadionuclideHalfLife (0018,1075)"] if not half_life and correction != "ADMIN" else []),
        *(["DecayCorrection (0054,1102)"] if not correction else []),
        *(["RadiopharmaceuticalStartTime (0018,1072)"] if correction == "START" and not injected else []),
        *(["SeriesTime (0008,0031)"] if correction == "START" and not started else []),
    ]
    if missing:
        raise InputError(
            f"{name}: expected what SUV is computed from, the series lacks {', '.join(missing)}. "
            "Export it with these kept, or as SUV (GML)."
        )
    if correction not in ("START", "ADMIN"):
        raise InputError(
            f"{name}: expected decay-corrected PET (START or ADMIN), got {code_word(correction)}. Export it corrected."
        )
    _check_amounts(weight, dose, name)
    if half_life:
        warnings += check_half_life(tracer, half_life, name)
    if "ATTN" not in str(first.get("CorrectedImage") or ""):
        warnings.append("The PET is not marked as attenuation-corrected; its SUV may be wrong.")
    given = {"weight_kg": weight, "injected_mbq": dose / 1e6}
    if correction == "ADMIN":
        return _scale(weight * 1000.0 / dose, warnings, **given)
    assert injected is not None  # it is in `missing` otherwise,
    assert started is not None  # and so is this
    warnings += [injected.contradiction] if injected.contradiction else []
    hours = _uptake_hours(injected, started, half_life / 3600.0, name)
    left = dose * 2.0 ** (-hours * 3600.0 / half_life)
    return _scale(weight * 1000.0 / left, warnings, **given, uptake_h=hours)


def _tracer(slices: Sequence[Dataset], name: str) -> Dataset:
    """The one tracer of a series; what SUV is computed from must be the same in every slice."""
    if any(len(header.get("RadiopharmaceuticalInformationSequence") or []) > 1 for header in slices):
        raise InputError(f"{name}: expected one tracer, the series names several. Export the series as SUV (GML).")
    tracers = [(header.get("RadiopharmaceuticalInformationSequence") or [Dataset()])[0] for header in slices]
    facts = {
        (
            *(str(header.get(word)) for word in ("PatientWeight", "DecayCorrection")),
            *(str(tracer.get(word)) for word in _TRACER_FACTS),
        )
        for header, tracer in zip(slices, tracers, strict=True)
    }
    if len(facts) > 1:
        raise InputError(
            f"{name}: expected one weight, dose, half-life and injection, the slices have several. Export it again."
        )
    return tracers[0]


def _check_amounts(weight_kg: float, dose_bq: float, name: str) -> None:
    if not _WEIGHT_KG[0] <= weight_kg <= _WEIGHT_KG[1]:
        raise InputError(
            f"{name}: expected a patient of {_WEIGHT_KG[0]:g} to {_WEIGHT_KG[1]:g} kg, got {weight_kg:g} kg, which SUV "
            "would be computed from. Correct (0010,1030), or export the series as SUV (GML)."
        )
    if dose_bq < _DOSE_BQ[0]:
        raise InputError(f"{name}: expected a dose in Bq, got {dose_bq:g}, probably MBq or mCi. Correct (0018,1074).")
    if dose_bq > _DOSE_BQ[1]:
        raise InputError(
            f"{name}: expected a dose in Bq of at most {_DOSE_BQ[1] / 1e6:,.0f} MBq, got {dose_bq / 1e6:,.0f} MBq. "
            "Correct (0018,1074)."
        )


@dataclass(frozen=True)
class _Injection:
    """When the tracer was given, on the clock of the series; `dated`: the header says the day, too. `by_clock` is what
    it says as a time of day alone."""

    time: dt.datetime
    dated: bool
    by_clock: dt.datetime | None = None

    @property
    def contradiction(self) -> str:
        """In words, where the two times of the header are more than a minute apart; else empty."""
        if self.by_clock is None:
            return ""
        apart = abs((self.time - self.by_clock).total_seconds()) % 86_400
        if min(apart, 86_400 - apart) <= _SAME_MINUTE_S:
            return ""
        return (
            f"The file has two times of injection, {self.time:%H:%M} with a date (0018,1078) and {self.by_clock:%H:%M} "
            "without (0018,1072); SUV is computed from the dated one."
        )


def _injection(tracer: Dataset, first: Dataset, name: str) -> _Injection | None:
    whole = str(tracer.get("RadiopharmaceuticalStartDateTime") or "").strip()
    by_clock = moment(first.get("SeriesDate"), tracer.get("RadiopharmaceuticalStartTime"))
    dated = moment(whole[:8], whole[8:]) if len(whole) >= 12 else None
    if dated is None:
        return None if by_clock is None else _Injection(by_clock, dated=False)
    own, of_series = zone(whole), zone(str(first.get("TimezoneOffsetFromUTC") or ""))
    if own is None or own == of_series:
        return _Injection(dated, True, by_clock)
    if of_series is not None:
        return _Injection(dated + of_series - own, True, by_clock)
    if by_clock is not None and by_clock.time() == dated.time():
        return _Injection(dated, dated=True)  # both are on the same clock, whatever its offset
    raise InputError(
        f"{name}: expected TimezoneOffsetFromUTC (0008,0201), as RadiopharmaceuticalStartDateTime (0018,1078) has an "
        "offset from UTC and the scan's times have none. Export it with (0008,0201), or as SUV (GML)."
    )


def _uptake_hours(injected: _Injection, started: dt.datetime, half_life_h: float, name: str) -> float:
    """Hours from the injection to the moment that voxels are corrected to."""
    hours = (started - injected.time).total_seconds() / 3600.0
    longest = max(_HALF_LIVES_OVER_MIDNIGHT * half_life_h, _SHORTEST_H)
    if hours < 0 and not injected.dated and hours + 24.0 <= longest:
        hours += 24.0  # only the time of day is recorded: the injection was before midnight
    if hours < 0:
        raise InputError(
            f"{name}: expected the scan after its injection, got a scan {-hours * 60:.0f} min before it. "
            "Correct (0018,1072) or (0018,1078), or export the series as SUV (GML)."
        )
    if hours > _MOST_HALF_LIVES * half_life_h:
        raise InputError(
            f"{name}: expected the scan 0 to {_MOST_HALF_LIVES * half_life_h:.3g} h after injection (ten half-lives), "
            f"got {hours:.1f} h. Correct (0018,1072) or (0018,1078)."
        )
    return hours


def _scan_start(slices: Sequence[Dataset]) -> tuple[dt.datetime | None, list[str]]:
    """The moment START-corrected voxels are corrected to: the series' start, unless that is after the acquisition."""
    series = moment(slices[0].get("SeriesDate"), slices[0].get("SeriesTime"))
    acquired = [moment(header.get("AcquisitionDate"), header.get("AcquisitionTime")) for header in slices]
    earliest = min((time for time in acquired if time), default=None)
    if series and earliest and series > earliest:
        return earliest, [
            "The PET series is dated after its acquisition; SUV is corrected to the first acquisition time."
        ]
    return series or earliest, []


def _number(value: Any) -> float:
    """A positive number, or 0.0 for anything else: DICOM writes "unknown" as nothing, 0 or text."""
    try:
        return max(float(value), 0.0)
    except (TypeError, ValueError):
        return 0.0
