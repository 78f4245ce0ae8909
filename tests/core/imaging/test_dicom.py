"""DICOM series: voxels, geometry, SUV and metadata, on written phantoms and on a real CT and PET."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom import Dataset
from pydicom.uid import UID, generate_uid

from core.errors import GeometryError, InputError
from core.imaging.dicom import read_files, read_series
from core.imaging.open_scan import open_scan
from core.imaging.volumes import content_sha256, from_sitk, orientation, read_volume
from tests.core.imaging.outcomes import shows
from tests.dicom_phantom import SECRETS, activity_tags, stored_values, write_rtstruct, write_series


@shows("DICOM: files and series", "files in any order", "read", "in the order of their positions")
def test_slices_are_ordered_by_position_and_indexed_column_row_slice(tmp_path: Path) -> None:
    stored = stored_values(5)
    write_series(tmp_path, stored=stored)
    volume, metadata = read_series(tmp_path, "CT")
    assert volume.grid.shape == (5, 6, 5)
    np.testing.assert_array_equal(volume.array, stored.transpose(2, 1, 0))
    # column 3, row 2, slice 4 in LPS: (10 + 3 x 0.7, 20 + 2 x 0.8, -30 + 4 x 2.5); RAS turns the first two over
    np.testing.assert_allclose(volume.grid.to_mm(np.array([[3, 2, 4]])), [[-12.1, -21.6, -20.0]], atol=1e-9)
    assert orientation(volume.grid) == "LPS"
    assert metadata["study_date"] == "2024-03-05"
    assert metadata["slice_thickness_mm"] == 2.5


@shows("DICOM: files and series", "sagittal, coronal, oblique", "read")
def test_sagittal_series_keeps_its_own_axes(tmp_path: Path) -> None:
    # rows run to posterior, columns to the feet: the normal (0,1,0) x (0,0,-1) = (-1,0,0) points to the right
    positions = [(5.0 - 3.0 * n, 0.0, 0.0) for n in range(4)]
    write_series(tmp_path, "MR", positions=positions, orientation=(0, 1, 0, 0, 0, -1))
    volume, metadata = read_series(tmp_path, "MR", sequence="T1")
    assert orientation(volume.grid) == "PIR"
    assert volume.channel == "MR T1"
    assert volume.grid.spacing_mm == pytest.approx((0.7, 0.8, 3.0))
    assert metadata["units"] == "a.u."


def test_geometry_agrees_with_the_series_reader_of_itk(tmp_path: Path) -> None:
    tilt = np.deg2rad(20.0)
    row, column = np.array([1.0, 0.0, 0.0]), np.array([0.0, np.cos(tilt), np.sin(tilt)])
    normal = np.cross(row, column)
    write_series(tmp_path, positions=np.arange(4)[:, None] * 2.5 * normal + 7, orientation=(*row, *column))
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path)))
    array, grid = from_sitk(reader.Execute())
    volume, _ = read_series(tmp_path, "CT")
    np.testing.assert_allclose(volume.grid.affine, grid.affine, atol=1e-6)
    np.testing.assert_array_equal(volume.array, array)


def test_positions_rounded_to_a_tenth_are_still_even(tmp_path: Path) -> None:
    write_series(tmp_path, positions=[(0, 0, z) for z in (0.0, 1.3, 2.5, 3.8)])  # 1.25 mm, written to 0.1 mm
    assert read_series(tmp_path, "CT")[0].grid.spacing_mm[2] == pytest.approx(3.8 / 3)


@shows("DICOM: files and series", "thin slices whose positions are written to 0.1 mm", "read")
@pytest.mark.parametrize("step", [0.5, 0.625, 1.25, 2.35, 3.0])
@pytest.mark.parametrize("first", [0.0, 5.03])
def test_steps_are_known_though_positions_were_rounded(tmp_path: Path, step: float, first: float) -> None:
    write_series(tmp_path, positions=[(0, 0, round(first + n * step, 1)) for n in range(12)], stored=stored_values(12))
    assert read_series(tmp_path, "CT")[0].grid.spacing_mm[2] == pytest.approx(step, abs=0.1 / 11)


@shows("DICOM: files and series", "unevenly spaced slices", "refused", "with the steps")
def test_a_slice_that_lies_out_of_its_place_is_no_rounding(tmp_path: Path) -> None:
    heights = [0.0, 0.6, 1.3, 1.7, 2.5, 3.1]  # the fourth lies .2 mm off
    write_series(tmp_path, positions=[(0, 0, z) for z in heights], stored=stored_values(6))
    with pytest.raises(GeometryError, match="evenly spaced"):
        read_series(tmp_path, "CT")


@shows("DICOM: files and series", "0 bytes or a web page in a file called like a slice", "refused", "with its name")
@pytest.mark.parametrize("content", [b"", b"<html><body>404</body></html>", b"\0" * 500])
@pytest.mark.parametrize("file", ["3-CT-007.dcm", "other.dcm", "IM000099"])
def test_a_file_called_like_a_slice_that_is_none_is_named(tmp_path: Path, file: str, content: bytes) -> None:
    for n, path in enumerate(write_series(tmp_path)):
        if file == "IM000099":
            path.rename(tmp_path / f"IM{n:06d}")
    (tmp_path / file).write_bytes(content)
    with pytest.raises(InputError, match=f"1 of 5 cannot be read: {file} is {'not DICOM' if content else 'empty'}"):
        read_series(tmp_path, "CT")


@shows("DICOM: files and series", "other files beside a series", "read", "passed over")
def test_other_files_beside_a_series_are_passed_over(tmp_path: Path) -> None:
    write_series(tmp_path)
    for name in ("readme.txt", "VERSION", "report1.pdf"):
        (tmp_path / name).write_bytes(b"")
    for path in sorted(tmp_path.glob("*.dcm")):
        (tmp_path / f"._{path.name}").write_bytes(b"Mac OS X")
    assert read_files(sorted(tmp_path.iterdir()), "CT", "uploaded")[0].grid.shape[2] == 4


@shows("DICOM: files and series", "no preamble, with or without meta information", "read")
@pytest.mark.parametrize("uid", ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2"])
def test_a_series_without_preamble_is_read_by_its_own_transfer_syntax(tmp_path: Path, uid: str) -> None:
    expected = stored_values(4)
    for path in write_series(tmp_path, stored=expected):
        ds = pydicom.dcmread(path)
        ds.file_meta.TransferSyntaxUID = UID(uid)
        ds.save_as(path, implicit_vr=uid.endswith("1.2"), little_endian=True, enforce_file_format=True)
        path.write_bytes(path.read_bytes()[132:])
    np.testing.assert_array_equal(read_series(tmp_path, "CT")[0].array, expected.transpose(2, 1, 0))


@shows("DICOM: how voxels are stored", "a slope of its own in each slice", "read")
def test_every_slice_has_its_own_rescale_slope(tmp_path: Path) -> None:
    stored = stored_values(4) + 1100
    slopes = (0.5, 0.25, 2.0, 0.125)
    write_series(tmp_path, "PT", stored=stored, slopes=slopes, Units="GML")
    expected = (stored * np.array(slopes)[:, None, None]).transpose(2, 1, 0)
    np.testing.assert_allclose(read_series(tmp_path, "PET")[0].array, expected, rtol=1e-6)


@shows(
    "PET to SUV",
    "BQML and GML; decay corrected to START or ADMIN",
    "read",
    "the factor is stored with what it is computed from",
)
@pytest.mark.parametrize(
    ("changes", "factor"),
    [
        # 70,000 g / (350 MBq x 2^(-3600 / 6586.2)); at the time of injection the dose is whole
        ({}, 70e3 / (350e6 * 2 ** (-3600 / 6586.2))),
        ({"DecayCorrection": "ADMIN"}, 2e-4),
        ({"RadiopharmaceuticalStartDateTime": "20240305113000.00"}, 70e3 / (350e6 * 2 ** (-1800 / 6586.2))),
        ({"Units": "GML"}, 1.0),
    ],
)
def test_pet_becomes_suv_by_body_weight(tmp_path: Path, changes: dict[str, object], factor: float) -> None:
    stored = stored_values(4) + 5000
    write_series(tmp_path, "PT", stored=stored, **activity_tags(**changes))
    volume, metadata = read_series(tmp_path, "PET")
    np.testing.assert_allclose(volume.array, stored.transpose(2, 1, 0) * factor, rtol=1e-6)
    assert metadata["tracer"] == "FDG"
    assert metadata["units"] == "SUV"


@shows("PET to SUV", "a series dated after its acquisition", "read and said", "corrected to the acquisition")
def test_a_reprocessed_pet_is_corrected_to_its_acquisition_and_says_so(tmp_path: Path) -> None:
    stored = stored_values(4) + 5000
    write_series(tmp_path, "PT", stored=stored, **activity_tags(), SeriesTime="180000")
    volume, metadata = read_series(tmp_path, "PET")
    np.testing.assert_allclose(
        volume.array, stored.transpose(2, 1, 0) * 70e3 / (350e6 * 2 ** (-3600 / 6586.2)), rtol=1e-6
    )
    assert any("dated after its acquisition" in warning for warning in metadata["warnings"])


def test_philips_counts_use_the_factor_of_philips(tmp_path: Path) -> None:
    def philips(ds: Dataset, n: int) -> None:
        ds.private_block(0x7053, "Philips PET Private Group", create=True).add_new(0x00, "DS", "0.001")

    stored = stored_values(4) + 5000
    write_series(tmp_path, "PT", stored=stored, Units="CNTS", edit=philips)
    np.testing.assert_allclose(read_series(tmp_path, "PET")[0].array, stored.transpose(2, 1, 0) * 1e-3, rtol=1e-6)


@shows(
    "DICOM: files and series", "other modalities, marked localizers, RTSTRUCT beside the series", "read", "passed over"
)
def test_the_asked_modality_is_picked_from_a_whole_study(tmp_path: Path) -> None:
    write_series(tmp_path / "a", "CT")
    write_series(tmp_path / "b", "PT", stored=stored_values(3) + 1000, Units="GML")
    write_series(tmp_path / "scout", "CT", stored=stored_values(2), ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    write_rtstruct(tmp_path / "c")
    (tmp_path / "notes.txt").write_text("not DICOM")
    assert read_series(tmp_path, "CT")[0].grid.shape[2] == 4
    assert read_series(tmp_path, "PET")[0].grid.shape[2] == 3


def test_a_named_series_is_read_from_several(tmp_path: Path) -> None:
    chosen = generate_uid()
    write_series(tmp_path, "CT")
    write_series(tmp_path, "CT", stored=stored_values(3), uid=chosen)
    assert read_series(tmp_path, "CT", series_uid=chosen)[0].grid.shape[2] == 3
    with pytest.raises(InputError, match="that was chosen"):
        read_series(tmp_path, "CT", series_uid="1.2.3")


def test_metadata_is_plain_json_and_names_nobody(tmp_path: Path) -> None:
    write_series(tmp_path, "CT", KVP=120, ConvolutionKernel="B30f")
    metadata = read_series(tmp_path, "CT")[1]
    assert json.dumps(metadata.pop("identifiers"))  # apart from all else: tests/core/imaging/test_identifiers.py
    text = json.dumps(metadata)
    assert metadata["kvp"] == 120.0
    assert metadata["manufacturer"] == "ACME"
    assert not [secret for secret in SECRETS if secret in text]
    for path in tmp_path.iterdir():
        ds = pydicom.dcmread(path)
        assert not [uid for uid in (ds.SeriesInstanceUID, ds.StudyInstanceUID, ds.SOPInstanceUID) if uid in text]


@pytest.mark.parametrize("how", ["folder", "files", "zip"])
def test_a_series_is_the_same_as_folder_files_or_zip(tmp_path: Path, how: str) -> None:
    files = write_series(tmp_path / "series")
    expected = content_sha256(read_series(tmp_path / "series", "CT")[0])
    if how == "zip":
        with zipfile.ZipFile(tmp_path / "series.zip", "w") as archive:
            archive.writestr("__MACOSX/series/._a.dcm", b"\0\5\26\7")
            for number, path in enumerate(files):
                archive.write(path, f"series/IM{number}")  # scanners write no suffix
    given = {"folder": [tmp_path / "series"], "files": files, "zip": [tmp_path / "series.zip"]}[how]
    volume, metadata = open_scan(given, "CT", scratch=tmp_path)
    assert content_sha256(volume) == expected
    assert metadata["format"] == "DICOM"


def test_compressed_slices_are_read(tmp_path: Path) -> None:
    stored = stored_values(4, 64, 63)
    for path in write_series(tmp_path, stored=stored):
        ds = pydicom.dcmread(path)
        ds.compress("1.2.840.10008.1.2.5")  # RLE lossless
        ds.save_as(path)
    np.testing.assert_array_equal(read_series(tmp_path, "CT")[0].array, stored.transpose(2, 1, 0))


@pytest.mark.parametrize(
    ("modality", "unit", "voxel_tolerance"),
    [("CT", "HU", 0.0), ("PET", "SUV", 1e-6)],  # measured: CT identical; PET 4.8e-7 SUV; corners within 2e-5 mm
)
def test_real_series_is_the_published_nifti(
    shared_data: Path, modality: str, unit: str, voxel_tolerance: float
) -> None:
    volume, metadata = read_series(shared_data / "dicom/STS_008" / modality, modality)  # type: ignore[arg-type]
    nifti = read_volume(shared_data / f"sts/STS_008/{modality}_image.nii.gz", modality)  # type: ignore[arg-type]
    assert volume.grid.matches(nifti.grid, tolerance_mm=1e-3)
    assert np.abs(volume.array - nifti.array).max() <= voxel_tolerance
    assert metadata["units"] == unit
    assert metadata["study_date"] == "2001-09-02"
    assert metadata["warnings"] == []
    assert (content_sha256(volume) == content_sha256(nifti)) == (modality == "CT")  # PET differs in the last bits


def test_real_pet_as_activity_is_the_same_suv(shared_data: Path, tmp_path: Path) -> None:
    """The real series, its slopes divided by the SUV factor of its own headers and declared Bq/mL."""
    source = sorted((shared_data / "dicom/STS_008/PET/image").glob("*.dcm"))
    factor = 55e3 / 3.86818624e8  # weight and dose of the headers, decay-corrected to administration
    files = []
    for path in source:
        ds = pydicom.dcmread(path)
        ds.Units, ds.RescaleSlope = "BQML", f"{float(ds.RescaleSlope) / factor:.10g}"
        files.append(tmp_path / path.name)
        ds.save_as(files[-1])
    suv = read_series(shared_data / "dicom/STS_008/PET", "PET")[0]
    np.testing.assert_allclose(read_files(files, "PET", "pet")[0].array, suv.array, rtol=1e-6)


@shows("DICOM: files and series", "a slice is missing", "refused", "with the place of the gap")
def test_real_series_with_a_slice_lost_is_refused(shared_data: Path, tmp_path: Path) -> None:
    shutil.copytree(shared_data / "dicom/STS_008/CT/image", tmp_path / "ct")
    (tmp_path / "ct/000020.dcm").unlink()
    with pytest.raises(InputError, match=r"gap of 6\.54 mm after slice 20 of 50 \(about 1 missing\)"):
        read_series(tmp_path / "ct", "CT")
