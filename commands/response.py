"""Verbs on response: what a patient's visits are called, and by which criterion, baseline and lesions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from commands.parameters import Patient
from commands.running import READS, WRITES, Session
from commands.timepoint import Reason
from commands.verbs import group, verb
from core.errors import InputError

if TYPE_CHECKING:
    from core.remembered.protocols import Flip, FollowedLesion, ResponseProtocol, StoredProtocol

app = group("response", "Response: what each visit is called, and by which criterion, baseline and lesions.")

Criterion = Annotated[str | None, typer.Option(metavar="NAME", help="as recist-1.1; another one is answered with all")]
Least = Annotated[float | None, typer.Option(metavar="MM", help="of a new lesion, without a person's word")]
LeastNode = Annotated[float | None, typer.Option(metavar="MM", help="the same of a node, its short axis")]
Lesions = Annotated[list[str] | None, typer.Option(metavar="LESION[:ORGAN]", help="L1, L1:liver, or L2:node")]
PROPOSED = "proposed"
#: Patients whose calls are told in an error.
_MOST_TOLD = 5


@verb(app, "show", READS, example="P1 --json")
def show(session: Session, patient: Patient) -> object:
    """Every visit's call by the patient's protocol, why, and where other criteria say otherwise."""
    from core.twin.patient_responses import call_json, protocol_json, responses_of, unheard_days

    session.store.patients.require(patient)
    found, unheard = responses_of(session.store, patient), unheard_days(session.store, patient)
    if found is None:
        nothing: dict[str, object] = {"protocol": None, "responses": [], "other_criteria": {}, "criteria_disagree": []}
        return {"patient_id": patient, **nothing, "assessments_without_a_visit": unheard}
    return {
        "patient_id": patient,
        "protocol": protocol_json(found.in_force),
        "responses": [call_json(call) for call in found.calls],
        "other_criteria": {name: [call_json(call) for call in calls] for name, calls in found.others.items()},
        "criteria_disagree": list(found.disagree),
        "assessments_without_a_visit": unheard,
    }


@verb(
    app,
    "protocol",
    WRITES,
    example='P1 --criterion recist-1.1 --baseline 2025-01-20 --target L1:liver --reason "trial"',
)
def protocol(
    session: Session,
    patient: Patient,
    reason: Reason,
    criterion: Criterion = None,
    baseline: Annotated[str | None, typer.Option(metavar="DATE", help=f"or {PROPOSED}")] = None,
    target: Lesions = None,
    nontarget: Lesions = None,
    propose_targets: Annotated[bool, typer.Option("--propose-targets", help="by size, at each baseline")] = False,
    least_new_mm: Least = None,
    least_new_node_mm: LeastNode = None,
    confirm: Annotated[bool, typer.Option("--confirm", help="also where a call becomes another one")] = False,
) -> object:
    """Sets by what a patient's response is told; what is not given stays. A call that becomes another one needs
    --confirm, and is on record with it."""
    from core.remembered.flips import needs_confirming
    from core.twin.patient_responses import protocol_json, responses_of
    from core.twin.response_change import preview_protocol

    if propose_targets and (target or nontarget):
        raise InputError("Expected --propose-targets or lesions, got both. Nothing was done.")
    store = session.store
    store.patients.require(patient)
    new = _changed(
        store.protocols.of(patient), criterion, baseline, _lesions(target), _lesions(nontarget), propose_targets,
        least_new_mm, least_new_node_mm,
    )  # fmt: skip
    found = preview_protocol(store, patient, new, session.person)
    if (asked := needs_confirming(found.flips)) and not confirm:
        raise InputError(f"That changes {_words(asked)}. Add --confirm if it is meant. Nothing was done.")
    said = store.protocols.set(patient, new, session.person, reason, found.flips, found.told)
    after = responses_of(store, patient)
    told = None if after is None else protocol_json(after.in_force)
    flips = [vars(flip) for flip in found.flips]
    return {"patient_id": patient, "protocol": told, "flips": flips, "reason": said.reason}


@verb(app, "protocol-of-dataset", WRITES, example='demo --criterion recist-1.1 --reason "the trial\'s"')
def protocol_of_dataset(
    session: Session,
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="id of the data set")],
    criterion: Annotated[str, typer.Option(metavar="NAME", help="as recist-1.1; another one is answered with all")],
    reason: Reason,
    least_new_mm: Least = None,
    least_new_node_mm: LeastNode = None,
    confirm: Annotated[bool, typer.Option("--confirm", help="also where a call becomes another one")] = False,
) -> object:
    """Sets by what the response of all patients of a data set is told who have no protocol of their own. Calls that
    become others need --confirm, and are on record with it."""
    from core.remembered.protocols import LEAST_NEW_MM, LEAST_NEW_NODE_MM, ResponseProtocol
    from core.twin.response_change import check_criterion, preview_dataset_protocol

    check_criterion(criterion)
    least = (LEAST_NEW_MM if least_new_mm is None else least_new_mm,)
    node = LEAST_NEW_NODE_MM if least_new_node_mm is None else least_new_node_mm
    new = ResponseProtocol(criterion, None, None, None, *least, node)
    store = session.store
    found = preview_dataset_protocol(store, dataset, new, session.person)
    if found.asked and not confirm:
        moved = "; ".join(f"{patient}: {_words(flips)}" for patient, flips in list(found.asked.items())[:_MOST_TOLD])
        more = f" and {len(found.asked) - _MOST_TOLD} more patients" if len(found.asked) > _MOST_TOLD else ""
        raise InputError(f"That changes {moved}{more}. Add --confirm if it is meant. Nothing was done.")
    said = store.protocols.set_for_dataset(dataset, new, session.person, reason, found.flips, found.told)
    flips_of = {patient: [vars(flip) for flip in flips] for patient, flips in found.flips.items()}
    return {"dataset": dataset, "protocol": new.to_json(), "flips": flips_of, "reason": said.reason}


def _changed(
    stored: StoredProtocol | None,
    criterion: str | None,
    baseline: str | None,
    targets: tuple[FollowedLesion, ...] | None,
    nontargets: tuple[FollowedLesion, ...] | None,
    proposed: bool,
    least_new_mm: float | None,
    least_new_node_mm: float | None,
) -> ResponseProtocol:
    """The protocol with what is given; the rest as it was."""
    from dataclasses import replace

    from core.remembered.protocols import ResponseProtocol
    from core.twin.protocol_in_force import DEFAULT_CRITERION
    from core.twin.response_change import check_criterion

    new = ResponseProtocol(DEFAULT_CRITERION) if stored is None else stored.protocol
    if criterion is not None:
        new = replace(new, criterion=check_criterion(criterion))
    if baseline is not None:
        new = replace(new, baseline=None if baseline == PROPOSED else baseline)
    if proposed:
        new = replace(new, targets=None, nontargets=None)
    elif targets is not None or nontargets is not None:
        new = replace(
            new,
            targets=(new.targets or ()) if targets is None else targets,
            nontargets=(new.nontargets or ()) if nontargets is None else nontargets,
        )
    least = {"least_new_mm": least_new_mm, "least_new_node_mm": least_new_node_mm}
    return replace(new, **{name: value for name, value in least.items() if value is not None})  # type: ignore[arg-type]


def _lesions(words: list[str] | None) -> tuple[FollowedLesion, ...] | None:
    from core.remembered.protocols import FollowedLesion

    if not words:
        return None
    pairs = [word.partition(":") for word in words]
    return tuple(
        FollowedLesion(name, "lymph node" if organ == "node" else organ, organ == "node") for name, _, organ in pairs
    )


def _words(moved: tuple[Flip, ...]) -> str:
    return "; ".join(f"{flip.timepoint} from {flip.before or 'no call'} to {flip.after or 'no call'}" for flip in moved)
