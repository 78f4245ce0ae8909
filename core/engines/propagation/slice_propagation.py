"""One walk from the prompted slices outwards: what each slice is asked, what becomes of the answer, where it ends.

What is expected on a slice (`core.engines.propagation.expectation`) gives the boxes that the model is asked with, and
is weighed against its answers. The previous mask alone is a bad guide: MedSAM fills whatever box it is given, so a box
that has drifted stays adrift, and there is always something beyond an end. Only where a slice must be there (it was
asked for, or is in an earlier mask) and nothing is expected, the previous mask's box is what is left.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.engines.base import PromptSegmenter, SliceFound, SliceMask, StopReason
from core.engines.prompt.embeddings import SliceEmbed
from core.engines.prompt.prompting import similarity
from core.engines.propagation.boxes import Bool, Box, around, beside, box_of, widened
from core.engines.propagation.expectation import WEIGHTS, Anchor, Expectation, Floats, Weights
from core.types import Grid, Progress, Prompt

END_OF_SCAN, AS_ASKED, PROMPTED = "end of scan", "as far as asked", "prompted slice"


@dataclass(frozen=True)
class Rules:
    """When propagation stops, and what the model is asked.

    Args:
        asked_boxes: how much wider than what is expected the boxes are that a slice is asked with; each answer is a
            vote, and the first one's predicted IoU is reported. Empty: form and grey values alone decide, nothing
            beyond the prompted slices is embedded, and predicted IoU is that of the prompted slice.
        margin: by how much the previous mask's box is widened where nothing is expected, as a share of its width and
            height on either side.
        min_voxels: below it a slice's mask counts as empty.
        min_area_share: below that share of the prompted slice's area it counts as empty, too.
        min_predicted_iou: what the model must believe of its own mask, 0..1.
        max_area_jump: growth or shrinkage from one slice to the next, as a factor.
        min_similarity: agreement of grey values with the prompted slice's lesion, 0..1 (`similarity`).
        max_extent: farthest slice, as a share of the prompted box's diagonal (both in millimetres). A longer lesion
            wants a prompt on a farther slice.
        weights: of what is expected, and of the votes.
    """

    asked_boxes: tuple[float, ...] = (1.15, 1.3)
    margin: float = 0.05
    min_voxels: int = 6
    min_area_share: float = 0.03
    min_predicted_iou: float = 0.45
    max_area_jump: float = 4.0
    min_similarity: float = 0.1
    max_extent: float = 0.6
    weights: Weights = field(default=WEIGHTS)


RULES = Rules()


@dataclass(frozen=True, eq=False)
class Start:
    """A slice whose mask (I, J) bool is known, to go on from."""

    slice: int
    mask: Bool


class Walk:
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
        self.least_iou = 1.0
        #: Slices that are not to be done again.
        self.settled: frozenset[int] = frozenset()
        self.boxes: dict[int, Box] = {}
        self.expected: Expectation | None = None

    def steps(
        self, prompts: Sequence[Prompt], propagate: bool, start: Start | None
    ) -> Iterator[SliceFound | StopReason]:
        """See `core.engines.propagation.propagation.walk`."""
        anchors = sorted({p.slice for p in prompts})
        boxed = {k: [p.coords for p in prompts if p.slice == k and p.type == "box"] for k in anchors}
        if start is not None:  # prompts are put to no model then: they say where the walk looks, and where it ends
            self.mask[:, :, start.slice] = start.mask
            self.boxes[start.slice] = around([], start.mask)
            self.settled = frozenset(anchors)
            self._expect([start.slice], {k: around(b, start.mask) for k, b in boxed.items() if b})
            for direction in _away_from(anchors, start.slice):
                yield from self.go(start.slice, direction)
            return
        for n, k in enumerate(anchors):
            self.progress(0.05 * n / len(anchors), f"slice {k}")
            answer = self.segmenter.predict(self.embed(k), [p for p in prompts if p.slice == k])
            self.least_iou = min(self.least_iou, answer.predicted_iou)
            yield self.keep(k, answer)
            self.boxes[k] = around(boxed[k], self.mask[:, :, k])
        if not propagate:
            return
        self._expect([k for k in anchors if self.mask[:, :, k].any()], {})
        for low, high in pairwise(anchors):
            yield from self.bridge(low, high)
        yield from self.go(anchors[0], -1)
        yield from self.go(anchors[-1], +1)

    def _expect(self, known: Sequence[int], boxes: dict[int, Box]) -> None:
        anchors = [Anchor(k, self.boxes[k], self.mask[:, :, k].copy()) for k in known if self.mask[:, :, k].any()]
        if anchors:
            self.expected = Expectation(self.grey, self.grid, anchors, self.rules.weights, boxes)

    def embed(self, k: int) -> Any:
        return self.embedder(k, np.ascontiguousarray(self.grey[:, :, k]))

    def keep(self, k: int, answer: SliceMask) -> SliceFound:
        self.mask[:, :, k] = answer.mask
        self.done += 1
        return SliceFound(k, answer)

    def go(self, anchor: int, direction: int) -> Iterator[SliceFound | StopReason]:
        """From the outermost known slice outwards, until a rule says stop."""
        previous, last = self.mask[:, :, anchor], anchor
        if self.expected is None or previous.sum() < self.rules.min_voxels:
            yield StopReason(direction, anchor, "empty")
            return
        cap = self.expected.cap(anchor).stretched(self._asked_mm(anchor, direction))
        k = anchor + direction
        while (end := self._end(k, anchor)) is None:
            self.progress(min(0.05 + 0.9 * self.done / self.grid.shape[2], 0.95), f"slice {k}")
            answer = self._next(k, previous, self.expected.beyond(k, anchor, cap))
            rule = self._verdict(answer, k, previous, anchor)
            if rule is not None:
                yield StopReason(direction, last, rule)
                return
            yield self.keep(k, answer)
            previous, last, k = answer.mask, k, k + direction
        yield StopReason(direction, last, end)

    def _end(self, k: int, anchor: int) -> str | None:
        """Why slice `k` is not even looked at, or None."""
        if not 0 <= k < self.grid.shape[2]:
            return END_OF_SCAN
        if self.until is not None and not self._asked_for(k):
            return AS_ASKED
        if k in self.settled:
            return PROMPTED
        away_mm = abs(k - anchor) * self.grid.spacing_mm[2]
        return "maximum extent" if away_mm > self._reach_mm(anchor) and not self._must_be_there(k) else None

    def bridge(self, low: int, high: int) -> Iterator[SliceFound]:
        """Between two prompted slices there is no end to find: what is expected is their form, in between."""
        first, second = self.mask[:, :, low], self.mask[:, :, high]
        if self.expected is None or not (first.any() and second.any()):
            return
        for k in range(low + 1, high):
            self.progress(0.05, f"slice {k}")
            yield self.keep(k, self._weigh(k, first | second, self.expected.between(k, low, high)))

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

    def _next(self, k: int, previous: Bool, log_odds: Floats) -> SliceMask:
        if self._was_there(k) and self.prior is not None:
            return self._follow(k, previous | self.prior[:, :, k])
        answer = self._weigh(k, previous, log_odds)
        if answer.mask.sum() < self.rules.min_voxels and self._asked_for(k):
            return self._follow(k, previous)
        return answer

    def _weigh(self, k: int, hint: Bool, log_odds: Floats) -> SliceMask:
        """What is expected, and the model's answers to boxes around it. Empty where nothing is."""
        assert self.expected is not None
        likely = beside(self.expected.decide(k, log_odds, []), hint)
        if not likely.any():
            return SliceMask(likely, 0.0)
        answers = self._ask(k, [widened(box_of(likely), (wider - 1) / 2) for wider in self.rules.asked_boxes])
        if answers and max(int(a.mask.sum()) for a in answers) < self.rules.min_voxels:
            return SliceMask(np.zeros_like(likely), answers[0].predicted_iou)  # not even the model sees anything
        mask = self.expected.decide(k, log_odds, [a.mask for a in answers])
        return SliceMask(beside(mask, hint), answers[0].predicted_iou if answers else self.least_iou)

    def _follow(self, k: int, hint: Bool) -> SliceMask:
        """The model's answer to a box around where the lesion was."""
        (answer,) = self._ask(k, [widened(box_of(hint), self.rules.margin)])
        return SliceMask(beside(answer.mask, hint), answer.predicted_iou)

    def _ask(self, k: int, boxes: Sequence[Box]) -> list[SliceMask]:
        """The model's answer to each box; the slice is embedded once, and not at all without boxes."""
        if not boxes:
            return []
        embedding, limit = self.embed(k), np.tile(np.array(self.grid.shape[:2]) - 1, 2)
        answers = []
        for box in boxes:
            x0, y0, x1, y1 = (float(c) for c in np.round(np.clip(box, 0, limit)))
            prompt = Prompt("box", k, (x0, y0, max(x0, x1), max(y0, y1)))
            answers.append(self.segmenter.predict(embedding, [prompt]))
        return answers

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
