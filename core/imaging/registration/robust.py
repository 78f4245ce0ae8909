"""The last step for two scans of one kind: least squares of their grey values, in which what changed has no say.

Gauss-Newton over rotation and translation on a common lattice, each place weighted by Tukey's biweight: where the scans
differ by more than noise, as where a tumour grew, a place counts nothing. Two MR scans may differ by a scale and an
offset of their grey values, which are found along with the motion. CT against MR has no grey values in common: there
`refine` has the last word. Source: Reuter 2010, 10.1016/j.neuroimage.2010.07.020.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from core.imaging.registration.prepared import Prepared
from core.imaging.registration.transform import about

#: Voxels of the lattice, mm, level by level, and the most steps of each.
LEVELS_MM, MOST_STEPS = (6.0, 3.0), (15, 30)
#: A place that differs by more than so many standard deviations counts nothing.
SATURATED = 3.0
#: CT values are clipped to these, HU: soft tissue and fat count, and bone by its surface.
CT_HU = (-200.0, 300.0)
#: What lies this far outside the body is still looked at, voxels of the lattice.
RIM = 2
#: Skin, neck and fat slide over a brain: two MR scans are at last aligned by what lies deeper than this under the skin,
#: mm, where that is this share of the places. Chosen on both MS patients: without it patient03 comes 1.6 mm off the
#: published transform, with it 0.6; on simulated second MR scans of limbs it made no difference.
DEEP_MM, LEAST_DEEP = 20.0, 0.25
#: Fewer places than this tell nothing.
FEWEST_PLACES = 500
#: A level is done when a step moves the body by less than this, mm; a turn is taken at `ARM_MM` from the middle.
LEAST_STEP_MM, ARM_MM = 0.01, 80.0

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Settled:
    """Where the last step came to rest.

    Args:
        matrix: 4x4, fixed RAS mm -> moving RAS mm.
        unchanged: share of the places that count, 0..1; the others have changed, or are aligned wrongly.
        stopped_early: whether it was still moving when its steps were used up.
    """

    matrix: NDArray[np.float64]
    unchanged: float
    stopped_early: bool


@dataclass(frozen=True, eq=False)
class Level:
    """The fixed scan on a lattice, and the moving one smoothed for it.

    Args:
        lattice: 4x4, index of the lattice -> fixed RAS mm.
        values, slopes, near: of the fixed scan, (I, J, K), (3, I, J, K) a mm, and where to look.
        moving, smooth: the moving scan, and its smoothed values on its own grid.
        alike: whether grey values mean the same in both (CT), or up to scale and offset.
    """

    lattice: NDArray[np.float64]
    mm: float
    values: Floats
    slopes: Floats
    near: NDArray[np.bool_]
    moving: Prepared
    smooth: Floats
    alike: bool


def settle(fixed: Prepared, moving: Prepared, start: NDArray[np.float64]) -> Settled | None:
    """The best place near `start` (within a few mm to a cm); None where the scans do not meet or show nothing."""
    found: Settled | None = None
    for mm, steps in zip(LEVELS_MM, MOST_STEPS, strict=True):
        level = level_of(fixed, moving, mm)
        found = followed(level, start if found is None else found.matrix, steps)
        if found is None:
            return None
    if found is None or level.alike or not fixed.has_outline:
        return found
    deep = deep_part(level, fixed)
    return found if deep is None else followed(deep, found.matrix, MOST_STEPS[-1]) or found


def deep_part(level: Level, fixed: Prepared) -> Level | None:
    """The level with only what lies deep under the skin to look at; None where that is too little."""
    depth_mm = ndimage.distance_transform_edt(fixed.body, sampling=fixed.grid.spacing_mm).astype(np.float32)
    here, _ = looked_up(depth_mm, fixed, level.lattice, level.values.shape)
    near = level.near & (here > DEEP_MM)
    return replace(level, near=near) if near.sum() >= LEAST_DEEP * level.near.sum() else None


def level_of(fixed: Prepared, moving: Prepared, mm: float) -> Level:
    """Both scans made ready for a lattice of `mm`."""
    corners = fixed.grid.to_mm(np.array(list(product(*((0, n - 1) for n in fixed.grid.shape))), dtype=float))
    low, high = corners.min(axis=0), corners.max(axis=0)
    shape = tuple(int(n) for n in np.floor((high - low) / mm) + 1)
    lattice = np.diag([mm, mm, mm, 1.0])
    lattice[:3, 3] = low
    alike = fixed.modality == moving.modality == "CT"
    values, field = looked_up(smoothed(fixed, moving, mm, alike), fixed, lattice, shape)
    body, _ = looked_up(fixed.body.astype(np.float32), fixed, lattice, shape)
    near = ndimage.binary_dilation(body > 0.5, iterations=RIM) & field
    return Level(lattice, mm, values, slopes_of(values, mm), near, moving, smoothed(moving, fixed, mm, alike), alike)


def smoothed(scan: Prepared, other: Prepared, mm: float, clipped: bool) -> Floats:
    """The scan smoothed so that both are about as sharp along each axis: thin slices as much as thick ones are."""
    own, others = (np.array(one.grid.spacing_mm) for one in (scan, other))
    wanted, had = 0.5 * np.maximum(np.maximum(own, others), mm), 0.29 * own
    values = np.clip(scan.array, *CT_HU) if clipped else scan.array
    sigma = np.sqrt(np.maximum(wanted**2 - had**2, 0)) / own
    return np.asarray(ndimage.gaussian_filter(values, sigma), dtype=np.float32)


def looked_up(
    values: Floats, scan: Prepared, lattice: NDArray[np.float64], shape: tuple[int, ...]
) -> tuple[Floats, NDArray[np.bool_]]:
    """Values at the lattice's points (index -> mm of this scan), and which of them lie between voxels of the scan."""
    to_index = np.linalg.inv(scan.grid.affine) @ lattice
    matrix, offset = to_index[:3, :3], to_index[:3, 3]
    found = ndimage.affine_transform(values, matrix, offset, shape, order=1, mode="nearest", output=np.float32)
    field = np.ones(shape, dtype=bool)
    i, j, k = np.ix_(*(np.arange(n) for n in shape))
    for row, start, size in zip(matrix, offset, scan.grid.shape, strict=True):
        index = row[0] * i + row[1] * j + row[2] * k + start
        field &= (index >= 0) & (index <= size - 1)
    return found, field


