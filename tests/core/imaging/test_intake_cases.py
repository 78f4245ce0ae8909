"""Small inputs with their right answers (`cases/intake` of the shared data), each of which stands for its kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core.errors import InputError, TwinReviewError
from core.imaging.dicom import read_series
from core.imaging.image_files import read_image
from core.types import Modality


@pytest.fixture(scope="module")
def cases(shared_data: Path) -> Path:
    folder = shared_data.parent / "cases" / "intake"
    if not folder.is_dir():
        pytest.skip("needs cases/intake beside the real data")
    return folder


@pytest.mark.parametrize(
    ("case", "modality", "low", "high"),
    [
        ("pet-times-with-colons", "PET", None, 11.69),
        ("pet-philips-activity-factor", "PET", None, 20.45),
        ("no-preamble-with-meta", "CT", -1012, 127),
        ("padding-63536-unsigned", "CT", -1024, 127),
        ("positions-rounded-0.625", "CT", -1012, 127),
        ("modality-lut", "CT", 988, 2127),
        ("copy-of-one-file", "CT", -1012, 127),
        ("dose-report-in-the-series", "CT", -1012, 127),
        ("scout-not-marked", "CT", -1012, 127),
    ],
)
def test_a_series_is_read_as_it_should_be(cases: Path, case: str, modality: Modality, low: float, high: float) -> None:
    volume, _ = read_series(cases / case / "dicom", modality)
    assert volume.array.max() == pytest.approx(high, rel=1e-3)
    if low is not None:
        assert volume.array.min() == pytest.approx(low, rel=1e-3)


@pytest.mark.parametrize(
    ("case", "modality", "says"),
    [
        ("pet-weight-1-kg", "PET", "got 1 kg"),
        ("pet-scan-before-injection", "PET", "10 min before"),
        ("short-pixeldata", "CT", "IM005.dcm"),
        ("end-slice-empty", "CT", r"1 of 12 cannot be read: IM011\.dcm is empty"),
        ("number-of-frames-not-a-number", "CT", "NumberOfFrames"),
    ],
)
def test_a_series_is_refused_in_words(cases: Path, case: str, modality: Modality, says: str) -> None:
    with pytest.raises(TwinReviewError, match=says):
        read_series(cases / case / "dicom", modality)


@pytest.mark.parametrize(
    ("file", "low", "high"),
    [("nifti-vox-offset-0/ct.nii", -1012, 130), ("nrrd-in-centimetres/ct.nrrd", -1012, 130)],
)
def test_an_image_file_is_read_as_it_should_be(cases: Path, file: str, low: float, high: float) -> None:
    image = read_image(cases / file)
    assert (float(image.array.min()), float(image.array.max())) == (low, high)
    assert np.allclose(image.grid.spacing_mm, (1.0, 1.0, 3.0))


def test_layers_of_a_segmentation_are_no_scan(cases: Path) -> None:
    with pytest.raises(InputError, match="expected one real number a voxel"):
        read_image(cases / "seg-nrrd-layers" / "two.seg.nrrd")
