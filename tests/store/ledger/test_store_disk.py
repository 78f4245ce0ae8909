"""What a failing disk does: damaged bytes, no room, no right to write. Every end is a sentence, and nothing is lost."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import random
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import cli
from core.errors import StoreError, TwinReviewError
from store import open_store, rebuild
from store.database.connection import Connection, StoreBusy, StoreConflict, StoreDamaged, StoreFull, StoreReadOnly
from store.files import mask_files
from store.ledger import journal, opening
from tests.store.reopening import older
from tests.store_phantom import DAY1, add_mask, add_scan, busy_history

ROOT = Path(__file__).resolve().parents[3]
ENV = {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("disk") / "data"
    with open_store(root) as store:
        busy_history(store)
    return root


def damaged(whole: Path, root: Path, seed: int) -> None:
    """A copy of the data folder, 64 random bytes at a random place of its database overwritten."""
    shutil.copytree(whole, root, symlinks=True)
    chance = random.Random(seed)
    database = root / "twin.duckdb"
    data = bytearray(database.read_bytes())
    start = chance.randrange(len(data) - 64)
    data[start : start + 64] = chance.randbytes(64)
    database.write_bytes(data)


SEEDS = [seed if seed % 3 == 0 else pytest.param(seed, marks=pytest.mark.soak) for seed in range(30)]


@pytest.mark.parametrize("seed", SEEDS)
def test_64_random_bytes_end_in_a_clear_sentence_or_a_clean_verify_and_rebuild_mends_it(
    whole: Path, tmp_path: Path, seed: int
) -> None:
    root = tmp_path / "data"
    damaged(whole, root, seed)
    told = ""
    try:
        with open_store(root) as store:
            problems = store.verify()
            store.patients.all(), store.masks.of("P1"), store.jobs.newest(), store.audit_log(5)
        assert problems == []
    except StoreDamaged as error:
        told = str(error)
    assert not told or "rebuild" in told
    assert "another process" not in told
    assert str(root) not in told
    rebuild(root)
    with open_store(root) as store:
        assert store.verify() == []
        assert len(store.masks.of("P1")) == 4


@pytest.mark.parametrize("place", [0, 8, 4096, 8192, 12288])
def test_a_damaged_header_is_no_other_process_and_is_rebuilt(whole: Path, tmp_path: Path, place: int) -> None:
    root = tmp_path / "data"
    shutil.copytree(whole, root, symlinks=True)
    with open(root / "twin.duckdb", "r+b") as file:
        file.seek(place)
        file.write(b"block lock " * 6)
    with contextlib.suppress(StoreDamaged), open_store(root) as store:
        assert store.verify() == []
    rebuild(root)
    with open_store(root) as store:
        assert store.verify() == []


def test_no_error_of_the_database_leaves_the_connection(tmp_path: Path) -> None:
    with Connection(tmp_path / "x.duckdb") as db:
        db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
        db.execute("INSERT INTO t VALUES (1)")
        for wrong in (
            lambda: db.execute("INSERT INTO t VALUES (1)"),
            lambda: db.query("SELECT * FROM nowhere"),
            lambda: db.query("SELEKT"),
            lambda: db.execute_many("INSERT INTO t VALUES (?)", [[2], [2]]),
            lambda: db.query("SELECT CAST('x' AS INTEGER)"),
        ):
            with pytest.raises(StoreConflict, match="refused a statement"):
                wrong()
        assert db.query("SELECT id FROM t WHERE id = 1") == [{"id": 1}]
    (tmp_path / "x.duckdb").write_bytes(b"block lock" * 2000)
    with pytest.raises(StoreDamaged, match="damaged or is none"):
        Connection(tmp_path / "x.duckdb")


def test_a_damaged_block_that_is_met_later_is_a_sentence_too(tmp_path: Path) -> None:
    """The header is whole, so it opens; the block of one table is not."""
    path = tmp_path / "x.duckdb"
    with Connection(path) as db:
        db.execute("CREATE TABLE t (name VARCHAR)")
        db.execute_many("INSERT INTO t VALUES (?)", [[f"{n:08d}" * 500] for n in range(400)])
    data = bytearray(path.read_bytes())
    for start in range(2**18, len(data) - 64, 2**18):
        data[start : start + 64] = b"x" * 64
    path.write_bytes(data)
    with pytest.raises(StoreDamaged, match="Run `rebuild`"), Connection(path) as db:
        db.query("SELECT sum(length(name)) AS n FROM t")


FULL = """
import contextlib, json, resource, sys
from pathlib import Path
from core.errors import TwinReviewError
from store import open_store
from store.database.connection import StoreFull
from tests.store_phantom import DAY1, add_mask, add_scan

