"""The chain, its file, and where the two part."""

from __future__ import annotations

from pathlib import Path

import pytest

from store import Store
from store.ledger import lines
from store.ledger.audit import GENESIS, Entry, check_chain, make_entry, read_file
from tests.store.ledger.test_store_lines import chain


def test_the_first_entry_follows_64_zeros_and_hashes_are_the_same_in_every_version() -> None:
    """SHA-256 of the canonical JSON by hand: what is in chains already has to hold."""
    assert GENESIS == "0000000000000000000000000000000000000000000000000000000000000000"
    entry = make_entry(1, "2020", "demo", "event.added", {"b": 1, "a": "é"}, GENESIS)
    assert entry["hash"] == "6bc0a80828a899156f0039f20cc5104634634e4df0c854616e73754767c87a81"
    assert set(entry) == {"seq", "created_at", "person", "action", "payload", "prev_hash", "hash"}


def test_lines_that_are_no_entries_are_named_by_number_and_those_after_them_are_read(tmp_path: Path) -> None:
    first, second = chain(2)
    short = {key: value for key, value in first.items() if key != "person"}
    path = tmp_path / "audit.jsonl"
    path.write_bytes(
        b"\n".join([lines.line_of(first), b"torn", b"[1]", lines.line_of(short) + lines.line_of(second), b"{}"])
    )
    entries, problems = read_file(path)
    assert entries == [first, second]
    assert problems == [
        "audit.jsonl line 3 is not JSON: torn or altered.",
        "audit.jsonl line 4 is not an audit entry.",
        "audit.jsonl line 5 is not an audit entry.",
        "audit.jsonl line 8 is not an audit entry.",
    ]
    assert read_file(tmp_path / "nothing") == ([], [])


def test_the_first_break_of_a_chain_is_named() -> None:
    whole = chain(4)
    assert check_chain(whole, "x") == check_chain([], "x") == []
    breaks: dict[str, list[Entry]] = {
        "entry 3 is missing, 4 stands in its place": [*whole[:2], *whole[3:]],
        "entry 1 is missing, 2 stands in its place": whole[1:],
        "entry 2 does not follow from the one before it": [*chain(1, "b"), *whole[1:]],
        "entry 1 does not follow from the one before it": [{**whole[0], "prev_hash": "1" * 64}, *whole[1:]],
        "entry 4 was altered after it was written": [*whole[:3], {**whole[3], "person": "eve"}],
    }
    for text, entries in breaks.items():
        assert check_chain(entries, "x") == [f"The audit x is broken: {text}."]


def test_the_table_knows_its_newest_entry_its_hashes_and_what_comes_next(store: Store) -> None:
    made = store.audit.entries()
    assert [entry["seq"] for entry in made] == [1, 2, 3]
    assert store.audit.entries(2) == made[:0:-1]
    assert store.audit.last() == (3, made[2]["hash"])
    assert store.audit.hashes([3, 1, 9, 1]) == {1: made[0]["hash"], 3: made[2]["hash"]}
    assert store.audit.hashes([]) == {}
    assert store.audit.has(made[1])
    assert not store.audit.has({**made[1], "hash": made[0]["hash"]})
    following = store.audit.next_entry("2020", "demo", "event.added", {"a": 1})
    assert check_chain([*made, following], "x") == []
    store.db.execute("DELETE FROM audit")
    assert store.audit.last() == (0, GENESIS)
    assert store.audit.next_entry("2020", "demo", "event.added", {})["seq"] == 1


def test_table_and_file_are_compared_to_the_entry_where_they_part(store: Store) -> None:
    path, whole = store.audit.path, store.audit.path.read_bytes().splitlines(keepends=True)
    assert store.audit.verify() == []
    path.write_bytes(b"".join(whole[:2]))
    assert store.audit.verify() == ["The audit table (3 entries) and audit.jsonl (2) are not the same from entry 3 on."]
    path.write_bytes(b"".join([*whole, lines.line_of(store.audit.next_entry("2020", "demo", "event.added", {}))]))
    assert store.audit.verify() == ["The audit table (3 entries) and audit.jsonl (4) are not the same from entry 4 on."]
    path.write_bytes(b"".join([whole[0], whole[1].replace(b'"ann"', b'"eve"'), whole[2]]))
    assert store.audit.verify() == [
        "The audit file audit.jsonl is broken: entry 2 was altered after it was written.",
        "The audit table (3 entries) and audit.jsonl (3) are not the same from entry 2 on.",
    ]


def test_a_file_that_cannot_be_read_is_said_and_the_table_is_proven_all_the_same(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder in its place, and a disk that refuses."""

    def refuses(*_: object) -> None:
        raise OSError(5, "Input/output error")

    store.db.execute("UPDATE audit SET person = 'eve' WHERE seq = 2")
    told = ["audit.jsonl cannot be read.", "The audit table is broken: entry 2 was altered after it was written."]
    with monkeypatch.context() as patch:
        patch.setattr(lines, "opened", refuses)
        assert store.audit.verify() == told
    store.audit.path.unlink()
    store.audit.path.mkdir()
    assert store.audit.verify() == told
    store.audit.path.rmdir()
