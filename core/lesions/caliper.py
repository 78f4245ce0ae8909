"""What a person's drawing on an image measures: a length, an angle, the values within an ellipse.

Places are RAS+ millimetres, so that a length on thick or oblique slices is the one in the body. The viewer computes the
same (`pages/ui/viewer/static/measure/geometry.js`) while it is drawn; what is kept is computed here.

An ellipse has one voxel of each column of the image that meets its plane inside it: columns run along the axis that is
nearest to the plane's normal, and of each column the voxel nearest to the plane counts. On a slice of the image these
are the voxels whose centres lie within the ellipse; its border counts.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from core.lesions.intensity import statistics
from core.remembered.hand_measurements import Drawn, Measured
from core.types import UNITS, Grid, Volume

#: Coordinates in voxels that differ by less are the same: a border must not hang on rounding.
_SAME = 1e-6
#: A drawing of less is a click.
LEAST_MM = 0.1


def measured(drawn: Drawn, grid: Grid, volume: Volume | None = None) -> Measured:
    """What was drawn, measured.

    Args:
        grid: of the scan. volume: the scan; needed for a ROI alone.

    Raises:
        InputError: for places beyond the image, two of them on one another, or a ROI without the scan.
    """
    points = np.asarray(drawn.points_mm, dtype=np.float64)
    index = grid.to_index(points)
    places = index if drawn.kind != "roi" else index[:1]
    if (places < -0.5 - _SAME).any() or (places > np.asarray(grid.shape) - 0.5 + _SAME).any():
        raise InputError("Expected a measurement within the image, got one that reaches beyond it. Draw it again.")
    arms = points[1:] - points[:-1] if drawn.kind != "roi" else points[1:] - points[0]
    if np.linalg.norm(arms, axis=1).min() < LEAST_MM:
        raise InputError(f"Expected places at least {LEAST_MM} mm apart, got two on one another. Draw it again.")
    if drawn.kind == "length":
        return Measured(float(np.linalg.norm(arms[0])), "mm")
    if drawn.kind == "angle":
        return Measured(angle_degrees(points), "°")
    if volume is None:
        raise InputError("Expected the scan for the values within a region, got none.")
    return _values_within(points, volume)


def angle_degrees(points_mm: NDArray[np.float64]) -> float:
    """The angle at the second of three points, 0..180 degrees."""
    first, second = points_mm[0] - points_mm[1], points_mm[2] - points_mm[1]
    return math.degrees(math.atan2(float(np.linalg.norm(np.cross(first, second))), float(first @ second)))


def _values_within(points: NDArray[np.float64], volume: Volume) -> Measured:
    area = math.pi * float(np.linalg.norm(np.cross(points[1] - points[0], points[2] - points[0])))
    if area < math.pi * LEAST_MM**2:
        raise InputError("Expected a region with an area, got a line. Draw it again.")
    voxels = voxels_within(points, volume.grid)
    found = statistics(volume.array[tuple(voxels.T)])
    unit = UNITS[volume.modality]
    return Measured(
        found.mean,
        unit,
        {
            "mean": found.mean,
            "sd": found.sd,
            "least": found.least,
            "greatest": found.greatest,
            "voxels": found.voxels,
            "voxels_without_value": found.voxels_without_value,
            "area_mm2": area,
        },
    )


def voxels_within(points_mm: NDArray[np.float64], grid: Grid) -> NDArray[np.int64]:
    """Indices (n, 3) of the voxels within an ellipse, as the module says.

    Args:
        points_mm: (3, 3), its centre, and the ends of two radii that are not in line.
    """
    centre, first, second = grid.to_index(points_mm)
    first, second = first - centre, second - centre
    turned = np.cross(first, second) / np.asarray(grid.spacing_mm)  # the plane's normal, in mm along the file's axes
    axis = int(np.abs(turned).argmax())
    u, v = (n for n in range(3) if n != axis)
    reach = np.hypot(first, second)
    ranges = [
        np.arange(max(0, math.ceil(centre[n] - reach[n] - _SAME)), min(grid.shape[n] - 1, _last(centre, reach, n)) + 1)
        for n in (u, v)
    ]
    at = np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1).reshape(-1, 2).astype(np.float64)
    det = first[u] * second[v] - first[v] * second[u]
    du, dv = at[:, 0] - centre[u], at[:, 1] - centre[v]
    s, t = (du * second[v] - dv * second[u]) / det, (dv * first[u] - du * first[v]) / det
    depth = np.floor(centre[axis] + s * first[axis] + t * second[axis] + 0.5 + _SAME)
    inside = (s * s + t * t <= 1 + _SAME) & (depth >= 0) & (depth < grid.shape[axis])
    found = np.empty((int(inside.sum()), 3), dtype=np.int64)
    found[:, u], found[:, v], found[:, axis] = at[inside, 0], at[inside, 1], depth[inside]
    return found


def _last(centre: NDArray[np.float64], reach: NDArray[np.float64], axis: int) -> int:
    return math.floor(centre[axis] + reach[axis] + _SAME)
