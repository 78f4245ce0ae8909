"""Simulated scans: the truth they claim is the truth they have."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from core.errors import InputError
from core.imaging.volumes import read_label_map, read_volume
from core.simulation.phantom import ct_grid, grid_points, pet_grid_for, rigid
from core.simulation.simulate import (
    BAD_MASKS,
    FAULTS,
    LesionSpec,
    PhantomSpec,
    SimulatedTimepoint,
    bad_mask,
    follow_up,
    out_of_distribution,
    phantom,
    radial_warp,
)
from core.types import Grid, LabelMap, Volume

SMALL = (104, 104, 38)


def spec(*lesions: LesionSpec, **changes) -> PhantomSpec:
    return PhantomSpec(3, lesions, shape=SMALL, **changes)


@pytest.fixture(scope="module")
def scan() -> SimulatedTimepoint:
    return phantom(spec(LesionSpec(1, 40_000, suv=6.0)), seed=0)


def ball(radius_mm: float, spacing_mm: float = 2.0, n: int = 60) -> tuple[Volume, Volume, LabelMap]:
    grid = ct_grid((n, n, n), (spacing_mm,) * 3)
    inside = np.linalg.norm(grid_points(grid, np.eye(4)), axis=0) < radius_mm
    ct = np.where(inside, 40, -100).astype(np.float32)
    pet_grid = pet_grid_for(grid, 4.0)
    near = np.linalg.norm(grid_points(pet_grid, np.eye(4)), axis=0) < radius_mm
    pet = np.where(near, 5.0, 0.5).astype(np.float32)
    return Volume(ct, grid, "CT"), Volume(pet, pet_grid, "PET"), LabelMap(inside.astype(np.uint8), grid)


def jacobian(warp, grid: Grid) -> np.ndarray:
    """Determinant of d source / d point by central differences, millimetre per millimetre."""
    points = grid_points(grid, np.eye(4)).astype(np.float64)
    source = warp.source(points.reshape(3, -1)).reshape(points.shape)
    signed = np.diag(grid.affine)[:3]
    columns = [np.stack(np.gradient(axis, *signed), axis=-1) for axis in source]
    return np.linalg.det(np.stack(columns, axis=-2))


def coarse(grid: Grid) -> Grid:
    """The same space at a third of the resolution in plane."""
    affine = grid.affine @ np.diag([3.0, 3.0, 1.0, 1.0])
    return Grid((grid.shape[0] // 3, grid.shape[1] // 3, grid.shape[2]), affine)


# ---------------------------------------------------------------- phantoms


@pytest.mark.parametrize("volume_mm3", [8_000.0, 25_000.0, 90_000.0])
def test_a_lesion_has_the_volume_that_was_asked_for(volume_mm3):
    scan = phantom(spec(LesionSpec(7, volume_mm3)), seed=1)
    assert scan.volumes_mm3[7] == pytest.approx(volume_mm3, abs=0.51 * scan.truth.grid.voxel_volume_mm3)
    assert scan.truth.labels == (7,)
    assert scan.volumes_mm3[7] == pytest.approx(scan.truth.volume_mm3)


def test_a_lesion_is_one_piece_that_lies_in_the_body_and_not_in_bone(scan):
    _, pieces = ndimage.label(scan.truth.array)
    assert pieces == 1
    inside = scan.ct.array[scan.truth.array == 1]
    assert inside.min() > -300
    assert (inside > 300).mean() < 0.01


def test_the_same_seed_gives_the_same_scan_and_another_seed_only_other_noise(scan):
    again, other = (phantom(spec(LesionSpec(1, 40_000, suv=6.0)), seed=s) for s in (0, 1))
    assert np.array_equal(again.ct.array, scan.ct.array)
    assert np.array_equal(again.pet.array, scan.pet.array)
    assert np.array_equal(other.truth.array, scan.truth.array)
    body = (scan.ct.array > -200) & (scan.ct.array < 200)
    difference = (other.ct.array - scan.ct.array)[body]
    assert abs(difference.mean()) < 0.5
    # Two draws of 14 HU differ by 14 * sqrt(2).
    assert difference.std() == pytest.approx(14 * np.sqrt(2), rel=0.1)


def test_tissues_have_the_values_of_real_scans(scan):
    ct = scan.ct.array
    healthy = ct[scan.truth.array == 0]
    histogram, edges = np.histogram(healthy, bins=np.arange(-300, 200, 10))
    middle = edges[:-1] + 5
    fat, muscle = middle[:25][histogram[:25].argmax()], middle[30:][histogram[30:].argmax()]
    assert -120 <= fat <= -90
    assert 45 <= muscle <= 65
    assert ct.min() == -1000
    assert 1000 < ct.max() < 1600
    assert 20 < np.median(ct[scan.truth.array == 1]) < 50
    assert 0.4 < np.median(scan.pet.array[scan.pet.array > 0.2]) < 0.8
    assert 5 < scan.pet.array.max() < 14


def test_uptake_is_where_the_tumour_is(scan):
    weights = np.argwhere(scan.pet.array > 3)
    seen = scan.pet.grid.to_mm(weights).mean(0)
    true = scan.truth.grid.to_mm(np.argwhere(scan.truth.array)).mean(0)
    assert np.linalg.norm(seen - true) < 3


def test_ct_and_pet_cover_the_same_space(scan):
    def ends(grid: Grid) -> np.ndarray:
        return np.sort(grid.to_mm(np.array([[-0.5, -0.5, -0.5], np.array(grid.shape) - 0.5])), axis=0)

    ct, pet = ends(scan.ct.grid), ends(scan.pet.grid)
    assert (pet[0] <= ct[0] + 1e-3).all()
    assert (pet[1] >= ct[1] - 1e-3).all()
    assert np.abs(pet - ct).max() < scan.pet.grid.spacing_mm[0]
    assert np.diag(scan.ct.grid.affine)[:3] == pytest.approx([-0.9766, -0.9766, 3.27])  # left, posterior, superior


def test_no_lesion_gives_an_empty_truth_and_no_uptake():
    scan = phantom(spec(), seed=0)
    assert scan.truth.labels == ()
    assert scan.volumes_mm3 == {}
    assert scan.pet.array.max() < 3
    gone = phantom(spec(LesionSpec(1, 0.0)), seed=0)
    assert gone.volumes_mm3 == {1: 0.0}
    assert np.array_equal(gone.ct.array, scan.ct.array)


def test_two_lesions_that_merge_touch_and_keep_their_volumes():
    def pair(apart_mm: float) -> SimulatedTimepoint:
        centres = ((0.0, 0.0, -apart_mm / 2), (0.0, 0.0, apart_mm / 2))
        return phantom(spec(LesionSpec(1, 30_000, centres[0]), LesionSpec(2, 20_000, centres[1])), seed=0)

    merged, apart = pair(30.0), pair(70.0)
    assert ndimage.label(merged.truth.array > 0)[1] == 1
    assert ndimage.label(apart.truth.array > 0)[1] == 2
    for found in (merged, apart):
        assert found.truth.labels == (1, 2)
        assert found.volumes_mm3[1] == pytest.approx(30_000, rel=0.01)
        assert found.volumes_mm3[2] == pytest.approx(20_000, rel=0.01)


def test_a_moved_patient_is_moved_by_the_motion_that_is_reported():
    lesion = LesionSpec(1, 30_000)
    still = phantom(spec(lesion), seed=0)
    moved = phantom(spec(lesion, rotation_deg=(2.0, -1.0, 10.0), shift_mm=(5.0, -3.0, 6.0)), seed=0)
    centre = [s.truth.grid.to_mm(np.argwhere(s.truth.array)).mean(0) for s in (still, moved)]
    assert moved.motion[:3, :3] @ centre[0] + moved.motion[:3, 3] == pytest.approx(centre[1], abs=0.5)
    assert np.linalg.norm(centre[1] - centre[0]) > 5


def test_rigid_motion_by_hand():
    quarter = rigid((0, 0, 90), (1, 0, 0))
    assert quarter @ [1, 0, 0, 1] == pytest.approx([1, 1, 0, 1])
    about = rigid((0, 0, 180), (0, 0, 0), (1, 0, 0))
    assert about @ [0, 0, 0, 1] == pytest.approx([2, 0, 0, 1])


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(InputError, match="different labels"):
        spec(LesionSpec(1, 10), LesionSpec(1, 20))
    with pytest.raises(InputError, match="0 mm3 or more"):
        spec(LesionSpec(1, -1.0))
    with pytest.raises(InputError, match="larger than the body"):
        phantom(spec(LesionSpec(1, 5e6)), seed=0)


# ---------------------------------------------------------------- warps and follow-ups


@settings(max_examples=15, deadline=None)
@given(factor=st.floats(0.1, 4.0), stretch=st.floats(0.4, 2.5), tilt=st.floats(-1, 1))
def test_a_warp_does_not_fold_and_scales_the_lesion_exactly(factor, stretch, tilt):
    grid = ct_grid((32, 32, 32), (5.0, 5.0, 5.0))
    x, y, z = grid_points(grid, np.eye(4))
    lesion = (x / 20) ** 2 + ((y + tilt * z) / 20 / stretch) ** 2 + (z / 24) ** 2 < 1
    points = grid.to_mm(np.argwhere(lesion))
    warp = radial_warp(points, factor)
    assert jacobian(warp, grid).min() > 0
    inner = factor ** (1 / 3)
    where_it_went = warp.centre_mm + (points - warp.centre_mm) * inner
    assert np.abs(warp.source(where_it_went.T).T - points).max() < 1e-9


def test_a_warp_leaves_what_is_far_away_alone():
    _, _, mask = ball(12)
    warp = radial_warp(mask.grid.to_mm(np.argwhere(mask.array)), 2.0)
    far = np.array([[0.0, 59.0, 0.0], [-59.0, 0.0, 10.0]]).T
    assert np.array_equal(warp.source(far), far)


@pytest.mark.parametrize("factor", [0.2, 0.5, 1.0, 1.6, 3.0])
def test_a_sphere_grows_to_the_volume_that_the_formula_gives(factor):
    ct, pet, mask = ball(24)
    after = follow_up(ct, pet, mask, factor, shift_mm=(3, -2, 4), rotation_deg=(0, 0, 5), ct_noise_hu=0, pet_noise=0)
    assert after.volumes_mm3[1] == pytest.approx(factor * 4 / 3 * np.pi * 24**3, rel=0.03)
    # The picture follows the mask: what is bright is the sphere.
    bright = np.count_nonzero(after.ct.array > -30) * ct.grid.voxel_volume_mm3
    assert bright == pytest.approx(after.volumes_mm3[1], rel=0.04)
    hot = np.count_nonzero(after.pet.array > 2.75) * pet.grid.voxel_volume_mm3
    assert hot == pytest.approx(after.volumes_mm3[1], rel=0.12)


def test_nothing_asked_gives_the_scan_back():
    ct, pet, mask = ball(20)
    same = follow_up(ct, pet, mask, 1.0, ct_noise_hu=0, pet_noise=0)
    assert np.array_equal(same.truth.array, mask.array)
    assert np.abs(same.ct.array - ct.array).max() <= 0.5
    assert np.abs(same.pet.array - pet.array).max() < 1e-3
    assert np.array_equal(same.motion, np.eye(4))


def test_a_follow_up_moves_by_the_motion_that_is_reported(scan):
    after = follow_up(scan.ct, scan.pet, scan.truth, 1.4, rotation_deg=(1, 2, 8), shift_mm=(6, -4, 5), seed=3)
    before, now = (t.grid.to_mm(np.argwhere(t.array)).mean(0) for t in (scan.truth, after.truth))
    assert after.motion[:3, :3] @ before + after.motion[:3, 3] == pytest.approx(now, abs=1.0)


def test_noise_is_drawn_anew_and_by_seed(scan):
    a, b, c = (follow_up(scan.ct, scan.pet, scan.truth, 1.0, seed=s) for s in (1, 1, 2))
    assert np.array_equal(a.ct.array, b.ct.array)
    assert np.array_equal(a.pet.array, b.pet.array)
    body = np.abs(scan.ct.array) < 150
    assert (a.ct.array - c.ct.array)[body].std() == pytest.approx(6 * np.sqrt(2), rel=0.1)
    assert a.metadata["simulated"] is True


def test_uptake_is_scaled_in_the_lesion_alone(scan):
    half = follow_up(scan.ct, scan.pet, scan.truth, 1.0, uptake=0.5, ct_noise_hu=0, pet_noise=0)
    middle = tuple(np.rint(scan.pet.grid.to_index(np.zeros((1, 3)))[0]).astype(int))
    assert half.pet.array[middle] == pytest.approx(0.5 * scan.pet.array[middle], rel=0.05)
    assert half.pet.array[:4] == pytest.approx(scan.pet.array[:4], abs=1e-3)


def test_two_lesions_change_each_by_its_own_factor():
    lesions = LesionSpec(1, 16_000, (0, 0, -36)), LesionSpec(2, 12_000, (0, 0, 36))
    before = phantom(spec(*lesions), seed=0)
    after = follow_up(before.ct, before.pet, before.truth, {1: 1.5, 2: 0.5})
    assert after.volumes_mm3[1] == pytest.approx(24_000, rel=0.02)
    assert after.volumes_mm3[2] == pytest.approx(6_000, rel=0.02)


def test_growth_of_nought_leaves_no_mask_and_no_tumour(scan):
    gone = follow_up(scan.ct, scan.pet, scan.truth, 0.0)
    assert gone.truth.labels == ()
    assert gone.volumes_mm3 == {1: 0.0}
    assert gone.pet.array.max() < 0.4 * scan.pet.array.max()


def test_growth_that_cannot_be_is_refused(scan):
    for factor in (0.05, 5.0, -1.0, float("nan")):
        with pytest.raises(InputError, match="growth factor"):
            follow_up(scan.ct, scan.pet, scan.truth, factor)
    with pytest.raises(InputError, match="in the mask"):
        follow_up(scan.ct, scan.pet, scan.truth, {9: 2.0})
    with pytest.raises(InputError, match="CT's grid"):
        follow_up(scan.ct, scan.pet, ball(10)[2], 1.0)


@pytest.mark.parametrize("factor", [0.25, 2.5])
def test_a_real_tumour_changes_by_the_factor_without_folding(shared_data, factor):
    folder = shared_data / "sts" / "STS_019"
    ct, pet = read_volume(folder / "CT_image.nii.gz", "CT"), read_volume(folder / "PET_image.nii.gz", "PET")
    mask = read_label_map(folder / "CT_mask.nii.gz", ct.grid)
    after = follow_up(ct, pet, mask, factor, rotation_deg=(1, 0, 3), shift_mm=(3, 2, -4), seed=1)
    assert after.volumes_mm3[1] == pytest.approx(factor * mask.volume_mm3, rel=0.02)
    assert after.ct.grid.matches(ct.grid)
    assert after.pet.grid.matches(pet.grid)
    warp = radial_warp(ct.grid.to_mm(np.argwhere(mask.array)), factor)
    assert jacobian(warp, coarse(ct.grid)).min() > 0


# ---------------------------------------------------------------- faults


def test_each_fault_leaves_the_truth_but_changes_the_ct(scan):
    for kind in FAULTS:
        odd = out_of_distribution(scan, kind, seed=1)
        assert odd.metadata["fault"] == kind
        assert odd.metadata["simulated"] is True
        assert np.abs(odd.ct.array - scan.ct.array).mean() > 20, kind
        assert odd.ct.grid.matches(scan.ct.grid)
        assert np.array_equal(odd.truth.array, scan.truth.array) or kind == "head"
        again = out_of_distribution(scan, kind, seed=1)
        assert np.array_equal(odd.ct.array, again.ct.array)


def test_faults_are_what_they_say(scan):
    shifted = out_of_distribution(scan, "calibration").ct.array
    assert np.array_equal(shifted[scan.ct.array < 1000], scan.ct.array[scan.ct.array < 1000] + 1000)
    assert out_of_distribution(scan, "metal").ct.array.max() == 3071
    inverted = out_of_distribution(scan, "inverted").ct.array
    body = np.abs(scan.ct.array) < 150
    assert np.corrcoef(inverted[body], scan.ct.array[body])[0, 1] < -0.99
    head = out_of_distribution(scan, "head")
    assert head.truth.labels == ()
    assert head.pet.array.max() > 5
    with pytest.raises(InputError, match="metal"):
        out_of_distribution(scan, "ghost")


def test_bad_masks_hold_the_truth_and_more(scan):
    for kind in BAD_MASKS:
        bad = bad_mask(scan, kind, seed=2)
        assert bad.grid.matches(scan.truth.grid)
        assert (bad.array[scan.truth.array == 1] == 1).all()
        assert bad.volume_mm3 > 1.02 * scan.truth.volume_mm3, kind
    with pytest.raises(InputError, match="box"):
        bad_mask(scan, "good")


def test_bad_masks_are_what_they_say(scan):
    box = bad_mask(scan, "box").array > 0
    assert box[ndimage.find_objects(box.astype(int))[0]].all()
    bone = (bad_mask(scan, "bone").array > 0) & (scan.truth.array == 0)
    assert np.median(scan.ct.array[bone]) > 300
    assert ndimage.label(bad_mask(scan, "specks").array)[1] > 100
    sheet = (bad_mask(scan, "sheet").array > 0) & (scan.truth.array == 0)
    assert not ndimage.binary_erosion(sheet, np.ones((5, 5, 1))).any()
    empty = phantom(spec(), seed=0)
    assert [bad_mask(empty, kind).labels for kind in ("box", "bone", "sheet", "specks")] == [(), (), (), (1,)]
