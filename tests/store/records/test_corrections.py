"""What came in wrong is put right: with a reason, as one change, and refused where it would lie."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import pytest

from core.errors import InputError, StoreError
from core.twin.curve_points import volume_points
from core.twin.stored_forecasts import stored_forecasts
from store import Store, open_store, rebuild
from store.files.drafts import pack_edit
from store.ledger.batch import TABLES
from tests.store_phantom import ANSWER, DAY1, DAY2, DAY3, VOXEL_MM3, add_mask, add_scan, folder, grid, labels, uids

UIDS = uids(1)
WHY: dict[str, Any] = {"reason": "the date was typed wrong", "person": "demo"}
TRUE_DAY = "2020-02-01"


def accept(store: Store, voxels: int, patient: str, day: str, second: int = 0) -> str:
    """An accepted mask; its id."""
    record = add_mask(store, voxels, second, patient=patient, day=day)
    store.decisions.decide(patient, day, record.version, "accept", "demo", "good")
    return record.mask_id


def rows(store: Store) -> dict[str, list[str]]:
    return {table: sorted(map(repr, store.db.query(f"SELECT * FROM {table}"))) for table in TABLES}


def names(store: Store, *tops: str) -> list[str]:
    """The files below these folders, but the ledgers."""
    found = [path for top in tops for path in (store.root / top).rglob("*") if not path.is_dir()]
    return sorted(p.relative_to(store.root).as_posix() for p in found if p.name != "ledger.jsonl")


def is_whole(store: Store) -> None:
    """`verify` finds nothing, and the audit, and the ledgers alone, make the same rows again."""
    assert store.verify(full=True) == []
    before, root = rows(store), store.root
    store.close()
    for lost in ((), ("audit.jsonl", "twin.duckdb")):
        for name in lost:
            (root / name).unlink()
        made = rebuild(root)
        assert (made["sidecars"], made["gaps"], made["adopted"], made["left_out"]) == (0, 0, 0, 0)
        with open_store(root) as again:
            assert rows(again) == before
            assert again.verify() == []


@pytest.fixture
def two(store: Store) -> Store:
    """P1 with accepted masks of 4 voxels on DAY1 and 8 on DAY3, and a CT and PET; P2 with one accepted mask on DAY2."""
    for patient, day, seed, voxels in (("P1", DAY1, 1, 4), ("P1", DAY3, 2, 8), ("P2", DAY2, 3, 6)):
        add_scan(store, patient, day, seed)
        accept(store, voxels, patient, day)
    add_scan(store, "P1", DAY1, 4, modality="PET", where=grid((6, 5, 4)))
    return store


def test_the_curve_follows_a_timepoint_to_its_true_date(two: Store) -> None:
    mask = two.masks.accepted("P1", DAY1)
    assert mask is not None
    two.verdicts.add_scan_verdict("P1", DAY1, {"state": "in distribution", "score": 0.1}, "demo")
    two.readings.finish("P1", DAY1, "demo")
    made = two.corrections.move_timepoint("P1", DAY1, to_timepoint=TRUE_DAY, **WHY)
    assert (made.action, made.timepoints, made.to_timepoints) == ("timepoint.moved", (DAY1,), (TRUE_DAY,))
    assert (made.scans, made.masks, made.to_affirm, made.reason) == (2, 1, 0, WHY["reason"])
    assert two.patients.timepoints("P1") == [TRUE_DAY, DAY3]
    points = [p for p in volume_points(two, "P1") if p.lesion_id == "L1"]
    assert [(p.timepoint, p.days, p.volume_mm3) for p in points] == [
        (TRUE_DAY, 0.0, 4 * VOXEL_MM3),
        (DAY3, 119.0, 8 * VOXEL_MM3),  # 28 + 31 + 30 + 30 days of February (a leap year's 29) to 30 May
    ]
    moved = two.masks.accepted("P1", TRUE_DAY)
    assert moved is not None
    assert (moved.mask_id, moved.status) == (mask.mask_id, "accepted")
    assert [d.verdict for d in two.decisions.of("P1", TRUE_DAY)] == ["accept"]
    assert {v.timepoint for v in two.verdicts.of_scans("P1")} == {TRUE_DAY, DAY3}
    assert [f.person for f in two.readings.finished("P1", TRUE_DAY)] == ["demo"]
    assert two.masks.load(moved).array.any()
    assert not (two.root / f"raw/set/P1/{DAY1}").exists()
    assert not folder(two, "P1", DAY1).exists()
    for name in (f"raw/set/P1/{TRUE_DAY}/CT.json", f"processed/set/P1/{TRUE_DAY}/mask_v001.json"):
        (came,) = json.loads((two.root / name).read_text())["moved"]
        assert (came["from_patient_id"], came["from_timepoint"], came["reason"]) == ("P1", DAY1, WHY["reason"])
        assert came["person"] == "demo"
    assert os.readlink(folder(two, "P1", TRUE_DAY) / "mask_final.nii.gz") == "mask_v001.nii.gz"
    is_whole(two)


def test_what_was_never_moved_has_the_sidecar_that_it_had(two: Store) -> None:
    for name in (f"raw/set/P1/{DAY1}/CT.json", f"processed/set/P1/{DAY1}/mask_v001.json"):
        assert "moved" not in json.loads((two.root / name).read_text())


def test_a_timepoint_moves_back_and_the_sidecar_tells_of_both_moves(two: Store) -> None:
    for here, there in ((DAY1, TRUE_DAY), (TRUE_DAY, DAY1)):
        two.corrections.move_timepoint("P1", here, to_timepoint=there, **WHY)
    assert [move["from_timepoint"] for move in two.scans.of("P1", DAY1)[0].moved] == [DAY1, TRUE_DAY]
    add_mask(two, 5)
    is_whole(two)


def test_accepted_masks_that_come_to_a_patient_with_masks_wait_for_a_person(two: Store) -> None:
    made = two.corrections.move_timepoint("P1", DAY1, to_patient_id="P2", **WHY)
    assert made.to_affirm == 1
    assert [(p.patient_id, p.timepoints, p.accepted, p.proposed) for p in two.patients.all()] == [
        ("P1", 1, 1, 0),
        ("P2", 2, 1, 1),
    ]
    (record,) = two.masks.of("P2", DAY1)
    assert list(two.decisions.to_affirm()) == [record.mask_id]
    assert [p.timepoint for p in volume_points(two, "P2") if p.lesion_id == "L1"] == [DAY2]
    assert not (folder(two, "P2", DAY1) / "mask_final.nii.gz").is_symlink()
    two.decisions.decide("P2", DAY1, 1, "accept", "demo", *ANSWER)
    assert two.decisions.to_affirm() == {}
    assert [p.timepoint for p in volume_points(two, "P2") if p.lesion_id == "L1"] == [DAY1, DAY2]
    is_whole(two)


def test_accepted_masks_that_come_to_a_patient_without_masks_stay_accepted(two: Store) -> None:
    two.corrections.move_timepoint("P1", DAY1, to_patient_id="P7", **WHY)
    assert two.masks.accepted("P7", DAY1) is not None
    assert [p.dataset for p in two.patients.all()] == ["set", "set", "set"]
    assert two.db.query("SELECT lesion_id FROM lesions WHERE patient_id = 'P7'") == [{"lesion_id": "L1"}]
    assert two.vectors.of(two.masks.of("P7")[0].mask_id) == []
    is_whole(two)


def test_a_patient_without_a_timepoint_left_disappears_and_events_go_along(two: Store) -> None:
    two.events.add("P2", DAY2, "steroids", "4 mg", "demo")
    two.corrections.move_timepoint("P2", DAY2, to_patient_id="P7", **WHY)
    assert [p.patient_id for p in two.patients.all()] == ["P1", "P7"]
    assert [e.detail for e in two.events.of("P7")] == ["4 mg"]
    assert two.events.of("P2") == []
    is_whole(two)


def _draft(store: Store) -> None:
    draft = store.drafts.begin("P1", DAY1, None, "ann")
    store.drafts.edit(draft.draft_id, 0, pack_edit({2: labels(3).array[:, :, 2]}, None, "brush"))


def _gone(store: Store) -> None:
    os.rename(folder(store) / "mask_v001.nii.gz", store.root / "away")


def _in_the_way(store: Store) -> None:
    place = store.root / f"raw/set/P1/{TRUE_DAY}"
    place.mkdir(parents=True)
    (place / "CT.json").write_text("{}")


def _two_readings(store: Store) -> None:
    add_scan(store, "P4", seed=8)
    for patient in ("P1", "P4"):
        store.readings.finish(patient, DAY1, "demo")


def _nothing(store: Store) -> None:
    pass


#: what is wrong -> what makes it so, what is asked for, what is said.
REFUSED: dict[str, tuple[Callable[[Store], Any], Callable[[Store], Any], str]] = {
    "masks on both dates": (
        _nothing,
        lambda s: s.corrections.move_timepoint("P1", DAY1, to_timepoint=DAY3, **WHY),
        r"P1 on 2020-05-30 has 1 mask version\(s\) already",
    ),
    "masks on both dates of two patients": (
        lambda s: s.corrections.move_timepoint("P2", DAY2, to_timepoint=DAY1, **WHY),
        lambda s: s.corrections.merge_patients("P1", "P2", **WHY),
        r"Nothing was merged. 2020-01-01: P2 on 2020-01-01 has 1 mask",
    ),
    "a draft": (
        _draft,
        lambda s: s.corrections.move_timepoint("P1", DAY1, to_timepoint=TRUE_DAY, **WHY),
        "draft of P1",
    ),
    "a draft, withdrawn": (_draft, lambda s: s.corrections.withdraw_timepoint("P1", DAY1, **WHY), r"\(ann\)"),
    "a job": (
        lambda s: s.jobs.create("segment", {"patient_id": "P1", "timepoint": DAY1}, "demo"),
        lambda s: s.corrections.move_timepoint("P1", DAY1, to_timepoint=TRUE_DAY, **WHY),
        r"A job \(segment\) on P1 on 2020-01-01 is queued",
    ),
    "a job, deleted": (
        lambda s: s.jobs.create("segment", {"patient_id": "P1", "timepoint": DAY1}, "demo"),
        lambda s: s.corrections.delete_patient("P1", confirm="P1", **WHY),
        "A job",
    ),
    "a file that is gone": (
        _gone,
        lambda s: s.corrections.move_timepoint("P1", DAY1, to_timepoint=TRUE_DAY, **WHY),
        r"mask_v001.nii.gz\) is not there as it was stored",
    ),
    "a file in the way": (
        _in_the_way,
        lambda s: s.corrections.move_timepoint("P1", DAY1, to_timepoint=TRUE_DAY, **WHY),
        "never overwritten",
    ),
    "the scan under masks, moved": (
        _nothing,
        lambda s: s.corrections.move_scan("P1", DAY1, "CT", to_timepoint=TRUE_DAY, **WHY),
        r"1 mask version\(s\) of P1 on 2020-01-01 lie on the grid of CT",
    ),
    "the scan under masks, withdrawn": (
        _nothing,
        lambda s: s.corrections.withdraw_scan("P1", DAY1, "CT", **WHY),
        "withdraw the whole timepoint",
    ),
    "a scan that would become the reference": (
        lambda s: (add_scan(s, "P3", DAY1, 7, modality="PET"), add_mask(s, 3, patient="P3"), add_scan(s, "P4", seed=8)),
        lambda s: s.corrections.move_scan("P4", DAY1, "CT", to_patient_id="P3", **WHY),
        "CT of P4 on 2020-01-01 would become the reference",
    ),
    "masks beside another reference": (
        lambda s: (add_scan(s, "P3", DAY1, 7, modality="PET"), add_mask(s, 3, patient="P3"), add_scan(s, "P4", seed=8)),
        lambda s: s.corrections.move_timepoint("P3", DAY1, to_patient_id="P4", **WHY),
        "another one, CT, would become the reference",
    ),
    "readings on both": (
        _two_readings,
        lambda s: s.corrections.move_timepoint("P4", DAY1, to_patient_id="P1", **WHY),
        "Readings are set up on both",
    ),
    "no such timepoint": (
        _nothing,
        lambda s: s.corrections.withdraw_timepoint("P1", TRUE_DAY, **WHY),
        "no timepoint of 'P1' on '2020-02-01'",
    ),
    "no such scan": (
        _nothing,
        lambda s: s.corrections.withdraw_scan("P1", DAY1, "MR-T1", **WHY),
        "no scan 'MR-T1' of P1 on 2020-01-01; there is CT, PET",
    ),
    "no such patient": (_nothing, lambda s: s.corrections.merge_patients("P9", "P1", **WHY), "no patient 'P9'"),
    "no patient to merge into": (
        _nothing,
        lambda s: s.corrections.merge_patients("P1", "P9", **WHY),
        "no patient 'P9'",
    ),
    "the same place": (
        _nothing,
        lambda s: s.corrections.move_timepoint("P1", DAY1, to_timepoint=DAY1, **WHY),
        "another date or another patient",
    ),
    "no date": (
        _nothing,
        lambda s: s.corrections.move_timepoint("P1", DAY1, to_timepoint="2020-02-30", **WHY),
        "Expected a date",
    ),
    "no reason": (
        _nothing,
        lambda s: s.corrections.withdraw_timepoint("P1", DAY1, reason="  ", person="demo"),
        "Expected the reason in 1 to 500",
    ),
    "not confirmed": (
        _nothing,
        lambda s: s.corrections.delete_patient("P1", confirm="P2", **WHY),
        "Expected 'P1' once more to confirm, got 'P2'",
    ),
    "no withdrawal": (_nothing, lambda s: s.corrections.restore("x", **WHY), "no withdrawal 'x'"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_would_lie_is_refused_before_anything_is_done(two: Store, what: str) -> None:
    prepare, ask, said = REFUSED[what]
    prepare(two)
    before, files, entries = rows(two), names(two, "raw", "processed", "withdrawn"), two.audit.last()
    with pytest.raises((StoreError, InputError), match=said):
        ask(two)
    assert (rows(two), names(two, "raw", "processed", "withdrawn"), two.audit.last()) == (before, files, entries)


def test_scans_of_one_name_meet_under_two(two: Store) -> None:
    add_scan(two, "P1", TRUE_DAY, 9)
    two.verdicts.add_scan_verdict("P1", TRUE_DAY, {"state": "in distribution", "score": 0.1}, "demo")
    two.corrections.move_timepoint("P1", TRUE_DAY, to_timepoint=DAY1, **WHY)
    assert [(s.scan_id, len(s.moved)) for s in two.scans.of("P1", DAY1)] == [("CT", 0), ("PET", 0), ("CT-2", 1)]
    assert two.verdicts.of_scans("P1", DAY1) == [], "it was said of other scans than lie together now"
    assert two.scans.reference("P1", DAY1).scan_id == "CT"
    is_whole(two)


def test_one_scan_moves_and_what_the_gate_said_of_them_together_counts_no_longer(two: Store) -> None:
    two.verdicts.add_scan_verdict("P1", DAY1, {"state": "in distribution", "score": 0.1}, "demo")
    made = two.corrections.move_scan("P1", DAY1, "PET", to_timepoint=TRUE_DAY, **WHY)
    assert (made.scan_id, made.scans, made.masks) == ("PET", 1, 0)
    assert two.patients.timepoints("P1") == [DAY1, TRUE_DAY, DAY3]
    assert two.verdicts.of_scans("P1", DAY1) == []
    assert two.masks.accepted("P1", DAY1) is not None
    is_whole(two)


def test_a_withdrawn_timepoint_is_nowhere_and_comes_back_as_it_was(two: Store) -> None:
    two.events.add("P2", DAY2, "steroids", "4 mg", "demo")
    two.vectors.add(two.masks.of("P2")[0].mask_id, "L1", "P2", [1.0, 2.0], ["a", "b"], "demo")
    before, files = rows(two), names(two, "raw", "processed")
    made = two.corrections.withdraw_timepoint("P2", DAY2, **WHY)
    assert [p.patient_id for p in two.patients.all()] == ["P1"]
    assert (two.masks.of("P2"), two.scans.of("P2"), two.events.of("P2"), two.vectors.all()) == ([], [], [], [])
    assert {row.patient_id for row in two.views.worklist()} == {"P1"}
    assert {row.patient_id for row in two.views.cohort()} == {"P1"}
    assert names(two, "raw/set/P2", "processed/set/P2") == []
    away = f"withdrawn/set/P2/{DAY2}/{made.withdrawal_id}"
    assert [n.removeprefix(away) for n in names(two, "withdrawn")] == [
        "/CT.json",
        "/CT.nii.gz",
        "/mask_v001.json",
        "/mask_v001.nii.gz",
    ]
    assert [c.withdrawal_id for c in two.corrections.withdrawn()] == [made.withdrawal_id]
    assert two.verify() == []
    for text, name in (("is not the file that was withdrawn", "CT.nii.gz"), ("belongs to no withdrawal", "x")):
        path = two.root / away / name
        kept = path.read_bytes() if path.exists() else None
        path.write_bytes(b"altered")
        assert [text in problem for problem in two.verify()] == [True]
        path.unlink()
        if kept is not None:
            assert ["is missing" in problem for problem in two.verify()] == [True]
            path.write_bytes(kept)
    two.corrections.restore(str(made.withdrawal_id), reason="it was right", person="demo")
    assert (rows(two), names(two, "raw", "processed"), names(two, "withdrawn")) == (before, files, [])
    assert two.corrections.withdrawn() == []
    assert [c.can_be_restored for c in two.corrections.history("P2")] == [False, False]
    with pytest.raises(StoreError, match="no withdrawal"):
        two.corrections.restore(str(made.withdrawal_id), **WHY)
    is_whole(two)


def test_the_same_image_is_imported_again_after_its_withdrawal_and_then_cannot_come_back(two: Store) -> None:
    made = two.corrections.withdraw_timepoint("P2", DAY2, **WHY)
    add_scan(two, "P2", DAY3, 3)
    with pytest.raises(StoreError, match="CT of P2 on 2020-03-01 was imported again"):
        two.corrections.restore(str(made.withdrawal_id), **WHY)
    add_scan(two, "P2", DAY2, 33)
    add_mask(two, 3, patient="P2", day=DAY2)
    with pytest.raises(StoreError, match="P2 on 2020-03-01 was imported anew"):
        two.corrections.restore(str(made.withdrawal_id), **WHY)
    is_whole(two)


def test_what_comes_back_beside_masks_that_came_meanwhile_waits_for_a_person(two: Store) -> None:
    made = two.corrections.withdraw_timepoint("P1", DAY1, **WHY)
    add_mask(two, 5, 2, patient="P1", day=DAY3)
    assert two.corrections.restore(str(made.withdrawal_id), **WHY).to_affirm == 1
    (record,) = two.masks.of("P1", DAY1)
    assert (record.status, list(two.decisions.to_affirm())) == ("proposed", [record.mask_id])
    two.decisions.decide("P1", DAY1, 1, "accept", "demo", *ANSWER)
    assert two.decisions.to_affirm() == {}
    is_whole(two)


def test_a_patient_who_went_after_the_withdrawal_is_there_again_with_what_comes_back(two: Store) -> None:
    made = two.corrections.withdraw_timepoint("P1", DAY1, **WHY)
    two.corrections.move_timepoint("P1", DAY3, to_patient_id="P7", **WHY)
    assert [p.patient_id for p in two.patients.all()] == ["P2", "P7"]
    two.corrections.restore(str(made.withdrawal_id), **WHY)
    assert [(p.patient_id, p.accepted) for p in two.patients.all()] == [("P1", 1), ("P2", 1), ("P7", 1)]
    is_whole(two)


def test_a_withdrawn_scan_leaves_its_timepoint_and_comes_back(two: Store) -> None:
    before = rows(two)
    made = two.corrections.withdraw_scan("P1", DAY1, "PET", **WHY)
    assert [s.scan_id for s in two.scans.of("P1", DAY1)] == ["CT"]
    assert two.masks.accepted("P1", DAY1) is not None
    assert two.verify() == []
    assert two.corrections.restore(str(made.withdrawal_id), **WHY).action == "scan.restored"
    assert rows(two) == before
    is_whole(two)


def test_a_timepoint_whose_file_is_gone_can_be_withdrawn(two: Store) -> None:
    _gone(two)
    with pytest.raises(StoreError, match="is missing"):
        two.masks.load(two.masks.of("P1", DAY1)[0])
    two.corrections.withdraw_timepoint("P1", DAY1, **WHY)
    assert (two.files.doubted(), two.verify()) == ([], [])


def test_patients_are_merged_with_their_events(two: Store) -> None:
    two.events.add("P2", DAY2, "steroids", "4 mg", "demo")
    made = two.corrections.merge_patients("P2", "P1", reason="one person under two pseudonyms", person="demo")
    assert (made.timepoints, made.to_affirm) == ((DAY2,), 1)
    assert [(p.patient_id, p.timepoints) for p in two.patients.all()] == [("P1", 3)]
    assert [e.date for e in two.events.of("P1")] == [DAY2]
    assert [c.action for c in two.corrections.history("P2")] == ["patients.merged"]
    assert two.corrections.history("P1") == two.corrections.history("P2")
    is_whole(two)


def test_stored_forecasts_of_what_was_moved_are_set_aside_and_others_stay(two: Store) -> None:
    mask = {day: two.masks.of("P1", day)[0].mask_id for day in (DAY1, DAY3)}
    record = {"said_at": DAY3, "last_mm3": 16.0, "days_ahead": [0.0, 7.0], "quantiles_mm3": [[1.0] * 7] * 2}
    record |= {"learned_from": "x", "learned_sha256": "y"}
    for masks in ([mask[DAY1], mask[DAY3]], [mask[DAY3]]):
        two.forecasts.add("P1", "L1", "combined", {**record, "masks": masks}, "demo")
    made = two.corrections.move_timepoint("P1", DAY1, to_timepoint=TRUE_DAY, **WHY)
    assert made.forecasts == 1
    assert [f.masks for f in stored_forecasts(two, "P1", "L1")] == [(mask[DAY3],)]
    withdrawn = two.corrections.withdraw_timepoint("P1", DAY3, **WHY)
    assert (withdrawn.forecasts, stored_forecasts(two, "P1", "L1")) == (1, [])
    two.corrections.restore(str(withdrawn.withdrawal_id), **WHY)
    assert len(stored_forecasts(two, "P1", "L1")) == 1
    is_whole(two)


def test_the_mask_gate_learns_that_what_it_knows_has_changed(two: Store) -> None:
    before = two.vectors.last_change()[0]
    made = two.corrections.withdraw_timepoint("P1", DAY1, **WHY)
    assert two.vectors.last_change()[0] == made.seq > before


def test_a_deleted_patient_leaves_no_file_and_no_row_and_the_audit_is_whole(two: Store) -> None:
    _draft(two)
    record = two.masks.of("P1", DAY1)[0]
    picture = two.root / f"cache/thumbnails/{record.mask_sha256}-x.png"
    slices = two.root / f"cache/embeddings/lite/{two.scans.of('P1')[0].sha256}"
    (two.root / "quarantine/raw/set/P1").mkdir(parents=True)
    for folder_ in (picture.parent, slices):
        folder_.mkdir(parents=True)
    picture.write_bytes(b"x")
    job = two.jobs.create("segment", {"patient_id": "P1", "timepoint": DAY1}, "demo")
    two.jobs.update(job, status="done")
    two.corrections.withdraw_timepoint("P1", DAY3, **WHY)
    two.corrections.delete_patient("P1", confirm="P1", reason="asked for by the patient", person="demo")
    assert [p.patient_id for p in two.patients.all()] == ["P2"]
    assert two.corrections.withdrawn() == []
    assert [p.name for p in two.root.rglob("*") if "P1" in p.parts[-2:] and p.is_dir()] == ["P1"], "the ledger's folder"
    assert names(two, "processed/set/P1", "raw/set/P1", "withdrawn", "quarantine", "drafts") == []
    assert not picture.exists()
    assert not slices.exists()
    assert all(entry["payload"].get("job_id") == job for entry in two.audit_log(3) if entry["action"].startswith("job"))
    add_scan(two, "P1", DAY1, 1)  # the pseudonym may be used again
    is_whole(two)


def test_what_was_withdrawn_of_a_patient_who_is_in_no_list_can_be_deleted(two: Store) -> None:
    two.corrections.withdraw_timepoint("P2", DAY2, **WHY)
    two.corrections.delete_patient("P2", confirm="P2", **WHY)
    assert names(two, "withdrawn") == []
    with pytest.raises(StoreError, match="no patient 'P2'"):
        two.corrections.delete_patient("P2", confirm="P2", **WHY)
    is_whole(two)


def test_a_job_that_ends_after_its_timepoint_is_gone_writes_no_mask(two: Store) -> None:
    """As a job's record step does, which the refusal to move while it is queued cannot catch if it was cancelled."""
    two.corrections.move_timepoint("P1", DAY1, to_timepoint=TRUE_DAY, **WHY)
    with pytest.raises(StoreError, match="There is no scan of 'P1' on '2020-01-01'"):
        add_mask(two, 5, parent_version=None)
    assert [m.timepoint for m in two.masks.of("P1")] == [TRUE_DAY, DAY3]


