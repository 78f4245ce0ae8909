"""Verbs that put scans and timepoints right: moving, withdrawing and restoring them."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from commands import scan
from commands.parameters import Date, Patient
from commands.running import READS, WRITES, Session
from commands.verbs import group, verb

if TYPE_CHECKING:
    from core.remembered.rows import Correction

app = group("timepoint", "Timepoints: putting right what came in wrong.")

Reason = Annotated[str, typer.Option(metavar="TEXT", help="what was wrong, in words; it stays on record")]
ScanId = Annotated[str, typer.Argument(metavar="SCAN", help="id of the scan, as CT or PET")]
ToDate = Annotated[str | None, typer.Option(metavar="DATE", help="the right date (default: the same)")]
ToPatient = Annotated[str | None, typer.Option(metavar="PATIENT", help="the right patient (default: the same)")]
WithdrawalId = Annotated[str, typer.Argument(metavar="ID", help="of the withdrawal; `timepoint withdrawn` lists them")]


def shown(correction: Correction) -> dict[str, object]:
    """What was put right, as the command line prints it."""
    return asdict(correction)


@verb(app, "move", WRITES, example='P1 2025-01-20 --to-date 2024-01-20 --reason "the year was typed wrong"')
def move(
    session: Session,
    patient: Patient,
    date: Date,
    reason: Reason,
    to_date: ToDate = None,
    to_patient: ToPatient = None,
) -> object:
    """Moves a timepoint to another date or patient, with masks and decisions; curves follow."""
    moved = session.store.corrections.move_timepoint(
        patient, date, to_patient_id=to_patient, to_timepoint=to_date, reason=reason, person=session.person
    )
    return shown(moved)


@verb(app, "withdraw", WRITES, example='P1 2025-01-20 --reason "of another patient"')
def withdraw(session: Session, patient: Patient, date: Date, reason: Reason) -> object:
    """Takes a timepoint out of all lists and curves; it can be restored."""
    corrections = session.store.corrections
    return shown(corrections.withdraw_timepoint(patient, date, reason=reason, person=session.person))


@verb(app, "withdrawn", READS)
def list_withdrawn(session: Session) -> object:
    """Lists what is withdrawn, with the ids to restore it by."""
    return [shown(one) for one in session.store.corrections.withdrawn()]


@verb(app, "restore", WRITES, example='6f1d1c1e-0000-4000-8000-000000000000 --reason "it was right"')
def restore(session: Session, withdrawal: WithdrawalId, reason: Reason) -> object:
    """Puts back a timepoint or scan that was withdrawn, as it was."""
    return shown(session.store.corrections.restore(withdrawal, reason=reason, person=session.person))


@verb(scan.app, "move", WRITES, example='P1 2025-01-20 PET --to-date 2025-01-21 --reason "of the next day"')
def move_scan(
    session: Session,
    patient: Patient,
    date: Date,
    scan_id: ScanId,
    reason: Reason,
    to_date: ToDate = None,
    to_patient: ToPatient = None,
) -> object:
    """Moves one scan to another date or patient, unless masks lie on it."""
    moved = session.store.corrections.move_scan(
        patient, date, scan_id, to_patient_id=to_patient, to_timepoint=to_date, reason=reason, person=session.person
    )
    return shown(moved)


@verb(scan.app, "withdraw", WRITES, example='P1 2025-01-20 PET --reason "of another patient"')
def withdraw_scan(session: Session, patient: Patient, date: Date, scan_id: ScanId, reason: Reason) -> object:
    """Takes one scan out of its timepoint, unless masks lie on it; it can be restored."""
    corrections = session.store.corrections
    return shown(corrections.withdraw_scan(patient, date, scan_id, reason=reason, person=session.person))
