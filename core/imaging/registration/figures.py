"""What tells a right alignment from a wrong one without asking what was optimised: blocks, edges, outlines, fields.

Blocks: small pieces of the fixed scan are looked for around the place where the alignment puts them. In a right
alignment most are found there, in a wrong one hardly more than by chance (local correlation, squared, so that it holds
between modalities as well). Edges: normalised gradient fields, Haber 2006, 10.1007/11866565_89. Block matching as a
judge of registration: Ourselin 2001, 10.1016/S0262-8856(00)00052-4.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from core.imaging.registration.prepared import FULL, Prepared

#: Voxels of the common lattice, mm; and voxels of a block's edge.
LATTICE_MM, BLOCK = 4.0, 6
#: How far a block is looked for, voxels either way; and what counts as found in its place.
REACH, AT_HOME_MM = 3, 6.1
#: A block is looked at where its standard deviation is at least this share of that of the whole body.
LEAST_TEXTURE = 0.15
#: … and where this share of it is body in either scan; of the steps around it this share must lie in the field.
LEAST_BODY, LEAST_REACHED = 0.3, 0.4
#: Fewer blocks than this tell nothing.
FEWEST_BLOCKS = 12
#: Fewer surface voxels than this tell nothing.
FEWEST_SURFACE = 150

Floats = NDArray[np.float32]
Bool = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Aligned:
    """Both scans on one lattice of `LATTICE_MM`, as an alignment puts them; the moving one with `REACH` more a side.

    Args:
        fixed, fixed_body, fixed_field: (I, J, K).
        moving, moving_body, moving_field: (I + 2 REACH, …).
    """

    fixed: Floats
    fixed_body: Bool
    fixed_field: Bool
    moving: Floats
    moving_body: Bool
    moving_field: Bool

    @property
    def inner(self) -> tuple[slice, slice, slice]:
        """Where the fixed lattice lies in the moving one."""
        i, j, k = (slice(REACH, REACH + n) for n in self.fixed.shape)
        return i, j, k

    @property
    def common(self) -> Bool:
        """Where both fields are."""
        return np.asarray(self.fixed_field & self.moving_field[self.inner])


@dataclass(frozen=True)
class Blocks:
    """What looking for blocks found.

    Args:
        count: blocks that have texture and lie in both fields.
        at_home: share of them found within `AT_HOME_MM` of their place, 0..1; None with fewer than `FEWEST_BLOCKS`.
        off_mm: median distance from their place of those; None likewise.
        drift_mm: length of the median displacement of all: what a better alignment would still move; None likewise.
    """

    count: int
    at_home: float | None
    off_mm: float | None
    drift_mm: float | None


def aligned(fixed: Prepared, moving: Prepared, matrix: NDArray[np.float64]) -> Aligned:
    """Both scans on the lattice."""
    corners = fixed.grid.to_mm(np.array(list(product(*((0, n - 1) for n in fixed.grid.shape))), dtype=float))
    low, high = corners.min(axis=0), corners.max(axis=0)
    shape = tuple(int(n) for n in np.floor((high - low) / LATTICE_MM) + 1)
    lattice = np.eye(4)
    lattice[:3, :3] *= LATTICE_MM
    lattice[:3, 3] = low
    wide = lattice.copy()
    wide[:3, 3] -= REACH * LATTICE_MM
    wide_shape = tuple(n + 2 * REACH for n in shape)
    return Aligned(*sampled(fixed, lattice, shape), *sampled(moving, matrix @ wide, wide_shape))


def sampled(scan: Prepared, lattice: NDArray[np.float64], shape: tuple[int, ...]) -> tuple[Floats, Bool, Bool]:
    """Grey values, body and field at the lattice's points (index -> mm of this scan)."""
    to_index = np.linalg.inv(scan.grid.affine) @ lattice
    matrix, offset = to_index[:3, :3], to_index[:3, 3]
    smooth = ndimage.gaussian_filter(scan.array, [0.4 * LATTICE_MM / mm for mm in scan.grid.spacing_mm])
    values = ndimage.affine_transform(smooth, matrix, offset, shape, order=1, mode="nearest", output=np.float32)
    body = ndimage.affine_transform(scan.body.astype(np.float32), matrix, offset, shape, order=1, mode="nearest") > 0.5
    field = np.ones(shape, dtype=bool)
    i, j, k = np.ix_(*(np.arange(n) for n in shape))
    for row, start, size in zip(matrix, offset, scan.grid.shape, strict=True):
        index = row[0] * i + row[1] * j + row[2] * k + start
        field &= (index >= -0.5) & (index <= size - 0.5)
    return values, body & field, field


def overlap(fixed: Prepared, moving: Prepared, pair: Aligned) -> float:
    """The share of the smaller field that lies in the other one, 0..1."""
    sizes = [float(np.prod(scan.grid.shape)) * scan.grid.voxel_volume_mm3 for scan in (fixed, moving)]
    return min(1.0, float(pair.common.sum()) * LATTICE_MM**3 / min(sizes))


