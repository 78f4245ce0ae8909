"""What learning from marks gains on marks that it did not learn from, and what may be put in force.

Marks are dealt into folds by the patient of the lesion that was asked about; each fold is ordered by what was learned
from the others. The figure is the share of pairs (relevant, not relevant) of one query in the right order; its interval
comes from drawing patients anew. Nothing is put in force that does not gain with the whole interval.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.evidence.cases import SpaceName
from core.evidence.learned_metric import Gain, Layer, LearnedMetric, MetricKind, none
from core.evidence.learning import STRENGTH, Click, check_clicks, checked_vectors, comparisons_of, fit_weights
from core.gates.mask.neighbours import nearest_of_all
from core.gates.scan.rates import auroc

Floats = NDArray[np.float64]

#: Fewer say nothing: a fold would hold less than a handful.
LEAST_CLICKS = 30
#: Of fewer patients an interval by drawing patients anew is too narrow (`tests.bench clicks` has the figures).
LEAST_GROUPS = 10
LEAST_PAIRS = 30
FOLDS = 5
RESAMPLES = 2000
#: Neighbours of a lesion in the graph network.
NEIGHBOURS = 10
NO_LEARNING: Final = "no learning"


@dataclass(frozen=True, eq=False)
class Scored:
    """Held-out marks under one metric.

    Args:
        distances: (clicks,) squared, as shares of what is typical under the metric of the fold, in the order of clicks.
        right, pairs: (groups,) pairs of one query in the right order, and of all, by group.
    """

    distances: Floats
    right: Floats
    pairs: Floats

    @property
    def accuracy(self) -> float:
        """Share of pairs in the right order, 0..1; NaN without a pair."""
        return float(self.right.sum() / self.pairs.sum()) if self.pairs.sum() else float("nan")
