"""Spaces: vectors are scaled as said, two lesions suffice, and what cannot be compared is refused in words."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import cdist, pdist

from core.errors import InputError
from core.evidence.spaces import FEWEST_OF_MODALITY, Tuning, fit_space, pair_distances, percentile_of
from core.gates.mask.conformal import MaskGate

RNG = np.random.default_rng(4)
SHAPES, LOOKS = RNG.normal(size=(30, 12)), RNG.normal(size=(30, 40)) * np.linspace(5, 0.1, 40)


def test_shape_is_scaled_as_the_mask_gate_scales_it():
    gate = MaskGate.fit(SHAPES, [f"P{n}" for n in range(30)])
    space = fit_space("shape", SHAPES, None)
    np.testing.assert_allclose(space.project(SHAPES, None), gate.scaled, rtol=1e-5, atol=1e-6)
    assert (space.dimensions, space.lesions) == (12, 30)


def test_whitened_components_are_mahalanobis_and_unwhitened_ones_keep_every_distance():
    looks = RNG.normal(size=(50, 4)) @ RNG.normal(size=(4, 6))  # of rank 4
    raw = fit_space("appearance", None, looks, tuning=Tuning(components=9, whitening=0)).project(None, looks)
    assert raw.shape == (50, 4)
    np.testing.assert_allclose(pdist(raw), pdist(looks), rtol=1e-4)
    white = fit_space("appearance", None, looks, tuning=Tuning(components=9, whitening=1)).project(None, looks)
    np.testing.assert_allclose(np.cov(white.T, ddof=0), np.eye(4), atol=1e-4)


def test_the_first_components_are_those_that_vary_most():
    looks = np.zeros((6, 3))
    looks[:, 1], looks[:, 2] = [9, -9, 9, -9, 9, -9], [1, 1, 1, -1, -1, -1]
    found = fit_space("appearance", None, looks, tuning=Tuning(components=1, whitening=0)).project(None, looks)
    along = looks[:, 1] - looks[:, 1].mean()
    assert np.abs(np.corrcoef(found[:, 0], along)[0, 1]) > 0.99


def test_both_is_the_two_side_by_side_each_by_its_typical_size_and_weighted():
    def part(weight):
        return fit_space("both", SHAPES, LOOKS, tuning=Tuning(8, 1, weight)).project(SHAPES, LOOKS)

    shape = fit_space("shape", SHAPES, None).project(SHAPES, None)
    looks = fit_space("appearance", None, LOOKS, tuning=Tuning(8, 1)).project(None, LOOKS)
    typical = [np.median(np.linalg.norm(x, axis=1)) for x in (shape, looks)]
    expected = 0.75 * cdist(shape, shape) ** 2 / typical[0] ** 2 + 0.25 * cdist(looks, looks) ** 2 / typical[1] ** 2
    both = part(0.25)
    np.testing.assert_allclose(cdist(both, both) ** 2, expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(cdist(part(0.0), part(0.0)), cdist(shape, shape) / typical[0], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["shape", "appearance", "both"])
def test_two_lesions_are_a_space_and_one_is_none(name):
    space = fit_space(name, SHAPES[:2], LOOKS[:2])
    points = space.project(SHAPES[:3], LOOKS[:3])
    assert points.dtype == np.float32
    assert np.isfinite(points).all()
    assert np.linalg.norm(points[0] - points[1]) > 0
    assert len(points[0]) == space.dimensions
    with pytest.raises(InputError, match="at least 2 lesions to compare, got 1"):
        fit_space(name, SHAPES[:1], LOOKS[:1])


def test_a_modality_is_centred_by_itself_once_there_are_enough_of_it():
    offset = np.zeros(40)
    offset[3] = 100.0
    tuning, many, few = Tuning(30, 0.0), FEWEST_OF_MODALITY, FEWEST_OF_MODALITY - 1
    for count, near in ((many, True), (few, False)):
        looks = np.concatenate([LOOKS[:20], LOOKS[:count] + offset])
        kinds = ["CT"] * 20 + ["PET"] * count
        points = fit_space("appearance", None, looks, kinds, tuning).project(None, looks, kinds)
        same = np.linalg.norm(points[0] - points[20])
        others = np.linalg.norm(points[0] - points[1:20], axis=1)
        assert (same < np.median(others)) == near


def test_what_cannot_be_compared_is_refused_in_words():
    with pytest.raises(InputError, match="all look the same"):
        fit_space("appearance", None, np.ones((4, 9)))
    with pytest.raises(InputError, match="space of shape, appearance, both"):
        fit_space("texture", SHAPES, LOOKS)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="Expected the appearance of each lesion"):
        fit_space("both", SHAPES, None)
    with pytest.raises(InputError, match="as many shapes as appearances, got 30 and 29"):
        fit_space("both", SHAPES, LOOKS[:29])
    with pytest.raises(InputError, match="finite numbers of appearance"):
        fit_space("appearance", None, np.array([[1.0], [np.nan]]))
    with pytest.raises(InputError, match="a modality a lesion, got 1 for 30"):
        fit_space("appearance", None, LOOKS, ["CT"])
    space = fit_space("both", SHAPES, LOOKS)
    with pytest.raises(InputError, match="row of 40 numbers of appearance"):
        space.project(SHAPES, LOOKS[:, :39])
    with pytest.raises(InputError, match="as many shapes as appearances"):
        space.project(SHAPES, LOOKS[:3])


@given(arrays(np.float64, (7, 12), elements=st.floats(-50, 50)), st.integers(0, 6))
def test_a_lesions_distance_to_itself_is_nought_whatever_the_shapes(shapes, at):
    points = fit_space("shape", shapes, None).project(np.concatenate([shapes, shapes[[at]]]), None)
    assert np.isfinite(points).all()
    assert np.linalg.norm(points[7] - points[at]) == 0


def test_few_pairs_are_all_told_and_never_those_of_one_patient():
    points = np.array([[0.0], [1.0], [3.0], [10.0]], np.float32)
    assert pair_distances(points, ["a", "a", "b", "c"], 100, 0).tolist() == [2, 3, 7, 9, 10]


def test_a_sample_of_pairs_draws_each_pair_across_patients_alike():
    points = np.array([[0.0], [0.5], [0.75], [8.0], [32.0]], np.float32)
    owners = ["a", "b", "a", "a", "c"]
    expected = sorted({abs(float(points[i, 0] - points[j, 0])) for i, j in ((0, 1), (1, 2), (1, 3))})
    expected += sorted(abs(32 - float(p)) for p in points[:4, 0])
    found, counts = np.unique(
        pair_distances(np.repeat(points, 300, 0), np.repeat(owners, 300).tolist(), 70_000, 3), return_counts=True
    )
    assert sorted(found.tolist()) == sorted(expected)
    assert counts.min() > 0.95 * counts.max(), "all seven pairs of places are as many pairs of lesions"


def test_a_patient_with_nearly_all_lesions_makes_no_pair_with_itself():
    points = np.concatenate([np.zeros((5000, 1)), [[1.0]]]).astype(np.float32)
    found = pair_distances(points, ["a"] * 5000 + ["b"], 400, 1)
    assert (len(found), set(found.tolist())) == (400, {1.0})
    with pytest.raises(InputError, match="of two patients to compare, got those of 1"):
        pair_distances(points, ["a"] * 5001, 400, 1)


def test_a_percentile_is_the_share_of_pairs_that_are_farther_apart():
    sample = np.array([1.0, 2.0, 3.0, 4.0])
    assert [percentile_of(d, sample) for d in (0.0, 1.0, 2.5, 4.0, 9.0)] == [100, 75, 50, 0, 0]
    with pytest.raises(InputError, match="two patients are needed"):
        percentile_of(1.0, np.zeros(0))
    with pytest.raises(InputError, match="distance of 0 or more"):
        percentile_of(float("nan"), sample)
