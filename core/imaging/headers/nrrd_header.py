"""NRRD headers: every field is one of the format's own, and none may say that the voxels lie elsewhere.

Source: NRRD format specification, https://teem.sourceforge.net/nrrd/format.html (NRRD0001 to NRRD0005).
"""

from __future__ import annotations

import re
from typing import IO

import numpy as np
from numpy.typing import NDArray

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

_WHAT = "an NRRD image"
_TYPES = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": ("longlong", "long long", "long long int", "signed long long", "signed long long int", "int64", "int64_t"),
    "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "f4": ("float",),
    "f8": ("double",),
}
_DTYPE = {name: code for code, names in _TYPES.items() for name in names}
#: Fields that may stand in a header, blanks left out; only these, so that none is overlooked that moves the voxels.
_USED = {
    "type",
    "dimension",
    "sizes",
    "encoding",
    "endian",
    "space",
    "spacedimension",
    "spacedirections",
    "spaceorigin",
    "spaceunits",
    "spacings",
    "axismins",
    "centers",
    "centerings",
    "kinds",
    "units",
    "lineskip",
    "byteskip",
}
_PASSED_OVER = {
    "content",
    "number",
    "blocksize",
    "thicknesses",
    "axismaxs",
    "labels",
    "min",
    "max",
    "oldmin",
    "oldmax",
    "sampleunits",
    "measurementframe",
}
#: Which axes of a space point against RAS.
_SPACES = {
    "right-anterior-superior": (1, 1, 1),
    "ras": (1, 1, 1),
    "left-anterior-superior": (-1, 1, 1),
    "las": (-1, 1, 1),
    "left-posterior-superior": (-1, -1, 1),
    "lps": (-1, -1, 1),
}
_MM = {"mm": 1.0, "millimeter": 1.0, "millimeters": 1.0, "millimetre": 1.0, "cm": 10.0, "m": 1000.0, "um": 1e-3}
_VECTOR = re.compile(r"none|\([^()]*\)", re.IGNORECASE)


def read_nrrd_header(stream: IO[bytes], name: str) -> ImageHeader:
    """The header at the start of `stream`, which is left where the payload begins.

    Raises:
        InputError: not an NRRD, no end of the header, a pointer to another file, a field that is unknown, double,
            malformed or contradicts another.
    """
    fields = _fields(stream, name)
    if fields.get("encoding", "") not in ("raw", "gzip", "gz"):
        raise unusable(name, "an NRRD in raw or gzip encoding", f"says {quoted(fields.get('encoding', 'nothing'))}")
    from_end = fields.get("byteskip", "0").strip() == "-1" and fields["encoding"] == "raw"
    if fields.get("lineskip", "0") != "0" or (fields.get("byteskip", "0") != "0" and not from_end):
        raise unusable(name, "an NRRD whose voxels follow its header", "skips lines or bytes")
    sizes = axis_sizes(fields.get("sizes", ""), fields.get("dimension", ""), name, _WHAT, ("sizes", "dimension"))
    affine, warnings, spatial = _affine(fields, sizes, name)
    return ImageHeader(
        "NRRD",
        tuple(sizes),
        _dtype(fields, name),
        affine,
        stream.tell(),
        "raw" if fields["encoding"] == "raw" else "gzip",
        "" if spatial else "vector of several numbers",
        from_end=from_end,
        warnings=warnings,
    )


def _fields(stream: IO[bytes], name: str) -> dict[str, str]:
    """The fields by name without blanks, in lower case; key-value pairs and comments are passed over."""
    if not re.match(rb"NRRD000[1-5]\s", stream.read(9)):
        raise InputError(f"{name}: expected an NRRD image, got a file that is not one. Export it as .nrrd or .nii.gz.")
    stream.seek(8)
    lines = header_lines(stream, name, _WHAT)
    if next(lines):
        raise unusable(name, _WHAT, "has more than its version in the first line")
    fields: dict[str, str] = {}
    for line in lines:
        if not line:
            break
        if line.startswith("#"):
            continue
        before, colon, value = line.partition(":")
        field = "".join(before.split()).lower()
        if field == "datafile":  # with ":=", too: whoever wrote that did not mean a comment
            raise elsewhere(name)
        if colon and value.startswith("="):
            continue
        if not colon or field not in _USED | _PASSED_OVER:
            raise unusable(name, _WHAT, f"has a line that is no NRRD field: {quoted(line)}")
        if field in fields:
            raise unusable(name, _WHAT, f"has the field {quoted(field)} twice")
        fields[field] = value.strip() if field in ("kinds", "spaceunits", "units") else value.strip().lower()
    return fields


