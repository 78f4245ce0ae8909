"""RTSTRUCT: contours of structures, in millimetres, into shares of voxels.

A contour stands for a slab of tissue around its plane, reaching halfway to the next one. Several of one structure in
one plane are combined by the even-odd rule, so that inner contours are holes.

Source: DICOM PS3.3 C.8.8.6 (ROI Contour Module).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataelem import RawDataElement

from core.errors import InputError
from core.imaging.masks.drawn import MAX_LABEL, DrawnMask, DrawnSegment, MaskProvenance, cropped
from core.imaging.masks.harmless import harmless_algorithm, harmless_name, harmless_tool
from core.imaging.masks.polygons import Points, even_odd_shares
from core.imaging.masks.slabs import contour_frame, slabs
from core.types import Grid

_CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
#: Structures that are never a lesion, by their type.
_NEVER_LESIONS = ("EXTERNAL", "SUPPORT", "BOLUS", "FIXATION", "DOSE_REGION", "CONTROL", "ISOCENTER", "MARKER")
_TARGETS = ("GTV", "CTV", "PTV")
#: Of a pixel's side, between the points that are asked whether they lie inside.
_SAMPLE_MM, _FEWEST, _MOST = 0.25, 4, 16
_LARGEST_PLANE = 2**27


@dataclass(frozen=True, eq=False)
class _Structure:
    """One ROI: its contours, each (n, 3) in RAS mm."""

    number: int
    name: str
    type: str
    contours: tuple[Points, ...]
    other_shapes: int


def read_structure_set(header: Dataset, file: Path, sha256: str, grid: Grid | None) -> DrawnMask:
    """The structures of an RTSTRUCT.

    Args:
        header: all of it, as pydicom reads it.
        grid: of the series that the contours were drawn on; None where it is not known.

    Raises:
        InputError: no closed contour in it, contours that are no polygons, or more than 255 structures.
    """
    structures = _structures(header, file.name)
    left_out = [s for s in structures if s.type in _NEVER_LESIONS]
    drawn = [s for s in structures if s.contours and s not in left_out]
    if not drawn:
        raise InputError(
            f"{file.name}: expected an RTSTRUCT with closed contours of at least one structure, got "
            f"{len(structures)} structures without any. Export the structures with their contours."
        )
    frame, warnings, doubts = contour_frame([c for s in drawn for c in s.contours], grid)
    segments: list[DrawnSegment] = []
    for structure in drawn:
        segment, words = _rasterised(structure, frame, grid, [s.contours for s in drawn])
        doubts += words
        if segment is None:
            warnings.append(f"Structure {structure.number} encloses nothing and was left out.")
        else:
            segments.append(segment)
    provenance = MaskProvenance(
        file_sha256=sha256,
        tool=harmless_tool(header.get("Manufacturer"), header.get("ManufacturerModelName"), _version(header)),
        algorithm=_algorithms(header),
        description=harmless_name(header.get("StructureSetLabel")),
    )
    warnings += _words_on(structures, left_out)
    doubts += _doubts_on(drawn)
    return DrawnMask("RTSTRUCT", tuple(segments), None, provenance, tuple(warnings), tuple(doubts))


def _structures(header: Dataset, name: str) -> list[_Structure]:
    names = {int(roi.ROINumber): roi.get("ROIName") for roi in header.get("StructureSetROISequence") or ()}
    types = {
        int(o.ReferencedROINumber): str(o.get("RTROIInterpretedType") or "")
        for o in header.get("RTROIObservationsSequence") or ()
        if "ReferencedROINumber" in o
    }
    found: dict[int, list[Dataset]] = {}
    for item in header.get("ROIContourSequence") or ():
        found.setdefault(int(item.ReferencedROINumber), []).extend(item.get("ContourSequence") or ())
    numbers = [*names, *(number for number in found if number not in names)]
    if len(numbers) > MAX_LABEL:
        raise InputError(
            f"{name}: expected at most {MAX_LABEL} structures, got {len(numbers)}. Export those that are lesions."
        )
    as_they_are = all(1 <= number <= MAX_LABEL for number in numbers)
    out = []
    for place, number in enumerate(numbers, start=1):
        closed = [c for c in found.get(number, ()) if str(c.get("ContourGeometricType") or "") in _CLOSED]
        others = len(found.get(number, ())) - len(closed)
        contours = tuple(_points(contour, name) for contour in closed)
        kept = number if as_they_are else place
        out.append(_Structure(kept, harmless_name(names.get(number)), types.get(number, ""), contours, others))
    return out


def _points(contour: Dataset, name: str) -> Points:
    """(n, 3) in RAS mm."""
    values = _numbers(contour)
    said = contour.get("NumberOfContourPoints")
    if values.ndim != 1 or values.size % 3 or values.size < 9 or not np.isfinite(values).all():
        raise InputError(
            f"{name}: expected contours of at least three points of three numbers, got one of {values.size} numbers. "
            "The file is damaged, or was cut short: export it again."
        )
    if said not in (None, "") and int(said) != values.size // 3:
        raise InputError(
            f"{name}: expected as many points in every contour as it says ({int(said)}), got {values.size // 3}. "
            "The file is damaged, or was cut short: export it again."
        )
    return values.reshape(-1, 3) * (-1.0, -1.0, 1.0)


def _numbers(contour: Dataset) -> Points:
    """The numbers of a contour; of one that is not yet parsed at once, since a million of them one by one take long."""
    item = contour.get_item("ContourData") if "ContourData" in contour else None
    if isinstance(item, RawDataElement) and isinstance(item.value, bytes):
        text = item.value.decode("ascii", "replace").strip(" \0")
        return np.array(text.split("\\") if text else [], dtype=float)
    return np.array([] if item is None or item.value is None else item.value, dtype=float)


def _rasterised(
    structure: _Structure, frame: tuple[Grid, int], grid: Grid | None, everyone: Sequence[Sequence[Points]]
) -> tuple[DrawnSegment | None, list[str]]:
    """The structure on the frame's pixels and on slices as far apart as its contours; doubts about it."""
    lattice, across = frame
    first, second = (axis for axis in range(3) if axis != across)
    indexed = [lattice.to_index(contour) for contour in structure.contours]
    step_mm = lattice.spacing_mm[across]
    pooled = [float(lattice.to_index(c)[:, across].mean()) for contours in everyone for c in contours]
    on_grid = grid is not None and lattice is grid
    cut = slabs([float(c[:, across].mean()) for c in indexed], pooled, step_mm, on_grid, structure.number)
    flat = [contour[:, [first, second]] for contour in indexed]
    low = np.floor(np.min([c.min(axis=0) for c in flat], axis=0) + 0.5).astype(int)
    high = np.floor(np.max([c.max(axis=0) for c in flat], axis=0) + 0.5).astype(int)
    size = (int(high[0] - low[0]) + 1, int(high[1] - low[1]) + 1)
    samples = tuple(_samples(lattice.spacing_mm[axis]) for axis in (first, second))
    if size[0] * samples[0] * size[1] * samples[1] > _LARGEST_PLANE:
        raise InputError(
            f"Expected contours within a scan, structure {structure.number} reaches over {size[0]:,} x {size[1]:,} "
            "pixels. The file is damaged, or in another unit than millimetres."
        )
    share = np.zeros((cut.count, *size), np.float32)
    doubts = list(cut.doubts)
    for members, slices in cut.planes:
        polygons, doubled = _without_copies([flat[member] - low for member in members])
        if doubled:
            doubts.append(f"Structure {structure.number} has a contour twice in one plane; it was taken once.")
        share[slices] = even_odd_shares(polygons, size, (samples[0], samples[1]))
    order = np.argsort([across, first, second])
    affine = lattice.affine.copy()
    affine[:3, across] *= cut.pitch
    start = np.zeros(3)
    start[[first, second]], start[across] = low, cut.start
    affine[:3, 3] = lattice.to_mm(start[None])[0]
    box: NDArray[np.float32] = share.transpose(order)
    i, j, k = box.shape
    return cropped(box, Grid((i, j, k), affine), structure.number, structure.name), sorted(set(doubts))


