"""Long work as jobs: prepared and recorded by the process that owns the store, computed by a worker that does not.

A job has three steps. `prepare` checks the request and turns it into plain JSON values (paths, hashes, numbers);
`compute` works on files alone, in a Dask worker; `record` writes what came out. So a worker never opens the database
and a page never waits. `run_inline` does the same three steps in one process, for the command line.

Scratch of a job: {root}/jobs/{job_id}/ holds `cancel` (a flag file), `taken` (how often a worker took the job up),
`recording` (the result is being written) and `out/`, the folder that `compute` may fill. It goes when the job ends.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import shutil
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from core.errors import InputError, JobCancelled, TwinReviewError
from core.types import Progress, no_progress

logger = logging.getLogger("twinreview.jobs")

FINAL = frozenset({"done", "failed", "cancelled", "interrupted"})
TOPIC = "twinreview-jobs"
#: A job is started at most this often: once more after a dead worker, once more after a restart of TwinReview.
ATTEMPTS = 2
REPORT_EVERY_S = 0.5

WORKER_DIED = (
    "The worker process died twice while it ran this job; running out of memory is the usual cause. "
    "Close other programs or set TWIN_WORKERS=1, then start the job again."
)
STOPPED_TWICE = "TwinReview was stopped twice while this job was under way. Start it again if it is still wanted."
STOPPED_RECORDING = (
    "TwinReview was stopped while it stored this job's result, which may be there or not. "
    "Look at the patient's versions before starting it again."
)


class JobStore(Protocol):
    """What a job needs of the store."""

    @property
    def root(self) -> Path: ...

    def create_job(self, kind: str, params: dict[str, Any], person: str) -> str: ...

    def update_job(
        self,
        job_id: str,
        *,
        status: str | None = None,
        progress: float | None = None,
        message: str | None = None,
        result: dict[str, Any] | None = None,
    ) -> Any: ...

    def job(self, job_id: str) -> dict[str, Any]: ...

    def jobs(self, limit: int = 100, status: str | None = None) -> list[dict[str, Any]]: ...


@dataclass(frozen=True)
class JobKind:
    """One kind of long work.

    Args:
        name: as in the jobs table.
        prepare: (store, args) -> params, JSON values only; raises a TwinReviewError when the request makes no sense.
        compute: (params, out_dir, progress) -> result, JSON values only; a module-level function, as the worker finds
            it by its dotted name. It calls progress often, which raises JobCancelled once the job is cancelled.
        record: (store, params, result, out_dir, person) -> what is kept in the job's row, JSON values only.
    """

    name: str
    prepare: Callable[[Any, Mapping[str, Any]], dict[str, Any]]
    compute: Callable[[dict[str, Any], Path, Progress], dict[str, Any]]
    record: Callable[[Any, dict[str, Any], dict[str, Any], Path, str], dict[str, Any]]


def log_unexpected(kind: str, frames: list[str]) -> str:
    """Logs a bug's type and stack, never its text (which may name a patient's files); returns a short id to quote."""
    error_id = uuid.uuid4().hex[:8]
    logger.error("error %s: %s\n%s", error_id, kind, "".join(frames))
    return error_id


def explain(error: BaseException) -> str:
    """The one sentence a person gets to see: a TwinReviewError's own text, else an id under which the rest is logged."""
    if isinstance(error, TwinReviewError):
        return str(error)
    return _apology(log_unexpected(type(error).__name__, traceback.format_tb(error.__traceback__)))


def _apology(error_id: str) -> str:
    return f"Something in TwinReview went wrong (error {error_id}). Nothing was stored; the log has the details."


