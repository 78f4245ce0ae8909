"""What lies in drafts, jobs and cache and should not: drafts that cannot be read are damage, leftovers are remarks."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from pathlib import Path

from core.errors import InputError, StoreError
from store.files import drafts, identifier_files
from store.ledger import heads
from store.ledger.writing import Ledger

DISCARDED = "discarded"
#: A job in one of these needs its folder no longer.
_FINISHED = ("done", "failed", "cancelled")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def unreadable_drafts(root: Path) -> list[str]:
    """A sentence for every draft, and every edit of one, that cannot be read; [] when all can."""
    problems = []
    for folder in _draft_folders(root):
        name = f"drafts/{folder.name}"
        try:
            draft = drafts._read(folder)
        except StoreError:
            problems.append(f"{name}/draft.json cannot be read: this draft is lost, unless a backup has it.")
            continue
        for number in range(1, draft.revision + 1):
            edit = folder / drafts._edit_name(number)
            try:
                drafts.read_edit(edit.read_bytes(), draft.shape)
            except FileNotFoundError:
                if (folder / "draft.json").exists():  # else it was saved while we looked
                    problems.append(f"{name}/{edit.name} is missing: what it changed is not in the draft.")
            except (OSError, InputError):
                problems.append(f"{name}/{edit.name} cannot be read: what it changed is not in the draft.")
    return problems


def _draft_folders(root: Path) -> Iterator[Path]:
    """The folders of open drafts."""
    for path in sorted((root / "drafts").glob("*/draft.json")):
        if path.parent.name != DISCARDED:
            yield path.parent


def remarks(store: Ledger) -> list[str]:
    """A sentence for everything that may be cleared away, for how much of the audit is signed, and for each timepoint
    where clocks disagree; [] when all is tidy and nothing is signed."""
    with store.db.lock:
        return [*_signed(store), *_clocks(store), *_drafts(store), *_jobs(store), *_cache(store), *_identifiers(store)]


def _signed(store: Ledger) -> list[str]:
    path = store.root / heads.HEADS
    if not path.exists():
        return []
    total = store.audit.last()[0]
    try:
        count = len(set(heads.signed_seqs(path)) & set(range(1, total + 1)))
    except (OSError, StoreError):
        return [f"{path.name} cannot be read, so nobody knows which of the {total} audit entries are signed."]
    how = "; without TWIN_AUDIT_KEY the signatures were not checked" if store.signing_key is None else ""
    return [f"{count} of {total} audit entries are signed{how}."]


def _clocks(store: Ledger) -> list[str]:
    """Timepoints where a decision is no later, by its time, than one that was made before it."""
    rows = store.db.query(
        "SELECT patient_id, timepoint, count(*) AS n FROM (SELECT m.patient_id, m.timepoint, d.created_at AS made, "
        "max(d.created_at) OVER (PARTITION BY m.patient_id, m.timepoint ORDER BY d.seq ROWS BETWEEN UNBOUNDED "
        "PRECEDING AND 1 PRECEDING) AS latest FROM decisions d JOIN masks m ON m.mask_id = d.mask_id) AS told "
        "WHERE made <= latest GROUP BY patient_id, timepoint ORDER BY patient_id, timepoint"
    )
    return [
        f"The times of {row['n']} of the decisions about {row['patient_id']} on {row['timepoint']} are not later than "
        "those of earlier ones: the computer's clock was wrong. They count in the order in which they were made."
        for row in rows
    ]


def _drafts(store: Ledger) -> list[str]:
    found = []
    folder = store.root / "drafts"
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if path.name == DISCARDED:
            continue
        if not _is_uuid(path.name) or not (path / "draft.json").is_file():
            found.append(f"drafts/{path.name} is no draft.")
            continue
        strange = sorted(p.name for p in path.iterdir() if p.name != "draft.json" and not p.stem.isdigit())
        found += [f"drafts/{path.name}/{name} belongs to no draft." for name in strange]
        try:
            draft = drafts._read(path)
        except StoreError:
            continue  # `verify` names it
        where = [draft.patient_id, draft.timepoint]
        if not store.db.query("SELECT 1 FROM timepoints WHERE patient_id = ? AND timepoint = ?", where):
            found.append(f"drafts/{path.name} is of a timepoint that is not there.")
        elif draft.parent_mask_id and not store.db.query(
            "SELECT 1 FROM masks WHERE mask_id = ?", [draft.parent_mask_id]
        ):
            found.append(f"drafts/{path.name} is of a mask version that is not there.")
    return found


def _is_uuid(name: str) -> bool:
    try:
        return str(uuid.UUID(name)) == name
    except ValueError:
        return False


def _jobs(store: Ledger) -> list[str]:
    folder = store.root / "jobs"
    status = {row["job_id"]: row["status"] for row in store.db.query("SELECT job_id, status FROM jobs")}
    found = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if path.name not in status:
            found.append(f"jobs/{path.name} belongs to no job.")
        elif status[path.name] in _FINISHED:
            found.append(f"jobs/{path.name} was left by a job that is {status[path.name]}.")
    return found


def _identifiers(store: Ledger) -> list[str]:
    rows = store.db.query("SELECT identifiers_sha256 FROM scan_identifiers")
    return identifier_files.remarks(store.root, {str(row["identifiers_sha256"]) for row in rows})


def _cache(store: Ledger) -> list[str]:
    """Pictures and embedded slices of what is stored no more, in the cache folder of the data root."""
    masks = {row["mask_sha256"] for row in store.db.query("SELECT mask_sha256 FROM masks")}
    scans = {row["sha256"] for row in store.db.query("SELECT sha256 FROM scans")}
    cache = store.root / "cache"
    found = [
        f"cache/thumbnails/{path.name} is the picture of no stored mask."
        for path in sorted((cache / "thumbnails").glob("*"))
        if path.name.split("-")[0] not in masks
    ]
    strangers = [
        path
        for path in sorted((cache / "embeddings").glob("*/*"))
        if (path.name not in scans and _SHA256.fullmatch(path.name)) or not path.is_dir()
    ]
    return found + [f"{path.relative_to(store.root).as_posix()} is of no stored scan." for path in strangers]
