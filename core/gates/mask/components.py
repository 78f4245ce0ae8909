"""The components of the mask gate: which number of a stored vector belongs to which, and how odd a lesion is in each.

A vector's names without a stroke are its shape; others say before their last stroke what they are of ("contrast/CT",
"history"). `BOUNDS` are for rules alone and are compared with nobody's. Components that were measured by other names
(without a PET, or by an older TwinReview) are compared among themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from core.gates.mask.conformal import MaskGate, owners_of, robust_scale
from core.remembered.rows import LesionVector

SHAPE, CONTRAST, POSITION, HISTORY, APPEARANCE = "shape", "contrast", "position", "history", "appearance"
BOUNDS = "bounds"
#: Of the contrast on a PET: what the mask leaves out, and what it takes in. Each is a component of its own.
BEYOND, WITHIN = "beyond", "within"
#: Components that are as odd as they are far from what is usual, either way; of others more is worse.
_BOTH_WAYS = (SHAPE, APPEARANCE)


def component_of(name: str) -> str:
    """ "contrast/CT" of "contrast/CT/fat_inside"; "shape" of a name without a stroke."""
    return name.rpartition("/")[0] or SHAPE


def kind_of(component: str) -> str:
    """The single word of a component, by which a doubt of it is kept: "contrast" of "contrast/PET/beyond"."""
    return component.split("/")[0]


def split(names: Sequence[str]) -> dict[tuple[str, ...], list[int]]:
    """The names of each component with their places in the vector; those of `BOUNDS` too."""
    found: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        found.setdefault(component_of(name), []).append(place)
    return {tuple(names[place] for place in places): places for places in found.values()}


def part_of(row: LesionVector, component: str) -> dict[str, float]:
    """Last part of a name -> value, of one component of a vector."""
    pairs = zip(row.names, row.vector, strict=True)
    return {name.rpartition("/")[2]: float(value) for name, value in pairs if component_of(name) == component}


@dataclass(frozen=True, eq=False)
class WorseGate:
    """A component of which more is worse: a lesion's score is the sum of what its numbers exceed the median by, in MAD
    units.

    Args:
        names: (d,); centre, spread: (d,) median and spread of each. scaled: (n, d) the reference in MAD units.
        patient_ids: (n,) whose the reference lesions are.
    """

    names: tuple[str, ...]
    centre: NDArray[np.float64]
    spread: NDArray[np.float64]
    patient_ids: tuple[str, ...]
    scaled: NDArray[np.float64]

    @classmethod
    def fit(cls, vectors: NDArray[np.float64], patient_ids: Sequence[str], names: Sequence[str]) -> WorseGate:
        """Learn what is usual from (n, d) finite vectors."""
        centre, spread = robust_scale(vectors)
        return cls(tuple(names), centre, spread, tuple(patient_ids), (vectors - centre) / spread)

    @cached_property
    def _scores(self) -> NDArray[np.float64]:
        return _excess(self.scaled)

    def scores_without(self, patient_id: str) -> NDArray[np.float64]:
        """(n,) the score of each reference lesion; NaN for those of that patient."""
        places, owners = self._owners
        return np.where(owners == places.get(patient_id, -1), np.nan, self._scores)

    @cached_property
    def _owners(self) -> tuple[dict[str, int], NDArray[np.intp]]:
        return owners_of(self.patient_ids)

    def odds_of(self, vector: NDArray[np.float64], patient_id: str) -> float | None:
        """The score of a lesion. Raises InputError if the vector has the wrong length, NaN or infinite values."""
        values = np.asarray(vector, dtype=np.float64)
        if values.shape != self.centre.shape or not np.isfinite(values).all():
            raise InputError(f"Expected {len(self.centre)} finite features, got an array of {values.shape}.")
        return float(_excess(self.scale(vector)[None])[0]) if len(self.patient_ids) else None

    def scale(self, vector: NDArray[np.float64]) -> NDArray[np.float64]:
        """A vector (d,) in MAD units from the reference's median."""
        return (np.asarray(vector, dtype=np.float64) - self.centre) / self.spread


def _excess(scaled: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.maximum(scaled, 0.0).sum(axis=1), dtype=np.float64)


ComponentGate = MaskGate | WorseGate


def fit_component(
    names: tuple[str, ...], vectors: NDArray[np.float64], owners: Sequence[str], k: int, alpha: float
) -> ComponentGate:
    """The gate of one component, by its names."""
    if component_of(names[0]) in _BOTH_WAYS:
        return MaskGate.fit(vectors, owners, k=k, alpha=alpha, names=names)
    return WorseGate.fit(vectors, owners, names)
