"""How the store writes: one path for every change, so that files, rows and audit cannot drift apart."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self, TypeVar

from core.access import ADMINISTRATOR
from core.errors import StoreError, TwinReviewError
from store.database import looking
from store.database.connection import Connection, Row, StoreReadOnly
from store.database.looking import AUDIT, DATABASE
from store.files import following, identifier_files, mask_files
from store.ledger import heads, journal, ledgers, opening, replay
from store.ledger.actors import check_actor
from store.ledger.audit import Audit, Entry
from store.ledger.base import Change, LedgerBase, WholeLedger
from store.ledger.stored_values import mask_of, mask_values
from store.values import check_person, utc_now

Value = TypeVar("Value")
logger = logging.getLogger("twinreview.store")
#: Whom a new store knows.
FIRST_PERSON = {"name": "demo", "role": ADMINISTRATOR}

__all__ = ["AUDIT", "DATABASE", "Change", "Ledger", "LedgerBase", "mask_of", "mask_values", "value_of", "where"]


class Ledger(WholeLedger):
    """All of the store: root folder, database, audit, and the one way to write.

    Args:
        root: the data root; its folders are made if they are not there.
        create: make a new store in a folder that holds nothing of one.
        read_only: only look: nothing is finished, swept, migrated or written. It comes about by itself where the folder
            cannot be written (`read_only` says so, `recovered` why); of a database that another process holds, it is a
            snapshot.

    Raises:
        StoreError: if another process holds the database, there is no store and none may be made, the database is gone
            while its files are there, or database and files tell different histories (run `rebuild`).
    """

    def __init__(self, root: Path, *, create: bool = True, read_only: bool = False) -> None:
        self.root = Path(root)
        self.recovered: list[str] = []
        self.signing_key, self._anchor = heads.key_of(self.root), heads.anchor_of(self.root)
        self._signing = False
        with opening.refusals_told():
            self._db = opening.open_database(
                self.root,
                create=create,
                read_only=read_only,
                notes=self.recovered,
                check=lambda audit: self._compared(audit, journal.pending(self.root)),
            )
        self.read_only = self.db.read_only
        self.audit = Audit(self.db, self.root / AUDIT)
        try:
            with opening.refusals_told(), self.db.lock:
                self._settle()
        except BaseException:
            self.close()
            raise

    @property
    def db(self) -> Connection:
        """The database."""
        return self._db

    @property
    def person(self) -> None:
        """Nobody in particular."""
        return

    @property
    def whole(self) -> Ledger:
        """Itself."""
        return self

    def _settle(self) -> None:
        """What opening does before anything else may write: copies of the past compared, cut-short writes finished."""
        if looking.is_snapshot(self.db):  # compared when it was taken; the process that holds it goes on writing
            return
        cut = None if self.read_only else journal.pending(self.root)
        lacking = self._compared(self.audit, cut)
        if self.read_only:
            return
        said = [*self.recovered, *opening.untold_updates(self.root, self.audit)]
        opening.mend_copies(self.root, self.audit, lacking, said.append)
        self._signing = self.signing_key is not None and self._signing_began(self.signing_key)
        if not self._signing and self._signing_began(None):  # no entry of it: each would be one more without signature
            self.recovered.append(heads.UNSIGNED)
            logger.warning("%s", heads.UNSIGNED)
        self._recover()
        self._sweep()
        for text in said:
            logger.warning("%s", text)
            if text not in self.recovered:
                self.recovered.append(text)
            self.write("store.recovered", "system", lambda at, text=text: Change({"text": text}))  # type: ignore[misc]
        if not self.audit.last()[0]:
            self.write("person.added", "demo", lambda at: Change(FIRST_PERSON))
        if self._anchor is not None:
            self._anchor_heads(self._anchor)

    def _compared(self, audit: Audit, cut: journal.Pending | None) -> opening.Lacking:
        """What files lack of the table's history. Raises StoreDamaged if it is older than they, or another one."""
        lacking = opening.compare(self.root, audit, cut)
        opening.refuse_newer_heads(self.root, audit, self.signing_key, self._anchor)
        return lacking

    def close(self) -> None:
        """Let go of the database; a second call does nothing."""
        looking.close_snapshot(self.db)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(self, action: str, person: str, build: Callable[[str], Change]) -> Entry:
        """One change, whole or not at all, in the order that `store.ledger.journal` documents.

        Args:
            build: gets the time of the write; looks at what is there, inside the transaction, and says what to do.
                Raises a TwinReviewError to refuse; nothing has happened then.
        """
        check_person(person)
        if self.read_only:
            raise StoreReadOnly("The store is open for looking only; nothing was written.")
        with self.db.lock:
            self._recover()
            files: Sequence[tuple[Path, str]] = ()
            try:
                with self.db.transaction():
                    check_actor(self.db, action, person)
                    at = utc_now()
                    change = build(at)
                    for _, name in change.files:
                        if (self.root / name).exists():
                            raise StoreError(
                                f"The file {name} is there already and is never overwritten. Run `verify`."
                            )
                    entry = self.audit.next_entry(at, person, action, dict(change.payload))
                    journal.begin(self.root, entry, [name for _, name in change.files])
                    files = change.files
                    for staged, name in files:
                        mask_files.place(staged, self.root / name)
                    replay.apply(self.db, entry)
                    self.audit.insert(entry)
            except BaseException as error:
                # a file that left incoming/ is in its place, even if what followed its renaming failed
                placed = [name for staged, name in files if not staged.exists()]
                with suppress(TwinReviewError, OSError):  # else the journal stays, for the next write or opening
                    self._recover(placed)
                if isinstance(error, OSError):
                    raise StoreError(
                        f"The data folder refused a file ({error.strerror}). Nothing was recorded."
                    ) from error
                raise
            try:
                self._finish(entry)
            except (OSError, StoreError) as error:
                raise StoreError(
                    f"The change is recorded, but the data folder refused to follow ({_why(error)}). "
                    "Make room or mend it; the next write, or opening the store again, completes it."
                ) from error
            return entry

    def _finish(self, entry: Entry) -> None:
        """Steps 4 to 6: files follow the rows. Doing it again changes nothing."""
        if entry["action"] == "mask.decided":
            payload = entry["payload"]
            for mask_id in payload["statuses"]:
                row = self.mask_row(mask_id)
                place = self.masks_folder(row["patient_id"], row["timepoint"]) / mask_files.sidecar_of(
                    mask_files.mask_name(row["version"])
                )
                mask_files.replace_text(self.root, place, mask_files.sidecar_text(mask_values(row)))
                folder = place.parent
            final = payload["final_version"]
            mask_files.set_final(self.root, folder, None if final is None else mask_files.mask_name(final))
        following.follow(self.root, self.db, entry)
        ledgers.append(self.root, self._ledger_of(entry), entry)
        self.audit.mirror(entry)
        if self.signing_key is not None and self._signing:
            heads.add(self.root / heads.HEADS, self.signing_key, [entry])
        journal.end(self.root)
        if self._anchor is not None:
            self._anchor_heads(self._anchor)

    def _ledger_of(self, entry: Entry) -> str:
        def patient_of(mask_id: str) -> str | None:
            rows = self.db.query("SELECT patient_id FROM masks WHERE mask_id = ?", [mask_id])
            return str(rows[0]["patient_id"]) if rows else None

        def dataset_of(patient_id: str) -> str | None:
            rows = self.db.query("SELECT dataset FROM patients WHERE patient_id = ?", [patient_id])
            return str(rows[0]["dataset"]) if rows else None

        return ledgers.place_of(entry["payload"], patient_of, dataset_of)

    def _recover(self, placed: Sequence[str] | None = None) -> None:
        """Finish or undo the write that a crash or an error cut short; nothing to do without a journal.

        Args:
            placed: the files that this very process has just put in place for it: they are taken away again. None after
                a crash, when they go to quarantine.
        """
        cut = journal.pending(self.root)
        if cut is None:
            return
        if self.audit.has(cut.entry):
            self._finish(cut.entry)
            return
        seq, digest = self.audit.last()
        if (cut.entry["seq"], cut.entry["prev_hash"]) != (seq + 1, digest) or self._recorded(cut.files):
            raise journal.forged(
                "it is not the write that comes next",
                "If a rebuild was cut short, run `rebuild` again: it ends it. Else move",
            )
        if placed is not None:
            for name in placed:
                (self.root / name).unlink(missing_ok=True)
            journal.end(self.root)
            return
        moved = journal.quarantine(self.root, cut.files)
        journal.end(self.root)
        if moved:
            self._report(f"A write was cut short before it was recorded; moved to quarantine: {', '.join(moved)}.")

    def _recorded(self, files: Sequence[str]) -> bool:
        """True if one of the files is that of a recorded scan or mask."""
        for name in files:
            if self.db.query("SELECT 1 FROM scans WHERE path = ?", [name]):
                return True
            if name.startswith(f"{identifier_files.FOLDER}/"):
                sha256 = Path(name).stem
                if self.db.query("SELECT 1 FROM scan_identifiers WHERE identifiers_sha256 = ?", [sha256]):
                    return True
            if name.startswith("processed/"):  # the journal has held it against `mask_files.mask_name`
                patient_id, timepoint, image = name.split("/")[2:5]
                version = int(image.removeprefix("mask_v").split(".")[0])
                sql = "SELECT 1 FROM masks WHERE patient_id = ? AND timepoint = ? AND version = ?"
                if self.db.query(sql, [patient_id, timepoint, version]):
                    return True
        return False

    def recorded_sha256(self, name: str) -> str | None:
        """The SHA-256 of the scan or mask that is recorded at a place below the data root; None if none is."""
        rows = self.db.query("SELECT sha256 FROM scans WHERE path = ?", [name])
        if name.startswith("processed/"):
            _, dataset, patient_id, timepoint, image = name.split("/")
            sql = (
                "SELECT m.mask_sha256 AS sha256 FROM masks m JOIN patients p ON p.patient_id = m.patient_id "
                "WHERE p.dataset = ? AND m.patient_id = ? AND m.timepoint = ? AND m.version = ?"
            )
            version = int(image.removeprefix("mask_v").split(".")[0])
            rows = self.db.query(sql, [dataset, patient_id, timepoint, version])
        return str(rows[0]["sha256"]) if rows else None

    def _signing_began(self, key: heads.Key | None) -> bool:
        """True if signing began in this chain with that key; with any, for None."""
        rows = self.db.query("SELECT payload FROM audit WHERE action = ? ORDER BY seq", [heads.SIGNING])
        return (
            heads.begun(({"action": heads.SIGNING, "seq": 1, "payload": json.loads(r["payload"])} for r in rows), key)
            is not None
        )

    def verify_heads(self, entries: Sequence[Entry]) -> list[str]:
        """Faults that signatures and the file outside show in the chain; [] when they agree, or there are neither."""
        problems = [] if self.signing_key is None else heads.verify(self.root / heads.HEADS, self.signing_key, entries)
        return problems + ([] if self._anchor is None else heads.verify_anchor(self._anchor, entries))

    def begin_signing(self, person: str) -> Entry:
        """Sign every head from now on with TWIN_AUDIT_KEY; an entry of its own, the first that is signed.

        Raises:
            StoreError: without a key, or if signing with it began before.
        """
        key = self.signing_key
        if key is None:
            raise StoreError("Set TWIN_AUDIT_KEY first: a key file outside of the data folder, or the key itself.")
        if self._signing:
            raise StoreError("Signing with this key has begun already. Nothing was changed.")
        self._signing = True  # the entry that says so is the first to be signed
        try:
            return self.write(heads.SIGNING, person, lambda at: Change({"key": key.key_id}))
        except BaseException:
            self._signing = self._signing_began(key)
            raise

    def _anchor_heads(self, path: Path) -> None:
        """Add to the file outside every head that it lacks."""
        seq, known = self.audit.last()[0], heads.anchored(path)[0]
        if known < 1:
            heads.anchor(path, self.audit.entries(1))
        elif known < seq:
            heads.anchor(path, self.audit.entries(seq - known)[::-1])

    def _sweep(self) -> None:
        """Empty incoming/ of what a process that died was writing."""
        for path in mask_files.strangers_in_incoming(self.root):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    def _report(self, text: str) -> None:
        self.recovered.append(text)
        self.write("store.recovered", "system", lambda at: Change({"text": text}))


def _why(error: OSError | StoreError) -> str:
    return str(error.strerror if isinstance(error, OSError) else error)


def where(**conditions: object) -> tuple[str, list[object]]:
    """A WHERE clause of equalities and its parameters; None leaves a condition out. Names are the caller's own."""
    used = {name: value for name, value in conditions.items() if value is not None}
    if not used:
        return "", []
    return " WHERE " + " AND ".join(f"{name.replace('__', '.')} = ?" for name in used), list(used.values())


def value_of(kind: type[Value], row: Row, *, decoded: Sequence[str] = ()) -> Value:
    """A row as a value of the dataclass `kind`, which names its columns; those in `decoded` hold JSON."""
    names = kind.__dataclass_fields__  # type: ignore[attr-defined]  # `fields` takes longer than all the rest
    return kind(**{name: _decode_json(row[name]) if name in decoded else row[name] for name in names})


def _decode_json(text: str | None) -> object:
    return None if text is None else json.loads(text)
