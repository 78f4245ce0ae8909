"""Where to start: mutual information of two coarse scans for every shift at once, over a set of turns.

For each turn of the moving scan, the joint histogram of grey levels of all shifts is a set of correlations, which
Fourier transforms give together, so the search is exhaustive and the same on every run. Source: Öfverstedt 2022,
10.1016/j.patrec.2022.05.022 (mutual information in the frequency domain).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage
from scipy.spatial.transform import Rotation

from core.imaging.registration.prepared import Prepared
from core.imaging.registration.transform import about, mapped

#: Voxels of the search, mm, and the most of them in a scan: a whole body is searched more coarsely.
SEARCH_MM, MOST_VOXELS = 9.0, 30_000
#: Turns are looked at every so many degrees about any axis, up to so many steps.
TURN_DEG, TURN_STEPS = 12.0, 2.25
#: Grey levels that are told apart: outside the body, and quantiles in it.
LEVELS = (0.15, 0.50, 0.95)
#: Shifts that leave less than this of the smaller field in common are not looked at.
LEAST_OVERLAP = 0.25
#: How far from the usual starts is searched, mm; and the most places that are kept of one turn.
REACH_MM, MOST_PEAKS = 75.0, 4
#: Two starts nearer than this, mm (mean over the fixed body), are one.
APART_MM = 14.0

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Start:
    """A place to start from: 4x4 fixed RAS mm -> moving RAS mm, where it came from, and its coarse score in nats."""

    matrix: NDArray[np.float64]
    origin: str
    score: float = 0.0


def turns() -> Iterator[NDArray[np.float64]]:
    """Rotation matrices every `TURN_DEG` about any axis, none first."""
    reach = range(-int(TURN_STEPS), int(TURN_STEPS) + 1)
    steps = sorted(product(reach, reach, reach), key=lambda step: (sum(s * s for s in step), step))
    for step in steps:
        if sum(s * s for s in step) <= TURN_STEPS**2:
            yield Rotation.from_rotvec(np.radians(TURN_DEG) * np.array(step)).as_matrix()


def voxel_mm(fixed: Prepared, moving: Prepared) -> float:
    """Edge of the search's voxels: `SEARCH_MM`, or more where the larger scan would have too many of them."""
    volumes = [np.prod(scan.grid.shape) * scan.grid.voxel_volume_mm3 for scan in (fixed, moving)]
    return max(SEARCH_MM, float((max(volumes) / MOST_VOXELS) ** (1 / 3)))


def search(fixed: Prepared, moving: Prepared, most: int) -> list[Start]:
    """The best places of the coarse search, best first, at least `APART_MM` from each other; at most `most`.

    Shifts are looked at within `REACH_MM` of where the usual starts put the middle of the fixed field.
    """
    mm = voxel_mm(fixed, moving)
    one, other = Lattice.of(fixed, mm), Lattice.of(moving, mm)
    fixed_levels = one.levels(np.eye(3))
    near = [mapped(start.matrix, fixed.centre_mm) for start in usual_starts(fixed, moving)]
    found: list[tuple[float, NDArray[np.float64]]] = []
    for rotation in turns():
        for score, step_mm in shifts(
            fixed_levels, other.levels(rotation), mm, [(at - moving.centre_mm) @ rotation for at in near]
        ):
            # The middle of the fixed field comes to lie at the turned `step_mm` from the middle of the moving one.
            found.append(
                (score, about(rotation, fixed.centre_mm, moving.centre_mm + rotation @ step_mm - fixed.centre_mm))
            )
    found.sort(key=lambda pair: -pair[0])
    places = points_of(fixed)
    kept: list[Start] = []
    for score, matrix in found:
        if all(mean_distance_mm(places, matrix, start.matrix) > APART_MM for start in kept):
            kept.append(Start(matrix, "search", score))
        if len(kept) == most:
            break
    return kept


def shifts(
    fixed_levels: Floats, moving_levels: Floats, mm: float, near_mm: Sequence[NDArray[np.float64]]
) -> list[tuple[float, NDArray[np.float64]]]:
    """The best shifts under one turn: score in nats, and where the fixed middle lies in the turned scan, mm."""
    size = [
        fft.next_fast_len(a + b - 1, real=True)
        for a, b in zip(fixed_levels.shape[1:], moving_levels.shape[1:], strict=True)
    ]
    halves = [(np.array(one.shape[1:]) - 1) / 2 for one in (fixed_levels, moving_levels)]
    # Voxel u of the fixed lattice meets voxel u + step of the turned one; steps beyond the half are negative.
    steps = [
        np.where(np.arange(n) >= m, np.arange(n) - n, np.arange(n))
        for n, m in zip(size, moving_levels.shape[1:], strict=True)
    ]
    where = [(step + first - second) * mm for step, first, second in zip(steps, *halves, strict=True)]
    x, y, z = np.ix_(*where)
    wanted = np.zeros(size, dtype=bool)
    for at in near_mm:
        wanted |= (x - at[0]) ** 2 + (y - at[1]) ** 2 + (z - at[2]) ** 2 <= REACH_MM**2
    score = information(fixed_levels, moving_levels, size, wanted)
    best = np.argsort(-score, axis=None)[: MOST_PEAKS * 27]
    peaks = ndimage.maximum_filter(score, 3, mode="wrap").ravel()[best] == score.ravel()[best]
    chosen = [index for index in best[peaks].tolist() if score.ravel()[index] > 0][:MOST_PEAKS]
    places = np.array(np.unravel_index(chosen, score.shape)).T
    return [(float(score[tuple(at)]), np.array([w[n] for w, n in zip(where, at, strict=True)])) for at in places]


