"""The UIDs of scans, in files of their own: `identifiers/{sha256}.json`, which this account alone may read.

The file's name is its hash, which the scan's entry in the audit holds. A random salt in the file makes the hash of a
known series another one each time: ledgers and sidecars, which are copied about, tell nothing of the series that they
name. Without the folder everything else works, and nothing in the data root leads back to the archive.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import stat
from collections.abc import Collection, Iterable
from pathlib import Path

from core.errors import StoreError, TwinReviewError
from core.remembered.identifiers import ScanIdentifiers
from core.remembered.untyped import JsonObject
from store.files.paths import inside

FOLDER = "identifiers"
#: The key of a scan's entry that names its file, and the column of `scan_identifiers`.
SHA256 = "identifiers_sha256"
_HASH = re.compile(r"[0-9a-f]{64}")
_SALT_BYTES = 32


def is_hash(value: object) -> bool:
    """Whether a record's value can be the name of such a file."""
    return isinstance(value, str) and _HASH.fullmatch(value) is not None


def place_of(sha256: str) -> str:
    """Where the file lies, relative to the data root. Raises StoreError for what is no hash."""
    if not is_hash(sha256):
        raise StoreError(f"Expected {SHA256} as 64 hex digits, got {str(sha256)[:80]!r}. Run `verify`.")
    return f"{FOLDER}/{sha256}.json"


def places_of(payload: JsonObject) -> list[str]:
    """The file that a scan's entry puts in place: one, or none. Raises StoreError as `place_of`."""
    return [place_of(payload[SHA256])] if SHA256 in payload else []


def write_staged(folder: Path, name: str, identifiers: ScanIdentifiers) -> tuple[Path, str]:
    """Writes and fsyncs the file in a staging folder; returns it, and its SHA-256."""
    values = {"salt": secrets.token_hex(_SALT_BYTES), **identifiers.to_json()}
    data = (json.dumps(values, allow_nan=False) + "\n").encode()
    path = folder / f"{name}-identifiers.json"
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        os.fchmod(file.fileno(), 0o600)  # whatever TWIN_UMASK lets a group read
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return path, hashlib.sha256(data).hexdigest()


def read(root: Path, sha256: str) -> ScanIdentifiers:
    """The UIDs in the file of that hash.

    Raises:
        StoreError: if it is missing, may not be read, or is not the one that was stored.
    """
    try:
        path = inside(root, place_of(sha256), (FOLDER,))
        data = b"" if path.is_symlink() else path.read_bytes()
    except FileNotFoundError:
        raise StoreError(
            "The UIDs of this scan are lost: their file is not in the folder identifiers. Put the folder back from a "
            "backup, or go on without: results cannot point at the source images then."
        ) from None
    except OSError as error:
        raise StoreError(
            f"The UIDs of this scan cannot be read ({error.strerror}). They are open to the account of the dashboard "
            "alone: ask there."
        ) from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise StoreError(
            "The UIDs of this scan are not those that were stored: their file was altered. Put the folder identifiers "
            "back from a backup."
        )
    return ScanIdentifiers.from_json(json.loads(data))


def problems(root: Path, known: Iterable[str]) -> list[str]:
    """A sentence for every file that is altered, or open to others than this account; [] when none is.

    One that is missing is no damage: who passes a copy on may leave the folder out (`remarks`).
    """
    found = []
    for sha256 in sorted(known):
        place = place_of(sha256)
        try:
            path = inside(root, place, (FOLDER,))
            mode = os.lstat(path).st_mode
            if not stat.S_ISREG(mode) or hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
                found.append(f"{place} is not the file that was stored: its sha256 differs from the record.")
            elif stat.S_IMODE(mode) & 0o077:
                found.append(f"{place} can be read by other accounts. Close it: chmod 600.")
        except FileNotFoundError:
            continue
        except OSError as error:
            found.append(f"{place} cannot be read ({error.strerror}), so nobody knows whether it is as it was stored.")
        except TwinReviewError as error:
            found.append(str(error))
    return found


def remarks(root: Path, known: Collection[str]) -> list[str]:
    """How many scans have lost their UIDs, and files that are of no scan."""
    folder = root / FOLDER
    there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    lost = sum(f"{sha256}.json" not in there for sha256 in known)
    found = [f"The UIDs of {lost} scans are lost: results cannot point at their source images."] if lost else []
    return found + [
        f"{FOLDER}/{name} is of no stored scan. It may name a person's images: take it away."
        for name in sorted(there - {f"{sha256}.json" for sha256 in known})
    ]
