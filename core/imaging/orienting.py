"""One order of the axes for every image: i to the patient's left, j to posterior, k to superior ("LPS").

It is the order in which the shipped networks were trained (the sarcoma scans, 10.7937/K9/TCIA.2015.7GO2GSKS) and in
which an axial DICOM series is read here. Files come in any of 48 orders, and a network gives each its own answer; so
scans are turned when they come in, and engines turn what they are given. Turning means swapping and flipping whole
axes: no voxel changes its value or its place in space.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from core.types import Grid, LabelMap, Volume

#: Where (i, j, k) point.
ANATOMICAL_ORDER = "LPS"
_TOWARDS = {"R": (1, 0, 0), "L": (-1, 0, 0), "A": (0, 1, 0), "P": (0, -1, 0), "S": (0, 0, 1), "I": (0, 0, -1)}

Image = TypeVar("Image", Volume, LabelMap)


@dataclass(frozen=True, eq=False)
class AxisOrder:
    """The way between a grid as it is stored and the same grid in anatomical order, and back.

    Args:
        stored: the grid as it is.
        axes: (3,) which stored axis becomes the anatomical i, j and k.
        flipped: (3,) whether that axis runs the other way.
    """

    stored: Grid
    axes: tuple[int, int, int]
    flipped: tuple[bool, bool, bool]

    @property
    def unchanged(self) -> bool:
        """True where the stored order is the anatomical one."""
        return self.axes == (0, 1, 2) and not any(self.flipped)

    @property
    def grid(self) -> Grid:
        """The same voxels in anatomical order."""
        if self.unchanged:
            return self.stored
        to_stored = np.zeros((4, 4))
        to_stored[3, 3] = 1
        for n, (axis, flip) in enumerate(zip(self.axes, self.flipped, strict=True)):
            to_stored[axis, n] = -1 if flip else 1
            to_stored[axis, 3] = self.stored.shape[axis] - 1 if flip else 0
        i, j, k = (self.stored.shape[axis] for axis in self.axes)
        return Grid((i, j, k), self.stored.affine @ to_stored)

    def turn(self, array: NDArray[Any]) -> NDArray[Any]:
        """(I, J, K) as stored -> in anatomical order; a view."""
        return array.transpose(self.axes)[self._steps]

    def turn_back(self, array: NDArray[Any]) -> NDArray[Any]:
        """(I, J, K) in anatomical order -> as stored; a view, the inverse of `turn`."""
        return array[self._steps].transpose(np.argsort(self.axes))

    @property
    def _steps(self) -> tuple[slice, slice, slice]:
        i, j, k = (slice(None, None, -1 if flip else 1) for flip in self.flipped)
        return i, j, k


def axis_order(grid: Grid, order: str = ANATOMICAL_ORDER) -> AxisOrder:
    """How a grid's axes are swapped and flipped to run as `order` says, each as nearly as an oblique grid can.

    The answer depends on where the voxels lie, never on how they are stored: at exactly 45 degrees as well.

    Args:
        grid: any.
        order: three letters, one of each pair R/L, A/P, S/I.

    Raises:
        InputError: another `order`.
    """
    wanted = np.array([_TOWARDS.get(letter, (0, 0, 0)) for letter in order])
    if wanted.shape != (3, 3) or abs(round(float(np.linalg.det(wanted)))) != 1:
        raise InputError(f"Expected an order of axes such as LPS or RAS, got {order!r}.")
    directions = grid.affine[:3, :3] / np.array(grid.spacing_mm)
    along = wanted @ directions  # [n, m]: the cosine between wanted axis n and stored axis m

    def fit(axes: tuple[int, ...]) -> tuple[float, ...]:
        chosen = [along[n, axis] for n, axis in enumerate(axes)]
        turned = np.concatenate([directions[:, a] * (-1 if c < 0 else 1) for a, c in zip(axes, chosen, strict=True)])
        # Of two that fit as well, the directions themselves decide; + 0.0 makes -0.0 of rounding a zero.
        return (round(float(np.abs(chosen).sum()), 6), *(np.round(turned, 6) + 0.0).tolist())

    i, j, k = max(permutations(range(3)), key=fit)
    return AxisOrder(grid, (i, j, k), (bool(along[0, i] < 0), bool(along[1, j] < 0), bool(along[2, k] < 0)))


def canonical(image: Image, order: str = ANATOMICAL_ORDER) -> Image:
    """The same image with its axes in anatomical order; the image itself where they are.

    Args:
        image: a `Volume` or a `LabelMap`.
        order: as `axis_order`.
    """
    turned = axis_order(image.grid, order)
    if turned.unchanged:
        return image
    array = np.asfortranarray(turned.turn(image.array))  # slices across k lie together, as they do when read
    if isinstance(image, LabelMap):
        return LabelMap(array, turned.grid)
    return Volume(array, turned.grid, image.modality, image.sequence)
