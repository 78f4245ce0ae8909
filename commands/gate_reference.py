"""Verbs of the scan gate's own references: scans marked in or out, gates fitted to them, and the one in force."""

from __future__ import annotations

from typing import Annotated

import typer

from commands.gate import app as gate
from commands.parameters import Date, Patient
from commands.running import READS, WRITES, Session
from commands.verbs import group, verb

app = group(
    "reference", "References of the scan gate made of own scans: mark, fit, compare, use, go back.", within=gate
)

SetName = Annotated[str, typer.Option("--set", metavar="NAME", help="the set of marked scans")]


@verb(app, "list", READS)
def list_references(session: Session) -> object:
    """Sets of marked scans, the gates that were fitted to them with their figures, and which is in force."""
    from collections import Counter
    from dataclasses import asdict

    from core.gates.scan import reference_sets

    now = reference_sets.gate_in_force(session.store)
    marked = reference_sets.marked_sets(session.store).values()
    return {
        "in_force": reference_sets.SHIPPED if now is None else now.gate,
        "sets": [
            {
                "name": one.name,
                "version": one.version,
                "scans": dict(Counter(member.kind for member in one.members)),
                "person": one.person,
                "created_at": one.created_at,
            }
            for one in marked
        ],
        "fitted": [asdict(one) for one in reference_sets.fitted_sets(session.store).values()],
    }


@verb(app, "mark", WRITES, example='P1 2025-01-20 --set clinic --as "in distribution"')
def mark(
    session: Session,
    patient: Patient,
    date: Date,
    name: SetName,
    kind: Annotated[
        str, typer.Option("--as", metavar="KIND", help='"in distribution", a kind of fault, or "not marked"')
    ],
) -> object:
    """Marks a timepoint's scans in a set as in distribution, as of a kind that is not, or no more."""
    from dataclasses import asdict

    from core.gates.scan import reference_sets

    marked = None if kind == "not marked" else kind
    return asdict(reference_sets.mark(session.store, name, patient, date, marked, session.person))


@verb(app, "fit", WRITES, example='--set clinic --fault "metal streaks"')
def fit(
    session: Session,
    name: SetName,
    fault: Annotated[
        list[str] | None, typer.Option(metavar="KIND", help="a fault to make from its in-distribution scans; repeat it")
    ] = None,
    alone: Annotated[bool, typer.Option("--alone", help="without the reference that comes with TwinReview")] = False,
) -> object:
    """Fits a gate to a set of marked scans, and compares it with the one in force; it is put in force by `use`."""
    from core.jobs.stages.scan_reference import JOB

    return session.job(JOB, {"name": name, "exposures": fault or [], "with_shipped": not alone})


@verb(app, "use", WRITES, example='"clinic v3 0a1b2c3d4e5f"')
def use(
    session: Session,
    which: Annotated[str, typer.Argument(metavar="GATE", help='a fitted gate, "shipped", or "before" to go back')],
) -> object:
    """Puts a fitted gate in force, or goes back; timepoints judged by another gate are scored again by the server."""
    from core.gates.scan import reference_sets

    if which == "before":
        return {"in_force": reference_sets.go_back(session.store, session.person)}
    return {"in_force": reference_sets.use(session.store, which, session.person)}
