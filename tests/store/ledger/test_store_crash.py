"""Whatever moment the process dies, nothing committed is lost and the store comes back whole."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.errors import StoreError
from store import Store, open_store, rebuild
from store.files import mask_files
from store.ledger import journal, ledgers
from store.ledger.audit import Audit
from store.ledger.writing import Ledger
from tests.store_phantom import DAY1, add_mask, add_scan, folder

ROOT = Path(__file__).resolve().parents[3]

WRITER = """
import sys
from store import open_store
from tests.store_phantom import DAY1, add_mask, add_scan
store = open_store(sys.argv[1])
if not store.patients.all():
    add_scan(store)
print("ready", flush=True)
while True:
    record = add_mask(store, 1 + store.ledger.audit.last()[0] % 9)
    print("mask", record.version, record.mask_sha256, flush=True)
    store.decisions.decide("P1", DAY1, record.version, "accept", "demo", "good")
    print("accepted", record.version, "-", flush=True)
"""


class Crash(BaseException):
    """Stands for the death of the process: nothing that catches errors catches it."""


def dies_after(function: Callable[..., Any], calls: int = 1) -> Callable[..., Any]:
    count = 0

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        nonlocal count
        result = function(*args, **kwargs)
        count += 1
        if count == calls:
            raise Crash
        return result

    return wrapper


def dies_before(*args: Any, **kwargs: Any) -> Any:
    raise Crash


def dies_within_the_line(audit: Audit, entry: Any) -> None:
    with open(audit.path, "ab") as file:
        file.write(json.dumps(entry).encode()[:40])
    raise Crash


def dies_within_the_ledger(root: Path, place: str, entry: Any) -> None:
    (root / place).parent.mkdir(parents=True, exist_ok=True)
    with open(root / place, "ab") as file:
        file.write(json.dumps(entry).encode()[:40])
    raise Crash


#: moment -> (what to replace, by what, whether the write has happened then)
MOMENTS: dict[str, tuple[Any, str, Callable[[], Callable[..., Any]], bool]] = {
    "the journal is written": (journal, "begin", lambda: dies_after(journal.begin), False),
    "the image is in place": (mask_files, "place", lambda: dies_after(mask_files.place), False),
    "the sidecar is in place": (mask_files, "place", lambda: dies_after(mask_files.place, 2), False),
    "the rows are there, not committed": (Audit, "insert", lambda: dies_after(Audit.insert), False),
    "it is committed": (Ledger, "_finish", lambda: dies_before, True),
    "the files follow, the ledger not": (ledgers, "append", lambda: dies_before, True),
    "half a line is in the ledger": (ledgers, "append", lambda: dies_within_the_ledger, True),
    "the files follow, the audit file not": (Audit, "mirror", lambda: dies_before, True),
    "half a line is in the audit file": (Audit, "mirror", lambda: dies_within_the_line, True),
    "the journal is still there": (journal, "end", lambda: dies_before, True),
}


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("kind", ["scan", "mask"])
def test_adding_and_dying_at_any_moment_is_all_or_nothing(
    tmp_path: Path, moment: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    where, name, death, happened = MOMENTS[moment]
    store = open_store(tmp_path)
    if kind == "mask":
        add_scan(store)
        add_mask(store, 3)
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "_recover", lambda self, *_: None)
        patch.setattr(where, name, death())
        with pytest.raises(Crash):
            add_mask(store, 5) if kind == "mask" else add_scan(store)
    assert any("cut short" in problem for problem in store.verify())
    store.close()
    with open_store(tmp_path) as again:
        assert again.verify() == []
        found = len(again.masks.of("P1")) == 2 if kind == "mask" else len(again.scans.of("P1")) == 1
        assert found == happened
        placed = moment in ("the image is in place", "the sidecar is in place", "the rows are there, not committed")
        assert bool(again.recovered) == placed
        assert len(list((tmp_path / "quarantine").rglob("*.nii.gz"))) == placed
        if kind == "mask":
            add_mask(again, 4)
        else:
            add_scan(again, seed=5)
        assert again.verify() == []


@pytest.mark.parametrize(
    ("where", "name", "death", "happened"),
    [
        (journal, "begin", dies_after(journal.begin), False),
        (Audit, "insert", dies_after(Audit.insert), False),
        (Ledger, "_finish", dies_before, True),
        (mask_files, "replace_text", dies_after(mask_files.replace_text), True),
        (mask_files, "set_final", dies_before, True),
        (mask_files, "set_final", dies_after(mask_files.set_final), True),
        (ledgers, "append", dies_before, True),
        (ledgers, "append", dies_within_the_ledger, True),
        (Audit, "mirror", dies_within_the_line, True),
        (journal, "end", dies_before, True),
    ],
)
def test_deciding_and_dying_at_any_moment_is_all_or_nothing(
    tmp_path: Path, where: Any, name: str, death: Any, happened: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(tmp_path)
    add_scan(store)
    add_mask(store, 3), add_mask(store, 4)
    store.decisions.decide("P1", DAY1, 1, "accept", "demo", "good")
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "_recover", lambda self, *_: None)
        patch.setattr(where, name, death)
        with pytest.raises(Crash):
            store.decisions.decide("P1", DAY1, 2, "accept", "demo", "good")
    store.close()
    with open_store(tmp_path) as again:
        assert again.verify() == []
        final = again.masks.accepted("P1", DAY1)
        assert final is not None
        assert final.version == (2 if happened else 1)
        assert os.readlink(folder(again) / "mask_final.nii.gz") == f"mask_v00{final.version}.nii.gz"


def test_the_next_write_completes_what_an_error_left_behind(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    add_scan(store)
    add_mask(store, 3)
    with monkeypatch.context() as patch:
        patch.setattr(mask_files, "set_final", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(StoreError, match=r"is recorded, but .*\(No space left"):
            store.decisions.decide("P1", DAY1, 1, "accept", "demo", "good")
    assert store.verify() != []
    store.events.add("P1", DAY1, "steroids", "4 mg", "ann")
    assert store.verify() == []
    with monkeypatch.context() as patch:
        patch.setattr(mask_files, "place", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(StoreError, match=r"No space left.* Nothing was recorded"):
            add_mask(store, 4)
    assert len(store.masks.of("P1")) == 1
    assert store.verify() == []


def test_a_write_that_was_cut_short_survives_the_loss_of_the_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(tmp_path)
    add_scan(store)
    add_mask(store, 3)
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "_recover", lambda self, *_: None)
        patch.setattr(Ledger, "_finish", dies_before)
        with pytest.raises(Crash):
            store.decisions.decide("P1", DAY1, 1, "accept", "demo", "good")
    store.close()
    (tmp_path / "twin.duckdb").unlink()
    assert rebuild(tmp_path)["decisions"] == 1
    with open_store(tmp_path) as again:
        assert again.verify() == []
        assert again.masks.accepted("P1", DAY1) is not None


def test_kill_9_in_the_middle_of_writing_loses_nothing_that_was_committed(tmp_path: Path) -> None:
    told: dict[int, str] = {}
    accepted = 0
    delays = random.Random(3)
    for _ in range(3):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        time.sleep(0.5 + delays.random())
        writer.send_signal(signal.SIGKILL)
        lines = writer.stdout.read().splitlines()
        writer.wait()
        for line in lines:
            word, version, sha256 = line.split()
            if word == "mask":
                assert int(version) not in told, "a version number was used twice"
                told[int(version)] = sha256
            else:
                accepted = int(version)
    assert told, "the writer must have had time to write"
    with open_store(tmp_path) as store:
        assert store.verify() == []
        stored = {record.version: record.mask_sha256 for record in store.masks.of("P1")}
        assert told.items() <= stored.items()
        final = store.masks.accepted("P1", DAY1)
        assert (final.version if final else 0) >= accepted
        add_mask(store, 2)
        assert store.verify() == []


def test_a_second_process_is_told_who_holds_the_store(store: Store) -> None:
    code = "import sys; from store import open_store; open_store(sys.argv[1])"
    other = subprocess.run(
        [sys.executable, "-c", code, str(store.root)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert other.returncode != 0
    assert f"held by another process (PID {os.getpid()})" in other.stderr


def test_opening_sweeps_up_after_a_process_that_died_while_it_prepared_a_file(tmp_path: Path) -> None:
    open_store(tmp_path).close()
    (tmp_path / "incoming" / "dead-1").mkdir()
    (tmp_path / "incoming" / "dead-1" / "mask.nii.gz").write_bytes(b"half")
    with mask_files.staging(tmp_path) as mine, open_store(tmp_path) as store:
        assert [p.name for p in (tmp_path / "incoming").iterdir()] == [mine.name]
        assert store.verify() == []
