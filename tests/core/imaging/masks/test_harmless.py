"""Words of a mask's file that are kept, and those that may be a person's."""

from __future__ import annotations

import pytest

from core.imaging.masks.harmless import harmless_algorithm, harmless_name, harmless_tool


@pytest.mark.parametrize(
    "name", ["GTV", "GTV_Mass_CT", "Tumor 1", "lymph node left", "Segment_12", "PTV-60", "Lesion #3", "T1c enhancing"]
)
def test_words_of_the_field_are_kept(name: str) -> None:
    assert harmless_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "Jane Doe",
        "GTV_Smith",
        "tumor 19510203",
        "GTV 02.03.1951",
        "lesion MRN-4711",
        "Müller",
        "",
        None,
        "x" * 70,
        "1 9 5 1",
        "J D T GTV",
    ],
)
def test_what_may_be_a_persons_is_not(name: str | None) -> None:
    assert harmless_name(name) == ""


def test_a_tool_keeps_its_version_and_no_hospital() -> None:
    assert harmless_tool("MIM Software Inc.", "MIM", "6.3.9") == "MIM Software Inc. MIM"
    assert harmless_tool("3D Slicer", "St. Mary's Hospital") == "3D Slicer"
    assert harmless_tool("highdicom 0.28.2") == "highdicom 0.28.2"
    assert harmless_algorithm("AUTOMATIC", "nnUNet") == "AUTOMATIC nnUNet"
    assert harmless_algorithm("MANUAL", "Jane's method") == "MANUAL"
