"""Rows of the lists that pages draw: each list comes from the store at once, however many patients there are."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

from core.remembered.hand_measurements import HandMeasurement
from core.remembered.judged_versions import JudgedSource
from core.remembered.judgements import DOUBTS, JUDGEMENT, PASSES, UNJUDGED, Judged
from core.remembered.links import LesionLink, StoredTransform
from core.remembered.protocols import StoredProtocol
from core.remembered.rows import Event, MaskVerdict, ScanVerdict
from core.remembered.untyped import JsonObject
from core.types import Decision


@dataclass(frozen=True, slots=True)
class WorklistVersion:
    """One mask version of a timepoint.

    Args:
        last_verdict: the newest decision on the whole version: accept, reject or withdraw; None without any.
        anomaly_id, judged_by, judged_at, mask_result: the mask gate's newest verdict, the last as JSON; None where it
            was not scored.
    """

    patient_id: str
    timepoint: str
    mask_id: str
    mask_sha256: str
    version: int
    method: str
    status: str
    last_verdict: str | None
    anomaly_id: str | None = None
    judged_by: str | None = None
    judged_at: str | None = None
    mask_result: str | None = None

    @property
    def mask_verdict(self) -> MaskVerdict | None:
        """The mask gate's verdict; None where it was not scored."""
        if self.anomaly_id is None or self.mask_result is None:
            return None
        place = (self.patient_id, self.timepoint, self.version)
        said = (json.loads(self.mask_result), self.judged_by or "", self.judged_at or "")
        return MaskVerdict(self.anomaly_id, self.mask_id, *place, *said)


@dataclass(frozen=True, slots=True)
class WorklistRow:
    """One timepoint.

    Args:
        scan_sha256s: of its scans' files. scan_verdicts: the scan gate's newest one, and of those with a mask as their
            anchor the newest of each mask, oldest first; () where it was not scored.
        versions: its mask versions, ascending.
    """

    patient_id: str
    timepoint: str
    scan_sha256s: tuple[str, ...]
    scan_verdicts: tuple[ScanVerdict, ...]
    versions: tuple[WorklistVersion, ...]


@dataclass(frozen=True, slots=True)
class QualityRow:
    """The mask gate's newest verdict on a version.

    Args:
        status: of the version.
        p_value: 0..1; None where it cannot be judged.
        flagged: whether the shape is unusual; None where that cannot be judged.
        score: distance of its oddest lesion, in spreads; None where none could be measured.
        result: the whole verdict as JSON.
        verdict: of its judgement; None in rows from before there were judgements.
    """

    mask_id: str
    patient_id: str
    timepoint: str
    version: int
    status: str
    p_value: float | None
    flagged: bool | None
    score: float | None
    result: str
    verdict: str | None = None

    @property
    def judged(self) -> Judged:
        """Whether it passes."""
        if self.verdict is not None:
            return cast(Judged, self.verdict)
        return UNJUDGED if self.flagged is None else DOUBTS if self.flagged else PASSES

    @property
    def reason(self) -> str:
        """In sentences; "" in rows from before there were judgements."""
        judgement = json.loads(self.result).get(JUDGEMENT)
        return str(judgement["reason"]) if judgement else ""

    @property
    def name(self) -> str:
        """ "P1 2025-01-20 v2"."""
        return f"{self.patient_id} {self.timepoint} v{self.version}"

    @property
    def why(self) -> str:
        """The oddest lesion's farthest features in words; "" where none could be measured."""
        scores = [lesion for lesion in json.loads(self.result).get("lesions", ()) if lesion.get("score") is not None]
        oddest = max(scores, key=lambda lesion: float(lesion["score"]), default=None)
        return ", ".join(f"{name} {value:+z.1f}" for name, value in oddest["top_features"]) if oddest else ""


@dataclass(frozen=True)
class ClosedRow:
    """A timepoint that a person reads blind and has not finished, with one of its masks; None where it has none."""

    patient_id: str
    timepoint: str
    mask_id: str | None


@dataclass(frozen=True, slots=True)
class CohortMask:
    """A mask version, as far as a curve and its changes need it: a `core.twin.measured_visits.TracedMask`.

    Args:
        author: who made it. scan_sha256: the scan whose grid it is of. mask_sha256: of its file.
        lesions: lesion_id, label, voxels, volume_mm3, longest_diameter_mm, centroid_mm, rejected (None where it is
            not), short_axis_mm, longest_diameter_3d_mm, slices, intensities and compartments (None where not measured;
            of the last two what a timeline reads) of each.
    """

    patient_id: str
    mask_id: str
    mask_sha256: str
    timepoint: str
    version: int
    parent_version: int | None
    status: str
    method: str
    author: str
    checkpoint_sha256: str | None
    voxels_added: int
    voxels_removed: int
    scan_sha256: str
    volume_mm3: float
    lesions: Sequence[JsonObject]


@dataclass(frozen=True, slots=True)
class CohortScan:
    """A scan, as far as a cohort needs it: a `core.remembered.sources.DescribedScan`.

    Args:
        metadata: {} where it says neither "simulated" nor "slice_thickness_mm".
    """

    timepoint: str
    modality: str
    sequence: str
    spacing_mm: tuple[float, float, float]
    sha256: str
    metadata: JsonObject


@dataclass(frozen=True, slots=True)
class CohortRow:
    """One patient's records, as far as the cohort needs them.

    Args:
        timepoints: dates, ascending.
        masks: the accepted ones and the earlier versions that an accepted one was drawn from, by timepoint and version.
        scans: by timepoint, then in order of import.
        events: by date.
        mask_problems: mask id -> why its file is not read.
        acceptances: decisions that accepted the accepted masks, oldest first.
        mask_verdicts, scan_verdicts: the newest of each accepted mask and each timepoint (of those with a mask as their
            anchor the newest of each mask), oldest first; of one that passes what `core.review.doubts` reads alone.
        links: of the accepted masks, as they stand now. transforms: between the patient's scans.
        by_hand: measurements that were kept and stand.
        protocol: by what the response is told, the patient's own or the data set's; None: nobody set one.
    """

    patient_id: str
    timepoints: tuple[str, ...]
    masks: tuple[CohortMask, ...]
    scans: tuple[CohortScan, ...]
    events: tuple[Event, ...]
    mask_problems: Mapping[str, str]
    acceptances: tuple[Decision, ...] = ()
    mask_verdicts: tuple[MaskVerdict, ...] = ()
    scan_verdicts: tuple[ScanVerdict, ...] = ()
    links: tuple[LesionLink, ...] = ()
    transforms: tuple[StoredTransform, ...] = ()
    by_hand: tuple[HandMeasurement, ...] = ()
    protocol: StoredProtocol | None = None

    @property
    def accepted(self) -> tuple[CohortMask, ...]:
        """The accepted masks."""
        return tuple(mask for mask in self.masks if mask.status == "accepted")


@dataclass(frozen=True, slots=True)
class VersionDecision:
    """A decision on a whole version, with its place."""

    patient_id: str
    timepoint: str
    version: int
    mask_id: str
    verdict: str
    reviewer: str
    created_at: str


class ViewSource(JudgedSource, Protocol):
    """The lists."""

    def worklist(self) -> list[WorklistRow]: ...
    def decided_beside(self, person: str) -> list[VersionDecision]: ...
    def quality(self) -> list[QualityRow]: ...
    def closed_to(self, person: str) -> list[ClosedRow]: ...
    def cohort(self) -> list[CohortRow]: ...
    def evidence_position(self) -> tuple[int, str]: ...


class HasViews(Protocol):
    """A store of such lists."""

    @property
    def views(self) -> ViewSource: ...
