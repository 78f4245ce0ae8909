"""Masks drawn elsewhere: what a file holds, which series it was drawn on, and how it lies on a scan's grid.

Files from outside are parsed here, so these functions belong in the process that may die of one
(`core.imaging.reader_process`); other rooms call `core.imaging.reading_apart.read_mask` and `describe_mask`, which do.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from core.imaging.masks.drawn import MaskDescription, MaskOnGrid
from core.types import Grid


def describe_mask(file: Path, grid: Grid | None = None) -> MaskDescription:
    """What a mask file holds: its segments with their volumes where they were drawn, its tool, and what is doubtful.

    Args:
        file: .nii, .nii.gz, .nrrd, .seg.nrrd, .mha, or DICOM of modality RTSTRUCT or SEG.
        grid: of the series that contours were drawn on: their pixels and slices. Without one, contours are taken as
            drawn on pixels of 1 mm and slices as far apart as they are.

    Raises:
        InputError, GeometryError: no mask, in words; labels below 0 or above 255; damaged.
    """
    raise NotImplementedError


def mask_on(file: Path, grid: Grid, segments: Sequence[int] = ()) -> MaskOnGrid:
    """The mask of a file on a scan's grid, by physical position.

    Where the file's voxels are voxels of the scan (whatever the order of its axes, cropped or not, within a quarter of
    a voxel), it is the same mask. Else each segment gets the voxels of which it holds the largest share, so many that
    its volume is kept.

    Args:
        file: as `describe_mask`.
        grid: the scan's, usually the reference scan's of the timepoint.
        segments: the numbers of the segments that are wanted; all where there are none.

    Raises:
        InputError, GeometryError: as `describe_mask`; off the scan, smaller than a voxel of it, or most of it.
    """
    raise NotImplementedError


def referenced_series(file: Path) -> str | None:
    """The SeriesInstanceUID of the (first) series that an RTSTRUCT or SEG says it was drawn on; None for other files,
    and where it says nothing."""
    raise NotImplementedError
