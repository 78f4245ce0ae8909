"""The answer of a registration: where a scan's points lie in another scan, how far that is trusted, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

#: good: may be relied on. doubtful: a person has to look. failed: nothing may be numbered by it.
State = Literal["good", "doubtful", "failed"]


@dataclass(frozen=True)
class Figure:
    """One measured figure of an alignment.

    Args:
        value: None where it could not be measured, which is never taken for good.
        unit: "mm", "nats", "share" or "1".
        means: what it is, in words.
    """

    value: float | None
    unit: str
    means: str


@dataclass(frozen=True, eq=False)
class RigidTransform:
    """Where the fixed scan's points lie in the moving scan.

    Args:
        matrix: 4x4, fixed RAS mm -> moving RAS mm; the best found, also when it is not trusted.
        metric: mutual information of the pair under it, nats; about 0 = unrelated. NaN-free: 0 if none was computed.
        state: good | doubtful | failed; `message` says why.
        seconds: what it took.
        message: "converged", or what is doubted or failed and what to do.
        overlap: share of the smaller field of view that lies in the other scan under it, 0..1.
        quality: the figures that were judged, by name.
        parameters: version and parameters that it was made with; empty for a hand-made one.
        parameters_hash: sha256 of them, so that a stored transform can be told from what would be made today.
    """

    matrix: NDArray[np.float64]
    metric: float
    state: State
    seconds: float
    message: str
    overlap: float = 0.0
    quality: Mapping[str, Figure] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    parameters_hash: str = ""

    @property
    def converged(self) -> bool:
        """Whether it may be relied on without anybody having looked: only when it is good."""
        return self.state == "good"

    def apply(self, points_mm: NDArray[Any]) -> NDArray[np.float64]:
        """Points (n, 3) of the fixed scan in RAS mm -> the same anatomy in the moving scan, RAS mm."""
        return mapped(self.matrix, points_mm)


def mapped(matrix: NDArray[np.float64], points_mm: NDArray[Any]) -> NDArray[np.float64]:
    """Points (n, 3) in mm, through a 4x4 matrix."""
    return np.asarray(points_mm, dtype=np.float64) @ matrix[:3, :3].T + matrix[:3, 3]


def inverse(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """The 4x4 matrix that leads back."""
    return np.asarray(np.linalg.inv(matrix), dtype=np.float64)


def about(rotation: NDArray[np.float64], centre: NDArray[Any], shift_mm: NDArray[Any]) -> NDArray[np.float64]:
    """The 4x4 matrix that turns about a point and then shifts."""
    matrix = np.eye(4)
    matrix[:3, :3] = rotation
    matrix[:3, 3] = np.asarray(centre) + np.asarray(shift_mm) - rotation @ np.asarray(centre)
    return matrix
