"""What lies in a series beside its slices is passed over and said; what might be a slice is not."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom import Dataset
from pydicom.uid import UID, generate_uid

from core.errors import GeometryError, InputError
from core.imaging.dicom import read_series
from tests.core.imaging.outcomes import shows
from tests.dicom_phantom import stored_values, write_series

CORONAL = (1, 0, 0, 0, 0, -1)


def said(folder: Path, shape: tuple[int, ...] = (5, 6, 4)) -> list[str]:
    volume, metadata = read_series(folder, "CT")
    assert volume.array.shape == shape
    return [warning for warning in metadata["warnings"] if "passed over" in warning]


def capture(ds: Dataset, n: int) -> None:
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = UID("1.2.840.10008.5.1.4.1.1.7")
    del ds.ImagePositionPatient, ds.ImageOrientationPatient, ds.PixelSpacing


@shows(
    "DICOM: files and series",
    "secondary captures in a series",
    "read and said",
    "passed over; a series of nothing else is refused",
)
def test_pages_of_text_in_a_series_are_passed_over_whatever_their_number_and_size(tmp_path: Path):
    uid = generate_uid()
    write_series(tmp_path, uid=uid)
    write_series(tmp_path / "Mary Smith", uid=uid, stored=stored_values(5, 9, 9), edit=capture)
    (warning,) = said(tmp_path)
    assert warning == "5 images of the series were passed over: a picture or report, no slice (secondary capture)."


def test_a_series_of_nothing_but_screenshots_is_none(tmp_path: Path):
    write_series(tmp_path, edit=capture)
    with pytest.raises(GeometryError, match="not screenshots"):
        read_series(tmp_path, "CT")


@shows("DICOM: files and series", "one or two scouts that do not say so", "read and said", "passed over")
@pytest.mark.parametrize("scouts", [1, 2])
def test_scouts_that_do_not_say_so_are_passed_over(tmp_path: Path, scouts: int):
    uid = generate_uid()
    write_series(tmp_path, uid=uid)
    write_series(tmp_path, uid=uid, stored=stored_values(scouts, 9, 9), orientation=CORONAL)
    (warning,) = said(tmp_path)
    assert "probably a scout" in warning


@pytest.mark.parametrize("turned", [0.0004, 0.02, 0.3])
def test_a_slice_that_is_turned_a_little_is_never_passed_over(tmp_path: Path, turned: float):
    """Its cosines may round to others than its neighbours'; without it the volume would lack its end."""

    def tilt(ds: Dataset, n: int) -> None:
        angle = 0.0049 + (turned if n == 3 else 0.0)
        c, s = round(float(np.cos(angle)), 6), round(float(np.sin(angle)), 6)
        ds.ImageOrientationPatient = [c, s, 0, -s, c, 0]

    write_series(tmp_path, edit=tilt)
    if turned < 1e-3:
        assert said(tmp_path) == []
    else:
        with pytest.raises(GeometryError, match="one orientation"):
            read_series(tmp_path, "CT")


@shows("DICOM: files and series", "mixed orientations", "refused")
def test_a_plane_of_its_own_is_no_scout(tmp_path: Path):
    uid = generate_uid()
    write_series(tmp_path, uid=uid)
    write_series(tmp_path, uid=uid, stored=stored_values(3), orientation=CORONAL)
    with pytest.raises(GeometryError, match="one orientation"):
        read_series(tmp_path, "CT")


def test_of_two_images_none_is_the_scout(tmp_path: Path):
    uid = generate_uid()
    write_series(tmp_path, uid=uid, stored=stored_values(1))
    write_series(tmp_path, uid=uid, stored=stored_values(1), orientation=CORONAL)
    with pytest.raises(GeometryError):
        read_series(tmp_path, "CT")


@shows(
    "DICOM: files and series",
    "a slice twice",
    "read and said",
    "a copy bit for bit is passed over, another image in its place is refused",
)
def test_a_copy_is_passed_over_and_another_slice_in_the_same_place_is_not(tmp_path: Path):
    paths = write_series(tmp_path)
    for n, path in enumerate(paths[:3]):
        shutil.copy(path, tmp_path / f"copy{n}.dcm")
    (warning,) = said(tmp_path)
    assert warning == "3 images of the series were passed over: a copy of another, bit for bit."
    ds = pydicom.dcmread(paths[0])
    ds.PixelData = np.ones((6, 5), "<i2").tobytes()
    ds.save_as(tmp_path / "other.dcm")
    with pytest.raises(InputError, match="1 duplicated"):
        read_series(tmp_path, "CT")


@shows("DICOM: how voxels are stored", "Modality LUT Sequence", "read", "refused where it is damaged")
@pytest.mark.parametrize("broken", ["", "no values", "another number of values", "no descriptor's bits"])
def test_values_go_through_the_files_own_table_or_are_refused(tmp_path: Path, broken: str):
    values = np.array([0, 500, 1000, 3000], "<u2")

    def table(ds: Dataset, n: int) -> None:
        lut = Dataset()
        lut.LUTDescriptor = [4, 0] if broken == "no descriptor's bits" else [4, 0, 16]
        lut.ModalityLUTType = "HU"
        if broken != "no values":
            lut.LUTData = (values[:2] if broken else values).tobytes()
        ds.ModalityLUTSequence = [lut]
        del ds.RescaleSlope, ds.RescaleIntercept
        ds.PixelRepresentation = 0

    stored = np.arange(4 * 6 * 5, dtype=np.int16).reshape(4, 6, 5) % 4
    write_series(tmp_path, stored=stored, edit=table)
    if broken:
        with pytest.raises(InputError, match=r"\(0028,3000\).*cannot be read"):
            read_series(tmp_path, "CT")
    else:
        assert np.array_equal(read_series(tmp_path, "CT")[0].array, values[stored.transpose(2, 1, 0)])
