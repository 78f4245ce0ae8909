"""The job runner: Dask computes, the process that owns the store prepares and records; and what must ask the store
(`core.jobs.jobs.AtStore`) is computed by a thread beside it.

A job's scratch folder {root}/jobs/{job_id}/ holds `cancel` (a flag file), `taken` (how often a worker took the job up),
`restarts` (how often TwinReview was started since), `recording` (the result is being stored) and an `out-…` folder that
`compute` may fill. Dask is imported with the first job, never before: it takes a second.
"""

from __future__ import annotations

import json
import logging
import shutil
import threading
import traceback
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.access import SYSTEM
from core.errors import InputError, JobCancelled, StoreError
from core.jobs import cluster
from core.jobs.jobs import (
    CANCELLED,
    FINAL,
    AtStore,
    JobKind,
    Reporter,
    apology,
    explain,
    log_unexpected,
)
from core.jobs.worker import ATTEMPTS, TOPIC, WORKER_DIED, attempt, count
from core.remembered.rows import Job
from core.remembered.sources import HasJobs, HasPeoplesJobs
from core.settings import settings

logger = logging.getLogger("twinreview.jobs")

#: How long a cluster of somebody else's has to answer.
CONNECT_S = 10

STOPPED_TWICE = "TwinReview was stopped twice while this job was under way. Start it again if it is still wanted."
STOPPED_RECORDING = (
    "TwinReview was stopped while it stored this job's result, which may be there or not. "
    "Look at the patient's versions before starting it again."
)
NO_ROOM = "The data folder refused this job's files ({why}); nothing was stored. Make room, then start it again."
#: How long after a row could not be closed it is tried again, at first and at most; seconds.
RETRY_S, RETRY_AT_MOST_S = 5.0, 300.0


@dataclass
class _Live:
    """A job this process looks after. `future` is held or Dask would forget the task."""

    kind: JobKind
    params: dict[str, Any]
    person: str
    folder: Path
    future: Any = None
    out_dir: Path = Path()
    running: bool = False
    #: Whether its row says that it runs.
    row_runs: bool = False
    recording: bool = False
    latest: tuple[float, str] | None = None


