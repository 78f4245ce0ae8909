"""Which index searches: the one that the setting names, or the fastest honest one for so many lesions."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from core.evidence.nearest.approximate import held_to_the_exact
from core.evidence.nearest.base import NearestIndex
from core.evidence.nearest.exact import ExactIndex
from core.evidence.nearest.hnsw import hnsw_index
from core.evidence.nearest.ruvector_index import ruvector_index
from core.settings import settings

Backend = Literal["auto", "exact", "hnsw", "ruvector"]
BACKENDS: tuple[Backend, ...] = get_args(Backend)
#: From so many lesions on "auto" takes hnswlib: below, all distances take a few milliseconds and nothing need be made.
INDEX_FROM = 100_000


def make_index(vectors: NDArray[np.float32], backend: Backend = "auto") -> NearestIndex:
    """An index of (n, d) vectors; row i is lesion i of whatever the caller keeps beside them.

    An index of a library that misses more than one neighbour in a hundred is not used, and the exact one stands in.

    Raises:
        InputError: vectors as `checked_vectors` refuses them, or no such backend.
        ModelError: the backend is not installed.
    """
    if backend not in BACKENDS:
        raise InputError(f"Expected one of {', '.join(BACKENDS)} to search by, got {backend!r}. Name one of these.")
    if backend == "exact" or (backend == "auto" and len(vectors) < INDEX_FROM):
        return ExactIndex(vectors)
    return held_to_the_exact(ruvector_index(vectors) if backend == "ruvector" else hnsw_index(vectors))


def index_in_force(vectors: NDArray[np.float32]) -> NearestIndex:
    """The index of (n, d) vectors that the setting TWIN_NEIGHBOURS asks for."""
    return make_index(vectors, settings().neighbours)
