"""Where the slices of a DICOM series lie: their order along the normal, the grid they make, and why they make none.

Every slice's own position counts, so that gaps, tilts and duplicates are found, not averaged. highdicom's
`get_volume_positions` gives the same order and spacing (a test asks both) and is not used: it takes slices that lean by
up to 2.5 degrees for upright, and says of what is no volume only that it is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.errors import GeometryError, InputError
from core.imaging.dicom_files import DicomSlice
from core.imaging.image_files import check_shape

_SAME_PLACE_MM = 1e-3
#: A position written to 0.1 mm is off by half of that, and the line through such positions by a little more.
_ROUNDED_MM = 0.06
#: Less than this is no tilt but a rounding of cosines; more than any gantry tilts is no stack of slices.
_NO_TILT, _MOST_TILT_DEG = 1e-3, 45.0


@dataclass(frozen=True, eq=False)
class SliceStack:
    """Slices in order, and the grid at right angles that they lie on.

    Args:
        slices: ascending along the normal.
        shape: of the grid, (columns, rows, slices).
        affine: 4x4, voxel index -> LPS+ millimetres.
        shifts: (slices, 2), by how many voxels along columns and rows each slice lies off the grid; None where none
            does.
        tilt_deg: the angle of the stack against the normal, 0 where there is none.
    """

    slices: list[DicomSlice]
    shape: tuple[int, int, int]
    affine: NDArray[np.float64]
    shifts: NDArray[np.float64] | None = None
    tilt_deg: float = 0.0


def stacked(slices: Sequence[DicomSlice], name: str) -> SliceStack:
    """The slices of one series as a stack.

    Raises:
        InputError: two slices in one place, one slice alone.
        GeometryError: no positions, several orientations, sizes or spacings; slices missing, unevenly spaced, or
            shifted sideways.
    """
    position, axes, spacing, size = _geometry(slices, name)
    if len(slices) < 2:
        check_shape(name, (*size, 1))
    normal = np.cross(axes[:3], axes[3:])
    order = np.argsort(position @ normal, kind="stable")
    position = position[order]
    along = position @ normal
    _check_even(along, name)
    ordered = [slices[n] for n in order]
    affine = np.eye(4)
    affine[:3, 0] = axes[:3] * spacing[1]  # PixelSpacing is (between rows, between columns); i runs along a row
    affine[:3, 1] = axes[3:] * spacing[0]
    affine[:3, 3] = position[0]
    shape = (size[1], size[0], len(slices))
    sideways = _sideways(position, along, normal, name)
    distance = (along[-1] - along[0]) / (len(along) - 1)
    lean = np.linalg.norm(sideways[-1]) / (along[-1] - along[0])
    if lean <= _NO_TILT:
        affine[:3, 2] = (position[-1] - position[0]) / (len(position) - 1)
        return SliceStack(ordered, shape, affine)
    affine[:3, 2] = normal * distance
    if np.linalg.norm(sideways[-1]) <= 2 * _ROUNDED_MM:  # a few slices whose positions were rounded
        return SliceStack(ordered, shape, affine)
    shifts = np.column_stack([sideways @ axes[:3] / spacing[1], sideways @ axes[3:] / spacing[0]])
    first = np.floor(shifts.min(axis=0) + 1e-6)
    last = np.ceil(shifts.max(axis=0) - 1e-6)
    affine[:3, 3] += affine[:3, :2] @ first
    wider = (last - first).astype(int)
    grown = (shape[0] + int(wider[0]), shape[1] + int(wider[1]), shape[2])
    return SliceStack(ordered, grown, affine, shifts - first, float(np.degrees(np.arctan(lean))))


def _geometry(
    slices: Sequence[DicomSlice], name: str
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], tuple[int, int]]:
    """Positions (n, 3); and the orientation (6), spacing (2) and size (rows, columns) that all slices have."""
    try:
        position = np.array([s.header.ImagePositionPatient for s in slices], dtype=float)
        axes = np.array([s.header.ImageOrientationPatient for s in slices], dtype=float)
        spacing = np.array([s.header.PixelSpacing for s in slices], dtype=float)
        sizes = {(int(s.header.Rows), int(s.header.Columns)) for s in slices}
        if position.shape[1:] != (3,) or axes.shape[1:] != (6,) or spacing.shape[1:] != (2,):
            raise ValueError("not as many numbers as there should be")
        if not all(np.isfinite(found).all() for found in (position, axes, spacing)):
            raise ValueError("no numbers")
    except (AttributeError, TypeError, ValueError) as error:
        raise GeometryError(
            f"{name}: expected position, orientation and pixel spacing in every slice, at least one lacks them. "
            "Export the original series, not screenshots."
        ) from error
    if np.abs(axes - axes[0]).max() > 1e-3:
        raise GeometryError(f"{name}: expected slices of one orientation, got several. Import each plane on its own.")
    if len(sizes) > 1 or np.abs(spacing - spacing[0]).max() > 1e-4:
        raise GeometryError(
            f"{name}: expected slices of one size, got several sizes or pixel spacings. Export it again."
        )
    lengths = np.linalg.norm(axes[0].reshape(2, 3), axis=1)
    if np.abs(lengths - 1).max() > 0.01 or abs(axes[0, :3] @ axes[0, 3:]) > 0.01:
        raise GeometryError(
            f"{name}: expected an orientation of two directions at right angles, the slices' is none. Export it again."
        )
    return position, axes[0], spacing[0], sizes.pop()


def _check_even(along: NDArray[np.float64], name: str) -> None:
    gaps = np.diff(along)
    if (gaps < _SAME_PLACE_MM).any():
        count = int((gaps < _SAME_PLACE_MM).sum())
        raise InputError(
            f"{name}: expected every slice once, got {count} duplicated (same position). "
            "Remove the copies; if these are phases, echoes or b-values, export the one you need."
        )
    usual = float(np.median(gaps))
    worst = int(np.argmax(gaps))
    if gaps[worst] > 1.5 * usual:
        missing = round(gaps[worst] / usual) - 1
        raise GeometryError(
            f"{name}: expected slices {usual:.4g} mm apart, got a gap of {gaps[worst]:.4g} mm after slice "
            f"{worst + 1} of {len(along)} (about {missing} missing). Export the complete series."
        )
    number = np.arange(len(along))
    even = np.polyval(np.polyfit(number, along, 1), number)
    # Positions are often written to 0.1 mm, so judge where slices lie, not the single steps.
    if np.abs(along - even).max() > max(0.1 * usual, _ROUNDED_MM):
        raise GeometryError(
            f"{name}: expected evenly spaced slices, got steps of {gaps.min():.4g} to {gaps.max():.4g} mm. "
            "Export the original series, or resample it evenly."
        )


def _sideways(
    position: NDArray[np.float64], along: NDArray[np.float64], normal: NDArray[np.float64], name: str
) -> NDArray[np.float64]:
    """(n, 3) millimetres by which slices lie beside the first, in their own plane: on a line, which is returned."""
    beside = position - position[0] - np.outer(along - along[0], normal)
    height = along - along[0]
    slope = height @ beside / (height @ height)
    line = np.outer(height, slope)
    if np.abs(beside - line).max() > 2 * _ROUNDED_MM:
        raise GeometryError(
            f"{name}: expected slices above each other, got some that are shifted sideways by up to "
            f"{np.abs(beside - line).max():.2g} mm. Export the original series."
        )
    tilt = float(np.degrees(np.arctan(np.linalg.norm(slope))))
    if tilt > _MOST_TILT_DEG:
        raise GeometryError(
            f"{name}: expected a stack of slices, got one that leans by {tilt:.0f} degrees. Export the original series."
        )
    return line


def placed(plane: NDArray[np.float32], stack: SliceStack, k: int, fill: float) -> NDArray[np.float32]:
    """A slice on the stack's grid: as it is, or moved within its plane by linear interpolation where it lies off.

    Args:
        plane: (columns, rows) of slice `k`.
        fill: the value where the grid reaches beyond the slice.
    """
    if stack.shifts is None:
        return plane
    whole = np.floor(stack.shifts[k] + 1e-9).astype(int)
    part = np.clip(stack.shifts[k] - whole, 0.0, 1.0)
    out = np.zeros(stack.shape[:2])
    for (i, j), weight in np.ndenumerate(np.outer([1 - part[0], part[0]], [1 - part[1], part[1]])):
        moved = np.full(stack.shape[:2], fill)
        at_i, at_j = whole[0] + i, whole[1] + j
        piece = moved[at_i : at_i + plane.shape[0], at_j : at_j + plane.shape[1]]
        piece[...] = plane[: piece.shape[0], : piece.shape[1]]
        out += weight * moved
    return out.astype(np.float32)
