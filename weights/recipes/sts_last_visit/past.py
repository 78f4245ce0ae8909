"""A lesion as the last visit may have had it: moved, bent, grown or shrunk, and sometimes not there at all.

No patient of the collection was scanned twice, so that a past is made from the true mask. It is seen as the network
would see it: laid on today's scan by a registration that is wrong by a few millimetres.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from weights.recipes.sts_wide_view.batches import blurred

Tensor = torch.Tensor

#: Voxels of 3.3 mm.
MOVED_VOXELS, BENT_VOXELS, BENT_OVER = 1.5, 1.5, 5.0
#: How often a crop of training has no past, and how often one of another place: then it must be told by the scans.
NONE, ELSEWHERE = 0.35, 0.1
#: Spread of the logarithm of past by present volume.
GROWTH_SD = 0.5


def past_of(tumour: NDArray[np.bool_], factor: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """(X, Y, Z) the lesion with `factor` times its volume, its surface moved evenly, then bent and shifted."""
    if not tumour.any():
        return np.zeros_like(tumour)
    depth = ndimage.distance_transform_edt(tumour) - ndimage.distance_transform_edt(~tumour)
    wanted = int(np.clip(round(factor * np.count_nonzero(tumour)), 1, tumour.size))
    grown = depth >= np.partition(depth.ravel(), tumour.size - wanted)[tumour.size - wanted]
    at = np.stack(np.meshgrid(*(np.arange(n) for n in tumour.shape), indexing="ij")).astype(np.float32)
    for axis in range(3):
        noise = ndimage.gaussian_filter(rng.normal(size=tumour.shape), BENT_OVER)
        at[axis] += rng.normal(0, MOVED_VOXELS / np.sqrt(3)) + noise / max(noise.std(), 1e-6) * BENT_VOXELS / np.sqrt(3)
    return np.asarray(ndimage.map_coordinates(grown.astype(np.float32), at, order=1) > 0.5)


def past_channel(tumour: Tensor, rng: np.random.Generator) -> Tensor:
    """(B, 1, P, P, P) a past of each patch's tumour, 0 or 1; of some none, of some a tumour where there is none."""
    out = torch.zeros_like(tumour)
    for n in range(len(tumour)):
        kind = rng.random()
        if kind < NONE:
            continue
        mask = tumour[n, 0].cpu().numpy() > 0
        if kind < NONE + ELSEWHERE:
            mask = np.roll(mask, rng.integers(8, 25, 3) * rng.choice([-1, 1], 3), axis=(0, 1, 2))
        made = past_of(mask, float(np.exp(rng.normal(0, GROWTH_SD))), rng)
        out[n, 0] = torch.from_numpy(made.astype(np.float32)).to(out)
    return blurred(out, np.full((len(out), 1), 0.5))
