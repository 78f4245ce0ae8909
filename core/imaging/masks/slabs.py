"""Where contours lie across their planes: the frame that they are flat in, and the slab that each stands for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.errors import InputError
from core.imaging.masks.polygons import Points
from core.types import Grid

#: Contours this near to one another across their planes lie in one plane, mm.
_ONE_PLANE_MM = 0.1
#: A contour is flat if it bends by no more than this, mm, or a fifth of a slice.
_FLAT_MM, _FLAT_SLICES = 0.2, 0.2
#: Steps between planes that differ by less than this share are equal: positions are rounded in headers.
_EQUAL = 0.05
#: From this many steps on, two planes are not neighbours and something is missing between them.
_NEXT = 1.5
#: Slices to a step where the steps are not equal.
_FINE = 4
_MOST_SLICES = 4000


@dataclass(frozen=True)
class Slabs:
    """The slices on which a structure is drawn, evenly spaced.

    Args:
        start, pitch: position of the first slice and the distance to the next, in the frame's slices. count: slices.
        planes: of each plane, which contours lie in it, and which slices its slab takes.
        doubts: in words.
    """

    start: float
    pitch: float
    count: int
    planes: tuple[tuple[tuple[int, ...], slice], ...]
    doubts: tuple[str, ...]


def contour_frame(contours: Sequence[Points], grid: Grid | None) -> tuple[tuple[Grid, int], list[str], list[str]]:
    """The lattice in which the contours are drawn, the axis of it that runs across them, warnings and doubts.

    It is the grid that is given, if all contours lie flat across one of its axes: then its pixels are theirs. Else it
    is one of 1 mm that lies as the largest contour does.

    Raises:
        InputError: contours that lie flat in no common direction.
    """
    if grid is not None:
        bends = [max(float(np.ptp(grid.to_index(c)[:, axis])) for c in contours) for axis in range(3)]
        axis = int(np.argmin(bends))
        if bends[axis] <= max(_FLAT_SLICES, _FLAT_MM / grid.spacing_mm[axis]):
            return (grid, axis), [], []
    largest = max(contours, key=lambda c: float(np.linalg.norm(np.ptp(c, axis=0))))
    _, _, axes = np.linalg.svd(largest - largest.mean(axis=0), full_matrices=True)
    normal = axes[2]
    if abs(normal[np.argmax(np.abs(normal))]) > 1 - 1e-6:  # along an axis of space: no rounding of its direction
        normal = np.round(normal)
    bend = max(float(np.ptp(contour @ normal)) for contour in contours)
    if bend > 10 * _FLAT_MM:
        raise InputError(
            f"Expected contours that are flat and parallel, got ones that bend by {bend:.1f} mm. Export the structure "
            "as contours on the slices of one series."
        )
    first = np.cross(normal, np.eye(3)[int(np.argmin(np.abs(normal)))])
    first /= np.linalg.norm(first)
    affine = np.eye(4)
    affine[:3, :3] = np.column_stack([first, np.cross(normal, first), normal])
    words = ["The contours lie in other planes than the scan's slices."] if grid is not None else []
    return (Grid((1, 1, 1), affine), 2), words, []


def slabs(positions: Sequence[float], pooled: Sequence[float], step_mm: float, on_grid: bool, number: int) -> Slabs:
    """The slabs of one structure.

    Args:
        positions: of its contours, in slices of the frame.
        pooled: of all contours of the file, which tell how far apart slices are where the structure has too few.
        step_mm: between the frame's slices.
        on_grid: the frame's slices are those of the scan, and not ours.
        number: of the structure, for words.

    Raises:
        InputError: contours over more slices than any scan has.
    """
    planes, members = _planes(positions, step_mm)
    steps = np.diff(planes if len(planes) > 2 else _planes(pooled, step_mm)[0])
    step = float(np.median(steps[steps <= _NEXT * steps.min()])) if steps.size else 1.0
    doubts = []
    if steps.size and on_grid and step > _NEXT:
        doubts.append(
            f"Contours of structure {number} are {step * step_mm:.3g} mm apart on slices of {step_mm:.3g} mm; each was "
            "taken to reach halfway to the next."
        )
    if not steps.size:
        doubts.append(f"Structure {number} has contours in one plane only; it was taken to be {step_mm:.3g} mm thick.")
    gaps = np.diff(planes)
    missing = [float(gap) for gap in gaps if gap > _NEXT * step]
    if missing:
        doubts.append(
            f"Structure {number} has no contour over {max(missing) * step_mm - step * step_mm:.3g} mm between others; "
            "nothing was filled in there."
        )
    whole = (planes - planes[0]) / step
    even = bool(np.abs(whole - np.rint(whole)).max() <= _EQUAL)
    pitch = step if even else step / _FINE
    lower = planes - np.concatenate([[step], np.where(gaps > _NEXT * step, step, gaps)]) / 2
    upper = planes + np.concatenate([np.where(gaps > _NEXT * step, step, gaps), [step]]) / 2
    begin = np.rint((lower - lower[0]) / pitch).astype(int)
    end = np.maximum(np.rint((upper - lower[0]) / pitch).astype(int), begin + 1)
    if end[-1] > _MOST_SLICES:
        raise InputError(
            f"Expected contours within a scan, structure {number} reaches over {end[-1]:,} slices. The file is "
            "damaged, or in another unit than millimetres."
        )
    cut = tuple((tuple(m), slice(int(a), int(b))) for m, a, b in zip(members, begin, end, strict=True))
    return Slabs(float(lower[0]) + pitch / 2, pitch, int(end[-1]), cut, tuple(doubts))


def _planes(positions: Sequence[float], step_mm: float) -> tuple[np.ndarray, list[list[int]]]:
    """The planes in which contours lie, ascending, and which contours lie in each."""
    order = np.argsort(positions, kind="stable")
    members: list[list[int]] = []
    for place in order:
        if members and (positions[place] - positions[members[-1][0]]) * step_mm <= _ONE_PLANE_MM:
            members[-1].append(int(place))
        else:
            members.append([int(place)])
    return np.array([np.mean([positions[m] for m in group]) for group in members]), members