@dataclass
class JobRunner:
    """Runs jobs on Dask for the process that owns the store.

    Dask starts with the first job: TWIN_WORKERS processes (default 1) on this machine, or the cluster at TWIN_DASK,
    which must see the data root under the same path and have this project importable. Either is spoken to by TLS.
    """

    store: HasPeoplesJobs
    kinds: Mapping[str, JobKind]
    _live: dict[str, _Live] = field(default_factory=dict, init=False, repr=False)
    _client: Any = field(default=None, init=False, repr=False)
    _cluster: Any = field(default=None, init=False, repr=False)
    _closing: bool = field(default=False, init=False, repr=False)
    #: Guards `_live` and every write to a job's row, so that no late progress overwrites a final status.
    _lock: threading.RLock = field(default_factory=threading.RLock, init=False, repr=False)
    #: One thread starts Dask and sends; one computes at the store; one writes what comes back, in order.
    _sender: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "job-sender"), init=False)
    _at_store: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "job-at-store"), init=False)
    _writer: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "job-writer"), init=False)

    def submit(self, kind: str, args: Mapping[str, Any], person: str) -> str:
        """Queues a job and returns its id at once.

        Raises:
            InputError: no such kind.
            TwinReviewError: `prepare` refused the request; no row is made.
            StoreError: there is no room for its files, or its row; the row, if there is one, says failed.
        """
        if kind not in self.kinds:
            raise InputError(f"Expected a job of kind {', '.join(sorted(self.kinds))}, got {kind!r}.")
        seen = self._seen_by(person)
        params = self.kinds[kind].prepare(seen, args, person)
        job_id = seen.jobs.create(kind, dict(args), person)
        try:
            self._queue(job_id, self.kinds[kind], params, person)
        except OSError as error:
            why = NO_ROOM.format(why=error.strerror)
            self.store.jobs.update(job_id, status="failed", message=why)
            raise StoreError(why) from None
        return job_id

    def _seen_by(self, person: str) -> HasJobs:
        """What a job is made of is what whoever asks for it sees; what the store does by itself, of all."""
        return self.store if person == SYSTEM else self.store.seen_by(person)

    def cancel(self, job_id: str, person: str) -> None:
        """Asks a job to stop. Queued: it never starts. Running: it stops at its next report of progress.

        Too late, and without effect, once the result is being stored.

        Args:
            person: who cancels it; the audit names them.

        Raises:
            StoreError: if this person may not, or does not see the job.
        """
        self._seen_by(person).jobs.get(job_id)
        with self._lock:
            if self.store.jobs.get(job_id).status in FINAL:
                return
            live = self._live.get(job_id)
            if live is None:
                self.store.jobs.update(
                    job_id, status="cancelled", message="Cancelled; it was not running.", person=person
                )
                return
            if live.recording:
                return
            self.store.jobs.update(job_id, message="Cancelling", person=person)
            (live.folder / "cancel").touch()
            if live.future is not None and not live.running:
                live.future.cancel()

    def recover(self) -> dict[str, str]:
        """At start: takes up the jobs that a process which is gone left behind, each once more.

        Returns:
            job_id -> what became of it: "queued", "cancelled", "failed" or "interrupted".
        """
        left = [j for s in ("queued", "running") for j in self.store.jobs.newest(limit=10_000, status=s)]
        fates = {}
        for row in sorted(left, key=lambda r: str(r.created_at)):
            if row.job_id not in self._live:
                try:
                    fates[row.job_id] = self._recover_one(row)
                except OSError as error:
                    fates[row.job_id] = "failed"
                    self.store.jobs.update(row.job_id, status="failed", message=NO_ROOM.format(why=error.strerror))
        return fates

    def close(self) -> None:
        """Stops Dask. Jobs under way keep their row and are taken up by the next `recover`."""
        self._closing = True
        self._sender.shutdown(wait=True, cancel_futures=True)
        self._at_store.shutdown(wait=True, cancel_futures=True)
        for part in (self._client, self._cluster):
            if part is not None:
                part.close()
        self._writer.shutdown(wait=True)

    def _recover_one(self, job: Job) -> str:
        job_id, folder = job.job_id, self.store.root / "jobs" / job.job_id
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / "recording").exists():
            status, message = "interrupted", STOPPED_RECORDING
        elif (folder / "cancel").exists():
            status, message = "cancelled", CANCELLED
        elif job.kind not in self.kinds:
            status, message = "interrupted", f"This version of TwinReview has no job of kind {job.kind!r}."
        elif count(folder / "restarts") >= ATTEMPTS:
            status, message = "interrupted", STOPPED_TWICE
        else:
            kind = self.kinds[job.kind]
            try:
                params = kind.prepare(self._seen_by(job.person), job.params, job.person)
            except Exception as error:
                status, message = "failed", explain(error)
            else:
                (folder / "taken").unlink(missing_ok=True)
                self.store.jobs.update(job_id, status="queued", message="Waiting; TwinReview was restarted")
                self._queue(job_id, kind, params, job.person)
                return "queued"
        self.store.jobs.update(job_id, status=status, message=message)
        shutil.rmtree(folder, ignore_errors=True)
        return status

    def _queue(self, job_id: str, kind: JobKind, params: dict[str, Any], person: str) -> None:
        folder = self.store.root / "jobs" / job_id
        folder.mkdir(parents=True, exist_ok=True)
        with self._lock:
            self._live[job_id] = _Live(kind, params, person, folder)
        if isinstance(kind.compute, AtStore):
            self._at_store.submit(self._compute_at_store, job_id, kind.compute)
        else:
            work = f"{kind.compute.__module__}:{kind.compute.__qualname__}"
            self._sender.submit(self._send, job_id, work)

    def _compute_at_store(self, job_id: str, compute: AtStore) -> None:
        live = self._live[job_id]

        def tell(fraction: float, message: str) -> None:
            if self._closing:
                raise JobCancelled(CANCELLED)  # nothing is written then: the next start takes the job up again
            self._hear(job_id, fraction, message)

        report = Reporter(tell, live.folder / "cancel")
        try:
            report(0.0, "Started")
            result = compute.work(self._seen_by(live.person), live.params, report)
            outcome = {"status": "computed", "result": json.loads(json.dumps(result))}
        except JobCancelled as error:
            outcome = {"status": "cancelled", "message": str(error)}
        except Exception as error:
            outcome = {"status": "failed", "message": explain(error)}
        self._write(self._settle, job_id, outcome)

    def _send(self, job_id: str, work: str) -> None:
        live = self._live[job_id]
        try:
            if self._client is None:
                self._connect()
            with self._lock:
                if (live.folder / "cancel").exists():
                    raise JobCancelled("The job was cancelled before it started.")
                key = f"{job_id}-{uuid.uuid4().hex[:6]}"  # a key Dask has not seen, also after a restart
                live.out_dir = live.folder / f"out-{key[-6:]}"
                live.future = self._client.submit(attempt, work, live.params, str(live.out_dir), key=key, pure=False)
            live.future.add_done_callback(lambda future: self._collect(job_id, future))
        except JobCancelled as error:
            self._write(self._settle, job_id, {"status": "cancelled", "message": str(error)})
        except Exception as error:
            if not self._closing:
                self._write(self._settle, job_id, {"status": "failed", "message": explain(error)})

    def _connect(self) -> None:
        from distributed import Client

        address = settings().dask
        if address:
            security = cluster.security_for(address)
            try:
                self._client = Client(address, timeout=CONNECT_S, set_as_default=False, security=security)
            except (OSError, ValueError, TypeError):  # TypeError: no certificates in Dask's configuration
                raise InputError(
                    "No Dask scheduler answers at the address in TWIN_DASK with the certificates of Dask's settings. "
                    "Start it, correct the address or the certificates, or unset TWIN_DASK to compute on this machine."
                ) from None
        else:
            self._cluster = cluster.private_cluster(settings().workers, ATTEMPTS - 1)
            self._client = Client(self._cluster, set_as_default=False, security=self._cluster.security)
        self._client.subscribe_topic(TOPIC, self._heard)

    def _heard(self, event: tuple[float, dict[str, Any]]) -> None:
        """On Dask's own thread."""
        self._hear(event[1]["job"], event[1]["fraction"], event[1]["message"])

    def _hear(self, job_id: str, fraction: float, message: str) -> None:
        """Notes the progress and leaves the writing to the writer."""
        live = self._live.get(job_id)
        if live is not None:
            waiting, live.latest = live.latest, (fraction, message)
            if waiting is None:
                self._write(self._note, job_id)

    def _note(self, job_id: str) -> None:
        with self._lock:
            live = self._live.get(job_id)
            if live is None or live.latest is None:
                return
            (fraction, message), live.latest = live.latest, None
            if (live.folder / "cancel").exists():
                message = "Cancelling"
            live.running = True
            self.store.jobs.update(
                job_id, status=None if live.row_runs else "running", progress=fraction, message=message
            )
            live.row_runs = True

    def _collect(self, job_id: str, future: Any) -> None:
        """On Dask's callback thread: turns a finished future into an outcome."""
        from distributed.scheduler import KilledWorker

        try:
            outcome = future.result()
        except CancelledError:
            if self._closing:
                return
            outcome = {"status": "cancelled", "message": CANCELLED}
            if not (self._live[job_id].folder / "cancel").exists():
                outcome = {"status": "failed", "message": "The Dask cluster dropped this job. Start it again."}
        except KilledWorker:
            outcome = {"status": "failed", "message": WORKER_DIED}
        except Exception as error:
            outcome = {"status": "failed", "message": explain(error)}
        self._write(self._settle, job_id, outcome)

    def _settle(self, job_id: str, outcome: dict[str, Any]) -> None:
        """On the writer's thread: records the result and closes the row."""
        live = self._live[job_id]
        with self._lock:
            if (live.folder / "cancel").exists():
                outcome = {"status": "cancelled", "message": outcome.get("message", CANCELLED)}
            live.recording = True
        if outcome["status"] == "computed":  # outside the lock: storing a mask takes seconds
            outcome = self._record(live, outcome["result"])
        elif "bug" in outcome:
            outcome["message"] = apology(log_unexpected(outcome["bug"], outcome["frames"]))
        self._end(job_id, outcome, RETRY_S)

    def _end(self, job_id: str, outcome: dict[str, Any], again_s: float) -> None:
        """Closes the row. While the store refuses (a full disk) the job counts as under way and too late to cancel, for
        its result may be stored; it is tried again after `again_s`, then twice as long, until this process ends."""
        done = {"progress": 1.0, "result": outcome["result"]} if outcome["status"] == "done" else {}
        with self._lock:
            live = self._live[job_id]
            try:
                self.store.jobs.update(job_id, status=outcome["status"], message=outcome["message"], **done)
            except InputError as error:  # what no row can hold is no better the next time
                failed = outcome["status"] == "failed"
                message = apology(log_unexpected("InputError", [])) if failed else explain(error)
                self._end(job_id, {"status": "failed", "message": message}, again_s)
                return
            except Exception as error:
                kind = type(error).__name__
                logger.error("the end of job %s cannot be written (%s); again in %.0f s", job_id, kind, again_s)
                later = (self._end, job_id, outcome, min(2 * again_s, RETRY_AT_MOST_S))
                timer = threading.Timer(again_s, self._write, later)
                timer.daemon = True
                timer.start()
                return
            del self._live[job_id]
        shutil.rmtree(live.folder, ignore_errors=True)

    def _record(self, live: _Live, result: dict[str, Any]) -> dict[str, Any]:
        try:
            (live.folder / "recording").touch()
        except OSError as error:
            return {"status": "failed", "message": NO_ROOM.format(why=error.strerror)}
        try:
            job_result = live.kind.record(self._seen_by(live.person), live.params, result, live.out_dir, live.person)
        except Exception as error:
            return {"status": "failed", "message": explain(error)}
        return {"status": "done", "message": "Done", "result": job_result}

    def _write(self, action: Callable[..., None], *args: Any) -> None:
        if not self._closing:
            self._writer.submit(self._logged, action, *args)

    def _logged(self, action: Callable[..., None], *args: Any) -> None:
        """The writer's executor would keep an error to itself."""
        try:
            action(*args)
        except Exception as error:
            log_unexpected(type(error).__name__, traceback.format_tb(error.__traceback__))
