"""Simulated follow-ups: what they claim to have happened is what a ruler finds in them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from core.errors import InputError
from core.simulation.followups import SIMULATED, PlantedLesion, Visit, simulated_visit
from core.simulation.painting import room_for
from core.simulation.phantom import ct_grid, grid_points, pet_grid_for
from core.types import Grid, LabelMap, Volume

#: A ball of 15 mm radius in fat, in a field of 96 x 96 x 108 mm: 36 mm of fat around it and more.
RADIUS_MM = 15.0
#: Off the voxels' own symmetry: whole shells of a ball in the middle would come and go at once.
CENTRE_MM = np.array([0.63, -0.41, 0.97])
QUIET: dict[str, Any] = {"noise_hu": 0.0, "pet_noise": 0.0}


def ball_scan() -> tuple[list[Volume], LabelMap]:
    grid = ct_grid((48, 48, 36), (2.0, 2.0, 3.0))

    def depth_mm(grid: Grid) -> np.ndarray:
        return RADIUS_MM - np.linalg.norm(grid_points(grid, np.eye(4)) - CENTRE_MM[:, None, None, None], axis=0)

    def edge(grid: Grid) -> np.ndarray:
        """1 within, 0 without; between them as blurred as a scanner's picture of it."""
        return np.clip(depth_mm(grid) / 3 + 0.5, 0, 1)

    pet_grid = pet_grid_for(grid, 4.0)
    ct = Volume((140 * edge(grid) - 100).astype(np.float32), grid, "CT")
    pet = Volume((4.5 * edge(pet_grid) + 0.5).astype(np.float32), pet_grid, "PET")
    return [ct, pet], LabelMap((depth_mm(grid) > 0).astype(np.uint8), grid)


def volume_mm3(labels: LabelMap, lesion: int) -> float:
    return float((labels.array == lesion).sum()) * labels.grid.voxel_volume_mm3


def centroid_mm(labels: LabelMap, lesion: int) -> np.ndarray:
    return labels.grid.to_mm(np.argwhere(labels.array == lesion)).mean(axis=0)


@pytest.mark.parametrize("change_percent", [-50, -10, 10, 100])
def test_the_true_mask_changes_by_what_was_asked_within_one_percent(change_percent):
    scans, mask = ball_scan()
    factor = 1 + change_percent / 100
    seen = simulated_visit(scans, mask, Visit(growth={1: factor}, **QUIET))
    assert seen.volumes_mm3 == {1: pytest.approx(factor * mask.volume_mm3, rel=0.01)}
    assert volume_mm3(seen.truth, 1) == pytest.approx(seen.volumes_mm3[1], rel=0.005)
    bright = float((seen.volumes[0].array > -30).sum()) * mask.grid.voxel_volume_mm3
    assert bright == pytest.approx(seen.volumes_mm3[1], rel=0.06), "the tissue goes with the mask"


def test_the_matrix_leads_from_the_old_place_to_the_new_one_on_other_slices():
    scans, mask = ball_scan()
    moved = Visit(rotation_deg=(10, -5, 12), shift_mm=(14, -8, 6), slice_mm=4.5, growth={1: 1.3}, **QUIET)
    seen = simulated_visit(scans, mask, moved)
    old, new = centroid_mm(mask, 1), centroid_mm(seen.truth, 1)
    assert np.linalg.norm(seen.motion[:3, :3] @ old + seen.motion[:3, 3] - new) < 1
    assert np.linalg.norm(new - old) == pytest.approx(np.linalg.norm(moved.shift_mm), abs=1), "it did move"
    assert seen.truth.grid.spacing_mm == pytest.approx((2.0, 2.0, 4.5))
    assert seen.truth.grid.shape == (48, 48, 24)
    assert volume_mm3(seen.truth, 1) == pytest.approx(seen.volumes_mm3[1], rel=0.03)
    assert seen.in_view == {1: 1.0}
    pet = seen.volumes[1]
    hot = pet.grid.to_mm(np.argwhere(pet.array > 2.75)).mean(axis=0)
    assert np.linalg.norm(hot - new) < 1.5, "the other scan moved with it"


def test_thick_slices_average_what_lies_in_them():
    _, mask = ball_scan()
    ramp = Volume(np.broadcast_to(10.0 * np.arange(36), (48, 48, 36)).astype(np.float32), mask.grid, "CT")
    seen = simulated_visit([ramp], mask, Visit(slice_mm=6.0, **QUIET)).volumes[0]
    assert seen.array[20, 20, 1:-1] == pytest.approx(10 * (2 * np.arange(1, 17) + 0.5), abs=1), "of slices 2k and 2k+1"


