"""Embeddings on disk: a slice that any process has embedded answers prompts at once, also after a restart.

A file a slice, named by scan, axis, slice, checkpoint and the way the slice was prepared. Features are kept in half
precision, as `SamSegmenter` rounds them in any case, so that a mask is the same whether its embedding was kept or not.
The folder can be deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from core.engines.base import PromptSegmenter
from core.engines.prompt.encoder import cache_folder, write_whole
from core.errors import InputError
from core.settings import settings

log = logging.getLogger("twinreview.engines")

#: After eviction this share of the limit is left, so that it is not needed again at once.
SHARE_AFTER_EVICTION = 0.9
#: A temporary file older than this was left by a process that died.
STALE_S = 3600.0
_DIGEST_BYTES = 16
_SUFFIX = ".emb"

#: (k, image (I, J) uint8) -> embedding.
SliceEmbed = Callable[[int, NDArray[np.uint8]], Any]


@runtime_checkable
class KeepsEmbeddings(Protocol):
    """A segmenter whose embeddings can be kept; `embedding_key` tells checkpoint and preparation."""

    embedding_key: str

    def embed(self, image: NDArray[np.uint8], slot: Slot | None = None) -> Any: ...
    def remembers(self, image: NDArray[np.uint8]) -> bool: ...


@dataclass(frozen=True, eq=False)
class Features:
    """A stored embedding: features (1, C, H, W) float16, and the slice's size there before padding."""

    features: NDArray[np.float16]
    resized: tuple[int, int]


@dataclass(frozen=True)
class Slot:
    """The place of one slice's embedding."""

    store: EmbeddingStore
    path: Path

    def read(self) -> Features | None:
        """The stored embedding; None without one, or if it is damaged (it is then removed)."""
        try:
            content = self.path.read_bytes()
        except OSError:
            return None
        try:
            features = _unpack(content)
            os.utime(self.path)  # the last use decides what is evicted first
        except ValueError:
            log.warning("a damaged embedding was removed; it is computed again")
            self.path.unlink(missing_ok=True)
            return None
        except OSError:  # evicted meanwhile: what was read is whole
            return features
        return features

    def write(self, features: Features) -> None:
        """Keeps it, whole or not at all. A disk that is full or read-only is logged, not raised: it is only a cache."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            content = _pack(features)
            write_whole(self.path, content)
            self.store.wrote(len(content))
        except OSError as problem:
            log.warning("an embedding could not be kept: %s", problem.strerror)


class EmbeddingStore:
    """Embeddings in one folder, the least recently used given up beyond `limit_bytes`; safe with several processes."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self.folder, self.limit_bytes = folder, limit_bytes
        self._unweighed: int | None = None

    def slot(self, embedding_key: str, scan_sha256: str, axis: int, k: int) -> Slot:
        """The place for slice `k` across `axis` of a scan."""
        return Slot(self, self._of(embedding_key, scan_sha256) / f"{axis}-{k:05d}{_SUFFIX}")

    def ready(self, embedding_key: str, scan_sha256: str, axis: int) -> list[int]:
        """The slices that are there, ascending."""
        found = self._of(embedding_key, scan_sha256).glob(f"{axis}-*{_SUFFIX}")
        return sorted(int(path.stem.split("-")[1]) for path in found)

    def embedder(self, segmenter: PromptSegmenter, scan_sha256: str, axis: int) -> SliceEmbed:
        """`segmenter.embed` for the slices of one scan, through this store where the segmenter's can be kept."""
        if not isinstance(segmenter, KeepsEmbeddings):
            return lambda k, image: segmenter.embed(image)
        keeps = segmenter
        return lambda k, image: keeps.embed(image, self.slot(keeps.embedding_key, scan_sha256, axis, k))

    def wrote(self, size: int) -> None:
        """Counts what this process wrote; weighs the whole folder at first and after every fiftieth of the limit."""
        if self._unweighed is None or self._unweighed + size > self.limit_bytes / 50:
            self.trim()
            self._unweighed = 0
        else:
            self._unweighed += size

    def trim(self) -> None:
        """Removes the least recently used embeddings beyond the limit, and what dead processes left behind."""
        files = sorted(self._files())
        total = sum(size for _, size, _ in files)
        if total <= self.limit_bytes:
            return
        for _, size, path in files:
            if total <= self.limit_bytes * SHARE_AFTER_EVICTION:
                break
            path.unlink(missing_ok=True)
            total -= size

    def _files(self) -> Iterator[tuple[float, int, Path]]:
        """(last use, bytes, path) of every embedding."""
        now = time.time()
        for path in self.folder.glob("*/*/*"):
            try:
                facts = path.stat()
            except OSError:  # another process evicted it
                continue
            if path.suffix == _SUFFIX:
                yield facts.st_mtime, facts.st_size, path
            elif now - facts.st_mtime > STALE_S:
                path.unlink(missing_ok=True)

    def _of(self, embedding_key: str, scan_sha256: str) -> Path:
        if not (scan_sha256.isalnum() and embedding_key.replace("-", "").isalnum()):
            raise InputError(f"Expected a scan's SHA-256, got {scan_sha256!r}.")
        return self.folder / embedding_key / scan_sha256


def open_embeddings(folder: Path | None = None) -> EmbeddingStore:
    """The store in `folder`, by default `embeddings` in the cache folder; TWIN_EMBEDDING_CACHE_GB (default 4) at most.

    Raises:
        InputError: when that is not a number of 0 or more.
    """
    return EmbeddingStore(folder or cache_folder() / "embeddings", int(settings().embedding_cache_gb * 1e9))


def _pack(features: Features) -> bytes:
    """16 bytes of digest; then of what it is of: a line of JSON, and the numbers in C order."""
    array = np.ascontiguousarray(features.features, dtype="<f2")
    head = json.dumps({"shape": array.shape, "resized": features.resized}).encode()
    body = head + b"\n" + array.tobytes()
    return hashlib.blake2b(body, digest_size=_DIGEST_BYTES).digest() + body


def _unpack(content: bytes) -> Features:
    """Inverse of `_pack`; ValueError for anything it did not write."""
    body = content[_DIGEST_BYTES:]
    if hashlib.blake2b(body, digest_size=_DIGEST_BYTES).digest() != content[:_DIGEST_BYTES]:
        raise ValueError("digest")
    head, _, numbers = body.partition(b"\n")
    facts = json.loads(head)
    array = np.frombuffer(numbers, dtype="<f2").reshape(facts["shape"])
    return Features(array, (int(facts["resized"][0]), int(facts["resized"][1])))
