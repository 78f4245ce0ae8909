"""The graph in the database's own memory: filled once, asked in Cypher that reads, in transactions that only read.

It runs in the process that `core.evidence.graph` starts: LadybugDB 0.22.0 ends the process that it is in for some
queries that are well formed.
"""

from __future__ import annotations

import decimal
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.errors import InputError
from core.evidence.cases import CaseKey
from core.evidence.graph_schema import NODES, RELATIONS, Rows, Value, described, statements
from core.evidence.reading_query import reading_query

if TYPE_CHECKING:
    import ladybug

#: Longest that a query may run, most memory of the graph and its answers, most rows of an answer.
SECONDS, MEMORY_MB, MOST_ROWS = 5.0, 512, 10_000
#: Most that the database may map; it would else reserve 8 TB of addresses.
_MOST_BYTES = 1 << 32
_QUOTED = 300
#: What the database numbers its rows by, among a node's or a relation's properties.
_NUMBERS = ("_id", "_src", "_dst")

#: What an answer's cell holds; a node, a relation or a path is a dict of its properties.
Cell = str | int | float | bool | None | list["Cell"] | dict[str, "Cell"]
Parameter = str | int | float | bool | list[str] | list[float]


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one query; `cut` where there are more rows than were asked for."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    cut: bool


class GraphDatabase:
    """Nodes and relations as `graph_schema` says."""

    def __init__(self, rows: Rows) -> None:
        """Args: rows: as `graph_schema.rows_of` makes them."""
        import ladybug  # here: what asks no graph does without its 29 MB

        self._observations = len(rows["Observation"])
        self._database = ladybug.Database(
            ":memory:", buffer_pool_size=MEMORY_MB << 20, max_num_threads=1, max_db_size=_MOST_BYTES
        )
        with _connection(self._database) as connection:
            for statement in statements():
                connection.execute(statement)
            for label, properties in NODES.items():
                _fill(connection, label, properties, rows[label])
            for kind, (_, _, properties) in RELATIONS.items():
                _fill(connection, kind, {"start": "STRING", "end": "STRING", **properties}, rows[kind])

    def ask(self, cypher: str, parameters: Mapping[str, Parameter], limit: int) -> Answer:
        """As `core.evidence.graph.EvidenceGraph.ask`."""
        if not 1 <= limit <= MOST_ROWS:
            raise InputError(f"Expected 1 to {MOST_ROWS:,} rows, got {limit}. Ask for that many.")
        with self._answered(cypher, parameters) as result:
            rows: list[tuple[Cell, ...]] = []
            while len(rows) < limit and result.has_next():
                rows.append(tuple(_cell(value) for value in result.get_next()))
            return Answer(tuple(result.get_column_names()), tuple(rows), bool(result.has_next()))

    def observation_keys(self, cypher: str, parameters: Mapping[str, Parameter]) -> set[CaseKey]:
        """As `core.evidence.graph.EvidenceGraph.observation_keys`."""
        keys: set[CaseKey] = set()
        with self._answered(cypher, parameters) as result:
            names = [name.rpartition(".")[2].lower() for name in result.get_column_names()]
            most = 4 * self._observations + MOST_ROWS
            while result.has_next():
                if (most := most - 1) < 0:
                    raise InputError(
                        "Expected each observation about once, got many times as many rows. Write RETURN DISTINCT."
                    )
                keys.update(_keys_of(names, list(result.get_next())))
        return keys

    @contextmanager
    def _answered(self, cypher: str, parameters: Mapping[str, Parameter]) -> Iterator[ladybug.QueryResult]:
        """The database's own answer to a query that reads."""
        text = reading_query(cypher)
        with _connection(self._database) as connection:
            connection.set_query_timeout(int(SECONDS * 1000))
            try:
                connection.execute("BEGIN TRANSACTION READ ONLY")
                result = connection.execute(text, dict(parameters))
                if isinstance(result, list):
                    raise InputError(f"Expected one query, got {len(result)}. Ask one after the other.")
                with result:
                    yield result
            except (RuntimeError, ValueError, OverflowError, UnicodeError) as error:
                raise InputError(_told(str(error))) from None


