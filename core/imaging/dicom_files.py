"""Single DICOM files: which are ones, what their headers say, and their voxels where these are in the file itself.

A file is read here by pydicom and GDCM alone, never by a reader that is chosen by its content. A DICOMDIR, which names
other files, is passed over; voxels at an address elsewhere (JPIP) and deflated headers, which may expand without end,
are refused.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from struct import error as StructError
from typing import Any

import numpy as np
import pydicom
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom import Dataset, uid
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_dataset, read_file_meta_info, read_partial
from pydicom.tag import BaseTag, Tag

from core.errors import InputError
from core.imaging.image_files import reading

# Headers of real scanners break the standard every day; the warnings about it quote values, which may be a patient's.
pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE

#: Transfer syntaxes whose voxels lie in the file as they are; and those that are packed in it, which GDCM unpacks.
_NATIVE = (uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian)
_PACKED = (
    uid.JPEGBaseline8Bit,
    uid.JPEGExtended12Bit,
    uid.JPEGLossless,
    uid.JPEGLosslessSV1,
    uid.JPEGLSLossless,
    uid.JPEGLSNearLossless,
    uid.JPEG2000Lossless,
    uid.JPEG2000,
    uid.RLELossless,
)
#: How a file without preamble begins: with a tag of group 8, or of its meta information.
_FIRST_TAGS = (b"\x08\x00\x00\x00", b"\x08\x00\x05\x00", b"\x08\x00\x08\x00")
_FIRST_META_TAGS = (b"\x02\x00\x00\x00", b"\x02\x00\x01\x00", b"\x02\x00\x02\x00")
_PIXEL_DATA = 0x7FE00010
_PIXELS = (_PIXEL_DATA, 0x7FE00008, 0x7FE00009)  # and of floating-point numbers
_UNDEFINED = 0xFFFFFFFF
_BITS = "0028|0100"  # BitsAllocated, as GDCM names it
_WHOLE_BYTES = (8, 16, 32)  # with others in it GDCM writes beyond its own memory
#: What pydicom raises for bytes that are no DICOM, or not as its standard has them.
DAMAGED = (
    InvalidDicomError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    NotImplementedError,
    IndexError,
    StructError,
    RecursionError,
    zlib.error,
)


@dataclass(frozen=True, eq=False)
class DicomSlice:
    """One DICOM file: its header, and how many bytes of voxels it holds (None: packed, known when unpacked)."""

    path: Path
    header: Dataset
    voxel_bytes: int | None


def is_dicom(path: Path) -> bool:
    """True if the file can be read and looks like DICOM, with or without the 128-byte preamble."""
    try:
        if not Path(path).is_file():
            return False
        with Path(path).open("rb") as stream:
            start = stream.read(132)
    except OSError:
        return False
    return start[128:] == b"DICM" or start[:4] in _FIRST_TAGS or _is_bare_meta(start)


def _is_bare_meta(start: bytes) -> bool:
    """Whether a file begins with its meta information, without the 128 bytes and "DICM" before it."""
    return start[:4] in _FIRST_META_TAGS and start[4:6] in (b"UL", b"OB", b"UI")


def read_headers(files: Sequence[Path], name: str, tags: Sequence[Any]) -> list[DicomSlice]:
    """The headers of those files that are DICOM and no DICOMDIR; only `tags` of each are kept.

    Raises:
        InputError: none is DICOM, one is damaged, deflated, or may not be read.
    """
    slices, others = [], []
    for path in files:
        if not is_dicom(path):
            with reading(path):
                path.open("rb").close()  # a file that may not be read is not the same as one that is not DICOM
            others.append(path)
            continue
        try:
            with reading(path):
                item = _read_header(path, name, tags)
        except DAMAGED as error:
            raise InputError(f"{name}: expected DICOM, {path.name} is damaged. Copy or export it again.") from error
        if item is not None:
            slices.append(item)
    if not slices:
        got = f"{len(files)} files of which none is DICOM" if files else "no files"
        raise InputError(
            f"{name}: expected DICOM images, got {got}. Choose the folder that holds the series, or an image file."
        )
    _check_none_is_broken(others, slices, name)
    return slices


def _check_none_is_broken(others: Sequence[Path], slices: Sequence[DicomSlice], name: str) -> None:
    """Refuse a folder in which a file that is called like a slice is none: the series would lack it without a word."""

    def pattern(path: Path) -> tuple[Path, str]:
        return path.parent, re.sub(r"\d+", "#", path.name)

    like = {pattern(item.path) for item in slices}
    seen = [path for path in others if not path.name.startswith(".")]  # a Mac writes ._IM1.dcm beside IM1.dcm
    broken = [path for path in seen if path.suffix.lower() == ".dcm" or pattern(path) in like]
    if broken:
        named = ", ".join(path.name for path in broken[:3]) + (" ..." if len(broken) > 3 else "")
        empty = sum(path.stat().st_size == 0 for path in broken)
        what = "empty (0 bytes)" if empty == len(broken) else "not DICOM"
        raise InputError(
            f"{name}: expected DICOM in every file of the series, {len(broken)} of {len(slices) + len(broken)} cannot "
            f"be read: {named} is {what}. Copy or export it again, or take it out of the folder."
        )


def _read_header(path: Path, name: str, tags: Sequence[Any]) -> DicomSlice | None:
    meta = _read_meta(path)
    syntax = meta.get("TransferSyntaxUID")
    if meta.get("MediaStorageSOPClassUID") == uid.MediaStorageDirectoryStorage or path.name.upper() == "DICOMDIR":
        return None
    if syntax == uid.DeflatedExplicitVRLittleEndian:
        raise _unsupported(name, path)
    seen: dict[str, int] = {}

    def at_pixels(tag: BaseTag, vr: str | None, length: int) -> bool:
        # Of a tag that comes twice pydicom takes the last and GDCM the first: what is checked must be what is read.
        if tag <= seen.get("before", -1):
            raise ValueError("tags that do not ascend, as the standard has them")
        seen["before"] = int(tag)
        if tag in _PIXELS:
            seen.update(tag=int(tag), length=length, head=8 if vr is None or len(vr) != 2 or vr in ("US", "SS") else 12)
        return tag in _PIXELS

    with path.open("rb") as stream:
        header = read_partial(stream, at_pixels, force=True, specific_tags=[Tag(tag) for tag in tags])
        left = path.stat().st_size - stream.tell() - seen.get("head", 0)
    if syntax is not None and syntax not in (*_NATIVE, *_PACKED):
        return DicomSlice(path, header, 0)  # refused if it is a slice of the series that is meant
    if seen.get("tag", _PIXEL_DATA) != _PIXEL_DATA:
        return DicomSlice(path, header, 0)
    packed = seen.get("length") == _UNDEFINED and syntax in _PACKED
    return DicomSlice(path, header, None if packed else max(0, min(seen.get("length", 0), left)))


def _read_meta(path: Path) -> Dataset:
    """The meta information at the start of a file; empty where it has none."""
    with path.open("rb") as stream:
        start = stream.read(132)
        if start[128:] == b"DICM":
            return read_file_meta_info(path)
        if not _is_bare_meta(start):
            return Dataset()
        stream.seek(0)
        return read_dataset(stream, False, True, stop_when=lambda tag, vr, length: tag.group != 2)


def _unsupported(name: str, path: Path) -> InputError:
    return InputError(
        f"{name}: expected slices that can be read, {path.name} is truncated or damaged, or compressed "
        "in a way that is not supported. Copy or export it again, uncompressed."
    )


def check_voxels_there(item: DicomSlice, name: str) -> None:
    """Refuse a slice that declares more voxels than its file holds: the rest would come from memory.

    Raises:
        InputError: fewer bytes of voxels than rows x columns, none at all, none that are in this file, or voxels that
            are not of 8, 16 or 32 bits.
    """
    header = item.header
    try:
        bits = int(header.BitsAllocated)
        needed = int(header.Rows) * int(header.Columns) * (bits // 8)
    except (AttributeError, TypeError, ValueError) as error:
        raise _unsupported(name, item.path) from error
    if bits not in _WHOLE_BYTES:
        raise _unsupported(name, item.path)
    if item.voxel_bytes is not None and item.voxel_bytes < needed:
        raise InputError(
            f"{name}: expected {needed:,} bytes of voxels in every slice, {item.path.name} holds "
            f"{item.voxel_bytes:,} that can be read: it is truncated or damaged, or compressed in a way that is not "
            "supported. Copy or export it again, uncompressed."
        )


def read_plane(reader: sitk.ImageFileReader, item: DicomSlice, name: str) -> NDArray[np.float32]:
    """(rows, columns) float32 of one slice, its own rescale slope and intercept applied.

    Args:
        reader: pinned to GDCM, so that what a file looks like chooses no other reader.

    Raises:
        InputError: as `check_voxels_there`, or GDCM cannot read it or finds another size, or another number of bits in
            a voxel, than its header says.
    """
    check_voxels_there(item, name)
    rows, columns = int(item.header.Rows), int(item.header.Columns)
    reader.SetFileName(str(item.path))
    try:
        reader.ReadImageInformation()
        size = (*reader.GetSize(), 1)
        # GDCM also knows what stands after the voxels; with more bits than were checked it would read beyond them.
        bits = reader.GetMetaData(_BITS).strip() if reader.HasMetaDataKey(_BITS) else ""
        if size[:2] != (columns, rows) or size[2] != 1 or reader.GetNumberOfComponents() != 1:
            raise _unsupported(name, item.path)
        if bits != str(item.header.get("BitsAllocated")):
            raise _unsupported(name, item.path)
        return sitk.GetArrayFromImage(reader.Execute()).reshape(rows, columns)
    except (RuntimeError, ValueError) as error:
        raise _unsupported(name, item.path) from error


def gdcm_reader() -> sitk.ImageFileReader:
    """A reader that is GDCM whatever the file."""
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetOutputPixelType(sitk.sitkFloat32)
    return reader
