"""Registration recovers motions that are known, and says so when there is nothing to recover."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from core.errors import GeometryError
from core.imaging.registration import in_force, rigid
from core.imaging.volumes import read_label_map, read_volume, resample
from core.types import Grid, Volume
from tests.core.imaging.registration.scans import ball, errors_mm


def _motion(grid: Grid, degrees: tuple[float, float, float], shift_mm: tuple[float, float, float]) -> np.ndarray:
    """Where each point of the patient goes: turned about the scan's centre, then shifted."""
    centre = grid.to_mm((np.array([grid.shape]) - 1) / 2)[0]
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    matrix[:3, 3] = centre + shift_mm - matrix[:3, :3] @ centre
    return matrix


def _moved(scan: Volume, matrix: np.ndarray, noise: float) -> Volume:
    """The scan of the same patient after that motion: the voxels are carried along, then seen on the old grid."""
    carried = Grid(scan.grid.shape, matrix @ scan.grid.affine)
    seen = resample(np.asarray(scan.array), carried, scan.grid, "linear", float(scan.array.min()))
    seen = seen + np.random.default_rng(1).normal(0, noise, seen.shape)
    return Volume(seen.astype(np.float32), scan.grid, scan.modality, scan.sequence)


def test_a_known_motion_of_a_real_ct_is_recovered_within_a_millimetre(shared_data: Path):
    scan = read_volume(shared_data / "sts" / "STS_003" / "CT_image.nii.gz", "CT")
    truth = _motion(scan.grid, (2.0, -3.0, 4.0), (8.0, -6.0, 5.0))
    found = rigid(scan, _moved(scan, truth, noise=20.0))
    assert found.converged, found.message
    assert errors_mm(found, truth, scan.grid).max() < 1.0


def test_two_real_visits_are_aligned_as_their_authors_did(shared_data: Path):
    """The published transforms map common space to each visit; ours, between visits, differs by under 1 mm there."""
    folder = shared_data / "ms_longitudinal" / "patient12"
    first, second = (read_volume(folder / f"study{n}_FLAIR.nii.gz", "MR", "FLAIR") for n in (1, 2))
    brain = read_label_map(folder / "common_space_brainmask.nii.gz")
    common = brain.grid.to_mm(np.argwhere(brain.array)[::2000]) * [-1, -1, 1]
    visits = []
    for n in (1, 2):
        published = sitk.ReadTransform(str(folder / f"study{n}_FLAIR_to_common_space.txt"))
        visits.append(np.array([published.TransformPoint(point) for point in common.tolist()]) * [-1, -1, 1])
    found = rigid(first, second)
    assert found.converged, found.message
    assert np.linalg.norm(visits[0] - visits[1], axis=1).mean() > 5
    assert np.linalg.norm(found.apply(visits[0]) - visits[1], axis=1).mean() < 1.0


def test_the_matrix_maps_fixed_points_to_moving_points():
    found = rigid(ball(), ball(shift=3))
    assert found.converged, found.message
    assert found.apply(np.array([[40.0, 44.0, 40.0]]))[0] == pytest.approx([46.0, 44.0, 40.0], abs=0.5)


def test_the_same_scan_twice_and_another_table_position_are_no_trouble():
    scan = ball()
    assert np.abs(rigid(scan, scan).matrix - np.eye(4)).max() < 0.2
    table = scan.grid.affine.copy()
    table[:3, 3] += 900
    far = rigid(scan, Volume(scan.array, Grid(scan.grid.shape, table), "CT"))
    assert far.converged, far.message
    assert far.matrix[:3, 3] == pytest.approx([900, 900, 900], abs=1)


def test_the_same_pair_gives_the_same_answer():
    first, second = rigid(ball(), ball(2)), rigid(ball(), ball(2))
    assert first.matrix == pytest.approx(second.matrix, abs=1e-6)


def test_a_scan_of_noise_is_said_not_to_align():
    scan = ball()
    noise = np.random.default_rng(0).normal(0, 100, scan.grid.shape).astype(np.float32)
    found = rigid(scan, Volume(noise, scan.grid, "CT"))
    assert not found.converged
    assert "little information" in found.message
    assert np.isfinite(found.matrix).all()


def test_a_scan_that_shows_nothing_is_said_not_to_align():
    scan = ball()
    found = rigid(scan, Volume(np.zeros(scan.grid.shape, np.float32), scan.grid, "CT"))
    assert not found.converged
    assert np.isfinite([found.metric, *found.matrix.ravel()]).all()


@pytest.mark.parametrize(
    ("metric", "overlap", "stopped_early", "doubt"),
    [
        (0.15, 0.25, False, None),
        (0.14, 1.0, False, "little information (0.14 nats, expected 0.15)"),
        (1.0, 0.24, False, "Only 24% of either scan"),
        (1.0, 1.0, True, "still moving after 120 steps"),
    ],
)
def test_an_alignment_is_doubted_below_0_15_nats_below_a_quarter_of_overlap_or_when_it_did_not_come_to_rest(
    metric, overlap, stopped_early, doubt
):
    found = in_force._doubt(metric, overlap, stopped_early)
    assert (found is None) if doubt is None else (doubt in (found or ""))


def test_what_overlaps_is_counted_in_the_share_of_the_fixed_scan():
    small = Volume(np.zeros((20, 20, 20), np.float32), Grid((20, 20, 20), np.eye(4)), "CT")
    large = Volume(np.zeros((40, 20, 20), np.float32), Grid((40, 20, 20), np.eye(4)), "CT")
    shift = np.eye(4)
    assert in_force._overlap(small, large, shift) == 1.0
    assert in_force._overlap(large, small, shift) == 0.5
    shift[:2, 3] = -10, 15  # 10 of 20 lattice points along i, 5 of 20 along j
    assert in_force._overlap(small, small, shift) == pytest.approx(0.5 * 0.25)


def test_scans_that_hardly_overlap_once_aligned_are_said_not_to_align(monkeypatch):
    shares = iter((0.1, 0.2, 0.1, 0.3))
    monkeypatch.setattr(in_force, "_overlap", lambda *_: next(shares))
    found = rigid(ball(), ball(1))
    assert not found.converged
    assert "Only 20% of either scan" in found.message
    assert rigid(ball(), ball(1)).converged, "a small scan within a large one has a large share in one way"


def test_scans_that_itk_gives_up_on_are_not_relied_on_and_stay_where_they_are(monkeypatch):
    def gives_up(*_: object) -> None:
        raise RuntimeError("All samples map outside moving image buffer")

    monkeypatch.setattr(in_force, "_best_start", gives_up)
    found = rigid(ball(), ball())
    assert (found.converged, found.metric) == (False, 0.0)
    assert np.array_equal(found.matrix, np.eye(4))
    assert "could not be aligned" in found.message


def test_a_scan_of_a_few_slices_is_refused():
    thin = Volume(np.zeros((20, 20, 3), np.float32), Grid((20, 20, 3), np.eye(4)), "CT")
    with pytest.raises(GeometryError, match="at least 4 voxels"):
        rigid(thin, thin)
