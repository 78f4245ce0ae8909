"""What `core` asks of the store, one Protocol a part; `store.Store` has them all, and mypy holds it to them.

A function names the parts that it needs by combining them: `class CurveStore(HasPatients, HasMasks, Protocol)`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from core.remembered.compartments import Compartments
from core.remembered.event_sources import EventRecordSource as EventRecordSource
from core.remembered.event_sources import EventSource as EventSource
from core.remembered.flips import Flip
from core.remembered.identifiers import MaskOrigin, ScanIdentifiers
from core.remembered.incoming import NewMask, NewScan, StoredStudy
from core.remembered.judgements import GateVerdict
from core.remembered.links import LinkChange, LinkProposal
from core.remembered.rows import (
    FinishedReading,
    GrowthFit,
    Job,
    LesionVector,
    MaskVerdict,
    Patient,
    ReferenceSet,
    ScanVerdict,
    ShapeVector,
)
from core.types import Decision, Grid, LabelMap, LesionMeasure, MaskRecord, Prompt, Scan, Volume


class TimepointSource(Protocol):
    """The dates of patients' timepoints."""

    def timepoints(self, patient_id: str) -> list[str]: ...


class PatientSource(TimepointSource, Protocol):
    """Patients and the dates of their timepoints."""

    def all(self) -> list[Patient]: ...
    def require(self, patient_id: str) -> None: ...


class DescribedScan(Protocol):
    """Fields of a scan that lists of patients need; `Scan` has it and more."""

    @property
    def timepoint(self) -> str: ...
    @property
    def modality(self) -> str: ...
    @property
    def metadata(self) -> Mapping[str, Any]: ...


class DescribedScanSource(Protocol):
    """Scans of a patient."""

    def of(self, patient_id: str, timepoint: str | None = None) -> Sequence[DescribedScan]: ...
    def reference(self, patient_id: str, timepoint: str) -> DescribedScan: ...


class ScanRecordSource(Protocol):
    """Records of scans."""

    def of(self, patient_id: str, timepoint: str | None = None) -> list[Scan]: ...
    def reference(self, patient_id: str, timepoint: str) -> Scan: ...


class ScanSource(ScanRecordSource, Protocol):
    """Scans and their files."""

    def path(self, scan: Scan) -> Path: ...
    def problems(self, patient_id: str | None = None) -> dict[tuple[str, str], list[str]]: ...
    def load(self, scan: Scan) -> Volume: ...
    def reference_grid(self, patient_id: str, timepoint: str) -> Grid: ...
    def lie_under(self, patient_id: str, timepoint: str, mask: MaskOrigin) -> list[bool | None]: ...
    def add(
        self,
        volume: Volume,
        *,
        dataset: str,
        patient_id: str,
        timepoint: str,
        person: str,
        metadata: Mapping[str, Any] | None = None,
        identifiers: ScanIdentifiers | None = None,
    ) -> Scan: ...


class MeasuredMask(Protocol):
    """Fields of a mask version that curves need; `MaskRecord` has it and more."""

    @property
    def mask_id(self) -> str: ...
    @property
    def timepoint(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def status(self) -> str: ...
    @property
    def method(self) -> str: ...
    @property
    def volume_mm3(self) -> float: ...
    @property
    def lesions(self) -> Sequence[Mapping[str, Any]]: ...


class MeasuredMaskSource(Protocol):
    """The lesions of a patient's mask versions."""

    def of(self, patient_id: str, timepoint: str | None = None) -> Sequence[MeasuredMask]: ...
    def problems(self, patient_id: str | None = None) -> dict[str, str]: ...


class MaskRecordSource(Protocol):
    """Records of mask versions."""

    def of(self, patient_id: str, timepoint: str | None = None) -> list[MaskRecord]: ...
    def problems(self, patient_id: str | None = None) -> dict[str, str]: ...


class MaskSource(MaskRecordSource, Protocol):
    """Mask versions and their files."""

    def of_all(self) -> list[MaskRecord]: ...
    def version(self, patient_id: str, timepoint: str, version: int) -> MaskRecord: ...
    def latest(self, patient_id: str, timepoint: str) -> MaskRecord | None: ...
    def accepted(self, patient_id: str, timepoint: str) -> MaskRecord | None: ...
    def path(self, record: MaskRecord) -> Path: ...
    def load(self, record: MaskRecord) -> LabelMap: ...
    def compartments(self, record: MaskRecord) -> Compartments | None: ...
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
        prompts: Iterable[Prompt | Mapping[str, Any]] = (),
        lesions: Sequence[LesionMeasure],
        vectors: Sequence[LesionVector] = (),
        verdict: Mapping[str, Any] | None = None,
        links: Sequence[LinkProposal] = (),
        compartments: Compartments | None = None,
    ) -> MaskRecord: ...


class DecisionSource(Protocol):
    """Decisions about masks."""

    def of(self, patient_id: str, timepoint: str | None = None) -> list[Decision]: ...
    def to_affirm(self) -> dict[str, str]: ...
    def why_not_accept(
        self, record: MaskRecord, reviewer: str, comment: str = "", lesion_id: str | None = None, reason: str = ""
    ) -> str: ...
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
        links: Sequence[LinkChange] = (),
        flips: Sequence[Flip] = (),
        flips_told: str = "",
    ) -> Decision: ...


