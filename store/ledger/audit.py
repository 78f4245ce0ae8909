"""The append-only record of every write: a table, and a file beside it that is the same, line for line.

Each entry names who did what with which values (all that `rebuild` needs), the hash of the entry before it, and its own
hash over the canonical JSON of the rest.

What this proves, and what it does not:
- The chain alone shows accidents and careless changes: an entry that was changed, dropped or inserted breaks it,
  unless all entries after it were written anew as well. Who can write to the data folder can do just that, in table,
  mirror and ledgers alike, and `verify` finds nothing. They can also cut off the newest entries everywhere.
- With a key (`store.ledger.heads`, TWIN_AUDIT_KEY) they cannot: entries from the first signed one on cannot be changed,
  dropped in the middle or added by somebody who has not the key. Who can read the key can.
- That the newest entries were cut off, with their signatures, is seen only against a head that was kept elsewhere
  (`audit head`, `audit check`, TWIN_AUDIT_ANCHOR).
- Nothing here proves that a person is who the name says.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from core.errors import StoreError
from core.remembered.untyped import JsonDict
from store.database.connection import Connection, Writer
from store.ledger import lines
from store.values import canonical, to_text

Entry = JsonDict
GENESIS = "0" * 64
KEYS = ("seq", "created_at", "person", "action", "payload", "prev_hash", "hash")


def entry_hash(entry: Entry) -> str:
    """SHA-256 (64 hex digits) over the canonical JSON of everything in the entry but its own hash."""
    body = {key: entry[key] for key in KEYS if key != "hash"}
    return hashlib.sha256(canonical(body).encode("ascii")).hexdigest()


def make_entry(seq: int, at: str, person: str, action: str, payload: object, prev_hash: str) -> Entry:
    """A whole entry, ready to be appended."""
    entry = {
        "seq": seq,
        "created_at": at,
        "person": person,
        "action": action,
        "payload": payload,
        "prev_hash": prev_hash,
    }
    return {**entry, "hash": entry_hash(entry)}


def read_file(path: Path) -> tuple[list[Entry], list[str]]:
    """The entries of an audit file and a sentence for each line that is none; ([], []) if there is no file."""
    entries: list[Entry] = []
    problems: list[str] = []
    for number, line in enumerate(lines.content(path).split(b"\n"), start=1):
        if not line:
            continue
        try:
            entry = json.loads(line, parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            problems.append(f"{path.name} line {number} is not JSON: torn or altered.")
            continue
        if not isinstance(entry, dict) or set(entry) != set(KEYS):
            problems.append(f"{path.name} line {number} is not an audit entry.")
            continue
        entries.append(entry)
    return entries, problems


def _refuse_constant(name: str) -> None:
    raise ValueError(name)  # NaN and Infinity are no JSON, though Python reads them, and have no hash


def check_chain(entries: Sequence[Entry], where: str) -> list[str]:
    """A sentence for the first break of the chain; [] if it is whole (also when there is no entry)."""
    previous = GENESIS
    for expected, entry in enumerate(entries, start=1):
        if entry["seq"] != expected:
            return [f"The audit {where} is broken: entry {expected} is missing, {entry['seq']!r} stands in its place."]
        if entry["prev_hash"] != previous:
            return [f"The audit {where} is broken: entry {expected} does not follow from the one before it."]
        if entry_hash(entry) != entry["hash"]:
            return [f"The audit {where} is broken: entry {expected} was altered after it was written."]
        previous = entry["hash"]
    return []


class Audit:
    """The table `audit` and its mirror `audit.jsonl`. Entries are added by `Store` alone, inside its write lock.

    Args:
        db: where the table is.
        path: the mirror.
    """

    def __init__(self, db: Connection, path: Path) -> None:
        self.db = db
        self.path = path

    def last(self) -> tuple[int, str]:
        """Sequence number and hash of the newest entry; (0, GENESIS) when there is none."""
        rows = self.db.query("SELECT seq, hash FROM audit WHERE seq = (SELECT max(seq) FROM audit)")
        return (int(rows[0]["seq"]), str(rows[0]["hash"])) if rows else (0, GENESIS)

    def next_entry(self, at: str, person: str, action: str, payload: object) -> Entry:
        """The entry that would follow the newest."""
        seq, previous = self.last()
        return make_entry(seq + 1, at, person, action, payload, previous)

    def insert(self, entry: Entry) -> None:
        """Add the row; part of the caller's transaction."""
        insert_row(self.db, entry)

    def has(self, entry: Entry) -> bool:
        """True if the table holds exactly this entry."""
        return bool(self.db.query("SELECT 1 FROM audit WHERE seq = ? AND hash = ?", [entry["seq"], entry["hash"]]))

    def hashes(self, seqs: Sequence[int]) -> dict[int, str]:
        """The hashes of some entries, by seq; of those that there are."""
        wanted = sorted(set(seqs))
        if not wanted:
            return {}
        sql = f"SELECT seq, hash FROM audit WHERE seq IN ({', '.join('?' * len(wanted))})"
        return {int(row["seq"]): str(row["hash"]) for row in self.db.query(sql, wanted)}

    def mirror(self, entry: Entry) -> None:
        """Append the entry to the file and fsync it; does nothing if it is the file's last line already.

        A half line that a crash left at the end is taken away first, if it is the beginning of this very entry.
        """
        lines.append(self.path, [lines.line_of(entry)])

    def entries(self, limit: int | None = None) -> list[Entry]:
        """The table's entries: all of them in order, or the newest `limit`, newest first."""
        order = "SELECT * FROM audit ORDER BY seq"
        rows = self.db.query(order) if limit is None else self.db.query(order + " DESC LIMIT ?", [int(limit)])
        return [{**{key: row[key] for key in KEYS}, "payload": json.loads(row["payload"])} for row in rows]

    def verify(self) -> list[str]:
        """Problems of the chain in the table, in the file, and between the two; [] when there is none."""
        table = self.entries()
        try:
            in_file, problems = read_file(self.path)
        except (OSError, StoreError):
            return [f"{self.path.name} cannot be read.", *check_chain(table, "table")]
        problems += check_chain(table, "table")
        problems += check_chain(in_file, f"file {self.path.name}")
        if table != in_file:
            same = next((n for n, (a, b) in enumerate(zip(table, in_file, strict=False)) if a != b), None)
            where = min(len(table), len(in_file)) if same is None else same
            problems.append(
                f"The audit table ({len(table)} entries) and {self.path.name} ({len(in_file)}) "
                f"are not the same from entry {where + 1} on."
            )
        return problems


def insert_row(db: Writer, entry: Entry) -> None:
    """Add one entry to the table `audit` of a database."""
    values = [to_text(entry[key]) if key == "payload" else entry[key] for key in KEYS]
    db.execute(
        "INSERT INTO audit (seq, created_at, person, action, payload, prev_hash, hash) VALUES (?, ?, ?, ?, ?, ?, ?)",
        values,
    )
