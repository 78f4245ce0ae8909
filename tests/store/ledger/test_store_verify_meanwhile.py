"""People work while `verify` runs: what they write is neither damage nor missed. Nothing is hashed for nothing."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from store import Store, open_store
from store.files import file_checks, hash_memory
from tests.store_phantom import DAY1, DAY2, add_mask, add_scan, busy_history, with_people

WAIT_S = 60.0


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "data") as store:
        busy_history(store)
        yield store


class Held:
    """A `verify` in another thread that waits at its first hash until it is let go."""

    def __init__(self, store: Store, monkeypatch: pytest.MonkeyPatch, **options: Any) -> None:
        self.store, self.at_hash, self.go = store, threading.Event(), threading.Event()
        self.problems: list[str] | None = None
        digest = file_checks.digest_of

        def held(file: Any) -> str:
            if threading.current_thread() is self.thread:
                self.at_hash.set()
                assert self.go.wait(WAIT_S)
            return digest(file)

        monkeypatch.setattr(hash_memory, "digest_of", held)

        def run() -> None:
            self.problems = store.verify(**options)

        self.thread = threading.Thread(target=run)
        self.thread.start()
        assert self.at_hash.wait(WAIT_S)

    def end(self) -> list[str]:
        self.go.set()
        self.thread.join(WAIT_S)
        assert self.problems is not None
        return self.problems


def _write_everything(store: Store) -> None:
    """Masks, decisions, a new patient, people, events, jobs: in another thread than verify's."""
    record = add_mask(store, 6, 1, patient="P1", day=DAY2)
    store.readings.set_blind("P1", DAY2, False, "demo")
    store.decisions.decide("P1", DAY2, record.version, "accept", "ann", "good")
    add_scan(store, "P9", DAY1, seed=90)
    add_mask(store, 3, patient="P9")
    with_people(store, "late", "viewed")
    store.people.add("viewed", "viewer", by="demo")
    store.people.disable("viewed", by="demo")
    store.events.add("P9", DAY1, "treatment", "begun", "late")
    store.jobs.create("segment", {"patient_id": "P9"}, "late")
    store.decisions.decide("P1", DAY1, 2, "withdraw", "ann", "second-look")
    store.decisions.decide("P1", DAY1, 2, "accept", "ann", "good")


@pytest.mark.parametrize("full", [False, True])
def test_others_write_while_files_are_hashed_and_that_is_no_damage(
    busy: Store, monkeypatch: pytest.MonkeyPatch, full: bool
) -> None:
    held = Held(busy, monkeypatch, full=full)
    before = busy.audit.last()[0]
    _write_everything(busy)  # returns: nobody waits for verify
    assert busy.audit.last()[0] > before
    assert held.problems is None
    assert held.end() == []


