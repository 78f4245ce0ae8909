"""Making a reference of the scan gate: rows of looks, stacked, with cross-fitted scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.gates.scan.anchoring import content_of
from core.gates.scan.detectors import HU_EDGES, SUV_EDGES, geometry, histogram
from core.gates.scan.looks import FIT, fit_features, look_at, widths
from core.gates.scan.one_body import one_body
from core.gates.scan.reference import IN_DISTRIBUTION, REAL, SEEN, Reference
from core.gates.scan.scan_gate import ScanGate
from core.gates.scan.seeing import FEATURES, SLICES, slices_of
from core.types import Volume

HISTOGRAM = len(HU_EDGES) + len(SUV_EDGES) - 2


@dataclass(frozen=True, eq=False)
class Row:
    """One scan of the reference: (kind, domain, patient), the content of its scans if it is nobody's making, arrays."""

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
    if [volume.modality for volume in volumes] == ["MR"] and domain == REAL:
        arrays[SEEN] = slices_of(volumes[0])
    content = " ".join(map(content_of, volumes)) if kind == IN_DISTRIBUTION else ""
    return Row((kind, REAL if domain == "other" else domain, group), content, arrays)


def empty(rows: Sequence[Row], shape: Sequence[int]) -> NDArray[np.float32]:
    return np.full((len(rows), *shape), np.nan, np.float32)


def assemble(
    rows: Sequence[Row],
    deep: dict[str, NDArray[Any]],
    levels: Sequence[int],
    facts: dict[str, Any],
    crossfit: bool = True,
) -> Reference:
    """The rows stacked, and with `crossfit` the gate's own scores, patients held out."""
    arrays: dict[str, NDArray[Any]] = dict(deep)
    shapes = {name: (width,) for name, width in {**widths(), "histogram": HISTOGRAM, "geometry": 12}.items()}
    for name, shape in {**shapes, SEEN: (SLICES, FEATURES)}.items():
        blank = np.full(shape, np.nan, np.float32)
        arrays[name] = np.stack([row.arrays.get(name, blank) for row in rows])
    kind, domain, group = (np.array(column) for column in zip(*(row.case for row in rows), strict=True))
    arrays |= {"kind": kind, "domain": domain, "group": group, "content": np.array([row.content for row in rows])}
    arrays |= {"levels": np.array(levels, np.int64), "crossfit": empty(rows, ())}
    return crossfitted(Reference(arrays, facts)) if crossfit else Reference(arrays, facts)


def crossfitted(reference: Reference) -> Reference:
    """The reference with its own gate's scores, the patient held out."""
    scores = ScanGate(reference).held_out(reference)
    return Reference({**reference.arrays, "crossfit": scores}, reference.provenance)


def no_deep(rows: Sequence[Row], like: Reference | None = None) -> dict[str, NDArray[Any]]:
    """Arrays of deep features that say that there are none; as wide as another reference's."""
    shapes: dict[str, tuple[int, ...]] = {
        "rows": (1, 1),
        "centre": (1,),
        "logits": (8,),
        "anchor_shape": (1,),
        "dice": (),
        "slices": (1, 1),
        "cubes": (1, 1),
    }
    if like is not None:
        shapes = {name: like.arrays[name].shape[1:] for name in shapes}
    return {name: empty(rows, shape) for name, shape in shapes.items()}
