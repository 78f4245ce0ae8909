"""Fitting the mask gate, and when that is due: after what people accept has changed, never at a save.

A small reference is fitted at once, by whoever changed it; a large one by a job, once people pause.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import logging
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from core.access import SYSTEM
from core.errors import TwinReviewError
from core.gates.mask import fitted
from core.gates.mask.fitted import FittedStore
from core.gates.mask.verdicts import GateStore, is_simulated, reference
from core.remembered.rows import ShapeVector
from core.remembered.sources import HasJobs
from core.types import Progress, no_progress

logger = logging.getLogger("twinreview.gates")

JOB = "fit_mask_gate"
#: References of up to so many lesions are fitted in some 30 ms.
SMALL = 1_000
#: The gate of a large one is fitted anew once nothing was decided for so long, but no later than the second after the
#: first change.
QUIET_S = 30.0
AT_MOST_S = 600.0
#: How often it is looked whether that is so.
LOOK_S = 10.0


class FittingStore(GateStore, HasJobs, Protocol):
    """Store parts that fitting reads and writes."""


def prepare_fit(store: GateStore, args: Mapping[str, Any], person: str) -> dict[str, Any]:
    """The vectors of all accepted lesions, and the newest audit entry that changed them."""
    seq, _ = store.vectors.last_change()  # before the rows: what is decided meanwhile asks for another fit
    rows = reference(store)
    simulated = [patient for patient in sorted({row.patient_id for row in rows}) if is_simulated(store, patient)]
    return {"seq": seq, "rows": [asdict(row) for row in rows], "simulated": simulated}


def compute_fit(params: dict[str, Any], out_dir: Path, progress: Progress) -> dict[str, Any]:
    """In the worker: the gate as a file."""
    progress(0.1, f"Fitting the mask gate to {len(params['rows'])} lesions")
    gate = fitted.fit([ShapeVector(**row) for row in params["rows"]], params["seq"], params["simulated"])
    data = gate.to_bytes()
    (out_dir / "gate.npz").write_bytes(data)
    lesions = gate.lesions
    return {
        "model_id": gate.model_id,
        "sha256": hashlib.sha256(data).hexdigest(),
        "seq": gate.seq,
        "lesions": len(lesions),
        "patients": len({lesion.patient_id for lesion in lesions}),
        "sets": {
            name: {"name": one.name, "version": gate.seq, "lesions": len(one.lesions), "patients": len(one.patients)}
            for name, one in gate.sets.items()
        },
    }


def record_fit(
    store: FittedStore, params: dict[str, Any], result: dict[str, Any], out_dir: Path, person: str
) -> dict[str, Any]:
    """The fitted gate is in force."""
    return fitted.store_gate(store, out_dir / "gate.npz", result, person)


def fit_small(store: GateStore) -> bool:
    """Fit here and now if the reference is small and has changed; for whoever has changed it.

    Returns:
        Whether a gate was fitted.
    """
    with _one_at_a_time:
        if store.vectors.accepted_count() > SMALL or not is_outdated(store):
            return False
        folder = fitted.folder_of(store)
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as name:
            params = prepare_fit(store, {}, SYSTEM)
            record_fit(store, params, compute_fit(params, Path(name), no_progress), Path(name), SYSTEM)
    return True


_one_at_a_time = threading.Lock()


def is_outdated(store: GateStore) -> bool:
    """Whether the reference changed since its gate was fitted, or there is one without a gate."""
    gate = fitted.stored_gate(store)
    if gate is None:
        return store.vectors.accepted_count() > 0
    return gate.seq < store.vectors.last_change()[0]


def is_due(store: FittingStore, now: dt.datetime) -> bool:
    """Whether to fit now: it is outdated and no fit is under way; of a large reference also, nobody has decided for a
    while (or for long enough).

    Args:
        now: in UTC.
    """
    if not is_outdated(store):
        return False
    if any(job.kind == JOB for status in ("queued", "running") for job in store.jobs.newest(1000, status)):
        return False
    gate, newest = store.reference_sets.newest(fitted.KIND), store.vectors.last_change()[1]
    if gate is None or fitted.stored_gate(store) is None or store.vectors.accepted_count() <= SMALL:
        return True
    return seconds_since(now, newest) >= QUIET_S or seconds_since(now, str(gate.created_at)) >= AT_MOST_S


def seconds_since(now: dt.datetime, then: str) -> float:
    """Seconds from a stored time (RFC 3339) to `now`, in UTC."""
    return (now - dt.datetime.fromisoformat(then)).total_seconds()


def keep_fitted(
    store: FittingStore, submit: Callable[[str, Mapping[str, Any], str], object], ended: Callable[[], bool]
) -> None:
    """Fit, or submit the job, whenever it is due, until the store has ended; for a thread of its own.

    Args:
        submit: `JobRunner.submit`; ended: whether the store was closed.
    """
    pause = threading.Event()
    while not ended():
        try:
            if is_due(store, dt.datetime.now(dt.UTC)):
                fit_small(store) or submit(JOB, {}, SYSTEM)
        except TwinReviewError as error:
            if not ended():
                logger.warning("the mask gate was not fitted: %s", error)
        pause.wait(LOOK_S)
