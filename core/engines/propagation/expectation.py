"""Prior of a lesion on slices that nobody prompted, from those that were: log-odds of lesion a voxel.

It is the sum of two terms. Grey values: how much likelier each is inside the lesion than around it, taken from the
prompted slices and smoothed over space. Form: an ellipsoid as deep as the box is wide, through all boxes there are.
Neither needs an embedding. Their weights were fitted on CT, MR and PET of 24 patients with soft-tissue sarcoma
(10.7937/K9/TCIA.2015.7GO2GSKS); docs/propagation.md has its accuracy on patients that it was not fitted on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from core.engines.propagation.boxes import Bool, Box
from core.types import Grid

Window = tuple[slice, slice]
Floats = NDArray[np.float32]

#: How far grey values are smoothed, as a share of the lesion's radius; and before they are looked up, at most so far.
SMOOTH, SMOOTH_FIRST, SMOOTH_FIRST_MM = 0.12, 0.05, 1.0
#: The same for the model's masks; and the share of votes that changes nothing.
SMOOTH_VOTE, UNDECIDED = 0.06, 0.5
#: Largest log-likelihood ratio that one voxel's grey value can have.
MOST_GREY = 3.0
#: Surroundings that grey values are compared with, and the window of the prior: factors by which boxes are widened.
SURROUNDINGS, LOOKED_AT = 1.4, 1.8


@dataclass(frozen=True)
class PriorWeights:
    """Log-odds = bias + grey * log-likelihood ratio - form * distance + vote * share of the model's masks.

    The distance is from the ellipsoid's middle, 1 on its surface; the ellipsoid is `depth_ratio` times as deep as the
    box is wide. A voxel belongs to the lesion where its probability exceeds `min_probability`.
    """

    bias: float = 8.0
    grey: float = 0.642
    form: float = 8.61
    vote: float = 0.758
    depth_ratio: float = 1.4
    min_probability: float = 0.45

    def inside(self, log_odds: Floats) -> Bool:
        """True where the probability of these log-odds exceeds `min_probability`."""
        return np.asarray(log_odds > np.log(self.min_probability / (1 - self.min_probability)))


DEFAULT_WEIGHTS = PriorWeights()


@dataclass(frozen=True, eq=False)
class Anchor:
    """A slice whose mask (I, J) bool is known, and the box (x0, y0, x1, y1) that asked for it."""

    slice: int
    box: Box
    mask: Bool


@dataclass(frozen=True)
class EllipsoidCap:
    """The part of the ellipsoid beyond an outermost anchor.

    Args:
        share: the anchor's box over the largest one, 0..1.
        semi_axis_mm: of the ellipsoid across slices.
        offset_mm: how far the anchor lies from its middle.
    """

    share: float
    semi_axis_mm: float
    offset_mm: float

    def stretched(self, beyond_mm: float) -> EllipsoidCap:
        """The cap made deep enough to reach beyond `beyond_mm` from the anchor."""
        least_mm = (self.offset_mm + beyond_mm) * 1.1
        return self if self.semi_axis_mm >= least_mm else replace(self, semi_axis_mm=least_mm)


def cap_beyond(boxes: Mapping[int, Box], k: int, spacing_mm: Sequence[float], depth_ratio: float) -> EllipsoidCap:
    """The ellipsoid cap beyond slice `k`, one of `boxes` (slice -> box); the ellipsoid also fits the largest box."""
    sides = {n: (b[2:] - b[:2] + 1) * np.array(spacing_mm[:2]) for n, b in boxes.items()}
    sizes = {n: float(np.sqrt(s.prod())) for n, s in sides.items()}
    largest = max(sizes, key=lambda n: (sizes[n], n == k))
    share = sizes[k] / sizes[largest]
    away_mm, radius_mm = abs(k - largest) * spacing_mm[2], depth_ratio * float(sides[k].max()) / 2
    if away_mm == 0:
        return EllipsoidCap(1.0, radius_mm, 0.0)
    # An ellipsoid of this depth has a cross-section of that share there. If the box is barely smaller than the largest,
    # the depth diverges; so it is capped.
    depth_mm = min(away_mm / float(np.sqrt(max(1 - share**2, 1e-6))), away_mm + radius_mm)
    return EllipsoidCap(share, depth_mm, away_mm)


class LesionPrior:
    """Log-odds of one lesion, slice by slice, within a window around its boxes.

    Args:
        grey: (I, J, K) uint8, as the model sees it.
        grid: the scan's.
        anchors: at least one with a mask that is not empty.
        weights: of grey values, form and votes.
        boxes: of slices that are no anchors but were boxed.
    """

    def __init__(
        self,
        grey: NDArray[np.uint8],
        grid: Grid,
        anchors: Sequence[Anchor],
        weights: PriorWeights,
        boxes: Mapping[int, Box] | None = None,
    ) -> None:
        self.grey, self.weights, self.spacing_mm = grey, weights, grid.spacing_mm
        self.anchors = {a.slice: a for a in anchors}
        self.boxes = {**(boxes or {}), **{a.slice: a.box for a in anchors}}
        most = max(int(a.mask.sum()) for a in anchors)
        #: Radius (mm) of a disc with the area of the largest anchor mask.
        self.radius_mm = float(np.sqrt(max(most, 1) * self.spacing_mm[0] * self.spacing_mm[1] / np.pi))
        self.window = _window(list(self.boxes.values()), grid.shape[:2])
        self._ratios: dict[int, Floats] = {}
        self._table = self._learn()

    def cap(self, k: int) -> EllipsoidCap:
        """The ellipsoid cap beyond anchor slice `k`."""
        return cap_beyond(self.boxes, k, self.spacing_mm, self.weights.depth_ratio)

    def beyond(self, k: int, anchor: int, cap: EllipsoidCap) -> Floats:
        """Log-odds (window) of slice `k` beyond an anchor, by the prior alone."""
        depth = (cap.offset_mm + abs(k - anchor) * self.spacing_mm[2]) / cap.semi_axis_mm
        rim = cap.offset_mm / cap.semi_axis_mm
        # The anchor's own rim lies on the surface, wherever the anchor lies.
        return self._combine(k, self.anchors[anchor].box, max(1 - rim**2, 0.0), depth)

    def between(self, k: int, low: int, high: int) -> Floats:
        """Log-odds (window) of slice `k` between two anchors, whose boxes are interpolated."""
        part = (k - low) / (high - low)
        return self._combine(k, self.anchors[low].box * (1 - part) + self.anchors[high].box * part, 1.0, 0.0)

    def decide(self, k: int, log_odds: Floats, answers: Sequence[Bool]) -> Bool:
        """The mask (I, J) of slice `k`.

        Args:
            k: the slice.
            log_odds: (window) of `beyond` or `between`.
            answers: the model's masks (I, J) there; may be none. Outside them the mask has only voxels whose grey
                values are likelier in the lesion.
        """
        if not answers:
            return self._place(self.weights.inside(log_odds))
        mask = self.weights.inside(log_odds + self.weights.vote * self.vote(answers))
        seen = np.any([a[self.window] for a in answers], axis=0)
        return self._place(mask & (seen | (self._grey(k) > 0)))

    def vote(self, answers: Sequence[Bool]) -> Floats:
        """Smoothed share (window) of the model's masks (I, J) minus one half: -0.5 to 0.5, 0 changes nothing."""
        sigma = [SMOOTH_VOTE * self.radius_mm / mm for mm in self.spacing_mm[:2]]
        share = np.mean([a[self.window] for a in answers], axis=0, dtype=np.float32)
        return np.asarray(ndimage.gaussian_filter(share, sigma) - UNDECIDED, dtype=np.float32)

    def _place(self, part: Bool) -> Bool:
        """The slice (I, J) that is `part` in the window and False elsewhere."""
        whole = np.zeros(self.grey.shape[:2], dtype=bool)
        whole[self.window] = part
        return whole

    def _combine(self, k: int, box: Box, share: float, depth: float) -> Floats:
        middle, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2] + 1) / 2
        i, j = (np.arange(s.start, s.stop, dtype=np.float32) for s in self.window)
        u, v = (i - middle[0]) / half[0], (j - middle[1]) / half[1]
        distance = np.sqrt((u[:, None] ** 2 + v[None, :] ** 2) * share + depth**2)
        w = self.weights
        return np.asarray(w.bias + w.grey * self._grey(k) - w.form * distance, dtype=np.float32)

    def _smoothed(self, k: int) -> NDArray[np.uint8]:
        sigma_mm = min(SMOOTH_FIRST_MM, SMOOTH_FIRST * self.radius_mm)
        grey = self.grey[(*self.window, k)].astype(np.float32)
        grey = ndimage.gaussian_filter(grey, [sigma_mm / mm for mm in self.spacing_mm[:2]], truncate=3)
        return np.asarray(np.rint(grey), dtype=np.uint8)

    def _learn(self) -> Floats:
        """Log-likelihood ratios (256,) of grey values, lesion against surroundings, from the anchors' slices."""
        inside, outside = np.zeros(256), np.zeros(256)
        for anchor in self.anchors.values():
            mask, grey = anchor.mask[self.window], self._smoothed(anchor.slice)
            core = ndimage.binary_erosion(mask)
            near = np.zeros(anchor.mask.shape, dtype=bool)
            near[_window([anchor.box], near.shape, SURROUNDINGS)] = True
            inside += np.bincount(grey[core if core.sum() >= 20 else mask], minlength=256)
            outside += np.bincount(grey[near[self.window] & ~ndimage.binary_dilation(mask)], minlength=256)
        if not inside.any() or not outside.any():
            return np.zeros(256, dtype=np.float32)
        ratio = np.log(_density(inside)) - np.log(_density(outside))
        return np.clip(ratio, -MOST_GREY, MOST_GREY).astype(np.float32)

    def _ratio(self, k: int) -> Floats:
        """Log-likelihood ratio (window) of slice `k`, smoothed within it; cached, as its neighbours need it too."""
        if k not in self._ratios:
            sigma = [SMOOTH * self.radius_mm / mm for mm in self.spacing_mm[:2]]
            self._ratios[k] = ndimage.gaussian_filter(self._table[self._smoothed(k)], sigma, truncate=3)
        return self._ratios[k]

    def _grey(self, k: int) -> Floats:
        """Log-likelihood ratio (window) of slice `k`, smoothed over space."""
        sigma = SMOOTH * self.radius_mm / self.spacing_mm[2]
        reach = int(3 * sigma + 0.5)
        near = [n for n in range(k - reach, k + reach + 1) if 0 <= n < self.grey.shape[2]]
        shares = np.exp(-0.5 * ((np.array(near) - k) / max(sigma, 1e-6)) ** 2)
        ratios = sum(s * self._ratio(n) for n, s in zip(near, shares / shares.sum(), strict=True))
        return np.asarray(ratios, dtype=np.float32)


def _density(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Smooth density (256,) of counts of grey values, nowhere zero."""
    smooth = ndimage.gaussian_filter1d(counts / counts.sum(), 4.0, mode="nearest") + 1e-4
    return np.asarray(smooth / smooth.sum())


def _window(boxes: Sequence[Box], shape: Sequence[int], wider: float = LOOKED_AT) -> Window:
    """The window that encloses all boxes, each `wider` times as wide, cut to the slice (I, J)."""
    corners = np.array(boxes)
    middle, half = (corners[:, :2] + corners[:, 2:]) / 2, (corners[:, 2:] - corners[:, :2] + 1) / 2 * wider
    low = np.clip(np.floor((middle - half).min(axis=0)), 0, np.array(shape) - 1).astype(int)
    high = np.clip(np.ceil((middle + half).max(axis=0)), 0, np.array(shape) - 1).astype(int)
    return slice(low[0], high[0] + 1), slice(low[1], high[1] + 1)
