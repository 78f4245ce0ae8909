"""Learning from marks: gain on held-out marks, on a fresh test, and what was put in force. READERS ARE SIMULATED.

No person made these marks. Readers of a known taste (size alone, form alone, a cluster that only neighbours reveal, the
very distance that is in use, none at all) mark five of the ten nearest lesions of other patients, 10 or 30 % of their
marks wrong. Lesions: 24 sarcomas with their halves and simulated growth (288, in the mask gate's numbers of shape), and
made vectors (600). A third of the patients is the fresh test: all marks on their lesions, none wrong. Shares are of
pairs (relevant, not relevant) of one lesion in the right order; all but "no learning" are what is gained over it.

First the readers at random: whatever is put in force for them is wrong. Then the readers with a taste, least gain
first; then marks on one lesion alone, at once. A quarter of an hour of one processor; `--most 2` for
two seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.evidence import gain
from core.evidence.learned_metric import LearnedMetric
from core.evidence.learning import Click
from core.evidence.reordering import reordered
from tests.bench import shared_data
from tests.bench.marking_readers import (
    SHOWN,
    TASTES,
    Lesions,
    limit_of,
    made_lesions,
    marks_of,
    one_a_patient_first,
    sarcomas,
    shown_of,
)

Floats = NDArray[np.float64]
#: Lesions by seed.
World = Callable[[int], Lesions]

COUNTS, NULL_COUNTS, WRONG = (10, 30, 100, 300), (60, 100, 300), (0.1, 0.3)
SEEDS, NULL_SEEDS, AGAIN_SEEDS = 5, 50, 20
#: How often marks are learned from on the way to 300.
EVERY = 60
NULL, HIDDEN = "at random", "hidden clusters"
#: What a network needs.
MANY = 1000
SPACE = gain.Space("shape", "bench")


class Fresh(NamedTuple):
    """What was learned, and the share of pairs in order on the fresh test: with no learning, with weights, with the
    graph network, and with what is in force."""

    metric: LearnedMetric
    plain: float
    weights: float
    network: float
    in_force: float


def reader(lesions: Lesions, taste: str, count: int, wrong: float, seed: int) -> tuple[list[Click], list[Click]]:
    """Marks of one reader to learn from, and all that the same reader would say of a third of the patients."""
    random = np.random.default_rng(seed)
    patients = random.permutation(np.unique(lesions.patients))
    test = np.isin(lesions.patients, patients[: len(patients) // 3])
    apart = TASTES[taste](lesions, random)
    queries = one_a_patient_first(lesions, np.flatnonzero(~test), random)
    clicks = marks_of(lesions, apart, queries, count, wrong, random)
    return clicks, marks_of(lesions, apart, np.flatnonzero(test), 5 * int(test.sum()), 0.0, random)


def learned_by(lesions: Lesions, taste: str, count: int, wrong: float, seed: int) -> Fresh:
    """One reader's marks learned from, and tried on the patients that were kept for the test."""
    clicks, fresh = reader(lesions, taste, count, wrong, seed)
    vectors, neighbours = lesions.vectors, lesions.neighbours
    metric = gain.choose(vectors, neighbours, clicks, SPACE, seed)
    weights = gain.learned(vectors, neighbours, clicks, SPACE, gain.WEIGHTS, seed)
    network = gain.learned(vectors, neighbours, clicks, SPACE, gain.NETWORK, seed)
    shares = [in_order(one.apply(vectors, neighbours), fresh) for one in (weights, network, metric)]
    return Fresh(metric, in_order(vectors, fresh), *shares)


def in_order(vectors: Floats, clicks: list[Click]) -> float:
    """Share of pairs of one query in the right order."""
    ordered = tuple(sorted(clicks))
    right, pairs = gain.pairs_in_order(gain.HeldOut(ordered, {"": gain.squares_of(vectors, ordered)}), "")
    return float(right.sum() / pairs.sum())


def run(most: int = NULL_SEEDS) -> list[dict[str, Any]]:
    """False gains of readers at random, then a row a reader, lesions, share wrong and number of marks, least gain
    first; then marks on one lesion."""
    real = sarcomas(shared_data() / "sts")
    worlds: dict[str, World] = {"sarcomas": lambda seed: real, "made": made_lesions}
    null, rows, once = [], [], []
    for name, world in worlds.items():
        null += at_random(name, world, most)
        for taste in TASTES:
            if taste == HIDDEN and name == "sarcomas":
                continue
            once.append(at_once(f"{taste}, {name}", world(0), taste))
            for wrong in WRONG if taste != NULL else ():
                for count in (*COUNTS, MANY) if taste == HIDDEN else COUNTS:
                    found = [learned_by(world(seed), taste, count, wrong, seed) for seed in range(min(most, SEEDS))]
                    rows.append(_row(f"{taste}, {name}", count, wrong, found))
    rows.sort(key=lambda row: (row["fresh: in force"], row["fresh: weights"]))
    return [*null, *rows, *sorted(once, key=lambda row: float(row["fresh: in force"]))]


