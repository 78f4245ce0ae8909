"""The last step finds a motion by what did not change."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from core.imaging.registration.prepared import prepare
from core.imaging.registration.robust import settle
from core.imaging.registration.transform import about, inverse
from core.types import Grid, Volume
from tests.core.imaging.registration.scans import ball
from tests.core.imaging.registration.second_scan import Second, second_scan
from tests.core.imaging.registration.test_figures import textured

HOW = Second(shift_mm=(4.0, -3.0, 2.0), turn_deg=(0.0, 3.0, -4.0), spacing_mm=(2.0, 2.0, 3.0), noise=5.0, margin_mm=0.0)


@pytest.fixture(scope="module")
def moved() -> tuple[Volume, Volume, np.ndarray]:
    """A scan, the same after a motion, and the motion."""
    scan = textured()
    second, truth = second_scan(scan, HOW)
    return scan, second, truth


def off_mm(found: np.ndarray, truth: np.ndarray) -> float:
    """How far off the middle of the scan and four places 40 mm around it are put, at most."""
    places = np.array([80.0, 76.0, 72.0]) + 40 * np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [-1, 0, 0]])
    difference = (found - truth)[:3]
    return float(np.linalg.norm(places @ difference[:, :3].T + difference[:, 3], axis=1).max())


def test_a_motion_is_found_to_a_fraction_of_a_voxel_and_back_again(moved):
    scan, second, truth = moved
    found = settle(prepare(scan), prepare(second), np.eye(4))
    assert found is not None
    assert off_mm(found.matrix, truth) < 0.3
    assert not found.stopped_early
    back = settle(prepare(second), prepare(scan), inverse(truth))
    assert back is not None
    assert off_mm(inverse(back.matrix), truth) < 0.3


def test_a_lump_that_is_new_has_no_say(moved):
    scan, second, truth = moved
    array = second.array.copy()
    array[20:55, 20:55, 10:35] = 150.0
    found = settle(prepare(scan), prepare(Volume(array, second.grid, "CT")), np.eye(4))
    same = settle(prepare(scan), prepare(second), np.eye(4))
    assert found is not None
    assert same is not None
    assert off_mm(found.matrix, truth) < 0.4
    assert found.unchanged < same.unchanged


def test_two_mr_scans_may_differ_by_scale_and_offset(moved):
    scan, second, truth = moved
    one = replace(scan, modality="MR")
    other = Volume(3 * (second.array + 1000) + 500, second.grid, "MR")
    found = settle(prepare(one), prepare(other), np.eye(4))
    assert found is not None
    assert off_mm(found.matrix, truth) < 0.3


def test_where_scans_do_not_meet_or_show_nothing_there_is_no_answer():
    scan = prepare(ball())
    assert settle(scan, scan, about(np.eye(3), np.zeros(3), np.array([1000.0, 0, 0]))) is None
    flat = prepare(Volume(np.full((40, 40, 40), 40.0, np.float32), Grid((40,) * 3, np.diag([2.0, 2, 2, 1])), "CT"))
    assert settle(flat, flat, np.eye(4)) is None
    small = prepare(Volume(ball().array[:6, :6, :6], Grid((6,) * 3, np.diag([2.0, 2, 2, 1])), "CT"))
    assert settle(small, small, np.eye(4)) is None
