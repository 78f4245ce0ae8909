"""Nearest masks by shape: an hnswlib index over the vectors that the database holds.

The index is a cache: `from_rows(store.vectors.all())` makes it again at any time. hnswlib's own traps, met here: `ef`
is not stored with an index and a low one misses neighbours, which would inflate distances and so raise false alarms;
adding and querying must not overlap; NaN is accepted silently; 'l2' is the squared distance.

Source: Malkov and Yashunin 2018, 10.1109/TPAMI.2018.2889473.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.errors import InputError
from core.remembered.rows import ShapeVector
from store.files.mask_files import fsync_dir

if TYPE_CHECKING:
    import hnswlib

#: Up to this many vectors every query looks at all of them (ef >= n), which makes the answer exact.
EXACT_UP_TO = 20_000
_M = 16
_EF_CONSTRUCTION = 200
_SEED = 7


class Neighbour(NamedTuple):
    """One answer: whose lesion it is, and the Euclidean distance in the vector's own units."""

    mask_id: str
    lesion_id: str
    patient_id: str
    distance: float


class VectorIndex:
    """Shape vectors of lesions, to be asked for the nearest ones. Any thread may add and query.

    Args:
        dimension: length of every vector, at least 1.
    """

    def __init__(self, dimension: int) -> None:
        if dimension < 1:
            raise InputError(f"Expected vectors of at least one number, got {dimension}.")
        self.dimension = int(dimension)
        self._lock = threading.Lock()
        self._keys: list[tuple[str, str, str]] = []
        self._label: dict[tuple[str, str], int] = {}
        self._vectors: list[NDArray[np.float64]] = []
        self._index = _new_index(self.dimension, 64)

    def __len__(self) -> int:
        return len(self._keys)

    @classmethod
    def from_rows(
        cls, rows: Sequence[ShapeVector], scale: Callable[[NDArray[np.float64]], ArrayLike] | None = None
    ) -> Self:
        """An index of the vectors of `Vectors.all`; `scale` is applied to each vector (n,) first.

        Raises:
            InputError: for no rows, vectors of different length, or numbers that are not finite.
        """
        if not rows:
            raise InputError("Expected at least one vector. Accept some masks first.")
        vectors = [np.asarray(row.vector, dtype=np.float64) for row in rows]
        scaled = [np.asarray(scale(v) if scale else v, dtype=np.float64) for v in vectors]
        index = cls(len(scaled[0]))
        for row, vector in zip(rows, scaled, strict=True):
            index.add(row.mask_id, row.lesion_id, row.patient_id, vector)
        return index

    def add(self, mask_id: str, lesion_id: str, patient_id: str, vector: ArrayLike) -> None:
        """Add the vector (dimension,) of a lesion in a mask; a second one of the same lesion replaces the first.

        Raises:
            InputError: if it has another length or is not finite.
        """
        values = self._checked(vector)
        with self._lock:
            label = self._label.setdefault((mask_id, lesion_id), len(self._keys))
            if label == len(self._keys):
                self._keys.append((mask_id, lesion_id, patient_id))
                self._vectors.append(values)
            else:
                self._keys[label] = (mask_id, lesion_id, patient_id)
                self._vectors[label] = values
            if len(self._keys) > self._index.get_max_elements():
                self._index.resize_index(2 * self._index.get_max_elements())
            self._index.add_items(values.astype(np.float32)[None], np.array([label]), num_threads=1)

    def query(self, vector: ArrayLike, k: int, exclude_patient: str | None = None) -> list[Neighbour]:
        """The k nearest, nearest first; fewer when fewer are eligible, [] when none is.

        Args:
            vector: (dimension,), finite.
            k: at least 1.
            exclude_patient: no lesion of this patient is an answer.

        Raises:
            InputError: if the vector has another length or is not finite, or k is below 1.
        """
        values = self._checked(vector)
        if k < 1:
            raise InputError(f"Expected k of at least 1, got {k}.")
        with self._lock:
            allowed = [n for n, key in enumerate(self._keys) if key[2] != exclude_patient]
            if not allowed:
                return []
            found = self._search(values, min(k, len(allowed)), None if exclude_patient is None else set(allowed))
            # hnswlib finds in single precision; the distances told are exact
            exact = sorted((float(np.linalg.norm(self._vectors[n] - values)), n) for n in found)
            return [Neighbour(*self._keys[n], distance) for distance, n in exact]

    def _search(self, values: NDArray[np.float64], k: int, allowed: set[int] | None) -> list[int]:
        count = len(self._keys)
        self._index.set_ef(max(count if count <= EXACT_UP_TO else 1_000, 10 * k))
        accept = None if allowed is None else allowed.__contains__
        try:
            labels, _ = self._index.knn_query(values.astype(np.float32)[None], k=k, num_threads=1, filter=accept)
        except RuntimeError:  # it could not fill k under the filter; look at every vector instead
            candidates = sorted(allowed) if allowed is not None else list(range(count))
            distances = np.linalg.norm(np.stack([self._vectors[n] for n in candidates]) - values, axis=1)
            return [candidates[n] for n in np.argsort(distances, kind="stable")[:k]]
        return [int(label) for label in labels[0]]

    def _checked(self, vector: ArrayLike) -> NDArray[np.float64]:
        values = np.array(vector, dtype=np.float64)  # a copy: the caller's array may change
        if values.shape != (self.dimension,):
            raise InputError(f"Expected a vector of {self.dimension} numbers, got the shape {values.shape}.")
        if not (np.abs(values) <= np.finfo(np.float32).max).all():  # hnswlib is single precision; NaN fails this too
            raise InputError("Expected finite numbers in the shape vector. Measure the mask again.")
        return values

    def fingerprint(self) -> str:
        """SHA-256 over keys and vectors: two indices of the same content have the same."""
        return _fingerprint(self._keys, self._vectors)

    def save(self, path: Path) -> None:
        """Write the index as a cache, with its fingerprint beside it (path + ".json")."""
        with self._lock:
            temporary = path.with_name(path.name + ".tmp")
            self._index.save_index(str(temporary))
            digest = hashlib.sha256(temporary.read_bytes()).hexdigest()
            facts = {"content": _fingerprint(self._keys, self._vectors), "sha256": digest}
            path.with_name(path.name + ".json").unlink(missing_ok=True)  # never an old fact beside a new index
            os.replace(temporary, path)
            path.with_name(path.name + ".json").write_text(json.dumps(facts), encoding="utf-8")
            fsync_dir(path.parent)

    @classmethod
    def load(cls, path: Path, rows: Sequence[ShapeVector]) -> Self:
        """The cached index of `rows` if the cache is of exactly these, else made anew from them.

        The cache must be the store's own: hnswlib's format is not safe to read from strangers.
        """
        keys = [(row.mask_id, row.lesion_id, row.patient_id) for row in rows]
        vectors = [np.asarray(row.vector, dtype=np.float64) for row in rows]
        try:
            facts = json.loads(path.with_name(path.name + ".json").read_text(encoding="utf-8"))
            data = path.read_bytes()
        except (OSError, ValueError):
            return cls.from_rows(rows)
        if not rows or facts != {"content": _fingerprint(keys, vectors), "sha256": hashlib.sha256(data).hexdigest()}:
            return cls.from_rows(rows)
        index = cls(len(vectors[0]))
        index._keys, index._vectors = keys, [index._checked(vector) for vector in vectors]
        index._label = {key[:2]: label for label, key in enumerate(keys)}
        index._index = _new_index(index.dimension, 0)
        index._index.load_index(str(path), max_elements=max(64, 2 * len(index)))
        return index


def _fingerprint(keys: Sequence[tuple[str, str, str]], vectors: Sequence[NDArray[np.float64]]) -> str:
    digest = hashlib.sha256(json.dumps(list(keys)).encode("ascii"))
    for vector in vectors:
        digest.update(vector.astype("<f8").tobytes())
    return digest.hexdigest()


def _new_index(dimension: int, capacity: int) -> hnswlib.Index:
    import hnswlib  # here, so that the store can be imported where the package is not

    index = hnswlib.Index(space="l2", dim=dimension)
    if capacity:
        index.init_index(max_elements=capacity, M=_M, ef_construction=_EF_CONSTRUCTION, random_seed=_SEED)
    return index
