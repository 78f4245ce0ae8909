"""What made a mask: which of its changes the server's own answers explain, and which must be by hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, product

import numpy as np
from numpy.typing import NDArray

from core.remembered.untyped import JsonDict, Span, Voxels
from core.remembered.vocabulary import MaskMethod
from core.review.model_answers import Answer, newest_of_each_place
from core.types import Grid

#: A voxel this near to halfway between two slices or pixels may be taken either way; indices.
TIE = 1e-6
YES, NO, UNSURE = np.uint8(1), np.uint8(2), np.uint8(4)
Box = tuple[Span, Span, Span]
Bools = NDArray[np.bool_]
Marks = NDArray[np.uint8]
#: Lowest and highest index along the three axes.
Extent = tuple[NDArray[np.int64], NDArray[np.int64]]


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
    def method(self) -> MaskMethod:
        """MedSAM's if answers explain all of it, MedSAM's and a hand's if some, a hand's if none."""
        if not self.answered:
            return MaskMethod.MANUAL
        return MaskMethod.MEDSAM_MANUAL if self.by_hand else MaskMethod.MEDSAM

    def prompts(self) -> list[JsonDict]:
        """The boxes and points behind it, each with the model that answered; each once."""
        rows: list[JsonDict] = []
        for answer in self.answers:
            rows += [row for row in answer.sources() if row not in rows]
        return rows


def explain(
    before: NDArray[np.uint8] | None,
    after: NDArray[np.uint8],
    reference: Grid,
    answers: Sequence[Answer],
    grids: Mapping[str, Grid],
) -> Provenance:
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
    cited = [answer for answer in newest_of_each_place(answers) if answer.lesion and answer.scan_sha256 in grids]
    window = _window(before, after, reference, cited, grids)
    if window is None:
        return Provenance(0, 0, 0, ())
    part = tuple(slice(a, b + 1) for a, b in zip(*window, strict=True))
    new = np.ascontiguousarray(after[part])
    old = np.zeros_like(new) if before is None else np.ascontiguousarray(before[part])
    seen = [_Seen(answer, grids[answer.scan_sha256], reference, window) for answer in cited]
    changed = old != new
    explained, by_hand = changed.copy(), np.zeros(changed.shape, bool)
    for label in sorted({*np.unique(old[changed]).tolist(), *np.unique(new[changed]).tolist()} - {0}):
        if label not in {answer.lesion for answer in cited}:
            explained[(old == label) | (new == label)] = False
    for lesion in sorted({int(answer.lesion or 0) for answer in cited}):
        was, now, marks = old == lesion, new == lesion, np.zeros(new.shape, np.uint8)
        ours = [seen_answer for seen_answer in seen if seen_answer.answer.lesion == lesion]
        for near in (None, was | now):
            # What one answer draws counts for the others too: another may have taken it away again.
            extent = None if near is None else _extent(near | ((marks & YES) != 0))
            for box, marks_of_answer in chain.from_iterable(seen_answer.says(extent) for seen_answer in ours):
                marks[box] |= marks_of_answer
        explained &= ~(now & ~was & ((marks & YES) == 0)) & ~(was & ~now & ((marks & NO) == 0))
        by_hand |= ((marks == YES) & (new == 0)) | ((marks == NO) & now)
    by_hand |= changed & ~explained
    near = _extent(explained)
    used = [seen_answer.answer for seen_answer in seen if seen_answer.explains_some(near, old, new, explained)]
    return Provenance(int(changed.sum()), int(explained.sum()), int(by_hand.sum()), tuple(used))


def _window(
    before: Marks | None, after: Marks, reference: Grid, answers: Sequence[Answer], grids: Mapping[str, Grid]
) -> Extent | None:
    """The part of the grid where a lesion is or was, or an answer says one; None where that is nowhere."""
    parts = [_extent(array) for array in (before, after) if array is not None]
    top = np.array(reference.shape) - 1
    for answer in answers:
        drawn = np.argwhere(_bits(answer, grids[answer.scan_sha256]))
        if drawn.size:
            to_reference = np.linalg.inv(reference.affine) @ grids[answer.scan_sha256].affine
            low, high = _reach(answer, to_reference, drawn.min(axis=0), drawn.max(axis=0))
            low, high = np.maximum(low, 0), np.minimum(high, top)
            parts.append((low, high) if (low <= high).all() else None)
    there = [part for part in parts if part is not None]
    if not there:
        return None
    return np.min([low for low, _ in there], axis=0), np.max([high for _, high in there], axis=0)


def _bits(answer: Answer, scan: Grid) -> Bools:
    first, second = (n for n in range(3) if n != answer.axis)
    return answer.bits((scan.shape[first], scan.shape[second]))


def _extent(mask: Voxels) -> Extent | None:
    """Lowest and highest index of what is not 0; None where nothing is."""
    sides = [np.flatnonzero(mask.any(axis=tuple(b for b in range(3) if b != a))) for a in range(3)]
    if not sides[0].size:
        return None
    return np.array([s[0] for s in sides]), np.array([s[-1] for s in sides])


def _reach(answer: Answer, to_grid: Voxels, low: Voxels, high: Voxels) -> Extent:
    """The voxels of a grid around a rectangle of the answer's slice, half a voxel wider; they may lie outside it."""
    first, second = (n for n in range(3) if n != answer.axis)
    corners = []
    for k, a, b in product(
        (answer.slice - 0.5, answer.slice + 0.5), (low[0] - 0.5, high[0] + 0.5), (low[1] - 0.5, high[1] + 0.5)
    ):
        index = np.ones(4)
        index[answer.axis], index[first], index[second] = k, a, b
        corners.append((to_grid @ index)[:3])
    return np.floor(np.min(corners, axis=0)).astype(int), np.ceil(np.max(corners, axis=0)).astype(int)


