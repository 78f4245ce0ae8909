"""Whether the tables are what the audit says: its entries replayed in memory and compared, row by row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from core.errors import TwinReviewError
from store.database.connection import Connection, Row
from store.database.migrations import migrate
from store.ledger import replay
from store.ledger.audit import Entry
from store.ledger.batch import TABLES, Batch

Key = tuple[object, ...]
Table = Mapping[Key, Row]


def tables_of(db: Connection) -> dict[str, Table]:
    """All rows that the audit tells of, by table and key."""
    return {table: _rows(db, table) for table in TABLES}


def _rows(db: Connection, table: str) -> Table:
    keys = TABLES[table].split(", ")
    return {tuple(row[key] for key in keys): row for row in db.query(f"SELECT * FROM {table}")}


class Replayed:
    """The tables as the entries told so far make them."""

    def __init__(self) -> None:
        self._batch = Batch()

    def problems(self, entries: Iterable[Entry], tables: Mapping[str, Table]) -> list[str]:
        """A sentence for each row that is not as these entries make it; [] when all are.

        Rows are compared as they stand in memory first, which is quick; only where that finds a difference are they
        read back from a database in memory, which decides.
        """
        told = list(entries)
        refused = self._tell(told)
        if refused:
            return refused
        if all(_same(tables[table], self._batch.rows(table)) for table in TABLES):
            return []
        memory = Connection(None)
        try:
            migrate(memory)
            with memory.transaction():
                self._batch.write(memory)
            made = tables_of(memory)
        except TwinReviewError as error:
            return [_refusal(told[-1]["seq"], error)]
        finally:
            memory.close()
        return [text for table in TABLES for text in _differences(table, tables[table], made[table])]

    def problems_of_later(self, entries: Iterable[Entry], db: Connection) -> list[str]:
        """The same of a few entries that came after: of the rows that they touch alone, as they are in `db` now."""
        self._batch.touched.clear()
        problems = self._tell(entries)
        if problems:
            return problems
        for table, key in sorted(self._batch.touched, key=repr):
            if table in TABLES:
                names = TABLES[table].split(", ")
                clause = " AND ".join(f"{name} = ?" for name in names)
                rows = db.query(f"SELECT * FROM {table} WHERE {clause}", key)
                told = self._batch.rows(table).get(key)
                problems += _differences(table, {key: rows[0]} if rows else {}, {key: told} if told else {})
        return problems

    def _tell(self, entries: Iterable[Entry]) -> list[str]:
        number = 0
        try:
            for entry in entries:
                number = entry["seq"]
                if not entry["action"].startswith("job."):  # their progress is not audited, so nothing to compare
                    replay.apply(self._batch, entry)
            self._batch.rows("masks")  # a row that is told twice is refused here
        except (TwinReviewError, KeyError, TypeError, ValueError) as error:
            return [_refusal(number, error)]
        return []


def _refusal(number: int, error: Exception) -> str:
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    return f"The audit cannot be replayed (up to entry {number}): {text}"


def _same(there: Table, told: Table) -> bool:
    if there.keys() != told.keys():
        return False
    return all(row == told[key] or not _columns(row, told[key]) for key, row in there.items())


def _columns(there: Row, told: Row) -> list[str]:
    """Columns that differ; one that nobody told is empty."""
    return [name for name in there if there[name] != told.get(name)]


def _differences(table: str, there: Table, told: Table) -> list[str]:
    problems = []
    for key in sorted(there.keys() | told.keys()):
        name = f"{table} row {' '.join(map(str, key))}"
        if key not in told:
            problems.append(f"The database has {name}, of which the audit knows nothing.")
        elif key not in there:
            problems.append(f"The database lacks {name}, which the audit tells of.")
        elif columns := _columns(there[key], told[key]):
            problems.append(f"The database and the audit disagree on {', '.join(columns)} of {name}.")
    return problems
