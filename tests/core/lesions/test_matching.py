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


def test_without_overlap_a_lesion_continues_as_its_nearest_piece_alone():
    # Lesion 3 has its centre at 1.5 mm; the pieces' are at 6.5 and 9.5 mm, the nearer one is numbered last.
    found = _match(_blocks((3, 0, 3)), _blocks((2, 5, 8), (1, 9, 10)), max_distance_mm=20)
    assert (found.numbers, found.new, found.lost) == ({1: 4, 2: 3}, (4,), ())


def test_without_overlap_a_piece_continues_its_nearest_lesion_alone():
    # The piece's centre lies at 14 mm, those of lesions 2 and 5 at 11 and 18 mm.
    found = _match(_blocks((2, 10, 12), (5, 17, 19)), _blocks((1, 13, 15)), max_distance_mm=20)
    assert (found.numbers, found.new, found.lost) == ({1: 2}, (), (5,))


def test_two_lesions_that_moved_alike_are_told_apart_by_the_nearest_pair_first():
    # Centres: lesions at 1 and 11 mm, pieces at 8 and 18 mm. Lesion 2 and piece 1 are 3 mm apart, the others 17 mm.
    found = _match(_blocks((1, 0, 2), (2, 10, 12)), _blocks((1, 7, 9), (2, 17, 19)), max_distance_mm=20)
    assert found.numbers == {1: 2, 2: 1}


def test_a_lesion_seems_to_have_moved_by_10_mm_at_most_unless_it_is_said_otherwise():
    assert _match(_blocks((1, 0, 3)), _blocks((1, 10, 13))).numbers == {1: 1}
    assert _match(_blocks((1, 0, 3)), _blocks((1, 11, 14))).numbers == {1: 2}


@pytest.mark.parametrize(
    ("before", "now", "linked"),
    [
        ((0, 9), (9, 18), True),  # 1 of 10 and of 10 columns of voxels: a tenth of either
        ((0, 10), (10, 20), False),  # 1 of 11
        ((0, 19), (19, 28), True),  # a tenth of the piece, a twentieth of the lesion
        ((0, 9), (9, 28), True),  # a tenth of the lesion, a twentieth of the piece
    ],
)
def test_a_link_is_a_tenth_of_the_smaller_of_lesion_and_piece(before, now, linked):
    found = _match(_blocks((1, *before)), _blocks((1, *now)), max_distance_mm=0)
    assert found.numbers == {1: 1 if linked else 2}
    assert found.overlap_mm3 == ({(1, 1): 12 * 2} if linked else {})


def test_overlap_is_measured_in_mm3_where_the_grids_are_not_alike():
    # Today's voxels have 8 mm3, those of before 2 mm3. The lesion has 240 mm3, the piece 720 mm3; they share 6 voxels
    # of today: a fifth of the lesion, though 6 voxels are only a twentieth of its 120.
    coarse = Grid((40, 10, 10), np.diag([1.0, 4.0, 2.0, 1.0]))
    now = np.zeros(coarse.shape, dtype=np.uint8)
    now[8:38, 2, 3:6] = 1  # centres at 8 mm along j, where the lesion reaches from 5 to 8 mm
    found = match_lesions(LabelMap(_blocks((1, 0, 9)), GRID), now, coarse, SAME, max_distance_mm=0)
    assert found.numbers == {1: 1}
    assert found.overlap_mm3 == {(1, 1): pytest.approx(2 * 3 * 8.0)}


def test_overlap_is_counted_from_the_first_voxel_to_the_last_and_nowhere_beyond_the_earlier_scan():
    before = _blocks((1, 0, 1), (2, 38, 39))
    assert _match(before, before).overlap_mm3 == {(1, 1): 48.0, (2, 2): 48.0}
    one, fine = _blocks(), Grid(GRID.shape, np.eye(4))
    one[7, 7, 7] = 1
    assert match_lesions(LabelMap(one, fine), one, fine, SAME).overlap_mm3 == {(1, 1): 1.0}
    wider = np.eye(4)
    wider[:3, :3] = GRID.affine[:3, :3]
    wider[0, 3] = -1.0  # begins a voxel before the earlier scan, and ends a voxel after it
    today = Grid((42, 20, 10), wider)
    now = _blocks((1, 0, 0), (2, 41, 41), grid=today)
    found = match_lesions(LabelMap(before, GRID), now, today, SAME, max_distance_mm=0)
    assert found.overlap_mm3 == {}


def test_a_lesion_that_two_pieces_swallowed_is_named_with_the_larger_overlap_alone():
    # Piece 1 takes most of lesion 1 and 3 columns of lesion 3, piece 2 most of lesion 2 and 2 columns of lesion 3.
    found = _match(_blocks((1, 0, 9), (3, 10, 14), (2, 15, 24)), _blocks((1, 0, 12), (2, 13, 24)))
    assert found.numbers == {1: 1, 2: 2}
    assert (found.merges, found.lost) == ({1: (1, 3)}, ())


def test_a_lesion_that_another_piece_continues_is_not_merged():
    found = _match(_blocks((1, 0, 9), (2, 10, 19)), _blocks((1, 0, 12), (2, 13, 19)))
    assert (found.numbers, found.merges) == ({1: 1, 2: 2}, {})


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
    found = _match(_blocks(), numbered)
    assert found.relabel(numbered, GRID).labels == tuple(range(1, 256))
    # The same lesions again, each under the number that it has.
    again = match_lesions(LabelMap(numbered, GRID), numbered, GRID, SAME)
    assert again.numbers == {n: n for n in range(1, 256)}
    assert again.next_label == 256
    assert again.overlap_mm3 == {(n, n): 2.0 for n in range(1, 256)}


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
    with pytest.raises(InputError, match="would need 256"):
        _match(_blocks((254, 0, 3)), _blocks((1, 20, 23), (2, 30, 33)))
    assert _match(_blocks((254, 0, 3)), _blocks((1, 30, 33))).numbers == {1: 255}
    assert _match(_blocks((255, 0, 3)), _blocks((1, 0, 3))).numbers == {1: 255}
