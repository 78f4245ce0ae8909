"""UIDs of scans: in a file of their own under a salted name, for those who may see them, and nowhere else."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from core.errors import InputError, StoreError
from core.remembered.incoming import NewScan
from store import Store, open_store, rebuild
from store.ledger.audit import make_entry
from store.ledger.scope import scoped
from store.values import utc_now
from tests.store_phantom import DAY1, DAY2, add_mask, add_scan, scan_volume, uids

ROOT = Path(__file__).resolve().parents[3]
UIDS = uids(1)


def _files(root: Path) -> list[Path]:
    return sorted((root / "identifiers").glob("*"))


def _elsewhere(root: Path) -> list[str]:
    """Files beside those in identifiers/ that hold a part of a UID."""
    found = [p for p in root.rglob("*") if p.is_file() and p.parent.name != "identifiers"]
    return [p.relative_to(root).as_posix() for p in found if b"826.4711" in p.read_bytes()]


def test_uids_come_back_and_are_in_one_file_that_this_account_alone_may_read(tmp_path: Path, store: Store) -> None:
    scan = add_scan(store, identifiers=UIDS)
    assert store.scans.identifiers(scan) == UIDS
    assert store.verify() == []
    assert store.remarks() == []
    store.close()
    (file,) = _files(store.root)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert _elsewhere(store.root) == []
    assert "identifiers_sha256" not in (store.root / scan.path).with_name("CT.json").read_text()


def test_a_group_that_shares_the_folder_may_not_read_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = os.umask(0o007)
    monkeypatch.setenv("TWIN_UMASK", "007")
    try:
        with open_store(tmp_path / "data") as store:
            add_scan(store, identifiers=UIDS)
    finally:
        os.umask(old)
    assert stat.S_IMODE(_files(tmp_path / "data")[0].stat().st_mode) == 0o600


def test_the_audit_s_hash_of_a_known_series_is_another_one_each_time(tmp_path: Path) -> None:
    names = set()
    for n in range(3):
        with open_store(tmp_path / str(n)) as store:
            add_scan(store, identifiers=UIDS)
            names |= {store.audit_log(1)[0]["payload"]["identifiers_sha256"]}
    assert len(names) == 3


@pytest.mark.parametrize(
    ("role", "granted", "sees"),
    [
        ("viewer", None, False),
        ("reader", None, False),
        ("reader", ["set"], False),
        ("adjudicator", None, True),
        ("adjudicator", ["set"], True),
        ("adjudicator", ["other"], False),
        ("administrator", None, True),
    ],
)
@pytest.mark.parametrize("blind", [False, True])
def test_adjudicators_and_administrators_see_them_where_they_see_the_scan(
    store: Store, role: str, granted: list[str] | None, sees: bool, blind: bool
) -> None:
    scan = add_scan(store, identifiers=UIDS)
    if blind:
        store.readings.set_blind("P1", DAY1, True, "demo")
        add_mask(store, 3, author="ann")
    store.people.add("eve", role, by="demo")
    if granted is not None:
        store.people.grant("eve", granted, by="demo")
    seen = store.seen_by("eve")
    assert seen.scans.identifiers(scan) == (UIDS if sees else None)
    assert bool(store.db.query(*scoped(seen.scope, "SELECT * FROM scan_identifiers"))) is sees


def test_they_survive_a_rebuild_and_a_scan_without_any_stays_without(tmp_path: Path) -> None:
    with open_store(tmp_path / "data") as store:
        scan, other = add_scan(store, identifiers=UIDS), add_scan(store, "P2", seed=2)
    (tmp_path / "data" / "twin.duckdb").unlink()
    rebuild(tmp_path / "data")
    with open_store(tmp_path / "data") as store:
        assert store.scans.identifiers(scan) == UIDS
        assert store.scans.identifiers(other) is None
        assert store.verify() == []


def test_a_copy_without_the_folder_works_and_says_that_they_are_lost(tmp_path: Path) -> None:
    with open_store(tmp_path / "data") as store:
        scan = add_scan(store, identifiers=UIDS)
    shutil.rmtree(tmp_path / "data" / "identifiers")
    (tmp_path / "data" / "twin.duckdb").unlink()
    rebuild(tmp_path / "data")
    with open_store(tmp_path / "data") as store:
        assert store.verify() == []
        assert store.remarks() == ["The UIDs of 1 scans are lost: results cannot point at their source images."]
        with pytest.raises(StoreError, match="UIDs of this scan are lost"):
            store.scans.identifiers(scan)


def test_an_altered_file_is_read_by_nobody_and_named(store: Store) -> None:
    scan = add_scan(store, identifiers=UIDS)
    (file,) = _files(store.root)
    file.write_text(file.read_text().replace("4711.1.3.0", "4712.1.3.0"))
    assert store.verify() == [
        f"identifiers/{file.name} is not the file that was stored: its sha256 differs from the record."
    ]
    with pytest.raises(StoreError, match="was altered"):
        store.scans.identifiers(scan)


@pytest.mark.parametrize("target", ["itself", "another"])
def test_a_link_in_the_file_s_place_is_not_followed(tmp_path: Path, store: Store, target: str) -> None:
    scan = add_scan(store, identifiers=UIDS)
    (file,) = _files(store.root)
    shutil.move(file, tmp_path / "x.json")
    file.symlink_to(tmp_path / "x.json" if target == "itself" else "/etc/hostname")
    assert len(store.verify()) == 1
    with pytest.raises(StoreError, match="was altered"):
        store.scans.identifiers(scan)


def test_a_file_open_to_others_and_one_of_no_scan_are_named(store: Store) -> None:
    add_scan(store, identifiers=UIDS)
    (file,) = _files(store.root)
    file.chmod(0o640)
    assert store.verify() == [f"identifiers/{file.name} can be read by other accounts. Close it: chmod 600."]
    file.chmod(0o600)
    file.with_name("x.json").write_text("{}")
    assert store.remarks() == ["identifiers/x.json is of no stored scan. It may name a person's images: take it away."]


def test_each_scan_of_a_study_keeps_its_own(store: Store) -> None:
    scans = [NewScan(scan_volume(n, modality), {}, uids(n)) for n, modality in ((1, "CT"), (2, "PET"))]
    plain = NewScan(scan_volume(3, "MR"))
    details = {"dataset": "set", "patient_id": "P1", "timepoint": DAY1, "person": "demo"}
    stored = store.studies.add([*scans, plain], [], **details).scans
    assert [store.scans.identifiers(scan) for scan in stored] == [uids(1), uids(2), None]
    assert store.verify() == []
    store.close()
    assert len(_files(store.root)) == 2
    assert _elsewhere(store.root) == []


def test_uids_go_along_when_a_scan_is_moved_and_wait_while_it_is_withdrawn(store: Store) -> None:
    scan = add_scan(store, identifiers=UIDS)
    store.corrections.move_scan(
        "P1", DAY1, scan.scan_id, to_patient_id="P2", to_timepoint=DAY2, reason="wrong patient", person="demo"
    )
    (moved,) = store.scans.of("P2")
    assert store.scans.identifiers(moved) == UIDS
    store.corrections.withdraw_scan("P2", DAY2, moved.scan_id, reason="wrong patient", person="demo")
    assert store.scans.identifiers(moved) is None
    assert len(_files(store.root)) == 1
    assert store.verify() == []


@pytest.mark.parametrize("withdrawn", [False, True])
def test_uids_are_gone_for_good_with_their_patient(store: Store, withdrawn: bool) -> None:
    scan, other = add_scan(store, identifiers=UIDS), add_scan(store, "P2", seed=2, identifiers=uids(2))
    if withdrawn:
        store.corrections.withdraw_scan("P1", DAY1, scan.scan_id, reason="wrong patient", person="demo")
    store.corrections.delete_patient("P1", confirm="P1", reason="withdrew consent", person="demo")
    assert len(_files(store.root)) == 1
    assert store.scans.identifiers(other) == uids(2)
    assert store.db.query("SELECT count(*) AS n FROM scan_identifiers")[0]["n"] == 1
    assert store.verify() == []
    assert not [text for text in store.remarks() if "UIDs" in text]


def test_uids_of_an_image_that_came_in_again_elsewhere_stay(store: Store) -> None:
    scan = add_scan(store, identifiers=UIDS)
    store.corrections.withdraw_scan("P1", DAY1, scan.scan_id, reason="wrong patient", person="demo")
    again = add_scan(store, "P2", identifiers=UIDS)
    store.corrections.delete_patient("P1", confirm="P1", reason="withdrew consent", person="demo")
    assert store.scans.identifiers(again) == UIDS
    assert store.verify() == []


def test_uids_of_another_number_of_slices_are_refused(store: Store) -> None:
    with pytest.raises(InputError, match="UIDs of 8 slices, got 7"):
        add_scan(store, identifiers=uids(1, 7))
    assert store.patients.all() == []


_KILLED = """
import os, sys
from store import open_store
from store.ledger import replay
from tests.store_phantom import add_scan, uids
store = open_store(sys.argv[1])
replay.apply = lambda db, entry: os._exit(9)
add_scan(store, identifiers=uids(1))
"""


def test_a_kill_before_the_record_leaves_no_uid_anywhere(tmp_path: Path) -> None:
    root = tmp_path / "data"
    done = subprocess.run([sys.executable, "-c", _KILLED, root], cwd=ROOT, check=False)
    assert done.returncode == 9
    assert len(_files(root)) == 1
    assert _elsewhere(root) == []
    with open_store(root) as store:
        assert any("cut short" in text for text in store.recovered)
        assert store.verify() == []
    assert _files(root) == []
    assert _elsewhere(root) == []


@pytest.mark.parametrize("sha256", ["recorded", "../../precious", "A" * 64, 7, None])
def test_a_forged_journal_takes_no_recorded_uids_away(tmp_path: Path, sha256: Any) -> None:
    root = tmp_path / "data"
    with open_store(root) as store:
        scan = add_scan(store, identifiers=UIDS)
        last = store.audit_log(1)[0]
    (file,) = _files(root)
    named = file.stem if sha256 == "recorded" else sha256
    path = f"raw/set/P1/{DAY1}/CT-9.nii.gz"
    payload = {**scan.to_json(), "scan_id": "CT-9", "path": path, "identifiers_sha256": named}
    entry = make_entry(last["seq"] + 1, utc_now(), "demo", "scan.added", payload, last["hash"])
    files = [path, path.replace(".nii.gz", ".json"), f"identifiers/{named}.json"]
    (root / "journal.json").write_text(json.dumps({"entry": entry, "files": files}))
    with pytest.raises(StoreError, match="Nothing was touched"):
        open_store(root)
    assert file.exists()
