"""What prompted slices lead one to expect, form and grey values: phantoms worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from core.engines.propagation.expectation import DEFAULT_WEIGHTS, Anchor, LesionPrior, PriorWeights, cap_beyond
from core.types import Grid

SHAPE = (60, 60, 41)
GRID = Grid(SHAPE, np.diag([1.0, 1.0, 2.0, 1.0]))
BOX = np.array([20.0, 20.0, 39.0, 39.0])  # 20 x 20 mm, its middle at 29.5
ONLY_FORM = replace(DEFAULT_WEIGHTS, bias=0.0, grey=0.0, form=-1.0)
ONLY_GREY = replace(DEFAULT_WEIGHTS, bias=0.0, grey=1.0, form=0.0)


def disc(radius: float = 10.0) -> NDArray[np.bool_]:
    i, j = np.indices(SHAPE[:2])
    return (i - 29.5) ** 2 + (j - 29.5) ** 2 <= radius**2


def expectation(
    weights: PriorWeights = ONLY_FORM, *anchors: Anchor, grey: NDArray[np.uint8] | None = None
) -> LesionPrior:
    if grey is None:
        grey = np.where(disc()[:, :, None], 200, 50).astype(np.uint8) * np.ones(SHAPE, dtype=np.uint8)
    return LesionPrior(grey, GRID, anchors or [Anchor(20, BOX, disc())], weights)


def at(found: LesionPrior, log_odds: NDArray[np.float32], i: int, j: int) -> float:
    return float(log_odds[i - found.window[0].start, j - found.window[1].start])


def test_one_box_is_an_ellipsoid_one_and_two_fifths_as_deep_as_wide() -> None:
    found = expectation()
    cap = found.cap(20)
    assert (cap.share, cap.semi_axis_mm, cap.offset_mm) == pytest.approx((1.0, 14.0, 0.0))
    # On the box's edge in its own slice, and seven slices of 2 mm above its middle: on the surface.
    assert at(found, found.beyond(20, 20, cap), 39, 29) == pytest.approx(np.hypot(0.95, 0.05))
    assert at(found, found.beyond(27, 20, cap), 29, 29) == pytest.approx(np.sqrt(1 + 2 * 0.05**2))


def test_a_smaller_box_farther_out_says_how_deep_the_ellipsoid_is() -> None:
    """A box of 0.6 the size 16 mm away: 16 = depth * sqrt(1 - 0.36), so 20 mm."""
    small = np.array([24.0, 24.0, 35.0, 35.0])
    cap = cap_beyond({20: BOX, 28: small}, 28, GRID.spacing_mm, 1.4)
    assert (cap.share, cap.semi_axis_mm, cap.offset_mm) == pytest.approx((0.6, 20.0, 16.0))
    found = expectation(ONLY_FORM, Anchor(20, BOX, disc()), Anchor(28, small, disc(6)))
    # The rim of the small box lies on the surface; so does the end, 4 mm beyond.
    assert at(found, found.beyond(28, 28, found.cap(28)), 35, 29) == pytest.approx(1, abs=0.05)
    assert at(found, found.beyond(30, 28, found.cap(28)), 29, 29) == pytest.approx(1, abs=0.01)


def test_boxes_of_nearly_one_size_are_not_an_endless_tube() -> None:
    same = cap_beyond({20: BOX, 28: BOX}, 28, GRID.spacing_mm, 1.4)
    assert (same.semi_axis_mm, same.offset_mm) == pytest.approx((14.0, 0.0))
    nearly = cap_beyond({20: BOX, 28: BOX - [0, 0, 0, 1]}, 28, GRID.spacing_mm, 1.4)
    # 16 mm to the largest box, and the 14 mm that one box alone would reach.
    assert nearly.semi_axis_mm == pytest.approx(30.0)


def test_between_two_boxes_the_form_is_theirs_in_between() -> None:
    small = np.array([24.0, 24.0, 35.0, 35.0])
    found = expectation(ONLY_FORM, Anchor(20, BOX, disc()), Anchor(28, small, disc(6)))
    # Half-way the box is 16 wide.
    assert at(found, found.between(24, 20, 28), 37, 29) == pytest.approx(7.5 / 8, abs=0.01)


def test_grey_values_speak_for_what_looks_like_the_lesion() -> None:
    grey = np.where(disc()[:, :, None], 200, 50).astype(np.uint8) * np.ones(SHAPE, dtype=np.uint8)
    grey[:, :, 26:] = 50
    found = expectation(ONLY_GREY, grey=grey)
    cap = found.cap(20)
    assert at(found, found.beyond(21, 20, cap), 29, 29) == pytest.approx(3.0, abs=0.05)  # as much as it may
    assert at(found, found.beyond(21, 20, cap), 15, 29) == pytest.approx(-3.0, abs=0.05)
    assert at(found, found.beyond(30, 20, cap), 29, 29) == pytest.approx(-3.0, abs=0.05)


def test_grey_values_say_nothing_where_the_box_leaves_no_surroundings() -> None:
    every = np.ones(SHAPE[:2], dtype=bool)
    whole = Anchor(20, np.array([0.0, 0.0, 59.0, 59.0]), every)
    found = expectation(ONLY_GREY, whole)
    assert not found.beyond(21, 20, found.cap(20)).any()


def test_answers_widen_what_is_expected_only_over_fitting_grey_values() -> None:
    found = expectation(DEFAULT_WEIGHTS)
    cap = found.cap(20)
    log_odds = found.beyond(21, 20, cap)
    nothing = np.zeros(SHAPE[:2], dtype=bool)
    alone, with_answer = found.decide(21, log_odds, []), found.decide(21, log_odds, [disc()])
    doubted = found.decide(21, log_odds, [nothing])
    assert doubted.sum() <= alone.sum() <= with_answer.sum() + (alone & ~disc()).sum()
    assert not (doubted & ~disc(11)).any()
