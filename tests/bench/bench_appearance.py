"""Would the mask gate find more with the features of an image encoder, pooled inside the mask? An experiment.

LiteMedSAM's encoder looks at the axial slice of the CT in which the mask is largest; its 256 features are averaged over
the mask and compared, as a component "appearance", with those of the other patients' true masks. Patients and errors
are those of `bench_maskgate`, without a past. Some minutes of one processor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.engines.prompt.medsam import load_prompt_segmenter
from core.engines.prompt.preparing import to_uint8
from core.gates.mask.components import APPEARANCE, HISTORY, POSITION
from core.types import LabelMap, Volume
from tests.bench.bench_maskgate import AT_GOAL, flags, measured

#: Pixels of a slice, as the encoder sees it, by cell of its features.
PIXELS = 4

WAYS: dict[str, Callable[[str], bool]] = {
    "appearance alone": lambda component: component == APPEARANCE,
    "no past": lambda component: component not in (HISTORY, POSITION, APPEARANCE),
    "no past, with appearance": lambda component: component not in (HISTORY, POSITION),
    "no past, CT alone": lambda component: component not in (HISTORY, POSITION, APPEARANCE) and "PET" not in component,
    "no past, CT alone, with appearance": lambda component: (
        component not in (HISTORY, POSITION) and "PET" not in component
    ),
}


def pooled(features: NDArray[np.float32], resized: tuple[int, int], inside: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(channels,) the mean over the cells that a mask (I, J) covers, by how much it covers of each.

    Args:
        features: (channels, rows, columns), rows along J. resized: height and width of the slice in pixels, the rest is
            padding.
    """
    down, across = (int(n) for n in features.shape[-2:])
    weight = np.zeros((down, across))
    i, j = np.nonzero(inside)
    width, height = inside.shape
    rows = ((j + 0.5) * resized[0] / height / PIXELS).astype(int)
    columns = ((i + 0.5) * resized[1] / width / PIXELS).astype(int)
    np.add.at(weight, (rows.clip(0, down - 1), columns.clip(0, across - 1)), 1.0)
    return np.asarray((features * weight).sum(axis=(1, 2)) / weight.sum(), dtype=np.float64)


def appearance_by(segmenter: Any) -> Callable[[LabelMap, Sequence[Volume]], dict[str, float]]:
    """Names and features of a mask on its CT."""
    seen: dict[tuple[int, int], Any] = {}

    def look(labels: LabelMap, scans: Sequence[Volume]) -> dict[str, float]:
        ct = scans[0]
        k = int((labels.array > 0).sum(axis=(0, 1)).argmax())
        if (id(ct), k) not in seen:
            seen[id(ct), k] = (ct, segmenter.embed(np.ascontiguousarray(to_uint8(ct.array, "CT")[:, :, k])))
        found = seen[id(ct), k][1]
        values = pooled(found.features[0].float().cpu().numpy(), found.resized, labels.array[:, :, k] > 0)
        return {f"{APPEARANCE}/{n:03d}": float(value) for n, value in enumerate(values)}

    return look


def run(most: int = 24) -> list[dict[str, Any]]:
    """A row a way: errors above .3 Dice found and false alarms, at the gate's level and at that of the goal."""
    cases = measured(most, appearance_by(load_prompt_segmenter()))
    wrong = [n for n, case in enumerate(cases) if case.half == "kept back" and case.lost > 0.3]
    true = [n for n, case in enumerate(cases) if case.kind == "true"]
    rows = []
    for way, keep in WAYS.items():
        row: dict[str, Any] = {"what": way, "masks": len(wrong)}
        for level, said in zip(("p ≤ 0.05", f"p ≤ {AT_GOAL}"), flags(cases, keep), strict=True):
            row[f"found, {level}"] = float(np.mean([said[n] for n in wrong]))
            row[f"false alarms of {len(true)}, {level}"] = sum(said[n] for n in true)
        rows.append(row)
    return sorted(rows, key=lambda row: float(row["found, p ≤ 0.05"]))
