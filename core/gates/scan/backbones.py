"""What RF-Deep can look through: any network that makes features of crops, behind one small interface.

Three are here: the encoder of the nnU-Net that made the mask (CT and PET), LiteMedSAM's (one scan, by slice), and
3-D encoders of CT (`core.engines.encoders`: ASTRA's, and a SwinUNETR's with weights of one's own; both optional). A
detector of `core.gates.scan.combining` takes the rows of any.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from core.engines.encoders.levels import AIR_HU, cube_at
from core.errors import InputError
from core.gates.scan.features import CROPS, Encoder, draw_anchors, scan_features, scan_seed
from core.imaging.orienting import canonical
from core.imaging.volumes import resample
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


class Pooling(Protocol):
    """An encoder of cubes of 1 mm voxels (`core.engines.encoders.levels.CropEncoder` is one)."""

    @property
    def model_id(self) -> str: ...
    @property
    def checkpoint_sha256(self) -> str: ...
    @property
    def side(self) -> int: ...
    def pooled(self, crop_hu: NDArray[np.floating[Any]]) -> Rows: ...


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
        place = np.rint(_places(volume, mask, crops)[:, 2]).astype(int)
        return np.clip(place, 0, volume.grid.shape[2] - 1).tolist()

    def _features(self, image: NDArray[np.uint8]) -> Rows:
        features = self.segmenter.embed(np.ascontiguousarray(image)).features
        return np.asarray(features.float().mean(dim=(0, 2, 3)).cpu().numpy(), dtype=np.float32)

    def _none(self) -> Rows:
        return self._features(np.zeros((8, 8), np.uint8))


class CropBackbone:
    """A 3-D encoder of CT on cubes of 1 mm voxels around the anchor; of a timepoint's scans the CT is looked at."""

    def __init__(self, encoder: Pooling) -> None:
        self.encoder = encoder

    @property
    def name(self) -> str:
        return f"{self.encoder.model_id}@{self.encoder.checkpoint_sha256[:12]}"

    def rows(self, volumes: Sequence[Volume], mask: LabelMap | None = None, crops: int = CROPS) -> Rows:
        scans = [volume for volume in volumes if volume.modality == "CT"]
        if len(scans) != 1:
            raise InputError(f"Expected one CT for a CT encoder, got {len(scans)}. Give the CT of one timepoint.")
        volume = canonical(scans[0], "RAS")
        found = [self.encoder.pooled(self._cube(volume, place)) for place in _places(volume, mask, crops)]
        return np.stack(found) if found else np.zeros((0, self._width()), np.float32)

    def _cube(self, volume: Volume, place: NDArray[np.float64]) -> Rows:
        cube = cube_at(volume.grid, place, self.encoder.side)
        return np.asarray(resample(volume.array, volume.grid, cube, fill=AIR_HU), dtype=np.float32)

    def _width(self) -> int:
        return len(self.encoder.pooled(np.full((32,) * 3, AIR_HU, np.float32)))


def _places(volume: Volume, mask: LabelMap | None, crops: int) -> NDArray[np.float64]:
    """(crops, 3) random voxels of the mask in the volume's own; (0, 3) of an empty one; without one, places evenly
    spread up the middle of the scan."""
    if mask is None:
        last = np.array(volume.grid.shape) - 1.0
        up = np.linspace(0, last[2], crops + 2)[1:-1]
        return np.column_stack([np.full(crops, last[0] / 2), np.full(crops, last[1] / 2), up])
    anchors = draw_anchors(mask.array > 0, crops, scan_seed([volume])).astype(float)
    return np.asarray(volume.grid.to_index(mask.grid.to_mm(anchors)))
