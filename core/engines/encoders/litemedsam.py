"""LiteMedSAM's image encoder, for what looks through it: the scan gate at whole slices, evidence at lesions.

Source: MedSAM (Ma et al., 10.1038/s41467-024-44824-z).
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from core.engines.encoders.lesion_looks import (
    LesionSlice,
    Mask,
    SliceView,
    Vector,
    check_lesion,
    encoder_name,
    in_anatomical_order,
    lesion_slices,
    pooled,
    ring_of,
)
from core.engines.prompt.medsam import DEFAULT_MODEL, load_prompt_segmenter
from core.engines.prompt.preparing import to_uint8
from core.engines.prompt.sam_segmenter import Embedding, SamSegmenter
from core.errors import ModelError
from core.types import Volume

#: Pixels of a slice, as the encoder sees it, by cell of its features.
PIXELS = 4
#: Of the eight that `python -m tests.bench retrieval` compares none is told apart from the others by 12 patients: the
#: first on the half that is tuned on, and the cheapest; a square about the lesion knows nothing of the scan's field.
#: Vectors of another view are not compared: whoever changes it gives the encoder another name.
LITEMEDSAM_VIEW = SliceView(window=2.0)


def load_litemedsam() -> SamSegmenter:
    """The segmenter, kept warm, whose `embed` gives LiteMedSAM's features.

    Raises:
        ModelError: it cannot be loaded. The fallback draws masks as well, but its features are of another kind.
    """
    segmenter = load_prompt_segmenter(DEFAULT_MODEL)
    if segmenter.model_id != DEFAULT_MODEL or not isinstance(segmenter, SamSegmenter):
        raise ModelError(f"Expected the encoder of {DEFAULT_MODEL}, got {segmenter.model_id}. Restore its weights.")
    return segmenter


class SliceEmbedder(Protocol):
    """What gives features of a slice; `SamSegmenter` is one."""

    model_id: str
    checkpoint_sha256: str

    def embed(self, image: NDArray[np.uint8]) -> Embedding: ...


class LiteMedSamLooks:
    """A `LesionEncoder` by LiteMedSAM: 256 features a lesion, for CT, PET and MR; a third of a second to a second.

    Args:
        view: what is shown, and pooled.
    """

    modalities: frozenset[str] | None = None

    def __init__(self, segmenter: SliceEmbedder, view: SliceView = LITEMEDSAM_VIEW) -> None:
        self._segmenter, self._view = segmenter, view
        self.name = encoder_name(segmenter.model_id, segmenter.checkpoint_sha256)

    def look(self, volume: Volume, lesion: Mask) -> Vector:
        """As `LesionEncoder.look`; the mean over the slices of the view."""
        check_lesion(volume, lesion, self.name, self.modalities)
        grey, turned = in_anatomical_order(grey_volume(volume), lesion)
        rows = [self._features(part) for part in lesion_slices(grey, turned, self._view)]
        return np.mean(rows, axis=0).astype(np.float32)

    def _features(self, part: LesionSlice) -> NDArray[np.float64]:
        found = self._segmenter.embed(np.ascontiguousarray(part.image.astype(np.uint8)))
        features = found.features[0].float().cpu().numpy()
        shown = (found.resized[0] / PIXELS, found.resized[1] / PIXELS)
        masks = [part.inside, *([ring_of(part, self._view.ring_mm)] if self._view.ring_mm else [])]
        return np.concatenate([pooled(features, shown, mask) for mask in masks])


def grey_volume(volume: Volume) -> Volume:
    """The scan in grey values 0..255, as the encoder's authors prepared slices."""
    grey = to_uint8(volume.array, volume.modality).astype(np.float32)
    return Volume(grey, volume.grid, volume.modality, volume.sequence)
