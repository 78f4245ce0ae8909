"""Anchored crops of a scan -> what the segmentation network's encoder makes of them (RF-Deep's features).

Rangnekar & Veeraraghavan 2025, arXiv 2512.08216: crops centred on random voxels of the *predicted* tumour, shifted to
stay inside the scan; global average pool of every encoder level. Here the encoder is nnU-Net's, at the network's own
spacing and patch; "patch embedding" is its first convolution, before that is normalised.
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
from core.types import Progress, Volume, no_progress

#: Raise it whenever the same scan would give other numbers; reference features of another version are refused.
FEATURES_VERSION = 1
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


@dataclass(frozen=True, eq=False)
class ScanFeatures:
    """What the network saw around the tumour that it predicted.

    Args:
        rows: (crops, features) float32, one row an anchored crop; (0, features) when nothing was segmented.
        centre: (features,) float32 of the crop at the scan's centre, a baseline that needs no tumour.
        logits: (4,) float32, the mean over the predicted tumour of `LOGIT_SCORES`; NaN when nothing was segmented.
        tumour_voxels: predicted tumour at the network's spacing.
    """

    rows: Rows
    centre: Rows
    logits: Rows
    tumour_voxels: int

    @property
    def anchored(self) -> bool:
        """False: nothing was segmented, there is no anchor, and no score must be made up."""
        return len(self.rows) > 0


#: All in the direction "higher is odder".
LOGIT_SCORES = ("1 - max softmax", "- max logit", "energy", "entropy")


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


def encode(network: Any, crops: NDArray[np.float32]) -> Rows:
    """Crops (n, channels, ...) -> (n, features): the averages of the first convolution and of every encoder stage.

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

    def keep(module: Any, inputs: Any, output: torch.Tensor) -> None:
        levels.append(output.float().mean(dim=tuple(range(2, output.ndim))))

    first = next(m for m in encoder.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Conv3d))
    rows = []
    hooks = [module.register_forward_hook(keep) for module in (first, *encoder.stages)]
    try:
        with torch.inference_mode():
            for crop in crops:  # one at a time: batches change the last digits, and memory is a scanner's worth
                levels.clear()
                encoder(torch.from_numpy(crop[None]).to(device))
                rows.append(torch.cat(levels, dim=1)[0].cpu().numpy())
    finally:
        for hook in hooks:
            hook.remove()
    return np.asarray(rows, dtype=np.float32).reshape(len(crops), -1)


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


def patch_of(segmenter: Encoder) -> list[int]:
    """The network's patch, three sizes; ModelError for a 2-D network."""
    patch = [int(n) for n in segmenter.configuration.patch_size]
    if len(patch) != 3:
        raise ModelError(
            f"The out-of-distribution gate needs a 3-D network; {segmenter.model_id!r} is 2-D. "
            "Use its 3d_fullres sibling."
        )
    return patch


def scan_features(
    segmenter: Encoder, volumes: Sequence[Volume], crops: int = CROPS, progress: Progress = no_progress
) -> ScanFeatures:
    """Segment at the network's spacing, crop around what was found, encode. 2 to 4 s a scan on one core, less after a
    segmentation of the same scans. The numbers are the same however the scans' axes are stored.

    Args:
        segmenter: the network, warm; its own mirroring setting is used, the shipped reference has none.
        volumes: the timepoint's scans in any order; those of the network's channels are used.
        crops: anchored crops.

    Raises:
        InputError: a channel is missing. JobCancelled: from `progress`, between two windows.
    """
    chosen = [canonical(volume) for volume in segmenter.select_channels(volumes)]
    seen = segmenter.infer_cached(chosen, progress)
    data, logits = seen.data, np.asarray(seen.logits, dtype=np.float32)
    # Every class that is not background is tumour to the gate, as it is to the worklist.
    tumour = logits.argmax(axis=0) > 0
    progress(0.85, "looking at crops")
    patch = patch_of(segmenter)
    middle = np.array([[n // 2 for n in data.shape[1:]]])
    anchors = np.concatenate([middle, draw_anchors(tumour, crops, scan_seed(chosen))])
    rows = encode(segmenter.network, cut(data, anchors, patch))
    progress(1.0, "done")
    return ScanFeatures(
        rows=rows[1:], centre=rows[0], logits=logit_scores(logits, tumour), tumour_voxels=int(tumour.sum())
    )
