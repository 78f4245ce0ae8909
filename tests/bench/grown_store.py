"""A store of many patients, made fast: 1,000 of them with 5 to 10 timepoints and 10 mask versions each.

Through the store's own write path 34,000 fsynced writes take the better part of an hour. Here files, sidecars and
audit entries are made as the store makes them, the tables by replaying the entries as a rebuild does; `verify` says
that all agree. Shapes, measurements and vectors are computed from the voxels; verdicts are the gate's own, against the
vectors of the first patients.
"""

from __future__ import annotations

import datetime as dt
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from core.gates.mask.fitted import REAL, FittedGate, fit
from core.gates.mask.judging import judged
from core.gates.mask.verdicts import vectors_of
from core.imaging.volumes import write_nifti
from core.lesions.masks import measure
from core.remembered.rows import LesionVector, ShapeVector
from core.types import FORMAT_VERSION, Grid, LabelMap, MaskRecord, Scan
from core.version import software
from store import open_store
from store.files import mask_files
from store.ledger import ledgers, lines, replay
from store.ledger.audit import Entry, insert_row, make_entry
from store.ledger.batch import Batch
from store.records.staged_masks import scored_parts
from store.values import plain

ROOT = Path(__file__).resolve().parents[2]
SHAPE = (24, 24, 12)
PEOPLE = ("demo", "ann", "ben", "zoe")
MASKS_EACH = 10
#: Vectors of so many first masks are what the stored verdicts were made against.
FIRST_REFERENCE = 200


def grown(patients: int = 1000) -> Path:
    """The data root of the grown store, from build/ if it was made before."""
    root = ROOT / "build" / f"grown-{patients}"
    if not (root / "done").exists():
        shutil.rmtree(root, ignore_errors=True)
        with _without_fsync():
            Grown(root / "data", patients).build()
        (root / "done").touch()
    return root / "data"


@contextmanager
def _without_fsync() -> Iterator[None]:
    """A store that can be made again needs no proof against power cuts."""
    real, os.fsync = os.fsync, lambda fd: None
    try:
        yield
    finally:
        os.fsync = real