def information(first: Floats, second: Floats, size: Sequence[int], wanted: NDArray[np.bool_]) -> Floats:
    """Mutual information, nats, of `first` at u and `second` at u + step for the wanted steps (wrapped), else 0.

    Args:
        first, second: memberships (levels, I, J, K); the levels of a voxel add up to 1 in the field and 0 outside.
        size: of the transform, at least the sum of both extents less 1.
        wanted: bool of that size; of these, steps that leave too little in common are 0, too.
    """
    axes = (1, 2, 3)
    one = np.conj(fft.rfftn(first, size, axes=axes))
    other = fft.rfftn(second, size, axes=axes)
    count = fft.irfftn(one.sum(axis=0) * other.sum(axis=0), size)
    enough = wanted & (count >= LEAST_OVERLAP * min(first.sum(), second.sum()))
    score = np.zeros(size, dtype=np.float32)
    if not enough.any():
        return score
    joint = np.empty((len(first), len(second), int(enough.sum())), dtype=np.float32)
    for a in range(len(first)):
        for b in range(len(second)):
            joint[a, b] = fft.irfftn(one[a] * other[b], size)[enough]
    joint = np.maximum(joint, 0)
    joint /= joint.sum(axis=(0, 1))
    score[enough] = entropy(joint.sum(axis=1)) + entropy(joint.sum(axis=0)) - entropy(joint.reshape(-1, joint.shape[2]))
    return score


def entropy(shares: Floats) -> Floats:
    """Of shares (n, places) that add up to 1 along the first axis, nats."""
    return np.asarray(-(shares * np.log(np.maximum(shares, 1e-9))).sum(axis=0))


@dataclass(frozen=True, eq=False)
class Lattice:
    """A scan smoothed for a lattice of `mm`, with the grey values of its levels, ascending."""

    scan: Prepared
    mm: float
    smooth: Floats
    knots: Floats

    @classmethod
    def of(cls, scan: Prepared, mm: float) -> Lattice:
        smooth = ndimage.gaussian_filter(scan.array, [mm / 2.5 / s for s in scan.grid.spacing_mm])
        inside = smooth[scan.body] if scan.body.any() else smooth.ravel()
        outside = smooth[~scan.body] if not scan.body.all() else inside[:1]
        knots = np.array([float(np.median(outside)), *np.quantile(inside, LEVELS).tolist()])
        return cls(scan, mm, smooth, np.maximum.accumulate(knots + 1e-3 * np.arange(len(knots))).astype(np.float32))

    def levels(self, rotation: NDArray[np.float64]) -> Floats:
        """The scan, turned about its middle, as memberships of grey levels (levels, I, J, K)."""
        grid, mm = self.scan.grid, self.mm
        corners = grid.to_mm(np.array(list(product(*((0, n - 1) for n in grid.shape))), dtype=float))
        reach = np.abs((corners - self.scan.centre_mm) @ rotation).max(axis=0)
        shape = tuple(int(n) for n in 2 * np.floor(reach / mm) + 1)
        matrix = np.linalg.inv(grid.affine)[:3, :3] @ rotation * mm
        offset = (np.array(grid.shape) - 1) / 2 - matrix @ ((np.array(shape) - 1) / 2)
        values = ndimage.affine_transform(
            self.smooth, matrix, offset, shape, order=1, mode="nearest", output=np.float32
        )
        valid = np.ones(shape, dtype=bool)
        i, j, k = np.ix_(*(np.arange(n) for n in shape))
        for row, start, size in zip(matrix, offset, grid.shape, strict=True):
            index = row[0] * i + row[1] * j + row[2] * k + start
            valid &= (index >= -0.5) & (index <= size - 0.5)
        return memberships(values, self.knots) * valid


def memberships(values: Floats, knots: Floats) -> Floats:
    """Each value shared between the two knots that it lies between, (knots, …); they add up to 1."""
    at = np.interp(values, knots, np.arange(len(knots), dtype=np.float32)).astype(np.float32)
    return np.stack([np.maximum(0, 1 - np.abs(at - n)) for n in range(len(knots))]).astype(np.float32)


def points_of(scan: Prepared) -> NDArray[np.float64]:
    """Up to about 500 places of the body (of the field, where there is none), RAS+ mm (n, 3)."""
    inside = np.argwhere(scan.body) if scan.body.any() else np.argwhere(np.ones(scan.grid.shape, dtype=bool))
    return scan.grid.to_mm(inside[:: max(1, len(inside) // 500)])


def mean_distance_mm(places: NDArray[np.float64], first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """How far apart two matrices put the places, mean, mm."""
    difference = (first - second)[:3]
    return float(np.linalg.norm(places @ difference[:, :3].T + difference[:, 3], axis=1).mean())


def usual_starts(fixed: Prepared, moving: Prepared) -> Sequence[Start]:
    """The scanner's coordinates, the middles of the fields, and the middles of the bodies."""
    found = [Start(np.eye(4), "scanner coordinates")]
    for origin, shift in (
        ("middles of the fields", moving.centre_mm - fixed.centre_mm),
        ("middles of the bodies", moving.body_centre_mm - fixed.body_centre_mm),
    ):
        matrix = np.eye(4)
        matrix[:3, 3] = shift
        found.append(Start(matrix, origin))
    return found
