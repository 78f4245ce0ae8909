"""Searching by hnswlib: made as the mask gate's index is, and asked with more care where more is asked for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from core.evidence.nearest.approximate import ApproximateIndex
from core.evidence.nearest.exact import ExactIndex
from core.gates.mask.neighbours import EF, index_of


def hnsw_index(vectors: NDArray[np.float32]) -> ApproximateIndex:
    """An index of (n, d) vectors.

    Source: Malkov and Yashunin 2018, 10.1109/TPAMI.2018.2889473.
    """
    exact = ExactIndex(vectors)
    index = index_of(exact.vectors)

    def asked(query: NDArray[np.float32], count: int) -> NDArray[np.intp] | None:
        index.set_ef(max(EF, 2 * count))
        try:
            return index.knn_query(query[None], k=count, num_threads=1)[0][0].astype(np.intp)
        except RuntimeError:  # it reaches fewer than were asked for
            return None

    return ApproximateIndex("hnsw", exact, asked)
