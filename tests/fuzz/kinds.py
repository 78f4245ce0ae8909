"""Small valid files of every kind that is read, as bytes; one set of files a kind."""

from __future__ import annotations

import gzip
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from core.remembered.untyped import JsonDict
from tests.dicom_enhanced import write_enhanced
from tests.dicom_phantom import activity_tags, stored_values, write_series
from tests.mask_phantom import square, write_rtstruct, write_seg

SHAPE = (5, 6, 7)


@dataclass(frozen=True)
class Kind:
    """Files of one kind.

    Args:
        files: name -> bytes; the first is the one that is changed.
        request: what the reader is asked ("do" and its details).
        whole: the folder of the files is handed in, not the first alone.
        packed: voxels may be more bytes than the file (it is compressed).
    """

    files: Mapping[str, bytes]
    request: JsonDict = field(default_factory=dict)
    whole: bool = False
    packed: bool = False


def _scan(modality: str, sequence: str = "") -> JsonDict:
    return {"do": "scan", "modality": modality, "sequence": sequence}


def _mask() -> JsonDict:
    return {"do": "mask", "segments": [], "grid": None}


def _voxels() -> NDArray[np.int16]:
    return np.random.default_rng(1).integers(-1000, 1000, SHAPE).astype(np.int16)


def _labels() -> NDArray[np.uint8]:
    labels = np.zeros(SHAPE, np.uint8)
    labels[1:3, 1:4, 1:4], labels[4, 5, 5:] = 1, 2
    return labels


def _nifti(array: NDArray[np.int16] | NDArray[np.uint8], home: Path, version: int = 1) -> bytes:
    kind = nib.Nifti1Image if version == 1 else nib.Nifti2Image
    nib.save(kind(array, np.diag([1.0, 2.0, 3.0, 1.0])), home / "x.nii")
    return (home / "x.nii").read_bytes()


def _nrrd(array: NDArray[np.int16] | NDArray[np.uint8], encoding: str = "raw", extra: str = "") -> bytes:
    kind = "short" if array.dtype == np.int16 else "uchar"
    sizes = " ".join(map(str, array.shape))
    head = (
        f"NRRD0005\ntype: {kind}\ndimension: 3\nspace: left-posterior-superior\nsizes: {sizes}\n"
        "space directions: (1,0,0) (0,1,0) (0,0,2)\nkinds: domain domain domain\nendian: little\n"
        f"encoding: {encoding}\nspace origin: (0,0,0)\n{extra}\n"
    )
    raw = array.tobytes(order="F")
    return head.encode() + (gzip.compress(raw, mtime=0) if encoding == "gzip" else raw)


def _mha(array: NDArray[np.int16], compressed: bool) -> bytes:
    raw = array.tobytes(order="F")
    data = zlib.compress(raw) if compressed else raw
    size = f"CompressedDataSize = {len(data)}\n" if compressed else ""
    head = (
        f"ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nCompressedData = "
        f"{compressed}\n{size}TransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 0 0 0\nElementSpacing = 1 1 2\n"
        f"DimSize = {' '.join(map(str, array.shape))}\nElementType = MET_SHORT\nElementDataFile = LOCAL\n"
    )
    return head.encode() + data


def _bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def _series(home: Path, name: str, modality: str = "CT", **tags: object) -> dict[str, bytes]:
    write_series(home / name, modality, stored=stored_values(3), **tags)  # type: ignore[arg-type]
    return _bytes_of(home / name)


def _compressed(home: Path, syntax: str) -> dict[str, bytes]:
    for path in write_series(home / syntax, stored=stored_values(3, 64, 64)):
        ds = pydicom.dcmread(path)
        ds.compress(syntax)
        ds.save_as(path)
    return _bytes_of(home / syntax)


def _implicit(home: Path) -> dict[str, bytes]:
    """Implicit little endian without preamble, as some old archives export."""
    for path in write_series(home / "implicit", stored=stored_values(3)):
        ds = pydicom.dcmread(path)
        bare = Dataset(dict(ds.items()))
        pydicom.dcmwrite(path, bare, implicit_vr=True, little_endian=True, enforce_file_format=False)
    return _bytes_of(home / "implicit")


def _zip(home: Path, files: Mapping[str, bytes], method: int) -> dict[str, bytes]:
    with zipfile.ZipFile(home / "x.zip", "w", method) as archive:
        for name, data in files.items():
            archive.writestr(f"study/{name}", data)
    return {"x.zip": (home / "x.zip").read_bytes()}


