"""DICOM SEG into segments, by highdicom, which knows where frames lie and which ones were left out for being empty.

Source: DICOM PS3.3 A.51 (Segmentation IOD), and A.70 (Label Map Segmentation IOD).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydicom import Dataset

from core.errors import GeometryError, InputError
from core.imaging.headers.image_header import LPS_TO_RAS
from core.imaging.image_files import check_grid
from core.imaging.limits import check_voxel_bytes
from core.imaging.masks.drawn import MAX_LABEL, DrawnMask, DrawnSegment, MaskProvenance, cropped, in_mm3
from core.imaging.masks.harmless import harmless_algorithm, harmless_name, harmless_tool
from core.imaging.masks.label_maps import THRESHOLD
from core.remembered.untyped import Voxels
from core.types import Grid

if TYPE_CHECKING:
    from highdicom.seg import Segmentation

#: Frames whose distances differ by less, mm, are evenly spaced: positions are rounded in headers.
_EVEN_MM = 0.1


def read_segmentation(header: Dataset, file: Path, sha256: str) -> DrawnMask:
    """The segments of a SEG: BINARY, FRACTIONAL (cut at 0.5) or LABELMAP.

    Args:
        header: all of it, as pydicom reads it.

    Raises:
        InputError: not by slices of a patient, frames that are not evenly spaced, more than 255 segments, or voxels
            that cannot be read.
    """
    from highdicom.seg import Segmentation

    try:
        seg = Segmentation.from_dataset(header, copy=False)
        numbers = [int(number) for number in seg.segment_numbers]
    except (ValueError, TypeError, AttributeError, KeyError, IndexError) as error:
        raise _damaged(file) from error
    if len(numbers) > MAX_LABEL:
        raise InputError(
            f"{file.name}: expected at most {MAX_LABEL} segments, got {len(numbers)}. Export those that are lesions."
        )
    kept = numbers if all(number <= MAX_LABEL for number in numbers) else list(range(1, len(numbers) + 1))
    drawn: list[DrawnSegment] = []
    words, empty, unnamed, grid = [], [], 0, None
    for number, as_number in zip(numbers, kept, strict=True):
        share, grid = _segment(seg, number, file)
        name = harmless_name(seg.get_segment_description(number).segment_label)
        unnamed += not name
        segment = cropped(share >= THRESHOLD, grid, as_number, name)
        if segment is None:
            empty.append(as_number)
        else:
            drawn.append(segment)
            if share.dtype.kind == "f":
                words.append(_of_fractions(seg, segment, share, grid))
    if empty:
        words.append(f"Segments without a voxel were left out: {', '.join(map(str, empty))}.")
    if unnamed:
        words.append(f"The names of {unnamed} segments were not kept: they are not words of the field.")
    return DrawnMask("SEG", tuple(drawn), grid, _provenance(header, sha256), tuple(words))


def _segment(seg: Segmentation, number: int, file: Path) -> tuple[Voxels, Grid]:
    """One segment's voxels, uint8 or fractions, and all of the grid they are on."""
    try:
        geometry = seg.get_volume_geometry(atol=_EVEN_MM)
        if geometry is not None:
            i, j, k = (int(n) for n in geometry.spatial_shape)
            check_voxel_bytes(file.name, (i, j, k))
            volume = seg.get_volume(segment_numbers=[number], atol=_EVEN_MM)
    except (RuntimeError, ValueError, TypeError, AttributeError, KeyError, IndexError) as error:
        raise _damaged(file) from error
    if geometry is None:
        raise GeometryError(
            f"{file.name}: expected a SEG whose frames are parallel and evenly spaced, got one whose are not. Export "
            "it on the slices of one series, or as a label map."
        )
    array = volume.array[..., 0]
    return array, check_grid(file.name, array.shape, LPS_TO_RAS @ volume.affine)


def _of_fractions(seg: Segmentation, segment: DrawnSegment, share: Voxels, grid: Grid) -> str:
    """What was made of fractions, in words."""
    kind = str(seg.get("SegmentationFractionalType") or "fraction").lower()
    total = float(share.sum(dtype=np.float64)) * grid.voxel_volume_mm3
    return (
        f"Segment {segment.number} is fractional ({'occupancy' if kind == 'occupancy' else 'probability'}): what is at "
        f"least {THRESHOLD:g} is in the lesion. The sum of all fractions is {in_mm3(total)}."
    )


def _provenance(header: Dataset, sha256: str) -> MaskProvenance:
    algorithms = []
    for item in header.get("SegmentSequence") or ():
        kind, name = item.get("SegmentAlgorithmType"), item.get("SegmentAlgorithmName")
        said = harmless_algorithm(kind, name)
        if said and said not in algorithms:
            algorithms.append(said)
    versions = header.get("SoftwareVersions") or ""
    return MaskProvenance(
        file_sha256=sha256,
        tool=harmless_tool(
            header.get("Manufacturer"),
            header.get("ManufacturerModelName"),
            versions if isinstance(versions, str) else next(iter(versions), ""),
        ),
        algorithm=", ".join(algorithms),
        description=harmless_name(header.get("ContentLabel")) or harmless_name(header.get("ContentDescription")),
    )


def _damaged(file: Path) -> InputError:
    return InputError(
        f"{file.name}: expected a SEG that can be read, got one that is damaged, or of a kind that is not. Export it "
        "again, or as a label map."
    )
