"""Files that are not what they should be: each is refused with a message that says what is wrong and what to do."""

from __future__ import annotations

import gzip
import os
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from core.errors import GeometryError, InputError
from core.imaging.archives import unpacked
from core.imaging.open_scan import open_scan
from core.imaging.volumes import read_label_map, read_volume, write_nifti
from core.types import Grid, LabelMap, Modality, Volume, parse_date
from tests.dicom_phantom import activity_tags, stored_values, write_rtstruct, write_series

GOOD = np.random.default_rng(3).normal(size=(6, 7, 8)).astype(np.float32)
NRRD = (
    "NRRD0004\ntype: {type}\ndimension: {dim}\nspace: left-posterior-superior\nsizes: {sizes}\n{more}endian: little\n"
)

Build = Callable[[Path], Any]
CASES: list[tuple[str, Build, type[InputError], str, str]] = []


def bad(kind: str, problem: str, remedy: str, error: type[InputError] = InputError) -> Callable[[Build], Build]:
    """Register a case: opening what the builder makes raises `error` that names the problem and the remedy."""

    def register(build: Build) -> Build:
        CASES.append((kind, build, error, problem, remedy))
        return build

    return register


def scan(*paths: Path, modality: Modality = "CT") -> Volume:
    return open_scan(paths, modality, scratch=paths[0].parent if paths else None)[0]


def nifti(folder: Path, array: np.ndarray = GOOD, affine: Any = None, **fields: Any) -> Path:
    """A NIfTI file, its header fields overwritten at the end: nibabel would not write such."""
    path = folder / "scan.nii.gz"
    image = nib.Nifti1Image(array, np.diag([2.0, 2.0, 3.0, 1.0]) if affine is None else np.asarray(affine, float))
    raw = bytearray(image.to_bytes())
    header = np.ndarray((), nib.Nifti1Header.template_dtype, buffer=raw)
    for key, value in fields.items():
        header[key] = value
    path.write_bytes(gzip.compress(bytes(raw)))
    return path


# ---------------------------------------------------------------- the file itself


@bad("file missing", "there is none at", "Check the path")
def _(folder: Path) -> Volume:
    return scan(folder / "nothing.nii.gz")


@bad("nothing given", "got none", "Choose an image")
def _(folder: Path) -> Volume:
    return scan()


@bad("empty folder", "got no files", "Choose the folder")
def _(folder: Path) -> Volume:
    return scan(folder)


@bad("folder without images", "1 files of which none is DICOM", "Choose the folder")
def _(folder: Path) -> Volume:
    (folder / "letter.txt").write_text("Dear colleague")
    return scan(folder)


@bad("folder where a file is wanted", "got a folder", "Give the file in it")
def _(folder: Path) -> Volume:
    (folder / "scan.nii.gz").mkdir()
    return read_volume(folder / "scan.nii.gz", "CT")


@bad("empty file", "0 bytes", "Copy or export it again")
def _(folder: Path) -> Volume:
    (folder / "scan.nii.gz").touch()
    return scan(folder / "scan.nii.gz")


@bad("unknown kind of file", "unknown kind of file", "Convert it")
def _(folder: Path) -> Volume:
    (folder / "scan.docx").write_bytes(b"PK")
    return scan(folder / "scan.docx")


@bad("text renamed to .nii.gz", "is not one, whatever its name says", "Export it as NIfTI")
def _(folder: Path) -> Volume:
    (folder / "scan.nii.gz").write_text("i,j,k,value\n" * 100)
    return scan(folder / "scan.nii.gz")


@bad("text renamed to .nrrd", "expected an NRRD image", "Export it as .nrrd or .nii.gz")
def _(folder: Path) -> Volume:
    (folder / "scan.nrrd").write_text("i,j,k,value\n" * 100)
    return scan(folder / "scan.nrrd")


