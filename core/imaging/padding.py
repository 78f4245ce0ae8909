"""Voxels of a CT that are no measurement: what a scanner writes outside its field of view (PS3.3 C.7.5.1.1.2)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.pixels import apply_modality_lut

AIR_HU = -1024.0
#: The most that a CT measures in 12 bits with its usual intercept; what is above is metal, or padding.
_MOST_HU = 3071.0
_TAKEN_FOR_TISSUE_HU = -1000.0
#: Of the header, beside slope and intercept.
KEYWORDS = ("PixelPaddingValue", "PixelPaddingRangeLimit", "PixelRepresentation", "RescaleSlope", "RescaleIntercept")


def padding_to_air(plane: NDArray[np.float32], header: Dataset) -> str | None:
    """Makes padding of one CT slice air, in place, where it would be taken for something denser than any tissue.

    Padding below -1000 HU is air already. What lies between may be tissue as well, and stays.

    Args:
        plane: float32 in HU, slope and intercept applied.
        header: of that slice.

    Returns:
        A warning where there was any that is not air already, else None.
    """
    limits = _limits_hu(header)
    if limits is None or limits[1] <= _TAKEN_FOR_TISSUE_HU:
        return None
    low, high = limits
    padded = (plane >= low) & (plane <= high)
    if not padded.any():
        return None
    if low <= _MOST_HU:
        return (
            f"The file says that {low:g} HU is padding, which tissue may have, too; it was left as it is. Look at the "
            "edges of the field of view."
        )
    plane[padded] = AIR_HU
    return f"Padding outside the field of view ({low:g} HU by the file's own scale) was made air."


def _limits_hu(header: Dataset) -> tuple[float, float] | None:
    """Lowest and highest padding in HU; None where the header names none."""
    signed = header.get("PixelRepresentation") == 1
    values = [_stored(header.get(keyword), signed) for keyword in KEYWORDS[:2]]
    known = [value for value in values if value is not None]
    if values[0] is None:
        return None
    if header.get("ModalityLUTSequence"):
        return _through_table(known, header)
    try:
        slope, intercept = (float(header.get(word, usual)) for word, usual in zip(KEYWORDS[3:], (1, 0), strict=True))
    except (TypeError, ValueError):
        return None
    scaled = sorted(np.float32(value * slope + intercept) for value in known)
    return float(scaled[0]), float(scaled[-1])


def _through_table(stored: list[int], header: Dataset) -> tuple[float, float] | None:
    """The padding that a table (Modality LUT) makes of stored values; of those between two, it is taken to ascend."""
    try:
        scaled = np.sort(apply_modality_lut(np.array(stored, np.int32), header).astype(float))
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, NotImplementedError):
        return None  # the slice itself is refused for it
    return float(scaled[0]), float(scaled[-1])


def _stored(value: Any, signed: bool) -> int | None:
    """A stored value; of 16 bits that were written as if they had no sign, what they mean."""
    if not isinstance(value, int):
        return None
    return value - 2**16 if signed and value >= 2**15 else value


def beyond_bits(header: Dataset, bits_stored: int) -> bool:
    """Whether padding is a value that the bits of a voxel cannot hold: a scanner wrote it across all that there are."""
    signed = header.get("PixelRepresentation") == 1
    low, high = (-(2 ** (bits_stored - 1)), 2 ** (bits_stored - 1) - 1) if signed else (0, 2**bits_stored - 1)
    value = _stored(header.get("PixelPaddingValue"), signed)
    return value is not None and not low <= value <= high
