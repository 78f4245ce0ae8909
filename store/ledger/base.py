"""What every part of the store stands on: where it reads, and the one way to write."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from core.errors import StoreError
from core.remembered.untyped import JsonObject
from store.database.connection import Connection, Reader, Row
from store.files import mask_files
from store.ledger.audit import Entry
from store.values import check_id


class Change(NamedTuple):
    """One write: the audit payload, and finished files with their places relative to the root."""

    payload: JsonObject
    files: Sequence[tuple[Path, str]] = ()


class LedgerBase(ABC):
    """Reads and writes of the store: of all of it (`store.ledger.writing.Ledger`), or as one person gets to see it
    (`store.seen.SeenLedger`)."""

    root: Path

    @property
    @abstractmethod
    def db(self) -> Reader:
        """The rows that are read; in a person's ledger none that they may not see."""

    @property
    @abstractmethod
    def person(self) -> str | None:
        """The person whose ledger it is; None for the whole one."""

    @property
    @abstractmethod
    def whole(self) -> WholeLedger:
        """All of it: for rules about what the person may not see (the next free number, an image that is there
        already). What is found so never leaves in an answer or a sentence; a test lists who asks."""

    def sees_dataset(self, dataset: str) -> bool:
        """Whether patients of that data set are the person's to see; of the whole ledger all are."""
        return True

    @abstractmethod
    def write(self, action: str, person: str, build: Callable[[str], Change]) -> Entry:
        """One change, whole or not at all.

        Args:
            build: gets the time of the write; looks at what is there, inside the transaction, and says what to do.
                Raises a TwinReviewError to refuse; nothing has happened then.
        """

    def mask_row(self, mask_id: str) -> Row:
        """The row of a mask. Raises StoreError if there is none of that id."""
        rows = self.db.query("SELECT * FROM masks WHERE mask_id = ?", [mask_id])
        if not rows:
            raise StoreError(f"There is no mask {str(mask_id)[:80]!r}. `masks PATIENT` lists those that there are.")
        return rows[0]

    def dataset_of(self, patient_id: str) -> str:
        """The data set of a patient. Raises StoreError for one who is not there, InputError for what can be no id."""
        rows = self.db.query("SELECT dataset FROM patients WHERE patient_id = ?", [check_id("patient id", patient_id)])
        if not rows:
            raise StoreError(f"There is no patient {patient_id!r}. Import a scan of this patient first.")
        return str(rows[0]["dataset"])

    def masks_folder(self, patient_id: str, timepoint: str) -> Path:
        """The folder of the masks of a timepoint, whether it is there or not."""
        return self.root / mask_files.processed_dir(self.dataset_of(patient_id), patient_id, timepoint)


class WholeLedger(LedgerBase):
    """All of it, with its database."""

    @property
    @abstractmethod
    def db(self) -> Connection:
        """The database."""

    @abstractmethod
    def recorded_sha256(self, name: str) -> str | None:
        """The SHA-256 of the scan or mask that is recorded at a place below the data root; None if none is."""