class Grown:
    """Makes one such store; the same patients and volumes every time."""

    def __init__(self, root: Path, patients: int) -> None:
        self.root, self.patients = root, patients
        self.random = np.random.default_rng(14)
        self.clock = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
        self.entries: list[Entry] = []
        self.software = software()
        self.gate: FittedGate | None = None
        self.first: list[ShapeVector] = []
        steps = [np.arange(n) for n in SHAPE]
        self.places = np.meshgrid(*steps, indexing="ij")

    def build(self) -> None:
        """Files, then tables and ledgers."""
        with open_store(self.root) as store:
            self.entries = store.audit.entries()
            for name in PEOPLE[1:]:
                self._write(PEOPLE[0], "person.added", {"name": name, "role": "reader"})
            for number in range(self.patients):
                self._patient(f"P{number:04d}", f"set-{number % 5}")
            batch, new = Batch(), self.entries[1:]
            for entry in new:
                replay.apply(batch, entry)
                insert_row(batch, entry)
            with store.db.transaction():
                batch.write(store.db)
            for place, own in ledgers.by_place(new).items():
                lines.append(self.root / place, map(lines.line_of, own))
            lines.append(store.audit.path, map(lines.line_of, new))

    def _write(self, person: str, action: str, payload: dict[str, Any]) -> None:
        last = self.entries[-1]
        self.entries.append(make_entry(last["seq"] + 1, self._now(), person, action, payload, last["hash"]))

    def _now(self) -> str:
        self.clock += dt.timedelta(seconds=1)
        return self.clock.strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def _uuid(self) -> str:
        return str(uuid.UUID(bytes=self.random.bytes(16), version=4))

    def _patient(self, patient: str, dataset: str) -> None:
        timepoints = int(self.random.integers(5, 11))
        spacing = self.random.uniform(1.5, 3.0, 3)
        grid = Grid(SHAPE, np.diag([*np.round(spacing, 2), 1.0]))
        radii = self.random.uniform(2.0, 4.0, 3) * [1.0, 1.0, 0.6]
        two = bool(self.random.random() < 0.5)
        versions = [MASKS_EACH // timepoints + (n < MASKS_EACH % timepoints) for n in range(timepoints)]
        growth = self.random.normal(0.0, 0.06)
        for number in range(timepoints):
            day = str(dt.date(2020, 1, 1) + dt.timedelta(days=56 * number + int(self.random.integers(0, 9))))
            scan = self._scan(patient, dataset, day, grid)
            self._verdict_on_scan(patient, day)
            records: list[MaskRecord] = []
            for version in range(1, versions[number] + 1):
                parent = records[-1] if records else None
                size = radii * np.exp(growth * number + self.random.normal(0.0, 0.03, 3))
                records.append(self._mask(scan, self._labels(size, two, grid), version, parent))
            self._decide(records, number == timepoints - 1)
        if self.random.random() < 0.7:
            self._event(patient, "2020-02-01", "treatment-start", "doxorubicin")
            self._event(patient, "2020-06-01", "treatment-stop", "doxorubicin")
        if self.random.random() < 0.1:
            self._event(patient, "2020-05-01", "radiotherapy", "5 x 5 Gy")

    def _labels(self, radii: Any, two: bool, grid: Grid) -> LabelMap:
        array = np.zeros(SHAPE, np.uint8)
        for label, centre in ((1, (8, 8, 5)), (2, (17, 16, 7)))[: 1 + two]:
            distance = sum(
                ((place - at) / radius) ** 2 for place, at, radius in zip(self.places, centre, radii, strict=True)
            )
            array[distance < 1 + 0.1 * self.random.normal(size=SHAPE)] = label
        return LabelMap(array, grid)

    def _scan(self, patient: str, dataset: str, day: str, grid: Grid) -> Scan:
        path = f"{mask_files.raw_dir(dataset, patient, day)}/CT.nii.gz"
        image = self.root / path
        image.parent.mkdir(parents=True)
        voxels = self.random.integers(-200, 200, SHAPE).astype(np.int16)
        sha256 = write_nifti(image, voxels, grid)
        facts = {"scanner": "phantom", "kvp": 120.0} | ({"simulated": True} if patient.endswith("7") else {})
        scan = Scan(
            "CT", dataset, patient, day, "CT", "", path, SHAPE, grid.spacing_mm, "RAS", sha256,
            self.random.bytes(32).hex(), facts, "demo", self._now(), FORMAT_VERSION, self.software,
        )  # fmt: skip
        values = plain(scan.to_json())
        Path(mask_files.sidecar_of(image)).write_text(mask_files.sidecar_text(values), encoding="utf-8")
        self._write("demo", "scan.added", values)
        return scan

    def _verdict_on_scan(self, patient: str, day: str) -> None:
        score = float(self.random.beta(2, 5))
        state = "out of distribution" if score > 0.6 else "in distribution"
        result = {"state": state, "score": score, "threshold": 0.6, "crops": self.random.random(4).tolist()}
        payload = {"score_id": self._uuid(), "patient_id": patient, "timepoint": day, "result": result}
        self._write("demo", "ood.scored", payload)

    def _mask(self, scan: Scan, labels: LabelMap, version: int, parent: MaskRecord | None) -> MaskRecord:
        folder = self.root / mask_files.processed_dir(scan.dataset, scan.patient_id, scan.timepoint)
        folder.mkdir(parents=True, exist_ok=True)
        image = folder / mask_files.mask_name(version)
        before = None if parent is None else mask_files.read_stored_mask(folder / mask_files.mask_name(parent.version))
        difference: Any = mask_files.version_diff(labels, before)
        lesions = mask_files.lesion_values(labels, measure(labels))
        method = ("nnunet", "medsam", "edit")[min(version, 3) - 1]
        record = MaskRecord(
            mask_id=self._uuid(),
            patient_id=scan.patient_id,
            timepoint=scan.timepoint,
            version=version,
            parent_version=None if parent is None else parent.version,
            method=method,
            model_checkpoint=None,
            prompts=(),
            author=PEOPLE[int(self.random.integers(0, len(PEOPLE)))],
            status="proposed",
            created_at=self._now(),
            volume_mm3=labels.volume_mm3,
            scan_sha256=scan.sha256,
            mask_sha256=write_nifti(image, np.asarray(labels.array), labels.grid),
            checkpoint_sha256=None,
            lesions=tuple(lesions),
            software=self.software,
            format_version=FORMAT_VERSION,
            **difference,
        )
        values = record.to_json()
        self._sidecar(values, image)
        vectors = vectors_of(labels)
        scored = scored_parts([str(lesion["lesion_id"]) for lesion in lesions], vectors, self._verdict(record, vectors))
        self._write(record.author, "mask.added", {**values, **scored})
        return record

    def _sidecar(self, values: dict[str, Any], image: Path) -> None:
        Path(mask_files.sidecar_of(image)).write_text(mask_files.sidecar_text(values), encoding="utf-8")

    def _verdict(self, record: MaskRecord, vectors: Sequence[LesionVector]) -> dict[str, Any]:
        """As `core.gates.mask.verdicts.verdict_on` has it."""
        if self.gate is None:
            place = (record.mask_id, record.patient_id, record.timepoint, record.version, "accepted")
            self.first += [ShapeVector(row.lesion_id, row.vector, row.names, *place) for row in vectors]
            if len(self.first) >= FIRST_REFERENCE:
                self.gate = fit(self.first, 0)
        return judged(self.gate, REAL, vectors, record.patient_id, too_few=self.gate is None)

    def _decide(self, records: list[MaskRecord], last: bool) -> None:
        """Eight in ten timepoints are accepted, some rejected or withdrawn, the rest wait."""
        chance, newest = self.random.random(), records[-1]
        statuses: dict[str, str]
        if chance < (0.5 if last else 0.85):
            statuses = {newest.mask_id: "accepted"} | {r.mask_id: "superseded" for r in records[:-1]}
            self._decision(newest, "accept", statuses, newest.version)
            if chance < 0.02:
                statuses = {newest.mask_id: "proposed"}
                self._decision(newest, "withdraw", statuses, None)
                statuses |= {r.mask_id: "superseded" for r in records[:-1]}
        elif chance < 0.9:
            statuses = {newest.mask_id: "rejected"}
            self._decision(newest, "reject", statuses, None)
        else:
            return
        folder = self.root / "processed"
        dataset = f"set-{int(newest.patient_id[1:]) % 5}"
        folder = self.root / mask_files.processed_dir(dataset, newest.patient_id, newest.timepoint)
        for record in records:
            if record.mask_id in statuses:
                values = {**record.to_json(), "status": statuses[record.mask_id]}
                self._sidecar(values, folder / mask_files.mask_name(record.version))
        if statuses[newest.mask_id] == "accepted":
            os.symlink(mask_files.mask_name(newest.version), folder / mask_files.FINAL)

    def _decision(self, record: MaskRecord, verdict: str, statuses: dict[str, str], final: int | None) -> None:
        decision = {
            "decision_id": self._uuid(),
            "mask_id": record.mask_id,
            "lesion_id": None,
            "verdict": verdict,
            "reviewer": record.author,
            "reason": "good-boundary" if verdict == "accept" else "leak",
            "comment": "",
            "created_at": self._now(),
        }
        place = {"patient_id": record.patient_id, "timepoint": record.timepoint, "version": record.version}
        payload = {"decision": decision, **place, "statuses": dict(statuses), "final_version": final}
        self._write(record.author, "mask.decided", payload)

    def _event(self, patient: str, date: str, kind: str, detail: str) -> None:
        payload = {"event_id": self._uuid(), "patient_id": patient, "date": date, "kind": kind, "detail": detail}
        self._write("demo", "event.added", payload)
