"""Verbs on lesions: which label of which mask is which lesion of the patient, and where one scan lies in another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from commands.parameters import Date, Patient, Version
from commands.running import READS, WRITES, Session
from commands.verbs import group, verb
from core.errors import InputError

if TYPE_CHECKING:
    from core.remembered.links import StoredTransform

app = group("lesion", "Lesions: which label is which lesion over time, and the registrations that tell it.")

Label = Annotated[int, typer.Argument(metavar="LABEL", help="the label in the mask, 1 to 255")]
LesionId = Annotated[str, typer.Argument(metavar="LESION", help="L1, L2 …, or none where it cannot be told")]
Why = Annotated[str, typer.Option(metavar="TEXT", help="why, in words; it stays on record")]
Other = Annotated[str, typer.Argument(metavar="OTHER", help="day of the other timepoint, YYYY-MM-DD")]


@verb(app, "list", READS, example="P1 --json", old="lesions")
def list_lesions(session: Session, patient: Patient) -> object:
    """Lists a patient's lesions: first and last seen, and which labels of which masks they are."""
    from core.review.blind_reading import seen_of_patient
    from core.review.lesion_list import lesions_of

    session.store.patients.require(patient)
    records = seen_of_patient(session.store, patient, session.person)
    return [one.to_json() for one in lesions_of(records, session.store.links.of(patient))]


@verb(app, "link", WRITES, example='P1 2025-03-20 2 3 L1 --reason "same place, below the same vessel"', old="link")
def link(
    session: Session, patient: Patient, date: Date, version: Version, label: Label, lesion: LesionId, reason: Why
) -> object:
    """Says which lesion a label of a mask version is; curves and totals follow. "flips" has the visits whose call is
    another one since."""
    from core.jobs.stages.deciding import change_links
    from core.jobs.stages.linking import link_summary
    from core.remembered.links import LinkChange

    record = session.store.masks.version(patient, date, version)
    wanted = None if lesion == "none" else lesion
    change = [LinkChange(label, wanted)]
    links, flips = change_links(session.store, record, change, session.person, reason)
    said = next(one for one in links if one.label == label)
    place = {"mask_id": record.mask_id, "patient_id": patient, "timepoint": date, "version": version}
    return {
        **place,
        **link_summary(said),
        "confirmed_by": said.confirmed_by,
        "reason": said.reason,
        "flips": [vars(flip) for flip in flips],
    }


@verb(app, "propose", WRITES, example="P1 2025-03-20 2")
def propose(session: Session, patient: Patient, date: Date, version: Version) -> object:
    """Tells the lesions of a version anew by the masks that are accepted now; what a person said of them stays."""
    from core.jobs.stages.linking import link_summary
    from core.jobs.stages.relinking import relink

    record = session.store.masks.version(patient, date, version)
    links = relink(session.store, record, session.person, session.request.progress)
    return [{**link_summary(one), "confirmed_by": one.confirmed_by} for one in links]


@verb(app, "register", WRITES, example="P1 2025-01-20 2025-03-20 --json", old="register")
def register(
    session: Session,
    patient: Patient,
    date: Date,
    other: Other,
    accept: Annotated[bool, typer.Option("--accept", help="say that it is right")] = False,
    refuse: Annotated[bool, typer.Option("--refuse", help="say that it is wrong: no lesion is told by it")] = False,
    again: Annotated[bool, typer.Option("--again", help="compute it anew")] = False,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="why, in words")] = "",
) -> object:
    """Where the scans of one timepoint lie in those of another: computed once, and accepted or refused by a person."""
    from core.jobs.stages.relinking import registered

    if accept and refuse:
        raise InputError("Expected --accept or --refuse, got both. Nothing was done.")
    if refuse and not reason.strip():
        raise InputError("Expected --reason with --refuse: what is wrong with it, in words. Nothing was done.")
    found = registered(session.store, patient, date, other, session.person, again=again)
    if accept or refuse:
        verdict = "accepted" if accept else "refused"
        session.store.transforms.judge(found.transform_id, verdict, session.person, reason)
        found = registered(session.store, patient, date, other, session.person)
    return transform_json(found)


def transform_json(transform: StoredTransform) -> dict[str, object]:
    """A transform as the command line prints it: RAS mm of the first timepoint -> RAS mm of the second."""
    return {
        "transform_id": transform.transform_id,
        "from": transform.from_timepoint,
        "to": transform.to_timepoint,
        "state": transform.registration_state,
        "computed_state": transform.state,
        "method": transform.method,
        "message": transform.message,
        "matrix": [list(row) for row in transform.matrix],
        "overlap": transform.overlap,
        "figures": dict(transform.figures),
        "parameters": dict(transform.parameters),
        "sha256": transform.sha256,
        "made_by": transform.person,
        "created_at": transform.created_at,
        "judged_by": transform.judged_by,
        "reason": transform.judged_reason or None,
    }
