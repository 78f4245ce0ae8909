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
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from core.gates.mask.components import BOUNDS, SHAPE, ComponentGate, WorseGate, component_of, fit_component, split
from core.gates.mask.conformal import MaskGate
from core.gates.mask.rules import no_reference
from core.remembered.rows import LesionVector, ShapeVector
from core.remembered.sources import HasReferenceSets, HasRoot

KIND = "fitted-mask-gate"
K_NEAREST = 5
ALPHA = 0.05
_FORMAT = 2
REAL, SIMULATED = "real", "simulated"
#: What the reference sets are called.
SET_NAMES = {REAL: "accepted masks of real patients", SIMULATED: "accepted masks of simulated patients"}
#: Arrays of a `MaskGate` as they are stored.
_ARRAYS = ("centre", "spread", "scaled", "calibration", "neighbours")
_WORSE_ARRAYS = ("centre", "spread", "scaled")


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
    """The gate of one component over the reference lesions that have its numbers, one lesion a row of `gate`."""

    lesions: tuple[ReferenceLesion, ...]
    gate: ComponentGate


@dataclass(frozen=True, eq=False)
class ReferenceSet:
    """Reference lesions that may judge one kind of patient: real or simulated.

    Args:
        parts: by the names of a component's numbers; those that were measured otherwise are compared by themselves.
        name: in words.
    """

    parts: Mapping[tuple[str, ...], FeatureGate]
    name: str = ""

    @cached_property
    def lesions(self) -> tuple[ReferenceLesion, ...]:
        """All lesions that it knows."""
        return tuple(dict.fromkeys(lesion for part in self.parts.values() for lesion in part.lesions))

    @cached_property
    def patients(self) -> tuple[str, ...]:
        """Whose they are, in order."""
        return tuple(sorted({lesion.patient_id for lesion in self.lesions}))

    @cached_property
    def _codes(self) -> dict[tuple[str, ...], NDArray[np.intp]]:
        """Of each part, the place of each row's patient in `patients`."""
        at = {patient: place for place, patient in enumerate(self.patients)}
        return {
            names: np.array([at[one.patient_id] for one in part.lesions], np.intp) for names, part in self.parts.items()
        }

    @cached_property
    def _lesions_of(self) -> Counter[str]:
        return Counter(lesion.patient_id for lesion in self.lesions)

    def lesions_without(self, patient_id: str) -> int:
        """How many lesions of other patients there are."""
        return len(self.lesions) - self._lesions_of[patient_id]

    def patients_without(self, patient_id: str) -> int:
        """How many other patients there are."""
        return len(self.patients) - (patient_id in self._lesions_of)

    def patient_scores(
        self, components: Iterable[tuple[str, ...]], patient_id: str
    ) -> dict[tuple[str, ...], NDArray[np.float64]]:
        """Of each component the largest score of each of `patients` over lesions and visits, as if that patient had
        none; NaN where there is none."""
        return {names: self._scores_of(names, patient_id) for names in components}

    def _scores_of(self, names: tuple[str, ...], patient_id: str) -> NDArray[np.float64]:
        """`patient_scores` of one component."""
        if patient_id in self._lesions_of and isinstance(self.parts[names].gate, MaskGate):
            return self._most(names, patient_id)  # others may have been compared with this patient's lesions
        if names not in self._of_all:
            self._of_all[names] = self._most(names, "")
        if patient_id not in self._lesions_of:
            return self._of_all[names]
        scores = self._of_all[names].copy()
        scores[self.patients.index(patient_id)] = np.nan
        return scores

    @cached_property
    def _of_all(self) -> dict[tuple[str, ...], NDArray[np.float64]]:
        """The scores of all patients, as they are for any other."""
        return {}

    def _most(self, names: tuple[str, ...], patient_id: str) -> NDArray[np.float64]:
        scores = self.parts[names].gate.scores_without(patient_id)
        known = ~np.isnan(scores)
        most = np.full(len(self.patients), -np.inf)
        np.maximum.at(most, self._codes[names][known], scores[known])
        return np.where(np.isinf(most), np.nan, most)

    def shape_of(self, row: LesionVector) -> tuple[MaskGate, tuple[ReferenceLesion, ...], NDArray[np.float64]] | None:
        """The gate of a vector's shape, its lesions, and the shape; None where nobody was measured so."""
        for names, places in split(row.names).items():
            part = self.parts.get(names)
            if part is not None and component_of(names[0]) == SHAPE and isinstance(part.gate, MaskGate):
                return part.gate, part.lesions, np.array([row.vector[place] for place in places])
        return None

    def nearest(
        self, row: LesionVector, patient_id: str, k: int
    ) -> tuple[float | None, list[tuple[str, str, str, float]]]:
        """A lesion's mean distance in shape to its k nearest of other patients (of fewer, where there are fewer; None
        of none), and these: mask, lesion, patient, distance."""
        found = self.shape_of(row)
        if found is None:
            return None, []
        gate, lesions, vector = found
        away = gate.distances(vector, patient_id)
        few = np.flatnonzero(away <= np.partition(away, min(k, len(away)) - 1)[min(k, len(away)) - 1])
        order = [int(at) for at in few[np.argsort(away[few], kind="stable")][:k] if np.isfinite(away[at])]
        near = [(lesions[n].mask_id, lesions[n].lesion_id, lesions[n].patient_id, float(away[n])) for n in order]
        return (float(np.mean([one[3] for one in near])) if near else None), near

    def farthest(self, row: LesionVector, names: tuple[str, ...], count: int = 3) -> list[tuple[str, float]]:
        """The numbers of a component that are farthest from the median, with their signed distance in MAD units; of a
        component of which more is worse, above it."""
        places = split(row.names)[names]
        gate = self.parts[names].gate
        scaled = gate.scale(np.array([row.vector[place] for place in places]))
        order = np.argsort(-np.abs(scaled) if isinstance(gate, MaskGate) else -scaled, kind="stable")[:count]
        return [(names[at], float(scaled[at])) for at in order]


