"""Learning from marks, as a job: a metric a space, offered where it gains on marks that it did not see."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from core.access import SYSTEM
from core.errors import TwinReviewError
from core.evidence.cases import SPACES, SpaceName
from core.evidence.gain import LEAST_CLICKS
from core.evidence.taste import LearningStore, learn_space
from core.evidence.versions import LEARNED, keep_metric, kept_metrics
from core.jobs.jobs import AtStore, JobKind
from core.remembered.sources import HasJobs
from core.remembered.untyped import JsonDict
from core.types import Progress

logger = logging.getLogger("twinreview.evidence")
JOB = "learn_evidence"
#: How often it is looked whether there is something new to learn from.
LOOK_S = 60.0
#: It is learned again when there are so many times the marks: each look may find a gain by chance.
TIMES = 2


class LearnStore(LearningStore, HasJobs, Protocol):
    """The parts of a store that learning reads and writes."""


def prepare_learn(store: LearnStore, args: Mapping[str, Any], person: str) -> dict[str, Any]:
    """args: none."""
    return {"person": person}


def learn(store: LearnStore, params: dict[str, Any], progress: Progress) -> JsonDict:
    """One metric a space; what could not be learned says why, and is on record too."""
    told: JsonDict = {}
    for number, space in enumerate(SPACES):
        progress(number / len(SPACES), f"Learning from marks: {space}")
        told[space] = _learn_one(store, space, str(params["person"]))
    return told


def _learn_one(store: LearnStore, space: SpaceName, person: str) -> str:
    metric, own_space, until = learn_space(store, space)
    kept = [one for one in kept_metrics(store, space) if one.how == LEARNED]
    if not kept and not metric.clicks:
        return metric.words
    if kept and kept[-1].metric.version == metric.version:
        return f"{metric.words} (as before)"
    keep_metric(store, metric, own_space, until, LEARNED, person)
    return metric.words


def record_learned(
    store: LearnStore, params: dict[str, Any], result: dict[str, Any], out_dir: object, person: str
) -> dict[str, Any]:
    """Each was put on record when it was there."""
    return result


KIND = JobKind(JOB, prepare_learn, AtStore(learn), record_learned)


def is_due(store: LearnStore) -> bool:
    """Whether there are enough marks, and twice as many as it was learned from last."""
    learned_from = max((one.metric.clicks for one in kept_metrics(store) if one.how == LEARNED), default=0)
    return len(store.marks.standing()) >= max(LEAST_CLICKS, TIMES * learned_from)


def keep_learned(
    store: LearnStore, submit: Callable[[str, Mapping[str, Any], str], object], ended: Callable[[], bool]
) -> None:
    """Submit the job whenever it is due, until the store has ended; for a thread of its own."""
    pause = threading.Event()
    while not pause.wait(LOOK_S) and not ended():
        try:
            under_way = any(store.jobs.newest(1, status, JOB) for status in ("queued", "running"))
            if not under_way and is_due(store):
                submit(JOB, {}, SYSTEM)
        except TwinReviewError as error:
            if not ended():
                logger.warning("nothing was learned from marks: %s", error)
