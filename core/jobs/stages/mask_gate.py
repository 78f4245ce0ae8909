"""The mask gate, fitted to what was accepted: as a job of the server, or here and now for a command line."""

from __future__ import annotations

from core.access import SYSTEM
from core.gates.mask import fitting
from core.gates.mask.fitting import FittingStore
from core.jobs.jobs import JobKind, run_inline

KIND = JobKind(fitting.JOB, fitting.prepare_fit, fitting.compute_fit, fitting.record_fit)


def fit_if_outdated(store: FittingStore) -> bool:
    """Fit now if the reference has changed since; for a command line, which works alone on the store.

    Returns:
        Whether a gate was fitted.
    """
    if fitting.fit_small(store):
        return True
    if not fitting.is_outdated(store):
        return False
    run_inline(store, KIND, {}, SYSTEM)
    return True
