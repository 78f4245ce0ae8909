"""Masks as other tools write them: RTSTRUCT of given contours, SEG by highdicom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

from core.types import Grid
from tests.dicom_phantom import SECRETS, SOP_CLASS, write_series

SERIES = "1.2.826.0.1.3680043.8.498.1"
Contour = Sequence[Sequence[float]]


def grid_of(
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Grid:
    """A grid along RAS."""
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = origin
    return Grid(shape, affine)


def ball(grid: Grid, centre: Sequence[float], radius_mm: float) -> NDArray[np.uint8]:
    """1 where a voxel's centre lies within the radius."""
    points = grid.to_mm(np.argwhere(np.ones(grid.shape)))
    inside = np.linalg.norm(points - np.asarray(centre), axis=1) <= radius_mm
    return inside.reshape(grid.shape).astype(np.uint8)


def square(low: float, high: float, z: float) -> list[list[float]]:
    """A square contour in RAS mm, from `low` to `high` along x and y."""
    return [[low, low, z], [high, low, z], [high, high, z], [low, high, z]]


def write_rtstruct(
    path: Path,
    structures: Mapping[str, Sequence[Contour]],
    kind: str = "CLOSED_PLANAR",
    types: Mapping[str, str] | None = None,
    **tags: Any,
) -> Path:
    """An RTSTRUCT with these structures: name -> contours, each points in RAS mm."""
    ds = Dataset()
    ds.file_meta = pydicom.dataset.FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = UID(SOP_CLASS["RTSTRUCT"])
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = generate_uid()
    ds.Modality, ds.Manufacturer, ds.StructureSetLabel = "RTSTRUCT", "MIM Software Inc.", "contours"
    ds.PatientName, ds.PatientID, ds.OperatorsName = SECRETS[0], SECRETS[1], SECRETS[3]
    series, study, frame = Dataset(), Dataset(), Dataset()
    series.SeriesInstanceUID = SERIES
    study.RTReferencedSeriesSequence, frame.RTReferencedStudySequence = [series], [study]
    ds.ReferencedFrameOfReferenceSequence = [frame]
    ds.StructureSetROISequence, ds.ROIContourSequence, ds.RTROIObservationsSequence = [], [], []
    for number, (name, contours) in enumerate(structures.items(), start=1):
        roi, drawn, seen = Dataset(), Dataset(), Dataset()
        roi.ROINumber, roi.ROIName, roi.ROIGenerationAlgorithm = number, name, "MANUAL"
        drawn.ReferencedROINumber, seen.ReferencedROINumber = number, number
        seen.RTROIInterpretedType = (types or {}).get(name, "")
        drawn.ContourSequence = [_contour(contour, kind) for contour in contours]
        ds.StructureSetROISequence.append(roi)
        ds.ROIContourSequence.append(drawn)
        ds.RTROIObservationsSequence.append(seen)
    for keyword, value in tags.items():
        setattr(ds, keyword, value)
    ds.save_as(path, enforce_file_format=True)
    return path


def _contour(points: Contour, kind: str) -> Dataset:
    item = Dataset()
    item.ContourGeometricType = kind
    item.NumberOfContourPoints = len(points)
    item.ContourData = [f"{v:.4f}" for x, y, z in points for v in (-x, -y, z)]
    return item


def write_seg(
    folder: Path, masks: NDArray[Any], kind: str = "BINARY", labels: Sequence[str] = (), **more: Any
) -> tuple[Path, Grid]:
    """A SEG of a small CT that is written beside it, and the CT's grid.

    Args:
        masks: (slices, rows, columns) labels, or (slices, rows, columns, segments).
    """
    import highdicom as hd
    from highdicom.sr.coding import CodedConcept

    n, rows, columns = masks.shape[:3]
    stored = np.broadcast_to(np.arange(columns, dtype=np.int16), (n, rows, columns))
    paths = write_series(folder / "ct", stored=stored)
    sources = []
    for path in sorted(paths, key=lambda p: float(pydicom.dcmread(p).ImagePositionPatient[2])):
        ds = pydicom.dcmread(path)
        ds.StudyInstanceUID, ds.FrameOfReferenceUID = "1.2.3", "1.2.4"
        for keyword in ("StudyID", "StudyTime", "SeriesNumber", "PatientSex", "AccessionNumber"):
            setattr(ds, keyword, "1" if keyword == "SeriesNumber" else "")
        sources.append(ds)
    tissue = CodedConcept("85756007", "SCT", "Tissue")
    count = masks.shape[3] if masks.ndim == 4 else int(masks.max())
    names = [*labels, *["Lesion"] * count][:count]
    descriptions = [
        hd.seg.SegmentDescription(place, name, tissue, tissue, "MANUAL") for place, name in enumerate(names, start=1)
    ]
    seg = hd.seg.Segmentation(
        source_images=sources,
        pixel_array=masks,
        segmentation_type=kind,
        segment_descriptions=descriptions,
        series_instance_uid=generate_uid(),
        series_number=2,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="3D Slicer",
        manufacturer_model_name="highdicom",
        software_versions="0.28",
        device_serial_number="1",
        content_label="LESIONS",
        **more,
    )
    seg.save_as(folder / "seg.dcm")
    first = sources[0]
    row_mm, column_mm = (float(v) for v in first.PixelSpacing)
    affine = np.diag([-column_mm, -row_mm, 2.5, 1.0])
    affine[:3, 3] = np.array([float(v) for v in first.ImagePositionPatient]) * (-1, -1, 1)
    return folder / "seg.dcm", Grid((columns, rows, n), affine)
