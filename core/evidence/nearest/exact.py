"""All distances by one matrix product, and those that it cannot tell apart again in double precision."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from core.evidence.nearest.base import Nearest, checked_query, checked_vectors

_EPSILON, _TINY = float(np.finfo(np.float32).eps), float(np.finfo(np.float32).tiny)
#: Up to so many rows all distances are worked out in double precision at once.
_FEW = 256


class ExactIndex:
    """Every allowed vector is compared; none is lost."""

    name = "exact"

    def __init__(self, vectors: NDArray[np.float32]) -> None:
        """Args: vectors: (n, d), as `checked_vectors` takes them."""
        self.vectors = checked_vectors(vectors)
        self._squares = np.einsum("ij,ij->i", self.vectors, self.vectors)

    def search(self, query: NDArray[np.float32], k: int, allowed: NDArray[np.bool_] | None = None) -> Nearest:
        """As `NearestIndex.search`."""
        checked_query(query, k, allowed, self.vectors.shape)
        rows = None if allowed is None or allowed.all() else np.flatnonzero(allowed)
        count = len(self.vectors) if rows is None else len(rows)
        if count > max(k, _FEW):
            rows = self._cannot_be_ruled_out(query, k, rows)
        return self.sorted_by_distance(query, np.arange(count) if rows is None else rows, k)

    def sorted_by_distance(self, query: NDArray[np.float32], rows: NDArray[np.intp], k: int) -> Nearest:
        """The k nearest of some rows, in ascending order of row, each once; distances in double precision."""
        away = np.linalg.norm(self.vectors[rows].astype(np.float64) - query.astype(np.float64), axis=1)
        order = np.argsort(away, kind="stable")[:k]
        return rows[order], away[order]

    def _cannot_be_ruled_out(
        self, query: NDArray[np.float32], k: int, rows: NDArray[np.intp] | None
    ) -> NDArray[np.intp]:
        """The rows that single precision cannot rule out as one of the k nearest.

        The squared distance |v|² - 2 v·q + |q|² is wrong by at most a few roundings of (|v| + |q|)² for each feature
        (Higham 2002, 10.1137/1.9780898718027, section 3.1); a row is ruled out where k others are nearer by more.
        """
        vectors = self.vectors if rows is None else self.vectors[rows]
        squares = self._squares if rows is None else self._squares[rows]
        length = np.float32(query.astype(np.float64) @ query.astype(np.float64))
        near = squares - 2 * (vectors @ query.astype(np.float32)) + length
        roundings = 2 * (self.vectors.shape[1] + 4)
        slack = roundings * _EPSILON * (squares + length) + roundings * _TINY
        limit = np.partition(near + slack, k - 1)[k - 1]
        few = np.flatnonzero(near - slack <= limit)
        return few if rows is None else rows[few]
