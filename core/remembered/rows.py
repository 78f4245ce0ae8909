"""What the store remembers, row by row: frozen values, made by `store.records` from the database's rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from core.access import Identity
from core.remembered.untyped import JsonObject


@dataclass(frozen=True)
class Patient:
    """A patient, and how much there is of them.

    Args:
        first_timepoint, last_timepoint: dates, YYYY-MM-DD; None for a patient without timepoints.
        timepoints, scans, masks: how many there are; of masks, how many are `proposed` and `accepted`.
    """

    patient_id: str
    dataset: str
    added_at: str
    first_timepoint: str | None
    last_timepoint: str | None
    timepoints: int
    scans: int
    masks: int
    proposed: int
    accepted: int


@dataclass(frozen=True)
class Person:
    """Somebody who may be named on a record.

    Args:
        name: as it stands beside everything this person records.
        role: one of `core.access.ROLES`.
        added_at: RFC 3339 in UTC.
        identity: who signs in under this name; None for a name that nobody signs in under.
        disabled: whether the person is kept out until an administrator lets them in again.
        changes: how often role, identity, access or grants were changed. What was given out before a change counts no
            more.
        datasets: the data sets that were granted; None where nobody said anything, which means all.
    """

    name: str
    role: str
    added_at: str
    identity: Identity | None = None
    disabled: bool = False
    changes: int = 0
    datasets: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Correction:
    """What was put right: a scan or timepoint moved, withdrawn or restored, patients merged, a patient deleted.

    Args:
        seq, created_at, person: of the audit entry.
        action: as "timepoint.moved".
        reason: in the person's words.
        patient_id, to_patient_id: whose it was, and whose it is after a move or merge; None for what has no other end.
        timepoints, to_timepoints: the dates, and those after a move, one for one.
        scan_id: of the one scan that was moved, withdrawn or restored; None for whole timepoints.
        scans, masks: how many there were.
        to_affirm: of the masks, those that were accepted and wait for a person since.
        forecasts: stored forecasts and fits that were set aside, or went along with what was withdrawn.
        withdrawal_id: of a withdrawal or its restoration; what `restore` is asked for with.
        can_be_restored: whether it is a withdrawal that still stands.
    """

    seq: int
    created_at: str
    person: str
    action: str
    reason: str
    patient_id: str
    to_patient_id: str | None
    timepoints: tuple[str, ...]
    to_timepoints: tuple[str, ...]
    scan_id: str | None
    scans: int
    masks: int
    to_affirm: int
    forecasts: int
    withdrawal_id: str | None
    can_be_restored: bool


@dataclass(frozen=True)
class FinishedReading:
    """A person who has finished reading a timepoint, and when."""

    person: str
    created_at: str


@dataclass(frozen=True)
class Loss:
    """A mask version whose file a person marked lost."""

    mask_id: str
    reason: str
    person: str
    created_at: str


@dataclass(frozen=True)
class DoubtedFile:
    """A stored file that is not as it was stored.

    Args:
        path: relative to the data root.
        state: "altered" or "missing".
        found_sha256: of what is there now; None when it is missing.
        created_at: when that was found.
    """

    path: str
    state: str
    found_sha256: str | None
    created_at: str


@dataclass(frozen=True)
class ScanVerdict:
    """The scan gate's verdict on a timepoint; `result` is `core.gates.scan.scan_gate.ScanGateResult` as JSON."""

    score_id: str
    patient_id: str
    timepoint: str
    result: JsonObject
    person: str
    created_at: str

    @property
    def state(self) -> str:
        """One of `core.remembered.vocabulary.SCAN_GATE_STATES`."""
        return str(self.result["state"])

    @property
    def score(self) -> float | None:
        """P(out of distribution), 0..1; None without an anchor, and where it cannot be judged."""
        return None if self.result["score"] is None else float(self.result["score"])

    @property
    def threshold(self) -> float:
        """Scores above it are out of distribution."""
        return float(self.result["threshold"])


