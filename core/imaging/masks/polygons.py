"""Closed polygons of one plane into shares of its pixels, by the even-odd rule.

Our own few lines of scan conversion, because the kept libraries do other things: scikit-image asks every pixel about
every edge (minutes for a body's outline) and counts pixels on an edge to either side, Pillow rounds the corners.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]


def even_odd_shares(
    polygons: Sequence[Points], shape: tuple[int, int], samples: tuple[int, int]
) -> NDArray[np.float32]:
    """How much of each pixel lies inside an odd number of the polygons.

    A hole is an inner polygon, or one that a channel joins to the outer one (a keyhole): both count the same.

    Args:
        polygons: (n, 2) each, in pixels: pixel (a, b) reaches from a - 0.5 to a + 0.5 and b - 0.5 to b + 0.5. The last
            point is joined to the first.
        shape: pixels along both axes.
        samples: points along both sides of a pixel that are asked; they never lie on a pixel's edge, nor on its centre
            where their number is even.

    Returns:
        `shape`, 0 to 1.
    """
    rows, columns = shape[0] * samples[0], shape[1] * samples[1]
    crossings = np.zeros((rows, columns + 1), np.uint8)  # how many edges begin to the left of a sample; parity counts
    for polygon in polygons:
        scaled = (polygon + 0.5) * samples - 0.5
        x, y = scaled[:, 0], scaled[:, 1]
        x_next, y_next = np.roll(x, -1), np.roll(y, -1)
        first = np.clip(np.ceil(np.minimum(x, x_next)), 0, rows).astype(np.int64)
        stop = np.clip(np.ceil(np.maximum(x, x_next)), 0, rows).astype(np.int64)  # an end belongs to the edge after it
        count = stop - first
        edge = np.repeat(np.arange(len(x)), count)
        row = first[edge] + np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count)
        at = y[edge] + (row - x[edge]) / (x_next - x)[edge] * (y_next - y)[edge]
        np.add.at(crossings, (row, np.clip(np.ceil(at), 0, columns).astype(np.int64)), 1)
    inside = np.bitwise_xor.accumulate(crossings & 1, axis=1)[:, :columns]
    blocks = inside.reshape(shape[0], samples[0], shape[1], samples[1])
    return blocks.mean(axis=(1, 3), dtype=np.float32)
