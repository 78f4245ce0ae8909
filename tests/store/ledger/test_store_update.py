"""Databases of an older schema: they are updated with a copy, and what must not be opened is not updated either."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.errors import StoreError
from store import open_store
from store.database.connection import StoreDamaged
from tests.store.reopening import Killed, go_on, older, put_back, state


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
