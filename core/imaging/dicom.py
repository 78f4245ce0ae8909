"""DICOM series of CT, PET and MR into volumes: which slices, where they lie (`slice_order`), and their `planes`."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from core.errors import InputError
from core.imaging.broken_files import whole_slices
from core.imaging.burned_in import KEYWORDS as BURNED_IN
from core.imaging.burned_in import burned_in_warnings
from core.imaging.dicom_files import DicomSlice, is_dicom, read_headers
from core.imaging.enhanced import KEYWORDS as FRAMES
from core.imaging.enhanced import by_file, check_one_stack, frames_of, whole_number
from core.imaging.extras import without_extras
from core.imaging.headers.image_header import code_word, quoted
from core.imaging.identifiers import KEY as IDENTIFIERS
from core.imaging.identifiers import KEYWORDS as UIDS
from core.imaging.identifiers import identifiers_of
from core.imaging.image_files import StoredImage, check_grid, check_shape, reading
from core.imaging.judging import checked_by_values
from core.imaging.limits import check_voxel_bytes
from core.imaging.padding import AIR_HU, padding_to_air
from core.imaging.padding import KEYWORDS as PADDING
from core.imaging.planes import KEYWORDS as VOXELS
from core.imaging.planes import check_voxels_there, read_planes
from core.imaging.scan_dates import KEYWORDS as DATES
from core.imaging.scan_dates import birth_year_of, date_of
from core.imaging.scanner_facts import LONGEST, date_mode
from core.imaging.slice_order import SliceStack, placed, stacked
from core.imaging.suv import PHILIPS_ACTIVITY_FACTOR, PHILIPS_SUV_FACTOR, SuvScale, suv_scale
from core.imaging.volumes import make_volume
from core.types import Modality, Volume

__all__ = ["is_dicom", "read_files", "read_series"]

_CODE = {"CT": "CT", "PET": "PT", "MR": "MR"}
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])

#: Scanner facts that are kept: metadata key -> DICOM keyword. Nothing here names a patient, a person or a place.
_NUMBERS = {
    "kvp": "KVP",
    "slice_thickness_mm": "SliceThickness",
    "magnetic_field_t": "MagneticFieldStrength",
    "repetition_time_ms": "RepetitionTime",
    "echo_time_ms": "EchoTime",
    "inversion_time_ms": "InversionTime",
    "flip_angle_deg": "FlipAngle",
    "tube_current_ma": "XRayTubeCurrent",
}
_CODES = {
    "manufacturer": "Manufacturer",
    "model": "ManufacturerModelName",
    "kernel": "ConvolutionKernel",
    "body_part": "BodyPartExamined",
    "patient_position": "PatientPosition",
    "scanning_sequence": "ScanningSequence",
    "sequence_variant": "SequenceVariant",
    "mr_acquisition_type": "MRAcquisitionType",
    "reconstruction": "ReconstructionMethod",
    "decay_correction": "DecayCorrection",
}
_NEEDED = [
    *_NUMBERS.values(),
    *_CODES.values(),
    "Modality",
    "SeriesDescription",
    "ImageType",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "Units",
    "SUVType",
    "PatientWeight",
    "PatientSize",
    "PatientSex",
    "ActualFrameDuration",
    "RadiopharmaceuticalInformationSequence",
    "CorrectedImage",
    *DATES,
    "PatientBirthDate",
    "PatientID",
    "SeriesTime",
    "AcquisitionTime",
    "TimezoneOffsetFromUTC",
    "ContrastBolusAgent",
    "LossyImageCompression",
    "InstanceNumber",
    "TemporalPositionIdentifier",
    "TriggerTime",
    "DiffusionBValue",
    *PADDING,
    *UIDS,
    *BURNED_IN,
    *VOXELS,
    *FRAMES,
]


def read_series(
    folder: Path, modality: Modality, series_uid: str | None = None, sequence: str = "", *, without_broken: bool = False
) -> tuple[Volume, dict[str, Any]]:
    """Read the one series of `modality` in a folder (and its sub-folders).

    Other modalities, RTSTRUCT, SEG and localizers in it are passed over. PET becomes SUV by body weight.

    Args:
        folder: where the files are.
        modality: CT, PET or MR; must be what the files say.
        series_uid: which series, when there are several of that modality.
        sequence: name of the MR sequence, e.g. "T1".
        without_broken: a person's word to take the series without end slices that cannot be read.

    Returns:
        The volume, (columns, rows, slices), slices ascending along the normal; and metadata: "format", "warnings",
        "study_date" (YYYY-MM-DD), "manufacturer", "model", "slice_thickness_mm", "kvp", "magnetic_field_t", "tracer",
        "units" … as far as the series says. Never names, patients' ids, birth dates or comments; "identifiers" holds
        the UIDs (`core.imaging.identifiers`), which are taken out before anything is stored.

    Raises:
        InputError: no DICOM, no such modality, several series, duplicated slices, not convertible to SUV, a file of the
            series that cannot be read.
        GeometryError: slices missing or unevenly spaced, or of different orientations or sizes.
    """
    folder = Path(folder)
    with reading(folder):
        if not folder.is_dir():
            raise InputError(f"{folder.name}: expected a folder of DICOM files, there is none. Check the path.")
        files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return read_files(files, modality, folder.name, series_uid, sequence, without_broken=without_broken)


def read_files(
    files: Sequence[Path],
    modality: Modality,
    name: str,
    series_uid: str | None = None,
    sequence: str = "",
    *,
    without_broken: bool = False,
) -> tuple[Volume, dict[str, Any]]:
    """As `read_series`, for files that are already listed; `name` is what messages call them."""
    if modality not in _CODE:
        raise InputError(f"Expected modality CT, PET or MR, got {modality!r}. Choose one of these.")
    found, broken = read_headers(files, name, _tags())
    wanted = _choose(found, modality, name, series_uid)
    others = [item for item in found if item not in wanted]
    several = _of_several_patients(wanted, others, name)
    _check_one_day(wanted, name)
    wanted, left_out = whole_slices(wanted, others, broken, name, without_broken)
    slices, passed_over = without_extras([frame for item in wanted for frame in frames_of(item, name)])
    stack = _arranged(slices, name)
    check_shape(name, stack.shape)
    check_voxel_bytes(name, stack.shape)
    grid = check_grid(name, stack.shape, _LPS_TO_RAS @ stack.affine)
    for item in stack.slices:
        check_voxels_there(item, name)
    header = stack.slices[0].header
    scale = suv_scale([s.header for s in stack.slices], name) if modality == "PET" else SuvScale((1.0,))
    array, padding = _voxels(stack, name, modality)
    if scale.factors != (1.0,):
        array *= np.asarray(scale.factors, np.float32)  # one for all, or one a slice: the last axis
    volume = make_volume(name, StoredImage(array, grid), modality, sequence)
    pictured = burned_in_warnings([item.header for item in stack.slices])
    warnings = [*several, *left_out, *passed_over, *pictured, *_told(stack, header), *scale.warnings, *padding]
    facts = {**_metadata(header, modality), **dict(scale.facts)}
    multi_frame = len({item.path for item in stack.slices}) < len(stack.slices)
    frames = [item.frame + 1 for item in stack.slices] if multi_frame else None
    if uids := identifiers_of([item.header for item in stack.slices], frames):
        facts[IDENTIFIERS] = uids.to_json()
    return volume, {**facts, "warnings": [*warnings, *checked_by_values(name, volume, named_by_file=True)]}


def _of_several_patients(wanted: Sequence[DicomSlice], others: Sequence[DicomSlice], name: str) -> list[str]:
    """What is said where the files are of several patients. Raises InputError if the series itself is."""
    mine = {str(item.header.get("PatientID") or "").strip() for item in wanted}
    if len(mine) > 1:
        raise InputError(
            f"{name}: expected a series of one patient, got one whose slices name {len(mine)}. Export it again."
        )
    every = mine | {str(item.header.get("PatientID") or "").strip() for item in others}
    if len(every) == 1:
        return []
    return [f"The files held images of {len(every)} patients; those of one were taken. Check that it is the right one."]


def _check_one_day(wanted: Sequence[DicomSlice], name: str) -> None:
    """Refuse a series whose slices are of several days: the first would speak for all. One may go on over midnight."""
    days = sorted({dt.date.fromisoformat(day) for item in wanted if (day := date_of(item.header).date)})
    if days and (days[-1] - days[0]).days > 1:
        raise InputError(
            f"{name}: expected slices of one day, got slices of {len(days)}. Export each day as a series of its own."
        )


def _told(stack: SliceStack, header: Dataset) -> list[str]:
    """What was done to the slices, or before they came."""
    told = []
    if stack.shifts is not None:
        told.append(
            f"The slices lean by {stack.tilt_deg:.1f} degrees (gantry tilt); each was moved within its plane onto a "
            "grid at right angles."
        )
    if str(header.get("LossyImageCompression") or "00") == "01":
        told.append("The images were compressed with loss; fine texture and small volumes may be altered.")
    return told


def _tags() -> list[Any]:
    return [*_NEEDED, PHILIPS_SUV_FACTOR, PHILIPS_ACTIVITY_FACTOR]


def _choose(slices: Sequence[DicomSlice], modality: Modality, name: str, series_uid: str | None) -> list[DicomSlice]:
    """The slices of the one series that is meant."""
    series: dict[str, list[DicomSlice]] = {}
    for item in slices:
        header = item.header
        image = header.get("Modality") in _CODE.values() and "Rows" in header
        if image and "LOCALIZER" not in (header.get("ImageType") or ()):
            series.setdefault(str(header.get("SeriesInstanceUID") or ""), []).append(item)
    if not series:
        kinds = Counter(code_word(item.header.get("Modality") or "UNKNOWN") for item in slices)
        got = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())[:8])
        raise InputError(f"{name}: expected CT, PET or MR images, got {got}. Choose the folder that holds the images.")
    wanted = {uid: s for uid, s in series.items() if s[0].header.Modality == _CODE[modality]}
    if series_uid is not None:
        wanted = {uid: s for uid, s in wanted.items() if uid == series_uid}
    if not wanted:
        which = f"the {modality} series that was chosen" if series_uid is not None else f"a {modality} series"
        raise InputError(
            f"{name}: expected {which}, got {_listed(series)}. Choose the modality or series that the files are of."
        )
    if len(wanted) > 1:
        raise InputError(
            f"{name}: expected one {modality} series, got {len(wanted)}: {_listed(wanted)}. "
            "Choose the folder of one of them, or name it by its UID (--series; `scan preview` lists them)."
        )
    return next(iter(wanted.values()))


def _listed(series: dict[str, list[DicomSlice]]) -> str:
    """The series in words. Descriptions and folders are short excerpts, and left out where dates are shifted: they
    may hold one, as UIDs do."""
    parts = []
    for slices in series.values():
        header = slices[0].header
        about = f"{len(slices)} images {_thickness(header)}"
        if date_mode() == "keep":
            description = quoted(str(header.get("SeriesDescription") or "no description"))
            about = f"{description}, {about} (in {quoted(slices[0].path.parent.name)})"
        parts.append(f"{header.Modality} {about}")
    return "; ".join(parts[:4]) + ("; ..." if len(parts) > 4 else "")


def _thickness(header: Dataset) -> str:
    try:
        return f"{float(header.SliceThickness):g} mm thick"
    except (AttributeError, TypeError, ValueError):
        return "of unknown thickness"


def _arranged(slices: list[DicomSlice], name: str) -> SliceStack:
    """The slices in order along their normal, on their grid."""
    if any(whole_number(s, "SamplesPerPixel", name) != 1 for s in slices):
        raise InputError(f"{name}: expected grey-scale slices, got colour. Export the original series.")
    if any(str(s.header.get("PhotometricInterpretation")) == "PALETTE COLOR" for s in slices):
        raise InputError(f"{name}: expected grey-scale slices, got colours of a palette. Export the original series.")
    check_one_stack(slices, name)
    return stacked(slices, name)


def _voxels(stack: SliceStack, name: str, modality: Modality) -> tuple[NDArray[np.float32], list[str]]:
    """(I, J, K) float32, every slice's own rescale slope and intercept applied, and what is to be said of padding."""
    array = np.empty(stack.shape, np.float32, order="F")
    fill = AIR_HU if modality == "CT" else 0.0
    warnings: dict[str, None] = {}
    number = {id(item): k for k, item in enumerate(stack.slices)}
    for frames in by_file(stack.slices):
        for item, plane in read_planes(frames, name):
            if modality == "CT" and (warning := padding_to_air(plane, item.header)):
                warnings.setdefault(warning)
            k = number[id(item)]
            array[..., k] = placed(plane.T, stack, k, fill)
    return array, list(warnings)


