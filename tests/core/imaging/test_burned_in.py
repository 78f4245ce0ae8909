"""Images that may show who they are of are warned about, and no others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset

from core.imaging.burned_in import burned_in_warnings
from core.imaging.dicom import read_series
from tests.dicom_phantom import write_series


@pytest.mark.parametrize(
    ("tags", "word"),
    [
        ({"BurnedInAnnotation": "YES"}, "burned into"),
        ({"BurnedInAnnotation": "yes "}, "burned into"),
        ({"BurnedInAnnotation": "NO"}, ""),
        ({}, ""),
        ({"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}, "screenshots"),
        ({"ImageType": ["DERIVED", "SECONDARY", "MPR"]}, ""),
        ({"ConversionType": "WSD"}, "screenshots"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, "screenshots"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.77.1"}, ""),
        ({"RecognizableVisualFeatures": "YES"}, "recognised"),
    ],
)
def test_what_a_header_says_is_warned_about(tmp_path: Path, tags: dict[str, Any], word: str) -> None:
    header = Dataset()
    for keyword, value in tags.items():
        setattr(header, keyword, value)
    found = burned_in_warnings([Dataset(), header])
    assert len(found) == bool(word)
    assert word in "".join(found)


def test_a_series_that_is_read_carries_the_warning(tmp_path: Path) -> None:
    def edit(ds: Dataset, n: int) -> None:
        ds.BurnedInAnnotation = "YES" if n == 2 else "NO"

    write_series(tmp_path / "said", edit=edit)
    assert [text for text in read_series(tmp_path / "said", "CT")[1]["warnings"] if "burned into" in text]
    write_series(tmp_path / "not")
    assert not [text for text in read_series(tmp_path / "not", "CT")[1]["warnings"] if "burned into" in text]


@pytest.mark.parametrize("modality", ["CT", "PET"])
def test_the_real_series_raise_no_alarm(shared_data: Path, modality: Any) -> None:
    warnings = read_series(shared_data / "dicom/STS_008" / modality, modality)[1]["warnings"]
    assert not [text for text in warnings if "burned" in text or "screenshots" in text or "recognised" in text]