def test_a_scan_cut_short_leaves_a_lesion_outside_and_says_so():
    scans, mask = ball_scan()
    planted = PlantedLesion(2, (0.0, 0.0, 38.0), 6.0)
    whole = simulated_visit(scans, mask, Visit(planted=(planted,), **QUIET))
    short = simulated_visit(scans, mask, Visit(planted=(planted,), cut_mm=(0.0, 30.0), **QUIET))
    assert whole.truth.labels == (1, 2)
    assert short.truth.labels == (1,)
    assert short.in_view == {1: 1.0, 2: 0.0}
    assert short.volumes_mm3 == whole.volumes_mm3, "it is there, though nobody sees it"
    assert "L2 lies outside the scan" in short.what_happened
    assert all(scan.grid.shape[2] == 26 for scan in short.volumes)
    assert centroid_mm(short.truth, 1) == pytest.approx(centroid_mm(mask, 1), abs=0.1)


def test_a_planted_lesion_looks_like_the_tumour_and_lies_where_it_was_put():
    scans, mask = ball_scan()
    place = room_for(scans[0], mask, 6.0, 8.0)
    away = np.linalg.norm(np.array(place) - CENTRE_MM)
    assert RADIUS_MM + 6 + 8 - 3 <= away <= RADIUS_MM + 6 + 8 + 9
    seen = simulated_visit(scans, mask, Visit(planted=(PlantedLesion(2, place, 6.0),), **QUIET))
    assert centroid_mm(seen.truth, 2) == pytest.approx(place, abs=1)
    assert seen.volumes_mm3[2] == pytest.approx(4 / 3 * np.pi * 6**3, rel=0.1)
    assert np.median(seen.volumes[0].array[seen.truth.array == 2]) == pytest.approx(40, abs=12)
    assert seen.lesions_of == {1: (1,), 2: (2,)}


def test_a_lesion_that_is_gone_leaves_the_tissue_around_it():
    scans, mask = ball_scan()
    seen = simulated_visit(scans, mask, Visit(growth={1: 0}, **QUIET))
    assert seen.volumes_mm3 == {1: 0.0}
    assert seen.truth.labels == seen.drawn.labels == ()
    assert seen.in_view == {}
    assert seen.volumes[0].array.max() < -90
    assert seen.volumes[1].array.max() < 1


def test_two_lesions_that_meet_are_drawn_as_one_and_one_that_breaks_as_two():
    scans, mask = ball_scan()
    merged = simulated_visit(scans, mask, Visit(planted=(PlantedLesion(2, (22.0, 0.0, 0.0), 10.0),), **QUIET))
    assert merged.truth.labels == (1, 2)
    assert merged.lesions_of == {1: (1, 2)}
    split = simulated_visit(scans, mask, Visit(split_mm={1: 8.0}, **QUIET))
    assert split.lesions_of == {1: (1,), 2: (1,)}
    # A ball without a slab through its middle, 2 pi (2 r^3/3 - r^2 h + h^3/3) with h = 4 mm.
    left = 2 * np.pi * (2 * RADIUS_MM**3 / 3 - RADIUS_MM**2 * 4 + 4**3 / 3)
    assert split.volumes_mm3[1] == pytest.approx(left, rel=0.05)


def test_it_always_says_that_it_is_simulated():
    scans, mask = ball_scan()
    seen = simulated_visit(scans, mask, Visit(growth={1: 1.2}, shift_mm=(3, 4, 0), slice_mm=4.5))
    assert seen.what_happened == (
        SIMULATED,
        "L1 changed by +20 % in volume",
        "the patient moved by 5 mm and turned by 0°",
        "slices of 4.5 mm instead of 3 mm",
    )
    assert seen.metadata["simulated"] is True
    assert seen.metadata["method"] == SIMULATED


@pytest.mark.parametrize(
    ("visit", "says"),
    [
        (Visit(growth={2: 1.5}), "got [2]"),
        (Visit(planted=(PlantedLesion(1, (30.0, 0.0, 0.0), 5.0),)), "numbers of their own"),
        (Visit(growth={1: 9.0}), "growth factor"),
        (Visit(cut_mm=(60.0, 40.0)), "at least 4 slices"),
        (Visit(planted=(PlantedLesion(2, (300.0, 0.0, 0.0), 5.0),)), "within the body"),
    ],
)
def test_what_cannot_be_simulated_is_refused(visit, says):
    scans, mask = ball_scan()
    with pytest.raises(InputError, match=says.replace("[", r"\[")):
        simulated_visit(scans, mask, visit)
