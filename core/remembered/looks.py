"""How lesions look to an image encoder, as it is stored: one vector a lesion, encoder and scan.

A lesion that an encoder cannot look at has a reason in words instead of a vector: that is on record too, so nobody
tries for ever, and nobody takes it for a lesion that was never looked at.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError, StoreError
from core.remembered.links import lesion_number
from core.types import MODALITIES

#: No encoder that is known gives more numbers.
MAX_NUMBERS = 4096
_LARGEST = float(np.finfo(np.float16).max)
_ENCODER = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._@-]{0,63}")
_SHA256 = re.compile("[0-9a-f]{64}")


def pack_look(vector: NDArray[np.floating]) -> str:
    """A vector as text: base64 of little-endian float16, three significant digits of every number.

    Args:
        vector: 1..4096 finite numbers of one dimension, none larger than 65504.

    Raises:
        InputError: for any other, and for numbers that are all too small to be told from 0.
    """
    array = np.asarray(vector)
    if array.ndim != 1 or not 0 < array.size <= MAX_NUMBERS:
        raise InputError(
            f"Expected a look of 1 to {MAX_NUMBERS} numbers in one dimension, got the shape {array.shape}. "
            "Pool what the encoder gives to one vector a lesion."
        )
    numbers = array.astype(np.float64)
    bad = int((~np.isfinite(numbers)).sum())
    if bad:
        raise InputError(f"Expected finite numbers in a look, got {bad} of {numbers.size} that are not.")
    largest = float(np.abs(numbers).max())
    if largest > _LARGEST:
        raise InputError(
            f"Expected numbers up to {_LARGEST:.0f} in a look, which is stored as float16, got {largest:.4g}. "
            "Divide the vector by its length first."
        )
    packed = numbers.astype("<f2")
    if largest > 0 and not packed.any():
        raise InputError(
            f"Expected numbers that float16 can tell from 0 in a look, got none above {largest:.1g}. "
            "Divide the vector by its length first."
        )
    return base64.b64encode(packed.tobytes()).decode("ascii")


def unpack_look(text: str) -> NDArray[np.float32]:
    """The vector of `pack_look`; an empty one of "".

    Raises:
        StoreError: for text that is none.
    """
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        data = b"?"
    if len(data) % 2 or len(data) > 2 * MAX_NUMBERS:
        raise StoreError("Expected a look as base64 of float16 numbers, got other text. Run `data verify`.")
    vector = np.frombuffer(data, "<f2").astype(np.float32)
    if not np.isfinite(vector).all():
        raise StoreError("Expected finite numbers in a stored look, got others. Run `data verify`.")
    return vector


@dataclass(frozen=True, eq=False)
class LesionLook:
    """How one lesion looks to one encoder on one scan, or why that cannot be told. Compared by identity, as arrays are.

    Args:
        lesion_id: to be stored: by the label's number in the file, as "L2" of label 2; as the store gives it out: the
            lesion that this label is linked to.
        encoder: what looked: 1 to 64 letters, digits, ".", "_", "-" or "@". Other weights are another encoder.
        modality: of the scan; "" where no scan could be looked at.
        scan_sha256: of the scan's file; "" where no scan could be looked at.
        vector: 1..4096 numbers of one dimension; once stored they are rounded to float16. Of length 0 where there is
            none.
        why: in words why there is no vector; "" where there is one.

    Raises:
        InputError: for what is none of these, and unless there is either a vector or a reason.
    """

    lesion_id: str
    encoder: str
    modality: str
    scan_sha256: str
    vector: NDArray[np.float32]
    why: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.encoder, str) or not _ENCODER.fullmatch(self.encoder):
            raise InputError(
                "Expected the name of an encoder of 1 to 64 letters, digits, '.', '_', '-' or '@', got "
                f"{str(self.encoder)[:80]!r}."
            )
        if self.vector.ndim != 1:
            raise InputError(f"Expected a look of one dimension, got the shape {self.vector.shape}.")
        if bool(self.why.strip()) == bool(self.vector.size):
            raise InputError(
                f"Expected either a vector or why there is none for the look of {self.lesion_id}, got "
                f"{'both' if self.vector.size else 'neither'}."
            )
        no_scan = not self.vector.size and (self.modality, self.scan_sha256) == ("", "")
        if not no_scan and (self.modality not in MODALITIES or not _SHA256.fullmatch(self.scan_sha256)):
            raise InputError(
                f"Expected the modality ({', '.join(MODALITIES)}) and the SHA-256 of the scan that was looked at, got "
                f"{str(self.modality)[:40]!r} and {str(self.scan_sha256)[:70]!r}."
            )

    @property
    def is_told(self) -> bool:
        """Whether there is a vector."""
        return bool(self.vector.size)


def no_look(lesion_id: str, encoder: str, why: str, modality: str = "", scan_sha256: str = "") -> LesionLook:
    """The record that an encoder cannot look at a lesion.

    Args:
        why: in words. modality, scan_sha256: of the scan that it was tried on; "" where there is none to try.
    """
    return LesionLook(lesion_id, encoder, modality, scan_sha256, np.zeros(0, np.float32), why)


@dataclass(frozen=True, eq=False, kw_only=True)
class StoredLook(LesionLook):
    """A look in the store: of which mask of whom, its status, and who had it made when (RFC 3339, UTC)."""

    mask_id: str
    patient_id: str
    timepoint: str
    version: int
    status: str
    person: str
    created_at: str


def check_label_number(lesion_id: object) -> str:
    """A lesion as files number it, "L1" to "L255". Raises InputError for anything else."""
    if not isinstance(lesion_id, str) or not 1 <= lesion_number(lesion_id) <= 255:
        raise InputError(f"Expected a lesion as its file numbers it, L1 to L255, got {str(lesion_id)[:40]!r}.")
    return lesion_id
