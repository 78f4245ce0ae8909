"""Diameters by hand: perpendicular, short axis, 3-D, slices; fragments, holes, notches; against SimpleITK."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_fill_holes, gaussian_filter
from scipy.ndimage import label as label_pieces
from skimage.measure import find_contours, points_in_poly

from core.errors import GeometryError, InputError
from core.imaging.volumes import read_label_map, to_sitk
from core.lesions.diameters import Diameters, axial_axis, diameters, longest_3d_mm, longest_without_excess_mm
from core.lesions.shape import diameters_2d_mm, ibsi_morphology
from core.types import Grid

UNIT = Grid((40, 40, 6), np.eye(4))
CLOSE_MM = 1e-3


def of(*boxes: tuple[slice, slice, slice], grid: Grid = UNIT) -> Diameters:
    mask = np.zeros(grid.shape, bool)
    for box in boxes:
        mask[box] = True
    found = diameters(mask, grid)
    assert found is not None
    return found


def test_a_row_of_pixels_is_as_long_as_its_edges_and_one_pixel_across() -> None:
    """12 x 1 pixels of 0.5 x 2 mm, 3 mm thick: 6 mm and 2 mm."""
    grid = Grid((40, 40, 6), np.diag([0.5, 2.0, 3.0, 1.0]))
    found = of((slice(4, 16), slice(7, 8), slice(2, 3)), grid=grid)
    assert (found.longest_mm, found.perpendicular_mm, found.slices, found.slice_index) == pytest.approx((6, 2, 1, 2))
    assert found.short_axis_mm == found.perpendicular_mm
    (piece,) = found.pieces
    assert sorted(piece.long_axis_mm) == [pytest.approx((1.75, 14, 6)), pytest.approx((7.75, 14, 6))]
    assert sorted(y for _, y, _ in piece.perpendicular_axis_mm) == [pytest.approx(13), pytest.approx(15)]
    assert found.longest_3d_mm == pytest.approx(np.hypot(5.5, 3)), "from the first voxel's foot to the last one's head"


def test_a_plus_sign_has_its_longest_perpendicular_where_it_is_widest() -> None:
    """A bar of 21 x 3 pixels, and across it, not at its middle, one of 3 x 11."""
    found = of((slice(5, 26), slice(20, 23), slice(1, 2)), (slice(8, 11), slice(16, 27), slice(1, 2)))
    # the outline cuts the corners: (-0.5, 0) to (20.5, 2) pixels is longer than along the middle
    assert found.longest_mm == pytest.approx(np.hypot(21, 2), abs=CLOSE_MM)
    assert found.perpendicular_mm == pytest.approx(11, abs=0.35)
    (piece,) = found.pieces
    long, across = (np.subtract(*axis) for axis in (piece.long_axis_mm, piece.perpendicular_axis_mm))
    assert long @ across == pytest.approx(0, abs=1e-4), "at right angles"
    assert np.linalg.norm(long) == pytest.approx(piece.longest_mm)
    assert np.linalg.norm(across) == pytest.approx(piece.perpendicular_mm)


def test_a_perpendicular_crosses_a_cavity_and_stops_at_a_notch() -> None:
    ring, cup = np.zeros((2, 40, 40, 6), bool)
    ring[5:34, 10:21, 2] = True
    whole = diameters(ring, UNIT)
    ring[10:30, 13:18, 2] = False
    assert whole is not None
    hollow = diameters(ring, UNIT)
    assert hollow is not None
    assert hollow.perpendicular_mm == pytest.approx(whole.perpendicular_mm)
    cup[5:34, 10:13, 2] = cup[5:34, 30:33, 2] = cup[5:7, 10:33, 2] = True  # a U: arms of 29 x 3, 17 apart
    found = diameters(cup, UNIT)
    assert found is not None
    assert found.longest_mm == pytest.approx(np.hypot(28, 23), abs=1.0)
    assert found.perpendicular_mm < 20, "not from arm to arm across the gap"


def test_the_slice_of_the_longest_axis_is_measured_though_another_is_broader() -> None:
    found = of((slice(5, 25), slice(10, 14), slice(1, 2)), (slice(8, 20), slice(6, 18), slice(2, 4)))
    assert (found.slice_index, found.slices) == (1, 3)
    assert found.perpendicular_mm < 6


def test_of_equal_slices_the_one_with_the_longest_perpendicular_counts() -> None:
    thin, broad = (slice(5, 26), slice(15, 16), slice(1, 2)), (slice(12, 17), slice(13, 18), slice(3, 4))
    line = (slice(5, 26), slice(15, 16), slice(2, 4))
    found = of(thin, line, broad)
    assert (found.slice_index, found.longest_mm) == (3, 21)
    assert found.perpendicular_mm == pytest.approx(5, abs=CLOSE_MM)


def test_pieces_add_up_in_every_diameter_and_specks_count_for_slices_alone() -> None:
    one, two = (slice(2, 12), slice(3, 7), slice(1, 3)), (slice(20, 30), slice(3, 7), slice(1, 3))
    alone, both = of(one), of(one, two, (slice(35, 36), slice(35, 36), slice(5, 6)))
    assert [p.longest_mm for p in both.pieces] == [alone.longest_mm] * 2
    for name in ("longest_mm", "perpendicular_mm", "longest_3d_mm"):
        assert getattr(both, name) == pytest.approx(2 * getattr(alone, name)), name
    assert (alone.slices, both.slices) == (2, 3)


def test_slices_and_points_are_of_the_whole_grid_and_the_patient() -> None:
    sagittal = Grid((6, 8, 10), np.array([[0, 0, 1.0, 50], [1.0, 0, 0, -7], [0, -2.0, 0, 9], [0, 0, 0, 1]]))
    assert axial_axis(sagittal) == 1
    mask = np.zeros((6, 8, 10), bool)
    mask[1:5, 3, 6] = True  # four voxels of 1 mm along y; x = 50 + 6, z = 9 - 3 * 2
    box = (slice(1, 5), slice(3, 4), slice(6, 7))
    for found in (diameters(mask, sagittal), diameters(mask[box], sagittal, (1, 3, 6))):
        assert found is not None
        assert (found.slice_index, found.slices, found.axial_axis) == (3, 1, 1)
        assert sorted(found.pieces[0].long_axis_mm) == [pytest.approx((56, -6.5, 3)), pytest.approx((56, -2.5, 3))]
        assert found.perpendicular_mm == pytest.approx(1, abs=CLOSE_MM)


def test_nothing_has_no_diameter_and_what_is_no_mask_is_refused() -> None:
    assert diameters(np.zeros(UNIT.shape, bool), UNIT) is None
    assert longest_3d_mm(np.zeros(UNIT.shape, bool), UNIT.spacing_mm) == 0
    with pytest.raises(InputError, match="bool"):
        diameters(np.zeros(UNIT.shape, np.uint8), UNIT)
    with pytest.raises(GeometryError, match="within"):
        diameters(np.ones((5, 5, 5), bool), UNIT, (0, 0, 2))


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_a_perpendicular_is_never_longer_than_the_axis_nor_the_axis_than_the_3d_diameter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    grid = Grid((7, 6, 4), np.diag([*rng.uniform(0.5, 3.0, 3), 1.0]))
    mask = rng.random(grid.shape) < rng.choice([0.2, 0.5, 0.8])
    found, mirrored = diameters(mask, grid), diameters(mask[::-1], grid)
    if found is None or mirrored is None:
        assert not mask.any()
        return
    for piece in found.pieces:
        assert 0 < piece.perpendicular_mm <= piece.longest_mm + 1e-6 <= piece.longest_3d_mm + 2e-6
    names = ("longest_mm", "perpendicular_mm", "longest_3d_mm", "slices")
    assert [getattr(found, n) for n in names] == pytest.approx([getattr(mirrored, n) for n in names], abs=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_the_perpendicular_is_the_longest_unbroken_stretch_that_sampling_finds(seed: int) -> None:
    """Ragged shapes with notches and holes, sampled every 0.02 mm along 400 lines across the long axis."""
    noise = gaussian_filter(np.random.default_rng(seed).random((24, 24)), 1.6)
    mask = np.zeros(UNIT.shape, bool)
    pieces, _ = label_pieces(noise > 0.5, np.ones((3, 3)))
    mask[5:29, 5:29, 2] = pieces == 1 + int(np.argmax(np.bincount(pieces.ravel())[1:]))
    found = diameters(mask, UNIT)
    assert found is not None
    start, end = np.asarray(found.pieces[0].long_axis_mm)[:, :2]
    along = (end - start) / np.linalg.norm(end - start)
    steps = np.arange(-40, 40, 0.02)
    contours = find_contours(binary_fill_holes(mask[:, :, 2]).astype(float), 0.5, fully_connected="high")
    longest = 0.0
    for offset in np.linspace(0, found.longest_mm, 400):
        line = start + offset * along + steps[:, None] * np.array([-along[1], along[0]])
        inside = np.any([points_in_poly(line, contour) for contour in contours], axis=0)
        runs, count = label_pieces(inside)
        longest = max(longest, 0.02 * np.bincount(runs)[1:].max() if count else 0.0)
    assert found.perpendicular_mm == pytest.approx(longest, abs=0.25)
    assert found.perpendicular_mm > longest - 0.04, "sampling finds none that is longer"


def test_an_ellipsoid_measures_its_axes() -> None:
    """Half axes 15, 9 and 12 mm, turned by 30 degrees in the slices, at 0.5 mm: to about a pixel."""
    grid = Grid((80, 80, 60), np.diag([0.5, 0.5, 0.5, 1.0]))
    x, y, z = (axis * 0.5 - c for axis, c in zip(np.ogrid[:80, :80, :60], (20, 20, 15), strict=True))
    c, s = np.cos(np.pi / 6), np.sin(np.pi / 6)
    found = diameters(((x * c + y * s) / 15) ** 2 + ((y * c - x * s) / 9) ** 2 + (z / 12) ** 2 <= 1, grid)
    assert found is not None
    assert (found.longest_mm, found.perpendicular_mm, found.longest_3d_mm) == pytest.approx((30, 18, 30), abs=0.6)
    assert found.slices == 49


def test_a_digitised_balls_excess_is_about_what_is_taken_off_and_nothing_is_taken_off_the_smallest() -> None:
    """Balls of 8 to 30 mm at 1 mm: too long by half a pixel or more on average, and within a third of one after it."""
    rng, grid = np.random.default_rng(2), Grid((36, 36, 36), np.eye(4))
    before, after = [], []
    for diameter_mm in (8, 12, 20, 30):
        for _ in range(4):
            x, y, z = (axis - 17.5 - rng.uniform(-0.5, 0.5) for axis in np.ogrid[:36, :36, :36])
            found = diameters(x**2 + y**2 + z**2 <= diameter_mm**2 / 4, grid)
            assert found is not None
            corrected = longest_without_excess_mm(found, grid)
            assert corrected is not None
            before.append(found.longest_mm - diameter_mm)
            after.append(corrected - diameter_mm)
    assert np.mean(before) > 0.5
    assert abs(np.mean(after)) < 1 / 3
    assert longest_without_excess_mm(of((slice(2, 5), slice(3, 6), slice(1, 2))), UNIT) is None
    two = of((slice(2, 12), slice(3, 7), slice(1, 3)), (slice(20, 30), slice(3, 7), slice(1, 3)))
    assert longest_without_excess_mm(two, UNIT) == pytest.approx(two.longest_mm - 1.3)


@pytest.mark.parametrize("path", ["STS_001/CT", "STS_003/PET", "STS_010/CT", "STS_014/PET"])
def test_real_tumours_diameters_are_between_simpleitks_and_the_meshs(shared_data: Path, path: str) -> None:
    """SimpleITK's Feret diameter runs centre to centre: ours is longer, by no more than a voxel's diagonal."""
    labels = read_label_map(shared_data / "sts" / f"{path}_mask.nii.gz")
    pieces, count = label_pieces(labels.array > 0, np.ones((3, 3, 3)))
    largest = pieces == 1 + int(np.argmax(np.bincount(pieces.ravel())[1:]))
    statistics = sitk.LabelShapeStatisticsImageFilter()
    statistics.ComputeFeretDiameterOn()
    statistics.Execute(to_sitk(largest.astype(np.uint8), labels.grid))
    found = diameters(largest, labels.grid)
    assert found is not None
    assert count >= 1
    feret, diagonal = statistics.GetFeretDiameter(1), float(np.linalg.norm(labels.grid.spacing_mm))
    assert feret <= found.longest_3d_mm <= feret + diagonal
    mesh = ibsi_morphology(largest, labels.grid.spacing_mm)["maximum_3d_diameter"]
    assert found.longest_3d_mm == pytest.approx(mesh, rel=1e-5)
    planar = diameters_2d_mm(largest, labels.grid.spacing_mm)
    assert found.longest_mm == pytest.approx(planar[("row", "column", "slice")[found.axial_axis]], rel=1e-5)