class ReadingSource(Protocol):
    """Blind reading, and who has finished."""

    def is_blind(self, patient_id: str, timepoint: str) -> bool: ...
    def finished(self, patient_id: str, timepoint: str) -> list[FinishedReading]: ...
    def closed_to(self, person: str) -> list[tuple[str, str]]: ...
    def is_closed(self, patient_id: str, timepoint: str, person: str) -> bool: ...


class VerdictSource(Protocol):
    """Verdicts of the gates."""

    def of_scans(self, patient_id: str | None = None, timepoint: str | None = None) -> list[ScanVerdict]: ...
    def of_masks(
        self, patient_id: str | None = None, timepoint: str | None = None, mask_id: str | None = None
    ) -> list[MaskVerdict]: ...
    def add_scan_verdict(self, patient_id: str, timepoint: str, result: Mapping[str, Any], person: str) -> str: ...
    def add_mask_verdict(self, mask_id: str, result: Mapping[str, Any], person: str) -> str: ...
    def standing(self, record: MaskRecord) -> tuple[GateVerdict, GateVerdict]: ...


class VectorSource(Protocol):
    """Shape vectors of masks."""

    def all(self, status: str | None = None) -> list[ShapeVector]: ...
    def of(self, mask_id: str) -> list[ShapeVector]: ...
    def accepted_count(self) -> int: ...
    def accepted_mask_ids(self) -> frozenset[str]: ...
    def last_change(self) -> tuple[int, str]: ...
    def add(
        self, mask_id: str, lesion_id: str, patient_id: str, vector: Sequence[float], names: Sequence[str], person: str
    ) -> None: ...


class ForecastSource(Protocol):
    """Fits and stored forecasts."""

    def of(self, patient_id: str, lesion_id: str | None = None) -> list[GrowthFit]: ...
    def add(self, patient_id: str, lesion_id: str, model: str, result: Mapping[str, Any], person: str) -> str: ...


class ReferenceSetSource(Protocol):
    """Reference sets of gates and forecasts."""

    def all(self, kind: str | None = None) -> list[ReferenceSet]: ...
    def newest(self, kind: str) -> ReferenceSet | None: ...
    def add(self, kind: str, detail: Mapping[str, Any], person: str) -> str: ...


class JobSource(Protocol):
    """Rows of jobs."""

    def create(self, kind: str, params: Mapping[str, Any], person: str) -> str: ...
    def update(
        self,
        job_id: str,
        *,
        status: str | None = None,
        progress: float | None = None,
        message: str | None = None,
        result: Mapping[str, Any] | None = None,
        person: str | None = None,
    ) -> None: ...
    def get(self, job_id: str) -> Job: ...
    def newest(self, limit: int = 100, status: str | None = None, kind: str | None = None) -> list[Job]: ...


class PeopleSource(Protocol):
    """People and their roles."""

    def may(self, person: str, action: str) -> bool: ...


class HasPatients(Protocol):
    """A store of patients."""

    @property
    def patients(self) -> PatientSource: ...


class StudySource(Protocol):
    """The way in for scans and masks that come together."""

    def add(
        self,
        scans: Sequence[NewScan],
        masks: Sequence[NewMask],
        *,
        dataset: str,
        patient_id: str,
        timepoint: str,
        person: str,
    ) -> StoredStudy: ...


class HasStudies(Protocol):
    @property
    def studies(self) -> StudySource: ...


class HasScans(Protocol):
    """A store of scans."""

    @property
    def scans(self) -> ScanSource: ...


class HasMasks(Protocol):
    """A store of masks."""

    @property
    def masks(self) -> MaskSource: ...


class HasDecisions(Protocol):
    """A store of decisions."""

    @property
    def decisions(self) -> DecisionSource: ...


class HasReadings(Protocol):
    """A store of readings."""

    @property
    def readings(self) -> ReadingSource: ...


class HasVerdicts(Protocol):
    """A store of verdicts."""

    @property
    def verdicts(self) -> VerdictSource: ...


class HasVectors(Protocol):
    """A store of shape vectors."""

    @property
    def vectors(self) -> VectorSource: ...


class HasEvents(Protocol):
    """A store of events."""

    @property
    def events(self) -> EventSource: ...


class HasForecasts(Protocol):
    """A store of fits and forecasts."""

    @property
    def forecasts(self) -> ForecastSource: ...


class HasReferenceSets(Protocol):
    """A store of reference sets."""

    @property
    def reference_sets(self) -> ReferenceSetSource: ...


class HasRoot(Protocol):
    """A store in a folder."""

    @property
    def root(self) -> Path: ...


class HasJobs(HasRoot, Protocol):
    """A store of jobs, with the folder in which they work."""

    @property
    def jobs(self) -> JobSource: ...


class HasPeoplesJobs(HasJobs, Protocol):
    """The whole store, of which everybody who asks for a job gets to see their part."""

    def seen_by(self, person: str) -> HasJobs: ...


class HasPeople(Protocol):
    """A store that knows people."""

    @property
    def people(self) -> PeopleSource: ...


class HasScratch(Protocol):
    """A store that lends folders for files on their way in."""

    def scratch(self) -> AbstractContextManager[Path]: ...
