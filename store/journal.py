"""The one write under way, on disk before its first effect, so that a crash can be told from tampering.

Order of every write, inside the process-wide lock:
  1. journal.json: the whole audit entry and the files it will put in place
  2. the files are renamed into place
  3. rows and audit row are committed            <- from here on the write has happened
  4. sidecars and mask_final follow the rows
  5. the entry goes to audit.jsonl
  6. journal.json is removed
A process killed before 3 leaves files that belong to nothing: they go to quarantine/. Killed after 3, the steps 4 and 5
are done again, which changes nothing where they were done. Both happen when the store is next opened, or at the next
write; until then `verify` names the journal. A difference that no journal explains is never repaired silently.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from core.errors import StoreError
from store.audit import Entry
from store.mask_files import replace_text

NAME = "journal.json"


class Pending(NamedTuple):
    """What the journal says: the entry, and the files (relative to the root) that it puts in place."""

    entry: Entry
    files: tuple[str, ...]


def begin(root: Path, entry: Entry, files: Sequence[str]) -> None:
    """Step 1."""
    replace_text(root, root / NAME, json.dumps({"entry": entry, "files": list(files)}, allow_nan=False))


def end(root: Path) -> None:
    """Step 6."""
    (root / NAME).unlink(missing_ok=True)


def pending(root: Path) -> Pending | None:
    """The write that a crash cut short; None if there is none.

    Raises:
        StoreError: if the file is there and cannot be read; it is written whole, so somebody changed it.
    """
    try:
        values: dict[str, Any] = json.loads((root / NAME).read_text(encoding="utf-8"))
        return Pending(dict(values["entry"]), tuple(str(name) for name in values["files"]))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        raise StoreError(
            f"{NAME} in the data folder cannot be read: it was changed by hand or the disk is failing. "
            "Move it away, open the store again and run `verify`."
        ) from None


def quarantine(root: Path, files: Sequence[str]) -> list[str]:
    """Move files that belong to no record out of the way; returns those that were there."""
    moved = []
    for name in files:
        source = root / name
        if not source.exists():
            continue
        target = root / "quarantine" / name
        number = 1
        while target.exists():
            number += 1
            target = root / "quarantine" / f"{name}.{number}"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(source, target)
        moved.append(name)
    return moved
