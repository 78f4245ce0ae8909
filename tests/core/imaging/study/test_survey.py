"""Files are sorted into patients, days and series, and what they are not is said file by file."""

from __future__ import annotations

import json
import shutil
import zipfile
from dataclasses import asdict
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from core.errors import InputError
from core.imaging.study.apart import each_series, preview_of
from core.imaging.study.examining import MODALITY, WITHOUT_BROKEN, examined
from core.imaging.study.found import Preview, SeriesFound
from core.imaging.study.gathering import gather
from core.imaging.study.survey import survey
from core.imaging.study.ticks import sequence_in, with_ticks
from tests.core.imaging.outcomes import shows
from tests.dicom_phantom import activity_tags, write_rtstruct, write_series


def look(scratch: Path, *paths: Path) -> Preview:
    files = gather(list(paths), scratch)
    found = survey(files)
    every = [file.path for file in files]

    def one(series: SeriesFound) -> SeriesFound:
        return examined(series, every)

    return with_ticks(each_series(found, one))


def kinds(found: Preview) -> list[tuple[str | None, str | None, str | None, str | None, bool]]:
    return [(p.patient, st.date, s.modality, s.becomes, s.ticked) for p, st, s in found.series()]


@pytest.fixture
def disc(tmp_path: Path) -> Path:
    """Two patients; of the first a CT and a PET of one day, a CT of a later one, a contour, a viewer and its index."""
    home = tmp_path / "disc"
    write_series(home / "A/1", "CT", PatientID="A")
    write_series(home / "A/2", "PT", PatientID="A", **activity_tags())
    write_series(home / "A/3", "CT", PatientID="A", StudyDate="20240905")
    write_series(home / "B", "MR", PatientID="B", SeriesDescription="Ax T1 FS +C")
    write_rtstruct(home / "C")
    (home / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM")
    (home / "autorun.inf").write_text("[autorun]")
    (home / "__MACOSX").mkdir()
    (home / "__MACOSX" / "x.dcm").write_bytes(b"")
    (home / ".DS_Store").write_bytes(b"x")
    return home


@shows(
    "Studies, dates and people",
    "several patients or dates in one folder, DICOMDIR, nested folders",
    "read and said",
    "split, never merged",
)
def test_a_disc_is_split_by_patient_and_day_and_what_is_no_image_is_named(disc: Path, tmp_path: Path):
    found = look(tmp_path / "scratch", disc)
    assert sorted(kinds(found), key=str) == sorted(
        [
            ("A", "2024-03-05", "CT", "scan", True),
            ("A", "2024-03-05", "PET", "scan", True),
            ("A", "2024-09-05", "CT", "scan", True),
            ("B", "2024-03-05", "MR", "scan", True),
            (None, None, "RTSTRUCT", None, False),  # without a contour
        ],
        key=str,
    )
    assert [one.label for one in found.refused] == ["autorun.inf"]
    (mr,) = [s for _, _, s in found.series() if s.modality == "MR"]
    assert (mr.sequence, mr.images) == ("T1c", 4)


@shows("Studies, dates and people", "a zip, a zip in a zip, __MACOSX", "read")
@pytest.mark.parametrize("nested", [False, True])
def test_a_zip_and_a_zip_in_a_zip_show_what_the_folder_shows(disc: Path, tmp_path: Path, nested: bool):
    whole = shutil.make_archive(str(tmp_path / "disc"), "zip", disc)
    if nested:
        with zipfile.ZipFile(tmp_path / "outer.zip", "w") as outer:
            outer.write(whole, "inner.zip")
        whole = str(tmp_path / "outer.zip")
    (tmp_path / "scratch").mkdir()
    (tmp_path / "folder").mkdir()
    in_zip, in_folder = look(tmp_path / "scratch", Path(whole)), look(tmp_path / "folder", disc)
    assert sorted(kinds(in_zip), key=str) == sorted(kinds(in_folder), key=str)
    assert [one.label for one in in_zip.refused] == ["inner.zip/autorun.inf" if nested else "autorun.inf"]


def test_a_zip_in_a_zip_in_a_zip_is_refused(tmp_path: Path):
    inside = tmp_path / "a.zip"
    with zipfile.ZipFile(inside, "w") as archive:
        archive.writestr("x.txt", "x")
    for name in ("b.zip", "c.zip"):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.write(inside, inside.name)
        inside = tmp_path / name
    (tmp_path / "scratch").mkdir()
    with pytest.raises(InputError, match="zips in a zip in a zip"):
        gather([inside], tmp_path / "scratch")


@shows("Studies, dates and people", "files without extension", "read")
def test_names_say_nothing_files_without_extension_are_read(tmp_path: Path):
    for number, path in enumerate(write_series(tmp_path / "series", "CT")):
        path.rename(path.with_name(f"1.2.840.99999.{number}"))
    assert kinds(look(tmp_path / "scratch", tmp_path / "series")) == [("MRN-4711", "2024-03-05", "CT", "scan", True)]


def test_a_file_called_like_a_slice_that_is_none_stops_its_series_until_a_person_says_so(tmp_path: Path):
    files = write_series(tmp_path / "series", "CT")
    for number, path in enumerate(files):
        path.rename(path.with_name(f"IM{number}"))
    (tmp_path / "series" / "IM4").write_bytes(b"")
    found = look(tmp_path / "scratch", tmp_path / "series")
    ((_, _, series),) = found.series()
    assert (series.becomes, series.ticked, series.asked) == (None, False, (WITHOUT_BROKEN,))
    assert "1 of 5 files" in (series.why_not or "")
    assert "IM4" in (series.why_not or "")
    assert found.refused[0].why.startswith("It is empty (0 bytes)")


def test_what_cannot_be_stored_says_why_and_the_rest_is_not_held_up(tmp_path: Path):
    write_series(tmp_path / "light", "PT", **activity_tags(PatientWeight=0.07))
    write_series(tmp_path / "good", "CT")
    found = look(tmp_path / "scratch", tmp_path / "light", tmp_path / "good")
    by_kind = {s.modality: s for _, _, s in found.series()}
    assert by_kind["PET"].becomes is None
    assert "0.07 kg" in (by_kind["PET"].why_not or "")
    assert by_kind["CT"].becomes == "scan"


def test_the_factors_of_a_pet_are_told(tmp_path: Path):
    write_series(tmp_path / "pet", "PT", **activity_tags())
    ((_, _, series),) = look(tmp_path / "scratch", tmp_path / "pet").series()
    assert series.facts[0].endswith("70 kg, 350 MBq injected, 1.00 h before the scan")


def test_of_two_ct_of_a_day_the_one_of_thinner_slices_is_ticked(tmp_path: Path):
    write_series(tmp_path / "thick", "CT", positions=[(0, 0, 5.0 * n) for n in range(4)], uid="1.2.5")
    write_series(tmp_path / "thin", "CT", positions=[(0, 0, 1.25 * n) for n in range(4)], uid="1.2.1")
    found = {s.uid: s for _, _, s in look(tmp_path / "scratch", tmp_path).series()}
    assert {uid: one.ticked for uid, one in found.items()} == {"1.2.5": False, "1.2.1": True}
    assert any("thinner" in text for text in found["1.2.5"].warnings)


def test_image_files_are_judged_by_their_values_and_asked_about_where_these_show_nothing(tmp_path: Path):
    generator = np.random.default_rng(0)
    ball = (np.linalg.norm(np.indices((20, 20, 20)) - 10, axis=0) < 5).astype(np.uint8)
    ct = np.where(np.linalg.norm(np.indices((20, 20, 20)) - 10, axis=0) < 9, 40.0, -1000.0)
    for name, array in (
        ("ct", ct + generator.normal(0, 9, ct.shape)),
        ("mask", ball),
        ("mr", generator.integers(0, 900, ct.shape)),
    ):
        nib.save(nib.Nifti1Image(array.astype(np.float32), np.diag([1, 1, 3, 1])), tmp_path / f"{name}.nii.gz")
    found = {s.key: s for _, _, s in look(tmp_path / "scratch", tmp_path).series()}
    assert (found["ct.nii.gz"].modality, found["ct.nii.gz"].asked) == ("CT", ())
    assert (found["mask.nii.gz"].becomes, found["mask.nii.gz"].ticked) == ("mask", False)
    assert (found["mr.nii.gz"].modality, found["mr.nii.gz"].asked) == (None, (MODALITY,))


def test_where_dates_are_shifted_no_day_and_no_description_of_the_files_is_shown(
    disc: Path, tmp_path: Path, monkeypatch
):
    monkeypatch.setenv("TWIN_DATES", "shift")
    found = look(tmp_path / "scratch", disc)
    assert {study.date for patient in found.patients for study in patient.studies} == {None}
    assert {s.about for _, _, s in found.series()} == {""}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Ax T1 FS +C", "T1c"),
        ("t1_mprage_sag_p2_iso", "T1"),
        ("T1 post gad", "T1c"),
        ("AX T2 FLAIR", "FLAIR"),
        ("t2_tse_tra", "T2"),
        ("ep2d_diff_b1000_ADC", "ADC"),
        ("localizer", ""),
    ],
)
def test_the_sequence_is_found_in_a_description(text, name):
    assert sequence_in(text) == name


