"""What the viewer measures while it is drawn, by hand-computed answers and by what the server says of the same."""

from __future__ import annotations

import math

import numpy as np
import pytest

from core.lesions.caliper import measured, voxels_within
from core.remembered.hand_measurements import Drawn
from core.types import Grid, Volume
from tests.browser.test_viewer_modules import run  # noqa: F401  the fixture

pytestmark = pytest.mark.browser
THICK = Grid((20, 16, 10), np.diag([0.5, 2.0, 5.0, 1.0]))


def oblique() -> Grid:
    """0.8 x 1.5 x 4 mm, turned about two axes and shifted, one axis running back."""
    a, b = 0.4, 0.3
    first = np.array([[math.cos(a), -math.sin(a), 0], [math.sin(a), math.cos(a), 0], [0, 0, 1]])
    second = np.array([[1, 0, 0], [0, math.cos(b), -math.sin(b)], [0, math.sin(b), math.cos(b)]])
    affine = np.eye(4)
    affine[:3, :3] = first @ second @ np.diag([-0.8, 1.5, 4.0])
    affine[:3, 3] = [12, -40, 7]
    return Grid((40, 30, 12), affine)


def scan(grid: Grid, values: np.ndarray) -> dict:
    return {
        "affine": grid.affine.ravel().tolist(),
        "shape": list(grid.shape),
        "data": values.ravel(order="F").tolist(),
        "there": [1] * grid.shape[2],
        "slope": 1,
        "intercept": 0,
        "scan": {"unit": "HU"},
    }


def test_lengths_and_angles_are_of_millimetres(run):  # noqa: F811
    module = "measure/geometry.js"
    a, b = THICK.to_mm(np.array([[1, 1, 3], [9, 3, 3]])).tolist()  # 4 mm and 4 mm
    assert run(module, "m.lengthMm(a, b)", a=a, b=b) == pytest.approx(math.hypot(4, 4))
    points = THICK.to_mm(np.array([[9, 1, 3], [1, 1, 3], [9, 3, 3]])).tolist()
    assert run(module, "m.angleDegrees(points)", points=points) == pytest.approx(45)
    straight = [[0, 0, 0], [1, 2, 3], [2, 4, 6]]
    assert run(module, "m.angleDegrees(points)", points=straight) == pytest.approx(180)
    words = "[m.measuredWords({kind: 'length', points: p}, null), m.measuredWords({kind: 'angle', points: q}, null)]"
    assert run(module, words, p=[a, b], q=points) == [["5.7 mm"], ["45.0°"]]


def test_a_region_has_the_voxels_whose_centres_lie_within(run):  # noqa: F811
    values = np.zeros(THICK.shape)
    values[:, :, 4] = np.arange(20)[:, None]
    points = THICK.to_mm(np.array([[6, 5, 4], [8, 5, 4], [6, 6, 4]])).tolist()
    found = run("measure/geometry.js", "m.regionValues(scan, points)", scan=scan(THICK, values), points=points)
    assert (found["mean"], found["least"], found["greatest"], found["voxels"]) == (pytest.approx(6), 4, 8, 7)
    assert found["sd"] == pytest.approx(np.std([4, 5, 6, 7, 8, 6, 6]))
    assert found["area_mm2"] == pytest.approx(math.pi * 2)
    late = scan(THICK, values) | {"there": [1, 1, 1, 1, 0, 1, 1, 1, 1, 1]}
    assert run("measure/geometry.js", "m.regionValues(scan, points)", scan=late, points=points) is None


@pytest.mark.parametrize(
    ("grid", "indices"),
    [
        (THICK, [(9.3, 7.2, 4), (15.1, 7.2, 4), (9.3, 12, 4)]),
        (oblique(), [(20.4, 14.6, 5), (27, 14.6, 5), (20.4, 20.3, 5)]),
        (oblique(), [(20.4, 14.6, 5.2), (29, 16, 6.9), (18, 21, 4.4)]),
        (oblique(), [(2, 3, 5), (12, 3, 5), (2, 12, 5)]),
        (oblique(), [(20, 14, 5.5), (20, 20, 5.5), (20, 14, 9)]),
    ],
)
def test_the_browser_and_the_server_measure_the_same(run, grid, indices):  # noqa: F811
    values = np.random.default_rng(2).integers(-1000, 2000, grid.shape).astype(np.float32)
    points = grid.to_mm(np.array(indices))
    told = {"scan": scan(grid, values), "points": points.tolist()}
    voxels = run("measure/geometry.js", "m.voxelsWithin(scan, points)", **told)
    wanted = voxels_within(points, grid)
    assert sorted(voxels) == sorted(np.ravel_multi_index(tuple(wanted.T), grid.shape, order="F").tolist())
    assert len(voxels) > 20
    here = run("measure/geometry.js", "m.regionValues(scan, points)", **told)
    drawn = Drawn("s", "roi", "axial", tuple(map(tuple, points.tolist())))
    there = measured(drawn, grid, Volume(values, grid, "CT")).statistics
    assert there is not None
    assert here == pytest.approx({name: there[name] for name in here}, rel=1e-6)
    two = points[:2].tolist()
    length = measured(Drawn("s", "length", "axial", tuple(map(tuple, two))), grid).value
    assert run("measure/geometry.js", "m.lengthMm(a, b)", a=two[0], b=two[1]) == pytest.approx(length)


def test_a_length_can_be_kept_as_a_diameter_and_nothing_else_can(run):  # noqa: F811
    of = "m.choicesOf({kind}, ['L2', 'L1']).map(({lesion, sets}) => [lesion, sets])"
    assert run("measure/measure_bar.js", of, kind="length") == [
        [None, None],
        ["L2", "longest diameter"],
        ["L2", "short axis"],
        ["L2", None],
        ["L1", "longest diameter"],
        ["L1", "short axis"],
        ["L1", None],
    ]
    assert run("measure/measure_bar.js", of, kind="roi") == [[None, None], ["L2", None], ["L1", None]]
