"""Outline: is a mask cut off flat on one side? Tumours taper; half of one, a box or a slab does not.

Told across the axes, and roughly between: steps of voxels hide a slanted plane. Looking for planes at every slant found
fewer halves on the patients tuned on, for the true mask of one of them ends as flat.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from core.gates.mask.local import Around

#: The outermost twentieth of a lesion's extent: an ellipsoid has .7 % of its volume there, cut through its middle 7 %.
END = 0.05
_DIRECTIONS = 64


def directions(count: int = _DIRECTIONS) -> NDArray[np.float64]:
    """(count, 3) unit vectors spread evenly over half a sphere (Fibonacci), the three axes first."""
    n = np.arange(count - 3) + 0.5
    z = n / (count - 3)
    turn = np.pi * (1 + np.sqrt(5)) * n
    flat = np.sqrt(1 - z**2)
    return np.vstack([np.eye(3), np.stack([flat * np.cos(turn), flat * np.sin(turn), z], axis=1)])


def cut_of(seen: Around) -> dict[str, float]:
    """ "flat_end": the logarithm of the largest share of the lesion that lies in the outermost twentieth of its extent
    along any direction; "gaps": the share of planes across each axis between its ends without any of it, the most."""
    at = np.argwhere(seen.inside).astype(np.float64)
    rng = np.random.default_rng(0)
    if len(at) > 20_000:
        at = at[rng.choice(len(at), 20_000, replace=False)]
    at = at + rng.uniform(-0.5, 0.5, at.shape)  # cubes have a size
    along = at @ directions().T
    low, high = along.min(axis=0), along.max(axis=0)
    rim = END * np.maximum(high - low, 1e-6)
    ends = np.concatenate([(along <= low + rim).mean(axis=0), (along >= high - rim).mean(axis=0)])
    return {"flat_end": float(np.log(ends.max())), "gaps": _gaps(seen)}


def _gaps(seen: Around) -> float:
    worst = 0.0
    for axis in range(3):
        filled = seen.inside.any(axis=tuple(n for n in range(3) if n != axis))
        where = np.flatnonzero(filled)
        worst = max(worst, 1 - len(where) / (where[-1] - where[0] + 1))
    return float(worst)
