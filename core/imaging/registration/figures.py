"""What tells a right alignment from a wrong one without asking what was optimised: blocks, edges, outlines, fields.

Blocks: small pieces of the fixed scan are looked for around the place where the alignment puts them. In a right
alignment most are found there, in a wrong one hardly more than by chance (local correlation, squared, so that it holds
between modalities as well). What most of them say together is a motion of its own, found by least trimmed squares: how
far it would still move the body is a second opinion that a tumour which grew does not sway, as long as it is the
smaller part of the picture. Edges: normalised gradient fields, Haber 2006, 10.1007/11866565_89. Block matching:
Ourselin 2001, 10.1016/S0262-8856(00)00052-4; least trimmed squares: Rousseeuw 1984, 10.1080/01621459.1984.10477105.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from core.imaging.registration.points import least_squares
from core.imaging.registration.prepared import FULL, Prepared
from core.imaging.registration.transform import mapped
from core.types import LabelMap

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
#: The motion that most blocks agree on is fitted to this share of them, those that agree best, in so many rounds; a
#: block agrees when it is found within so far of where that motion puts it.
TRIMMED, ROUNDS, AGREE_MM = 0.5, 12, 4.0
#: Known lesions are left out of blocks and edges with so much around them, mm, for what grows pushes. A block is left
#: out when more than this share of it is.
MARGIN_MM, MOST_LEFT_OUT = 10.0, 0.3
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
        left_out: (I, J, K), known lesions and what is around them: nothing is asked of it.
        corner_mm: (3,) of the first voxel, RAS+ mm of the fixed scan; the lattice runs along its axes.
    """

    fixed: Floats
    fixed_body: Bool
    fixed_field: Bool
    moving: Floats
    moving_body: Bool
    moving_field: Bool
    left_out: Bool
    corner_mm: NDArray[np.float64]

    @property
    def inner(self) -> tuple[slice, slice, slice]:
        """Where the fixed lattice lies in the moving one."""
        i, j, k = (slice(REACH, REACH + n) for n in self.fixed.shape)
        return i, j, k

    @property
    def common(self) -> Bool:
        """Where both fields are."""
        return np.asarray(self.fixed_field & self.moving_field[self.inner])

    @property
    def asked(self) -> Bool:
        """Of that, what is not left out."""
        return np.asarray(self.common & ~self.left_out)


@dataclass(frozen=True)
class Blocks:
    """What looking for blocks found.

    Args:
        count: blocks that have texture and lie in both fields.
        at_home: share of them found within `AT_HOME_MM` of their place, 0..1; None with fewer than `FEWEST_BLOCKS`.
        off_mm: median distance from their place of those; None likewise.
        drift_mm: length of the median displacement of all: what a better alignment would still move; None likewise.
        motion: 4x4 over RAS mm of the fixed scan, what most blocks together would still move it; None likewise.
        of_one_mind: share of the blocks that are found where that motion puts them, 0..1; None likewise.
    """

    count: int
    at_home: float | None = None
    off_mm: float | None = None
    drift_mm: float | None = None
    motion: NDArray[np.float64] | None = None
    of_one_mind: float | None = None


def aligned(
    fixed: Prepared,
    moving: Prepared,
    matrix: NDArray[np.float64],
    fixed_lesions: LabelMap | None = None,
    moving_lesions: LabelMap | None = None,
) -> Aligned:
    """Both scans on the lattice; lesions that are known in either are left out, with `MARGIN_MM` around them."""
    corners = fixed.grid.to_mm(np.array(list(product(*((0, n - 1) for n in fixed.grid.shape))), dtype=float))
    low, high = corners.min(axis=0), corners.max(axis=0)
    shape = tuple(int(n) for n in np.floor((high - low) / LATTICE_MM) + 1)
    lattice = np.eye(4)
    lattice[:3, :3] *= LATTICE_MM
    lattice[:3, 3] = low
    wide = lattice.copy()
    wide[:3, 3] -= REACH * LATTICE_MM
    wide_shape = tuple(n + 2 * REACH for n in shape)
    left_out = np.zeros(shape, dtype=bool)
    for lesions, there in ((fixed_lesions, lattice), (moving_lesions, matrix @ lattice)):
        if lesions is not None:
            left_out |= around(lesions, there, shape)
    return Aligned(*sampled(fixed, lattice, shape), *sampled(moving, matrix @ wide, wide_shape), left_out, low)


