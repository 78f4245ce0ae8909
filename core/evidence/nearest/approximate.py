"""What an index that may miss neighbours is held to: its recall when it is made, and no filter that loses one.

A filter that leaves few rows is answered exactly. One that leaves many asks the index for as many more as it takes
away; where that brings fewer than were asked for, all allowed rows are compared.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from core.evidence.nearest.base import Nearest, checked_query
from core.evidence.nearest.exact import ExactIndex
from core.gates.mask.neighbours import LEAST_RECALL

logger = logging.getLogger("twinreview.evidence")

#: A filter that leaves so many rows or fewer is answered by comparing them all: it takes about a millisecond.
EXACT_UP_TO = 10_000
#: The index is asked for so many times as many as the filter would leave of them on average.
MORE_THAN_THE_FILTER_TAKES = 2.0
#: Neighbours in the check of recall, and how many rows ask for theirs.
K_CHECKED, SAMPLE = 10, 200

#: Rows that an index finds for a query, about as many as were asked for; None where it gives up.
Asked = Callable[[NDArray[np.float32], int], NDArray[np.intp] | None]


class ApproximateIndex:
    """An index of some library behind the one interface, with the exact one beside it for what it cannot answer."""

    def __init__(self, name: str, exact: ExactIndex, asked: Asked) -> None:
        """Args: asked: what the library finds among the vectors of `exact`."""
        self.name, self.exact, self._asked = name, exact, asked

    def search(self, query: NDArray[np.float32], k: int, allowed: NDArray[np.bool_] | None = None) -> Nearest:
        """As `NearestIndex.search`; without a filter, or with one that leaves many rows, with the index's recall."""
        checked_query(query, k, allowed, self.exact.vectors.shape)
        count = len(self.exact.vectors)
        left = count if allowed is None else int(np.count_nonzero(allowed))
        ask = k if left == count else int(np.ceil(MORE_THAN_THE_FILTER_TAKES * k * count / max(1, left))) + k
        if (allowed is not None and left <= EXACT_UP_TO) or ask >= count:
            return self.exact.search(query, k, allowed)
        rows = self._asked(query.astype(np.float32), ask)
        if rows is not None:
            rows = np.unique(rows if allowed is None else rows[allowed[rows]])
        if rows is None or len(rows) < min(k, left):
            return self.exact.search(query, k, allowed)
        return self.exact.sorted_by_distance(query, rows, k)

    def recall(self) -> float:
        """The share of the true 10 nearest among those found, over 200 rows spread over all; 1 where there is none."""
        rows = np.unique(np.linspace(0, len(self.exact.vectors) - 1, SAMPLE).astype(np.intp))
        hits = possible = 0
        for query in self.exact.vectors[rows] if len(self.exact.vectors) else ():
            right = self.exact.search(query, K_CHECKED)[0]
            hits += len(np.intersect1d(right, self.search(query, K_CHECKED)[0]))
            possible += len(right)
        return hits / possible if possible else 1.0


def held_to_the_exact(index: ApproximateIndex) -> ApproximateIndex | ExactIndex:
    """The index where it finds at least `LEAST_RECALL` of the true neighbours, else the exact one, with a warning."""
    if (recall := index.recall()) >= LEAST_RECALL:
        return index
    logger.warning(
        "%s found %.3f of the neighbours of %d lesions and is not used", index.name, recall, len(index.exact.vectors)
    )
    return index.exact