@contextmanager
def _connection(database: ladybug.Database) -> Iterator[ladybug.Connection]:
    """One of its own for each query: threads do not wait for one another, and no prepared query is used again (`_fill`
    says why)."""
    import ladybug

    connection = ladybug.Connection(database, num_threads=1)
    try:
        yield connection
    finally:
        with suppress(RuntimeError):
            connection.close()


def _fill(
    connection: ladybug.Connection, table: str, columns: Mapping[str, str], rows: Sequence[Mapping[str, Value]]
) -> None:
    """All rows into an empty table, each column as one list: row by row takes seconds. Args: columns: their types.

    Once a table: where ladybug 0.22.0 runs the same text with other values again on a connection, the process dies.
    """
    values: dict[str, list[Value] | int] = {"count": len(rows)}
    picked = []
    for name, kind in columns.items():
        column = [row[name] for row in rows]
        if any(value not in (None, []) for value in column):
            values[f"{name}_"] = column
            picked.append(f"CAST(${name}_[i] AS {kind})")
        else:  # a list of nothing has no type that the database could tell
            picked.append(f"CAST({'[]' if [] in column else 'NULL'} AS {kind})")
    if rows:
        connection.execute(f"COPY {table} FROM (UNWIND range(1, $count) AS i RETURN {', '.join(picked)})", values)


def _keys_of(names: Sequence[str], row: Sequence[object]) -> Iterator[CaseKey]:
    """Of observations among a row's cells, else of its columns mask_id and lesion_id; none of one without a mask."""
    found = [cell for cell in map(_cell, row) if isinstance(cell, dict) and cell.get("label") == "Observation"]
    if not found and {"mask_id", "lesion_id"} <= set(names):
        found = [dict(zip(names, map(_cell, row), strict=True))]
    elif not found and None not in row:
        raise InputError(
            f"Expected observations, or their mask_id and lesion_id, got {', '.join(names)}. Write RETURN DISTINCT o."
        )
    for cell in found:
        if cell["mask_id"] and cell["lesion_id"]:
            yield CaseKey(str(cell["mask_id"]), str(cell["lesion_id"]))


def _cell(value: object) -> Cell:
    """A value in plain types; what the database numbers its rows by is left out."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, decimal.Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, Mapping):
        # its own names begin with "_", in capitals or not by version
        named = {str(name).lower() if str(name).startswith("_") else str(name): part for name, part in value.items()}
        only = NODES.get(str(named.get("_label")))  # nodes of a path bear the properties of all labels
        kept = {name: part for name, part in named.items() if name not in _NUMBERS}
        return {
            name.removeprefix("_"): _cell(part)
            for name, part in kept.items()
            if only is None or name in only or name == "_label"
        }
    if isinstance(value, Sequence):
        return [_cell(part) for part in value]
    return str(value)


def _told(message: str) -> str:
    """The database's message in a sentence for people, without a path."""
    if message.startswith("Interrupted"):
        return (
            f"Expected a query that is answered within {SECONDS:g} s, got one that takes longer. Narrow it with WHERE."
        )
    if "uffer manager" in message or "buffer pool" in message:
        return f"Expected an answer of at most {MEMORY_MB} MB, got a larger one. Narrow the query with WHERE."
    if message.startswith("Assertion failed"):
        return (
            "Expected a query that the graph's database can answer, got one where it has a fault. Ask it another way."
        )
    told = re.sub(r"(?:[A-Za-z]:)?(?:[/\\][\w.@~+-]+){2,}", "…", " ".join(message.split()))[:_QUOTED].rstrip(". ")
    return f"Expected a query that the graph can answer, got: {told}. {described()}"
