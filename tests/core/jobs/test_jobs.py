"""Jobs on the real store and real Dask workers: progress, cancel, failure, dead workers, restarts."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import psutil
import pytest

from core.errors import InputError, JobCancelled, ModelError
from core.jobs import jobs, runner
from core.jobs.jobs import JobKind, Reporter, run_inline
from core.jobs.runner import JobRunner
from store import Store, open_store
from tests.core.jobs.sleeping_job import KIND, KINDS, ROOT, compute, prepare, record, scratch, swept, wait_for


def test_inline_computes_records_and_tells(store: Store):
    seen = []
    kept = run_inline(store, KIND, {"steps": 2}, "demo", lambda fraction, message: seen.append((fraction, message)))
    assert kept["by"] == "demo"
    assert kept["text"] == "voxels"
    assert seen[0] == (0.0, "step 0")
    (row,) = store.jobs.newest()
    assert (row.status, row.progress, row.person, row.kind) == ("done", 1.0, "demo", "sleep")
    assert row.result == kept
    assert scratch(store) == []


def test_inline_passes_the_words_on_and_keeps_them_in_the_row(store: Store):
    with pytest.raises(ModelError, match="Expected weights"):
        run_inline(store, KIND, {"fail": "words"}, "demo")
    (row,) = store.jobs.newest()
    assert (row.status, row.message) == ("failed", "Expected weights, got none. Put them into weights/.")
    assert scratch(store) == []


def test_inline_bug_leaves_an_apology_without_the_bug_s_text(store: Store, caplog):
    with pytest.raises(KeyError):
        run_inline(store, KIND, {"fail": "bug", "patient": "SECRET"}, "demo")
    (row,) = store.jobs.newest()
    assert row.status == "failed"
    error_id = row.message.split("error ")[1][:8]
    assert error_id in caplog.text
    assert "KeyError" in caplog.text
    assert "SECRET" not in row.message + caplog.text


def test_inline_cancel_is_not_a_failure(store: Store):
    def cancelled(params, out_dir, progress):
        (out_dir.parent / "cancel").touch()
        progress(0.5, "half")
        raise AssertionError("progress should have raised")

    with pytest.raises(JobCancelled):
        run_inline(store, JobKind("sleep", prepare, cancelled, record), {}, "demo")
    assert [row.status for row in store.jobs.newest()] == ["cancelled"]


def test_a_refused_request_leaves_no_row(store: Store):
    with pytest.raises(InputError, match="Draw one"):
        run_inline(store, KIND, {"refuse": True}, "demo")
    with pytest.raises(InputError, match="Draw one"):
        JobRunner(store, KINDS).submit("sleep", {"refuse": True}, "demo")
    with pytest.raises(InputError, match=r"Expected a job of kind sleep, got 'dream'"):
        JobRunner(store, KINDS).submit("dream", {}, "demo")
    assert store.jobs.newest() == []


def test_progress_is_passed_on_at_most_twice_a_second(tmp_path, monkeypatch):
    now, seen = [0.0], []
    # The module's own clock alone: every other thread of this process goes by the real one.
    monkeypatch.setattr(jobs, "time", SimpleNamespace(monotonic=lambda: now[0]))
    report = Reporter(lambda fraction, message: seen.append(fraction), tmp_path / "cancel")
    for tick in range(101):  # ten seconds
        now[0] = tick / 10
        report(tick / 100, "")
    assert len(seen) == 21
    assert seen[0] == 0.0
    report_far = Reporter(lambda fraction, message: seen.append(fraction), tmp_path / "cancel")
    report_far(7.0, "")
    assert seen[-1] == 1.0


def test_a_job_is_computed_by_a_worker_and_recorded_here(running):
    job_id = running.submit("sleep", {"steps": 30, "pool": True}, "demo")
    assert running.store.jobs.get(job_id).status == "queued", "submit waits for nothing, not even for Dask to start"
    row = wait_for(running.store, job_id, {"running"})
    fractions = []
    while row.status == "running":
        fractions.append(row.progress)
        time.sleep(0.05)
        row = running.store.jobs.get(job_id)
    row = wait_for(running.store, job_id)
    assert (row.status, row.progress, row.message) == ("done", 1.0, "Done")
    assert fractions == sorted(fractions)
    assert len(set(fractions)) > 1, "progress is seen while the job runs"
    assert row.result["by"] == "demo"
    assert row.result["recorder"] == os.getpid() != row.result["pid"]
    assert swept(running.store, job_id)


def test_a_failing_job_says_why_and_the_next_one_runs(running, caplog, capfd):
    words = running.submit("sleep", {"fail": "words"}, "demo")
    bug = running.submit("sleep", {"fail": "bug", "patient": "SECRET"}, "demo")
    stored = running.submit("sleep", {"fail": "record"}, "demo")
    good = running.submit("sleep", {}, "demo")
    assert wait_for(running.store, words).message == "Expected weights, got none. Put them into weights/."
    assert wait_for(running.store, bug).status == "failed"
    assert "(error " in running.store.jobs.get(bug).message
    assert wait_for(running.store, stored).message == "Expected a free version number, got a taken one."
    assert wait_for(running.store, good).status == "done"
    out, err = capfd.readouterr()
    assert "KeyError" in caplog.text
    assert "SECRET" not in caplog.text + out + err + running.store.jobs.get(bug).message


def test_cancel_stops_a_running_job_and_a_queued_one_never_starts(running, tmp_path):
    long = running.submit("sleep", {"steps": 600}, "demo")
    queued = running.submit("sleep", {"marks": str(tmp_path)}, "demo")
    wait_for(running.store, long, {"running"})
    running.cancel(queued, "demo")
    assert wait_for(running.store, queued).status == "cancelled"
    assert running.store.jobs.get(long).status == "running"
    running.cancel(long, "demo")
    assert wait_for(running.store, long, seconds=10).status == "cancelled"
    running.cancel(long, "demo")  # again: nothing happens
    assert running.store.jobs.get(long).status == "cancelled"
    time.sleep(0.5)
    assert list(tmp_path.iterdir()) == []
    assert running.store.jobs.get(queued).status == "cancelled"
    said = [e for e in running.store.audit_log(50) if e["action"] == "job.cancelled"]
    assert {(e["person"], e["payload"]["job_id"]) for e in said} == {("demo", long), ("demo", queued)}
    assert swept(running.store, long, queued)


def test_a_dead_worker_is_replaced_once(running, tmp_path, capfd):
    once, always = tmp_path / "once", tmp_path / "always"
    once.mkdir()
    always.mkdir()
    first = running.submit("sleep", {"die": "once", "marks": str(once), "steps": 8}, "demo")
    assert wait_for(running.store, first).status == "done"
    assert len(list(once.iterdir())) == 2
    second = running.submit("sleep", {"die": "always", "marks": str(always), "steps": 3}, "demo")
    row = wait_for(running.store, second)
    assert (row.status, row.message) == ("failed", runner.WORKER_DIED)
    assert len(list(always.iterdir())) == 2
    third = running.submit("sleep", {}, "demo")
    assert wait_for(running.store, third).status == "done"


CRASHING = """
import os, signal, sys, time
from pathlib import Path
from store import open_store
from core.jobs.runner import JobRunner
from tests.core.jobs.sleeping_job import KINDS

