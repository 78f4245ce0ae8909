"""PET voxels of a DICOM series into standardised uptake values by body weight (SUVbw, g/mL).

Source: QIBA FDG-PET/CT profile, vendor-neutral pseudo-code for SUV; units as DICOM PS3.3 C.8.9.1 defines them. What a
header says is used only where it is possible, and refused otherwise: one wrong number makes every SUV wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydicom import Dataset
from pydicom.tag import BaseTag, Tag

from core.errors import InputError
from core.imaging.body_size import WEIGHT_KG, size_facts, to_body_weight
from core.imaging.headers.image_header import code_word
from core.imaging.nuclides import check_half_life
from core.imaging.uptake import Frame, frames_of, injection, scan_start, uptake_hours

#: Philips' own: counts -> SUV, and counts -> Bq/mL.
PHILIPS_SUV_FACTOR: BaseTag = Tag(0x7053, 0x1000)
PHILIPS_ACTIVITY_FACTOR: BaseTag = Tag(0x7053, 0x1009)
#: Less cannot be imaged: the number is in MBq or mCi. More is given to nobody before a scan.
_DOSE_BQ = (1e5, 1e10)
_TRACER_FACTS = (
    "RadionuclideTotalDose",
    "RadionuclideHalfLife",
    "RadiopharmaceuticalStartTime",
    "RadiopharmaceuticalStartDateTime",
)
#: DecayCorrection that is computed from the time of injection.
_BY_CLOCK = ("START", "NONE")
#: What counts in any of these must be the same in every slice.
_BODY_FACTS = ("PatientWeight", "PatientSize", "PatientSex")


@dataclass(frozen=True)
class SuvScale:
    """How rescaled voxels (stored value x rescale slope) become SUVbw.

    Args:
        factors: what each slice is multiplied by; one for all, except where the scanner did not correct for decay.
        warnings: what is doubtful about it.
        facts: what it was computed from, as metadata: "suv_factor" (and "suv_factor_highest" where slices have their
            own), for activity "weight_kg", "injected_mbq" and "uptake_h", the hours from the injection to the time that
            voxels are corrected to; "lean_mass_ratio" and "surface_ratio" (`core.imaging.body_size`) where known.
    """

    factors: tuple[float, ...]
    warnings: tuple[str, ...] = ()
    facts: tuple[tuple[str, float], ...] = ()

    @property
    def factor(self) -> float:
        """The first slice's."""
        return self.factors[0]


def suv_scale(slices: Sequence[Dataset], name: str) -> SuvScale:
    """GML and CM2ML are SUV already, by weight or converted to it; CNTS uses Philips' own factors; BQML is weight [g] /
    dose decayed to the time the voxels are corrected to [Bq].

    Args:
        slices: the headers of one PET series, in the order of its slices.
        name: what to call it in messages.

    Raises:
        InputError: another unit or SUV type, or missing or impossible facts, all of them named.
    """
    units = _common(slices, "Units", name)
    for keyword in _BODY_FACTS:
        _common(slices, keyword, name)
    if units in ("GML", "CM2ML"):
        scale = _from_suv(slices, units, name)
    elif units == "CNTS":
        scale = _from_counts(slices, name)
    elif units == "BQML":
        scale = _from_activity(slices, name)
    else:
        got = code_word(units) if units else "none"
        raise InputError(f"{name}: expected PET in BQML or GML, got unit '{got}'. Export it as BQML.")
    return replace(scale, facts=(*scale.facts, *size_facts(slices[0]).items()))


def _common(slices: Sequence[Dataset], keyword: str, name: str) -> str:
    """What all slices say under a keyword; "" for nothing."""
    found = {str(value) if (value := header.get(keyword)) is not None else "" for header in slices}
    if len(found) > 1:
        raise InputError(f"{name}: expected one {keyword}, the slices have several. Export the series again.")
    return found.pop()


def _scale(factors: Sequence[float], warnings: Sequence[str] = (), **facts: float) -> SuvScale:
    lowest, highest = min(factors), max(factors)
    spread = {"suv_factor_highest": highest} if highest > lowest else {}
    return SuvScale(tuple(factors), tuple(warnings), tuple({"suv_factor": lowest, **spread, **facts}.items()))


def _from_suv(slices: Sequence[Dataset], units: str, name: str) -> SuvScale:
    kind = _common(slices, "SUVType", name) or ("BW" if units == "GML" else "BSA")
    if (kind == "BSA") != (units == "CM2ML"):
        raise InputError(
            f"{name}: expected SUV by body surface in CM2ML and others in GML, got {code_word(kind)} in {units}. "
            "Export the series as SUV BW or BQML."
        )
    if kind == "BW":
        return _scale([1.0])
    factor = to_body_weight(slices[0], kind, name)
    told = f"The file holds SUV by {kind}; they were converted to SUV by body weight (x {factor:.3g})."
    return _scale([factor], [told])


