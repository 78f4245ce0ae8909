"""What a patient's response is told by: as a person set it, and where nobody did, as is proposed, which is said.

The baseline is the last visit before treatment began, so that an older scan that is accepted later moves nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from core.errors import InputError
from core.remembered.protocols import FollowedLesion, ResponseProtocol, StoredProtocol
from core.remembered.vocabulary import EventKind
from core.review.event_words import ReadEvent
from core.twin.criteria.adapter import measurement_of
from core.twin.criteria.table import CRITERIA
from core.twin.criteria.targets import Candidate, ProposedTargets, propose_targets
from core.twin.criteria.values import Protocol
from core.twin.timeline import PatientTimeline

#: Where nobody set one.
DEFAULT_CRITERION = "recist-1.1"
#: Events from which a response is counted.
_TREATMENT = (EventKind.DRUG_START, EventKind.RADIOTHERAPY)


@dataclass(frozen=True)
class ProtocolInForce:
    """By what a patient's response is told, and who says so.

    Args:
        protocol: with its baseline and lesions.
        stored: as a person set it, for the patient or the data set; None: nobody did, and RECIST 1.1 is assumed.
        baseline_why, targets_why: in words, who set them or what they are proposed by.
        why_not: lesion at baseline that is no target -> why, where targets are proposed.
    """

    protocol: Protocol
    stored: StoredProtocol | None
    baseline_why: str
    targets_why: str
    why_not: dict[str, str]


def protocol_in_force(
    timeline: PatientTimeline, stored: StoredProtocol | None, events: Iterable[ReadEvent] = ()
) -> ProtocolInForce | None:
    """The protocol of a patient with its baseline and lesions; None for a patient without a visit.

    Raises:
        InputError: the criterion, or the baseline that was set, is none; says what to set instead.
    """
    days = visit_days(timeline)
    if not days:
        return None
    said = ResponseProtocol(DEFAULT_CRITERION) if stored is None else stored.protocol
    if said.criterion not in CRITERIA:
        raise InputError(
            f"Expected a criterion of {', '.join(CRITERIA)}, got {said.criterion!r}. Set the protocol again."
        )
    baseline, baseline_why = _baseline(days, said, stored, events)
    proposed = proposed_targets(timeline, baseline)
    targets, nontargets, targets_why = proposed.targets, proposed.nontargets, "proposed by size; nobody has chosen them"
    if baseline in timeline.not_read:
        targets_why = "the mask at the baseline cannot be read, so that no lesion's size there is known"
    if said.targets is not None and stored is not None:
        if stored.lesions_before:
            targets_why = (
                f"proposed by size; those that {stored.person} chose count no more, as {stored.lesions_before}"
            )
        else:
            targets, nontargets, targets_why = said.targets, said.nontargets or (), f"chosen by {stored.person}"
    protocol = Protocol(said.criterion, baseline, targets, nontargets, said.least_new_mm, said.least_new_node_mm)
    why_not = proposed.why_not if said.targets is None else {}
    return ProtocolInForce(protocol, stored, baseline_why, targets_why, why_not)


def visit_days(timeline: PatientTimeline) -> list[str]:
    """Timepoints with an accepted mask, whether it can be read or not, by time."""
    return [day for day in timeline.timepoints if day in timeline.visits or day in timeline.not_read]


def treatment_start(events: Iterable[ReadEvent]) -> str | None:
    """The day of the first drug or radiotherapy that is on record; None where there is none."""
    return min((read.event.date for read in events if read.kind in _TREATMENT), default=None)


def _baseline(
    days: Sequence[str], said: ResponseProtocol, stored: StoredProtocol | None, events: Iterable[ReadEvent]
) -> tuple[str, str]:
    if said.baseline is not None and stored is not None:
        if said.baseline not in days:
            raise InputError(
                f"The baseline that {stored.person} set, {said.baseline}, has no accepted mask now; there are "
                f"{', '.join(days)}. Accept one there, or set another baseline."
            )
        return said.baseline, f"set by {stored.person}"
    start = treatment_start(events)
    if start is None:
        return days[0], "the first accepted visit; no start of treatment is on record"
    before = [day for day in days if day <= start]
    if before:
        return before[-1], f"the last accepted visit before treatment began on {start}"
    return days[0], f"the first accepted visit; treatment began before it, on {start}"


def proposed_targets(
    timeline: PatientTimeline, baseline: str, organs: Iterable[FollowedLesion] = ()
) -> ProposedTargets:
    """The targets that are proposed at a baseline.

    Where its mask cannot be read, all lesions: their sum is then not known, and no response is evaluable.

    Args:
        organs: what is known of where lesions are; others are taken as of one organ.
    """
    known = {lesion.lesion_id: lesion for lesion in organs}
    if baseline in timeline.not_read:
        return ProposedTargets(tuple(known.get(name, FollowedLesion(name)) for name in timeline.lesions), (), {})
    return propose_targets(
        [
            Candidate(known.get(cell.lesion_id, FollowedLesion(cell.lesion_id)), measurement_of(cell))
            for cell in timeline.column(baseline)
        ]
    )