@bad("text renamed to .mha", "expected a MetaImage", "Export it as .mha or .nii.gz")
def _(folder: Path) -> Volume:
    (folder / "scan.mha").write_text("i = 3\n" * 100)
    return scan(folder / "scan.mha")


@bad("a path that the system refuses", "File name too long", "Check the path")
def _(folder: Path) -> Volume:
    return scan(folder / ("x" * 300 + ".nii.gz"))


@bad("several images at once", "expected one image, got 2", "Import them one at a time")
def _(folder: Path) -> Volume:
    path = nifti(folder)
    return scan(path, path)


# ---------------------------------------------------------------- truncated and lying headers


@bad("truncated gzip", "truncated or damaged", "Copy or export it again")
def _(folder: Path) -> Volume:
    path = nifti(folder)
    path.write_bytes(path.read_bytes()[:-200])
    return scan(path)


@bad("gzip with a wrong checksum", "truncated or damaged", "Copy or export it again")
def _(folder: Path) -> Volume:
    path = nifti(folder)
    raw = bytearray(path.read_bytes())
    raw[-8] ^= 0xFF
    path.write_bytes(raw)
    return scan(path)


@bad("gzip cut inside the header", "truncated or damaged", "Copy or export it again")
def _(folder: Path) -> Volume:
    path = nifti(folder)
    path.write_bytes(path.read_bytes()[:20])
    return scan(path)


@bad("truncated NIfTI voxels", "truncated after", "Copy or export it again")
def _(folder: Path) -> Volume:
    path = nifti(folder)
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-500]))
    return scan(path)


@bad("truncated uncompressed NIfTI", "the file is truncated", "Copy or export it again")
def _(folder: Path) -> Volume:
    raw = gzip.decompress(nifti(folder).read_bytes())
    (folder / "scan.nii").write_bytes(raw[:-500])
    return scan(folder / "scan.nii")


@bad("half of an hdr/img pair", "half of an .hdr/.img pair", "Export it as .nii.gz")
def _(folder: Path) -> Volume:
    return scan(nifti(folder, magic=b"ni1"))


@bad("a header of 10^12 voxels", "the header claims 1,000,000,000,000", "The header is damaged")
def _(folder: Path) -> Volume:
    return scan(nifti(folder, dim=[3, 10_000, 10_000, 10_000, 1, 1, 1, 1]))


@bad("a header larger than the file can hold", "the file is truncated", "Copy or export it again")
def _(folder: Path) -> Volume:
    return scan(nifti(folder, dim=[3, 1000, 1000, 1000, 1, 1, 1, 1]))


@bad("an NRRD header of 10^12 voxels", "the header claims 1,000,000,000,000", "The header is damaged")
def _(folder: Path) -> Volume:
    head = NRRD.format(type="short", dim=3, sizes="10000 10000 10000", more=_AXES) + "encoding: raw\n\n"
    (folder / "scan.nrrd").write_bytes(head.encode() + b"\0" * 100)
    return scan(folder / "scan.nrrd")


_AXES = "space directions: (1,0,0) (0,1,0) (0,0,1)\nspace origin: (0,0,0)\n"


@bad("truncated NRRD", "the file is truncated", "Copy or export it again")
def _(folder: Path) -> Volume:
    head = NRRD.format(type="short", dim=3, sizes="4 4 4", more=_AXES) + "encoding: raw\n\n"
    (folder / "scan.nrrd").write_bytes(head.encode() + b"\1" * 20)
    return scan(folder / "scan.nrrd")


@bad("truncated compressed NRRD", "truncated or damaged", "Copy or export it again")
def _(folder: Path) -> Volume:
    head = NRRD.format(type="float", dim=3, sizes="6 7 8", more=_AXES) + "encoding: gzip\n\n"
    (folder / "scan.nrrd").write_bytes(head.encode() + gzip.compress(GOOD.tobytes())[:700])
    return scan(folder / "scan.nrrd")


