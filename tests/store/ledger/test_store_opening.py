"""Opening: the copies of the past are compared, the longer whole history wins, and nothing is begun over another's."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

import cli
from core.errors import StoreError
from core.twin.curve_points import volume_points
from store import Store, open_store, open_to_look, rebuild
from store.database.connection import Connection, StoreBusy, StoreDamaged, StoreReadOnly
from store.database.migrations import MIGRATIONS, migrate
from store.files import mask_files
from store.ledger.audit import make_entry, read_file
from tests.store_phantom import DAY1, add_mask, add_scan

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A store with one accepted mask; `old/` beside it is its database and audit of before the acceptance's end."""
    folder = tmp_path / "data"
    with open_store(folder) as store:
        add_scan(store)
        add_mask(store, 4)
        store.decisions.decide("P1", DAY1, 1, "accept", "demo", "good")
    (tmp_path / "old").mkdir()
    for name in ("twin.duckdb", "audit.jsonl"):
        shutil.copy(folder / name, tmp_path / "old" / name)
    return folder


def go_on(folder: Path) -> list[dict[str, Any]]:
    """Two more writes: the acceptance is withdrawn, which must not be forgotten; all entries then."""
    with open_store(folder) as store:
        store.decisions.decide("P1", DAY1, 1, "withdraw", "demo", "second-look")
        store.events.add("P1", DAY1, "steroids", "4 mg", "demo")
        return store.audit.entries()


def put_back(folder: Path, *names: str) -> None:
    for name in names:
        shutil.copy(folder.parent / "old" / name, folder / name)


def state(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "incoming" not in path.parts
    }


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


def older(root: Path) -> None:
    """The same rows in a database of the first schema, as the first TwinReview made it."""
    new, old = root / "twin.duckdb", root.parent / "first.duckdb"
    with Connection(old) as db:
        migrate(db, MIGRATIONS[:1])
    with contextlib.closing(duckdb.connect(str(old))) as db:
        db.execute(f"ATTACH '{new}' AS newer (READ_ONLY)")
        columns = db.execute(
            "SELECT table_name, string_agg(column_name, ', ') FROM information_schema.columns "
            "WHERE table_catalog = 'first' AND table_name <> 'schema_version' GROUP BY table_name"
        ).fetchall()
        for table, names in columns:
            db.execute(f"INSERT INTO {table} ({names}) SELECT {names} FROM newer.{table}")
    os.replace(old, new)


def test_an_older_schema_is_migrated_with_a_copy_and_says_so(root: Path) -> None:
    older(root)
    with pytest.raises(StoreError, match=r"has schema 1, this TwinReview needs \d"):
        open_store(root, read_only=True)
    assert list(root.glob("*before-migration*")) == []
    old = (root / "twin.duckdb").read_bytes()
    with open_store(root) as store:
        (kept,) = root.glob("twin.duckdb.v1-before-migration-*")
        assert any(kept.name in text and "schema 1" in text for text in store.recovered)
        assert store.audit_log(1)[0]["payload"]["text"] in store.recovered
        assert [m.status for m in store.masks.of("P1")] == ["accepted"]
        assert store.audit.verify() == []
    assert kept.read_bytes() == old
    with open_store(root) as store:
        assert store.recovered == []
    assert len(list(root.glob("*before-migration*"))) == 1


def test_an_older_database_that_must_not_be_opened_is_not_updated_either(root: Path) -> None:
    go_on(root)
    put_back(root, "twin.duckdb")
    older(root)
    before = state(root)
    with pytest.raises(StoreDamaged, match="Run `rebuild`"):
        open_store(root)
    assert state(root) == before