def at_random(name: str, world: World, most: int) -> list[dict[str, Any]]:
    """Readers without a taste: how often something is put in force; how often the interval of six patients would be
    above 0; and when marks are learned from again and again on the way to 300."""
    rows = []
    for count in NULL_COUNTS:
        found = [learned_by(world(seed), NULL, count, 0.0, 1000 + seed) for seed in range(min(most, NULL_SEEDS))]
        rows.append(_row(f"AT RANDOM, {name}", count, None, found))
    few: list[bool] = []
    ever: list[list[LearnedMetric]] = []
    for seed in range(min(most, NULL_SEEDS)):
        lesions = world(seed)
        clicks, _ = reader(lesions, NULL, 300, 0.0, 1000 + seed)
        held = gain.held_out(lesions.vectors, lesions.neighbours, clicks[:30], seed)
        over = [gain.gain_of(held, metric, gain.NO_LEARNING, seed) for metric in (gain.WEIGHTS, gain.NETWORK)]
        few.append(any(one is not None and one.low > 0 for one in over))
        if seed < AGAIN_SEEDS:
            parts = [clicks[:upto] for upto in range(EVERY, 301, EVERY)]
            ever.append([gain.choose(lesions.vectors, lesions.neighbours, part, SPACE, seed) for part in parts])
    six = {"simulated reader": f"AT RANDOM, {name}: if six patients were enough", "marks": 30, "runs": len(few)}
    again = {"simulated reader": f"AT RANDOM, {name}: asked every {EVERY} marks, ever", "marks": 300, "runs": len(ever)}
    return [*rows, six | {"would be by 95 %": sum(few)}, again | _in_force(ever)]


def _in_force(runs: Sequence[Sequence[LearnedMetric]]) -> dict[str, int]:
    """Of runs that learned once or more: in how many a metric was ever put in force, and would have been by 95 %."""
    kinds = [kind for run in runs for kind in {metric.kind for metric in run}]
    return {
        "in force: weights": kinds.count(gain.WEIGHTS),
        "in force: network": kinds.count(gain.NETWORK),
        "would be by 95 %": sum(any(_by_95(metric) for metric in run) for run in runs),
    }


def _by_95(metric: LearnedMetric) -> bool:
    return any(one.low > 0 for one in metric.gains if one.over == gain.NO_LEARNING)


def _row(what: str, count: int, wrong: float | None, found: list[Fresh]) -> dict[str, Any]:
    return {
        "simulated reader": what,
        "marks": count,
        "wrong": wrong,
        "runs": len(found),
        "held out: weights": _mean(_gains(found, gain.WEIGHTS)),
        "held out: network": _mean(_gains(found, gain.NETWORK)),
        "no learning": _mean(one.plain for one in found),
        "fresh: weights": _mean(one.weights - one.plain for one in found),
        "fresh: network": _mean(one.network - one.plain for one in found),
        "fresh: in force": _mean(one.in_force - one.plain for one in found),
        **_in_force([[one.metric] for one in found]),
    }


def _gains(found: Iterable[Fresh], metric: str) -> list[float]:
    return [
        one.difference
        for run in found
        for one in run.metric.gains
        if (one.metric, one.over) == (metric, gain.NO_LEARNING)
    ]


def _mean(values: Iterable[float]) -> float | None:
    """Rounded; None of nothing."""
    known = list(values)
    return round(float(np.mean(known)), 3) if known else None


def at_once(what: str, lesions: Lesions, taste: str, marks: int = 3, queries: int = 150) -> dict[str, Any]:
    """A few marks among the ten nearest of one lesion, and how the 40 nearest that nobody marked are ordered then."""
    random = np.random.default_rng(0)
    apart = TASTES[taste](lesions, random)
    limit, shown = limit_of(lesions, apart), shown_of(lesions, 40 + SHOWN)
    before: list[float] = []
    after: list[float] = []
    for query in random.permutation(len(lesions.vectors))[:queries].tolist():
        rows = shown[query]
        relevant = apart[query, rows] < limit
        marked = random.choice(SHOWN, marks, replace=False)
        rest = np.setdiff1d(np.arange(len(rows)), marked)
        if relevant[rest].all() or not relevant[rest].any():
            continue
        found, said = lesions.vectors[rows], {int(one): bool(relevant[one]) for one in marked}
        distances = np.linalg.norm(found - lesions.vectors[query], axis=1)
        for shares, marks_then in ((before, {}), (after, said)):
            place = np.argsort(reordered(lesions.vectors[query], found, distances, marks_then))[rest]
            shares.append(float((place[relevant[rest]][:, None] < place[~relevant[rest]][None]).mean()))
    return {
        "simulated reader": f"on one lesion at once: {what}",
        "marks": marks,
        "runs": len(after),
        "no learning": _mean(before),
        "fresh: in force": _mean(np.subtract(after, before).tolist()),
    }
