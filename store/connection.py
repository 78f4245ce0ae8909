"""The one place that knows which database it is: DuckDB now, PostgreSQL later, the same SQL for both.

Rules, measured on DuckDB 2: one process holds the file; every thread has a cursor of its own; all writers of the
process share one lock (without it most concurrent updates of one row conflict); results are fetched whole at once,
since they stream and a cursor has only one. Repositories use `?` parameters, standard ON CONFLICT, and the types
VARCHAR, INTEGER, BIGINT, DOUBLE and BOOLEAN; time is RFC 3339 text and JSON is text.
"""

from __future__ import annotations

import re
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol, Self

import duckdb

from core.errors import StoreError

Row = dict[str, Any]


class StoreBusy(StoreError):
    """Another process holds the database."""


class StoreDamaged(StoreError):
    """The database is not one, or not the one that belongs to the files: `rebuild` makes it again."""


_registry_lock = threading.Lock()
_write_locks: dict[str, threading.RLock] = {}
_open_counts: dict[str, int] = {}


def is_open_here(path: Path) -> bool:
    """True if this very process holds the database at `path`."""
    with _registry_lock:
        return _open_counts.get(str(path.resolve()), 0) > 0


class Writer(Protocol):
    """What an entry is applied to: a database, or a `store.replay.Batch` for one."""

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> None: ...


class _Handle:
    """A cursor that a thread owns; weakly referenced, so that it goes when its thread goes."""

    __slots__ = ("__weakref__", "cursor", "in_transaction")

    def __init__(self, cursor: duckdb.DuckDBPyConnection) -> None:
        self.cursor = cursor
        self.in_transaction = False


class Connection:
    """A database for many threads: `query` from any of them, `execute` and `transaction` one at a time.

    Args:
        path: the database file, made if it is not there; None for a database in memory.

    Raises:
        StoreError: if another process holds the file, or it is not a database.
    """

    #: What the database raises when it refuses a statement.
    Error: type[Exception] = duckdb.Error

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._key = str(path.resolve()) if path else f"memory-{id(self)}"
        self._local = threading.local()
        self._handles: weakref.WeakSet[_Handle] = weakref.WeakSet()
        self._handles_lock = threading.Lock()
        self._closed = False
        try:
            self._root = duckdb.connect(str(path) if path else ":memory:")
        except duckdb.Error as error:
            raise _cannot_open(path, error) from None
        with _registry_lock:
            self.lock = _write_locks.setdefault(self._key, threading.RLock()) if path else threading.RLock()
            _open_counts[self._key] = _open_counts.get(self._key, 0) + 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _handle(self) -> _Handle:
        if self._closed:
            raise StoreError("The store is closed. Open it again with open_store.")
        handle: _Handle | None = getattr(self._local, "handle", None)
        if handle is None:
            handle = _Handle(self._root.cursor())
            self._local.handle = handle
            with self._handles_lock:
                self._handles.add(handle)
        return handle

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """All rows of a SELECT, as dicts by column name. Inside `transaction` it sees the transaction's own writes."""
        cursor = self._handle().cursor
        cursor.execute(sql, list(parameters))
        names = [column[0] for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        """One statement that writes; by itself a transaction unless it stands inside `transaction`."""
        with self.lock:
            cursor = self._handle().cursor
            cursor.execute(sql, list(parameters))
            cursor.fetchall()

    def execute_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """One writing statement for each of `rows`, in their order; about three times as fast as one by one."""
        with self.lock:
            if rows:
                self._handle().cursor.executemany(sql, [list(row) for row in rows])

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing for what is executed inside, alone in the process. Does not nest.

        Raises:
            StoreError: if this thread is in a transaction already.
        """
        with self.lock:
            handle = self._handle()
            if handle.in_transaction:
                raise StoreError("A transaction is open already in this thread; transactions do not nest.")
            handle.cursor.execute("BEGIN TRANSACTION")
            handle.in_transaction = True
            try:
                yield
                handle.cursor.execute("COMMIT")
            except BaseException:
                with suppress(duckdb.Error):  # a commit that failed has rolled back by itself
                    handle.cursor.execute("ROLLBACK")
                raise
            finally:
                handle.in_transaction = False

    def close(self) -> None:
        """Let go of the file, from whichever thread. A second call does nothing."""
        with self.lock, self._handles_lock:
            if self._closed:
                return
            self._closed = True
            for handle in list(self._handles):
                handle.cursor.close()
            self._root.close()
        with _registry_lock:
            _open_counts[self._key] -= 1


def _cannot_open(path: Path | None, error: duckdb.Error) -> StoreError:
    text = str(error)
    if "lock" in text.lower():
        process = re.search(r"PID (\d+)", text)
        who = f"another process (PID {process.group(1)})" if process else "another process"
        return StoreBusy(
            f"The database {path} is held by {who}; only one may have it at a time. "
            "Stop that one (the dashboard, or another command), or use another data folder."
        )
    return StoreDamaged(
        f"The database {path} cannot be opened: {text.splitlines()[0][:200]} "
        "If the file is damaged, run `rebuild`: it makes it again from the files."
    )
