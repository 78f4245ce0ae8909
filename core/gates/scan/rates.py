"""How well scores tell two classes apart, and how sure that is when patients are drawn anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.gates.scan.detectors import SEED, Array, Labels


def auroc(scores: NDArray[np.floating[Any]], ood: Labels, weights: NDArray[np.floating[Any]] | None = None) -> float:
    """Chance that an OOD scan scores above an in-distribution one, ties counting half, 0..1; NaN for one class only.

    Hanley & McNeil 1982, doi 10.1148/radiology.143.1.7063747. `weights`: how often each scan counts.
    """
    weight = np.ones(len(scores)) if weights is None else np.asarray(weights, dtype=np.float64)
    return float(aurocs(scores, ood, weight[None])[0])


def aurocs(scores: NDArray[np.floating[Any]], ood: Labels, weights: NDArray[np.floating[Any]]) -> Array:
    """(draws,) `auroc` under each row of weights (draws, scans); the pairs are compared once for all draws."""
    inside, outside = np.asarray(scores)[~ood], np.asarray(scores)[ood]
    won = (outside[:, None] > inside[None]) + 0.5 * (outside[:, None] == inside[None])
    of_inside, of_outside = weights[:, ~ood].astype(np.float64), weights[:, ood].astype(np.float64)
    pairs = of_inside.sum(axis=1) * of_outside.sum(axis=1)
    count = ((of_outside @ won) * of_inside).sum(axis=1)
    return np.asarray(np.divide(count, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0))


def fpr_at_tpr(scores: NDArray[np.floating[Any]], ood: Labels, tpr: float = 0.95) -> float:
    """Share of in-distribution scans flagged by the threshold that flags at least `tpr` of the OOD scans, 0..1.

    A scan is flagged at or above the threshold. NaN when either class is missing.
    """
    inside, outside = np.asarray(scores)[~ood], np.asarray(scores)[ood]
    if len(inside) == 0 or len(outside) == 0:
        return float("nan")
    needed = int(np.ceil(tpr * len(outside) - 1e-9))
    threshold = np.sort(outside)[::-1][needed - 1]
    return float((inside >= threshold).mean())


@dataclass(frozen=True, eq=False)
class Draws:
    """Patients drawn with replacement, `draws` times; those of ordinary scans and the others each among themselves.

    Args:
        names: the patients.
        counts: (draws, patients) how often each was drawn.
    """

    names: tuple[str, ...]
    counts: NDArray[np.float64]

    @staticmethod
    def of(inside: Sequence[str], others: Sequence[str], draws: int) -> Draws:
        """The same patients give the same draws, whoever asks."""
        names = (*sorted(set(inside)), *sorted(set(others) - set(inside)))
        own = len(set(inside))
        counts = np.zeros((draws, len(names)))
        for n in range(draws):
            rng = np.random.default_rng([SEED, n])
            for low, many in ((0, own), (own, len(names) - own)):
                if many:
                    np.add.at(counts[n], low + rng.integers(many, size=many), 1)
        return Draws(names, counts)

    def weights(self, groups: NDArray[np.str_]) -> NDArray[np.float64]:
        """(draws, scans) how often each scan counts, by its patient."""
        place = {name: n for n, name in enumerate(self.names)}
        return np.asarray(self.counts[:, [place[str(group)] for group in groups]])


def interval(values: Array) -> tuple[float, float]:
    """The 2.5th and 97.5th percentile; NaN of nothing."""
    if not len(values):
        return float("nan"), float("nan")
    low, high = np.nanpercentile(values, (2.5, 97.5))
    return float(low), float(high)