def test_a_preview_survives_the_way_through_json(disc: Path, tmp_path: Path):
    found = look(tmp_path / "scratch", disc)
    assert preview_of(json.loads(json.dumps(asdict(found)))) == found


def test_two_patients_under_one_uid_stay_two_series(tmp_path: Path):
    write_series(tmp_path / "a", "CT", PatientID="A", uid="1.2.3")
    write_series(tmp_path / "b", "CT", PatientID="B", uid="1.2.3", StudyDate="20240905")
    found = look(tmp_path / "scratch", tmp_path)
    assert [(p.patient, st.date, s.uid, s.images) for p, st, s in found.series()] == [
        ("A", "2024-03-05", "1.2.3", 4),
        ("B", "2024-09-05", "1.2.3", 4),
    ]
    assert len({s.key for _, _, s in found.series()}) == 2


def test_a_series_whose_slices_are_of_several_days_is_refused_and_over_midnight_it_is_one(tmp_path: Path):
    def dated(*days: str):
        return lambda ds, n: setattr(ds, "StudyDate", days[n % len(days)])

    write_series(tmp_path / "two", "CT", uid="1.2.1", edit=dated("20240305", "20240905"))
    write_series(tmp_path / "night", "CT", uid="1.2.2", edit=dated("20240305", "20240306"))
    found = {s.key: s for _, _, s in look(tmp_path / "scratch", tmp_path).series()}
    assert "slices of one day" in (found["1.2.1"].why_not or "")
    assert found["1.2.2"].becomes == "scan"


def test_many_zips_share_one_budget(tmp_path: Path, monkeypatch):
    for name in "abc":
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w") as archive:
            archive.writestr("x.dcm", bytes(50 * 2**20))
    monkeypatch.setenv("TWIN_MAX_IMPORT_GB", "0.02")  # 104 MB of files: two of them
    (tmp_path / "scratch").mkdir()
    with pytest.raises(InputError, match="GB unpacked"):
        gather([tmp_path / f"{name}.zip" for name in "abc"], tmp_path / "scratch")
