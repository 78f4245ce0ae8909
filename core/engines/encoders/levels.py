"""What a 3-D network's levels make of one cube of CT: averaged over all places, as scan gates compare scans, or over
those of a lesion, as evidence compares lesions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from core.engines.encoders.lesion_looks import Mask, Vector, check_lesion, encoder_name
from core.imaging.orienting import axis_order, canonical
from core.imaging.volumes import resample
from core.types import Grid, Volume

if TYPE_CHECKING:
    import torch

Rows = NDArray[np.float32]

AIR_HU = -1000.0


@dataclass(frozen=True, eq=False)
class CropEncoder:
    """A warm encoder of CT, and how a crop is prepared for it.

    Args:
        network: a module in evaluation mode that gives its levels for (1, 1, x, y, z), each (1, channels, ...).
        model_id, checkpoint_sha256: which weights.
        window_hu: what becomes 0 and 1; beyond is cut off.
        side: voxels of a crop along each axis, 1 mm each.
        axes: which axis of the crop is each of a level's: (2, 0, 1) of levels (1, channels, z, x, y).
    """

    network: Any
    model_id: str
    checkpoint_sha256: str
    window_hu: tuple[float, float]
    side: int
    axes: tuple[int, int, int] = (0, 1, 2)

    def pooled(self, crop_hu: NDArray[np.floating[Any]]) -> Rows:
        """(features,) float32 of a crop (x, y, z) in HU, axes to the right, anterior and up."""
        pooled = [level.float().mean(dim=tuple(range(2, level.ndim))) for level in self._levels(crop_hu)]
        return _joined(pooled)

    def pooled_within(self, crop_hu: NDArray[np.floating[Any]], inside: Mask) -> Rows:
        """(features,) float32 as `pooled`, each level averaged over the places of `inside` (x, y, z) alone, by how much
        of each it fills; a voxel of it at least."""
        import torch

        mask = torch.from_numpy(inside.transpose(self.axes).astype(np.float32))[None, None]
        found = []
        for level in self._levels(crop_hu):
            x, y, z = level.shape[2:]
            weight = torch.nn.functional.adaptive_avg_pool3d(mask.to(level.device), (x, y, z))
            found.append((level.float() * weight).sum(dim=(2, 3, 4)) / weight.sum())
        return _joined(found)

    def _levels(self, crop_hu: NDArray[np.floating[Any]]) -> Sequence[torch.Tensor]:
        import torch

        low, high = self.window_hu
        grey = np.clip((np.asarray(crop_hu, np.float32) - low) / (high - low), 0, 1)
        with torch.inference_mode():
            device = next(self.network.parameters()).device
            levels: Sequence[torch.Tensor] = self.network(torch.from_numpy(grey)[None, None].to(device))
        return levels


class CropLooks:
    """A `LesionEncoder` of CT by a 3-D network: the cube around the lesion's middle, its levels averaged over it."""

    modalities: frozenset[str] | None = frozenset({"CT"})

    def __init__(self, encoder: CropEncoder) -> None:
        self._encoder = encoder
        self.name = encoder_name(encoder.model_id, encoder.checkpoint_sha256)

    def look(self, volume: Volume, lesion: Mask) -> Vector:
        """As `LesionEncoder.look`. Of a lesion that is larger than the cube, what lies in it counts."""
        check_lesion(volume, lesion, self.name, self.modalities)
        turned, inside = canonical(volume, "RAS"), axis_order(volume.grid, "RAS").turn(lesion)
        places = np.argwhere(inside)
        middle = places[np.linalg.norm((places - places.mean(axis=0)) * turned.grid.spacing_mm, axis=1).argmin()]
        cube = cube_at(turned.grid, middle.astype(float), self._encoder.side)
        crop = resample(turned.array, turned.grid, cube, fill=AIR_HU)
        within = resample(inside.astype(np.uint8), turned.grid, cube, order="nearest") > 0
        if not within.any():  # smaller than the cube's voxels
            within[tuple(np.rint(cube.to_index(turned.grid.to_mm(middle[None].astype(float)))[0]).astype(int))] = True
        return self._encoder.pooled_within(crop, within)


def cube_at(grid: Grid, place: NDArray[np.float64], side: int) -> Grid:
    """The cube of 1 mm voxels centred at a place (3,) in voxel indices, shifted to stay inside the scan; in its middle
    where the scan is smaller."""
    half = (side - 1) / 2
    spacing, last = np.array(grid.spacing_mm), np.array(grid.shape) - 1.0
    low = np.minimum(half / spacing, last / 2)
    start = np.clip(place, low, last - low) - half / spacing
    affine = grid.affine.copy()
    affine[:3, 3] = grid.to_mm(start[None])[0]
    affine[:3, :3] /= spacing
    return Grid((side, side, side), affine)


def _joined(levels: Sequence[torch.Tensor]) -> Rows:
    import torch

    return np.asarray(torch.cat(list(levels), dim=1)[0].cpu().numpy(), dtype=np.float32)
