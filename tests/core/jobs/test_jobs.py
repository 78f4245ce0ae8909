"""Jobs on the real store and real Dask workers: progress, cancel, failure, dead workers, restarts."""

from __future__ import annotations

import errno
import logging
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from core.errors import InputError, JobCancelled, ModelError, StoreError
from core.jobs import jobs, runner
from core.jobs.jobs import FINAL, AtStore, JobKind, Reporter, run_inline
from core.jobs.runner import JobRunner
from core.settings import settings
from store import Store, open_store

ROOT = Path(__file__).resolve().parents[3]


def prepare(store: Store, args, person):
    if args.get("refuse"):
        raise InputError("Expected a lesion, got none. Draw one.")
    return {**args, "prepared": True}


def compute(params, out_dir, progress):
    """Steps of a tenth of a second; params say what goes wrong and when."""
    marks = Path(params["marks"]) if "marks" in params else out_dir
    (marks / f"pid-{os.getpid()}").touch()
    for step in range(params.get("steps", 1)):
        progress(step / params.get("steps", 1), f"step {step}")
        time.sleep(0.1)
        if params.get("die") == "always" or (params.get("die") == "once" and len(list(marks.iterdir())) == 1):
            os.kill(os.getpid(), signal.SIGKILL)
    if params.get("fail") == "words":
        raise ModelError("Expected weights, got none. Put them into weights/.")
    if params.get("fail") == "bug":
        raise KeyError(params["patient"])
    if params.get("pool"):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            assert pool.map(abs, [-3]) == [3]
    (out_dir / "mask").write_text("voxels")
    return {"pid": os.getpid(), "params": params}


def record(store: Store, params, result, out_dir, person):
    if params.get("fail") == "record":
        raise InputError("Expected a free version number, got a taken one.")
    return {"by": person, "text": (out_dir / "mask").read_text(), "pid": result["pid"], "recorder": os.getpid()}


KIND = JobKind("sleep", prepare, compute, record)
KINDS = {"sleep": KIND}


def wait_for(store: Store, job_id, statuses=FINAL, seconds=120):
    until = time.monotonic() + seconds
    while (row := store.jobs.get(job_id)).status not in statuses:
        assert time.monotonic() < until, f"still {row.status}: {row.message}"
        time.sleep(0.05)
    return row


def scratch(store: Store):
    folder = store.root / "jobs"
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def swept(store: Store, *job_ids, seconds=30):
    """True once nothing of these jobs lies about; a job's row is final just before its folder goes."""
    until = time.monotonic() + seconds
    while left := set(job_ids) & set(scratch(store)):
        assert time.monotonic() < until, f"still there: {left}"
        time.sleep(0.05)
    return True


def workers():
    return [p for p in psutil.Process().children() if "spawn_main" in " ".join(p.cmdline())]


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """One runner, with one worker, for the tests of this file."""
    with open_store(tmp_path_factory.mktemp("jobs")) as store:
        started = JobRunner(store, KINDS)
        yield started
        started.close()
        assert workers() == []


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
from tests.core.jobs.test_jobs import KINDS

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


class Refusing:
    """The store, whose jobs refuse the first writes of a kind: those whose values `refuses` says yes to."""

    def __init__(self, store: Store, refuses, times=1):
        self.root, self.jobs = store.root, RefusingJobs(store, refuses, times)
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
    assert started._live == {}
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
    started.cancel(waits, "ann")
    assert store.jobs.get(waits).status == "cancelled"
    started.close()


def test_a_job_whose_result_cannot_stand_in_its_row_has_failed(store: Store):
    kind = JobKind("sleep", prepare, compute, lambda *args: {"share": float("nan")})
    started, job_id = settled_by(store, {"status": "computed", "result": {}}, kind)
    row = wait_for(store, job_id, seconds=30)
    assert (row.status, row.result) == ("failed", None)
    assert "finite" in row.message
    assert swept(store, job_id)
    assert started._live == {}
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
    assert started._live == {}
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
    assert started._live == {}
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


