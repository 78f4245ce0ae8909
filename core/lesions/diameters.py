"""How long a lesion is: its longest in-plane diameter, the perpendicular to it, its 3-D longest diameter, its slices.

Edges. Every diameter runs edge to edge of voxels: from the outline halfway between inside and outside pixels (so that a
single pixel measures its edges), never centre to centre. Of many directions the longest meets the pixels that the
contour happened to take in, so that the longest diameter of a digitised ball is too long: on balls of 5 to 40 mm by
0.4 pixels at 5 pixels across, 0.6 at 10, 0.7 at 20 and 0.8 at 40 (mean of 12 places each); in slices thicker than the
pixel by 0.1 to 0.4 less, because none lies at the equator. The perpendicular lies in one direction and is off by less
than half a pixel on average, either way (by 0.6, too short, below 5 pixels across); the 3-D diameter is too long by 0.8
to 1 voxel of equal edges, and by half a slice or more where slices are thick (`python -m tests.bench measures`).
What is stored is not corrected: `longest_without_excess_mm` is.

In-plane is in the slices nearest to axial (`axial_axis`). The long axis is the widest span of the convex hull of the
outline of all that the piece has in one slice; it may cross a notch. Its perpendicular is the longest unbroken chord in
that slice at right angles to it: it crosses holes (a cavity), and ends where it leaves the lesion. Of a node it is the
short axis. Of a lesion in pieces that lie apart each diameter is added up over the pieces, and the gaps are not.

Source: Eisenhauer 2009, 10.1016/j.ejca.2008.10.026 (RECIST 1.1: longest diameter, short axis of nodes as the longest
perpendicular, fragments); Wen 2010, 10.1200/JCO.2009.26.3541 (RANO: the maximal diameter and its perpendicular).
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes, find_objects, generate_binary_structure
from scipy.ndimage import label as label_pieces
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import pdist, squareform
from skimage.measure import find_contours

from core.errors import GeometryError, InputError
from core.lesions.sizes import MIN_PIECE_MM3
from core.types import Grid

Point = tuple[float, float, float]
Ends = tuple[Point, Point]

#: What digitising adds to the longest diameter, pixels: about the middle of what was measured on balls (above).
#: Contours drawn by hand, along voxels or by a network may have another.
DIGITISED_EXCESS_PX = 0.65
#: Below so many pixels across, what digitising does to one lesion is as large as what it does on average.
_LEAST_PIXELS = 5.0
#: Lengths that differ by less are the same length: which of two equal diameters counts must not hang on rounding.
_SAME_MM = 1e-6


@dataclass(frozen=True)
class PieceDiameters:
    """One connected piece of a lesion. All lengths millimetres, edge to edge, > 0; all points RAS+ millimetres.

    Args:
        slice_index: index along the mask's axial axis of the slice that the long axis and the perpendicular lie in.
        longest_mm: longest in-plane diameter. long_axis_mm: where it begins and ends.
        perpendicular_mm: the longest chord of that slice at right angles to it. perpendicular_axis_mm: its two ends.
        longest_3d_mm: longest diameter in any direction, of the surface halfway between inside and outside voxels.
        voxels: > 0.
    """

    slice_index: int
    longest_mm: float
    long_axis_mm: Ends
    perpendicular_mm: float
    perpendicular_axis_mm: Ends
    longest_3d_mm: float
    voxels: int


@dataclass(frozen=True)
class Diameters:
    """One lesion, in pieces or not. Lengths millimetres, edge to edge, added up over the pieces that count.

    Args:
        longest_mm: longest in-plane diameter. perpendicular_mm: the longest perpendicular to it in its slice, which is
            a node's short axis. longest_3d_mm: longest diameter in any direction.
        slices: in how many axial slices any voxel of the lesion lies, specks included.
        axial_axis: 0, 1 or 2: the array axis that numbers the slices.
        pieces: those that count, the longest first; of the first the slice is the lesion's.
    """

    longest_mm: float
    perpendicular_mm: float
    longest_3d_mm: float
    slices: int
    axial_axis: int
    pieces: tuple[PieceDiameters, ...]

    @property
    def short_axis_mm(self) -> float:
        """RECIST's measure of a node: the longest perpendicular to the long axis, in the slice of the long axis."""
        return self.perpendicular_mm

    @property
    def slice_index(self) -> int:
        """The slice of the longest piece's long axis, index along `axial_axis`."""
        return self.pieces[0].slice_index


