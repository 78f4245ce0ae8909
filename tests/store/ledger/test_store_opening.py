"""Opening: the copies of the past are compared, the longer whole history wins, and nothing is begun over another's."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import cli
from core.errors import StoreError
from core.twin.curve_points import volume_points
from store import open_store, rebuild
from store.database.connection import StoreDamaged
from store.files import mask_files
from store.ledger.audit import make_entry, read_file
from tests.store.reopening import go_on, put_back, state
from tests.store_phantom import DAY1


def test_an_old_database_beside_a_newer_audit_file_is_refused_and_rebuild_brings_the_newer_decisions(
    root: Path,
) -> None:
    entries = go_on(root)
    put_back(root, "twin.duckdb")
    before = state(root)
    with pytest.raises(StoreDamaged, match=r"ends with entry 4, the file with 6\. .*Run `rebuild`"):
        open_store(root)
    assert state(root) == before
    assert rebuild(root)["audit"] == 6
    with open_store(root) as store:
        assert store.audit.entries() == entries
        assert store.masks.version("P1", DAY1, 1).status == "proposed"
        assert volume_points(store, "P1") == []
        assert store.verify() == []
    assert [p.read_bytes() for p in (root / "before-rebuild").glob("*/twin.duckdb")] == [before["twin.duckdb"]]


def test_an_old_database_and_an_old_audit_file_are_found_out_by_the_ledgers(root: Path) -> None:
    entries = go_on(root)
    put_back(root, "twin.duckdb", "audit.jsonl")
    with pytest.raises(StoreDamaged, match=r"ends with entry 4, the ledger knows entry 6\. .*Run `rebuild`"):
        open_store(root)
    rebuild(root)
    with open_store(root) as store:
        assert store.audit.entries() == entries
        assert store.verify() == []


def test_an_old_audit_file_beside_a_newer_database_is_completed_and_that_is_said(root: Path) -> None:
    entries = go_on(root)
    put_back(root, "audit.jsonl")
    with open_store(root) as store:
        assert store.recovered == ["audit.jsonl ended before entry 5; 2 were added from the database."]
        assert store.audit.entries()[:-1] == entries
        assert store.audit_log(1)[0]["action"] == "store.recovered"
        assert store.verify() == []


@pytest.mark.parametrize("damage", ["gone", "torn", "last line cut"])
def test_a_mirror_that_ends_early_is_completed_and_that_is_said(root: Path, damage: str) -> None:
    path = root / "audit.jsonl"
    whole = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(whole[: -9 if damage == "torn" else whole.rstrip().rfind(b"\n") + 1])
    with open_store(root) as store:
        assert len(store.recovered) == 1
        assert store.verify() == []
    assert path.read_bytes().startswith(whole)


def test_histories_that_part_are_not_opened_and_the_longer_one_is_rebuilt(root: Path, tmp_path: Path) -> None:
    go_on(root)
    with open_store(tmp_path / "other") as other:  # an installation that went another way after entry 4
        pass
    shutil.rmtree(tmp_path / "other")
    shutil.copytree(root, tmp_path / "other", symlinks=True)
    put_back(tmp_path / "other", "twin.duckdb", "audit.jsonl")
    for ledger in (tmp_path / "other").glob("processed/**/ledger.jsonl"):
        kept = [line for line in ledger.read_bytes().splitlines(True) if json.loads(line)["seq"] <= 4]
        ledger.write_bytes(b"".join(kept))
    with open_store(tmp_path / "other") as other:
        other.events.add("P1", DAY1, "surgery", "", "demo")
    shutil.copy(tmp_path / "other" / "twin.duckdb", root / "twin.duckdb")
    before = state(root)
    with pytest.raises(StoreDamaged, match="part at entry 5: they tell different histories, of 5 and 6 entries"):
        open_store(root)
    assert state(root) == before
    rebuild(root)
    with open_store(root) as store:
        assert len(store.audit.entries()) == 6
        assert volume_points(store, "P1") == []
        assert store.verify() == []


def test_a_row_of_the_audit_that_was_deleted_is_refused_and_comes_back(root: Path) -> None:
    with open_store(root) as store:
        store.db.execute("DELETE FROM audit WHERE seq = 4")
    with pytest.raises(StoreDamaged, match="Run `rebuild`"):
        open_store(root)
    rebuild(root)
    with open_store(root) as store:
        assert store.verify() == []


@pytest.mark.parametrize("lost", [("twin.duckdb",), ("twin.duckdb", "audit.jsonl")])
def test_a_lost_database_is_never_taken_for_a_new_folder(root: Path, lost: tuple[str, ...]) -> None:
    with open_store(root) as store:
        entries = store.audit.entries()
    for name in lost:
        (root / name).unlink()
    before = state(root)
    for verb in (["masks", "P1"], ["verify"], ["demo"]):
        assert cli.main([*verb, "--data", str(root)]) == 1
    with pytest.raises(StoreDamaged, match="Run `rebuild`"):
        open_store(root)
    assert state(root) == before
    rebuild(root)
    with open_store(root) as store:
        assert store.audit.entries() == entries
        assert store.verify() == []


def test_an_emptied_database_is_not_begun_again_over_scans(root: Path) -> None:
    (root / "audit.jsonl").unlink()
    (root / "twin.duckdb").write_bytes(b"")
    with pytest.raises(StoreDamaged, match="Run `rebuild`"):
        open_store(root)
    (root / "twin.duckdb").unlink()
    with pytest.raises(StoreDamaged, match=r"missing, but .*raw/.* Run `rebuild`") as told:
        open_store(root)
    assert str(root) not in str(told.value), "the page shows this to everybody"


def test_only_import_and_demo_make_a_store(tmp_path: Path, capsys: Any) -> None:
    missing = tmp_path / "mistyped"
    for verb in (
        ["masks", "P1"],
        ["verify"],
        ["growth", "P1"],
        ["segment", "P1", DAY1],
        ["audit", "head"],
        ["accept", "P1", DAY1, "1", "--reason", "good"],
    ):
        assert cli.main([*verb, "--data", str(missing)]) == 1
        assert "There is no store in" in capsys.readouterr().err
        assert not missing.exists()
    with pytest.raises(StoreError, match="no store"):
        open_store(missing, create=False)
    with pytest.raises(StoreError, match="no store"):
        open_store(missing, read_only=True)
    missing.mkdir()
    with pytest.raises(StoreError, match="nothing in"):
        rebuild(missing)
    assert list(missing.iterdir()) == []
    assert (
        cli.main(
            [
                "import",
                str(tmp_path / "none.nii.gz"),
                "--dataset",
                "d",
                "--patient",
                "P1",
                "--date",
                DAY1,
                "--modality",
                "CT",
                "--data",
                str(missing),
            ]
        )
        == 1
    )
    assert (missing / "twin.duckdb").exists()


def test_a_data_folder_of_before_there_were_ledgers_gets_them_and_goes_on_after_a_kill_while_they_are_written(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = {path: path.read_bytes() for path in root.glob("processed/**/ledger.jsonl")}
    assert len(whole) == 2
    for path in whole:
        path.unlink()

    class Crash(BaseException):
        pass

    replace, calls = mask_files.replace_bytes, 0

    def dies(*arguments: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise Crash
        replace(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr("store.ledger.ledgers.replace_bytes", dies)
        with pytest.raises(Crash):
            open_store(root)
    assert len(list(root.glob("processed/**/ledger.jsonl"))) == 1
    with open_store(root) as store:
        assert any("Ledgers were completed" in text for text in store.recovered)
        assert store.verify() == []
    assert all(path.read_bytes().startswith(data) for path, data in whole.items())


def test_a_chain_that_was_written_anew_and_longer_is_not_believed_beside_the_database(root: Path) -> None:
    """Without a key the chain cannot say which is the true one; it is never opened without a word."""
    path = root / "audit.jsonl"
    entries, _ = read_file(path)
    forged: list[dict[str, Any]] = []
    for entry in entries:
        payload = {**entry["payload"], "forged": True}
        before = forged[-1]["hash"] if forged else entry["prev_hash"]
        forged.append(make_entry(entry["seq"], entry["created_at"], "mallory", entry["action"], payload, before))
    path.write_text("".join(json.dumps(entry) + "\n" for entry in forged))
    with pytest.raises(StoreDamaged, match="part at entry 1"):
        open_store(root)
