"""Anchored crops of a scan -> what the segmentation network's encoder makes of them (RF-Deep's features).

Rangnekar & Veeraraghavan 2025, arXiv 2512.08216: crops of 128 mm centred on random voxels of a tumour mask (what the
network predicted, or the mask under review), shifted to stay inside the scan; global average pool of every encoder
level. Here the encoder is nnU-Net's, at the network's own spacing; "patch embedding" is its first convolution, before
that is normalised.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from core.errors import ModelError
from core.imaging.orienting import canonical
from core.imaging.volumes import content_sha256
from core.types import LabelMap, Progress, Volume, no_progress

#: Raise it whenever the same scan would give other numbers; reference features of another version are refused.
FEATURES_VERSION = 2
#: The side of a crop: 128 voxels of 1 mm, as published; a network's coarser voxels are fewer.
CROP_MM = 128.0
CROPS = 8
TRAINING_CROPS = 4

Rows = NDArray[np.float32]


class Encoder(Protocol):
    """The methods of a segmenter that are used here (`core.engines.auto.nnunet.NnUNetSegmenter` has them)."""

    model_id: str
    checkpoint_sha256: str

    @property
    def network(self) -> Any: ...
    @property
    def configuration(self) -> Any: ...
    def select_channels(self, volumes: Sequence[Volume]) -> list[Volume]: ...
    def infer_cached(self, volumes: Sequence[Volume], progress: Progress = no_progress) -> Any: ...
    def on_network_grid(self, mask: LabelMap, seen: Any) -> NDArray[np.bool_]: ...


@dataclass(frozen=True, eq=False)
class ScanFeatures:
    """What the network saw around the tumour that it predicted.

    Args:
        rows: (crops, features) float32, one row an anchored crop; (0, features) when there is no anchor.
        spread: (crops, channels) float32, standard deviation of the first convolution over each crop.
        centre: (features,) float32 of the crop at the scan's centre, a baseline that needs no tumour.
        logits: (8,) float32, `LOGIT_SCORES` over the predicted tumour, then over the whole scan; NaN for no tumour.
        anchor_shape: (`ANCHOR_FEATURES`,) float32 of size, shape and grey values of the anchor; NaN without one.
        tumour_voxels: predicted tumour at the network's spacing.
        levels: how many features each encoder level has, in the order of `rows`.
    """

    rows: Rows
    spread: Rows
    centre: Rows
    logits: Rows
    anchor_shape: Rows
    tumour_voxels: int
    levels: tuple[int, ...]

    @property
    def anchored(self) -> bool:
        """False: nothing was segmented, there is no anchor, and no score must be made up."""
        return len(self.rows) > 0


#: All in the direction "higher is odder".
LOGIT_SCORES = ("1 - max softmax", "- max logit", "energy", "entropy")
#: 6 of size and shape, then 6 of grey values a channel, of two channels.
ANCHOR_FEATURES = 18


def scan_seed(volumes: Sequence[Volume]) -> int:
    """A seed from the scans' own voxels and geometry: the same scans give the same crops on every machine."""
    digest = hashlib.sha256("\n".join(content_sha256(volume) for volume in volumes).encode())
    return int.from_bytes(digest.digest()[:8], "big")


def draw_anchors(tumour: NDArray[np.bool_], crops: int, seed: int) -> NDArray[np.int64]:
    """Random voxels of the tumour, (crops, axes); without repeats while there are enough voxels; (0, axes) if none.

    The first n of more crops are those that n crops would be.
    """
    voxels = np.argwhere(tumour)
    if len(voxels) == 0:
        return np.empty((0, tumour.ndim), np.int64)
    # A whole permutation, however many crops, so that fewer crops are a prefix; a small tumour's begins anew.
    order = np.random.default_rng(seed).permutation(len(voxels))
    return np.asarray(voxels[np.resize(order, crops)], dtype=np.int64)


