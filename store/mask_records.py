"""Mask versions and the decisions about them."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from core import decisions as rules
from core.errors import GeometryError, StoreError
from core.types import Decision, LabelMap, LesionMeasure, MaskRecord, Prompt, VolumePoint, parse_date
from core.volumes import read_label_map, write_nifti
from store import mask_files
from store.base import Change, mask_values, where
from store.connection import Row
from store.scan_files import ScanRecords
from store.values import check_id, check_person, check_reason, check_text, plain

TOTAL = "total"


def record_of(row: Row) -> MaskRecord:
    """A row of `masks` as a value."""
    return MaskRecord.from_json(mask_values(row))


class MaskRecords(ScanRecords):
    """The part of `Store` about masks, decisions and the curve that follows from them."""

    def masks(self, patient_id: str, timepoint: str | None = None) -> list[MaskRecord]:
        """A patient's mask versions by timepoint and version; [] when there is none."""
        clause, values = where(patient_id=patient_id, timepoint=timepoint)
        return [record_of(r) for r in self.db.query(f"SELECT * FROM masks{clause} ORDER BY timepoint, version", values)]

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
        return record_of(rows[0])

    def mask_by_id(self, mask_id: str) -> MaskRecord:
        """One version by its id. Raises StoreError if there is none."""
        return record_of(self._mask_row(mask_id))

    def latest_mask(self, patient_id: str, timepoint: str) -> MaskRecord | None:
        """The version of the highest number, whatever its status."""
        records = self.masks(patient_id, timepoint)
        return records[-1] if records else None

    def final_mask(self, patient_id: str, timepoint: str) -> MaskRecord | None:
        """The accepted version, of which there is at most one."""
        return next((r for r in self.masks(patient_id, timepoint) if r.status == "accepted"), None)

    def mask_path(self, record: MaskRecord) -> Path:
        """Where the image file of a version is."""
        folder = self._folder({"patient_id": record.patient_id, "timepoint": record.timepoint})
        return folder / mask_files.mask_name(record.version)

    def load_mask(self, record: MaskRecord) -> LabelMap:
        """The label map of a version."""
        path = self.mask_path(record)
        return mask_files.read_own(path) or read_label_map(path)

    def add_mask(
        self,
        labels: LabelMap,
        *,
        patient_id: str,
        timepoint: str,
        method: str,
        reviewer: str,
        parent_version: int | None = None,
        model_checkpoint: str | None = None,
        checkpoint_sha256: str | None = None,
        prompts: Iterable[Prompt | Mapping[str, Any]] = (),
        lesions: Sequence[LesionMeasure],
    ) -> MaskRecord:
        """Store a new, proposed version: the whole mask, its sidecar, its row and measurements.

        Args:
            labels: on the grid of the timepoint's reference scan.
            parent_version: what it was made from; None where its maker saw no version: all its voxels are added, and
                it has no Dice and no volume delta.
            lesions: one measurement for each label of the mask.

        Raises:
            GeometryError: if the mask is on another grid.
            InputError: if an argument or a measurement does not fit the mask.
            StoreError: if there is no scan, or no such parent.
        """
        check_id("method", method), check_person(reviewer)
        grid = self.load_reference_grid(patient_id, timepoint)
        if not labels.grid.matches(grid):
            raise GeometryError(
                f"Expected a mask on the grid of the reference scan {grid.shape} with {_mm(grid.spacing_mm)}, "
                f"got {labels.grid.shape} with {_mm(labels.grid.spacing_mm)} or another position. Resample it first."
            )
        labels = LabelMap(labels.array, grid)  # the same to 1e-2 mm; all versions' volumes by one and the same voxel
        measured = mask_files.lesion_values(labels, lesions)
        with mask_files.staging(self.root) as folder:
            image = folder / "mask.nii.gz"
            mask_sha256 = write_nifti(image, np.asarray(labels.array), grid)

            def build(at: str) -> Change:
                reference = self.reference_scan(patient_id, timepoint)
                if not self.load_reference_grid(patient_id, timepoint).matches(grid):
                    raise StoreError("The timepoint's reference scan has changed meanwhile. Make the mask again.")
                parent = self._parent(patient_id, timepoint, parent_version)
                record = MaskRecord(
                    mask_id=str(uuid.uuid4()), patient_id=patient_id, timepoint=timepoint,
                    version=self._next_version(patient_id, timepoint),
                    parent_version=parent.version if parent else None, method=method,
                    model_checkpoint=model_checkpoint, prompts=tuple(plain(list(prompts), "prompts")),
                    reviewer=reviewer, status="proposed", created_at=at, volume_mm3=labels.volume_mm3,
                    scan_sha256=reference.sha256, mask_sha256=mask_sha256, checkpoint_sha256=checkpoint_sha256,
                    lesions=tuple(measured), software=mask_files.software(),
                    **mask_files.difference(labels, self.load_mask(parent) if parent else None),  # type: ignore[arg-type]
                )  # fmt: skip
                values = record.to_json()
                sidecar = mask_files.write_synced(folder / "mask.json", mask_files.sidecar_text(values))
                path = str(self.mask_path(record).relative_to(self.root))
                return Change(values, [(image, path), (sidecar, mask_files.sidecar_of(path))])

            entry = self._write("mask.added", reviewer, build)
        return MaskRecord.from_json(entry["payload"])

    def _parent(self, patient_id: str, timepoint: str, version: int | None) -> MaskRecord | None:
        return None if version is None else self.mask(patient_id, timepoint, version)

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
        """Accept, reject or withdraw a version, or accept or reject one lesion of it (`core.decisions` has the rule).

        The decision stays for ever, a change of mind is another one. mask_final points at the accepted version, if
        there is one. A rejected lesion does not enter a curve; the mask's voxels stay as they are.

        Raises:
            InputError: for another verdict, no person, or no reason code.
            StoreError: if there is no such version or lesion, its status does not allow the verdict, or nothing would
                change; or if the computer's clock is behind the decision before.
        """
        check_person(reviewer), check_reason(reason), check_text("comment", comment)

        def build(at: str) -> Change:
            record = self.mask(patient_id, timepoint, version)
            earlier = [d for d in self.decisions(patient_id, timepoint) if d.mask_id == record.mask_id]
            own = [d.verdict for d in earlier if d.lesion_id == lesion_id]
            rules.check(record, verdict, lesion_id, own[-1] if own else None)
            if earlier and at <= earlier[-1].created_at:  # the newest one counts, so their order must be certain
                last = earlier[-1].created_at
                raise StoreError(f"The computer's clock says {at}, but a decision was made at {last}. Set it right.")
            statuses, final = rules.statuses_after(record, self.masks(patient_id, timepoint), verdict, lesion_id)
            decision = {
                "decision_id": str(uuid.uuid4()), "mask_id": record.mask_id, "lesion_id": lesion_id, "verdict": verdict,
                "reviewer": reviewer, "reason": reason, "comment": comment, "created_at": at,
            }  # fmt: skip
            place = {"patient_id": patient_id, "timepoint": timepoint, "version": record.version}
            payload = {"decision": decision, **place, "statuses": statuses, "final_version": final}
            if lesion_id is not None:
                payload["lesions"] = rules.lesions_after(record, verdict, lesion_id)
            return Change(payload)

        return _decision(self._write("mask.decided", reviewer, build)["payload"]["decision"])

    def decisions(self, patient_id: str, timepoint: str | None = None) -> list[Decision]:
        """What was decided about a patient's masks, oldest first."""
        clause, values = where(m__patient_id=patient_id, m__timepoint=timepoint)
        sql = f"SELECT d.* FROM decisions d JOIN masks m ON m.mask_id = d.mask_id{clause} ORDER BY d.created_at"
        return [_decision(row) for row in self.db.query(sql, values)]

    def volume_points(self, patient_id: str) -> list[VolumePoint]:
        """The volumes that may enter a curve: of accepted masks alone, by lesion and timepoint, lesion "total" last.

        Days count from the patient's first timepoint. A lesion that another accepted mask of the patient has, and this
        one has not, counts 0 mm3 here. A lesion that was rejected in an accepted mask has no point there (its volume is
        not known, which is not 0) and is not in that total. [] when nothing was accepted.
        """
        accepted = [record for record in self.masks(patient_id) if record.status == "accepted"]
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


def _decision(values: Mapping[str, Any]) -> Decision:
    return Decision(**{name: values[name] for name in Decision.__dataclass_fields__})


def _mm(spacing: tuple[float, float, float]) -> str:
    return " x ".join(f"{x:.3g}" for x in spacing) + " mm"
