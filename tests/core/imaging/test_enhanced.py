"""Multi-frame CT, MR and PET: the same volume as one file a slice, or refused by what there is several of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom import Dataset
from pydicom.uid import UID

from core.errors import GeometryError, InputError
from core.imaging.dicom import read_series
from tests.core.imaging.outcomes import shows
from tests.dicom_enhanced import LEGACY_CT, item, write_enhanced
from tests.dicom_phantom import activity_tags, stored_values, write_series

ORDER = (3, 0, 4, 1, 2)


@shows("DICOM: files and series", "enhanced multi-frame CT and MR", "read")
@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_frames_are_the_slices_of_a_series_in_any_order_each_with_its_own_scale(tmp_path: Path, modality: str):
    stored, slopes = stored_values(5), (1, 2, 0.5, 4, 0.25)
    write_series(tmp_path / "classic", modality, stored=stored, slopes=slopes)
    write_enhanced(
        tmp_path / "enhanced",
        stored[list(ORDER)],
        modality,
        positions=[(10.0, 20.0, -30.0 + 2.5 * n) for n in ORDER],
        slopes=[slopes[n] for n in ORDER],
    )
    classic, _ = read_series(tmp_path / "classic", modality)  # type: ignore[arg-type]
    enhanced, metadata = read_series(tmp_path / "enhanced", modality)  # type: ignore[arg-type]
    np.testing.assert_array_equal(enhanced.array, classic.array)
    np.testing.assert_array_equal(enhanced.grid.affine, classic.grid.affine)
    assert metadata["slice_thickness_mm"] == 2.5


@shows("DICOM: files and series", "legacy converted enhanced", "read")
def test_what_a_classic_series_said_is_found_in_a_legacy_converted_one(tmp_path: Path):
    def legacy(ds: Dataset) -> None:
        ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = UID(LEGACY_CT)
        ds.SharedFunctionalGroupsSequence[0].UnassignedSharedConvertedAttributesSequence = item(KVP=100)
        for n, groups in enumerate(ds.PerFrameFunctionalGroupsSequence):
            groups.UnassignedPerFrameConvertedAttributesSequence = item(InstanceNumber=n + 1)

    write_enhanced(tmp_path, stored_values(4), edit=legacy)
    volume, metadata = read_series(tmp_path, "CT")
    np.testing.assert_array_equal(volume.array, stored_values(4).transpose(2, 1, 0))
    assert metadata["kvp"] == 100


@shows("PET to SUV", "enhanced PET", "read", "refused where it does not say what SUV takes")
def test_a_pet_becomes_suv_where_it_says_what_that_takes(tmp_path: Path):
    stored = stored_values(4) + 5000
    write_enhanced(tmp_path / "whole", stored, "PT", **activity_tags())
    volume, _ = read_series(tmp_path / "whole", "PET")
    factor = 70e3 / (350e6 * 2 ** (-3600 / 6586.2))
    np.testing.assert_allclose(volume.array, stored.transpose(2, 1, 0) * factor, rtol=1e-6)
    write_enhanced(tmp_path / "bare", stored, "PT")
    with pytest.raises(InputError, match="expected PET in BQML or GML"):
        read_series(tmp_path / "bare", "PET")


def twice(kind: str, keyword: str):
    """Two images in every place, told apart by one word of their groups."""

    def frame(groups: Dataset, n: int) -> None:
        setattr(groups, kind, item(**{keyword: n % 2 + 1}))

    return frame, [(10.0, 20.0, 2.5 * (n // 2)) for n in range(8)]


@shows(
    "DICOM: files and series",
    "several echoes, time points, b-values or phases in one place",
    "refused",
    "with their number",
)
@pytest.mark.parametrize(
    ("kind", "keyword", "says"),
    [
        ("MREchoSequence", "EffectiveEchoTime", r"2 echoes in the same places \('1.0', '2.0'\)"),
        ("FrameContentSequence", "TemporalPositionIndex", "2 time points in the same places"),
        ("MRDiffusionSequence", "DiffusionBValue", "2 b-values in the same places"),
        ("CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime", "2 cardiac phases in the same places"),
    ],
)
def test_several_images_in_one_place_are_refused_by_what_they_differ_in(
    tmp_path: Path, kind: str, keyword: str, says: str
):
    frame, positions = twice(kind, keyword)
    write_enhanced(tmp_path, stored_values(8), "MR", positions=positions, frame=frame)
    with pytest.raises(InputError, match=says):
        read_series(tmp_path, "MR")


@shows("DICOM: files and series", "several stacks in one file", "refused", "with their names")
def test_several_stacks_are_refused_by_name(tmp_path: Path):
    def stack(groups: Dataset, n: int) -> None:
        groups.FrameContentSequence = item(StackID=str(n // 2 + 1))

    write_enhanced(tmp_path, stored_values(4), frame=stack)
    with pytest.raises(GeometryError, match=r"got 2 \(StackID '1', '2'\)"):
        read_series(tmp_path, "CT")


def test_echoes_of_a_classic_series_are_named_too(tmp_path: Path):
    def echo(ds: Dataset, n: int) -> None:
        ds.EchoTime = 5 + 10 * (n % 2)

    write_series(tmp_path, "MR", stored=stored_values(8), positions=[(0, 0, n // 2) for n in range(8)], edit=echo)
    with pytest.raises(InputError, match="2 echoes"):
        read_series(tmp_path, "MR")


@shows("DICOM: files and series", "another number of frames than is described", "refused")
@pytest.mark.parametrize("count", [0, 3, 5, -1, 2**31 - 1])
def test_another_number_of_frames_than_is_described_is_refused(tmp_path: Path, count: int):
    def wrong(ds: Dataset) -> None:
        ds.NumberOfFrames = count

    write_enhanced(tmp_path, stored_values(4), edit=wrong)
    with pytest.raises(InputError, match="frame"):
        read_series(tmp_path, "CT")


def test_frames_that_the_file_does_not_hold_are_refused(tmp_path: Path):
    path = write_enhanced(tmp_path, stored_values(4))
    ds = pydicom.dcmread(path)
    ds.PixelData = ds.PixelData[:-60]
    ds.save_as(path)
    with pytest.raises(InputError, match=f"expected 240 bytes of voxels.*{path.name} holds 180"):
        read_series(tmp_path, "CT")


@pytest.mark.parametrize("missing", ["PlanePositionSequence", "PixelMeasuresSequence", "PlaneOrientationSequence"])
def test_frames_that_do_not_say_where_they_lie_are_refused(tmp_path: Path, missing: str):
    def without(ds: Dataset) -> None:
        for groups in (*ds.SharedFunctionalGroupsSequence, *ds.PerFrameFunctionalGroupsSequence):
            if missing in groups:
                del groups[missing]

    write_enhanced(tmp_path, stored_values(4), edit=without)
    with pytest.raises(GeometryError, match="position, orientation and pixel spacing"):
        read_series(tmp_path, "CT")


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90"])
def test_packed_frames_are_read(tmp_path: Path, syntax: str):
    stored = stored_values(4, 32, 33)
    path = write_enhanced(tmp_path, stored)
    ds = pydicom.dcmread(path)
    ds.compress(syntax, generate_instance_uid=False)
    ds.save_as(path)
    np.testing.assert_array_equal(read_series(tmp_path, "CT")[0].array, stored.transpose(2, 1, 0))


def test_a_copy_of_the_whole_file_is_passed_over(tmp_path: Path):
    path = write_enhanced(tmp_path, stored_values(4))
    (tmp_path / "copy.dcm").write_bytes(path.read_bytes())
    volume, metadata = read_series(tmp_path, "CT")
    assert volume.array.shape[2] == 4
    assert metadata["warnings"][0] == "4 images of the series were passed over: a copy of another, bit for bit."
