"""Verbs of the two gates: each scores, and stores its verdict."""

from __future__ import annotations

from typing import Annotated

import typer

from commands.parameters import Date, Patient, Version
from commands.running import NO_STORE, READS, WRITES, Request, Session
from commands.verbs import group, verb

app = group("gate", "Gates: what the scan gate and the mask gate doubt.")
scan = group("scan", "The scan gate: how well it and other detectors tell scans apart.", within=app)


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
def score_scan(
    session: Session,
    patient: Patient,
    date: Date,
    around: Annotated[
        int | None,
        typer.Option("--around", metavar="VERSION", help="look around this mask version (default: everywhere)"),
    ] = None,
) -> object:
    """Scores the scans of a timepoint, and stores the scan gate's verdict."""
    from core.review.blind_reading import seen_version

    request: dict[str, object] = {"patient_id": patient, "timepoint": date}
    if around is not None:
        request["version"] = seen_version(session.store, patient, date, around, session.person).version
    return session.job("score_ood", request)


@verb(scan, "evaluate", NO_STORE, example="--json")
def evaluate(
    request: Request,
    trees: Annotated[int, typer.Option(metavar="N", help="trees of each forest")] = 100,
    draws: Annotated[int, typer.Option(metavar="N", help="resamplings of patients behind each interval")] = 300,
) -> object:
    """Measures the scan gate beside RF-Deep and other detectors on the shipped reference, by kind of shift."""
    from core.gates.scan.reference import read_reference
    from core.gates.scan.reporting import as_markdown, report
    from core.gates.scan.scan_gate import MODEL_ID
    from weights import registry

    entry = registry.find(MODEL_ID)
    reference = read_reference(registry.verify(entry), entry.sha256)
    found = report(reference, trees, draws, request.progress)
    return found if request.json else as_markdown(found)


@verb(app, "score-mask", WRITES, example="P1 2025-01-20 2", old="anomaly")
def score_mask(session: Session, patient: Patient, date: Date, version: Version) -> object:
    """Scores a mask version, and stores the mask gate's verdict."""
    from core.gates.mask.verdicts import score_mask as run
    from core.jobs.stages.mask_gate import fit_if_outdated
    from core.review.blind_reading import seen_version

    seen_version(session.store, patient, date, version, session.person)
    fit_if_outdated(session.store)  # whatever changed it, and where its file was left out of a backup
    return run(session.store, patient, date, version, session.person)


@verb(app, "record", READS)
def record(session: Session) -> object:
    """Tells how much of what each gate flagged people upheld or overruled here, by kind and by whom."""
    from core.review.gate_record import record_for

    return [row.to_json() for row in record_for(session.store, session.person)]


@verb(app, "rescore", WRITES)
def rescore(session: Session) -> object:
    """Scores every accepted mask again by the mask gate in force; what is doubted since comes to the worklist."""
    from core.jobs.stages.rescoring import score_again

    return score_again(session.store)
