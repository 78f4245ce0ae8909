"""`scan preview`, `import` and `scan import-study`: as the contract for scripts has them, on the shared cases."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import cli
from store import open_store
from tests.store_phantom import ANSWERED


@pytest.fixture(scope="module")
def cases(shared_data: Path) -> Path:
    folder = shared_data.parent / "cases" / "intake"
    if not folder.is_dir():
        pytest.skip("needs cases/intake beside the real data")
    return folder


@pytest.fixture
def say(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """say(words…) -> exit status, and the JSON that was printed."""

    def run(*words: object) -> tuple[int, Any]:
        status = cli.main(["--data", str(tmp_path / "data"), "--json", *map(str, words)])
        return status, json.loads(capsys.readouterr().out)

    return run


SERIES = {"uid", "modality", "images", "shape", "spacing_mm", "becomes", "warnings", "why_not"}
NEW = ("--dataset", "clinic", "--patient", "P1")


def test_a_preview_has_the_shape_that_scripts_rely_on(say: Any, shared_data: Path):
    status, found = say("scan", "preview", shared_data / "dicom" / "STS_008")
    assert status == 0
    assert found["refused"] == []
    (patient,) = found["patients"]
    (study,) = patient["studies"]
    assert (patient["patient"], study["date"], study["date_from"]) == ("STS_008", "2001-09-02", "StudyDate")
    assert all(series.keys() >= SERIES for series in study["series"])
    assert [(s["modality"], s["images"], s["shape"], s["becomes"]) for s in study["series"]] == [
        ("CT", 51, [141, 137, 51], "scan"),
        ("PET", 51, [30, 29, 51], "scan"),
        ("RTSTRUCT", 1, None, "mask"),
        ("RTSTRUCT", 1, None, "mask"),
    ]
    assert study["series"][0]["spacing_mm"] == pytest.approx([0.976562, 0.976562, 3.27])


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("two-patients-in-one-folder", {("A", "2024-03-05", "CT", "scan"), ("B", "2024-03-05", "PET", "scan")}),
        ("names-without-extension", {("PH1", "2024-03-05", "CT", "scan")}),
        ("zip-in-zip", {(None, None, "CT", "scan")}),
        ("enhanced-multiframe", {("PH1", "2024-03-05", "CT", "scan")}),
        ("two-series-one-wanted", {("PH1", "2024-03-05", "CT", "scan")}),
        ("end-slice-empty", {("PH1", "2024-03-05", "CT", None)}),
        ("mask-0-255", {(None, None, "CT", "scan"), (None, None, None, "mask")}),
        ("seg-nrrd-layers", {(None, None, "CT", "scan"), (None, None, None, "mask")}),
    ],
)
def test_what_a_case_becomes(say: Any, cases: Path, case: str, expected: set[Any]):
    status, found = say("scan", "preview", cases / case)
    assert status == 0
    assert {
        (patient["patient"], study["date"], series["modality"], series["becomes"])
        for patient in found["patients"]
        for study in patient["studies"]
        for series in study["series"]
    } == expected


def test_a_preview_of_nothing_and_of_what_is_not_there(say: Any, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    assert say("scan", "preview", tmp_path / "empty") == (0, {"patients": [], "refused": []})
    status, answer = say("scan", "preview", tmp_path / "nowhere")
    assert status == 1
    assert "there is none" in answer["error"]
    assert not (tmp_path / "data").exists(), "a preview makes no store"


def test_the_date_is_the_file_s_or_confirmed_with_a_reason(say: Any, cases: Path, tmp_path: Path):
    folder = cases / "date-of-header-differs" / "dicom"
    status, answer = say("import", folder, *NEW, "--modality", "CT", "--date", "2025-09-30")
    assert status == 1
    assert "2024-03-05" in answer["error"]
    assert "2025-09-30" in answer["error"]
    assert "--date-differs" in answer["error"]
    status, scan = say("import", folder, *NEW)
    assert (status, scan["timepoint"], scan["modality"]) == (0, "2024-03-05", "CT")
    other = ("--dataset", "clinic", "--patient", "P2", "--date", "2025-09-30", "--date-differs", "moved on purpose")
    status, answer = say("import", folder, *other)
    assert status == 1  # the same image, under another patient
    assert "is there already" in answer["error"]
    with open_store(tmp_path / "data") as store:
        assert store.verify() == []


def test_a_date_in_the_future_is_refused_and_so_is_none(say: Any, cases: Path):
    image = cases / "mask-0-255" / "ct1.nii.gz"
    for words, said in (
        ((), "the file does not say it"),
        (("--date", "2999-01-01"), "in the future"),
        (("--date", "2024-02-30"), "YYYY-MM-DD"),
    ):
        status, answer = say("import", image, *NEW, "--modality", "CT", *words)
        assert status == 1
        assert said in answer["error"]
    assert say("import", image, *NEW, "--modality", "CT", "--date", "2024-02-29")[0] == 0


def test_one_of_two_series_is_named(say: Any, cases: Path):
    folder = cases / "two-series-one-wanted"
    status, answer = say("import", folder, *NEW, "--modality", "CT")
    assert status == 1
    assert "--series" in answer["error"]
    _, found = say("scan", "preview", folder)
    thick = min((s for s in found["patients"][0]["studies"][0]["series"]), key=lambda s: s["images"])
    status, scan = say("import", folder, *NEW, "--series", thick["uid"])
    assert (status, scan["shape"]) == (0, [16, 16, 6])


def test_of_two_patients_in_a_folder_the_one_that_is_taken_says_so(say: Any, cases: Path):
    status, scan = say("import", cases / "two-patients-in-one-folder", *NEW, "--modality", "CT")
    assert status == 0
    assert any("2 patients" in text for text in scan["metadata"]["warnings"])


def test_a_mask_offered_as_a_scan_is_offered_as_a_mask(say: Any, cases: Path):
    status, answer = say(
        "import", cases / "mask-0-255" / "mask1.nii.gz", *NEW, "--modality", "CT", "--date", "2024-01-01"
    )
    assert status == 1
    assert "mask" in answer["error"].lower()


def test_a_series_without_its_broken_end_is_taken_at_a_person_s_word(say: Any, cases: Path):
    folder = cases / "end-slice-empty" / "dicom"
    status, answer = say("import", folder, *NEW)
    assert status == 1
    assert "IM011.dcm" in answer["error"]
    status, scan = say("import", folder, *NEW, "--without-broken")
    assert (status, scan["shape"]) == (0, [16, 16, 11])
    assert any("left out at a person's word" in text for text in scan["metadata"]["warnings"])


def test_two_visits_of_one_lesion_keep_its_number(say: Any, cases: Path):
    for number, day in ((1, "2024-01-01"), (2, "2024-03-01")):
        folder = cases / "mask-0-255"
        where = ("--modality", "CT", "--date", day)
        assert say("import", folder / f"ct{number}.nii.gz", *NEW, *where)[0] == 0
        status, record = say("import-mask", "P1", day, folder / f"mask{number}.nii.gz")
        assert status == 0
        assert [lesion["lesion_id"] for lesion in record["lesions"]] == ["L1"]
        assert say("accept", "P1", day, "1", *ANSWERED)[0] == 0, "lesions are told by what was accepted"
        assert record["volume_mm3"] == pytest.approx({1: 2175, 2: 1383}[number])


def test_lesions_that_changed_their_numbers_are_told_by_place(say: Any, cases: Path):
    volumes = {}
    for number, day in ((1, "2024-01-01"), (2, "2024-03-01")):
        folder = cases / "labels-swapped-between-visits"
        assert say("import", folder / f"ct{number}.nii.gz", *NEW, "--modality", "CT", "--date", day)[0] == 0
        status, record = say("import-mask", "P1", day, folder / f"mask{number}.nii.gz")
        assert status == 0
        volumes[number] = {lesion["lesion_id"]: lesion["volume_mm3"] for lesion in record["lesions"]}
        assert say("accept", "P1", day, "1", *ANSWERED)[0] == 0
    assert volumes[1] == pytest.approx({"L1": 2895, "L2": 477})
    assert volumes[2] == pytest.approx({"L1": 477, "L2": 2175})


@pytest.mark.parametrize(
    ("case", "mask", "volume"),
    [
        ("mask-cropped-seg-nrrd", "Segmentation.seg.nrrd", 3372),
        ("mask-other-axis-order", "mask_ras.nii.gz", 3372),
        ("mask-other-axis-order", "mask_permuted.nii.gz", 3372),
    ],
)
def test_a_mask_of_another_extent_or_order_is_the_same_mask(say: Any, cases: Path, case: str, mask: str, volume: float):
    assert say("import", cases / case / "ct.nii.gz", *NEW, "--modality", "CT", "--date", "2024-01-01")[0] == 0
    status, record = say("import-mask", "P1", "2024-01-01", cases / case / mask)
    assert status == 0
    assert record["volume_mm3"] == pytest.approx(volume)


@pytest.mark.parametrize(("mask", "drawn"), [("r2", 30), ("r3", 107), ("r3_off", 112.5)])
def test_a_thin_mask_of_a_finer_grid_keeps_its_volume_or_says_by_how_much_it_changed(
    say: Any, cases: Path, mask: str, drawn: float
):
    folder = cases / "mask-drawn-on-fine-mr"
    day = ("--date", "2024-01-01")
    assert say("import", folder / "mr.nii.gz", *NEW, "--modality", "MR", "--sequence", "T1", *day)[0] == 0
    status, scan = say("import", folder / "ct.nii.gz", *NEW, "--modality", "CT", *day)
    assert status == 0
    assert any("neither air nor fat" in text for text in scan["metadata"]["warnings"])  # 20 to 59 HU, none negative
    status, record = say("import-mask", "P1", "2024-01-01", folder / f"{mask}.nii.gz")
    assert status == 0
    assert record["volume_mm3"] == pytest.approx(drawn, rel=0.05)