@bad("truncated compressed MetaImage", "the file is truncated", "Copy or export it again")
def _(folder: Path) -> Volume:
    path = folder / "scan.mha"
    sitk.WriteImage(sitk.GetImageFromArray(GOOD), str(path), useCompression=True)
    path.write_bytes(path.read_bytes()[:-300])
    return scan(path)


@bad("truncated MetaImage", "the file is truncated", "Copy or export it again")
def _(folder: Path) -> Volume:
    path = folder / "scan.mha"
    sitk.WriteImage(sitk.GetImageFromArray(GOOD), str(path), useCompression=False)
    path.write_bytes(path.read_bytes()[:-700])
    return scan(path)


@bad("NRRD that points at another file", "points at another file", "Save it as one file")
def _(folder: Path) -> Volume:
    head = NRRD.format(type="short", dim=3, sizes="4 4 4", more=_AXES) + "encoding: raw\ndata file: ../other.raw\n\n"
    (folder / "scan.nrrd").write_text(head)
    return scan(folder / "scan.nrrd")


@bad("MetaImage that points at another file", "points at another file", "Save it as one file")
def _(folder: Path) -> Volume:
    head = "ObjectType = Image\nNDims = 3\nDimSize = 4 4 4\nElementType = MET_UCHAR\nElementDataFile = /etc/hostname\n"
    (folder / "scan.mha").write_text(head)
    return scan(folder / "scan.mha")


# ---------------------------------------------------------------- shape and kind of voxels


@bad("4-D", "got 4 dimensions (6, 7, 8, 3)", "Split the frames")
def _(folder: Path) -> Volume:
    return scan(nifti(folder, np.zeros((6, 7, 8, 3), np.float32)))


@bad("4-D NRRD", "got 4 dimensions", "Split the frames")
def _(folder: Path) -> Volume:
    image = sitk.Image([4, 4, 4, 2], sitk.sitkInt16)
    sitk.WriteImage(image, str(folder / "scan.nrrd"))
    return scan(folder / "scan.nrrd")


@bad("one slice", "single slice", "Import the whole series")
def _(folder: Path) -> Volume:
    return scan(nifti(folder, GOOD[:, :, :1]))


@bad("2-D", "single slice", "Import the whole series")
def _(folder: Path) -> Volume:
    return scan(nifti(folder, GOOD[:, :, 0]))


@bad("a dimension of zero", "at least one voxel", "Export it again")
def _(folder: Path) -> Volume:
    return scan(nifti(folder, dim=[3, 6, 0, 8, 1, 1, 1, 1]))


@bad("a negative dimension", "at least one voxel", "Export it again")
def _(folder: Path) -> Volume:
    return scan(nifti(folder, dim=[3, 6, -7, 8, 1, 1, 1, 1]))


@bad("colour", "colour, vector or complex", "Export the grey-scale image")
def _(folder: Path) -> Volume:
    return scan(nifti(folder, np.zeros((4, 4, 4), [("R", "u1"), ("G", "u1"), ("B", "u1")])))


@bad("complex", "complex64", "or the magnitude")
def _(folder: Path) -> Volume:
    return scan(nifti(folder, GOOD.astype(np.complex64)))


@bad("vector NRRD", "colour, vector or complex", "Export the grey-scale image")
def _(folder: Path) -> Volume:
    sitk.WriteImage(sitk.Image([4, 4, 4], sitk.sitkVectorFloat32, 3), str(folder / "scan.nrrd"))
    return scan(folder / "scan.nrrd")


@bad("unknown voxel type", "is not one", "Export it as NIfTI")
def _(folder: Path) -> Volume:
    return scan(nifti(folder, datatype=9999))


# ---------------------------------------------------------------- geometry


@bad("singular affine", "singular", "Export the image again", GeometryError)
def _(folder: Path) -> Volume:
    return scan(nifti(folder, srow_z=[0, 0, 0, 5], sform_code=1))