class _Seen:
    """An answer as it lies in a window of the reference grid.

    Every reference voxel whose nearest voxel of the scan lies on the answer's slice is spoken of, as in the viewer
    (`SliceMap` in slice_answers.js). One exactly between two voxels may be taken either way: it is UNSURE, and YES or
    NO or both by what either way says.
    """

    def __init__(self, answer: Answer, scan: Grid, reference: Grid, window: Extent) -> None:
        self.answer, self.bits, self.scan_shape = answer, _bits(answer, scan), scan.shape
        self.shape = window[1] - window[0] + 1
        corner = np.eye(4)
        corner[:3, 3] = window[0]
        self.to_scan = np.linalg.inv(scan.affine) @ reference.affine @ corner
        if scan.matches(reference):
            self.to_scan = corner  # exactly, so that no voxel comes to lie between two

    def says(self, near: Extent | None) -> Iterator[tuple[Box, Marks]]:
        """Boxes of the window, and what the answer says of their voxels: YES the lesion, NO not the lesion.

        Args:
            near: the part of the window that matters beside the answer's own mask.
        """
        to_window, drawn = np.linalg.inv(self.to_scan), np.argwhere(self.bits)
        parts = [_reach(self.answer, to_window, drawn.min(axis=0), drawn.max(axis=0))] if drawn.size else []
        if near is not None:
            low, high = _reach(self.answer, to_window, np.zeros(2), np.array(self.bits.shape) - 1)
            parts.append((np.maximum(low, near[0]), np.minimum(high, near[1])))
        for low, high in parts:
            low, high = np.maximum(low, 0), np.minimum(high, self.shape - 1)
            if (low <= high).all():
                i, j, k = (slice(int(a), int(b) + 1) for a, b in zip(low, high, strict=True))
                yield (i, j, k), self._sampled(low, high)

    def explains_some(self, near: Extent | None, old: Marks, new: Marks, explained: Bools) -> bool:
        """Whether it explains at least one of the voxels that are explained."""
        for box, marks in self.says(near):
            added = ((marks & YES) > 0) & (new[box] == self.answer.lesion)
            gone = ((marks & NO) > 0) & (old[box] == self.answer.lesion)
            if (explained[box] & (added | gone)).any():
                return True
        return False

    def _sampled(self, low: NDArray[np.int64], high: NDArray[np.int64]) -> Marks:
        """The answer's label at every voxel of a box of the window."""
        axis, shape = self.answer.axis, self.scan_shape
        first, second = (n for n in range(3) if n != axis)
        places = np.meshgrid(*[np.arange(a, b + 1) for a, b in zip(low, high, strict=True)], indexing="ij")
        at = np.tensordot(self.to_scan[:3, :3], np.array(places, float), 1) + self.to_scan[:3, 3].reshape(3, 1, 1, 1)
        lowest, highest = np.floor(at + 0.5 - TIE), np.floor(at + 0.5 + TIE)
        ways = [lowest]
        if not np.array_equal(lowest, highest):
            ways = [np.array([(lowest, highest)[up][n] for n, up in enumerate(u)]) for u in product((0, 1), repeat=3)]
        marks, first_way = np.zeros(at.shape[1:], np.uint8), None
        for nearest in ways:
            a, b = nearest[first].astype(int), nearest[second].astype(int)
            on = (nearest[axis] == self.answer.slice) & (a >= 0) & (b >= 0) & (a < shape[first]) & (b < shape[second])
            inside = self.bits[np.where(on, a, 0), np.where(on, b, 0)]
            sampled = np.where(on, np.where(inside, YES, NO), np.uint8(0))
            first_way = sampled if first_way is None else first_way
            marks |= sampled | np.where(sampled != first_way, UNSURE, np.uint8(0))
        return marks
