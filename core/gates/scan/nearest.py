"""How far a scan's looks lie from those of the nearest reference scans, part by part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.gates.scan.combining import Fit, Score, Table
from core.gates.scan.detectors import Array, Labels


@dataclass(frozen=True, eq=False)
class NearestLooks:
    """Reference looks of some parts; distances are counted in the mean of those among the references themselves.

    Args:
        rows: part -> (references, features).
        groups: (references,) their patients.
    """

    rows: Mapping[str, Array]
    groups: NDArray[np.str_]

    def among_themselves(self, part: str) -> float:
        """Mean of how far each reference lies from those of other patients."""
        rows = self.rows[part]
        own = self.groups[:, None] == self.groups[None]
        if _whitened(part):
            near = np.array([_away(rows[n : n + 1], rows[~own[n]])[0] for n in range(len(rows))])
        else:
            near = np.where(own, np.inf, _distances(rows, rows)).min(axis=1)
        return max(float(near.mean()), 1e-6)

    def without(self, scans: NDArray[np.bool_]) -> NearestLooks:
        return NearestLooks({name: rows[~scans] for name, rows in self.rows.items()}, self.groups[~scans])

    def parts(self, asked: Mapping[str, NDArray[Any]]) -> dict[str, Array]:
        """Part -> (asked,) how far from the references, in the mean distance of these from each other."""
        found = {}
        for part, rows in self.rows.items():
            away = _away(asked[part], rows) if _whitened(part) else _distances(asked[part], rows).min(axis=1)
            found[part] = away / self.among_themselves(part)
        return found

    def nearest(self, asked: Mapping[str, NDArray[Any]]) -> str:
        """The patient nearest to the first asked scan, each part counted by its mean distance among references."""
        total = sum(
            _distances(asked[part][:1], rows)[0] / self.among_themselves(part) for part, rows in self.rows.items()
        )
        return str(self.groups[int(np.argmin(total))])

    def held_out(self) -> Array:
        """(references,) the largest over the parts, of each with its patient left out."""
        out = np.full(len(self.groups), np.nan)
        for n, group in enumerate(self.groups):
            others = self.without(self.groups == group)
            found = others.parts({part: rows[n : n + 1] for part, rows in self.rows.items()})
            out[n] = max(float(values[0]) for values in found.values())
        return out


def _whitened(part: str) -> bool:
    """Sizes are few, hang together and vary between people: Mahalanobis. Shares are compared with the nearest."""
    return part.endswith("sizes")


def _distances(asked: Array, rows: Array) -> Array:
    """(asked, references) Euclidean."""
    return np.asarray(np.sqrt(((asked[:, None].astype(np.float64) - rows[None]) ** 2).sum(axis=-1)))


def _away(asked: Array, rows: Array) -> Array:
    """(asked,) Mahalanobis distance from the mean of the rows; a thousandth of the variance keeps it from nothing."""
    mean, covariance = rows.mean(axis=0), np.atleast_2d(np.cov(rows, rowvar=False))
    covariance = covariance + 1e-3 * np.trace(covariance) / len(covariance) * np.eye(len(covariance)) + 1e-9
    centred = asked.astype(np.float64) - mean
    return np.asarray(np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", centred, np.linalg.inv(covariance), centred), 0)))


def nearest_looks(names: Sequence[str]) -> Fit:
    """The detector in force, as `core.gates.scan.evaluate` compares it."""

    def fit(table: Table, ood: Labels, groups: NDArray[np.str_]) -> Score:
        known = NearestLooks({name: np.asarray(table[name])[~ood] for name in names}, groups[~ood])
        return lambda other: np.max(list(known.parts({name: np.asarray(other[name]) for name in names}).values()), 0)

    return fit
