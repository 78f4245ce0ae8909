"""Transforms on their way to the store: what the program found, and what a person made of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from core.errors import InputError
from core.imaging.registration.points import adjusted, from_landmarks, three
from core.imaging.registration.transform import RigidTransform, about
from core.remembered.links import Matrix, NewTransform
from core.types import Scan

#: How far a rotation may be from one, in its entries: what a browser computed is rounded.
_ROUNDED = 1e-3


class RegisteredScan(Protocol):
    """A scan that was registered; `Scan` has it and more."""

    @property
    def timepoint(self) -> str: ...
    @property
    def sha256(self) -> str: ...


def found_transform(found: RigidTransform, first: RegisteredScan, second: RegisteredScan) -> NewTransform:
    """What a registration found, fixed scan first."""
    figures = {
        name: {"value": figure.value, "unit": figure.unit, "means": figure.means}
        for name, figure in found.quality.items()
    }
    if "information" not in figures:
        means = "mutual information of the aligned scans; 0 where they have nothing in common"
        figures["information"] = {"value": found.metric, "unit": "nats", "means": means}
    return NewTransform(
        first.timepoint,
        second.timepoint,
        first.sha256,
        second.sha256,
        rows(found.matrix),
        found.state,
        "rigid",
        found.overlap,
        figures,
        dict(found.parameters),
        found.message,
    )


def moved_transform(
    matrix: Matrix,
    first: Scan,
    second: Scan,
    shift_mm: Sequence[float],
    turn_deg: Sequence[float],
    about_mm: Sequence[float],
    before: str = "",
) -> NewTransform:
    """What a person dragged and turned (`adjusted`), who vouches for it.

    Args:
        matrix: what was moved, first RAS mm -> second RAS mm.
        before: id of the transform that was moved; "" for one that is not stored.

    Raises:
        InputError: not three finite numbers each.
    """
    given = RigidTransform(np.asarray(matrix, dtype=np.float64), 0.0, "doubtful", 0.0, "")
    shift, turn, centre = (three(np.asarray(values)) for values in (shift_mm, turn_deg, about_mm))
    moved = adjusted(given, shift, turn, centre)
    shift_by, turn_by = float(np.linalg.norm(shift)), float(np.linalg.norm(turn))
    return NewTransform(
        first.timepoint,
        second.timepoint,
        first.sha256,
        second.sha256,
        rows(moved.matrix),
        "good",
        "adjusted",
        None,
        {
            "shift": {"value": shift_by, "unit": "mm", "means": "how far a person dragged the later picture"},
            "turn": {"value": turn_by, "unit": "degrees", "means": "how far a person turned it"},
        },
        {
            "from_transform": before,
            "shift_mm": shift.tolist(),
            "turn_deg": turn.tolist(),
            "about_mm": centre.tolist(),
        },
        f"Moved by hand: by {shift_by:.1f} mm and {turn_by:.1f} degrees.",
    )


def landmark_transform(
    first: Scan, second: Scan, first_points: NDArray[Any], second_points: NDArray[Any]
) -> NewTransform:
    """What pairs of landmarks gave (`from_landmarks`), which a person set, who vouches for it.

    Args:
        first_points, second_points: (n, 3) RAS mm of either scan, n >= 3.

    Raises:
        InputError: as `from_landmarks`.
    """
    found = from_landmarks(first_points, second_points)
    return NewTransform(
        first.timepoint,
        second.timepoint,
        first.sha256,
        second.sha256,
        rows(found.matrix),
        "good",
        "landmarks",
        None,
        {
            "pairs": {"value": float(len(first_points)), "unit": "1", "means": "pairs of places that a person marked"},
            "residual": {
                "value": found.residual_mm,
                "unit": "mm",
                "means": "root mean square distance of the pairs that is left; how well they agree, not the scans",
            },
            "worst": {"value": found.worst_mm, "unit": "mm", "means": "distance left of the pair that fits worst"},
        },
        {
            "first_points_mm": np.asarray(first_points, dtype=np.float64).tolist(),
            "second_points_mm": np.asarray(second_points, dtype=np.float64).tolist(),
        },
        f"Set by {len(first_points)} pairs of places, {found.residual_mm:.1f} mm left.",
    )


def residuals_mm(matrix: Matrix, first_points: NDArray[Any], second_points: NDArray[Any]) -> NDArray[np.float64]:
    """How far each pair of points, (n, 3) RAS mm each, is apart under a transform; (n,) mm."""
    array = np.asarray(matrix, dtype=np.float64)
    there = np.asarray(first_points, dtype=np.float64) @ array[:3, :3].T + array[:3, 3]
    return np.asarray(np.linalg.norm(there - np.asarray(second_points, dtype=np.float64), axis=1))


def carried_by(shift_mm: Sequence[float], turn_deg: Sequence[float], about_mm: Sequence[float]) -> NDArray[np.float64]:
    """Where a picture that was dragged and turned (as `adjusted` says) lies now: 4x4, RAS mm -> RAS mm."""
    rotation = Rotation.from_rotvec(np.radians(three(np.asarray(turn_deg)))).as_matrix()
    return about(rotation, three(np.asarray(about_mm)), three(np.asarray(shift_mm)))


def shift_and_turn(carried: NDArray[Any], about_mm: Sequence[float]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The shift (mm) and the turn (rotation vector, degrees) about a place that carry a picture so: `carried_by` back.

    Raises:
        InputError: no 4x4 of finite numbers, or one that is no rigid motion.
    """
    matrix = np.asarray(carried, dtype=np.float64)
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
        raise InputError(f"Expected a 4x4 matrix of finite numbers, got one of {matrix.shape}. Move the picture again.")
    rotation, centre = matrix[:3, :3], three(np.asarray(about_mm))
    bent = np.abs(rotation @ rotation.T - np.eye(3)).max()
    if bent > _ROUNDED or np.linalg.det(rotation) < 0 or np.abs(matrix[3] - (0, 0, 0, 1)).max() > _ROUNDED:
        raise InputError("Expected a shift and a turn, got a matrix that bends or mirrors. Move the picture again.")
    turn = np.degrees(Rotation.from_matrix(rotation).as_rotvec())
    return rotation @ centre + matrix[:3, 3] - centre, turn


def rows(matrix: NDArray[Any]) -> Matrix:
    """A 4x4 array as it is remembered."""
    return tuple(tuple(float(value) for value in row) for row in matrix)
