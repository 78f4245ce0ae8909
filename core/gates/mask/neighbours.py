"""The nearest reference lesions of other patients: exactly, or of very many by an index held to the exact answer.

One lesion's distances to all others take NumPy 10 ms among 100,000, so what judges a mask needs no index. Fitting asks
for the neighbours of every lesion, which grows with the square of their number: there an index pays
(docs/benchmarks.md, "Neighbours of a lesion").

Source: Malkov and Yashunin 2018, 10.1109/TPAMI.2018.2889473.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

if TYPE_CHECKING:
    import hnswlib

logger = logging.getLogger("twinreview.gates")

#: From so many reference lesions on the index is faster than all distances, its making included.
INDEX_FROM = 10_000
#: Share of the true neighbours, over a sample, below which the index is not used.
LEAST_RECALL = 0.99
SAMPLE = 200
#: Lesions whose distances to all others are looked at together: 36 MB for 9,000 of them.
ROWS_AT_ONCE = 512
#: The index's links a lesion, how many it looks at while it is made and, at least, while it is searched.
M, EF_CONSTRUCTION, EF, SEED = 16, 200, 200, 7
#: Squares of larger numbers are none in single precision, in which an index searches.
LARGEST = 1e15

#: (rows, k) indices, nearest first, -1 where there are fewer; (rows,) mean distances, NaN where there are fewer.
Neighbours = tuple[NDArray[np.int32], NDArray[np.float64]]


def nearest_of_all(scaled: NDArray[np.float64], owners: NDArray[np.intp], k: int) -> Neighbours:
    """For each row of (n, d) vectors its k nearest of other owners (n,); by an index where that is faster and finds
    at least `LEAST_RECALL` of them. Distances are exact either way."""
    if len(scaled) >= INDEX_FROM and np.abs(scaled).max() < LARGEST:
        found = _by_index(scaled, owners, k)
        recall = 0.0 if found is None else recall_of(found[0], scaled, owners, k)
        if found is not None and recall >= LEAST_RECALL:
            return found
        logger.warning("the index found %.3f of the neighbours of %d lesions and is not used", recall, len(scaled))
    return _joined([nearest_of(scaled, owners, rows, k) for rows in _chunks(len(scaled))], k)


def recall_of(found: NDArray[np.int32], scaled: NDArray[np.float64], owners: NDArray[np.intp], k: int) -> float:
    """The share of true neighbours among those found, over `SAMPLE` rows spread over all; 1 where there are none."""
    rows = np.unique(np.linspace(0, len(scaled) - 1, SAMPLE).astype(np.intp))
    right, _ = nearest_of(scaled, owners, rows, k)
    hits = [len(set(a[a >= 0].tolist()) & set(b.tolist())) for a, b in zip(right, found[rows], strict=True)]
    return sum(hits) / max(1, int((right >= 0).sum()))


def nearest_of(
    scaled: NDArray[np.float64],
    owners: NDArray[np.intp],
    rows: slice | NDArray[np.intp],
    k: int,
    left_out: NDArray[np.bool_] | None = None,
) -> Neighbours:
    """For some rows of (n, d) vectors their k nearest of other owners, exactly.

    Args:
        owners: (n,); left_out: (n,) rows that are nobody's neighbours.
    """
    away = cdist(scaled[rows], scaled)
    away[owners[rows][:, None] == owners[None, :]] = np.inf
    if left_out is not None:
        away[:, left_out] = np.inf
    return _least(away, np.broadcast_to(np.arange(len(scaled), dtype=np.int32), away.shape), k)


def _least(away: NDArray[np.float64], labels: NDArray[np.int32], k: int) -> Neighbours:
    """The k least of (rows, m) distances, inf where there is no neighbour, and their labels."""
    found = np.full((len(away), k), -1, np.int32)
    means = np.full(len(away), np.nan)
    count = min(k, away.shape[1])
    few = np.argpartition(away, count - 1, axis=1)[:, :count]
    few = np.take_along_axis(few, np.argsort(np.take_along_axis(away, few, axis=1), axis=1, kind="stable"), axis=1)
    distances = np.take_along_axis(away, few, axis=1)
    found[:, :count] = np.where(np.isfinite(distances), np.take_along_axis(labels, few, axis=1), -1)
    whole = (found >= 0).all(axis=1)
    means[whole] = distances[whole].mean(axis=1)
    return found, means


def _by_index(scaled: NDArray[np.float64], owners: NDArray[np.intp], k: int) -> Neighbours | None:
    """As `nearest_of` for all rows, but for neighbours that the index misses; None where it finds too few of them.

    An owner's own lesions are passed over by asking for as many more as the owner has.
    """
    index = index_of(scaled.astype(np.float32))
    _, which, counts = np.unique(owners, return_inverse=True, return_counts=True)
    found = []
    for rows in _chunks(len(scaled)):
        ask = min(len(scaled), k + int(counts[which[rows]].max()))
        index.set_ef(max(EF, 2 * ask))  # hnswlib forgets it with the index, and a low one misses neighbours
        try:
            labels = index.knn_query(scaled[rows].astype(np.float32), k=ask, num_threads=1)[0].astype(np.int32)
        except RuntimeError:
            return None
        away = np.linalg.norm(scaled[labels] - scaled[rows][:, None, :], axis=2)
        away[which[labels] == which[rows][:, None]] = np.inf
        found.append(_least(away, labels, k))
    return _joined(found, k)


def index_of(vectors: NDArray[np.float32]) -> hnswlib.Index:
    """An index of (n, d) vectors by their Euclidean distance, squared; the same one every time."""
    import hnswlib  # here: what reads a stored gate does without it

    index = hnswlib.Index(space="l2", dim=vectors.shape[1])
    index.init_index(max_elements=max(1, len(vectors)), M=M, ef_construction=EF_CONSTRUCTION, random_seed=SEED)
    if len(vectors):
        index.add_items(vectors, num_threads=1)  # several threads link it anew every time
    return index


def _chunks(count: int) -> list[slice]:
    return [slice(start, start + ROWS_AT_ONCE) for start in range(0, count, ROWS_AT_ONCE)]


def _joined(parts: list[Neighbours], k: int) -> Neighbours:
    if not parts:
        return np.empty((0, k), np.int32), np.empty(0)
    return np.concatenate([found for found, _ in parts]), np.concatenate([means for _, means in parts])
