"""How much of each voxel of one grid a segment drawn on another fills, by physical position."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.imaging.masks.drawn import DrawnSegment
from core.types import Grid

#: Lattices that differ by no more than this, voxels, are one: 0.02 mm of an origin, 4e-4 of a direction.
SAME_LATTICE = 0.25
#: Axes that stray by no more than this, voxels, run along those of the other grid.
_ALONG = 0.05
#: Spacings that differ by no more than this part are equal, as headers round.
_AS_LARGE = 0.01
#: Points along a voxel's side, at least so many to each voxel of the other grid.
_POINTS, _FEWEST, _MOST = 4, 2, 16
_MOST_POINTS = 2**28
_PIECE = 2**21


@dataclass(frozen=True, eq=False)
class Shares:
    """A segment on another grid.

    Args:
        start: index of the box's first voxel in the grid.
        share: (I, J, K) float64 of the box, 0 to 1: how much of each voxel the segment fills; a little more than 1
            where it was counted by points.
        moved_mm: how far the farthest of its corners was moved where the lattices were taken as one; 0 else.
        same_lattice: its voxels are voxels of the grid.
    """

    start: tuple[int, int, int]
    share: NDArray[np.float64]
    moved_mm: float
    same_lattice: bool


def is_part_of(own: Grid, grid: Grid) -> bool:
    """Whether the voxels of one grid are voxels of the other, whatever the order of its axes: it may reach beyond."""
    to_grid = np.linalg.inv(grid.affine) @ own.affine
    axes = np.argmax(np.abs(to_grid[:3, :3]), axis=0)
    if sorted(axes) != [0, 1, 2]:
        return False
    return _is_one(to_grid, axes, own)


def shares_on(segment: DrawnSegment, grid: Grid) -> Shares:
    """The segment on `grid`; a box without voxels where it lies off the grid."""
    to_grid = np.linalg.inv(grid.affine) @ segment.grid.affine
    axes = np.argmax(np.abs(to_grid[:3, :3]), axis=0)  # which of the grid's axes each of the segment's runs along
    if sorted(axes) == [0, 1, 2]:
        scale = to_grid[axes, range(3)]
        along = _along(to_grid, axes, scale, segment.grid)
        moved = _stray(to_grid, along, segment.grid)
        if _is_one(to_grid, axes, segment.grid):
            lattice = _lattice(to_grid, axes, segment.grid)
            moved_mm = float(np.linalg.norm(_stray(to_grid, lattice, segment.grid) * grid.spacing_mm))
            return _copied(segment, lattice, axes, grid, moved_mm)
        if (moved <= _ALONG).all():
            return _overlapped(segment, along, axes, grid)
    return _sampled(segment, to_grid, grid)


def _along(
    to_grid: NDArray[np.float64], axes: NDArray[np.int64], scale: NDArray[np.float64], own: Grid
) -> NDArray[np.float64]:
    """The map whose axes run exactly along the grid's, with the middle of the segment where it is."""
    out = np.eye(4)
    out[:3, :3] = 0.0
    out[axes, range(3)] = scale
    middle = (np.array(own.shape) - 1) / 2
    out[:3, 3] = to_grid[:3, :3] @ middle + to_grid[:3, 3] - out[:3, :3] @ middle
    return out


def _lattice(to_grid: NDArray[np.float64], axes: NDArray[np.int64], own: Grid) -> NDArray[np.float64]:
    """As `_along`, from voxel to voxel."""
    out = _along(to_grid, axes, np.sign(to_grid[axes, range(3)]), own)
    out[:3, 3] = np.rint(out[:3, 3])
    return out


def _is_one(to_grid: NDArray[np.float64], axes: NDArray[np.int64], own: Grid) -> bool:
    """Whether voxels of the one are as large as voxels of the other, and lie on them."""
    as_large = np.abs(np.abs(to_grid[axes, range(3)]) - 1.0) <= _AS_LARGE
    return bool(as_large.all() and (_stray(to_grid, _lattice(to_grid, axes, own), own) <= SAME_LATTICE).all())


def _stray(exact: NDArray[np.float64], taken: NDArray[np.float64], own: Grid) -> NDArray[np.float64]:
    """By how many voxels, along each axis of the grid, the corners of the segment's box come to lie elsewhere."""
    corners = np.array([[i, j, k, 1] for i in (0, 1) for j in (0, 1) for k in (0, 1)], float)
    corners[:, :3] *= np.array(own.shape) - 1
    found: NDArray[np.float64] = np.abs(corners @ (exact - taken).T)[:, :3].max(axis=0)
    return found