root = Path(sys.argv[1])
store = open_store(root)
add_scan(store)
add_mask(store, 3)
job = store.jobs.create("segment", {}, "demo")
kinds = {
    "event": lambda: store.events.add("P1", DAY1, "steroids", "y" * 3000, "demo"),
    "scan": lambda: add_scan(store, seed=9),
    "mask": lambda: add_mask(store, 5),
    "decision": lambda: store.decisions.decide("P1", DAY1, 1, "accept", "demo", "good", "c" * 3000),
    "progress": lambda: store.jobs.update(job, message="m" * 3000),
    "draft": lambda: store.drafts.begin("P1", DAY1, 1, "demo"),
}
before = [len(store.audit.entries()), len(store.masks.of("P1")), len(store.scans.of("P1")), len(store.events.of("P1"))]
wal = (root / "twin.duckdb.wal").stat().st_size
answers = {}
for name, write in kinds.items():
    for room in (64, wal + 64):  # no room for any file; no room in the database's log
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
        try:
            write()
            answers.setdefault(name, "written")
        except TwinReviewError as error:
            answers.setdefault(name, "refused")
            assert str(root) not in str(error), error
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert store.masks.of("P1") and store.patients.all()
after = [len(store.audit.entries()), len(store.masks.of("P1")), len(store.scans.of("P1")), len(store.events.of("P1"))]
problems = store.verify()
quarantined = [str(p) for p in (root / "quarantine").rglob("*") if p.is_file()]
for write in kinds.values():
    write()
problems += store.verify()
store.close()
with open_store(root) as again:
    problems += again.verify()
