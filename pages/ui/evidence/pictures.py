"""Small pictures of lesions side by side: one window, one scale, a contour that can be seen."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from nibabel.filebasedimages import ImageFileError
from numpy.typing import NDArray

from core.errors import TwinReviewError
from core.remembered.untyped import Span
from core.types import Grid, MaskRecord, Volume
from pages.ui.api.slabs import read_blocks
from pages.ui.frame import resources
from pages.ui.shared import slices
from pages.ui.shared.thumbnails import largest_slice
from store import SeenStore

V = TypeVar("V", np.uint8, np.float32)
#: Around the largest lesion of a row of pictures, mm.
MARGIN_MM = 20.0
SIDE_PX = 320
#: Sides that pictures may have, mm: a few, so that a picture is drawn for few of them.
SIDES_MM = (60, 90, 120, 160, 220, 300, 420)


@dataclass(frozen=True)
class Shown:
    """A lesion of a mask version that is to be shown; `longest_mm`: its longest diameter in a slice."""

    record: MaskRecord
    lesion_id: str
    longest_mm: float


def shown_of(record: MaskRecord, lesion_id: str) -> Shown:
    """The lesion as it is to be shown."""
    longest = max(
        (float(one["longest_diameter_mm"]) for one in record.lesions if one["lesion_id"] == lesion_id), default=0.0
    )
    return Shown(record, lesion_id, longest)


def side_mm(lesions: Sequence[Shown]) -> int:
    """The side of pictures in which each of them has room, mm; the largest of `SIDES_MM` where none has."""
    needed = max((one.longest_mm for one in lesions), default=0.0) + MARGIN_MM
    return next((side for side in SIDES_MM if side >= needed), SIDES_MM[-1])


def lesion_picture(store: SeenStore, shown: Shown, side: int) -> str | None:
    """The lesion's largest slice on the reference scan, `side` mm wide around its middle: a data URI; cached.

    Returns:
        None where a stored file cannot be read, or the lesion is not in it.
    """
    labels = tuple(int(one["label"]) for one in shown.record.lesions if str(one["lesion_id"]) == shown.lesion_id)
    key = f"alike-{shown.record.mask_sha256}-{shown.record.scan_sha256[:16]}-{'-'.join(map(str, labels))}-{side}"
    try:
        return resources.thumbnail(key, lambda: _draw(store, shown.record, labels, side))
    except (OSError, EOFError, zlib.error, ImageFileError, TwinReviewError):
        return None


def _draw(store: SeenStore, record: MaskRecord, labels: Sequence[int], side: int) -> str:
    scan = store.scans.reference(record.patient_id, record.timepoint)
    grid = store.scans.reference_grid(record.patient_id, record.timepoint)
    k, found = largest_slice(store.masks.path(record), scan.shape, labels)
    plane = np.asarray(next(read_blocks(store.scans.path(scan), 1, k)), np.float32)
    thin = Grid((*scan.shape[:2], 1), grid.affine)
    volume = Volume(plane, thin, scan.modality, scan.sequence)
    cut = _window(found, grid.spacing_mm, side)
    pixels = _padded(plane[..., 0], cut, float(plane.min()))
    marked = _padded(found, cut, 0)
    made = slices.png(
        pixels,
        slices.view_of(thin),
        slices.window_for(volume, None),
        (marked > 0).astype(np.uint8),
        long_side=SIDE_PX,
        bright=True,
    )
    return "data:image/png;base64," + base64.b64encode(made).decode()


def _window(labels: NDArray[np.uint8], spacing_mm: tuple[float, float, float], side: int) -> tuple[Span, Span]:
    """`side` mm around the lesion's middle, beyond the slice's edge where it lies near one."""
    parts = []
    for axis in (0, 1):
        inside = np.flatnonzero((labels > 0).any(axis=1 - axis))
        middle = (inside[0] + inside[-1]) / 2 if inside.size else labels.shape[axis] / 2
        half = side / 2 / spacing_mm[axis]
        parts.append(slice(round(middle - half), round(middle + half) + 1))
    return parts[0], parts[1]


def _padded(plane: NDArray[V], cut: tuple[Span, Span], fill: float) -> NDArray[V]:
    """The part of a slice, with `fill` where it reaches beyond."""
    wanted = [span.stop - span.start for span in cut]
    out = np.full(wanted, fill, plane.dtype)
    source = [slice(max(0, span.start), min(size, span.stop)) for span, size in zip(cut, plane.shape, strict=True)]
    target = [
        slice(one.start - span.start, one.start - span.start + max(0, one.stop - one.start))
        for one, span in zip(source, cut, strict=True)
    ]
    out[target[0], target[1]] = plane[source[0], source[1]]
    return out
