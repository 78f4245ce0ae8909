"""What was accepted under an older mask gate is scored again by the one in force, in the background.

The store does it by itself. What the new gate says otherwise is stored, one entry a verdict; where that is a doubt, the
worklist asks a person again (`core.review.doubted_since`). It can be stopped and taken up anywhere: a mask on which the
gate says the same as the newest verdict is not written.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Mapping
from typing import Any

from core.access import SYSTEM
from core.errors import JobCancelled
from core.gates.mask import fitted, fitting
from core.gates.mask.fitting import FittingStore
from core.gates.mask.verdicts import GateStore, verdict_again
from core.remembered.judgements import DOUBTS, Judgement
from core.remembered.rows import MaskVerdict
from core.review.doubts import mask_judgement
from core.types import MaskRecord, Progress, no_progress

logger = logging.getLogger("twinreview.gates")

JOB = "rescore"
STOPPED = "Stopped after {n} of {all} accepted masks; what was scored again is stored. The rest waits for the next run."


def prepare_rescore(store: GateStore, args: Mapping[str, Any], person: str) -> dict[str, Any]:
    """args: gate (id of the gate that comes into force). The one that is in force when the work begins is asked."""
    return {"gate": str(args.get("gate") or "")}


def rescore(store: GateStore, params: Mapping[str, Any], progress: Progress = no_progress) -> dict[str, Any]:
    """At the store: every accepted mask by the gate in force; reads images only of masks without stored vectors. On a
    mask over which the gate fails the verdict from before stands, and it is counted.

    Returns:
        gate; scored, changed, doubted (of the changed ones), not_scored (numbers of masks); notes for people.
    """
    gate = fitted.stored_gate(store)
    if gate is None:
        return {"gate": "", "scored": 0, "changed": 0, "doubted": 0, "not_scored": 0, "notes": []}
    accepted = [record for record in store.masks.of_all() if record.status == "accepted"]
    newest = {row.mask_id: row for row in store.verdicts.of_masks()}
    lost, found = store.masks.problems(), {"scored": 0, "changed": 0, "doubted": 0, "not_scored": 0}
    for number, record in enumerate(accepted):
        try:
            progress(number / len(accepted), f"Scoring accepted mask {number + 1} of {len(accepted)} again")
        except JobCancelled:
            raise JobCancelled(STOPPED.format(n=number, all=len(accepted))) from None
        said = None if record.mask_id in lost else verdict_again(store, record, SYSTEM)
        judgement = None if said is None else _judgement(record, said)
        if said is None or judgement is None or not judgement.gate_model:  # what no gate judged takes nothing's place
            found["not_scored"] += 1
            continue
        found["scored"] += 1
        before = newest.get(record.mask_id)
        if before is None or is_another(mask_judgement(before, record.mask_sha256), judgement, record.mask_sha256):
            store.verdicts.add_mask_verdict(record.mask_id, said, SYSTEM)
            found["changed"] += 1
            found["doubted"] += judgement.verdict == DOUBTS
    return {"gate": gate.model_id, **found, "notes": _notes(found["not_scored"])}


def is_another(before: Judgement, after: Judgement, mask_sha256: str) -> bool:
    """Whether a gate says something else than the newest verdict, so that it is worth an entry: another verdict, a
    doubt of other kinds, or of a file that the newest verdict did not see."""
    if mask_sha256 not in before.seen or before.verdict != after.verdict:
        return True
    return after.verdict == DOUBTS and set(before.kinds) != set(after.kinds)


def is_due(store: FittingStore, now: dt.datetime) -> bool:
    """Whether to score again now: nobody has with the gate in force, no fit is due, and nobody has decided for a while
    (or the last time was long ago).

    Args:
        now: in UTC.
    """
    gate = fitted.stored_gate(store)
    if gate is None or store.vectors.accepted_count() == 0 or fitting.is_outdated(store):
        return False
    jobs = store.jobs.newest(100, kind=JOB)
    if any(job.status in ("queued", "running") or job.params.get("gate") == gate.model_id for job in jobs):
        return False
    if fitting.seconds_since(now, store.vectors.last_change()[1]) >= fitting.QUIET_S:
        return True
    return bool(jobs) and fitting.seconds_since(now, jobs[0].created_at) >= fitting.AT_MOST_S


def in_force(store: GateStore) -> str:
    """Id of the mask gate in force; "" where none is."""
    gate = fitted.stored_gate(store)
    return "" if gate is None else gate.model_id


def _judgement(record: MaskRecord, result: Mapping[str, Any]) -> Judgement:
    place = (record.patient_id, record.timepoint, record.version)
    return mask_judgement(MaskVerdict("", record.mask_id, *place, result, SYSTEM, ""), record.mask_sha256)


def _notes(not_scored: int) -> list[str]:
    if not not_scored:
        return []
    return [
        f"{not_scored} accepted {'mask was' if not_scored == 1 else 'masks were'} not scored again: a file is lost, "
        "altered or missing, or the gate failed on it. The verdicts from before stand."
    ]
