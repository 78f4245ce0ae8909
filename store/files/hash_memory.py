"""What files hashed to when they were last looked at, so that `verify` need not hash them all each time."""

from __future__ import annotations

import json
import os
import stat
import time
import uuid
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from store.files.file_checks import digest_of, looks_of

#: A file that was changed less long ago is hashed again the next time.
SETTLED_NS = 1_000_000_000


class HashMemory:
    """What files hashed to when they were last found well, kept from one `verify` to the next.

    It spares hashing files that look as they did then: size, times of change, device and inode. It is no evidence (who
    can alter a file might alter this too): readers never ask it, and a full run hashes everything anew.

    Args:
        root: the data root; the memory is a file in its cache folder.
    """

    def __init__(self, root: Path) -> None:
        self._path = root / "cache" / "file-hashes.json"
        self._known: dict[str, list[int | str]] = {}
        self._changed = False
        self._now: dict[str, list[int | str]] = {}
        with suppress(OSError, ValueError):
            found = json.loads(self._path.read_text(encoding="ascii"))
            self._known = found if isinstance(found, dict) else {}

    def is_well(self, path: Path, name: str, sha256: str, fresh: bool) -> bool | None:
        """Whether a file is the one that was stored; None if there is no regular file of that name.

        Args:
            name: relative to the data root.
            fresh: hash it even if it looks as it did at an earlier run.

        Raises:
            OSError: if it is there and cannot be read.
        """
        try:
            if not stat.S_ISREG(os.lstat(path).st_mode):
                return None
            with open(path, "rb") as file:
                looks = looks_of(os.fstat(file.fileno()))
                if self._now.get(name) == [*looks, sha256] or (not fresh and self._known.get(name) == [*looks, sha256]):
                    return True
                digest = digest_of(file)
                after = looks_of(os.fstat(file.fileno()))
        except (FileNotFoundError, NotADirectoryError):
            return None
        self._changed |= self._known.pop(name, None) is not None
        if digest == sha256 and looks == after:
            self._now[name] = [*looks, sha256]
        # a file that was changed just now could be changed once more within the same tick of the disk's clock
        if name in self._now and time.time_ns() - max(looks[1:3]) > SETTLED_NS:
            self._known[name] = [*looks, sha256]
            self._changed = True
        return digest == sha256

    def save(self, names: Collection[str]) -> None:
        """Keep what is known of these files for the next time; a disk that refuses it costs a hash and no more."""
        if not self._changed:
            return
        with suppress(OSError):
            self._path.parent.mkdir(exist_ok=True)
            temporary = self._path.with_name(f"{self._path.name}.{uuid.uuid4().hex}")
            kept = {name: looks for name, looks in self._known.items() if name in names}
            temporary.write_text(json.dumps(kept), encoding="ascii")
            os.replace(temporary, self._path)