def slopes_of(values: Floats, mm: float) -> Floats:
    """(3, I, J, K), a mm."""
    return np.stack([np.gradient(values, mm, axis=axis) for axis in range(3)]).astype(np.float32)


def followed(level: Level, start: NDArray[np.float64], most: int) -> Settled | None:
    """Steps on one level until they are small; None where too little is looked at or nothing slopes."""
    if min(level.values.shape) < 2 or level.near.sum() < FEWEST_PLACES:
        return None
    at = np.argwhere(level.near)
    middle = (at.mean(axis=0, keepdims=True) * level.mm + level.lattice[:3, 3])[0]
    matrix, scale, offset, unchanged = start, 1.0, 0.0, 0.0
    for n in range(most):
        values, field = looked_up(level.smooth, level.moving, matrix @ level.lattice, level.values.shape)
        where = level.near & ndimage.binary_erosion(field, border_value=1)
        if where.sum() < FEWEST_PLACES:
            return None
        if n == 0 and not level.alike:
            scale, offset = matched(values[where], level.values[where])
        values = (scale * values + offset).astype(np.float32)
        # The mean of both slopes: half the steps, and the same answer the other way round (Benhimane 2004).
        slopes = 0.5 * (level.slopes + slopes_of(values, level.mm))[:, where]
        arms = (np.argwhere(where) * level.mm + level.lattice[:3, 3] - middle).T
        step, unchanged = weighted_step(
            slopes, arms, (level.values - values)[where], None if level.alike else values[where]
        )
        if step is None:
            return None
        matrix = matrix @ about(Rotation.from_rotvec(step[3:6]).as_matrix(), middle, step[:3])
        if not level.alike:
            scale, offset = scale * (1 + step[6]), offset * (1 + step[6]) + step[7]
        if np.linalg.norm(step[:3]) + ARM_MM * np.linalg.norm(step[3:6]) < LEAST_STEP_MM:
            return Settled(matrix, unchanged, False)
    return Settled(matrix, unchanged, True)


def matched(values: Floats, others: Floats) -> tuple[float, float]:
    """Scale and offset that give the values the median and the spread of the others; 1 where they have no spread."""
    low, middle, high = np.quantile(values, [0.1, 0.5, 0.9]).tolist()
    other_low, other_middle, other_high = np.quantile(others, [0.1, 0.5, 0.9]).tolist()
    scale = (other_high - other_low) / (high - low) if high > low and other_high > other_low else 1.0
    return scale, other_middle - scale * middle


def weighted_step(
    slopes: Floats, arms: NDArray[np.float64], left: Floats, values: Floats | None
) -> tuple[NDArray[np.float64] | None, float]:
    """The step that takes most of what is left away, where it is not too much: shift mm, turn radians (scale, offset).

    Args:
        slopes, arms: (3, n), grey values a mm, and mm from the middle.
        left: (n,) fixed less moving. values: (n,) moving, where scale and offset are to be found too.

    Returns:
        (6,) or (8,), None where nothing slopes; and the share of the places that counted.
    """
    columns = [*slopes, *np.cross(arms, slopes, axis=0)]
    if values is not None:
        columns += [values, np.ones_like(values)]
    design = np.stack(columns, axis=1).astype(np.float64)
    size = np.abs(design).mean(axis=0)
    if (size <= 0).any():
        return None, 0.0
    design /= size
    spread = 1.4826 * float(np.median(np.abs(left - np.median(left)))) + 1e-6 * float(np.abs(left).max()) + 1e-12
    weight = np.maximum(1 - (left / (SATURATED * spread)) ** 2, 0) ** 2
    normal = (design * weight[:, None]).T @ design
    normal += 1e-9 * np.trace(normal) * np.eye(len(normal)) + 1e-30 * np.eye(len(normal))
    step = np.linalg.solve(normal, (design * weight[:, None]).T @ left) / size
    return (step if np.isfinite(step).all() else None), float((weight > 0).mean())
