"""How a job ends where its row or its folder cannot be written, and where it was cancelled meanwhile."""

from __future__ import annotations

import errno
import threading
import time
from pathlib import Path

import pytest

from core.errors import StoreError
from core.jobs import jobs, runner
from core.jobs.jobs import FINAL, JobKind
from core.jobs.runner import JobRunner
from store import Store
from tests.core.jobs.sleeping_job import KIND, KINDS, compute, prepare, swept, wait_for


class Refusing:
    """The store, whose jobs refuse the first writes of a kind: those whose values `refuses` says yes to."""

    def __init__(self, store: Store, refuses, times=1):
        self.root, self.jobs = store.root, RefusingJobs(store, refuses, times)
        self.seen_by = store.seen_by
        self.seen_by = store.seen_by


class RefusingJobs:
    def __init__(self, store: Store, refuses, times):
        self._jobs, self._refuses, self.left = store.jobs, refuses, times

    def __getattr__(self, name):
        return getattr(self._jobs, name)

    def update(self, job_id, **values):
        if self.left and self._refuses(values):
            self.left -= 1
            raise StoreError("The disk that holds the data is full.")
        self._jobs.update(job_id, **values)


def settled_by(store, outcome, kind=KIND, *, cancelled=False, **args):
    """A runner that was given the outcome of a job as Dask gives it, without Dask; and the job's id."""
    job_id = store.jobs.create("sleep", args, "demo")
    store.jobs.update(job_id, status="running", progress=0.5, message="half")
    started = JobRunner(store, {"sleep": kind})
    folder = store.root / "jobs" / job_id
    (folder / "out").mkdir(parents=True)
    (folder / "out" / "mask").write_text("voxels")
    started._live[job_id] = runner._Live(kind, args, "demo", folder, out_dir=folder / "out", running=True)
    if cancelled:
        started.cancel(job_id, "demo")
    started._write(started._settle, job_id, outcome)
    return started, job_id


def forgotten(started: JobRunner, seconds: float = 30) -> bool:
    """Whether the runner holds no job any more; its row is written a moment before."""
    until = time.monotonic() + seconds
    while started._live and time.monotonic() < until:
        time.sleep(0.01)
    return not started._live


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        ({"status": "computed", "result": {"pid": 1}}, "done"),
        ({"status": "failed", "message": "Expected weights."}, "failed"),
        ({"status": "cancelled", "message": "Cancelled."}, "cancelled"),
    ],
)
def test_a_job_whose_end_cannot_be_written_ends_once_it_can(store: Store, monkeypatch, caplog, outcome, status):
    monkeypatch.setattr(runner, "RETRY_S", 0.3)
    full = Refusing(store, lambda values: values.get("status") in FINAL, times=3)
    started, job_id = settled_by(full, outcome)
    until = time.monotonic() + 30
    while full.jobs.left == 3:
        assert time.monotonic() < until
        time.sleep(0.01)
    started.cancel(job_id, "demo")
    assert store.jobs.get(job_id).status == "running", "too late: what it made is stored"
    row = wait_for(store, job_id, seconds=30)
    assert row.status == status
    assert swept(store, job_id)
    assert forgotten(started)
    assert job_id in caplog.text
    started.close()


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        ({"status": "computed", "result": {"pid": 1}}, jobs.CANCELLED),
        ({"status": "failed", "message": "Expected weights."}, "Expected weights."),
        ({"status": "cancelled", "message": jobs.CANCELLED}, jobs.CANCELLED),
    ],
)
def test_what_a_worker_had_computed_when_its_job_was_cancelled_is_not_stored(store: Store, outcome, words):
    stored = []

    def stores(*args):
        stored.append(args)
        return {}

    kind = JobKind("sleep", prepare, compute, stores)
    started, job_id = settled_by(store, outcome, kind, cancelled=True)
    row = wait_for(store, job_id, seconds=30)
    assert (row.status, row.message, row.result) == ("cancelled", words, None)
    assert stored == []
    assert swept(store, job_id)
    assert [e["person"] for e in store.audit_log(9) if e["action"] == "job.cancelled"] == ["demo"]
    started.close()


def test_a_job_whose_result_is_being_stored_is_not_cancelled_any_more(store: Store):
    storing, asked = threading.Event(), threading.Event()

    def slow(*args):
        storing.set()
        assert asked.wait(30)
        return {"version": 1}

    started, job_id = settled_by(store, {"status": "computed", "result": {}}, JobKind("sleep", prepare, compute, slow))
    assert storing.wait(30)
    started.cancel(job_id, "demo")
    assert (store.jobs.get(job_id).status, store.jobs.get(job_id).message) == ("running", "half")
    asked.set()
    row = wait_for(store, job_id, seconds=30)
    assert (row.status, row.result) == ("done", {"version": 1})
    assert [e for e in store.audit_log(9) if e["action"] == "job.cancelled"] == []
    started.close()


