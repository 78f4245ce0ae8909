"""UIDs of a series: in the order of the volume, apart from the metadata, and nothing that is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom import Dataset
from pydicom.uid import generate_uid

from core.errors import InputError
from core.imaging import reading_apart
from core.imaging.identifiers import identifiers_of
from core.jobs.pipeline import import_scan
from core.remembered.identifiers import ScanIdentifiers, SliceIdentifiers
from store import Store
from tests.dicom_phantom import write_series

CT = "1.2.840.10008.5.1.4.1.1.2"


def _header(**values: str) -> Dataset:
    header = Dataset()
    uids = {"StudyInstanceUID": "1.2.1", "SeriesInstanceUID": "1.2.2", "SOPInstanceUID": "1.2.3", "SOPClassUID": CT}
    for keyword, value in {**uids, **values}.items():
        setattr(header, keyword, value)
    return header


def test_a_scan_that_is_read_brings_the_uids_of_its_slices_in_the_volume_s_order(tmp_path: Path) -> None:
    frame = generate_uid()
    paths = write_series(tmp_path / "ct", positions=[(0, 0, z) for z in (9, 3, 6, 0)], FrameOfReferenceUID=frame)
    by_z = {float(ds.ImagePositionPatient[2]): ds for ds in map(pydicom.dcmread, paths)}
    (tmp_path / "scratch").mkdir()
    read = reading_apart.read_scan([tmp_path / "ct"], "CT", "", tmp_path / "scratch")
    assert read.identifiers == ScanIdentifiers(
        str(by_z[0].StudyInstanceUID),
        str(by_z[0].SeriesInstanceUID),
        frame,
        tuple(SliceIdentifiers(CT, str(by_z[z].SOPInstanceUID)) for z in (0, 3, 6, 9)),
    )
    assert np.array_equal(read.volume.array[..., 0].T, by_z[0].pixel_array)
    assert "identifiers" not in read.metadata
    assert str(by_z[0].SeriesInstanceUID) not in str(read.metadata)


def test_uids_do_not_leave_the_reader_where_dates_are_shifted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWIN_DATES", "shift")
    write_series(tmp_path / "ct")
    (tmp_path / "scratch").mkdir()
    assert reading_apart.read_scan([tmp_path / "ct"], "CT", "", tmp_path / "scratch").identifiers is None


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"])
@pytest.mark.parametrize("value", ["", "DOE^JANE", "1.2.x", "1..2", "1.02", "1." * 32 + "1", "1"])
def test_what_is_no_uid_is_not_kept_as_one(keyword: str, value: str) -> None:
    assert identifiers_of([_header(**{keyword: value})]) is None


def test_class_and_frame_of_reference_may_be_missing_and_free_text_is_missing() -> None:
    found = identifiers_of([_header(SOPClassUID="DOE^JANE", FrameOfReferenceUID="DOE^JANE")])
    assert found == ScanIdentifiers("1.2.1", "1.2.2", "", (SliceIdentifiers("", "1.2.3"),))


def test_slices_of_several_studies_have_none_and_several_frames_of_reference_are_none() -> None:
    assert identifiers_of([_header(), _header(StudyInstanceUID="1.2.9")]) is None
    found = identifiers_of([_header(FrameOfReferenceUID="1.2.7"), _header(FrameOfReferenceUID="1.2.8")])
    assert found is not None
    assert found.frame_of_reference_uid == ""


def test_frames_of_one_file_are_numbered_and_survive_json() -> None:
    found = identifiers_of([_header(), _header()], frames=[2, 1])
    assert found is not None
    assert found.slices == (SliceIdentifiers(CT, "1.2.3", 2), SliceIdentifiers(CT, "1.2.3", 1))
    assert ScanIdentifiers.from_json(found.to_json()) == found


def test_uids_follow_a_volume_whose_axes_are_turned(tmp_path: Path, store: Store) -> None:
    # slices from right to left, rows to posterior, columns to the feet; stored, i runs to the left and k to the head
    positions = [(-5.0 + 3.0 * n, 0.0, 0.0) for n in range(4)]
    paths = write_series(tmp_path / "mr", "MR", positions=positions, orientation=(0, 1, 0, 0, 0, -1))
    scan = import_scan(
        store, [tmp_path / "mr"], dataset="d", patient_id="P1", timepoint="2024-03-05", modality="MR", person="demo"
    )
    found = store.scans.identifiers(scan)
    assert found is not None
    assert found.axis == 0
    assert len(found.slices) == scan.shape[0]
    array, by_uid = store.scans.load(scan).array, {str(ds.SOPInstanceUID): ds for ds in map(pydicom.dcmread, paths)}
    for i, one in enumerate(found.slices):
        assert sorted(array[i].ravel().tolist()) == sorted(by_uid[one.sop_instance_uid].pixel_array.ravel().tolist())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("study_instance_uid", "x"),
        ("slices", [["1.2", "1.2.3"]]),
        ("slices", [["1.2", "DOE", None]]),
        ("slices", None),
        ("axis", 3),
    ],
)
def test_an_answer_that_holds_something_else_is_a_sentence(key: str, value: object) -> None:
    uids = identifiers_of([_header()])
    assert uids is not None
    with pytest.raises(InputError, match="Expected UIDs"):
        reading_apart._identifiers({"identifiers": {**uids.to_json(), key: value}})