def diameters(mask: NDArray[np.bool_], grid: Grid, corner: tuple[int, int, int] = (0, 0, 0)) -> Diameters | None:
    """All diameters of one lesion; None for an empty mask, which has none.

    Pieces share no face, edge or corner. Those below `MIN_PIECE_MM3` add nothing; where all are, the largest counts.
    Of several equally long axes, in one slice or several, the one with the longest perpendicular counts, then the
    lowest slice.

    Args:
        mask: (I, J, K) bool, whole or cropped.
        grid: the label map's grid.
        corner: index of the crop's first voxel in the grid, for slices and points.

    Raises:
        GeometryError: if the mask is not of three dimensions or reaches beyond the grid.
        InputError: if it is not bool.
    """
    if mask.dtype != np.bool_:
        raise InputError(f"Expected a lesion mask of bool, got {mask.dtype}. Compare it with a label first.")
    if mask.ndim != 3 or any(c < 0 or c + n > s for c, n, s in zip(corner, mask.shape, grid.shape, strict=True)):
        raise GeometryError(f"Expected a mask within {grid.shape} voxels, got {mask.shape} from voxel {corner} on.")
    if not mask.any():
        return None
    axis = axial_axis(grid)
    found: list[PieceDiameters] = []
    shapes: dict[tuple[tuple[int, ...], bytes], _Shape] = {}
    for piece, start in _counted_pieces(mask, grid):
        key = piece.shape, piece.tobytes()  # what a network strews about is a thousand times the same few voxels
        if key not in shapes:
            shapes[key] = _shape_of(piece, grid, axis)
        at = tuple(a + b for a, b in zip(start, corner, strict=True))
        found.append(_placed(shapes[key], grid, axis, (at[0], at[1], at[2])))
    return Diameters(
        longest_mm=sum(piece.longest_mm for piece in found),
        perpendicular_mm=sum(piece.perpendicular_mm for piece in found),
        longest_3d_mm=sum(piece.longest_3d_mm for piece in found),
        slices=int(np.count_nonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))),
        axial_axis=axis,
        pieces=tuple(sorted(found, key=lambda piece: piece.longest_mm, reverse=True)),
    )


def longest_without_excess_mm(found: Diameters, grid: Grid) -> float | None:
    """The longest diameter less what digitising adds (`DIGITISED_EXCESS_PX`, of each piece); an estimate, > 0.

    Stored diameters are not corrected: between two visits with equal pixels the excess goes out of a difference in
    millimetres, though not out of a percentage, nor where a diameter is held against a limit (10 mm: measurable).

    Returns:
        Millimetres; None where a piece is less than 5 pixels across: there is no telling.
    """
    pixel_mm = float(np.sqrt(_pixel_mm(grid, found.axial_axis).prod()))
    if any(piece.longest_mm < _LEAST_PIXELS * pixel_mm for piece in found.pieces):
        return None
    return found.longest_mm - DIGITISED_EXCESS_PX * pixel_mm * len(found.pieces)


def axial_axis(grid: Grid) -> int:
    """The array axis (0, 1 or 2) that runs nearest to feet-head: slices across it are the axial ones."""
    return int(np.argmax(np.abs(grid.affine[2, :3]) / np.asarray(grid.spacing_mm)))


def longest_axial_diameter_mm(mask: NDArray[np.bool_], grid: Grid) -> float:
    """Longest in-plane diameter over the axial slices of one lesion's mask, millimetres; 0 for an empty mask.

    Args:
        mask: (I, J, K) bool, cropped or not; only spacing and direction are taken from the grid.
        grid: the label map's grid.
    """
    axis = axial_axis(grid)
    return _longest_slices(np.moveaxis(mask, axis, 0), _pixel_mm(grid, axis))[0]


def longest_3d_mm(mask: NDArray[np.bool_], spacing_mm: tuple[float, float, float]) -> float:
    """Longest diameter in any direction, edge to edge, millimetres; gaps between pieces count; 0 for an empty mask.

    Equals pyradiomics' Maximum3DDiameter: both look among the points halfway between inside and outside voxels.
    """
    points = []
    for axis in range(3):
        lines = np.moveaxis(mask, axis, -1)
        used = lines.any(axis=-1)
        across = np.argwhere(used).astype(np.float64)
        for end in _line_ends(lines[used]):
            points.append(np.insert(across, axis, end, axis=1))
    return widest_span(np.concatenate(points) * np.asarray(spacing_mm))


