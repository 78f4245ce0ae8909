"""Verbs on scans."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from commands.parameters import (
    Dataset,
    Date,
    DateDiffers,
    GivenDate,
    GivenModality,
    IsPseudonym,
    NewPatient,
    Patient,
)
from commands.running import CREATES, NO_STORE, WRITES, Request, Session
from commands.verbs import group, verb

if TYPE_CHECKING:
    from core.types import Modality as ModalityName

app = group("scan", "Scans: importing them, and running the network on them.")


@verb(app, "preview", NO_STORE, example="study.zip")
def preview(
    request: Request,
    paths: Annotated[list[Path], typer.Argument(metavar="PATH…", help="files, folders, zips, a whole disc")],
) -> object:
    """Says what lies in files: patients, days, series, and what each would become. Stores nothing."""
    from tempfile import TemporaryDirectory

    from core.imaging.study.apart import preview as look

    with TemporaryDirectory() as scratch:
        found, _ = look(paths, Path(scratch), request.progress)
    return found.to_json()


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
    dataset: Dataset,
    patient: NewPatient,
    date: GivenDate = None,
    modality: GivenModality = None,
    sequence: Annotated[str, typer.Option(metavar="TEXT", help="of an MR: which sequence")] = "",
    series: Annotated[
        str | None, typer.Option(metavar="UID", help="which series, as `scan preview` lists them")
    ] = None,
    date_differs: DateDiffers = "",
    without_broken: Annotated[
        bool, typer.Option("--without-broken", help="take the series without files that cannot be read")
    ] = False,
    id_is_a_pseudonym: IsPseudonym = False,
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
        modality=cast("ModalityName | None", modality),  # its callback has checked it
        sequence=sequence,
        person=session.person,
        confirm_id=id_is_a_pseudonym,
        date_differs=date_differs,
        series_uid=series,
        without_broken=without_broken,
    )
    return asdict(scan)


@verb(app, "import-study", CREATES, example="study.zip --dataset clinic --patient P1")
def import_study(
    session: Session,
    paths: Annotated[list[Path], typer.Argument(metavar="PATH…", help="files, folders or zips of one patient")],
    dataset: Dataset,
    patient: NewPatient,
    date: GivenDate = None,
    series: Annotated[
        list[str] | None,
        typer.Option(metavar="UID", help="a series to take (default: those that `scan preview` ticks); repeat it"),
    ] = None,
    date_differs: DateDiffers = "",
    id_is_a_pseudonym: IsPseudonym = False,
) -> object:
    """Imports a study, its scans and masks together, as one change."""
    from core.imaging.study.apart import preview as look
    from core.jobs.study_import import import_study as run
    from core.jobs.study_import import taken_of

    with session.store.scratch() as scratch:
        found, _ = look(paths, scratch, session.request.progress)
    stored = run(
        session.store,
        paths,
        taken_of(found, series),
        dataset=dataset,
        patient_id=patient,
        timepoint=date,
        person=session.person,
        date_differs=date_differs,
        confirm_id=id_is_a_pseudonym,
    )
    return {
        "scans": [scan.to_json() for scan in stored.scans],
        "masks": [record.to_json() for record in stored.masks],
    }


@verb(app, "segment", WRITES, example="P1 2025-01-20", old="segment")
def segment(
    session: Session,
    patient: Patient,
    date: Date,
    model: Annotated[str | None, typer.Option(metavar="ID", help="model id (System page lists them)")] = None,
) -> object:
    """Runs the network on a timepoint: a new mask version, proposed."""
    return session.job("segment", {"patient_id": patient, "timepoint": date, "model_id": model})