def test_what_is_put_right_while_files_are_hashed_is_no_damage(busy: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows leave tables and files change their places under its feet."""
    why: dict[str, Any] = {"reason": "a slip", "person": "demo"}
    held = Held(busy, monkeypatch)
    busy.corrections.move_timepoint("P1", DAY1, to_timepoint="2019-01-01", **why)
    gone = busy.corrections.withdraw_timepoint("P1", DAY2, **why)
    busy.corrections.restore(str(gone.withdrawal_id), **why)
    busy.corrections.withdraw_scan("P1", DAY2, "PET", **why)
    busy.corrections.move_timepoint("P1", "2019-01-01", to_patient_id="P7", **why)
    assert held.end() == []


def test_a_file_of_a_write_meanwhile_that_is_damaged_before_the_end_is_found(
    busy: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(busy, monkeypatch)
    record = add_mask(busy, 6, 1, patient="P1", day=DAY2)
    name = busy.masks.file_of(record).name
    (busy.root / name).write_bytes(b"no image")
    assert held.end() == [f"{name} is not the file that was stored: its sha256 differs from the record."]


def test_rows_of_a_write_meanwhile_that_are_not_what_the_audit_says_are_found(
    busy: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(busy, monkeypatch)
    add_scan(busy, "P9", DAY1, seed=90)
    event = busy.events.add("P9", DAY1, "treatment", "begun", "ann")
    busy.db.execute("UPDATE events SET kind = 'surgery' WHERE event_id = ?", [event])
    assert held.end() == [f"The database and the audit disagree on kind of events row {event}."]


@pytest.mark.parametrize("file", ["audit.jsonl", "processed/set/P9/ledger.jsonl"])
def test_a_line_of_a_write_meanwhile_that_is_altered_is_found(
    busy: Store, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    held = Held(busy, monkeypatch)
    add_scan(busy, "P9", DAY1, seed=90)
    path = busy.root / file
    *others, last = path.read_text().splitlines()
    entry = json.loads(last)
    entry["person"] = "nobody"
    path.write_text("\n".join([*others, json.dumps(entry)]) + "\n")
    assert held.end() != []


def test_damage_from_before_is_told_whatever_is_written_meanwhile(busy: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    image = busy.masks.file_of(busy.masks.version("P1", DAY1, 1)).name
    (busy.root / image).write_bytes(b"no image")
    held = Held(busy, monkeypatch)
    _write_everything(busy)
    assert held.end() == [f"{image} is not the file that was stored: its sha256 differs from the record."]


class Hashed:
    """Counts the files that are hashed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        digest = file_checks.digest_of

        def counted(file: Any) -> str:
            self.count += 1
            return digest(file)

        monkeypatch.setattr(hash_memory, "digest_of", counted)

    def of(self, store: Store, **options: Any) -> tuple[int, list[str]]:
        self.count = 0
        problems = store.verify(**options)
        return self.count, problems


def _settled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hash_memory, "SETTLED_NS", -1)


def test_files_that_look_as_they_did_are_not_hashed_again_even_after_a_restart(
    busy: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    _settled(monkeypatch)
    hashed = Hashed(monkeypatch)
    every = len(busy.every_file())
    assert hashed.of(busy) == (every, [])
    assert hashed.of(busy) == (0, [])
    add_mask(busy, 6, 1, patient="P1", day=DAY2)
    assert hashed.of(busy) == (1, [])
    busy.close()
    with open_store(busy.root) as again:
        assert hashed.of(again) == (0, [])
        assert hashed.of(again, full=True) == (every + 1, [])


def test_a_file_that_was_changed_just_now_is_not_believed_by_its_looks(
    busy: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hash_memory, "SETTLED_NS", 10**18)
    hashed = Hashed(monkeypatch)
    every = len(busy.every_file())
    assert hashed.of(busy) == hashed.of(busy) == (every, [])


def test_an_altered_file_of_the_same_size_and_time_is_found(busy: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    _settled(monkeypatch)
    assert busy.verify() == []
    record = busy.masks.version("P1", DAY1, 1)
    path = busy.root / busy.masks.file_of(record).name
    was, data = path.stat(), path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
    assert any("is not the file that was stored" in text for text in busy.verify())


def test_a_memory_that_lies_is_found_out_by_a_full_run(busy: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    _settled(monkeypatch)
    record = busy.masks.version("P1", DAY1, 1)
    name = busy.masks.file_of(record).name
    assert busy.verify() == []
    (busy.root / name).write_bytes(b"no image")
    memory = busy.root / "cache" / "file-hashes.json"
    known = json.loads(memory.read_text())
    known[name] = [*file_checks.looks_of(os.stat(busy.root / name)), record.mask_sha256]
    memory.write_text(json.dumps(known))
    assert busy.verify() == [], "what anybody can write is no evidence"
    assert any(name in text for text in busy.verify(full=True))
    with pytest.raises(Exception, match="not the one that was stored"):
        busy.masks.load(record)  # readers never ask it


@pytest.mark.parametrize("text", ["", "[]", "{", '{"processed/x": 3}'])
def test_a_memory_that_cannot_be_read_costs_hashes_and_no_more(busy: Store, text: str) -> None:
    (busy.root / "cache").mkdir(exist_ok=True)
    (busy.root / "cache" / "file-hashes.json").write_text(text)
    assert busy.verify() == []


def test_progress_is_told_from_beginning_to_end(busy: Store) -> None:
    told: list[float] = []
    assert busy.verify(progress=lambda fraction, _: told.append(fraction)) == []
    assert told == sorted(told)
    assert (told[0] < 0.1, told[-1] > 0.9) == (True, True)
