"""Verbs of evidence: lesions alike and what became of them, marks, what is learned of them, the graph, files."""

from __future__ import annotations

from typing import Annotated, cast

import typer

from commands.parameters import Date, Patient, PatientOrAll, if_given, one_of
from commands.running import READS, WRITES, Session
from commands.verbs import group, verb


def _spaces() -> list[str]:
    from core.evidence.cases import SPACES

    return list(SPACES)


app = group("evidence", "Evidence: lesions alike, what became of them, what marks have taught, and the graph.")

LesionName = Annotated[str, typer.Argument(metavar="LESION", help="L1, L2 …")]
By = Annotated[
    str | None,
    typer.Option(
        "--by",
        metavar="SPACE",
        help="both, shape or appearance (default: what is known of it)",
        callback=if_given(one_of(_spaces)),
        autocompletion=_spaces,
    ),
]
Space = Annotated[
    str,
    typer.Option(
        "--by",
        metavar="SPACE",
        help="both, shape or appearance",
        callback=one_of(_spaces),
        autocompletion=_spaces,
    ),
]
Count = Annotated[int, typer.Option("-k", metavar="N", help="how many lesions")]
Organ = Annotated[bool, typer.Option("--same-organ", help="of the same organ, as people named it")]
Factor = Annotated[float | None, typer.Option("--within", metavar="FACTOR", help="volume within FACTOR, either way")]
Given = Annotated[str, typer.Option("--given", metavar="THERAPY", help="what was being given then")]
Response = Annotated[str, typer.Option("--response", metavar="CALL", help="after it: responded, CR, PR, SD or PD")]
Next = Annotated[str, typer.Option("--next", metavar="EVENT", help="what came within 90 days: radiotherapy, surgery …")]
OwnPatient = Annotated[bool, typer.Option("--own-patient", help="also the patient's own lesions, at other visits")]
Among = Annotated[
    str, typer.Option("--among", metavar="CYPHER", help="only observations that a query of the graph gives")
]
Later = Annotated[bool, typer.Option("--with-later", help="with a later visit that tells its volume")]


@verb(app, "similar", READS, example="P1 2025-01-20 L1 --by shape --within 2 --with-later")
def similar(
    session: Session,
    patient: Patient,
    date: Date,
    lesion: LesionName,
    by: By = None,
    k: Count = 5,
    same_organ: Organ = False,
    within: Factor = None,
    given: Given = "",
    response: Response = "",
    following: Next = "",
    with_later: Later = False,
    among: Among = "",
    own_patient: OwnPatient = False,
) -> object:
    """Accepted lesions of other patients that are like this one, and what became of them."""
    import json

    from core.evidence.asking import ask_about
    from core.evidence.filters import LesionFilter
    from core.evidence.filters import Response as CallWanted
    from core.evidence.formats import to_json
    from core.evidence.pseudonyms import panel_of

    wanted = LesionFilter(
        volume_factor=within,
        therapy=given,
        response=cast(CallWanted, response),
        event_after=following,
        within_days=90 if following else None,
        with_later=with_later,
    )
    found, own = ask_about(
        session.store, (patient, date, lesion), session.person, by, k, wanted, same_organ, among, own_patient
    )
    return json.loads(to_json(panel_of(found, own, "own")))


@verb(app, "panel", READS, example="P1 2025-01-20 L1 --as markdown")
def panel(
    session: Session,
    patient: Patient,
    date: Date,
    lesion: LesionName,
    form: Annotated[str, typer.Option("--as", metavar="FORM", help="markdown, json, fhir or prompt")] = "markdown",
    with_names: Annotated[bool, typer.Option("--with-names", help="patients by their ids, with all sources")] = False,
    by: By = None,
    k: Count = 5,
) -> object:
    """The evidence on one lesion as a text to take along; without names unless they are asked for."""
    from core.errors import InputError
    from core.evidence.asking import ask_about
    from core.evidence.fhir import to_fhir
    from core.evidence.formats import to_json, to_markdown
    from core.evidence.prompt import to_prompt
    from core.evidence.pseudonyms import panel_of

    found, own = ask_about(session.store, (patient, date, lesion), session.person, by, k)
    if form == "prompt":
        return {"form": form, "text": to_prompt(panel_of(found, own, "own")).text}
    makers = {"markdown": to_markdown, "json": to_json, "fhir": to_fhir}
    if form not in makers:
        raise InputError(f"Expected markdown, json, fhir or prompt, got {form!r}.")
    return {"form": form, "text": makers[form](panel_of(found, own, "own" if with_names else "pseudonyms"))}


