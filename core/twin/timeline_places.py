"""Where a lesion lies in another scan of the patient, and whether that scan reaches there."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from core.errors import StoreError
from core.remembered.links import StoredTransform, transform_that_counts
from core.types import Grid

#: Half a voxel beyond the outermost middles, and what single precision may add.
_RIM = 0.501


def current_transforms(
    transforms: Iterable[StoredTransform], scan_sha256s: Mapping[str, Collection[str]]
) -> tuple[StoredTransform, ...]:
    """Those between scans that are still there, in the order given; the others tell of images that were replaced.

    Args:
        scan_sha256s: timepoint -> the files of its scans.
    """
    return tuple(
        one
        for one in transforms
        if one.from_scan_sha256 in scan_sha256s.get(one.from_timepoint, ())
        and one.to_scan_sha256 in scan_sha256s.get(one.to_timepoint, ())
    )


def matrix_from(transform: StoredTransform, timepoint: str) -> NDArray[np.float64]:
    """4x4, RAS mm of that timepoint -> RAS mm of the other one."""
    matrix = np.asarray(transform.matrix, dtype=float)
    return matrix if transform.from_timepoint == timepoint else np.linalg.inv(matrix)


def reaches(grid: Grid, point_mm: NDArray[np.float64]) -> bool:
    """Whether a point (3,), RAS mm, lies within the scan's voxels."""
    index = grid.to_index(point_mm[None])[0]
    return bool(np.all(index >= -_RIM) and np.all(index <= np.asarray(grid.shape) - 1 + _RIM))


@dataclass
class Fields:
    """The grids of a patient's scans, each read at most once, and only where one is asked for.

    Args:
        grid_at: timepoint -> the grid of its reference scan, or a StoreError.
    """

    grid_at: Callable[[str], Grid]
    _known: dict[str, Grid | None] = field(default_factory=dict)

    def view(
        self, point_mm: Sequence[float], seen_at: str, timepoint: str, transforms: Sequence[StoredTransform]
    ) -> tuple[bool | None, str]:
        """Whether the scan of a timepoint reaches where a point of another one lies, and by what that is told.

        By the transform of the two where it may tell lesions, else as the scanners number space. None where the scan's
        file cannot be read.
        """
        if timepoint not in self._known:
            try:
                self._known[timepoint] = self.grid_at(timepoint)
            except StoreError:
                self._known[timepoint] = None
        grid = self._known[timepoint]
        if grid is None:
            return None, "the scan cannot be read"
        point, how = np.asarray(point_mm, dtype=float), "by the scanners' coordinates"
        found = transform_that_counts(transforms, seen_at, timepoint)
        if found is not None and found.numbers_lesions:
            matrix = matrix_from(found, seen_at)
            point, how = matrix[:3, :3] @ point + matrix[:3, 3], f"by the registration ({found.registration_state})"
        return reaches(grid, point), how
