"""Files follow the rows after a move, a withdrawal, a restoration or a deletion; done again, nothing changes.

It comes after the commit, so a process that dies here leaves rows that are ahead of their files: the journal has the
entry, and the next opening, the next write or a rebuild does all of it once more.

    withdrawn/{dataset}/{patient_id}/{timepoint}/{withdrawal_id}/    files of what was withdrawn, as they were
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from core.errors import StoreError
from core.remembered.untyped import JsonObject
from store.database.connection import Reader
from store.files import identifier_files, mask_files
from store.files.paths import inside
from store.ledger import putting_right
from store.ledger.audit import Entry
from store.ledger.stored_values import mask_values, scan_values


def withdrawn_dir(payload: JsonObject) -> str:
    """Folder of the files of a withdrawal, relative to the data root."""
    parts = (payload["dataset"], payload["patient_id"], payload["timepoint"], payload["withdrawal_id"])
    return "/".join(("withdrawn", *map(str, parts)))


def follow(root: Path, db: Reader, entry: Entry) -> None:
    """Let files follow what an entry of `store.ledger.putting_right` did to the rows; of other entries nothing.

    Args:
        db: the rows as they are after the entry.

    Raises:
        StoreError: if another file stands where one belongs.
        OSError: if the disk refuses.
    """
    action, payload = entry["action"], entry["payload"]
    if action in putting_right.MOVED:
        putting_right.check_places(payload)
        for move in payload["moves"]:
            _move_scans(root, db, payload, move)
            _move_masks(root, db, payload, move)
        _tidy(root, payload["dataset"], payload["patient_id"])
    elif action in putting_right.WITHDRAWN:
        away = withdrawn_dir(payload)
        for name in payload["files"]:
            _rename(root, name, f"{away}/{Path(name).name}")
        _set_final(root, db, payload["dataset"], payload["patient_id"], payload["timepoint"])
        _tidy(root, payload["dataset"], payload["patient_id"])
    elif action in putting_right.RESTORED:
        away = withdrawn_dir(payload)
        for name in payload["files"]:
            _rename(root, f"{away}/{Path(name).name}", name)
        _rewrite(root, db, payload)
        _set_final(root, db, payload["dataset"], payload["patient_id"], payload["timepoint"])
        _remove_empty(root, inside(root, f"{away}/x", ("withdrawn",)).parent, root / "withdrawn")
    elif action == putting_right.DELETED:
        _erase(root, payload)


def _rename(root: Path, old: str, new: str) -> None:
    """A file in its new place; nothing to do if it is there, or was lost before."""
    tops = ("raw", "processed", "withdrawn")
    source, target = inside(root, old, tops), inside(root, new, tops)
    if not os.path.lexists(source):
        return
    if os.path.lexists(target):
        raise StoreError(f"{new} is there already and is never overwritten: move it away")
    target.parent.mkdir(parents=True, exist_ok=True)
    os.rename(source, target)
    mask_files.fsync_dir(target.parent)
    mask_files.fsync_dir(source.parent)


def _move_scans(root: Path, db: Reader, payload: JsonObject, move: JsonObject) -> None:
    old = mask_files.raw_dir(payload["dataset"], payload["patient_id"], move["timepoint"])
    new = mask_files.raw_dir(payload["to_dataset"], payload["to_patient_id"], move["to_timepoint"])
    sql = "SELECT * FROM scans WHERE patient_id = ? AND timepoint = ? AND scan_id = ?"
    for scan in move["scans"]:
        rows = db.query(sql, [payload["to_patient_id"], move["to_timepoint"], scan["to_scan_id"]])
        images = (f"{old}/{scan['scan_id']}.nii.gz", f"{new}/{scan['to_scan_id']}.nii.gz")
        _move_pair(root, *images, None if not rows else scan_values(rows[0]))


def _move_masks(root: Path, db: Reader, payload: JsonObject, move: JsonObject) -> None:
    if not move["masks"]:
        return
    old = mask_files.processed_dir(payload["dataset"], payload["patient_id"], move["timepoint"])
    new = mask_files.processed_dir(payload["to_dataset"], payload["to_patient_id"], move["to_timepoint"])
    for mask in move["masks"]:
        rows = db.query("SELECT * FROM masks WHERE mask_id = ?", [mask["mask_id"]])
        name = mask_files.mask_name(int(mask["version"]))
        _move_pair(root, f"{old}/{name}", f"{new}/{name}", None if not rows else mask_values(rows[0]))
    _set_final(root, db, payload["dataset"], payload["patient_id"], move["timepoint"])
    _set_final(root, db, payload["to_dataset"], payload["to_patient_id"], move["to_timepoint"])


def _move_pair(root: Path, old: str, new: str, values: JsonObject | None) -> None:
    """An image and its sidecar, which says from then on where it came from; written whole before the old one goes."""
    _rename(root, old, new)
    before, after = (inside(root, mask_files.sidecar_of(name), ("raw", "processed")) for name in (old, new))
    if values is not None:
        after.parent.mkdir(parents=True, exist_ok=True)
        mask_files.replace_text(root, after, mask_files.sidecar_text(values))
    if os.path.lexists(before):
        before.unlink()
        mask_files.fsync_dir(before.parent)


def _rewrite(root: Path, db: Reader, payload: JsonObject) -> None:
    """The sidecars of masks that came back and are accepted no more."""
    for mask_id in payload["to_affirm"]:
        for row in db.query("SELECT * FROM masks WHERE mask_id = ?", [mask_id]):
            folder = mask_files.processed_dir(payload["dataset"], payload["patient_id"], payload["timepoint"])
            name = mask_files.sidecar_of(f"{folder}/{mask_files.mask_name(row['version'])}")
            place = inside(root, name, ("processed",))
            if place.exists():
                mask_files.replace_text(root, place, mask_files.sidecar_text(mask_values(row)))


def _set_final(root: Path, db: Reader, dataset: str, patient_id: str, timepoint: str) -> None:
    """mask_final of a timepoint as its rows have it."""
    sql = "SELECT version FROM masks WHERE patient_id = ? AND timepoint = ? AND status = 'accepted'"
    accepted = db.query(sql, [patient_id, timepoint])
    folder = inside(root, f"{mask_files.processed_dir(dataset, patient_id, timepoint)}/x", ("processed",)).parent
    if accepted or os.path.lexists(folder / mask_files.FINAL):
        mask_files.set_final(root, folder, mask_files.mask_name(accepted[0]["version"]) if accepted else None)


def _tidy(root: Path, dataset: str, patient_id: str) -> None:
    """Take away folders of a patient in which nothing lies any more; the ledger keeps its own."""
    for top in ("raw", "processed"):
        folder = inside(root, f"{top}/{dataset}/{patient_id}/x", (top,)).parent
        for day in sorted(folder.glob("*")):
            if day.is_dir() and not day.is_symlink():
                _remove_empty(root, day, folder)
        if folder.is_dir():
            _remove_empty(root, folder, folder.parent)


def _remove_empty(root: Path, folder: Path, upto: Path) -> None:
    """Remove a folder and those above it, below `upto`, as long as they are empty."""
    while folder != upto and folder.is_relative_to(root) and folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
        mask_files.fsync_dir(folder.parent)
        folder = folder.parent


def _erase(root: Path, payload: JsonObject) -> None:
    """Every file of a deleted patient but the ledger, where the entries stay; pictures and embedded slices too."""
    below = f"{payload['dataset']}/{payload['patient_id']}"
    putting_right.check_deleted(payload)
    for place in (f"raw/{below}", f"withdrawn/{below}", f"quarantine/raw/{below}", f"quarantine/processed/{below}"):
        _remove(inside(root, place, ("raw", "withdrawn", "quarantine")))
    own = inside(root, f"processed/{below}/x", ("processed",)).parent
    for path in sorted(own.glob("*")) if own.is_dir() else []:
        if path.name != "ledger.jsonl":
            _remove(path)
    for name in (f"drafts/{draft}" for draft in payload["drafts"]):
        _remove(root / name)
    for sha256 in payload["identifiers"].values():
        _remove(root / identifier_files.place_of(sha256))
    for job_id in payload["job_ids"]:
        _remove(root / "jobs" / job_id)
    _erase_cache(root / "cache", payload["scan_sha256"], payload["mask_sha256"])


def _erase_cache(cache: Path, scans: Iterable[str], masks: Iterable[str]) -> None:
    for sha256 in masks:
        for path in cache.glob(f"thumbnails/{sha256}-*"):
            _remove(path)
    for sha256 in scans:
        for path in cache.glob(f"embeddings/*/{sha256}"):
            _remove(path)
    (cache / "file-hashes.json").unlink(missing_ok=True)  # it names files; it is made again


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
