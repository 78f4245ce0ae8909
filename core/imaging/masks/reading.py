"""Masks drawn elsewhere: what a file holds, and how it lies on a scan's grid.

Files from outside are parsed here, so these functions belong in the process that may die of one
(`core.imaging.reader_process`); other rooms call `core.imaging.reading_apart.read_mask` and `describe_mask`, which do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
from pydicom import Dataset
from pydicom.errors import BytesLengthException

from core.errors import InputError, TwinReviewError
from core.imaging.dicom_files import DAMAGED, is_dicom
from core.imaging.headers.image_header import code_word
from core.imaging.image_files import SUFFIXES, image_suffix, reading
from core.imaging.masks.drawn import DrawnMask, MaskDescription, MaskOnGrid, chosen
from core.imaging.masks.label_maps import read_label_image
from core.imaging.masks.onto_grid import onto_grid
from core.imaging.masks.origin import origin_of
from core.imaging.masks.structure_sets import read_structure_set
from core.imaging.volumes import file_sha256
from core.types import Grid

_DAMAGED = (*DAMAGED, BytesLengthException, np.linalg.LinAlgError)


def describe_mask(file: Path, grid: Grid | None = None) -> MaskDescription:
    """What a mask file holds: its segments with their volumes where they were drawn, its tool, and what is doubtful.

    Args:
        file: .nii, .nii.gz, .nrrd, .seg.nrrd, .mha, or DICOM of modality RTSTRUCT or SEG.
        grid: of the series that contours were drawn on: their pixels and slices. Without one, contours are taken as
            drawn on pixels of 1 mm and slices as far apart as they are.

    Raises:
        InputError, GeometryError: no mask, in words; labels below 0 or above 255; damaged.
    """
    return read_drawn(file, grid).described()


def mask_on(file: Path, grid: Grid | None, segments: Sequence[int] = ()) -> MaskOnGrid:
    """The mask of a file on a scan's grid, by physical position.

    Where the file's voxels are voxels of the scan (whatever the order of its axes, cropped or not, within a quarter of
    a voxel), it is the same mask. Else each segment gets the voxels of which it holds the largest share, so many that
    its volume is kept.

    Args:
        file: as `describe_mask`.
        grid: the scan's, usually the reference scan's of the timepoint. None: the file's own, if it has one.
        segments: the numbers of the segments that are wanted; all where there are none.

    Raises:
        InputError, GeometryError: as `describe_mask`; off the scan, smaller than a voxel of it, or most of it.
    """
    drawn = chosen(read_drawn(file, grid), segments)
    target = grid or drawn.grid
    if target is None:
        raise InputError(
            f"{Path(file).name}: expected the scan that the contours were drawn on, got contours alone. Import the "
            "scan first."
        )
    return onto_grid(drawn, target)


def read_drawn(file: Path, grid: Grid | None) -> DrawnMask:
    """The mask of a file as it was drawn; arguments and errors as of `describe_mask`."""
    file = Path(file)
    with reading(file):
        if image_suffix(file.name):
            mask = read_label_image(file, file_sha256(file) if file.is_file() else "")
        elif is_dicom(file):
            mask = _read_dicom(file, grid)
        elif not file.exists():
            raise InputError(f"{file.name}: expected a file, there is none at {file}. Check the path.")
        else:
            raise InputError(
                f"{file.name}: expected a mask ({', '.join(SUFFIXES)}, DICOM RTSTRUCT or SEG), got an unknown kind of "
                "file. Export it as one of those."
            )
    if mask.segments:
        return mask
    words = "The mask is empty: nothing is marked in it, as after a complete response."
    return replace(mask, segments=(), doubts=(*mask.doubts, words))


def _read_dicom(file: Path, grid: Grid | None) -> DrawnMask:
    sha256 = file_sha256(file)
    try:
        header: Dataset = pydicom.dcmread(file, force=True)
        modality = str(header.get("Modality") or "")
        if modality == "RTSTRUCT":
            return replace(read_structure_set(header, file, sha256, grid), origin=origin_of(header))
        if modality == "SEG":
            from core.imaging.masks.segmentations import read_segmentation

            return replace(read_segmentation(header, file, sha256), origin=origin_of(header))
    except TwinReviewError:
        raise
    except _DAMAGED as error:
        raise InputError(
            f"{file.name}: expected an RTSTRUCT or SEG that can be read, got one that is damaged. Copy or export it "
            "again."
        ) from error
    raise InputError(
        f"{file.name}: expected DICOM of modality RTSTRUCT or SEG, got {code_word(modality or 'UNKNOWN')}. Import "
        "images as a scan, and choose the file that holds the contours or segments."
    )
