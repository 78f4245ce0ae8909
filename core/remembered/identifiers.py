"""The UIDs of a scan's source series, as they are remembered: apart from all else (docs/adr/0028); and what a mask's
file says of the series that it was drawn on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from core.remembered.untyped import JsonDict, JsonObject

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
        slices: in the order of the stored volume, along `axis` ascending.
        axis: of the stored volume, along which the series' slices follow each other: 2 unless its axes were turned.
    """

    study_instance_uid: str
    series_instance_uid: str
    frame_of_reference_uid: str
    slices: tuple[SliceIdentifiers, ...]
    axis: int = 2

    def along(self, axis: int, backwards: bool) -> ScanIdentifiers:
        """The same for a volume whose axes were turned: its slices along `axis`, from the last where `backwards`."""
        return replace(self, axis=axis, slices=self.slices[::-1] if backwards else self.slices)

    def to_json(self) -> JsonDict:
        """Plain JSON values."""
        return {
            "study_instance_uid": self.study_instance_uid,
            "series_instance_uid": self.series_instance_uid,
            "frame_of_reference_uid": self.frame_of_reference_uid,
            "slices": [[one.sop_class_uid, one.sop_instance_uid, one.frame] for one in self.slices],
            "axis": self.axis,
        }

    @classmethod
    def from_json(cls, values: JsonObject) -> ScanIdentifiers:
        """Inverse of `to_json`. Raises ValueError, KeyError or TypeError for anything else than UIDs in that shape."""
        slices = tuple(SliceIdentifiers(str(kind), str(one), frame) for kind, one, frame in values["slices"])
        study, series, frame = (str(values[f"{what}_uid"]) for what in _OF_SERIES)
        optional = (frame, *(one.sop_class_uid for one in slices))
        needed = (study, series, *(one.sop_instance_uid for one in slices))
        whole = all(one.frame is None or (type(one.frame) is int and one.frame > 0) for one in slices)
        if not whole or not all(map(is_uid, needed)) or not all(not uid or is_uid(uid) for uid in optional):
            raise ValueError("expected UIDs and frame numbers")
        axis = values.get("axis", 2)
        if type(axis) is not int or axis not in (0, 1, 2):
            raise ValueError("expected an axis, 0 to 2")
        return cls(study, series, frame, slices, axis)


@dataclass(frozen=True)
class MaskOrigin:
    """The UIDs of what a mask's file says it was drawn on; empty where it says nothing. Never stored.

    Args:
        series: SeriesInstanceUIDs, the first one first. frames: FrameOfReferenceUIDs.
    """

    series: tuple[str, ...] = ()
    frames: tuple[str, ...] = ()

    def lies_on(self, scan: ScanIdentifiers | None) -> bool | None:
        """Whether it lies in the frame of a scan; None where the one or the other does not say."""
        if scan is None:
            return None
        if scan.series_instance_uid in self.series:
            return True
        if self.frames and scan.frame_of_reference_uid:
            return scan.frame_of_reference_uid in self.frames
        return None


def any_of(answers: Sequence[bool | None]) -> bool | None:
    """Whether one of a timepoint's scans is the one, by the answers of them all; None where that cannot be told."""
    if True in answers:
        return True
    return None if None in answers or not answers else False


_OF_SERIES = ("study_instance", "series_instance", "frame_of_reference")


def is_uid(text: str) -> bool:
    """Whether it is a UID as the standard has them, and no text that somebody typed."""
    return _UID.fullmatch(text) is not None