def widest_span(points: NDArray[np.float64]) -> float:
    """The largest distance between any two of (n, d) points; 0 for fewer than two."""
    if len(points) < 2:
        return 0.0
    return float(pdist(_hull_points(points)).max())


def _counted_pieces(mask: NDArray[np.bool_], grid: Grid) -> list[tuple[NDArray[np.bool_], tuple[int, ...]]]:
    """The pieces that count, cropped, and the index at which each crop begins; the whole mask where it is in one."""
    pieces, count = label_pieces(mask, structure=generate_binary_structure(3, 3))
    boxes = find_objects(pieces)
    if count <= 1:
        return [(mask[box], tuple(side.start for side in box)) for box in boxes]
    sizes_mm3 = np.bincount(pieces.ravel(), minlength=count + 1)[1:] * grid.voxel_volume_mm3
    counted = np.flatnonzero(sizes_mm3 >= MIN_PIECE_MM3)
    counted = counted if counted.size else np.array([int(np.argmax(sizes_mm3))])
    return [(pieces[boxes[n]] == n + 1, tuple(side.start for side in boxes[n])) for n in counted.tolist()]


@dataclass(frozen=True, eq=False)
class _Shape:
    """`PieceDiameters` of a crop: the slice counted from its first, axes (2, 2) in mm from the slice's first pixel."""

    slice_index: int
    longest_mm: float
    long_axis: NDArray[np.float64]
    perpendicular_mm: float
    perpendicular_axis: NDArray[np.float64]
    longest_3d_mm: float
    voxels: int


def _shape_of(piece: NDArray[np.bool_], grid: Grid, axis: int) -> _Shape:
    planes, pixel_mm = np.moveaxis(piece, axis, 0), _pixel_mm(grid, axis)
    longest, slices = _longest_slices(planes, pixel_mm)
    best: tuple[float, int, NDArray[np.float64], NDArray[np.float64]] | None = None
    seen = set()
    for number in slices:
        if (pixels := planes[number].tobytes()) in seen:  # nothing longer in it, and a lower slice has it
            continue
        seen.add(pixels)
        outline = _hull_points(_outline(planes[number], pixel_mm))
        contours = _contours(planes[number], pixel_mm)
        spans = squareform(pdist(outline))
        for a, b in np.argwhere(np.triu(spans >= longest - _SAME_MM)):
            chord = _longest_chord(contours, outline[b] - outline[a])
            length = float(np.linalg.norm(chord[1] - chord[0]))
            if best is None or length > best[0] + _SAME_MM:
                best = length, number, outline[[a, b]], chord
    assert best is not None, "a piece has a voxel, and so a slice"
    length, number, axis_ends, chord = best
    solid = longest_3d_mm(piece, grid.spacing_mm)
    return _Shape(number, longest, axis_ends, length, chord, solid, int(np.count_nonzero(piece)))


def _placed(shape: _Shape, grid: Grid, axis: int, corner: tuple[int, int, int]) -> PieceDiameters:
    def ends(points: NDArray[np.float64]) -> Ends:
        in_slice = points / _pixel_mm(grid, axis)
        index = np.insert(in_slice, axis, shape.slice_index, axis=1) + np.asarray(corner)
        (x0, y0, z0), (x1, y1, z1) = grid.to_mm(index).tolist()
        return (x0, y0, z0), (x1, y1, z1)

    return PieceDiameters(
        slice_index=shape.slice_index + corner[axis],
        longest_mm=shape.longest_mm,
        long_axis_mm=ends(shape.long_axis),
        perpendicular_mm=shape.perpendicular_mm,
        perpendicular_axis_mm=ends(shape.perpendicular_axis),
        longest_3d_mm=shape.longest_3d_mm,
        voxels=shape.voxels,
    )


def _pixel_mm(grid: Grid, axis: int) -> NDArray[np.float64]:
    return np.delete(np.asarray(grid.spacing_mm), axis)


