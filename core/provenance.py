"""What made a mask: which of its changes the server's own answers explain, and which must be by hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.answers import Answer, newest_of_each_place
from core.types import Grid

#: A voxel this near to halfway between two slices or pixels may be taken either way; indices.
TIE = 1e-6
YES, NO, UNSURE = np.uint8(1), np.uint8(2), np.uint8(4)
Box = tuple[slice, slice, slice]
Bools = NDArray[np.bool_]
Marks = NDArray[np.uint8]


@dataclass(frozen=True)
class Provenance:
    """What made the difference between two versions.

    Args:
        changed: voxels whose label differs from the parent's.
        answered: those of them that an answer of the server explains.
        by_hand: voxels that a person must have set or taken away; also where an answer was changed back to what the
            parent had, so that `answered + by_hand` may exceed `changed`.
        answers: the answers that explain at least one changed voxel, in the order of citation.
    """

    changed: int
    answered: int
    by_hand: int
    answers: tuple[Answer, ...]

    @property
    def method(self) -> str:
        """ "medsam" if answers explain all of it, "medsam-manual" if some, "manual" if none."""
        if not self.answered:
            return "manual"
        return "medsam-manual" if self.by_hand else "medsam"

    def prompts(self) -> list[dict[str, Any]]:
        """The boxes and points behind it, each with the model that answered; each once."""
        rows: list[dict[str, Any]] = []
        for answer in self.answers:
            rows += [row for row in answer.sources() if row not in rows]
        return rows


def explain(
    before: NDArray[np.uint8] | None, after: NDArray[np.uint8], reference: Grid, answers: Sequence[Answer],
    grids: Mapping[str, Grid],
) -> Provenance:  # fmt: skip
    """Compares a draft with its parent and with what the server answered.

    An answer for a lesion says of every voxel of its slice whether it belongs to that lesion. It may add the lesion
    where no lesion is, and take it away where it does not belong. A change that no cited answer explains is by hand,
    and so is a voxel that an answer added and the draft has not, or took away and the draft still has.

    Args:
        before: (I, J, K) labels of the parent; None for no parent, which is an empty one.
        after: (I, J, K) labels of the draft.
        reference: the grid of both.
        answers: as cited, oldest first; of several to one slice and lesion the newest counts.
        grids: of the scans that were asked, by SHA-256; an answer on a scan that is not among them explains nothing.
    """
    old = np.zeros_like(after) if before is None else before
    changed = old != after
    explained, by_hand = changed.copy(), np.zeros(changed.shape, bool)
    told = [answer for answer in newest_of_each_place(answers) if answer.lesion and answer.scan_sha256 in grids]
    used: list[str] = []
    for label in sorted({*np.unique(old[changed]).tolist(), *np.unique(after[changed]).tolist()} - {0}):
        if label not in {answer.lesion for answer in told}:
            explained[(old == label) | (after == label)] = False
    for lesion in sorted({int(answer.lesion or 0) for answer in told}):
        own = [answer for answer in told if answer.lesion == lesion]
        near = _extent((old == lesion) | (after == lesion))
        marks = np.zeros(after.shape, np.uint8)
        for answer in own:
            for box, said in _said(answer, grids[answer.scan_sha256], reference, near):
                marks[box] |= said
        explained &= ~((after == lesion) & (old != lesion) & ((marks & YES) == 0))
        explained &= ~((old == lesion) & (after != lesion) & ((marks & NO) == 0))
        by_hand |= ((marks == YES) & (after == 0)) | ((marks == NO) & (after == lesion))
    by_hand |= changed & ~explained
    for answer in told:
        for box, said in _said(answer, grids[answer.scan_sha256], reference, _extent(explained)):
            added, gone = (said & YES) & (after[box] == answer.lesion), (said & NO) & (old[box] == answer.lesion)
            if (explained[box] & ((added > 0) | (gone > 0))).any() and answer.answer_id not in used:
                used.append(answer.answer_id)
    return Provenance(
        int(changed.sum()), int(explained.sum()), int(by_hand.sum()), tuple(a for a in told if a.answer_id in used)
    )


def _extent(mask: Bools) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """Lowest and highest index of what is True; None where nothing is."""
    sides = [np.flatnonzero(mask.any(axis=tuple(b for b in range(3) if b != a))) for a in range(3)]
    if not sides[0].size:
        return None
    return np.array([s[0] for s in sides]), np.array([s[-1] for s in sides])


def _said(
    answer: Answer, scan: Grid, reference: Grid, near: tuple[NDArray[np.int64], NDArray[np.int64]] | None
) -> Iterator[tuple[Box, Marks]]:
    """Boxes of the reference grid, and what the answer says of their voxels: YES the lesion, NO not the lesion.

    Every reference voxel whose nearest voxel of the scan lies on the answer's slice is spoken of, as in the viewer
    (`SliceMap` in slice_answers.js). One exactly between two voxels may be taken either way: it is UNSURE, and YES or
    NO or both by what either way says.

    Args:
        near: the part of the grid that matters beside the answer's own mask.
    """
    first, second = (n for n in range(3) if n != answer.axis)
    bits = answer.bits((scan.shape[first], scan.shape[second]))
    if scan.matches(reference):
        box: list[slice] = [slice(None)] * 3
        box[answer.axis] = slice(answer.slice, answer.slice + 1)
        yield (box[0], box[1], box[2]), np.where(np.expand_dims(bits, answer.axis), YES, NO)
        return
    to_scan = np.linalg.inv(scan.affine) @ reference.affine
    for low, high in _boxes(answer, bits, to_scan, scan.shape, near):
        low, high = np.maximum(low, 0), np.minimum(high, np.array(reference.shape) - 1)
        if (high >= low).all():
            part = tuple(slice(int(a), int(b) + 1) for a, b in zip(low, high, strict=True))
            yield (part[0], part[1], part[2]), _sampled(answer, bits, to_scan, scan.shape, low, high)


def _boxes(
    answer: Answer, bits: Bools, to_scan: NDArray[np.float64], shape: tuple[int, int, int], near: Any
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """The parts of the reference grid to look at: around the answer's mask, and where the slice meets `near`."""
    to_reference = np.linalg.inv(to_scan)
    first, second = (n for n in range(3) if n != answer.axis)
    drawn = np.argwhere(bits)
    if drawn.size:
        yield _reach(answer, to_reference, first, second, drawn.min(axis=0), drawn.max(axis=0))
    if near is not None:
        whole = np.array([shape[first] - 1, shape[second] - 1])
        low, high = _reach(answer, to_reference, first, second, np.zeros(2, int), whole)
        yield np.maximum(low, near[0]), np.minimum(high, near[1])


