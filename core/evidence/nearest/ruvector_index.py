"""Searching by RuVector, where it is installed: `pip install -r requirements-extra.txt`.

Version 0.1.3 is an HNSW whose vectors bear text ids and metadata. Its own filter is an exact match that is applied to
what the search has found, so that it loses neighbours where few pass; and it looks at as many candidates as were
settled when it was made, whatever a search asks for. So it is asked here as hnswlib is, and a search for more than that
is answered exactly.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from core.errors import ModelError
from core.evidence.nearest.approximate import ApproximateIndex
from core.evidence.nearest.exact import ExactIndex
from core.gates.mask.neighbours import EF, EF_CONSTRUCTION, M

#: Vectors handed over together.
_BATCH = 10_000


def ruvector_index(vectors: NDArray[np.float32]) -> ApproximateIndex:
    """An index of (n, d) vectors.

    Raises:
        ModelError: RuVector is not installed.
    """
    try:
        from ruvector import HnswIndex
    except ImportError:
        raise ModelError(
            "Expected the package ruvector for TWIN_NEIGHBOURS=ruvector, and it is not installed. "
            "Install it (pip install -r requirements-extra.txt) or set TWIN_NEIGHBOURS to auto."
        ) from None
    exact = ExactIndex(vectors)
    index = HnswIndex.create(
        exact.vectors.shape[1], metric="euclidean", m=M, ef_construction=EF_CONSTRUCTION, ef_search=EF
    )
    for start in range(0, len(exact.vectors), _BATCH):
        batch = exact.vectors[start : start + _BATCH]
        index.insert_batch([str(start + row) for row in range(len(batch))], batch)

    def asked(query: NDArray[np.float32], count: int) -> NDArray[np.intp] | None:
        if count > EF // 2:
            return None
        return np.array([int(name) for name, _, _ in index.search(query, count)], dtype=np.intp)

    return ApproximateIndex("ruvector", exact, asked)
