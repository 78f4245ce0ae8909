"""From the slices a person prompted to the whole lesion, slice by slice in both directions.

The previous slice's box, a little wider, is blended with what a ball as wide as the prompted box would show there:
MedSAM never answers "nothing here", and left to itself it runs on along a muscle. So an end has to be looked for, too:
each step is measured against explicit rules (`Rules`), and the rule that ended a direction is reported.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from core.engines.base import PromptSegmenter, Propagation, SliceMask, StopReason
from core.engines.medsam import to_uint8
from core.engines.prompting import check_prompts, similarity
from core.errors import GeometryError
from core.types import Progress, Prompt, Volume, no_progress

Bool = NDArray[np.bool_]
Box = NDArray[np.float64]
END_OF_SCAN = "end of scan"


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


def refine(
    volume: Volume,
    prompts: Sequence[Prompt],
    segmenter: PromptSegmenter,
    propagate: bool,
    progress: Progress = no_progress,
    prior: Bool | None = None,
    rules: Rules = RULES,
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

    Returns:
        The mask on the scan's own grid; predicted IoU of each slice done; for both directions why it went no further
        (no reasons without `propagate`). A prompt on which nothing is found gives an empty slice and stops there.

    Raises:
        InputError: prompts that cannot be used, see `core.engines.prompting.check_prompts`.
        GeometryError: a prior on another grid.
        JobCancelled: from `progress`.
    """
    check_prompts(prompts, volume.grid)
    if prior is not None and prior.shape != volume.grid.shape:
        raise GeometryError(
            f"The earlier mask has the shape {prior.shape}, the scan {volume.grid.shape}. Resample it first."
        )
    walk = _Walk(volume, segmenter, rules, progress, prior)
    anchors = sorted({p.slice for p in prompts})
    for n, k in enumerate(anchors):
        progress(0.05 * n / len(anchors), f"slice {k}")
        here = [p for p in prompts if p.slice == k]
        walk.keep(k, segmenter.predict(walk.embed(k), here))
        walk.boxes[k] = _around([p.coords for p in here if p.type == "box"], walk.mask[:, :, k])
    stops: list[StopReason] = []
    if propagate:
        for low, high in pairwise(anchors):
            walk.bridge(low, high)
        stops = [walk.go(anchors[0], -1), walk.go(anchors[-1], +1)]
    progress(1.0, "done")
    return Propagation(walk.mask, volume.grid, dict(sorted(walk.predicted_iou.items())), tuple(stops))


