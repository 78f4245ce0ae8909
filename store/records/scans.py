"""The scans of timepoints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import nibabel as nib

from core.errors import InputError, StoreError
from core.imaging.reference_scan import reference_of
from core.imaging.volumes import content_sha256, orientation, read_volume, write_nifti
from core.remembered.identifiers import MaskOrigin, ScanIdentifiers
from core.remembered.incoming import NewScan
from core.remembered.untyped import JsonDict, JsonObject
from core.types import FORMAT_VERSION, Grid, Modality, Scan, Volume, parse_date
from core.version import software
from store.files import identifier_files, mask_files
from store.files.file_checks import StoredFile, StoredFiles
from store.ledger.stored_values import scan_of
from store.ledger.writing import Change, LedgerBase, where
from store.values import check_id, check_text, plain

#: Files of a change, each with its place relative to the root.
Placed = list[tuple[Path, str]]


def file_of_scan(scan: Scan) -> StoredFile:
    """The image file that a scan's record names."""
    return StoredFile(scan.path, scan.sha256, f"the scan {scan.scan_id} of {scan.patient_id} on {scan.timepoint}")


class ScanPlace(NamedTuple):
    """Whose a scan is, and when it was made."""

    dataset: str
    patient_id: str
    timepoint: str


class StagedScan(NamedTuple):
    """A scan whose file is written and not yet in its place; `uids`: the file of its UIDs, and its hash."""

    modality: Modality
    sequence: str
    grid: Grid
    sha256: str
    content: str
    facts: JsonDict
    image: Path
    uids: tuple[Path, str] | None = None


