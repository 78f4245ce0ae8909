"""Drafts: what a person is drawing and has not yet saved as a version. Files alone, one more with every edit.

A draft is a folder `drafts/{draft_id}/` with `draft.json` and its edits `000001.edit`, `000002.edit` …; the number of
the newest is its revision. An edit is what the browser sent: gzip of a uint32 (little-endian) with the length of a JSON
header {"slices": [k …], "prompts": [...] or absent, "what": "...", "by_hand": bool}, the header, and each slice's
labels as uint8, i fastest. An edit is fsynced before it gets its name and no name is given twice, so a crash leaves
the revision before or after.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import struct
import threading
import uuid
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError, StoreError
from core.types import LabelMap
from store import mask_files
from store.actors import check_actor
from store.jobs import JobRecords
from store.values import check_person, utc_now

#: Longest header of an edit, and most prompts in it.
MAX_HEADER_BYTES, MAX_PROMPTS = 2**20, 500
Labels = NDArray[np.uint8]


class StaleDraft(StoreError):
    """The draft was changed since; nothing was written. `revision` is the newest, saved at `saved_at`."""

    def __init__(self, revision: int, saved_at: str) -> None:
        super().__init__(
            f"Expected a change on top of revision {revision}, which another window saved at {saved_at} UTC. "
            "Choose which of the two is kept."
        )
        self.revision, self.saved_at = revision, saved_at


@dataclass(frozen=True)
class Draft:
    """A draft's own facts. `parent_version` and `parent_mask_id` are None where there was no mask before it."""

    draft_id: str
    patient_id: str
    timepoint: str
    person: str
    parent_version: int | None
    parent_mask_id: str | None
    shape: tuple[int, int, int]
    created_at: str
    revision: int = 0


class Edit(NamedTuple):
    """One edit, read: its slices (k -> (I, J) labels), its prompts or None, what was done, and whether by hand."""

    slices: dict[int, Labels]
    prompts: list[dict[str, Any]] | None
    what: str
    by_hand: bool


class Drawn(NamedTuple):
    """A draft as it stands: its labels, the revision they are of, its prompts, and whether any of it is by hand."""

    labels: LabelMap
    revision: int
    prompts: list[dict[str, Any]]
    by_hand: bool


def pack_edit(
    slices: Mapping[int, Labels], prompts: Sequence[Mapping[str, Any]] | None, what: str, by_hand: bool = True
) -> bytes:
    """An edit as the browser sends it."""
    values: dict[str, Any] = {"slices": sorted(slices), "what": what, "by_hand": by_hand}
    if prompts is not None:
        values["prompts"] = [dict(p) for p in prompts]
    header = json.dumps(values).encode()
    pixels = b"".join(np.asarray(slices[k], np.uint8).tobytes(order="F") for k in sorted(slices))
    packer = zlib.compressobj(1, wbits=31)
    return packer.compress(struct.pack("<I", len(header)) + header + pixels) + packer.flush()


def read_edit(packed: bytes, shape: tuple[int, int, int]) -> Edit:
    """The inverse of `pack_edit`.

    Raises:
        InputError: for anything else, or slices that the grid has not.
    """
    plane = shape[0] * shape[1]
    unpacker = zlib.decompressobj(wbits=31)
    try:
        data = unpacker.decompress(packed, 4 + MAX_HEADER_BYTES + plane * shape[2])
        if unpacker.unconsumed_tail or not unpacker.eof:
            raise ValueError
        (length,) = struct.unpack_from("<I", data)
        if length > MAX_HEADER_BYTES:
            raise ValueError
        values = json.loads(data[4 : 4 + length])
        numbers, prompts, what = values["slices"], values.get("prompts"), str(values.get("what", ""))
        good = all(type(k) is int and 0 <= k < shape[2] for k in numbers) and len(set(numbers)) == len(numbers)
        if not good or len(data) != 4 + length + plane * len(numbers):
            raise ValueError
        if prompts is not None and not (len(prompts) <= MAX_PROMPTS and all(isinstance(p, dict) for p in prompts)):
            raise ValueError
    except (ValueError, KeyError, TypeError, struct.error, zlib.error):
        raise InputError(
            f"Expected an edit of whole slices of {shape[0]} x {shape[1]} voxels, slice numbers 0..{shape[2] - 1}, got "
            "something else. Reload the page; the draft is as it was."
        ) from None
    pixels = np.frombuffer(data, np.uint8, offset=4 + length).reshape((shape[0], shape[1], len(numbers)), order="F")
    return Edit({k: pixels[:, :, n] for n, k in enumerate(numbers)}, prompts, what[:200], bool(values.get("by_hand")))


