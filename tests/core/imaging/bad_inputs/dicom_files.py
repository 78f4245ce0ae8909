"""DICOM files that are refused: series, slices, and PET that gives no SUV."""

from __future__ import annotations

import zlib
from pathlib import Path

import pydicom

from core.errors import GeometryError
from core.types import Volume
from tests.core.imaging.bad_inputs.registry import bad, scan
from tests.dicom_phantom import activity_tags, stored_values, write_rtstruct, write_series


@bad("not DICOM", "expected .nii.gz", "Convert it")
def _(folder: Path) -> Volume:
    (folder / "IM0001.dcm").write_bytes(zlib.compress(b"not DICOM" * 50))
    return scan(folder / "IM0001.dcm")


@bad("two series", "expected one CT series, got 2: CT 'arterial', 4 images", "Choose the folder of one of them")
def _(folder: Path) -> Volume:
    write_series(folder / "a", SeriesDescription="arterial")
    write_series(folder / "b", SeriesDescription="venous")
    return scan(folder)


@bad("contradicting modality", "expected a PET series, got CT", "Choose the modality")
def _(folder: Path) -> Volume:
    write_series(folder)
    return scan(folder, modality="PET")


@bad("only a contour", "got 1 RTSTRUCT", "Choose the folder that holds the images")
def _(folder: Path) -> Volume:
    write_rtstruct(folder)
    return scan(folder)


@bad("missing slice", "got a gap of 5 mm after slice 2 of 4 (about 1 missing)", "Export the complete", GeometryError)
def _(folder: Path) -> Volume:
    for path in write_series(folder, stored=stored_values(5)):
        if pydicom.dcmread(path).InstanceNumber == 3:
            path.unlink()
    return scan(folder)


@bad("uneven slices", "got steps of 2 to 2.8 mm", "Export the original series", GeometryError)
def _(folder: Path) -> Volume:
    return scan(*write_series(folder, positions=[(0, 0, z) for z in (0, 2, 4.8, 7.6)]))


@bad("duplicated slices", "got 4 duplicated", "Remove the copies")
def _(folder: Path) -> Volume:
    uid = "1.2.3.4"
    write_series(folder / "a", uid=uid)
    write_series(folder / "b", uid=uid)
    return scan(folder)


@bad("slices shifted sideways", "shifted sideways by up to", "Export the original series", GeometryError)
def _(folder: Path) -> Volume:
    return scan(*write_series(folder, positions=[(0, 3 * (n == 2), 2.5 * n) for n in range(4)]))


@bad("slices that lean too far", "leans by 63 degrees", "Export the original series", GeometryError)
def _(folder: Path) -> Volume:
    return scan(*write_series(folder, positions=[(0, 5 * n, 2.5 * n) for n in range(4)]))


@bad("mixed orientations", "got several", "Import each plane on its own", GeometryError)
def _(folder: Path) -> Volume:
    write_series(folder / "a", uid="1.2.3")
    write_series(folder / "b", uid="1.2.3", orientation=(0, 1, 0, 0, 0, -1))
    return scan(folder)


@bad("slices of several sizes", "several sizes or pixel spacings", "Export it again", GeometryError)
def _(folder: Path) -> Volume:
    write_series(folder / "a", uid="1.2.3")
    write_series(folder / "b", uid="1.2.3", pixel_spacing=(1, 1), positions=[(10, 20, -20 + 2.5 * n) for n in range(4)])
    return scan(folder)


@bad("one DICOM slice", "single slice", "Import the whole series")
def _(folder: Path) -> Volume:
    return scan(write_series(folder)[0])


@bad("slices without a position", "at least one lacks them", "not screenshots", GeometryError)
def _(folder: Path) -> Volume:
    return scan(*write_series(folder, edit=lambda ds, n: delattr(ds, "ImagePositionPatient") if n == 2 else None))


@bad("multi-frame DICOM", "says it of none of its frames", "Export it as one file a slice")
def _(folder: Path) -> Volume:
    return scan(*write_series(folder, NumberOfFrames=3))


@bad("colour DICOM", "got colour", "Export the original series")
def _(folder: Path) -> Volume:
    return scan(*write_series(folder, SamplesPerPixel=3))


@bad("truncated DICOM slice", "is truncated or damaged", "Copy or export it again")
def _(folder: Path) -> Volume:
    files = write_series(folder, stored=stored_values(4, 64, 64))
    files[2].write_bytes(files[2].read_bytes()[:-4000])
    return scan(folder)


@bad(
    "PET without weight and dose",
    "lacks PatientWeight (0010,1030), RadionuclideTotalDose (0018,1074)",
    "or as SUV (GML)",
)
def _(folder: Path) -> Volume:
    return scan(
        *write_series(folder, "PT", **activity_tags(PatientWeight=0, RadionuclideTotalDose=None)), modality="PET"
    )


@bad("PET without injection time", "lacks RadiopharmaceuticalStartTime", "Export it with these kept")
def _(folder: Path) -> Volume:
    return scan(*write_series(folder, "PT", **activity_tags(RadiopharmaceuticalStartTime=None)), modality="PET")


@bad("PET dose in MBq", "got 350, probably MBq", "Correct (0018,1074)")
def _(folder: Path) -> Volume:
    return scan(*write_series(folder, "PT", **activity_tags(RadionuclideTotalDose=350)), modality="PET")


@bad(
    "PET not decay-corrected, without its frames' durations",
    "ActualFrameDuration (0018,1242) of every slice",
    "Export it with these kept",
)
def _(folder: Path) -> Volume:
    return scan(*write_series(folder, "PT", **activity_tags(DecayCorrection="NONE")), modality="PET")


@bad("PET injected on another day", "got 48.5 h", "Correct (0018,1072)")
def _(folder: Path) -> Volume:
    tags = activity_tags(RadiopharmaceuticalStartDateTime="20240303113000")
    return scan(*write_series(folder, "PT", **tags), modality="PET")


@bad("PET in counts", "counts without an SUV factor", "Export it as BQML")
def _(folder: Path) -> Volume:
    return scan(*write_series(folder, "PT", Units="CNTS"), modality="PET")


@bad("PET without unit", "got unit 'none'", "Export it as BQML")
def _(folder: Path) -> Volume:
    return scan(*write_series(folder, "PT"), modality="PET")


@bad("SUV by a lean mass of no named formula", "got LBM", "SUV BW or BQML")
def _(folder: Path) -> Volume:
    return scan(*write_series(folder, "PT", **activity_tags(Units="GML", SUVType="LBM")), modality="PET")