def _from_counts(slices: Sequence[Dataset], name: str) -> SuvScale:
    """Philips' SUV factor where it is there, else its factor to Bq/mL."""

    def one(tag: BaseTag) -> float:
        values = {_number(header[tag].value if tag in header else None) for header in slices}
        if len(values) > 1:
            raise InputError(f"{name}: expected one factor from counts, the slices have several. Export it as BQML.")
        return values.pop()

    if factor := one(PHILIPS_SUV_FACTOR):
        return _scale([factor])
    if activity := one(PHILIPS_ACTIVITY_FACTOR):
        found = _from_activity(slices, name)
        facts = {key: value for key, value in found.facts if not key.startswith("suv_factor")}
        return _scale([activity * factor for factor in found.factors], found.warnings, **facts)
    raise InputError(f"{name}: expected PET in BQML or GML, got counts without an SUV factor. Export it as BQML.")


def _from_activity(slices: Sequence[Dataset], name: str) -> SuvScale:
    first = slices[0]
    tracer = _tracer(slices, name)
    weight = _number(first.get("PatientWeight"))
    dose = _number(tracer.get("RadionuclideTotalDose"))
    half_life = _number(tracer.get("RadionuclideHalfLife"))
    correction = str(first.get("DecayCorrection") or "")
    started, warnings = scan_start(slices)
    injected = injection(tracer, first, name) if correction != "ADMIN" else None
    frames = frames_of(slices) if correction == "NONE" else None
    missing = [
        *(["PatientWeight (0010,1030)"] if not weight else []),
        *(["RadionuclideTotalDose (0018,1074)"] if not dose else []),
        *(["RadionuclideHalfLife (0018,1075)"] if not half_life and correction != "ADMIN" else []),
        *(["DecayCorrection (0054,1102)"] if not correction else []),
        *(["RadiopharmaceuticalStartTime (0018,1072)"] if correction in _BY_CLOCK and not injected else []),
        *(["SeriesTime (0008,0031)"] if correction == "START" and not started else []),
        *(
            ["AcquisitionTime (0008,0032) and ActualFrameDuration (0018,1242) of every slice"]
            if correction == "NONE" and not frames
            else []
        ),
    ]
    if missing:
        raise InputError(
            f"{name}: expected what SUV is computed from, the series lacks {', '.join(missing)}. "
            "Export it with these kept, or as SUV (GML)."
        )
    if correction not in (*_BY_CLOCK, "ADMIN"):
        raise InputError(
            f"{name}: expected PET whose DecayCorrection (0054,1102) is START, ADMIN or NONE, got "
            f"{code_word(correction)}. Export it corrected."
        )
    _check_amounts(weight, dose, name)
    if half_life:
        warnings += check_half_life(tracer, half_life, name)
    if "ATTN" not in str(first.get("CorrectedImage") or ""):
        warnings.append("The PET is not marked as attenuation-corrected; its SUV may be wrong.")
    given = {"weight_kg": weight, "injected_mbq": dose / 1e6}
    if injected is None:
        return _scale([weight * 1000.0 / dose], warnings, **given)
    warnings += [injected.contradiction] if injected.contradiction else []
    if frames is None:
        assert started is not None  # it is in `missing` otherwise
        frames = [Frame(started)]
    else:
        warnings.append(
            "The scanner did not correct the PET for decay; each slice was corrected to the start of its own frame."
        )
    hours = [uptake_hours(injected, frame.start, half_life / 3600.0, name) for frame in frames]
    factors = [
        weight * 1000.0 / (dose * 2.0 ** (-after * 3600.0 / half_life)) * frame.correction_to_start(half_life)
        for after, frame in zip(hours, frames, strict=True)
    ]
    return _scale(factors, warnings, **given, uptake_h=min(hours))


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
    if not WEIGHT_KG[0] <= weight_kg <= WEIGHT_KG[1]:
        raise InputError(
            f"{name}: expected a patient of {WEIGHT_KG[0]:g} to {WEIGHT_KG[1]:g} kg, got {weight_kg:g} kg, which SUV "
            "would be computed from. Correct (0010,1030), or export the series as SUV (GML)."
        )
    if dose_bq < _DOSE_BQ[0]:
        raise InputError(f"{name}: expected a dose in Bq, got {dose_bq:g}, probably MBq or mCi. Correct (0018,1074).")
    if dose_bq > _DOSE_BQ[1]:
        raise InputError(
            f"{name}: expected a dose in Bq of at most {_DOSE_BQ[1] / 1e6:,.0f} MBq, got {dose_bq / 1e6:,.0f} MBq. "
            "Correct (0018,1074)."
        )


def _number(value: Any) -> float:
    """A positive number, or 0.0 for anything else: DICOM writes "unknown" as nothing, 0 or text."""
    try:
        return max(float(value), 0.0)
    except (TypeError, ValueError):
        return 0.0
