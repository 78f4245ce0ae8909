"""Proof that files, sidecars, database and audit tell the same story, while people go on working.

What is there is read at one moment. Files are hashed and compared without holding anybody up. At the end, while nobody
writes, what was written meanwhile and whatever looked wrong is looked at once more: a write during the proof is neither
taken for damage nor left out.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from core.errors import StoreError
from core.imaging.reference_scan import reference_of
from core.remembered.untyped import JsonObject
from core.review.decisions import REJECTED
from core.types import Progress, no_progress
from store.database import looking
from store.database.connection import Connection, Row
from store.files import identifier_files, mask_files
from store.files.hash_memory import HashMemory
from store.files.paths import inside
from store.ledger import journal, ledgers, table_check, untidy, withdrawn_check
from store.ledger.audit import Entry
from store.ledger.copies_check import Copies
from store.ledger.stored_values import mask_values, scan_of, scan_values
from store.ledger.writing import Ledger

_RELATIVE = 1e-9
#: A timepoint: (patient, date).
Place = tuple[str, str]


def verify(store: Ledger, full: bool = False, progress: Progress = no_progress) -> list[str]:
    """A sentence for every disagreement, with paths relative to the data root; [] when all agree.

    Looks at: a write that was cut short; every scan and mask file against its hash, every sidecar against its row, key
    by key; mask_final against the accepted version; files that belong to no record; lesions against their mask; who
    accepted what; the audit chain, in the table, in the file and in the ledgers, and with TWIN_AUDIT_KEY and
    TWIN_AUDIT_ANCHOR what they prove; drafts that cannot be read; and every table against what the audit says it must
    hold; and what was withdrawn, in its own folder. What is untidy and no damage is told by `store.remarks`.

    Args:
        full: hash every file, also those that look as they did when they were last found well.
        progress: told how far it is, 0..1.
    """
    hashes = HashMemory(store.root)
    start = _start(store)
    progress(0.02, "Comparing files with their records")
    check = _FileCheck(store.root, hashes, full)
    found = check.all(start.timepoints, progress)
    strange = [name for name in _files(store.root) if name not in check.expected]
    progress(0.8, "Comparing the audit with its copies")
    copies = Copies(store, start.entries)
    progress(0.9, "Replaying the audit")
    replayed = table_check.Replayed()
    in_tables = replayed.problems(start.entries, start.tables)
    progress(0.98, "Looking at what was written meanwhile")
    check.all(
        _timepoints(store.db, _touched(store.db, _entries_after(store, start)))
    )  # what can be done before the lock
    withdrawn_check.problems(store.root, store.db, hashes, full, check.expected)  # hashed before the lock
    with store.db.lock:
        later = _entries_after(store, start)
        doubted = {place for place, problems in found.items() if any(problems)}
        again = _timepoints(store.db, doubted | _touched(store.db, later))
        found = dict.fromkeys(doubted, _NONE) | check.all(again)
        problems = [] if looking.is_snapshot(store.db) else _unfinished(store.root)  # the other process is at work
        problems += [text for kind in range(3) for place in sorted(found) for text in found[place][kind]]
        problems += start.decisions if not later else _check_decisions(store.db)
        known = check.expected | set(ledgers.there(store.root))
        strange = [name for name in strange if name not in known and os.path.lexists(store.root / name)]
        problems += [f"{name} belongs to no record." for name in strange]
        problems += identifier_files.problems(store.root, _identifiers(store.db))
        problems += withdrawn_check.problems(store.root, store.db, hashes, full, check.expected)
        problems += copies.problems(later)
        problems += untidy.unreadable_drafts(store.root)
        problems += in_tables or replayed.problems_of_later(later, store.db)
    if not store.read_only:
        hashes.save(check.expected)
    return problems


@dataclass(frozen=True)
class _Timepoint:
    """What is recorded of one timepoint: rows of its scans, its masks (by version), and of its masks what was measured
    and which are lost, by mask id."""

    scans: list[Row]
    masks: list[Row]
    dataset: str
    measured: dict[str, list[Row]]
    losses: dict[str, Row]


@dataclass(frozen=True)
class _Start:
    """Everything that the database holds, at one moment."""

    seq: int
    entries: list[Entry]
    tables: Mapping[str, table_check.Table]
    timepoints: Mapping[Place, _Timepoint]
    decisions: list[str]


def _start(store: Ledger) -> _Start:
    with ExitStack() as moment:
        with store.db.lock:  # no write is half done, and what follows is of this moment
            moment.enter_context(store.db.snapshot())
            seq, _ = store.audit.last()
        entries = store.audit.entries()
        return _Start(seq, entries, table_check.tables_of(store.db), _timepoints(store.db), _check_decisions(store.db))


def _entries_after(store: Ledger, start: _Start) -> list[Entry]:
    return store.audit.entries(store.audit.last()[0] - start.seq)[::-1]


def _touched(db: Connection, entries: Iterable[Entry]) -> set[Place]:
    """The timepoints that entries are about."""
    places: set[Place] = set()
    for entry in entries:
        payload = entry["payload"]
        if isinstance(payload.get("timepoint"), str):
            places.add((payload["patient_id"], payload["timepoint"]))
        for move in payload.get("moves", ()):
            places.add((payload["patient_id"], move["timepoint"]))
            places.add((payload["to_patient_id"], move["to_timepoint"]))
        for mask_id in payload.get("mask_ids", ()):
            rows = db.query("SELECT patient_id, timepoint FROM masks WHERE mask_id = ?", [mask_id])
            places |= {(row["patient_id"], row["timepoint"]) for row in rows}
    return places


def _timepoints(db: Connection, only: Collection[Place] | None = None) -> dict[Place, _Timepoint]:
    """The records of all timepoints that have any, or of those named."""
    if only is not None:
        return {place: found for one in sorted(only) for place, found in _recorded(db, _where(*one)).items()}
    return _recorded(db, ("", []))


def _where(patient_id: str, timepoint: str) -> tuple[str, list[str]]:
    """The clause for one timepoint of a table that is called t."""
    return " WHERE t.patient_id = ? AND t.timepoint = ?", [patient_id, timepoint]


def _recorded(db: Connection, condition: tuple[str, list[str]]) -> dict[Place, _Timepoint]:
    clause, values = condition
    found: dict[Place, _Timepoint] = {}
    datasets = {row["patient_id"]: row["dataset"] for row in db.query("SELECT * FROM patients")}

    def at(row: Row) -> _Timepoint:
        patient_id, timepoint = row["patient_id"], row["timepoint"]
        fresh = _Timepoint([], [], datasets.get(patient_id, "unknown"), defaultdict(list), {})
        return found.setdefault((patient_id, timepoint), fresh)

    order = "ORDER BY t.patient_id, t.timepoint"
    for row in db.query(f"SELECT t.* FROM scans t{clause} {order}, t.seq, t.scan_id", values):
        at(row).scans.append(row)
    for row in db.query(f"SELECT t.* FROM masks t{clause} {order}, t.version", values):
        at(row).masks.append(row)
    of_mask = "SELECT t.patient_id, t.timepoint, o.* FROM {} o JOIN masks t ON t.mask_id = o.mask_id" + clause
    for row in db.query(of_mask.format("measurements") + " ORDER BY o.mask_id, o.label", values):
        at(row).measured[row["mask_id"]].append(row)
    for row in db.query(of_mask.format("mask_losses"), values):
        if row["lost"]:
            at(row).losses[row["mask_id"]] = row
    return found


#: Sentences about a timepoint's scans, its masks, and its mask_final.
Found = tuple[list[str], list[str], list[str]]
_NONE: Found = ([], [], [])


class _FileCheck:
    """Looks at the files of timepoints; `expected` are the names of those that belong to a record."""

    def __init__(self, root: Path, hashes: HashMemory, full: bool) -> None:
        self._root, self._hashes, self._full = root, hashes, full
        self.expected: set[str] = set()

    def all(self, timepoints: Mapping[Place, _Timepoint], progress: Progress = no_progress) -> dict[Place, Found]:
        """The faults of each of them."""
        found = {}
        for number, (place, records) in enumerate(timepoints.items()):
            found[place] = self._timepoint(place, records)
            if number % 20 == 0:
                progress(0.02 + 0.78 * number / len(timepoints), "Comparing files with their records")
        return found

    def _timepoint(self, place: Place, records: _Timepoint) -> Found:
        scans = [t for row in records.scans for t in self._pair(row["path"], row["sha256"], scan_values(row), None)]
        reference = reference_of([scan_of(row) for row in records.scans]).sha256 if records.scans else None
        folder = mask_files.processed_dir(records.dataset, *place)
        masks = [text for row in records.masks for text in self._mask(row, records, folder, reference)]
        return scans, masks, self._final(records.masks, folder)

    def _pair(self, image: str, sha256: str, values: JsonObject, loss: Row | None) -> list[str]:
        """An image against its hash and its sidecar against the row's values; a mask may be marked lost."""
        sidecar = mask_files.sidecar_of(image)
        self.expected |= {image, sidecar}
        problems = []
        try:
            path = inside(self._root, image, ("raw", "processed"))
        except StoreError as error:
            return [str(error)]
        if loss is not None:
            problems.append(f"{image} is lost: {loss['reason']} (said by {loss['person']}).")
        else:
            problems += self._image(path, image, sha256)
        return problems + _check_sidecar(self._root / sidecar, sidecar, values, loss is not None)

    def _image(self, path: Path, name: str, sha256: str) -> list[str]:
        try:
            well = None if path.is_symlink() else self._hashes.is_well(path, name, sha256, self._full)
        except OSError as error:
            return [f"{name} cannot be read ({error.strerror}), so nobody knows whether it is the one that was stored."]
        if well is None:
            return [f"{name} is missing."]
        return [] if well else [f"{name} is not the file that was stored: its sha256 differs from the record."]

    def _mask(self, row: Row, records: _Timepoint, folder: str, reference: str | None) -> list[str]:
        image = f"{folder}/{mask_files.mask_name(row['version'])}"
        values = mask_values(row)
        problems = self._pair(image, row["mask_sha256"], values, records.losses.get(row["mask_id"]))
        if reference != row["scan_sha256"]:
            problems.append(f"{image} was not drawn on the timepoint's reference scan (scan_sha256 differs).")
        lesions = values["lesions"]
        if not _same(sum(lesion["volume_mm3"] for lesion in lesions), row["volume_mm3"]):
            problems.append(f"{image}: its lesions' volumes do not add up to volume_mm3.")
        if sum(lesion["voxels"] for lesion in lesions) != row["voxels_added"] + row["voxels_unchanged"]:
            problems.append(f"{image}: its lesions' voxels are not those added and unchanged.")
        beside = (REJECTED, *mask_files.LATER_MEASURES)  # the table has no columns for them
        plain = [{k: v for k, v in lesion.items() if k not in beside} for lesion in lesions]
        if [_measured(m) for m in records.measured.get(row["mask_id"], [])] != plain:
            problems.append(f"{image}: its measurements in the database are not its lesions.")
        return problems

    def _final(self, masks: Sequence[Row], folder: str) -> list[str]:
        accepted = [row["version"] for row in masks if row["status"] == "accepted"]
        problems = []
        name = f"{folder}/{mask_files.FINAL}"
        link = self._root / name
        if len(accepted) > 1:
            problems.append(f"{folder} has several accepted versions: {', '.join(map(str, accepted))}.")
        if accepted:
            self.expected.add(name)
            if not link.is_symlink():
                problems.append(f"{name} is missing or no link, though version {accepted[-1]} is accepted.")
            elif os.readlink(link) != mask_files.mask_name(accepted[-1]):
                problems.append(
                    f"{name} points at {os.readlink(link)}, but version {accepted[-1]} is the accepted one."
                )
        return problems


