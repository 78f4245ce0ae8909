"""Which part of its lesion each voxel of a mask is, as a network of several classes told.

They lie in the mask's own file, as a comment of its NIfTI header that other readers pass over: one hash, one write,
moved and rebuilt with the mask.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.errors import GeometryError, InputError
from core.types import LabelMap

_KIND, _VERSION = "twinreview compartments", 1


@dataclass(frozen=True, eq=False)
class Compartments:
    """Which part of its lesion each voxel is.

    Args:
        array: (I, J, K) uint8 on the mask's grid: a number of `names`; 0: not told.
        names: number 1..255 -> the model's own name of that class.

    Raises:
        InputError: another dtype, or a number that has no name.
    """

    array: NDArray[np.uint8]
    names: Mapping[int, str]

    def __post_init__(self) -> None:
        if self.array.dtype != np.uint8:
            raise InputError(f"Expected compartments of uint8, got {self.array.dtype}.")
        strange = set(np.unique(self.array).tolist()) - {0, *self.names}
        if strange or 0 in self.names or not all(self.names.values()):
            raise InputError(f"Expected a name for each compartment above 0, got none for {sorted(strange) or 0}.")


def clipped(compartments: Compartments, labels: LabelMap) -> Compartments:
    """Those within the lesions of a mask on the same grid. Raises GeometryError for another shape."""
    if compartments.array.shape != labels.array.shape:
        raise GeometryError(f"Expected compartments of {labels.array.shape} voxels, got {compartments.array.shape}.")
    array = np.where(labels.array > 0, compartments.array, np.uint8(0))
    return Compartments(array, compartments.names)


def to_comment(compartments: Compartments, labels: LabelMap) -> bytes:
    """What the mask's file keeps: of its lesions' voxels in the file's order (i fastest) the numbers, packed."""
    inside = labels.array.ravel(order="F") > 0
    voxels = compartments.array.ravel(order="F")[inside]
    packed = base64.b64encode(zlib.compress(voxels.tobytes(), 6)).decode("ascii")
    names = {str(number): name for number, name in sorted(compartments.names.items())}
    said = {"kind": _KIND, "version": _VERSION, "names": names, "voxels": int(voxels.size), "packed": packed}
    return json.dumps(said).encode("utf-8")


def from_comment(comment: bytes, labels: LabelMap) -> Compartments | None:
    """Inverse of `to_comment`; None for a comment of another kind.

    Raises:
        InputError: of this kind, and not of this mask or damaged.
    """
    try:
        said = json.loads(comment.rstrip(b"\x00").decode("utf-8"))
    except ValueError:
        return None
    if not isinstance(said, dict) or said.get("kind") != _KIND:
        return None
    inside = labels.array.ravel(order="F") > 0
    try:
        voxels = np.frombuffer(_unpacked(str(said["packed"]), int(np.count_nonzero(inside))), np.uint8)
        names = {int(number): str(name) for number, name in said["names"].items()}
    except (KeyError, ValueError, AttributeError, binascii.Error, zlib.error):
        raise InputError("The compartments in the mask's file cannot be read. Restore it from a backup.") from None
    if voxels.size != np.count_nonzero(inside) or said.get("version") != _VERSION:
        raise InputError("The compartments in the mask's file are of another mask. Restore it from a backup.")
    flat = np.zeros(inside.size, np.uint8)
    flat[inside] = voxels
    return Compartments(flat.reshape(labels.array.shape, order="F"), names)


def _unpacked(packed: str, expected: int) -> bytes:
    """At most one byte more than is expected: a small text must not fill the memory."""
    return zlib.decompressobj().decompress(base64.b64decode(packed, validate=True), expected + 1)