def run_inline(
    store: JobStore, kind: JobKind, args: Mapping[str, Any], person: str, progress: Progress = no_progress
) -> dict[str, Any]:
    """Runs a job here and now, with its row in the jobs table.

    Returns:
        What `kind.record` returned.

    Raises:
        TwinReviewError: from any step; the row then says failed (cancelled for JobCancelled). A request that
            `prepare` refuses leaves no row.
    """
    params = kind.prepare(store, args)
    job_id = store.create_job(kind.name, dict(args), person)
    folder = store.root / "jobs" / job_id
    out_dir = _fresh(folder / "out")
    try:
        store.update_job(job_id, status="running", progress=0.0, message="Started")

        def tell(fraction: float, message: str) -> None:
            store.update_job(job_id, progress=fraction, message=message)
            progress(fraction, message)

        result = kind.compute(params, out_dir, _Reporter(tell, folder / "cancel"))
        kept = kind.record(store, params, result, out_dir, person)
        store.update_job(job_id, status="done", progress=1.0, message="Done", result=kept)
    except JobCancelled as error:
        store.update_job(job_id, status="cancelled", message=str(error))
        raise
    except Exception as error:
        store.update_job(job_id, status="failed", message=explain(error))
        raise
    except BaseException:  # Ctrl-C
        store.update_job(job_id, status="interrupted", message="Stopped from the keyboard.")
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return kept


class _Reporter:
    """A progress callback that passes on at most one call in REPORT_EVERY_S and raises once the flag file is there."""

    def __init__(self, tell: Progress, flag: Path) -> None:
        self._tell, self._flag, self._last = tell, flag, -REPORT_EVERY_S

    def __call__(self, fraction: float, message: str) -> None:
        if self._flag.exists():
            raise JobCancelled("The job was cancelled; nothing was stored.")
        now = time.monotonic()
        if now - self._last >= REPORT_EVERY_S:
            self._last = now
            self._tell(min(1.0, max(0.0, float(fraction))), message)


def _fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _count(file: Path) -> int:
    """Adds one to the number in `file`; returns it."""
    count = (int(file.read_text()) if file.exists() else 0) + 1
    file.write_text(str(count))
    return count


def _attempt(work: str, params: dict[str, Any], folder_name: str) -> dict[str, Any]:
    """In the worker: one go at a job.

    Returns an outcome rather than raising: Dask would log the arguments, which name a patient's files.
    """
    from distributed import get_worker

    worker, folder = get_worker(), Path(folder_name)

    def tell(fraction: float, message: str) -> None:
        worker.log_event(TOPIC, {"job": folder.name, "fraction": fraction, "message": message})

    try:
        if _count(folder / "taken") > ATTEMPTS:
            return {"status": "failed", "message": WORKER_DIED}
        _Reporter(tell, folder / "cancel")(0.0, "Started")
        module, _, name = work.rpartition(":")
        compute = getattr(importlib.import_module(module), name)
        result = compute(params, _fresh(folder / "out"), _Reporter(tell, folder / "cancel"))
        return {"status": "computed", "result": json.loads(json.dumps(result))}
    except JobCancelled as error:
        return {"status": "cancelled", "message": str(error)}
    except TwinReviewError as error:
        return {"status": "failed", "message": str(error)}
    except Exception as error:
        frames = traceback.format_tb(error.__traceback__)
        return {"status": "failed", "bug": type(error).__name__, "frames": frames}


@dataclass
class _Live:
    """A job this process looks after. `future` is held or Dask would forget the task."""

    kind: JobKind
    params: dict[str, Any]
    person: str
    folder: Path
    future: Any = None
    running: bool = False
    latest: tuple[float, str] | None = None


