"""Drafts: what a person is drawing and has not yet saved as a version. Files alone, one more with every edit.

A draft is a folder `drafts/{draft_id}/` with `draft.json` and its edits `000001.edit`, `000002.edit` …; the number of
the newest is its revision. An edit is what the browser sent (`store.files.edits`), once it was found to be one. Where
it cites answers of the server for the first time, `000002.answers` beside it holds them, as the server remembers them.
An edit is fsynced before it gets its name and no name is given twice, so a crash leaves the revision before or after.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from core.errors import InputError, StoreError
from core.remembered.untyped import JsonDict
from core.review.model_answers import Answer
from core.types import LabelMap
from store.files import mask_files
from store.files.edits import Edit, pack_answers, pack_edit, read_answers, read_edit
from store.ledger.actors import check_actor
from store.ledger.writing import LedgerBase
from store.records.masks import Masks
from store.records.scans import Scans
from store.values import check_person, utc_now

__all__ = ["Draft", "Drafts", "Drawn", "StaleDraft", "pack_edit", "read_edit"]


_GONE = "This draft was saved or discarded meanwhile."


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


class Drawn(NamedTuple):
    """A draft as it stands.

    Args:
        labels: its mask.
        revision: the edit that it is of.
        prompts: its boxes and points.
        answers: the server's answers that it cites and that are on record, oldest first.
        lesions: label that the version has not -> the lesion that its person drew, None: a new one; None as a whole
            where no browser said so.
        left_out: numbers of the edits that could not be read: damaged, or of what no edit may hold.
    """

    labels: LabelMap
    revision: int
    prompts: list[JsonDict]
    answers: list[Answer]
    left_out: list[int]
    lesions: dict[int, str | None] | None = None


class Drafts:
    """Open drafts, by id."""

    #: One writer at a time: an edit's number is the next one only while nobody else takes it.
    _draft_lock = threading.RLock()

    def __init__(self, ledger: LedgerBase, scans: Scans, masks: Masks) -> None:
        self._ledger, self._scans, self._masks = ledger, scans, masks

    def _drafts_dir(self) -> Path:
        return self._ledger.root / "drafts"

    def _draft_dir(self, draft_id: str) -> Path:
        try:
            folder = self._drafts_dir() / str(uuid.UUID(draft_id))
        except (ValueError, AttributeError, TypeError):
            raise InputError(f"Expected a draft's id, got {str(draft_id)[:40]!r}. Reload the page.") from None
        if not (folder / "draft.json").exists():
            raise StoreError(_GONE)
        return folder

    def get(self, draft_id: str) -> Draft:
        """One open draft. Raises StoreError if there is none of that id (any more), or it is somebody else's."""
        draft = _read(self._draft_dir(draft_id))
        if not self._is_seen(draft):
            raise StoreError(_GONE)
        return draft

    def of(self, patient_id: str | None = None, timepoint: str | None = None, person: str | None = None) -> list[Draft]:
        """The open drafts, oldest first; of one patient, timepoint or person only if so asked."""
        found = []
        for file in self._drafts_dir().glob("*/draft.json"):
            try:
                draft = _read(file.parent)
            except StoreError:  # discarded while we looked
                continue
            if not self._is_seen(draft):
                continue
            wanted = (patient_id or draft.patient_id, timepoint or draft.timepoint, person or draft.person)
            if (draft.patient_id, draft.timepoint, draft.person) == wanted:
                found.append(draft)
        return sorted(found, key=lambda draft: draft.created_at)

    def everybodys(self, patient_id: str, timepoint: str) -> list[Draft]:
        """The open drafts of a timepoint, whoever drew them: for what may not happen while there is one."""
        return Drafts(self._ledger.whole, self._scans, self._masks).of(patient_id, timepoint)

    @classmethod
    def held(cls) -> AbstractContextManager[bool]:
        """Nobody begins, edits or closes a draft meanwhile."""
        return cls._draft_lock

    def _is_seen(self, draft: Draft) -> bool:
        """A draft is its drawer's alone, and only while they see its patient."""
        if self._ledger.person is None:
            return True
        days = self._ledger.db.query("SELECT 1 FROM patients WHERE patient_id = ?", [draft.patient_id])
        return draft.person == self._ledger.person and bool(days)

    def begin(self, patient_id: str, timepoint: str, parent_version: int | None, person: str) -> Draft:
        """The person's open draft of a version (None: of no mask at all), made if there is none.

        Raises:
            InputError: no person.
            StoreError: if there is no such timepoint or version.
        """
        check_actor(self._ledger.db, "draft.edited", check_person(person))
        grid = self._scans.reference_grid(patient_id, timepoint)
        parent = None if parent_version is None else self._masks.version(patient_id, timepoint, parent_version)
        if parent is not None:
            self._masks.path(parent)  # says so if its file is lost or altered
        with self._draft_lock:
            for draft in self.of(patient_id, timepoint, person):
                if draft.parent_version == parent_version:
                    return draft
            draft = Draft(
                str(uuid.uuid4()),
                patient_id,
                timepoint,
                person,
                parent_version,
                parent.mask_id if parent else None,
                (grid.shape[0], grid.shape[1], grid.shape[2]),
                utc_now(),
            )
            values = asdict(draft)
            values.pop("revision")
            with mask_files.staging(self._ledger.root) as folder:
                mask_files.write_synced(folder / "draft.json", json.dumps(values, indent=2) + "\n")
                self._drafts_dir().mkdir(exist_ok=True)
                ready = self._drafts_dir() / draft.draft_id
                ready.mkdir()
                mask_files.place(folder / "draft.json", ready / "draft.json")
            return draft

    def edit(self, draft_id: str, revision: int, packed: bytes, answers: Sequence[Answer] = ()) -> int:
        """Add an edit (`pack_edit`) on top of a revision; returns the new revision. On disk when it returns.

        Args:
            answers: what the server remembers of the answers that this edit is the first to cite. Never of a browser.

        Raises:
            InputError: for an edit that is none.
            StaleDraft: if `revision` is not the newest.
            StoreError: if the draft is closed.
        """
        draft = self.get(draft_id)
        check_actor(self._ledger.db, "draft.edited", draft.person)
        read_edit(packed, draft.shape)
        with self._draft_lock:
            folder = self._draft_dir(draft_id)
            self.refuse_stale(draft_id, revision)
            try:
                if answers:  # first: an edit must never cite what a crash then takes away
                    os.replace(self._staged(pack_answers(answers)), folder / _answers_name(revision + 1))
                mask_files.place(self._staged(packed), folder / _edit_name(revision + 1))
            except OSError as error:
                raise StoreError(f"The data folder refused the draft ({error.strerror}). It is as it was.") from None
        return revision + 1

    def _staged(self, content: bytes) -> Path:
        """A fsynced file that waits for its name; none is left if it cannot be written."""
        staged = mask_files.temporary(self._ledger.root)
        try:
            with open(staged, "xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            staged.unlink(missing_ok=True)
            raise
        return staged

    def answers(self, draft: Draft) -> dict[str, Answer]:
        """The server's answers that are on record with a draft, by id; a damaged record is as none."""
        found: dict[str, Answer] = {}
        for file in sorted(self._draft_dir(draft.draft_id).glob("*.answers")):
            try:
                found |= {answer.answer_id: answer for answer in read_answers(file.read_bytes())}
            except (OSError, InputError):
                continue
        return found

    def refuse_stale(self, draft_id: str, revision: int) -> None:
        """Raise StaleDraft, with when the newest edit was saved, unless `revision` is the newest."""
        folder = self._draft_dir(self.get(draft_id).draft_id)
        newest = _revision(folder)
        if revision != newest:
            file = folder / (_edit_name(newest) if newest else "draft.json")
            saved = dt.datetime.fromtimestamp(file.stat().st_mtime, dt.UTC)
            raise StaleDraft(newest, f"{saved:%Y-%m-%d %H:%M:%S}")

    def labels(self, draft: Draft) -> Drawn:
        """The draft as it stands. An edit that cannot be read is left out, and said to be; all others count."""
        folder = self._draft_dir(draft.draft_id)
        grid = self._scans.reference_grid(draft.patient_id, draft.timepoint)
        if tuple(grid.shape) != tuple(draft.shape):
            raise StoreError("The timepoint's reference scan has changed since this draft was begun. Discard it.")
        labels = np.zeros(draft.shape, np.uint8, order="F")
        if draft.parent_version is not None:
            parent = self._masks.version(draft.patient_id, draft.timepoint, draft.parent_version)
            labels = np.array(self._masks.load(parent).array, order="F")  # a copy
        newest, prompts, cited, left_out = _revision(folder), list[JsonDict](), list[str](), list[int]()
        lesions: dict[int, str | None] | None = None
        for number, edit in _edits(folder, newest, draft.shape):
            if edit is None:
                left_out.append(number)
                continue
            for k, pixels in edit.slices.items():
                labels[:, :, k] = pixels
            prompts = prompts if edit.prompts is None else edit.prompts
            cited = cited if edit.answers is None else edit.answers
            lesions = lesions if edit.lesions is None else edit.lesions
        known = self.answers(draft) if cited else {}
        answers = [known[answer_id] for answer_id in cited if answer_id in known]
        return Drawn(LabelMap(labels, grid), newest, prompts, answers, left_out, lesions)

    def discard(self, draft_id: str) -> None:
        """Close a draft. Its files go to `drafts/discarded/`, which an administrator may empty."""
        check_actor(self._ledger.db, "draft.edited", self.get(draft_id).person)
        with self._draft_lock:
            folder = self._draft_dir(draft_id)
            kept = self._drafts_dir() / "discarded"
            kept.mkdir(exist_ok=True)
            os.rename(folder, kept / folder.name)

    def finish(self, draft_id: str, revision: int) -> bool:
        """Close a draft that has become a version, which holds all of it; False if it was changed since `revision`."""
        with self._draft_lock:
            folder = self._draft_dir(self.get(draft_id).draft_id)
            if _revision(folder) != revision:
                return False
            shutil.rmtree(folder, ignore_errors=True)
            return True


def _edit_name(number: int) -> str:
    return f"{number:06d}.edit"


def _answers_name(number: int) -> str:
    return f"{number:06d}.answers"


def _revision(folder: Path) -> int:
    return max((int(path.stem) for path in folder.glob("*.edit") if path.stem.isdigit()), default=0)


def _edits(folder: Path, newest: int, shape: tuple[int, int, int]) -> Iterator[tuple[int, Edit | None]]:
    """Each edit with its number; None for one that cannot be read."""
    for number in range(1, newest + 1):
        try:
            yield number, read_edit((folder / _edit_name(number)).read_bytes(), shape)
        except (OSError, InputError):  # a disk's damage, or from before edits were checked; a crash leaves no half ones
            yield number, None


def _read(folder: Path) -> Draft:
    try:
        values = json.loads((folder / "draft.json").read_text(encoding="utf-8"))
        return Draft(**{**values, "shape": tuple(values["shape"])}, revision=_revision(folder))
    except (OSError, ValueError, TypeError, KeyError):
        raise StoreError("This draft cannot be read. Discard it, or restore its file from a backup.") from None