def _measured(row: Row) -> Row:
    """A row of `measurements` as a sidecar's lesion has it."""
    beside = ("patient_id", "timepoint", "mask_id")
    return {k: v for k, v in row.items() if k not in beside} | {"centroid_mm": json.loads(row["centroid_mm"])}


def _check_sidecar(path: Path, name: str, values: JsonObject, lost: bool) -> list[str]:
    """A sidecar against the row's values, key by key; where the mask is lost it may be missing as well."""
    try:
        if path.is_symlink():
            return [f"{name} is a symbolic link, where a file was expected."]
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return [] if lost else [f"{name} is missing."]
    except (ValueError, OSError):
        return [f"{name} is not readable JSON."]
    if not isinstance(found, dict):
        return [f"{name} is not a sidecar."]
    problems = []
    for key in values:
        if key not in found:
            problems.append(f"{name} lacks {key}.")
        elif found[key] != values[key]:
            problems.append(f"{name} and the database disagree on {key}.")
    problems += [f"{name} has {key}, which the database has not." for key in found if key not in values]
    if not problems and list(found) != list(values):
        problems.append(f"{name} has its keys in another order than the design's.")
    return problems


def _same(a: float, b: float) -> bool:
    return abs(a - b) <= _RELATIVE * max(abs(a), abs(b))


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


def _identifiers(db: Connection) -> list[str]:
    return [str(row["identifiers_sha256"]) for row in db.query("SELECT identifiers_sha256 FROM scan_identifiers")]


def _files(root: Path) -> Iterator[str]:
    """Everything under raw/ and processed/ that is not a folder, relative to the root."""
    for top in ("raw", "processed"):
        for folder, folders, files in os.walk(root / top):
            links = [name for name in folders if (Path(folder) / name).is_symlink()]
            for name in sorted([*files, *links]):
                yield (Path(folder) / name).relative_to(root).as_posix()
