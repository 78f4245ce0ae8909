"""Slices across any axis of a scan as the networks were trained on: in anatomical order, with square pixels.

Across axis 2 a slice is (i, j), as it lies in the file; across axis 1 (i, k); across axis 0 (j, k). A network sees the
same picture of the same plane of the body however the file orders its axes (`PlaneOrder`). Pixels whose sides differ,
as those across the thick slices of a scan do, are resampled (`Square`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from core.engines.base import PromptSegmenter, SliceMask
from core.engines.prompt.prompting import check_prompts
from core.errors import InputError
from core.imaging.orienting import AxisOrder, axis_order
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


@dataclass(frozen=True, eq=False)
class PlaneOrder:
    """Between slices across one axis as they are stored and the same slices in anatomical order.

    Args:
        order: the scan's (`core.imaging.orienting.axis_order`).
        axis: the stored axis that the slices lie across.
    """

    order: AxisOrder
    axis: int

    @property
    def across(self) -> int:
        """Which anatomical axis they lie across: 0 to the left, 1 to posterior, 2 to superior."""
        return self.order.axes.index(self.axis)

    @property
    def grid(self) -> Grid:
        """The scan's, with the slices' plane first, in anatomical order, and the axis across it last."""
        turned = self.order.grid
        first, second = in_plane(range(3), self.across)
        axes = [first, second, self.across]
        affine = turned.affine.copy()
        affine[:, :3] = affine[:, axes]
        i, j, k = (turned.shape[axis] for axis in axes)
        return Grid((i, j, k), affine)

    def index(self, k: int) -> int:
        """The slice's index as stored -> in anatomical order; and back."""
        return self.order.stored.shape[self.axis] - 1 - k if self.order.flipped[self.across] else k

    def direction(self, step: int) -> int:
        """A step of +1 or -1 along the slices as stored -> in anatomical order; and back."""
        return -step if self.order.flipped[self.across] else step

    @property
    def _swapped(self) -> bool:
        first, second = in_plane(self.order.axes, self.across)
        return bool(first > second)

    @property
    def _steps(self) -> tuple[slice, slice]:
        first, second = (slice(None, None, -1 if flip else 1) for flip in in_plane(self.order.flipped, self.across))
        return first, second

    def image(self, image: NDArray[Any]) -> NDArray[Any]:
        """A slice as stored -> in anatomical order (contiguous)."""
        return np.ascontiguousarray((image.T if self._swapped else image)[self._steps])

    def image_back(self, image: NDArray[Any]) -> NDArray[Any]:
        """A slice in anatomical order -> as stored (contiguous); the inverse of `image`."""
        turned = image[self._steps]
        return np.ascontiguousarray(turned.T if self._swapped else turned)

    def volume(self, array: NDArray[Any]) -> NDArray[Any]:
        """(I, J, K) as stored -> on `grid`; a view."""
        return np.moveaxis(self.order.turn(array), self.across, 2)

    def prompts(self, prompts: Sequence[Prompt]) -> list[Prompt]:
        """Prompts on slices as stored -> on slices in anatomical order."""
        return [replace(p, slice=self.index(p.slice), coords=self._coords(p.coords)) for p in prompts]

    def _coords(self, coords: tuple[float, ...]) -> tuple[float, ...]:
        first, second = coords[0::2], coords[1::2]
        turned = []
        for values, flip, size in zip(
            (second, first) if self._swapped else (first, second),
            in_plane(self.order.flipped, self.across),
            in_plane(self.order.grid.shape, self.across),
            strict=True,
        ):
            turned.append(tuple(size - 1 - v for v in reversed(values)) if flip else values)
        return tuple(value for pair in zip(*turned, strict=True) for value in pair)


def plane_order(grid: Grid, axis: int) -> PlaneOrder:
    """How slices across the stored `axis` of a scan are turned to anatomical order."""
    return PlaneOrder(axis_order(grid), axis)


class SquarePixels:
    """A segmenter for slices whose pixels are not square: prompts and masks are of the slices as they are.

    What it embeds has gone through `Square.image` already.
    """

    def __init__(self, segmenter: PromptSegmenter, square: Square) -> None:
        self.model_id, self.checkpoint_sha256 = segmenter.model_id, segmenter.checkpoint_sha256
        self._segmenter, self._square = segmenter, square

    def embed(self, image: NDArray[np.uint8]) -> Any:
        """As the segmenter's."""
        return self._segmenter.embed(image)

    def predict(self, embedding: Any, prompts: Sequence[Prompt], prior: NDArray[np.bool_] | None = None) -> SliceMask:
        """As the segmenter's, of a slice's own pixels; takes no prior."""
        answer = self._segmenter.predict(embedding, self._square.prompts(prompts))
        return SliceMask(self._square.mask(answer.mask), answer.predicted_iou)


def square(grid: Grid, axis: int) -> Square:
    """How slices across `axis` of a scan become square."""
    (n, m), (a_mm, b_mm) = in_plane(grid.shape, axis), in_plane(grid.spacing_mm, axis)
    if max(a_mm, b_mm) / min(a_mm, b_mm) < SQUARE:
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
