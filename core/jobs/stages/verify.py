"""`verify` as a job: it asks the database, so it is computed at the store, while people go on working."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from core.errors import InputError
from core.jobs.jobs import AtStore, JobKind
from core.remembered.sources import HasPeople
from core.remembered.untyped import JsonDict
from core.types import Progress

#: What the one who begins it must be allowed; its sentences name patients.
ACTION = "store.verified"
NAME = "verify"
#: A store that was taken apart has a sentence for every file: so many are kept, and the number of all.
MOST_SENTENCES = 500


class VerifiedStore(HasPeople, Protocol):
    """A store that can be verified."""

    def verify(self, full: bool = False, progress: Progress = ...) -> list[str]: ...
    def remarks(self) -> list[str]: ...


def prepare_verify(store: VerifiedStore, args: Mapping[str, Any], person: str) -> JsonDict:
    """Whether every file is hashed (`full`). Raises InputError for who may not know what is found."""
    if not store.people.may(person, ACTION):
        raise InputError(f"Expected an administrator for a check of the whole store; {person} is none.")
    return {"full": bool(args.get("full"))}


def verify_store(store: VerifiedStore, params: JsonDict, progress: Progress) -> JsonDict:
    """At the store: sentences for what disagrees, and for what is no damage but worth knowing."""
    problems = store.verify(full=params["full"], progress=progress)
    return {
        "problems": problems[:MOST_SENTENCES],
        "count": len(problems),
        "remarks": store.remarks()[:MOST_SENTENCES],
    }


def record_verify(store: VerifiedStore, params: JsonDict, result: JsonDict, out_dir: object, person: str) -> JsonDict:
    """The sentences are kept with the job."""
    return {**result, "full": params["full"]}


KIND = JobKind(NAME, prepare_verify, AtStore(verify_store), record_verify)