if __name__ == "__main__":
    root, marks, act = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    store = open_store(root)
    runner = JobRunner(store, KINDS)
    if act == "submit":
        job_id = runner.submit("sleep", {"steps": 100, "marks": str(marks)}, "demo")
    else:
        (job_id,) = runner.recover()
    while store.jobs.get(job_id).status != "running":
        time.sleep(0.05)
    print(job_id, flush=True)
    if act == "end":
        runner.close()
        store.close()
    else:
        os.kill(os.getpid(), signal.SIGKILL)
"""


def crash(tmp_path, act):
    program = tmp_path / "crashing.py"
    program.write_text(CRASHING)
    (tmp_path / "marks").mkdir(exist_ok=True)
    result = subprocess.run(
        [sys.executable, str(program), str(tmp_path / "data"), str(tmp_path / "marks"), act],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == (0 if act == "end" else -signal.SIGKILL), result.stderr
    pids = {int(path.name.split("-")[1]) for path in (tmp_path / "marks").iterdir()}
    until = time.monotonic() + 20
    while any(psutil.pid_exists(pid) for pid in pids):
        assert time.monotonic() < until, "a worker outlives the process that owns it"
        time.sleep(0.1)
    return result.stdout.strip()


@pytest.mark.soak
def test_a_job_survives_one_restart_and_is_given_up_after_two(tmp_path):
    job_id = crash(tmp_path, "submit")
    once, twice = tmp_path / "once", tmp_path / "data"
    shutil.copytree(twice, once)

    with open_store(once) as store:
        assert store.jobs.get(job_id).status == "running"
        quick = JobRunner(store, {"sleep": JobKind("sleep", lambda s, a, p: {"steps": 1}, compute, record)})
        assert quick.recover() == {job_id: "queued"}
        assert quick.recover() == {}, "this process looks after it already"
        row = wait_for(store, job_id)
        quick.close()
        assert (row.status, row.result["by"]) == ("done", "demo")

    assert crash(tmp_path, "end") == job_id, "taken up, then the program ended as it should"
    with open_store(twice) as store:
        assert store.jobs.get(job_id).status == "running", "an end is not a cancel"
        assert JobRunner(store, KINDS).recover() == {job_id: "interrupted"}
        assert store.jobs.get(job_id).message == runner.STOPPED_TWICE
        assert scratch(store) == []


def test_what_cannot_be_taken_up_says_why(store: Store):
    recording, unknown, cancelled, refused = (
        store.jobs.create(kind, args, "demo")
        for kind, args in (("sleep", {}), ("dream", {}), ("sleep", {}), ("sleep", {"refuse": True}))
    )
    for job_id, flag in ((recording, "recording"), (cancelled, "cancel")):
        (store.root / "jobs" / job_id).mkdir(parents=True)
        (store.root / "jobs" / job_id / flag).touch()
    fates = JobRunner(store, KINDS).recover()
    assert fates == {
        recording: "interrupted",
        unknown: "interrupted",
        cancelled: "cancelled",
        refused: "failed",
    }
    assert store.jobs.get(recording).message == runner.STOPPED_RECORDING
    assert "no job of kind 'dream'" in store.jobs.get(unknown).message
    assert store.jobs.get(refused).message == "Expected a lesion, got none. Draw one."
    assert scratch(store) == []
