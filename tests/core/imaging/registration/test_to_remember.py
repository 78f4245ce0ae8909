"""What is remembered of a registration and of a person's correction of it: by hand-computed answers and properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InputError
from core.imaging.registration import Figure, RigidTransform
from core.imaging.registration.to_remember import (
    carried_by,
    found_transform,
    landmark_transform,
    moved_transform,
    residuals_mm,
    rows,
    shift_and_turn,
)
from core.types import Scan

NOTHING = (0.0, 0.0, 0.0)
SAME = rows(np.eye(4))
CORNER = np.array([[0.0, 0, 0], [30, 0, 0], [0, 20, 0]])
numbers = st.floats(-100, 100)
vectors = st.tuples(numbers, numbers, numbers)


def scan(day: str, sha256: str) -> Scan:
    return Scan("CT", "clinic", "KIM", day, "CT", "", "", (9, 9, 9), (1, 1, 1), "RAS", sha256, sha256)


FIRST, SECOND = scan("2024-01-01", "a" * 64), scan("2024-02-01", "b" * 64)


def test_what_the_program_found_is_told_with_its_figures_their_units_and_what_they_mean():
    quality = {"overlap": Figure(0.8, "share", "of the smaller field"), "inverse": Figure(None, "mm", "there and back")}
    found = RigidTransform(np.diag([1, 1, 1, 1.0]), 0.9, "doubtful", 2.0, "why", 0.8, quality, {"version": 2})
    new = found_transform(found, FIRST, SECOND)
    assert (new.from_timepoint, new.to_scan_sha256, new.method, new.overlap) == ("2024-01-01", "b" * 64, "rigid", 0.8)
    assert (new.state, new.message, new.matrix, new.parameters) == ("doubtful", "why", SAME, {"version": 2})
    assert new.figures["inverse"] == {"value": None, "unit": "mm", "means": "there and back"}
    assert (new.figures["information"]["value"], new.figures["information"]["unit"]) == (0.9, "nats")


def test_a_picture_moved_to_the_right_is_asked_for_further_to_the_left():
    new = moved_transform(SAME, FIRST, SECOND, (5.0, 0, 0), NOTHING, NOTHING, "t1")
    assert new.matrix == rows(np.array([[1, 0, 0, -5], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]))
    assert (new.method, new.state, new.overlap) == ("adjusted", "good", None), "nobody measured the overlap"
    assert (new.figures["shift"]["value"], new.figures["turn"]["value"]) == (5.0, 0.0)
    assert new.parameters["from_transform"] == "t1"


@given(vectors, vectors, vectors)
def test_what_was_carried_is_undone_by_the_transform_that_is_stored(shift, turn, centre):
    new = moved_transform(SAME, FIRST, SECOND, shift, turn, centre)
    assert np.asarray(new.matrix) @ carried_by(shift, turn, centre) == pytest.approx(np.eye(4), abs=1e-6)


@given(vectors, vectors, vectors)
def test_shift_and_turn_carry_the_picture_where_it_lies(shift, turn, centre):
    carried = carried_by(shift, turn, centre)
    again_mm, again_deg = shift_and_turn(carried, centre)
    again = carried_by(again_mm.tolist(), again_deg.tolist(), centre)
    assert again == pytest.approx(carried, abs=1e-6)


def test_a_quarter_turn_about_another_place_is_a_turn_and_the_shift_of_the_centre():
    # About z and the place (10, 0, 0): the origin goes to (10, -10, 0).
    shift, turn = shift_and_turn(carried_by(NOTHING, (0, 0, 90), (10, 0, 0)), NOTHING)
    assert turn == pytest.approx([0, 0, 90])
    assert shift == pytest.approx([10, -10, 0])


@pytest.mark.parametrize(
    "matrix",
    [np.diag([-1, 1, 1, 1.0]), np.diag([2, 1, 1, 1.0]), np.full((4, 4), np.nan), np.eye(3), np.diag([1, 1, 1, 2.0])],
)
def test_what_is_no_shift_and_turn_is_refused(matrix):
    with pytest.raises(InputError, match="Move the picture again"):
        shift_and_turn(matrix, NOTHING)


def test_landmarks_are_remembered_with_what_is_left_of_each_pair():
    square = np.array([[0.0, 0, 0], [40, 0, 0], [40, 40, 0], [0, 40, 0]])
    other = square + np.array([[0, 0, 2.0], [0, 0, -2], [0, 0, 2], [0, 0, -2]])
    new = landmark_transform(FIRST, SECOND, square, other)
    assert (new.method, new.state) == ("landmarks", "good")
    assert {name: figure["value"] for name, figure in new.figures.items()} == pytest.approx(
        {"pairs": 4, "residual": 2, "worst": 2}
    )
    assert residuals_mm(new.matrix, square, other) == pytest.approx([2, 2, 2, 2])
    assert new.parameters["second_points_mm"] == other.tolist()


def test_pairs_on_one_line_set_nothing():
    with pytest.raises(InputError, match="further to the side"):
        landmark_transform(FIRST, SECOND, CORNER * [1, 0, 0] + [[0, 0, 0], [0, 0, 0], [9, 0, 0]], CORNER)
