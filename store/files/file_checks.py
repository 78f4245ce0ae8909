"""No stored file is read unless it is the one that was stored: every reader gets its path from here.

A file's SHA-256 is compared when it is first read, and again whenever its size, time or inode differ from then. One
that is altered or missing is read by nobody any more; that is recorded once (`file.doubted`), and once more when the
file is back as it was (`file.cleared`).
"""

from __future__ import annotations

import hashlib
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

from core.access import SYSTEM
from core.errors import StoreError, TwinReviewError
from core.remembered.rows import DoubtedFile
from store.files.paths import inside
from store.ledger.writing import Change, LedgerBase, value_of

ALTERED, MISSING, WELL = "altered", "missing", "well"
#: How long `check_in_background` rests after each file, so that readers have the disk.
REST_S = 0.05

#: path -> (size, mtime, ctime, device and inode when it was hashed, its SHA-256). For all stores of the process.
_hashes: dict[str, tuple[tuple[int, ...], str]] = {}


class StoredFile(NamedTuple):
    """A file that a record names: its place relative to the root, its SHA-256, and what it is in words."""

    name: str
    sha256: str
    what: str

    @property
    def can_be_lost(self) -> bool:
        """Whether work can go on without it: a mask can be made anew, a scan cannot."""
        return self.name.startswith("processed/")


def file_hash(path: Path, fresh: bool = False) -> str | None:
    """SHA-256 of a stored file (64 hex digits); None if there is no regular file of that name.

    Args:
        fresh: read the file even if it looks just as when it was last hashed.

    Raises:
        OSError: if it is there and cannot be read.
    """
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            return None  # a link would be another file in this one's place
        with open(path, "rb") as file:
            before = looks_of(os.fstat(file.fileno()))
            known = _hashes.get(str(path))
            if known is not None and known[0] == before and not fresh:
                return known[1]
            digest = digest_of(file)
            if looks_of(os.fstat(file.fileno())) == before:
                _hashes[str(path)] = (before, digest)
            return digest
    except (FileNotFoundError, NotADirectoryError):
        return None


def digest_of(file: BinaryIO) -> str:
    """SHA-256 of an open file (64 hex digits)."""
    return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]


def looks_of(found: os.stat_result) -> tuple[int, ...]:
    """Size, mtime, ctime (ns), device and inode: what tells that a file was changed."""
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_dev, found.st_ino


class StoredFiles:
    """Files that may be read, and those that may not.

    Args:
        every: names every file that may be read; masks that are marked lost are not among them.
    """

    def __init__(self, ledger: LedgerBase, every: Callable[[], list[StoredFile]]) -> None:
        self._ledger, self._every = ledger, every

    def checked(self, file: StoredFile, fresh: bool = False) -> Path:
        """The path of a stored file, once it is certain to be the one that was stored.

        Raises:
            StoreError: if it is altered, missing or cannot be read; the sentence has no path of the server.
        """
        path = inside(self._ledger.root, file.name, ("raw", "processed"))
        try:
            found = file_hash(path, fresh)
        except OSError as error:
            raise StoreError(
                f"The file of {file.what} cannot be read ({error.strerror}). Mend its rights, or restore it."
            ) from None
        if found == file.sha256:
            self._remember_state(file, WELL, found)
            return path
        self._refuse_moved(file)
        self._remember_state(file, ALTERED if found else MISSING, found)
        why = "is not the one that was stored" if found else "is missing"
        raise StoreError(
            f"The file of {file.what} {why}, so it is not used. Restore it from a backup."
            + (
                " If there is none, mark it lost (Review, or `python cli.py mask mark-lost`)."
                if file.can_be_lost
                else ""
            )
        )

    def _refuse_moved(self, file: StoredFile) -> None:
        """A record that was read before somebody moved or withdrew what it is of names a file that is no longer there,
        or another one: nothing is wrong with it. Raises StoreError then."""
        with self._ledger.whole.db.lock:  # a change under way is either not begun or all done
            if self._ledger.whole.recorded_sha256(file.name) != file.sha256:
                raise StoreError(f"{file.what} was moved or withdrawn meanwhile. Load the page again.")

    def _remember_state(self, file: StoredFile, state: str, found: str | None) -> None:
        """Record what became of a file, if that is news. A store that cannot write just now does so another time."""
        if state == self._known_state(file):  # readers do not wait for whoever writes or verifies
            return
        with self._ledger.whole.db.lock, suppress(StoreError):
            if state != self._known_state(file):
                values = {"path": file.name, "state": state, "found_sha256": found}
                self._ledger.whole.write(
                    "file.cleared" if state == WELL else "file.doubted", SYSTEM, lambda at: Change(values)
                )

    def _known_state(self, file: StoredFile) -> str:
        rows = self._ledger.whole.db.query("SELECT state FROM file_states WHERE path = ?", [file.name])
        return str(rows[0]["state"]) if rows else WELL

    def doubted(self) -> list[DoubtedFile]:
        """Files that are not as they were stored, by path."""
        rows = self._ledger.db.query("SELECT * FROM file_states WHERE state <> ? ORDER BY path", [WELL])
        return [value_of(DoubtedFile, row) for row in rows]

    @property
    def db_error(self) -> type[Exception]:
        """The error that the database raises once it is closed."""
        return self._ledger.whole.db.Error

    def check(self, rest_s: float = 0.0) -> list[str]:
        """Hash every stored scan and mask anew; a sentence for each that is not as it was stored, [] when all are.

        Writers do not wait meanwhile. What is found is recorded.

        Args:
            rest_s: seconds to pause after each file.
        """
        return list(self._check_each(rest_s))

    def _check_each(self, rest_s: float) -> Iterator[str]:
        for file in self._every():
            if self._ledger.whole.db.closed:
                return  # nothing that is found now could be recorded, and another may have the folder already
            try:
                self.checked(file, fresh=True)
            except StoreError as error:
                yield str(error)
            time.sleep(rest_s)


def check_in_background(files: StoredFiles) -> threading.Thread:
    """Start `StoredFiles.check` in a thread that yields to everybody else; it ends with the store."""

    def run() -> None:
        with suppress(OSError, AttributeError):  # this thread alone; where threads have no priority it does without
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)
        with suppress(TwinReviewError, files.db_error):  # the store was closed meanwhile
            files.check(REST_S)

    thread = threading.Thread(target=run, name="check-files", daemon=True)
    thread.start()
    return thread