def test_progress_that_arrives_after_a_cancel_does_not_hide_it(store: Store):
    job_id = store.jobs.create("sleep", {}, "demo")
    started = JobRunner(store, KINDS)
    folder = store.root / "jobs" / job_id
    folder.mkdir(parents=True)
    started._live[job_id] = runner._Live(KIND, {}, "demo", folder)
    started.cancel(job_id, "demo")
    started._heard((0.0, {"job": job_id, "fraction": 0.5, "message": "step 5"}))
    started._writer.submit(lambda: None).result(30)
    assert (store.jobs.get(job_id).message, store.jobs.get(job_id).progress) == ("Cancelling", 0.5)
    started.close()


def test_a_job_that_ended_is_not_cancelled(store: Store):
    started = JobRunner(store, KINDS)
    for status in sorted(FINAL):
        job_id = store.jobs.create("sleep", {}, "demo")
        store.jobs.update(job_id, status=status, message="ended")
        started.cancel(job_id, "demo")
        assert (store.jobs.get(job_id).status, store.jobs.get(job_id).message) == (status, "ended")
    waits = store.jobs.create("sleep", {}, "demo")  # of a process that is gone
    started.cancel(waits, "demo")
    assert store.jobs.get(waits).status == "cancelled"
    started.close()


def test_a_job_whose_result_cannot_stand_in_its_row_has_failed(store: Store):
    kind = JobKind("sleep", prepare, compute, lambda *args: {"share": float("nan")})
    started, job_id = settled_by(store, {"status": "computed", "result": {}}, kind)
    row = wait_for(store, job_id, seconds=30)
    assert (row.status, row.result) == ("failed", None)
    assert "finite" in row.message
    assert swept(store, job_id)
    assert forgotten(started)
    started.close()


def test_a_job_that_has_no_room_for_its_files_has_failed(store: Store, monkeypatch):
    touch = Path.touch

    def full(path, *args, **more):
        if path.name == "recording":
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        touch(path, *args, **more)

    monkeypatch.setattr(Path, "touch", full)
    started, job_id = settled_by(store, {"status": "computed", "result": {"pid": 1}})
    row = wait_for(store, job_id, seconds=30)
    assert row.status == "failed"
    assert "No space left on device" in row.message
    assert str(store.root) not in row.message
    assert forgotten(started)
    started.close()


def no_room_for_jobs(monkeypatch):
    """From here on the disk has no room for a job's folder."""
    mkdir = Path.mkdir

    def full(path, *args, **more):
        if "jobs" in path.parts:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        mkdir(path, *args, **more)

    monkeypatch.setattr(Path, "mkdir", full)


def test_a_job_that_was_left_behind_and_finds_no_room_has_failed_and_stops_no_other(store: Store, monkeypatch):
    job_id = store.jobs.create("sleep", {}, "demo")
    started = JobRunner(store, KINDS)
    no_room_for_jobs(monkeypatch)
    assert started.recover() == {job_id: "failed"}
    monkeypatch.undo()
    row = store.jobs.get(job_id)
    assert row.status == "failed"
    assert "No space left on device" in row.message
    assert str(store.root) not in row.message
    assert started.recover() == {}
    started.close()


def test_a_job_whose_folder_cannot_be_made_is_refused_and_does_not_wait_for_ever(store: Store, monkeypatch):
    started = JobRunner(store, KINDS)
    no_room_for_jobs(monkeypatch)
    with pytest.raises(StoreError, match="No space left on device") as refused:
        started.submit("sleep", {}, "demo")
    monkeypatch.undo()
    assert str(store.root) not in str(refused.value)
    assert [row.status for row in store.jobs.newest()] == ["failed"]
    assert forgotten(started)
    started.close()


def test_progress_that_cannot_be_written_is_passed_over_and_the_next_says_that_the_job_runs(store: Store):
    full = Refusing(store, lambda values: values.get("message") == "step 0")
    job_id = store.jobs.create("sleep", {}, "demo")
    started = JobRunner(full, KINDS)
    started._live[job_id] = runner._Live(KIND, {}, "demo", store.root / "jobs" / job_id)
    for step in range(2):
        started._heard((0.0, {"job": job_id, "fraction": step / 2, "message": f"step {step}"}))
        started._writer.submit(lambda: None).result(30)
    row = store.jobs.get(job_id)
    assert (row.status, row.progress, row.message) == ("running", 0.5, "step 1")
    started.close()
