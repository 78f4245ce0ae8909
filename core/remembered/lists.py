"""Rows of the lists that pages draw: each list comes from the store at once, however many patients there are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from core.remembered.rows import Event, MaskVerdict
from core.remembered.untyped import JsonObject
from core.types import MaskRecord, Scan


@dataclass(frozen=True)
class WorklistVersion:
    """One mask version of a timepoint.

    Args:
        last_verdict: the newest decision on the whole version: accept, reject or withdraw; None without any.
        mask_result: the mask gate's newest verdict as JSON; None where it was not scored.
    """

    mask_id: str
    version: int
    method: str
    status: str
    last_verdict: str | None
    mask_result: str | None

    @property
    def mask_verdict(self) -> JsonObject | None:
        """What the mask gate said: flagged, p_value and more."""
        return None if self.mask_result is None else json.loads(self.mask_result)


@dataclass(frozen=True)
class WorklistRow:
    """One timepoint.

    Args:
        scan_result: the scan gate's newest verdict as JSON; None where it was not scored.
        versions: its mask versions, ascending.
    """

    patient_id: str
    timepoint: str
    scan_result: str | None
    versions: tuple[WorklistVersion, ...]

    @property
    def scan_verdict(self) -> JsonObject | None:
        """What the scan gate said: state, score, threshold and more."""
        return None if self.scan_result is None else json.loads(self.scan_result)


@dataclass(frozen=True)
class QualityRow:
    """The mask gate's newest verdict on a version, and the version's status."""

    verdict: MaskVerdict
    status: str


@dataclass(frozen=True)
class ClosedRow:
    """A timepoint that a person reads blind and has not finished, with one of its masks; None where it has none."""

    patient_id: str
    timepoint: str
    mask_id: str | None


@dataclass(frozen=True)
class CohortRow:
    """What is known of one patient for the cohort.

    Args:
        timepoints: dates, ascending.
        accepted: the accepted masks, by timepoint and version.
        scans: by timepoint, then in order of import.
        events: by date.
        mask_problems: mask id -> why its file is not read.
    """

    patient_id: str
    timepoints: tuple[str, ...]
    accepted: tuple[MaskRecord, ...]
    scans: tuple[Scan, ...]
    events: tuple[Event, ...]
    mask_problems: Mapping[str, str]


class ViewSource(Protocol):
    """The lists."""

    def worklist(self) -> list[WorklistRow]: ...
    def quality(self) -> list[QualityRow]: ...
    def closed_to(self, person: str) -> list[ClosedRow]: ...
    def cohort(self) -> list[CohortRow]: ...


class HasViews(Protocol):
    """A store of such lists."""

    @property
    def views(self) -> ViewSource: ...
