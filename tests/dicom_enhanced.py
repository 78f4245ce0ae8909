"""Small enhanced (multi-frame) DICOM files, for tests of reading and of refusing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import UID

from tests.dicom_phantom import AXIAL, write_series

ENHANCED = {
    "CT": "1.2.840.10008.5.1.4.1.1.2.1",
    "MR": "1.2.840.10008.5.1.4.1.1.4.1",
    "PT": "1.2.840.10008.5.1.4.1.1.130",
}
LEGACY_CT = "1.2.840.10008.5.1.4.1.1.2.2"


def item(**tags: Any) -> list[Dataset]:
    """A sequence of one item."""
    made = Dataset()
    for keyword, value in tags.items():
        setattr(made, keyword, value)
    return [made]


def write_enhanced(
    folder: Path,
    stored: NDArray[np.int16],
    modality: str = "CT",
    positions: Sequence[Sequence[float]] | NDArray[Any] | None = None,
    slopes: Sequence[float] | None = None,
    orientation: Sequence[float] = AXIAL,
    frame: Callable[[Dataset, int], None] | None = None,
    edit: Callable[[Dataset], None] | None = None,
    **tags: Any,
) -> Path:
    """One file of all frames, 2.5 mm apart up z unless `positions` say otherwise; `frame` adds to each one's groups."""
    (path,) = write_series(folder, modality, stored=stored[:1], **tags)
    ds = pydicom.dcmread(path)
    for keyword in (
        "ImagePositionPatient",
        "ImageOrientationPatient",
        "PixelSpacing",
        "SliceThickness",
        "RescaleSlope",
        "RescaleIntercept",
    ):
        del ds[keyword]
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = UID(ENHANCED[modality])
    ds.NumberOfFrames = len(stored)
    ds.PixelData = stored.astype("<i2").tobytes()
    shared = item(
        PixelMeasuresSequence=item(PixelSpacing=[0.8, 0.7], SliceThickness=2.5),
        PlaneOrientationSequence=item(ImageOrientationPatient=list(orientation)),
    )
    each = []
    for n in range(len(stored)):
        place = list(positions[n]) if positions is not None else [10.0, 20.0, -30.0 + 2.5 * n]
        groups = item(
            PlanePositionSequence=item(ImagePositionPatient=place),
            PixelValueTransformationSequence=item(RescaleSlope=slopes[n] if slopes else 1, RescaleIntercept=0),
        )[0]
        if frame is not None:
            frame(groups, n)
        each.append(groups)
    ds.SharedFunctionalGroupsSequence, ds.PerFrameFunctionalGroupsSequence = shared, each
    if edit is not None:
        edit(ds)
    ds.save_as(path, enforce_file_format=True)
    return path