@dataclass(frozen=True)
class MaskVerdict:
    """The mask gate's verdict on a mask version; `result` is that of `core.gates.mask.verdicts.verdict_on`."""

    anomaly_id: str
    mask_id: str
    patient_id: str
    timepoint: str
    version: int
    result: JsonObject
    person: str
    created_at: str

    @property
    def verdict(self) -> str:
        """ "usual", "unusual", "not enough reference masks" or "empty mask"."""
        return str(self.result["verdict"])

    @property
    def flagged(self) -> bool | None:
        """Whether the shape is unusual; None where that cannot be judged, or the record does not say it."""
        flagged = self.result.get("flagged")
        return None if flagged is None else bool(flagged)

    @property
    def p_value(self) -> float | None:
        """Conformal p-value, 0..1; None where it cannot be judged."""
        return None if self.result["p_value"] is None else float(self.result["p_value"])

    @property
    def n_reference(self) -> int:
        """How many lesions of other patients' accepted masks it was compared with."""
        return int(self.result["n_reference"])

    @property
    def lesions(self) -> list[JsonObject]:
        """One result a lesion: lesion_id, score, p_value, verdict, top_features."""
        return list(self.result.get("lesions", ()))


@dataclass(frozen=True)
class LesionVector:
    """The shape vector of one lesion: the features, in the order of `names`."""

    lesion_id: str
    vector: Sequence[float]
    names: Sequence[str]


@dataclass(frozen=True)
class ShapeVector(LesionVector):
    """The shape vector of one lesion in a stored mask, and of which; `status` is the mask's."""

    mask_id: str
    patient_id: str
    timepoint: str
    version: int
    status: str


@dataclass(frozen=True)
class Event:
    """An event of a patient on a day; `detail` is text or JSON values."""

    event_id: str
    patient_id: str
    date: str
    kind: str
    detail: Any
    person: str
    created_at: str


@dataclass(frozen=True)
class EventRecord(Event):
    """An event with what became of it; what does not stand any more stays on record.

    Args:
        corrects: id of the event in whose place this one was entered, or None.
        replaced_by: id of the one that stands in its place, or None.
        withdrawn_by, withdrawn_at, withdrawn_reason: who withdrew or corrected it, when (RFC 3339, UTC) and why, in
            words; None of one that stands.
    """

    corrects: str | None = None
    replaced_by: str | None = None
    withdrawn_by: str | None = None
    withdrawn_at: str | None = None
    withdrawn_reason: str | None = None

    @property
    def stands(self) -> bool:
        """Whether it is told by `events.of`."""
        return self.withdrawn_at is None


@dataclass(frozen=True)
class NewEvent:
    """An event that is to be entered: as `core.review.events.checked_event` gives them."""

    patient_id: str
    date: str
    kind: str
    detail: Any


@dataclass(frozen=True)
class GrowthFit:
    """A fitted growth model or a stored forecast of a lesion; `result` names the masks that it was made of."""

    fit_id: str
    patient_id: str
    lesion_id: str
    model: str
    result: JsonObject
    person: str
    created_at: str


@dataclass(frozen=True)
class UsedModel:
    """A model that was used: its file's SHA-256, and source, licence and input in `detail`."""

    model_id: str
    sha256: str
    detail: JsonObject
    person: str
    created_at: str


@dataclass(frozen=True)
class ReferenceSet:
    """A reference set of a gate or a forecast: members, split and figures in `detail`."""

    set_id: str
    kind: str
    detail: JsonObject
    person: str
    created_at: str


@dataclass(frozen=True)
class Job:
    """Long work: what was asked for (`params`), how far it is (`progress`, 0..1) and what came of it (`result`)."""

    job_id: str
    kind: str
    params: JsonObject
    person: str
    status: str
    progress: float
    message: str
    result: JsonObject | None
    created_at: str
    updated_at: str
