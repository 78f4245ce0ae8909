"""Whether what was withdrawn still lies in `withdrawn/` as it was, so that it could be put back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from store.database.connection import Connection
from store.files.following import withdrawn_dir
from store.files.hash_memory import HashMemory
from store.files.mask_files import mask_name
from store.ledger.audit import Entry
from store.records.withdrawals import entries_of, open_withdrawals


def problems(root: Path, db: Connection, hashes: HashMemory, full: bool, expected: set[str]) -> list[str]:
    """A sentence for each file that is not as it was withdrawn, and for each that belongs to no withdrawal.

    Args:
        full: hash every file, also those that look as they did when they were last found well.
        expected: gets the names of the files that belong there.
    """
    found = [
        text for entry in open_withdrawals(entries_of(db)) for text in _of_one(root, entry, hashes, full, expected)
    ]
    strange = [name for name in _files(root) if name not in expected]
    return found + [f"{name} belongs to no withdrawal." for name in strange]


def _of_one(root: Path, entry: Entry, hashes: HashMemory, full: bool, expected: set[str]) -> Iterator[str]:
    payload, rows = entry["payload"], entry["payload"]["rows"]
    away = withdrawn_dir(payload)
    expected |= {f"{away}/{Path(name).name}" for name in payload["files"]}
    images = {f"{row['scan_id']}.nii.gz": row["sha256"] for row in rows.get("scans", ())}
    images |= {mask_name(row["version"]): row["mask_sha256"] for row in rows.get("masks", ())}
    for image, sha256 in images.items():
        name = f"{away}/{image}"
        if image in payload["not_as_stored"]:
            continue  # it was not when it was withdrawn
        try:
            well = hashes.is_well(root / name, name, sha256, full)
        except OSError as error:
            yield f"{name} cannot be read ({error.strerror}), so nobody knows whether it is the one that was withdrawn."
            continue
        if well is None:
            yield f"{name} is missing, so what was withdrawn cannot be restored."
        elif not well:
            yield f"{name} is not the file that was withdrawn: its sha256 differs from the record."


def _files(root: Path) -> Iterator[str]:
    for folder, _, files in os.walk(root / "withdrawn"):
        for name in sorted(files):
            yield (Path(folder) / name).relative_to(root).as_posix()
