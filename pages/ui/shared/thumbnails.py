"""Small pictures of mask versions, for the history: made when a browser has one in view, and kept on disk."""

from __future__ import annotations

import base64
import hashlib
import threading
import zlib
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
from nibabel.filebasedimages import ImageFileError
from numpy.typing import NDArray
from starlette.responses import Response

from core.errors import StoreError, TwinReviewError
from core.remembered.links import lesion_number
from core.remembered.untyped import Span
from core.review.identity import numbered_id
from core.types import Grid, MaskRecord, Volume
from pages.ui.api.answers import NO_STORE, problem
from pages.ui.api.slabs import read_blocks, write
from pages.ui.frame import resources
from pages.ui.guard.guard import Asked, ByToken, guarded
from pages.ui.shared import slices
from store import SeenStore

API = "/api/history/thumbnail/"
#: Pixels of the picture; shown at half of that, so that it is sharp on a dense screen.
SIDE_PX = 128
MARGIN_MM = 20.0
#: One at a time: the pictures of a long history must not take both cores from the viewer.
_ONE = threading.Lock()


def mask_thumbnail(store: SeenStore, record: MaskRecord, cache: Path) -> bytes:
    """The version's largest slice on the reference scan, cropped around its lesions, as PNG.

    The middle slice, whole, where the mask is empty. Files are read in blocks: memory holds a few slices.

    Raises:
        InputError, OSError: if the stored files cannot be read.
    """
    kept = cache / f"{record.mask_sha256}-{record.scan_sha256[:16]}{_links_named(record)}.png"
    if kept.exists():
        return kept.read_bytes()
    with _ONE:
        if not kept.exists():
            write(kept, _draw(store, record))
    return kept.read_bytes()


def _lesion_of(record: MaskRecord) -> dict[int, str]:
    """Label -> lesion, of the labels that are not the lesion of their number."""
    named = {int(lesion["label"]): str(lesion["lesion_id"]) for lesion in record.lesions}
    return {label: name for label, name in sorted(named.items()) if name != numbered_id(label)}


def _links_named(record: MaskRecord) -> str:
    """What tells pictures of one mask apart whose labels are linked otherwise: their colours differ."""
    other = _lesion_of(record)
    return f"-{hashlib.sha256(repr(other).encode()).hexdigest()[:16]}" if other else ""


def _draw(store: SeenStore, record: MaskRecord, shown_as: Mapping[int, int] | None = None) -> bytes:
    """The picture; with `shown_as` of these labels alone, each under the number that gives its colour."""
    scan = store.scans.reference(record.patient_id, record.timepoint)
    grid = store.scans.reference_grid(record.patient_id, record.timepoint)
    k, labels = largest_slice(store.masks.path(record), scan.shape, list(shown_as or ()))
    if shown_as:
        numbers = np.zeros(256, np.uint8)
        numbers[list(shown_as)] = list(shown_as.values())
        labels = numbers[labels]
    plane = np.asarray(next(read_blocks(store.scans.path(scan), 1, k)), np.float32)
    thin = Grid((*scan.shape[:2], 1), grid.affine)
    volume, box = Volume(plane, thin, scan.modality, scan.sequence), _square(labels, grid.spacing_mm)
    return slices.png(
        plane[..., 0][box],
        slices.view_of(thin),
        slices.window_for(volume, None),
        labels[box],
        long_side=SIDE_PX,
        lesion_of=_lesion_of(record),
    )


def lesion_picture(store: SeenStore, record: MaskRecord, labels: Collection[int], lesion_id: str) -> str | None:
    """Some labels of a version, in the colour of their lesion on their largest slice: a data URI; kept in memory.

    Returns:
        None where there is no such label, or the stored files cannot be read.
    """
    if not labels:
        return None
    shown = "-".join(map(str, sorted(labels)))
    key = f"{record.mask_sha256}-{record.scan_sha256[:16]}-{shown}-{lesion_id}"
    try:
        return resources.thumbnail(key, lambda: _draw_lesion(store, record, labels, lesion_id))
    except (OSError, EOFError, zlib.error, ImageFileError, TwinReviewError):
        return None


def _draw_lesion(store: SeenStore, record: MaskRecord, labels: Collection[int], lesion_id: str) -> str:
    colour = min(lesion_number(lesion_id), 255) or min(labels)
    with _ONE:
        content = _draw(store, record, {int(label): colour for label in labels})
    return "data:image/png;base64," + base64.b64encode(content).decode()


def largest_slice(path: Path, shape: tuple[int, int, int], only: Collection[int] = ()) -> tuple[int, NDArray[np.uint8]]:
    """The index k of the slice with most mask voxels and its labels (I, J); the middle slice of an empty mask.

    Args:
        only: labels that are looked at; all for none.
    """
    best, most = shape[2] // 2, 0
    labels = np.zeros(shape[:2], np.uint8)
    first = 0
    for block in read_blocks(path):
        if only:
            block = np.where(np.isin(block, list(only)), block, 0)
        counts = np.count_nonzero(block, axis=(0, 1))
        n = int(counts.argmax())
        if counts[n] > most:
            best, most, labels = first + n, int(counts[n]), block[..., n].astype(np.uint8)
        first += block.shape[2]
    return best, labels


def _square(labels: NDArray[np.uint8], spacing_mm: tuple[float, float, float]) -> tuple[Span, Span]:
    """A square around the lesions with a margin, within the slice; all of it where there are none."""
    inside = [np.flatnonzero((labels > 0).any(axis=1 - axis)) for axis in (0, 1)]
    if not inside[0].size:
        return slice(None), slice(None)
    half_mm = max((n[-1] - n[0] + 1) * mm / 2 for n, mm in zip(inside, spacing_mm, strict=False)) + MARGIN_MM
    parts = []
    for n, mm in zip(inside, spacing_mm, strict=False):
        middle, half = (n[0] + n[-1]) / 2, half_mm / mm
        parts.append(slice(max(0, round(middle - half)), round(middle + half) + 1))
    return parts[0], parts[1]


def get_thumbnail(asked: Asked) -> Response:
    """A version's small picture: PNG."""
    record = asked.mask(asked.parameter("mask_id"))
    try:
        cache = resources.data_root() / "cache" / "thumbnails"
        content = mask_thumbnail(asked.store, record, cache)
    except StoreError:  # the file is gone, or is another than was stored: its own sentence
        raise
    except (OSError, EOFError, zlib.error, ImageFileError, TwinReviewError):
        return problem(404, "The picture cannot be made: a stored file cannot be read. Run `verify`.")
    return Response(content, media_type="image/png", headers=NO_STORE)


THUMBNAIL_ROUTES = [guarded(API + "{mask_id}", get_thumbnail, ByToken("this picture"))]
