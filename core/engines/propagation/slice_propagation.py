"""Slice propagation: from the prompted slices outwards, the mask of each slice and the criterion that stops it.

The lesion's prior (`core.engines.propagation.expectation`) gives the boxes that the model is prompted with, and is
combined with its masks. The previous mask alone is a bad guide: MedSAM fills whatever box it is given, so a box
that has drifted stays adrift, and there is always something beyond an end. Only where a slice is required (it was
requested, or is in an earlier mask) and the prior is empty, the previous mask's box is used.
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
from core.engines.propagation.boxes import Bool, Box, bounding_box_2d, connected_to, enclosing_box, widen_box
from core.engines.propagation.expectation import DEFAULT_WEIGHTS, Anchor, Floats, LesionPrior, PriorWeights
from core.types import Grid, Progress, Prompt

END_OF_SCAN, AS_REQUESTED, PROMPTED = "end of scan", "as far as asked", "prompted slice"


@dataclass(frozen=True)
class StoppingCriteria:
    """When propagation stops, and with which boxes the model is prompted.

    Args:
        asked_boxes: factors by which the model's boxes are wider than the prior's mask; each of its masks is a
            vote, and the first one's predicted IoU is reported. Empty: form and grey values alone decide, nothing
            beyond the prompted slices is embedded, and predicted IoU is that of the prompted slice.
        margin: by how much the previous mask's box is widened where the prior is empty, as a share of its width and
            height on either side.
        min_voxels: below it a slice's mask counts as empty.
        min_area_share: below that share of the prompted slice's area it counts as empty, too.
        min_predicted_iou: lowest IoU that the model predicts of its own mask, 0..1.
        max_area_jump: growth or shrinkage from one slice to the next, as a factor.
        min_similarity: agreement of grey values with the prompted slice's lesion, 0..1 (`similarity`).
        max_extent: farthest slice, as a share of the prompted box's diagonal (both in millimetres). A longer lesion
            wants a prompt on a farther slice.
        weights: of the prior, and of the model's votes.
    """

    asked_boxes: tuple[float, ...] = (1.15, 1.3)
    margin: float = 0.05
    min_voxels: int = 6
    min_area_share: float = 0.03
    min_predicted_iou: float = 0.45
    max_area_jump: float = 4.0
    min_similarity: float = 0.1
    max_extent: float = 0.6
    weights: PriorWeights = field(default=DEFAULT_WEIGHTS)


DEFAULT_STOPPING = StoppingCriteria()


@dataclass(frozen=True, eq=False)
class StartSlice:
    """A slice whose mask (I, J) bool is known, to go on from."""

    slice: int
    mask: Bool


class SlicePropagator:
    """Slice propagation of one lesion: its mask so far, and the boxes (x0, y0, x1, y1) of known slices."""

    def __init__(
        self,
        grey: NDArray[np.uint8],
        grid: Grid,
        segmenter: PromptSegmenter,
        embed: SliceEmbed,
        rules: StoppingCriteria,
        progress: Progress,
        earlier_mask: Bool | None,
        requested_slices: tuple[int, int] | None,
    ) -> None:
        self.grey, self.grid, self.segmenter, self.embedder = grey, grid, segmenter, embed
        self.rules, self.progress = rules, progress
        self.earlier_mask, self.requested_slices = earlier_mask, requested_slices
        self.mask = np.zeros(grid.shape, dtype=bool)
        self.done = 0
        self.min_iou = 1.0
        #: Slices that are left as they are.
        self.prompted_slices: frozenset[int] = frozenset()
        self.boxes: dict[int, Box] = {}
        self.lesion_prior: LesionPrior | None = None

    def segment_slices(
        self, prompts: Sequence[Prompt], propagate: bool, start: StartSlice | None
    ) -> Iterator[SliceFound | StopReason]:
        """Slices as they are found; see `core.engines.propagation.propagation.propagate_slices`."""
        anchors = sorted({p.slice for p in prompts})
        boxed = {k: [p.coords for p in prompts if p.slice == k and p.type == "box"] for k in anchors}
        if start is not None:  # no model sees the prompts then: they bound the prior's window and the directions
            self.mask[:, :, start.slice] = start.mask
            self.boxes[start.slice] = enclosing_box([], start.mask)
            self.prompted_slices = frozenset(anchors)
            self._fit_prior([start.slice], {k: enclosing_box(b, start.mask) for k, b in boxed.items() if b})
            for direction in _directions_away_from(anchors, start.slice):
                yield from self.propagate_direction(start.slice, direction)
            return
        for n, k in enumerate(anchors):
            self.progress(0.05 * n / len(anchors), f"slice {k}")
            answer = self.segmenter.predict(self.embed(k), [p for p in prompts if p.slice == k])
            self.min_iou = min(self.min_iou, answer.predicted_iou)
            yield self.accept_slice(k, answer)
            self.boxes[k] = enclosing_box(boxed[k], self.mask[:, :, k])
        if not propagate:
            return
        self._fit_prior([k for k in anchors if self.mask[:, :, k].any()], {})
        for low, high in pairwise(anchors):
            yield from self.fill_between(low, high)
        yield from self.propagate_direction(anchors[0], -1)
        yield from self.propagate_direction(anchors[-1], +1)

    def _fit_prior(self, known: Sequence[int], boxes: dict[int, Box]) -> None:
        anchors = [Anchor(k, self.boxes[k], self.mask[:, :, k].copy()) for k in known if self.mask[:, :, k].any()]
        if anchors:
            self.lesion_prior = LesionPrior(self.grey, self.grid, anchors, self.rules.weights, boxes)

    def embed(self, k: int) -> Any:
        return self.embedder(k, np.ascontiguousarray(self.grey[:, :, k]))

    def accept_slice(self, k: int, answer: SliceMask) -> SliceFound:
        """The slice with its answer, which is written into the mask."""
        self.mask[:, :, k] = answer.mask
        self.done += 1
        return SliceFound(k, answer)

    def propagate_direction(self, anchor: int, direction: int) -> Iterator[SliceFound | StopReason]:
        """Slices from the outermost known one outwards, until a criterion stops it; last the reason."""
        previous, last = self.mask[:, :, anchor], anchor
        if self.lesion_prior is None or previous.sum() < self.rules.min_voxels:
            yield StopReason(direction, anchor, "empty")
            return
        cap = self.lesion_prior.cap(anchor).stretched(self._requested_extent_mm(anchor, direction))
        k = anchor + direction
        while (end := self._stop_before_slice(k, anchor)) is None:
            self.progress(min(0.05 + 0.9 * self.done / self.grid.shape[2], 0.95), f"slice {k}")
            answer = self._segment_next_slice(k, previous, self.lesion_prior.beyond(k, anchor, cap))
            rule = self._stop_after_slice(answer, k, previous, anchor)
            if rule is not None:
                yield StopReason(direction, last, rule)
                return
            yield self.accept_slice(k, answer)
            previous, last, k = answer.mask, k, k + direction
        yield StopReason(direction, last, end)

    def _stop_before_slice(self, k: int, anchor: int) -> str | None:
        """The criterion that stops propagation before slice `k` is segmented, or None."""
        if not 0 <= k < self.grid.shape[2]:
            return END_OF_SCAN
        if self.requested_slices is not None and not self._is_requested(k):
            return AS_REQUESTED
        if k in self.prompted_slices:
            return PROMPTED
        away_mm = abs(k - anchor) * self.grid.spacing_mm[2]
        return "maximum extent" if away_mm > self._max_extent_mm(anchor) and not self._is_required(k) else None

    def fill_between(self, low: int, high: int) -> Iterator[SliceFound]:
        """Slices between two prompted ones, where propagation never stops: the shape is interpolated."""
        first, second = self.mask[:, :, low], self.mask[:, :, high]
        if self.lesion_prior is None or not (first.any() and second.any()):
            return
        for k in range(low + 1, high):
            self.progress(0.05, f"slice {k}")
            yield self.accept_slice(
                k, self._combine_prior_and_model(k, first | second, self.lesion_prior.between(k, low, high))
            )

    def _max_extent_mm(self, anchor: int) -> float:
        width, height = self.boxes[anchor][2:] - self.boxes[anchor][:2] + 1
        i_mm, j_mm, _ = self.grid.spacing_mm
        return self.rules.max_extent * float(np.hypot(width * i_mm, height * j_mm))

    def _requested_extent_mm(self, anchor: int, direction: int) -> float:
        """Distance (mm) from the anchor to the farthest requested slice in this direction; 0 without a request."""
        if self.requested_slices is None:
            return 0.0
        end = self.requested_slices[0] if direction < 0 else self.requested_slices[1]
        return max((end - anchor) * direction, 0) * self.grid.spacing_mm[2]

    def _in_earlier_mask(self, k: int) -> bool:
        return self.earlier_mask is not None and bool(self.earlier_mask[:, :, k].any())

    def _is_requested(self, k: int) -> bool:
        return self.requested_slices is not None and self.requested_slices[0] <= k <= self.requested_slices[1]

    def _is_required(self, k: int) -> bool:
        return self._in_earlier_mask(k) or self._is_requested(k)

    def _segment_next_slice(self, k: int, previous: Bool, log_odds: Floats) -> SliceMask:
        if self._in_earlier_mask(k) and self.earlier_mask is not None:
            return self._segment_around(k, previous | self.earlier_mask[:, :, k])
        answer = self._combine_prior_and_model(k, previous, log_odds)
        if answer.mask.sum() < self.rules.min_voxels and self._is_requested(k):
            return self._segment_around(k, previous)
        return answer

    def _combine_prior_and_model(self, k: int, hint: Bool, log_odds: Floats) -> SliceMask:
        """Mask from the prior and the model's masks for boxes around it; empty if the prior is empty."""
        assert self.lesion_prior is not None
        likely = connected_to(self.lesion_prior.decide(k, log_odds, []), hint)
        if not likely.any():
            return SliceMask(likely, 0.0)
        answers = self._predict_boxes(
            k, [widen_box(bounding_box_2d(likely), (wider - 1) / 2) for wider in self.rules.asked_boxes]
        )
        if answers and max(int(a.mask.sum()) for a in answers) < self.rules.min_voxels:
            return SliceMask(np.zeros_like(likely), answers[0].predicted_iou)  # the model finds nothing either
        mask = self.lesion_prior.decide(k, log_odds, [a.mask for a in answers])
        return SliceMask(connected_to(mask, hint), answers[0].predicted_iou if answers else self.min_iou)

    def _segment_around(self, k: int, hint: Bool) -> SliceMask:
        """The model's mask for a box around `hint`, where the lesion was."""
        (answer,) = self._predict_boxes(k, [widen_box(bounding_box_2d(hint), self.rules.margin)])
        return SliceMask(connected_to(answer.mask, hint), answer.predicted_iou)

    def _predict_boxes(self, k: int, boxes: Sequence[Box]) -> list[SliceMask]:
        """The model's masks, one a box; the slice is embedded once, and not at all without boxes."""
        if not boxes:
            return []
        embedding, limit = self.embed(k), np.tile(np.array(self.grid.shape[:2]) - 1, 2)
        answers = []
        for box in boxes:
            x0, y0, x1, y1 = (float(c) for c in np.round(np.clip(box, 0, limit)))
            prompt = Prompt("box", k, (x0, y0, max(x0, x1), max(y0, y1)))
            answers.append(self.segmenter.predict(embedding, [prompt]))
        return answers

    def _stop_after_slice(self, answer: SliceMask, k: int, previous: Bool, anchor: int) -> str | None:
        """The criterion that rejects this slice, or None; a required slice is rejected only if empty."""
        rules, area = self.rules, int(answer.mask.sum())
        if area < max(rules.min_voxels, rules.min_area_share * self.mask[:, :, anchor].sum()):
            return "empty"
        if self._is_required(k):
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


def _directions_away_from(anchors: Sequence[int], k: int) -> tuple[int, ...]:
    """The directions from slice `k` in which no prompted slice lies; both where that leaves none."""
    free = tuple(d for d in (-1, 1) if all((a - k) * d <= 0 for a in anchors))
    return free or (-1, 1)
