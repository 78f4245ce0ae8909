"""How a mask was measured, from stored rows: whose contour, what a person changed, on which scan, with what doubt."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from core.lesions.masks import measure
from core.remembered.judgements import DOUBTS
from core.twin.change import change_between
from core.twin.measured_visits import MeasuredVisit, edited_share, measured_end, measured_visits
from core.types import TOTAL_LESION_ID, LabelMap, MaskRecord
from store import Store
from tests.core.twin.test_trajectory import DAYS, GRID, _scan
from tests.store_phantom import JUDGED, pass_scans, scan_result


def add(store: Store, array: np.ndarray, day: str = DAYS[0], accepted: bool = False, **more: Any) -> MaskRecord:
    """The child of the newest version of that day."""
    labels, newest = LabelMap(array, GRID), store.masks.latest("P1", day)
    given = {"method": "nnunet", "author": "ann", "parent_version": newest.version if newest else None, **more}
    made: MaskRecord = store.masks.add(
        labels, patient_id="P1", timepoint=day, lesions=measure(labels), verdict=JUDGED, **given
    )
    if accepted:
        pass_scans(store, "P1", day)
        store.decisions.decide("P1", day, made.version, "accept", "bob", "test")
    return made


def cubes(first: int, second: int = 0) -> np.ndarray:
    array = np.zeros(GRID.shape, np.uint8)
    array[:first, :first, :first] = 1
    array[30 : 30 + second, :second, :second] = 2
    return array


def share(store: Store, record: MaskRecord, lesion: str = "L1") -> float | None:
    return edited_share(record, store.masks.of("P1", record.timepoint), lesion)


def test_one_erased_voxel_is_one_voxel_s_share_and_leaves_the_network_s_contour(store: Store) -> None:
    _scan(store, DAYS[0])
    add(store, cubes(20), checkpoint_sha256="aaa")
    array = cubes(20)
    array[0, 0, 0] = 0
    edited = add(store, array, accepted=True, method="manual", author="demo")
    assert share(store, edited) == pytest.approx(1 / 8000)
    visit = measured_visits(store, "P1")[DAYS[0]]
    end = measured_end(visit, "L1", 7999.0, 0.0)
    assert (end.method, end.checkpoint_sha256, end.reader) == ("nnunet", "aaa", "demo")
    assert end.edited_share == pytest.approx(1 / 8000)
    untouched = replace(end, edited_share=0.0)
    for factor, verdict in ((1.52, "real"), (1.38, "within noise")):
        before = replace(untouched, volume_mm3=7999.0 / factor, day=-60.0)
        assert change_between(before, end).verdict == change_between(before, untouched).verdict == verdict


def test_changes_one_after_another_add_up_and_stop_at_all(store: Store) -> None:
    _scan(store, DAYS[0])
    add(store, cubes(10))
    array = cubes(10)
    array[10, :10, :10] = 1  # 100 more
    add(store, array, method="manual", author="demo")
    array = array.copy()
    array[0, :10, :5] = 0  # 50 fewer: 1050 are left
    last = add(store, array, method="medsam-manual", author="bob", accepted=True)
    assert share(store, last) == pytest.approx(150 / 1050)
    assert measured_end(measured_visits(store, "P1")[DAYS[0]], "L1", 1050.0, 0.0).reader == "bob, demo"
    other = add(store, cubes(3), method="manual", author="demo")
    assert share(store, other) == 1.0


def test_a_lesion_that_nobody_touched_is_the_network_s_whatever_was_drawn_beside_it(store: Store) -> None:
    _scan(store, DAYS[0])
    add(store, cubes(20))
    both = add(store, cubes(20, 10), method="manual", accepted=True)
    assert share(store, both, "L1") == 0.0
    assert share(store, both, "L2") == 1.0  # 1000 voxels changed, and it has 1000
    assert share(store, both, TOTAL_LESION_ID) == pytest.approx(1000 / 9000)
    erased = add(store, cubes(20), method="manual")
    assert share(store, erased, "L2") == 0.0  # the network never had it, and neither has this


def test_what_a_person_drew_prompted_or_imported_is_theirs(store: Store) -> None:
    for day, method in zip(DAYS, ("manual", "medsam", "import", "staple", "medsam-manual"), strict=True):
        _scan(store, day)
        made = add(store, cubes(20), day, method=method, accepted=True)
        assert share(store, made) == 1.0
        end = measured_end(measured_visits(store, "P1")[day], "L1", 8000.0, 0.0)
        assert (end.method, end.reader) == (method, "ann")


def test_without_the_version_that_it_was_drawn_on_the_share_is_not_known(store: Store) -> None:
    _scan(store, DAYS[0])
    add(store, cubes(20))
    edited = add(store, cubes(21), method="manual")
    assert edited_share(edited, [edited], "L1") is None
    assert edited_share(replace(edited, lesions=({"lesion_id": "L1"},)), store.masks.of("P1"), "L1") is None


def test_an_unchanged_mask_is_of_who_accepted_it_and_of_the_scan_under_it(store: Store) -> None:
    _scan(store, DAYS[0])
    record = add(store, cubes(20), accepted=True, checkpoint_sha256="aaa")
    visit = measured_visits(store, "P1")[DAYS[0]]
    end = measured_end(visit, "L1", 8000.0, 3.0)
    assert (end.reader, end.edited_share, end.mask_id, end.day) == ("bob", 0.0, record.mask_id, 3.0)
    assert (end.modality, end.slice_thickness_mm, end.spacing_mm) == ("CT", None, (1.0, 1.0, 1.0))
    assert visit.scan.sha256 == record.scan_sha256
    thick = replace(visit, scan=SimpleNamespace(**{**vars(visit.scan), "metadata": {"slice_thickness_mm": 2.5}}))
    assert measured_end(thick, "L1", 8000.0, 0.0).slice_thickness_mm == 2.5
    text = replace(visit, scan=SimpleNamespace(**{**vars(visit.scan), "metadata": {"slice_thickness_mm": "thin"}}))
    assert measured_end(text, "L1", 8000.0, 0.0).slice_thickness_mm is None


def test_doubts_of_the_gates_stand_at_the_lesions_that_they_are_about(store: Store) -> None:
    _scan(store, DAYS[0])
    record = add(store, cubes(20, 10), accepted=True)
    odd = [{"lesion_id": "L1", "verdict": "usual"}, {"lesion_id": "L2", "verdict": "unusual"}]
    result = {"verdict": "unusual", "p_value": 0.01, "flagged": True, "lesions": odd}
    store.verdicts.add_mask_verdict(record.mask_id, result, "demo")

    def doubts(lesion: str) -> tuple[str, ...]:
        return measured_end(measured_visits(store, "P1")[DAYS[0]], lesion, 1.0, 0.0).doubts

    assert [doubts(name) for name in ("L1", "L2", TOTAL_LESION_ID)] == [(), *[("mask gate: doubtful of L2",)] * 2]
    store.verdicts.add_scan_verdict("P1", DAYS[0], scan_result(store, "P1", DAYS[0], DOUBTS), "demo")
    assert doubts("L1") == ("scan gate: doubtful (appearance)",)
    pass_scans(store, "P1", DAYS[0])
    store.verdicts.add_mask_verdict(record.mask_id, {**result, "verdict": "usual", "flagged": False}, "demo")
    assert doubts("L2") == ()


def test_a_visit_made_by_hand_needs_no_store() -> None:
    lesion = {"lesion_id": "L1", "voxels": 9, "volume_mm3": 9.0, "longest_diameter_mm": 12.0, "centroid_mm": (0, 0, 0)}
    record = SimpleNamespace(
        mask_id="m", timepoint=DAYS[0], version=1, parent_version=None, status="accepted", method="nnunet",
        author="ann", checkpoint_sha256=None, voxels_added=9, voxels_removed=0, scan_sha256="s", volume_mm3=9.0,
        lesions=(lesion,),
    )  # fmt: skip
    scan = SimpleNamespace(
        timepoint=DAYS[0], sha256="s", modality="MR", sequence="T1", spacing_mm=(1.0, 1.0, 3.0), metadata={}
    )
    end = measured_end(MeasuredVisit(record, (record,), scan), "L1", 9.0, 0.0)
    assert (end.modality, end.sequence, end.longest_diameter_mm, end.slice_mm) == ("MR", "T1", 12.0, 3.0)
