"""DICOM series of CT, PET and MR into volumes: pydicom for what headers say, GDCM (through SimpleITK) for voxels.

The geometry is computed from every slice's own position, so that gaps, tilts and duplicates are found, not averaged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.pixels.processing import apply_modality_lut

from core.errors import GeometryError, InputError
from core.imaging.dicom_files import (
    DAMAGED,
    DicomSlice,
    check_voxels_there,
    gdcm_reader,
    is_dicom,
    read_headers,
    read_plane,
)
from core.imaging.extras import without_extras
from core.imaging.headers.image_header import code_word, quoted
from core.imaging.identifiers import KEY as IDENTIFIERS
from core.imaging.identifiers import KEYWORDS as UIDS
from core.imaging.identifiers import identifiers_of
from core.imaging.image_files import StoredImage, check_grid, check_shape, reading
from core.imaging.judging import checked_by_values
from core.imaging.limits import check_voxel_bytes
from core.imaging.padding import KEYWORDS as PADDING
from core.imaging.padding import padding_to_air
from core.imaging.scanner_facts import LONGEST, date_mode
from core.imaging.study.dates import KEYWORDS as DATES
from core.imaging.study.dates import birth_year_of, date_of
from core.imaging.suv import PHILIPS_ACTIVITY_FACTOR, PHILIPS_SUV_FACTOR, SuvScale, suv_scale
from core.imaging.volumes import make_volume
from core.types import Grid, Modality, Volume

__all__ = ["is_dicom", "read_files", "read_series"]

_CODE = {"CT": "CT", "PET": "PT", "MR": "MR"}
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_SAME_PLACE_MM = 1e-3
#: A position written to 0.1 mm is off by half of that, and the line through such positions by a little more.
_ROUNDED_MM = 0.06

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
    "Rows",
    "Columns",
    "NumberOfFrames",
    "SamplesPerPixel",
    "ImageType",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "Units",
    "SUVType",
    "PatientWeight",
    "RadiopharmaceuticalInformationSequence",
    "CorrectedImage",
    *DATES,
    "PatientBirthDate",
    "SeriesTime",
    "AcquisitionTime",
    "TimezoneOffsetFromUTC",
    "ContrastBolusAgent",
    "LossyImageCompression",
    "BitsAllocated",
    "ModalityLUTSequence",
    *PADDING,
    *UIDS,
]


def read_series(
    folder: Path, modality: Modality, series_uid: str | None = None, sequence: str = ""
) -> tuple[Volume, dict[str, Any]]:
    """Read the one series of `modality` in a folder (and its sub-folders).

    Other modalities, RTSTRUCT, SEG and localizers in it are passed over. PET becomes SUV by body weight.

    Args:
        folder: where the files are.
        modality: CT, PET or MR; must be what the files say.
        series_uid: which series, when there are several of that modality.
        sequence: name of the MR sequence, e.g. "T1".

    Returns:
        The volume, (columns, rows, slices), slices ascending along the normal; and metadata: "format", "warnings",
        "study_date" (YYYY-MM-DD), "manufacturer", "model", "slice_thickness_mm", "kvp", "magnetic_field_t", "tracer",
        "units" … as far as the series says. Never names, patients' ids, birth dates or comments; "identifiers" holds
        the UIDs (`core.imaging.identifiers`), which are taken out before anything is stored.

    Raises:
        InputError: no DICOM, no such modality, several series, duplicated slices, not convertible to SUV.
        GeometryError: slices missing or unevenly spaced, tilted, or of different orientations or sizes.
    """
    folder = Path(folder)
    with reading(folder):
        if not folder.is_dir():
            raise InputError(f"{folder.name}: expected a folder of DICOM files, there is none. Check the path.")
        files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return read_files(files, modality, folder.name, series_uid, sequence)


def read_files(
    files: Sequence[Path], modality: Modality, name: str, series_uid: str | None = None, sequence: str = ""
) -> tuple[Volume, dict[str, Any]]:
    """As `read_series`, for files that are already listed; `name` is what messages call them."""
    if modality not in _CODE:
        raise InputError(f"Expected modality CT, PET or MR, got {modality!r}. Choose one of these.")
    slices = _choose(read_headers(files, name, _tags()), modality, name, series_uid)
    slices, passed_over = without_extras(slices)
    slices, affine = _arranged(slices, name)
    shape = check_shape(name, (int(slices[0].header.Columns), int(slices[0].header.Rows), len(slices)))
    check_voxel_bytes(name, shape)
    grid = check_grid(name, shape, affine)
    for item in slices:
        check_voxels_there(item, name)
    scale = suv_scale([s.header for s in slices], name) if modality == "PET" else SuvScale(1.0)
    warnings = [*passed_over, *scale.warnings]
    array, padding = _voxels(slices, grid, name, modality)
    warnings += padding
    if scale.factor != 1.0:
        array *= np.float32(scale.factor)
    volume = make_volume(name, StoredImage(array, grid), modality, sequence)
    if str(slices[0].header.get("LossyImageCompression") or "00") == "01":
        warnings.append("The images were compressed with loss; fine texture and small volumes may be altered.")
    facts = {**_metadata(slices[0].header, modality), **dict(scale.facts)}
    if uids := identifiers_of([item.header for item in slices]):
        facts[IDENTIFIERS] = uids.to_json()
    return volume, {**facts, "warnings": [*warnings, *checked_by_values(name, volume, named_by_file=True)]}


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
            "Choose the folder of one of them."
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


def _arranged(slices: list[DicomSlice], name: str) -> tuple[list[DicomSlice], NDArray[np.float64]]:
    """The slices in order along their normal, and the affine of their grid."""
    if any(_whole(s, "NumberOfFrames", name) > 1 for s in slices):
        raise InputError(
            f"{name}: expected one file a slice, got multi-frame (enhanced) DICOM. "
            "Export it as classic DICOM, or convert it to NIfTI (dcm2niix)."
        )
    if any(_whole(s, "SamplesPerPixel", name) != 1 for s in slices):
        raise InputError(f"{name}: expected grey-scale slices, got colour. Export the original series.")
    try:
        position = np.array([s.header.ImagePositionPatient for s in slices], dtype=float)
        axes = np.array([s.header.ImageOrientationPatient for s in slices], dtype=float)
        spacing = np.array([s.header.PixelSpacing for s in slices], dtype=float)
        size = {(int(s.header.Rows), int(s.header.Columns)) for s in slices}
    except (AttributeError, TypeError, ValueError) as error:
        raise GeometryError(
            f"{name}: expected position, orientation and pixel spacing in every slice, at least one lacks them. "
            "Export the original series, not screenshots."
        ) from error
    if np.abs(axes - axes[0]).max() > 1e-3:
        raise GeometryError(f"{name}: expected slices of one orientation, got several. Import each plane on its own.")
    if len(size) > 1 or np.abs(spacing - spacing[0]).max() > 1e-4:
        raise GeometryError(
            f"{name}: expected slices of one size, got several sizes or pixel spacings. Export it again."
        )
    if len(slices) < 2:
        check_shape(name, (*size.pop(), 1))
    normal = np.cross(axes[0, :3], axes[0, 3:])
    order = np.argsort(position @ normal, kind="stable")
    position = position[order]
    step = _step(position, normal, name)
    affine = np.eye(4)
    affine[:3, 0] = axes[0, :3] * spacing[0, 1]  # PixelSpacing is (between rows, between columns); i runs along a row
    affine[:3, 1] = axes[0, 3:] * spacing[0, 0]
    affine[:3, 2] = step
    affine[:3, 3] = position[0]
    return [slices[n] for n in order], _LPS_TO_RAS @ affine


def _whole(item: DicomSlice, keyword: str, name: str) -> int:
    """A whole number of a header, 1 where it says nothing; raises InputError that names the field."""
    value = item.header.get(keyword)
    try:
        return int(value) if value not in (None, "") else 1
    except (TypeError, ValueError):
        raise InputError(
            f"{name}: expected a whole number in {keyword}, {item.path.name} has none there. Export it again."
        ) from None


def _step(position: NDArray[np.float64], normal: NDArray[np.float64], name: str) -> NDArray[np.float64]:
    """From one slice to the next, LPS millimetres: the same everywhere, or an error that says where it is not."""
    along = position @ normal
    gaps = np.diff(along)
    if (gaps < _SAME_PLACE_MM).any():
        count = int((gaps < _SAME_PLACE_MM).sum())
        raise InputError(
            f"{name}: expected every slice once, got {count} duplicated (same position). "
            "Remove the copies; if these are phases, echoes or b-values, export the one you need."
        )
    usual = float(np.median(gaps))
    worst = int(np.argmax(gaps))
    if gaps[worst] > 1.5 * usual:
        missing = round(gaps[worst] / usual) - 1
        raise GeometryError(
            f"{name}: expected slices {usual:.4g} mm apart, got a gap of {gaps[worst]:.4g} mm after slice "
            f"{worst + 1} of {len(along)} (about {missing} missing). Export the complete series."
        )
    number = np.arange(len(along))
    even = np.polyval(np.polyfit(number, along, 1), number)
    # Positions are often written to 0.1 mm, so judge where slices lie, not the single steps.
    if np.abs(along - even).max() > max(0.1 * usual, _ROUNDED_MM):
        raise GeometryError(
            f"{name}: expected evenly spaced slices, got steps of {gaps.min():.4g} to {gaps.max():.4g} mm. "
            "Export the original series, or resample it evenly."
        )
    return (position[-1] - position[0]) / (len(position) - 1)


def _voxels(
    slices: Sequence[DicomSlice], grid: Grid, name: str, modality: Modality
) -> tuple[NDArray[np.float32], list[str]]:
    """(I, J, K) float32, every slice's own rescale slope and intercept applied, and what is to be said of padding."""
    reader = gdcm_reader()
    array = np.empty(grid.shape, np.float32, order="F")
    warnings: dict[str, None] = {}
    # Slice by slice: the series reader takes the number type of the first slice for all, and PET slopes differ.
    for k, item in enumerate(slices):
        plane = _looked_up(read_plane(reader, item, name), item, name)
        if modality == "CT" and (warning := padding_to_air(plane, item.header)):
            warnings.setdefault(warning)
        array[..., k] = plane.T
    return array, list(warnings)


def _looked_up(plane: NDArray[np.float32], item: DicomSlice, name: str) -> NDArray[np.float32]:
    """The slice by its Modality LUT Sequence (0028,3000) where it has one, which stands in for slope and intercept."""
    if not item.header.get("ModalityLUTSequence"):
        return plane
    try:
        return apply_modality_lut(plane.astype(np.int32), item.header).astype(np.float32)
    except DAMAGED as error:
        raise InputError(
            f"{name}: expected a table from stored values to HU (0028,3000), that of {item.path.name} cannot be read. "
            "Export the series with slope and intercept."
        ) from error


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
