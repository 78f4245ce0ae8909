"""The coarse search: its mutual information is the one that counting gives, and its turns are what they should be."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from core.imaging.registration.prepared import prepare
from core.imaging.registration.search import (
    APART_MM,
    information,
    mean_distance_mm,
    memberships,
    points_of,
    search,
    turns,
    usual_starts,
)
from core.types import Grid, Volume
from tests.core.imaging.registration.scans import ball


def test_information_of_a_shift_is_that_of_the_joint_histogram_counted_by_hand():
    rng = np.random.default_rng(0)
    labels = [rng.integers(0, 3, (5, 4, 6)) for _ in range(2)]
    one, other = (np.stack([label == n for n in range(3)]).astype(np.float32) for label in labels)
    size = [9, 7, 11]
    found = information(one, other, size, np.ones(size, dtype=bool))
    # Voxel u of the first meets u + (1, 0, 2) of the second.
    a, b = labels[0][:4, :, :4].ravel(), labels[1][1:, :, 2:].ravel()
    joint = np.histogram2d(a, b, bins=3)[0] / a.size
    shares = joint[joint > 0] / np.outer(joint.sum(1), joint.sum(0))[joint > 0]
    assert found[1, 0, 2] == pytest.approx((joint[joint > 0] * np.log(shares)).sum(), abs=1e-4)
    assert found[4, 3, 5] == 0, "a single voxel in common is too little"


def test_a_value_is_shared_between_the_two_levels_that_it_lies_between():
    knots = np.array([0, 10, 30], np.float32)
    shared = memberships(np.array([-5, 0, 2.5, 20, 99], np.float32), knots)
    expected = np.array([[1, 0, 0], [1, 0, 0], [0.75, 0.25, 0], [0, 0.5, 0.5], [0, 0, 1]])
    np.testing.assert_allclose(shared.T, expected, atol=1e-6)


def test_turns_reach_about_27_degrees_about_any_axis_and_begin_with_none():
    found = list(turns())
    angles = np.degrees([Rotation.from_matrix(matrix).magnitude() for matrix in found])
    assert np.array_equal(found[0], np.eye(3))
    assert angles.max() == pytest.approx(12 * np.sqrt(5))
    assert len(found) == 57


def test_the_best_start_of_a_shifted_scan_is_near_the_truth_and_starts_are_apart():
    fixed, moving = prepare(ball()), prepare(ball(5))
    found = search(fixed, moving, 4)
    truth = np.eye(4)
    truth[0, 3] = 10
    places = points_of(fixed)
    assert mean_distance_mm(places, found[0].matrix, truth) < 9
    assert all(mean_distance_mm(places, found[0].matrix, one.matrix) > APART_MM for one in found[1:])
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)


def test_usual_starts_are_the_scanners_coordinates_and_the_middles():
    array = np.full((20, 20, 20), -1000, np.float32)
    array[4:10, 4:16, 4:16] = 40
    grid = Grid((20, 20, 20), np.diag([2.0, 2, 2, 1]))
    far = np.diag([2.0, 2, 2, 1])
    far[:3, 3] = 100, 0, 0
    moved = np.roll(array, 6, axis=0)
    starts = usual_starts(prepare(Volume(array, grid, "CT")), prepare(Volume(moved, Grid((20, 20, 20), far), "CT")))
    assert [start.matrix[0, 3] for start in starts] == pytest.approx([0, 100, 112], abs=1.5)
