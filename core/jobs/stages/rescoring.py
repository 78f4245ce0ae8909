"""Accepted masks are scored again by the mask gate in force: as a job of the server, or here and now for a command
line; a thread of the server looks when it is due."""

from __future__ import annotations

import datetime as dt
import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

from core.access import SYSTEM
from core.errors import TwinReviewError
from core.gates.mask import fitting, rescoring
from core.gates.mask.fitting import FittingStore
from core.jobs.jobs import AtStore, JobKind, run_inline
from core.jobs.stages.mask_gate import fit_if_outdated

logger = logging.getLogger("twinreview.gates")


def _record(
    store: object, params: dict[str, Any], result: dict[str, Any], out_dir: object, person: str
) -> dict[str, Any]:
    return result  # each verdict was stored when it was there


KIND = JobKind(rescoring.JOB, rescoring.prepare_rescore, AtStore(rescoring.rescore), _record)


def follow_reference(store: FittingStore) -> dict[str, Any]:
    """What a change of what is accepted asks for, at once: the gate is fitted anew, and accepted masks are scored again
    by it. For a command line, which works alone on the store.

    Returns:
        As `rescoring.rescore`; the same numbers at 0 where the gate is the one that scored them last.
    """
    if not fit_if_outdated(store):
        return dict.fromkeys(("scored", "changed", "doubted", "not_scored"), 0) | {"gate": rescoring.in_force(store)}
    if store.vectors.accepted_count() <= fitting.SMALL:
        return rescoring.rescore(store, {})
    return score_again(store)


def score_again(store: FittingStore) -> dict[str, Any]:
    """Score accepted masks by the gate of what is accepted by now, as a job with its row."""
    fit_if_outdated(store)
    return run_inline(store, KIND, {"gate": rescoring.in_force(store)}, SYSTEM)


def keep_rescored(
    store: FittingStore, submit: Callable[[str, Mapping[str, Any], str], object], ended: Callable[[], bool]
) -> None:
    """Submit the job whenever it is due, until the store has ended; for a thread of its own.

    Args:
        submit: `JobRunner.submit`; ended: whether the store was closed.
    """
    pause = threading.Event()
    while not ended():
        try:
            if rescoring.is_due(store, dt.datetime.now(dt.UTC)):
                submit(rescoring.JOB, {"gate": rescoring.in_force(store)}, SYSTEM)
        except TwinReviewError as error:
            if not ended():
                logger.warning("accepted masks were not scored again: %s", error)
        pause.wait(fitting.LOOK_S)
