"""What every index of vectors answers, and what it may be made of."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from core.gates.mask.neighbours import LARGEST

#: (m,) rows of the vectors, nearest first, and (m,) their Euclidean distances, m <= k.
Nearest = tuple[NDArray[np.intp], NDArray[np.float64]]


class NearestIndex(Protocol):
    """Vectors that are kept in memory and searched by Euclidean distance."""

    @property
    def name(self) -> str:
        """Of what searches: "exact", "hnsw" or "ruvector"."""

    def search(self, query: NDArray[np.float32], k: int, allowed: NDArray[np.bool_] | None = None) -> Nearest:
        """The nearest rows to a vector, of those that are allowed.

        Args:
            query: (d,), finite. k: >= 1.
            allowed: (n,) True for rows that may be found; None allows all.

        Returns:
            k rows, or all that are allowed where they are fewer; equal distances by row. Distances are those of
            `numpy.linalg.norm` in double precision, whatever found the rows.

        Raises:
            InputError: a query or a filter of another shape, a query that is not finite, k below 1.
        """


def checked_vectors(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The (n, d) vectors in single precision, one after another in memory; n may be 0.

    Raises:
        InputError: not two axes, no feature, or a number that is none or whose square is none.
    """
    if vectors.ndim != 2 or vectors.shape[1] < 1:
        raise InputError(f"Expected vectors of shape (lesions, features), got {vectors.shape}. Lay one lesion a row.")
    if not np.isfinite(vectors).all() or (vectors.size and np.abs(vectors).max() >= LARGEST):
        raise InputError(
            f"Expected finite numbers below {LARGEST:g} in the vectors of lesions, got others. "
            "Leave out the lesions that have no vector."
        )
    return np.ascontiguousarray(vectors, dtype=np.float32)


def checked_query(
    query: NDArray[np.float32], k: int, allowed: NDArray[np.bool_] | None, shape: tuple[int, ...]
) -> None:
    """Refuses what cannot be asked of (n, d) vectors, as `NearestIndex.search` says."""
    if query.shape != shape[1:] or not np.isfinite(query).all() or np.abs(query).max() >= LARGEST:
        raise InputError(
            f"Expected a vector of {shape[1]} finite numbers below {LARGEST:g} to search by, got one of shape "
            f"{query.shape}. Ask by a lesion that has a vector in this space."
        )
    if k < 1:
        raise InputError(f"Expected to look for 1 neighbour or more, got {k}. Ask for at least one.")
    if allowed is not None and (allowed.shape != shape[:1] or allowed.dtype != np.bool_):
        raise InputError(
            f"Expected a filter of {shape[0]} truth values, one a lesion, got {allowed.dtype} of shape "
            f"{allowed.shape}. Make it of the lesions that the index was made of."
        )
