"""Verbs on mask versions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from commands.parameters import (
    WORD_SEPARATOR,
    Boxes,
    Comment,
    Date,
    OneLesion,
    Patient,
    PatientOrAll,
    Points,
    ReasonCode,
    Version,
)
from commands.running import READS, WRITES, Session
from commands.verbs import group, verb
from core.errors import InputError

app = group("mask", "Mask versions: refining, importing, deciding and comparing them.")


@verb(app, "list", READS, example="P1", old="masks")
def list_masks(session: Session, patient: Patient) -> object:
    """Lists every version that the reviewer may see."""
    from core.review.blind_reading import seen_of_patient

    session.store.patients.require(patient)
    return [record.to_json() for record in seen_of_patient(session.store, patient, session.person)]


@verb(app, "refine", WRITES, example="P1 2025-01-20 --scan CT --box 28 54 55 106 98", old="refine")
def refine(
    session: Session,
    patient: Patient,
    date: Date,
    scan: Annotated[str, typer.Option(metavar="MODALITY", help="the scan that the prompts are on")],
    box: Boxes = None,
    point: Points = None,
    propagate: Annotated[bool, typer.Option("--propagate", help="carry the mask to the neighbouring slices")] = False,
    lesion: Annotated[
        int | None,
        typer.Option(metavar="N", help="N of the lesion L<N> (default: the one under the prompt, else a new one)"),
    ] = None,
    model: Annotated[str | None, typer.Option(metavar="ID", help="prompt model id")] = None,
) -> object:
    """Refines the newest version with MedSAM, by boxes and points: a new version, proposed."""
    from core.review.identity import numbered_id

    boxes = [[int(word) for word in words.split(WORD_SEPARATOR)] for words in box or []]
    prompts: list[dict[str, object]] = [
        {"type": "box", "slice": k, "coords": corners, "positive": True} for k, *corners in boxes
    ]
    return session.job(
        "refine",
        {
            "patient_id": patient,
            "timepoint": date,
            "scan": scan,
            "prompts": [*prompts, *(_point(*words.split(WORD_SEPARATOR)) for words in point or [])],
            "propagate": propagate,
            "lesion": None if lesion is None else numbered_id(lesion),
            "model_id": model,
        },
    )


def _point(k: str, x: str, y: str, sign: str) -> dict[str, object]:
    """A point of the command line. Raises InputError for words that are none."""
    if sign not in ("+", "-"):
        raise InputError(f"A point ends in + (belongs to the lesion) or - (does not), got {sign!r}.")
    try:
        return {"type": "point", "slice": int(k), "coords": [float(x), float(y)], "positive": sign == "+"}
    except ValueError:
        given = f"{k} {x} {y} {sign}"
        raise InputError(f"Expected a point as SLICE X Y SIGN, three numbers and + or -, got {given!r}.") from None


@verb(app, "import", WRITES, example="P1 2025-01-20 mask.nii.gz", old="import-mask")
def import_mask(
    session: Session,
    patient: Patient,
    date: Date,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="the mask: an image file, .seg.nrrd, or DICOM RTSTRUCT or SEG")
    ],
    segment: Annotated[
        list[int] | None,
        typer.Option(metavar="N", help="number of a segment in the file that is a lesion; repeat it (default: all)"),
    ] = None,
) -> object:
    """Imports a mask drawn elsewhere, and says what became of its segments on the way to the reference scan."""
    from core.jobs.mask_import import import_mask as run
    from core.jobs.mask_import import import_of

    record = run(session.store, file, patient_id=patient, timepoint=date, author=session.person, segments=segment or [])
    said = import_of(record)
    return {**record.to_json(), **{key: said[key] for key in ("kind", "segments", "resampling", "warnings", "doubts")}}


def _decide(
    session: Session,
    patient: str,
    date: str,
    version: int,
    decision: str,
    reason: str,
    comment: str,
    lesion: int | None = None,
) -> object:
    from dataclasses import asdict

    from core.jobs.stages import deciding
    from core.jobs.stages.rescoring import follow_reference
    from core.remembered.flips import NOT_SHOWN
    from core.review.identity import numbered_id
    from core.twin.edit_preview import Edit

    which, said = None if lesion is None else numbered_id(lesion), (session.person, reason, comment)
    record = session.store.masks.version(patient, date, version)
    made = deciding.decide(session.store, record, Edit(decision, which), *said)
    follow_reference(session.store)
    flips = None if made.told == NOT_SHOWN else [vars(flip) for flip in made.flips]
    return {**asdict(made.decision), "flips": flips}


@verb(app, "accept", WRITES, example="P1 2025-01-20 2 --reason corrected", old="accept")
def accept(
    session: Session,
    patient: Patient,
    date: Date,
    version: Version,
    reason: ReasonCode,
    lesion: OneLesion = None,
    comment: Comment = "",
) -> object:
    """Accepts a version, or one lesion of it; "flips" has the visits whose call is another one since."""
    return _decide(session, patient, date, version, "accept", reason, comment, lesion)


@verb(app, "reject", WRITES, example="P1 2025-01-20 2 --reason leak", old="reject")
def reject(
    session: Session,
    patient: Patient,
    date: Date,
    version: Version,
    reason: ReasonCode,
    lesion: OneLesion = None,
    comment: Comment = "",
) -> object:
    """Rejects a version, or one lesion of it; "flips" has the visits whose call is another one since."""
    return _decide(session, patient, date, version, "reject", reason, comment, lesion)


@verb(app, "withdraw", WRITES, example="P1 2025-01-20 2 --reason withdrawn-error", old="withdraw")
def withdraw(
    session: Session, patient: Patient, date: Date, version: Version, reason: ReasonCode, comment: Comment = ""
) -> object:
    """Withdraws the decision on a version; "flips" has the visits whose call is another one since."""
    return _decide(session, patient, date, version, "withdraw", reason, comment)


@verb(app, "similar", READS, example="P1 2025-01-20 2 -k 3", old="similar")
def similar(
    session: Session,
    patient: Patient,
    date: Date,
    version: Version,
    k: Annotated[int, typer.Option("-k", metavar="N", help="how many of each lesion")] = 5,
) -> object:
    """Finds lesions alike in shape; `evidence similar` filters, compares by sight and says what became of them."""
    from core.evidence.asking import similar_rows
    from core.review.blind_reading import seen_version

    record = seen_version(session.store, patient, date, version, session.person)
    return similar_rows(session.store, record, k, session.person)


@verb(app, "agreement", READS, example="P1 2025-01-20", old="agreement")
def agreement(session: Session, patient: Patient, date: Date) -> object:
    """How far the readers of a timepoint agree, and their STAPLE consensus; stores nothing."""
    from core.jobs.stages.readers import readers_of_timepoint

    return readers_of_timepoint(session.store, patient, date, session.person)


@verb(app, "correction", READS, example="P1", old="correction")
def correction(session: Session, patient: PatientOrAll = None) -> object:
    """What human correction changed: nnU-Net, MedSAM-refined and accepted masks of a patient or the whole cohort."""
    from core.review.blind_reading import seen_of_all
    from core.review.correction import correction as run

    seen = {record.mask_id for record in seen_of_all(session.store, session.person)}
    return run(session.store, patient, seen)


@verb(app, "mark-lost", WRITES, example='P1 2025-01-20 2 --reason "the disk broke"')
def mark_lost(
    session: Session,
    patient: Patient,
    date: Date,
    version: Version,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="what became of the file")],
) -> object:
    """Marks the file of a mask version as lost."""
    from core.jobs.stages.rescoring import follow_reference

    session.store.losses.mark_lost(patient, date, version, reason, session.person)
    follow_reference(session.store)
    return {"version": version, "lost": True}


@verb(app, "mark-found", WRITES, example="P1 2025-01-20 2")
def mark_found(session: Session, patient: Patient, date: Date, version: Version) -> object:
    """Marks the file of a mask version as found again, as it was stored."""
    from core.jobs.stages.rescoring import follow_reference

    session.store.losses.mark_found(patient, date, version, session.person)
    follow_reference(session.store)
    return {"version": version, "lost": False}