@dataclass
class JobRunner:
    """Runs jobs on Dask for the process that owns the store.

    Dask starts with the first job: TWIN_WORKERS processes (default 1) on this machine, or the cluster at TWIN_DASK,
    which must see the data root under the same path and have this project importable.
    """

    store: JobStore
    kinds: Mapping[str, JobKind]
    _live: dict[str, _Live] = field(default_factory=dict, init=False, repr=False)
    _client: Any = field(default=None, init=False, repr=False)
    _cluster: Any = field(default=None, init=False, repr=False)
    _closing: bool = field(default=False, init=False, repr=False)
    #: Guards `_live` and every write to a job's row, so that no late progress overwrites a final status.
    _lock: threading.RLock = field(default_factory=threading.RLock, init=False, repr=False)
    #: One thread starts Dask and sends; one thread writes what comes back, in order.
    _sender: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "job-sender"), init=False)
    _writer: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "job-writer"), init=False)

    def submit(self, kind: str, args: Mapping[str, Any], person: str) -> str:
        """Queues a job and returns its id at once.

        Raises:
            InputError: no such kind.
            TwinReviewError: `prepare` refused the request; no row is made.
        """
        if kind not in self.kinds:
            raise InputError(f"Expected a job of kind {', '.join(sorted(self.kinds))}, got {kind!r}.")
        params = self.kinds[kind].prepare(self.store, args)
        job_id = self.store.create_job(kind, dict(args), person)
        self._queue(job_id, self.kinds[kind], params, person)
        return job_id

    def cancel(self, job_id: str) -> None:
        """Asks a job to stop. Queued: it never starts. Running: it stops at its next report of progress."""
        with self._lock:
            if self.store.job(job_id)["status"] in FINAL:
                return
            live = self._live.get(job_id)
            if live is None:
                self.store.update_job(job_id, status="cancelled", message="Cancelled; it was not running.")
                return
            (live.folder / "cancel").touch()
            self.store.update_job(job_id, message="Cancelling")
            if live.future is not None and not live.running:
                live.future.cancel()

    def recover(self) -> dict[str, str]:
        """At start: takes up the jobs that a process which is gone left behind, each once more.

        Returns:
            job_id -> what became of it: "queued", "cancelled", "failed" or "interrupted".
        """
        left = [j for s in ("queued", "running") for j in self.store.jobs(limit=10_000, status=s)]
        fates = {}
        for row in sorted(left, key=lambda r: str(r["created_at"])):
            if row["job_id"] not in self._live:
                fates[row["job_id"]] = self._recover_one(row)
        return fates

    def close(self) -> None:
        """Stops Dask. Jobs under way keep their row and are taken up by the next `recover`."""
        self._closing = True
        self._sender.shutdown(wait=True, cancel_futures=True)
        for part in (self._client, self._cluster):
            if part is not None:
                part.close()
        self._writer.shutdown(wait=True)

    def _recover_one(self, row: dict[str, Any]) -> str:
        job_id, folder = row["job_id"], self.store.root / "jobs" / row["job_id"]
        message = ""
        if (folder / "recording").exists():
            status, message = "interrupted", STOPPED_RECORDING
        elif (folder / "cancel").exists():
            status, message = "cancelled", "The job was cancelled; nothing was stored."
        elif row["kind"] not in self.kinds:
            status, message = "interrupted", f"This version of TwinReview has no job of kind {row['kind']!r}."
        elif folder.exists() and _count(folder / "restarts") >= ATTEMPTS:
            status, message = "interrupted", STOPPED_TWICE
        else:
            kind = self.kinds[row["kind"]]
            try:
                params = kind.prepare(self.store, row["params"])
            except Exception as error:
                status, message = "failed", explain(error)
            else:
                (folder / "taken").unlink(missing_ok=True)
                self.store.update_job(job_id, status="queued", message="Waiting; TwinReview was restarted")
                self._queue(job_id, kind, params, row["person"])
                return "queued"
        self.store.update_job(job_id, status=status, message=message)
        shutil.rmtree(folder, ignore_errors=True)
        return status

    def _queue(self, job_id: str, kind: JobKind, params: dict[str, Any], person: str) -> None:
        folder = self.store.root / "jobs" / job_id
        folder.mkdir(parents=True, exist_ok=True)
        with self._lock:
            self._live[job_id] = _Live(kind, params, person, folder)
        self._sender.submit(self._send, job_id)

    def _send(self, job_id: str) -> None:
        live = self._live[job_id]
        try:
            if self._client is None:
                self._connect()
            with self._lock:
                if (live.folder / "cancel").exists():
                    raise JobCancelled("The job was cancelled before it started.")
                work = f"{live.kind.compute.__module__}:{live.kind.compute.__qualname__}"
                key = f"{job_id}-{uuid.uuid4().hex[:6]}"  # a key Dask has not seen, also after a restart
                live.future = self._client.submit(_attempt, work, live.params, str(live.folder), key=key, pure=False)
            live.future.add_done_callback(lambda future: self._collect(job_id, future))
        except JobCancelled as error:
            self._write(self._settle, job_id, {"status": "cancelled", "message": str(error)})
        except Exception as error:
            if not self._closing:
                self._write(self._settle, job_id, {"status": "failed", "message": explain(error)})

    def _connect(self) -> None:
        import dask
        from distributed import Client, LocalCluster

        address = os.environ.get("TWIN_DASK")
        if address:
            try:
                self._client = Client(address, timeout=10, set_as_default=False)
            except (OSError, ValueError):
                raise InputError(
                    "No Dask scheduler answers at the address in TWIN_DASK. Start it, correct the address, "
                    "or unset TWIN_DASK to compute on this machine."
                ) from None
        else:
            dask.config.set(_dask_settings(workers := _whole("TWIN_WORKERS", 1)))
            self._cluster = LocalCluster(
                n_workers=workers, threads_per_worker=1, processes=True, host="127.0.0.1",
                dashboard_address=None, memory_limit=0, silence_logs=logging.ERROR,
            )  # fmt: skip
            self._client = Client(self._cluster, set_as_default=False)
        self._client.subscribe_topic(TOPIC, self._heard)

    def _heard(self, event: tuple[float, dict[str, Any]]) -> None:
        """On Dask's own thread: notes the progress and leaves the writing to the writer."""
        live = self._live.get(event[1]["job"])
        if live is not None:
            waiting, live.latest = live.latest, (event[1]["fraction"], event[1]["message"])
            if waiting is None:
                self._write(self._note, event[1]["job"])

    def _note(self, job_id: str) -> None:
        with self._lock:
            live = self._live.get(job_id)
            if live is None or live.latest is None:
                return
            (fraction, message), live.latest = live.latest, None
            if (live.folder / "cancel").exists():
                message = "Cancelling"
            status = None if live.running else "running"
            live.running = True
            self.store.update_job(job_id, status=status, progress=fraction, message=message)

    def _collect(self, job_id: str, future: Any) -> None:
        """On Dask's callback thread: turns a finished future into an outcome."""
        from distributed.scheduler import KilledWorker

        try:
            outcome = future.result()
        except CancelledError:
            if self._closing:
                return
            outcome = {"status": "cancelled", "message": "The job was cancelled; nothing was stored."}
            if not (self._live[job_id].folder / "cancel").exists():
                outcome = {"status": "failed", "message": "The Dask cluster dropped this job. Start it again."}
        except KilledWorker:
            outcome = {"status": "failed", "message": WORKER_DIED}
        except Exception as error:
            outcome = {"status": "failed", "message": explain(error)}
        self._write(self._settle, job_id, outcome)

    def _settle(self, job_id: str, outcome: dict[str, Any]) -> None:
        with self._lock:
            live = self._live.pop(job_id)
            if outcome["status"] == "computed":
                outcome = self._record(live, outcome["result"])
            elif "bug" in outcome:
                outcome = {**outcome, "message": _apology(log_unexpected(outcome["bug"], outcome["frames"]))}
            done = {"progress": 1.0, "result": outcome.get("result")} if outcome["status"] == "done" else {}
            self.store.update_job(job_id, status=outcome["status"], message=outcome["message"], **done)
            shutil.rmtree(live.folder, ignore_errors=True)

    def _record(self, live: _Live, result: dict[str, Any]) -> dict[str, Any]:
        (live.folder / "recording").touch()
        try:
            kept = live.kind.record(self.store, live.params, result, live.folder / "out", live.person)
        except Exception as error:
            return {"status": "failed", "message": explain(error)}
        return {"status": "done", "message": "Done", "result": kept}

    def _write(self, what: Callable[..., None], *args: Any) -> None:
        if not self._closing:
            self._writer.submit(what, *args)


def _whole(variable: str, default: int) -> int:
    text = os.environ.get(variable, str(default))
    if not text.isdigit() or int(text) < 1:
        raise InputError(f"Expected {variable} to be a whole number from 1 on, got {text!r}.")
    return int(text)


def _dask_settings(workers: int) -> dict[str, Any]:
    """Workers may have children (nnU-Net's pools), use their share of the cores, and are replaced once."""
    threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, (os.cpu_count() or 1) // workers))
    return {
        "distributed.worker.daemon": False,
        "distributed.worker.profile.enabled": False,
        "distributed.scheduler.allowed-failures": ATTEMPTS - 1,
        "distributed.nanny.pre-spawn-environ": {"OMP_NUM_THREADS": threads, "MALLOC_TRIM_THRESHOLD_": "65536"},
    }
