"""What every stage needs: the store it asks, the scans of a timepoint, and the way a mask becomes a version."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from core.errors import InputError
from core.gates.mask.verdicts import GateStore, vectors_of, verdict_on
from core.imaging.volumes import file_sha256, read_volume
from core.lesions.masks import measure
from core.types import Decision, Grid, LabelMap, MaskRecord, Scan, Volume, parse_date


class StageStore(GateStore, Protocol):
    """What the pipeline asks of the store (see `store.Store`)."""

    root: Path

    def patients(self) -> list[dict[str, Any]]: ...
    def scratch(self) -> AbstractContextManager[Path]: ...
    def add_scan(
        self,
        volume: Volume,
        *,
        dataset: str,
        patient_id: str,
        timepoint: str,
        person: str,
        metadata: Mapping[str, Any] = ...,
    ) -> Scan: ...
    def timepoints(self, patient_id: str) -> list[str]: ...
    def scans(self, patient_id: str, timepoint: str | None = None) -> list[Scan]: ...
    def reference_scan(self, patient_id: str, timepoint: str) -> Scan: ...
    def scan_path(self, scan: Scan) -> Path: ...
    def load_volume(self, scan: Scan) -> Volume: ...
    def load_reference_grid(self, patient_id: str, timepoint: str) -> Grid: ...
    def add_mask(
        self, labels: LabelMap, *, patient_id: str, timepoint: str, method: str, reviewer: str, **details: Any
    ) -> MaskRecord: ...
    def masks(self, patient_id: str, timepoint: str | None = None) -> list[MaskRecord]: ...
    def mask(self, patient_id: str, timepoint: str, version: int) -> MaskRecord: ...
    def latest_mask(self, patient_id: str, timepoint: str) -> MaskRecord | None: ...
    def is_blind(self, patient_id: str, timepoint: str) -> bool: ...
    def readings_finished(self, patient_id: str, timepoint: str) -> list[dict[str, Any]]: ...
    def final_mask(self, patient_id: str, timepoint: str) -> MaskRecord | None: ...
    def mask_problems(self, patient_id: str | None = None) -> dict[str, str]: ...
    def mask_path(self, record: MaskRecord) -> Path: ...
    def load_mask(self, record: MaskRecord) -> LabelMap: ...
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
    ) -> Decision: ...
    def add_ood_score(self, patient_id: str, timepoint: str, result: dict[str, Any], person: str) -> Any: ...


def describe(store: StageStore, scan: Scan) -> dict[str, str]:
    """A scan as a worker gets it: path, modality, sequence, sha256. Raises StoreError if its file is not as stored."""
    return {
        "path": str(store.scan_path(scan).resolve()),
        "modality": scan.modality,
        "sequence": scan.sequence,
        "sha256": scan.sha256,
    }


def read_scan(described: Mapping[str, str]) -> Volume:
    """In the worker: the described scan, if its file is still the one that was stored (a job may have waited long)."""
    path = Path(described["path"])
    if not path.is_file() or file_sha256(path) != described["sha256"]:
        raise InputError(
            "A scan's file was altered or is gone since the job was begun. Run `verify`. Nothing was stored."
        )
    return read_volume(Path(described["path"]), described["modality"], described["sequence"])  # type: ignore[arg-type]


def timepoint_scans(store: StageStore, patient_id: str, timepoint: str) -> list[Scan]:
    """All scans, the reference scan first. Raises InputError when there is none."""
    parse_date(timepoint)
    scans = store.scans(patient_id, timepoint)
    if not scans:
        known = ", ".join(store.timepoints(patient_id)) or "none"
        raise InputError(f"Patient {patient_id!r} has no scans on {timepoint} (timepoints: {known}). Import one first.")
    reference = store.reference_scan(patient_id, timepoint)
    return [reference, *[scan for scan in scans if scan.scan_id != reference.scan_id]]


def add_version(
    store: StageStore,
    labels: LabelMap,
    patient_id: str,
    timepoint: str,
    *,
    method: str,
    reviewer: str,
    parent_version: int | None,
    **more: Any,
) -> MaskRecord:
    """Stores a mask version with its measurements, its shape vectors and what the mask gate says of it, in one write.

    Args:
        parent_version: the version that its maker began with; None where there was none, or they could see none.
        more: what else `store.add_mask` takes: model_checkpoint, checkpoint_sha256, model_files, prompts.
    """
    vectors = vectors_of(labels)
    return store.add_mask(
        labels,
        patient_id=patient_id,
        timepoint=timepoint,
        method=method,
        reviewer=reviewer,
        parent_version=parent_version,
        lesions=measure(labels),
        vectors=vectors,
        verdict=verdict_on(store, vectors, patient_id),
        **more,
    )


def summary(record: MaskRecord) -> dict[str, Any]:
    """What a job's row and the command line say of a version."""
    plain: dict[str, Any] = json.loads(json.dumps(record.to_json()))
    return plain
