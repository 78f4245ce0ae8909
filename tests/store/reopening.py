"""A store that goes on, is put back, is made older, or dies while it is rebuilt."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from store import open_store, rebuild
from store.database.connection import Connection
from store.database.migrations import MIGRATIONS, migrate
from store.files import mask_files
from tests.store_phantom import DAY1

ROOT = Path(__file__).resolve().parents[2]


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
