"""Detectors over everything that is known of a scan: fitted on a table of scans, they score other tables.

A table is plain arrays by name (`core.gates.scan.scan_gate.Reference` has them), axis 0 the scan. Several detectors are
put on one scale by what they give scans of patients whom they did not learn from: an in-sample distance is always too
small. A combination takes the largest, so that whatever is odd to one of them is odd.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.gates.scan import detectors
from core.gates.scan.detectors import SEED, TREES, Array, Detector, Labels, Rows

Table = Mapping[str, NDArray[Any]]
Groups = NDArray[np.str_]
Score = Callable[[Table], Array]
#: (table, OOD labels, patients) -> a score of every scan of another table, higher = odder.
Fit = Callable[[Table, Labels, Groups], Score]

#: Folds by patient behind the scale of a score.
INNER_FOLDS = 4
#: ReAct cuts activations at this share of the in-distribution ones; ASH keeps this share of a crop's largest.
REACT_SHARE, ASH_SHARE = 0.9, 0.35
#: The trees are the same however many threads grow them.
FITTING_THREADS = 2
#: Share of in-distribution scans that a threshold is meant to let pass.
PASS_SHARE = 0.95
#: Levels of the network that are early: the first convolution, stage 1 and stage 2.
EARLY_LEVELS = 3


def seen_as(table: Table, name: str) -> Rows:
    """(scans, crops, features) of an array, or of several joined by "+"; "early" are the first levels of "rows".

    A scan's one row stands beside each of its crops. "histogram" is taken as roots where it is joined, which makes
    distances between shares comparable.
    """
    names = name.split("+")
    parts = []
    for one in names:
        if one == "early":
            width = int(np.asarray(table["levels"])[:EARLY_LEVELS].sum())
            part = np.asarray(table["rows"])[..., :width]
        else:
            part = np.asarray(table[one])
            part = np.sqrt(part) if one == "histogram" and len(names) > 1 else part
        parts.append(part if part.ndim == 3 else part[:, None])
    crops = max(part.shape[1] for part in parts)
    wide = [np.broadcast_to(part, (part.shape[0], crops, part.shape[2])) for part in parts]
    return np.concatenate(wide, axis=2) if len(wide) > 1 else np.asarray(wide[0])


def part_of(table: Table, scans: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """The table of some of its scans (indices or booleans); what is not by scan stays."""
    return {name: array if name == "levels" else array[scans] for name, array in table.items()}


def simple(detector: Detector, name: str) -> Fit:
    """A detector of `core.gates.scan.detectors` on one array; it is fitted anew at each score, as it is quick."""

    def fit(table: Table, ood: Labels, groups: Groups) -> Score:
        rows = seen_as(table, name)
        return lambda other: np.asarray(detector(rows, ood, seen_as(other, name)))

    return fit


def forest(name: str, crops: int | None = None, trees: int = TREES, odd: bool = False) -> Fit:
    """RF-Deep's forest on an array. `odd`: on how far each feature lies from the in-distribution scans', either way."""

    def fit(table: Table, ood: Labels, groups: Groups) -> Score:
        rows = seen_as(table, name)[:, :crops]
        _, mean, spread = detectors.scale(rows, ood)

        def change(values: Rows) -> Rows:
            return np.abs((values - mean) / spread).astype(np.float32) if odd else values

        used = change(rows)
        labels = np.repeat(ood, used.shape[1])
        fitted = detectors.fit_forest(used.reshape(-1, used.shape[-1]), labels, SEED, trees, FITTING_THREADS)
        return lambda other: np.asarray(
            detectors.forest_scores(fitted, change(seen_as(other, name))).mean(axis=1), dtype=np.float64
        )

    return fit


def mahalanobis(name: str, keep: Callable[[Rows, Rows], Rows] | None = None) -> Fit:
    """Mahalanobis distance with the Ledoit-Wolf covariance of in-distribution crops, mean over a scan's crops.

    Lee 2018, arXiv 1807.03888; Ledoit & Wolf 2004, doi 10.1016/S0047-259X(03)00096-4.

    Args:
        keep: changes rows first, given the in-distribution ones (ReAct, ASH).
    """

    def fit(table: Table, ood: Labels, groups: Groups) -> Score:
        rows = seen_as(table, name)
        inside = rows[~ood].reshape(-1, rows.shape[-1])

        def change(values: Rows) -> Rows:
            return values if keep is None else keep(values, inside)

        learned = np.ascontiguousarray(change(inside), dtype=np.float64)
        model = _ledoit_wolf(learned.tobytes(), learned.shape[1])

        def score(other: Table) -> Array:
            asked = change(seen_as(other, name))
            return model.away(asked.reshape(-1, asked.shape[-1])).reshape(asked.shape[:2]).mean(axis=1)

        return score

    return fit


@dataclass(frozen=True, eq=False)
class ShrunkCovariance:
    """The Ledoit-Wolf covariance of standardised rows, as its few directions and one variance for all others: with many
    more features than rows the matrix itself would take minutes to invert.

    Args:
        mean, spread: (features,) of the rows.
        directions: (directions, features), of unit length; variances: (directions,) along them, and `other` elsewhere.
    """

    mean: Array
    spread: Array
    directions: Array
    variances: Array
    other: float

    @classmethod
    def of(cls, rows: Array) -> ShrunkCovariance:
        """Of (n, features). Ledoit & Wolf 2004, doi 10.1016/S0047-259X(03)00096-4."""
        from sklearn.covariance import ledoit_wolf_shrinkage

        flat, mean, spread = detectors.scale(rows[:, None].astype(np.float32), np.zeros(len(rows), bool))
        flat = flat - flat.mean(axis=0)
        share = float(ledoit_wolf_shrinkage(flat, assume_centered=True))
        _, singular, directions = np.linalg.svd(flat, full_matrices=False)
        variances = singular**2 / len(flat)
        common = share * variances.sum() / flat.shape[1]
        return cls(mean, spread, directions, (1 - share) * variances + common, max(float(common), 1e-12))

    def away(self, asked: NDArray[np.floating[Any]]) -> Array:
        """(n,) Mahalanobis distance of (n, features)."""
        centred = (asked - self.mean) / self.spread
        along = centred @ self.directions.T
        every = len(self.directions) == centred.shape[1]  # then nothing lies beside them but rounding
        beside = 0.0 if every else np.maximum((centred**2).sum(axis=1) - (along**2).sum(axis=1), 0)
        return np.asarray(np.sqrt((along**2 / np.maximum(self.variances, 1e-12)).sum(axis=1) + beside / self.other))


@functools.lru_cache(maxsize=32)
def _ledoit_wolf(learned: bytes, width: int) -> ShrunkCovariance:
    """Of rows of that width; of the same rows once, whichever kind of shift is left out."""
    return ShrunkCovariance.of(np.frombuffer(learned).reshape(-1, width))


def react(values: Rows, inside: Rows) -> Rows:
    """Activations cut at the in-distribution ones' upper share. Sun 2021, arXiv 2111.12797."""
    return np.minimum(values, np.quantile(inside, REACT_SHARE))


