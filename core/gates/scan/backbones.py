"""What RF-Deep can look through: any network that makes features of crops, behind one small interface.

Two are here: the encoder of the nnU-Net that made the mask (CT and PET), and LiteMedSAM's (one scan, by slice).
A detector of `core.gates.scan.combining` takes the rows of either. Others (a 3-D CT encoder, SwinUNETR with weights of
one's own) fit as soon as something has these two members; none is shipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from core.gates.scan.features import CROPS, Encoder, draw_anchors, scan_features, scan_seed
from core.imaging.orienting import canonical
from core.types import LabelMap, Volume

Rows = NDArray[np.float32]


class Backbone(Protocol):
    """Something that turns a scan, looked at around a mask, into rows of features."""

    @property
    def name(self) -> str:
        """Which network, and its checkpoint: rows of another name are not compared."""
        ...

    def rows(self, volumes: Sequence[Volume], mask: LabelMap | None = None, crops: int = CROPS) -> Rows:
        """(crops, features) float32; (0, features) without an anchor."""
        ...


class NnUNetBackbone:
    """The encoder of a warm nnU-Net; without a mask its own is the anchor."""

    def __init__(self, segmenter: Encoder) -> None:
        self.segmenter = segmenter

    @property
    def name(self) -> str:
        return f"{self.segmenter.model_id}@{self.segmenter.checkpoint_sha256[:12]}"

    def rows(self, volumes: Sequence[Volume], mask: LabelMap | None = None, crops: int = CROPS) -> Rows:
        return scan_features(self.segmenter, volumes, crops, mask=mask).rows


class SliceBackbone:
    """LiteMedSAM's image encoder on axial slices through the anchor, averaged over each slice; one scan at a time.

    Args:
        segmenter: a warm prompt segmenter whose `embed` gives features (1, channels, height, width).
    """

    def __init__(self, segmenter: Any) -> None:
        self.segmenter = segmenter

    @property
    def name(self) -> str:
        return f"{self.segmenter.model_id}@{self.segmenter.checkpoint_sha256[:12]}"

    def rows(self, volumes: Sequence[Volume], mask: LabelMap | None = None, crops: int = CROPS) -> Rows:
        from core.engines.prompt.preparing import to_uint8

        if len(volumes) != 1:
            raise InputError(f"Expected one scan for a slice encoder, got {len(volumes)}. Give one after the other.")
        volume = canonical(volumes[0])
        grey = to_uint8(volume.array, volume.modality)
        return np.stack([self._features(grey[:, :, k]) for k in self._slices(volume, mask, crops)] or [self._none()])[
            : crops if mask is None or (mask.array > 0).any() else 0
        ]

    def _slices(self, volume: Volume, mask: LabelMap | None, crops: int) -> list[int]:
        """Slices of random voxels of the mask; of the whole scan, evenly spread, without one."""
        if mask is None:
            return np.linspace(0, volume.grid.shape[2] - 1, crops + 2)[1:-1].round().astype(int).tolist()
        points = mask.grid.to_mm(draw_anchors(mask.array > 0, crops, scan_seed([volume])).astype(float))
        if not len(points):
            return []
        place = np.rint(volume.grid.to_index(points)[:, 2]).astype(int)
        return np.clip(place, 0, volume.grid.shape[2] - 1).tolist()

    def _features(self, image: NDArray[np.uint8]) -> Rows:
        features = self.segmenter.embed(np.ascontiguousarray(image)).features
        return np.asarray(features.float().mean(dim=(0, 2, 3)).cpu().numpy(), dtype=np.float32)

    def _none(self) -> Rows:
        return self._features(np.zeros((8, 8), np.uint8))
