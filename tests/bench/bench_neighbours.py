"""Nearest neighbours among many lesions: exact distances (NumPy) against an index (hnswlib).

Of one lesion, as a mask is judged, and of all of them, as the mask gate is fitted. Vectors are made: as many features
as shape vectors have, which hang on six hidden ones as shape does on size and form. A patient has ten lesions.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import hnswlib
import numpy as np
from numpy.typing import NDArray

from core.gates.mask import neighbours
from core.lesions.shape import VECTOR_NAMES

SIZES = (10_000, 30_000, 100_000, 500_000)
#: Beyond it the distances of all to all take minutes.
ALL_EXACTLY, ALL_BY_INDEX = 30_000, 100_000
K, OWN, QUERIES, HIDDEN = 5, 10, 50, 6


def vectors(count: int, seed: int) -> NDArray[np.float64]:
    """(count, features) in spreads."""
    weights = np.random.default_rng(1).normal(size=(HIDDEN, len(VECTOR_NAMES)))
    random = np.random.default_rng(seed)
    return random.normal(size=(count, HIDDEN)) @ weights + 0.3 * random.normal(size=(count, len(VECTOR_NAMES)))


def run() -> list[dict[str, Any]]:
    """One row a size, seconds of processor time."""
    return [_row(count) for count in SIZES]


def _row(count: int) -> dict[str, Any]:
    scaled, queries = vectors(count, 2), vectors(QUERIES, 3)
    owners = np.arange(count) // OWN
    index = hnswlib.Index(space="l2", dim=scaled.shape[1])
    index.init_index(max_elements=count, M=16, ef_construction=200, random_seed=7)
    built = _seconds(lambda: index.add_items(scaled.astype(np.float32), num_threads=1))
    index.set_ef(200)
    exact = [_seconds(partial(_exactly, scaled, query)) for query in queries]
    single = [query.astype(np.float32)[None] for query in queries]
    found = [_seconds(partial(index.knn_query, query, k=K + OWN, num_threads=1)) for query in single]
    hits = 0
    for query in queries:
        hits += len(
            set(_exactly(scaled, query)) & set(index.knn_query(query.astype(np.float32)[None], k=K + OWN)[0][0])
        )
    all_by_index = partial(neighbours._by_index, scaled, owners, K)
    return {
        "lesions": count,
        "one, NumPy": statistics.median(exact),
        "one, index": statistics.median(found),
        "recall": hits / (QUERIES * (K + OWN)),
        "index made": built,
        "all, NumPy": _seconds(partial(_all_exactly, scaled, owners)) if count <= ALL_EXACTLY else None,
        "all, index and its making": _seconds(all_by_index) if count <= ALL_BY_INDEX else None,
    }


def _exactly(scaled: NDArray[np.float64], query: NDArray[np.float64]) -> NDArray[np.intp]:
    return np.argpartition(np.linalg.norm(scaled - query, axis=1), K + OWN)[: K + OWN]


def _all_exactly(scaled: NDArray[np.float64], owners: NDArray[np.intp]) -> None:
    for start in range(0, len(scaled), neighbours.ROWS_AT_ONCE):
        neighbours.nearest_of(scaled, owners, slice(start, start + neighbours.ROWS_AT_ONCE), K)


def _seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began
