"""The append-only record of every write: a table, and a file beside it that is the same, line for line.

Each entry names who did what with which values (all that `rebuild` needs), the hash of the entry before it, and its own
hash over the canonical JSON of the rest: nobody can change, drop or insert one without breaking the chain. What the
chain alone cannot show is that its last entries were cut off in both places; keep a copy of the newest hash elsewhere
to see that too.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from store.connection import Connection, Writer
from store.values import canonical, to_text

Entry = dict[str, Any]
GENESIS = "0" * 64
KEYS = ("seq", "created_at", "person", "action", "payload", "prev_hash", "hash")


def entry_hash(entry: Entry) -> str:
    """SHA-256 (64 hex digits) over the canonical JSON of everything in the entry but its own hash."""
    body = {key: entry[key] for key in KEYS if key != "hash"}
    return hashlib.sha256(canonical(body).encode("ascii")).hexdigest()


def make_entry(seq: int, at: str, person: str, action: str, payload: Any, prev_hash: str) -> Entry:
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
    if not path.exists():
        return entries, problems
    for number, line in enumerate(path.read_bytes().split(b"\n"), start=1):
        if not line:
            continue
        try:
            entry = json.loads(line)
        except ValueError:
            problems.append(f"{path.name} line {number} is not JSON: torn or altered.")
            continue
        if not isinstance(entry, dict) or set(entry) != set(KEYS):
            problems.append(f"{path.name} line {number} is not an audit entry.")
            continue
        entries.append(entry)
    return entries, problems


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

    def next_entry(self, at: str, person: str, action: str, payload: Any) -> Entry:
        """The entry that would follow the newest."""
        seq, previous = self.last()
        return make_entry(seq + 1, at, person, action, payload, previous)

    def insert(self, entry: Entry) -> None:
        """Add the row; part of the caller's transaction."""
        insert_row(self.db, entry)

    def has(self, entry: Entry) -> bool:
        """True if the table holds exactly this entry."""
        return bool(self.db.query("SELECT 1 FROM audit WHERE seq = ? AND hash = ?", [entry["seq"], entry["hash"]]))

    def mirror(self, entry: Entry) -> None:
        """Append the entry to the file and fsync it; does nothing if it is the file's last line already.

        A half line that a crash left at the end is taken away first: it is the beginning of this very entry.
        """
        line = (json.dumps(entry, allow_nan=False) + "\n").encode("ascii")
        with open(self.path, "a+b") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - len(line)))
            if file.read() == line:
                return
            keep = _length_of_whole_lines(self.path, size, line)
            if keep < size:
                file.truncate(keep)
            file.write(line)
            file.flush()
            os.fsync(file.fileno())

    def entries(self, limit: int | None = None) -> list[Entry]:
        """The table's entries: all of them in order, or the newest `limit`, newest first."""
        order = "SELECT * FROM audit ORDER BY seq"
        rows = self.db.query(order) if limit is None else self.db.query(order + " DESC LIMIT ?", [int(limit)])
        return [{**{key: row[key] for key in KEYS}, "payload": json.loads(row["payload"])} for row in rows]

    def verify(self) -> list[str]:
        """Problems of the chain in the table, in the file, and between the two; [] when there is none."""
        table = self.entries()
        in_file, problems = read_file(self.path)
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


def _length_of_whole_lines(path: Path, size: int, line: bytes) -> int:
    """Where the new line goes: the file's end, or the start of a torn tail if that is the beginning of `line`."""
    with open(path, "rb") as file:
        start = max(0, size - len(line))
        file.seek(start)
        tail = file.read(size - start)
    if not tail or tail.endswith(b"\n"):
        return size
    torn = tail[tail.rfind(b"\n") + 1 :]
    return size - len(torn) if line.startswith(torn) else size
