"""MetaImage headers (.mha): text lines of which the last must say that the voxels follow in this file.

Source: https://itk.org/Wiki/ITK/MetaIO/Documentation; what ITK's MetaIO does where that is silent.
"""

from __future__ import annotations

from typing import IO

import numpy as np

from core.errors import InputError
from core.imaging.headers.image_header import (
    LPS_TO_RAS,
    UNPLACED,
    ImageHeader,
    axis_sizes,
    elsewhere,
    header_lines,
    numbers,
    quoted,
    unusable,
)

_WHAT = "a MetaImage"
_DTYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG": "i4",
    "MET_ULONG": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
#: Several names of one thing: MetaIO takes the last that it meets, so two of them in one header are refused.
_SAME = {
    "position": "offset",
    "origin": "offset",
    "orientation": "transformmatrix",
    "rotation": "transformmatrix",
    "elementbyteordermsb": "binarydatabyteordermsb",
}


def read_metaimage_header(stream: IO[bytes], name: str) -> ImageHeader:
    """The header at the start of `stream`, which is left where the payload begins.

    Raises:
        InputError: not a MetaImage, no end of the header, voxels in another file or not in binary, a key that is
            double or malformed.
    """
    fields = _fields(stream, name)
    if fields["elementdatafile"].lower() != "local":
        raise elsewhere(name)
    if fields.get("objecttype", "image").lower() != "image" or fields.get("headersize", "0") != "0":
        raise unusable(name, _WHAT, "is of another object, or does not end where its voxels begin")
    slope = numbers(fields.get("elementtointensityfunctionslope", "1"), name, _WHAT, "ElementToIntensityFunctionSlope")
    shift = numbers(fields.get("elementtointensityfunctionoffset", "0"), name, _WHAT, "...FunctionOffset")
    if slope != [1.0] or shift != [0.0]:
        raise unusable(name, _WHAT, "scales its voxels (ElementToIntensityFunction), which is not read here")
    if not _true(fields, "binarydata", name, default=True):
        raise unusable(name, "a MetaImage of binary voxels", "says that they are text")
    sizes = axis_sizes(fields.get("dimsize", ""), fields.get("ndims", ""), name, _WHAT, ("DimSize", "NDims"))
    channels = fields.get("elementnumberofchannels", "1") != "1" or fields.get("elementtype", "").endswith("_ARRAY")
    affine, warnings = _affine(fields, len(sizes), name)
    return ImageHeader(
        "MetaImage",
        tuple(sizes),
        _dtype(fields, name),
        affine,
        stream.tell(),
        "zlib" if _true(fields, "compresseddata", name) else "raw",
        "vector of several numbers" if channels else "",
        warnings=warnings,
    )


def _fields(stream: IO[bytes], name: str) -> dict[str, str]:
    """The fields by name in lower case, up to ElementDataFile, which must be there."""
    fields: dict[str, str] = {}
    for line in header_lines(stream, name, _WHAT):
        key, equals, value = (part.strip() for part in line.partition("="))
        key = _SAME.get(key.lower(), key.lower())
        if not line:
            continue
        if (not fields and key not in ("objecttype", "ndims", "comment", "id", "name")) or not equals:
            raise InputError(f"{name}: expected a MetaImage, got a file that is not one. Export it as .mha or .nii.gz.")
        if key in fields:
            raise unusable(name, _WHAT, f"has the key {quoted(key)} twice")
        fields[key] = value
        if key == "elementdatafile":
            break
    return fields


def _true(fields: dict[str, str], key: str, name: str, default: bool = False) -> bool:
    text = fields.get(key, str(default)).lower()
    if text not in ("true", "false", "1", "0"):
        raise unusable(name, _WHAT, f"says neither True nor False in {key}: {quoted(text)}")
    return text in ("true", "1")


def _dtype(fields: dict[str, str], name: str) -> np.dtype[np.generic]:
    kind = fields.get("elementtype", "").upper().removesuffix("_ARRAY")
    if kind not in _DTYPES:
        raise unusable(name, _WHAT, f"names a type of voxel that is none: {quoted(kind)}")
    big = _true(fields, "binarydatabyteordermsb", name)
    return np.dtype((">" if big else "<") + _DTYPES[kind])


def _affine(fields: dict[str, str], axes: int, name: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """LPS in the file: row n of TransformMatrix is the direction of axis n."""

    def each(key: str, default: list[float]) -> np.ndarray:
        found = numbers(fields[key], name, _WHAT, key) if key in fields else default
        if len(found) != len(default):
            raise unusable(name, _WHAT, f"has {len(found)} numbers in {key}, expected {len(default)}")
        return np.array(found)

    if axes >= 3 and not {"elementspacing", "elementsize"} & fields.keys():
        raise unusable(name, _WHAT, "does not say how large its voxels are (ElementSpacing)")
    spacing = each("elementspacing" if "elementspacing" in fields else "elementsize", [1.0] * axes)
    origin = each("offset", [0.0] * axes)
    directions = each("transformmatrix", np.eye(axes).ravel().tolist()).reshape(axes, axes)
    affine = np.eye(4)
    if axes >= 3:
        affine[:3, :3] = directions[:3, :3].T * spacing[:3]
        affine[:3, 3] = origin[:3]
    return LPS_TO_RAS @ affine, () if "transformmatrix" in fields else (UNPLACED,)