def around(lesions: LabelMap, lattice: NDArray[np.float64], shape: tuple[int, ...]) -> Bool:
    """Lesions with `MARGIN_MM` around them, at the lattice's points (index -> mm of their scan)."""
    to_index = np.linalg.inv(lesions.grid.affine) @ lattice
    inside = ndimage.affine_transform(
        (lesions.array > 0).astype(np.float32), to_index[:3, :3], to_index[:3, 3], shape, order=1, cval=0.0
    )
    if not (inside > 0).any():
        return np.zeros(shape, dtype=bool)
    return np.asarray(ndimage.distance_transform_edt(inside <= 0) * LATTICE_MM <= MARGIN_MM)


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
        return Blocks(0)
    cut = tuple(slice(0, n * BLOCK) for n in shape)
    fixed = in_blocks(pair.fixed[cut], shape)
    seen = in_blocks(pair.common[cut], shape).all(axis=1)
    seen &= in_blocks(pair.left_out[cut], shape).mean(axis=1) <= MOST_LEFT_OUT
    touched = in_blocks((pair.fixed_body | pair.moving_body[pair.inner])[cut], shape).mean(axis=1) > LEAST_BODY
    body = pair.fixed[pair.fixed_body & pair.common]
    chosen = seen & touched & (fixed.std(axis=1) > LEAST_TEXTURE * (float(body.std()) if body.size else np.inf))
    score, steps = likeness(pair, fixed[chosen], chosen, shape)
    enough = np.isfinite(score).mean(axis=0) >= LEAST_REACHED
    count = int(enough.sum())
    if count < FEWEST_BLOCKS:
        return Blocks(count)
    found = peaks(score[:, enough], steps) * LATTICE_MM
    far = np.linalg.norm(found, axis=1)
    drift = float(np.linalg.norm(np.median(found, axis=0)))
    middles = (np.argwhere(np.ones(shape, dtype=bool)) * BLOCK + (BLOCK - 1) / 2) * LATTICE_MM + pair.corner_mm
    motion, agrees = common_motion(middles[chosen][enough], found)
    return Blocks(count, float((far < AT_HOME_MM).mean()), float(np.median(far)), drift, motion, float(agrees.mean()))


def peaks(score: Floats, steps: NDArray[np.int64]) -> NDArray[np.float64]:
    """The best step of each block (n, 3), between steps where its neighbours tell (a parabola along each axis)."""
    side = 2 * REACH + 1
    best = np.argmax(score, axis=0)
    found = steps[best].astype(np.float64)
    each = np.arange(score.shape[1])
    top = score[best, each]
    for axis, stride in enumerate((side**2, side, 1)):
        within = np.abs(steps[best][:, axis]) < REACH
        before = score[np.where(within, best - stride, best), each]
        after = score[np.where(within, best + stride, best), each]
        bend = before - 2 * top + after
        use = within & np.isfinite(before) & np.isfinite(after) & (bend < 0)
        found[use, axis] += 0.5 * (before[use] - after[use]) / bend[use]
    return found


def common_motion(places: NDArray[np.float64], moved: NDArray[np.float64]) -> tuple[NDArray[np.float64], Bool]:
    """The rigid motion that most displacements agree on, 4x4, and which of them do.

    Args:
        places, moved: (n, 3) mm, n >= 3: where blocks are, and how far each was found to the side.
    """
    matrix = np.eye(4)
    matrix[:3, 3] = np.median(moved, axis=0)
    target, kept = places + moved, max(3, round(TRIMMED * len(places)))
    for _ in range(ROUNDS):
        left = np.linalg.norm(mapped(matrix, places) - target, axis=1)
        best = np.argsort(left, kind="stable")[:kept]
        matrix = least_squares(places[best], target[best])
    return matrix, np.linalg.norm(mapped(matrix, places) - target, axis=1) <= AGREE_MM


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
    where = ndimage.binary_erosion(pair.common) & ~pair.left_out
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
    where = pair.asked & (pair.fixed_body | pair.moving_body[pair.inner])
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
