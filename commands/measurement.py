"""Verbs on measurements that persons drew in the viewer: what was kept, and taking one back."""

from __future__ import annotations

from typing import Annotated

import typer

from commands.parameters import Patient
from commands.running import READS, WRITES, Session
from commands.timepoint import Reason
from commands.verbs import group, verb
from core.errors import InputError

app = group("measurement", "Measurements drawn in the viewer and kept: lengths, angles, regions, hand-set diameters.")


@verb(app, "list", READS, example="P1 --json")
def list_measurements(
    session: Session,
    patient: Patient,
    withdrawn: Annotated[bool, typer.Option("--withdrawn", help="also those that stand no more")] = False,
) -> object:
    """Lists what was measured by hand on a patient's scans: what, of which lesion, by whom."""
    session.store.patients.require(patient)
    kept = session.store.measurements.history(patient)
    return [{**one.to_json(), "words": one.words} for one in kept if one.stands or withdrawn]


@verb(app, "withdraw", WRITES, example='P1 6f1d1c1e-0000-4000-8000-000000000000 --reason "on the wrong slice"')
def withdraw(
    session: Session,
    patient: Patient,
    measurement_id: Annotated[str, typer.Argument(metavar="ID", help="`measurement list` tells it")],
    reason: Reason,
    confirm: Annotated[bool, typer.Option("--confirm", help="also where a call becomes another one")] = False,
) -> object:
    """Takes a measurement back; it stays on record. A call that becomes another one needs --confirm."""
    from core.remembered.flips import needs_confirming
    from core.twin.hand_preview import foreseen_without

    store = session.store
    store.patients.require(patient)
    kept = store.measurements.by_id(measurement_id)
    if kept.patient_id != patient:
        raise InputError(f"Expected a measurement of {patient}, got another's. `measurement list {patient}` helps.")
    seen = foreseen_without(store, kept, session.person)
    if (asked := needs_confirming(seen.flips)) and not confirm:
        moved = "; ".join(f"{one.timepoint} from {one.before} to {one.after or 'none'}" for one in asked)
        raise InputError(f"That changes {moved}. Add --confirm if it is meant. Nothing was done.")
    store.measurements.withdraw(measurement_id, session.person, reason, seen.flips, seen.told)
    now = store.measurements.by_id(measurement_id)
    return {**now.to_json(), "words": now.words, "flips": [vars(flip) for flip in seen.flips]}
