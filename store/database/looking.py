"""Looking at a store without writing: at the database itself, or at a private copy of what another process holds."""

from __future__ import annotations

import os
import shutil
import time
import uuid
from pathlib import Path

from core.errors import StoreError
from store.database import migrations
from store.database.connection import Connection, StoreBusy, StoreDamaged
from store.files import mask_files
from store.ledger import lines
from store.ledger.audit import Audit

DATABASE = "twin.duckdb"
AUDIT = "audit.jsonl"
_TRIES, _PAUSE_S, _QUIET_S = 40, 0.1, 0.05


def schema_of(db: Connection) -> int:
    """The number of the database's schema; 0 if it has none yet."""
    if not db.query("SELECT 1 FROM information_schema.tables WHERE table_name = 'schema_version'"):
        return 0
    return int(db.query("SELECT coalesce(max(version), 0) AS version FROM schema_version")[0]["version"])


def open_to_look(root: Path, database: Path, notes: list[str]) -> Connection:
    """A database for looking only: itself where it can be had, else a private copy; `notes` says which.

    Raises:
        StoreBusy: if another process holds it and never rests.
        StoreError: if its schema is not the newest.
    """
    try:
        db = Connection(database, read_only=True)
    except StoreBusy:
        db = _snapshot(root, database, notes)
    try:
        version = schema_of(db)
        if version != len(migrations.MIGRATIONS):
            raise StoreError(
                f"The database has schema {version}, this TwinReview needs {len(migrations.MIGRATIONS)}. "
                "Open it where it can be written, or with the TwinReview that it is of."
            )
    except BaseException:
        close_snapshot(db)
        raise
    return db


def _snapshot(root: Path, database: Path, notes: list[str]) -> Connection:
    """A private copy of a database that another process holds, taken while that process wrote nothing.

    The copy counts only if file and log are the same, by size and time of change, before and after, and had been at
    rest before; and if the audit's head in it is that of audit.jsonl.

    Raises:
        StoreBusy: if the other process never rests, or no copy can be made.
    """
    try:
        for _ in range(_TRIES):
            folder = mask_files.incoming(root) / f"looking-{os.getpid()}-{uuid.uuid4().hex}"
            before = _at_rest(database)
            if before is not None:
                folder.mkdir(parents=True)
                try:
                    for source in (database, Path(f"{database}.wal")):
                        if source.exists():
                            shutil.copyfile(source, folder / source.name)
                    if _at_rest(database) == before:
                        db = Connection(folder / DATABASE, read_only=True)
                        if Audit(db, root / AUDIT).last()[1] == str((lines.tail(root / AUDIT).value or {}).get("hash")):
                            notes.append(
                                "Another process holds the database: this is a snapshot of it, taken just now; what "
                                "that process does meanwhile is not seen."
                            )
                            return db
                        db.close()
                except StoreDamaged:
                    pass
                shutil.rmtree(folder, ignore_errors=True)
            time.sleep(_PAUSE_S)
    except OSError as error:
        raise StoreBusy(
            f"The database is held by another process, and no copy for looking could be made ({error.strerror})."
        ) from None
    raise StoreBusy(
        "The database is held by another process that is writing all the time. Try again when it rests, or stop it."
    )


def _at_rest(database: Path) -> tuple[tuple[int, int], ...] | None:
    """Size and time of change (ns) of the database and its log; None if one changed only just now."""
    found = []
    for path in (database, Path(f"{database}.wal")):
        try:
            facts = path.stat()
        except FileNotFoundError:
            found.append((-1, -1))
            continue
        if abs(time.time() - facts.st_mtime) < _QUIET_S:
            return None
        found.append((facts.st_size, facts.st_mtime_ns))
    return tuple(found)


def close_snapshot(db: Connection) -> None:
    """Close a database; of a private copy the folder goes too."""
    db.close()
    if db.path is not None and db.path.parent.name.startswith("looking-"):
        shutil.rmtree(db.path.parent, ignore_errors=True)


def is_snapshot(db: Connection) -> bool:
    """True if this is a private copy of what another process holds."""
    return db.path is not None and db.path.parent.name.startswith("looking-")