def _metadata(header: Dataset, modality: Modality) -> dict[str, Any]:
    out: dict[str, Any] = {"format": "DICOM"}
    day = date_of(header)
    out |= {} if day.date is None else {"study_date": day.date, "date_from": day.source}
    out |= {} if (born := birth_year_of(header)) is None else {"birth_year": born}
    for key, keyword in _NUMBERS.items():
        try:
            out[key] = float(header[keyword].value)
        except (KeyError, TypeError, ValueError):
            continue
    for key, keyword in _CODES.items():
        if value := header.get(keyword):
            out[key] = _short(value)
    if modality != "PET":
        out["contrast"] = bool(header.get("ContrastBolusAgent"))
        out["units"] = "HU" if modality == "CT" else "a.u."
        return out
    tracer = (header.get("RadiopharmaceuticalInformationSequence") or [Dataset()])[0]
    if tracer.get("Radiopharmaceutical"):
        out["tracer"] = _short(tracer.Radiopharmaceutical)
    return {**out, "units": "SUV", "stored_units": _short(header.get("Units") or "")}


def _short(value: Any) -> str:
    """A code as text, several with backslashes between; of one too long to be kept only so much as shows that."""
    text = str(value) if isinstance(value, str) else "\\".join(map(str, value))
    return text[: LONGEST + 1]
