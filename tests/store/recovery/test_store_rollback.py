"""A part of the data folder, or all of it, put back as it was: never opened without a word, and never written upon."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from core.twin.curve_points import volume_points
from store import open_store, rebuild
from store.database.connection import StoreDamaged
from store.ledger import ledgers, lines
from tests.store_phantom import ANSWER, DAY1, add_mask, add_scan

KEY = "a key of a test, not of a clinic"
PATIENT = "processed/set/P1/ledger.jsonl"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store with a key and an anchor whose one accepted mask was withdrawn; `old/` is it as of before that."""
    monkeypatch.setenv("TWIN_AUDIT_KEY", KEY)
    monkeypatch.setenv("TWIN_AUDIT_ANCHOR", str(tmp_path / "anchor"))
    root = tmp_path / "data"
    with open_store(root) as store:
        store.ledger.begin_signing("demo")
        add_scan(store)
        add_mask(store, 4, scans_pass=False)
        store.decisions.decide("P1", DAY1, 1, "accept", "demo", *ANSWER)
    shutil.copytree(root, tmp_path / "old", symlinks=True)
    with open_store(root) as store:
        store.decisions.decide("P1", DAY1, 1, "withdraw", "demo", "second-look")
        store.people.add("ann", "reader", by="demo")
    return root


def put_back(root: Path, *names: str) -> None:
    """Files and folders as they were before the withdrawal; all of them if none is named."""
    old = root.with_name("old")
    for name in names or [path.name for path in old.iterdir()]:
        if (old / name).is_dir():
            shutil.rmtree(root / name, ignore_errors=True)
            shutil.copytree(old / name, root / name, symlinks=True)
        else:
            shutil.copy(old / name, root / name)


def state(root: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("damage", ["old", "gone", "a line in the middle is gone"])
def test_a_patient_s_ledger_that_lacks_entries_is_completed_and_that_is_said(root: Path, damage: str) -> None:
    path = root / PATIENT
    whole = path.read_bytes()
    if damage == "old":
        put_back(root, PATIENT)
    elif damage == "gone":
        path.unlink()
    else:
        parts = whole.splitlines(keepends=True)
        path.write_bytes(b"".join([parts[0], *parts[2:]]))
    assert path.exists() != (damage == "gone")
    with open_store(root) as store:
        assert store.recovered == ["Ledgers were completed from the database: 1 of them."]
        assert store.verify() == []
        store.events.add("P1", DAY1, "steroids", "4 mg", "demo")
        assert store.verify() == []
    assert path.read_bytes().startswith(whole)
    with open_store(root) as store:
        assert store.recovered == []


def test_a_ledger_that_was_altered_is_left_as_it_is_and_named_while_another_is_completed(root: Path) -> None:
    altered = (root / ledgers.COMMON).read_bytes().replace(b'"administrator"', b'"viewer"')
    (root / ledgers.COMMON).write_bytes(altered)
    put_back(root, PATIENT)
    for said in (["Ledgers were completed from the database: 1 of them."], []):
        with open_store(root) as store:
            assert store.recovered == said
            assert [text.split(" (")[0] for text in store.verify()] == [ledgers.COMMON]
    assert (root / ledgers.COMMON).read_bytes().startswith(altered)


def test_what_cannot_be_completed_is_not_told_anew_at_every_opening(root: Path) -> None:
    """An altered line and a missing one in one ledger: it is left alone, for `verify` to name."""
    parts = (root / PATIENT).read_bytes().splitlines(keepends=True)
    (root / PATIENT).write_bytes(b"".join([parts[0].replace(b'"CT"', b'"MR"'), *parts[2:]]))
    with open_store(root) as store:
        assert store.recovered == []
        assert len(store.verify()) == 1


def test_a_history_older_than_its_signatures_is_not_opened_with_or_without_the_key(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_back(root, "twin.duckdb", "audit.jsonl", "processed")
    before = state(root)
    monkeypatch.delenv("TWIN_AUDIT_ANCHOR")
    for key in (KEY, ""):
        monkeypatch.setenv("TWIN_AUDIT_KEY", key)
        for look in (False, True):
            with pytest.raises(StoreDamaged, match=r"ends with entry 5, heads\.jsonl knows entry 7") as caught:
                open_store(root, read_only=look)
            assert str(root) not in str(caught.value)
    assert state(root) == before
    monkeypatch.setenv("TWIN_AUDIT_KEY", KEY)
    put_back(root, "heads.jsonl")  # what the sentence says, where the newer history is lost
    with open_store(root) as store:
        assert store.recovered == []
        assert store.verify() == []


def test_a_rebuild_goes_before_where_any_copy_has_what_was_signed(root: Path) -> None:
    put_back(root, "twin.duckdb", "audit.jsonl")
    with pytest.raises(StoreDamaged, match=r"older than processed.*knows entry 7\..* Run `rebuild`"):
        open_store(root)
    rebuild(root)
    with open_store(root) as store:
        assert volume_points(store, "P1") == []
        assert store.verify() == []


def test_a_head_that_the_key_did_not_make_keeps_nobody_out(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines.append(root / "heads.jsonl", [lines.line_of({"seq": 99, "hash": "ab" * 32, "key": "x", "signature": "0"})])
    with open_store(root) as store:
        assert store.verify() == ["Entry 99 was signed and is not there any more."]


def test_a_whole_folder_put_back_is_not_opened_while_the_file_outside_knows_more(root: Path, tmp_path: Path) -> None:
    put_back(root)
    before, anchored = state(root), (tmp_path / "anchor").read_bytes()
    with pytest.raises(StoreDamaged, match="ends with entry 5, the file of TWIN_AUDIT_ANCHOR knows entry 7") as caught:
        open_store(root)
    assert str(tmp_path) not in str(caught.value)
    assert (state(root), (tmp_path / "anchor").read_bytes()) == (before, anchored)
    (tmp_path / "anchor").rename(tmp_path / "kept")  # what the sentence says, where the newer folder is lost
    with open_store(root) as store:
        store.events.add("P1", DAY1, "steroids", "4 mg", "demo")
        assert store.verify() == []
    (tmp_path / "kept").rename(tmp_path / "anchor")
    with pytest.raises(StoreDamaged, match="ends with entry 6, the file of TWIN_AUDIT_ANCHOR knows entry 7"):
        open_store(root)
    with open_store_without_anchor(root) as store:
        store.events.add("P1", DAY1, "steroids", "8 mg", "demo")
    with pytest.raises(StoreDamaged, match="Entry 7 of the history here is not the one in the file of TWIN_AUDIT_ANC"):
        open_store(root)


def open_store_without_anchor(root: Path) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("TWIN_AUDIT_ANCHOR")
        return open_store(root)


def test_an_anchor_that_is_away_keeps_nobody_out(root: Path, tmp_path: Path) -> None:
    (tmp_path / "anchor").unlink()
    (tmp_path / "anchor").mkdir()
    with open_store(root) as store:
        store.events.add("P1", DAY1, "steroids", "4 mg", "demo")
