"""The one way by which every verb reaches a store: how it is opened, under whose name, and how the verb ends.

The rules: a verb that only reads (`READS`) works also beside the dashboard and where nothing can be written, needs no
name, and sees without one what everybody may see. A verb that writes assumes no name once two people are known.
`perform` keeps them; a verb gets its store from there and from nowhere else.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from commands.output import READER_GONE, Failed, as_json, as_text, fail, refusal, say
from core.errors import InputError, TwinReviewError

if TYPE_CHECKING:  # numpy, DuckDB and all the rest are imported when a verb needs them, not for its help
    from core.types import Progress
    from store import Store

#: The first person of a store that knows nobody.
FIRST_PERSON = "demo"
#: Whose view a reading verb gives without a name: what everybody may see. No person can have this name.
NOBODY = "(nobody named)"


@dataclass(frozen=True)
class Access:
    """What a verb does to the store.

    Attributes:
        sentence: the same for people, in a verb's help.
        opens_store: whether it needs a store at all.
        only_reads: it writes nothing.
        creates_store: it makes a store in a folder that has none.
        needs_name: it needs somebody's name where several people are known.
    """

    sentence: str
    opens_store: bool = True
    only_reads: bool = False
    creates_store: bool = False
    needs_name: bool = True


READS = Access("Writes nothing.", only_reads=True, needs_name=False)
WRITES = Access("Writes, under the name in --reviewer or TWIN_PERSON.")
CREATES = Access(f"{WRITES.sentence} Makes a store where there is none.", creates_store=True)
#: The demo is always made by "demo".
WRITES_AS_DEMO = Access(
    'Writes, under the name "demo". Makes a store where there is none.', creates_store=True, needs_name=False
)
NO_STORE = Access("Opens no store.", opens_store=False)
REMAKES = Access("Makes the database of a store again; needs no name.", opens_store=False)

#: An access, or which one it is for the arguments given.
AccessRule = Access | Callable[[Mapping[str, object]], Access]


@dataclass(frozen=True)
class Request:
    """What stands on every verb's command line. `reviewer` is the name given, if one was."""

    data: Path
    json: bool
    quiet: bool
    reviewer: str | None

    @property
    def progress(self) -> Progress:
        """Where a verb tells how far it is: stderr, if a person looks at it."""
        from core.types import no_progress

        if self.quiet or not sys.stderr.isatty():
            return no_progress

        def show(fraction: float, message: str) -> None:
            print(f"\r{fraction:5.0%}  {message:<60}", end="" if fraction < 1 else "\n", file=sys.stderr, flush=True)

        return show


@dataclass(frozen=True)
class Session:
    """An open store, and who works in it. Every verb that needs a store gets one of these."""

    request: Request
    store: Store
    person: str

    def job(self, kind: str, request: Mapping[str, object]) -> object:
        """Runs a job here and now; see `core.jobs.jobs.run_inline`."""
        from core.jobs.jobs import run_inline
        from core.jobs.pipeline import KINDS

        return run_inline(self.store, KINDS[kind], request, self.person, self.request.progress)


def _given(context: typer.Context, name: str) -> object:
    """An option that every verb has, given before the verb or after it; the last counts. None: it is not given."""
    levels: list[Mapping[str, object]] = [context.params]
    above = context.parent
    while above is not None:
        levels.append(above.params)
        above = above.parent

    return next((level[name] for level in levels if level.get(name) not in (None, False, "")), None)


def request_of(context: typer.Context) -> Request:
    """What was given to every verb alike, else what the settings say.

    Raises:
        InputError: a setting that is wrong; it is said before anything is done.
    """
    from core.settings import set_default, settings

    in_force, data, reviewer = settings(), _given(context, "data"), _given(context, "reviewer")
    request = Request(
        data=data if isinstance(data, Path) else in_force.data,
        json=bool(_given(context, "json")),
        quiet=bool(_given(context, "quiet")),
        reviewer=str(reviewer) if reviewer else in_force.person or None,
    )
    set_default("TWIN_CACHE", str(request.data / "cache"))  # not in the folder this is called from
    return request


def _who(request: Request, access: Access, store: Store) -> str:
    """Under whose name a verb works: the name given, else the only one that the store knows, as on the pages.

    Raises:
        InputError: without a name where there are several, for a verb that writes under one.
    """
    if request.reviewer:
        return request.reviewer
    known = [person.name for person in store.people.all()]
    if len(known) < 2:
        return known[0] if known else FIRST_PERSON
    if not access.needs_name:
        return NOBODY
    raise InputError(
        f"Expected to know who does this, got no name, and this store knows {len(known)} people. Add --reviewer NAME, "
        "or set TWIN_PERSON."
    )


def _open(request: Request, access: Access) -> Store:
    """The store. What is to be known of its opening goes to stderr."""
    from store import open_store, open_to_look

    store = open_to_look(request.data) if access.only_reads else open_store(request.data, create=access.creates_store)
    for text in store.recovered:
        print(text, file=sys.stderr)
    return store


def _answer(request: Request, access: Access, run: Callable[[Session | Request], object]) -> object:
    # What a library prints meanwhile is no part of the answer.
    with contextlib.redirect_stdout(sys.stderr):
        if not access.opens_store:
            return run(request)
        with _open(request, access) as store:
            return run(Session(request, store, _who(request, access, store)))


def perform(context: typer.Context, access: Access, run: Callable[[Session | Request], object]) -> int:
    """Runs one verb and prints its answer, or in one line why there is none.

    Args:
        run: gets a `Session`; a verb that opens no store, the `Request`.

    Returns:
        The exit status, as `cli.py --help` lists them.
    """
    from core.settings import unknown_variables

    for text in unknown_variables():
        say(text, sys.stderr)
    try:
        request = request_of(context)
    except InputError as error:
        return fail(str(error), in_json=bool(_given(context, "json")), status=1)
    if context.find_root().obj is True:  # see `cli.main`
        from store.files.file_rights import keep_private

        keep_private()
    try:
        answer = _answer(request, access, run)
        failed = answer if isinstance(answer, Failed) else None
        text = (as_json if request.json else as_text)(failed.answer if failed else answer)
    except TwinReviewError as error:
        return fail(str(error), in_json=request.json, status=1)
    except OSError as error:
        return fail(refusal(error, request.data), in_json=request.json, status=1)
    except KeyboardInterrupt:
        return fail("Stopped from the keyboard; nothing half-written remains.", in_json=request.json, status=130)
    except Exception as error:
        from core.jobs.jobs import explain

        return fail(explain(error), in_json=request.json, status=1)
    if not say(text, sys.stdout):
        return READER_GONE
    if failed is not None:
        say(failed.sentence, sys.stderr)
        return 1
    return 0
