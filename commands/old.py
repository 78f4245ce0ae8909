"""Verbs of before whose arguments were others than those of the verbs that do the same now. They work as they did."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, cast

import typer

from commands import data, growth, mask, people
from commands.parameters import Date, Patient, Role, Version
from commands.running import NO_STORE, READS, WRITES, Access, Request, Session
from commands.verbs import OLD_VERBS, verb
from core.errors import InputError


def _of_audit(given: Mapping[str, object]) -> Access:
    return WRITES if given["what"] == "sign" else READS


@verb(OLD_VERBS, "audit", _of_audit)
def audit(
    session: Session,
    what: Annotated[Literal["head", "check", "sign"], typer.Argument()],
    seq: Annotated[int | None, typer.Argument(metavar="[SEQ]")] = None,
    digest: Annotated[str | None, typer.Argument(metavar="[HASH]")] = None,
) -> object:
    """The audit chain: its head (to be kept elsewhere), whether it still holds one that was kept, and signing.

    Now: data audit-head, data audit-check, data sign-audit.
    """
    if what == "sign":
        return data.sign_audit(session)
    if what == "head":
        return data.audit_head(session)
    if seq is None or digest is None:
        raise InputError("Expected `audit check SEQ HASH`, as `audit head` printed them.")
    return data.audit_check(session, seq, digest)


def _of_person(given: Mapping[str, object]) -> Access:
    return READS if given["what"] == "list" else WRITES


@verb(OLD_VERBS, "person", _of_person)
def person(
    session: Session,
    what: Annotated[Literal["list", "add"], typer.Argument()],
    name: Annotated[str | None, typer.Argument(metavar="[NAME]")] = None,
    role: Role = "reader",
) -> object:
    """Lists people and their roles, adds one, or changes a role. Now: people list, people add."""
    if what == "list":
        return people.list_people(session)
    return people.add(session, cast(str, name), role)  # the store says that a name is missing


def _of_lost(given: Mapping[str, object]) -> Access:
    if (given["reason"] is not None) == bool(given["found"]):
        raise typer.BadParameter("one of --reason and --found is needed, and not both", param_hint="--reason")
    return WRITES


@verb(OLD_VERBS, "lost", _of_lost)
def lost(
    session: Session,
    patient: Patient,
    date: Date,
    version: Version,
    reason: Annotated[str | None, typer.Option(metavar="TEXT", help="what became of the file")] = None,
    found: Annotated[bool, typer.Option("--found", help="it is back, as it was stored")] = False,
) -> object:
    """Marks the file of a mask version as lost, or as found again. Now: mask mark-lost, mask mark-found."""
    if found:
        return mask.mark_found(session, patient, date, version)
    return mask.mark_lost(session, patient, date, version, cast(str, reason))


@verb(OLD_VERBS, "backtest", NO_STORE)
def backtest(
    request: Request,
    what: Annotated[Literal["growth"], typer.Argument()],
    file: Annotated[Path, typer.Argument(metavar="FILE")],
    quick: Annotated[bool, typer.Option("--quick", help="without fitting every growth law to every lesion")] = False,
) -> object:
    """Measures every forecast on a file of measured lesions. Now: growth backtest."""
    return growth.backtest(request, file, quick)