def _longest_slices(planes: NDArray[np.bool_], pixel_mm: NDArray[np.float64]) -> tuple[float, list[int]]:
    """The longest diameter over (slices, rows, columns) planes, and ascending the slices that have it; 0 and none."""
    used = np.flatnonzero(planes.any(axis=(1, 2))).tolist()
    outlines = sorted(((_outline(planes[n], pixel_mm), n) for n in used), key=lambda one: _reach(one[0]), reverse=True)
    spans: dict[int, float] = {}
    longest = 0.0
    for outline, number in outlines:
        if _reach(outline) < longest - _SAME_MM:
            break
        spans[number] = widest_span(outline)
        longest = max(longest, spans[number])
    return longest, sorted(number for number, span in spans.items() if span >= longest - _SAME_MM)


def _line_ends(lines: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Half a pixel before the first and beyond the last pixel of each line of (n, length), none of them empty."""
    return lines.argmax(axis=1) - 0.5, lines.shape[1] - 0.5 - lines[:, ::-1].argmax(axis=1)


def _outline(plane: NDArray[np.bool_], pixel_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points (n, 2) in mm half a pixel beyond each row's and column's outermost pixels: they hold the convex hull."""
    points: list[NDArray[Any]] = []
    for axis in (0, 1):
        lines = plane if axis == 0 else plane.T
        used = np.flatnonzero(lines.any(axis=1))
        for end in _line_ends(lines[used]):
            points.append(np.stack([used, end] if axis == 0 else [end, used], axis=1))
    return np.concatenate(points) * pixel_mm


def _reach(points: NDArray[np.float64]) -> float:
    """An upper bound of the widest span: the diagonal of the points' box."""
    return float(np.linalg.norm(np.ptp(points, axis=0)))


def _hull_points(points: NDArray[np.float64]) -> NDArray[np.float64]:
    with contextlib.suppress(QhullError):  # all in one line or plane: no hull to thin them out
        return points[ConvexHull(points).vertices]
    return points


def _contours(plane: NDArray[np.bool_], pixel_mm: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """The outer contours (n, 2) in mm, closed, halfway between inside and outside pixels; corners touch."""
    filled = np.pad(binary_fill_holes(plane), 1).astype(np.float64)
    lines = find_contours(filled, 0.5, fully_connected="high")
    return [(_corners(line) - 1) * pixel_mm for line in lines]


def _corners(line: NDArray[np.float64]) -> NDArray[np.float64]:
    """A closed contour (n, 2) in pixels without the points at which it goes straight on: less to ask."""
    steps = np.diff(line, axis=0)
    before = np.roll(steps, 1, axis=0)
    corners = line[:-1][steps[:, 0] * before[:, 1] != steps[:, 1] * before[:, 0]]
    return np.concatenate([corners, corners[:1]])


def _longest_chord(contours: Sequence[NDArray[np.float64]], along: NDArray[np.float64]) -> NDArray[np.float64]:
    """The two ends (2, 2) of the longest unbroken chord of closed contours at right angles to `along`.

    In one direction the longest chord of a polygon touches one of its corners, seen from one side or the other.
    """
    along = along / np.linalg.norm(along)
    frame = np.stack([along, [-along[1], along[0]]])
    first = np.concatenate([line[:-1] for line in contours]) @ frame.T
    second = np.concatenate([line[1:] for line in contours]) @ frame.T
    beside = 1e-7 * float(np.ptp(first[:, 0]))
    corners = np.unique(np.round(first[:, 0] / beside).astype(np.int64)) * beside
    best = (0.0, 0.0, 0.0, 0.0)
    for offset in np.concatenate([corners - 2 * beside, corners + 2 * beside]).tolist():
        crossing = (first[:, 0] <= offset) != (second[:, 0] <= offset)
        (u0, v0), (u1, v1) = first[crossing].T, second[crossing].T
        cuts = np.sort(v0 + (offset - u0) / (u1 - u0) * (v1 - v0))
        if cuts.size:
            lengths = cuts[1::2] - cuts[::2]
            at = int(lengths.argmax())
            best = max(best, (float(lengths[at]), offset, float(cuts[2 * at]), float(cuts[2 * at + 1])))
    _, offset, start, end = best
    return np.array([[offset, start], [offset, end]]) @ frame
