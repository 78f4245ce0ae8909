"""The database made again from the files: audit.jsonl, ledgers, sidecars, and the old database where it can be read.

Nothing is moved away before it is replaced: what is replaced is copied to before-rebuild/{time}/ first, each file is
written aside and renamed, the audit before all others. So whenever this is cut short, the files hold at least as much
as before, and doing it again ends it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from core.errors import StoreError
from store.database.connection import Connection, StoreConflict, times_open_here
from store.database.migrations import migrate
from store.files import following, mask_files
from store.files.paths import inside, mask_place
from store.ledger import heads, histories, journal, ledgers, lines, replay
from store.ledger.audit import GENESIS, Entry, insert_row, make_entry
from store.ledger.batch import TABLES, Batch
from store.ledger.writing import AUDIT, DATABASE, FIRST_PERSON, mask_values
from store.recovery import adopting, doubts, remains
from store.recovery.remains import BACKUP_FOLDER, Past
from store.values import utc_now

#: What a rebuild adds to a history.
_MADE_HERE = ("store.recovered", "scan.adopted", "mask.adopted", "mask.unproven")


class _New(NamedTuple):
    """What the new history is, and how much of it was proven, adopted or left for a person to affirm.

    `another`: it is another chain than that of the signatures."""

    entries: list[Entry]
    another: bool
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
    past = remains.past(root)
    history, cut = remains.with_cut(root, past)
    new = _new(root, history, past, cut)
    if not new.entries:
        odd = f" {new.left_out} sidecars are there, and none can be taken over." if new.left_out else ""
        raise StoreError(
            f"There is nothing in {root} to make a database from: no audit, no ledgers, no scans.{odd} "
            "Put them back from a backup, or import the scans into an empty folder."
        )
    database = root / f"{DATABASE}.new"
    for leftover in (database, Path(f"{database}.wal")):
        leftover.unlink(missing_ok=True)
    counts = _build(database, new.entries)
    replaced = _Replaced(root)
    if new.another:  # signatures of the old one prove nothing in it
        replaced.take_away(heads.HEADS)
    # The audit first, whole: from then on it alone holds all. Sidecars before ledgers: an acceptance that is in a
    # ledger and not in its sidecar looks like one that was withdrawn.
    replaced.write(AUDIT, b"".join(map(lines.line_of, new.entries)))
    if not new.another and past.key is not None and heads.begun(new.entries, past.key) and _goes_on(history, past):
        heads.add(root / heads.HEADS, past.key, _to_sign(new.entries, past))
    if cut is not None and cut.entry["hash"] in {entry["hash"] for entry in new.entries}:
        with Connection(database) as db:  # it was committed, and its files may not have followed yet
            following.follow(root, db, cut.entry)
    counts["sidecars"] = _follow(root, database, replaced)
    _write_ledgers(root, new.entries, replaced)
    if cut is not None:  # before the swap: beside the new database the journal would look forged
        _end_cut(root, cut, history, new.entries, replaced)
    _swap(root, database, replaced)
    return {
        **counts,
        "audit": len(new.entries),
        "gaps": new.gaps,
        "adopted": new.adopted,
        "to_affirm": new.to_affirm,
        "left_out": new.left_out,
    }


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


def _new(root: Path, history: histories.History, past: Past, cut: journal.Pending | None) -> _New:
    """The history as it is, if it is whole and nothing is doubted; else with what is adopted and doubted at its end."""
    chain, proven = history.chain, [*history.chain, *history.rest]
    in_table = past.table is not None and [e["hash"] for e in past.table] == [e["hash"] for e in chain]
    known = adopting.known_of(remains.told(proven))
    # what a whole database does not tell of was never recorded
    adopted, left = ([], []) if in_table and chain and not history.rest else adopting.adopt(root, known)
    if not proven and not adopted:
        return _New([], True, 0, 0, 0, len(left))
    cut_entry = None if cut is None else cut.entry
    found = doubts.find(
        doubts.Left(root, history, past.in_ledgers, adopted, past.key, past.ever_signed, cut_entry),
    )
    if not found.lost and not found.masks:
        return _New(chain, False, 0, 0, 0, len(left))
    masks = {payload["mask_id"]: payload["claimed_status"] for action, payload in adopted if action == "mask.adopted"}
    waiting = {mask_id for mask_id, claimed in masks.items() if claimed == "accepted"}.union(*found.masks.values())
    same = _goes_on(history, past)
    said = {"text": _in_words(history, found, len(adopted), len(waiting))} | ({} if same else {histories.REMADE: True})
    more: list[adopting.Told] = [("store.recovered", said), *adopted]
    more += [
        ("mask.unproven", {"patient_id": patient_id, "mask_ids": mask_ids, "reason": reason})
        for (reason, patient_id), mask_ids in sorted(found.masks.items())
    ]
    at = utc_now()
    added = [make_entry(1, at, "system", action, payload, "") for action, payload in more]
    gaps = (history.missing or None) if found.lost else 0
    counts = (gaps, len(adopted), len(waiting), len(left))
    if same:
        return _New(histories.continued(chain, added), False, *counts)
    somebody = any(entry["action"] == "person.added" for entry in proven)
    first = [] if somebody else [make_entry(1, at, "demo", "person.added", dict(FIRST_PERSON), "")]
    return _New(histories.renumbered([*first, *proven, *added]), True, *counts)


def _goes_on(history: histories.History, past: Past) -> bool:
    """True if more entries can follow the chain as it is: none are missing within, all that was signed is in it, and
    if signing has begun, the key is there to sign them."""
    begun = any(e["action"] == histories.SIGNING and not e["payload"].get("void") for e in history.chain)
    mine = past.key is not None and heads.begun(history.chain, past.key) is not None
    whole = bool(history.chain) and not history.rest
    return whole and past.signed.keys() <= {e["hash"] for e in history.chain} and (mine or not begun)


def _to_sign(entries: Sequence[Entry], past: Past) -> list[Entry]:
    """The entries at the end that a rebuild made, this one or one that was killed: they only take masks out of the
    curve. Nothing that somebody else may have appended is signed."""
    start = len(entries)
    while start and entries[start - 1]["action"] in _MADE_HERE and entries[start - 1]["hash"] not in past.signed:
        start -= 1
    return list(entries[start:])


def _in_words(history: histories.History, found: doubts.Found, adopted: int, waiting: int) -> str:
    lost = "none is known to be"
    if found.lost:
        lost = f"at least {history.missing} are" if history.missing > 0 else "nobody knows how many are"
    return (
        f"The history was made again from {len(history.chain) + len(history.rest)} entries that are whole in "
        f"themselves; {lost} lost. {adopted} scans and masks were adopted from their sidecars on trust; "
        f"{waiting} masks that were accepted, or claimed to be, wait to be affirmed."
    )


def _build(path: Path, entries: Sequence[Entry]) -> dict[str, int]:
    with Connection(path) as db:
        migrate(db)
        batch = Batch()
        for entry in entries:
            replay.apply(batch, entry)
            insert_row(batch, entry)
        try:
            with db.transaction():
                batch.write(db)
        except StoreConflict:
            _refuse_unfit(entries)
            raise
        tables = [*TABLES, "jobs"]
        return {table: int(db.query(f"SELECT count(*) AS n FROM {table}")[0]["n"]) for table in tables}


def _refuse_unfit(entries: Sequence[Entry]) -> None:
    """Raises a StoreError that names the first entry which a database does not take."""
    with Connection(None) as memory:
        migrate(memory)
        for entry in entries:
            try:
                replay.apply(memory, entry)
            except StoreConflict as error:
                raise StoreError(f"{replay.in_words(entry)} does not fit those before it. {replay.FOREIGN}") from error


class _Replaced:
    """Copies of what a rebuild replaces, in a folder of its own that is made when it is first needed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        stamp = utc_now().replace(":", "").replace("-", "").replace(".", "-")
        self.folder = root / BACKUP_FOLDER / stamp

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


def _write_ledgers(root: Path, entries: Sequence[Entry], replaced: _Replaced) -> None:
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
