"""Which series, and which frame of reference, an RTSTRUCT or SEG says that it was drawn on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydicom import Dataset

from core.imaging.dicom_files import DAMAGED
from core.remembered.identifiers import MaskOrigin, is_uid

#: What `origin_of` asks of a header.
KEYWORDS = (
    "ReferencedFrameOfReferenceSequence",
    "ReferencedSeriesSequence",
    "StructureSetROISequence",
    "FrameOfReferenceUID",
)


def origin_of(header: Dataset) -> MaskOrigin:
    """The UIDs that a mask's header names, as far as they are UIDs; nothing of a damaged or another header."""
    return MaskOrigin(_whole(_series(header)), _whole(_frames(header)))


def _series(header: Dataset) -> Iterator[Any]:
    for item in header.get("ReferencedSeriesSequence") or ():
        yield item.get("SeriesInstanceUID")
    for frame in header.get("ReferencedFrameOfReferenceSequence") or ():
        for study in frame.get("RTReferencedStudySequence") or ():
            for item in study.get("RTReferencedSeriesSequence") or ():
                yield item.get("SeriesInstanceUID")


def _frames(header: Dataset) -> Iterator[Any]:
    yield header.get("FrameOfReferenceUID")
    for frame in header.get("ReferencedFrameOfReferenceSequence") or ():
        yield frame.get("FrameOfReferenceUID")
    for structure in header.get("StructureSetROISequence") or ():
        yield structure.get("ReferencedFrameOfReferenceUID")


def _whole(found: Iterator[Any]) -> tuple[str, ...]:
    uids: dict[str, None] = {}
    try:
        for uid in found:
            if is_uid(str(uid or "")):
                uids.setdefault(str(uid))
    except DAMAGED:
        pass  # what came before it was readable, and what cannot be read is not known
    return tuple(uids)
