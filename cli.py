#!/usr/bin/env python
"""TwinReview from the command line: everything the pages do, for cohorts and scripts.

`main` reads the command line; the verbs are in `commands/`.
"""

from __future__ import annotations

import sys
from textwrap import shorten

import typer
from typer.main import get_command

from commands import (
    data,
    event,
    evidence,
    gate,
    gate_reference,
    growth,
    lesion,
    mask,
    measurement,
    old,
    patient,
    people,
    response,
    scan,
    timepoint,
)
from commands.output import READER_GONE, fail, reader_is_gone
from commands.verbs import group, verbs_of

HELP = """
TwinReview from the command line: everything the pages do, for cohorts and scripts.

\b
Exit status:
  0    done
  1    refused or failed, in one line on stderr; nothing half-written remains
  2    a command line that makes no sense
  130  stopped from the keyboard
  141  the reader of the answer went away, as `| head` does

`--json` prints one JSON document on stdout, or {"error": "that line"} when a verb fails; progress goes to stderr.
`VERB --help` has an example of each.
"""
GROUPS = (scan, timepoint, patient, mask, lesion, measurement, event, response, evidence, gate, growth, people, data)


def _verbs() -> str:
    """Every verb and what it is for, for the help."""
    verbs = [
        [f"  {one.words:<24} {shorten(one.summary, 52, placeholder=' …')}" for one in verbs_of(part.app)]
        for part in GROUPS
    ]
    return "\n\n".join("\n".join(["\b", *lines]) for lines in verbs)


#: Modules whose verbs lie within the group of another.
WITHIN = (gate_reference,)


def make_app() -> typer.Typer:
    """The whole program: groups of verbs, and unseen beside them the verbs as they were called before."""
    app = group(None, f"{HELP}\n{_verbs()}")
    for one in GROUPS:
        app.add_typer(one.app)
    app.add_typer(old.OLD_VERBS)
    return app


def main(argv: list[str] | None = None, *, own_process: bool = False) -> int:
    """Runs one verb.

    Args:
        own_process: what this process writes is closed to other accounts from then on.

    Returns:
        The exit status. SystemExit(2) is raised for a command line that makes no sense.
    """
    asked = sys.argv[1:] if argv is None else argv
    in_json = "--json" in asked
    try:
        status = get_command(make_app()).main(asked, prog_name="cli.py", standalone_mode=False, obj=own_process)
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        place = context.command_path if context is not None else "cli.py"
        message = f"{error.format_message()} (python {place} --help says more)"
        raise SystemExit(fail(message, in_json=in_json, status=error.exit_code)) from None
    except SystemExit as stop:  # Typer's own answer when the reader of help goes away; of a verb's, see `perform`
        if not isinstance(stop.__context__, BrokenPipeError):
            raise
        reader_is_gone(sys.stdout)
        return READER_GONE
    return int(status)


if __name__ == "__main__":
    sys.exit(main(own_process=True))
