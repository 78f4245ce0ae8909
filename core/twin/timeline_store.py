"""The parts of a store that a patient's timeline is made from; all of them, as a missing one would be silence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from core.remembered.hand_measurements import HandMeasurementSource, HasHandMeasurements
from core.remembered.links import HasLinks, HasTransforms, LinkSource, StoredTransform
from core.remembered.rows import ReferenceSet
from core.remembered.sources import (
    HasDecisions,
    HasMasks,
    HasPatients,
    HasReadings,
    HasReferenceSets,
    HasScans,
    HasVerdicts,
)
from core.twin.measured_visits import MeasuredVisitStore, ScanFactsSource
from core.types import Grid


class ScanFieldSource(ScanFactsSource, Protocol):
    """How a patient's images were made, and where they lie."""

    def reference_grid(self, patient_id: str, timepoint: str) -> Grid: ...


class TransformRowSource(Protocol):
    """Transforms between a patient's scans, oldest first."""

    def of(self, patient_id: str) -> Sequence[StoredTransform]: ...


class ReferenceSetRowSource(Protocol):
    """What this installation learned, oldest first."""

    def all(self, kind: str | None = None) -> Sequence[ReferenceSet]: ...


class BlindSource(Protocol):
    """Which timepoints are read blind."""

    def is_blind(self, patient_id: str, timepoint: str) -> bool: ...


class TimelineStore(MeasuredVisitStore, Protocol):
    """The parts of a store that a timeline comes from."""

    @property
    def scans(self) -> ScanFieldSource: ...
    @property
    def links(self) -> LinkSource: ...
    @property
    def transforms(self) -> TransformRowSource: ...
    @property
    def reference_sets(self) -> ReferenceSetRowSource: ...
    @property
    def readings(self) -> BlindSource: ...
    @property
    def measurements(self) -> HandMeasurementSource: ...


class CurveStore(
    HasPatients,
    HasScans,
    HasMasks,
    HasDecisions,
    HasVerdicts,
    HasReferenceSets,
    HasLinks,
    HasTransforms,
    HasReadings,
    HasHandMeasurements,
    Protocol,
):
    """Those parts whole, for what reads more than a timeline: curves and their notes, growth reports, forecasts."""