@bad("sheared affine", "sheared", "Resample it to a rectangular grid", GeometryError)
def _(folder: Path) -> Volume:
    return scan(nifti(folder, srow_y=[0, 2, 1, 0], sform_code=1))


@bad("NaN affine", "finite 4x4 affine", "Export the image again", GeometryError)
def _(folder: Path) -> Volume:
    return scan(nifti(folder, srow_x=[np.nan, 0, 0, 0], sform_code=1))


@bad("impossible quaternion", "the header's quaternion is none", "Export again", GeometryError)
def _(folder: Path) -> Volume:
    return scan(nifti(folder, sform_code=0, qform_code=1, quatern_b=3.0))


@bad("spacing in another unit", "0.002 x 0.002 x 0.003 mm", "correct the header", GeometryError)
def _(folder: Path) -> Volume:
    return scan(nifti(folder, affine=np.diag([0.002, 0.002, 0.003, 1])))


@bad("spacing of more than 50 mm", "got 2 x 2 x 300 mm", "correct the header", GeometryError)
def _(folder: Path) -> Volume:
    return scan(nifti(folder, affine=np.diag([2, 2, 300, 1])))


@bad("sheared NRRD", "sheared", "Resample it to a rectangular grid", GeometryError)
def _(folder: Path) -> Volume:
    axes = "space directions: (1,0,0) (0.5,1,0) (0,0,1)\nspace origin: (0,0,0)\n"
    head = NRRD.format(type="uint8", dim=3, sizes="4 4 4", more=axes) + "encoding: raw\n\n"
    (folder / "scan.nrrd").write_bytes(head.encode() + bytes(range(64)))
    return scan(folder / "scan.nrrd")


# ---------------------------------------------------------------- voxels


@bad("NaN voxels", "got 2 that are NaN or infinite", "Replace them")
def _(folder: Path) -> Volume:
    array = GOOD.copy()
    array[1, 2, 3:5] = np.nan
    return scan(nifti(folder, array))


@bad("infinite voxels", "got 1 that are NaN or infinite", "Replace them")
def _(folder: Path) -> Volume:
    array = GOOD.copy()
    array[1, 2, 3] = -np.inf
    return scan(nifti(folder, array))


@bad("too large for single precision", "NaN or infinite", "Replace them")
def _(folder: Path) -> Volume:
    return scan(nifti(folder, GOOD.astype(float) * 1e300))


@bad("an infinite intensity scale", "finite intensity scale", "Export it again")
def _(folder: Path) -> Volume:
    return scan(nifti(folder, scl_slope=2.0, scl_inter=np.inf))


@bad("constant image", "all 4", "export it again")
def _(folder: Path) -> Volume:
    return scan(nifti(folder, np.full((3, 3, 3), 4, np.int16)))


# ---------------------------------------------------------------- zip files


def zipped(folder: Path, *members: tuple[str, bytes]) -> Path:
    path = folder / "scan.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


@bad("zip without images", "1 files of which none is DICOM", "Choose the folder")
def _(folder: Path) -> Volume:
    return scan(zipped(folder, ("letter.txt", b"Dear colleague")))


@bad("empty zip", "got no files", "Choose the folder")
def _(folder: Path) -> Volume:
    return scan(zipped(folder))


@bad("zip with a path that leads out", "leads out of the zip", "Do not trust this file")
def _(folder: Path) -> Volume:
    return scan(zipped(folder, ("../../evil.nii.gz", b"x")))


@bad("zip with an absolute path", "leads out of the zip", "Do not trust this file")
def _(folder: Path) -> Volume:
    return scan(zipped(folder, ("/etc/evil.nii.gz", b"x")))


@bad("zip with a Windows path", "leads out of the zip", "Do not trust this file")
def _(folder: Path) -> Volume:
    return scan(zipped(folder, ("..\\evil.nii.gz", b"x")))


