"""Overlap and distances: hand-computed phantoms, properties, and agreement with SimpleITK's own filters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_erosion, shift

from core.errors import GeometryError, InputError
from core.imaging.volumes import read_label_map, to_sitk
from core.lesions import metrics
from core.lesions.metrics import border, bounding_box, confusion, dice, label_confusion, surface_distances
from core.types import Grid

SPACING = (1.0, 2.0, 3.0)


def _random_pair(seed: int) -> tuple[np.ndarray, np.ndarray, tuple[float, float, float]]:
    """Two masks of any density, now and then empty, on any small shape, with a spacing."""
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 8, 3))
    a, b = (rng.random(shape) < rng.choice([0.02, 0.2, 0.5, 0.9]) for _ in range(2))
    i, j, k = rng.uniform(0.3, 6.0, 3)
    return a, b, (float(i), float(j), float(k))


PAIRS = st.builds(_random_pair, st.integers(0, 2**32 - 1))


def _two_bars() -> tuple[np.ndarray, np.ndarray]:
    a = np.zeros((10, 5, 5), dtype=bool)
    b = a.copy()
    a[1:5, 2, 2] = True
    b[3:9, 2, 2] = True
    return a, b


def _itk(mask: np.ndarray, spacing: tuple[float, float, float]) -> sitk.Image:
    return to_sitk(mask.astype(np.uint8), Grid(mask.shape, np.diag([*spacing, 1.0])))


def test_bars_overlap_as_counted_by_hand():
    a, b = _two_bars()
    assert confusion(a, b) == (4, 2, 2)
    assert dice(a, b) == pytest.approx(2 * 2 / (4 + 6))


def test_bars_lie_as_far_apart_as_measured_by_hand():
    a, b = _two_bars()
    found = surface_distances(a, b, SPACING)
    # Every voxel is a border voxel. a -> b: 2, 1, 0, 0. b -> a: 0, 0, 1, 2, 3, 4.
    assert found.hausdorff_mm == 4
    assert found.mean_mm == pytest.approx((3 + 10) / 10)
    assert found.median_mm == pytest.approx(1)
    assert found.hausdorff95_mm == pytest.approx(np.percentile([0, 0, 1, 2, 3, 4], 95))


def test_distances_use_each_axis_own_spacing():
    a = np.zeros((4, 4, 4), dtype=bool)
    b = a.copy()
    a[0, 0, 0] = b[1, 1, 1] = True
    assert surface_distances(a, b, SPACING).hausdorff_mm == pytest.approx(np.sqrt(1 + 4 + 9))


def test_two_empty_masks_agree_and_one_empty_mask_is_infinitely_far():
    empty, full = np.zeros((3, 3, 3), dtype=bool), np.ones((3, 3, 3), dtype=bool)
    assert dice(empty, empty) == 1.0
    assert dice(empty, full) == 0.0
    assert confusion(empty, empty) == (0, 0, 0)
    nothing, far = surface_distances(empty, empty, SPACING), surface_distances(full, empty, SPACING)
    assert (nothing.hausdorff_mm, nothing.hausdorff95_mm, nothing.mean_mm, nothing.median_mm) == (0, 0, 0, 0)
    assert np.isinf([far.hausdorff_mm, far.hausdorff95_mm, far.mean_mm, far.median_mm]).all()
    assert surface_distances(empty, full, SPACING) == far


def test_a_hole_far_inside_counts_in_the_maximum_as_in_itk():
    # The farthest voxel of a solid block from its own shell is its middle, which is no border voxel.
    solid = np.ones((9, 9, 9), dtype=bool)
    shell = border(solid)
    found = surface_distances(solid, shell, (1.0, 1.0, 1.0))
    assert found.hausdorff_mm == 4
    assert found.hausdorff95_mm < 4


def test_masks_of_different_shapes_are_refused():
    a, b = np.zeros((3, 3, 3), dtype=bool), np.zeros((3, 3, 4), dtype=bool)
    with pytest.raises(GeometryError, match="one shape"):
        dice(a, b)
    with pytest.raises(GeometryError, match="one shape"):
        surface_distances(a, b, SPACING)
    with pytest.raises(GeometryError, match="one shape"):
        label_confusion(a, b)


@pytest.mark.parametrize("spacing", [(1, 1, 0), (1, -1, 1), (1, np.nan, 1), (np.inf, 1, 1), (1, 1), (1, 1, 1, 1)])
def test_impossible_spacing_is_refused(spacing):
    a = np.ones((3, 3, 3), dtype=bool)
    with pytest.raises(InputError, match="above 0 mm"):
        surface_distances(a, a, spacing)


def test_a_changed_label_is_counted_apart_from_voxels_that_came_or_went():
    a = np.array([1, 1, 2, 0, 3], dtype=np.uint8).reshape(5, 1, 1)
    b = np.array([1, 2, 2, 1, 0], dtype=np.uint8).reshape(5, 1, 1)
    assert label_confusion(a, b) == (1, 1, 3, 1)
    assert confusion(a, b) == (1, 1, 3)


@pytest.mark.parametrize("size", [1, 4, 7, 60, 100])
def test_counting_in_pieces_counts_every_voxel_once(monkeypatch, size):
    monkeypatch.setattr(metrics, "_CHUNK", size)
    rng = np.random.default_rng(3)
    a, b = (rng.integers(0, 3, (5, 4, 3)).astype(np.uint8) for _ in range(2))
    came, went, both = ((a == 0) & (b != 0)).sum(), ((a != 0) & (b == 0)).sum(), ((a != 0) & (b != 0)).sum()
    relabelled = ((a != 0) & (b != 0) & (a != b)).sum()
    for one, other in ((a, b), (np.asfortranarray(a), np.asfortranarray(b)), (np.asfortranarray(a), b)):
        assert confusion(one, other) == (came, went, both)
        assert label_confusion(one, other) == (came, went, both, relabelled)


@pytest.mark.parametrize("share", [-1.0, 2.0])
def test_the_farthest_voxel_is_found_by_tree_and_by_distance_transform_alike(monkeypatch, share):
    monkeypatch.setattr(metrics, "_TREE_SHARE", share)
    solid = np.zeros((9, 9, 9), dtype=bool)
    solid[1:8, 1:8, 1:8] = True
    part = solid.copy()
    part[3:, :, :] = False
    found = surface_distances(solid, part, (2.0, 1.0, 1.0))
    assert found.hausdorff_mm == 2 * 5
    assert surface_distances(part, solid, (2.0, 1.0, 1.0)).hausdorff_mm == 2 * 5
    assert surface_distances(solid, solid, SPACING).hausdorff_mm == 0


@given(PAIRS)
@settings(max_examples=40)
def test_counts_add_up_and_dice_is_symmetric(pair):
    a, b, _ = pair
    added, removed, unchanged = confusion(a, b)
    assert added + unchanged == b.sum()
    assert removed + unchanged == a.sum()
    assert confusion(b, a) == (removed, added, unchanged)
    assert dice(a, b) == dice(b, a)
    assert 0 <= dice(a, b) <= 1


@given(PAIRS)
@settings(max_examples=40)
def test_the_answer_does_not_depend_on_how_memory_is_laid_out(pair):
    a, b, _ = pair
    mixed = confusion(np.asfortranarray(a), b)
    assert confusion(np.asfortranarray(a), np.asfortranarray(b)) == mixed == confusion(a, b)
    assert confusion(a[::-1], b[::-1]) == mixed
    assert bounding_box(np.asfortranarray(a)) == bounding_box(a)


@given(PAIRS)
@settings(max_examples=40)
def test_dice_and_hausdorff_are_simpleitks_own(pair):
    a, b, spacing = pair
    if not a.any() or not b.any():
        return
    ours = surface_distances(a, b, spacing)
    hausdorff = sitk.HausdorffDistanceImageFilter()
    hausdorff.Execute(_itk(a, spacing), _itk(b, spacing))
    overlap = sitk.LabelOverlapMeasuresImageFilter()
    overlap.Execute(_itk(a, spacing), _itk(b, spacing))
    # ITK's Maurer distance map is float32.
    assert ours.hausdorff_mm == pytest.approx(hausdorff.GetHausdorffDistance(), rel=1e-5, abs=1e-5)
    assert dice(a, b) == pytest.approx(overlap.GetDiceCoefficient(), abs=1e-12)


@given(PAIRS)
@settings(max_examples=40)
def test_surface_distances_are_those_of_every_pair_of_border_voxels(pair):
    a, b, spacing = pair
    if not a.any() or not b.any():
        return
    points_a, points_b = (np.argwhere(m & ~binary_erosion(m)) * np.array(spacing) for m in (a, b))
    every = np.linalg.norm(points_a[:, None] - points_b[None], axis=2)
    to_b, to_a = every.min(axis=1), every.min(axis=0)
    found = surface_distances(a, b, spacing)
    assert found.mean_mm == pytest.approx(np.concatenate([to_b, to_a]).mean())
    assert found.hausdorff95_mm == pytest.approx(max(np.percentile(to_b, 95), np.percentile(to_a, 95)))
    assert found.hausdorff_mm >= found.hausdorff95_mm - 1e-9


@given(PAIRS)
@settings(max_examples=40)
def test_border_and_box_are_scipys_and_numpys(pair):
    mask = pair[0]
    assert np.array_equal(border(mask), mask & ~binary_erosion(mask))
    box = bounding_box(mask)
    if not mask.any():
        assert box is None
        return
    where = np.argwhere(mask)
    assert box == tuple(slice(low, high + 1) for low, high in zip(where.min(0), where.max(0), strict=True))


def test_a_real_contour_and_its_shifted_copy_agree_with_simpleitk(shared_data: Path):
    labels = read_label_map(shared_data / "sts" / "STS_003" / "PET_mask.nii.gz")
    a = labels.array > 0
    b = shift(labels.array, (2, -1, 1), order=0) > 0
    spacing = labels.grid.spacing_mm
    hausdorff = sitk.HausdorffDistanceImageFilter()
    hausdorff.Execute(to_sitk(a, labels.grid), to_sitk(b, labels.grid))
    overlap = sitk.LabelOverlapMeasuresImageFilter()
    overlap.Execute(to_sitk(a, labels.grid), to_sitk(b, labels.grid))
    assert surface_distances(a, b, spacing).hausdorff_mm == pytest.approx(hausdorff.GetHausdorffDistance(), rel=1e-5)
    assert dice(a, b) == pytest.approx(overlap.GetDiceCoefficient(), abs=1e-12)
