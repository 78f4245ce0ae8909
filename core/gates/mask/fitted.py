"""A mask gate that was fitted once, with the lesions it knows: made by a job, stored as one file, swapped whole.

The file is a cache below the data root: it can be made again from the database at any time. What it was made of, and
its SHA-256, stand in the audit (`reference_sets`, kind `KIND`), so no other file is taken for it.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from core.gates.mask.conformal import MaskGate
from core.remembered.rows import ShapeVector
from core.remembered.sources import HasReferenceSets, HasRoot

KIND = "fitted-mask-gate"
K_NEAREST = 5
ALPHA = 0.05
_FORMAT = 1
#: Arrays of a `MaskGate` as they are stored.
_ARRAYS = ("centre", "spread", "scaled", "calibration", "neighbours")


class FittedStore(HasRoot, HasReferenceSets, Protocol):
    """The parts of a store that a fitted gate lies in."""


class ReferenceLesion(NamedTuple):
    """A lesion that the gate knows."""

    mask_id: str
    lesion_id: str
    patient_id: str
    timepoint: str
    version: int


@dataclass(frozen=True, eq=False)
class FeatureGate:
    """The gate over all reference lesions that were measured by the same features, one lesion a row of `gate`."""

    lesions: tuple[ReferenceLesion, ...]
    gate: MaskGate


@dataclass(frozen=True, eq=False)
class FittedGate:
    """The gate over a whole reference; vectors of other features are compared among themselves.

    Args:
        model_id: SHA-256 of what it was made of (64 hex digits).
        seq: the audit entry up to which it knows what was accepted.
        parts: by feature names.
    """

    model_id: str
    seq: int
    parts: Mapping[tuple[str, ...], FeatureGate]

    @cached_property
    def lesions(self) -> tuple[ReferenceLesion, ...]:
        """All lesions that it knows."""
        return tuple(lesion for part in self.parts.values() for lesion in part.lesions)

    @property
    def calibration(self) -> NDArray[np.float64]:
        """The calibration scores (n,) of lesions with enough neighbours of other patients, of all features."""
        scores = np.concatenate([part.gate.calibration for part in self.parts.values()] or [np.empty(0)])
        return scores[~np.isnan(scores)]

    def to_bytes(self) -> bytes:
        """The bytes of a file in NumPy's own format, without pickles."""
        arrays: dict[str, NDArray[Any]] = {}
        parts = []
        for number, (names, part) in enumerate(self.parts.items()):
            parts.append({"names": list(names), "lesions": [list(lesion) for lesion in part.lesions]})
            arrays |= {f"{name}_{number}": getattr(part.gate, name) for name in _ARRAYS}
        facts = {"format": _FORMAT, "model_id": self.model_id, "seq": self.seq, "k": K_NEAREST, "alpha": ALPHA}
        header = json.dumps({**facts, "parts": parts}).encode("ascii")
        file = io.BytesIO()
        np.savez(file, allow_pickle=False, header=np.frombuffer(header, np.uint8), **arrays)
        return file.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> FittedGate:
        """Inverse of `to_bytes`. Raises ValueError or KeyError for anything else."""
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            header = json.loads(arrays["header"].tobytes())
            if header["format"] != _FORMAT:
                raise ValueError(f"Expected a mask gate of format {_FORMAT}, got {header['format']}.")
            parts = {}
            for number, part_header in enumerate(header["parts"]):
                lesions = tuple(ReferenceLesion(*lesion) for lesion in part_header["lesions"])
                values = {name: arrays[f"{name}_{number}"] for name in _ARRAYS}
                owners = tuple(lesion.patient_id for lesion in lesions)
                names = tuple(part_header["names"])
                gate = MaskGate(names=names, patient_ids=owners, k=header["k"], alpha=header["alpha"], **values)
                parts[names] = FeatureGate(lesions, gate)
            return cls(header["model_id"], header["seq"], parts)


def fit(rows: Iterable[ShapeVector], seq: int) -> FittedGate:
    """The gate over these lesions.

    Args:
        seq: the newest audit entry that changed what was accepted, when they were read.
    """
    by_names: dict[tuple[str, ...], list[ShapeVector]] = {}
    digest = hashlib.sha256(f"mask gate {_FORMAT} {K_NEAREST} {ALPHA}".encode("ascii"))
    for row in rows:
        by_names.setdefault(tuple(row.names), []).append(row)
        digest.update(json.dumps([row.mask_id, row.lesion_id, list(row.names), list(row.vector)]).encode("ascii"))
    return FittedGate(digest.hexdigest(), seq, {names: _part(names, own) for names, own in by_names.items()})


def _part(names: tuple[str, ...], rows: Sequence[ShapeVector]) -> FeatureGate:
    lesions = tuple(ReferenceLesion(*(getattr(row, name) for name in ReferenceLesion._fields)) for row in rows)
    vectors = np.array([row.vector for row in rows])
    owners = [lesion.patient_id for lesion in lesions]
    return FeatureGate(lesions, MaskGate.fit(vectors, owners, k=K_NEAREST, alpha=ALPHA, names=names))


def store_gate(store: FittedStore, file: Path, facts: Mapping[str, Any], person: str) -> dict[str, Any]:
    """Put a fitted gate in force: its file first, then the record that names it. Older files are taken away.

    Args:
        file: on the data root's file system; it is moved.
        facts: model_id, sha256, seq, lesions and patients.
    """
    folder = folder_of(store)
    folder.mkdir(parents=True, exist_ok=True)
    os.replace(file, folder / _name(facts["sha256"]))
    store.reference_sets.add(KIND, facts, person)
    for path in folder.glob("*.npz"):
        if path.name != _name(facts["sha256"]):
            path.unlink(missing_ok=True)
    return dict(facts)


def stored_gate(store: FittedStore) -> FittedGate | None:
    """The gate in force; None where none was fitted yet, or its file is gone or another one (it is fitted again)."""
    row = store.reference_sets.newest(KIND)
    if row is None:
        return None
    sha256 = str(row.detail["sha256"])
    path = folder_of(store) / _name(sha256)
    with _lock:
        if sha256 not in _loaded:
            try:
                data = path.read_bytes()
                gate = FittedGate.from_bytes(data) if hashlib.sha256(data).hexdigest() == sha256 else None
            except (OSError, ValueError, KeyError):
                gate = None
            if gate is None:
                return None
            _loaded.clear()
            _loaded[sha256] = gate
        return _loaded[sha256]


_lock = threading.Lock()
#: SHA-256 of its file -> the gate that was read last.
_loaded: dict[str, FittedGate] = {}


def folder_of(store: FittedStore) -> Path:
    """Path of the gate's file."""
    return store.root / "cache" / "gates"


def _name(sha256: str) -> str:
    return f"mask-{sha256[:32]}.npz"
