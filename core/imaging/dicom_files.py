"""Single DICOM files: which are ones, what their headers say, and where their voxels begin in the file itself.

A file is read here by pydicom, never by a reader that is chosen by its content. A DICOMDIR, which names other files, is
passed over; voxels at an address elsewhere (JPIP) are refused.
"""

from __future__ import annotations

import logging
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from struct import error as StructError
from typing import IO, Any, cast

import pydicom
from pydicom import Dataset, uid
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_dataset, read_partial
from pydicom.filereader import read_preamble as skip_preamble
from pydicom.tag import BaseTag, Tag

from core.errors import InputError
from core.imaging.headers.deflated import Inflating
from core.imaging.image_files import reading

# Headers of real scanners break the standard every day; the warnings about it quote values, which may be a patient's.
pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)

#: How a file without preamble begins: with a tag of group 8, or of its meta information.
_FIRST_TAGS = (b"\x08\x00\x00\x00", b"\x08\x00\x05\x00", b"\x08\x00\x08\x00")
_FIRST_META_TAGS = (b"\x02\x00\x00\x00", b"\x02\x00\x01\x00", b"\x02\x00\x02\x00")
#: Where voxels are: whole numbers, or floating-point ones.
KEYWORDS = {0x7FE00010: "PixelData", 0x7FE00008: "FloatPixelData", 0x7FE00009: "DoubleFloatPixelData"}
_UNDEFINED = 0xFFFFFFFF
#: Storage of CT, MR and PET: classic, enhanced, legacy converted. A file of these without voxels has lost them.
_IMAGES = {
    f"1.2.840.10008.5.1.4.1.1.{end}" for end in ("2", "2.1", "2.2", "4", "4.1", "4.3", "4.4", "128", "128.1", "130")
}
#: How much of a broken file is searched for the series that it was of.
_SEARCHED_BYTES = 2**16
_SERIES_TAG = re.compile(rb"\x20\x00\x0e\x00(?:UI(..)|(..)\x00\x00)", re.DOTALL)
#: What pydicom raises for bytes that are no DICOM, or not as its standard has them.
DAMAGED = (
    InvalidDicomError,
    BytesLengthException,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    NotImplementedError,
    IndexError,
    StructError,
    RecursionError,
    EOFError,
    zlib.error,
)


@dataclass(frozen=True, eq=False)
class DicomSlice:
    """One image of a DICOM file: a file of several frames has one for each.

    Args:
        header: what is kept of the file's header; of a frame, with what its functional groups say in place.
        voxel_bytes: how many bytes of voxels the file holds, of all its frames (None: packed, known when unpacked).
        syntax: how the voxels are packed; None where the file does not say it.
        voxels_at: where they begin, bytes from the start (after expanding, where the whole file is deflated).
        keyword: which kind of voxels, as in `KEYWORDS`.
        vr: how the file calls their bytes, "" where it does not.
        frame: which of the file's, from 0.
    """

    path: Path
    header: Dataset
    voxel_bytes: int | None
    syntax: uid.UID | None = None
    voxels_at: int = 0
    keyword: str = "PixelData"
    vr: str = ""
    frame: int = 0


@dataclass(frozen=True)
class BrokenFile:
    """A file that should be DICOM and cannot be read.

    Args:
        what: is wrong with it, in words.
        series: its SeriesInstanceUID, where so much of it is there.
    """

    path: Path
    what: str
    series: str | None = None


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


def read_headers(files: Sequence[Path], name: str, tags: Sequence[Any]) -> tuple[list[DicomSlice], list[BrokenFile]]:
    """The headers of those files that are DICOM and no DICOMDIR, and the files that should be and cannot be read.

    A file that is no DICOM counts as broken where it is called like one that is, or ends with ".dcm".

    Args:
        tags: what is kept of each header.

    Raises:
        InputError: none is DICOM, or one may not be read.
    """
    slices: list[DicomSlice] = []
    broken: list[BrokenFile] = []
    others = []
    for path in files:
        if not is_dicom(path):
            with reading(path):
                path.open("rb").close()  # a file that may not be read is not the same as one that is not DICOM
            others.append(path)
            continue
        try:
            with reading(path):
                item = _read_header(path, tags)
        except DAMAGED:
            broken.append(BrokenFile(path, "damaged", _series_of(path)))
            continue
        if item is not None:
            slices.append(item)
    if not slices:
        if broken:
            raise InputError(f"{name}: expected DICOM, {broken[0].path.name} is damaged. Copy or export it again.")
        got = f"{len(files)} files of which none is DICOM" if files else "no files"
        raise InputError(
            f"{name}: expected DICOM images, got {got}. Choose the folder that holds the series, or an image file."
        )
    return slices, broken + _called_like_slices(others, slices)


def _called_like_slices(others: Sequence[Path], slices: Sequence[DicomSlice]) -> list[BrokenFile]:
    def pattern(path: Path) -> tuple[Path, str]:
        return path.parent, re.sub(r"\d+", "#", path.name)

    like = {pattern(item.path) for item in slices}
    seen = [path for path in others if not path.name.startswith(".")]  # a Mac writes ._IM1.dcm beside IM1.dcm
    return [
        BrokenFile(path, "empty (0 bytes)" if path.stat().st_size == 0 else "not DICOM", _series_of(path))
        for path in seen
        if path.suffix.lower() == ".dcm" or pattern(path) in like
    ]


