"""Connected pieces of a mask, on phantoms whose answer is plain."""

from __future__ import annotations

import numpy as np
import pytest

from core.errors import GeometryError, InputError
from core.lesions.matching import components
from core.types import Grid

GRID = Grid((40, 20, 10), np.diag([1.0, 1.0, 2.0, 1.0]))


def _blocks(*blocks: tuple[int, int, int], grid: Grid = GRID) -> np.ndarray:
    """(label, first i, last i) blocks of 4 x 3 voxels in j, k."""
    array = np.zeros(grid.shape, dtype=np.uint8)
    for number, first, last in blocks:
        array[first : last + 1, 5:9, 3:6] = number
    return array


def test_components_are_numbered_from_the_largest():
    found = components(_blocks((1, 0, 3), (1, 10, 20), (1, 30, 32)) > 0, GRID)
    assert np.array_equal(found, _blocks((2, 0, 3), (1, 10, 20), (3, 30, 32)))
    assert found.dtype == np.uint8


def test_components_of_one_size_are_numbered_by_place():
    assert np.array_equal(components(_blocks((1, 0, 3), (1, 10, 13)) > 0, GRID), _blocks((1, 0, 3), (2, 10, 13)))


def test_voxels_that_meet_at_a_corner_are_one_component():
    mask = np.zeros(GRID.shape, dtype=bool)
    mask[1, 1, 1] = mask[2, 2, 2] = True
    assert components(mask, GRID, min_volume_mm3=0).max() == 1


def test_small_components_are_left_out_and_empty_stays_empty():
    mask = np.zeros(GRID.shape, dtype=bool)
    mask[1, 1, 1:6] = True  # 5 voxels of 2 mm3
    assert components(mask, GRID, min_volume_mm3=10.0).max() == 1
    assert components(mask, GRID, min_volume_mm3=10.1).max() == 0
    assert components(np.zeros(GRID.shape, bool), GRID).max() == 0


def test_more_than_255_components_are_refused_with_the_volume_that_helps():
    mask = np.zeros(GRID.shape, dtype=bool)
    mask[::2, ::2, ::2] = True  # 20 x 10 x 5 single voxels
    mask[0, 0, 0:4] = True  # joins three of them into one of 5 voxels (i, j) = (0, 0), k = 0..4
    with pytest.raises(InputError, match=r"at most 255 .*Raise the smallest volume to 4 mm3"):
        components(mask, GRID, min_volume_mm3=0)
    assert components(mask, GRID, min_volume_mm3=4).max() == 1


def test_a_mask_of_another_shape_is_refused():
    with pytest.raises(GeometryError, match="voxels"):
        components(np.zeros((2, 2, 2), bool), GRID)


def test_pieces_of_30_mm3_are_lesions_unless_it_is_said_otherwise():
    mask = np.zeros(GRID.shape, dtype=bool)
    mask[0:30, 0, 0] = True  # of 1 mm3 each
    mask[0:29, 4, 0] = True
    found = components(mask, Grid(GRID.shape, np.eye(4)))
    assert found.max() == 1
    assert found[0, 0, 0] == 1


def test_255_pieces_are_as_many_as_there_are_numbers():
    pieces = np.zeros(GRID.shape, dtype=bool)
    pieces[::2, ::2, ::2] = True  # 1000 single voxels, of which these stay
    pieces[np.unravel_index(np.flatnonzero(pieces)[255:], pieces.shape)] = False
    numbered = components(pieces, GRID, min_volume_mm3=0)
    assert numbered.max() == 255
    assert np.count_nonzero(numbered) == 255
