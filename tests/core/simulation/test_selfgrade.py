"""The self-grade: a segmenter's bias and spread come out as they were put in."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from core.errors import InputError
from core.jobs.jobs import run_inline
from core.simulation import selfgrade
from core.simulation.followups import SIMULATED, simulated_visit
from core.simulation.selfgrade import CHANGES_PERCENT, ZERO_RUNS, assumed_rule, grade, on_lesions, true_masks
from core.simulation.selfgrade_job import KIND
from core.twin.measured_end import MeasuredEnd
from core.types import LabelMap
from store import open_store
from tests import clinic
from tests.core.simulation.test_followups import ball_scan

END = MeasuredEnd(14_000.0, 30.0, "CT", spacing_mm=(2.0, 2.0, 3.0))


@pytest.fixture(scope="module")
def visits():
    return {}


@pytest.fixture
def grade_of(visits, monkeypatch):
    """Grades a segmenter on the ball; every visit is simulated once for all tests."""
    scans, mask = ball_scan()

    def once(volumes, truth, visit):
        key = repr(visit)
        if key not in visits:
            visits[key] = simulated_visit(volumes, truth, visit)
        return visits[key]

    monkeypatch.setattr(selfgrade, "simulated_visit", once)

    def run(measure):
        (lesion,) = grade(scans, mask, {1: "L1"}, {"L1": END}, measure).lesions
        return lesion

    return run


def test_an_exact_segmenter_is_graded_exact(grade_of):
    found = grade_of(true_masks)
    assert found.lesion_id == "L1"
    assert found.true_mm3 == found.measured_mm3
    assert abs(found.volume_bias_percent) < 1
    assert abs(found.change_bias_percent) < 1
    assert found.spread_log_sd < 0.02
    assert found.zero_log_sd < 0.02
    assert (found.smallest_growth_percent, found.smallest_loss_percent) == (10.0, 10.0)
    assert [run.known_percent for run in found.runs] == sorted([*CHANGES_PERCENT, *[0.0] * ZERO_RUNS])
    assert {run.slice_mm for run in found.runs} == {3.0, 4.5}
    for run in found.runs:
        assert run.measured_percent == pytest.approx(run.known_percent, abs=4)


def test_a_segmenter_that_draws_ten_percent_too_much_is_told_so_and_its_changes_are_right(grade_of):
    found = grade_of(lambda volumes, truth: {n: 1.1 * v for n, v in true_masks(volumes, truth).items()})
    assert found.volume_bias_percent == pytest.approx(10, abs=1)
    assert abs(found.change_bias_percent) < 1


def test_a_segmenter_that_sees_later_visits_ten_percent_too_large_has_biased_changes(grade_of):
    first = ball_scan()[1].volume_mm3

    def measure(volumes, truth):
        return {n: v if v == first else 1.1 * v for n, v in true_masks(volumes, truth).items()}

    assert grade_of(measure).change_bias_percent == pytest.approx(10, abs=1)


def test_the_spread_of_a_noisy_segmenter_comes_out_and_hides_small_changes(grade_of):
    rng = np.random.default_rng(4)

    def noisy(volumes, truth):
        return {n: v * math.exp(rng.normal(0, 0.12)) for n, v in true_masks(volumes, truth).items()}

    found = grade_of(noisy)
    # From 8 runs an SD of 0.12 is found between 0.6 and 2.1 times itself, with 95 %.
    assert 0.07 < found.zero_log_sd < 0.25
    assert 0.07 < found.spread_log_sd < 0.25
    assert found.smallest_growth_percent is None or found.smallest_growth_percent >= 20


def test_a_lesion_that_is_not_found_is_told_and_no_zero(grade_of):
    found = grade_of(lambda volumes, truth: {})
    assert found.measured_mm3 is found.volume_bias_percent is found.zero_log_sd is None
    assert found.smallest_growth_percent is found.smallest_loss_percent is None
    assert {run.why_not for run in found.runs} == {"not found on the scan itself"}


def test_found_pieces_count_for_the_lesion_that_they_overlap_most():
    grid = clinic.grid()
    truth, pieces = (np.zeros(grid.shape, np.uint8) for _ in range(2))
    truth[0:3, 0, 0], truth[3:4, 0, 0] = 1, 2
    pieces[1:5, 0, 0], pieces[7:9, 0, 0] = 1, 2  # two voxels in lesion 1, one in 2, one in none; and one by itself
    found = on_lesions(LabelMap(pieces, grid), LabelMap(truth, grid))
    assert found == {1: 4 * grid.voxel_volume_mm3}


def test_the_assumed_rule_beside_it_is_the_one_of_that_size_and_modality():
    rule = assumed_rule(END)
    assert "10–35 mm" in rule.rule
    assert rule.smallest_growth_percent == pytest.approx(39)  # QIBA's own figure
    assert rule.smallest_loss_percent == pytest.approx(100 * (1 - 1 / 1.39))
    assert "no citable repeatability" in assumed_rule(MeasuredEnd(14_000.0, 30.0, "MR", "T1")).why_no_verdict


def test_a_mask_without_a_lesion_is_refused():
    scans, mask = ball_scan()
    with pytest.raises(InputError, match="holds a lesion"):
        grade(scans, mask, {5: "L5"}, {})


def test_the_job_grades_the_accepted_mask_and_leaves_the_store_as_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr(selfgrade, "CHANGES_PERCENT", (20.0,))
    monkeypatch.setattr(selfgrade, "ZERO_RUNS", 2)
    scans, mask = ball_scan()
    with open_store(tmp_path) as store:
        store.scans.add(scans[0], dataset="clinic", patient_id="KIM", timepoint=clinic.DAYS[0], person="demo")
        with pytest.raises(InputError, match="accepted mask"):
            run_inline(store, KIND, {"patient_id": "KIM", "timepoint": clinic.DAYS[0]}, "demo")
        record = clinic.add_child(store, mask, "KIM", clinic.DAYS[0], method="import", author="demo")
        clinic.accept(store, record)
        before = [one.to_json() for one in store.masks.of("KIM")]
        found = run_inline(store, KIND, {"patient_id": "KIM", "timepoint": clinic.DAYS[0]}, "demo")
        assert [one.to_json() for one in store.masks.of("KIM")] == before
        assert store.jobs.newest()[0].result == json.loads(json.dumps(found))
    assert (found["kind"], found["measured_by"], found["version"]) == (SIMULATED, "true masks", 1)
    assert any("cannot be run again by itself" in said for said in found["left_out"])
    assert found["lesions"][0]["lesion_id"] == "L1"
    assert len(found["lesions"][0]["runs"]) == 3