class Scans:
    """Imported images, one file and one sidecar each."""

    def __init__(self, ledger: LedgerBase, files: StoredFiles) -> None:
        self._ledger, self._files = ledger, files

    def of(self, patient_id: str, timepoint: str | None = None) -> list[Scan]:
        """A patient's scans by timepoint, then in order of import."""
        clause, values = where(patient_id=patient_id, timepoint=timepoint)
        rows = self._ledger.db.query(f"SELECT * FROM scans{clause} ORDER BY timepoint, seq, scan_id", values)
        return [scan_of(row) for row in rows]

    def reference(self, patient_id: str, timepoint: str) -> Scan:
        """The scan on whose grid the timepoint's masks lie: CT, else the first MR, else PET.

        Raises:
            StoreError: if there is no scan.
        """
        scans = self.of(patient_id, timepoint)
        if not scans:
            raise StoreError(f"There is no scan of {patient_id!r} on {timepoint!r}. Import one first.")
        return reference_of(scans)

    def path(self, scan: Scan) -> Path:
        """The image file of a scan, once its hash was compared (`Scan.path` is relative to the data root).

        Raises:
            StoreError: if the file is altered, missing or unreadable.
        """
        return self._files.checked(file_of_scan(scan))

    def problems(self, patient_id: str | None = None) -> dict[tuple[str, str], list[str]]:
        """Scans whose file is not as it was stored, by patient and timepoint: "file altered: CT", "file missing: PET";
        as far as is known (`Masks.problems`)."""
        doubted = {file.path: file.state for file in self._files.doubted()}
        found: dict[tuple[str, str], list[str]] = {}
        clause, values = where(patient_id=patient_id)
        paths = [path for path in doubted if path.startswith("raw/")]
        if not paths:
            return found
        named = f"{clause}{' AND' if clause else ' WHERE'} path IN ({', '.join('?' * len(paths))})"
        for row in self._ledger.db.query(f"SELECT * FROM scans{named} ORDER BY seq", [*values, *paths]):
            place = (row["patient_id"], row["timepoint"])
            found.setdefault(place, []).append(f"file {doubted[row['path']]}: {row['scan_id']}")
        return found

    def load(self, scan: Scan) -> Volume:
        """The image of a scan. Raises StoreError as `path`."""
        return read_volume(self.path(scan), scan.modality, scan.sequence)

    def identifiers(self, scan: Scan) -> ScanIdentifiers | None:
        """The UIDs of the images that a scan came from, in the order of its slices.

        Returns:
            None for a scan that came without (an image file, or TWIN_DATES=shift), and for whoever may not see UIDs
            (`core.access.IDENTIFIERS_READ`).

        Raises:
            StoreError: if their file is missing, altered or unreadable.
        """
        rows = self._ledger.db.query(
            "SELECT i.identifiers_sha256 FROM scan_identifiers i JOIN scans s ON s.content_sha256 = i.content_sha256 "
            "WHERE s.patient_id = ? AND s.timepoint = ? AND s.scan_id = ?",
            [scan.patient_id, scan.timepoint, scan.scan_id],
        )
        return identifier_files.read(self._ledger.root, rows[0]["identifiers_sha256"]) if rows else None

    def lie_under(self, patient_id: str, timepoint: str, mask: MaskOrigin) -> list[bool | None]:
        """Of each scan of a timepoint whether a mask's file says that it lies in its frame; None where that cannot be
        told. It is asked of the whole ledger: the answer holds no UID, and masks are drawn by those, too, who see none.
        """
        sql = (
            "SELECT i.identifiers_sha256 FROM scans s LEFT JOIN scan_identifiers i ON s.content_sha256 = "
            "i.content_sha256 WHERE s.patient_id = ? AND s.timepoint = ? AND s.scan_id = ?"
        )
        answers: list[bool | None] = []
        for scan in self.of(patient_id, timepoint):
            [row] = self._ledger.whole.db.query(sql, [patient_id, timepoint, scan.scan_id])
            try:
                sha256 = row["identifiers_sha256"]
                answers.append(mask.lies_on(identifier_files.read(self._ledger.root, sha256) if sha256 else None))
            except StoreError:
                answers.append(None)  # `verify` tells of their file; the mask can be drawn
        return answers

    def reference_grid(self, patient_id: str, timepoint: str) -> Grid:
        """The grid of the reference scan, read from the file's header alone once its hash was compared.

        Raises:
            StoreError: if there is no scan, or its file is not the one that was stored.
        """
        scan = self.reference(patient_id, timepoint)
        image = nib.load(self.path(scan))
        return Grid(scan.shape, image.affine)  # type: ignore[attr-defined]

    def files(self) -> list[StoredFile]:
        """The image file of every scan, by patient and timepoint."""
        rows = self._ledger.db.query("SELECT * FROM scans ORDER BY patient_id, timepoint, seq")
        return [file_of_scan(scan_of(row)) for row in rows]

    def add(
        self,
        volume: Volume,
        *,
        dataset: str,
        patient_id: str,
        timepoint: str,
        person: str,
        metadata: JsonObject | None = None,
        identifiers: ScanIdentifiers | None = None,
    ) -> Scan:
        """Store an image as a timepoint's scan, with its sidecar and row.

        Args:
            timepoint: the date of the scan, YYYY-MM-DD.
            metadata: scanner facts, JSON values; nothing that names a patient.
            identifiers: the UIDs of its source, which go to a file of their own; one for every slice, or InputError.

        Raises:
            InputError: for an id that is none, a date that is none, an image without contrast or with NaN.
            StoreError: if this very image is there already, the patient belongs to another dataset, or the scan would
                become the reference of a timepoint that has masks.
        """
        place = ScanPlace(dataset, patient_id, timepoint)
        with mask_files.staging(self._ledger.root) as folder:
            staged = self.staged(NewScan(volume, metadata or {}, identifiers), place, folder, "image")

            def build(at: str) -> Change:
                _, values, files = self.placed(staged, place, person, at, self.of(patient_id, timepoint))
                return Change(values, files)

            entry = self._ledger.write("scan.added", person, build)
        return Scan.from_json(entry["payload"])

    def staged(self, new: NewScan, place: ScanPlace, folder: Path, name: str) -> StagedScan:
        """An image checked and written into `folder`, before the change that puts it in its place. Raises as `add`."""
        volume, identifiers = new.volume, new.identifiers
        check_id("dataset", place.dataset), check_id("patient id", place.patient_id)
        check_text("timepoint", place.timepoint), parse_date(place.timepoint)
        if volume.sequence:
            check_id("sequence", volume.sequence)
        facts = plain(dict(new.metadata), "metadata")
        if volume.array.min() == volume.array.max():
            raise InputError("Expected an image, got voxels that are all the same. Export it again.")
        if identifiers is not None and len(identifiers.slices) != (slices := volume.grid.shape[identifiers.axis]):
            raise InputError(f"Expected the UIDs of {slices} slices, got {len(identifiers.slices)}. Import it again.")
        content = content_sha256(volume)
        self._refuse_known(content)  # before the file is written; once more inside the lock
        image = folder / f"{name}.nii.gz"
        uids = None if identifiers is None else identifier_files.write_staged(folder, name, identifiers)
        sha256 = write_nifti(image, volume.array, volume.grid)
        return StagedScan(volume.modality, volume.sequence, volume.grid, sha256, content, facts, image, uids)

    def placed(
        self, staged: StagedScan, place: ScanPlace, person: str, at: str, present: Sequence[Scan]
    ) -> tuple[Scan, JsonDict, Placed]:
        """The record of a staged scan, what its entry says, and the files of its change; inside the lock.

        Args:
            present: the scans of its timepoint, and those that come with it in the same change.

        Raises:
            StoreError: as `add`.
        """
        self._refuse_known(staged.content)
        if staged.content in {scan.content_sha256 for scan in present}:  # it comes twice in this very change
            raise StoreError("The same image is there twice in what came together. Take it once. Nothing was imported.")
        self._refuse_other_dataset(place.patient_id, place.dataset)
        scan_id = _free_scan_id(staged.modality, staged.sequence, present)
        path = f"{mask_files.raw_dir(place.dataset, place.patient_id, place.timepoint)}/{scan_id}.nii.gz"
        scan = Scan(
            scan_id,
            place.dataset,
            place.patient_id,
            place.timepoint,
            staged.modality,
            staged.sequence,
            path,
            staged.grid.shape,
            staged.grid.spacing_mm,
            orientation(staged.grid),
            staged.sha256,
            staged.content,
            staged.facts,
            person,
            at,
            FORMAT_VERSION,
            software(),
        )
        self._refuse_new_reference(scan)
        values = plain(scan.to_json())
        sidecar = mask_files.write_synced(
            staged.image.with_name(f"{staged.image.name}.json"), mask_files.sidecar_text(values)
        )
        files = [(staged.image, path), (sidecar, mask_files.sidecar_of(path))]
        if staged.uids is not None:
            values = {**values, identifier_files.SHA256: staged.uids[1]}
            files.append((staged.uids[0], identifier_files.place_of(staged.uids[1])))
        return scan, values, files

    def _refuse_other_dataset(self, patient_id: str, dataset: str) -> None:
        sql = "SELECT dataset FROM patients WHERE patient_id = ?"
        known = self._ledger.whole.db.query(sql, [patient_id])
        if known and known[0]["dataset"] != dataset:
            seen = bool(self._ledger.db.query(sql, [patient_id]))
            raise StoreError(
                f"Patient {patient_id} belongs to {'dataset ' + known[0]['dataset'] if seen else 'another dataset'}, "
                f"not {dataset}. Use {'that dataset, or ' if seen else ''}another patient id."
            )

    def _refuse_known(self, content: str) -> None:
        sql = "SELECT scan_id, patient_id, timepoint FROM scans WHERE content_sha256 = ?"
        if self._ledger.whole.db.query(sql, [content]):
            seen = self._ledger.db.query(sql, [content])
            place = "in a data set that was not granted to you"
            for row in seen:
                place = f"{row['scan_id']} of patient {row['patient_id']} on {row['timepoint']}"
            raise StoreError(f"This image is there already: {place}. Nothing was imported.")

    def _refuse_new_reference(self, scan: Scan) -> None:
        present = self.of(scan.patient_id, scan.timepoint)
        if not present or reference_of([*present, scan]) is not scan:
            return
        clause, values = where(patient_id=scan.patient_id, timepoint=scan.timepoint)
        masks = self._ledger.whole.db.query(f"SELECT count(*) AS n FROM masks{clause}", values)[0]["n"]
        if masks:
            raise StoreError(
                f"{scan.patient_id} on {scan.timepoint} has {masks} mask version(s) on the grid of "
                f"{reference_of(present).scan_id}; a {scan.modality} would become the reference and leave them on the "
                "wrong grid. Import it under another date, or under another patient id."
            )


def _free_scan_id(modality: str, sequence: str, present: Sequence[Scan]) -> str:
    base = "-".join(part for part in (modality, sequence) if part)
    used = {scan.scan_id for scan in present}
    number = 1
    while (base if number == 1 else f"{base}-{number}") in used:
        number += 1
    return base if number == 1 else f"{base}-{number}"
