"""Small DICOM series written by pydicom, for tests of reading and of refusing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

SOP_CLASS = {
    "CT": "1.2.840.10008.5.1.4.1.1.2",
    "MR": "1.2.840.10008.5.1.4.1.1.4",
    "PT": "1.2.840.10008.5.1.4.1.1.128",
    "RTSTRUCT": "1.2.840.10008.5.1.4.1.1.481.3",
}
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
#: Identifying values that must never come out of the reader.
SECRETS = ("DOE^JANE", "MRN-4711", "19510203", "Dr. House", "Castle Hospital", "left a voicemail", "ACC-99")


def stored_values(n: int, rows: int = 6, columns: int = 5) -> NDArray[np.int16]:
    """(slices, rows, columns), every voxel different: column + 10 x row + 100 x slice - 1000."""
    k, row, column = np.indices((n, rows, columns))
    return (column + 10 * row + 100 * k - 1000).astype(np.int16)


def write_series(
    folder: Path,
    modality: str = "CT",
    stored: NDArray[np.int16] | None = None,
    positions: Sequence[Sequence[float]] | NDArray[Any] | None = None,
    orientation: Sequence[float] = AXIAL,
    pixel_spacing: tuple[float, float] = (0.8, 0.7),
    slopes: Sequence[float] | None = None,
    uid: str | None = None,
    edit: Callable[[Dataset, int], None] | None = None,
    **tags: Any,
) -> list[Path]:
    """Write one slice a file (file names in no order); positions default to 2.5 mm steps up z. Returns the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    stored = stored_values(4) if stored is None else stored
    uid, study = uid or generate_uid(), generate_uid()
    paths = []
    for n, plane in enumerate(stored):
        ds = Dataset()
        ds.file_meta = pydicom.dataset.FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = UID(SOP_CLASS[modality])
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = generate_uid()
        ds.Modality, ds.SeriesInstanceUID, ds.StudyInstanceUID = modality, uid, study
        ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        ds.PatientName, ds.PatientID, ds.PatientBirthDate = SECRETS[0], SECRETS[1], SECRETS[2]
        ds.ReferringPhysicianName, ds.InstitutionName = SECRETS[3], SECRETS[4]
        ds.ImageComments, ds.AccessionNumber = SECRETS[5], SECRETS[6]
        ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = "20240305"
        ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = "120000"
        ds.Manufacturer, ds.ManufacturerModelName = "ACME", "Ring 3000"
        ds.SliceThickness, ds.InstanceNumber = 2.5, n + 1
        ds.ImagePositionPatient = list(positions[n] if positions is not None else (10.0, 20.0, -30.0 + 2.5 * n))
        ds.ImageOrientationPatient = list(orientation)
        ds.PixelSpacing = list(pixel_spacing)
        ds.Rows, ds.Columns = plane.shape
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.BitsAllocated = ds.BitsStored = 16
        ds.HighBit, ds.PixelRepresentation = 15, 1
        ds.RescaleSlope, ds.RescaleIntercept = (slopes[n] if slopes else 1), 0
        ds.PixelData = plane.astype("<i2").tobytes()
        for keyword, value in tags.items():
            setattr(ds, keyword, value)
        if edit is not None:
            edit(ds, n)
        path = folder / f"{(n * 7) % 11:02d}-{modality}-{len(list(folder.iterdir())):03d}.dcm"
        ds.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def write_rtstruct(folder: Path) -> Path:
    """A DICOM file that is no image."""
    ds = Dataset()
    ds.file_meta = pydicom.dataset.FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = UID(SOP_CLASS["RTSTRUCT"])
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = generate_uid()
    ds.Modality, ds.SeriesInstanceUID = "RTSTRUCT", generate_uid()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "contour.dcm"
    ds.save_as(path, enforce_file_format=True)
    return path


def activity_tags(**changes: Any) -> dict[str, Any]:
    """Tags of a PET in Bq/mL: 70 kg, 350 MBq injected at 11:00, scan at 12:00; `changes` replace or (None) drop."""
    tracer = Dataset()
    values: dict[str, Any] = {
        "Radiopharmaceutical": "FDG",
        "RadionuclideTotalDose": 350e6,
        "RadionuclideHalfLife": 6586.2,
        "RadiopharmaceuticalStartTime": "110000",
    }
    series: dict[str, Any] = {
        "Units": "BQML",
        "PatientWeight": 70,
        "DecayCorrection": "START",
        "CorrectedImage": ["DECY", "ATTN"],
    }
    for key, value in changes.items():
        (series if key in series or key == "SUVType" else values)[key] = value
    for key, value in values.items():
        if value is not None:
            setattr(tracer, key, value)
    tags = {key: value for key, value in series.items() if value is not None}
    return {**tags, "RadiopharmaceuticalInformationSequence": [tracer]}