def ash(values: Rows, inside: Rows) -> Rows:
    """Only the largest activations of each crop, the others zero. Djurisic 2022, arXiv 2209.09858 (ASH-P)."""
    least = np.quantile(values, 1 - ASH_SHARE, axis=-1, keepdims=True)
    return np.where(values >= least, values, 0).astype(values.dtype)


def standardised(fit: Fit, folds: int = INNER_FOLDS) -> Fit:
    """The score in spreads from the mean of what in-distribution scans get whose patients were not learned from."""

    def run(table: Table, ood: Labels, groups: Groups) -> Score:
        score = fit(table, ood, groups)
        inside = held_out(fit, table, ood, groups, folds)[~ood]
        mean, spread = float(inside.mean()), max(float(inside.std()), 1e-9)
        return lambda other: (score(other) - mean) / spread

    return run


def largest(*fits: Fit) -> Fit:
    """The largest of several standardised scores."""

    def run(table: Table, ood: Labels, groups: Groups) -> Score:
        scores = [standardised(fit)(table, ood, groups) for fit in fits]
        return lambda other: np.max([score(other) for score in scores], axis=0)

    return run


def average(fits: Sequence[Fit]) -> Fit:
    """The mean of several scores that are on one scale already."""

    def run(table: Table, ood: Labels, groups: Groups) -> Score:
        scores = [fit(table, ood, groups) for fit in fits]
        return lambda other: np.mean([score(other) for score in scores], axis=0)

    return run


def held_out(fit: Fit, table: Table, ood: Labels, groups: Groups, folds: int) -> Array:
    """(scans,) every scan's score by a detector that saw nothing of its patient."""
    fold, scores = fold_of(groups, folds), np.full(len(ood), np.nan)
    for n in range(folds):
        test = fold == n
        if test.any():
            fitted = fit(part_of(table, ~test), ood[~test], groups[~test])
            scores[test] = fitted(part_of(table, test))
    return scores


def fold_of(groups: Groups, folds: int, seed: int = SEED) -> NDArray[np.int64]:
    """(scans,) the fold of each scan: all scans of one group in one fold, groups dealt out at random."""
    names, inverse = np.unique(groups, return_inverse=True)
    deal = np.random.default_rng(seed).permutation(np.arange(len(names)) % folds)
    return np.asarray(deal[inverse], dtype=np.int64)


def pass_threshold(scores: NDArray[np.floating[Any]], share: float = PASS_SHARE) -> float:
    """The ceil((n + 1) * share)-th smallest score (the largest when that exceeds n).

    A new scan exchangeable with the n exceeds it with a chance of at most 1 - share, if n >= share / (1 - share).
    Vovk 2005, doi 10.1007/b106715 (split conformal). NaN for no scores.
    """
    if len(scores) == 0:
        return float("nan")
    rank = min(int(np.ceil((len(scores) + 1) * share - 1e-9)), len(scores))
    return float(np.sort(scores)[rank - 1])
