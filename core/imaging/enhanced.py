"""Multi-frame (enhanced) CT, MR and PET: one image for each frame, with what its functional groups say in place.

Source: DICOM PS3.3 C.7.6.16 (multi-frame functional groups), A.70 to A.72 (legacy converted enhanced images).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from pydicom import Dataset

from core.errors import GeometryError, InputError
from core.imaging.dicom_files import DicomSlice
from core.imaging.headers.image_header import quoted

#: Of the header, what a frame is told by.
KEYWORDS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
#: Functional groups that say where a frame lies, what its values mean, and how it was made. The unassigned ones hold
#: what a classic series said of each slice.
_GROUPS = (
    "UnassignedSharedConvertedAttributesSequence",
    "UnassignedPerFrameConvertedAttributesSequence",
    "PixelMeasuresSequence",
    "PlaneOrientationSequence",
    "PlanePositionSequence",
    "PixelValueTransformationSequence",
    "FrameContentSequence",
    "MREchoSequence",
    "MRDiffusionSequence",
    "MRTimingAndRelatedParametersSequence",
    "CTImageFrameTypeSequence",
    "MRImageFrameTypeSequence",
    "PETFrameTypeSequence",
    "CardiacSynchronizationSequence",
    "TemporalPositionSequence",
)
#: What frames in one place may differ in, and what people call it.
_KINDS = {
    "TemporalPositionIndex": "time point",
    "TemporalPositionIdentifier": "time point",
    "TriggerTime": "cardiac phase",
    "EffectiveEchoTime": "echo",
    "EchoTime": "echo",
    "DiffusionBValue": "b-value",
    "NominalCardiacTriggerDelayTime": "cardiac phase",
    "FrameType": "frame type",
    "FrameAcquisitionNumber": "acquisition",
}
_PLURAL = {"echo": "echoes"}


def frames_of(item: DicomSlice, name: str) -> list[DicomSlice]:
    """One image for each frame of a file; the file itself where it has no more than one and no functional groups.

    Raises:
        InputError: a number of frames that is none, or another than that of its functional groups; several frames
            without groups, of which nothing says where they lie.
    """
    count = whole_number(item, "NumberOfFrames", name) or 1
    each = item.header.get("PerFrameFunctionalGroupsSequence") or []
    if count < 1:
        raise InputError(f"{name}: expected at least one frame, {item.path.name} says {count}. Export it again.")
    if count == 1 and not each and not item.header.get("SharedFunctionalGroupsSequence"):
        return [item]
    if len(each) != count:
        got = f"{len(each)} of {count} frames" if each else "none of its frames"
        raise InputError(
            f"{name}: expected multi-frame DICOM that says where each frame lies (functional groups), "
            f"{item.path.name} says it of {got}. Export it as one file a slice."
        )
    shared = (item.header.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
    common = Dataset()
    for element in item.header:
        if element.keyword not in KEYWORDS:
            common.add(element)
    _put(common, shared)
    return [replace(item, header=_with(common, groups), frame=frame) for frame, groups in enumerate(each)]


def whole_number(item: DicomSlice, keyword: str, name: str) -> int:
    """A whole number of a header, 1 where it says nothing; raises InputError that names the field."""
    value = item.header.get(keyword)
    try:
        return int(value) if value not in (None, "") else 1
    except (TypeError, ValueError):
        raise InputError(
            f"{name}: expected a whole number in {keyword}, {item.path.name} has none there. Export it again."
        ) from None


def _with(common: Dataset, groups: Dataset) -> Dataset:
    header = Dataset()
    header.update(common)
    _put(header, groups)
    return header


def _put(header: Dataset, groups: Dataset) -> None:
    for keyword in _GROUPS:
        for inner in groups.get(keyword) or []:
            for element in inner:
                header.add(element)


def check_one_stack(frames: Sequence[DicomSlice], name: str) -> None:
    """Refuse frames that are more than one volume, and name what there is several of.

    Raises:
        GeometryError: several stacks. InputError: several time points, echoes, b-values ... in the same places.
    """
    stacks = _values(frames, "StackID")
    if len(stacks) > 1:
        raise GeometryError(
            f"{name}: expected one stack of slices, got {len(stacks)} (StackID {_some(stacks)}). "
            "Export each stack as a series of its own."
        )
    places = defaultdict(list)
    for item in frames:
        places[str(item.header.get("ImagePositionPatient"))].append(item)
    if all(len(items) == 1 for items in places.values()):
        return
    for keyword, kind in _KINDS.items():
        values = _values(frames, keyword)
        if len(values) > 1 and all(len(_values(items, keyword)) == len(items) for items in places.values()):
            raise InputError(
                f"{name}: expected one volume, got {len(values)} {_PLURAL.get(kind, kind + 's')} in the same places "
                f"({_some(values)}). Export the one you need as a series of its own."
            )


def _values(frames: Sequence[DicomSlice], keyword: str) -> list[str]:
    return sorted({str(value) for item in frames if (value := item.header.get(keyword)) is not None})


def _some(values: Sequence[Any]) -> str:
    return ", ".join(quoted(str(value), 20) for value in values[:4]) + (" ..." if len(values) > 4 else "")


def by_file(frames: Sequence[DicomSlice]) -> Iterator[list[DicomSlice]]:
    """The images of each file together, in the order in which files first come."""
    files: dict[Any, list[DicomSlice]] = {}
    for item in frames:
        files.setdefault(item.path, []).append(item)
    yield from files.values()
