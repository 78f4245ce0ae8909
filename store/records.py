"""`Store`: everything that is remembered, behind one object."""

from __future__ import annotations

from pathlib import Path

from store.audit import Entry
from store.drafts import DraftFiles
from store.readings import ReadingRecords


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
        from store.verify import verify  # here, because it needs this module's class

        return verify(self)


def open_store(root: Path | str) -> Store:
    """Open the store in a data folder, making it if the folder is empty; finish or undo what a crash cut short.

    Raises:
        StoreError: if another process holds it, it is of a newer TwinReview, or its database is gone (run `rebuild`).
    """
    return Store(Path(root))