def test_an_update_whose_opening_died_before_it_was_recorded_is_recorded_by_the_next(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    older(root)

    def dies(*_: Any) -> None:
        raise Killed

    for where in ("database.migrations.migrate", "ledger.opening.mend_copies"):  # after the copy; after the update
        with monkeypatch.context() as patch:
            patch.setattr(f"store.{where}", dies)
            with pytest.raises(Killed):
                open_store(root)
    kept = sorted(path.name for path in root.glob("*before-migration*"))
    assert len(kept) == 2
    with open_store(root) as store:
        texts = [e["payload"]["text"] for e in store.audit_log(9) if e["action"] == "store.recovered"]
        assert sorted(text.split()[-1].rstrip(".") for text in texts) == kept
        assert sorted(store.recovered) == sorted(texts)
    with open_store(root) as store:
        assert store.recovered == []


HOLDER = """
import sys
from store import open_store
from store.database.migrations import MIGRATIONS, migrate
from tests.store_phantom import DAY1, add_mask
store = open_store(sys.argv[1])
store.events.add("P1", DAY1, "steroids", "2 mg", "demo")
print("ready", flush=True)
for line in sys.stdin:
    if line.strip() == "event":
        store.events.add("P1", DAY1, "steroids", "8 mg", "demo")
        print("done", flush=True)
store.close()
"""


@pytest.fixture
def held(root: Path) -> Iterator[tuple[Path, Callable[[], None]]]:
    """The store, held by another process that has written and rests; and a call that lets it write once more."""
    other = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(root)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert other.stdin is not None
    assert other.stdout is not None
    assert other.stdout.readline() == "ready\n"

    def write() -> None:
        assert other.stdin is not None
        assert other.stdout is not None
        other.stdin.write("event\n")
        other.stdin.flush()
        assert other.stdout.readline() == "done\n"

    yield root, write
    other.stdin.close()
    other.wait(30)


def test_reading_verbs_work_on_a_snapshot_beside_the_dashboard_and_writing_ones_are_refused(
    held: tuple[Path, Callable[[], None]], capsys: Any
) -> None:
    root, write = held
    assert cli.main(["masks", "P1", "--data", str(root), "--json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)[0]["status"] == "accepted"
    assert "snapshot" in told.err
    assert cli.main(["verify", "--data", str(root)]) == 0
    assert cli.main(["person", "list", "--data", str(root)]) == 0
    assert cli.main(["person", "add", "cy", "--data", str(root)]) == 1
    assert "held by another process (PID" in capsys.readouterr().err
    assert cli.main(["withdraw", "P1", DAY1, "1", "--reason", "x", "--data", str(root)]) == 1
    assert "held by another process (PID" in capsys.readouterr().err
    with pytest.raises(StoreBusy, match="held by another process"):
        open_store(root)
    with pytest.raises(StoreBusy):
        rebuild(root)
    for count in (1, 2):
        with open_to_look(root) as store:
            assert store.read_only
            assert len(store.events.of("P1")) == count
            with pytest.raises(StoreReadOnly):
                store.events.add("P1", DAY1, "steroids", "1 mg", "demo")
            if count == 1:
                write()
                assert len(store.events.of("P1")) == 1
    assert [p.name for p in (root / "incoming").iterdir() if p.name.startswith("looking")] == []


def test_a_look_in_the_same_process_shares_the_database_and_cannot_write(store: Store) -> None:
    with open_store(store.root, read_only=True) as look:
        add_scan(store)
        assert len(look.scans.of("P1")) == 1
        for write in (
            lambda: look.people.add("eve", by="demo"),
            lambda: look.db.execute("DELETE FROM people"),
            lambda: look.db.execute_many("DELETE FROM people WHERE name = ?", [["demo"]]),
            lambda: look.db.transaction().__enter__(),
        ):
            with pytest.raises(StoreReadOnly):
                write()
    assert store.verify() == []


class Killed(BaseException):
    """Stands for the death of the process: nothing that catches errors catches it."""


def kill_rebuild(root: Path, stop: int) -> bool:
    """A rebuild that dies before or after the n-th call that changes a file; False if it ended before that."""
    count = 0

    def step(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **more: Any) -> Any:
            nonlocal count
            before, after = count + 1, count + 2
            count = after
            if before == stop:
                raise Killed
            try:
                return function(*arguments, **more)
            finally:  # also after a file that was not there to be unlinked
                if after == stop:
                    raise Killed

        return wrapped

    module = sys.modules["store.recovery.rebuild"]
    with pytest.MonkeyPatch.context() as patch:
        for where, name in (
            (mask_files, "copy_synced"),
            (mask_files, "replace_bytes"),
            (mask_files, "set_final"),
            (os, "replace"),
            (os, "unlink"),
            (module, "_build"),
            (module, "_follow"),
        ):
            patch.setattr(where, name, step(getattr(where, name)))
        try:
            rebuild(root)
        except Killed:
            return True
    return False


def check_kills(root: Path, tmp_path: Path, expected: list[dict[str, Any]] | None, stride: int) -> int:
    """Kill a rebuild at every `stride`th step, run it again, and compare; how many steps there were."""
    for stop in range(1, 200, stride):
        copy = tmp_path / f"killed-{stop}"
        shutil.copytree(root, copy, symlinks=True)
        if not kill_rebuild(copy, stop):
            return stop - 1
        rebuild(copy)
        with open_store(copy) as store:
            entries = store.audit.entries()
            if expected is None:
                assert volume_points(store, "P1") == []
                assert [e["action"] for e in entries[:3]] == ["person.added", "store.recovered", "scan.adopted"]
                assert [m.status for m in store.masks.of("P1")] == ["proposed"]
            else:
                assert entries == expected
            assert store.verify() == []
        shutil.rmtree(copy)
    raise AssertionError("it never ended")


REBUILD = """
import os, sys
from store import rebuild
from store.files import mask_files
replace = mask_files.replace_bytes
def dies(*arguments):
    replace(*arguments)
    os._exit(9)
mask_files.replace_bytes = dies
rebuild(sys.argv[1])
"""


def test_a_rebuild_whose_process_dies_is_ended_by_the_next(root: Path) -> None:
    entries = go_on(root)
    put_back(root, "twin.duckdb", "audit.jsonl")
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", REBUILD, str(root)], cwd=ROOT, env=env, check=False)
    assert done.returncode == 9
    with pytest.raises(StoreDamaged, match="Run `rebuild`"):
        open_store(root)
    rebuild(root)
    with open_store(root) as store:
        assert store.audit.entries() == entries
        assert store.verify() == []


@pytest.mark.parametrize("stride", [5, pytest.param(1, marks=pytest.mark.soak)])
def test_a_rebuild_that_is_killed_at_any_step_is_ended_by_the_next(root: Path, tmp_path: Path, stride: int) -> None:
    entries = go_on(root)
    put_back(root, "twin.duckdb", "audit.jsonl")
    assert check_kills(root, tmp_path, entries, stride) >= 8


@pytest.mark.parametrize("stride", [7, pytest.param(1, marks=pytest.mark.soak)])
def test_an_adopting_rebuild_that_is_killed_is_ended_by_the_next(root: Path, tmp_path: Path, stride: int) -> None:
    (root / "twin.duckdb").unlink()
    (root / "audit.jsonl").unlink()
    for path in root.glob("processed/**/ledger.jsonl"):
        path.unlink()
    assert check_kills(root, tmp_path, None, stride) >= 8


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


def test_looking_waits_for_a_writer_to_rest_but_not_for_ever(held: tuple[Path, Callable[[], None]]) -> None:
    root, _ = held
    os.utime(root / "twin.duckdb.wal", (time.time() + 0.01, time.time() + 0.01))
    with open_store(root, read_only=True) as store:
        assert store.patients.all()