def blocks(pair: Aligned) -> Blocks:
    """Looks for each textured block of the fixed scan around its place in the moving one, as far as that field goes."""
    shape = tuple(n // BLOCK for n in pair.fixed.shape)
    if min(shape) < 1:
        return Blocks(0, None, None, None)
    cut = tuple(slice(0, n * BLOCK) for n in shape)
    fixed = in_blocks(pair.fixed[cut], shape)
    seen = in_blocks(pair.common[cut], shape).all(axis=1)
    touched = in_blocks((pair.fixed_body | pair.moving_body[pair.inner])[cut], shape).mean(axis=1) > LEAST_BODY
    body = pair.fixed[pair.fixed_body & pair.common]
    chosen = seen & touched & (fixed.std(axis=1) > LEAST_TEXTURE * (float(body.std()) if body.size else np.inf))
    score, steps = likeness(pair, fixed[chosen], chosen, shape)
    enough = np.isfinite(score).mean(axis=0) >= LEAST_REACHED
    count = int(enough.sum())
    if count < FEWEST_BLOCKS:
        return Blocks(count, None, None, None)
    found = steps[np.argmax(score[:, enough], axis=0)] * LATTICE_MM
    far = np.linalg.norm(found, axis=1)
    drift = float(np.linalg.norm(np.median(found, axis=0)))
    return Blocks(count, float((far < AT_HOME_MM).mean()), float(np.median(far)), drift)


def likeness(pair: Aligned, fixed: Floats, chosen: Bool, shape: tuple[int, ...]) -> tuple[Floats, NDArray[np.int64]]:
    """Squared correlation (steps, blocks) of each block with what lies a step away; -inf beyond the moving field."""
    one = fixed - fixed.mean(axis=1, keepdims=True)
    norm = np.maximum(np.sqrt((one**2).sum(axis=1)), 1e-9)
    floor = 1e-3 * float(pair.moving.std()) * BLOCK**1.5 + 1e-9
    steps = np.array(list(product(range(-REACH, REACH + 1), repeat=3)))
    score = np.full((len(steps), len(one)), -np.inf, dtype=np.float32)
    for n, step in enumerate(steps):
        window = tuple(slice(REACH + s, REACH + s + m * BLOCK) for s, m in zip(step, shape, strict=True))
        other = in_blocks(pair.moving[window], shape)[chosen]
        other = other - other.mean(axis=1, keepdims=True)
        scale = np.maximum(np.sqrt((other**2).sum(axis=1)), floor)
        inside = in_blocks(pair.moving_field[window], shape)[chosen].all(axis=1)
        score[n] = np.where(inside, ((one * other).sum(axis=1) / (norm * scale)) ** 2, -np.inf)
    return score, steps


def in_blocks(array: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """(a·BLOCK, b·BLOCK, c·BLOCK) -> (a·b·c, BLOCK³)."""
    a, b, c = shape
    return array.reshape(a, BLOCK, b, BLOCK, c, BLOCK).transpose(0, 2, 4, 1, 3, 5).reshape(a * b * c, BLOCK**3)


def edges(pair: Aligned) -> float | None:
    """How parallel the edges of both scans are, weighted by both: 1/3 by chance, 1 all; None where they do not meet."""
    where = ndimage.binary_erosion(pair.common)
    if int(where.sum()) < FEWEST_SURFACE:
        return None
    one = gradient(pair.fixed)[:, where]
    other = gradient(pair.moving[pair.inner])[:, where]
    size, other_size = (np.sqrt((g**2).sum(axis=0)) for g in (one, other))
    weight = np.minimum(size, np.quantile(size, 0.95)) * np.minimum(other_size, np.quantile(other_size, 0.95))
    parallel = (one * other).sum(axis=0) ** 2 / np.maximum(size**2 * other_size**2, 1e-12)
    return float((weight * parallel).sum() / weight.sum()) if weight.sum() > 0 else None


def gradient(values: Floats) -> NDArray[Any]:
    """(3, I, J, K), in units a voxel."""
    return np.stack([np.gradient(values, axis=axis) for axis in range(3)])


def correlation(pair: Aligned) -> float | None:
    """Of the grey values where either body is, -1..1; None where there is nothing to correlate."""
    where = pair.common & (pair.fixed_body | pair.moving_body[pair.inner])
    one, other = pair.fixed[where], pair.moving[pair.inner][where]
    if one.size < FEWEST_SURFACE or one.std() == 0 or other.std() == 0:
        return None
    return float(np.corrcoef(one, other)[0, 1])


def outline(pair: Aligned) -> tuple[float | None, float | None]:
    """Dice of the bodies in the common field, and mean distance of their surfaces there, mm; None where no outline."""
    common = pair.common
    one, other = pair.fixed_body & common, pair.moving_body[pair.inner] & common
    size = int(common.sum())
    if not size or not all(1 - FULL < part.sum() / size < FULL for part in (one, other)):
        return None, None
    dice = 2 * float((one & other).sum()) / float(one.sum() + other.sum())
    distances = list(surface_distances(one, other, ndimage.binary_erosion(common)))
    return dice, float(np.concatenate(distances).mean()) if distances else None


def surface_distances(one: Bool, other: Bool, inside: Bool) -> Iterator[NDArray[np.float64]]:
    """From each surface to the other, mm; only of surfaces within the field, where both have enough."""
    surfaces = [body & ~ndimage.binary_erosion(body) & inside for body in (one, other)]
    if min(int(surface.sum()) for surface in surfaces) < FEWEST_SURFACE:
        return
    for surface, target in (surfaces, surfaces[::-1]):
        yield ndimage.distance_transform_edt(~target)[surface] * LATTICE_MM
