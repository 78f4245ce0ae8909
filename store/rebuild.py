"""The database made again from the files: raw/*.json, the masks' sidecars and audit.jsonl."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from core.errors import InputError, StoreError
from store import journal, mask_files, replay
from store.audit import GENESIS, Audit, Entry, check_chain, insert_row, make_entry, read_file
from store.base import AUDIT, DATABASE, FIRST_PERSON, StoreBase
from store.connection import Connection, StoreDamaged, is_open_here
from store.migrations import migrate
from store.replay import SCAN_COLUMNS
from store.values import utc_now


def rebuild(root: Path | str) -> dict[str, int]:
    """Make twin.duckdb anew beside the old one, then swap; the old one stays as twin.duckdb.bak.

    audit.jsonl is the authority: its entries are replayed. If it is missing or broken, the old database's own audit
    table takes its place when that is whole (what was there stays as audit.jsonl.bak). With neither, a missing
    audit.jsonl is begun anew from the sidecars of scans and masks: they keep their status, but decisions, scores and
    events are lost, and progress messages of jobs always are.

    Returns:
        How many rows each table has, and "adopted": how many scans and masks came from sidecars alone.

    Raises:
        StoreError: if the store is open, here or in another process, or audit.jsonl was altered and nothing replaces
            it.
    """
    root = Path(root)
    if not root.is_dir():
        raise StoreError(f"There is no data folder {root}. Give the folder that holds raw/ and processed/.")
    database = root / DATABASE
    if is_open_here(database):
        raise StoreError("The store is open in this process. Close it first, then rebuild.")
    table = _old_audit(root) if database.exists() else []
    entries = _entries(root, table)
    new = root / f"{DATABASE}.new"
    for leftover in (new, Path(f"{new}.wal")):
        leftover.unlink(missing_ok=True)
    adopted = _sidecar_entries(root) if not entries else []
    counts = _build(new, [*entries, *adopted])
    if adopted:
        with open(root / AUDIT, "wb"):
            pass
        _write_audit(root, adopted)
        _link_accepted(root, adopted)
    _swap(database, new)
    return {**counts, "audit": len(entries) + len(adopted), "adopted": len(adopted)}


def _old_audit(root: Path) -> list[Entry]:
    """The audit table of the old database, [] if it is damaged. Opening it also finishes a write that was cut short."""
    try:
        with StoreBase(root) as old:
            entries = old.audit.entries()
    except StoreDamaged:
        return []
    return [] if check_chain(entries, "table") else entries


def _entries(root: Path, table: list[Entry]) -> list[Entry]:
    in_file, problems = read_file(root / AUDIT)
    problems += check_chain(in_file, f"file {AUDIT}")
    if (problems or not in_file) and table:
        if (root / AUDIT).exists():
            os.replace(root / AUDIT, root / f"{AUDIT}.bak")
        _write_audit(root, table)
        return table
    if problems:
        raise StoreError(
            f"{problems[0]} Restore it from a backup and rebuild again; or move it away, and the database is made "
            "from the sidecars alone, without decisions, scores and events."
        )
    return [*in_file, *_finish_cut(root, in_file)]


def _finish_cut(root: Path, entries: list[Entry]) -> list[Entry]:
    """A write that was cut short while the database is gone: it counts if all it names is there and it comes next."""
    cut = journal.pending(root)
    if cut is None:
        return []
    last = entries[-1]["hash"] if entries else GENESIS
    recorded = bool(entries) and entries[-1] == cut.entry
    follows = not check_chain([*entries, cut.entry], "") and cut.entry["prev_hash"] == last
    whole = follows and all((root / name).is_file() for name in cut.files)
    if whole:
        _write_audit(root, [cut.entry])
    if whole or recorded:
        _redo_files(root, cut.entry)
    else:
        journal.quarantine(root, cut.files)
    journal.end(root)
    return [cut.entry] if whole else []


def _redo_files(root: Path, entry: Entry) -> None:
    """Sidecars and mask_final of a decision, from the sidecars themselves."""
    payload = entry["payload"]
    if entry["action"] != "mask.decided":
        return
    for path in sorted(root.glob(f"processed/*/{payload['patient_id']}/{payload['timepoint']}/mask_v*.json")):
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["mask_id"] in payload["statuses"]:
            values["status"] = payload["statuses"][values["mask_id"]]
            if "lesions" in payload and values["mask_id"] == payload["decision"]["mask_id"]:
                values["lesions"] = payload["lesions"]
            mask_files.replace_text(root, path, mask_files.sidecar_text(values))
        final = payload["final_version"]
        mask_files.set_final(root, path.parent, None if final is None else mask_files.mask_name(final))


def _write_audit(root: Path, entries: list[Entry]) -> None:
    with Connection(None) as unused:
        audit = Audit(unused, root / AUDIT)
        for entry in entries:
            audit.mirror(entry)


def _sidecar_entries(root: Path) -> list[Entry]:
    """A new audit from sidecars alone, in the order in which things were made."""
    found: list[tuple[str, str, str, dict[str, Any]]] = []
    for path in root.glob("raw/*/*/*/*.json"):
        values = _sidecar(path, SCAN_COLUMNS, replay.SCAN_LATER)
        found.append((values["imported_at"], "scan.added", values["imported_by"], values))
    for path in root.glob("processed/*/*/*/mask_v*.json"):
        values = _sidecar(path, replay.MASK_COLUMNS, replay.MASK_LATER)
        found.append((values["created_at"], "mask.added", values["reviewer"], values))
    # scans first: a mask needs its patient, and a copied file may carry any time
    found.sort(key=lambda item: (item[1] != "scan.added", item[0], str(item[3].get("version", ""))))
    entries: list[Entry] = []
    previous, start = GENESIS, found[0][0] if found else utc_now()
    first = (start, "person.added", "demo", dict(FIRST_PERSON))
    for seq, (created_at, action, person, payload) in enumerate([first, *found], start=1):
        entries.append(make_entry(seq, created_at, person, action, payload, previous))
        previous = entries[-1]["hash"]
    return entries


def _sidecar(path: Path, keys: tuple[str, ...], later: tuple[str, ...]) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        missing = [key for key in keys if key not in values and key not in later]
    except (ValueError, TypeError):
        raise InputError(f"{path.name} of {path.parent.name} is not JSON. Restore it, or move it away.") from None
    if missing:
        raise InputError(f"{path.name} of {path.parent.name} lacks {', '.join(missing)}. Restore it, or move it away.")
    return {key: values[key] for key in keys if key in values}


def _link_accepted(root: Path, entries: list[Entry]) -> None:
    datasets = {e["payload"]["patient_id"]: e["payload"]["dataset"] for e in entries if e["action"] == "scan.added"}
    for entry in entries:
        payload = entry["payload"]
        if entry["action"] == "mask.added" and payload["status"] == "accepted":
            patient_id = payload["patient_id"]
            folder = root / mask_files.processed_dir(datasets[patient_id], patient_id, payload["timepoint"])
            mask_files.set_final(root, folder, mask_files.mask_name(payload["version"]))


def _build(path: Path, entries: list[Entry]) -> dict[str, int]:
    with Connection(path) as db:
        migrate(db)
        batch = replay.Batch()
        for entry in entries:
            replay.apply(batch, entry)
            insert_row(batch, entry)
        with db.transaction():
            batch.write(db)
        tables = [*replay.TABLES, "jobs"]
        return {table: int(db.query(f"SELECT count(*) AS n FROM {table}")[0]["n"]) for table in tables}


def _swap(database: Path, new: Path) -> None:
    old_log = Path(f"{database}.wal")
    if database.exists():
        os.replace(database, f"{database}.bak")
    if old_log.exists():
        os.replace(old_log, f"{database}.bak.wal")
    os.replace(new, database)
    mask_files.fsync_dir(database.parent)
