"""Outline: is a mask cut off flat on one side? Tumours taper; half of one, a box or a slab does not."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from core.gates.mask.local import Around

#: The outermost twentieth of a lesion's extent: an ellipsoid has .7 % of its volume there, cut through its middle 7 %.
END = 0.05
_DIRECTIONS = 64
_MOST_POINTS, _STARTS, _TRIES = 5_000, 6, 24
_STEP_CUBES = 2.0


def directions(count: int = _DIRECTIONS) -> NDArray[np.float64]:
    """(count, 3) unit vectors spread evenly over half a sphere (Fibonacci), the three axes first."""
    n = np.arange(count - 3) + 0.5
    z = n / (count - 3)
    turn = np.pi * (1 + np.sqrt(5)) * n
    flat = np.sqrt(1 - z**2)
    return np.vstack([np.eye(3), np.stack([flat * np.cos(turn), flat * np.sin(turn), z], axis=1)])


def cut_of(seen: Around) -> dict[str, float]:
    """ "flat_end": the logarithm of how many times more of the lesion lies in the outermost twentieth of its extent along
    any direction than of an ellipsoid; "gaps": the share of planes across each axis between its ends without any of it,
    the most."""
    at = np.argwhere(seen.inside).astype(np.float64)
    rng = np.random.default_rng(0)
    if len(at) > _MOST_POINTS:
        at = at[rng.choice(len(at), _MOST_POINTS, replace=False)]
    at = at + rng.uniform(-0.5, 0.5, at.shape)  # cubes have a size
    return {"flat_end": float(np.log(_flattest(at, rng))), "gaps": _gaps(seen)}


def _flattest(at: NDArray[np.float64], rng: np.random.Generator) -> float:
    """The most that `_shares` gives along any direction: of many, then of some ever nearer to the best."""
    ways = np.vstack([directions(), -directions()])
    wide = _shares(at, ways, 3 * END)  # a wide end is seen from further off
    best = ways[np.argsort(-wide)[:_STARTS]]
    most = float(_shares(at, ways, END).max())
    for reach in (0.15, 0.07, 0.03):
        near = (best[:, None, :] + reach * rng.normal(size=(1, _TRIES, 3))).reshape(-1, 3)
        near = np.vstack([best, near / np.linalg.norm(near, axis=1, keepdims=True)])
        shares = _shares(at, near, END)
        best, most = near[np.argsort(-shares)[:_STARTS]], max(most, float(shares.max()))
    return most


def _shares(at: NDArray[np.float64], ways: NDArray[np.float64], end: float) -> NDArray[np.float64]:
    """(ways,) how many times more of the points (n, 3) lie in the outermost part of their extent along each way than an
    ellipsoid has there (3 r^2 - 2 r^3 of its volume in the outermost share r); the part is no thinner than the steps of
    a slanted plane."""
    along = at @ ways.T
    high = along.max(axis=0)
    extent = np.maximum(high - along.min(axis=0), 1e-6)
    rim = np.clip(_STEP_CUBES / extent, end, 0.5)
    found = (along >= high - rim * extent).mean(axis=0)
    return np.asarray(found / (3 * rim**2 - 2 * rim**3), dtype=np.float64)


def _gaps(seen: Around) -> float:
    worst = 0.0
    for axis in range(3):
        filled = seen.inside.any(axis=tuple(n for n in range(3) if n != axis))
        where = np.flatnonzero(filled)
        worst = max(worst, 1 - len(where) / (where[-1] - where[0] + 1))
    return float(worst)