def test_a_record_that_was_read_before_the_move_does_not_doubt_the_file(two: Store) -> None:
    record, scan = two.masks.of("P1", DAY1)[0], two.scans.of("P1", DAY1)[0]
    two.corrections.move_timepoint("P1", DAY1, to_timepoint=TRUE_DAY, **WHY)
    for read in (lambda: two.masks.load(record), lambda: two.scans.load(scan)):
        with pytest.raises(StoreError, match="was moved or withdrawn meanwhile"):
            read()
    assert (two.files.doubted(), two.verify()) == ([], [])


def test_uids_stay_with_the_image_wherever_it_goes_and_are_erased_with_the_patient(two: Store) -> None:
    add_scan(two, "P2", DAY3, 60, identifiers=UIDS)
    add_scan(two, "P2", TRUE_DAY, 61, identifiers=UIDS)
    made = two.corrections.withdraw_timepoint("P2", DAY3, **WHY)
    two.corrections.restore(str(made.withdrawal_id), **WHY)
    two.corrections.move_timepoint("P2", DAY3, to_timepoint=DAY1, **WHY)
    assert two.scans.identifiers(two.scans.of("P2", DAY1)[0]) == UIDS
    two.corrections.withdraw_timepoint("P2", TRUE_DAY, **WHY)
    assert (len(names(two, "identifiers")), two.verify(), two.remarks()) == (2, [], [])
    two.corrections.delete_patient("P2", confirm="P2", **WHY)
    assert (names(two, "identifiers"), two.remarks()) == ([], [])
    is_whole(two)


def test_no_timepoint_moves_into_the_future(store: Store) -> None:
    add_scan(store, "P1", DAY1)
    with pytest.raises(InputError, match="in the future"):
        store.corrections.move_timepoint("P1", DAY1, to_timepoint="2999-01-01", reason="typed", person="demo")
    assert store.patients.timepoints("P1") == [DAY1]
