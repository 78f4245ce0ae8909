"""The tables that audit entries make, in memory: `verify` compares them, `rebuild` writes them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from store.database.connection import Connection, Row, StoreConflict

Key = tuple[object, ...]

#: The tables that the entries make, with the order in which two databases are compared.
TABLES: dict[str, str] = {
    "people": "name",
    "grants": "name",
    "patients": "patient_id",
    "timepoints": "patient_id, timepoint",
    "scans": "patient_id, timepoint, scan_id",
    "scan_identifiers": "content_sha256",
    "masks": "mask_id",
    "lesions": "patient_id, lesion_id",
    "measurements": "mask_id, label",
    "lesion_links": "seq, mask_id, place",
    "transforms": "transform_id",
    "decisions": "decision_id",
    "ood_scores": "score_id",
    "mask_anomalies": "anomaly_id",
    "events": "event_id",
    "protocols": "protocol_id",
    "hand_measurements": "measurement_id",
    "growth_fits": "fit_id",
    "models": "model_id, sha256",
    "reference_sets": "set_id",
    "mask_vectors": "mask_id, lesion_id",
    "lesion_looks": "mask_id, lesion_id, encoder, modality",
    "evidence_marks": "mark_id",
    "mask_losses": "mask_id",
    "file_states": "path",
    "reading_settings": "patient_id, timepoint",
    "readings_finished": "patient_id, timepoint, person",
}


KEYS = {table: tuple(order.split(", ")) for table, order in TABLES.items()} | {"jobs": ("job_id",), "audit": ("seq",)}


class Batch:
    """The tables that entries make, row by row in memory, so that a database takes each table in one statement.

    It knows the statements of `store.ledger.statements` and no others. What it holds is what a database would: a row
    that is there is left or updated as the statement says, and one that is told twice is refused when it is written.
    """

    def __init__(self) -> None:
        self._tables: dict[str, dict[Key, Row]] = {}
        self._twice = ""
        #: (table, key) of every row that was told, changed or taken away; whoever wants the newest ones clears it.
        self.touched: set[tuple[str, Key]] = set()

    def execute(self, sql: str, parameters: Sequence[object] = ()) -> None:
        """Do what the statement says."""
        statement = _parsed(sql)
        rows = self._tables.setdefault(statement.table, {})
        values = dict(zip(statement.columns, parameters[: len(statement.columns)], strict=True))
        if statement.inserts:
            self._insert(statement, rows, values)
            return
        of = dict(zip(statement.where, parameters[len(statement.columns) :], strict=True))
        for key in _matching(rows, KEYS[statement.table], of):
            self.touched.add((statement.table, key))
            if statement.deletes:
                del rows[key]
                continue
            row = rows[key]
            row.update(values)
            row.update({name: (row.get(name) or 0) + 1 for name in statement.counts})
            after = tuple(row[name] for name in KEYS[statement.table])
            if after != key:
                if after in rows:
                    self._tell_twice(statement.table, after)
                rows[after] = rows.pop(key)
                self.touched.add((statement.table, after))

    def _insert(self, statement: _Statement, rows: dict[Key, Row], values: Row) -> None:
        key = tuple(values[name] for name in KEYS[statement.table])
        there = rows.get(key)
        self.touched.add((statement.table, key))
        if there is None:
            rows[key] = values
        elif statement.updates:
            there.update({name: values[name] for name in statement.updates})
        elif not statement.leaves:
            self._tell_twice(statement.table, key)

    def _tell_twice(self, table: str, key: Key) -> None:
        self._twice = self._twice or f"The row {' '.join(map(str, key))} of {table} is told twice."

    def rows(self, table: str) -> dict[Key, Row]:
        """The rows of a table by their keys. Raises StoreConflict as `write`."""
        if self._twice:
            raise StoreConflict(self._twice)
        return self._tables.get(table, {})

    def write(self, db: Connection) -> None:
        """Insert all rows; part of the caller's transaction.

        Raises:
            StoreConflict: if a row was inserted twice without a word what to do then.
        """
        if self._twice:
            raise StoreConflict(self._twice)
        for table, rows in self._tables.items():
            by_columns: dict[tuple[str, ...], list[Row]] = {}
            for row in rows.values():
                by_columns.setdefault(tuple(row), []).append(row)
            for columns, alike in by_columns.items():
                db.insert_many(table, columns, [list(row.values()) for row in alike])


class _Statement(NamedTuple):
    """A statement taken apart: `columns` in the order of its parameters; on a row that is there, what it `updates`, or
    that it `leaves` the row alone; columns that it `counts` up by one; and of one that does not insert, which rows it
    is about (`where`, after the columns) and whether it `deletes` them."""

    inserts: bool
    table: str
    columns: tuple[str, ...]
    updates: tuple[str, ...] = ()
    leaves: bool = False
    counts: tuple[str, ...] = ()
    where: tuple[str, ...] = ()
    deletes: bool = False


def _matching(rows: dict[Key, Row], names: tuple[str, ...], of: Row) -> list[Key]:
    """The keys of the rows that have these values; at once where the values are the key."""
    if of.keys() == set(names):
        key = tuple(of[name] for name in names)
        return [key] if key in rows else []
    return [key for key, row in rows.items() if all(row.get(name) == value for name, value in of.items())]


@cache
def _parsed(sql: str) -> _Statement:
    words = sql.split(" ", 3)
    if words[0] in ("UPDATE", "DELETE"):  # UPDATE table SET a = ?, b = b + 1 WHERE key = ?; DELETE FROM table WHERE …
        before, _, of = words[3].partition("WHERE ")
        where, deletes = tuple(re.findall(r"(\w+) = \?", of)), words[0] == "DELETE"
        counts = tuple(re.findall(r"(\w+) = \1 \+ 1", before))
        columns = () if deletes else tuple(re.findall(r"(\w+) = \?", before))
        return _Statement(False, words[2 if deletes else 1], columns, (), False, counts, where, deletes)
    inside, _, conflict = sql.partition(" VALUES ")
    columns = tuple(inside[inside.index("(") + 1 : inside.rindex(")")].split(", "))
    updates = tuple(re.findall(r"(\w+) = excluded\.", conflict))
    return _Statement(True, words[2], columns, updates, "DO NOTHING" in conflict)
