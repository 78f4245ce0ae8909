"""Looking at a store beside its writer: on a snapshot, and without writing."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import cli
from store import Store, open_store, open_to_look, rebuild
from store.database.connection import StoreBusy, StoreReadOnly
from tests.store_phantom import DAY1, add_scan


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


def test_looking_waits_for_a_writer_to_rest_but_not_for_ever(held: tuple[Path, Callable[[], None]]) -> None:
    root, _ = held
    os.utime(root / "twin.duckdb.wal", (time.time() + 0.01, time.time() + 0.01))
    with open_store(root, read_only=True) as store:
        assert store.patients.all()
