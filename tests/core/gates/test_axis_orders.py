"""What the gates see of a scan or a mask does not depend on how its file orders the axes."""

from __future__ import annotations

import numpy as np
import pytest

from core.gates.mask.verdicts import vectors_of
from core.gates.scan.detectors import geometry, histogram
from core.gates.scan.features import scan_features
from core.gates.scan.looks import look_at
from core.types import Grid, LabelMap
from tests.core.gates.test_rfdeep import ThresholdSegmenter, volume
from tests.orders import ALL_ORDERS, stored_as


def two_lesions() -> LabelMap:
    """Lopsided ones, on voxels of three sizes."""
    array = np.zeros((14, 12, 9), np.uint8)
    array[2:6, 3:9, 2:4] = 1
    array[2:4, 3:5, 4:7] = 1
    array[9:12, 2:5, 1:8] = 2
    array[9, 2:9, 1] = 2
    return LabelMap(array, Grid(array.shape, np.diag([-1.0, -1.5, 3.0, 1.0])))


@pytest.mark.parametrize("order", ALL_ORDERS)
def test_the_mask_gate_s_vectors_are_the_same(order):
    assert vectors_of(stored_as(two_lesions(), order)) == vectors_of(two_lesions())


@pytest.fixture(scope="module")
def segmenter():
    return ThresholdSegmenter()


@pytest.fixture(scope="module")
def in_training_order(segmenter):
    return scan_features(segmenter, [volume("CT"), volume("PET", seed=1)])


@pytest.mark.parametrize("order", ALL_ORDERS)
def test_rf_deep_s_features_are_the_same(segmenter, in_training_order, order):
    found = scan_features(segmenter, [stored_as(volume("CT"), order), stored_as(volume("PET", seed=1), order)])
    assert np.array_equal(found.rows, in_training_order.rows)
    assert np.array_equal(found.centre, in_training_order.centre)
    assert np.array_equal(found.logits, in_training_order.logits)


@pytest.mark.parametrize("order", ALL_ORDERS)
def test_the_baselines_see_the_same(order):
    here, there = [volume("CT"), volume("PET")], [stored_as(volume("CT"), order), stored_as(volume("PET"), order)]
    assert np.array_equal(histogram(there), histogram(here))
    np.testing.assert_allclose(geometry(there), geometry(here), atol=1e-6)


@pytest.mark.parametrize("order", ALL_ORDERS)
def test_what_the_scan_gate_sees_is_the_same(order):
    for one in (volume("CT"), volume("PET")):
        np.testing.assert_allclose(look_at(stored_as(one, order)), look_at(one), atol=1e-6)
