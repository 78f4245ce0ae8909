"""NIfTI, NRRD and MetaImage files that are refused: the file, its header, its geometry and its voxels."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from core.errors import GeometryError
from core.imaging.volumes import read_volume
from core.types import Volume
from tests.core.imaging.bad_inputs.registry import GOOD, NRRD, bad, nifti, scan

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


@bad("MetaImage without spacing", "how large its voxels are (ElementSpacing)", "Export it again")
def _(folder: Path) -> Volume:
    path = folder / "scan.mha"
    head = "NDims = 3\nDimSize = 2 2 2\nElementType = MET_UCHAR\nElementDataFile = LOCAL\n"
    path.write_bytes(head.encode() + bytes(range(8)))
    return scan(path)


@bad("NRRD without spacing", "how large its voxels are (spacings", "Export it again")
def _(folder: Path) -> Volume:
    path = folder / "scan.nrrd"
    path.write_bytes(b"NRRD0004\ntype: uint8\ndimension: 3\nsizes: 2 2 2\nencoding: raw\n\n" + bytes(range(8)))
    return scan(path)
