"""Mask versions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from core.errors import GeometryError, StoreError
from core.imaging.volumes import read_label_map
from core.remembered.compartments import Compartments, clipped
from core.remembered.links import LinkProposal
from core.remembered.rows import LesionVector, Loss
from core.remembered.untyped import JsonObject
from core.remembered.vocabulary import MaskMethod
from core.review.identity import linked_record
from core.types import LabelMap, LesionMeasure, MaskRecord, Prompt
from store.database.connection import Row
from store.files import mask_files
from store.files.file_checks import StoredFile, StoredFiles
from store.ledger.writing import Change, LedgerBase, mask_of, value_of, where
from store.records.links import Links
from store.records.scans import Scans
from store.records.staged_masks import Making, staged_mask
from store.values import check_id, check_one_of, check_person, check_text, plain

#: What it takes to name the files of many versions at once.
_NAMED = (
    "SELECT m.mask_id, m.patient_id, m.timepoint, m.version, m.mask_sha256, p.dataset "
    "FROM masks m JOIN patients p ON p.patient_id = m.patient_id"
)


class Masks:
    """Every version of every mask; none is ever overwritten."""

    def __init__(self, ledger: LedgerBase, files: StoredFiles, scans: Scans, links: Links) -> None:
        self._ledger, self._files, self._scans, self._links = ledger, files, scans, links

    def of(self, patient_id: str, timepoint: str | None = None) -> list[MaskRecord]:
        """A patient's mask versions by timepoint and version; [] when there is none."""
        clause, values = where(patient_id=patient_id, timepoint=timepoint)
        rows = self._ledger.db.query(f"SELECT * FROM masks{clause} ORDER BY timepoint, version", values)
        return self._records(rows, patient_id=patient_id, timepoint=timepoint)

    def every(self, patient_id: str, timepoint: str) -> list[MaskRecord]:
        """The versions of a timepoint by number, also those that whoever asks may not see: for what holds among all of
        them (which one is accepted, which number is free)."""
        clause, values = where(patient_id=patient_id, timepoint=timepoint)
        rows = self._ledger.whole.db.query(f"SELECT * FROM masks{clause} ORDER BY version", values)
        return self._records(rows, whole=True, patient_id=patient_id, timepoint=timepoint)

    def of_all(self) -> list[MaskRecord]:
        """Every version of every patient, by patient, timepoint and version."""
        return self._records(self._ledger.db.query("SELECT * FROM masks ORDER BY patient_id, timepoint, version"))

    def version(self, patient_id: str, timepoint: str, version: int) -> MaskRecord:
        """One version. Raises StoreError if there is none of that number."""
        clause, values = where(patient_id=patient_id, timepoint=timepoint, version=int(version))
        rows = self._ledger.db.query(f"SELECT * FROM masks{clause}", values)
        if not rows:
            versions = [str(record.version) for record in self.of(patient_id, timepoint)]
            raise StoreError(
                f"There is no mask version {version} of {patient_id!r} on {timepoint!r}; "
                f"there {'is ' + ', '.join(versions) if versions else 'are none'}."
            )
        return self._links.linked(rows[0])

    def by_id(self, mask_id: str) -> MaskRecord:
        """One version by its id. Raises StoreError if there is none."""
        return self._links.linked(self._ledger.mask_row(mask_id))

    def _records(self, rows: Sequence[Row], *, whole: bool = False, **of: object) -> list[MaskRecord]:
        """Rows as records are given out: every label under the lesion that it is linked to."""
        ids = self._links.changed_ids(whole=whole, **of) if rows else {}
        return [linked_record(mask_of(row), ids.get(row["mask_id"], {})) for row in rows]

    def latest(self, patient_id: str, timepoint: str) -> MaskRecord | None:
        """The version of the highest number, whatever its status, of those whose file is not lost."""
        lost = self.losses(patient_id)
        records = [r for r in self.of(patient_id, timepoint) if r.mask_id not in lost]
        return records[-1] if records else None

    def accepted(self, patient_id: str, timepoint: str) -> MaskRecord | None:
        """The accepted version, of which there is at most one; None also when its file is lost."""
        lost = self.losses(patient_id)
        records = self.of(patient_id, timepoint)
        return next((r for r in records if r.status == "accepted" and r.mask_id not in lost), None)

    def path(self, record: MaskRecord) -> Path:
        """The image file of a version, once its hash was compared.

        Raises:
            StoreError: if the file is lost, altered, missing or unreadable.
        """
        self.refuse_lost(record)
        return self._files.checked(self.file_of(record))

    def load(self, record: MaskRecord) -> LabelMap:
        """The label map of a version. Raises StoreError as `path`."""
        path = self.path(record)
        return mask_files.read_stored_mask(path) or read_label_map(path)

    def compartments(self, record: MaskRecord) -> Compartments | None:
        """Which part of its lesion each voxel is; None where no network told. Raises StoreError as `path`."""
        return mask_files.read_compartments(self.path(record), self.load(record))

    def file_of(self, record: MaskRecord) -> StoredFile:
        """The image file that a version's record names, whether it is there or not."""
        folder = self._ledger.masks_folder(record.patient_id, record.timepoint)
        name = (folder / mask_files.mask_name(record.version)).relative_to(self._ledger.root).as_posix()
        return StoredFile(name, record.mask_sha256, in_words(record))

    def losses(self, patient_id: str | None = None) -> dict[str, Loss]:
        """The versions that are marked lost, by mask id."""
        clause, values = where(m__patient_id=patient_id)
        sql = (
            "SELECT l.mask_id, l.reason, l.person, l.created_at FROM mask_losses l "
            f"JOIN masks m ON m.mask_id = l.mask_id{clause}{' AND' if clause else ' WHERE'} l.lost"
        )
        return {row["mask_id"]: value_of(Loss, row) for row in self._ledger.db.query(sql, values)}

    def problems(self, patient_id: str | None = None) -> dict[str, str]:
        """Why the file of a version is not read, by mask id: "file lost", "file altered" or "file missing".

        As far as is known: a file is looked at when it is read, and by `StoredFiles.check`. Versions without a problem
        are not in it.
        """
        doubted = {file.path: f"file {file.state}" for file in self._files.doubted()}
        found = {}
        if doubted:
            clause, values = where(m__patient_id=patient_id)
            for row in self._ledger.db.query(f"{_NAMED}{clause}", values):
                if (state := doubted.get(file_of_row(row).name)) is not None:
                    found[row["mask_id"]] = state
        return found | dict.fromkeys(self.losses(patient_id), "file lost")

    def refuse_lost(self, record: MaskRecord) -> None:
        """Raise StoreError where the version is marked lost."""
        loss = self.losses(record.patient_id).get(record.mask_id)
        if loss is not None:
            raise StoreError(
                f"The file of {in_words(record)} is lost ({loss.reason}; said by {loss.person}), and nothing "
                "can be made from it. Begin with another version, or with none; a draft of it can only be discarded."
            )

    def files(self) -> list[StoredFile]:
        """The image file of every version that is not marked lost, by patient, timepoint and version."""
        rows = self._ledger.db.query(f"{_NAMED} ORDER BY m.patient_id, m.timepoint, m.version")
        lost = self.losses()
        return [file_of_row(row) for row in rows if row["mask_id"] not in lost]

    def add(
        self,
        labels: LabelMap,
        *,
        patient_id: str,
        timepoint: str,
        method: str,
        author: str,
        parent_version: int | None,
        model_checkpoint: str | None = None,
        checkpoint_sha256: str | None = None,
        model_files: Mapping[str, str] | None = None,
        prompts: Iterable[Prompt | JsonObject] = (),
        lesions: Sequence[LesionMeasure],
        vectors: Sequence[LesionVector] = (),
        verdict: JsonObject | None = None,
        links: Sequence[LinkProposal] = (),
        compartments: Compartments | None = None,
    ) -> MaskRecord:
        """Store a new, proposed version in one write: the whole mask, its sidecar, its row, measurements, shape
        vectors, what the mask gate says of it, and which lesions its labels are.

        Args:
            labels: on the grid of the timepoint's reference scan.
            parent_version: what it was made from; None where its maker saw no version: all its voxels are added, and it
                has no Dice and no volume delta.
            model_files: SHA-256 of every file of the model that made it, by name.
            lesions: one measurement for each label of the mask.
            vectors: none, or one for each lesion.
            verdict: the mask gate's result. A version without one cannot be accepted until it is scored.
            links: as matching proposes, and what it says of lesions that are not there; of a label without one the
                lesion is that of its number.
            compartments: which part of its lesion each voxel is, as a network of several classes told.

        Raises:
            GeometryError: if the mask is on another grid.
            InputError: if an argument or a measurement does not fit the mask.
            StoreError: if there is no scan, no such parent, or the parent's file cannot be read.
        """
        made = Making(
            method=check_one_of("method", method, MaskMethod),
            author=check_person(author),
            model_checkpoint=model_checkpoint,
            checkpoint_sha256=checkpoint_sha256,
            model_files=model_files and {check_text("file name", k): v for k, v in model_files.items()},
            prompts=tuple(plain(list(prompts), "prompts")),
        )
        for sha256 in (made.model_files or {}).values():
            check_id("sha256", sha256)
        drawn_on = self._scans.reference(patient_id, timepoint)
        grid = self._scans.reference_grid(patient_id, timepoint)
        if not labels.grid.matches(grid):
            raise GeometryError(
                f"Expected a mask on the grid of the reference scan {grid.shape} with {_mm(grid.spacing_mm)}, "
                f"got {labels.grid.shape} with {_mm(labels.grid.spacing_mm)} or another position. Resample it first."
            )
        labels = LabelMap(labels.array, grid)  # the same to 1e-2 mm; all versions' volumes by one and the same voxel
        parent = None if parent_version is None else self.version(patient_id, timepoint, parent_version)
        parts = None if compartments is None else clipped(compartments, labels)
        with mask_files.staging(self._ledger.root) as folder:
            before = None if parent is None else self.load(parent)
            staged = staged_mask(labels, made, before, lesions, vectors, verdict, folder, "mask", links, parts)

            def build(at: str) -> Change:
                reference = self._scans.reference(patient_id, timepoint)
                same = reference.sha256 == drawn_on.sha256  # another timepoint may have been moved to this date
                if not same or not self._scans.reference_grid(patient_id, timepoint).matches(grid):
                    raise StoreError("The timepoint's reference scan has changed meanwhile. Make the mask again.")
                if parent is not None:
                    self.refuse_lost(parent)
                record = staged.record(patient_id, timepoint, self.next_version(patient_id, timepoint), reference, at)
                record = replace(record, parent_version=parent.version if parent else None)
                return Change(*staged.placed(record, self.file_of(record).name))

            entry = self._ledger.write("mask.added", author, build)
        return self.by_id(entry["payload"]["mask_id"])

    def next_version(self, patient_id: str, timepoint: str) -> int:
        """One above every version that there is, in the database or as a file, whoever may see it."""
        try:
            folder = self._ledger.masks_folder(patient_id, timepoint)
        except StoreError:  # a patient who comes with this very change
            return 1
        numbers = [record.version for record in self.every(patient_id, timepoint)]
        for path in folder.glob("mask_v*"):
            digits = path.name.removeprefix("mask_v").split(".")[0]
            numbers.append(int(digits) if digits.isdigit() else 0)
        return max(numbers, default=0) + 1


def in_words(record: MaskRecord) -> str:
    """ "version 2 of P1 on 2026-01-05"."""
    return _in_words(record.patient_id, record.timepoint, record.version)


def _in_words(patient_id: str, timepoint: str, version: int) -> str:
    return f"version {version} of {patient_id} on {timepoint}"


def file_of_row(row: Row) -> StoredFile:
    """The image file of a row of `_NAMED`."""
    patient_id, timepoint, version = row["patient_id"], row["timepoint"], row["version"]
    name = f"{mask_files.processed_dir(row['dataset'], patient_id, timepoint)}/{mask_files.mask_name(version)}"
    return StoredFile(name, row["mask_sha256"], _in_words(patient_id, timepoint, version))


def _mm(spacing: tuple[float, float, float]) -> str:
    return " x ".join(f"{x:.3g}" for x in spacing) + " mm"
