"""Rebuilds beside a write that was cut short, and of records whose file is missing."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from core.errors import StoreError
from core.twin.curve_points import volume_points
from store import open_store, rebuild
from store.database.connection import StoreDamaged
from store.ledger import journal, ledgers
from store.ledger.writing import Ledger
from tests.store.recovery.damage import P1, lose
from tests.store.reopening import Killed
from tests.store_phantom import DAY1, VOXEL_MM3, add_mask, add_scan

pytestmark = pytest.mark.usefixtures("no_key")


def test_a_rebuild_killed_beside_a_cut_short_write_leaves_no_journal_that_looks_forged(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: Any) -> None:
        raise Killed

    store = open_store(root)
    add_scan(store, "P2", seed=2)
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "_recover", lambda self, *_: None)
        patch.setattr("store.ledger.audit.Audit.insert", dies)
        with pytest.raises(Killed):
            add_mask(store, 5)
    store.close()
    assert journal.pending(root) is not None
    lose(root, "twin.duckdb", "audit.jsonl", ledgers.COMMON)
    for step in ("_end_cut", "_swap"):
        with monkeypatch.context() as patch:
            patch.setattr(sys.modules["store.recovery.rebuild"], step, dies)
            with pytest.raises(Killed):
                rebuild(root)
        with pytest.raises(StoreDamaged, match="Run `rebuild`"):
            open_store(root)
    rebuild(root)
    with open_store(root) as store:
        assert store.verify() == []
        assert [record.version for record in store.masks.of("P1")] == [1, 2]


def cut_short(root: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """A second mask of P1 whose write was killed before its row was there; its image and sidecar."""

    def dies(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch, open_store(root) as store:
        patch.setattr(Ledger, "_recover", lambda self, *_: None)
        patch.setattr("store.ledger.audit.Audit.insert", dies)
        with pytest.raises(Killed):
            add_mask(store, 5)
    cut = journal.pending(root)
    assert cut is not None
    return cut.files


@pytest.mark.parametrize("there", [("image", "sidecar"), ("image",), ()])
def test_a_write_that_was_cut_short_counts_in_a_rebuild_only_if_all_its_files_are_there(
    root: Path, monkeypatch: pytest.MonkeyPatch, there: tuple[str, ...]
) -> None:
    files = dict(zip(("image", "sidecar"), cut_short(root, monkeypatch), strict=True))
    lose(root, "twin.duckdb", *(name for what, name in files.items() if what not in there))
    assert rebuild(root)["adopted"] == 0
    with open_store(root) as store:
        versions = {record.version: record.status for record in store.masks.of("P1")}
        assert versions == {1: "accepted"} | ({2: "proposed"} if len(there) == 2 else {})
        assert [p.volume_mm3 for p in volume_points(store, "P1") if p.lesion_id == "total"] == [6 * VOXEL_MM3]
        assert store.verify() == []
    assert (root / files["image"]).exists() == (len(there) == 2), "else it belongs to nothing and is out of the way"


def test_a_write_that_was_cut_short_counts_in_no_rebuild_where_the_database_says_that_it_did_not_happen(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = cut_short(root, monkeypatch)
    assert rebuild(root)["adopted"] == 0
    with open_store(root) as store:
        assert [record.version for record in store.masks.of("P1")] == [1]
        assert store.verify() == []
    assert not any((root / name).exists() for name in files)


def test_a_rebuild_brings_back_the_record_of_a_mask_whose_file_is_missing_and_counts_it_nowhere(root: Path) -> None:
    lose(root, "twin.duckdb", f"processed/set/P1/{DAY1}/mask_v001.nii.gz")
    counts = rebuild(root)
    assert (counts["masks"], counts["to_affirm"]) == (1, 0)
    with open_store(root) as store:
        assert store.masks.version("P1", DAY1, 1).status == "accepted"
        store.files.check()
        assert volume_points(store, "P1") == []
        problems = store.verify()
        assert problems
        assert all("mask_v001.nii.gz" in problem or "mask_final" in problem for problem in problems)


def test_a_rebuild_without_any_copy_adopts_a_sidecar_whose_mask_is_missing_and_counts_it_nowhere(root: Path) -> None:
    lose(root, "twin.duckdb", "audit.jsonl", P1, ledgers.COMMON, f"processed/set/P1/{DAY1}/mask_v001.nii.gz")
    counts = rebuild(root)
    assert (counts["adopted"], counts["to_affirm"]) == (2, 1)
    with open_store(root) as store:
        assert store.masks.version("P1", DAY1, 1).status == "proposed"
        assert volume_points(store, "P1") == []
        assert any("mask_v001.nii.gz" in problem for problem in store.verify())


def test_a_role_that_was_changed_is_the_changed_one_after_a_rebuild(root: Path) -> None:
    with open_store(root) as store:
        store.people.add("ann", "reader", by="demo")
        store.people.add("ann", "viewer", by="demo")
        store.people.add("bob", "viewer", by="demo")
        store.people.add("bob", "administrator", by="demo")
        before = store.people.all()
    lose(root, "twin.duckdb")
    rebuild(root)
    with open_store(root) as store:
        assert store.people.all() == before
        assert {p.name: p.role for p in before} == {"ann": "viewer", "bob": "administrator", "demo": "administrator"}
        with pytest.raises(StoreError, match="'ann' is viewer"):
            add_mask(store, 3, author="ann")
