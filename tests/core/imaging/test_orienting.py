"""One order of the axes: what a file's order is turned into, and back, without a voxel changing."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from core.errors import InputError
from core.imaging.orienting import axis_order, canonical
from core.imaging.volumes import orientation
from core.types import Grid, LabelMap, Volume
from tests.orders import ALL_ORDERS, stored_as

LPS = np.array([[-2.0, 0, 0, 10], [0, -3, 0, 20], [0, 0, 5, -30], [0, 0, 0, 1]])


def a_scan() -> Volume:
    """Every voxel another number, in LPS."""
    return Volume(np.arange(24, dtype=np.float32).reshape(2, 3, 4), Grid((2, 3, 4), LPS), "MR", "T1")


def test_there_are_48_orders():
    assert len(set(ALL_ORDERS)) == 48


@pytest.mark.parametrize("order", ALL_ORDERS)
def test_every_order_becomes_the_same_image(order):
    scan = a_scan()
    stored = stored_as(scan, order)
    assert orientation(stored.grid) == order
    turned = canonical(stored)
    assert np.array_equal(turned.array, scan.array)
    np.testing.assert_allclose(turned.grid.affine, LPS, atol=1e-12)
    assert turned.channel == "MR T1"


@pytest.mark.parametrize("order", ALL_ORDERS)
def test_the_way_back_gives_the_very_voxels(order):
    stored = stored_as(a_scan(), order)
    way = axis_order(stored.grid)
    assert np.array_equal(way.turn_back(way.turn(stored.array)), stored.array)
    assert way.grid.shape == way.turn(stored.array).shape


def test_an_image_in_order_is_handed_back_as_it_is():
    scan = a_scan()
    assert canonical(scan) is scan


def test_a_voxel_by_hand():
    """RAS voxel (0, 0, 0) lies farthest right, back and down: in LPS that is the last i, the last j, the first k."""
    array = np.zeros((2, 3, 4), np.uint8)
    array[0, 0, 0] = 7
    turned = canonical(LabelMap(array, Grid((2, 3, 4), np.diag([1.0, 1, 1, 1]))))
    assert np.argwhere(turned.array == 7).tolist() == [[1, 2, 0]]
    assert turned.grid.to_mm(np.array([[1, 2, 0]])).tolist() == [[0, 0, 0]]


def test_another_order_may_be_asked_for():
    assert orientation(canonical(a_scan(), "RAS").grid) == "RAS"


@pytest.mark.parametrize("order", ["", "LP", "LLS", "LRS", "XYZ", "LPSA"])
def test_an_order_that_is_none_is_refused(order):
    with pytest.raises(InputError, match="such as LPS or RAS"):
        axis_order(a_scan().grid, order)


@given(
    st.sampled_from([0.0, 10.0, 44.9, 45.0, 45.1, 80.0, 135.0]),
    st.sampled_from([0.0, 30.0, 45.0, -45.0]),
    st.floats(-180, 180),
)
def test_an_oblique_grid_has_one_answer_however_it_is_stored(x, y, z):
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", (x, y, z), degrees=True).as_matrix() * [1.0, 2.0, 3.0]
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    answers = []
    for axes, flips in product(permutations(range(3)), product((False, True), repeat=3)):
        turned = array.transpose(axes)[tuple(slice(None, None, -1 if flip else 1) for flip in flips)]
        to_here = np.zeros((4, 4))
        to_here[3, 3] = 1
        for n, (axis, flip) in enumerate(zip(axes, flips, strict=True)):
            to_here[axis, n] = -1 if flip else 1
            to_here[axis, 3] = array.shape[axis] - 1 if flip else 0
        answers.append(canonical(Volume(turned, Grid(turned.shape, affine @ to_here), "CT")))
    assert all(np.array_equal(answer.array, answers[0].array) for answer in answers)
    assert all(answer.grid.matches(answers[0].grid, 1e-9) for answer in answers)
