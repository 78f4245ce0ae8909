"""Neighbours of all lesions, as the mask gate is fitted: exact distances (NumPy) against an index (hnswlib).

Seconds of processor time, one thread; a patient has ten lesions. One lesion's neighbours are in `bench_backends`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.gates.mask import neighbours
from core.lesions.shape import VECTOR_NAMES
from tests.bench.neighbour_backends import vectors

SIZES = (10_000, 30_000, 100_000, 500_000)
#: Beyond it the distances of all to all take minutes.
ALL_EXACTLY, ALL_BY_INDEX = 30_000, 100_000
K, OWN = 5, 10


def run(most: int = SIZES[-1]) -> list[dict[str, Any]]:
    """One row a size, none of more lesions than `most`."""
    return [_row(count) for count in SIZES if count <= most]


def _row(count: int) -> dict[str, Any]:
    of = vectors(count, len(VECTOR_NAMES), 2)
    scaled, owners = of.astype(np.float64), np.arange(count) // OWN
    all_by_index = partial(neighbours._by_index, scaled, owners, K)
    return {
        "lesions": count,
        "index made": _seconds(partial(neighbours.index_of, of)),
        "all, NumPy": _seconds(partial(_all_exactly, scaled, owners)) if count <= ALL_EXACTLY else None,
        "all, index and its making": _seconds(all_by_index) if count <= ALL_BY_INDEX else None,
    }


def _all_exactly(scaled: NDArray[np.float64], owners: NDArray[np.intp]) -> None:
    for start in range(0, len(scaled), neighbours.ROWS_AT_ONCE):
        neighbours.nearest_of(scaled, owners, slice(start, start + neighbours.ROWS_AT_ONCE), K)


def _seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began
