"""Verbs on scans."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from commands.parameters import Date, Modality, Patient
from commands.running import CREATES, WRITES, Session
from commands.verbs import group, verb

if TYPE_CHECKING:
    from core.types import Modality as ModalityName

app = group("scan", "Scans: importing them, and running the network on them.")


@verb(
    app,
    "import",
    CREATES,
    example="CT.nii.gz --dataset clinic --patient P1 --date 2025-01-20 --modality CT",
    old="import",
)
def import_scan(
    session: Session,
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="NIfTI, NRRD, DICOM files, folder or zip")],
    dataset: Annotated[str, typer.Option(metavar="NAME", help="the data set that it belongs to")],
    patient: Annotated[str, typer.Option(metavar="PATIENT", help="id of the patient")],
    date: Annotated[str, typer.Option(metavar="YYYY-MM-DD", help="day of the timepoint")],
    modality: Modality,
    sequence: Annotated[str, typer.Option(metavar="TEXT", help="of an MR: which sequence")] = "",
    id_is_a_pseudonym: Annotated[
        bool, typer.Option("--id-is-a-pseudonym", help="an id that looks like a name is none")
    ] = False,
) -> object:
    """Imports one scan."""
    from dataclasses import asdict

    from core.jobs.pipeline import import_scan as run

    scan = run(
        session.store,
        files,
        dataset=dataset,
        patient_id=patient,
        timepoint=date,
        modality=cast("ModalityName", modality),  # `Modality` has checked it
        sequence=sequence,
        person=session.person,
        confirm_id=id_is_a_pseudonym,
    )
    return asdict(scan)


@verb(app, "segment", WRITES, example="P1 2025-01-20", old="segment")
def segment(
    session: Session,
    patient: Patient,
    date: Date,
    model: Annotated[str | None, typer.Option(metavar="ID", help="model id (System page lists them)")] = None,
) -> object:
    """Runs the network on a timepoint: a new mask version, proposed."""
    return session.job("segment", {"patient_id": patient, "timepoint": date, "model_id": model})
