"""How two binary masks on one grid differ: overlap, voxel counts and distances in millimetres.

Masks are cropped to what matters before anything costly is done, so that a 512 x 512 x 300 pair costs what its tumour
costs. Agreement with SimpleITK's own filters is a test and a benchmark (`python -m tests.bench.bench_metrics`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from scipy.spatial import KDTree

from core.errors import GeometryError, InputError

#: Above this share of the cropped box, one distance transform is cheaper than one tree query per voxel.
_TREE_SHARE = 0.05
_CHUNK = 1 << 20


@dataclass(frozen=True)
class SurfaceDistances:
    """How far two masks lie apart, millimetres; all 0 when both are empty, all infinite when one is.

    Args:
        hausdorff_mm: the farthest that any voxel of either mask lies from the other mask.
        hausdorff95_mm: the larger of the two directed 95th percentiles over border voxels.
        mean_mm: mean over the border voxels of both masks of the distance to the other's border.
        median_mm: median of the same distances.
    """

    hausdorff_mm: float
    hausdorff95_mm: float
    mean_mm: float
    median_mm: float


def dice(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Dice overlap 2|A and B| / (|A| + |B|) of the non-zero voxels of two masks.

    Args:
        a: (I, J, K) mask; non-zero is foreground.
        b: (I, J, K) mask on the same grid.

    Returns:
        0..1. Two empty masks agree wholly: 1. One empty mask: 0.

    Raises:
        GeometryError: if the shapes differ.
    """
    added, removed, unchanged = confusion(a, b)
    total = added + removed + 2 * unchanged
    return 1.0 if total == 0 else 2.0 * unchanged / total


def confusion(a: NDArray[Any], b: NDArray[Any]) -> tuple[int, int, int]:
    """Voxels (added, removed, unchanged) from mask `a` to mask `b`, counting non-zero voxels; (0, 0, 0) if both empty.

    Raises:
        GeometryError: if the shapes differ.
    """
    size_a = size_b = both = 0
    for part_a, part_b in _chunks(a, b):
        in_a, in_b = _as_bool(part_a), _as_bool(part_b)
        size_a += int(np.count_nonzero(in_a))
        size_b += int(np.count_nonzero(in_b))
        both += int(np.count_nonzero(in_a & in_b))
    return size_b - both, size_a - both, both


def label_confusion(a: NDArray[Any], b: NDArray[Any]) -> tuple[int, int, int, int]:
    """As `confusion`, for label maps, and fourth: how many of the unchanged voxels have another label in `b`."""
    size_a = size_b = both = same = 0
    for part_a, part_b in _chunks(a, b):
        in_a, in_b = _as_bool(part_a), _as_bool(part_b)
        size_a += int(np.count_nonzero(in_a))
        size_b += int(np.count_nonzero(in_b))
        in_a = in_a & in_b
        both += int(np.count_nonzero(in_a))
        same += int(np.count_nonzero((part_a == part_b) & in_a))
    return size_b - both, size_a - both, both, both - same


def surface_distances(a: NDArray[Any], b: NDArray[Any], spacing_mm: tuple[float, float, float]) -> SurfaceDistances:
    """Hausdorff, 95 % Hausdorff and mean surface distance between voxel centres of two masks.

    The maximum is over all voxels, as in ITK's `HausdorffDistanceImageFilter`, whose value it equals. The others are
    over border voxels (those with a face neighbour outside the mask; the image's edge is outside), and HD95 takes the
    larger of the two directed percentiles (linear interpolation), the definition that Metrics Reloaded recommends.

    Args:
        a: (I, J, K) mask; non-zero is foreground.
        b: (I, J, K) mask on the same grid.
        spacing_mm: voxel size along (i, j, k), millimetres.

    Returns:
        Distances >= 0. Both masks empty: all 0. One empty: all infinite.

    Raises:
        GeometryError: if the shapes differ.
        InputError: if a spacing is not positive and finite.

    Source: Huttenlocher 1993, 10.1109/34.232073; Maier-Hein 2024, 10.1038/s41592-023-02151-z.
    """
    _check_pair(a, b)
    spacing = checked_spacing(spacing_mm)
    box_a, box_b = bounding_box(a), bounding_box(b)
    if box_a is None or box_b is None:
        value = 0.0 if box_a is box_b else float("inf")
        return SurfaceDistances(value, value, value, value)
    union = tuple(slice(min(p.start, q.start), max(p.stop, q.stop)) for p, q in zip(box_a, box_b, strict=True))
    in_a, in_b = np.ascontiguousarray(a[union] != 0), np.ascontiguousarray(b[union] != 0)
    border_a, border_b = border(in_a), border(in_b)
    points_a, points_b = np.argwhere(border_a) * spacing, np.argwhere(border_b) * spacing
    tree_a, tree_b = KDTree(points_a), KDTree(points_b)
    to_b, to_a = tree_b.query(points_a)[0], tree_a.query(points_b)[0]
    pooled = np.concatenate([to_b, to_a])
    farthest = max(_farthest(in_a, in_b, tree_b, spacing), _farthest(in_b, in_a, tree_a, spacing))
    return SurfaceDistances(
        hausdorff_mm=farthest,
        hausdorff95_mm=float(max(np.percentile(to_b, 95), np.percentile(to_a, 95))),
        mean_mm=float(pooled.mean()),
        median_mm=float(np.median(pooled)),
    )


