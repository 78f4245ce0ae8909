"""Tissue that grows or shrinks: the one warp of the simulations, and what it makes of a scan and of its mask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from core.errors import InputError
from core.simulation.phantom import Array, count_mm3, grid_points
from core.types import Grid, LabelMap, Volume

#: The factors a warp can make without folding or tearing the tissue around it.
GROWTH_RANGE = (0.1, 4.0)
#: A lesion that is to vanish is shrunk by this much, and what is left is painted over with its surroundings.
_VANISHING = 0.15
_TOLERANCE = 0.01
_SMOOTH_VOXELS = 0.8
_PIECE = 1 << 15
_POWERS = [(a, b, d - a - b) for d in (3, 4) for a in range(d + 1) for b in range(d + 1 - a)]


@dataclass(frozen=True, eq=False)
class RadialWarp:
    """A smooth map that grows or shrinks what lies around a centre; rays from the centre stay rays.

    Along each ray, distance is measured in units of `reach` (the tumour's own extent that way). Inside the scaled
    extent the map is an exact scaling by `factor` in volume; beyond `outer` it is the identity; between them a
    monotone cubic joins the two. The Jacobian determinant along a ray is (rho/q)^2 * d(rho)/dq > 0: it cannot fold.

    Args:
        centre_mm: (3,) RAS+ mm.
        factor: volume factor inside, in `GROWTH_RANGE`.
        outer: where the map becomes the identity, in units of reach.
        coefficients: of the reach in mm as a polynomial of degree 3 and 4 in the ray's direction.
        floor_mm: least reach.
    """

    centre_mm: NDArray[np.float64]
    factor: float
    outer: float
    coefficients: NDArray[np.float64]
    floor_mm: float

    def __post_init__(self) -> None:
        if not GROWTH_RANGE[0] <= self.factor <= GROWTH_RANGE[1]:
            raise InputError(
                f"Expected a growth factor from {GROWTH_RANGE[0]} to {GROWTH_RANGE[1]} (the tissue around would fold "
                f"or tear), got {self.factor:g}."
            )

    def reach_mm(self, directions: NDArray[Any]) -> NDArray[Any]:
        """Extent in mm along unit vectors (3, n) -> (n,)."""
        return np.maximum(_monomials(directions) @ self.coefficients.astype(directions.dtype), self.floor_mm)

    def source(self, points_mm: NDArray[Any]) -> NDArray[Any]:
        """Where in the original scan the warped scan's `points_mm` (3, n) come from; same shape and dtype."""
        away = points_mm - self.centre_mm.astype(points_mm.dtype)[:, None]
        distance = np.maximum(np.sqrt((away**2).sum(0)), 1e-3)
        q = distance / self.reach_mm(away / distance)
        return points_mm + away * (self._ratio(q) - 1)

    def _ratio(self, q: NDArray[Any]) -> NDArray[Any]:
        """rho(q) / q: the original distance over the new one."""
        inner = self.factor ** (1 / 3)
        width = self.outer - inner
        t = np.clip((q - inner) / width, 0, 1)
        rho = (2 * t**3 - 3 * t**2 + 1) + (t**3 - 2 * t**2 + t) * (width / inner)
        rho += (3 * t**2 - 2 * t**3) * self.outer + (t**3 - t**2) * width
        return np.where(q <= inner, 1 / inner, np.where(q >= self.outer, 1.0, rho / np.maximum(q, 1e-6)))


def radial_warp(points_mm: NDArray[Any], factor: float) -> RadialWarp:
    """The warp that changes the volume of the body at `points_mm` by `factor`.

    Args:
        points_mm: (n, 3) RAS+ mm, the lesion's voxels; n >= 1.
        factor: 1 = as it is.

    Raises:
        InputError: no points, or a factor outside `GROWTH_RANGE`.
    """
    if len(points_mm) == 0:
        raise InputError("The lesion that is to grow is not in the mask; ask for one of the mask's labels.")
    centre = points_mm.mean(0)
    away = (points_mm - centre).T
    distance = np.maximum(np.linalg.norm(away, axis=0), 1e-3)
    directions = away / distance
    around = _sphere(200)
    near = around @ directions > np.cos(np.radians(25))
    extent = np.where(near, distance, 0).max(1)
    floor = max(0.5 * float(np.median(extent)), 2.0)
    coefficients = np.linalg.lstsq(_monomials(around.T), np.maximum(extent, floor), rcond=None)[0]
    warp = RadialWarp(centre, factor, 2.0, coefficients, floor)
    # Every voxel of the lesion must lie where the scaling is exact.
    excess = 1.02 * float((distance / warp.reach_mm(directions)).max())
    size = floor * excess + float(np.median(extent))
    outer = float(np.clip(1 + 45 / size, 2.0, 2.8))
    return RadialWarp(centre, factor, outer, coefficients * excess, floor * excess)


def grow(
    truth: LabelMap,
    factors: Mapping[int, float],
    unmove: NDArray[Any],
    signed: Mapping[int, Array] | None = None,
) -> tuple[list[RadialWarp], Array, NDArray[np.uint8]]:
    """Find the warps whose *measured* factors are the asked ones; the points they sample and the mask they give.

    One round would do but for voxels and neighbours: measured and asked differ by a few per cent, and are made equal
    by asking for a little more or less.

    Args:
        truth, factors: the lesions, and the volume factor of each; 0: it shrinks as far as it can be painted over.
        unmove: 4x4, mm of the new scan -> mm of the old one.
        signed: label -> distance from its surface, as `signed_distance` or `smooth_distance` give it; None: the former,
            interpolated by lines.
    """
    grid = truth.grid
    wanted = {label: factor or _VANISHING for label, factor in factors.items()}
    asked = dict(wanted)
    exact = signed is not None
    signed = signed or {label: signed_distance(truth.array == label, grid) for label in wanted}
    still = grid_points(grid, unmove)
    shapes = {label: radial_warp(_surface(truth.array == label, grid), 1.0) for label in wanted}
    for attempt in range(6):
        warps = [replace(shapes[label], factor=factor) for label, factor in asked.items() if factor != 1]
        points = through(warps, still)
        labels = nearest_label(signed, points, grid, exact=exact)
        error = {
            label: count_mm3(LabelMap(labels, grid), label) / (factor * count_mm3(truth, label)) - 1
            for label, factor in wanted.items()
        }
        worst = max((abs(e) for e in error.values()), default=0.0)
        if worst <= _TOLERANCE:
            break
        if attempt < 5:
            asked = {label: float(np.clip(asked[label] / (1 + e), *GROWTH_RANGE)) for label, e in error.items()}
    if worst > 0.03:
        raise InputError(
            f"The growth asked for cannot be met: a lesion comes out {100 * worst:.0f} % off, because lesions lie in "
            "each other's way or leave the scan. Ask for factors nearer to 1 or less motion."
        )
    return warps, points, labels


def _surface(lesion: NDArray[np.bool_], grid: Grid) -> NDArray[np.float64]:
    """(n, 3) mm of the lesion's outermost voxels: they alone say how far it reaches."""
    return grid.to_mm(np.argwhere(lesion & ~ndimage.binary_erosion(lesion)))


def through(warps: Sequence[RadialWarp], points: Array) -> Array:
    """Original positions of (3, I, J, K) points; the last warp was applied last, so it is undone first."""
    flat = points.reshape(3, -1).copy()
    for warp in reversed(warps):
        radius = warp.outer * float(warp.reach_mm(_sphere(400).T).max() * 1.05)
        # In pieces that stay in the processor's cache: ten times faster on a large scan.
        for start in range(0, flat.shape[1], _PIECE):
            piece = flat[:, start : start + _PIECE]
            near = np.flatnonzero(((piece - warp.centre_mm.astype(np.float32)[:, None]) ** 2).sum(0) < radius**2)
            if near.size:
                piece[:, near] = warp.source(piece[:, near])
    return flat.reshape(points.shape)


def _index(points: Array, grid: Grid) -> Array:
    inverse = np.linalg.inv(grid.affine).astype(np.float32)
    return np.einsum("ab,bijk->aijk", inverse[:3, :3], points) + inverse[:3, 3][:, None, None, None]


def sample(volume: Volume, points: Array) -> Array:
    # Cubic: linear interpolation would smooth the noise away and leave a follow-up that is too clean.
    index = _index(points, volume.grid)
    return np.asarray(ndimage.map_coordinates(volume.array, index, order=3, mode="nearest", output=np.float32))


def signed_distance(inside: NDArray[np.bool_], grid: Grid) -> Array:
    """Millimetres from the surface, negative inside; its zero lies midway between voxels in and out."""
    spacing = grid.spacing_mm
    out = ndimage.distance_transform_edt(~inside, spacing) - ndimage.distance_transform_edt(inside, spacing)
    return np.asarray(out, dtype=np.float32)


def smooth_distance(inside: NDArray[np.bool_], grid: Grid) -> Array:
    """As `signed_distance`, without the steps of the voxels, of which a lesion that grows by a few per cent gains none
    and then many at once; its zero is moved so that as many voxels lie within as before."""
    smooth = ndimage.gaussian_filter(signed_distance(inside, grid), _SMOOTH_VOXELS)
    n = int(np.count_nonzero(inside))
    if not 0 < n < inside.size:
        return smooth
    between = np.partition(smooth, (n - 1, n), axis=None)[n - 1 : n + 1]
    return np.asarray(smooth - np.float32(between.mean()), dtype=np.float32)


def nearest_label(signed: Mapping[int, Array], points: Array, grid: Grid, *, exact: bool = False) -> NDArray[np.uint8]:
    """Labels at `points` (original positions): the lesion they are deepest in, 0 outside all.

    Args:
        exact: near the surface the distance is interpolated by cubics. Between voxels a line lies above the distance
            from a round lesion, which so loses about 0.7 % of its volume wherever it is moved.
    """
    labels, best = np.zeros(points.shape[1:], np.uint8), np.zeros(points.shape[1:], np.float32)
    index = _index(points, grid)
    for label, distance in signed.items():
        here = ndimage.map_coordinates(distance, index, order=1, mode="nearest", output=np.float32)
        if exact:
            near = np.abs(here) < max(grid.spacing_mm)
            here[near] = ndimage.map_coordinates(distance, index[:, near], order=3, mode="nearest", output=np.float32)
        labels[here < best] = label
        best = np.minimum(best, here)
    return labels


def _monomials(directions: NDArray[Any]) -> NDArray[Any]:
    """(n, 25) monomials of degree 3 and 4 of unit vectors (3, n): they span all smooth shapes of degree <= 4."""
    x = [[np.ones_like(axis), axis, axis**2, axis**3, axis**4] for axis in directions]
    return np.stack([x[0][a] * x[1][b] * x[2][c] for a, b, c in _POWERS], axis=-1)


def _sphere(n: int) -> NDArray[np.float64]:
    """(n, 3) directions spread evenly over the sphere (Fibonacci lattice)."""
    z = 1 - (2 * np.arange(n) + 1) / n
    turn = np.pi * (1 + 5**0.5) * np.arange(n)
    return np.stack([np.sqrt(1 - z**2) * np.cos(turn), np.sqrt(1 - z**2) * np.sin(turn), z], axis=1)
