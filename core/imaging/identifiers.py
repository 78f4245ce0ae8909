"""The UIDs of a DICOM series: what a result needs to point at the images it was drawn on, and nothing of the patient.

A UID is a key to the archive it came from, where it names a person. So it leaves the reader in a value of its own,
never among the metadata, and the store keeps it apart (docs/adr/0028).
"""

from __future__ import annotations

from collections.abc import Sequence

from pydicom import Dataset

from core.imaging.scanner_facts import date_mode
from core.remembered.identifiers import ScanIdentifiers, SliceIdentifiers, is_uid

#: The attributes that `identifiers_of` asks of every slice's header.
KEYWORDS = ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "SOPClassUID", "SOPInstanceUID")
#: Where a reader puts them (as JSON) among the facts of a scan; `core.imaging.reading_apart` takes them out again.
KEY = "identifiers"


def identifiers_of(headers: Sequence[Dataset], frames: Sequence[int] | None = None) -> ScanIdentifiers | None:
    """The UIDs of a series, from the headers of its slices.

    Args:
        headers: one for every slice of the volume, in the volume's order; each with `KEYWORDS`, as far as it has them.
        frames: the number of each slice's frame in its file, from 1, where files have several.

    Returns:
        None where the files lack a UID of study, series or slice, have something else in its place (what people typed
        is never kept as one), or are of several studies or series; and with TWIN_DATES=shift, as many devices build
        UIDs from date and time. No frame of reference where the slices say several.
    """
    if date_mode() != "keep" or not headers:
        return None
    study, series, frame = (_common(headers, keyword) for keyword in KEYWORDS[:3])
    numbers: Sequence[int | None] = frames if frames is not None else [None] * len(headers)
    slices = tuple(
        SliceIdentifiers(_uid(header, "SOPClassUID"), _uid(header, "SOPInstanceUID"), frame)
        for header, frame in zip(headers, numbers, strict=True)
    )
    if not study or not series or not all(one.sop_instance_uid for one in slices):
        return None
    return ScanIdentifiers(study, series, frame, slices)


def _common(headers: Sequence[Dataset], keyword: str) -> str:
    """The UID that all of them have; "" where they differ or have none."""
    found = {_uid(header, keyword) for header in headers}
    return found.pop() if len(found) == 1 else ""


def _uid(header: Dataset, keyword: str) -> str:
    """A UID of a header, "" where it has none that is one."""
    value = str(header.get(keyword) or "")
    return value if is_uid(value) else ""
