"""The order of similar lesions after a few marks on one of them: at once, for whoever made them, and undone exactly.

A mark says two things. Which numbers count: weights as in `core.evidence.learning`, from these marks alone. And which
lesions are wanted: those near a relevant one come nearer, those near one that is not go farther. What is marked itself
leads or ends the list, so that marking a lesion relevant never moves it back, whatever the other marks are, and marking
it not relevant never moves it forward.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from core.evidence.learning import Click, checked_vectors, fit_weights

Floats = NDArray[np.float64]

#: Of the ridge for the marks on one lesion: a handful must be seen.
AT_ONCE = 0.3
#: By how much of the typical squared distance a relevant lesion pulls one that is equal to it. Little: of simulated
#: readers (`tests.bench clicks`) only those of a taste that no number tells gained by more, all others lost.
PULL = 0.1
#: Of its lesions, the share that counts as near a marked one.
NEAR_SHARE = 0.3


def reordered(query: Floats, vectors: Floats, distances: Floats, marks: Mapping[int, bool]) -> NDArray[np.intp]:
    """Rows of the lesions that were found, best first.

    Args:
        query: (d,) of the lesion asked about. vectors: (m, d) of those found, in the same numbers, as the metric in
            force leaves them.
        distances: (m,) from the query, as the search gave them: their order is what marks change.
        marks: row -> relevant or not, of as many rows as were marked.

    Returns:
        (m,) rows: relevant ones first, not relevant ones last; equal ones in the order of rows. Without marks exactly
        the order of distances. It is the same for the same marks, however they came about.

    Raises:
        InputError: arrays that do not belong together or are not finite; a mark on no row.
    """
    found, asked, squares = _checked(query, vectors, distances, marks)
    if not marks:
        return np.argsort(distances, kind="stable")
    relevant = np.zeros(len(found), dtype=np.intp)
    for row, said in marks.items():
        relevant[row] = -1 if said else 1
    scores = squares + _by_weights(asked, found, marks) + _by_nearness(found, marks)
    return np.lexsort((scores, relevant))


def _by_weights(query: Floats, found: Floats, marks: Mapping[int, bool]) -> Floats:
    """(m,) what weights learned from these marks add to squared distances."""
    rows = np.concatenate([found, query[None]])
    clicks = [Click(len(found), row, said, "") for row, said in marks.items()]
    weights = fit_weights(rows, clicks, AT_ONCE)
    return np.asarray((found - query) ** 2 @ (weights - 1.0), dtype=np.float64)


def _by_nearness(found: Floats, marks: Mapping[int, bool]) -> Floats:
    """(m,) what being near marked lesions adds to squared distances: a Gaussian of the distance from each of them."""
    typical = 2.0 * float(found.var(axis=0).sum())
    added = np.zeros(len(found))
    for row in sorted(marks):
        away = ((found - found[row]) ** 2).sum(axis=1)
        width = float(np.quantile(away, NEAR_SHARE))
        near = np.exp(-away / width) if width > 0 else (away == 0).astype(np.float64)
        added += (-PULL if marks[row] else PULL) * typical * near
    return added


def _checked(
    query: Floats, vectors: Floats, distances: Floats, marks: Mapping[int, bool]
) -> tuple[Floats, Floats, Floats]:
    """Vectors, query and squared distances in double precision."""
    found = checked_vectors(vectors)
    asked = checked_vectors(np.asarray(query, dtype=np.float64)[None])[0]
    away = np.asarray(distances, dtype=np.float64)
    if asked.shape != found.shape[1:] or away.shape != found.shape[:1] or not np.isfinite(away).all():
        raise InputError(
            f"Expected a query and distances for vectors {found.shape}, got {asked.shape} and {away.shape}, finite. "
            "Search again."
        )
    if any(not 0 <= row < len(found) for row in marks):
        raise InputError(
            f"Expected marks on the {len(found)} lesions that were found, got one on another. Search again."
        )
    return found, asked, away**2
