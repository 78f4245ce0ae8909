"""RTSTRUCT: contours in millimetres, with holes, keyholes, between slices and across them, into voxels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest

from core.errors import InputError
from core.imaging.dicom import read_series
from core.imaging.image_files import read_image
from core.imaging.masks.polygons import even_odd_shares
from core.imaging.masks.reading import describe_mask, mask_on, read_drawn
from tests.core.imaging.outcomes import shows
from tests.dicom_phantom import SECRETS
from tests.mask_phantom import SERIES, grid_of, square, write_rtstruct

GRID = grid_of((40, 40, 10), (1.0, 1.0, 3.0))


@shows("Masks", "RTSTRUCT", "read", "on real data the given mask")
@pytest.mark.parametrize("name", ["CT", "PET"])
def test_the_contours_of_sts_008_are_the_given_mask(shared_data: Path, name: str) -> None:
    folder = shared_data / "dicom" / "STS_008" / name
    given = read_image(shared_data / "sts" / "STS_008" / f"{name}_mask.nii.gz")
    truth = given.array > 0
    volume, _ = read_series(folder / "image", name)  # type: ignore[arg-type]
    mask = mask_on(folder / "mask" / "RS.dcm", volume.grid)
    assert volume.grid.matches(given.grid)
    drawn = mask.labels.array == 1
    assert 2 * (drawn & truth).sum() / (drawn.sum() + truth.sum()) >= 0.97
    assert mask.segments[0].name == f"GTV_Mass_{name}"
    assert mask.provenance.tool == "MIM Software Inc. MIM"
    assert mask.doubts == ()
    series = pydicom.dcmread(next((folder / "image").glob("*.dcm"))).SeriesInstanceUID
    assert read_drawn(folder / "mask" / "RS.dcm", None).origin.series == (series,)


def test_a_contour_of_the_pet_comes_to_the_ct_with_its_volume(shared_data: Path) -> None:
    grid = read_image(shared_data / "sts" / "STS_008" / "CT_mask.nii.gz").grid
    mask = mask_on(shared_data / "dicom" / "STS_008" / "PET" / "mask" / "RS.dcm", grid)
    assert abs(mask.segments[0].volume_mm3 - mask.segments[0].drawn_volume_mm3) <= grid.voxel_volume_mm3


@shows("Masks", "RTSTRUCT with several structures", "read")
def test_several_structures_keep_their_numbers_and_names(tmp_path: Path) -> None:
    path = write_rtstruct(
        tmp_path / "rs.dcm",
        {"GTV 1": [square(4.5, 8.5, 6.0)], "nodal GTV": [square(20.5, 30.5, z) for z in (9.0, 12.0)]},
    )
    mask = mask_on(path, GRID)
    assert [(s.label, s.name) for s in mask.segments] == [(1, "GTV 1"), (2, "nodal GTV")]
    expected = np.zeros(GRID.shape, np.uint8)
    expected[5:9, 5:9, 2], expected[21:31, 21:31, 3:5] = 1, 2
    assert np.array_equal(mask.labels.array, expected)
    assert [s.drawn_volume_mm3 for s in mask.segments] == pytest.approx([16 * 3, 100 * 6])
    assert not any(secret in str(mask.said()) for secret in SECRETS)
    assert (mask.kind, mask.provenance.algorithm, mask.provenance.description) == ("RTSTRUCT", "MANUAL", "contours")


KEYHOLE = [
    *[[4.5, 4.5], [24.5, 4.5], [24.5, 24.5], [4.5, 24.5], [4.5, 14.2]],
    *[[9.5, 14.2], [9.5, 19.5], [19.5, 19.5], [19.5, 9.5], [9.5, 9.5], [9.5, 14.2], [4.5, 14.2]],
]


@shows("Masks", "RTSTRUCT with holes and keyholes", "read")
@pytest.mark.parametrize("kind", ["CLOSED_PLANAR", "CLOSEDPLANAR_XOR"])
@pytest.mark.parametrize("way", ["inner contour", "keyhole"])
def test_a_hole_is_a_hole(tmp_path: Path, way: str, kind: str) -> None:
    contours = []
    for z in (6.0, 9.0):
        if way == "keyhole":
            contours.append([[x, y, z] for x, y in KEYHOLE])
        else:
            contours += [square(4.5, 24.5, z), square(9.5, 19.5, z)]
    mask = mask_on(write_rtstruct(tmp_path / "rs.dcm", {"GTV": contours}, kind), GRID)
    expected = np.zeros(GRID.shape, np.uint8)
    expected[5:25, 5:25, 2:4] = 1
    expected[10:20, 10:20, 2:4] = 0
    assert np.array_equal(mask.labels.array, expected)
    assert mask.segments[0].drawn_volume_mm3 == pytest.approx((400 - 100) * 6)


def test_an_island_in_a_hole_is_inside_again() -> None:
    rings = [np.array(square(low, high, 0.0))[:, :2] for low, high in ((0.5, 11.5), (2.5, 9.5), (4.5, 7.5))]
    shares = even_odd_shares(rings, (13, 13), (4, 4))
    expected = np.zeros((13, 13))
    expected[1:12, 1:12], expected[3:10, 3:10], expected[5:8, 5:8] = 1, 0, 1
    assert np.array_equal(shares, expected)


def test_a_pixel_that_is_cut_is_inside_by_its_share() -> None:
    triangle = np.array([[-0.5, -0.5], [9.5, -0.5], [-0.5, 9.5]])
    shares = even_odd_shares([triangle], (10, 10), (16, 16))
    assert shares.sum() == pytest.approx(50, rel=0.02)
    assert shares[0, 9] == pytest.approx(0.5, abs=0.05)
    assert (shares[0, 0], shares[9, 9]) == (1.0, 0.0)
    for turned in (np.roll(triangle, 1, axis=0), triangle[::-1]):
        assert np.array_equal(even_odd_shares([turned], (10, 10), (16, 16)), shares)


def test_a_contour_that_comes_twice_is_no_hole(tmp_path: Path) -> None:
    contours = [square(4.5, 8.5, 6.0), square(4.5, 8.5, 6.0)]
    mask = mask_on(write_rtstruct(tmp_path / "rs.dcm", {"GTV": contours}), GRID)
    assert (mask.labels.array == 1).sum() == 16
    assert any("twice in one plane" in doubt for doubt in mask.doubts)


@shows("Masks", "RTSTRUCT with contours between slices", "read")
def test_contours_between_the_slices_and_on_finer_ones_keep_their_volume(tmp_path: Path) -> None:
    fine = [square(4.5, 14.5, z) for z in np.arange(6.5, 15.4, 1.0)]  # 9 mm from 6 to 15, on slices at 0, 3, 6 …
    mask = mask_on(write_rtstruct(tmp_path / "rs.dcm", {"GTV": fine}), GRID)
    (segment,) = mask.segments
    assert segment.drawn_volume_mm3 == pytest.approx(100 * 9)
    assert segment.volume_mm3 == pytest.approx(100 * 9)
    assert set(np.flatnonzero(mask.labels.array.any(axis=(0, 1)))) <= {2, 3, 4, 5}
    assert mask.labels.array[5:15, 5:15, 3:5].all(), "two slices lie within it"


def test_contours_on_every_second_slice_reach_halfway_to_the_next_and_it_is_said(tmp_path: Path) -> None:
    contours = [square(4.5, 14.5, z) for z in (6.0, 12.0, 18.0)]
    mask = mask_on(write_rtstruct(tmp_path / "rs.dcm", {"GTV": contours}), GRID)
    assert mask.segments[0].drawn_volume_mm3 == pytest.approx(100 * 18)
    assert mask.segments[0].volume_mm3 == pytest.approx(100 * 18)
    assert any("6 mm apart on slices of 3 mm" in doubt for doubt in mask.doubts)


def test_a_gap_is_not_filled_in_and_it_is_said(tmp_path: Path) -> None:
    contours = [square(4.5, 14.5, z) for z in (3.0, 6.0, 15.0, 18.0)]
    mask = mask_on(write_rtstruct(tmp_path / "rs.dcm", {"GTV": contours}), GRID)
    assert set(np.flatnonzero(mask.labels.array.any(axis=(0, 1)))) == {1, 2, 5, 6}
    assert any("no contour over 6 mm between others; nothing was filled in" in doubt for doubt in mask.doubts)


def test_contours_across_the_scans_slices_come_in_too(tmp_path: Path) -> None:
    sagittal = [[[x, a, b] for _, a, b in square(4.5, 16.5, 0.0)] for x in np.arange(5.0, 15.0)]
    for contour in sagittal:
        for point, (_, y, z) in zip(contour, [(0, 5, 4.5), (0, 17, 4.5), (0, 17, 16.5), (0, 5, 16.5)], strict=True):
            point[1:] = [y - 0.5, z]
    mask = mask_on(write_rtstruct(tmp_path / "rs.dcm", {"GTV": sagittal}), GRID)
    assert mask.segments[0].drawn_volume_mm3 == pytest.approx(10 * 12 * 12)
    expected = np.zeros(GRID.shape, np.uint8)
    expected[5:15, 5:17, 2:6] = 1
    assert np.array_equal(mask.labels.array, expected)


def test_contours_in_turned_planes_keep_their_volume(tmp_path: Path) -> None:
    turn = np.array([[1, 0, 0], [0, np.cos(0.5), -np.sin(0.5)], [0, np.sin(0.5), np.cos(0.5)]])
    flat = [np.array(square(-5.0, 5.0, z)) for z in np.arange(-4.0, 4.1, 2.0)]
    contours = [(contour @ turn.T + (20, 20, 14)).tolist() for contour in flat]
    mask = mask_on(write_rtstruct(tmp_path / "rs.dcm", {"GTV": contours}), GRID)
    (segment,) = mask.segments
    assert segment.drawn_volume_mm3 == pytest.approx(100 * 10, rel=0.01)
    assert abs(segment.volume_mm3 - segment.drawn_volume_mm3) <= 1.5 + 1e-6
    assert np.argwhere(mask.labels.array).mean(axis=0) * (1, 1, 3) == pytest.approx((20, 20, 14), abs=0.5)
    assert "other planes than the scan's slices" in " ".join(mask.warnings)


def test_one_plane_points_and_structures_that_are_no_lesions_are_told(tmp_path: Path) -> None:
    path = write_rtstruct(
        tmp_path / "rs.dcm",
        {"GTV": [square(4.5, 8.5, 6.0)], "BODY": [square(0.5, 38.5, z) for z in (3.0, 6.0)], "Jane Doe": []},
        types={"BODY": "EXTERNAL"},
    )
    ds = pydicom.dcmread(path)
    ds.ROIContourSequence[2].ContourSequence = [pydicom.Dataset()]
    ds.ROIContourSequence[2].ContourSequence[0].ContourGeometricType = "POINT"
    ds.ROIContourSequence[2].ContourSequence[0].ContourData = ["1", "2", "3"]
    ds.save_as(path)
    mask = mask_on(path, GRID)
    assert [s.number for s in mask.segments] == [1]
    words = " ".join(mask.warnings)
    assert "1 structures that are no lesions by their type (external) were left out" in words
    assert "1 points or open lines" in words
    assert "without a closed contour were left out: 3" in words
    assert "Jane" not in words
    one_plane = write_rtstruct(tmp_path / "one.dcm", {"GTV": [square(4.5, 8.5, 6.0)]})
    assert any("one plane only" in doubt for doubt in mask_on(one_plane, GRID).doubts)


def test_without_a_scan_contours_are_described_with_their_volume(tmp_path: Path) -> None:
    path = write_rtstruct(tmp_path / "rs.dcm", {"GTV": [square(4.5, 14.5, z) for z in (6.0, 9.0)]})
    (segment,) = describe_mask(path).segments
    assert segment.volume_mm3 == pytest.approx(100 * 6)
    assert read_drawn(path, None).origin.series == (SERIES,)
    with pytest.raises(InputError, match="Import the scan first"):
        mask_on(path, None)


@pytest.mark.parametrize(
    ("keyword", "value", "says"),
    [
        ("ContourData", ["1", "2", "3", "4"], "three points of three numbers, got one of 4"),
        ("ContourData", ["1", "2"] * 6, r"as many points in every contour as it says \(9\), got 4"),
        ("ContourData", ["1e9", "2", "6", "5", "9", "6", "7", "8", "6"], "within a scan"),
    ],
)
def test_contours_that_are_none_are_refused_in_words(tmp_path: Path, keyword: str, value: list[str], says: str) -> None:
    path = write_rtstruct(tmp_path / "rs.dcm", {"GTV": [square(4.5, 8.5, 6.0)]})
    ds = pydicom.dcmread(path)
    contour = ds.ROIContourSequence[0].ContourSequence[0]
    contour.NumberOfContourPoints = {4: 1, 12: 9, 9: 3}[len(value)]
    setattr(contour, keyword, value)
    ds.save_as(path)
    with pytest.raises(InputError, match=says):
        mask_on(path, GRID)


def test_contours_off_the_scan_and_none_at_all_are_refused(tmp_path: Path) -> None:
    far = write_rtstruct(tmp_path / "far.dcm", {"GTV": [square(400.5, 410.5, z) for z in (6.0, 9.0)]})
    with pytest.raises(InputError, match="it lies outside that scan"):
        mask_on(far, GRID)
    with pytest.raises(InputError, match="closed contours of at least one structure"):
        mask_on(write_rtstruct(tmp_path / "none.dcm", {"GTV": []}), GRID)