@bad("zip with a symbolic link", "leads out of the zip", "Do not trust this file")
def _(folder: Path) -> Volume:
    link = zipfile.ZipInfo("scan.nii.gz")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(folder / "scan.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    return scan(folder / "scan.zip")


@bad("encrypted zip", "encrypted", "without a password")
def _(folder: Path) -> Volume:
    path = zipped(folder, ("scan.nii.gz", b"x" * 50))
    raw = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):  # flag bit 0 in the local and the central header
        raw[raw.index(signature) + offset] |= 1
    path.write_bytes(raw)
    return scan(path)


@bad("damaged zip", "damaged, not a zip", "Make the zip again")
def _(folder: Path) -> Volume:
    path = zipped(folder, ("scan.nii.gz", nifti(folder).read_bytes()))
    raw = bytearray(path.read_bytes())
    raw[200] ^= 0xFF
    path.write_bytes(raw)
    return scan(path)


@bad("zip that is none", "not a zip", "Make the zip again")
def _(folder: Path) -> Volume:
    (folder / "scan.zip").write_text("hello")
    return scan(folder / "scan.zip")


@bad("zip that declares too much", "GB unpacked, got 3 files", "one series at a time")
def _(folder: Path) -> Volume:
    path = zipped(folder, *[(f"{n}.dcm", b"x") for n in range(3)])
    raw = bytearray(path.read_bytes())
    at = -1
    while (at := raw.find(b"PK\1\2", at + 1)) >= 0:
        struct.pack_into("<I", raw, at + 24, 0xFFFFFFF0)  # uncompressed size in the central directory
    path.write_bytes(raw)
    return scan(path)


@bad("zip that unpacks to more than is allowed", "0.0001 GB", "one series at a time")
def _(folder: Path) -> Any:
    with unpacked(zipped(folder, ("bomb.dcm", bytes(10**6))), folder, max_bytes=107_374) as files:
        return files


@bad("zip of two images", "expected one image, got 2", "Import them one at a time")
def _(folder: Path) -> Volume:
    content = nifti(folder).read_bytes()
    return scan(zipped(folder, ("a.nii.gz", content), ("b.nii.gz", content)))


# ---------------------------------------------------------------- DICOM


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


@bad("gantry tilt", "sheared", "Resample it to a rectangular grid", GeometryError)
def _(folder: Path) -> Volume:
    return scan(*write_series(folder, positions=[(0, 0.5 * n, 2.5 * n) for n in range(4)]))


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


@bad("multi-frame DICOM", "multi-frame (enhanced)", "convert it to NIfTI")
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


@bad("PET not decay-corrected", "got NONE", "Export it corrected")
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


@bad("SUV by lean body mass", "got LBM", "SUV BW or BQML")
def _(folder: Path) -> Volume:
    return scan(*write_series(folder, "PT", **activity_tags(Units="GML", SUVType="LBM")), modality="PET")


# ---------------------------------------------------------------- masks, and what is not a file


def mask(folder: Path, array: np.ndarray, grid: Grid | None = None) -> LabelMap:
    return read_label_map(nifti(folder, array), grid)


@bad("mask of probabilities", "got fractions such as 0.25", "threshold it first")
def _(folder: Path) -> LabelMap:
    array = np.zeros((4, 4, 4), np.float32)
    array[2, 2, 2] = 0.25
    return mask(folder, array)


@bad("mask with negative labels", "got -1 to 0", "Renumber the labels")
def _(folder: Path) -> LabelMap:
    array = np.zeros((4, 4, 4), np.int16)
    array[2, 2, 2] = -1
    return mask(folder, array)


@bad("mask with labels above 255", "got 0 to 256", "Renumber the labels")
def _(folder: Path) -> LabelMap:
    array = np.zeros((4, 4, 4), np.int16)
    array[2, 2, 2] = 256
    return mask(folder, array)


