"""What a Dask worker does with a job: it computes on files, tells how far it is, and says what came of it."""

from __future__ import annotations

import importlib
import json
import traceback
from pathlib import Path
from typing import Any

from core.errors import JobCancelled, TwinReviewError
from core.jobs.jobs import Reporter, fresh_folder

TOPIC = "twinreview-jobs"
#: A job is tried at most so often in one life of TwinReview (once more after a dead worker), and is taken up in at most
#: so many lives (once more after a restart), each of which begins to count its workers anew.
ATTEMPTS = 2
WORKER_DIED = (
    "The worker process died twice while it ran this job; running out of memory is the usual cause. "
    "Close other programs or set TWIN_WORKERS=1, then start the job again."
)


def count(file: Path) -> int:
    """Adds one to the number in `file`; returns it."""
    number = (int(file.read_text()) if file.exists() else 0) + 1
    file.write_text(str(number))
    return number


def attempt(work: str, params: dict[str, Any], out_name: str) -> dict[str, Any]:
    """One go at a job.

    Returns an outcome rather than raising: Dask would log the arguments, which name a patient's files.
    """
    from distributed import get_worker

    worker, out_dir = get_worker(), Path(out_name)
    folder = out_dir.parent

    def tell(fraction: float, message: str) -> None:
        worker.log_event(TOPIC, {"job": folder.name, "fraction": fraction, "message": message})

    try:
        taken = count(folder / "taken")
        if taken > ATTEMPTS:  # a cluster of somebody else's may retry more often than ours
            return {"status": "failed", "message": WORKER_DIED}
        started = "Started" if taken == 1 else "Started again, as the worker process died"
        Reporter(tell, folder / "cancel")(0.0, started)
        module, _, name = work.rpartition(":")
        compute = getattr(importlib.import_module(module), name)
        result = compute(params, fresh_folder(out_dir), Reporter(tell, folder / "cancel"))
        return {"status": "computed", "result": json.loads(json.dumps(result))}
    except JobCancelled as error:
        return {"status": "cancelled", "message": str(error)}
    except TwinReviewError as error:
        return {"status": "failed", "message": str(error)}
    except Exception as error:
        frames = traceback.format_tb(error.__traceback__)
        return {"status": "failed", "bug": type(error).__name__, "frames": frames}
