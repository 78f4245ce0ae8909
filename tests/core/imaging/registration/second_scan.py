"""A second scan of a patient, made of the first: moved, bent, the tumour grown, other voxels, another field, noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from core.imaging.registration.transform import inverse, mapped
from core.simulation.simulate import radial_warp
from core.types import Grid, LabelMap, Volume


@dataclass(frozen=True)
class Second:
    """How the second scan differs.

    Args:
        shift_mm, turn_deg: the patient's motion, turned (rotation vector, degrees) about the field's middle first.
        spacing_mm: of the second scan.
        noise: standard deviation, in units of the scan.
        cut: share of the field that the second scan leaves out at its upper end along k.
        follows: the second field is moved with the patient as far as this (0 stays, 1 goes along).
        margin_mm: taken off the second field on either side in the plane.
        bend_mm: root mean square of a smooth displacement that no rigid motion explains.
        growth: the tumour's volume is so many times what it was; needs its contour. What is around it is pushed.
        seed: of noise and bend.
    """

    shift_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    turn_deg: tuple[float, float, float] = (0.0, 0.0, 0.0)
    spacing_mm: tuple[float, float, float] = (1.3, 1.3, 5.0)
    noise: float = 15.0
    cut: float = 0.0
    follows: float = 0.0
    margin_mm: float = 6.0
    bend_mm: float = 0.0
    growth: float = 1.0
    seed: int = 0


def motion_of(grid: Grid, how: Second) -> NDArray[np.float64]:
    """4x4, where a point of the patient goes, RAS+ mm."""
    centre = grid.to_mm((np.array([grid.shape]) - 1) / 2)[0]
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(np.radians(how.turn_deg)).as_matrix()
    matrix[:3, 3] = centre + how.shift_mm - matrix[:3, :3] @ centre
    return matrix


def second_scan(scan: Volume, how: Second, tumour: LabelMap | None = None) -> tuple[Volume, NDArray[np.float64]]:
    """The scan of the moved patient, and the motion (4x4, fixed RAS mm -> moving RAS mm) that is to be found.

    The field stands in the scanner (or follows); what lies outside the first scan's field is filled with its least
    value, as outside a scanner's field of view, and no noise is put on it.
    """
    motion = motion_of(scan.grid, how)
    field = field_of(scan.grid, motion, how)
    index, outside, rng = sources(scan.grid, field, motion, how, tumour)
    # Thick slices average: the source is smoothed along k to the new thickness.
    thick = max(0.0, (how.spacing_mm[2] / scan.grid.spacing_mm[2]) ** 2 - 1) ** 0.5 / 2.355
    source = ndimage.gaussian_filter1d(scan.array, thick, axis=2) if thick > 0.1 else scan.array
    seen = ndimage.map_coordinates(source, index.T, order=1, mode="nearest")
    seen = seen + rng.normal(0, how.noise, seen.shape)
    seen[outside] = float(scan.array.min())
    return Volume(seen.reshape(field.shape).astype(np.float32), field, scan.modality, scan.sequence), motion


def second_contour(tumour: LabelMap, how: Second) -> LabelMap:
    """The tumour's contour in that second scan."""
    motion = motion_of(tumour.grid, how)
    field = field_of(tumour.grid, motion, how)
    index, outside, _ = sources(tumour.grid, field, motion, how, tumour)
    seen = ndimage.map_coordinates((tumour.array > 0).astype(np.float32), index.T, order=1, mode="nearest") > 0.5
    return LabelMap((seen & ~outside).reshape(field.shape).astype(np.uint8), field)


def sources(
    grid: Grid, field: Grid, motion: NDArray[np.float64], how: Second, tumour: LabelMap | None
) -> tuple[NDArray[np.float64], NDArray[np.bool_], np.random.Generator]:
    """Where in the first scan (n, 3; index) the second's voxels come from, which lie outside, and what draws noise."""
    places = np.stack(np.meshgrid(*(np.arange(n) for n in field.shape), indexing="ij"), axis=-1).reshape(-1, 3)
    points = mapped(inverse(motion), field.to_mm(places))
    index = grid.to_index(points)
    outside = np.asarray(((index < -0.5) | (index > np.array(grid.shape) - 0.5)).any(axis=1))
    if how.growth != 1:
        assert tumour is not None, "a tumour grows where its contour is given"
        index = grid.to_index(before_growth(points, tumour, how.growth))
    rng = np.random.default_rng(how.seed)
    if how.bend_mm:
        index = index + bend(grid, index, how.bend_mm, rng) / np.array(grid.spacing_mm)
    return index, outside, rng


def before_growth(points: NDArray[np.float64], tumour: LabelMap, growth: float) -> NDArray[np.float64]:
    """Where points (n, 3) mm were before the tumour grew, in pieces."""
    inside = tumour.array > 0
    warp = radial_warp(tumour.grid.to_mm(np.argwhere(inside & ~ndimage.binary_erosion(inside))), growth)
    pieces = np.array_split(points.T, max(1, len(points) // 50_000), axis=1)
    return np.concatenate([warp.source(piece) for piece in pieces], axis=1).T


def field_of(grid: Grid, motion: NDArray[np.float64], how: Second) -> Grid:
    """The second scan's grid: the first field, smaller, perhaps shifted along with the patient, other voxels."""
    first = np.array(grid.shape) * grid.spacing_mm
    size = first - [2 * how.margin_mm, 2 * how.margin_mm, how.cut * first[2]]
    spacing = np.array(how.spacing_mm)
    shape = np.maximum(np.floor(size / spacing).astype(int), 4)
    affine = np.eye(4)
    axes = grid.affine[:3, :3] / grid.spacing_mm
    affine[:3, :3] = axes * spacing
    corner = grid.to_mm(np.array([[-0.5, -0.5, -0.5]]))[0] + axes @ [how.margin_mm, how.margin_mm, 0]
    corner = corner + how.follows * np.array(how.shift_mm)
    affine[:3, 3] = corner + affine[:3, :3] @ [0.5, 0.5, 0.5]
    return Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine)


def bend(grid: Grid, index: NDArray[np.float64], rms_mm: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """A smooth random displacement (n, 3), mm along i, j, k, with no shift and no turn in it."""
    coarse = rng.normal(size=(3, 5, 5, 5))
    at = (index / (np.array(grid.shape) - 1) * 4).T
    moved = np.stack([ndimage.map_coordinates(one, at, order=3, mode="nearest") for one in coarse], axis=1)
    # What a shift and a small turn explain is taken out by least squares, on some of the places.
    x = index * grid.spacing_mm
    x = x - x.mean(axis=0)
    some = slice(None, None, max(1, len(x) // 20_000))
    ones, cross = np.tile(np.eye(3), (len(x[some]), 1)), np.concatenate([turned(place) for place in x[some]])
    explained, *_ = np.linalg.lstsq(np.hstack([ones, cross]), moved[some].ravel(), rcond=None)
    moved = moved - explained[:3] - np.cross(explained[3:], x)
    return np.asarray(moved * rms_mm / np.sqrt((moved**2).sum(axis=1).mean()))


def turned(place: NDArray[np.float64]) -> NDArray[np.float64]:
    """3x3: a small turn (radians) -> how it moves the place."""
    x, y, z = place
    return np.array([[0, z, -y], [-z, 0, x], [y, -x, 0]])
