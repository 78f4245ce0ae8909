"""How sure a network is of each lesion: the mean of its probability over the lesion's voxels.

Softmax over the classes, summed over those that are lesions; of a model of regions the surest region. Between the
network's own voxels by trilinear interpolation of the logits, at the lesion's voxels alone: a large scan needs no array
of probabilities.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects, map_coordinates
from scipy.special import expit, softmax

from core.types import Grid, LabelMap

#: A lesion of more voxels is asked at so many of them, evenly spread over its voxels.
MOST_VOXELS = 20_000


@dataclass(frozen=True, eq=False)
class LesionProbability:
    """What a network answered, to be asked at lesions.

    Args:
        logits: (classes, X, Y, Z) float32 at the network's spacing, in its order of axes.
        lesion_classes: indices of the classes that are a lesion.
        grid: of the scan that the network was given, its axes in the training's order.
        axes: for each of the logits' axes the axis of `grid` that it runs along.
        regions: whether the heads are regions that lie in each other (each its own sigmoid) and no classes.
        first, size: (3,) where nnU-Net's crop of the scan begins along each of the logits' axes, and its voxels there.
    """

    logits: NDArray[np.float32]
    lesion_classes: tuple[int, ...]
    grid: Grid
    axes: tuple[int, int, int]
    first: tuple[int, int, int]
    size: tuple[int, int, int]
    regions: bool = False

    @classmethod
    def of_network(
        cls,
        logits: NDArray[np.float32],
        lesion_classes: Sequence[int],
        grid: Grid,
        properties: Mapping[str, Any],
        predictor: Any,
    ) -> LesionProbability:
        """From what nnU-Net's preprocessing says: its images are (k, j, i), then transposed, then cropped.

        Args:
            predictor: nnunetv2's `nnUNetPredictor`, for how its plans turn the axes and what its heads are.
        """
        low = [int(begin) for begin, _ in properties["bbox_used_for_cropping"]]
        size = [int(n) for n in properties["shape_after_cropping_and_before_resampling"]]
        axes = [2 - int(axis) for axis in predictor.plans_manager.transpose_forward]
        return cls(
            logits,
            tuple(lesion_classes),
            grid,
            (axes[0], axes[1], axes[2]),
            (low[0], low[1], low[2]),
            (size[0], size[1], size[2]),
            bool(predictor.label_manager.has_regions),
        )

    def means(self, labels: LabelMap) -> dict[int, float]:
        """Label -> mean probability (0..1) of lesion over its voxels; any grid of the same frame."""
        to_scan = np.linalg.inv(self.grid.affine) @ labels.grid.affine
        out = {}
        for label, box in enumerate(find_objects(labels.array), start=1):
            if box is None:
                continue
            voxels = np.argwhere(labels.array[box] == label) + [part.start for part in box]
            voxels = voxels[:: -(-len(voxels) // MOST_VOXELS)]
            out[label] = float(self.at(voxels @ to_scan[:3, :3].T + to_scan[:3, 3]).mean())
        return out

    def at(self, voxels: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, 3) voxel indices of `grid` -> (n,) probability of lesion.

        nnU-Net resamples from edge to edge of its crop: the middle of voxel v of n lies at (v + 1/2) m / n - 1/2 of m.
        """
        inner = np.stack(
            [
                (voxels[:, axis] - first + 0.5) * count / size - 0.5
                for axis, first, size, count in zip(
                    self.axes, self.first, self.size, self.logits.shape[1:], strict=True
                )
            ]
        )
        sampled = np.stack([map_coordinates(one, inner, order=1, mode="nearest") for one in self.logits])
        if self.regions:
            return np.asarray(expit(sampled.astype(np.float64)).max(0))
        return np.asarray(softmax(sampled.astype(np.float64), axis=0)[list(self.lesion_classes)].sum(0))
