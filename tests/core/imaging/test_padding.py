"""Padding outside a CT's field of view is air, and never 62,512 HU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset

from core.imaging.dicom import read_series
from core.imaging.padding import AIR_HU, padding_to_air
from tests.core.imaging.outcomes import shows
from tests.dicom_phantom import stored_values, write_series


def header(**values: Any) -> Dataset:
    dataset = Dataset()
    for key, value in {"RescaleSlope": 1, "RescaleIntercept": -1024, "PixelRepresentation": 0, **values}.items():
        setattr(dataset, key, value)
    return dataset


def plane(*values: float) -> Any:
    return np.array([values], np.float32)


@shows(
    "DICOM: how voxels are stored",
    "PixelPaddingValue above 3071 HU",
    "read and said",
    "made air; padding that tissue may have is left and said",
)
@pytest.mark.parametrize(
    ("about", "before", "after", "says"),
    [
        ({"PixelPaddingValue": 63536}, (62512, 40, -900), (AIR_HU, 40, -900), "62512 HU"),
        ({"PixelPaddingValue": 63536, "RescaleSlope": 0.5}, (30744, 40), (AIR_HU, 40), "30744 HU"),
        (
            {"PixelPaddingValue": 60000, "PixelPaddingRangeLimit": 63536},
            (58976, 62512, 58975),
            (AIR_HU, AIR_HU, 58975),
            "",
        ),
        ({"PixelPaddingValue": 63536, "PixelPaddingRangeLimit": 60000}, (61000, 9), (AIR_HU, 9), "made air"),
        # Signed, though it may be written without its sign: -2000 is air already.
        ({"PixelPaddingValue": 63536, "PixelRepresentation": 1}, (-3024, 40), (-3024, 40), None),
        ({"PixelPaddingValue": -2000, "PixelRepresentation": 1}, (-3024, 40), (-3024, 40), None),
        ({"PixelPaddingValue": 0}, (-1024, 40), (-1024, 40), None),
        # 0 HU may be water: it is not known which, and nothing is changed.
        ({"PixelPaddingValue": 0, "RescaleIntercept": 0}, (0, 40), (0, 40), "tissue may have"),
        ({"PixelPaddingValue": 0, "RescaleIntercept": 0}, (1, 40), (1, 40), None),
        ({}, (62512, 40), (62512, 40), None),
        ({"PixelPaddingRangeLimit": 63536}, (62512, 40), (62512, 40), None),
    ],
)
def test_only_padding_denser_than_any_tissue_becomes_air(about: Any, before: Any, after: Any, says: str | None):
    slices = plane(*before)
    warning = padding_to_air(slices, header(**about))
    assert slices.tolist() == plane(*after).tolist()
    assert (warning is None) == (says is None)
    assert says is None or says in str(warning)


def test_padding_of_a_series_is_said_once(tmp_path: Path):
    stored = stored_values(4).astype(np.uint16) + 1000
    stored[:, 0, 0] = 63536
    write_series(tmp_path, "CT", stored=stored.view(np.int16), PixelPaddingValue=63536, PixelRepresentation=0)
    volume, metadata = read_series(tmp_path, "CT")
    assert (volume.array[0, 0] == AIR_HU).all()
    assert sum("made air" in warning for warning in metadata["warnings"]) == 1


@shows("DICOM: how voxels are stored", "PixelPaddingValue where there is a Modality LUT", "read and said", "the same")
def test_padding_goes_through_the_files_own_table_as_its_voxels_do():
    table = Dataset()
    table.LUTDescriptor, table.ModalityLUTType = [4, 0, 16], "HU"
    table.LUTData = [0, 1000, 2000, 60000]
    air, ends = plane(60000, 1000, 2000), plane(60000, 2000, 1000)
    warning = padding_to_air(air, header(PixelPaddingValue=3, ModalityLUTSequence=[table]))
    assert warning is not None
    assert "60000 HU" in warning
    np.testing.assert_array_equal(air, plane(AIR_HU, 1000, 2000))
    left = padding_to_air(ends, header(PixelPaddingValue=1, PixelPaddingRangeLimit=2, ModalityLUTSequence=[table]))
    assert left is not None
    assert "left as it is" in left or "left as it was" in left
    np.testing.assert_array_equal(ends, plane(60000, 2000, 1000))
