"""What a network finds in cases kept back, at its own spacing: quick figures to choose by.

The card's own figures are those of `evaluate.py`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from weights.recipes.sts_wide_view.cases import WINDOWS, Case, decode, normalise
from weights.recipes.sts_wide_view.crops import PATCH

THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7)
#: 42 mm of field of view.
MOVED_VOXELS = 13
VOXEL_ML = 3.27 * 3.3 * 3.3 / 1000

Row = dict[str, str | float]


def starts(size: int, patch: int = PATCH) -> list[int]:
    """Where windows begin along an axis: nnU-Net's, half a window apart at most."""
    if size <= patch:
        return [0]
    steps = int(np.ceil((size - patch) / (patch / 2))) + 1
    return [round(n * (size - patch) / (steps - 1)) for n in range(steps)]


@torch.no_grad()
def probability(network: torch.nn.Module, image: NDArray[np.float32], mirror: bool = False) -> NDArray[np.float32]:
    """(2, X, Y, Z) as the network sees it -> (X, Y, Z) probability of tumour, by overlapping windows as nnU-Net's."""
    where = next(network.parameters()).device
    size = image.shape[1:]
    short = [max(PATCH - n, 0) for n in size]
    pads = [(n // 2, n - n // 2) for n in short]
    data = torch.from_numpy(np.pad(image, [(0, 0), *pads])).to(where)[None]
    line = torch.exp(-0.5 * ((torch.arange(PATCH, device=where) - (PATCH - 1) / 2) / (PATCH / 8)) ** 2).clamp(min=1e-3)
    bump = line[:, None, None] * line[None, :, None] * line[None, None, :]
    total, weight = torch.zeros(data.shape[2:], device=where), torch.zeros(data.shape[2:], device=where)
    flips: list[tuple[int, ...]] = [()]
    if mirror:
        flips = [axes for n in range(4) for axes in itertools.combinations((2, 3, 4), n)]
    for corner in itertools.product(*(starts(n) for n in data.shape[2:])):
        box = tuple(slice(at, at + PATCH) for at in corner)
        window = data[(slice(None), slice(None), *box)]
        margin = torch.zeros((PATCH,) * 3, device=where)
        for axes in flips:
            # most CPUs emulate bfloat16: a window would take minutes
            with torch.autocast(where.type, torch.bfloat16, enabled=where.type == "cuda"):
                logits = network(window.flip(axes))[0].float().flip(axes)
            margin += (logits[0, 1] - logits[0, 0]) / len(flips)
        total[box] += margin * bump
        weight[box] += bump
    inner = tuple(slice(low, low + n) for (low, _), n in zip(pads, size, strict=True))
    return np.asarray(functional.sigmoid(total / weight)[inner].cpu().numpy())


def dice(found: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """2 |A and B| / (|A| + |B|); 1 where both are empty."""
    either = int(found.sum()) + int(truth.sum())
    return 2 * int((found & truth).sum()) / either if either else 1.0


def moved(case: Case, by: int = MOVED_VOXELS) -> Iterator[tuple[str, tuple[slice, ...]]]:
    """Fields of view cut by so much on one side, where the tumour stays whole: (which, the part that is seen)."""
    voxels = np.argwhere(case.tumour)
    first, last = voxels.min(0), voxels.max(0)
    for axis in range(3):
        size = case.tumour.shape[axis]
        full = [slice(None)] * 3
        if first[axis] >= by:
            yield f"{axis} low", (*full[:axis], slice(by, None), *full[axis + 1 :])
        if last[axis] < size - by:
            yield f"{axis} high", (*full[:axis], slice(None, size - by), *full[axis + 1 :])


def kept_back(network: torch.nn.Module, cases: Sequence[Case], window: str) -> list[Row]:
    """Rows: Dice at several thresholds, mL found where nothing is, Dice lost by a cut field of view."""
    network.eval()
    rows: list[Row] = []
    for case in cases:
        image = normalise(decode(case.image), WINDOWS[window])
        found = probability(network, image)
        row: Row = {"case": case.name, "kind": case.kind, "way": case.way}
        if case.kind == "free":
            for p in THRESHOLDS:
                row[f"mL {p}"] = round(float((found >= p).sum()) * VOXEL_ML, 2)
            rows.append(row)
            continue
        for p in THRESHOLDS:
            row[f"dice {p}"] = round(dice(found >= p, case.tumour), 4)
        if case.kind == "real":
            row["dice mirrored"] = round(dice(probability(network, image, mirror=True) >= 0.5, case.tumour), 4)
        rows.append(row)
        for which, seen in moved(case) if case.kind == "real" else ():
            part = dice(probability(network, image[(slice(None), *seen)]) >= 0.5, case.tumour[seen])
            lost = round(float(row["dice 0.5"]) - part, 4)
            rows.append({"case": case.name, "kind": "moved", "way": which, "lost": lost, "dice": round(part, 4)})
    return rows


def summary(rows: Sequence[Row]) -> dict[str, float | str]:
    """Means by kind."""

    def mean(key: str, kind: str) -> float:
        values = [float(row[key]) for row in rows if row["kind"] == kind and key in row]
        return round(float(np.mean(values)), 4) if values else float("nan")

    out: dict[str, float | str] = {f"real dice {p}": mean(f"dice {p}", "real") for p in THRESHOLDS}
    out["real mirrored"], out["small dice 0.5"] = mean("dice mirrored", "real"), mean("dice 0.5", "small")
    out["moved lost"] = mean("lost", "moved")
    free = [row for row in rows if row["kind"] == "free"]
    for p in THRESHOLDS:
        out[f"free found {p}"] = f"{sum(float(row[f'mL {p}']) > 0 for row in free)} of {len(free)}"
    by_way = sorted({str(row["way"]) for row in free})
    out["free by way 0.5"] = "; ".join(
        f"{way} {sum(float(r['mL 0.5']) > 0 for r in free if r['way'] == way)}/{sum(r['way'] == way for r in free)}"
        for way in by_way
    )
    return out
