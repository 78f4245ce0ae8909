"""The one place that knows which database it is: DuckDB now, PostgreSQL later, the same SQL for both.

Rules, measured on DuckDB 2: one process holds the file; every thread has a cursor of its own; all writers of the
process share one lock (without it most concurrent updates of one row conflict); results are fetched whole at once,
since they stream and a cursor has only one. Repositories use `?` parameters, standard ON CONFLICT, and the types
VARCHAR, INTEGER, BIGINT, DOUBLE and BOOLEAN; time is RFC 3339 text and JSON is text. Two lists (`store.views`) take
numbers out of that text by DuckDB's `json_transform`; PostgreSQL has JSON_TABLE for it.
"""

from __future__ import annotations

import re
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol, Self

import duckdb

from core.errors import StoreError
from core.remembered.untyped import JsonDict

Row = JsonDict


class StoreBusy(StoreError):
    """Another process holds the database."""


class StoreDamaged(StoreError):
    """The database is not one, or not the one that belongs to the files: `rebuild` makes it again."""


class StoreConflict(StoreError):
    """A statement that the database's own rules refuse: a key twice, two transactions on one row, wrong SQL."""


class StoreFull(StoreError):
    """The disk refused to take more; nothing of the transaction is recorded."""


class StoreReadOnly(StoreError):
    """The store is open for looking only."""


#: DuckDB's words (2.0) for a disk that takes no more, and for one that may not be written.
_NO_ROOM = ("No space left on device", "File too large", "Disk quota exceeded", "Out of disk space")
_NO_RIGHT = ("Read-only file system", "Permission denied", "Operation not permitted")
#: Errors about a statement, not about the file.
_RULES = (
    duckdb.ConstraintException,
    duckdb.TransactionException,
    duckdb.CatalogException,
    duckdb.BinderException,
    duckdb.ParserException,
    duckdb.ConversionException,
    duckdb.TypeMismatchException,
    duckdb.InvalidInputException,
)

#: Rows of one statement of `Connection.insert_many`.
_AT_ONCE = 5_000

_registry_lock = threading.Lock()
_write_locks: dict[str, threading.RLock] = {}
_open_counts: dict[str, int] = {}


def times_open_here(path: Path) -> int:
    """How often this very process has the database at `path` open."""
    with _registry_lock:
        return _open_counts.get(str(path.resolve()), 0)


class Reader(Protocol):
    """What is asked: a database, or what a person gets to see of one (`store.seen`)."""

    def query(self, sql: str, parameters: Sequence[object] = ()) -> list[Row]: ...


class Writer(Protocol):
    """What an entry is applied to: a database, or a `store.ledger.batch.Batch` for one."""

    def execute(self, sql: str, parameters: Sequence[object] = ()) -> None: ...


class _Handle:
    """A cursor that a thread owns; weakly referenced, so that it goes when its thread goes."""

    __slots__ = ("__weakref__", "cursor", "in_transaction", "opened")

    def __init__(self, cursor: duckdb.DuckDBPyConnection, opened: int) -> None:
        self.cursor = cursor
        self.opened = opened
        self.in_transaction = False