print(json.dumps([answers, before, after, problems, quarantined]))
"""


def test_a_full_disk_is_a_sentence_leaves_nothing_half_written_and_work_goes_on_when_there_is_room(
    tmp_path: Path,
) -> None:
    """A limit on the size of files stands for the full disk: the system refuses in the same places."""
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path / "data")],
        cwd=ROOT,
        env=ENV,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    answers, before, after, problems, quarantined = json.loads(done.stdout)
    assert set(answers.values()) == {"refused"}
    assert after == before
    assert problems == []
    assert quarantined == []


@contextlib.contextmanager
def mounted(place: Path, *options: str) -> Iterator[None]:
    """A mount at `place`; skips where mounting is not permitted."""
    place.mkdir(exist_ok=True)
    done = subprocess.run(["mount", *options, str(place)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"needs the right to mount: {done.stderr.strip()[:100]}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_of_its_own_is_a_sentence_and_the_store_goes_on(tmp_path: Path) -> None:
    if shutil.which("mount") is None:
        pytest.skip("needs mount")
    with mounted(tmp_path / "small", "-t", "tmpfs", "-o", "size=24m", "tmpfs"):
        root = tmp_path / "small" / "data"
        with open_store(root) as store:
            add_scan(store)
            add_mask(store, 3)
            filler = tmp_path / "small" / "filler"
            free = shutil.disk_usage(root).free
            filler.write_bytes(b"x" * (free - 16_384))
            entries = store.audit.entries()
            refusals: list[TwinReviewError] = []
            for number in range(60):
                try:
                    store.events.add("P1", DAY1, "steroids", "y" * 2000 + str(number), "demo")
                except TwinReviewError as error:
                    refusals.append(error)
                    break
            assert refusals, "the disk must have been full"
            assert "full" in str(refusals[0]) or "No space left" in str(refusals[0])
            for write in (lambda: add_scan(store, seed=4), lambda: add_mask(store, 5)):
                with pytest.raises(TwinReviewError):
                    write()
            assert store.audit.entries()[: len(entries)] == entries
            assert len(store.masks.of("P1")) == 1
            filler.unlink()
            store.events.add("P1", DAY1, "steroids", "there is room again", "demo")
            add_mask(store, 5)
            assert store.verify() == []
        with open_store(root) as store:
            assert store.verify() == []


def check_looking_only(root: Path, capsys: Any) -> None:
    """Looking works, writing is refused in words, `rebuild` is not advised, and no byte changes."""
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    for verb in (["masks", "P1"], ["growth", "P1"], ["verify"], ["audit", "head"]):
        assert cli.main([*verb, "--data", str(root)]) == 0, capsys.readouterr().err
        told = capsys.readouterr().err
        assert "cannot be written" in told
        assert "rebuild" not in told
    assert cli.main(["reject", "P1", DAY1, "4", "--reason", "leak", "--data", str(root)]) == 1
    told = capsys.readouterr().err
    assert "looking only" in told
    assert "rebuild" not in told
    with open_store(root) as store:
        assert store.read_only
        assert len(store.masks.of("P1", DAY1)) == 3
        with pytest.raises(StoreReadOnly):
            store.events.add("P1", DAY1, "steroids", "x", "demo")
        with pytest.raises(TwinReviewError):
            add_scan(store, seed=77)
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before


def test_a_read_only_folder_is_opened_for_looking(whole: Path, tmp_path: Path, capsys: Any) -> None:
    root = tmp_path / "ro" / "data"
    shutil.copytree(whole, root, symlinks=True)
    with mounted(tmp_path / "ro", "--bind", str(tmp_path / "ro")):
        subprocess.run(["mount", "-o", "remount,ro,bind", str(tmp_path / "ro")], check=True)
        check_looking_only(root, capsys)


def test_a_folder_that_says_it_cannot_be_written_is_opened_for_looking(
    whole: Path, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same without a mount: only the system's answer to "may I write?" is another (root may always)."""
    root = tmp_path / "data"
    shutil.copytree(whole, root, symlinks=True)
    may = os.access
    monkeypatch.setattr(os, "access", lambda path, mode, **more: not mode & os.W_OK and may(path, mode, **more))
    check_looking_only(root, capsys)


def test_a_disk_that_is_full_while_a_database_is_copied_before_its_update_leaves_no_half_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "data"
    with open_store(root) as store:
        add_scan(store)
    older(root)
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}

    def full(source: Any, target: Any, *_: Any) -> None:
        target.write(source.read(4096))
        raise OSError(errno.ENOSPC, "No space left on device")

    for _ in range(2):
        with monkeypatch.context() as patch:
            patch.setattr("store.files.mask_files.shutil.copyfileobj", full)
            with pytest.raises(StoreError, match=r"refused a file \(No space left on device\)\. Make room") as caught:
                open_store(root)
        assert str(root) not in str(caught.value)
        assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before
    with open_store(root) as store:
        assert store.audit.verify() == []
    assert len(list(root.glob("twin.duckdb.v1-before-migration-*"))) == 1


def test_two_updates_in_one_second_keep_two_copies(tmp_path: Path) -> None:
    """As when an older database is put back and opened at once."""
    root = tmp_path / "data"
    with open_store(root) as store:
        add_scan(store)
    older(root)
    for _ in range(2):
        shutil.copy(root / "twin.duckdb", tmp_path / "old")
        opening.open_database(root, create=False, read_only=False, notes=[], check=lambda audit: None).close()
        shutil.copy(tmp_path / "old", root / "twin.duckdb")
    assert len(list(root.glob("twin.duckdb.v1-before-migration-*"))) == 2


