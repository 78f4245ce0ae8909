"""Verbs on people: who may write, in which role."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from commands.parameters import Role
from commands.running import READS, WRITES, Session
from commands.verbs import group, verb

app = group("people", "People: who may write, in which role.")


@verb(app, "list", READS)
def list_people(session: Session) -> object:
    """Lists people and their roles."""
    return [asdict(person) for person in session.store.people.all()]


@verb(app, "add", WRITES, example="ann --role reviewer")
def add(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", help="of the person")],
    role: Role = "reviewer",
) -> object:
    """Adds a person, or changes a role."""
    session.store.people.add(name, role, by=session.person)
    return list_people(session)
