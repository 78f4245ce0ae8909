"""What a mask's file says it was drawn on, set against the UIDs of a timepoint's scans."""

from __future__ import annotations

import pytest
from pydicom import Dataset

from core.imaging.masks.origin import origin_of
from core.remembered.identifiers import MaskOrigin, ScanIdentifiers, SliceIdentifiers, any_of
from tests.core.imaging.outcomes import shows


def scan(series: str, frame: str) -> ScanIdentifiers:
    return ScanIdentifiers("1.2.1", series, frame, (SliceIdentifiers("", "1.2.9"),))


@shows("Masks", "RTSTRUCT or SEG of another frame of reference than the scans", "read and said", "a doubt")
@pytest.mark.parametrize(
    ("mask", "of_scan", "lies"),
    [
        (MaskOrigin(("1.2.3",), ("1.2.4",)), scan("1.2.3", "1.2.4"), True),
        (MaskOrigin(("1.2.3",), ("1.2.4",)), scan("1.2.7", "1.2.4"), True),  # the PET of the same study
        (MaskOrigin(("1.2.3",), ("1.2.4",)), scan("1.2.7", "1.2.8"), False),
        (MaskOrigin((), ("1.2.4", "1.2.8")), scan("1.2.7", "1.2.8"), True),
        (MaskOrigin(("1.2.3",), ()), scan("1.2.3", ""), True),
        (MaskOrigin(("1.2.3",), ()), scan("1.2.7", "1.2.8"), None),  # another series, perhaps of the same frame
        (MaskOrigin(("1.2.3",), ("1.2.4",)), scan("1.2.7", ""), None),
        (MaskOrigin(), scan("1.2.7", "1.2.8"), None),
        (MaskOrigin(("1.2.3",), ("1.2.4",)), None, None),
    ],
)
def test_the_frame_decides_where_the_series_does_not(mask: MaskOrigin, of_scan: ScanIdentifiers, lies: bool | None):
    assert mask.lies_on(of_scan) is lies


@pytest.mark.parametrize(
    ("answers", "together"),
    [([], None), ([None], None), ([False], False), ([False, None], None), ([False, True, None], True)],
)
def test_one_scan_of_the_frame_is_enough_and_one_unknown_leaves_it_open(
    answers: list[bool | None], together: bool | None
):
    assert any_of(answers) is together


def _item(**tags: object) -> Dataset:
    made = Dataset()
    for keyword, value in tags.items():
        setattr(made, keyword, value)
    return made


def test_an_rtstruct_names_series_and_frames_in_several_places():
    study = _item(RTReferencedSeriesSequence=[_item(SeriesInstanceUID="1.2.3")])
    header = _item(
        ReferencedFrameOfReferenceSequence=[_item(FrameOfReferenceUID="1.2.4", RTReferencedStudySequence=[study])],
        StructureSetROISequence=[
            _item(ReferencedFrameOfReferenceUID="1.2.4"),
            _item(ReferencedFrameOfReferenceUID="1.2.5"),
        ],
    )
    assert origin_of(header) == MaskOrigin(("1.2.3",), ("1.2.4", "1.2.5"))


def test_a_seg_names_its_own_frame():
    header = _item(FrameOfReferenceUID="1.2.4", ReferencedSeriesSequence=[_item(SeriesInstanceUID="1.2.3")])
    assert origin_of(header) == MaskOrigin(("1.2.3",), ("1.2.4",))


def test_what_is_no_uid_is_left_out():
    header = _item(ReferencedSeriesSequence=[_item(), _item(SeriesInstanceUID="")])
    header.FrameOfReferenceUID = "DOE^JANE"
    assert origin_of(header) == MaskOrigin()
