"""From the slices a person prompted to the whole lesion, slice by slice in both directions.

The previous slice's box, a little wider, is blended with what a ball as wide as the prompted box would show there:
MedSAM never answers "nothing here", and left to itself it runs on along a muscle. So an end has to be looked for, too:
each step is measured against explicit rules (`Rules`), and the rule that ended a direction is reported.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.engines.base import PromptSegmenter, Propagation, SliceFound, SliceMask, StopReason
from core.engines.boxes import Bool, Box, around, beside, box_of, widened
from core.engines.embeddings import SliceEmbed
from core.engines.preparing import to_uint8
from core.engines.prompting import check_prompts, similarity
from core.errors import GeometryError, InputError
from core.types import Grid, Progress, Prompt, Volume, no_progress

END_OF_SCAN, AS_ASKED, PROMPTED = "end of scan", "as far as asked", "prompted slice"


@dataclass(frozen=True)
class Rules:
    """When propagation stops, and how far a box reaches beyond the previous mask.

    Args:
        margin: by how much the previous mask's box is widened, as a share of its width and height on either side.
        ball: weight of the ball's box against the previous mask's, 0..1.
        min_voxels: below it a slice's mask counts as empty.
        min_area_share: below that share of the prompted slice's area it counts as empty, too.
        min_predicted_iou: what the model must believe of its own mask, 0..1.
        max_area_jump: growth or shrinkage from one slice to the next, as a factor.
        min_similarity: agreement of grey values with the prompted slice's lesion, 0..1 (`similarity`).
        max_extent: farthest slice, as a share of the prompted box's diagonal (both in millimetres); 0.5 is the surface
            of the ball. A longer lesion wants a prompt on a farther slice.
    """

    margin: float = 0.05
    ball: float = 0.5
    min_voxels: int = 6
    min_area_share: float = 0.06
    min_predicted_iou: float = 0.45
    max_area_jump: float = 2.2
    min_similarity: float = 0.55
    max_extent: float = 0.5


RULES = Rules()


@dataclass(frozen=True, eq=False)
class Start:
    """A slice whose mask (I, J) bool is known, to go on from."""

    slice: int
    mask: Bool


def refine(
    volume: Volume,
    prompts: Sequence[Prompt],
    segmenter: PromptSegmenter,
    propagate: bool,
    progress: Progress = no_progress,
    prior: Bool | None = None,
    rules: Rules = RULES,
    embed: SliceEmbed | None = None,
) -> Propagation:
    """One lesion from the prompts of one scan.

    Args:
        volume: the prompted scan.
        prompts: boxes and points of one lesion, voxel indices of that scan.
        segmenter: of `core.engines.medsam.load_prompt_segmenter`.
        propagate: True to go on beyond the prompted slices, and between them.
        progress: called for every slice; may raise JobCancelled.
        prior: (I, J, K) bool on the scan's grid: an earlier mask of this lesion. Propagation then does not end before
            that mask does, unless nothing is found, and its extent is taken into the next slice's box.
        rules: when to stop.
        embed: as `walk`.

    Returns:
        The mask on the scan's own grid; predicted IoU of each slice done; for both directions why it went no further
        (no reasons without `propagate`). A prompt on which nothing is found gives an empty slice and stops there.

    Raises:
        InputError: prompts that cannot be used, see `core.engines.prompting.check_prompts`.
        GeometryError: a prior on another grid.
        JobCancelled: from `progress`.
    """
    check_prompts(prompts, volume.grid)
    grey = to_uint8(volume.array, volume.modality)
    mask, ious = np.zeros(volume.grid.shape, dtype=bool), dict[int, float]()
    stops = []
    steps = walk(
        grey, volume.grid, prompts, segmenter, propagate=propagate, progress=progress, prior=prior, rules=rules,
        embed=embed,
    )  # fmt: skip
    for step in steps:
        if isinstance(step, StopReason):
            stops.append(step)
        else:
            mask[:, :, step.slice], ious[step.slice] = step.answer.mask, step.answer.predicted_iou
    progress(1.0, "done")
    return Propagation(mask, volume.grid, dict(sorted(ious.items())), tuple(stops))


def walk(
    grey: NDArray[np.uint8],
    grid: Grid,
    prompts: Sequence[Prompt],
    segmenter: PromptSegmenter,
    *,
    propagate: bool = True,
    start: Start | None = None,
    until: tuple[int, int] | None = None,
    progress: Progress = no_progress,
    prior: Bool | None = None,
    rules: Rules = RULES,
    embed: SliceEmbed | None = None,
) -> Iterator[SliceFound | StopReason]:
    """The slices of one lesion as they are found, and why each direction ended. Closing it stops it between slices.

    First the prompted slices, then those between them, then downwards, then upwards; each direction's StopReason
    follows its last slice.

    Args:
        grey: (I, J, K) uint8 from `core.engines.preparing.to_uint8`.
        grid: the scan's.
        prompts: as `refine`; may be none with `start`.
        segmenter: as `refine`.
        propagate: as `refine`.
        start: go on from a slice whose mask is known, away from the prompted slices (both ways if there are none, or
            some on either side). The prompted slices themselves are then left alone, and `start` is not repeated.
        until: (low, high): go at least and at most to these slices: within them nothing but an empty slice ends it.
        progress: as `refine`.
        prior: as `refine`.
        rules: as `refine`.
        embed: (k, image) -> embedding, in place of the segmenter's own.

    Raises:
        InputError: as `refine`, or `start` or `until` outside the scan.
        GeometryError: as `refine`.
        JobCancelled: from `progress`.
    """
    if prompts or start is None:
        check_prompts(prompts, grid)
    _check_range(start, until, grid)
    if prior is not None and prior.shape != grid.shape:
        raise GeometryError(f"The earlier mask has the shape {prior.shape}, the scan {grid.shape}. Resample it first.")
    embed = embed or (lambda k, image: segmenter.embed(image))
    return _Walk(grey, grid, segmenter, embed, rules, progress, prior, until).steps(prompts, propagate, start)


def _check_range(start: Start | None, until: tuple[int, int] | None, grid: Grid) -> None:
    depth = grid.shape[2]
    if start is not None and (start.mask.shape != grid.shape[:2] or not 0 <= start.slice < depth):
        raise InputError(
            f"Expected the mask to go on from on a slice 0..{depth - 1} of {grid.shape[0]} x {grid.shape[1]} voxels, "
            f"got {start.mask.shape} on slice {start.slice}."
        )
    if until is not None and not 0 <= until[0] <= until[1] < depth:
        raise InputError(f"Expected slices to go to as low, high within 0..{depth - 1}, got {until}.")


class _Walk:
    """The mask as it grows, and the boxes (x0, y0, x1, y1) of the slices that are known."""

    def __init__(
        self,
        grey: NDArray[np.uint8],
        grid: Grid,
        segmenter: PromptSegmenter,
        embed: SliceEmbed,
        rules: Rules,
        progress: Progress,
        prior: Bool | None,
        until: tuple[int, int] | None,
    ) -> None:
        self.grey, self.grid, self.segmenter, self.embedder = grey, grid, segmenter, embed
        self.rules, self.progress, self.prior, self.until = rules, progress, prior, until
        self.mask = np.zeros(grid.shape, dtype=bool)
        self.done = 0
        #: Slices that are not to be done again.
        self.settled: frozenset[int] = frozenset()
        self.boxes: dict[int, Box] = {}

    def steps(
        self, prompts: Sequence[Prompt], propagate: bool, start: Start | None
    ) -> Iterator[SliceFound | StopReason]:
        """See `walk`."""
        anchors = sorted({p.slice for p in prompts})
        if start is not None:
            self.mask[:, :, start.slice] = start.mask
            self.boxes[start.slice] = around([], start.mask)
            self.settled = frozenset(anchors)
            for direction in _away_from(anchors, start.slice):
                yield from self.go(start.slice, direction)
            return
        for n, k in enumerate(anchors):
            self.progress(0.05 * n / len(anchors), f"slice {k}")
            here = [p for p in prompts if p.slice == k]
            yield self.keep(k, self.segmenter.predict(self.embed(k), here))
            self.boxes[k] = around([p.coords for p in here if p.type == "box"], self.mask[:, :, k])
        if not propagate:
            return
        for low, high in pairwise(anchors):
            yield from self.bridge(low, high)
        yield from self.go(anchors[0], -1)
        yield from self.go(anchors[-1], +1)

    def embed(self, k: int) -> Any:
        return self.embedder(k, np.ascontiguousarray(self.grey[:, :, k]))

    def keep(self, k: int, answer: SliceMask) -> SliceFound:
        self.mask[:, :, k] = answer.mask
        self.done += 1
        return SliceFound(k, answer)

    def go(self, anchor: int, direction: int) -> Iterator[SliceFound | StopReason]:
        """From the outermost known slice outwards, until a rule says stop."""
        previous, last = self.mask[:, :, anchor], anchor
        if previous.sum() < self.rules.min_voxels:
            yield StopReason(direction, anchor, "empty")
            return
        depth = self.grid.shape[2]
        reach_mm, asked_mm = self._reach_mm(anchor), self._asked_mm(anchor, direction)
        k = anchor + direction
        while 0 <= k < depth:
            self.progress(min(0.05 + 0.9 * self.done / depth, 0.95), f"slice {k}")
            if self.until is not None and not self._asked_for(k):
                yield StopReason(direction, last, AS_ASKED)
                return
            if k in self.settled:
                yield StopReason(direction, last, PROMPTED)
                return
            away_mm = abs(k - anchor) * self.grid.spacing_mm[2]
            if away_mm > reach_mm and not self._must_be_there(k):
                yield StopReason(direction, last, "maximum extent")
                return
            # The ball is a tenth larger than the reach, so that there is a box to the last.
            narrowing = float(np.sqrt(max(1 - (away_mm / (1.1 * max(reach_mm, asked_mm))) ** 2, 0.0)))
            answer = self._next(k, previous, self.boxes[anchor], narrowing)
            rule = self._verdict(answer, k, previous, anchor)
            if rule is not None:
                yield StopReason(direction, last, rule)
                return
            yield self.keep(k, answer)
            previous, last, k = answer.mask, k, k + direction
        yield StopReason(direction, last, END_OF_SCAN)

    def bridge(self, low: int, high: int) -> Iterator[SliceFound]:
        """Between two prompted slices there is no end to find: the box is theirs, in between."""
        first, second = self.mask[:, :, low], self.mask[:, :, high]
        if not (first.any() and second.any()):
            return
        for k in range(low + 1, high):
            self.progress(0.05, f"slice {k}")
            share = (k - low) / (high - low)
            answer = self._ask(k, self.boxes[low] * (1 - share) + self.boxes[high] * share)
            yield self.keep(k, SliceMask(beside(answer.mask, first | second), answer.predicted_iou))

    def _reach_mm(self, anchor: int) -> float:
        width, height = self.boxes[anchor][2:] - self.boxes[anchor][:2] + 1
        i_mm, j_mm, _ = self.grid.spacing_mm
        return self.rules.max_extent * float(np.hypot(width * i_mm, height * j_mm))

    def _asked_mm(self, anchor: int, direction: int) -> float:
        """How far it is to the slice that was asked for in this direction; 0 where none was."""
        if self.until is None:
            return 0.0
        end = self.until[0] if direction < 0 else self.until[1]
        return max((end - anchor) * direction, 0) * self.grid.spacing_mm[2]

    def _was_there(self, k: int) -> bool:
        return self.prior is not None and bool(self.prior[:, :, k].any())

    def _asked_for(self, k: int) -> bool:
        return self.until is not None and self.until[0] <= k <= self.until[1]

    def _must_be_there(self, k: int) -> bool:
        return self._was_there(k) or self._asked_for(k)

    def _next(self, k: int, previous: Bool, anchor_box: Box, narrowing: float) -> SliceMask:
        hint = previous | self.prior[:, :, k] if self.prior is not None else previous
        box = widened(box_of(hint), self.rules.margin)
        if not self._was_there(k):
            centre = np.tile((box[:2] + box[2:]) / 2, 2)
            half = np.tile((anchor_box[2:] - anchor_box[:2] + 1) / 2, 2) * narrowing
            ball = centre + np.array([-1, -1, 1, 1]) * half
            box = box * (1 - self.rules.ball) + ball * self.rules.ball
        answer = self._ask(k, box)
        return SliceMask(beside(answer.mask, hint), answer.predicted_iou)

    def _ask(self, k: int, box: Box) -> SliceMask:
        limit = np.tile(np.array(self.grid.shape[:2]) - 1, 2)
        x0, y0, x1, y1 = (float(c) for c in np.round(np.clip(box, 0, limit)))
        return self.segmenter.predict(self.embed(k), [Prompt("box", k, (x0, y0, max(x0, x1), max(y0, y1)))])

    def _verdict(self, answer: SliceMask, k: int, previous: Bool, anchor: int) -> str | None:
        """The rule that rejects this slice, or None. Where the lesion is known to be, only emptiness ends it."""
        rules, area = self.rules, int(answer.mask.sum())
        if area < max(rules.min_voxels, rules.min_area_share * self.mask[:, :, anchor].sum()):
            return "empty"
        if self._must_be_there(k):
            return None
        if answer.predicted_iou < rules.min_predicted_iou:
            return "low predicted IoU"
        jump = area / max(int(previous.sum()), 1)
        if max(jump, 1 / jump) > rules.max_area_jump:
            return "area jump"
        if (
            similarity(self.grey[:, :, k], answer.mask, self.grey[:, :, anchor], self.mask[:, :, anchor])
            < rules.min_similarity
        ):
            return "grey values differ"
        return None


def _away_from(anchors: Sequence[int], k: int) -> tuple[int, ...]:
    """The directions from slice `k` in which no prompted slice lies; both where that leaves none."""
    free = tuple(d for d in (-1, 1) if all((a - k) * d <= 0 for a in anchors))
    return free or (-1, 1)
