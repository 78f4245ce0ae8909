"""Slices across any axis of a scan, with square pixels, as the networks were trained on.

Across axis 2 a slice is (i, j), as it lies in the file; across axis 1 (i, k); across axis 0 (j, k). Only slices of axes
0 and 1 are resampled: their pixels are as long as the scan's slices are apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from core.engines.prompt.prompting import check_prompts
from core.errors import InputError
from core.types import Grid, Prompt

#: Pixels whose sides differ by less are square enough.
SQUARE = 1.01
#: No network here looks at a slice more closely than this.
LONGEST_SIDE = 1024


def in_plane(values: Sequence[Any], axis: int) -> tuple[Any, Any]:
    """The two of three values along (i, j, k) that a slice across `axis` has."""
    first, second = (n for n in range(3) if n != axis)
    return values[first], values[second]


def take_slice(array: NDArray[Any], axis: int, index: int) -> NDArray[Any]:
    """(I, J, K) -> the slice across `axis` (2-D, contiguous)."""
    # Not np.take: it copies a whole volume that lies in Fortran order, half a second of a prompt's time.
    return np.ascontiguousarray(array[(slice(None),) * axis + (index,)])


def check_plane_prompts(prompts: Sequence[Prompt], shape: tuple[int, int, int], axis: int) -> None:
    """`core.engines.prompt.prompting.check_prompts` for slices across `axis` of a scan of `shape` (I, J, K).

    Raises:
        InputError: as there, and for an axis other than 0, 1 and 2.
    """
    if axis not in (0, 1, 2):
        raise InputError(f"Expected the axis 0, 1 or 2 that the slice lies across, got {axis!r}.")
    check_prompts(prompts, Grid((*in_plane(shape, axis), shape[axis]), np.eye(4)))


@dataclass(frozen=True)
class Square:
    """Between a slice as stored, (n, m) voxels, and the same with square pixels.

    Args:
        shape: voxels as stored.
        resampled: pixels once square; the same where they are to begin with.
    """

    shape: tuple[int, int]
    resampled: tuple[int, int]

    @property
    def factors(self) -> tuple[float, float]:
        """Square pixels a voxel."""
        return self.resampled[0] / self.shape[0], self.resampled[1] / self.shape[1]

    def image(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Linear interpolation; voxel centres stay where they are in space."""
        if self.resampled == self.shape:
            return image
        return np.asarray(np.rint(_stretch(image.astype(np.float32), self.resampled)), dtype=np.uint8)

    def mask(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """A mask of square pixels, back as voxels: inside where at least half of the voxel is."""
        if self.resampled == self.shape:
            return mask
        return _stretch(mask.astype(np.float32), self.shape) >= 0.5

    def prompts(self, prompts: Sequence[Prompt]) -> list[Prompt]:
        """Prompts in voxels, in square pixels: a box still reaches to the far edge of its last voxel."""
        (fx, fy), (wide, high) = self.factors, self.resampled
        moved = []
        for prompt in prompts:
            if prompt.type == "box":
                x0, y0, x1, y1 = prompt.coords
                # A voxel may be less than a pixel where a long side was cut short.
                coords: tuple[float, ...] = (
                    x0 * fx,
                    y0 * fy,
                    max((x1 + 1) * fx - 1, x0 * fx),
                    max((y1 + 1) * fy - 1, y0 * fy),
                )
            else:
                coords = tuple((c + 0.5) * f - 0.5 for c, f in zip(prompt.coords, (fx, fy), strict=True))
            limits = (wide - 1, high - 1) * (len(coords) // 2)
            clamped = tuple(float(min(max(c, 0), limit)) for c, limit in zip(coords, limits, strict=True))
            moved.append(replace(prompt, coords=clamped))
        return moved


def square(grid: Grid, axis: int) -> Square:
    """How slices across `axis` of a scan become square; slices across axis 2 are left as they are."""
    (n, m), (a_mm, b_mm) = in_plane(grid.shape, axis), in_plane(grid.spacing_mm, axis)
    if axis == 2 or max(a_mm, b_mm) / min(a_mm, b_mm) < SQUARE:
        return Square((n, m), (n, m))
    pixel_mm = max(min(a_mm, b_mm), max(n * a_mm, m * b_mm) / LONGEST_SIDE)
    return Square((n, m), (max(round(n * a_mm / pixel_mm), 1), max(round(m * b_mm / pixel_mm), 1)))


def _stretch(image: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Linear, and the mean where it shrinks, so that nothing thin is stepped over."""
    for axis, (old, new) in enumerate(zip(image.shape, shape, strict=True)):
        if new < old:
            image = ndimage.uniform_filter1d(image, max(round(old / new), 1), axis=axis, mode="nearest")
        at = [np.arange(size, dtype=float) for size in image.shape]
        at[axis] = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
        image = ndimage.map_coordinates(image, np.meshgrid(*at, indexing="ij"), order=1, mode="nearest")
    return image
