"""A slice's mask as text: bits written out by hand, and what is no such text refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InputError
from core.lesions.mask_bits import pack, unpack

SHAPE = (6, 5)


def _mask(*voxels: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(SHAPE, dtype=bool)
    for voxel in voxels:
        mask[voxel] = True
    return mask


def test_the_bits_of_the_rectangle_are_those_of_the_description():
    """Voxels in the order (1, 2), (2, 2), (1, 3), (2, 3): bits 1, 1, 1, 0, the first the least: 7, in base64 "Bw=="."""
    corner = _mask((1, 2), (2, 2), (1, 3))
    assert pack(corner) == {"origin": [1, 2], "shape": [2, 2], "mask": "Bw=="}
    assert np.array_equal(unpack({"origin": [1, 2], "shape": [2, 2], "mask": "Bw=="}, SHAPE), corner)


def test_the_ninth_voxel_is_the_first_bit_of_the_second_byte():
    column = np.ones((9, 1), dtype=bool)
    assert pack(column) == {"origin": [0, 0], "shape": [9, 1], "mask": "/wE="}  # 255, 1
    assert np.array_equal(unpack({"origin": [0, 0], "shape": [9, 1], "mask": "/wE="}, (9, 1)), column)


def test_an_empty_mask_has_an_empty_rectangle():
    assert pack(_mask()) == {"origin": [0, 0], "shape": [0, 0], "mask": ""}
    assert not unpack({"origin": [0, 0], "shape": [0, 0], "mask": ""}, SHAPE).any()


@given(st.integers(0, 2**32 - 1))
def test_a_mask_comes_back_as_it_was(seed):
    mask = np.random.default_rng(seed).random(SHAPE) < (seed % 10) / 10
    assert np.array_equal(unpack(pack(mask), SHAPE), mask)


@pytest.mark.parametrize("origin", [[0, 0], [4, 3], [0, 3], [4, 0]])
def test_a_rectangle_may_reach_the_slices_border(origin):
    a, b = origin
    expected = _mask((a, b), (a + 1, b), (a, b + 1), (a + 1, b + 1))
    assert np.array_equal(unpack({"origin": origin, "shape": [2, 2], "mask": "Dw=="}, SHAPE), expected)


@pytest.mark.parametrize(
    "change",
    [
        {"origin": [5, 3]},  # one beyond the first axis
        {"origin": [4, 4]},  # one beyond the second
        {"origin": [-1, 0]},
        {"origin": [0, -1]},
        {"shape": [-2, -2]},
        {"shape": [3, 3]},  # nine bits need two bytes
        {"mask": "DwA="},  # four bits need one
        {"mask": ""},
        {"mask": "no base64"},
        {"mask": "D w=="},  # nor is one with a blank in it
        {"mask": None},
        {"origin": None},
        {"origin": [1, 2, 3]},
        {"shape": ["two", 2]},
    ],
)
def test_what_is_no_such_rectangle_is_refused(change: dict[str, Any]):
    with pytest.raises(InputError, match="inside 6 x 5 voxels"):
        unpack({"origin": [0, 0], "shape": [2, 2], "mask": "Dw==", **change}, SHAPE)


@pytest.mark.parametrize(
    ("origin", "shape"), [([6, 0], [1, 2]), ([-1, 0], [1, 2]), ([0, 5], [2, 1]), ([0, -1], [2, 1])]
)
def test_one_line_outside_the_slice_is_refused_and_not_left_out(origin, shape):
    with pytest.raises(InputError, match="inside 6 x 5 voxels"):
        unpack({"origin": origin, "shape": shape, "mask": "Aw=="}, SHAPE)


def test_a_rectangle_without_its_place_or_that_is_none_is_refused():
    for values in ({"shape": [2, 2], "mask": "Dw=="}, None, [1, 2]):
        with pytest.raises(InputError, match="Reload the page"):
            unpack(values, SHAPE)
