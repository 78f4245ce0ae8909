"""Proof that files, sidecars, database and audit tell the same story."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from core.errors import StoreError, TwinReviewError
from core.imaging.volumes import file_sha256
from core.review.decisions import REJECTED
from core.types import JsonObject, Scan
from store.database import looking
from store.database.connection import Connection, Row
from store.database.migrations import migrate
from store.files import mask_files
from store.files.paths import inside
from store.ledger import journal, ledgers, replay, untidy
from store.ledger.audit import Entry
from store.ledger.writing import Ledger, mask_values
from store.records.scans import reference_of, scan_of, scan_values

_RELATIVE = 1e-9


def verify(store: Ledger) -> list[str]:
    """A sentence for every disagreement, with paths relative to the data root; [] when all agree.

    Looks at: a write that was cut short; every scan and mask file against its hash, every sidecar against its row, key
    by key; mask_final against the accepted version; files that belong to no record; lesions against their mask; who
    accepted what; the audit chain, in the table, in the file and in the ledgers, and with TWIN_AUDIT_KEY and
    TWIN_AUDIT_ANCHOR what they prove; drafts that cannot be read; and every table against what the audit says it must
    hold. What is untidy and no damage is told by `store.remarks`.
    """
    with store.db.lock:
        scans = store.db.query("SELECT * FROM scans ORDER BY patient_id, timepoint, seq, scan_id")
        masks = store.db.query("SELECT * FROM masks ORDER BY patient_id, timepoint, version")
        folders = _mask_folders(store, masks)
        expected: set[str] = set()
        problems = [] if looking.is_snapshot(store.db) else _unfinished(store.root)  # the other process is at work
        for row in scans:
            problems += _check_scan(store.root, row, expected)
        references = _references(scans)
        for row in masks:
            problems += _check_mask(store, row, folders, references, expected)
        problems += _check_finals(store.root, masks, folders, expected)
        problems += _check_decisions(store.db)
        expected |= set(ledgers.there(store.root))
        problems += [f"{name} belongs to no record." for name in _files(store.root) if name not in expected]
        problems += store.audit.verify()
        entries = store.audit.entries()
        problems += ledgers.verify(store.root, entries) + store.verify_heads(entries)
        problems += untidy.unreadable_drafts(store.root)
        problems += _check_tables(store.db, entries)
        return problems


def _unfinished(root: Path) -> list[str]:
    problems = [
        f"incoming/{path.name} was left by a process that died." for path in mask_files.strangers_in_incoming(root)
    ]
    try:
        cut = journal.pending(root)
    except StoreError as error:
        return [*problems, str(error)]
    if cut is not None:
        problems.append(
            f"A write ({cut.entry['action']}) was cut short; opening the store again finishes or undoes it."
        )
    return problems


def _mask_folders(store: Ledger, masks: list[Row]) -> dict[tuple[str, str], str]:
    datasets = {row["patient_id"]: row["dataset"] for row in store.db.query("SELECT * FROM patients")}
    keys = {(row["patient_id"], row["timepoint"]) for row in masks}
    return {(p, t): mask_files.processed_dir(datasets.get(p, "unknown"), p, t) for p, t in keys}


def _references(scans: list[Row]) -> dict[tuple[str, str], Scan]:
    grouped: dict[tuple[str, str], list[Scan]] = {}
    for row in scans:
        grouped.setdefault((row["patient_id"], row["timepoint"]), []).append(scan_of(row))
    return {key: reference_of(group) for key, group in grouped.items()}


def _check_pair(
    root: Path, image: str, sha256: str, values: JsonObject, expected: set[str], db: Connection | None = None
) -> list[str]:
    """An image against its hash and its sidecar against the row's values; with `db`, a mask may be marked lost."""
    sidecar = mask_files.sidecar_of(image)
    expected |= {image, sidecar}
    problems = []
    try:
        path = inside(root, image, ("raw", "processed"))
    except StoreError as error:
        return [str(error)]
    sql = "SELECT reason, person FROM mask_losses WHERE mask_id = ? AND lost"
    losses = db.query(sql, [values["mask_id"]]) if db is not None else []
    if losses:
        problems.append(f"{image} is lost: {losses[0]['reason']} (said by {losses[0]['person']}).")
    else:
        problems += _check_image(path, image, sha256)
    try:
        if (root / sidecar).is_symlink():
            return [*problems, f"{sidecar} is a symbolic link, where a file was expected."]
        found = json.loads((root / sidecar).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return problems if losses else [*problems, f"{sidecar} is missing."]
    except (ValueError, OSError):
        return [*problems, f"{sidecar} is not readable JSON."]
    if not isinstance(found, dict):
        return [*problems, f"{sidecar} is not a sidecar."]
    for key in values:
        if key not in found:
            problems.append(f"{sidecar} lacks {key}.")
        elif found[key] != values[key]:
            problems.append(f"{sidecar} and the database disagree on {key}.")
    problems += [f"{sidecar} has {key}, which the database has not." for key in found if key not in values]
    if not problems and list(found) != list(values):
        problems.append(f"{sidecar} has its keys in another order than the design's.")
    return problems


def _check_image(path: Path, name: str, sha256: str) -> list[str]:
    if path.is_symlink() or not path.is_file():
        return [f"{name} is missing."]
    try:
        same = file_sha256(path) == sha256
    except OSError as error:
        return [f"{name} cannot be read ({error.strerror}), so nobody knows whether it is the one that was stored."]
    return [] if same else [f"{name} is not the file that was stored: its sha256 differs from the record."]


def _check_scan(root: Path, row: Row, expected: set[str]) -> list[str]:
    return _check_pair(root, row["path"], row["sha256"], scan_values(row), expected)


def _check_mask(
    store: Ledger,
    row: Row,
    folders: Mapping[tuple[str, str], str],
    references: Mapping[tuple[str, str], Scan],
    expected: set[str],
) -> list[str]:
    key = (row["patient_id"], row["timepoint"])
    image = f"{folders[key]}/{mask_files.mask_name(row['version'])}"
    values = mask_values(row)
    problems = _check_pair(store.root, image, row["mask_sha256"], values, expected, store.db)
    reference = references.get(key)
    if reference is None or reference.sha256 != row["scan_sha256"]:
        problems.append(f"{image} was not drawn on the timepoint's reference scan (scan_sha256 differs).")
    lesions = values["lesions"]
    if not _same(sum(lesion["volume_mm3"] for lesion in lesions), row["volume_mm3"]):
        problems.append(f"{image}: its lesions' volumes do not add up to volume_mm3.")
    if sum(lesion["voxels"] for lesion in lesions) != row["voxels_added"] + row["voxels_unchanged"]:
        problems.append(f"{image}: its lesions' voxels are not those added and unchanged.")
    measured = store.db.query("SELECT * FROM measurements WHERE mask_id = ? ORDER BY label", [row["mask_id"]])
    rows = [{**m, "centroid_mm": json.loads(m["centroid_mm"])} for m in measured]
    plain = [{k: v for k, v in lesion.items() if k != REJECTED} for lesion in lesions]
    if [{k: v for k, v in m.items() if k != "mask_id"} for m in rows] != plain:
        problems.append(f"{image}: its measurements in the database are not its lesions.")
    return problems


def _same(a: float, b: float) -> bool:
    return abs(a - b) <= _RELATIVE * max(abs(a), abs(b))


def _check_finals(
    root: Path, masks: list[Row], folders: Mapping[tuple[str, str], str], expected: set[str]
) -> list[str]:
    problems = []
    for key, folder in sorted(folders.items()):
        accepted = [
            m["version"] for m in masks if (m["patient_id"], m["timepoint"]) == key and m["status"] == "accepted"
        ]
        name = f"{folder}/{mask_files.FINAL}"
        link = root / name
        if len(accepted) > 1:
            problems.append(f"{folder} has several accepted versions: {', '.join(map(str, accepted))}.")
        if accepted:
            expected.add(name)
            if not link.is_symlink():
                problems.append(f"{name} is missing or no link, though version {accepted[-1]} is accepted.")
            elif os.readlink(link) != mask_files.mask_name(accepted[-1]):
                problems.append(
                    f"{name} points at {os.readlink(link)}, but version {accepted[-1]} is the accepted one."
                )
    return problems


def _check_decisions(db: Connection) -> list[str]:
    """Accepted masks that nobody accepted, and decisions by names that nobody added."""
    unsigned = db.query(
        "SELECT patient_id, timepoint, version FROM masks m WHERE status = 'accepted' AND NOT EXISTS "
        "(SELECT 1 FROM decisions d WHERE d.mask_id = m.mask_id AND d.verdict = 'accept' AND d.lesion_id IS NULL) "
        "ORDER BY patient_id, timepoint, version"
    )
    problems = [
        f"Version {row['version']} of {row['patient_id']} on {row['timepoint']} is accepted, but nobody accepted it."
        for row in unsigned
    ]
    strangers = db.query(
        "SELECT reviewer, count(*) AS n FROM decisions WHERE reviewer NOT IN (SELECT name FROM people) "
        "GROUP BY reviewer ORDER BY reviewer"
    )
    return problems + [
        f"{row['n']} decisions were made by {row['reviewer']!r}, whom nobody added. Add this person, if there is one."
        for row in strangers
    ]


def _files(root: Path) -> Iterator[str]:
    """Everything under raw/ and processed/ that is not a folder, relative to the root."""
    for top in ("raw", "processed"):
        for folder, folders, files in os.walk(root / top):
            links = [name for name in folders if (Path(folder) / name).is_symlink()]
            for name in sorted([*files, *links]):
                yield (Path(folder) / name).relative_to(root).as_posix()


def _check_tables(db: Connection, entries: list[Entry]) -> list[str]:
    """Replay the audit in memory and compare, row by row."""
    memory = Connection(None)
    try:
        migrate(memory)
        batch, number = replay.Batch(), 0
        try:
            for entry in entries:
                number = entry["seq"]
                if not entry["action"].startswith("job."):  # their progress is not audited, so nothing to compare
                    replay.apply(batch, entry)
            with memory.transaction():
                batch.write(memory)
        except (TwinReviewError, KeyError, TypeError, ValueError) as error:
            text = str(error).splitlines()[0] if str(error) else type(error).__name__
            return [f"The audit cannot be replayed (up to entry {number}): {text}"]
        return [problem for table in replay.TABLES for problem in _compare(table, db, memory)]
    finally:
        memory.close()


def _compare(table: str, db: Connection, memory: Connection) -> list[str]:
    order = replay.TABLES[table]
    keys = order.split(", ")
    sql = f"SELECT * FROM {table} ORDER BY {order}"
    there = {tuple(row[k] for k in keys): row for row in db.query(sql)}
    told = {tuple(row[k] for k in keys): row for row in memory.query(sql)}
    problems = []
    for key in sorted(there.keys() | told.keys()):
        name = f"{table} row {' '.join(map(str, key))}"
        if key not in told:
            problems.append(f"The database has {name}, of which the audit knows nothing.")
        elif key not in there:
            problems.append(f"The database lacks {name}, which the audit tells of.")
        elif there[key] != told[key]:
            columns = [column for column in told[key] if told[key][column] != there[key][column]]
            problems.append(f"The database and the audit disagree on {', '.join(columns)} of {name}.")
    return problems
