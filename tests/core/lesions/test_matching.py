"""Components and lesion identity over time, on phantoms whose answer is plain."""

from __future__ import annotations

import numpy as np
import pytest

from core.errors import GeometryError, InputError
from core.lesions.matching import components, match_lesions
from core.types import Grid, LabelMap

GRID = Grid((40, 20, 10), np.diag([1.0, 1.0, 2.0, 1.0]))
SAME = np.eye(4)


def _blocks(*blocks: tuple[int, int, int], grid: Grid = GRID) -> np.ndarray:
    """(label, first i, last i) blocks of 4 x 3 voxels in j, k."""
    array = np.zeros(grid.shape, dtype=np.uint8)
    for number, first, last in blocks:
        array[first : last + 1, 5:9, 3:6] = number
    return array


def _match(before: np.ndarray, now: np.ndarray, **options):
    return match_lesions(LabelMap(before, GRID), now, GRID, options.pop("transform", SAME), **options)


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


def test_lesions_keep_their_numbers_whatever_their_size_order():
    before = _blocks((7, 0, 3), (2, 20, 30))
    found = _match(before, components(_blocks((1, 0, 12), (1, 22, 25)) > 0, GRID))
    assert found.numbers == {1: 7, 2: 2}
    assert (found.new, found.merges, found.splits, found.lost) == ((), {}, {}, ())
    assert found.next_label == 8


def test_a_new_lesion_gets_a_number_that_the_patient_never_had():
    found = _match(_blocks((1, 0, 3)), _blocks((1, 0, 3), (2, 30, 33)), next_label=5)
    assert found.numbers == {1: 1, 2: 5}
    assert (found.new, found.next_label) == ((5,), 6)


def test_a_merged_lesion_keeps_the_largest_overlaps_number_and_names_the_others():
    before = _blocks((1, 0, 3), (2, 8, 17), (3, 30, 33))
    found = _match(before, _blocks((1, 0, 17), (2, 30, 33)))
    assert found.numbers == {1: 2, 2: 3}
    assert found.merges == {2: (2, 1)}
    assert found.lost == ()
    assert found.overlap_mm3[1, 2] == 10 * 12 * 2


def test_fragments_keep_the_lesions_number():
    found = _match(_blocks((4, 0, 20)), _blocks((1, 0, 9), (2, 12, 20)))
    assert found.numbers == {1: 4, 2: 4}
    assert found.splits == {4: (1, 2)}
    assert found.relabel(_blocks((1, 0, 9), (2, 12, 20)), GRID).labels == (4,)


def test_a_lesion_that_is_gone_is_lost():
    found = _match(_blocks((1, 0, 3), (2, 30, 33)), _blocks((1, 0, 3)))
    assert (found.numbers, found.lost) == ({1: 1}, (2,))
    assert _match(_blocks((1, 0, 3)), _blocks()).lost == (1,)


def test_with_nothing_before_everything_is_new():
    assert _match(_blocks(), _blocks((1, 0, 3), (2, 9, 12))).numbers == {1: 1, 2: 2}


def test_a_lesion_that_seems_to_have_moved_is_found_within_the_distance_only():
    before, now = _blocks((3, 0, 3)), _blocks((1, 8, 11))
    assert _match(before, now, max_distance_mm=8.0).numbers == {1: 3}
    far = _match(before, now, max_distance_mm=7.9)
    assert (far.numbers, far.new, far.lost) == ({1: 4}, (4,), (3,))


def test_a_neighbour_of_a_lesion_that_is_still_there_is_new_not_a_fragment():
    assert _match(_blocks((1, 0, 5)), _blocks((1, 0, 5), (2, 9, 10)), max_distance_mm=50).numbers == {1: 1, 2: 2}


def test_a_touch_is_no_link():
    # Lesion 2 is lost; the grown lesion 1 grazes one of its 20 columns of voxels.
    found = _match(_blocks((1, 0, 9), (2, 11, 30)), _blocks((1, 0, 11)))
    assert (found.numbers, found.merges, found.lost) == ({1: 1}, {}, (2,))


def test_the_transform_maps_today_onto_the_timepoint_before():
    # The patient lies 15 mm further along i today, on a grid half as fine.
    coarse = Grid((30, 10, 10), np.diag([2.0, 2.0, 2.0, 1.0]))
    now = np.zeros(coarse.shape, dtype=np.uint8)
    now[8:10, 3:5, 3:6] = 1  # 16..19 mm
    now[13:16, 3:5, 3:6] = 2  # 26..31 mm
    before = _blocks((1, 0, 4), (2, 10, 16))
    back = np.eye(4)
    back[0, 3] = -15.0
    found = match_lesions(LabelMap(before, GRID), now, coarse, back)
    assert found.numbers == {1: 1, 2: 2}


@pytest.mark.parametrize("transform", [np.full((4, 4), np.nan), np.eye(3)])
def test_an_impossible_transform_is_refused(transform):
    with pytest.raises(GeometryError, match="4x4"):
        _match(_blocks((1, 0, 3)), _blocks((1, 0, 3)), transform=transform)


def test_numbers_in_use_and_numbers_past_255_are_refused():
    with pytest.raises(InputError, match="above 9"):
        _match(_blocks((9, 0, 3)), _blocks(), next_label=9)
    with pytest.raises(InputError, match="up to 255"):
        _match(_blocks((255, 0, 3)), _blocks((1, 30, 33)))
    assert _match(_blocks((255, 0, 3)), _blocks((1, 0, 3))).numbers == {1: 255}
