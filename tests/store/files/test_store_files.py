"""No file is read unless it is the one that was stored; one that is lost is said to be lost, and work goes on."""

from __future__ import annotations

import json
import os
import re
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cli
from core.errors import InputError, StoreError
from core.gates.mask.verdicts import reference
from core.imaging.volumes import write_nifti
from core.jobs.stages import common
from core.jobs.stages.segment import prepare_segment
from core.review.correction import timepoint_rows
from core.review.readers import newest_visible_version
from core.review.worklist import work_items
from core.twin.curve import exclusion_reasons
from core.twin.curve_points import volume_points
from core.types import MaskRecord
from store import Store, open_store, rebuild
from store.files.drafts import pack_edit
from store.files.file_checks import check_in_background, file_hash
from store.ledger.journal import quarantine
from tests.store_phantom import DAY1, DAY2, add_mask, add_scan, grid, labels, scan_volume


@pytest.fixture
def room(store: Store) -> Store:
    """P1: a scan and an accepted mask of 4 voxels at two timepoints; P2 one more, of 5 voxels, proposed."""
    for seed, day in enumerate((DAY1, DAY2)):
        add_scan(store, day=day, seed=seed)
        add_mask(store, 4, day=day)
        store.decisions.decide("P1", day, 1, "accept", "demo", "good")
    add_scan(store, "P2", seed=9)
    add_mask(store, 5, patient="P2")
    return store


def mask_file(store: Store, patient: str = "P1", version: int = 1) -> Path:
    return store.root / f"processed/set/{patient}/{DAY1}/mask_v{version:03d}.nii.gz"


def another_mask(path: Path) -> None:
    """Another valid mask in the file's place."""
    path.unlink(missing_ok=True)
    write_nifti(path, labels(9).array, grid())


