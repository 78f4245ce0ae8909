"""Verbs on the store as a whole: whether it is sound, its history, and data to try things with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from commands.output import Failed
from commands.running import NO_STORE, READS, REMAKES, WRITES, WRITES_AS_DEMO, Request, Session
from commands.verbs import group, verb

app = group("data", "The data folder: verifying and rebuilding it, its audit chain, and data to try things with.")


@verb(app, "verify", READS, old="verify")
def verify(
    session: Session,
    full: Annotated[
        bool, typer.Option("--full", help="hash every file anew, those too that look as when they were last found well")
    ] = False,
) -> object:
    """Do files, sidecars and database agree?"""
    problems = session.store.verify(full=full, progress=session.request.progress)
    answer = {"clean": not problems, "problems": problems, "remarks": session.store.remarks()}
    if problems:
        return Failed(answer, f"{len(problems)} problems: files, sidecars and database disagree.")
    return answer


@verb(app, "rebuild", REMAKES, old="rebuild")
def rebuild(request: Request) -> object:
    """Makes the database again from the files."""
    from store import rebuild as run

    return run(request.data)


@verb(app, "audit-head", READS)
def audit_head(session: Session) -> object:
    """The head of the audit chain, to be kept elsewhere."""
    seq, digest = session.store.audit.last()
    return {"seq": seq, "hash": digest}


@verb(app, "audit-check", READS, example="41 HASH")
def audit_check(
    session: Session,
    seq: Annotated[int, typer.Argument(metavar="SEQ", help="its number, as `audit-head` printed it")],
    digest: Annotated[str, typer.Argument(metavar="HASH", help="its hash, as `audit-head` printed it")],
) -> object:
    """Whether the audit chain still holds a head that was kept."""
    from store.ledger.heads import check_head

    check_head(session.store.audit.entries(), seq, digest)
    return {"seq": seq, "hash": digest, "held": True}


@verb(app, "sign-audit", WRITES)
def sign_audit(session: Session) -> object:
    """Begins the signing of the audit chain's heads, with TWIN_AUDIT_KEY."""
    entry = session.store.ledger.begin_signing(session.person)
    return {"seq": entry["seq"], "hash": entry["hash"], "signed": True}


@verb(app, "demo", WRITES_AS_DEMO, old="demo")
def demo(
    session: Session,
    real: Annotated[bool, typer.Option("--real", help="follow-ups simulated from real scans")] = False,
    sts: Annotated[Path, typer.Option(metavar="DIR", help="where those are")] = Path("../shared/data/sts"),
) -> object:
    """Makes the demo cohort."""
    from core.simulation.demo import build

    return build(session.store, real=real, sts=sts, progress=session.request.progress)


@verb(app, "phantom", NO_STORE, example="--out build/phantom", old="phantom")
def phantom(
    request: Request,
    out: Annotated[Path, typer.Option(metavar="DIR", help="a folder, made where there is none")],
) -> object:
    """Writes a simulated CT + PET pair with its true tumour mask, to try things with; needs no data."""
    from core.simulation.demo import write_phantom

    return write_phantom(out)
