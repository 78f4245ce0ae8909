"""What is drawn by hand on an image, measured: hand-computed answers on thick and on turned slices."""

from __future__ import annotations

import math

import numpy as np
import pytest

from core.errors import InputError
from core.lesions.caliper import measured, voxels_within
from core.remembered.hand_measurements import Drawn
from core.types import Grid, Volume

THICK = Grid((20, 16, 10), np.diag([0.5, 2.0, 5.0, 1.0]))


def turned(degrees: float) -> Grid:
    """1 x 1 x 4 mm, turned about the patient's long axis and shifted."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    affine = np.array([[c, -s, 0, -7], [s, c, 0, 11], [0, 0, 4, 3], [0, 0, 0, 1.0]])
    return Grid((30, 30, 8), affine)


def drawn(kind: str, grid: Grid, *indices: tuple[float, float, float], **more: object) -> Drawn:
    points = tuple(tuple(point) for point in grid.to_mm(np.asarray(indices)).tolist())
    return Drawn("s", kind, "axial", points, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("grid", [THICK, turned(0), turned(33)])
def test_a_length_is_that_in_the_body(grid: Grid) -> None:
    i, j, _ = grid.spacing_mm
    assert measured(drawn("length", grid, (1, 1, 3), (9, 4, 3)), grid).value == pytest.approx(math.hypot(8 * i, 3 * j))


def test_an_angle_is_told_in_millimetres_and_not_in_voxels() -> None:
    found = measured(drawn("angle", THICK, (5, 1, 2), (1, 1, 2), (5, 2, 2)), THICK)  # 2 mm along i, 2 mm along j
    assert (found.value, found.unit) == (pytest.approx(45.0), "°")
    back = measured(drawn("angle", THICK, (1, 1, 2), (5, 1, 2), (9, 1, 2)), THICK)
    assert back.value == pytest.approx(180.0)


def test_a_region_has_the_voxels_of_its_slice_whose_centres_lie_within() -> None:
    array = np.zeros(THICK.shape, np.float32)
    array[:, :, 4] = np.arange(20)[:, None]
    array[:, :, 5] = 1000
    # radii 2 voxels (1 mm) along i and 1 voxel (2 mm) along j: 5 + 2 x 1 voxels
    region = drawn("roi", THICK, (6, 5, 4), (8, 5, 4), (6, 6, 4))
    found = measured(region, THICK, Volume(array, THICK, "CT"))
    assert found.statistics is not None
    assert {tuple(v) for v in voxels_within(np.asarray(region.points_mm), THICK)} == {
        (4, 5, 4), (5, 5, 4), (6, 5, 4), (7, 5, 4), (8, 5, 4), (6, 4, 4), (6, 6, 4),
    }  # fmt: skip
    values = [4, 5, 6, 7, 8, 6, 6]
    assert (found.value, found.unit) == (pytest.approx(6.0), "HU")
    assert found.statistics["sd"] == pytest.approx(np.std(values))
    assert (found.statistics["least"], found.statistics["greatest"]) == (4, 8)
    assert (found.statistics["voxels"], found.statistics["voxels_without_value"]) == (7, 0)
    assert found.statistics["area_mm2"] == pytest.approx(math.pi * 1 * 2)


def test_a_region_on_an_oblique_plane_has_one_voxel_of_each_column() -> None:
    grid = Grid((40, 40, 40), np.eye(4))
    tilt = np.array([[0, 0, 0], [math.cos(0.4), 0, math.sin(0.4)], [0, 1, 0]]) * [[0], [8], [8]] + 20.0
    found = voxels_within(tilt, grid)
    assert len({(i, j) for i, j, _ in found}) == len(found)
    wanted = 20 + np.floor((found[:, 0] - 20) * math.tan(0.4) + 0.5)
    np.testing.assert_array_equal(found[:, 2], wanted)
    area = math.pi * 64 * math.cos(0.4)  # as seen along the columns
    assert len(found) == pytest.approx(area, rel=0.03)


def test_a_region_that_has_no_value_says_so() -> None:
    array = np.full(THICK.shape, np.nan, np.float32)
    found = measured(drawn("roi", THICK, (6, 5, 4), (8, 5, 4), (6, 6, 4)), THICK, Volume(array, THICK, "PET"))
    assert found.value is None
    assert found.statistics is not None
    assert (found.statistics["voxels"], found.statistics["voxels_without_value"]) == (0, 7)


@pytest.mark.parametrize(
    ("kind", "indices"),
    [
        ("length", [(1, 1, 3), (20.6, 1, 3)]),
        ("length", [(1, 1, -0.6), (4, 1, -0.6)]),
        ("length", [(1, 1, 3), (1, 1, 3)]),
        ("angle", [(1, 1, 3), (1, 1, 3), (4, 1, 3)]),
        ("roi", [(5, 5, 4), (8, 5, 4), (9, 5, 4)]),
        ("roi", [(-3, 5, 4), (8, 5, 4), (-3, 6, 4)]),
    ],
)
def test_what_leaves_the_image_or_has_no_size_is_refused(kind: str, indices: list[tuple[float, float, float]]) -> None:
    volume = Volume(np.zeros(THICK.shape, np.float32), THICK, "CT")
    with pytest.raises(InputError):
        measured(drawn(kind, THICK, *indices), THICK, volume)


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "circle"},
        {"plane": "mip"},
        {"points_mm": ((0, 0, 0),)},
        {"points_mm": ((0, 0, 0), (1, 0, math.nan))},
        {"points_mm": ((0, 0, 0), (1e6, 0, 0))},
        {"lesion_id": "total"},
        {"sets": "longest diameter"},
        {"kind": "angle", "points_mm": ((0, 0, 0),) * 3, "lesion_id": "L1", "sets": "short axis"},
    ],
)
def test_what_is_no_measurement_is_refused(values: dict[str, object]) -> None:
    right = {"scan_sha256": "s", "kind": "length", "plane": "axial", "points_mm": ((0, 0, 0), (1, 0, 0))}
    with pytest.raises(InputError):
        Drawn(**{**right, **values})  # type: ignore[arg-type]
