"""Label maps and probability maps in image files: NIfTI, NRRD (also 3D Slicer's .seg.nrrd) and MetaImage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from core.errors import InputError
from core.imaging.image_files import StoredImage, image_suffix, read_image
from core.imaging.masks.drawn import (
    MAX_LABEL,
    DrawnMask,
    DrawnSegment,
    MaskKind,
    MaskProvenance,
    cropped,
    in_mm3,
    part_of,
)
from core.imaging.masks.slicer_segments import SlicerSegments, read_layers, read_slicer_segments
from core.imaging.volumes import check_finite, whole_labels

#: A voxel is in the segment from here on.
THRESHOLD = 0.5
_WHOLE = 1e-3


def read_label_image(file: Path, sha256: str) -> DrawnMask:
    """The mask in an image file.

    Whole numbers are labels; one label alone is one lesion, whatever its value. Fractions from 0 to 1 are a probability
    map, cut at 0.5. Layers of a Slicer segmentation may overlap.

    Raises:
        InputError: as `core.imaging.image_files.read_image`; NaN, labels below 0 or above 255, fractions above 1.
    """
    slicer = read_slicer_segments(file) if image_suffix(file.name) == ".nrrd" else SlicerSegments()
    if slicer.layers:
        return _of_layers(file, slicer, sha256)
    image = read_image(file, thin=True)
    check_finite(file.name, image.array)
    if _is_probability(image.array):
        return _of_probability(image, sha256)
    labels = whole_labels(file.name, image.array)
    drawn: list[DrawnSegment] = []
    for number, box in enumerate(find_objects(labels), start=1):
        if box is not None:
            name = slicer.name_of(0, number)
            drawn.append(DrawnSegment(number, name, labels[box] == number, part_of(image.grid, box)))
    return _labelled(drawn, image, slicer, sha256)


def _labelled(drawn: list[DrawnSegment], image: StoredImage, slicer: SlicerSegments, sha256: str) -> DrawnMask:
    provenance = MaskProvenance(file_sha256=sha256, tool=slicer.tool)
    if len(drawn) != 1:
        return DrawnMask("label map", tuple(drawn), image.grid, provenance, (*image.warnings, *slicer.warnings))
    (only,) = drawn
    words = [*image.warnings, *slicer.warnings]
    if only.number != 1:
        words.append(f"The only value in the file is {only.number}: it marks one lesion, and is not its number.")
    kind: MaskKind = "0/255" if only.number == MAX_LABEL else "label map"
    return DrawnMask(kind, (only,), image.grid, provenance, tuple(words))


def _of_probability(image: StoredImage, sha256: str) -> DrawnMask:
    inside = cropped(image.array >= THRESHOLD, image.grid, 1, "")
    between = float(image.array.sum(dtype=np.float64)) * image.grid.voxel_volume_mm3
    words = (
        f"The file holds fractions from 0 to 1, taken as a probability map: what is at least {THRESHOLD:g} is in the "
        f"lesion. The sum of all fractions is {in_mm3(between)}.",
    )
    segments = () if inside is None else (inside,)
    provenance = MaskProvenance(file_sha256=sha256)
    return DrawnMask("probability map", segments, image.grid, provenance, (*image.warnings, *words))


def _is_probability(array: NDArray[np.float32]) -> bool:
    """Whether the values lie from 0 to 1, are not all the same, and some are neither."""
    low, high = float(array.min()), float(array.max())
    if low < -_WHOLE or high > 1 + _WHOLE or low == high:
        return False
    return any(bool((np.abs(plane - np.rint(plane)) > _WHOLE).any()) for plane in np.moveaxis(array, 2, 0))


def _of_layers(file: Path, slicer: SlicerSegments, sha256: str) -> DrawnMask:
    """A segmentation of several layers, each a label map of its own."""
    layers, grid, warnings = read_layers(file, slicer)
    drawn: list[DrawnSegment] = []
    for layer, array in enumerate(layers):
        for value, box in enumerate(find_objects(whole_labels(file.name, array.astype(np.float32))), start=1):
            if box is not None:
                place = len(drawn) + 1
                name = slicer.name_of(layer, value)
                drawn.append(DrawnSegment(place, name, array[box] == value, part_of(grid, box)))
    if len(drawn) > MAX_LABEL:
        raise InputError(
            f"{file.name}: expected at most {MAX_LABEL} segments, got {len(drawn)}. Export those that are lesions."
        )
    words = (
        f"The file is a segmentation of {len(layers)} layers; its {len(drawn)} segments were numbered in their order.",
    )
    provenance = MaskProvenance(file_sha256=sha256, tool=slicer.tool)
    return DrawnMask("label map", tuple(drawn), grid, provenance, (*warnings, *slicer.warnings, *words))
