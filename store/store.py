"""`Store`: everything that is remembered, behind one object."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from core.types import Progress, no_progress
from store.database.connection import StoreBusy, StoreFull
from store.files.file_checks import StoredFile, StoredFiles
from store.ledger.audit import Entry
from store.ledger.writing import Ledger
from store.parts import Parts
from store.seen import SeenStore


class Store(Parts):
    """The open store: one part for every kind of thing that is remembered, over one connection and one ledger.

    Any thread may call any method; writers wait for one another. Every write is one transaction with one audit entry.
    `Ledger` has the arguments and errors.
    """

    def __init__(self, root: Path, *, create: bool = True, read_only: bool = False) -> None:
        self.ledger = Ledger(root, create=create, read_only=read_only)
        self.db, self.audit = self.ledger.db, self.ledger.audit
        super().__init__(self.ledger, StoredFiles(self.ledger, self.every_file))

    def seen_by(self, person: str) -> SeenStore:
        """The store as that person gets to see it; what pages and routes are given.

        Raises:
            StoreError: for a name that nobody added, or that is disabled.
        """
        return SeenStore(self, person)

    @property
    def recovered(self) -> list[str]:
        """Sentences on what was found and mended when the store was opened."""
        return self.ledger.recovered

    @property
    def read_only(self) -> bool:
        """Whether the store is open for looking only."""
        return self.ledger.read_only

    def close(self) -> None:
        """Let go of the database; a second call does nothing."""
        self.ledger.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def every_file(self) -> list[StoredFile]:
        """Every scan and mask that may be read."""
        return [*self.scans.files(), *self.masks.files()]

    def audit_log(self, limit: int = 100) -> list[Entry]:
        """The newest `limit` audit entries, newest first: seq, created_at, person, action, payload, prev_hash, hash."""
        return self.audit.entries(limit)

    def verify(self, full: bool = False, progress: Progress = no_progress) -> list[str]:
        """A sentence for every disagreement between files, sidecars, database and audit; [] when all agree.

        Others can write meanwhile.

        Args:
            full: hash every file; else only those that do not look as they did when they were last found well.
            progress: told how far it is, 0..1.
        """
        from store.ledger.verify import verify  # here: it is long, and seldom asked for

        return verify(self.ledger, full, progress)

    def remarks(self) -> list[str]:
        """What is untidy, but no damage: leftovers in drafts, jobs and cache; and how much of the audit is signed."""
        from store.ledger.untidy import remarks

        return remarks(self.ledger)


def open_store(root: Path | str, *, create: bool = True, read_only: bool = False) -> Store:
    """Open the store in a data folder; finish or undo what a crash cut short.

    Args:
        create: make a new store in a folder that holds nothing of one; False refuses such a folder.
        read_only: only look, also where the folder cannot be written or another process holds the database.

    Raises:
        StoreError: if another process holds it, it is of a newer TwinReview, its database is gone, or database and
            files tell different histories (run `rebuild`).
    """
    return Store(Path(root), create=create, read_only=read_only)


def open_to_look(root: Path | str) -> Store:
    """Open a store that is there for reading: as usual where that can be, else only to look (`recovered` says why)."""
    try:
        return open_store(root, create=False)
    except (StoreBusy, StoreFull):
        return open_store(root, create=False, read_only=True)