def test_what_cannot_be_read_is_named_by_verify_and_ends_neither_it_nor_the_remarks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWIN_AUDIT_KEY", "a key of a test, not of a clinic")
    root = tmp_path / "data"
    with open_store(root) as store:
        store.ledger.begin_signing("demo")
        add_scan(store)
        add_mask(store, 3)

        def failing(file: object) -> str:
            raise OSError(errno.EIO, "Input/output error")

        with monkeypatch.context() as patch:
            patch.setattr("store.files.hash_memory.digest_of", failing)
            told = store.verify()
        assert [text.split(" (")[0] for text in told] == [
            f"raw/set/P1/{DAY1}/CT.nii.gz cannot be read",
            f"processed/set/P1/{DAY1}/mask_v001.nii.gz cannot be read",
        ]
        for name in ("heads.jsonl", "audit.jsonl", "processed/ledger.jsonl"):
            (root / name).rename(tmp_path / "kept")
            (root / name).mkdir()
            told = store.verify()
            assert any(text.startswith(f"{name} ") for text in told), told
            assert not any(str(tmp_path) in text for text in told)
            store.remarks()
            (root / name).rmdir()
            (tmp_path / "kept").rename(root / name)
        assert store.verify() == []


@pytest.mark.parametrize("write", ["scan", "mask"])
def test_a_disk_that_fails_right_after_a_file_was_renamed_into_place_leaves_the_place_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: str
) -> None:
    fsync = mask_files.fsync_dir

    def failing(folder: Path) -> None:
        if DAY1 in str(folder):
            raise OSError(errno.EIO, "Input/output error")
        fsync(folder)

    with open_store(tmp_path / "data") as store:
        add_scan(store)
        wanted = {"scan": lambda: add_scan(store, seed=2, modality="PET"), "mask": lambda: add_mask(store, 3)}[write]
        before = sorted(store.root.rglob("*.nii.gz"))
        with monkeypatch.context() as patch:
            patch.setattr(mask_files, "fsync_dir", failing)
            with pytest.raises(StoreError, match="Nothing was recorded"):
                wanted()
        assert sorted(store.root.rglob("*.nii.gz")) == before
        assert store.verify() == []
        wanted()
        assert store.verify() == []


def test_a_file_that_was_there_before_a_write_is_not_taken_away_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes between the look and the renaming."""
    with open_store(tmp_path / "data") as store:
        add_scan(store)
        begin = journal.begin
        theirs = store.root / f"processed/set/P1/{DAY1}/mask_v001.nii.gz"

        def begins(root: Path, entry: Any, files: Any) -> None:
            begin(root, entry, files)
            theirs.parent.mkdir(parents=True)
            theirs.write_bytes(b"theirs")

        with monkeypatch.context() as patch:
            patch.setattr(journal, "begin", begins)
            with pytest.raises(StoreError, match="is there already and is never overwritten"):
                add_mask(store, 3)
        assert theirs.read_bytes() == b"theirs"
        assert not (store.root / "journal.json").exists()


def test_each_refusal_of_the_system_is_told_apart() -> None:
    with Connection(None) as db:
        for text, kind in {
            'Could not set lock on file "x": Conflicting lock is held in python (PID 12)': StoreBusy,
            "Corrupt database file: computed checksum 1 does not match stored checksum 2 in block at location 3": (
                StoreDamaged
            ),
            "Failed to commit: Could not write file: No space left on device": StoreFull,
            "Cannot open file: Read-only file system": StoreReadOnly,
            "Could not read from file: Input/output error": StoreDamaged,
        }.items():
            assert type(db._told(RuntimeError(text))) is kind, text
        assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
