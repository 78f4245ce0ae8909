"""What was accepted under another gate is scored again by the one in force.

Masks in one job, of stored vectors; scans in one job a timepoint, as their images are looked at. A thread of the server
looks when it is due; for a command line masks are scored here and now.
"""

from __future__ import annotations

import datetime as dt
import logging
import threading
from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol

from core.access import SYSTEM
from core.errors import TwinReviewError
from core.gates.mask import fitting, rescoring
from core.gates.mask.fitting import FittingStore
from core.gates.scan import reference_sets
from core.gates.scan.reference_sets import FittedSet, shipped_facts
from core.gates.scan.scan_gate import SHIPPED_GATES
from core.jobs.jobs import AtStore, JobKind, run_inline
from core.jobs.stages.mask_gate import fit_if_outdated
from core.remembered.sources import HasMasks, HasVerdicts
from core.remembered.untyped import JsonObject
from core.review.doubts import scan_judgement

logger = logging.getLogger("twinreview.gates")
#: Accepted lesions that are scored again in a second or two.
FEW = 200
#: The job of one timepoint, and what its row says where a change of the gate asked for it.
SCAN_JOB, RESCORED_BY = "score_ood", "rescored_by"


class RescoredStore(FittingStore, HasMasks, HasVerdicts, Protocol):
    """Store parts that are read to find what is to be scored again."""


def _record(
    store: object, params: dict[str, Any], result: dict[str, Any], out_dir: object, person: str
) -> dict[str, Any]:
    return result  # each verdict was stored when it was there


KIND = JobKind(rescoring.JOB, rescoring.prepare_rescore, AtStore(rescoring.rescore), _record)


def follow_reference(store: FittingStore) -> dict[str, Any]:
    """What a change of what is accepted asks for, at once: the gate is fitted anew, and a few accepted masks are scored
    again by it. For a command line, which works alone on the store; of more than `FEW` lesions the server does it in
    its own time, or `score_again`.

    Returns:
        As `rescoring.rescore`; 0 of each where nothing was to be scored now.
    """
    if fit_if_outdated(store) and store.vectors.accepted_count() <= FEW:
        return rescoring.rescore(store, {})
    return dict.fromkeys(("scored", "changed", "doubted", "not_scored"), 0) | {"gate": rescoring.in_force(store)}


def score_again(store: FittingStore) -> dict[str, Any]:
    """Score accepted masks by the gate of what is accepted by now, as a job with its row."""
    fit_if_outdated(store)
    return run_inline(store, KIND, {"gate": rescoring.in_force(store)}, SYSTEM)


def scan_to_rescore(store: RescoredStore) -> tuple[str, str] | None:
    """A timepoint with an accepted mask whose newest scan verdict is of another gate than the one in force.

    None where there is none, each was tried with that gate, or one is under way.
    """
    now = reference_sets.gate_in_force(store)
    tried = [job for job in store.jobs.newest(10_000, kind=SCAN_JOB) if job.params.get(RESCORED_BY) == gate_id(now)]
    if any(job.status in ("queued", "running") for job in tried):
        return None
    done = {(job.params["patient_id"], job.params["timepoint"]) for job in tried}
    newest = {(row.patient_id, row.timepoint): row for row in store.verdicts.of_scans()}
    fitted = reference_sets.fitted_sets(store)
    accepted = {(one.patient_id, one.timepoint) for one in store.masks.of_all() if one.status == "accepted"}
    for place, row in newest.items():
        if place in accepted - done and is_of_another_gate(row.result, scan_judgement(row).gate_model, now, fitted):
            return place
    return None


def gate_id(gate: FittedSet | None) -> str:
    """By which a job says which gate it scored with."""
    return shipped_facts()["sha256"] if gate is None else gate.gate


def is_of_another_gate(result: JsonObject, gate_model: str, now: FittedSet | None, fitted: Collection[str]) -> bool:
    """Whether a scan verdict was made by another gate; not where it says nothing of its gate.

    Args:
        result: of the stored verdict. now: the gate in force; None: the shipped one. fitted: ids of all that were
            fitted here.
    """
    if now is not None:
        return gate_model not in ("", now.gate)
    if gate_model in fitted:
        return True
    return gate_model.partition("@")[0] in SHIPPED_GATES and gate_model != shipped_facts()["gate"]


def keep_rescored(
    store: RescoredStore, submit: Callable[[str, Mapping[str, Any], str], object], ended: Callable[[], bool]
) -> None:
    """Submit the jobs whenever they are due, until the store has ended; for a thread of its own.

    Args:
        submit: `JobRunner.submit`; ended: whether the store was closed.
    """
    pause, settled = threading.Event(), ""
    while not ended():
        try:
            if rescoring.is_due(store, dt.datetime.now(dt.UTC)):
                submit(rescoring.JOB, {"gate": rescoring.in_force(store)}, SYSTEM)
            settled = _submit_scan(store, submit, settled)
        except TwinReviewError as error:
            if not ended():
                logger.warning("not everything that was accepted was scored again: %s", error)
        pause.wait(fitting.LOOK_S)


def _submit_scan(store: RescoredStore, submit: Callable[[str, Mapping[str, Any], str], object], settled: str) -> str:
    """Submit the next timepoint's job. Returns the gate for which nothing is left: it need not be looked again."""
    gate = gate_id(reference_sets.gate_in_force(store))
    if gate == settled:
        return settled
    place = scan_to_rescore(store)
    if place is not None:
        submit(SCAN_JOB, {"patient_id": place[0], "timepoint": place[1], RESCORED_BY: gate}, SYSTEM)
    under_way = any(store.jobs.newest(1, status, SCAN_JOB) for status in ("queued", "running"))
    return "" if place is not None or under_way else gate