def _samples(pixel_mm: float) -> int:
    """An even number of sample points along a pixel's side."""
    return int(np.clip(2 * np.ceil(pixel_mm / _SAMPLE_MM / 2), _FEWEST, _MOST))


def _without_copies(polygons: Sequence[Points]) -> tuple[list[Points], bool]:
    """The polygons without those that come twice, which the even-odd rule would take for a hole as large as they."""
    kept = {
        np.round(np.sort(polygon.view(np.float64).reshape(-1, 2), axis=0), 3).tobytes(): polygon for polygon in polygons
    }
    return list(kept.values()), len(kept) < len(polygons)


def _words_on(structures: Sequence[_Structure], left_out: Sequence[_Structure]) -> list[str]:
    words = []
    if left_out:
        kinds = ", ".join(sorted({structure.type.lower().replace("_", " ") for structure in left_out}))
        words.append(f"{len(left_out)} structures that are no lesions by their type ({kinds}) were left out.")
    empty = [s for s in structures if not s.contours and s not in left_out]
    if empty:
        numbers = ", ".join(str(structure.number) for structure in empty)
        words.append(f"Structures without a closed contour were left out: {numbers}.")
    if open_shapes := sum(s.other_shapes for s in structures):
        words.append(f"{open_shapes} points or open lines enclose nothing and were left out.")
    if unnamed := sum(1 for s in structures if not s.name):
        words.append(f"The names of {unnamed} structures were not kept: they are none, or not words of the field.")
    return words


def _doubts_on(drawn: Sequence[_Structure]) -> list[str]:
    others = [s for s in drawn if s.type and s.type not in _TARGETS]
    if others and len(others) < len(drawn):
        numbers = ", ".join(str(structure.number) for structure in others)
        return [f"Structures {numbers} are no tumours by their type. Choose the segments that are lesions."]
    return []


def _version(header: Dataset) -> str:
    found = header.get("SoftwareVersions") or ""
    return str(found if isinstance(found, str) else next(iter(found), ""))


def _algorithms(header: Dataset) -> str:
    found = {str(roi.get("ROIGenerationAlgorithm") or "") for roi in header.get("StructureSetROISequence") or ()}
    return harmless_algorithm(", ".join(sorted(found - {""})))
