"""Long work as jobs: prepared and recorded by the process that owns the store, computed by a worker that does not.

A job has three steps. `prepare` checks the request and turns it into plain JSON values (paths, hashes, numbers);
`compute` works on files alone, in a Dask worker; `record` writes what came out. So a worker never opens the database
and a page never waits. What must ask the database itself (`AtStore`) is computed by a thread of the process that owns
it. `run_inline` does the same three steps in one process, for the command line; `core.jobs.runner`
does them for the pages. A job's scratch folder is {root}/jobs/{job_id}; it goes when the job ends.
"""

from __future__ import annotations

import logging
import shutil
import time
import traceback
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import JobCancelled, TwinReviewError
from core.remembered.sources import HasJobs
from core.types import Progress, no_progress

logger = logging.getLogger("twinreview.jobs")

FINAL = frozenset({"done", "failed", "cancelled", "interrupted"})
REPORT_EVERY_S = 0.5

CANCELLED = "The job was cancelled; nothing was stored."


@dataclass(frozen=True)
class AtStore:
    """The `compute` of work that asks the database, and not files alone: no worker does it, but a thread of the process
    that owns the store.

    Args:
        work: (store, params, progress) -> result, as of `JobKind.compute`.
    """

    work: Callable[[Any, dict[str, Any], Progress], dict[str, Any]]


@dataclass(frozen=True)
class JobKind:
    """One kind of long work.

    Args:
        name: as in the jobs table.
        prepare: (store, args, person) -> params, JSON values only, of what that person may see; raises a
            TwinReviewError when the request makes no sense.
        compute: (params, out_dir, progress) -> result, JSON values only; a module-level function, as the worker finds
            it by its dotted name; or `AtStore`. It calls progress often, which raises JobCancelled once the job is
            cancelled.
        record: (store, params, result, out_dir, person) -> what is kept in the job's row, JSON values only.
    """

    name: str
    prepare: Callable[[Any, Mapping[str, Any], str], dict[str, Any]]
    compute: Callable[[dict[str, Any], Path, Progress], dict[str, Any]] | AtStore
    record: Callable[[Any, dict[str, Any], dict[str, Any], Path, str], dict[str, Any]]


def log_unexpected(kind: str, frames: list[str]) -> str:
    """Logs a bug's type and stack, never its text (which may name a patient's files); returns a short id to quote."""
    error_id = uuid.uuid4().hex[:8]
    logger.error("error %s: %s\n%s", error_id, kind, "".join(frames))
    return error_id


def explain(error: BaseException) -> str:
    """The message for people: a TwinReviewError's own text, else an id under which the rest is logged."""
    if isinstance(error, TwinReviewError):
        return str(error)
    return apology(log_unexpected(type(error).__name__, traceback.format_tb(error.__traceback__)))


def apology(error_id: str) -> str:
    """The message for people when a bug was met."""
    return (
        f"Something in TwinReview went wrong (error {error_id}). Try again; if it comes back, tell whoever runs "
        f"TwinReview that number: the log has the details."
    )


def run_inline(
    store: HasJobs, kind: JobKind, args: Mapping[str, Any], person: str, progress: Progress = no_progress
) -> dict[str, Any]:
    """Runs a job here and now, with its row in the jobs table.

    Ctrl-C leaves the row "interrupted".

    Returns:
        What `kind.record` returned.

    Raises:
        TwinReviewError: from any step; the row then says failed (cancelled for JobCancelled). A request that
            `prepare` refuses leaves no row.
    """
    params = kind.prepare(store, args, person)
    job_id = store.jobs.create(kind.name, dict(args), person)
    folder = store.root / "jobs" / job_id
    out_dir = fresh_folder(folder / "out")
    try:
        store.jobs.update(job_id, status="running", progress=0.0, message="Started")

        def tell(fraction: float, message: str) -> None:
            store.jobs.update(job_id, progress=fraction, message=message)
            progress(fraction, message)

        report = Reporter(tell, folder / "cancel")
        if isinstance(kind.compute, AtStore):
            result = kind.compute.work(store, params, report)
        else:
            result = kind.compute(params, out_dir, report)
        job_result = kind.record(store, params, result, out_dir, person)
        store.jobs.update(job_id, status="done", progress=1.0, message="Done", result=job_result)
    except JobCancelled as error:
        store.jobs.update(job_id, status="cancelled", message=str(error))
        raise
    except Exception as error:
        store.jobs.update(job_id, status="failed", message=explain(error))
        raise
    except KeyboardInterrupt:
        store.jobs.update(job_id, status="interrupted", message="Stopped from the keyboard.")
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return job_result


class Reporter:
    """A progress callback that passes on at most one call in REPORT_EVERY_S and raises once the flag file is there."""

    def __init__(self, tell: Progress, flag: Path) -> None:
        self._tell, self._flag, self._last = tell, flag, -REPORT_EVERY_S

    def __call__(self, fraction: float, message: str) -> None:
        if self._flag.exists():
            raise JobCancelled(CANCELLED)
        now = time.monotonic()
        if now - self._last >= REPORT_EVERY_S:
            self._last = now
            self._tell(min(1.0, max(0.0, float(fraction))), message)


def fresh_folder(folder: Path) -> Path:
    """Makes `folder`, empty."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
