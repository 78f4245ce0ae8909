"""What learning from marks gains on marks that it did not learn from, and what may be put in force.

Marks are dealt into folds by the patient of the lesion that was asked about; each fold is ordered by what was learned
from the others. The figure is the share of pairs (relevant, not relevant) of one query in the right order; its interval
comes from drawing patients anew. Nothing is put in force whose gain is not above 0 with 99 %: marks are learned from
again and again as they come in, and by 95 % 14 of 40 simulated readers who mark at random would once have had a metric
in force on the way to 300 marks; by 99 % it is 5 (`python -m tests.bench clicks`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from core.evidence.cases import SpaceName
from core.evidence.learned_metric import Gain, LearnedMetric, none
from core.evidence.learning import (
    STRENGTH,
    Click,
    check_clicks,
    checked_vectors,
    fit_weights,
)
from core.gates.scan.rates import auroc

Floats = NDArray[np.float64]

#: Fewer say nothing: a fold would hold less than a handful.
LEAST_CLICKS = 30
#: Patients with marks of both kinds on one lesion. Of fewer, an interval by drawing patients anew is too narrow.
LEAST_GROUPS = 10
FOLDS = 5
RESAMPLES = 2000
#: Neighbours of a lesion in the graph network.
NEIGHBOURS = 10
NO_LEARNING = "no learning"
WEIGHTS: Final = "weights"
NETWORK: Final = "graph network"

Learned = Literal["weights", "graph network"]


@dataclass(frozen=True, slots=True)
class Space:
    """The vectors that a metric is learned for: their space, and what made them (encoder, names of the numbers)."""

    name: SpaceName
    made_by: str


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Marks under metrics that were not learned from them.

    Args:
        clicks: sorted. squares: metric -> (clicks,) squared distances, as shares of the typical one of its fold.
    """

    clicks: tuple[Click, ...]
    squares: dict[str, Floats]


def held_out(vectors: Floats, neighbours: NDArray[np.integer], clicks: Sequence[Click], seed: int = 0) -> HeldOut:
    """Every mark under metrics learned from the marks of other folds' patients.

    Args:
        vectors: (n, d). neighbours: (n, k) rows, as `LearnedMetric.apply` wants them. clicks: in any order, of two
            patients at least. seed: of the network.

    Raises:
        InputError: as `fit_weights`.
    """
    found, ordered = checked_vectors(vectors), tuple(sorted(clicks))
    check_clicks(ordered, len(found))
    fold_of = folds(ordered)
    squares = {name: np.zeros(len(ordered)) for name in (NO_LEARNING, WEIGHTS, NETWORK)}
    plain = none("both", "", 0, 0, (), "")
    for fold in range(max(fold_of.values(), default=-1) + 1):
        rows = [at for at, click in enumerate(ordered) if fold_of[click.group] == fold]
        learn_from = [click for click in ordered if fold_of[click.group] != fold]
        weights = learned(found, neighbours, learn_from, Space("both", ""), WEIGHTS, seed)
        network = learned(found, neighbours, learn_from, Space("both", ""), NETWORK, seed)
        for name, metric in ((NO_LEARNING, plain), (WEIGHTS, weights), (NETWORK, network)):
            squares[name][rows] = squares_of(metric.apply(found, neighbours), [ordered[at] for at in rows])
    return HeldOut(ordered, squares)


def folds(clicks: Sequence[Click]) -> dict[str, int]:
    """The fold of each patient: `FOLDS` of about as many marks each, fewer where there are fewer patients."""
    sizes = Counter(click.group for click in clicks)
    count = min(FOLDS, len(sizes))
    held, out = [0] * count, {}
    for group in sorted(sizes, key=lambda name: (-sizes[name], name)):
        fold = held.index(min(held))
        out[group] = fold
        held[fold] += sizes[group]
    return out


def learned(
    vectors: Floats,
    neighbours: NDArray[np.integer],
    clicks: Sequence[Click],
    space: Space,
    kind: Learned,
    seed: int = 0,
) -> LearnedMetric:
    """The metric of all these marks; weights alone where the graph network found nothing to add, or cannot be fitted
    because vectors are too long."""
    weights = fit_weights(vectors, clicks, STRENGTH).astype(np.float32)
    groups = len({click.group for click in clicks})
    made = LearnedMetric(WEIGHTS, space.name, space.made_by, weights, (), 0, len(clicks), groups, (), seed, "")
    if kind == WEIGHTS:
        return made
    from core.evidence.graph_network import MOST_NUMBERS, fit_network

    if vectors.shape[1] > MOST_NUMBERS:
        return made
    layers = fit_network(made.apply(vectors), neighbours, clicks, seed)
    return replace(made, kind=NETWORK, layers=layers, neighbours=neighbours.shape[1]) if layers else made


def squares_of(vectors: Floats, clicks: Sequence[Click]) -> Floats:
    """(clicks,) squared distances as shares of the typical one."""
    pairs = np.array([(click.query, click.other) for click in clicks], dtype=np.intp).reshape(-1, 2)
    typical = 2.0 * float(vectors.var(axis=0).sum())
    return ((vectors[pairs[:, 0]] - vectors[pairs[:, 1]]) ** 2).sum(axis=1) / (typical or 1.0)


