"""Scans as rows of the scan gate's reference, and what a gate says of the rows of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.gates.scan.anchoring import content_of
from core.gates.scan.detectors import geometry, histogram
from core.gates.scan.looks import FIT, fit_features, look_at, parts_of
from core.gates.scan.one_body import one_body
from core.gates.scan.reference import IN_DISTRIBUTION, MODALITIES, PHANTOM, REAL, Reference
from core.gates.scan.scan_gate import ScanGate, squashed
from core.types import Volume

#: What baselines see, which a row need not have.
_DEEP = ("rows", "centre", "logits", "dice")


@dataclass(frozen=True, eq=False)
class Row:
    """One scan of a reference: (kind, domain, patient), the content of its scans if it is nobody's making, arrays."""

    case: tuple[str, str, str]
    content: str
    arrays: dict[str, NDArray[np.float32]]


def row_of(kind: str, domain: str, group: str, volumes: Sequence[Volume]) -> Row:
    """The looks of a scan, or of a CT with its PET."""
    arrays = {volume.modality: look_at(volume) for volume in volumes}
    if [volume.modality for volume in volumes] == ["CT", "PET"]:
        arrays[FIT] = fit_features(one_body(volumes[0], volumes[1]))
        arrays["histogram"] = histogram(volumes)
        arrays["geometry"] = np.concatenate([geometry(volumes[:1]), geometry(volumes[1:])])
    content = " ".join(map(content_of, volumes)) if kind == IN_DISTRIBUTION else ""
    return Row((kind, domain, group), content, arrays)


def empty(rows: Sequence[Row], shape: Sequence[int]) -> NDArray[np.float32]:
    """(rows, *shape) NaN: what these scans do not have."""
    return np.full((len(rows), *shape), np.nan, np.float32)


def assemble(
    rows: Sequence[Row], deep: Mapping[str, NDArray[Any]], levels: Sequence[int], facts: Mapping[str, Any]
) -> Reference:
    """The rows stacked, and the gate's own cross-fitted scores of CT with PET and of MR.

    Args:
        deep: what the baselines see, as `Reference` has it.
    """
    arrays: dict[str, NDArray[Any]] = dict(deep)
    for name in (*MODALITIES, FIT, "histogram", "geometry"):
        wide = next(row.arrays[name] for row in rows if name in row.arrays).shape
        arrays[name] = np.stack([row.arrays.get(name, np.full(wide, np.nan, np.float32)) for row in rows])
    kind, domain, group = (np.array(column) for column in zip(*(row.case for row in rows), strict=True))
    arrays |= {"kind": kind, "domain": domain, "group": group, "content": np.array([row.content for row in rows])}
    arrays |= {"levels": np.array(levels, np.int64), "crossfit": empty(rows, ())}
    arrays.setdefault("dice", empty(rows, ()))
    return with_crossfit(Reference(arrays, facts))


def joined(shipped: Reference, rows: Sequence[Row], facts: Mapping[str, Any], alone: bool = False) -> Reference:
    """A reference of the shipped one's scans and own ones; of own ones `alone` where it says so. Deep features, which
    the gate does not ask for, own scans have none."""
    arrays: dict[str, NDArray[Any]] = {"levels": shipped.arrays["levels"]}
    texts = {"kind": 0, "domain": 1, "group": 2}
    for name, known in shipped.arrays.items():
        if name == "levels":
            continue
        if name in texts or name == "content":
            own = np.array([row.content if name == "content" else row.case[texts[name]] for row in rows])
        else:
            blank = np.full(known.shape[1:], np.nan, np.float32)
            own = np.stack([row.arrays.get(name, blank) for row in rows])
        arrays[name] = own if alone else np.concatenate([known, own])
    return with_crossfit(Reference(arrays, facts))


def with_crossfit(reference: Reference) -> Reference:
    """With the gate's score of every scan, its patient held out."""
    gate = ScanGate(reference)
    return Reference({**reference.arrays, "crossfit": scores_of(gate, reference)}, reference.provenance)


def scores_of(gate: ScanGate, reference: Reference) -> NDArray[np.float32]:
    """(scans,) a gate's score, 0..1, of every scan of a reference by CT with PET or by MR, its own patient held out of
    the gate; NaN for what it does not judge."""
    asked = {**parts_of(reference.arrays), FIT: reference.arrays[FIT]}
    out = np.full(len(reference.kind), np.nan, np.float32)
    for names in gate.part_sets():
        there = np.all([np.isfinite(asked[name]).all(axis=1) for name in names], axis=0)
        for domain in (REAL, PHANTOM):
            known = gate.known(names, domain)
            if not len(known.groups):
                continue
            threshold = gate.threshold(names, domain)
            for n in np.flatnonzero(there & (reference.domain == domain)):
                used = known.without(known.groups == reference.group[n])
                if len(used.groups):
                    found = used.parts({name: asked[name][n : n + 1] for name in names})
                    out[n] = squashed(max(float(values[0]) for values in found.values()), threshold)
    return out