def _dtype(fields: dict[str, str], name: str) -> np.dtype[np.generic]:
    code = _DTYPE.get(" ".join(fields.get("type", "").split()))
    if code is None:
        raise unusable(name, _WHAT, f"names a type of voxel that is none: {quoted(fields.get('type', ''))}")
    if code.endswith("1"):
        return np.dtype(code)
    order = {"little": "<", "big": ">"}.get(fields.get("endian", ""))
    if order is None:
        raise unusable(name, _WHAT, "does not say the order of bytes ('endian')")
    return np.dtype(order + code)


def _affine(fields: dict[str, str], sizes: list[int], name: str) -> tuple[NDArray[np.float64], tuple[str, ...], bool]:
    """The affine, warnings, and whether every axis is one of space."""
    kinds = fields.get("kinds", "").lower().split()
    if any(kind not in ("domain", "space", "none", "???") for kind in kinds):
        return np.eye(4), (), False
    axes = len(sizes)
    if axes < 3 or any(size != 1 for size in sizes[3:]):
        return np.eye(4), (), True  # refused for its shape
    if "spacedirections" in fields:
        return _by_directions(fields, axes, name)
    if fields.get("space"):
        raise unusable(name, _WHAT, "names a space and no directions in it")
    return _by_spacings(fields, axes, name)


def _by_directions(fields: dict[str, str], axes: int, name: str) -> tuple[NDArray[np.float64], tuple[str, ...], bool]:
    text = fields["spacedirections"]
    vectors = _VECTOR.findall(text)
    if len(vectors) != axes or _VECTOR.sub("", text).strip():
        raise unusable(name, _WHAT, f"has no direction for each axis: {quoted(text)}")
    if "none" in vectors[:3]:
        return np.eye(4), (), False
    columns = [numbers(vector.strip("()"), name, _WHAT, "space directions") for vector in vectors if vector != "none"]
    origin = numbers(fields.get("spaceorigin", "(0,0,0)").strip("()"), name, _WHAT, "space origin")
    if any(len(column) != 3 for column in [*columns, origin]):
        raise unusable(name, "an NRRD in a space of three dimensions", "is of another")
    affine = np.eye(4)
    affine[:3, :3] = np.transpose(columns[:3])
    affine[:3, 3] = origin
    signs = _SPACES.get(fields.get("space", ""))
    unit, warnings = _unit(fields.get("spaceunits", ""), name)
    affine[:3] *= unit
    if signs is None:  # as ITK takes it: LPS
        return LPS_TO_RAS @ affine, (UNPLACED, *warnings), True
    return np.diag([*map(float, signs), 1.0]) @ affine, warnings, True


def _by_spacings(fields: dict[str, str], axes: int, name: str) -> tuple[NDArray[np.float64], tuple[str, ...], bool]:
    """Without directions: along LPS, by spacing and least position, where the file has them."""

    def each(field: str, default: float) -> list[float]:
        parts = fields.get(field, "").split(maxsplit=axes)
        if parts and len(parts) != axes:
            raise unusable(name, _WHAT, f"has not one value for each axis in '{field}'")
        known = [default if part == "nan" else _one_number(part, name, field) for part in parts]
        return (known or [default] * axes) + [default] * 3

    spacings, least = each("spacings", float("nan")), each("axismins", 0.0)
    if np.isnan(spacings[:3]).any():
        raise unusable(name, _WHAT, "does not say how large its voxels are (spacings, or space directions)")
    centers = (fields.get("centers") or fields.get("centerings") or "").split() + [""] * 3
    half = [0.5 if "axismins" in fields and center != "node" else 0.0 for center in centers]
    affine = np.diag([*spacings[:3], 1.0])
    affine[:3, 3] = [least[n] + half[n] * spacings[n] for n in range(3)]
    unit, warnings = _unit(fields.get("units", ""), name)
    affine[:3] *= unit
    return LPS_TO_RAS @ affine, (UNPLACED, *warnings), True


def _one_number(text: str, name: str, field: str) -> float:
    found = numbers(text, name, _WHAT, field)
    if len(found) != 1:
        raise unusable(name, _WHAT, f"has not one number for each axis in '{field}': {quoted(text)}")
    return found[0]


def _unit(text: str, name: str) -> tuple[float, tuple[str, ...]]:
    """Millimetres in one of the file's units of length, and a word about it where that is not 1."""
    units = {unit.strip().lower() for unit in re.findall(r'"([^"]*)"', text)} - {"", "none", "???"}
    if not units:
        return 1.0, ()
    known = {_MM.get("um" if unit in ("µm", "micron") else unit) for unit in units}
    unit = known.pop()
    if known or unit is None:
        raise unusable(name, "an NRRD measured in mm, cm, m or um", f"has other units: {quoted(text)}")
    return unit, () if unit == 1.0 else (
        f"The file's lengths are not in millimetres; they were multiplied by {unit:g}.",
    )