@bad("mask with NaN", "NaN or infinite", "Replace them")
def _(folder: Path) -> LabelMap:
    return mask(folder, np.full((4, 4, 4), np.nan, np.float32))


@bad("mask of another grid", "expected the scan's grid, 9x9x9 voxels of 1x1x1 mm RAS", "with resampling", GeometryError)
def _(folder: Path) -> LabelMap:
    return mask(folder, np.zeros((4, 4, 4), np.uint8), Grid((9, 9, 9), np.eye(4)))


@bad("mask moved by a tenth of a millimetre", "expected the scan's grid", "with resampling", GeometryError)
def _(folder: Path) -> LabelMap:
    affine = np.diag([2.0, 2.0, 3.0, 1.0])
    affine[0, 3] = 0.1
    return mask(folder, np.zeros((4, 4, 4), np.uint8), Grid((4, 4, 4), affine))


@bad("unknown modality", "got 'US'", "CT, PET or MR")
def _(folder: Path) -> Volume:
    return scan(nifti(folder), modality="US")  # type: ignore[arg-type]


for _text in ("2024-13-01", "05.03.2024", "20240305", "2024-3-5", "1899-01-01", ""):

    @bad(f"date {_text!r}", f"got {_text!r}", "as YYYY-MM-DD")
    def _(folder: Path, text: str = _text) -> Any:
        return parse_date(text)


@bad("writing doubles", "got float64", "Convert them first")
def _(folder: Path) -> Any:
    return write_nifti(folder / "x.nii.gz", np.zeros((2, 2, 2)), Grid((2, 2, 2), np.eye(4)))


@bad("writing NaN", "NaN or infinite", "Replace them")
def _(folder: Path) -> Any:
    return write_nifti(folder / "x.nii.gz", np.full((2, 2, 2), np.nan, np.float32), Grid((2, 2, 2), np.eye(4)))


@bad("writing on another grid", "got (2, 2, 2)", "Pass the array's own", GeometryError)
def _(folder: Path) -> Any:
    return write_nifti(folder / "x.nii.gz", np.zeros((2, 2, 2), np.uint8), Grid((2, 2, 3), np.eye(4)))


@bad("writing into no folder", "No such file or directory", "Check that the folder exists")
def _(folder: Path) -> Any:
    return write_nifti(folder / "none" / "x.nii.gz", np.zeros((2, 2, 2), np.uint8), Grid((2, 2, 2), np.eye(4)))


# ---------------------------------------------------------------- the tests


@pytest.mark.parametrize(("kind", "build", "error", "problem", "remedy"), CASES, ids=[case[0] for case in CASES])
def test_refused_with_what_is_wrong_and_what_to_do(
    tmp_path: Path, kind: str, build: Build, error: type[InputError], problem: str, remedy: str
) -> None:
    with pytest.raises(error) as caught:
        build(tmp_path)
    message = str(caught.value)
    assert problem in message
    assert remedy in message
    assert "xpected " in message  # each says so in as many words
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".tmp")]


def test_every_kind_is_named_once() -> None:
    kinds = [case[0] for case in CASES]
    assert len(set(kinds)) == len(kinds) >= 28


def test_no_memory_is_taken_for_what_a_header_merely_claims(tmp_path: Path) -> None:
    path = nifti(tmp_path, dim=[3, 1200, 1200, 1200, 1, 1, 1, 1])
    tracemalloc.start()
    with pytest.raises(InputError):
        scan(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


def test_a_file_that_may_not_be_read_says_whom_to_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = nifti(tmp_path)

    def refuse(self: Path, *args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # root, who runs tests in containers, may read everything
    with pytest.raises(InputError, match=r"permission denied.*Ask its owner"):
        scan(path)


def test_unpacked_files_are_gone_after_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    with pytest.raises(InputError):
        scan(zipped(tmp_path, ("scan.nii.gz", b"not an image")))
    assert list(temporary.iterdir()) == []