def _reach(
    answer: Answer, to_reference: NDArray[Any], first: int, second: int, low: Any, high: Any
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The reference voxels around a rectangle of the slice, half a voxel wider."""
    corners = []
    for k, a, b in product(
        (answer.slice - 0.5, answer.slice + 0.5), (low[0] - 0.5, high[0] + 0.5), (low[1] - 0.5, high[1] + 0.5)
    ):
        index = np.ones(4)
        index[answer.axis], index[first], index[second] = k, a, b
        corners.append((to_reference @ index)[:3])
    return np.floor(np.min(corners, axis=0)).astype(int), np.ceil(np.max(corners, axis=0)).astype(int)


def _sampled(
    answer: Answer, bits: Bools, to_scan: NDArray[np.float64], shape: tuple[int, int, int], low: Any, high: Any
) -> Marks:
    """What the answer says at every voxel of a box of the reference grid."""
    first, second = (n for n in range(3) if n != answer.axis)
    places = np.meshgrid(*[np.arange(a, b + 1) for a, b in zip(low, high, strict=True)], indexing="ij")
    at = np.tensordot(to_scan[:3, :3], np.array(places, float), 1) + to_scan[:3, 3].reshape(3, 1, 1, 1)
    lowest, highest = np.floor(at + 0.5 - TIE), np.floor(at + 0.5 + TIE)
    ways = [lowest]
    if not np.array_equal(lowest, highest):
        ways = [np.array([(lowest, highest)[up][n] for n, up in enumerate(ups)]) for ups in product((0, 1), repeat=3)]
    marks, first_way = np.zeros(at.shape[1:], np.uint8), None
    for nearest in ways:
        a, b = nearest[first].astype(int), nearest[second].astype(int)
        on = (nearest[answer.axis] == answer.slice) & (a >= 0) & (b >= 0) & (a < shape[first]) & (b < shape[second])
        said = np.where(on, np.where(bits[np.where(on, a, 0), np.where(on, b, 0)], YES, NO), np.uint8(0))
        first_way = said if first_way is None else first_way
        marks |= said | np.where(said != first_way, UNSURE, np.uint8(0))
    return marks
