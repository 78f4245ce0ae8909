"""The covariance that several scan detectors rest on agrees with scikit-learn's, however many features there are."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.covariance import LedoitWolf

from core.gates.scan import detectors
from core.gates.scan.combining import ShrunkCovariance


@pytest.mark.parametrize(("rows", "features"), [(40, 5), (9, 30), (24, 256), (300, 60), (13, 13)])
def test_the_distance_is_that_of_scikit_learns_ledoit_wolf(rows, features):
    rng = np.random.default_rng(rows)
    mixing = rng.normal(size=(features, features))
    learned = rng.normal(size=(rows, features)) @ mixing + 3
    asked = 4 * rng.normal(size=(7, features))
    flat, mean, spread = detectors.scale(learned[:, None].astype(np.float32), np.zeros(rows, bool))
    expected = np.sqrt(LedoitWolf().fit(flat).mahalanobis((asked - mean) / spread))
    assert ShrunkCovariance.of(learned).away(asked) == pytest.approx(expected, rel=1e-6)


def test_a_feature_that_never_changed_makes_no_distance_of_rounding():
    rng = np.random.default_rng(4)
    learned = np.column_stack([rng.normal(size=30), np.full(30, 7.0)])
    away = ShrunkCovariance.of(learned).away(learned)
    assert np.isfinite(away).all()
    assert away.max() < 6
