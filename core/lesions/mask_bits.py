"""A slice's mask as text: the bits of the rectangle around it. Small enough for JSON, and the same for the browser."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError


def pack(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """(n, m) bool -> {"origin": [a, b], "shape": [n, m], "mask": base64}.

    Bits lie in the order of (first, second) coordinate, the first fastest; bit t is bit t % 8, counted from the least
    significant, of byte t // 8. An empty mask has the shape [0, 0].
    """
    if not mask.any():
        return {"origin": [0, 0], "shape": [0, 0], "mask": ""}
    a, b = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    part = mask[a[0] : a[-1] + 1, b[0] : b[-1] + 1]
    bits = np.packbits(part.ravel(order="F"), bitorder="little")
    return {
        "origin": [int(a[0]), int(b[0])],
        "shape": list(part.shape),
        "mask": base64.b64encode(bits.tobytes()).decode(),
    }


def unpack(values: Any, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Inverse of `pack`, on a slice of `shape`.

    Raises:
        InputError: for anything that is not such a rectangle inside the slice.
    """
    mask = np.zeros(shape, dtype=bool)
    try:
        (a, b), (n, m) = (tuple(int(v) for v in values[key]) for key in ("origin", "shape"))
        packed = np.frombuffer(base64.b64decode(values["mask"], validate=True), dtype=np.uint8)
        if min(a, b, n, m) < 0 or a + n > shape[0] or b + m > shape[1] or packed.size != -(-n * m // 8):
            raise ValueError("size")
        bits = np.unpackbits(packed, bitorder="little", count=n * m)
        mask[a : a + n, b : b + m] = bits.reshape((n, m), order="F").astype(bool)
    except (KeyError, TypeError, ValueError, binascii.Error):
        raise InputError(
            f"Expected a mask as origin, shape and base64 of its bits, inside {shape[0]} x {shape[1]} voxels; "
            "got something else. Reload the page and draw it again."
        ) from None
    return mask
