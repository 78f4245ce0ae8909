"""Words that the store checks: methods of masks, kinds of event, what gates say."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, get_args

#: What the mask gate says of a mask, and the scan gate of a timepoint's scans.
MaskGateVerdict = Literal[
    "usual",
    "unusual",
    "not enough reference masks",
    "the mask gate is not fitted yet",
    "empty mask",
    "cannot be judged",
]
MASK_GATE_VERDICTS: tuple[MaskGateVerdict, ...] = get_args(MaskGateVerdict)
#: It cannot be judged: too few masks to compare with, or no gate yet.
NOT_ENOUGH_MASKS: MaskGateVerdict = "not enough reference masks"
NO_MASK_GATE: MaskGateVerdict = "the mask gate is not fitted yet"
ScanGateState = Literal["in distribution", "out of distribution", "no anchor", "doubtful", "cannot be judged"]
SCAN_GATE_STATES: tuple[ScanGateState, ...] = get_args(ScanGateState)
OUT_OF_DISTRIBUTION: ScanGateState = "out of distribution"
#: The scans do not fit each other (`ScanGateResult.doubts` says how); a scan that is needed is missing, or covers too
#: little of the other.
DOUBTFUL: ScanGateState = "doubtful"
CANNOT_BE_JUDGED: ScanGateState = "cannot be judged"
#: The mask gate failed over a mask.
MASK_NOT_JUDGED: MaskGateVerdict = "cannot be judged"
#: The states that are a doubt.
DOUBTED_STATES: tuple[ScanGateState, ...] = (OUT_OF_DISTRIBUTION, DOUBTFUL, CANNOT_BE_JUDGED)


class MaskMethod(StrEnum):
    """How a mask version was made."""

    NNUNET = "nnunet"
    MEDSAM = "medsam"
    MEDSAM_MANUAL = "medsam-manual"
    MANUAL = "manual"
    IMPORT = "import"
    STAPLE = "staple"

    @property
    def is_automatic(self) -> bool:
        """The network's mask: no person's hand and no other mask went into it."""
        return self is MaskMethod.NNUNET

    @property
    def used_medsam(self) -> bool:
        """Answers of the model for boxes and points are part of it."""
        return self in (MaskMethod.MEDSAM, MaskMethod.MEDSAM_MANUAL)


class EventKind(StrEnum):
    """Kinds of event that something is computed from; a patient's history may hold any other kind as well.

    `core.review.events` says what each of them may hold. The last two are of before: their detail is free text, which
    `core.review.event_words` reads.
    """

    SURGERY = "surgery"
    RADIOTHERAPY = "radiotherapy"
    DRUG_START = "drug-start"
    DRUG_STOP = "drug-stop"
    STEROID_DOSE = "steroid-dose"
    CLINICAL_STATUS = "clinical-status"
    RELAPSE = "relapse"
    DEATH = "death"
    LAST_CONTACT = "last-contact"
    ASSESSMENT = "assessment"
    OTHER = "other"
    TREATMENT_START = "treatment-start"
    TREATMENT_STOP = "treatment-stop"


#: Kinds that only older rows have: nothing new is entered as one of them.
OLD_EVENT_KINDS = (EventKind.TREATMENT_START, EventKind.TREATMENT_STOP)


#: Kinds of reference set by which the scan gate judges: what was marked, what was fitted to it, and which is in force.
MARKED_SCANS, FITTED_SCAN_GATE, SCAN_GATE_IN_FORCE = "scan-gate-reference", "scan-gate", "scan-gate-in-force"
SCAN_GATE_SETS = frozenset({MARKED_SCANS, FITTED_SCAN_GATE, SCAN_GATE_IN_FORCE})
