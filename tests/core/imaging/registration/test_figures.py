"""Figures of an alignment, on scans whose figures are known beforehand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from core.imaging.registration import figures
from core.imaging.registration.prepared import Prepared, body_of, prepare
from core.imaging.registration.transform import about, mapped
from core.types import Grid, LabelMap, Volume


def textured(seed: int = 0, shape: tuple[int, int, int] = (80, 76, 72)) -> Volume:
    """Lumps of about 12 mm in a body that fills all but a rim, voxels of 2 mm; HU."""
    from scipy import ndimage

    lumps = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 3)
    array = 40 + 60 * lumps / lumps.std()
    array[:6], array[-6:], array[:, :6], array[:, -6:] = -1000, -1000, -1000, -1000
    return Volume(array.astype(np.float32), Grid(shape, np.diag([2.0, 2.0, 2.0, 1.0])), "CT")


@pytest.fixture(scope="module")
def scan() -> Prepared:
    return prepare(textured())


def shifted(mm: float) -> np.ndarray:
    matrix = np.eye(4)
    matrix[0, 3] = mm
    return matrix


def test_a_scan_on_itself_has_all_its_pieces_at_home_and_its_edges_along_each_other(scan: Prepared):
    pair = figures.aligned(scan, scan, np.eye(4))
    found = figures.blocks(pair)
    assert found.count >= figures.FEWEST_BLOCKS
    assert (found.at_home, found.of_one_mind) == (1.0, 1.0)
    assert found.off_mm is not None
    assert found.off_mm < 0.5
    assert found.motion == pytest.approx(np.eye(4), abs=0.3)
    assert figures.edges(pair) == pytest.approx(1.0)
    assert figures.correlation(pair) == pytest.approx(1.0)
    assert figures.outline(pair) == (1.0, 0.0)
    assert figures.overlap(scan, scan, pair) == pytest.approx(1.0, abs=0.06)


def test_pieces_of_a_scan_put_8_mm_off_are_found_8_mm_to_the_side(scan: Prepared):
    found = figures.blocks(figures.aligned(scan, scan, shifted(8.0)))
    assert (found.off_mm, found.drift_mm) == (pytest.approx(8.0, abs=0.5), pytest.approx(8.0, abs=0.5))
    assert found.motion is not None
    assert found.motion[:3, 3] + found.motion[:3, :3] @ [80, 76, 72] == pytest.approx([72, 76, 72], abs=0.5)
    assert found.at_home == pytest.approx(0.0, abs=0.1)


def test_of_another_texture_few_pieces_are_at_home_and_edges_run_by_chance(scan: Prepared):
    pair = figures.aligned(scan, prepare(textured(seed=1)), np.eye(4))
    found = figures.blocks(pair)
    assert found.at_home is not None
    assert found.at_home < 0.3
    inner = figures.aligned(scan, prepare(textured(seed=1)), shifted(0))
    assert figures.edges(inner) is not None


def test_a_scan_half_out_of_the_other_has_half_the_overlap(scan: Prepared):
    assert figures.overlap(scan, scan, figures.aligned(scan, scan, shifted(80.0))) == pytest.approx(0.5, abs=0.05)


def test_bodies_that_fill_their_fields_have_no_outline():
    full = Volume(
        np.random.default_rng(0).normal(40, 5, (40, 40, 40)).astype(np.float32), Grid((40,) * 3, np.eye(4)), "CT"
    )
    pair = figures.aligned(prepare(full), prepare(full), np.eye(4))
    assert figures.outline(pair) == (None, None)


def test_a_field_without_enough_texture_tells_nothing():
    small = prepare(textured(shape=(20, 20, 20)))
    found = figures.blocks(figures.aligned(small, small, np.eye(4)))
    assert (found.at_home, found.off_mm, found.drift_mm) == (None, None, None)
    far = figures.aligned(small, small, shifted(1000.0))
    assert (figures.edges(far), figures.correlation(far), figures.overlap(small, small, far)) == (None, None, 0.0)


def test_the_body_is_the_largest_piece_without_its_holes():
    array = np.full((30, 30, 10), -1000.0, np.float32)
    array[5:20, 5:20] = 40
    array[10:14, 10:14] = -800  # lung
    array[25:28, 2:28] = 100  # the table
    body = body_of(array, "CT")
    assert body[12, 12, 5]
    assert not body[26, 10].any()
    assert not body_of(np.full((8, 8, 8), -1000.0, np.float32), "CT").any()


def test_most_of_the_pieces_say_where_it_is_though_a_third_went_elsewhere():
    places = np.random.default_rng(0).uniform(0, 100, (60, 3))
    truth = about(
        Rotation.from_rotvec(np.radians([2.0, -3.0, 4.0])).as_matrix(), places.mean(axis=0), np.array([2.0, 1.0, -1.0])
    )
    moved = mapped(truth, places) - places
    moved[:20] += [8.0, 0.0, 0.0]
    motion, agrees = figures.common_motion(places, moved)
    assert motion == pytest.approx(truth, abs=1e-6)
    assert agrees.tolist() == [False] * 20 + [True] * 40


def test_known_lesions_are_left_out_with_10_mm_around_them_as_either_scan_has_them(scan: Prepared):
    array = np.zeros((80, 76, 72), np.uint8)
    array[40, 38, 36] = 2  # at 80, 76, 72 mm
    lesion = LabelMap(array, textured().grid)
    fixed = figures.aligned(scan, scan, np.eye(4), lesion)
    size_ml = fixed.left_out.sum() * figures.LATTICE_MM**3 / 1000
    assert 4.2 < size_ml < 14, "a sphere of 10 mm, and up to a voxel of the lattice more"
    array[30:50, 30:50, 30:50] = 1
    large = figures.aligned(scan, scan, np.eye(4), LabelMap(array, lesion.grid))
    assert figures.blocks(large).count < figures.blocks(fixed).count
    array[30:50, 30:50, 30:50] = 0
    array[40, 38, 36] = 2
    moving = figures.aligned(scan, scan, shifted(16.0), None, lesion)
    middle = np.argwhere(moving.left_out).mean(axis=0) * figures.LATTICE_MM + moving.corner_mm
    assert middle == pytest.approx([64, 76, 72], abs=2.5)
