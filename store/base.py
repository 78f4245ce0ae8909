"""How the store writes: one path for every change, so that files, rows and audit cannot drift apart."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

from core.access import ADMINISTRATOR
from core.errors import StoreError
from core.types import MaskRecord
from store import journal, mask_files, replay
from store.actors import check_actor
from store.audit import Audit, Entry
from store.connection import Connection, Row, StoreDamaged
from store.migrations import migrate
from store.values import check_id, check_person, utc_now

#: Whom a new store knows.
FIRST_PERSON = {"name": "demo", "role": ADMINISTRATOR}
DATABASE = "twin.duckdb"
AUDIT = "audit.jsonl"


class Change(NamedTuple):
    """What a write is to do: the audit payload, and finished files with their places relative to the root."""

    payload: Mapping[str, Any]
    files: Sequence[tuple[Path, str]] = ()


class StoreBase:
    """The open store: root folder, database, audit, and the one way to write.

    Args:
        root: the data root; its folders are made if they are not there.

    Raises:
        StoreError: if another process holds the database, or it is gone while its files are there (run `rebuild`).
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        self.recovered: list[str] = []
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"The data folder {root} cannot be made: {error.strerror}. Choose another.") from None
        new = not (self.root / DATABASE).exists()
        if new and (self.root / AUDIT).exists():
            raise StoreDamaged(
                f"The database {DATABASE} is missing in {root}, but the files of an earlier one are there. "
                "Run `rebuild` to make it again from them, or use an empty folder."
            )
        self.db = Connection(self.root / DATABASE)
        self.audit = Audit(self.db, self.root / AUDIT)
        try:
            migrate(self.db)
            with self.db.lock:
                self._refuse_emptied()
                self._recover()
                self._sweep()
                if not self.audit.last()[0]:
                    self._write("person.added", "demo", lambda at: Change(FIRST_PERSON))
        except self.db.Error as error:
            self.db.close()
            raise StoreDamaged(
                f"The database {DATABASE} in {root} cannot be used: {str(error).splitlines()[0][:200]} "
                "Run `rebuild` to make it again from the files."
            ) from error
        except BaseException:
            self.db.close()
            raise

    def _refuse_emptied(self) -> None:
        if not self.audit.last()[0] and self.audit.path.exists() and self.audit.path.stat().st_size:
            raise StoreDamaged(
                f"The database is empty, but {AUDIT} is not. Run `rebuild` to make it again from the files."
            )

    def close(self) -> None:
        """Let go of the database; a second call does nothing."""
        self.db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, action: str, person: str, build: Callable[[str], Change]) -> Entry:
        """One change, whole or not at all, in the order that `store.journal` documents.

        Args:
            build: gets the time of the write; looks at what is there, inside the transaction, and says what to do.
                Raises a TwinReviewError to refuse; nothing has happened then.
        """
        check_person(person)
        with self.db.lock:
            self._recover()
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
                    for staged, name in change.files:
                        mask_files.place(staged, self.root / name)
                    replay.apply(self.db, entry)
                    self.audit.insert(entry)
            except OSError as error:
                self._recover()
                raise StoreError(f"The data folder refused a file ({error.strerror}). Nothing was recorded.") from error
            except BaseException:
                self._recover()
                raise
            try:
                self._finish(entry)
            except OSError as error:
                raise StoreError(
                    f"The change is recorded, but the data folder refused to follow ({error.strerror}). "
                    "Make room or mend it; the next write, or opening the store again, completes it."
                ) from error
            return entry

    def _finish(self, entry: Entry) -> None:
        """Steps 4 to 6: files follow the rows. Doing it again changes nothing."""
        if entry["action"] == "mask.decided":
            payload = entry["payload"]
            for mask_id in payload["statuses"]:
                row = self._mask_row(mask_id)
                place = self._folder(row) / mask_files.sidecar_of(mask_files.mask_name(row["version"]))
                mask_files.replace_text(self.root, place, mask_files.sidecar_text(mask_values(row)))
                folder = place.parent
            final = payload["final_version"]
            mask_files.set_final(self.root, folder, None if final is None else mask_files.mask_name(final))
        self.audit.mirror(entry)
        journal.end(self.root)

    def _recover(self) -> None:
        """Finish or undo the write that a crash or an error cut short; nothing to do without a journal."""
        cut = journal.pending(self.root)
        if cut is None:
            return
        if self.audit.has(cut.entry):
            self._finish(cut.entry)
            return
        moved = journal.quarantine(self.root, cut.files)
        journal.end(self.root)
        if moved:
            self._report(f"A write was cut short before it was recorded; moved to quarantine: {', '.join(moved)}.")

    def _sweep(self) -> None:
        """Empty incoming/ of what a process that died was writing."""
        for path in mask_files.strangers_in_incoming(self.root):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    def _report(self, text: str) -> None:
        self.recovered.append(text)
        self._write("store.recovered", "system", lambda at: Change({"text": text}))

    def _mask_row(self, mask_id: str) -> Row:
        rows = self.db.query("SELECT * FROM masks WHERE mask_id = ?", [mask_id])
        if not rows:
            raise StoreError(f"There is no mask {str(mask_id)[:80]!r}. `masks PATIENT` lists those that there are.")
        return rows[0]

    def _dataset(self, patient_id: str) -> str:
        rows = self.db.query("SELECT dataset FROM patients WHERE patient_id = ?", [check_id("patient id", patient_id)])
        if not rows:
            raise StoreError(f"There is no patient {patient_id!r}. Import a scan of this patient first.")
        return str(rows[0]["dataset"])

    def _folder(self, row: Mapping[str, Any]) -> Path:
        """The folder of the masks of a timepoint, of a row that has patient_id and timepoint."""
        return self.root / mask_files.processed_dir(
            self._dataset(row["patient_id"]), row["patient_id"], row["timepoint"]
        )


def mask_of(row: Row) -> MaskRecord:
    """A row of `masks` as a value."""
    values = {name: row[name] for name in replay.MASK_COLUMNS}
    for name in ("prompts", "lesions", "software", "model_files"):
        values[name] = None if row[name] is None else json.loads(row[name])
    return MaskRecord.from_json(values)


def mask_values(row: Row) -> dict[str, Any]:
    """A row of `masks` as its sidecar has it."""
    return mask_of(row).to_json()


def where(**conditions: Any) -> tuple[str, list[Any]]:
    """A WHERE clause of equalities and its parameters; None leaves a condition out. Names are the caller's own."""
    used = {name: value for name, value in conditions.items() if value is not None}
    if not used:
        return "", []
    return " WHERE " + " AND ".join(f"{name.replace('__', '.')} = ?" for name in used), list(used.values())
