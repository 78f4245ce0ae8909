"""The two Protocols that every engine keeps, and what they return."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from core.engines.probability import LesionProbability
from core.imaging.coverage import Coverage
from core.types import Grid, LabelMap, Progress, Prompt, Volume, no_progress


@dataclass(frozen=True, eq=False)
class Segmentation:
    """What an automatic segmenter returns.

    Args:
        labels: class labels on the reference scan's grid (the first of the volumes given); 0 = background.
        logits: (classes, I, J, K) float32 on the same grid, or None when not asked for.
        model_id: the manifest's name of the model.
        checkpoint_sha256: what was loaded.
        channels: which volume fed which channel, by channel name.
        seconds: by stage ("load", "preprocess", "predict", "export").
        model_files: SHA-256 of every file that was loaded, by name.
        coverage: how much of the first channel's scan each of the others covers.
        probability: what tells how sure the network is of a lesion; None of a segmenter that cannot tell.
    """

    labels: LabelMap
    model_id: str
    checkpoint_sha256: str
    channels: tuple[str, ...]
    logits: NDArray[np.float32] | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    model_files: dict[str, str] = field(default_factory=dict)
    coverage: tuple[Coverage, ...] = ()
    probability: LesionProbability | None = None


class AutoSegmenter(Protocol):
    """Finds the lesions without being told where."""

    model_id: str
    checkpoint_sha256: str

    def segment(
        self, volumes: Sequence[Volume], progress: Progress = no_progress, logits: bool = False
    ) -> Segmentation: ...


@dataclass(frozen=True, eq=False)
class SliceMask:
    """One slice's answer: `mask` (I, J) bool on the slice's own grid; `predicted_iou` in 0..1 as the model believes."""

    mask: NDArray[np.bool_]
    predicted_iou: float


class PromptSegmenter(Protocol):
    """Finds what a box or points point at, slice by slice."""

    model_id: str
    checkpoint_sha256: str

    def embed(self, image: NDArray[np.uint8]) -> Any:
        """(I, J) uint8 slice, scaled by `preparing.to_uint8` -> an embedding, to predict from often."""

    def predict(self, embedding: Any, prompts: Sequence[Prompt], prior: NDArray[np.bool_] | None = None) -> SliceMask:
        """Prompts in voxel indices of that slice, and perhaps what the mask is thought to be -> the mask."""


@dataclass(frozen=True)
class StopReason:
    """Why propagation went no further than `slice` in its direction."""

    direction: int
    slice: int
    rule: str


@dataclass(frozen=True, eq=False)
class SliceFound:
    """One slice of a propagation, in the order in which they come; with what answered, where that is known."""

    slice: int
    answer: SliceMask
    model_id: str = ""
    checkpoint_sha256: str = ""


@dataclass(frozen=True, eq=False)
class Propagation:
    """A lesion's mask grown from prompts: (I, J, K) bool on `grid`, and why it stopped on either side."""

    mask: NDArray[np.bool_]
    grid: Grid
    predicted_iou: dict[int, float]
    stops: tuple[StopReason, ...]
