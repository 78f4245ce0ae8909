"""What the header of an image file says, and how headers of text lines are read to their end."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError

#: A header that has not ended after this many bytes is none. Slicer writes 100 kB for a hundred segments.
MAX_HEADER_BYTES = 4 * 2**20
#: A header that declares more axes is wrong, or hostile: what is made of them grows with their square.
MAX_AXES = 10
_WHOLE = re.compile(r"[+-]?\d{1,19}", re.ASCII)
_REAL = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?", re.ASCII | re.IGNORECASE)

UNPLACED = "The file does not say how the image lies in space; left and right are assumed, not known."
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True, eq=False)
class ImageHeader:
    """One image whose voxels are in the file that the header was read from, and nowhere else.

    Args:
        format: the name people see.
        shape: as declared, fastest axis first; any number of dimensions, not yet checked.
        dtype: of a stored voxel, with its byte order.
        kind: what a voxel is, in words; empty for one real number.
        affine: 4x4, voxel index -> RAS+ millimetres; not yet checked.
        offset: where the payload begins, bytes from the start of the file (after expanding, for "whole gzip").
        encoding: how the payload is packed. "whole gzip": header and payload together.
        slope, inter: stored * slope + inter is the value; slope None leaves it as it is.
        from_end: the payload is the file's last bytes, whatever lies between (NRRD "byte skip: -1").
        warnings: sentences for people.
        says_labels: the header calls the values labels.
    """

    format: Literal["NIfTI", "NRRD", "MetaImage"]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    affine: NDArray[np.float64]
    offset: int
    encoding: Literal["raw", "gzip", "zlib", "whole gzip"]
    kind: str = ""
    slope: float | None = None
    inter: float | None = None
    from_end: bool = False
    warnings: tuple[str, ...] = ()
    says_labels: bool = False


def header_lines(stream: IO[bytes], name: str, wanted: str) -> Iterator[str]:
    """The lines of a header, without their ends, until the caller has seen the last one.

    Raises:
        InputError: the header has not ended after `MAX_HEADER_BYTES`, or the file ends first.
    """
    left = MAX_HEADER_BYTES
    while left > 0:
        line = stream.readline(left)
        if not line:
            raise InputError(
                f"{name}: expected {wanted} whose header has an end, got a file that ends before its header does. "
                "It is damaged or truncated: export it again."
            )
        left -= len(line)
        if not line.endswith(b"\n"):
            break
        yield line.decode("latin-1").strip()
    raise InputError(
        f"{name}: expected {wanted} whose header ends within {MAX_HEADER_BYTES // 2**20} MB, got one that does not. "
        "Export it again, as .nii.gz if it stays so."
    )


def quoted(text: str, longest: int = 40) -> str:
    """A short, printable excerpt of what a file says, for a message."""
    return ascii(text if len(text) <= longest else text[:longest] + "...")


def code_word(text: object) -> str:
    """A header's code (modality, unit ...) as it may stand in a message; "another" where it is no code."""
    return str(text) if re.fullmatch(r"[A-Z][A-Z_ ]{0,11}[0-9]{0,4}", str(text)) else "another"


def elsewhere(name: str) -> InputError:
    """The refusal of a header that names another file as the place of its voxels."""
    return InputError(
        f"{name}: expected header and voxels in one file, the header points at another file. "
        "Save it as one file (.nrrd or .mha), or as .nii.gz."
    )


def unusable(name: str, wanted: str, problem: str) -> InputError:
    """The refusal of a header that breaks its format, or uses a part of it that is not read here."""
    return InputError(f"{name}: expected {wanted}, its header {problem}. Export it again, or as .nii.gz.")


def numbers(text: str, name: str, wanted: str, field: str) -> list[float]:
    """The finite numbers of a field, separated by blanks or commas; raises InputError about `field`.

    No more are looked at than a square of `MAX_AXES` holds: what follows is no number then.
    """
    parts = text.replace(",", " ").split(maxsplit=MAX_AXES**2)
    found = [float(part) if _REAL.fullmatch(part) else float("nan") for part in parts]
    if not np.isfinite(found).all():
        raise unusable(name, wanted, f"has no numbers in '{field}': {quoted(text)}")
    return found


def axis_sizes(sizes: str, count: str, name: str, wanted: str, fields: tuple[str, str]) -> list[int]:
    """The sizes of an image's axes, as declared.

    Args:
        sizes, count: the text of the fields that say them and their number.
        fields: the names of both.

    Raises:
        InputError: no whole numbers, another number of them than said, none, or more than `MAX_AXES`.
    """
    found = _whole_numbers(sizes, name, wanted, fields[0])
    if len(found) > MAX_AXES:
        raise unusable(name, f"{wanted} of at most {MAX_AXES} axes", "declares more")
    if _whole_numbers(count, name, wanted, fields[1]) != [len(found)] or not found:
        raise unusable(name, wanted, f"contradicts itself: {fields[1]} is not the number of its sizes")
    return found


def _whole_numbers(text: str, name: str, wanted: str, field: str) -> list[int]:
    """The whole numbers of a field, separated by blanks; raises InputError about `field`."""
    parts = text.split(maxsplit=MAX_AXES + 1)[: MAX_AXES + 1]
    if not all(_WHOLE.fullmatch(part) for part in parts):
        raise unusable(name, wanted, f"has no whole numbers in '{field}': {quoted(text)}")
    return [int(part) for part in parts]