def pad_to(data: NDArray[np.float32], patch: Sequence[int]) -> NDArray[np.float32]:
    """(channels, ...) padded with zeros to at least `patch`, the odd voxel behind, as nnU-Net's predictor does."""
    missing = [max(0, p - n) for p, n in zip(patch, data.shape[1:], strict=True)]
    return np.pad(data, [(0, 0), *((m // 2, m - m // 2) for m in missing)]) if any(missing) else data


def cut(data: NDArray[np.float32], anchors: NDArray[np.int64], patch: Sequence[int]) -> NDArray[np.float32]:
    """Crops (n, channels, *patch) centred on the anchors, shifted to stay inside the (zero-padded) scan."""
    offset = np.array([max(0, p - n) // 2 for p, n in zip(patch, data.shape[1:], strict=True)])
    padded = pad_to(data, patch)
    last = np.array(padded.shape[1:]) - patch
    starts = np.clip(anchors + offset - np.array(patch) // 2, 0, last)
    out = np.empty((len(anchors), data.shape[0], *patch), np.float32)
    for n, start in enumerate(starts):
        out[n] = padded[(slice(None), *(slice(s, s + p) for s, p in zip(start, patch, strict=True)))]
    return out


@dataclass(frozen=True, eq=False)
class Encoded:
    """`rows`, `spread` and `levels` as in `ScanFeatures`."""

    rows: Rows
    spread: Rows
    levels: tuple[int, ...]


def encode(network: Any, crops: NDArray[np.float32]) -> Encoded:
    """Crops (n, channels, ...) -> the averages of the first convolution and of every encoder stage.

    Raises:
        ModelError: the network has no encoder of stages, as every nnU-Net v2 of the standard kinds has.
    """
    import torch

    encoder = getattr(network, "encoder", None)
    if encoder is None or not hasattr(encoder, "stages"):
        raise ModelError(
            f"The out-of-distribution gate reads the stages of an nnU-Net's encoder; a {type(network).__name__} has "
            "none. Use a standard nnU-Net v2 model."
        )
    device = next(network.parameters()).device
    levels: list[torch.Tensor] = []
    spreads: list[torch.Tensor] = []

    def keep(module: Any, inputs: Any, output: torch.Tensor) -> None:
        axes = tuple(range(2, output.ndim))
        levels.append(output.float().mean(dim=axes))
        if len(levels) == 1:
            spreads.append(output.float().std(dim=axes))

    first = next(m for m in encoder.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Conv3d))
    rows, spread, widths = [], [], ()
    hooks = [module.register_forward_hook(keep) for module in (first, *encoder.stages)]
    try:
        with torch.inference_mode():
            for crop in crops:  # one at a time: batches change the last digits, and memory is a scanner's worth
                levels.clear()
                encoder(torch.from_numpy(crop[None]).to(device))
                widths = tuple(int(level.shape[1]) for level in levels)
                rows.append(torch.cat(levels, dim=1)[0].cpu().numpy())
                spread.append(spreads.pop()[0].cpu().numpy())
    finally:
        for hook in hooks:
            hook.remove()
    stacked = (np.asarray(part, dtype=np.float32).reshape(len(crops), -1) for part in (rows, spread))
    return Encoded(next(stacked), next(stacked), widths)


def logit_scores(logits: NDArray[np.float32], tumour: NDArray[np.bool_]) -> Rows:
    """Mean of each of `LOGIT_SCORES` over the tumour; logits are (classes, ...). NaN for an empty tumour.

    Hendrycks 2017, arXiv 1610.02136 (softmax); Hendrycks 2022, arXiv 1911.11132 (max logit); Liu 2020,
    arXiv 2010.03759 (energy).
    """
    if not tumour.any():
        return np.full(len(LOGIT_SCORES), np.nan, np.float32)
    inside = logits[:, tumour].astype(np.float64)
    top = inside.max(axis=0)
    total = np.log(np.exp(inside - top).sum(axis=0)) + top
    log_p = inside - total
    p = np.exp(log_p)
    return np.array([1 - p.max(axis=0).mean(), -top.mean(), -total.mean(), -(p * log_p).sum(axis=0).mean()], np.float32)


def anchor_shape(data: NDArray[np.float32], anchor: NDArray[np.bool_], spacing_mm: Sequence[float]) -> Rows:
    """(`ANCHOR_FEATURES`,) of the anchor on preprocessed channels, for the baseline of radiomics; NaN for no anchor.

    Log volume (mm3), log extents (mm), share of its box, log of surface to volume; then of each of the first two
    channels its mean, deviation, percentiles 10, 50, 90 and skewness inside.
    """
    out = np.full(ANCHOR_FEATURES, np.nan, np.float32)
    if not anchor.any():
        return out
    voxels = np.argwhere(anchor)
    extent = (np.ptp(voxels, axis=0) + 1) * np.asarray(spacing_mm)
    volume = len(voxels) * float(np.prod(spacing_mm))
    faces = sum(int(np.count_nonzero(np.diff(np.pad(anchor, 1), axis=axis))) for axis in range(3))
    values = [np.log(volume), *np.log(extent), volume / np.prod(extent), np.log(faces / len(voxels))]
    for channel in (data[0], data[min(1, len(data) - 1)]):
        inside = channel[anchor].astype(np.float64)
        away = inside - inside.mean()
        skew = float((away**3).mean() / max(inside.std(), 1e-6) ** 3)
        values += [inside.mean(), inside.std(), *np.percentile(inside, (10, 50, 90)), skew]
    out[:] = values
    return out


def crop_of(segmenter: Encoder) -> list[int]:
    """Voxels of a crop along each axis: `CROP_MM` at the network's spacing in steps of 8, at most the patch.

    Raises:
        ModelError: for a 2-D network.
    """
    patch = [int(n) for n in segmenter.configuration.patch_size]
    if len(patch) != 3:
        raise ModelError(
            f"The out-of-distribution gate needs a 3-D network; {segmenter.model_id!r} is 2-D. "
            "Use its 3d_fullres sibling."
        )
    spacing = segmenter.configuration.spacing
    return [min(n, max(8, 8 * round(CROP_MM / mm / 8))) for n, mm in zip(patch, spacing, strict=True)]


def scan_features(
    segmenter: Encoder,
    volumes: Sequence[Volume],
    crops: int = CROPS,
    progress: Progress = no_progress,
    mask: LabelMap | None = None,
) -> ScanFeatures:
    """Segment at the network's spacing, crop around what was found, encode. 5 to 15 s a scan on one core, 2 after a
    segmentation of the same scans. The numbers are the same however the scans' axes are stored.

    Args:
        segmenter: the network, warm; its own mirroring setting is used, the shipped reference has none. Of several
            folds the last one's encoder is read, whose weights an inference leaves in the network.
        volumes: the timepoint's scans in any order; those of the network's channels are used.
        crops: anchored crops.
        mask: whose tumour is the anchor, on the grid of the network's first channel; None: what the network finds.

    Raises:
        InputError: a channel is missing. JobCancelled: from `progress`, between two windows.
    """
    chosen = [canonical(volume) for volume in segmenter.select_channels(volumes)]
    seen = segmenter.infer_cached(chosen, progress)
    data, logits = seen.data, np.asarray(seen.logits, dtype=np.float32)
    # Every class that is not background is tumour to the gate, as it is to the worklist.
    tumour = logits.argmax(axis=0) > 0
    anchor = tumour if mask is None else segmenter.on_network_grid(mask, seen)
    progress(0.85, "looking at crops")
    size = crop_of(segmenter)
    middle = np.array([[n // 2 for n in data.shape[1:]]])
    anchors = np.concatenate([middle, draw_anchors(anchor, crops, scan_seed(chosen))])
    found = encode(segmenter.network, cut(data, anchors, size))
    progress(1.0, "done")
    whole = logit_scores(logits, np.ones(tumour.shape, bool))
    return ScanFeatures(
        rows=found.rows[1:],
        spread=found.spread[1:],
        centre=found.rows[0],
        logits=np.concatenate([logit_scores(logits, tumour), whole]),
        anchor_shape=anchor_shape(data, anchor, segmenter.configuration.spacing),
        tumour_voxels=int(tumour.sum()),
        levels=found.levels,
    )
