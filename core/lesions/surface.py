"""The surface of a lesion as triangles, to be looked at: smoothed, about the mask's volume, small enough to send."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, zoom

from core.errors import InputError
from core.lesions.metrics import bounding_box
from core.types import LabelMap

MAX_TRIANGLES = 30_000
#: Standard deviation of the smoothing, voxels: takes the stairs off a mask without losing what is two voxels thin.
_SMOOTHING = 1.0
_MARGIN = 4
#: More tries than ever needed: each leaves at most nine tenths of what is allowed, if area follows the grid.
_TRIES = 6


@dataclass(frozen=True, eq=False)
class Surface:
    """A closed surface.

    Args:
        label: the lesion's number.
        vertices_mm: (n, 3) float32, RAS+ millimetres.
        triangles: (m, 3) int32, corners of each as rows of `vertices_mm`, counter-clockwise from outside.
    """

    label: int
    vertices_mm: NDArray[np.float32]
    triangles: NDArray[np.int32]

    @property
    def area_mm2(self) -> float:
        """Sum of the triangles' areas, square millimetres."""
        return float(np.linalg.norm(self._normals(), axis=1).sum() / 2)

    @property
    def volume_mm3(self) -> float:
        """Enclosed volume, cubic millimetres (divergence theorem); positive where the triangles face outwards."""
        first = self.vertices_mm[self.triangles[:, 0]].astype(float)
        return float((first * self._normals()).sum() / 6)

    def _normals(self) -> NDArray[np.float64]:
        a, b, c = (self.vertices_mm[self.triangles[:, n]].astype(float) for n in range(3))
        return np.asarray(np.cross(b - a, c - a))


def lesion_surface(labels: LabelMap, label: int, max_triangles: int = MAX_TRIANGLES) -> Surface | None:
    """The surface of one lesion: marching cubes on the smoothed mask, at the level above which
    lie as many voxels as the mask has (a ball of 16 mm across loses 2 % of its volume, one voxel five sixths).

    Only the lesion's box is looked at. Where there would be too many triangles, the smoothed box is sampled more
    coarsely and tried again, so fine detail goes first.

    Args:
        labels: the mask.
        label: the lesion's number.
        max_triangles: the most that are returned, at least 100.

    Returns:
        The surface; None where the mask has no such lesion.

    Raises:
        InputError: if `max_triangles` is below 100.

    Source: Lorensen & Cline 1987, 10.1145/37401.37422, as in scikit-image.
    """
    if max_triangles < 100:
        raise InputError(f"Expected room for at least 100 triangles, got {max_triangles}.")
    inside = labels.array == label
    box = bounding_box(inside)
    if box is None:
        return None
    field = gaussian_filter(np.pad(inside[box].astype(np.float32), _MARGIN), _SMOOTHING, mode="constant")
    level = _level(field, int(np.count_nonzero(inside[box])))
    origin = np.array([part.start for part in box], dtype=float) - _MARGIN
    steps = np.ones(3)
    sampled = field
    for _ in range(_TRIES):
        corners, triangles = _march(sampled, level)
        if len(triangles) <= max_triangles:
            break
        wanted = np.maximum(3, np.array(sampled.shape) * np.sqrt(0.9 * max_triangles / len(triangles))).astype(int)
        sampled = zoom(field, wanted / np.array(field.shape), order=1)
        steps = (np.array(field.shape) - 1) / (np.array(sampled.shape) - 1)
    vertices_mm = labels.grid.to_mm(corners * steps + origin).astype(np.float32)
    surface = Surface(label, vertices_mm, triangles)
    # Marching cubes knows nothing of a mirrored affine.
    return surface if surface.volume_mm3 >= 0 else Surface(label, vertices_mm, triangles[:, ::-1].copy())


def lesion_surfaces(labels: LabelMap, max_triangles: int = MAX_TRIANGLES) -> list[Surface]:
    """The surfaces of all lesions, ascending by number, together at most `max_triangles` (or 100 each); [] for none."""
    numbers = labels.labels
    found = [lesion_surface(labels, n, max(100, max_triangles // len(numbers))) for n in numbers]
    return [surface for surface in found if surface is not None]


def _level(field: NDArray[np.float32], voxels: int) -> float:
    """The value above which as many samples lie as the mask has voxels: about one half, less for what is small."""
    ordered = np.partition(field.ravel(), (field.size - voxels - 1, field.size - voxels))
    return float(ordered[field.size - voxels - 1] + ordered[field.size - voxels]) / 2


def _march(field: NDArray[np.float32], level: float) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    from skimage.measure import marching_cubes  # slow to import, and most visits need none

    if not field.min() < level < field.max():  # too coarse to hold the lesion
        return np.empty((0, 3)), np.empty((0, 3), np.int32)
    corners, triangles, _, _ = marching_cubes(field, level, allow_degenerate=False)
    return np.asarray(corners, dtype=float), np.asarray(triangles, dtype=np.int32)