def _rtstruct(home: Path) -> dict[str, bytes]:
    contours = {"GTV": [square(1, 4, z) for z in (0.0, 2.0, 4.0)], "node": [square(5, 7, 2.0)]}
    return {"rs.dcm": write_rtstruct(home / "rs.dcm", contours).read_bytes()}


def _seg(home: Path, kind: str) -> dict[str, bytes]:
    masks = np.zeros((3, 6, 5), np.uint8)
    masks[1, 2:4, 1:3], masks[2, 5, 4] = 1, 1
    path, _ = write_seg(home / f"seg-{kind}", masks, kind)
    return {"seg.dcm": path.read_bytes()}


_GRID = {"shape": [8, 8, 6], "affine": np.diag([1.0, 1.0, 1.0, 1.0]).tolist()}
_SLICER = "Segment0_Name:=tumour\nSegment0_LabelValue:=1\nSegment0_Layer:=0\nSegment0_Extent:=0 4 0 5 0 6\n"


def make_kinds(home: Path) -> dict[str, Kind]:
    """Every kind by name.

    Args:
        home: an empty folder to make them in.
    """
    plain, labels = _nifti(_voxels(), home), _nifti(_labels(), home)
    ct = _series(home, "ct")
    makers: dict[str, Callable[[], Kind]] = {
        "nii": lambda: Kind({"x.nii": plain}, _scan("CT")),
        "nii2": lambda: Kind({"x.nii": _nifti(_voxels(), home, 2)}, _scan("CT")),
        "nii.gz": lambda: Kind({"x.nii.gz": gzip.compress(plain, mtime=0)}, _scan("CT"), packed=True),
        "nrrd": lambda: Kind({"x.nrrd": _nrrd(_voxels())}, _scan("CT")),
        "nrrd gzip": lambda: Kind({"x.nrrd": _nrrd(_voxels(), "gzip")}, _scan("CT"), packed=True),
        "mha": lambda: Kind({"x.mha": _mha(_voxels(), False)}, _scan("CT")),
        "mha zlib": lambda: Kind({"x.mha": _mha(_voxels(), True)}, _scan("CT"), packed=True),
        "ct": lambda: Kind(ct, _scan("CT"), whole=True),
        "pet": lambda: Kind(_series(home, "pt", "PT", **activity_tags()), _scan("PET"), whole=True),
        "implicit": lambda: Kind(_implicit(home), _scan("CT"), whole=True),
        "rle": lambda: Kind(_compressed(home, RLELossless), _scan("CT"), whole=True, packed=True),
        "jpeg-ls": lambda: Kind(_compressed(home, JPEGLSLossless), _scan("CT"), whole=True, packed=True),
        "jpeg 2000": lambda: Kind(_compressed(home, JPEG2000Lossless), _scan("CT"), whole=True, packed=True),
        "enhanced": lambda: Kind(
            {"e.dcm": write_enhanced(home / "enhanced", stored_values(3)).read_bytes()}, _scan("CT"), whole=True
        ),
        "zip": lambda: Kind(_zip(home, ct, zipfile.ZIP_DEFLATED), _scan("CT"), packed=True),
        "zip nii": lambda: Kind(_zip(home, {"x.nii": plain}, zipfile.ZIP_STORED), _scan("CT"), packed=True),
        "survey": lambda: Kind({**ct, "x.nii": plain}, {"do": "survey"}, whole=True),
        "survey zip": lambda: Kind(_zip(home, {**ct, "rs.dcm": b"x"}, zipfile.ZIP_DEFLATED), {"do": "survey"}),
        "mask nii": lambda: Kind({"m.nii": labels}, _mask()),
        "mask seg.nrrd": lambda: Kind({"m.seg.nrrd": _nrrd(_labels(), extra=_SLICER)}, _mask()),
        "rtstruct": lambda: Kind(_rtstruct(home), {**_mask(), "grid": _GRID}),
        "seg": lambda: Kind(_seg(home, "BINARY"), _mask(), packed=True),  # eight voxels a byte
        "seg labelmap": lambda: Kind(_seg(home, "LABELMAP"), _mask(), packed=True),
        "describe rtstruct": lambda: Kind(_rtstruct(home), {"do": "describe mask", "grid": None}),
    }
    return {name: make() for name, make in makers.items()}
