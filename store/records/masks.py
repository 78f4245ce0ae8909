"""Mask versions and the decisions about them."""

from __future__ import annotations

import datetime as dt
import logging
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import GeometryError, InputError, StoreError
from core.imaging.volumes import read_label_map, write_nifti
from core.review import decisions as rules
from core.types import FORMAT_VERSION, Decision, LabelMap, LesionMeasure, MaskRecord, Prompt, VolumePoint, parse_date
from core.version import software
from store.database.connection import Row
from store.files import mask_files
from store.files.file_checks import StoredFile
from store.ledger.writing import Change, mask_of, where
from store.records.scans import ScanRecords, file_of_scan, scan_of
from store.values import check_id, check_person, check_reason, check_text, plain, vector_values

logger = logging.getLogger("twinreview.store")
TOTAL = "total"


class MaskRecords(ScanRecords):
    """The part of `Store` about masks, decisions and the curve that follows from them."""

    def masks(self, patient_id: str, timepoint: str | None = None) -> list[MaskRecord]:
        """A patient's mask versions by timepoint and version; [] when there is none."""
        clause, values = where(patient_id=patient_id, timepoint=timepoint)
        return [mask_of(r) for r in self.db.query(f"SELECT * FROM masks{clause} ORDER BY timepoint, version", values)]

    def mask(self, patient_id: str, timepoint: str, version: int) -> MaskRecord:
        """One version. Raises StoreError if there is none of that number."""
        clause, values = where(patient_id=patient_id, timepoint=timepoint, version=int(version))
        rows = self.db.query(f"SELECT * FROM masks{clause}", values)
        if not rows:
            versions = [str(record.version) for record in self.masks(patient_id, timepoint)]
            raise StoreError(
                f"There is no mask version {version} of {patient_id!r} on {timepoint!r}; "
                f"there {'is ' + ', '.join(versions) if versions else 'are none'}."
            )
        return mask_of(rows[0])

    def mask_by_id(self, mask_id: str) -> MaskRecord:
        """One version by its id. Raises StoreError if there is none."""
        return mask_of(self._mask_row(mask_id))

    def latest_mask(self, patient_id: str, timepoint: str) -> MaskRecord | None:
        """The version of the highest number, whatever its status, of those whose file is not lost."""
        lost = self.losses(patient_id)
        records = [r for r in self.masks(patient_id, timepoint) if r.mask_id not in lost]
        return records[-1] if records else None

    def final_mask(self, patient_id: str, timepoint: str) -> MaskRecord | None:
        """The accepted version, of which there is at most one; None also when its file is lost."""
        lost = self.losses(patient_id)
        records = self.masks(patient_id, timepoint)
        return next((r for r in records if r.status == "accepted" and r.mask_id not in lost), None)

    def mask_path(self, record: MaskRecord) -> Path:
        """The image file of a version, once its hash was compared.

        Raises:
            StoreError: if the file is lost, altered, missing or unreadable.
        """
        self._refuse_lost(record)
        return self._checked(self._mask_file(record))

    def load_mask(self, record: MaskRecord) -> LabelMap:
        """The label map of a version. Raises StoreError as `mask_path`."""
        path = self.mask_path(record)
        return mask_files.read_own(path) or read_label_map(path)

    def _mask_file(self, record: MaskRecord) -> StoredFile:
        """The image file that a version's record names, whether it is there or not."""
        folder = self._folder({"patient_id": record.patient_id, "timepoint": record.timepoint})
        name = (folder / mask_files.mask_name(record.version)).relative_to(self.root).as_posix()
        return StoredFile(name, record.mask_sha256, _in_words(record))

    def losses(self, patient_id: str | None = None) -> dict[str, Row]:
        """The versions that are marked lost, by mask id: reason, person, created_at."""
        clause, values = where(m__patient_id=patient_id)
        sql = (
            "SELECT l.mask_id, l.reason, l.person, l.created_at FROM mask_losses l "
            f"JOIN masks m ON m.mask_id = l.mask_id{clause}{' AND' if clause else ' WHERE'} l.lost"
        )
        return {row["mask_id"]: row for row in self.db.query(sql, values)}

    def mask_problems(self, patient_id: str | None = None) -> dict[str, str]:
        """Why the file of a version is not read, by mask id: "file lost", "file altered" or "file missing".

        As far as is known: a file is looked at when it is read, and by `check_files`. Versions without a problem are
        not in it.
        """
        doubted = {row["path"]: f"file {row['state']}" for row in self.doubted_files()}
        found = {}
        if doubted:
            clause, values = where(patient_id=patient_id)
            for row in self.db.query(f"SELECT * FROM masks{clause}", values):
                record = mask_of(row)
                if self._mask_file(record).name in doubted:
                    found[record.mask_id] = doubted[self._mask_file(record).name]
        return found | dict.fromkeys(self.losses(patient_id), "file lost")

    def _refuse_lost(self, record: MaskRecord) -> None:
        loss = self.losses(record.patient_id).get(record.mask_id)
        if loss is not None:
            raise StoreError(
                f"The file of {_in_words(record)} is lost ({loss['reason']}; said by {loss['person']}), and nothing "
                "can be made from it. Begin with another version, or with none; a draft of it can only be discarded."
            )

    def _stored_files(self) -> list[StoredFile]:
        scans = [scan_of(row) for row in self.db.query("SELECT * FROM scans ORDER BY patient_id, timepoint, seq")]
        masks = [mask_of(r) for r in self.db.query("SELECT * FROM masks ORDER BY patient_id, timepoint, version")]
        lost = self.losses()
        return [*map(file_of_scan, scans), *[self._mask_file(record) for record in masks if record.mask_id not in lost]]

    def add_mask(
        self,
        labels: LabelMap,
        *,
        patient_id: str,
        timepoint: str,
        method: str,
        reviewer: str,
        parent_version: int | None,
        model_checkpoint: str | None = None,
        checkpoint_sha256: str | None = None,
        model_files: Mapping[str, str] | None = None,
        prompts: Iterable[Prompt | Mapping[str, Any]] = (),
        lesions: Sequence[LesionMeasure],
        vectors: Sequence[Mapping[str, Any]] = (),
        verdict: Mapping[str, Any] | None = None,
    ) -> MaskRecord:
        """Store a new, proposed version in one write: the whole mask, its sidecar, its row, measurements, shape
        vectors, and what the mask gate says of it.

        Args:
            labels: on the grid of the timepoint's reference scan.
            parent_version: what it was made from; None where its maker saw no version: all its voxels are added, and it
                has no Dice and no volume delta.
            model_files: SHA-256 of every file of the model that made it, by name.
            lesions: one measurement for each label of the mask.
            vectors: lesion_id, vector and names of each lesion; none, or one for each.
            verdict: the mask gate's result. A version without one cannot be accepted until it is scored.

        Raises:
            GeometryError: if the mask is on another grid.
            InputError: if an argument or a measurement does not fit the mask.
            StoreError: if there is no scan, no such parent, or the parent's file cannot be read.
        """
        check_id("method", method), check_person(reviewer)
        files = None if model_files is None else {check_text("file name", k): v for k, v in model_files.items()}
        for sha256 in (files or {}).values():
            check_id("sha256", sha256)
        grid = self.load_reference_grid(patient_id, timepoint)
        if not labels.grid.matches(grid):
            raise GeometryError(
                f"Expected a mask on the grid of the reference scan {grid.shape} with {_mm(grid.spacing_mm)}, "
                f"got {labels.grid.shape} with {_mm(labels.grid.spacing_mm)} or another position. Resample it first."
            )
        labels = LabelMap(labels.array, grid)  # the same to 1e-2 mm; all versions' volumes by one and the same voxel
        measured = mask_files.lesion_values(labels, lesions)
        scored = _scored([str(lesion["lesion_id"]) for lesion in measured], vectors, verdict)
        parent = None if parent_version is None else self.mask(patient_id, timepoint, parent_version)
        difference: Any = mask_files.difference(labels, None if parent is None else self.load_mask(parent))
        with mask_files.staging(self.root) as folder:
            image = folder / "mask.nii.gz"
            mask_sha256 = write_nifti(image, np.asarray(labels.array), grid)

            def build(at: str) -> Change:
                reference = self.reference_scan(patient_id, timepoint)
                if not self.load_reference_grid(patient_id, timepoint).matches(grid):
                    raise StoreError("The timepoint's reference scan has changed meanwhile. Make the mask again.")
                if parent is not None:
                    self._refuse_lost(parent)
                record = MaskRecord(
                    mask_id=str(uuid.uuid4()),
                    patient_id=patient_id,
                    timepoint=timepoint,
                    version=self._next_version(patient_id, timepoint),
                    parent_version=parent.version if parent else None,
                    method=method,
                    model_checkpoint=model_checkpoint,
                    prompts=tuple(plain(list(prompts), "prompts")),
                    reviewer=reviewer,
                    status="proposed",
                    created_at=at,
                    volume_mm3=labels.volume_mm3,
                    scan_sha256=reference.sha256,
                    mask_sha256=mask_sha256,
                    checkpoint_sha256=checkpoint_sha256,
                    lesions=tuple(measured),
                    software=software(),
                    format_version=FORMAT_VERSION,
                    model_files=files,
                    **difference,
                )
                values = record.to_json()
                sidecar = mask_files.write_synced(folder / "mask.json", mask_files.sidecar_text(values))
                path = self._mask_file(record).name
                return Change({**values, **scored}, [(image, path), (sidecar, mask_files.sidecar_of(path))])

            entry = self._write("mask.added", reviewer, build)
        return MaskRecord.from_json(entry["payload"])

    def _next_version(self, patient_id: str, timepoint: str) -> int:
        """One above every version that there is, in the database or as a file."""
        folder = self._folder({"patient_id": patient_id, "timepoint": timepoint})
        numbers = [record.version for record in self.masks(patient_id, timepoint)]
        for path in folder.glob("mask_v*"):
            digits = path.name.removeprefix("mask_v").split(".")[0]
            numbers.append(int(digits) if digits.isdigit() else 0)
        return max(numbers, default=0) + 1

    def decide(
        self,
        patient_id: str,
        timepoint: str,
        version: int,
        verdict: str,
        reviewer: str,
        reason: str,
        comment: str = "",
        lesion_id: str | None = None,
    ) -> Decision:
        """Accept, reject or withdraw a version, or accept or reject one lesion of it (`core.review.decisions` has the
        rule).

        The decision stays for ever, a change of mind is another one, and the last that was made counts, whatever the
        computer's clock said. mask_final points at the accepted version, if
        there is one. A rejected lesion does not enter a curve; the mask's voxels stay as they are.

        Raises:
            InputError: for another verdict, no person, or no reason code.
            StoreError: if there is no such version or lesion, its status does not allow the verdict, or nothing would
                change; or if a version is accepted that the mask gate has not judged, or whose file is not as stored.
        """
        check_person(reviewer), check_reason(reason), check_text("comment", comment)
        if verdict == "accept":
            self.mask_path(self.mask(patient_id, timepoint, version))  # here too, so that an altered file is recorded

        def build(at: str) -> Change:
            record = self.mask(patient_id, timepoint, version)
            earlier = self.decisions(patient_id, timepoint)
            own = [d.verdict for d in earlier if (d.mask_id, d.lesion_id) == (record.mask_id, lesion_id)]
            rules.check(record, verdict, lesion_id, own[-1] if own else None)
            if verdict == "accept":
                self._refuse_unready(record, whole=lesion_id is None)
            if earlier and at <= earlier[-1].created_at:  # the audit orders them, so it counts; `remarks` tells of it
                last = earlier[-1].created_at
                logger.warning("a decision was made at %s, after one of %s: the clock is, or was, wrong", at, last)
            statuses, final = rules.statuses_after(record, self.masks(patient_id, timepoint), verdict, lesion_id)
            decision = {
                "decision_id": str(uuid.uuid4()),
                "mask_id": record.mask_id,
                "lesion_id": lesion_id,
                "verdict": verdict,
                "reviewer": reviewer,
                "reason": reason,
                "comment": comment,
                "created_at": at,
            }
            place = {"patient_id": patient_id, "timepoint": timepoint, "version": record.version}
            payload = {"decision": decision, **place, "statuses": statuses, "final_version": final}
            if lesion_id is not None:
                payload["lesions"] = rules.lesions_after(record, verdict, lesion_id)
            return Change(payload)

        return _decision(self._write("mask.decided", reviewer, build)["payload"]["decision"])

    def _refuse_unready(self, record: MaskRecord, whole: bool) -> None:
        """Nothing is accepted of a file that is not as it was stored, nor a version that no gate has judged."""
        self.mask_path(record)
        if whole and not self.db.query("SELECT 1 FROM mask_anomalies WHERE mask_id = ? LIMIT 1", [record.mask_id]):
            raise StoreError(
                f"The mask gate has not judged {_in_words(record)}, so it cannot be accepted. Press Score the mask on "
                f"Review, or run `python cli.py anomaly {record.patient_id} {record.timepoint} {record.version}`."
            )

    def decisions(self, patient_id: str, timepoint: str | None = None) -> list[Decision]:
        """What was decided about a patient's masks, in the order of the audit, oldest first."""
        clause, values = where(m__patient_id=patient_id, m__timepoint=timepoint)
        sql = f"SELECT d.* FROM decisions d JOIN masks m ON m.mask_id = d.mask_id{clause} ORDER BY d.seq"
        return [_decision(row) for row in self.db.query(sql, values)]

    def volume_points(self, patient_id: str) -> list[VolumePoint]:
        """The volumes that may enter a curve: of accepted masks alone, by lesion and timepoint, lesion "total" last.

        Days count from the patient's first timepoint. A lesion that another accepted mask of the patient has, and this
        one has not, counts 0 mm3 here. A lesion that was rejected in an accepted mask has no point there (its volume is
        not known, which is not 0) and is not in that total. A mask whose file is lost, altered or missing has no point
        at all (`mask_problems`). [] when nothing was accepted.
        """
        unreadable = self.mask_problems(patient_id)
        accepted = [r for r in self.masks(patient_id) if r.status == "accepted" and r.mask_id not in unreadable]
        if not accepted:
            return []
        start = parse_date(self.timepoints(patient_id)[0])
        known = {lesion["lesion_id"]: int(lesion["label"]) for r in accepted for lesion in rules.standing(r)}
        points = []
        for lesion_id in [*sorted(known, key=lambda name: known[name]), TOTAL]:
            for record in accepted:
                if lesion_id in rules.rejected(record):
                    continue
                volumes = {lesion["lesion_id"]: float(lesion["volume_mm3"]) for lesion in record.lesions}
                total_mm3 = rules.standing_volume_mm3(record)
                volume_mm3 = total_mm3 if lesion_id == TOTAL else volumes.get(lesion_id, 0.0)
                days = float((parse_date(record.timepoint) - start) / dt.timedelta(days=1))
                points.append(
                    VolumePoint(record.timepoint, days, volume_mm3, lesion_id, record.mask_id, record.version)
                )
        return points


def _in_words(record: MaskRecord) -> str:
    return f"version {record.version} of {record.patient_id} on {record.timepoint}"


def _scored(
    lesion_ids: Sequence[str], vectors: Sequence[Mapping[str, Any]], verdict: Mapping[str, Any] | None
) -> dict[str, Any]:
    """What a version's entry holds beside its sidecar: "vectors" and "verdict", each only where it is given."""
    rows = [vector_values(row["lesion_id"], row["vector"], row["names"]) for row in vectors]
    if rows and sorted(row["lesion_id"] for row in rows) != sorted(lesion_ids):
        raise InputError(f"Expected one shape vector for each lesion of the mask ({', '.join(lesion_ids)}), or none.")
    out: dict[str, Any] = {"vectors": rows} if rows else {}
    if verdict is not None:
        out["verdict"] = {"anomaly_id": str(uuid.uuid4()), "result": plain(dict(verdict), "verdict")}
    return out


def _decision(values: Mapping[str, Any]) -> Decision:
    return Decision(**{name: values[name] for name in Decision.__dataclass_fields__})


def _mm(spacing: tuple[float, float, float]) -> str:
    return " x ".join(f"{x:.3g}" for x in spacing) + " mm"
