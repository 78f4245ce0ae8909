"""A distance that learns from marks: which numbers of a lesion count for those who marked others relevant or not.

Squared Euclidean distance with a weight a number. The weights are those under which marked lesions come in the right
order, held near 1: a logistic loss (Bradley and Terry 1952, 10.2307/2334029) on how much nearer the relevant ones are,
and a ridge on log-weights. Only ratios of weights matter for an order, so the loss does not change when all grow
alike, and the ridge then keeps their geometric mean at 1. No gate reads any of this (contract "taste").
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from core.errors import InputError

Floats = NDArray[np.float64]

#: How strongly all marks together are held at equal weights; .3 and 3 did about as well for simulated readers.
STRENGTH = 1.0
#: The difference of two squared distances, as a share of the typical one, that counts as plain.
PLAIN_SHARE = 0.1
#: Weights lie within 1/20 and 20.
MOST_LOG_WEIGHT = float(np.log(20.0))
#: In `Comparisons`: no marked lesion, but how far those that were marked are on average. How far all lesions are would
#: not do: what is shown to be marked is near in every number, so those that count for the order would seem to count.
TYPICAL = -1


@dataclass(frozen=True, slots=True, order=True)
class Click:
    """Somebody said of one lesion whether it is relevant for another.

    Args:
        query: row of the lesion that was asked about. other: row of the lesion that was marked.
        group: the query's patient; one query belongs to one group.
    """

    query: int
    other: int
    relevant: bool
    group: str


@dataclass(frozen=True, eq=False)
class Comparisons:
    """What marks ask of a distance: seen from `query`, `near` is to be nearer than `far`; all (p,).

    Args:
        near, far: rows, or `TYPICAL` for the mean distance of those marked.
        weight: how much each counts. The comparisons of a query count together as much as it has marks, so that ten
            marks on one lesion do not outweigh ten on ten by their 25 pairs.
    """

    query: NDArray[np.intp]
    near: NDArray[np.intp]
    far: NDArray[np.intp]
    weight: Floats

    def __len__(self) -> int:
        return len(self.query)


def comparisons_of(clicks: Iterable[Click]) -> Comparisons:
    """Every relevant lesion of a query against every one that is not; where a query has only one kind of mark, each of
    them against the mean distance of those marked. Their order does not depend on that of the clicks."""
    marked: defaultdict[int, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for click in sorted(clicks):
        marked[click.query][0 if click.relevant else 1].append(click.other)
    rows: list[tuple[int, int, int, float]] = []
    for query, (relevant, others) in marked.items():
        near, far = relevant or [TYPICAL], others or [TYPICAL]
        weight = (len(relevant) + len(others)) / (len(near) * len(far))
        rows += [(query, a, b, weight) for a in near for b in far]
    asked, nearer, farther = (np.array([row[at] for row in rows], dtype=np.intp) for at in range(3))
    return Comparisons(asked, nearer, farther, np.array([row[3] for row in rows], dtype=np.float64))


def margins(vectors: Floats, comparisons: Comparisons) -> Floats:
    """(p, d) by how much `far` is farther than `near` in each number, squared; negative where it is nearer."""
    seen = vectors[comparisons.query]
    near, far = ((seen - vectors[others]) ** 2 for others in (comparisons.near, comparisons.far))
    no_near, no_far = comparisons.near == TYPICAL, comparisons.far == TYPICAL
    typical = np.concatenate([near[~no_near], far[~no_far]]).mean(axis=0)
    return np.asarray(np.where(no_far[:, None], typical, far) - np.where(no_near[:, None], typical, near))


def fit_weights(vectors: Floats, clicks: Sequence[Click], strength: float = STRENGTH) -> Floats:
    """Weights of the squared distance that put marked lesions in order.

    Args:
        vectors: (n, d) numbers of lesions, each number in its spreads. clicks: marks on its rows, in any order.
        strength: > 0, of the ridge on log-weights; ten times as much needs about ten times the marks.

    Returns:
        (d,) within 1/20..20, geometric mean 1 unless one of them is at its limit. Exactly 1 each without clicks, for a
        number that is the same in all rows of clicks, and where all lesions are alike.

    Raises:
        InputError: vectors that are not finite, a strength that is not above 0, a click on itself or on no row, or a
            query of two groups.
    """
    checked = checked_vectors(vectors)
    check_clicks(clicks, len(checked))
    if not (np.isfinite(strength) and strength > 0):
        raise InputError(f"Expected a strength above 0, got {strength}. Leave it out for the usual one.")
    count = checked.shape[1]
    comparisons = comparisons_of(clicks)
    typical = 2.0 * checked.var(axis=0) if len(checked) else np.zeros(count)
    whole = float(typical.sum())
    if not len(comparisons) or whole <= 0:
        return np.ones(count)
    margin, share = margins(checked, comparisons) / whole, typical / whole

    def loss(logs: Floats) -> tuple[float, Floats]:
        weights = np.exp(logs)
        scale = float(weights @ share)
        plain = (margin @ weights) / scale / PLAIN_SHARE
        lost = comparisons.weight @ np.logaddexp(0.0, -plain)
        pull = -comparisons.weight * np.exp(-np.logaddexp(0.0, plain)) / PLAIN_SHARE
        slope = weights / scale * (pull @ margin - (pull @ plain) * PLAIN_SHARE * share)
        return float(lost + strength * logs @ logs), slope + 2.0 * strength * logs

    limits = [(-MOST_LOG_WEIGHT, MOST_LOG_WEIGHT)] * count
    options = {"maxiter": 200, "ftol": 1e-12, "gtol": 1e-8}
    best = minimize(loss, np.zeros(count), jac=True, method="L-BFGS-B", bounds=limits, options=options)
    return np.exp(np.asarray(best.x, dtype=np.float64))


def checked_vectors(vectors: Floats) -> Floats:
    """(n, d) in double precision.

    Raises:
        InputError: of another shape, or not finite.
    """
    found = np.asarray(vectors, dtype=np.float64)
    if found.ndim != 2 or not np.isfinite(found).all():
        raise InputError(f"Expected finite vectors (lesions, numbers), got {found.shape}. Measure these lesions again.")
    return found


def check_clicks(clicks: Sequence[Click], rows: int) -> None:
    """Whether clicks are marks on `rows` lesions.

    Raises:
        InputError: a row that is not there, a lesion marked for itself, a query of two groups.
    """
    groups: dict[int, str] = {}
    for click in clicks:
        if not (0 <= click.query < rows and 0 <= click.other < rows):
            raise InputError(f"Expected marks on rows 0 to {rows - 1}, got {click.query} and {click.other}.")
        if click.query == click.other:
            raise InputError(
                f"Expected a mark on another lesion, got row {click.query} marked for itself. Leave it out."
            )
        if groups.setdefault(click.query, click.group) != click.group:
            raise InputError(f"Expected one patient of the lesion in row {click.query}, got two. Give its own patient.")