def _farthest(of: NDArray[np.bool_], from_: NDArray[np.bool_], tree: KDTree, spacing: NDArray[np.float64]) -> float:
    """The farthest that a voxel of one mask lies from the other mask; `tree` holds the other's border voxels.

    The nearest voxel of a mask to a point outside it is always a border voxel, so the tree's answer is exact.
    """
    outside = of & ~from_
    count = int(np.count_nonzero(outside))
    if count == 0:
        return 0.0
    if count > _TREE_SHARE * outside.size:
        return float(distance_transform_edt(~from_, sampling=spacing)[outside].max())
    return float(tree.query(np.argwhere(outside) * spacing)[0].max())


def border(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Voxels of `mask` (I, J, K) bool with a face neighbour outside it; beyond the array counts as outside."""
    inner = mask.copy()
    for axis in range(mask.ndim):
        lead = [slice(None)] * mask.ndim
        lag = [slice(None)] * mask.ndim
        lead[axis], lag[axis] = slice(1, None), slice(None, -1)
        inner[tuple(lead)] &= mask[tuple(lag)]
        inner[tuple(lag)] &= mask[tuple(lead)]
        first, last = list(lead), list(lead)
        first[axis], last[axis] = slice(0, 1), slice(-1, None)
        inner[tuple(first)] = False
        inner[tuple(last)] = False
    return mask & ~inner


def bounding_box(mask: NDArray[Any]) -> tuple[slice, slice, slice] | None:
    """The smallest box of slices that holds every non-zero voxel of an (I, J, K) array; None if there is none."""
    # The slowest-varying axis first: each pass then reads memory in order and shrinks what the next one reads.
    order = np.argsort(mask.strides)[::-1]
    box = [slice(0, n) for n in mask.shape]
    for axis in order:
        part = mask[tuple(box)]
        others = tuple(other for other in range(mask.ndim) if other != axis)
        found = np.flatnonzero(part.any(axis=others))
        if found.size == 0:
            return None
        box[axis] = slice(box[axis].start + int(found[0]), box[axis].start + int(found[-1]) + 1)
    i, j, k = box
    return i, j, k


def checked_spacing(spacing_mm: tuple[float, float, float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """The spacing as an array of three; raises InputError unless all are positive and finite."""
    spacing = np.asarray(spacing_mm, dtype=np.float64)
    if spacing.shape != (3,) or not np.isfinite(spacing).all() or (spacing <= 0).any():
        raise InputError(f"Expected three voxel sizes above 0 mm, got {tuple(np.ravel(spacing))}. Check the header.")
    return spacing


def _check_pair(a: NDArray[Any], b: NDArray[Any]) -> None:
    if a.shape != b.shape:
        raise GeometryError(f"Expected two masks of one shape, got {a.shape} and {b.shape}. Resample one to the other.")


def _as_bool(part: NDArray[Any]) -> NDArray[np.bool_]:
    return part if part.dtype == np.bool_ else part != 0


def _chunks(a: NDArray[Any], b: NDArray[Any]) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Both arrays in flat pieces that fit the cache, in the order in which they lie in memory."""
    _check_pair(a, b)
    if a.flags.f_contiguous and b.flags.f_contiguous:
        a, b = a.T, b.T
    flat_a, flat_b = np.ascontiguousarray(a).reshape(-1), np.ascontiguousarray(b).reshape(-1)
    for start in range(0, flat_a.size, _CHUNK):
        yield flat_a[start : start + _CHUNK], flat_b[start : start + _CHUNK]