def _turned(
    segment: DrawnSegment, mapping: NDArray[np.float64], axes: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Its voxels in the order of the grid's axes, ascending; and scale and start of each axis, in the grid's voxels."""
    order = np.argsort(axes)
    share = segment.share.transpose(order).astype(np.float64)
    scale, start = mapping[range(3), order], mapping[:3, 3].copy()
    for axis in range(3):
        if scale[axis] < 0:
            share = np.flip(share, axis)
            start[axis] += scale[axis] * (share.shape[axis] - 1)
    return share, np.abs(scale), start


def _copied(
    segment: DrawnSegment, lattice: NDArray[np.float64], axes: NDArray[np.int64], grid: Grid, moved_mm: float
) -> Shares:
    share, _, start = _turned(segment, lattice, axes)
    first = np.rint(start).astype(int)
    low = np.maximum(first, 0)
    high = np.maximum(np.minimum(first + share.shape, grid.shape), low)
    box = tuple(slice(int(a), int(b)) for a, b in zip(low - first, high - first, strict=True))
    i, j, k = (int(n) for n in low)
    return Shares((i, j, k), share[box], moved_mm, True)


def _overlapped(segment: DrawnSegment, along: NDArray[np.float64], axes: NDArray[np.int64], grid: Grid) -> Shares:
    """Axes run alongside one another: voxels are boxes that overlap exactly, one axis after the other."""
    share, scale, start = _turned(segment, along, axes)
    out = share
    begin = []
    for axis in range(3):
        edges = start[axis] + scale[axis] * (np.arange(out.shape[axis] + 1) - 0.5)
        low = int(np.clip(np.floor(edges[0] + 0.5), 0, grid.shape[axis]))
        high = int(np.clip(np.ceil(edges[-1] + 0.5), low, grid.shape[axis]))
        voxels = np.arange(low, high)[:, None]
        weight = np.clip(np.minimum(edges[1:], voxels + 0.5) - np.maximum(edges[:-1], voxels - 0.5), 0.0, None)
        out = np.moveaxis(np.tensordot(weight, out, (1, axis)), 0, axis)
        begin.append(low)
    i, j, k = begin
    return Shares((i, j, k), np.minimum(out, 1.0), 0.0, False)


def _sampled(segment: DrawnSegment, to_grid: NDArray[np.float64], grid: Grid) -> Shares:
    """Axes that are turned: every voxel of the segment becomes many points, which are counted in the grid's voxels."""
    marked = np.argwhere(segment.share > 0)
    weight = segment.share[tuple(marked.T)].astype(np.float64)
    points = np.clip(np.ceil(_POINTS * np.abs(to_grid[:3, :3]).max(axis=0)), _FEWEST, _MOST).astype(int)
    while len(marked) * points.prod() > _MOST_POINTS and points.max() > _FEWEST:
        points = np.maximum(points - 1, _FEWEST)
    within = np.stack(np.meshgrid(*[(np.arange(n) + 0.5) / n - 0.5 for n in points], indexing="ij"), axis=-1).reshape(
        -1, 3
    )
    spread = np.abs(to_grid[:3, :3]).sum(axis=1) / 2 + 1
    centres = marked @ to_grid[:3, :3].T + to_grid[:3, 3]
    low = np.clip(np.floor(centres.min(axis=0) - spread), 0, grid.shape).astype(int)
    high = np.maximum(np.clip(np.ceil(centres.max(axis=0) + spread), 0, grid.shape).astype(int), low)
    size = high - low
    out = np.zeros(int(size.prod()))
    step = max(1, _PIECE // len(within))
    for at in range(0, len(marked) if out.size else 0, step):
        cloud = (centres[at : at + step, None, :] + (within @ to_grid[:3, :3].T)[None]).reshape(-1, 3)
        index = np.floor(cloud + 0.5).astype(np.int64) - low
        inside = ((index >= 0) & (index < size)).all(axis=1)
        flat = np.ravel_multi_index(tuple(index[inside].T), tuple(size))
        out += np.bincount(flat, np.repeat(weight[at : at + step], len(within))[inside], minlength=out.size)
    out *= segment.grid.voxel_volume_mm3 / grid.voxel_volume_mm3 / len(within)
    i, j, k = (int(n) for n in low)
    return Shares((i, j, k), out.reshape(size), 0.0, False)
