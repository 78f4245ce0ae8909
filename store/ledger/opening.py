"""What is looked at before a store is opened: is it one, can it be written, and do its copies of the past agree.

The database, audit.jsonl and the ledgers each hold the history. A difference that a cut-short write explains is
finished by the journal; a mirror or ledgers that end too early are completed from the database, and that is said;
where the database knows less than a file, or another history, nothing is opened: every write would bury what it lacks.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from core.errors import StoreError
from store.database import migrations
from store.database.connection import Connection, StoreConflict, StoreDamaged, StoreReadOnly, times_open_here
from store.database.looking import AUDIT, DATABASE, open_to_look, schema_of
from store.files import file_rights, mask_files
from store.ledger import heads, ledgers, lines
from store.ledger.audit import Audit, Entry, check_chain, read_file
from store.ledger.journal import NAME as JOURNAL
from store.ledger.journal import Pending
from store.values import utc_now

__all__ = ["AUDIT", "DATABASE"]
_BACKUP_INFIX = "-before-migration-"


@contextmanager
def refusals_told() -> Iterator[None]:
    """What the system refuses inside becomes a StoreError, without a path of the server."""
    try:
        yield
    except OSError as error:
        raise StoreError(f"The data folder refused a file ({error.strerror}). Make room or mend its rights.") from error


def open_database(
    root: Path, *, create: bool, read_only: bool, notes: list[str], check: Callable[[Audit], object]
) -> Connection:
    """The database of a data folder, of the newest schema.

    Args:
        create: make a new one in a folder that holds nothing of a store.
        read_only: only look; done without being asked where the folder cannot be written.
        notes: gets a sentence for everything that a person should know of it.
        check: raises if the history may not be opened; asked before an older database is changed in any way.

    Raises:
        StoreBusy: if another process holds it.
        StoreDamaged: if it is none, or gone while its files are there.
        StoreError: if there is no store, and none may be made.
    """
    database = root / DATABASE
    if not database.exists():
        _refuse_remains(root)
        if read_only or not create:
            raise StoreError(
                f"There is no store in {root}. Check the folder that --data or TWIN_DATA names; "
                "`import` and `demo` make a new store, nothing else does."
            )
        _make_folder(root)
    if not read_only and not _writable(root, database):
        read_only = True
        notes.append("The data folder cannot be written: it is open for looking only.")
    if read_only:
        return open_to_look(root, database, notes)
    file_rights.close_folder(root)
    try:
        db = Connection(database)
    except StoreReadOnly:
        notes.append("The database cannot be written: it is open for looking only.")
        return open_to_look(root, database, notes)
    try:
        if 0 < schema_of(db) < len(migrations.MIGRATIONS) and times_open_here(database) == 1:
            check(Audit(db, root / AUDIT))
            db.close()
            _keep_before_migration(database)
            db = Connection(database)
        migrations.migrate(db)
    except StoreConflict as error:
        db.close()
        raise StoreDamaged(f"{DATABASE} is not a database of TwinReview. Run `rebuild`.") from error
    except BaseException:
        db.close()
        raise
    return db


def _make_folder(root: Path) -> None:
    try:
        root.mkdir(mode=0o777 & ~file_rights.umask(), parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"The data folder cannot be made: {error.strerror}. Choose another with TWIN_DATA.") from None


def _refuse_remains(root: Path) -> None:
    """Refuse to begin a new store over what an earlier one left."""
    remains = [name for name in (AUDIT, JOURNAL) if (root / name).exists()]
    remains += [f"{top}/" for top in ("raw", "processed") if next(_files_below(root / top), None)]
    if remains:
        raise StoreDamaged(
            f"The database {DATABASE} is missing, but {', '.join(remains)} of an earlier one "
            f"{'is' if len(remains) == 1 else 'are'} there. Run `rebuild` to make it again from them, or use an empty "
            "folder."
        )


def refuse_emptied(root: Path, audit: Audit) -> None:
    """Refuse a database without any history beside files that have one, or that need one."""
    in_audit = audit.path.exists() and audit.path.stat().st_size
    if not audit.last()[0] and (in_audit or any(next(_files_below(root / top), None) for top in ("raw", "processed"))):
        raise StoreDamaged("The database is empty, but the files beside it are not. Run `rebuild` to make it again.")


def _files_below(folder: Path) -> Iterator[Path]:
    for where, _, files in os.walk(folder):
        yield from (Path(where) / name for name in files)


def _writable(root: Path, database: Path) -> bool:
    """True if folder and database can be written; access(2) also knows of read-only file systems."""
    return os.access(root, os.W_OK | os.X_OK) and (not database.exists() or os.access(database, os.W_OK))


def _keep_before_migration(database: Path) -> None:
    """A copy of the database, at rest and fsynced, before its tables are changed; whole, or none at all."""
    with Connection(database, read_only=True) as db:
        version = schema_of(db)
    stamp = utc_now().replace(":", "").replace("-", "").replace(".", "-")
    kept = database.with_name(f"{DATABASE}.v{version}{_BACKUP_INFIX}{stamp}")
    staged: list[tuple[Path, Path]] = []
    try:
        for suffix in (".wal", ""):  # the log first: a copy without it is not as it was
            source = Path(f"{database}{suffix}")
            if source.exists():
                staged.append((mask_files.temporary(database.parent), Path(f"{kept}{suffix}")))
                mask_files.copy_synced(source, staged[-1][0])
        for copy, target in staged:
            mask_files.place(copy, target)
    finally:
        for copy, _ in staged:
            copy.unlink(missing_ok=True)


def untold_updates(root: Path, audit: Audit) -> list[str]:
    """A sentence for each copy of before an update that no entry of the audit names: one made just now, or one whose
    opening died before it could say so."""
    kept = [path.name for path in sorted(root.glob(f"{DATABASE}.v*{_BACKUP_INFIX}*")) if path.suffix != ".wal"]
    rows = audit.db.query("SELECT payload FROM audit WHERE action = 'store.recovered'") if kept else []
    return [
        f"The database was of an older TwinReview (schema {name.removeprefix(f'{DATABASE}.v').split('-')[0]}) and was "
        f"brought up to schema {len(migrations.MIGRATIONS)}; a copy of it as it was is {name}."
        for name in kept
        if not any(name in row["payload"] for row in rows)
    ]


class Lacking(NamedTuple):
    """What files lack of the table's history, to be completed from it: entries at the end of audit.jsonl, and whether
    the ledgers lack any."""

    in_mirror: list[Entry]
    in_ledgers: bool


def compare(root: Path, audit: Audit, cut: Pending | None) -> Lacking:
    """Hold table, audit.jsonl and ledgers against one another; nothing is changed.

    Args:
        cut: the write that the journal names, if there is one: what it explains is no difference.

    Raises:
        StoreDamaged: if one of the files knows more than the table, or another history.
    """
    refuse_emptied(root, audit)
    return Lacking(lacking_in_mirror(audit, cut), lacking_in_ledgers(root, audit, cut))


def refuse_newer_heads(root: Path, audit: Audit, key: heads.Key | None, anchor: Path | None) -> None:
    """Refuse a history that is older than its signatures or than what is kept outside, or another than theirs.

    All copies inside of the folder agree then, so `rebuild` has nothing newer: a person says whether there is a newer
    backup. Each new write would bury what is lost. A head that the key did not make proves nothing; `verify` names it.

    Raises:
        StoreDamaged: says what to put back, and how to go on where the newer history is lost.
    """
    kept = {
        heads.HEADS: (
            heads.newest(root / heads.HEADS, key),
            f"put {heads.HEADS} back as it was with the rest, or take the lines that are not of this history out of it",
        ),
        "the file of TWIN_AUDIT_ANCHOR": (
            (0, "") if anchor is None else heads.anchored(anchor),
            "rename that file, keep it, and open again: a new one is begun",
        ),
    }
    for name, ((seq, digest), way) in kept.items():
        last = audit.last()[0]
        if not seq or audit.hashes([seq]).get(seq) == digest:
            continue
        older = f"The history here ends with entry {last}, {name} knows entry {seq}: a part of it was put back or cut."
        other = f"Entry {seq} of the history here is not the one in {name}: it was written anew, or is another one."
        raise StoreDamaged(
            f"{older if seq > last else other} Nothing was opened, so nothing is lost. Put the newer data folder back "
            f"as a whole. If that is lost: {way}."
        )


def lacking_in_mirror(audit: Audit, cut: Pending | None) -> list[Entry]:
    """The entries that audit.jsonl lacks at its end, to be completed from the table; [] in ordinary use.

    Cheap where all is well: the last line is compared with the last row.

    Raises:
        StoreDamaged: if the file knows more than the table, or they tell different histories.
    """
    seq, digest = audit.last()
    end = lines.tail(audit.path)
    in_file = (end.value or {}).get("hash", "")
    if not end.torn and (digest == in_file or (not seq and not end.line)):
        return []
    if cut is not None and cut.entry["hash"] == digest:  # committed, and not yet mirrored: the journal explains it
        behind = in_file == cut.entry["prev_hash"] or (seq == 1 and not end.line)
        if behind and lines.line_of(cut.entry).startswith(end.torn):
            return []
    return _compare(audit.entries(), audit.path, end.torn)


def _compare(table: list[Entry], path: Path, torn: bytes) -> list[Entry]:
    in_file, problems = read_file(path)
    if torn and len(in_file) < len(table) and lines.line_of(table[len(in_file)]).startswith(torn):
        problems = problems[:-1]  # the half line is the beginning of the one that comes next
    if problems or check_chain(table, "table"):
        raise StoreDamaged(
            f"The database and {path.name} do not end with the same entry, and one of them is broken: "
            f"{(problems + check_chain(table, 'table'))[0]} Run `rebuild`, which takes the longest whole history."
        )
    parted = next((n for n, (a, b) in enumerate(zip(table, in_file, strict=False), start=1) if a != b), None)
    if parted is not None:
        raise StoreDamaged(
            f"The database and {path.name} part at entry {parted}: they tell different histories, of {len(table)} and "
            f"{len(in_file)} entries. Nothing was opened. Run `rebuild`, which takes the longer one and keeps both."
        )
    if len(in_file) > len(table):
        raise StoreDamaged(
            f"The database is older than {path.name}: it ends with entry {len(table)}, the file with {len(in_file)}. "
            "Nothing was opened, so nothing is lost. Run `rebuild`: it brings back the newer entries."
        )
    return table[len(in_file) :]


def lacking_in_ledgers(root: Path, audit: Audit, cut: Pending | None) -> bool:
    """True if the ledgers end before the table does, or hold fewer entries, and no cut-short write explains it.

    Reads their ends, and counts their lines: one patient's ledger that is older than the others ends as it should.

    Raises:
        StoreDamaged: if one knows more than the table, or another history.
    """
    newest = ledgers.newest(root)
    head, last = audit.last()
    known = audit.hashes([seq for seq, _ in newest.values() if seq])
    for place, (seq, digest) in newest.items():
        if seq > head:
            raise StoreDamaged(
                f"The database is older than {place}: it ends with entry {head}, the ledger knows entry {seq}. "
                "Nothing was opened, so nothing is lost. Run `rebuild`: it brings back the newer entries."
            )
        if seq and known.get(seq) != digest:
            raise StoreDamaged(
                f"The database and {place} tell different histories: entry {seq} is not the same in both. "
                "Nothing was opened. Run `rebuild`, which takes the longer one and keeps both."
            )
    told = head - 1 if cut is not None and cut.entry["hash"] == last else head
    return max((seq for seq, _ in newest.values()), default=0) < told or ledgers.count(root) < told


def mend_copies(root: Path, audit: Audit, lacking: Lacking, say: Callable[[str], None]) -> None:
    """Complete the mirror and the ledgers from the table; what was done is said."""
    missing = lacking.in_mirror
    if missing:
        lines.append(audit.path, [lines.line_of(entry) for entry in missing])
        say(f"{audit.path.name} ended before entry {missing[0]['seq']}; {len(missing)} were added from the database.")
    written = ledgers.complete(root, audit.entries()) if lacking.in_ledgers else []
    if written:  # where lines were altered too, `verify` names the ledger, and it is left as it is
        say(f"Ledgers were completed from the database: {len(written)} of them.")