class Connection:
    """A database for many threads: `query` from any of them, `execute` and `transaction` one at a time.

    Args:
        path: the database file, made if it is not there; None for a database in memory.
        read_only: look at a file that is there, and never change a byte of it or beside it.

    Raises:
        StoreBusy: if another process holds the file.
        StoreDamaged: if it is not a database.
        StoreError: if the file cannot be opened for another reason (rights, a full disk).

    No error of the database itself leaves this class: `_told` makes a StoreError of it, here and nowhere else.
    """

    #: What `query`, `execute` and `transaction` raise when the database refuses: StoreConflict for its own rules.
    Error: type[StoreError] = StoreError

    def __init__(self, path: Path | None, *, read_only: bool = False) -> None:
        self.path = path
        self.read_only = read_only
        self._opened = 0
        self._invalid = False
        self._key = str(path.resolve()) if path else f"memory-{id(self)}"
        self._local = threading.local()
        self._handles: weakref.WeakSet[_Handle] = weakref.WeakSet()
        self._handles_lock = threading.Lock()
        self._closed = False
        self._root = self._connect()
        with _registry_lock:
            self.lock = _write_locks.setdefault(self._key, threading.RLock()) if path else threading.RLock()
            _open_counts[self._key] = _open_counts.get(self._key, 0) + 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _connect(self) -> duckdb.DuckDBPyConnection:
        try:
            # DuckDB shares one instance in a process; `_refuse_reading` keeps a second, looking one from writing
            look = self.read_only and (self.path is None or not times_open_here(self.path))
            return duckdb.connect(str(self.path) if self.path else ":memory:", read_only=look)
        except (duckdb.Error, ValueError, UnicodeError) as error:  # a damaged header can raise either
            raise self._told(error) from error

    @contextmanager
    def _errors_told(self) -> Iterator[None]:
        try:
            yield
        except duckdb.Error as error:
            raise self._told(error) from error

    def _told(self, error: Exception) -> StoreError:
        """The database's error as one of ours, decided by its type and DuckDB's own words, without any path."""
        text = (str(error).splitlines() or [type(error).__name__])[0]
        if "Could not set lock on file" in text and "Conflicting lock" in text:
            process = re.search(r"PID (\d+)", text)
            who = f"another process (PID {process.group(1)})" if process else "another process"
            return StoreBusy(
                f"The database is held by {who}; only one may have it at a time. "
                "Stop that one (the dashboard, or another command), or use another data folder."
            )
        if "same database file with a different configuration" in text:
            return StoreBusy("This process has the database open for looking only. Close that first.")
        if any(reason in text for reason in _NO_ROOM):
            return StoreFull("The disk that holds the data is full, or its limit is reached. Make room and try again.")
        if any(reason in text for reason in _NO_RIGHT):
            return StoreReadOnly("The database cannot be written: its file or folder is read-only. Mend the rights.")
        if isinstance(error, (duckdb.FatalException, duckdb.InternalException)) or "has been invalidated" in text:
            self._invalid = True  # DuckDB answers nothing more until the file is opened again
        if isinstance(error, _RULES) and not self._invalid and "Corrupt" not in text:
            return StoreConflict(f"The database refused a statement: {self._short(text)}. Run `verify`.")
        return StoreDamaged(
            f"The database cannot be read, so its file is damaged or is none: {self._short(text)}. "
            "Run `rebuild`: it makes the database again from the files."
        )

    def _short(self, text: str) -> str:
        return text.replace(str(self.path), "the file")[:200].rstrip(". ")

    def _handle(self) -> _Handle:
        if self._closed:
            raise StoreError("The store is closed. Open it again with open_store.")
        if self._invalid:
            self._reopen()
        handle: _Handle | None = getattr(self._local, "handle", None)
        if handle is None or handle.opened != self._opened:
            handle = _Handle(self._root.cursor(), self._opened)
            self._local.handle = handle
            with self._handles_lock:
                self._handles.add(handle)
        return handle

    def _reopen(self) -> None:
        """After an error that made DuckDB give up: the same file, opened again."""
        with self.lock, self._handles_lock:
            if not self._invalid:
                return
            with suppress(duckdb.Error):
                self._root.close()
            self._opened += 1
            self._root = self._connect()
            self._invalid = False

    def query(self, sql: str, parameters: Sequence[object] = ()) -> list[Row]:
        """All rows of a SELECT, as dicts by column name. Inside `transaction` it sees the transaction's own writes."""
        with self._errors_told():
            cursor = self._handle().cursor
            cursor.execute(sql, list(parameters))
            names = [column[0] for column in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def execute(self, sql: str, parameters: Sequence[object] = ()) -> None:
        """One statement that writes; by itself a transaction unless it stands inside `transaction`."""
        with self.lock, self._errors_told():
            self._refuse_reading()
            cursor = self._handle().cursor
            cursor.execute(sql, list(parameters))
            cursor.fetchall()

    def execute_many(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        """One writing statement for each of `rows`, in their order; about three times as fast as one by one."""
        with self.lock, self._errors_told():
            self._refuse_reading()
            if rows:
                self._handle().cursor.executemany(sql, [list(row) for row in rows])

    def insert_many(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """New rows in one statement a few thousand, about a hundred times as fast as one by one.

        Args:
            table, columns: names of the caller's own.
            rows: one value a column; what a column holds is of one type, or None.
        """
        with self.lock, self._errors_told():
            self._refuse_reading()
            for start in range(0, len(rows), _AT_ONCE):
                values = [list(column) for column in zip(*rows[start : start + _AT_ONCE], strict=True)]
                marks = ", ".join(["unnest(?)"] * len(columns))
                self._handle().cursor.execute(f"INSERT INTO {table} ({', '.join(columns)}) SELECT {marks}", values)

    def _refuse_reading(self) -> None:
        if self.read_only:
            raise StoreReadOnly("The store is open for looking only; nothing was written.")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing for what is executed inside, alone in the process. Does not nest.

        Raises:
            StoreError: if this thread is in a transaction already.
        """
        with self.lock, self._errors_told():
            self._refuse_reading()
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

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Whatever this thread queries inside is of one moment, while others go on writing; it may not write itself.

        The moment is that of the first query inside: ask it while you hold `lock`, and nothing is half written.

        Raises:
            StoreError: if this thread is in a transaction already.
        """
        with self._errors_told():
            handle = self._handle()
            if handle.in_transaction:
                raise StoreError("A transaction is open already in this thread; transactions do not nest.")
            handle.cursor.execute("BEGIN TRANSACTION")
            handle.in_transaction = True
            try:
                yield
            finally:
                handle.in_transaction = False
                with suppress(duckdb.Error):  # it wrote nothing, and the store may have been closed meanwhile
                    handle.cursor.execute("ROLLBACK")

    @property
    def closed(self) -> bool:
        """True once `close` was called."""
        return self._closed

    def close(self) -> None:
        """Let go of the file, from whichever thread. A second call does nothing."""
        with self.lock, self._handles_lock:
            if self._closed:
                return
            self._closed = True
            with suppress(duckdb.Error):  # a last checkpoint that finds no room: the log beside the file has it all
                for handle in list(self._handles):
                    handle.cursor.close()
            with suppress(duckdb.Error):
                self._root.close()
        with _registry_lock:
            _open_counts[self._key] -= 1
