"""Verbs on patients: the timeline of one, merging two records of one person, deleting one for good, and history."""

from __future__ import annotations

from typing import Annotated

import typer

from commands.parameters import Patient
from commands.running import READS, WRITES, Session
from commands.timepoint import Reason, shown
from commands.verbs import group, verb

app = group("patient", "Patients: their timelines, merging and deleting them, and what was put right.")

Into = Annotated[str, typer.Argument(metavar="INTO", help="id of the patient who stays")]
Confirm = Annotated[str, typer.Option(metavar="PATIENT", help="the patient's id once more")]


@verb(app, "merge", WRITES, example='P1b P1 --reason "one person under two pseudonyms"')
def merge(session: Session, patient: Patient, into: Into, reason: Reason) -> object:
    """Moves all timepoints of one patient to another; the emptied one disappears."""
    return shown(session.store.corrections.merge_patients(patient, into, reason=reason, person=session.person))


@verb(app, "delete", WRITES, example='P1 --confirm P1 --reason "asked for by the patient"')
def delete(session: Session, patient: Patient, confirm: Confirm, reason: Reason) -> object:
    """Erases a patient's rows and files for good; the audit's entries stay."""
    corrections = session.store.corrections
    return shown(corrections.delete_patient(patient, confirm=confirm, reason=reason, person=session.person))


@verb(app, "timeline", READS, example="P1 --json", old="timeline")
def timeline(session: Session, patient: Patient) -> object:
    """Every lesion at every timepoint in one state, the changes between them, and the response.

    Volumes in mm3, lengths in mm, rates in % a day; what is not known is null, and 0 is said only of what was looked
    for and is gone.
    """
    from core.twin.timeline_json import timeline_report

    return timeline_report(session.store, patient)


@verb(app, "history", READS, example="P1")
def history(session: Session, patient: Patient) -> object:
    """Lists what was put right of a patient, oldest first."""
    return [shown(one) for one in session.store.corrections.history(patient)]
