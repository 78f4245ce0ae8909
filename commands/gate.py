"""Verbs of the two gates: each scores, and stores its verdict."""

from __future__ import annotations

from typing import Annotated

import typer

from commands.parameters import Date, Patient, Version
from commands.running import READS, WRITES, Session
from commands.verbs import group, verb

app = group("gate", "Gates: what the scan gate and the mask gate doubt.")


@verb(app, "verdicts", READS, example="P1 2025-01-20 2")
def verdicts(
    session: Session,
    patient: Patient,
    date: Date,
    version: Annotated[
        int | None, typer.Argument(metavar="VERSION", help="number of the mask version (default: the newest)")
    ] = None,
) -> object:
    """Tells what the scan gate and the mask gate say of a version as things are now: passes, doubtful or cannot be
    judged, and why."""
    from core.errors import StoreError
    from core.review.blind_reading import seen_version
    from core.review.readers import newest_visible_version

    session.store.patients.require(patient)
    if version is None:
        version = newest_visible_version(session.store, patient, date, session.person)
    if version is None:
        raise StoreError(f"There is no mask version of {patient!r} on {date!r} that you may see. Segment it first.")
    record = seen_version(session.store, patient, date, version, session.person)
    return [verdict.to_json() for verdict in session.store.verdicts.standing(record)]


@verb(app, "score-scan", WRITES, example="P1 2025-01-20", old="ood")
def score_scan(session: Session, patient: Patient, date: Date) -> object:
    """Scores the scans of a timepoint, and stores the scan gate's verdict."""
    return session.job("score_ood", {"patient_id": patient, "timepoint": date})


@verb(app, "score-mask", WRITES, example="P1 2025-01-20 2", old="anomaly")
def score_mask(session: Session, patient: Patient, date: Date, version: Version) -> object:
    """Scores a mask version, and stores the mask gate's verdict."""
    from core.gates.mask.verdicts import score_mask as run
    from core.jobs.stages.mask_gate import fit_if_outdated
    from core.review.blind_reading import seen_version

    seen_version(session.store, patient, date, version, session.person)
    fit_if_outdated(session.store)  # whatever changed it, and where its file was left out of a backup
    return run(session.store, patient, date, version, session.person)
