"""A kind of job that does next to nothing, and goes wrong as it is told; and how to wait for its end."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path

import psutil

from core.errors import InputError, ModelError
from core.jobs.jobs import FINAL, JobKind
from store import Store

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
