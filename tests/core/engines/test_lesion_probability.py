"""How sure a network is of a lesion: asked at its voxels, on any grid, by the geometry of nnU-Net's own resampling."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.special import logit

from core.engines.auto.nnunet import load_segmenter
from core.engines.probability import LesionProbability
from core.lesions.matching import components
from core.review.sureness import LEAST_MEAN_PROBABILITY, probability_doubt, probability_doubts
from core.simulation.demo_timepoints import real_scan
from core.types import Grid, LabelMap

GRID = Grid((6, 4, 2), np.diag([2.0, 2.0, 4.0, 1.0]))


def logits_of(probability: np.ndarray) -> np.ndarray:
    return np.stack([np.zeros(probability.shape), logit(probability)]).astype(np.float32)


def asked(probability: np.ndarray, **more) -> LesionProbability:
    """Logits whose axes are the grid's (i, j, k), nothing cropped."""
    return LesionProbability(logits_of(probability), (1,), GRID, (0, 1, 2), (0, 0, 0), GRID.shape, **more)


def test_the_mean_is_over_the_lesions_own_voxels():
    probability = np.full(GRID.shape, 0.1)
    probability[0], probability[1], probability[5] = 0.9, 0.7, 0.6
    labels = np.zeros(GRID.shape, np.uint8)
    labels[:2], labels[5] = 1, 3
    assert asked(probability).means(LabelMap(labels, GRID)) == pytest.approx({1: 0.8, 3: 0.6}, abs=1e-5)


def test_a_label_map_that_runs_the_other_way_has_the_same_means():
    probability = np.linspace(0.55, 0.95, 6)[:, None, None] * np.ones(GRID.shape)
    labels = np.zeros(GRID.shape, np.uint8)
    labels[4:] = 1
    flipped = Grid(GRID.shape, GRID.affine @ np.array([[-1, 0, 0, 5], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]))
    there = asked(probability).means(LabelMap(labels, GRID))
    assert asked(probability).means(LabelMap(labels[::-1].copy(), flipped)) == pytest.approx(there)


def test_nnunets_crop_and_order_of_axes_are_undone():
    probability = np.full((2, 4, 5), 0.5)  # (k, j, i), the first i was cropped away
    probability[:, :, 1] = 0.98
    properties = {
        "bbox_used_for_cropping": [[0, 2], [0, 4], [1, 6]],
        "shape_after_cropping_and_before_resampling": (2, 4, 5),
    }
    predictor = SimpleNamespace(
        plans_manager=SimpleNamespace(transpose_forward=(0, 1, 2)), label_manager=SimpleNamespace(has_regions=False)
    )
    found = LesionProbability.of_network(logits_of(probability), (1,), GRID, properties, predictor)
    labels = np.zeros(GRID.shape, np.uint8)
    labels[2] = 1
    assert found.means(LabelMap(labels, GRID)) == pytest.approx({1: 0.98}, abs=1e-5)


def test_of_a_network_it_is_the_mean_of_its_probability_on_the_scan(shared_data):
    real = real_scan(shared_data / "sts" / "STS_008")
    answer = load_segmenter("sts-ctpet-small").segment([real.ct, real.pet], logits=True)
    labels = LabelMap(components(answer.labels.array > 0, answer.labels.grid), answer.labels.grid)
    assert answer.logits is not None
    assert answer.probability is not None
    tumour = 1 / (1 + np.exp(answer.logits[0] - answer.logits[1]))
    expected = {label: float(tumour[labels.array == label].mean()) for label in labels.labels}
    assert answer.probability.means(labels) == pytest.approx(expected, abs=0.005)


def test_what_the_network_was_not_sure_of_is_a_doubt_and_what_no_network_drew_is_none():
    assert probability_doubt(None) is None
    assert probability_doubt(LEAST_MEAN_PROBABILITY) is None
    assert "0.61" in (probability_doubt(0.61) or "")
    lesions = [{"lesion_id": "L1", "mean_probability": 0.97}, {"lesion_id": "L2", "mean_probability": 0.7}]
    assert [name for name, _ in probability_doubts([*lesions, {"lesion_id": "L3"}])] == ["L2"]