@dataclass(frozen=True, eq=False)
class FittedGate:
    """The gate over a whole reference: real and simulated patients apart, for neither judges the other.

    Args:
        model_id: SHA-256 of what it was made of (64 hex digits).
        seq: the audit entry up to which it knows what was accepted.
        sets: by name, of `SET_NAMES`.
    """

    model_id: str
    seq: int
    sets: Mapping[str, ReferenceSet]

    def set(self, name: str) -> ReferenceSet:
        """One reference set; an empty one where it has no lesion."""
        return self.sets.get(name, ReferenceSet({}, SET_NAMES[name]))

    @cached_property
    def lesions(self) -> tuple[ReferenceLesion, ...]:
        """All lesions that it knows."""
        return tuple(lesion for part in self.sets.values() for lesion in part.lesions)

    @property
    def calibration(self) -> NDArray[np.float64]:
        """The shape scores (n,) of the patients that have one, of the larger set."""
        one = max(self.sets.values(), key=lambda each: len(each.patients), default=ReferenceSet({}))
        shapes = [names for names in one.parts if component_of(names[0]) == SHAPE]
        tables = list(one.patient_scores(shapes, "").values())
        most = np.fmax.reduce(tables) if tables else np.empty(0)
        return np.asarray(most[~np.isnan(most)], dtype=np.float64)

    def to_bytes(self) -> bytes:
        """The bytes of a file in NumPy's own format, without pickles."""
        arrays: dict[str, NDArray[Any]] = {}
        parts: list[dict[str, Any]] = []
        for set_name, one in self.sets.items():
            for names, part in one.parts.items():
                number, kinds = len(parts), _ARRAYS if isinstance(part.gate, MaskGate) else _WORSE_ARRAYS
                lesions = [list(lesion) for lesion in part.lesions]
                parts.append({"set": set_name, "names": list(names), "lesions": lesions, "arrays": list(kinds)})
                arrays |= {f"{name}_{number}": getattr(part.gate, name) for name in kinds}
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
            sets: dict[str, dict[tuple[str, ...], FeatureGate]] = {}
            for number, told in enumerate(header["parts"]):
                lesions = tuple(ReferenceLesion(*lesion) for lesion in told["lesions"])
                values = {name: arrays[f"{name}_{number}"] for name in told["arrays"]}
                owners, names = tuple(lesion.patient_id for lesion in lesions), tuple(told["names"])
                gate: ComponentGate
                if "neighbours" in values:
                    gate = MaskGate(names=names, patient_ids=owners, k=header["k"], alpha=header["alpha"], **values)
                else:
                    gate = WorseGate(names=names, patient_ids=owners, **values)
                sets.setdefault(told["set"], {})[names] = FeatureGate(lesions, gate)
            named = {name: ReferenceSet(parts, SET_NAMES[name]) for name, parts in sets.items()}
            return cls(header["model_id"], header["seq"], named)


def fit(rows: Iterable[ShapeVector], seq: int, simulated: Collection[str] = ()) -> FittedGate:
    """The gate over these lesions; those that no tumour can be (`core.gates.mask.rules`) are left out.

    Args:
        seq: the newest audit entry that changed what was accepted, when they were read.
        simulated: patients whose scans, or some of them, were made by a program.
    """
    by_set: dict[str, list[ShapeVector]] = {}
    digest = hashlib.sha256(f"mask gate {_FORMAT} {K_NEAREST} {ALPHA}".encode("ascii"))
    for row in rows:
        if no_reference(row):
            continue
        name = SIMULATED if row.patient_id in simulated else REAL
        by_set.setdefault(name, []).append(row)
        own = [name, row.mask_id, row.lesion_id, list(row.names), list(row.vector)]
        digest.update(json.dumps(own).encode("ascii"))
    sets = {name: ReferenceSet(_parts(own), SET_NAMES[name]) for name, own in by_set.items()}
    return FittedGate(digest.hexdigest(), seq, sets)


def _parts(rows: Sequence[ShapeVector]) -> dict[tuple[str, ...], FeatureGate]:
    lesions: dict[tuple[str, ...], list[ReferenceLesion]] = {}
    values: dict[tuple[str, ...], list[list[float]]] = {}
    for row in rows:
        lesion = ReferenceLesion(*(getattr(row, name) for name in ReferenceLesion._fields))
        for names, places in split(row.names).items():
            if component_of(names[0]) != BOUNDS:
                lesions.setdefault(names, []).append(lesion)
                values.setdefault(names, []).append([row.vector[place] for place in places])
    found = {}
    for names, own in lesions.items():
        owners = [lesion.patient_id for lesion in own]
        gate = fit_component(names, np.array(values[names], dtype=np.float64), owners, K_NEAREST, ALPHA)
        found[names] = FeatureGate(tuple(own), gate)
    return found


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
