"""The UIDs of a DICOM series: what a result needs to point at the images it was drawn on, and nothing of the patient.

A UID is a key to the archive it came from, where it names a person. So it leaves the reader in a value of its own,
never among the metadata, and the store keeps it apart (docs/adr/0028).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pydicom import Dataset

from core.imaging.scanner_facts import date_mode
from core.remembered.untyped import JsonDict, JsonObject

#: The attributes that `identifiers_of` asks of every slice's header.
KEYWORDS = ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "SOPClassUID", "SOPInstanceUID")
#: Where a reader puts them (as JSON) among the facts of a scan; `core.imaging.reading_apart` takes them out again.
KEY = "identifiers"
#: DICOM PS3.5 9.1: digits and dots, 64 at most, no component with a leading zero.
_UID = re.compile(r"(?=.{3,64}$)(0|[1-9]\d*)(\.(0|[1-9]\d*))+")


@dataclass(frozen=True)
class SliceIdentifiers:
    """One slice of the volume in its archive.

    Args:
        sop_class_uid: of the kind of image, "" if the file does not say it.
        sop_instance_uid: of the file.
        frame: its number in a file of several, from 1; None in a file of one.
    """

    sop_class_uid: str
    sop_instance_uid: str
    frame: int | None = None


@dataclass(frozen=True)
class ScanIdentifiers:
    """The UIDs of a scan's source series.

    Args:
        study_instance_uid, series_instance_uid: of the series.
        frame_of_reference_uid: "" if the files do not say one for all.
        slices: in the order of the stored volume's slices, k ascending.
    """

    study_instance_uid: str
    series_instance_uid: str
    frame_of_reference_uid: str
    slices: tuple[SliceIdentifiers, ...]

    def to_json(self) -> JsonDict:
        """Plain JSON values."""
        return {
            "study_instance_uid": self.study_instance_uid,
            "series_instance_uid": self.series_instance_uid,
            "frame_of_reference_uid": self.frame_of_reference_uid,
            "slices": [[one.sop_class_uid, one.sop_instance_uid, one.frame] for one in self.slices],
        }

    @classmethod
    def from_json(cls, values: JsonObject) -> ScanIdentifiers:
        """Inverse of `to_json`. Raises ValueError, KeyError or TypeError for anything else than UIDs in that shape."""
        slices = tuple(SliceIdentifiers(str(kind), str(one), frame) for kind, one, frame in values["slices"])
        study, series, frame = (str(values[f"{what}_uid"]) for what in _OF_SERIES)
        optional = (frame, *(one.sop_class_uid for one in slices))
        needed = (study, series, *(one.sop_instance_uid for one in slices))
        whole = all(one.frame is None or (type(one.frame) is int and one.frame > 0) for one in slices)
        if not whole or not all(map(_is_uid, needed)) or not all(not uid or _is_uid(uid) for uid in optional):
            raise ValueError("expected UIDs and frame numbers")
        return cls(study, series, frame, slices)


_OF_SERIES = ("study_instance", "series_instance", "frame_of_reference")


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
    return value if _is_uid(value) else ""


def _is_uid(text: str) -> bool:
    return _UID.fullmatch(text) is not None