def pairs_in_order(held: HeldOut, metric: str) -> tuple[Floats, Floats]:
    """(groups,) pairs (relevant, not relevant) of one query of which the relevant one is nearer, ties half; and
    (groups,) all such pairs. The groups are those with a pair, by name."""
    right: dict[str, float] = {}
    pairs: dict[str, int] = {}
    relevant = np.array([click.relevant for click in held.clicks], dtype=bool)
    queries = np.array([click.query for click in held.clicks], dtype=np.intp)
    group_of = {click.query: click.group for click in held.clicks}
    for query, group in group_of.items():
        near = held.squares[metric][(queries == query) & relevant][:, None]
        far = held.squares[metric][(queries == query) & ~relevant][None]
        if near.size and far.size:
            right[group] = right.get(group, 0.0) + float((far > near).sum() + 0.5 * (far == near).sum())
            pairs[group] = pairs.get(group, 0) + near.size * far.size
    names = sorted(pairs)
    return np.array([right[name] for name in names]), np.array([float(pairs[name]) for name in names])


def gain_of(held: HeldOut, metric: str, over: str, seed: int = 0) -> Gain | None:
    """What one metric gains over another, its 95 % interval by a paired bootstrap of patients; None where no query has
    marks of both kinds."""
    (right, pairs), (right_over, _) = pairs_in_order(held, metric), pairs_in_order(held, over)
    if not len(pairs):
        return None
    drawn = np.random.default_rng(seed).integers(0, len(pairs), (RESAMPLES, len(pairs)))
    differences = (right - right_over)[drawn].sum(axis=1) / pairs[drawn].sum(axis=1)
    low, high, low_99 = (float(limit) for limit in np.quantile(differences, (0.025, 0.975, 0.005)))
    accuracy, accuracy_over = float(right.sum() / pairs.sum()), float(right_over.sum() / pairs.sum())
    return Gain(
        metric,
        over,
        accuracy,
        accuracy_over,
        accuracy - accuracy_over,
        low,
        high,
        low_99,
        auroc=_auroc_of(held, metric),
        auroc_over=_auroc_of(held, over),
        pairs=int(pairs.sum()),
        groups=len(pairs),
    )


def _auroc_of(held: HeldOut, metric: str) -> float:
    """Chance that a relevant lesion is nearer than one that is not, over all queries and folds."""
    farther = np.array([not click.relevant for click in held.clicks], dtype=bool)
    return auroc(held.squares[metric], farther)


def choose(
    vectors: Floats, neighbours: NDArray[np.integer], clicks: Sequence[Click], space: Space, seed: int = 0
) -> LearnedMetric:
    """What may be put in force of all marks: the metric learned from them, or one that changes nothing.

    Weights are chosen where they gain over no learning, the graph network where it gains over no learning and over
    weights, each with the lower limit at 99 % above 0. At least `LEAST_CLICKS` marks, and `LEAST_GROUPS`
    patients with marks of both kinds on one lesion.

    Args:
        vectors: (n, d). neighbours: (n, k) rows of the nearest by distances as they are, -1 where there are fewer.
        clicks: marks, in any order. space: of the vectors. seed: of the network and the interval.

    Returns:
        The metric with its gains and the reason in words; kind "none" where nothing may be put in force.

    Raises:
        InputError: as `core.evidence.learning.fit_weights`.
    """
    found = checked_vectors(vectors)
    check_clicks(clicks, len(found))
    groups = len({click.group for click in clicks})
    few = too_few(clicks)
    if few:
        return none(space.name, space.made_by, len(clicks), groups, (), few)
    held = held_out(found, neighbours, clicks, seed)
    pairs = ((WEIGHTS, NO_LEARNING), (NETWORK, NO_LEARNING), (NETWORK, WEIGHTS))
    gains = tuple(gain for pair in pairs if (gain := gain_of(held, *pair, seed)) is not None)
    weights, network, network_over_weights = gains
    made = None
    if network.low_99 > 0 and network_over_weights.low_99 > 0:
        made = learned(found, neighbours, clicks, space, NETWORK, seed)
    if weights.low_99 > 0 and (made is None or made.kind != NETWORK):
        made = learned(found, neighbours, clicks, space, WEIGHTS, seed)
    if made is None or (made.kind == WEIGHTS and weights.low_99 <= 0):
        best = max(weights, network, key=lambda gain: gain.low)
        why = "no gain on held-out marks" if best.low <= 0 else "no gain on held-out marks that is sure to 99 %"
        return none(space.name, space.made_by, len(clicks), groups, gains, f"{why}: {in_words(best)}")
    gain = network if made.kind == NETWORK else weights
    return replace(made, gains=gains, words=f"gains on held-out marks: {in_words(gain)}")


def too_few(clicks: Sequence[Click]) -> str:
    """Why there are too few marks to learn from, in words; "" where there are enough."""
    if len(clicks) < LEAST_CLICKS:
        return f"too few marks: {len(clicks)} of {LEAST_CLICKS}"
    kinds: dict[tuple[str, int], set[bool]] = {}
    for click in clicks:
        kinds.setdefault((click.group, click.query), set()).add(click.relevant)
    both = len({group for (group, _), said in kinds.items() if len(said) == 2})
    if both < LEAST_GROUPS:
        return f"too few patients with relevant and not relevant marks on one lesion: {both} of {LEAST_GROUPS}"
    return ""


def in_words(gain: Gain) -> str:
    """As "+.08 (+.03 to +.13)": a difference of shares and its 95 % interval."""
    difference, low, high = (_signed(value) for value in (gain.difference, gain.low, gain.high))
    return f"{difference} ({low} to {high})"


def _signed(value: float) -> str:
    """Two places, a sign, no zero before the point."""
    text = f"{abs(value):.2f}"
    sign = "" if text == "0.00" else "-" if value < 0 else "+"
    return sign + (text[1:] if text.startswith("0") else text)