@verb(app, "mark", WRITES, example="P1 2025-01-20 L1 P7 2025-03-02 L2 --relevant")
def mark(
    session: Session,
    patient: Patient,
    date: Date,
    lesion: LesionName,
    other_patient: Annotated[str, typer.Argument(metavar="OTHER", help="whose lesion was found")],
    other_date: Annotated[str, typer.Argument(metavar="OTHER-DATE", help="day of its visit")],
    other_lesion: Annotated[str, typer.Argument(metavar="OTHER-LESION", help="L1, L2 …")],
    relevant: Annotated[bool, typer.Option("--relevant/--not-relevant", help="whether it is relevant")] = True,
    by: By = None,
) -> object:
    """Marks a lesion as relevant, or not, for another one; it weighs what is compared."""
    from dataclasses import asdict

    from core.evidence.asking import mark_pair

    made = mark_pair(
        session.store, (patient, date, lesion), (other_patient, other_date, other_lesion), relevant, by, session.person
    )
    return asdict(made)


@verb(app, "marks", READS, example="P1")
def marks(session: Session, patient: PatientOrAll = None) -> object:
    """Marks that stand, of one patient's lesions or of all."""
    from dataclasses import asdict

    return [asdict(one) for one in session.store.marks.standing() if patient in (None, one.patient_id)]


@verb(app, "unmark", WRITES, example="3f0c2a9e-4b1d-4c58-9a57-2f4e8d1b6c70")
def unmark(
    session: Session, mark_id: Annotated[str, typer.Argument(metavar="MARK", help="id of the mark, as `marks` has it")]
) -> object:
    """Takes a mark back."""
    session.store.marks.withdraw(mark_id, session.person)
    return {"mark_id": mark_id, "stands": False}


@verb(app, "look", WRITES)
def look(session: Session) -> object:
    """Shows lesions that no encoder has looked at to the image encoder, and keeps how they look."""
    from core.jobs.stages.lesion_looks import look_at_all

    return look_at_all(session.store, session.person, session.request.progress)


@verb(app, "learn", WRITES)
def learn(session: Session) -> object:
    """Learns from all marks by what lesions are to be compared; offered only where it gains on marks kept aside."""
    from core.jobs.stages.learn_evidence import JOB

    return session.job(JOB, {})


@verb(app, "use", WRITES, example="0a1b2c3d4e5f --by shape")
def use(
    session: Session,
    version: Annotated[str, typer.Argument(metavar="VERSION", help="a learned one, or its first letters")],
    by: Space,
) -> object:
    """Puts a learned metric in force."""
    from core.evidence.cases import SPACES
    from core.evidence.versions import put_in_force

    made = put_in_force(session.store, next(one for one in SPACES if one == by), version, session.person)
    return {"by": by, "in_force": made.metric.version}


@verb(app, "undo", WRITES, example="--by shape")
def undo(session: Session, by: Space) -> object:
    """Goes back to the metric before the one in force, or to none."""
    from core.evidence.cases import SPACES
    from core.evidence.versions import go_back

    now = go_back(session.store, next(one for one in SPACES if one == by), session.person)
    return {"by": by, "in_force": None if now is None else now.metric.version}


@verb(app, "versions", READS)
def versions(session: Session) -> object:
    """Metrics that were learned, oldest first, with what each gained, and whether it is in force."""
    from core.evidence.versions import version_rows

    return version_rows(session.store)


@verb(app, "ask", READS, example='"MATCH (o:Observation) RETURN o.modality, count(*)"')
def ask(
    session: Session, question: Annotated[str, typer.Argument(metavar="CYPHER", help="a question that reads")]
) -> object:
    """Asks the graph of patients, lesions, visits, events and links, in Cypher."""
    from core.evidence.base import evidence_base
    from core.evidence.graphs import graph_of

    answer = graph_of(evidence_base(session.store)).ask(question)
    return {
        "rows": [dict(zip(answer.columns, row, strict=True)) for row in answer.rows],
        "cut": answer.cut,
    }
