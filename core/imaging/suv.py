"""PET voxels of a DICOM series into standardised uptake values by body weight (SUVbw, g/mL).

Source: QIBA FDG-PET/CT profile, vendor-neutral pseudo-code for SUV; units as DICOM PS3.3 C.8.9.1 defines them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from pydicom import Dataset
from pydicom.tag import BaseTag, Tag

from core.errors import InputError
from core.imaging.headers.image_header import code_word

PHILIPS_SUV_FACTOR: BaseTag = Tag(0x7053, 0x1000)
_LEAST_DOSE_BQ = 1e5  # less cannot be imaged: the number is in MBq or mCi
_LONGEST_HOURS = 24.0


def suv_factor(slices: Sequence[Dataset], name: str) -> tuple[float, list[str]]:
    """What rescaled voxels (stored value x rescale slope) are multiplied by to become SUVbw.

    GML is SUV already (1); CNTS uses Philips' own factor; BQML is
    weight [g] / dose decayed to the time the voxels are corrected to [Bq].

    Args:
        slices: the headers of one PET series.
        name: what to call it in messages.

    Returns:
        The factor, and warnings.

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
        return 1.0, []
    if units == "CNTS":
        factor = _number(first.get(PHILIPS_SUV_FACTOR).value if PHILIPS_SUV_FACTOR in first else None)
        if not factor:
            raise InputError(
                f"{name}: expected PET in BQML or GML, got counts without an SUV factor. Export it as BQML."
            )
        return factor, []
    if units != "BQML":
        got = code_word(units) if units else "none"
        raise InputError(f"{name}: expected PET in BQML or GML, got unit '{got}'. Export it as BQML.")
    return _from_activity(slices, name)


def _from_activity(slices: Sequence[Dataset], name: str) -> tuple[float, list[str]]:
    first = slices[0]
    tracer = (first.get("RadiopharmaceuticalInformationSequence") or [Dataset()])[0]
    weight = _number(first.get("PatientWeight"))
    dose = _number(tracer.get("RadionuclideTotalDose"))
    half_life = _number(tracer.get("RadionuclideHalfLife"))
    correction = str(first.get("DecayCorrection") or "")
    missing = [
        *(["PatientWeight (0010,1030)"] if not weight else []),
        *(["RadionuclideTotalDose (0018,1074)"] if not dose else []),
        *(["RadionuclideHalfLife (0018,1075)"] if not half_life and correction != "ADMIN" else []),
        *(["DecayCorrection (0054,1102)"] if not correction else []),
    ]
    injected = _injection(tracer, first)
    started, warnings = _scan_start(slices)
    if correction == "START":
        missing += [] if injected else ["RadiopharmaceuticalStartTime (0018,1072)"]
        missing += [] if started else ["SeriesTime (0008,0031)"]
    if missing:
        raise InputError(
            f"{name}: expected what SUV is computed from, the series lacks {', '.join(missing)}. "
            "Export it with these kept, or as SUV (GML)."
        )
    if correction not in ("START", "ADMIN"):
        raise InputError(
            f"{name}: expected decay-corrected PET (START or ADMIN), got {code_word(correction)}. Export it corrected."
        )
    if dose < _LEAST_DOSE_BQ:
        raise InputError(f"{name}: expected a dose in Bq, got {dose:g}, probably MBq or mCi. Correct (0018,1074).")
    if "ATTN" not in str(first.get("CorrectedImage") or ""):
        warnings.append("The PET is not marked as attenuation-corrected; its SUV may be wrong.")
    if correction == "ADMIN":
        return weight * 1000.0 / dose, warnings
    assert injected  # it is in `missing` otherwise,
    assert started  # and so is this
    if started < injected and started.date() == injected.date():
        injected -= dt.timedelta(days=1)  # only the time of day is recorded: the injection was before midnight
    hours = (started - injected).total_seconds() / 3600.0
    if not 0 <= hours <= _LONGEST_HOURS:
        raise InputError(
            f"{name}: expected the scan 0 to 24 h after injection, got {hours:.1f} h. "
            "Correct (0018,1072) or (0018,1078)."
        )
    return weight * 1000.0 / (dose * 2.0 ** (-hours * 3600.0 / half_life)), warnings


def _injection(tracer: Dataset, first: Dataset) -> dt.datetime | None:
    whole = str(tracer.get("RadiopharmaceuticalStartDateTime") or "")
    if len(whole) >= 14:
        return moment(whole[:8], whole[8:])
    return moment(first.get("SeriesDate"), tracer.get("RadiopharmaceuticalStartTime"))


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


def moment(date: Any, time: Any) -> dt.datetime | None:
    """A DICOM DA and TM value as a datetime (fractions dropped), or None if either is missing or malformed."""
    clock = str(time or "").split(".")[0].split("+")[0].split("-")[0]
    try:
        return dt.datetime.strptime(str(date or "") + clock.ljust(6, "0"), "%Y%m%d%H%M%S") if clock else None
    except ValueError:
        return None


def _number(value: Any) -> float:
    """A positive number, or 0.0 for anything else: DICOM writes "unknown" as nothing, 0 or text."""
    try:
        return max(float(value), 0.0)
    except (TypeError, ValueError):
        return 0.0
