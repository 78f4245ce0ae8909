"""A study comes in as one change: its scans and masks, on its day, of one patient; or nothing does."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import InputError, TwinReviewError
from core.imaging.image_files import read_image
from core.imaging.study.apart import preview
from core.imaging.volumes import read_label_map, resample
from core.jobs.pipeline import import_scan
from core.jobs.study_import import Taken, import_study, taken_of
from core.lesions.metrics import dice
from store import Store
from tests.dicom_phantom import activity_tags, write_series


def _study(store: Store, *paths: Path, taken: list[Taken] | None = None, **details: Any) -> Any:
    if taken is None:
        with store.scratch() as scratch:
            found, _ = preview(paths, scratch)
        taken = taken_of(found)
    values = {"dataset": "clinic", "patient_id": "P1", "person": "demo", **details}
    return import_study(store, paths, taken, **values)


def test_a_real_study_comes_in_whole_from_a_zip(store: Store, shared_data: Path, tmp_path: Path):
    source = shared_data / "dicom" / "STS_008"
    whole = shutil.make_archive(str(tmp_path / "study"), "zip", source.parent, source.name)
    stored = _study(store, Path(whole))
    assert [(scan.scan_id, scan.timepoint) for scan in stored.scans] == [("CT", "2001-09-02"), ("PET", "2001-09-02")]
    (record,) = stored.masks
    given = read_label_map(shared_data / "sts" / "STS_008" / "CT_mask.nii.gz")
    drawn = store.masks.load(record)
    assert drawn.grid.matches(store.scans.reference_grid("P1", "2001-09-02"))
    there = resample(given.array, given.grid, drawn.grid, "nearest")
    assert dice(drawn.array > 0, there > 0) >= 0.97
    for scan in stored.scans:
        image = read_image(shared_data / "sts" / "STS_008" / f"{scan.scan_id}_image.nii.gz")
        volume = store.scans.load(scan)
        assert volume.grid.shape == image.grid.shape
        assert np.allclose(volume.grid.affine, image.grid.affine, atol=1e-2)
        again = resample(image.array, image.grid, volume.grid)
        assert np.allclose(volume.array, again, rtol=5e-3, atol=1e-2 if scan.scan_id == "PET" else 1.0)
    (prompt,) = record.prompts
    assert (prompt["type"], prompt["kind"], prompt["segments"][0]["name"]) == ("import", "RTSTRUCT", "GTV_Mass_CT")
    assert [entry["action"] for entry in store.audit_log(1)] == ["study.added"]
    assert store.verify() == []


def test_the_day_is_the_files_and_another_one_needs_a_reason(store: Store, tmp_path: Path):
    write_series(tmp_path / "ct", "CT")
    with pytest.raises(InputError, match=r"2024-03-05 \(StudyDate\), you say 2025-09-30"):
        _study(store, tmp_path / "ct", timepoint="2025-09-30")
    with pytest.raises(InputError, match="in the future"):
        _study(store, tmp_path / "ct", timepoint="2999-01-01", date_differs="typed")
    assert store.patients.all() == []
    stored = _study(store, tmp_path / "ct", timepoint="2025-09-30", date_differs="dates were shifted")
    (scan,) = stored.scans
    assert (scan.timepoint, scan.metadata["date_differs"]) == ("2025-09-30", "dates were shifted")
    assert "2024" not in str(scan.metadata)


def test_no_scan_is_older_than_its_patient(store: Store, tmp_path: Path):
    write_series(tmp_path / "ct", "CT", PatientBirthDate="20300101")
    with pytest.raises(InputError, match=r"year of birth that the files say \(2030\)"):
        _study(store, tmp_path / "ct")
    with pytest.raises(InputError, match="year of birth"):
        import_scan(store, [tmp_path / "ct"], dataset="d", patient_id="P1", person="demo")
    assert store.patients.all() == []


def test_where_the_file_says_no_day_none_is_assumed(store: Store, tmp_path: Path):
    write_series(tmp_path / "ct", "CT", StudyDate="", SeriesDate="", AcquisitionDate="")
    with pytest.raises(InputError, match="the file does not say it, and it was not given"):
        _study(store, tmp_path / "ct")
    with pytest.raises(InputError, match="the file does not say it, and it was not given"):
        import_scan(store, [tmp_path / "ct"], dataset="d", patient_id="P2", person="demo")
    assert store.patients.all() == []
    assert _study(store, tmp_path / "ct", timepoint="2024-05-06").scans[0].timepoint == "2024-05-06"


def test_patients_and_days_are_never_mixed(store: Store, tmp_path: Path):
    write_series(tmp_path / "a", "CT", PatientID="A", uid="1.2.1")
    write_series(tmp_path / "b", "CT", PatientID="B", uid="1.2.2", slopes=[2] * 4)
    write_series(tmp_path / "c", "PT", PatientID="A", uid="1.2.3", StudyDate="20240901", **activity_tags())
    for first, second in (("1.2.1", "1.2.2"), ("1.2.1", "1.2.3")):
        with pytest.raises(InputError, match="one patient and one day"):
            _study(store, tmp_path, taken=[Taken(first), Taken(second)])
    assert store.patients.all() == []
    assert len(_study(store, tmp_path, taken=[Taken("1.2.3")]).scans) == 1


def test_one_series_is_named_where_there_are_several_and_the_refusal_lists_them(store: Store, tmp_path: Path):
    write_series(tmp_path / "thin", "CT", uid="1.2.1")
    write_series(tmp_path / "thick", "CT", uid="1.2.2", slopes=[2] * 4)
    details: Any = {"dataset": "d", "patient_id": "P1", "person": "demo"}
    with pytest.raises(InputError, match=r"--series 1\.2\.\d.*--series 1\.2\.\d"):
        import_scan(store, [tmp_path], **details)
    with pytest.raises(InputError, match=r"the series 9\.9"):
        import_scan(store, [tmp_path], series_uid="9.9", **details)
    assert import_scan(store, [tmp_path], series_uid="1.2.2", **details).timepoint == "2024-03-05"
    with pytest.raises(InputError, match="the file says that it is CT"):
        import_scan(store, [tmp_path], series_uid="1.2.1", modality="PET", **details)


def test_a_series_with_a_broken_file_beside_it_needs_a_person_s_word(store: Store, tmp_path: Path):
    for number, path in enumerate(write_series(tmp_path / "ct", "CT", uid="1.2.1")):
        path.rename(path.with_name(f"IM{number}"))
    (tmp_path / "ct" / "IM4").write_text("<html>not found</html>")
    with pytest.raises(TwinReviewError, match="cannot be read"):
        _study(store, tmp_path / "ct", taken=[Taken("1.2.1")])
    with pytest.raises(TwinReviewError, match="cannot be read"):
        import_scan(store, [tmp_path / "ct"], dataset="d", patient_id="P1", person="demo")
    assert store.patients.all() == []
    (scan,) = _study(store, tmp_path / "ct", taken=[Taken("1.2.1", without_broken=True)]).scans
    assert scan.shape[2] == 4
    assert any("without" in text or "left out" in text for text in scan.metadata["warnings"])


def test_masks_alone_are_no_study(store: Store, shared_data: Path):
    folder = shared_data / "dicom" / "STS_008" / "CT" / "mask"
    with store.scratch() as scratch:
        found, _ = preview([folder], scratch)
    ((_, _, series),) = found.series()
    with pytest.raises(InputError, match="masks alone"):
        _study(store, folder, taken=[Taken(series.key, "mask")])
    assert store.patients.all() == []


def test_a_mask_that_cannot_be_placed_keeps_its_scan_out_too(store: Store, tmp_path: Path, shared_data: Path):
    write_series(tmp_path / "ct", "CT", uid="1.2.1")
    mask = tmp_path / "mask.nii.gz"
    shutil.copy(shared_data / "sts" / "STS_008" / "CT_mask.nii.gz", mask)
    with pytest.raises(TwinReviewError):
        _study(store, tmp_path, taken=[Taken("1.2.1"), Taken("mask.nii.gz", "mask")])
    assert store.patients.all() == []
    assert store.verify() == []


def test_nothing_of_a_zip_stays_and_its_names_come_back_in_sentences(store: Store, tmp_path: Path):
    write_series(tmp_path / "ct", "CT")
    with zipfile.ZipFile(tmp_path / "study.zip", "w") as archive:
        for number, path in enumerate(sorted((tmp_path / "ct").iterdir())):
            data = path.read_bytes()
            archive.writestr(f"IM{number:03d}", data[:-40] if number == 2 else data)
    with store.scratch() as scratch:
        found, _ = preview([tmp_path / "study.zip"], scratch)
    ((_, _, series),) = found.series()
    assert "IM002" in str(series.why_not)
    assert list((store.root / "incoming").iterdir()) == []