class DraftFiles(JobRecords):
    """The part of `Store` about drafts."""

    #: One writer at a time: an edit's number is the next one only while nobody else takes it.
    _draft_lock = threading.RLock()

    def _drafts_dir(self) -> Path:
        return self.root / "drafts"

    def _draft_dir(self, draft_id: str) -> Path:
        try:
            folder = self._drafts_dir() / str(uuid.UUID(draft_id))
        except (ValueError, AttributeError, TypeError):
            raise InputError(f"Expected a draft's id, got {str(draft_id)[:40]!r}. Reload the page.") from None
        if not (folder / "draft.json").exists():
            raise StoreError("This draft was saved or discarded meanwhile.")
        return folder

    def draft(self, draft_id: str) -> Draft:
        """One open draft. Raises StoreError if there is none of that id (any more)."""
        return _read(self._draft_dir(draft_id))

    def drafts(
        self, patient_id: str | None = None, timepoint: str | None = None, person: str | None = None
    ) -> list[Draft]:
        """The open drafts, oldest first; of one patient, timepoint or person only if so asked."""
        found = []
        for file in self._drafts_dir().glob("*/draft.json"):
            try:
                draft = _read(file.parent)
            except StoreError:  # discarded while we looked
                continue
            wanted = (patient_id or draft.patient_id, timepoint or draft.timepoint, person or draft.person)
            if (draft.patient_id, draft.timepoint, draft.person) == wanted:
                found.append(draft)
        return sorted(found, key=lambda draft: draft.created_at)

    def open_draft(self, patient_id: str, timepoint: str, parent_version: int | None, person: str) -> Draft:
        """The person's open draft of a version (None: of no mask at all), made if there is none.

        Raises:
            InputError: no person.
            StoreError: if there is no such timepoint or version.
        """
        check_actor(self.db, "draft.edited", check_person(person))
        grid = self.load_reference_grid(patient_id, timepoint)
        parent = None if parent_version is None else self.mask(patient_id, timepoint, parent_version)
        if parent is not None:
            self.mask_path(parent)  # says so if its file is lost or altered
        with self._draft_lock:
            for draft in self.drafts(patient_id, timepoint, person):
                if draft.parent_version == parent_version:
                    return draft
            draft = Draft(
                str(uuid.uuid4()), patient_id, timepoint, person, parent_version, parent.mask_id if parent else None,
                (grid.shape[0], grid.shape[1], grid.shape[2]), utc_now(),
            )  # fmt: skip
            values = asdict(draft)
            values.pop("revision")
            with mask_files.staging(self.root) as folder:
                mask_files.write_synced(folder / "draft.json", json.dumps(values, indent=2) + "\n")
                self._drafts_dir().mkdir(exist_ok=True)
                ready = self._drafts_dir() / draft.draft_id
                ready.mkdir()
                mask_files.place(folder / "draft.json", ready / "draft.json")
            return draft

    def edit_draft(self, draft_id: str, revision: int, packed: bytes) -> int:
        """Add an edit (`pack_edit`) on top of a revision; returns the new revision. On disk when it returns.

        Raises:
            InputError: for an edit that is none.
            StaleDraft: if `revision` is not the newest.
            StoreError: if the draft is closed.
        """
        draft = self.draft(draft_id)
        check_actor(self.db, "draft.edited", draft.person)
        read_edit(packed, draft.shape)
        with self._draft_lock:
            folder = self._draft_dir(draft_id)
            self._check_revision(folder, revision)
            staged = mask_files.temporary(self.root)
            try:
                with open(staged, "xb") as file:
                    file.write(packed)
                    file.flush()
                    os.fsync(file.fileno())
                mask_files.place(staged, folder / _edit_name(revision + 1))
            except OSError as error:
                staged.unlink(missing_ok=True)
                raise StoreError(f"The data folder refused the draft ({error.strerror}). It is as it was.") from None
        return revision + 1

    def _check_revision(self, folder: Path, revision: int) -> None:
        newest = _revision(folder)
        if revision != newest:
            file = folder / (_edit_name(newest) if newest else "draft.json")
            saved = dt.datetime.fromtimestamp(file.stat().st_mtime, dt.UTC)
            raise StaleDraft(newest, f"{saved:%Y-%m-%d %H:%M:%S}")

    def draft_labels(self, draft: Draft) -> Drawn:
        """The draft as it stands. An edit whose file was damaged is left out; all others count."""
        folder = self._draft_dir(draft.draft_id)
        grid = self.load_reference_grid(draft.patient_id, draft.timepoint)
        if tuple(grid.shape) != tuple(draft.shape):
            raise StoreError("The timepoint's reference scan has changed since this draft was begun. Discard it.")
        labels = np.zeros(draft.shape, np.uint8, order="F")
        if draft.parent_version is not None:
            parent = self.mask(draft.patient_id, draft.timepoint, draft.parent_version)
            labels = np.array(self.load_mask(parent).array, order="F")  # a copy
        newest, prompts, by_hand = _revision(folder), list[dict[str, Any]](), False
        for edit in _edits(folder, newest, draft.shape):
            for k, pixels in edit.slices.items():
                labels[:, :, k] = pixels
            prompts = prompts if edit.prompts is None else edit.prompts
            by_hand |= edit.by_hand and bool(edit.slices)
        return Drawn(LabelMap(labels, grid), newest, prompts, by_hand)

    def discard_draft(self, draft_id: str) -> None:
        """Close a draft. Its files go to `drafts/discarded/`, which an administrator may empty."""
        check_actor(self.db, "draft.edited", self.draft(draft_id).person)
        with self._draft_lock:
            folder = self._draft_dir(draft_id)
            kept = self._drafts_dir() / "discarded"
            kept.mkdir(exist_ok=True)
            os.rename(folder, kept / folder.name)

    def finish_draft(self, draft_id: str, revision: int) -> bool:
        """Close a draft that has become a version, which holds all of it; False if it was changed since `revision`."""
        with self._draft_lock:
            folder = self._draft_dir(draft_id)
            if _revision(folder) != revision:
                return False
            shutil.rmtree(folder, ignore_errors=True)
            return True


def _edit_name(number: int) -> str:
    return f"{number:06d}.edit"


def _revision(folder: Path) -> int:
    return max((int(path.stem) for path in folder.glob("*.edit") if path.stem.isdigit()), default=0)


def _edits(folder: Path, newest: int, shape: tuple[int, int, int]) -> Iterator[Edit]:
    for number in range(1, newest + 1):
        try:
            yield read_edit((folder / _edit_name(number)).read_bytes(), shape)
        except (OSError, InputError):  # a disk's damage; a crash leaves no half edits
            continue


def _read(folder: Path) -> Draft:
    try:
        values = json.loads((folder / "draft.json").read_text(encoding="utf-8"))
        return Draft(**{**values, "shape": tuple(values["shape"])}, revision=_revision(folder))
    except (OSError, ValueError, TypeError, KeyError):
        raise StoreError("This draft cannot be read. Discard it, or restore its file from a backup.") from None
