"""Verbs on people: who may write, in which role."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from commands.parameters import Role
from commands.running import READS, WRITES, Session
from commands.verbs import group, verb
from core.errors import InputError

Name = Annotated[str, typer.Argument(metavar="NAME", help="of the person")]
app = group("people", "People: who may write, in which role.")


@verb(app, "list", READS)
def list_people(session: Session) -> object:
    """Lists people and their roles."""
    return [asdict(person) for person in session.store.people.all()]


@verb(app, "add", WRITES, example="ann --role reader")
def add(
    session: Session,
    name: Name,
    role: Role = "reader",
) -> object:
    """Adds a person, or changes a role."""
    session.store.people.add(name, role, by=session.person)
    return list_people(session)


@verb(app, "grant", WRITES, example="ann --dataset clinic --dataset trial")
def grant(
    session: Session,
    name: Name,
    dataset: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="a data set that the person sees; again for more")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="all data sets, with those that are still to come")] = False,
    none: Annotated[bool, typer.Option("--none", help="no data set at all")] = False,
) -> object:
    """Says which data sets a person sees, in place of what was said before."""
    if sum((bool(dataset), every, none)) != 1:
        raise InputError("Expected one of --dataset NAME, --all and --none, which says what the person sees.")
    session.store.people.grant(name, None if every else dataset or [], by=session.person)
    return list_people(session)


@verb(app, "disable", WRITES, example="ann")
def disable(session: Session, name: Name) -> object:
    """Keeps a person out from now on; what they did stays on record."""
    session.store.people.disable(name, by=session.person)
    return list_people(session)


@verb(app, "enable", WRITES, example="ann")
def enable(session: Session, name: Name) -> object:
    """Lets a person in again."""
    session.store.people.enable(name, by=session.person)
    return list_people(session)


@verb(app, "identify", WRITES, example="ann --issuer https://login.clinic.example --subject 4711")
def identify(
    session: Session,
    name: Name,
    issuer: Annotated[
        str | None, typer.Option(metavar="URL", help="the provider's address, as its tokens say it")
    ] = None,
    subject: Annotated[str | None, typer.Option(metavar="ID", help="the account's id there")] = None,
) -> object:
    """Says which account signs in under a name; without issuer and subject none does any more."""
    from core.access import Identity

    if (issuer is None) != (subject is None):
        raise InputError("Expected --issuer and --subject together, or neither of them. An account needs both.")
    account = None if issuer is None or subject is None else Identity(issuer, subject, "")
    session.store.people.identify(name, account, by=session.person)
    return list_people(session)
