"""The voxels of DICOM images: unpacked, and scaled as each image's own header says.

Uncompressed, deflated and RLE voxels are unpacked by pydicom itself, JPEG-LS by CharLS (pyjpegls), JPEG 2000 and HTJ2K
by OpenJPEG (pylibjpeg-openjpeg). What JPEG of 1992 packs (baseline, extended, lossless) GDCM unpacks, within SimpleITK,
from a file of our own making that holds the packed image and its sizes alone: what the header says is applied here,
once, whoever unpacks.
"""

from __future__ import annotations

import struct
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom import Dataset, uid
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels import get_decoder
from pydicom.pixels.processing import apply_modality_lut

from core.errors import InputError
from core.imaging.dicom_files import DAMAGED, DicomSlice, opened
from core.imaging.headers.deflated import Inflating
from core.imaging.padding import beyond_bits

#: Transfer syntaxes that are read, and which decoder of pydicom's reads them ("" its own).
_DECODERS = {
    uid.ImplicitVRLittleEndian: "",
    uid.ExplicitVRLittleEndian: "",
    uid.ExplicitVRBigEndian: "",
    uid.DeflatedExplicitVRLittleEndian: "",
    uid.RLELossless: "pydicom",
    uid.JPEGLSLossless: "pyjpegls",
    uid.JPEGLSNearLossless: "pyjpegls",
    uid.JPEG2000Lossless: "pylibjpeg",
    uid.JPEG2000: "pylibjpeg",
    uid.HTJ2KLossless: "pylibjpeg",
    uid.HTJ2KLosslessRPCL: "pylibjpeg",
    uid.HTJ2K: "pylibjpeg",
}
_BY_GDCM = (uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit, uid.JPEGLossless, uid.JPEGLosslessSV1)
#: Markers of JPEG that tell the size of the image: baseline, extended, progressive, lossless.
_JPEG_FRAMES = (0xC0, 0xC1, 0xC2, 0xC3)
_JPEG_LS = (uid.JPEGLSLossless, uid.JPEGLSNearLossless)
#: The marker that ends a JPEG stream, and in how many of its last bytes it is looked for: padding follows it.
_JPEG_END, _JPEG_TAIL = b"\xff\xd9", 64
#: Bits of a stored voxel that are read, by the kind of voxels.
_BITS = {"PixelData": (8, 16, 32), "FloatPixelData": (32,), "DoubleFloatPixelData": (64,)}
#: Of the header, what voxels are unpacked and scaled by.
KEYWORDS = (
    "Rows",
    "Columns",
    "NumberOfFrames",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "RescaleSlope",
    "RescaleIntercept",
    "ModalityLUTSequence",
)


