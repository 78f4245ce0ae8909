"""Rows of long work: what runs, how far it is, what came of it. `core.jobs.jobs` runs them."""

from __future__ import annotations

import uuid

from core.access import SYSTEM
from core.errors import InputError, StoreError
from core.remembered.rows import Job
from core.remembered.untyped import JsonDict, JsonObject
from store.ledger import replay
from store.ledger.writing import Change, LedgerBase, value_of, where
from store.values import check_id, check_text, plain, utc_now

STATUSES = ("queued", "running", "done", "failed", "cancelled", "interrupted")
_JSON = ("params", "result")


class Jobs:
    """Long work, by id."""

    def __init__(self, ledger: LedgerBase) -> None:
        self._ledger = ledger

    def create(self, kind: str, params: JsonObject, person: str) -> str:
        """A new job, queued, at progress 0; returns its id (32 hex digits)."""
        job_id = uuid.uuid4().hex
        values = {"job_id": job_id, "kind": check_id("kind of job", kind), "params": plain(dict(params), "params")}
        self._ledger.write("job.created", person, lambda at: Change(values))
        return job_id

    def update(
        self,
        job_id: str,
        *,
        status: str | None = None,
        progress: float | None = None,
        message: str | None = None,
        result: JsonObject | None = None,
        person: str | None = None,
    ) -> None:
        """Change what is given and leave the rest.

        A new status or result is audited; progress and messages alone are not, since they come several times a second.

        Args:
            person: who cancels the job; audited under this name, whatever changes. None: the job itself reports.

        Raises:
            InputError: for a status that is none, or progress outside 0..1.
            StoreError: if there is no such job, or `person` may not cancel.
        """
        if status is not None and status not in STATUSES:
            raise InputError(f"Expected a status of {', '.join(STATUSES)}, got {str(status)[:40]!r}.")
        if progress is not None and not 0.0 <= progress <= 1.0:
            raise InputError(f"Expected progress between 0 and 1, got {progress}.")
        self.get(job_id)  # says so if there is none
        changes: JsonDict = {}
        if status is not None:
            changes["status"] = status
        if progress is not None:
            changes["progress"] = float(progress)
        if message is not None:
            changes["message"] = check_text("message", message)
        if result is not None:
            changes["result"] = plain(dict(result), "result")
        if person is not None or status is not None or result is not None:
            action = "job.updated" if person is None else "job.cancelled"
            self._ledger.write(action, person or SYSTEM, lambda at: Change({"job_id": job_id, "changes": changes}))
        elif changes:
            if self._ledger.person is not None:
                raise StoreError("Expected a change of status; how far a job is, only the job itself says.")
            with self._ledger.whole.db.transaction():
                replay.update_job(self._ledger.whole.db, job_id, changes, utc_now())

    def get(self, job_id: str) -> Job:
        """One job.

        Raises:
            StoreError: if there is none.
        """
        rows = self._ledger.db.query("SELECT * FROM jobs WHERE job_id = ?", [job_id])
        if not rows:
            raise StoreError(f"There is no job {str(job_id)[:80]!r}.")
        return value_of(Job, rows[0], decoded=_JSON)

    def newest(self, limit: int = 100, status: str | None = None, kind: str | None = None) -> list[Job]:
        """The newest `limit` jobs, newest first; of a status, of a kind."""
        clause, values = where(status=status, kind=kind)
        sql = f"SELECT * FROM jobs{clause} ORDER BY created_at DESC, job_id LIMIT ?"
        return [value_of(Job, row, decoded=_JSON) for row in self._ledger.db.query(sql, [*values, int(limit)])]
