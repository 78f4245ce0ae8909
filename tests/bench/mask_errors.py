"""Graded errors of real masks: leak, erosion, half cut off, another place … each with the Dice that it leaves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from core.types import LabelMap

Bool = NDArray[np.bool_]
KINDS = (
    "leak", "eroded", "missing slices", "fragment", "half cut off", "wrong organ", "mirrored", "shifted", "slab", "box",
    "grown by 10 mm", "core only", "whole scan", "specks", "single slice",
)  # fmt: skip


class Wrong(NamedTuple):
    """A wrong mask. grade: of its kind, as written in the table. dice: with the true one."""

    kind: str
    grade: str
    labels: LabelMap
    dice: float


def errors_of(labels: LabelMap, ct: NDArray[np.float32], seed: int) -> Iterator[Wrong]:
    """Every error of a true mask of one lesion. ct: on its grid, HU; errors stay in the body where a reader's would."""
    truth = labels.array > 0
    rng = np.random.default_rng(seed)
    body = ct > -400
    for kind, grade, mask in _made(truth, body, np.array(labels.grid.spacing_mm), rng):
        if mask.any():
            dice = 2 * np.count_nonzero(mask & truth) / (np.count_nonzero(mask) + np.count_nonzero(truth))
            yield Wrong(kind, grade, LabelMap(mask.astype(np.uint8), labels.grid), float(dice))


def _made(
    truth: Bool, body: Bool, mm: NDArray[np.float64], rng: np.random.Generator
) -> Iterator[tuple[str, str, Bool]]:
    inner = ndimage.distance_transform_edt(truth, sampling=mm)
    outer = ndimage.distance_transform_edt(~truth, sampling=mm)
    for by in (2, 4, 7, 10):
        yield "eroded", f"{by} mm", inner > by
    for by in (3, 6, 10):
        yield ("grown by 10 mm" if by == 10 else "grown"), f"{by} mm", (outer <= by) & body
    yield "core only", "inner half by depth", inner > 0.5 * inner.max()
    for share in (0.15, 0.4, 0.8):
        yield "leak", f"{share:.0%} of its volume", truth | _leak(truth, body, mm, share, rng)
    where = np.argwhere(truth)
    middle = where.mean(axis=0) * mm
    at = np.stack(np.meshgrid(*(np.arange(n) * m for n, m in zip(truth.shape, mm, strict=True)), indexing="ij"), -1)
    for share in (0.25, 0.5, 0.75):
        way = rng.normal(size=3)
        along = (at - middle) @ (way / np.linalg.norm(way))
        limit = np.quantile(along[truth], share)
        name = {0.25: "quarter cut off", 0.5: "half cut off", 0.75: "fragment"}[share]
        yield name, f"{share:.0%} gone, any plane", truth & (along > limit)
    planes = np.flatnonzero(truth.any(axis=(0, 1)))
    cut = truth.copy()
    cut[:, :, planes[len(planes) // 2 :]] = False
    yield "half cut off", "50% of its slices", cut
    for share in (0.2, 0.4):
        gone = rng.choice(planes, max(1, int(share * len(planes))), replace=False)
        some = truth.copy()
        some[:, :, gone] = False
        yield "missing slices", f"{share:.0%}", some
    for axis in (0, 1):
        mirrored = np.flip(truth, axis)
        yield "mirrored", "left-right" if axis == 0 else "front-back", mirrored
    for by in (10, 20, 40):
        way = rng.normal(size=3)
        shift = np.round(by * way / np.linalg.norm(way) / mm).astype(int)
        yield "shifted", f"{by} mm", ndimage.shift(truth.astype(np.uint8), shift, order=0) > 0
    yield "wrong organ", "elsewhere in the body", _elsewhere(truth, body, outer, rng)
    box = tuple(slice(where[:, a].min(), where[:, a].max() + 1) for a in range(3))
    full = np.zeros_like(truth)
    full[box] = True
    yield "box", "its bounding box", full
    slab = np.zeros_like(truth)
    slab[:, :, planes[len(planes) // 3] : planes[2 * len(planes) // 3] + 1] = True
    yield "slab", "a third of its slices, all body", slab & body
    yield "whole scan", "all", np.ones_like(truth)
    yield "specks", "1 % of the voxels around", (rng.random(truth.shape) < 0.01) & (outer < 20)
    one = np.zeros_like(truth)
    one[:, :, planes[len(planes) // 2]] = truth[:, :, planes[len(planes) // 2]]
    yield "single slice", "of the middle", one


def _leak(truth: Bool, body: Bool, mm: NDArray[np.float64], share: float, rng: np.random.Generator) -> Bool:
    """A ball of body beside the lesion, joined to it, of so much of its volume."""
    edge = np.argwhere(truth & ~ndimage.binary_erosion(truth))
    centre = edge[rng.integers(len(edge))]
    away = np.sqrt(sum(((np.arange(n) - c) * m).reshape([-1 if a == b else 1 for b in range(3)]) ** 2
                       for a, (n, c, m) in enumerate(zip(truth.shape, centre, mm, strict=True))))  # fmt: skip
    free = body & ~truth
    order = np.sort(away[free])
    return free & (away <= order[min(len(order) - 1, int(share * np.count_nonzero(truth)))])


def _elsewhere(truth: Bool, body: Bool, outer: NDArray[np.float64], rng: np.random.Generator) -> Bool:
    """The mask moved to where it meets no tumour, as much in the body as it can be."""
    where = np.argwhere(truth)
    low, high = -where.min(axis=0), np.array(truth.shape) - 1 - where.max(axis=0)
    best, most = np.zeros_like(truth), -1.0
    for _ in range(40):
        to = where + rng.integers(low, high + 1)
        hit = np.count_nonzero(truth[tuple(to.T)]) / len(to)
        score = np.count_nonzero(body[tuple(to.T)]) / len(to) - 2 * hit
        if score > most:
            most, best = score, np.zeros_like(truth)
            best[tuple(to.T)] = True
    return best


def dice_lost(wrong: Mapping[str, float]) -> float:
    return 1 - wrong["dice"]
