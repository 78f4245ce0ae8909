"""Diffs, replacing one lesion, and measuring: phantoms with hand-computed answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist

from core.errors import GeometryError, InputError
from core.imaging.volumes import read_label_map, to_sitk
from core.lesions.diameters import axial_axis, longest_axial_diameter_mm, widest_span
from core.lesions.masks import mask_diff, measure, replace_lesion
from core.types import Grid, LabelMap

GRID = Grid((12, 10, 8), np.array([[1.0, 0, 0, -5], [0, 2.0, 0, 10], [0, 0, 3.0, 100], [0, 0, 0, 1]]))
SMALL = Grid((4, 3, 3), np.diag([1.0, 2.0, 3.0, 1.0]))
SEEDS = st.integers(0, 2**32 - 1)


def _random_labels(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 4, SMALL.shape).astype(np.uint8) * (rng.random(SMALL.shape) < rng.choice([0, 0.3, 1]))


LABELS = st.builds(_random_labels, SEEDS)
PLANES = st.builds(lambda seed: np.random.default_rng(seed).random((6, 5, 1)) < (seed % 10) / 10, SEEDS)
MASKS = st.builds(lambda seed: np.random.default_rng(seed).random(SMALL.shape) < 0.4, SEEDS)


def _map(**boxes: tuple[slice, slice, slice]) -> LabelMap:
    array = np.zeros(GRID.shape, dtype=np.uint8)
    for name, box in boxes.items():
        array[box] = int(name[1:])
    return LabelMap(array, GRID)


ONE = (slice(1, 5), slice(1, 4), slice(1, 3))


def test_a_first_version_adds_every_voxel_and_has_no_dice():
    found = mask_diff(None, _map(L1=ONE))
    assert (found.dice, found.volume_delta_mm3) == (None, None)
    assert (found.voxels_added, found.voxels_removed, found.voxels_unchanged) == (4 * 3 * 2, 0, 0)
    assert found.voxels_relabelled == 0


def test_a_grown_lesion_is_described_by_hand_counts():
    found = mask_diff(_map(L1=ONE), _map(L1=(slice(2, 8), slice(1, 4), slice(1, 3))))
    assert (found.voxels_added, found.voxels_removed, found.voxels_unchanged) == (18, 6, 18)
    assert found.dice == pytest.approx(36 / 60)
    assert found.volume_delta_mm3 == pytest.approx(12 * 6.0)


def test_two_empty_versions_are_the_same():
    found = mask_diff(_map(), _map())
    assert (found.dice, found.voxels_added, found.volume_delta_mm3) == (1.0, 0, 0.0)


def test_a_renumbered_lesion_is_seen_though_no_voxel_left_the_foreground():
    found = mask_diff(_map(L1=ONE), _map(L2=ONE))
    assert (found.voxels_added, found.voxels_removed, found.voxels_unchanged) == (0, 0, 24)
    assert (found.dice, found.volume_delta_mm3, found.voxels_relabelled) == (1.0, 0.0, 24)
    assert mask_diff(_map(L1=ONE), _map(L1=ONE)).voxels_relabelled == 0


def test_versions_on_different_grids_are_refused():
    moved = Grid(GRID.shape, GRID.affine + np.array([[0, 0, 0, 5.0]] + [[0.0] * 4] * 3))
    with pytest.raises(GeometryError, match="one grid"):
        mask_diff(_map(), LabelMap(np.zeros(GRID.shape, np.uint8), moved))


@given(LABELS, LABELS)
@settings(max_examples=40)
def test_the_diff_always_adds_up(before, after):
    found = mask_diff(LabelMap(before, SMALL), LabelMap(after, SMALL))
    assert found.voxels_unchanged + found.voxels_removed == np.count_nonzero(before)
    assert found.voxels_unchanged + found.voxels_added == np.count_nonzero(after)
    total = 2 * found.voxels_unchanged + found.voxels_added + found.voxels_removed
    assert found.dice == (1.0 if total == 0 else 2 * found.voxels_unchanged / total)
    delta = (np.count_nonzero(after) - np.count_nonzero(before)) * 6.0
    assert found.volume_delta_mm3 == pytest.approx(delta)


@given(LABELS, LABELS)
@settings(max_examples=40)
def test_with_several_lesions_the_dice_by_number_is_simpleitks_overall_dice(before, after):
    if not before.any() or not after.any():
        return
    overlap = sitk.LabelOverlapMeasuresImageFilter()
    overlap.Execute(to_sitk(before, SMALL), to_sitk(after, SMALL))
    found = mask_diff(LabelMap(before, SMALL), LabelMap(after, SMALL))
    same = found.voxels_unchanged - found.voxels_relabelled
    sizes = np.count_nonzero(before) + np.count_nonzero(after)
    assert 2 * same / sizes == pytest.approx(overlap.GetDiceCoefficient())
    overlap.Execute(to_sitk(before > 0, SMALL), to_sitk(after > 0, SMALL))
    assert found.dice == pytest.approx(overlap.GetDiceCoefficient())


@given(LABELS, MASKS, st.integers(1, 4))
@settings(max_examples=40)
def test_replacing_a_lesion_touches_no_neighbour(before, mask, lesion):
    start = LabelMap(before.copy(), SMALL)
    after = replace_lesion(start, lesion, mask).array
    others = (before != lesion) & (before != 0)
    assert np.array_equal(after[others], before[others])
    assert np.array_equal(after == lesion, mask & ~others)
    assert np.array_equal(start.array, before)


@pytest.mark.parametrize("lesion", [0, -1, 256])
def test_a_lesion_number_out_of_range_is_refused(lesion):
    with pytest.raises(InputError, match="1 to 255"):
        replace_lesion(_map(), lesion, np.zeros(GRID.shape, bool))


@pytest.mark.parametrize("lesion", [1, 255])
def test_the_first_and_the_last_lesion_number_are_taken(lesion):
    assert replace_lesion(_map(), lesion, _map(L1=ONE).array == 1).labels == (lesion,)


def test_a_mask_of_the_wrong_kind_is_refused():
    with pytest.raises(InputError, match="bool"):
        replace_lesion(_map(), 1, np.zeros(GRID.shape, np.uint8))
    with pytest.raises(GeometryError, match="voxels"):
        replace_lesion(_map(), 1, np.zeros((2, 2, 2), bool))


def test_a_block_measures_as_by_hand():
    (found,) = measure(_map(L3=ONE))
    assert (found.label, found.lesion_id, found.voxels) == (3, "L3", 24)
    assert found.volume_mm3 == pytest.approx(24 * 6)
    # Indices (2.5, 2, 1.5) at spacing (1, 2, 3) from (-5, 10, 100).
    assert found.centroid_mm == pytest.approx((-2.5, 14, 104.5))
    # 4 x 1 mm by 3 x 2 mm; the outline is cut at the corners: from (0.5 px, 0) to (3.5 px, 3 px) = 3 mm by 6 mm.
    assert found.longest_diameter_mm == pytest.approx(np.hypot(3, 6))


def test_each_of_two_lesions_is_placed_where_it_lies_in_the_scan():
    """Indices (3, 2, 1) and (7, 6, 5): at spacing (1, 2, 3) from (-5, 10, 100) (-2, 14, 103) and (2, 22, 115)."""
    array = np.zeros(GRID.shape, dtype=np.uint8)
    array[3, 2, 1], array[7, 6, 5] = 1, 2
    first, second = measure(LabelMap(array, GRID))
    assert first.centroid_mm == pytest.approx((-2, 14, 103))
    assert second.centroid_mm == pytest.approx((2, 22, 115))


def test_one_voxel_measures_its_longer_edge_and_nothing_measures_nothing():
    (found,) = measure(_map(L1=(slice(3, 4), slice(3, 4), slice(3, 4))))
    assert found.longest_diameter_mm == pytest.approx(2.0)
    assert measure(_map()) == ()
    assert longest_axial_diameter_mm(np.zeros(GRID.shape, bool), GRID) == 0


def test_a_ball_measures_its_diameter():
    grid = Grid((60, 60, 30), np.diag([0.8, 0.8, 1.6, 1.0]))
    i, j, k = np.ogrid[:60, :60, :30]
    ball = ((i - 30) * 0.8) ** 2 + ((j - 29.5) * 0.8) ** 2 + ((k - 15) * 1.6) ** 2 <= 20.0**2
    (found,) = measure(LabelMap(ball.astype(np.uint8), grid))
    assert found.longest_diameter_mm == pytest.approx(40, abs=0.8)
    assert found.volume_mm3 == pytest.approx(4 / 3 * np.pi * 20**3, rel=0.01)


def test_pieces_that_lie_apart_add_up_and_specks_and_gaps_do_not():
    """Two balls of 12 mm, 110 mm apart: 24 mm, where across them it is 122 mm."""
    i, j, k = np.ogrid[:160, :30, :30]
    ball = [(i - centre) ** 2 + (j - 15) ** 2 + (k - 15) ** 2 <= 5.5**2 for centre in (20, 130)]
    array = (ball[0] | ball[1]).astype(np.uint8)
    array[75, 15, 15] = 1  # a speck of 1 mm3
    (found,) = measure(LabelMap(array, Grid(array.shape, np.eye(4))))
    assert found.longest_diameter_mm == pytest.approx(24, abs=1.0)
    specks = np.zeros((20, 20, 3), np.uint8)
    specks[2:5, 2, 1] = specks[10:16, 2, 1] = 1
    (small,) = measure(LabelMap(specks, Grid(specks.shape, np.eye(4))))
    assert small.longest_diameter_mm == pytest.approx(6), "nothing but specks: the largest"


def test_lesions_come_in_order_and_the_diameter_is_of_the_widest_slice():
    array = np.zeros(GRID.shape, dtype=np.uint8)
    array[1:3, 1, 1] = 5
    array[1:11, 5, 4] = 2
    array[1:4, 5, 5] = 2
    found = measure(LabelMap(array, GRID))
    assert [lesion.label for lesion in found] == [2, 5]
    assert found[0].longest_diameter_mm == pytest.approx(10)


def test_axial_follows_the_patient_not_the_array():
    sagittal = Grid((5, 5, 5), np.array([[0, 0, 4.0, 0], [1.0, 0, 0, 0], [0, -1.0, 0, 0], [0, 0, 0, 1]]))
    assert axial_axis(GRID) == 2
    assert axial_axis(sagittal) == 1
    # 30 degrees off feet-head along the short third axis, 60 degrees along the second, of which a step goes higher.
    tilted = np.array([[1.0, 0, 0, 0], [0, 8 * np.sqrt(0.75), -0.5, 0], [0, 4.0, np.sqrt(0.75), 0], [0, 0, 0, 1]])
    assert axial_axis(Grid((5, 5, 5), tilted)) == 2
    array = np.zeros((5, 5, 5), dtype=np.uint8)
    array[2, :, 2] = 1  # runs feet-head: one voxel (1 x 4 mm) in every axial slice
    (found,) = measure(LabelMap(array, sagittal))
    assert found.longest_diameter_mm == pytest.approx(4)


def test_a_slice_that_runs_across_the_axes_is_not_passed_over_for_one_along_them():
    mask = np.zeros((8, 8, 2), dtype=bool)
    mask[range(8), range(8), 0] = True  # outermost: (-0.5, 0) and (7.5, 7), pixels
    mask[:4, 0, 1] = True  # 4 long
    assert longest_axial_diameter_mm(mask, Grid((8, 8, 2), np.eye(4))) == pytest.approx(np.hypot(8, 7))


@given(PLANES)
@settings(max_examples=40)
def test_the_diameter_is_the_widest_span_of_all_outline_points(plane):
    grid = Grid((6, 5, 1), np.diag([1.0, 1.5, 2.0, 1.0]))
    points = [
        ((i + di) * 1.0, (j + dj) * 1.5)
        for i, j, _ in np.argwhere(plane)
        for di, dj in ((0.5, 0), (-0.5, 0), (0, 0.5), (0, -0.5))
    ]
    expected = pdist(np.array(points)).max() if points else 0.0
    assert longest_axial_diameter_mm(plane, grid) == pytest.approx(expected)


def test_the_widest_span_survives_points_in_one_line_or_none():
    assert widest_span(np.zeros((0, 3))) == 0
    assert widest_span(np.zeros((1, 3))) == 0
    assert widest_span(np.array([[0.0, 0, 0], [1, 1, 1], [2, 2, 2]])) == pytest.approx(np.sqrt(12))
    assert widest_span(np.array([[0.0, 0], [3, 4]])) == 5


def test_a_real_tumours_volume_and_centre_are_simpleitks(shared_data: Path):
    labels = read_label_map(shared_data / "sts" / "STS_003" / "CT_mask.nii.gz")
    statistics = sitk.LabelShapeStatisticsImageFilter()
    statistics.Execute(to_sitk(labels.array, labels.grid))
    (found,) = measure(labels)
    assert found.volume_mm3 == pytest.approx(statistics.GetPhysicalSize(1), rel=1e-6)
    x, y, z = statistics.GetCentroid(1)
    assert found.centroid_mm == pytest.approx((-x, -y, z), abs=1e-3)
    assert 0 < found.longest_diameter_mm < 2 * found.volume_mm3 ** (1 / 3) * 3
