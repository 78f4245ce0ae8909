"""A person's correction: a transform from pairs of landmarks, or one that was dragged and turned by hand."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from core.errors import InputError
from core.imaging.registration.transform import RigidTransform, about, inverse, mapped

#: Fewer pairs than this do not fix a rigid motion.
FEWEST_PAIRS = 3
#: Landmarks must reach this far from the line through them, mm, or the turn about it is a guess.
LEAST_SPREAD_MM = 5.0


@dataclass(frozen=True, eq=False)
class Landmarks:
    """What pairs of landmarks gave.

    Args:
        matrix: 4x4, fixed RAS mm -> moving RAS mm.
        residual_mm: root mean square distance that is left. With three pairs it can be 0 although the places were
            chosen badly: it tells how well the pairs agree, not how well the scans do.
        worst_mm: the largest of them.
    """

    matrix: NDArray[np.float64]
    residual_mm: float
    worst_mm: float


def from_landmarks(fixed_points: NDArray[Any], moving_points: NDArray[Any]) -> Landmarks:
    """The rigid motion (no scaling, no mirror) that takes the fixed points nearest to the moving ones.

    Args:
        fixed_points, moving_points: the same places in both scans, (n, 3) RAS mm, n >= 3.

    Raises:
        InputError: other shapes, fewer than three pairs, not finite, or points on (nearly) one line.

    Source: `least_squares`.
    """
    fixed, moving = (np.asarray(points, dtype=np.float64) for points in (fixed_points, moving_points))
    if fixed.ndim != 2 or fixed.shape != moving.shape or fixed.shape[1] != 3 or len(fixed) < FEWEST_PAIRS:
        raise InputError(
            f"Expected at least {FEWEST_PAIRS} pairs of points (n, 3) in mm, got {fixed.shape} and {moving.shape}. "
            "Mark the same three places in both scans."
        )
    if not (np.isfinite(fixed).all() and np.isfinite(moving).all()):
        raise InputError("Expected landmarks in mm, got some that are not finite. Mark them again.")
    spreads = [spread_mm(points) for points in (fixed, moving)]
    if min(spreads) < LEAST_SPREAD_MM:
        raise InputError(
            f"Expected landmarks that reach {LEAST_SPREAD_MM:g} mm or more from one line, got {min(spreads):.1f} mm. "
            "Mark a place further to the side."
        )
    matrix = least_squares(fixed, moving)
    left = np.linalg.norm(mapped(matrix, fixed) - moving, axis=1)
    return Landmarks(matrix, float(np.sqrt((left**2).mean())), float(left.max()))


def least_squares(fixed: NDArray[np.float64], moving: NDArray[np.float64]) -> NDArray[np.float64]:
    """The rigid motion, 4x4, that takes points (n, 3) nearest to others.

    Source: by singular values, Arun 1987, 10.1109/TPAMI.1987.4767965; Umeyama 1991, 10.1109/34.88573.
    """
    centres = fixed.mean(axis=0), moving.mean(axis=0)
    u, _, vt = np.linalg.svd((fixed - centres[0]).T @ (moving - centres[1]))
    mirror = np.diag([1.0, 1.0, np.sign(np.linalg.det(vt.T @ u.T))])
    return about(vt.T @ mirror @ u.T, centres[0], centres[1] - centres[0])


def spread_mm(points: NDArray[np.float64]) -> float:
    """How far the points reach from the line that fits them best: the largest distance, mm."""
    centred = points - points.mean(axis=0)
    _, _, vt = np.linalg.svd(centred, full_matrices=False)
    return float(np.linalg.norm(centred - np.outer(centred @ vt[0], vt[0]), axis=1).max())


def adjusted(
    transform: RigidTransform, shift_mm: NDArray[Any], turn_deg: NDArray[Any], about_mm: NDArray[Any]
) -> RigidTransform:
    """The transform after a person dragged and turned the moving scan's picture on the fixed one.

    Args:
        transform: what was there before.
        shift_mm: how far the picture was dragged, (3,) RAS mm of the fixed scan.
        turn_deg: how it was turned: rotation vector (axis times angle), (3,) degrees, by the right hand.
        about_mm: the place in the fixed scan about which it was turned, (3,) RAS mm; it is dragged along.

    Returns:
        A transform of state "doubtful" without figures, as none was measured of it: who accepts it vouches for it.
        With no shift and no turn, the one that was given.

    Raises:
        InputError: not three finite numbers each.
    """
    shift, turn, centre = (three(values) for values in (shift_mm, turn_deg, about_mm))
    if not shift.any() and not turn.any():
        return transform
    # What was drawn at x is now drawn at carried(x): a fixed point asks what was drawn there before.
    carried = about(Rotation.from_rotvec(np.radians(turn)).as_matrix(), centre, shift)
    matrix = transform.matrix @ inverse(carried)
    return replace(
        transform,
        matrix=matrix,
        metric=0.0,
        state="doubtful",
        message="Moved by hand, not measured since. Look at both scans before accepting it.",
        overlap=0.0,
        quality={},
        parameters={},
        parameters_hash="",
    )


def three(values: NDArray[Any]) -> NDArray[np.float64]:
    """Three finite numbers; InputError otherwise."""
    array = np.asarray(values, dtype=np.float64)
    if array.shape != (3,) or not np.isfinite(array).all():
        raise InputError(f"Expected three finite numbers (x, y, z), got {values!r}. Give all three, 0 for none.")
    return array
