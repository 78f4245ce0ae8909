"""The one write under way, on disk before its first effect, so that a crash can be told from tampering.

Order of every write, inside the process-wide lock:
  1. journal.json: the whole audit entry and the files it will put in place
  2. the files are renamed into place
  3. rows and audit row are committed            <- from here on the write has happened
  4. sidecars and mask_final follow the rows
  5. the entry goes to its ledger, to audit.jsonl, and its signed head to heads.jsonl
  6. journal.json is removed
A process killed before 3 leaves files that belong to nothing: they go to quarantine/. Killed after 3, the steps 4 and 5
are done again, which changes nothing where they were done. Both happen when the store is next opened, or at the next
write; until then `verify` names the journal. A difference that no journal explains is never repaired silently.

The journal moves files, so it is believed only as far as it could be ours: a whole entry, and exactly the files that
such an entry puts in place.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from core.errors import StoreError, TwinReviewError
from core.remembered.untyped import Json
from store.files import identifier_files
from store.files.mask_files import replace_text, sidecar_of
from store.files.paths import inside, mask_place, scan_place
from store.ledger import histories
from store.ledger.audit import Entry
from store.ledger.compound import parts_of
from store.values import check_id

NAME = "journal.json"
#: Below which a write puts its files.
_TOPS = ("raw", "processed", identifier_files.FOLDER)


class Pending(NamedTuple):
    """A write under way: the entry, and the files (relative to the root) that it puts in place."""

    entry: Entry
    files: tuple[str, ...]


def begin(root: Path, entry: Entry, files: Sequence[str]) -> None:
    """Writes the journal (step 1), before any effect of the write."""
    replace_text(root, root / NAME, json.dumps({"entry": entry, "files": list(files)}, allow_nan=False))


def end(root: Path) -> None:
    """Removes the journal (step 6): the write is complete."""
    (root / NAME).unlink(missing_ok=True)


def pending(root: Path) -> Pending | None:
    """The write that a crash cut short; None if there is none.

    Raises:
        StoreError: if the file is there and is not such a write; it is written whole, so somebody changed it. Nothing
            was touched.
    """
    path = root / NAME
    try:
        values: Json = None if path.is_symlink() else json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (ValueError, OSError, RecursionError):
        values = None
    if not isinstance(values, dict) or set(values) != {"entry", "files"} or not isinstance(values["entry"], dict):
        raise forged("it cannot be read as one")
    entry, files = values["entry"], values["files"]
    if not histories.valid(entry):
        raise forged("its entry was altered after it was written")
    if not isinstance(files, list) or not all(isinstance(name, str) for name in files):
        raise forged("its list of files is none")
    try:
        good = files in ([], _places(root, entry, files))
    except (KeyError, TypeError, ValueError, TwinReviewError):
        good = False
    if not good:
        raise forged("its files are not those that such a write puts in place")
    return Pending(dict(entry), tuple(files))


def _places(root: Path, entry: Entry, files: Sequence[str]) -> list[str]:
    """The files that an entry puts in place. A mask's entry does not name the dataset; any is as good as another."""
    places = []
    for action, payload in parts_of(entry["action"], entry["payload"]):
        if action == "scan.added":
            image = scan_place(dict(payload))
        elif action == "mask.added":
            dataset = [*files[0].split("/"), ""][1]
            check_id("mask id", payload["mask_id"])
            image = mask_place(dataset, payload["patient_id"], payload["timepoint"], payload["version"])
        else:
            continue
        places += [image, sidecar_of(image)]
        if action == "scan.added":
            places += identifier_files.places_of(dict(payload))
    for place in places:
        inside(root, place, _TOPS)
    return places


def forged(why: str, first: str = "Move") -> StoreError:
    """The message about a journal that is not a write of this store; `first` begins the advice to move it away."""
    return StoreError(
        f"{NAME} in the data folder is not a write of this store: {why}. It was changed by hand, or the disk is "
        f"failing. Nothing was touched. {first} it away, open the store again and run `verify`."
    )


def quarantine(root: Path, files: Sequence[str]) -> list[str]:
    """Move files that belong to no record out of the way; returns those that were there. UIDs are taken away: in
    quarantine/ they would lie where others may look."""
    moved = []
    for name in files:
        source = inside(root, name, _TOPS)
        if not source.exists():
            continue
        if name.startswith(f"{identifier_files.FOLDER}/"):
            source.unlink()
            continue
        target = inside(root, f"quarantine/{name}")
        number = 1
        while target.exists():
            number += 1
            target = root / "quarantine" / f"{name}.{number}"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(source, target)
        moved.append(name)
    return moved
