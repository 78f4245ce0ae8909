"""`Store`: everything that is remembered, behind one object."""

from __future__ import annotations

from pathlib import Path

from store.database.connection import StoreBusy, StoreFull
from store.files.drafts import DraftFiles
from store.ledger.audit import Entry
from store.records.readings import ReadingRecords


class Store(DraftFiles, ReadingRecords):
    """The open store, with the methods of its parts: scans, masks, scores, jobs, drafts, readings.

    Any thread may call any method; writers wait for one another. Every write is one transaction with one audit entry.
    """

    def audit_log(self, limit: int = 100) -> list[Entry]:
        """The newest `limit` audit entries, newest first: seq, created_at, person, action, payload, prev_hash, hash."""
        return self.audit.entries(limit)

    def verify(self) -> list[str]:
        """A sentence for every disagreement between files, sidecars, database and audit; [] when all agree.

        It reads and hashes every file, and writers wait meanwhile.
        """
        from store.ledger.verify import verify  # here, because it needs this module's class

        return verify(self)

    def remarks(self) -> list[str]:
        """What is untidy, but no damage: leftovers in drafts, jobs and cache; and how much of the audit is signed."""
        from store.ledger.untidy import remarks

        return remarks(self)


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
