"""What a 3-D network's levels make of one crop, each averaged over its places: the features that scan gates compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class CropEncoder:
    """A warm encoder of CT, and how a crop is prepared for it.

    Args:
        network: a module in evaluation mode that gives its levels for (1, 1, x, y, z), each (1, channels, ...).
        model_id, checkpoint_sha256: which weights.
        window_hu: what becomes 0 and 1; beyond is cut off.
        side: voxels of a crop along each axis, 1 mm each.
    """

    network: Any
    model_id: str
    checkpoint_sha256: str
    window_hu: tuple[float, float]
    side: int

    def pooled(self, crop_hu: NDArray[np.floating[Any]]) -> Rows:
        """(features,) float32 of a crop (x, y, z) in HU, axes to the right, anterior and up."""
        import torch

        low, high = self.window_hu
        grey = np.clip((np.asarray(crop_hu, np.float32) - low) / (high - low), 0, 1)
        with torch.inference_mode():
            device = next(self.network.parameters()).device
            levels: Sequence[torch.Tensor] = self.network(torch.from_numpy(grey)[None, None].to(device))
            pooled = torch.cat([level.float().mean(dim=tuple(range(2, level.ndim))) for level in levels], dim=1)
        return np.asarray(pooled[0].cpu().numpy(), dtype=np.float32)
