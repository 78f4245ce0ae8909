"""One rule for every mask: the same place in space, the same volume, whatever grid it was drawn on."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import InputError
from core.imaging.masks.drawn import DrawnMask, DrawnSegment, cropped, in_mm3
from core.imaging.masks.onto_grid import onto_grid
from core.imaging.masks.shares import is_part_of
from core.types import Grid
from tests.core.imaging.outcomes import shows
from tests.mask_phantom import ball, grid_of

SCAN = grid_of((40, 40, 20), (1.0, 1.0, 3.0), (-20.0, -20.0, -30.0))


def drawn(labels: np.ndarray, grid: Grid) -> DrawnMask:
    """The label map as a mask drawn on this grid."""
    found = (cropped(labels == n, grid, int(n), "") for n in np.unique(labels[labels > 0]))
    return DrawnMask("label map", tuple(s for s in found if s is not None), grid)


def turned(labels: np.ndarray, grid: Grid, order: tuple[int, ...], flips: tuple[bool, ...]) -> DrawnMask:
    """The same voxels of the same space with their axes in another order and direction."""
    affine = grid.affine.copy()
    for axis, flip in enumerate(flips):
        if flip:
            labels = np.flip(labels, axis)
            affine[:3, 3] += affine[:3, axis] * (grid.shape[axis] - 1)
            affine[:3, axis] *= -1
    affine[:3, :3] = affine[:3, list(order)]
    labels = labels.transpose(order)
    return drawn(labels, Grid(labels.shape, affine))


def _covering(side_mm: float, spacing: tuple[float, float, float]) -> tuple[int, int, int]:
    """Voxels along a cube of this side."""
    i, j, k = (int(side_mm / mm) + 1 for mm in spacing)
    return i, j, k


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("flips", list(itertools.product((False, True), repeat=3)))
def test_the_order_of_a_files_axes_changes_nothing(order: tuple[int, ...], flips: tuple[bool, ...]) -> None:
    labels = ball(SCAN, (3.0, -4.0, 1.0), 9.0)
    labels[30:33, 5:9, 2:4] = 2
    placed = onto_grid(turned(labels, SCAN, order, flips), SCAN)
    assert placed.same_lattice
    assert np.array_equal(placed.labels.array, labels)
    fine = grid_of((60, 60, 40), (0.7, 0.6, 1.1), (-20.3, -18.0, -21.0))
    small = ball(fine, (2.0, 1.0, 0.4), 4.0)
    straight, other = onto_grid(drawn(small, fine), SCAN), onto_grid(turned(small, fine, order, flips), SCAN)
    assert np.array_equal(straight.labels.array, other.labels.array)


@shows("Masks", "0.02 mm of origin, 4e-4 of direction", "read")
def test_headers_that_round_are_no_error() -> None:
    labels = ball(SCAN, (3.0, -4.0, 1.0), 9.0)
    affine = SCAN.affine.copy()
    affine[:3, 3] += 0.02
    affine[0, 1], affine[1, 0] = 4e-4, -4e-4
    placed = onto_grid(drawn(labels, Grid(SCAN.shape, affine)), SCAN)
    assert placed.same_lattice
    assert np.array_equal(placed.labels.array, labels)


def test_a_part_of_the_scans_grid_is_the_scans_and_another_is_not() -> None:
    affine = SCAN.affine.copy()
    affine[:3, 3] = SCAN.to_mm(np.array([[5, 6, 7]]))[0]
    assert is_part_of(Grid((9, 9, 9), affine), SCAN)
    affine[0, 3] += 0.5
    assert not is_part_of(Grid((9, 9, 9), affine), SCAN)
    assert not is_part_of(grid_of((40, 40, 20), (1.0, 1.0, 2.0), (-20.0, -20.0, -30.0)), SCAN)


def test_a_crop_that_reaches_beyond_the_scan_loses_that_part_in_words() -> None:
    beyond = grid_of((20, 10, 3), (1.0, 1.0, 3.0), (10.0, 0.0, 0.0))
    placed = onto_grid(drawn(np.ones(beyond.shape, np.uint8), beyond), SCAN)
    assert (placed.labels.array == 1).sum() == 10 * 10 * 3
    assert placed.segments[0].outside_mm3 == pytest.approx(10 * 10 * 3 * 3)
    assert any("900 mm3 of segment 1 lie outside the scan" in doubt for doubt in placed.doubts)


@shows("Masks", "a mask on a finer or coarser grid", "read", "its volume is kept to a voxel")
@settings(deadline=None, max_examples=60)
@given(
    radius=st.floats(2.0, 8.0),
    centre=st.tuples(*[st.floats(-4.0, 4.0)] * 3),
    fine=st.tuples(*[st.floats(0.4, 1.5)] * 3),
    coarse=st.tuples(st.floats(0.7, 2.0), st.floats(0.7, 2.0), st.floats(1.0, 6.0)),
    angle=st.sampled_from([0.0, 0.0, 0.2, 1.0]),
)
def test_the_volume_is_kept_to_a_voxel(radius, centre, fine, coarse, angle) -> None:
    own = grid_of(_covering(24, fine), fine, (-12.0, -12.0, -12.0))
    if angle:
        turn = np.eye(4)
        turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        own = Grid(own.shape, turn @ own.affine)
    scan = grid_of(_covering(50, coarse), coarse, (-25.0, -25.0, -25.0))
    labels = ball(own, centre, radius)
    if labels.sum() * own.voxel_volume_mm3 < scan.voxel_volume_mm3:
        return
    (segment,) = (placed := onto_grid(drawn(labels, own), scan)).segments
    assert segment.drawn_volume_mm3 == pytest.approx(labels.sum() * own.voxel_volume_mm3)
    assert abs(segment.volume_mm3 - segment.drawn_volume_mm3) <= scan.voxel_volume_mm3 / 2 + 1e-3 * segment.volume_mm3
    middle = own.to_mm(np.argwhere(labels)).mean(axis=0)
    found = scan.to_mm(np.argwhere(placed.labels.array)).mean(axis=0)
    assert np.abs(found - middle).max() <= max(coarse), "of a few voxels the middle may be off by one"
    assert f"({segment.change_percent:+z.1f} %)" in placed.resampling or placed.same_lattice


def test_the_voxels_that_are_filled_most_are_taken() -> None:
    """A box of 1.6 x 1 x 1 voxels has room in two: the one that it fills, and the one that it fills by more."""
    scan = grid_of((5, 5, 5), (10.0, 10.0, 10.0))
    own = Grid(
        (1, 1, 1), np.diag([16.0, 10.0, 10.0, 1.0]) + np.array([[0, 0, 0, 17.0], [0, 0, 0, 20], [0, 0, 0, 20], [0] * 4])
    )
    placed = onto_grid(drawn(np.ones((1, 1, 1), np.uint8), own), scan)  # from 9 to 25 mm: .6 of voxel 1, 1 of voxel 2
    assert np.argwhere(placed.labels.array).tolist() == [[1, 2, 2], [2, 2, 2]]
    assert placed.segments[0].change_percent == pytest.approx(25.0)
    assert any("+25 %" in doubt for doubt in placed.doubts)


def test_neighbours_on_a_finer_grid_both_keep_their_volume() -> None:
    fine = grid_of((40, 40, 40), (0.5, 0.5, 0.5), (-10.0, -10.0, -10.0))
    labels = np.zeros(fine.shape, np.uint8)
    labels[10:19, 10:30, 10:31], labels[19:31, 10:30, 10:31] = 1, 2
    for mask in (drawn(labels, fine), drawn(np.where(labels, 3 - labels, 0), fine)):
        placed = onto_grid(mask, SCAN)
        for segment in placed.segments:
            assert abs(segment.volume_mm3 - segment.drawn_volume_mm3) <= 3.0
            assert segment.overlap_mm3 == 0


def test_a_sheet_thinner_than_a_voxel_keeps_its_volume_and_its_shape_is_doubted() -> None:
    fine = grid_of((60, 60, 60), (0.5, 0.5, 0.5), (-15.0, -15.0, -15.0))
    labels = np.zeros(fine.shape, np.uint8)
    labels[10:50, 10:50, 30] = 1
    placed = onto_grid(drawn(labels, fine), SCAN)
    assert abs(placed.segments[0].volume_mm3 - 200.0) <= 3.0
    assert any("thinner than the scan's voxels" in doubt for doubt in placed.doubts)


@shows("Masks", "masks off the scan or over most of it", "refused")
@pytest.mark.parametrize(
    ("labels", "grid", "says"),
    [
        (np.ones((3, 3, 3), np.uint8), grid_of((3, 3, 3), origin=(200.0, 0.0, 0.0)), "outside that scan"),
        (np.ones((1, 1, 1), np.uint8), grid_of((1, 1, 1), (0.5, 0.5, 0.5)), "between its voxels"),
        (1 - ball(SCAN, (0, 0, 0), 8.0), SCAN, "over 97.7 % of the scan"),
        (np.ones(SCAN.shape, np.uint8), SCAN, "over 100 % of the scan"),
    ],
)
def test_masks_off_the_scan_between_its_voxels_and_over_most_of_it_are_refused(labels, grid, says) -> None:
    with pytest.raises(InputError, match=says):
        onto_grid(drawn(labels, grid), SCAN)


@shows("Masks", "an inverted mask", "read and said", "a doubt")
def test_an_inverted_mask_of_a_smaller_scan_is_doubted() -> None:
    pet = grid_of((8, 8, 6), (3.0, 3.0, 3.0), (-12.0, -12.0, -9.0))
    placed = onto_grid(drawn(1 - ball(pet, (0, 0, 0), 5.0), pet), SCAN)
    assert any("inverted" in doubt for doubt in placed.doubts)
    assert not onto_grid(drawn(np.ones((3, 3, 2), np.uint8), grid_of((3, 3, 2), (1.0, 1.0, 3.0))), SCAN).doubts


def test_one_segment_covered_by_another_is_refused_and_can_be_chosen() -> None:
    both = [DrawnSegment(n, "", np.ones((4, 4, 2), bool), grid_of((4, 4, 2), (1.0, 1.0, 3.0))) for n in (1, 2)]
    with pytest.raises(InputError, match=r"other segments cover it.*choose the segments"):
        onto_grid(DrawnMask("SEG", tuple(both), SCAN), SCAN)
    assert onto_grid(DrawnMask("SEG", (both[1],), SCAN), SCAN).labels.labels == (1,)


def test_one_thin_slice_is_no_slice_of_the_scan() -> None:
    """A box of one slice has no second one to tell its thickness by: 1 mm of it is no slice of 3 mm."""
    thin = grid_of((12, 12, 1), (1.0, 1.0, 1.0))
    placed = onto_grid(drawn(np.ones(thin.shape, np.uint8), thin), SCAN)
    assert not placed.same_lattice
    assert (placed.segments[0].drawn_volume_mm3, placed.segments[0].volume_mm3) == pytest.approx((144, 144))


def test_an_empty_mask_stays_empty() -> None:
    placed = onto_grid(DrawnMask("label map", (), SCAN), SCAN)
    assert (placed.labels.labels, placed.segments, placed.same_lattice) == ((), (), True)


@pytest.mark.parametrize(
    ("volume_mm3", "words"),
    [(0.0, "0 mm3"), (29.75, "29.75 mm3"), (274.333, "274.3 mm3"), (2_333_414.6, "2,333,415 mm3")],
)
def test_volumes_are_told_without_exponents(volume_mm3: float, words: str):
    assert in_mm3(volume_mm3) == words
