"""Blobs under one label, on rows of blocks whose gaps can be counted."""

from __future__ import annotations

import numpy as np
import pytest

from core.errors import InputError
from core.lesions.blobs import separate_blobs
from core.types import Grid, LabelMap

GRID = Grid((120, 20, 10), np.diag([1.0, 1.0, 2.0, 1.0]))


def row(*blocks: tuple[int, int, int], grid: Grid = GRID) -> LabelMap:
    """(label, first i, last i): blocks of 4 x 2 voxels in j, k (16 mm3 a slice in i)."""
    array = np.zeros(grid.shape, dtype=np.uint8)
    for label, first, last in blocks:
        array[first : last + 1, 5:9, 3:5] = label
    return LabelMap(array, grid)


def test_blobs_of_one_label_that_lie_apart_are_lesions_and_the_largest_keeps_the_number():
    found = separate_blobs(row((1, 10, 19), (1, 80, 94), (2, 40, 49), (1, 105, 106)))
    assert np.array_equal(found.labels.array, row((3, 10, 19), (1, 80, 94), (2, 40, 49), (1, 105, 106)).array)
    assert found.came_from == {3: 1}
    assert found.specks == ()
    assert found.words == ("Label 3 lay apart from label 1: a lesion of its own.",)


def test_fragments_within_10_mm_are_one_lesion_also_by_way_of_each_other():
    near = row((1, 10, 19), (1, 30, 39), (1, 50, 59))  # 10 free slices of 1 mm between each
    assert np.array_equal(separate_blobs(near).labels.array, near.array)
    apart = separate_blobs(row((1, 10, 19), (1, 31, 40)))
    assert apart.came_from == {2: 1}
    assert separate_blobs(row((1, 10, 19), (1, 31, 40)), gap_mm=11.0).came_from == {}


def test_free_space_is_counted_in_millimetres_along_thick_slices():
    grid = Grid((20, 20, 12), np.diag([1.0, 1.0, 5.0, 1.0]))
    array = np.zeros(grid.shape, dtype=np.uint8)
    array[2:8, 2:8, 1] = array[2:8, 2:8, 4] = 1  # two free slices: 10 mm
    assert separate_blobs(LabelMap(array, grid)).came_from == {}
    array[2:8, 2:8, 4] = 0
    array[2:8, 2:8, 5] = 1
    assert separate_blobs(LabelMap(array, grid)).came_from == {2: 1}


def test_a_stray_speck_stays_in_its_label_and_is_said():
    mask = row((1, 10, 19), (2, 60, 60))
    mask = LabelMap(np.where(np.arange(120)[:, None, None] == 100, row((1, 100, 100)).array, mask.array), GRID)
    found = separate_blobs(mask)
    assert np.array_equal(found.labels.array, mask.array)
    assert [(one.label, one.volume_mm3, one.centre_mm, one.alone) for one in found.specks] == [
        (1, 16.0, (100.0, 6.5, 7.0), False),
        (2, 16.0, (60.0, 6.5, 7.0), True),
    ]
    assert "Label 2 is nothing but 16 mm3 at (60, 6, 7) mm" in found.words[1]
    assert separate_blobs(mask, min_volume_mm3=16.0).came_from == {3: 1}


def test_an_empty_mask_stays_empty():
    found = separate_blobs(row())
    assert (found.labels.labels, found.came_from, found.words) == ((), {}, ())


def test_more_blobs_than_numbers_are_refused():
    grid = Grid((520, 4, 2), np.eye(4))
    array = np.zeros(grid.shape, dtype=np.uint8)
    for number in range(1, 256):
        array[2 * number] = number
    assert separate_blobs(LabelMap(array, grid), min_volume_mm3=1).came_from == {}
    array[2] = 0
    array[0:1] = array[518] = 2
    assert separate_blobs(LabelMap(array, grid), min_volume_mm3=1).came_from == {1: 2}
    array[2] = 1
    with pytest.raises(InputError, match="no number is free"):
        separate_blobs(LabelMap(array, grid), min_volume_mm3=1)


def test_a_label_of_very_many_specks_says_so_and_loses_none():
    grid = Grid((60, 60, 60), np.eye(4))
    array = np.zeros(grid.shape, dtype=np.uint8)
    array[::6, ::6, ::6] = 1
    array[1:5, 1:5, 1:5] = 1
    found = separate_blobs(LabelMap(array, grid), gap_mm=3.0)
    assert found.uncounted == {1: 700}
    assert np.array_equal(found.labels.array, array)
