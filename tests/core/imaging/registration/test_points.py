"""What a person corrects: landmarks and a dragged picture, by hand-computed answers and properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from core.errors import InputError
from core.imaging.registration import RigidTransform, adjusted, from_landmarks
from core.imaging.registration.transform import about, mapped

CORNER = np.array([[0.0, 0, 0], [30, 0, 0], [0, 20, 0]])
numbers = st.floats(-100, 100)
vectors = st.tuples(numbers, numbers, numbers).map(np.array)


def transform(matrix: np.ndarray) -> RigidTransform:
    return RigidTransform(matrix, 1.2, "good", 3.0, "converged", 0.9, {}, {"version": 2}, "ab")


def test_a_quarter_turn_and_a_shift_are_found_from_three_landmarks():
    # About z, x goes to y and y to -x; then 10 mm up.
    found = from_landmarks(CORNER, np.array([[0.0, 0, 10], [0, 30, 10], [-20, 0, 10]]))
    assert found.matrix == pytest.approx(
        np.array([[0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 10], [0, 0, 0, 1.0]]), abs=1e-9
    )
    assert (found.residual_mm, found.worst_mm) == pytest.approx((0, 0), abs=1e-9)


def test_a_landmark_that_is_wrong_shows_in_the_residual():
    square = np.array([[0.0, 0, 0], [40, 0, 0], [40, 40, 0], [0, 40, 0]])
    # Alternate corners 2 mm up and down: no rigid motion explains any of it.
    found = from_landmarks(square, square + np.array([[0, 0, 2.0], [0, 0, -2], [0, 0, 2], [0, 0, -2]]))
    assert found.matrix == pytest.approx(np.eye(4), abs=1e-9)
    assert (found.residual_mm, found.worst_mm) == pytest.approx((2, 2))


def test_mirrored_landmarks_give_a_turn_and_no_mirror():
    found = from_landmarks(np.vstack([CORNER, [0, 0, 25]]), np.vstack([CORNER, [0, 0, 25]]) * [-1, 1, 1])
    assert np.linalg.det(found.matrix[:3, :3]) == pytest.approx(1)
    assert found.residual_mm > 5


@given(vectors, vectors, st.lists(vectors, min_size=3, max_size=8).map(np.array))
def test_any_rigid_motion_is_found_from_its_points(turn_deg, shift, points):
    spread = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
    if spread[1] < 30:
        return
    matrix = about(Rotation.from_rotvec(np.radians(turn_deg)).as_matrix(), np.zeros(3), shift)
    found = from_landmarks(points, mapped(matrix, points))
    assert found.residual_mm < 1e-6
    assert mapped(found.matrix, points) == pytest.approx(mapped(matrix, points), abs=1e-5)


@pytest.mark.parametrize(
    ("points", "said"),
    [
        (CORNER[:2], "at least 3 pairs"),
        (CORNER[:, :2], "at least 3 pairs"),
        (np.array([[0.0, 0, 0], [10, 10, 0], [20, 20, 1]]), "from one line"),
        (np.array([[0.0, 0, 0], [30, 0, 0], [0, np.nan, 0]]), "not finite"),
    ],
)
def test_landmarks_that_fix_no_motion_are_refused(points, said):
    with pytest.raises(InputError, match=said):
        from_landmarks(points, points)


def test_a_picture_dragged_to_the_right_is_asked_for_what_was_left_of_it():
    found = adjusted(transform(np.eye(4)), np.array([10.0, 0, 0]), np.zeros(3), np.zeros(3))
    assert found.apply(np.array([[12.0, 5, 5]]))[0] == pytest.approx([2, 5, 5])


def test_a_picture_is_turned_about_the_place_that_was_named():
    found = adjusted(transform(np.eye(4)), np.zeros(3), np.array([0.0, 0, 90]), np.array([100.0, 0, 0]))
    assert found.apply(np.array([[100.0, 0, 7]]))[0] == pytest.approx([100, 0, 7])
    # What was drawn 10 mm to the right is now drawn 10 mm further up along y.
    assert found.apply(np.array([[100.0, 10, 0]]))[0] == pytest.approx([110, 0, 0])


def test_what_was_measured_of_the_transform_before_is_not_said_of_the_corrected_one():
    found = adjusted(transform(np.eye(4)), np.array([0.0, 1, 0]), np.zeros(3), np.zeros(3))
    assert (found.state, found.metric, found.overlap, found.parameters_hash) == ("doubtful", 0.0, 0.0, "")
    assert not found.converged
    assert not found.quality


def test_no_correction_leaves_the_transform_as_it_was():
    before = transform(np.eye(4))
    assert adjusted(before, np.zeros(3), np.zeros(3), np.ones(3)) is before


def test_a_correction_without_all_its_numbers_is_refused():
    with pytest.raises(InputError, match="three finite numbers"):
        adjusted(transform(np.eye(4)), np.array([1.0, np.inf, 0]), np.zeros(3), np.zeros(3))


@given(vectors, vectors, vectors, vectors)
def test_a_correction_keeps_distances_and_moves_its_middle_by_the_shift(shift, turn_deg, centre, place):
    found = adjusted(transform(np.eye(4)), shift, turn_deg, centre)
    # The place where the middle was dragged to shows what lay at the middle before.
    assert found.apply((centre + shift)[None])[0] == pytest.approx(centre, abs=1e-6)
    points = np.array([place, centre])
    assert np.linalg.norm(np.diff(found.apply(points), axis=0)) == pytest.approx(
        np.linalg.norm(place - centre), abs=1e-6
    )
