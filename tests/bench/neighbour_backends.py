"""One backend of searching, measured in a process of its own: `python -m tests.bench.neighbour_backends NAME N D`.

Prints one row as JSON. A library that is not installed is a row that says so.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import ModelError
from core.evidence.nearest.approximate import ApproximateIndex
from core.evidence.nearest.base import NearestIndex
from core.evidence.nearest.exact import ExactIndex
from core.evidence.nearest.hnsw import hnsw_index
from core.evidence.nearest.ruvector_index import ruvector_index
from core.gates.mask.neighbours import EF, EF_CONSTRUCTION, M

K, QUERIES, HIDDEN = 10, 100, 6
#: Shares that a filter leaves.
SHARES = (0.01, 0.5)


def vectors(count: int, features: int, seed: int) -> NDArray[np.float32]:
    """(count, features) in spreads: they hang on six hidden ones, as shape does on size and form, and on chance."""
    weights = np.random.default_rng(1).normal(size=(HIDDEN, features))
    random = np.random.default_rng(seed)
    made = random.normal(size=(count, HIDDEN)) @ weights + 0.3 * random.normal(size=(count, features))
    return made.astype(np.float32)


def usearch_index(of: NDArray[np.float32]) -> ApproximateIndex:
    """An index by usearch, made and asked as the two others are."""
    from usearch.index import Index

    index = Index(
        ndim=of.shape[1], metric="l2sq", dtype="f32", connectivity=M, expansion_add=EF_CONSTRUCTION, expansion_search=EF
    )
    index.add(np.arange(len(of)), of, threads=1)

    def asked(query: NDArray[np.float32], count: int) -> NDArray[np.intp]:
        index.expansion_search = max(EF, 2 * count)
        return index.search(query, count, threads=1).keys.astype(np.intp)

    return ApproximateIndex("usearch", ExactIndex(of), asked)


MAKERS: dict[str, Callable[[NDArray[np.float32]], NearestIndex]] = {
    "exact": ExactIndex,
    "hnsw": hnsw_index,
    "usearch": usearch_index,
    "ruvector": ruvector_index,
}


def row(name: str, count: int, features: int) -> dict[str, Any]:
    """Recall of the 10 nearest, milliseconds a query (median of 100, one thread), seconds and MB of the making."""
    of, queries = vectors(count, features, 2), vectors(QUERIES, features, 3)
    what: dict[str, Any] = {"backend": name, "lesions": count, "features": features}
    try:
        MAKERS[name](of[:100])  # what its library loads is no part of an index
    except (ImportError, ModelError):
        return {**what, "recall": "not installed"}
    before, began = resident_mb(), time.process_time()
    index = MAKERS[name](of)
    made, grown = time.process_time() - began, resident_mb() - before
    what |= measured(index, of, queries, None, "")
    what |= {"made s": made, "MB": grown}
    for share in SHARES:
        allowed = np.random.default_rng(4).random(count) < share
        what |= measured(index, of, queries, allowed, f", {share:.0%} left")
    return what


def measured(
    index: NearestIndex,
    of: NDArray[np.float32],
    queries: NDArray[np.float32],
    allowed: NDArray[np.bool_] | None,
    after: str,
) -> dict[str, Any]:
    """Recall against all distances in double precision; processor and clock time."""
    rows = np.arange(len(of)) if allowed is None else np.flatnonzero(allowed)
    those, hits, busy, clock = of[rows].astype(np.float64), 0, [], []
    for query in queries:
        right = rows[np.argpartition(np.linalg.norm(those - query, axis=1), min(K, len(rows)) - 1)[:K]]
        at, by = time.perf_counter(), time.process_time()
        found, _ = index.search(query, K, allowed)
        busy.append(time.process_time() - by)
        clock.append(time.perf_counter() - at)
        hits += len(np.intersect1d(found, right))
    answer = {f"recall{after}": hits / (len(queries) * min(K, len(rows))), f"ms{after}": 1e3 * statistics.median(busy)}
    return answer if after else {**answer, "ms by the clock": 1e3 * statistics.median(clock)}


def resident_mb(process: int | str = "self") -> float:
    """What a process holds of memory; this one, or that of a number."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


if __name__ == "__main__":
    print(json.dumps(row(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