@pytest.fixture
def certificates(tmp_path):
    """Dask's configuration of a clinic that made certificates: files, and the settings that name them."""
    import dask
    from distributed import Security

    made = Security.temporary()
    (tmp_path / "cert.pem").write_text(made.tls_scheduler_cert)
    (tmp_path / "key.pem").write_text(made.tls_scheduler_key)
    cert, key = str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")
    roles = {role: {"cert": cert, "key": key} for role in ("client", "scheduler", "worker")}
    with dask.config.set(
        {"distributed.comm.tls": {**dask.config.get("distributed.comm.tls"), "ca-file": cert, **roles}}
    ):
        yield


def test_a_cluster_by_address_computes_by_tls(store: Store, monkeypatch, certificates):
    from distributed import LocalCluster, Security

    with LocalCluster(
        n_workers=1,
        threads_per_worker=1,
        dashboard_address=":0",
        host="127.0.0.1",
        silence_logs=logging.ERROR,
        protocol="tls://",
        security=Security(require_encryption=True),
    ) as cluster:
        monkeypatch.setenv("TWIN_DASK", cluster.scheduler_address)
        remote = JobRunner(store, KINDS)
        assert wait_for(store, remote.submit("sleep", {}, "demo")).status == "done"
        remote.close()


@pytest.mark.parametrize(
    ("address", "allowed", "words"),
    [
        ("nonsense://nowhere", "yes", "Expected an address with TLS"),
        ("tcp://127.0.0.1:1", "", "Expected an address with TLS"),
        ("127.0.0.1:1", "", "Expected an address with TLS"),
        ("tcp://192.0.2.1:8786", "yes", "Expected an address with TLS"),
        ("tcp://127.0.0.1.example.org:8786", "yes", "Expected an address with TLS"),
        ("tcp://127.0.0.1:1", "yes", "No Dask scheduler answers"),
        ("tls://127.0.0.1:1", "", "No Dask scheduler answers"),  # nor are there certificates
    ],
)
def test_a_wrong_address_or_one_without_tls_is_refused_in_words(store: Store, monkeypatch, address, allowed, words):
    monkeypatch.setenv("TWIN_DASK", address)
    monkeypatch.setenv("TWIN_DASK_WITHOUT_TLS", allowed)
    monkeypatch.setattr(runner, "CONNECT_S", 1)
    lost = JobRunner(store, KINDS)
    row = wait_for(store, lost.submit("sleep", {}, "demo"))
    lost.close()
    assert row.status == "failed"
    assert words in row.message


#: Another account's process: asks for the scheduler at an address, with a certificate of its own making or none.
ANOTHER = """
import sys
from distributed import Client, Security
try:
    Client(sys.argv[1], security=Security.temporary() if sys.argv[2] == "own" else None, timeout=2)
except (OSError, TypeError, ValueError):
    sys.exit(7)
"""


def test_who_has_no_certificate_runs_nothing_on_the_workers(running):
    """Everybody with an account on the machine reaches loopback."""
    assert wait_for(running.store, running.submit("sleep", {}, "demo")).status == "done"
    address = running._cluster.scheduler_address
    assert address.startswith("tls://127.0.0.1:")
    for url, certificate in ((address.replace("tls://", "tcp://"), "none"), (address, "own"), (address, "none")):
        command = [sys.executable, "-c", ANOTHER, url, certificate]
        assert subprocess.run(command, check=False, capture_output=True, timeout=60).returncode == 7
    worker = next(iter(running._client.scheduler_info()["workers"]))
    assert worker.startswith("tls://127.0.0.1:"), "nor does a worker listen without"
    assert wait_for(running.store, running.submit("sleep", {}, "demo")).status == "done"


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5", ""])
def test_a_nonsensical_number_of_workers_is_refused(monkeypatch, text):
    monkeypatch.setenv("TWIN_WORKERS", text)
    with pytest.raises(InputError, match="Expected TWIN_WORKERS as a whole number"):
        settings()


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
    beside.cancel(job, "ann")
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