class _Walk:
    """The mask as it grows, and the boxes (x0, y0, x1, y1) of the prompted slices.

    Invariant: `mask` is empty on every slice that is not in `predicted_iou`.
    """

    def __init__(
        self, volume: Volume, segmenter: PromptSegmenter, rules: Rules, progress: Progress, prior: Bool | None
    ) -> None:
        self.volume, self.segmenter, self.rules, self.progress, self.prior = volume, segmenter, rules, progress, prior
        self.grey = to_uint8(volume.array, volume.modality)
        self.mask = np.zeros(volume.grid.shape, dtype=bool)
        self.predicted_iou: dict[int, float] = {}
        self.boxes: dict[int, Box] = {}

    def embed(self, k: int) -> object:
        return self.segmenter.embed(np.ascontiguousarray(self.grey[:, :, k]))

    def keep(self, k: int, answer: SliceMask) -> None:
        self.mask[:, :, k] = answer.mask
        self.predicted_iou[k] = answer.predicted_iou

    def go(self, anchor: int, direction: int) -> StopReason:
        """From the outermost prompted slice outwards, until a rule says stop."""
        previous, last = self.mask[:, :, anchor], anchor
        if previous.sum() < self.rules.min_voxels:
            return StopReason(direction, anchor, "empty")
        depth, spacing_mm = self.volume.grid.shape[2], self.volume.grid.spacing_mm
        width, height = self.boxes[anchor][2:] - self.boxes[anchor][:2] + 1
        reach_mm = self.rules.max_extent * float(np.hypot(width * spacing_mm[0], height * spacing_mm[1]))
        k = anchor + direction
        while 0 <= k < depth:
            self.progress(min(0.05 + 0.9 * len(self.predicted_iou) / depth, 0.95), f"slice {k}")
            away_mm = abs(k - anchor) * spacing_mm[2]
            if away_mm > reach_mm and not self._was_there(k):
                return StopReason(direction, last, "maximum extent")
            # The ball is a tenth larger than the reach, so that there is a box to the last.
            narrowing = float(np.sqrt(max(1 - (away_mm / (1.1 * reach_mm)) ** 2, 0.0)))
            answer = self._next(k, previous, self.boxes[anchor], narrowing)
            rule = self._verdict(answer, k, previous, anchor)
            if rule is not None:
                return StopReason(direction, last, rule)
            self.keep(k, answer)
            previous, last, k = answer.mask, k, k + direction
        return StopReason(direction, last, END_OF_SCAN)

    def bridge(self, low: int, high: int) -> None:
        """Between two prompted slices there is no end to find: the box is theirs, in between."""
        first, second = self.mask[:, :, low], self.mask[:, :, high]
        if not (first.any() and second.any()):
            return
        for k in range(low + 1, high):
            self.progress(0.05, f"slice {k}")
            share = (k - low) / (high - low)
            answer = self._ask(k, self.boxes[low] * (1 - share) + self.boxes[high] * share)
            self.keep(k, SliceMask(_beside(answer.mask, first | second), answer.predicted_iou))

    def _was_there(self, k: int) -> bool:
        return self.prior is not None and bool(self.prior[:, :, k].any())

    def _next(self, k: int, previous: Bool, anchor_box: Box, narrowing: float) -> SliceMask:
        hint = previous | self.prior[:, :, k] if self.prior is not None else previous
        box = _widened(_box(hint), self.rules.margin)
        if not self._was_there(k):
            centre = np.tile((box[:2] + box[2:]) / 2, 2)
            half = np.tile((anchor_box[2:] - anchor_box[:2] + 1) / 2, 2) * narrowing
            ball = centre + np.array([-1, -1, 1, 1]) * half
            box = box * (1 - self.rules.ball) + ball * self.rules.ball
        answer = self._ask(k, box)
        return SliceMask(_beside(answer.mask, hint), answer.predicted_iou)

    def _ask(self, k: int, box: Box) -> SliceMask:
        limit = np.tile(np.array(self.volume.grid.shape[:2]) - 1, 2)
        x0, y0, x1, y1 = (float(c) for c in np.round(np.clip(box, 0, limit)))
        return self.segmenter.predict(self.embed(k), [Prompt("box", k, (x0, y0, max(x0, x1), max(y0, y1)))])

    def _verdict(self, answer: SliceMask, k: int, previous: Bool, anchor: int) -> str | None:
        """The rule that rejects this slice, or None. Where an earlier mask has the lesion only emptiness ends it."""
        rules, area = self.rules, int(answer.mask.sum())
        if area < max(rules.min_voxels, rules.min_area_share * self.mask[:, :, anchor].sum()):
            return "empty"
        if self._was_there(k):
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


def _beside(mask: Bool, hint: Bool) -> Bool:
    """Only the parts of `mask` that touch where the lesion was."""
    parts, count = ndimage.label(mask)
    touched = np.unique(parts[hint & mask])
    return np.isin(parts, touched[touched > 0]) if count else mask


def _box(mask: Bool) -> Box:
    """(x0, y0, x1, y1) of a mask that is not empty, inclusive."""
    x, y = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return np.array([x[0], y[0], x[-1], y[-1]], dtype=np.float64)


def _around(boxes: Sequence[tuple[float, ...]], mask: Bool) -> Box:
    """What is around all boxes; around the mask where there is none; nothing at all for neither."""
    if not boxes:
        return _box(mask) if mask.any() else np.zeros(4)
    corners = np.array(boxes, dtype=np.float64)
    return np.concatenate([corners[:, :2].min(axis=0), corners[:, 2:].max(axis=0)])


def _widened(box: Box, share: float) -> Box:
    return box + np.array([-1, -1, 1, 1]) * np.tile(box[2:] - box[:2] + 1, 2) * share