def check_voxels_there(item: DicomSlice, name: str) -> None:
    """Refuse an image that declares more voxels than its file holds: the rest would come from memory.

    Raises:
        InputError: fewer bytes of voxels than rows x columns x frames, none at all, none that are in this file, or
            voxels that are packed in a way, or of a number of bits, that is not read.
    """
    header = item.header
    try:
        bits = int(header.get("BitsAllocated") or _BITS[item.keyword][-1])
        frame = int(header.Rows) * int(header.Columns) * (bits // 8)
        needed = frame * int(header.get("NumberOfFrames") or 1)
    except (AttributeError, TypeError, ValueError) as error:
        raise _unreadable(name, item.path) from error
    known = item.syntax in _DECODERS or item.syntax in _BY_GDCM
    if bits not in _BITS[item.keyword] or not known or (item.voxel_bytes is None) != _is_packed(item):
        raise _unreadable(name, item.path)
    if item.voxel_bytes is not None and item.voxel_bytes < needed:
        raise InputError(
            f"{name}: expected {needed:,} bytes of voxels in every slice, {item.path.name} holds "
            f"{item.voxel_bytes:,} that can be read: it is truncated or damaged, or compressed in a way that is not "
            "supported. Copy or export it again, uncompressed."
        )
    if item.voxel_bytes is not None and item.voxel_bytes - needed >= frame:
        raise InputError(
            f"{name}: expected {needed:,} bytes of voxels in every slice, {item.path.name} holds {item.voxel_bytes:,}, "
            "more than its header says: its rows, columns or frames are wrong. Export it again."
        )


def read_planes(items: Sequence[DicomSlice], name: str) -> Iterator[tuple[DicomSlice, NDArray[np.float32]]]:
    """Each image with its (rows, columns) float32, its own rescale slope and intercept or table applied.

    Args:
        items: images of one file; they come in the order of their frames.

    Raises:
        InputError: as `check_voxels_there`; unpacking fails or finds another size; a slope, intercept or table that is
            none.
    """
    for item in items:
        check_voxels_there(item, name)
    wanted = {item.frame: item for item in items}
    try:
        with warnings.catch_warnings():  # they quote values of the header
            warnings.simplefilter("ignore")
            for frame, stored in enumerate(_stored(items[0])):
                if frame in wanted:
                    item = wanted.pop(frame)
                    if stored.shape != (int(item.header.Rows), int(item.header.Columns)):
                        raise ValueError("another size than the header says")
                    yield item, _rescaled(stored, item, name)
                if not wanted:
                    return
    except InputError:
        raise
    except (*DAMAGED, RuntimeError, OSError) as error:
        raise _unreadable(name, items[0].path) from error
    raise _unreadable(name, items[0].path)


def _is_packed(item: DicomSlice) -> bool:
    return item.syntax is not None and item.syntax.is_encapsulated


def _unreadable(name: str, path: Path) -> InputError:
    return InputError(
        f"{name}: expected slices that can be read, {path.name} is truncated or damaged, or compressed "
        "in a way that is not supported. Copy or export it again, uncompressed."
    )


def _stored(item: DicomSlice) -> Iterator[NDArray[Any]]:
    """The stored voxels of every frame of a file, (rows, columns) each."""
    options = _options(item)
    with opened(item.path, item.syntax) as stream:
        if isinstance(stream, Inflating):
            stream.most = item.voxels_at + (item.voxel_bytes or 0)
        stream.seek(item.voxels_at)
        if item.syntax in _BY_GDCM:
            for packed in generate_frames(stream, number_of_frames=options["number_of_frames"]):
                yield _by_gdcm(packed, item.syntax, options)
            return
        if item.syntax in _JPEG_LS:
            _check_ends(stream, options["number_of_frames"])
            stream.seek(item.voxels_at)
        syntax = uid.UID(str(item.syntax))
        source = cast(BinaryIO, stream)
        for array, _ in get_decoder(syntax).iter_array(source, raw=True, decoding_plugin=_DECODERS[syntax], **options):
            yield array


def _options(item: DicomSlice) -> dict[str, Any]:
    header = item.header
    bits = int(header.get("BitsAllocated") or _BITS[item.keyword][-1])
    options: dict[str, Any] = {
        "rows": int(header.Rows),
        "columns": int(header.Columns),
        "number_of_frames": int(header.get("NumberOfFrames") or 1),
        "samples_per_pixel": 1,
        "photometric_interpretation": "MONOCHROME2",
        "bits_allocated": bits,
        "pixel_keyword": item.keyword,
    }
    if item.keyword != "PixelData":
        return options
    stored = int(header.get("BitsStored") or bits)
    if int(header.get("HighBit") or stored - 1) != stored - 1:
        raise ValueError("voxels that do not begin at their lowest bit")
    options |= {"bits_stored": stored, "pixel_representation": int(header.get("PixelRepresentation") or 0)}
    if item.vr:
        options["pixel_vr"] = item.vr
    # What lies in the bits beyond is no part of a voxel, unless it is padding that needs them.
    if not _is_packed(item) and beyond_bits(header, stored):
        options["correct_unused_bits"] = False
    return options


def _check_jpeg(packed: bytes, options: Mapping[str, Any]) -> None:
    """Refuse a packed image that begins otherwise than JPEG does or is of another size than the header says: GDCM
    would write beyond its own memory.

    Raises:
        ValueError: it is.
    """
    at = 2
    while packed[:2] == b"\xff\xd8" and packed[at : at + 1] == b"\xff" and at + 4 <= len(packed):
        marker, length = packed[at + 1], int.from_bytes(packed[at + 2 : at + 4], "big")
        if marker in _JPEG_FRAMES:
            bits, rows, columns, parts = struct.unpack(">BHHB", packed[at + 4 : at + 10])
            if (rows, columns, parts) == (options["rows"], options["columns"], 1) and bits <= options["bits_allocated"]:
                return
            break
        if length < 2 or marker == 0xDA:
            break
        at += 2 + length
    raise ValueError("a packed image of another kind or size than the header says")


def _check_ends(stream: Any, frames: int) -> None:
    """Refuse JPEG-LS that ends without its end marker: CharLS takes seconds for each image that is cut short.

    Raises:
        ValueError: it does.
    """
    for packed in generate_frames(stream, number_of_frames=frames):
        if _JPEG_END not in packed[-_JPEG_TAIL:]:
            raise ValueError("a packed image that ends too early")


def _by_gdcm(packed: bytes, syntax: uid.UID, options: Mapping[str, Any]) -> NDArray[Any]:
    _check_jpeg(packed, options)
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = syntax
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID = uid.SecondaryCaptureImageStorage
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID = uid.UID("2.25.1")
    image.Rows, image.Columns, image.SamplesPerPixel = options["rows"], options["columns"], 1
    image.PhotometricInterpretation = "MONOCHROME2"
    image.BitsAllocated, image.BitsStored = options["bits_allocated"], options["bits_stored"]
    image.HighBit, image.PixelRepresentation = options["bits_stored"] - 1, options["pixel_representation"]
    image.PixelData = encapsulate([packed])
    image["PixelData"].is_undefined_length = True
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "packed.dcm"
        image.save_as(path, enforce_file_format=True)
        reader.SetFileName(str(path))
        array = sitk.GetArrayFromImage(reader.Execute())
    return array.reshape(options["rows"], options["columns"])


def _rescaled(stored: NDArray[Any], item: DicomSlice, name: str) -> NDArray[np.float32]:
    """By the Modality LUT Sequence (0028,3000) where there is one, else by slope and intercept."""
    header = item.header
    if header.get("ModalityLUTSequence"):
        try:
            return np.asarray(apply_modality_lut(stored.astype(np.int32), header)).astype(np.float32)
        except DAMAGED as error:
            raise InputError(
                f"{name}: expected a table from stored values to HU (0028,3000), that of {item.path.name} cannot be "
                "read. Export the series with slope and intercept."
            ) from error
    slope, intercept = (_number(item, word, usual, name) for word, usual in _SCALE)
    if slope == 0:
        raise InputError(
            f"{name}: expected a RescaleSlope other than 0, {item.path.name} has none: every voxel would be the same. "
            "Export it again."
        )
    if slope == 1 and intercept == 0:
        return stored.astype(np.float32)
    return (stored.astype(float) * slope + intercept).astype(np.float32)


_SCALE = (("RescaleSlope", 1.0), ("RescaleIntercept", 0.0))


def _number(item: DicomSlice, keyword: str, usual: float, name: str) -> float:
    value = item.header.get(keyword)
    try:
        found = usual if value in (None, "") else float(value)
        if np.isfinite(found):
            return found
    except (TypeError, ValueError):
        pass
    raise InputError(
        f"{name}: expected a number in {keyword}, {item.path.name} has none there. Export it again."
    ) from None