def _series_of(path: Path) -> str | None:
    """The SeriesInstanceUID that stands in the first bytes of a file, however damaged the rest is."""
    with reading(path), path.open("rb") as stream:
        start = stream.read(_SEARCHED_BYTES)
    found = _SERIES_TAG.search(start)
    if found is None:
        return None
    length = int.from_bytes(found[1] or found[2], "little")
    value = start[found.end() : found.end() + length]
    return value.rstrip(b"\0 ").decode("latin-1") if 0 < length == len(value) else None


def _read_header(path: Path, tags: Sequence[Any]) -> DicomSlice | None:
    meta = _read_meta(path)
    syntax = meta.get("TransferSyntaxUID")
    if syntax is not None and not isinstance(syntax, uid.UID):
        raise ValueError("several transfer syntaxes")
    if meta.get("MediaStorageSOPClassUID") == uid.MediaStorageDirectoryStorage or path.name.upper() == "DICOMDIR":
        return None
    seen: dict[str, Any] = {"end": 0}

    def at_pixels(tag: BaseTag, vr: str | None, length: int) -> bool:
        # Of a tag that comes twice readers take one or the other: what is checked must be what is read.
        if tag <= seen.get("before", -1):
            raise ValueError("tags that do not ascend, as the standard has them")
        seen["before"] = int(tag)
        if tag in KEYWORDS:
            short = vr is None or len(vr) != 2 or vr in ("US", "SS")
            seen.update(tag=int(tag), length=length, head=8 if short else 12, vr=vr or "")
        elif length != _UNDEFINED:
            seen["end"] = stream.tell() + length
        return tag in KEYWORDS

    with opened(path, syntax) as stream:
        wanted: list[BaseTag | int] = [Tag(tag) for tag in tags]
        if isinstance(stream, Inflating):
            header = read_dataset(cast(Any, stream), False, True, stop_when=at_pixels, specific_tags=wanted)
        else:
            header = read_partial(cast(Any, stream), at_pixels, force=True, specific_tags=wanted)
        begin = stream.tell() + seen.get("head", 0)
    size = begin if isinstance(stream, Inflating) else path.stat().st_size
    _check_kinds(header)
    _check_not_cut(meta, header, "tag" in seen, seen["end"] > size)
    length = seen.get("length", 0)
    held = length if isinstance(stream, Inflating) else max(0, min(length, size - begin))
    keyword = KEYWORDS[seen.get("tag", 0x7FE00010)]
    packed = length == _UNDEFINED
    return DicomSlice(
        path, header, None if packed else held, syntax or _guessed(header), begin, keyword, seen.get("vr", "")
    )


def _check_kinds(header: Dataset) -> None:
    """Refuse a header with a value of no kind that there is, of another length than its kind has, or that should be a
    sequence and is none: pydicom reads values when they are asked for, and says it then. A number that is malformed is
    for whoever needs it to name.

    Raises:
        NotImplementedError, BytesLengthException, ValueError: there is one.
    """
    for tag in list(header.keys()):
        try:
            element = header[tag]
        except (NotImplementedError, BytesLengthException):
            raise
        except DAMAGED:
            continue
        if element.VR == "SQ":
            for item in element.value:
                _check_kinds(item)
        elif dictionary_has_tag(tag) and dictionary_VR(tag) == "SQ":
            raise ValueError("expected a sequence")


def _check_not_cut(meta: Dataset, header: Dataset, has_voxels: bool, overruns: bool) -> None:
    """Refuse a file that ends before its header does, or that should have voxels: pydicom takes what there is.

    Raises:
        ValueError: it is cut.
    """
    kinds = {str(meta.get("MediaStorageSOPClassUID") or ""), str(header.get("SOPClassUID") or "")}
    if not has_voxels and (overruns or kinds & _IMAGES or (kinds == {""} and not header.get("Modality"))):
        raise ValueError("a file that ends before its voxels begin")


def _guessed(header: Dataset) -> uid.UID:
    """The transfer syntax that a file without one was read by."""
    implicit, little = header.original_encoding
    if implicit:
        return uid.ImplicitVRLittleEndian
    return uid.ExplicitVRLittleEndian if little else uid.ExplicitVRBigEndian


@contextmanager
def opened(path: Path, syntax: uid.UID | None) -> Iterator[IO[bytes] | Inflating]:
    """The file, or what its packed part expands to, where all behind its meta information is deflated."""
    with path.open("rb") as stream:
        if syntax != uid.DeflatedExplicitVRLittleEndian:
            yield stream
            return
        skip_preamble(stream, True)
        read_dataset(stream, False, True, stop_when=_behind_meta)
        yield Inflating(stream)


def _read_meta(path: Path) -> Dataset:
    """The meta information at the start of a file; empty where it has none."""
    with path.open("rb") as stream:
        start = stream.read(132)
        if start[128:] != b"DICM" and not _is_bare_meta(start):
            return Dataset()
        stream.seek(132 if start[128:] == b"DICM" else 0)
        return read_dataset(stream, False, True, stop_when=_behind_meta)


def _behind_meta(tag: BaseTag, vr: str | None, length: int) -> bool:
    return tag.group != 2