def another_mask_of_the_same_time(path: Path) -> None:
    """Written over in place, with the size and the time that the file had."""
    before = path.stat()
    content = path.read_bytes()
    with open(path, "r+b") as file:
        file.write(content[:-1] + bytes([content[-1] ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def a_link(path: Path) -> None:
    os.rename(path, path.with_name("elsewhere.nii.gz"))
    os.symlink("elsewhere.nii.gz", path)


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGE: dict[str, tuple[Callable[[Path], None], str]] = {
    "another mask": (another_mask, "is not the one that was stored"),
    "the same size and time": (another_mask_of_the_same_time, "is not the one that was stored"),
    "gone": (Path.unlink, "is missing"),
    "a link": (a_link, "is missing"),
    "a folder": (a_folder, "is missing"),
}


def builders(store: Store, record: MaskRecord) -> dict[str, Callable[[], Any]]:
    """Everything that would show a version or build upon it."""
    draft = next(iter(store.drafts.of("P1", DAY1, "ann")), None)
    wanted: dict[str, Callable[[], Any]] = {
        "its path": lambda: store.masks.path(record),
        "its voxels": lambda: store.masks.load(record),
        "a child": lambda: add_mask(store, 6, parent_version=1),
        "a child with its verdict": lambda: common.add_version(
            store, labels(6), "P1", DAY1, method="manual", author="demo", parent_version=1
        ),
        "a new draft": lambda: store.drafts.begin("P1", DAY1, 1, "bob"),
    }
    if draft is not None:
        wanted["the labels of a draft of it"] = lambda: store.drafts.labels(draft)
    return wanted


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_mask_that_is_not_the_one_stored_is_read_by_nobody_and_leaves_the_curve(room: Any, damage: str):
    record, path = room.masks.version("P1", DAY1, 1), mask_file(room)
    room.drafts.begin("P1", DAY1, 1, "ann")
    kept = room.root / "kept"
    shutil.copy2(room.masks.path(record), kept)  # which reads it: the hash is in memory from now on
    change, said = DAMAGE[damage]
    change(path)
    versions = len(room.masks.of("P1"))
    for what, build in builders(room, record).items():
        with pytest.raises(StoreError, match=said) as caught:
            build()
        assert str(room.root) not in str(caught.value), what
    assert len(room.masks.of("P1")) == versions
    state = "altered" if "stored" in said else "missing"
    doubted = [e for e in room.audit_log(50) if e["action"] == "file.doubted"]
    assert [(e["person"], e["payload"]["state"]) for e in doubted] == [("system", state)], "told once"
    assert {p.timepoint for p in volume_points(room, "P1")} == {DAY2}
    assert exclusion_reasons(room, "P1")[DAY1] == f"file {state}: accepted version 1, whose volume is unknown now"
    item = next(item for item in work_items(room) if item.patient_id == "P1")
    assert (item.urgency, item.timepoint, item.version) == (0, DAY1, 1)
    assert f"file {state}" in item.reason
    assert reference(room) == []
    assert timepoint_rows(room, "P1", DAY1)[0]["missing"].startswith(f"file {state}")
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
    path.with_name("elsewhere.nii.gz").unlink(missing_ok=True)
    os.rename(kept, path)
    assert np.array_equal(room.masks.load(record).array, labels(4).array)
    assert [e["action"] for e in room.audit_log(1)] == ["file.cleared"]
    assert {p.timepoint for p in volume_points(room, "P1")} == {DAY1, DAY2}
    assert exclusion_reasons(room, "P1") == {}
    assert room.verify() == []


def test_a_version_whose_file_was_altered_before_its_decision_cannot_be_accepted(room: Any):
    another_mask(mask_file(room, "P2"))
    with pytest.raises(StoreError, match="is not the one that was stored"):
        room.decisions.decide("P2", DAY1, 1, "accept", "demo", "good")
    assert room.masks.version("P2", DAY1, 1).status == "proposed"
    assert [row.state for row in room.files.doubted()] == ["altered"]
    room.decisions.decide("P2", DAY1, 1, "reject", "demo", "scan-unusable")


def test_what_can_be_done_about_a_file_is_told_of_a_scan_and_of_a_mask_apart(room: Any):
    (scan,) = room.scans.of("P1", DAY1)
    (room.root / scan.path).unlink()
    mask_file(room).unlink()
    with pytest.raises(StoreError, match=r"is missing, so it is not used\. Restore it from a backup\.$"):
        room.scans.path(scan)
    with pytest.raises(StoreError, match="If there is none, mark it lost"):
        room.masks.path(room.masks.version("P1", DAY1, 1))


def test_a_scan_that_is_not_the_one_stored_is_read_by_nobody(room: Any):
    (scan,) = room.scans.of("P1", DAY1)
    described = common.describe(room, scan)
    common.read_scan(described)
    (room.root / scan.path).unlink()
    write_nifti(room.root / scan.path, scan_volume(77).array, grid())
    for build in (
        lambda: room.scans.path(scan),
        lambda: room.scans.load(scan),
        lambda: room.scans.reference_grid("P1", DAY1),
        lambda: add_mask(room, 3),
        lambda: common.describe(room, scan),
        lambda: room.drafts.begin("P1", DAY1, None, "ann"),
    ):
        with pytest.raises(StoreError, match="The file of the scan CT of P1 on 2020-01-01 is not the one"):
            build()
    with pytest.raises(InputError, match="altered or is gone since the job was begun"):
        common.read_scan(described)
    item = next(item for item in work_items(room) if item.patient_id == "P1")
    assert (item.urgency, item.task, item.reason) == (0, "Look at the file", "scan file altered: CT")
    assert room.masks.of("P1", DAY1)[-1].version == 1


def test_the_pass_over_all_files_finds_what_nobody_has_read(room: Any):
    assert room.files.check() == []
    another_mask(mask_file(room, "P2"))
    (scan,) = room.scans.of("P1", DAY2)
    (room.root / scan.path).unlink()
    found = room.files.check()
    assert len(found) == 2
    assert "scan CT of P1 on 2020-03-01 is missing" in found[0]
    assert "version 1 of P2 on 2020-01-01 is not the one that was stored" in found[1]
    assert not any(str(room.root) in sentence for sentence in found)
    assert [(row.path, row.state) for row in room.files.doubted()] == [
        (f"processed/set/P2/{DAY1}/mask_v001.nii.gz", "altered"),
        (scan.path, "missing"),
    ]
    entries = len(room.audit.entries())
    assert room.files.check() == found
    assert len(room.audit.entries()) == entries, "nothing new"


def test_the_pass_in_the_background_tells_and_ends_when_the_store_closes(room: Any, monkeypatch: pytest.MonkeyPatch):
    another_mask(mask_file(room, "P2"))
    check_in_background(room.files).join(60)
    assert [row.state for row in room.files.doubted()] == ["altered"]
    hashed, begun, closed = [], threading.Event(), threading.Event()

    def hashes(path: Path, fresh: bool = False) -> str | None:
        hashed.append(path)
        begun.set()
        assert closed.wait(60)
        return file_hash(path, fresh)

    monkeypatch.setattr("store.files.file_checks.file_hash", hashes)
    thread = check_in_background(room.files)
    assert begun.wait(60)
    room.close()
    closed.set()
    thread.join(60)
    assert not thread.is_alive()
    assert len(hashed) == 1, "of six: the one under way, and no other"


def test_a_file_that_was_not_touched_is_hashed_once(room: Any, monkeypatch: pytest.MonkeyPatch):
    import hashlib

    path = mask_file(room)
    assert file_hash(path) == room.masks.version("P1", DAY1, 1).mask_sha256
    monkeypatch.setattr(hashlib, "file_digest", lambda *_: pytest.fail("hashed again"))
    assert file_hash(path) == room.masks.version("P1", DAY1, 1).mask_sha256


# ---------------------------------------------------------------- links in the place of the store's own files

GROWING = ("audit.jsonl", "heads.jsonl", "processed/ledger.jsonl", "processed/set/P1/ledger.jsonl")


@pytest.mark.parametrize("dangling", [False, True])
@pytest.mark.parametrize("name", GROWING)
def test_no_file_that_grows_is_written_through_a_link_or_filled_from_behind_one(
    room: Any, tmp_path: Path, name: str, dangling: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TWIN_AUDIT_KEY", "a key of a test, not of a clinic")
    root, outside = room.root, tmp_path / "outside"
    room.close()
    with open_store(root) as store:
        store.ledger.begin_signing("demo")
    if not dangling:
        outside.write_bytes(b"root:secret\n")
    kept = (root / name).read_bytes()

    def unchanged() -> bool:
        link = (root / name).is_symlink()
        behind = not outside.exists() if dangling else outside.read_bytes() == b"root:secret\n"
        return (
            link
            and behind
            and not any(b"root:secret" in p.read_bytes() for p in root.rglob("*") if p.is_file() and not p.is_symlink())
        )

    with open_store(root) as store:
        (root / name).unlink()
        (root / name).symlink_to(outside)
        with pytest.raises(StoreError, match=r"recorded, but .* is a symbolic link"):
            store.events.add("P1", DAY1, "steroids", "x", "demo") if "P1" in name else store.people.add("z", by="demo")
        assert unchanged()
        assert any(name in text or "heads" in text for text in store.verify())
    with pytest.raises(StoreError, match=r"is a symbolic link") as caught:
        open_store(root)
    assert str(root) not in str(caught.value)
    if name != "heads.jsonl":
        with pytest.raises(StoreError, match=r"is a symbolic link"):
            rebuild(root)
    assert unchanged()
    (root / name).unlink()
    (root / name).write_bytes(kept)
    with open_store(root) as store:
        assert store.verify() == []


def test_what_is_no_file_is_not_waited_for(room: Any):
    room.close()
    (room.root / "audit.jsonl").unlink()
    os.mkfifo(room.root / "audit.jsonl")
    with pytest.raises(StoreError, match=r"audit\.jsonl is a symbolic link or no file"):
        open_store(room.root)


def test_a_sidecar_that_is_a_link_is_named_and_a_decision_is_not_written_through_it(room: Any, tmp_path: Path):
    sidecar = mask_file(room).with_name("mask_v001.json")
    os.rename(sidecar, tmp_path / "outside.json")
    sidecar.symlink_to(tmp_path / "outside.json")
    before = (tmp_path / "outside.json").read_bytes()
    assert room.verify() == [f"processed/set/P1/{DAY1}/mask_v001.json is a symbolic link, where a file was expected."]
    room.decisions.decide("P1", DAY1, 1, "withdraw", "demo", "second-look")
    assert (tmp_path / "outside.json").read_bytes() == before
    assert not sidecar.is_symlink()
    assert room.verify() == []


def test_scratch_behind_a_link_is_neither_emptied_nor_written_in(room: Any, tmp_path: Path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "theirs").write_text("x")
    shutil.rmtree(room.root / "incoming", ignore_errors=True)
    (room.root / "incoming").symlink_to(tmp_path / "outside")
    with pytest.raises(StoreError, match="incoming is a symbolic link"):
        add_mask(room, 3)
    room.close()
    with pytest.raises(StoreError, match="incoming is a symbolic link"):
        open_store(room.root)
    assert [path.name for path in (tmp_path / "outside").iterdir()] == ["theirs"]


def test_quarantine_behind_a_link_takes_nothing(room: Any, tmp_path: Path):
    (tmp_path / "outside").mkdir()
    (room.root / "quarantine").symlink_to(tmp_path / "outside")
    name = mask_file(room).relative_to(room.root).as_posix()
    with pytest.raises(StoreError, match="quarantine is a symbolic link"):
        quarantine(room.root, [name])
    assert mask_file(room).exists()
    assert list((tmp_path / "outside").iterdir()) == []


# ---------------------------------------------------------------- lost


def test_a_lost_file_no_longer_blocks_its_timepoint(room: Any):
    draft = room.drafts.begin("P1", DAY1, 1, "ann")
    room.drafts.edit(draft.draft_id, 0, pack_edit({2: labels(3).array[:, :, 2]}, None, "brush"))
    mask_file(room).unlink()
    with pytest.raises(StoreError, match="mark it lost"):
        room.masks.path(room.masks.version("P1", DAY1, 1))
    room.losses.mark_lost("P1", DAY1, 1, "a disk broke, no backup", "ann")
    assert room.masks.version("P1", DAY1, 1).status == "accepted", "what was decided stays on record"
    assert room.masks.accepted("P1", DAY1) is None
    for what, build in builders(room, room.masks.version("P1", DAY1, 1)).items():
        with pytest.raises(StoreError, match=r"is lost \(a disk broke, no backup; said by ann\)") as caught:
            build()
        assert str(room.root) not in str(caught.value), what
    assert exclusion_reasons(room, "P1") == {DAY1: "file lost: accepted version 1, whose volume is unknown now"}
    assert {p.timepoint for p in volume_points(room, "P1")} == {DAY2}
    assert "file lost" in next(item.reason for item in work_items(room) if item.timepoint == DAY1)
    assert [p for p in room.verify() if "is lost" not in p] == []
    (said,) = room.verify()
    assert said == (f"processed/set/P1/{DAY1}/mask_v001.nii.gz is lost: a disk broke, no backup (said by ann).")
    add_scan(room, day=DAY1, seed=90, modality="PET")  # the model asks for both
    known = prepare_segment(room, {"patient_id": "P1", "timepoint": DAY1}, "ann")["linking"]["known"]
    assert [one["timepoint"] for one in known] == [DAY2]
    assert newest_visible_version(room, "P1", DAY1, "ann") is None
    record = add_mask(room, 7)
    assert (record.version, record.parent_version, record.dice_vs_previous_version) == (2, None, None)
    room.decisions.decide("P1", DAY1, 2, "accept", "demo", "good")
    assert {p.timepoint: p.version for p in volume_points(room, "P1")} == {DAY1: 2, DAY2: 1}
    assert exclusion_reasons(room, "P1") == {}
    room.drafts.discard(draft.draft_id)


def test_a_lost_file_that_comes_back_is_found_again(room: Any):
    path = mask_file(room)
    os.rename(path, room.root / "away")
    room.losses.mark_lost("P1", DAY1, 1, "a disk broke", "ann")
    with pytest.raises(StoreError, match="is missing, or not the one that was stored"):
        room.losses.mark_found("P1", DAY1, 1, "ann")
    another_mask(path)
    with pytest.raises(StoreError, match="is missing, or not the one that was stored"):
        room.losses.mark_found("P1", DAY1, 1, "ann")
    os.replace(room.root / "away", path)
    with pytest.raises(StoreError, match="is lost"):
        room.masks.load(room.masks.version("P1", DAY1, 1))
    room.losses.mark_found("P1", DAY1, 1, "bob")
    assert {p.timepoint for p in volume_points(room, "P1")} == {DAY1, DAY2}
    assert room.masks.losses() == {}
    assert room.verify() == []
    with pytest.raises(StoreError, match="is not marked lost"):
        room.losses.mark_found("P1", DAY1, 1, "bob")


def test_what_is_there_cannot_be_marked_lost_and_a_loss_needs_its_reason(room: Any):
    with pytest.raises(StoreError, match="is there, as it was stored"):
        room.losses.mark_lost("P1", DAY1, 1, "I do not like it", "demo")
    another_mask(mask_file(room))
    for reason in ("", "  ", "x" * 501):
        with pytest.raises(InputError, match="reason in 1 to 500"):
            room.losses.mark_lost("P1", DAY1, 1, reason, "demo")
    with pytest.raises(StoreError, match="no mask version 7"):
        room.losses.mark_lost("P1", DAY1, 7, "gone", "demo")
    room.losses.mark_lost("P1", DAY1, 1, "somebody wrote over it", "demo")
    with pytest.raises(StoreError, match="is lost"):
        room.losses.mark_lost("P1", DAY1, 1, "again", "demo")


def test_a_loss_is_said_by_a_verb(room: Any, capsys: Any):
    root = room.root
    mask_file(room).unlink()
    room.close()

    def run(*arguments: str) -> tuple[int, str, str]:
        status = cli.main([*arguments, "--data", str(root), "--json", "--reviewer", "demo"])
        return status, *capsys.readouterr()

    assert run("lost", "P1", DAY1, "1", "--reason", "a disk broke")[0] == 0
    status, out, _ = run("verify")
    assert status == 1
    assert ["is lost: a disk broke" in problem for problem in json.loads(out)["problems"]] == [True]
    status, _, err = run("lost", "P1", DAY1, "1", "--found")
    assert status == 1
    assert "is missing" in err
    assert str(root) not in err
    with open_store(root) as store:
        assert store.masks.losses()[store.masks.version("P1", DAY1, 1).mask_id].person == "demo"


def test_nobody_outside_the_store_builds_the_path_of_a_stored_file():
    root = Path(__file__).resolve().parents[3]
    files = [root / "app.py", *(file for room in ("commands", "core", "pages") for file in (root / room).rglob("*.py"))]
    made = re.compile(r"\.root\s*/\s*\w+\.path|data_root\(\)\s*/\s*\w+\.path|[\"']f?(raw|processed)/")
    found = [
        f"{path.relative_to(root)}: {line}"
        for path in files
        for line in path.read_text().splitlines()
        if made.search(line)
    ]
    assert found == []
    assert made.search("str((store.root / scan.path).resolve())"), "as it was"
