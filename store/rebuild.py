"""The database made again from the files: audit.jsonl, ledgers, sidecars, and the old database where it can be read.

Nothing is moved away before it is replaced: what is replaced is copied to before-rebuild/{time}/ first, each file is
written aside and renamed, the audit before all others. So whenever this is cut short, the files hold at least as much
as before, and doing it again ends it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from core.errors import StoreError, TwinReviewError
from store import adopting, heads, histories, journal, ledgers, lines, mask_files, replay
from store.audit import GENESIS, Audit, Entry, insert_row, make_entry, read_file
from store.base import FIRST_PERSON, mask_values
from store.connection import Connection, StoreBusy, times_open_here
from store.migrations import migrate
from store.opening import AUDIT, DATABASE
from store.paths import inside, mask_place
from store.values import utc_now

KEPT = "before-rebuild"


class _Past(NamedTuple):
    """All that is left of the history: entries of every copy, what the old database alone holds, broken ledgers."""

    entries: list[Entry]
    table: list[Entry] | None
    broken_ledgers: set[str]


class _New(NamedTuple):
    """What the new history is, and how much of it was proven, adopted or left for a person to affirm."""

    entries: list[Entry]
    gaps: int | None
    adopted: int
    to_affirm: int
    left_out: int


def rebuild(root: Path | str) -> dict[str, int | None]:
    """Make twin.duckdb anew from the longest whole history that audit.jsonl, ledgers and old database hold together.

    Where no copy has the whole of it, every entry that is whole in itself counts, and is written into a new chain.
    Scans and masks without an entry are adopted from their sidecars on trust. Accepted masks whose later history may be
    among what is lost, and adopted ones that claim to be accepted, are proposed until a person accepts them again.

    What is replaced is kept in before-rebuild/{time}/. Progress messages of jobs are lost.

    Returns:
        How many rows each table has; "audit": entries; "gaps": entries known to be lost (None: nobody knows how many);
        "adopted": scans and masks taken over from sidecars; "to_affirm": masks that were, or claimed to be, accepted
        and wait for a person; "left_out": sidecars that cannot be adopted; "sidecars": sidecars that were brought in
        line with the history.

    Raises:
        StoreError: if there is nothing to rebuild, or the store is open, here or in another process.
    """
    root = Path(root)
    if not root.is_dir():
        raise StoreError(f"There is no data folder {root}. Give the folder that holds raw/ and processed/.")
    if times_open_here(root / DATABASE):
        raise StoreError("The store is open in this process. Close it first, then rebuild.")
    try:
        return _rebuild(root)
    except OSError as error:
        raise StoreError(
            f"The data folder refused a file ({error.strerror}). Nothing is lost: make room, or mend its rights, and "
            "rebuild again."
        ) from error


def _rebuild(root: Path) -> dict[str, int | None]:
    past = _past(root)
    history, cut = _with_cut(root, past)
    new = _whole(history) if history.chain and not history.rest else _with_gaps(root, history, past)
    if not new.entries:
        raise StoreError(f"There is nothing in {root} to make a database from: no audit, no ledgers, no scans.")
    database = root / f"{DATABASE}.new"
    for leftover in (database, Path(f"{database}.wal")):
        leftover.unlink(missing_ok=True)
    counts = _build(database, new.entries)
    replaced = _Replaced(root)
    if history.rest or not history.chain:  # another chain, in which signatures of the old one prove nothing
        replaced.take_away(heads.HEADS)
    _write_histories(root, new.entries, replaced)
    counts["sidecars"] = _follow(root, database, replaced)
    _swap(root, database, replaced)
    if cut is not None:
        _end_cut(root, cut, history, new.entries, replaced)
    return {
        **counts, "audit": len(new.entries), "gaps": new.gaps, "adopted": new.adopted, "to_affirm": new.to_affirm,
        "left_out": new.left_out,
    }  # fmt: skip


def _past(root: Path) -> _Past:
    """Every entry that is still there, that of audit.jsonl first."""
    in_file, _ = read_file(root / AUDIT)
    in_ledgers, broken = ledgers.read_all(root)
    table = _table(root / DATABASE)
    return _Past([*in_file, *(table or []), *in_ledgers], table, set(broken))


def _table(database: Path) -> list[Entry] | None:
    """The old database's audit table; None if it cannot be read.

    Raises:
        StoreBusy: if another process holds it: that one is not damaged, and would go on writing to the old one.
    """
    if not database.exists():
        return None
    try:
        with Connection(database, read_only=True) as db:
            return Audit(db, database.with_name(AUDIT)).entries()
    except StoreBusy:
        raise
    except (TwinReviewError, ValueError, OSError):
        return None


def _with_cut(root: Path, past: _Past) -> tuple[histories.History, journal.Pending | None]:
    """The history, with the write that was cut short if it counts.

    It counts if the old database has it; where that cannot be asked, if it comes next and all its files are there.
    """
    history = histories.history(past.entries)
    cut = journal.pending(root)
    if cut is None or any(entry["hash"] == cut.entry["hash"] for entry in past.entries):
        return history, cut
    asked = past.table is not None and len(past.table) == len(history.chain)
    head = history.chain[-1]["hash"] if history.chain else GENESIS
    if not asked and cut.entry["prev_hash"] == head and all(inside(root, name).is_file() for name in cut.files):
        history = histories.history([*past.entries, cut.entry])
    return history, cut


def _end_cut(
    root: Path, cut: journal.Pending, history: histories.History, entries: Sequence[Entry], replaced: _Replaced
) -> None:
    """Undo the cut-short write unless it counts. Its files are moved only if it was the next one and none of them is
    recorded; else the journal is of another history, or forged, and `verify` names what lies there."""
    told = [(entry["action"], entry["payload"]) for entry in entries]
    if (cut.entry["action"], cut.entry["payload"]) not in told:
        head = history.chain[-1]["hash"] if history.chain else GENESIS
        known = adopting.known_of([*told])
        before = len(known.scans) + len(known.versions)
        mine = adopting.known_of([*told, (cut.entry["action"], cut.entry["payload"])])
        if cut.entry["prev_hash"] == head and len(mine.scans) + len(mine.versions) > before:
            journal.quarantine(root, cut.files)
    replaced.keep(journal.NAME)
    journal.end(root)


def _whole(history: histories.History) -> _New:
    return _New(history.chain, 0, 0, 0, 0)


def _with_gaps(root: Path, history: histories.History, past: _Past) -> _New:
    """A new chain of what is proven, what is adopted, and what is doubted because of the gaps."""
    proven = [*history.chain, *history.rest]
    told = [(entry["action"], entry["payload"]) for entry in proven]
    adopted, left = adopting.adopt(root, adopting.known_of(told))
    if not proven and not adopted:
        return _New([], 0, 0, 0, len(left))
    masks = {payload["mask_id"]: payload["claimed_status"] for action, payload in adopted if action == "mask.adopted"}
    unproven = _unproven(root, history, past.broken_ledgers, masks.keys())
    waiting = {mask_id for mask_id, claimed in masks.items() if claimed == "accepted"}.union(*unproven.values())
    text = (
        f"The history was made again from {len(proven)} entries that are whole in themselves; {_lost(history)} "
        f"lost. {len(adopted)} scans and masks were adopted from their sidecars on trust; "
        f"{len(waiting)} masks that were accepted, or claimed to be, wait to be affirmed."
    )
    at = utc_now()
    more = [("store.recovered", {"text": text}), *adopted]
    more += [
        ("mask.unproven", {"patient_id": patient_id, "mask_ids": mask_ids, "reason": "entries are lost"})
        for patient_id, mask_ids in sorted(unproven.items())
    ]
    somebody = any(action == "person.added" for action, _ in told)
    first = [] if somebody else [make_entry(1, at, "demo", "person.added", dict(FIRST_PERSON), "")]
    added = [make_entry(1, at, "system", action, payload, "") for action, payload in more]
    entries = histories.renumbered([*first, *proven, *added])
    return _New(entries, history.missing or None, len(adopted), len(waiting), len(left))


def _lost(history: histories.History) -> str:
    return f"at least {history.missing} are" if history.missing > 0 else "nobody knows how many are"


def _unproven(
    root: Path, history: histories.History, broken: set[str], adopted: Collection[str]
) -> dict[str, list[str]]:
    """By patient, the masks that the remaining entries call accepted, though what is lost may say otherwise.

    What is lost is put down to the ledgers that are gone or broken, since all that is about a patient is in one. If
    every ledger looks whole, lines were cut out of one, and nobody can say of which: then all are doubted. So is every
    adopted mask, whose own entry is lost.
    """
    if not history.rest:
        return {}
    statuses: dict[str, str] = {}
    patients: dict[str, str] = {}
    places = ledgers.Places()
    place_of: dict[str, str] = {}
    for entry in [*history.chain, *history.rest]:
        payload, place = entry["payload"], places.of(entry)
        if entry["action"] in ("mask.added", "mask.adopted"):
            statuses[payload["mask_id"]], patients[payload["mask_id"]] = payload["status"], payload["patient_id"]
            place_of[payload["patient_id"]] = place
        elif entry["action"] == "mask.decided":
            statuses |= payload["statuses"]
            for mask_id in payload["statuses"]:
                patients.setdefault(mask_id, payload["patient_id"])
            place_of.setdefault(payload["patient_id"], place)
    suspects = {
        patient_id for patient_id, place in place_of.items()
        if place in broken or place == ledgers.COMMON or not (root / place).is_file()
    }  # fmt: skip
    found: dict[str, list[str]] = {}
    explained = suspects or _patients_without_ledger(root) or ledgers.COMMON in broken
    explained = explained or not (root / ledgers.COMMON).is_file()
    for mask_id, status in statuses.items():
        if status == "accepted" and (patients[mask_id] in suspects or mask_id in adopted or not explained):
            found.setdefault(patients[mask_id], []).append(mask_id)
    return found


def _patients_without_ledger(root: Path) -> set[str]:
    """Patients of whom there are scans, but no ledger."""
    folders = [path for path in root.glob("raw/*/*") if path.is_dir()]
    return {
        path.name
        for path in folders
        if not (root / "processed" / path.parent.name / path.name / ledgers.NAME).is_file()
    }


def _build(path: Path, entries: Sequence[Entry]) -> dict[str, int]:
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


class _Replaced:
    """Copies of what a rebuild replaces, in a folder of its own that is made when it is first needed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        stamp = utc_now().replace(":", "").replace("-", "").replace(".", "-")
        self.folder = root / KEPT / stamp

    def keep(self, name: str) -> None:
        """Copy a file (relative to the root) there, if it is there."""
        source, target = self.root / name, self.folder / name
        if source.is_file() and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            mask_files.copy_synced(source, target)
            mask_files.fsync_dir(target.parent)

    def take_away(self, name: str) -> None:
        """Keep a copy of a file, and remove it."""
        if (self.root / name).is_file():
            self.keep(name)
            (self.root / name).unlink()

    def write(self, name: str, data: bytes) -> bool:
        """Put new bytes in place of a file, unless it has them already; True if it had not."""
        path = self.root / name
        if path.is_file() and path.read_bytes() == data:
            return False
        self.keep(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        mask_files.replace_bytes(self.root, path, data)
        return True


def _write_histories(root: Path, entries: Sequence[Entry], replaced: _Replaced) -> None:
    """audit.jsonl first, whole: from then on it alone holds all; then the ledgers."""
    replaced.write(AUDIT, b"".join(map(lines.line_of, entries)))
    wanted = ledgers.by_place(entries)
    for place, own in wanted.items():
        inside(root, place)
        replaced.write(place, b"".join(map(lines.line_of, own)))
    for place in set(ledgers.there(root)) - wanted.keys():
        replaced.take_away(place)


def _follow(root: Path, database: Path, replaced: _Replaced) -> int:
    """Let sidecars and mask_final follow the rows, as after a decision; returns how many sidecars were not in line.

    Only a sidecar of the same mask is touched, and only its status and lesions: what a decision changes. Everything
    else that differs is for `verify` to name.
    """
    changed = 0
    with Connection(database) as db:
        datasets = {row["patient_id"]: row["dataset"] for row in db.query("SELECT * FROM patients")}
        rows = db.query("SELECT * FROM masks ORDER BY patient_id, timepoint, version")
    finals: dict[Path, str | None] = {}
    for row in rows:
        if row["patient_id"] not in datasets:
            continue
        image = mask_place(datasets[row["patient_id"]], row["patient_id"], row["timepoint"], row["version"])
        folder = inside(root, image).parent
        finals.setdefault(folder, None)
        if row["status"] == "accepted":
            finals[folder] = mask_files.mask_name(row["version"])
        changed += _follow_sidecar(root, mask_files.sidecar_of(image), mask_values(row), replaced)
    for folder, target in finals.items():
        link = folder / mask_files.FINAL
        now = os.readlink(link) if link.is_symlink() else None
        if now != target and folder.is_dir() and (link.is_symlink() or not link.exists()):
            mask_files.set_final(root, folder, target)
    return changed


def _follow_sidecar(root: Path, name: str, values: dict[str, object], replaced: _Replaced) -> bool:
    try:
        found = json.loads((root / name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    if not isinstance(found, dict) or found.get("mask_id") != values["mask_id"]:
        return False
    follows = {**found, "status": values["status"], "lesions": values["lesions"]}
    return follows != found and replaced.write(name, mask_files.sidecar_text(follows).encode("utf-8"))


def _swap(root: Path, new: Path, replaced: _Replaced) -> None:
    """The new database in place of the old one. An old log must never stand beside a new database."""
    for name in (DATABASE, f"{DATABASE}.wal"):
        replaced.keep(name)
    (root / f"{DATABASE}.wal").unlink(missing_ok=True)
    os.replace(new, root / DATABASE)
    mask_files.fsync_dir(root)
