"""Work that asks the store itself is done beside it: in the background, cancelled, taken up again, without a worker."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from core.jobs.jobs import AtStore, JobKind, run_inline
from core.jobs.runner import JobRunner
from store import Store
from tests.core.jobs.sleeping_job import prepare, swept, wait_for


def look(store: Store, params, progress):
    """Asks the store itself; params say what goes wrong, and `wait` names a file to wait for."""
    while "wait" in params and not Path(params["wait"]).exists():
        progress(0.5, "waiting")
        time.sleep(0.05)
    if params.get("fail"):
        raise KeyError(params["fail"])
    return {"people": len(store.people.all()), "pid": os.getpid()}


AT_STORE = {"look": JobKind("look", prepare, AtStore(look), lambda store, params, result, out_dir, person: result)}


@pytest.fixture
def beside(store: Store):
    """A runner of work that asks the store; Dask is never needed for it."""
    started = JobRunner(store, AT_STORE)
    yield started
    started.close()
    assert started._client is None


def test_work_that_asks_the_store_is_done_beside_it_without_a_worker(store: Store, beside: JobRunner):
    row = wait_for(store, beside.submit("look", {}, "demo"))
    assert (row.status, row.message, row.result) == ("done", "Done", {"people": 3, "pid": os.getpid()})
    assert swept(store, row.job_id)
    assert run_inline(store, AT_STORE["look"], {}, "ann") == row.result


def test_work_beside_the_store_tells_how_far_it_is_lets_others_write_and_can_be_cancelled(
    store: Store, beside: JobRunner, tmp_path: Path
):
    job = beside.submit("look", {"wait": str(tmp_path / "go")}, "demo")
    next_one = beside.submit("look", {}, "demo")
    row = wait_for(store, job, {"running"})
    while row.message != "waiting":
        row = store.jobs.get(job)
    assert row.progress == 0.5
    store.people.add("cleo", by="demo")
    assert store.jobs.get(next_one).status == "queued"
    beside.cancel(job, "demo")
    assert wait_for(store, job).status == "cancelled"
    assert wait_for(store, next_one).result == {"people": 4, "pid": os.getpid()}


def test_a_bug_beside_the_store_is_an_apology(store: Store, beside: JobRunner, caplog):
    row = wait_for(store, beside.submit("look", {"fail": "SECRET"}, "demo"))
    assert row.status == "failed"
    assert "SECRET" not in row.message + caplog.text


def test_work_beside_the_store_is_taken_up_by_the_next_start(store: Store, tmp_path: Path):
    first = JobRunner(store, AT_STORE)
    job = first.submit("look", {"wait": str(tmp_path / "go")}, "demo")
    wait_for(store, job, {"running"})
    first.close()
    assert store.jobs.get(job).status == "running"
    (tmp_path / "go").touch()
    second = JobRunner(store, AT_STORE)
    assert second.recover() == {job: "queued"}
    assert wait_for(store, job).status == "done"
    second.close()
