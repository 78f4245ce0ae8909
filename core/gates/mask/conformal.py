"""One component of the mask gate: how far is a lesion from those that people accepted for other patients?

A lesion's score is its mean distance to the k nearest reference lesions, none of the same patient, over features scaled
by the reference's median and MAD. Scores become a p-value in `core.gates.mask.joint`, which counts patients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from core.gates.mask.neighbours import ROWS_AT_ONCE, nearest_of, nearest_of_all
from core.lesions.shape import VECTOR_NAMES

#: Features are logarithms and ratios: a spread below 5 % is not believed, or masks that all have one component would
#: make a second one infinitely odd.
SCALE_FLOOR = 0.05
_MAD_TO_SD = 1.4826
_MEAN_TO_SD = 1.2533


def conformal_p(calibration: NDArray[np.float64], score: float) -> float:
    """The conformal p-value (1 + #{calibration >= score}) / (n + 1).

    If score and calibration are exchangeable, P(p <= t) <= t for every t. In [1 / (n + 1), 1]; 1 with no calibration.

    Source: Vovk 2005, 10.1007/b106715; Bates 2023, 10.1214/22-AOS2244.
    """
    return float((1 + np.count_nonzero(np.asarray(calibration) >= score)) / (len(calibration) + 1))


def scores_needed(alpha: float) -> int:
    """How many calibration scores it takes before p <= alpha can happen at all: 19 for alpha 0.05.

    Raises:
        InputError: unless 0 < alpha < 1.
    """
    if not 0 < alpha < 1:
        raise InputError(f"Expected an alpha between 0 and 1, got {alpha}.")
    return ceil(round(1 / alpha - 1, 9))


@dataclass(frozen=True, eq=False)
class MaskGate:
    """A fitted component. Make it by `MaskGate.fit`; `odds_of` any lesion.

    Args:
        names: (d,) of the features; centre, spread: (d,) median and spread of each.
        patient_ids: (n,) whose the reference masks are.
        scaled: (n, d) the reference in MAD units.
        calibration: (n,) score of each against other patients' masks; NaN where these are fewer than k.
        neighbours: (n, k) indices of the masks that the score is of; -1 where there are fewer.
    """

    names: tuple[str, ...]
    centre: NDArray[np.float64]
    spread: NDArray[np.float64]
    patient_ids: tuple[str, ...]
    scaled: NDArray[np.float64]
    calibration: NDArray[np.float64]
    neighbours: NDArray[np.int32]
    k: int
    alpha: float

    @classmethod
    def fit(
        cls,
        vectors: NDArray[np.float64],
        patient_ids: Sequence[str],
        k: int = 3,
        alpha: float = 0.05,
        names: Sequence[str] | None = None,
    ) -> MaskGate:
        """Learn what usual masks look like.

        Every reference lesion gets its own score against the lesions of all *other* patients (leave one patient out).
        A new lesion may choose among slightly more neighbours than a reference lesion could, which makes p slightly
        larger; median and MAD were learned without it, which makes p slightly smaller. The test suite simulates the
        whole.

        Args:
            vectors: (n, d) shape vectors, unscaled, finite; n may be 0.
            patient_ids: (n,) whose they are.
            k: neighbours in the score, >= 1.
            alpha: level of the flag, 0..1.
            names: (d,) feature names; `core.lesions.shape.VECTOR_NAMES` by default when d fits.

        Raises:
            InputError: shapes that do not fit, NaN or infinite features, k < 1, alpha outside (0, 1).
        """
        table = np.asarray(vectors, dtype=np.float64)
        patients = [str(patient) for patient in patient_ids]
        if table.size == 0:
            table = table.reshape(0, len(names or VECTOR_NAMES))
        if table.ndim != 2 or len(table) != len(patients):
            raise InputError(f"Expected one vector a patient entry, got {table.shape} for {len(patients)} entries.")
        if not np.isfinite(table).all():
            raise InputError("A reference mask has NaN or infinite features. Compute its shape vector again.")
        if k < 1:
            raise InputError(f"Expected k of at least 1, got {k}.")
        scores_needed(alpha)
        labels = _names(names, table.shape[1])
        centre, spread = robust_scale(table)
        scaled = (table - centre) / spread
        neighbours, calibration = nearest_of_all(scaled, owners_of(patients)[1], k)
        return cls(labels, centre, spread, tuple(patients), scaled, calibration, neighbours, k, alpha)

    def scale(self, vector: NDArray[np.float64]) -> NDArray[np.float64]:
        """A shape vector (d,) in MAD units from the reference's median: the space of the neighbour index."""
        return (np.asarray(vector, dtype=np.float64) - self.centre) / self.spread

    def distances(self, vector: NDArray[np.float64], patient_id: str) -> NDArray[np.float64]:
        """(n,) distances of a shape vector (d,) to the reference, MAD units; infinite to masks of that patient."""
        away = np.linalg.norm(self.scaled - self.scale(vector), axis=1)
        return np.where(self._of(patient_id), np.inf, away)

    @cached_property
    def _owners(self) -> tuple[dict[str, int], NDArray[np.intp]]:
        return owners_of(self.patient_ids)

    def _of(self, patient_id: str) -> NDArray[np.bool_]:
        """(n,) which are that patient's."""
        places, owners = self._owners
        return np.asarray(owners == places.get(patient_id, -1))

    def calibration_without(self, patient_id: str) -> NDArray[np.float64]:
        """The calibration scores of other patients' masks, as if this patient had none: (m,), finite."""
        scores = self.scores_without(patient_id)
        return scores[~np.isnan(scores)]

    def odds_of(self, vector: NDArray[np.float64], patient_id: str) -> float | None:
        """The mean distance to the k nearest lesions of other patients; None with fewer than k of them.

        Raises:
            InputError: if the vector has the wrong length, NaN or infinite values.
        """
        values = np.asarray(vector, dtype=np.float64)
        if values.shape != self.centre.shape or not np.isfinite(values).all():
            raise InputError(f"Expected {len(self.centre)} finite features, got an array of {values.shape}.")
        away = self.distances(values, patient_id)
        if len(away) < self.k:
            return None
        least = np.partition(away, self.k - 1)[: self.k]
        return float(np.sort(least).mean()) if np.isfinite(least).all() else None

    def scores_without(self, patient_id: str) -> NDArray[np.float64]:
        """(n,) the calibration score of each lesion as if this patient had none; NaN for those of that patient, and
        where fewer than k neighbours are left."""
        of_patient = self._of(patient_id)
        usable = ~of_patient & ~np.isnan(self.calibration)
        scores = self.calibration.copy()
        rests_on_own = np.flatnonzero(usable & (of_patient[self.neighbours] & (self.neighbours >= 0)).any(axis=1))
        for start in range(0, len(rests_on_own), ROWS_AT_ONCE):
            rows = rests_on_own[start : start + ROWS_AT_ONCE]
            scores[rows] = nearest_of(self.scaled, self._owners[1], rows, self.k, of_patient)[1]
        return np.where(usable, scores, np.nan)


def owners_of(patient_ids: Sequence[str]) -> tuple[dict[str, int], NDArray[np.intp]]:
    """Patient -> a number, and (n,) the number of each entry's: numbers are compared ten times as fast as names."""
    places: dict[str, int] = {}
    owners = [places.setdefault(patient, len(places)) for patient in patient_ids]
    return places, np.array(owners, np.intp)


def robust_scale(vectors: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Median and spread (each (d,)) of (n, d) vectors: 0 and 1 for none.

    The spread is 1.4826 MAD. Where more than half of the references share one value (component count) the MAD is 0;
    then 1.2533 times the mean absolute deviation stands in, and never less than `SCALE_FLOOR`.
    """
    if len(vectors) == 0:
        return np.zeros(vectors.shape[1]), np.ones(vectors.shape[1])
    centre = np.median(vectors, axis=0)
    deviations = np.abs(vectors - centre)
    spread = _MAD_TO_SD * np.median(deviations, axis=0)
    spread = np.where(spread < SCALE_FLOOR, _MEAN_TO_SD * deviations.mean(axis=0), spread)
    return centre, np.maximum(spread, SCALE_FLOOR)


def _names(names: Sequence[str] | None, count: int) -> tuple[str, ...]:
    if names is None:
        return VECTOR_NAMES if count == len(VECTOR_NAMES) else tuple(f"feature_{i}" for i in range(count))
    if len(names) != count:
        raise InputError(f"Expected {count} feature names, got {len(names)}.")
    return tuple(names)
