"""Registration recovers motions that are known, and says so when there is nothing to recover."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core.errors import GeometryError
from core.imaging.registration import align, rigid
from core.imaging.registration.parameters import PARAMETERS, PARAMETERS_HASH, parameters_hash
from core.imaging.volumes import read_label_map, read_volume
from core.types import Grid, Volume
from tests.bench import bench_registration as bench
from tests.core.imaging.registration.scans import ball, errors_mm
from tests.core.imaging.registration.second_scan import Second, second_scan


@pytest.mark.parametrize(
    "how",
    [
        Second(shift_mm=(30.0, -25.0, 15.0), noise=20.0),
        Second(shift_mm=(5.0, 0.0, -8.0), turn_deg=(0.0, 8.0, -18.0), spacing_mm=(2.0, 2.0, 3.0), seed=1),
        Second(shift_mm=(0.0, 40.0, 30.0), turn_deg=(6.0, 0.0, 0.0), cut=0.3, follows=0.7, seed=2),
    ],
    ids=["42 mm", "20 degrees", "50 mm, cut short"],
)
def test_a_patient_who_moved_far_is_found_in_a_second_scan_or_it_is_told(shared_data: Path, how: Second):
    scan = read_volume(shared_data / "sts" / "STS_003" / "CT_image.nii.gz", "CT")
    moved, truth = second_scan(scan, how)
    found = rigid(scan, moved)
    assert errors_mm(found, truth, scan.grid).mean() < 2.0
    assert found.state == "good", found.message


@pytest.mark.parametrize("growth", [0.4, 2.5])
def test_a_tumour_that_changed_does_not_sway_the_alignment(shared_data: Path, growth: float):
    """80 mL in a field cut out 5 cm around it. Mutual information alone comes up to 4 mm off on such pairs."""
    folder = shared_data / "sts" / "STS_003"
    scan, tumour = read_volume(folder / "CT_image.nii.gz", "CT"), read_label_map(folder / "CT_mask.nii.gz")
    how = Second(shift_mm=(15.0, -10.0, 8.0), turn_deg=(0.0, 6.0, -4.0), noise=20.0, growth=growth, seed=3)
    moved, truth = second_scan(scan, how, tumour)
    found = rigid(scan, moved, tumour)
    assert errors_mm(found, truth, scan.grid).mean() < 1.0
    assert found.state != "failed", found.message


@pytest.mark.parametrize("patient", ["patient03", pytest.param("patient12", marks=pytest.mark.soak)])
def test_two_real_visits_are_aligned_as_their_authors_did(shared_data: Path, patient: str):
    """The published transforms map common space to each visit; ours, between visits, differs by under 1 mm there."""
    folder = shared_data / "ms_longitudinal" / patient
    first, second = (read_volume(folder / f"study{n}_FLAIR.nii.gz", "MR", "FLAIR") for n in (1, 2))
    before, after = bench.published(folder)
    found = rigid(first, second)
    assert found.converged, found.message
    assert np.linalg.norm(before - after, axis=1).mean() > 5
    assert np.linalg.norm(found.apply(before) - after, axis=1).mean() < 1.0


@pytest.mark.soak
def test_the_heads_of_two_patients_do_not_pass_for_one(shared_data: Path):
    one, other = (
        read_volume(shared_data / "ms_longitudinal" / name / "study1_FLAIR.nii.gz", "MR", "FLAIR")
        for name in ("patient03", "patient12")
    )
    assert rigid(one, other).state != "good"


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


def test_the_same_pair_gives_the_same_matrix_to_the_last_bit():
    first, second = rigid(ball(), ball(2)), rigid(ball(), ball(2))
    assert np.array_equal(first.matrix, second.matrix)
    assert (first.state, first.quality) == (second.state, second.quality)


def test_an_answer_names_what_it_was_made_with_and_other_parameters_have_another_hash():
    found = rigid(ball(), ball())
    assert found.parameters == PARAMETERS
    assert found.parameters_hash == PARAMETERS_HASH == parameters_hash(dict(reversed(list(PARAMETERS.items()))))
    assert parameters_hash({**PARAMETERS, "version": -1}) != PARAMETERS_HASH
    assert {"edges", "overlap", "inverse"} <= found.quality.keys()
    assert found.quality["inverse"].unit == "mm"


def test_a_scan_of_noise_is_said_not_to_align():
    scan = ball()
    noise = np.random.default_rng(0).normal(0, 100, scan.grid.shape).astype(np.float32)
    found = rigid(scan, Volume(noise, scan.grid, "CT"))
    assert found.state == "failed"
    assert "little information" in found.message
    assert np.isfinite(found.matrix).all()


def test_a_scan_that_shows_nothing_is_said_not_to_align_and_stays_where_it_is():
    scan = ball()
    found = rigid(scan, Volume(np.zeros(scan.grid.shape, np.float32), scan.grid, "CT"))
    assert (found.state, found.metric, found.overlap) == ("failed", 0.0, 0.0)
    assert np.array_equal(found.matrix, np.eye(4))
    assert "could not be aligned" in found.message


def test_a_pet_is_not_aligned_by_itself():
    scan = ball()
    found = rigid(scan, Volume(scan.array, scan.grid, "PET"))
    assert found.state == "failed"
    assert "Use the CT it came with" in found.message


def test_a_scan_of_a_few_slices_is_refused():
    thin = Volume(np.zeros((20, 20, 3), np.float32), Grid((20, 20, 3), np.eye(4)), "CT")
    with pytest.raises(GeometryError, match="at least 4 voxels"):
        rigid(thin, thin)


def test_what_overlaps_is_counted_in_the_share_of_the_scan_that_has_more_of_it():
    small, large = (
        align.prepare(
            Volume(np.random.default_rng(0).normal(size=shape).astype(np.float32), Grid(shape, np.eye(4)), "MR")
        )
        for shape in ((20, 20, 20), (40, 20, 20))
    )
    assert align.field_overlap(small, large, np.eye(4)) == align.field_overlap(large, small, np.eye(4)) == 1.0
    shift = np.eye(4)
    shift[0, 3] = 25.0
    assert align.field_overlap(small, small, shift) == 0.0


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_no_motion_of_twelve_patients_is_silently_wrong_and_no_two_patients_pass_for_one(shared_data: Path):
    """The table of `python -m tests.bench registration`."""
    for row in bench.run():
        if row["kind"].startswith("different"):
            assert row["good"] == 0, row
        elif row["kind"] != "CT and MR of a patient":
            assert row["good but > 2 mm"] == 0, row
