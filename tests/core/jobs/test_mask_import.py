"""Masks drawn elsewhere become versions: with their volume, their origin, and the lesions of the patient."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cli
from core.errors import InputError
from core.imaging.volumes import read_volume, write_nifti
from core.jobs.mask_import import import_mask, import_of
from core.jobs.stages.draft import save_draft
from core.remembered.identifiers import ScanIdentifiers, SliceIdentifiers
from core.types import Grid, LabelMap, MaskRecord
from store import Store
from tests.core.jobs.scene import (
    CT,
    DAY1,
    DAY2,
    FAR,
    LEFT,
    PET,
    RIGHT,
    accept,
    add_scans,
    add_version_of,
    ball_of,
    body_image,
    grid_of,
    labels_of,
    lesion_at,
    registered,
    said_of,
)
from tests.mask_phantom import SERIES, square, write_rtstruct


@pytest.fixture
def cases(shared_data: Path) -> Path:
    folder = shared_data.parent / "cases" / "intake"
    if not folder.is_dir():
        pytest.skip("needs cases/intake beside the real data")
    return folder


def _scan(store: Store, path: Path, day: str, modality: Any = "CT", sequence: str = "") -> None:
    volume = read_volume(path, modality, sequence)
    store.scans.add(volume, dataset="d", patient_id="P1", timepoint=day, person="demo")


def _mask(store: Store, path: Path, day: str = DAY1, **more: Any) -> MaskRecord:
    return import_mask(store, path, patient_id="P1", timepoint=day, author="demo", **more)


def _file(folder: Path, labels: np.ndarray, grid: Grid = CT, name: str = "m.nii.gz") -> Path:
    write_nifti(folder / name, labels, grid, overwrite=True)
    return folder / name


def _of_scans(said: Mapping[str, Any]) -> list[str]:
    """The doubts whether a mask is of these scans."""
    return [doubt for doubt in said["doubts"] if "scans" in doubt]


def _volumes(record: MaskRecord) -> dict[str, float]:
    return {lesion["lesion_id"]: round(lesion["volume_mm3"], 3) for lesion in record.lesions}


def test_labels_that_change_places_between_visits_are_matched_by_place(store: Store, cases: Path) -> None:
    folder = cases / "labels-swapped-between-visits"
    for number, day in enumerate((DAY1, DAY2), start=1):
        _scan(store, folder / f"ct{number}.nii.gz", day)
    first = _mask(store, folder / "mask1.nii.gz", DAY1)
    assert _volumes(first) == {"L1": 2895, "L2": 477}
    accept(store, DAY1)
    second = _mask(store, folder / "mask2.nii.gz", DAY2)
    assert _volumes(second) == {"L1": 477, "L2": 2175}, "A shrank and B grew"
    said = import_of(second)
    assert any(f"by their place, as on {DAY1}" in word and "1 is L2, 2 is L1" in word for word in said["warnings"])
    assert [(s["number"], s["lesion_id"]) for s in said["segments"]] == [(1, "L2"), (2, "L1")]


def test_255_at_one_visit_and_1_at_the_next_are_one_lesion(store: Store, cases: Path) -> None:
    folder = cases / "mask-0-255"
    for number, day in enumerate((DAY1, DAY2), start=1):
        _scan(store, folder / f"ct{number}.nii.gz", day)
    assert _volumes(_mask(store, folder / "mask1.nii.gz", DAY1)) == {"L1": 2175}
    accept(store, DAY1)
    assert _volumes(_mask(store, folder / "mask2.nii.gz", DAY2)) == {"L1": 1383}


def test_a_mask_drawn_on_the_mr_keeps_its_volume_on_the_ct_and_both_are_stored(store: Store, cases: Path) -> None:
    folder = cases / "mask-drawn-on-fine-mr"
    _scan(store, folder / "ct.nii.gz", DAY1)
    _scan(store, folder / "mr.nii.gz", DAY1, "MR", "T1")
    for name, drawn_mm3 in (("r2", 29.75), ("r3", 106.25), ("r3_off", 112.5)):
        record = _mask(store, folder / f"{name}.nii.gz")
        assert abs(record.volume_mm3 - drawn_mm3) <= 2.5
        said = import_of(record)
        assert said["segments"][0]["drawn_volume_mm3"] == pytest.approx(drawn_mm3)
        assert said["segments"][0]["change_percent"] == pytest.approx(
            100 * (record.volume_mm3 / drawn_mm3 - 1), abs=0.01
        )
        assert not _of_scans(said), "its grid is the MR's"


def test_where_a_mask_comes_from_is_in_its_sidecar(store: Store, tmp_path: Path) -> None:
    add_scans(store, DAY1, 1)
    square = [[-15.0, -15.0], [15.0, -15.0], [15.0, 15.0], [-15.0, 15.0]]
    contours = [[[x, y, z] for x, y in square] for z in (-2.0, 2.0, 6.0)]
    path = write_rtstruct(tmp_path / "rs.dcm", {"GTV": contours, "Jane Doe": []})
    record = _mask(store, path)
    sidecar = json.loads(store.root.joinpath(store.masks.file_of(record).name.replace(".nii.gz", ".json")).read_text())
    (said,) = sidecar["prompts"]
    assert said == import_of(store.masks.by_id(record.mask_id))
    assert (said["type"], said["kind"], said["tool"]) == ("import", "RTSTRUCT", "MIM Software Inc.")
    assert said["file_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert said["segments"][0]["name"] == "GTV"
    assert "Jane" not in json.dumps(sidecar)
    assert "rs.dcm" not in json.dumps(sidecar)
    assert store.verify() == []


def test_one_of_several_segments_can_be_chosen(store: Store, tmp_path: Path) -> None:
    add_scans(store, DAY1, 1)
    both = labels_of(L3=ball_of(CT, LEFT, 7.0), L9=ball_of(CT, RIGHT, 8.0))
    record = _mask(store, _file(tmp_path, np.array(both.array)), segments=[9])
    assert _volumes(record) == {"L1": round(float(ball_of(CT, RIGHT, 8.0).sum()) * 36, 3)}
    assert any("1 of 2 segments" in word for word in import_of(record)["warnings"])


def test_a_lesion_that_is_drawn_again_in_two_parts_is_one_lesion_with_two_labels(store: Store, tmp_path: Path) -> None:
    add_scans(store, DAY1, 1)
    add_version_of(store, labels_of(L4=ball_of(CT, LEFT, 7.0) | ball_of(CT, RIGHT, 8.0)))
    both = labels_of(L1=ball_of(CT, LEFT, 7.0), L2=ball_of(CT, RIGHT, 8.0))
    record = _mask(store, _file(tmp_path, np.array(both.array)))
    assert said_of(store, DAY1, 2) == {1: ("L4", "split"), 2: ("L4", "split")}
    assert record.parent_version == 1
    assert any("1 is L4, 2 is L4" in word for word in import_of(record)["warnings"])
    assert np.array_equal(store.masks.load(record).array, both.array), "labels are the file's numbers"


def test_where_visits_cannot_be_aligned_no_label_is_told_and_that_is_doubted(store: Store, tmp_path: Path) -> None:
    add_scans(store, DAY1, 1)
    add_scans(store, DAY2, 2)
    add_version_of(store, labels_of(L1=ball_of(CT, LEFT, 7.0), L2=ball_of(CT, RIGHT, 7.0)))
    accept(store, DAY1)
    registered(store, DAY2, DAY1, "failed")
    swapped = labels_of(L2=ball_of(CT, LEFT, 7.0), L1=ball_of(CT, RIGHT, 7.0))
    record = _mask(store, _file(tmp_path, np.array(swapped.array)), DAY2)
    assert (lesion_at(store, DAY2, 1, LEFT), lesion_at(store, DAY2, 1, RIGHT)) == ("unlinked-2", "unlinked-1")
    doubts = import_of(record)["doubts"]
    assert [f"Label {n} (linked to no lesion)" in doubt for n, doubt in enumerate(doubts, 1)] == [True, True]
    assert all(f"({DAY1}: failed)" in doubt for doubt in doubts)
    assert [s["lesion_id"] for s in import_of(record)["segments"]] == [None, None]


def test_large_numbers_of_a_first_mask_leave_room_for_later_lesions(store: Store, tmp_path: Path) -> None:
    add_scans(store, DAY1, 1)
    both = labels_of(L128=ball_of(CT, LEFT, 7.0), L255=ball_of(CT, RIGHT, 8.0))
    assert sorted(_volumes(_mask(store, _file(tmp_path, np.array(both.array))))) == ["L128", "L255"]
    more = np.array(both.array)
    more[ball_of(CT, FAR, 7.0)] = 1
    save_draft(store, "P1", DAY1, parent_version=1, labels=LabelMap(more, CT), answers=[], person="demo")
    assert lesion_at(store, DAY1, 2, FAR) == "L256"
    assert lesion_at(store, DAY1, 2, RIGHT) == "L255"


def test_a_mask_on_a_foreign_grid_is_doubted_and_one_that_fills_it_is_refused(store: Store, tmp_path: Path) -> None:
    add_scans(store, DAY1, 1)
    foreign = grid_of((20, 20, 20), (1.5, 1.5, 1.5), (-15.0, -15.0, -15.0))
    record = _mask(store, _file(tmp_path, ball_of(foreign, (0, 0, 0), 9.0).astype(np.uint8), foreign))
    assert any("of none of the timepoint's scans" in doubt for doubt in import_of(record)["doubts"])
    part = Grid((12, 11, 9), CT.affine)
    record = _mask(store, _file(tmp_path, np.ones(part.shape, np.uint8), part))
    assert not _of_scans(import_of(record)), "a part of the scan's own grid"
    with pytest.raises(InputError, match="fits none of the timepoint's scans"):
        _mask(store, _file(tmp_path, np.ones(foreign.shape, np.uint8), foreign))


def test_a_mask_over_most_of_the_body_is_doubted_with_its_share(store: Store, tmp_path: Path) -> None:
    add_scans(store, DAY1, 1)
    body = body_image(CT, "CT", 1).array > -500
    of_body = body[:, :, 4:].sum() / body.sum()
    body[:, :, :4] = False
    record = _mask(store, _file(tmp_path, body.astype(np.uint8)))
    (doubt,) = import_of(record)["doubts"]
    assert f"covers {of_body:.0%} of the body" in doubt


def test_an_inverted_mask_is_refused(store: Store, tmp_path: Path) -> None:
    add_scans(store, DAY1, 1)
    with pytest.raises(InputError, match=r"over 99.7 % of the scan: an outline of the body, or inverted"):
        _mask(store, _file(tmp_path, (~ball_of(CT, LEFT, 7.0)).astype(np.uint8)))
    assert store.masks.of("P1") == []


def test_a_mask_of_the_pet_is_of_a_scan_of_the_timepoint(store: Store, tmp_path: Path) -> None:
    add_scans(store, DAY1, 1)
    record = _mask(store, _file(tmp_path, ball_of(PET, (0, 0, 0), 15.0).astype(np.uint8), PET))
    (segment,) = import_of(record)["segments"]
    assert abs(segment["volume_mm3"] - segment["drawn_volume_mm3"]) <= 18.0
    assert import_of(record)["doubts"] == []


def test_the_command_line_says_what_became_of_each_segment(store: Store, tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setenv("TWIN_PERSON", "demo")
    add_scans(store, DAY1, 1)
    root = store.root
    fine = grid_of((40, 40, 40), (1.0, 1.0, 1.0), (-20.0, -20.0, -20.0))
    both = ball_of(fine, LEFT, 5.0).astype(np.uint8) + 2 * ball_of(fine, RIGHT, 6.0).astype(np.uint8)
    path = _file(tmp_path, both, fine)
    store.close()
    asked = ["mask", "import", "P1", DAY1, str(path), "--segment", "2", "--data", str(root), "--json"]
    assert cli.main(asked) == 0
    answer = json.loads(capsys.readouterr().out)
    (segment,) = answer["segments"]
    assert (segment["number"], segment["lesion_id"], answer["kind"]) == (2, "L1", "label map")
    assert segment["drawn_volume_mm3"] == float((both == 2).sum())
    assert f"{segment['change_percent']:+.1f} %" in answer["resampling"]
    assert any("1 of 2 segments" in word for word in answer["warnings"])
    assert any("of none of the timepoint's scans" in doubt for doubt in answer["doubts"])
    assert (answer["version"], answer["method"]) == (1, "import")


def test_an_empty_mask_of_a_foreign_grid_does_not_say_that_the_tumour_is_gone(store: Store, tmp_path: Path):
    add_scans(store, DAY1, 1)
    foreign = Grid((9, 9, 9), np.diag([3.0, 3.0, 3.0, 1.0]))
    write_nifti(tmp_path / "empty.nii.gz", np.zeros(foreign.shape, np.uint8), foreign)
    with pytest.raises(InputError, match=r"grid \(9, 9, 9\) fits none of the timepoint's scans.*nothing of it is"):
        import_mask(store, tmp_path / "empty.nii.gz", patient_id="P1", timepoint=DAY1, author="ann")
    assert store.masks.of("P1") == []


@pytest.mark.parametrize(
    ("series", "frame", "doubts"), [(SERIES, "1.2.8", 0), ("1.2.7", "1.2.4", 0), ("1.2.7", "1.2.8", 1)]
)
@pytest.mark.parametrize("person", ["demo", "rita"])
def test_a_mask_of_another_frame_of_reference_is_doubted_whoever_imports_it(
    store: Store, tmp_path: Path, series: str, frame: str, doubts: int, person: str
) -> None:
    uids = tuple(SliceIdentifiers("", f"1.2.9.{k + 1}") for k in range(CT.shape[2]))
    store.scans.add(
        body_image(CT, "CT", 0), dataset="d", patient_id="P1", timepoint=DAY1, person="demo",
        identifiers=ScanIdentifiers("1.2.1", series, frame, uids),
    )  # fmt: skip
    path = write_rtstruct(tmp_path / "rs.dcm", {"GTV": _contours()}, FrameOfReferenceUID="1.2.4")
    if person == "demo":
        record = _mask(store, path)
    else:
        store.people.add(person, "reader", by="demo")
        record = import_mask(store.seen_by(person), path, patient_id="P1", timepoint=DAY1, author=person)
    said = import_of(record)
    assert ["another frame of reference" in doubt for doubt in said["doubts"]] == [True] * doubts
    assert not [word for word in said["warnings"] if "cannot be told" in word]
    kept = [(path, path.read_text()) for path in (store.root / "processed").rglob("*.json")]
    assert kept
    assert not [path for path, text in kept if "1.2.4" in text or SERIES in text]


def test_whether_a_mask_is_of_a_scan_without_uids_cannot_be_told_and_is_said(store: Store, tmp_path: Path) -> None:
    add_scans(store, DAY1, 0)
    path = write_rtstruct(tmp_path / "rs.dcm", {"GTV": _contours()}, FrameOfReferenceUID="1.2.4")
    warnings = import_of(_mask(store, path))["warnings"]
    assert any("whether it is of this timepoint cannot be told" in word for word in warnings)


def _contours() -> list[list[list[float]]]:
    low, high = CT.to_mm(np.array([[8, 8, 3], [16, 16, 7]]))
    return [square(low[0], high[0], float(CT.to_mm(np.array([[8, 8, k]]))[0][2])) for k in range(3, 8)]
