"""The few statements that change the tables; a `store.ledger.batch.Batch` knows these and no others."""

from __future__ import annotations

import re
from collections.abc import Iterable

from core.errors import StoreError
from core.remembered.untyped import JsonObject
from store.database.connection import Row, Writer
from store.values import to_text

#: Columns that hold JSON.
_JSON = frozenset(
    {
        "prompts",
        "lesions",
        "software",
        "shape",
        "spacing_mm",
        "metadata",
        "result",
        "detail",
        "params",
        "model_files",
        "datasets",
        "moved",
        "into_lesions",
        "evidence",
        "matrix",
        "figures",
        "parameters",
        "protocol",
        "flips",
        "points_mm",
        "statistics",
        "answered",
    }
)
_NAME = re.compile(r"[a-z][a-z0-9_]*")


def insert(db: Writer, table: str, row: Row, on_conflict: str = "") -> None:
    """Insert a row; columns that hold JSON are given as values."""
    insert_stored(db, table, {name: _text(name, value) for name, value in row.items()}, on_conflict)


def insert_stored(db: Writer, table: str, row: JsonObject, on_conflict: str = "") -> None:
    """Insert a row as a table gave it: columns that hold JSON are text already."""
    marks = ", ".join("?" * len(row))
    db.execute(f"INSERT INTO {table} ({_names(row, ', ')}) VALUES ({marks}) {on_conflict}", list(row.values()))


def update(db: Writer, table: str, changes: JsonObject, of: JsonObject) -> None:
    """Set columns of all rows that have these values; columns that hold JSON are given as values."""
    sql = f"UPDATE {table} SET {_names(changes, ', ', ' = ?')} WHERE {_names(of, ' AND ', ' = ?')}"
    db.execute(sql, [*(_text(name, value) for name, value in changes.items()), *of.values()])


def delete(db: Writer, table: str, of: JsonObject) -> None:
    """Take away all rows that have these values."""
    db.execute(f"DELETE FROM {table} WHERE {_names(of, ' AND ', ' = ?')}", list(of.values()))


def _text(name: str, value: object) -> object:
    return to_text(value) if name in _JSON and value is not None else value


def _names(columns: Iterable[str], between: str, after: str = "") -> str:
    """Columns as part of a statement. Raises StoreError for what is no name: an entry may be anybody's."""
    names = list(columns)
    for name in names:
        if not _NAME.fullmatch(name):
            raise StoreError(f"Expected the name of a column, got {name[:40]!r}. Nothing was touched.")
    return between.join(f"{name}{after}" for name in names)
