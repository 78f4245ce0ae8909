"""Scans as rows of the scan gate's reference, and the scores of these with their patient held out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.gates.scan.anchoring import content_of
from core.gates.scan.detectors import geometry, histogram
from core.gates.scan.looks import FIT, fit_features, look_at, parts
from core.gates.scan.one_body import one_body
from core.gates.scan.reference import IN_DISTRIBUTION, MODALITIES, PHANTOM, REAL, Reference
from core.gates.scan.scan_gate import LEAST_PATIENTS, ScanGate, squashed
from core.types import Volume


@dataclass(frozen=True, eq=False)
class Row:
    """One scan of a reference: (kind, domain, patient), the content of its scans if it is nobody's making, arrays."""

    case: tuple[str, str, str]
    content: str
    arrays: dict[str, NDArray[np.float32]]


def row_of(kind: str, domain: str, group: str, volumes: Sequence[Volume]) -> Row:
    """The looks of a scan, or of a CT with its PET."""
    arrays: dict[str, NDArray[np.float32]] = {volume.modality: look_at(volume) for volume in volumes}
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
    reference = Reference(arrays, facts)
    return Reference({**arrays, "crossfit": crossfit(reference)}, facts)


def crossfit(reference: Reference) -> NDArray[np.float32]:
    """(scans,) the gate's score of each scan with its patient held out; NaN where it cannot judge it."""
    gate, out = ScanGate(reference), np.full(len(reference.kind), np.nan, np.float32)
    pair, mr = gate.part_sets()
    both = gate.has(parts("CT")) & gate.has(parts("PET"))
    for names, which in ((pair, both), (mr, gate.has(mr)), (parts("CT"), ~both), (parts("PET"), ~both)):
        for domain in (REAL, PHANTOM):
            known = gate.known(names, domain)
            if len(np.unique(known.groups)) < LEAST_PATIENTS:
                continue
            threshold = gate.threshold(names, domain)
            for n in np.flatnonzero(which & (reference.domain == domain) & gate.has(names)):
                found = known.without(known.groups == reference.group[n]).parts(gate.rows_of(int(n), names))
                out[n] = squashed(max(float(values[0]) for values in found.values()), threshold)
    return out
