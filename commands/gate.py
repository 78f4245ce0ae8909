"""Verbs of the two gates: each scores, and stores its verdict."""

from __future__ import annotations

from commands.parameters import Date, Patient, Version
from commands.running import WRITES, Session
from commands.verbs import group, verb

app = group("gate", "Gates: what the scan gate and the mask gate doubt.")


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
