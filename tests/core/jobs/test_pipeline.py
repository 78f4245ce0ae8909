"""The stages over a real store: refinement, the scan gate, and scans and masks from elsewhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from core.errors import InputError, ModelError, StoreError
from core.imaging.orienting import canonical
from core.imaging.volumes import write_nifti
from core.jobs.jobs import run_inline
from core.jobs.pipeline import KINDS, import_mask, import_scan
from core.jobs.stages import refine
from core.simulation.demo import build
from core.types import LabelMap
from store import Store
from tests.core.jobs.scene import (
    CT,
    DAY1,
    FAR,
    LEFT,
    PET,
    RIGHT,
    add_scans,
    add_version_of,
    as_the_network_finds,
    ball_of,
    body_image,
    box_request,
    grid_of,
    labels_of,
)
from tests.orders import stored_as


def test_without_propagation_only_the_prompted_slice_of_that_lesion_changes(store: Store):
    add_scans(store, DAY1, 1)
    # Lesion 2 covers a stripe through the ball: it must not lose a voxel to lesion 1.
    stripe = np.zeros(CT.shape, bool)
    stripe[18:20, :, 5:11] = True
    before = labels_of(L1=as_the_network_finds(((0, 0, 0), 7.0)) & ~stripe, L2=stripe)
    add_version_of(store, before)
    request = box_request("CT", CT, lesion=1)
    k = request["prompts"][0]["slice"]
    kept = run_inline(store, KINDS["refine"], request, "ann")
    after = store.masks.load(store.masks.version("P1", DAY1, 2)).array
    elsewhere = np.arange(CT.shape[2]) != k
    assert np.array_equal(after[:, :, elsewhere], before.array[:, :, elsewhere])
    assert np.array_equal(after == 2, before.array == 2)
    truth = ball_of(CT, (0, 0, 0), 12.0)[:, :, k] & ~stripe[:, :, k]
    found = after[:, :, k] == 1
    assert 2 * np.sum(found & truth) / (np.sum(found) + truth.sum()) > 0.8  # of some 31 pixels
    assert (kept["version"], kept["parent_version"], kept["method"], kept["reviewer"]) == (2, 1, "medsam", "ann")
    assert kept["prompts"][0]["lesion"] == kept["lesion"] == 1
    assert kept["prompts"][0]["propagate"] is False
    assert kept["stops"] == []
    assert store.verify() == []


def test_a_box_on_the_pet_lands_where_it_was_meant_on_the_ct(store: Store):
    add_scans(store, DAY1, 1, (((10.0, 5.0, 3.0), 12.0),))
    kept = run_inline(store, KINDS["refine"], box_request("PET", PET, (10.0, 5.0, 3.0)), "demo")
    (lesion,) = kept["lesions"]
    x, y, z = lesion["centroid_mm"]
    k_mm = float(PET.to_mm(np.array([[0, 0, kept["prompts"][0]["slice"]]]))[0, 2])
    assert np.hypot(x - 10, y - 5) < 4, "less than a voxel of the PET"
    assert abs(z - k_mm) <= 2.5, "within the prompted slice, which is 5 mm thick"
    assert kept["prompts"][0]["scan"] == "PET", "as drawn: indices of the PET's own file"
    assert store.masks.load(store.masks.version("P1", DAY1, 1)).grid.matches(CT)


def test_a_prompt_refines_the_lesion_under_it_and_new_never_reuses_a_number(store: Store):
    add_scans(store, DAY1, 1)
    add_version_of(store, labels_of(L3=as_the_network_finds(((0, 0, 0), 7.0))))
    under = run_inline(store, KINDS["refine"], box_request("CT", CT), "demo")
    assert under["lesion"] == 3
    add_version_of(store, labels_of(L8=as_the_network_finds(((0, 0, 0), 7.0))))
    store.decisions.decide("P1", DAY1, 3, "reject", "demo", "wrong")
    request = box_request("CT", CT, lesion="new", parent_version=1)
    new = run_inline(store, KINDS["refine"], request, "demo")
    assert new["lesion"] == 9
    assert new["parent_version"] == 1
    assert {lesion["label"] for lesion in new["lesions"]} == {3, 9}


def test_a_lesion_is_refined_by_its_name_whatever_its_label_is(store: Store):
    """Label 3 of the version is L1; L2 is not in it, nor in any other mask."""
    add_scans(store, DAY1, 1)
    record = add_version_of(store, labels_of(L3=as_the_network_finds(((0, 0, 0), 7.0))))
    store.links.set(record.mask_id, 3, "L1", "demo", "the first one")

    def asked(lesion: object) -> object:
        return refine.prepare_refine(store, box_request("CT", CT, lesion=lesion), "demo")["lesion"]

    assert (asked("L1"), asked(3), asked("new")) == (3, 3, 2)
    with pytest.raises(InputError, match=r"lesion of this patient \(L1\) or \"new\", got 'L2'"):
        asked("L2")


def test_lesion_under_takes_the_one_that_shares_most():
    labels = labels_of(L2=as_the_network_finds((LEFT, 8.0)), L5=as_the_network_finds((RIGHT, 8.0)))
    assert refine.lesion_under(as_the_network_finds((RIGHT, 8.0), (LEFT, 3.0)), labels) == 5
    assert refine.lesion_under(as_the_network_finds((FAR, 5.0)), labels) is None
    assert refine.lesion_under(np.zeros(CT.shape, bool), labels) is None


def test_a_step_that_fails_leaves_a_failed_job_and_nothing_else(store: Store):
    add_scans(store, DAY1, 1)
    with pytest.raises(ModelError, match="no-such-model"):
        run_inline(
            store, KINDS["segment"], {"patient_id": "P1", "timepoint": DAY1, "model_id": "no-such-model"}, "demo"
        )

    def dies(*_: Any) -> dict[str, Any]:
        raise OSError("the disk is full")

    kind = KINDS["refine"]
    broken = type(kind)(kind.name, kind.prepare, dies, kind.record)
    with pytest.raises(OSError, match="disk"):
        run_inline(store, broken, box_request("CT", CT), "demo")
    assert [job.status for job in store.jobs.newest()] == ["failed", "failed"]
    assert "disk" not in store.jobs.newest()[0].message, "a bug's own text may name a patient's files"
    assert store.masks.of("P1") == []
    assert list((store.root / "jobs").iterdir()) == []
    assert store.verify() == []


def test_a_scan_gates_verdict_is_kept_with_the_scans_it_was_about(store: Store, tmp_path):
    add_scans(store, DAY1, 1)
    kind = KINDS["score_ood"]
    params = kind.prepare(store, {"patient_id": "P1", "timepoint": DAY1}, "demo")
    assert [scan["modality"] for scan in params["scans"]] == ["CT", "PET"], "the reference scan first"
    hashes = [scan["sha256"] for scan in params["scans"]]
    result = {"state": "no anchor", "score": None, "threshold": 0.5, "scan_sha256": hashes}
    said = kind.record(store, params, result, tmp_path, "ann")
    assert {key: said[key] for key in result} == result
    assert said["judgement"]["verdict"] == "cannot be judged"
    (kept,) = store.verdicts.of_scans("P1")
    assert (kept.timepoint, kept.state, kept.score, kept.person) == (DAY1, "no anchor", None, "ann")
    assert kept.result["scan_sha256"] == [scan.sha256 for scan in store.scans.of("P1", DAY1)]


def test_the_demo_of_real_scans_says_where_it_looked_for_them(store: Store, tmp_path):
    with pytest.raises(InputError, match=r"folder of real scans at .*nothing; it is not there\. Give it with --sts"):
        build(store, real=True, sts=tmp_path / "nothing")
    assert store.patients.all() == []


def test_a_mask_on_the_pets_grid_is_brought_to_the_ct(store: Store, tmp_path):
    add_scans(store, DAY1, 1)
    ball = ball_of(PET, (0, 0, 0), 15.0).astype(np.uint8) * 4
    write_nifti(tmp_path / "pet_mask.nii.gz", ball, PET)
    record = import_mask(store, tmp_path / "pet_mask.nii.gz", patient_id="P1", timepoint=DAY1, author="ann")
    labels = store.masks.load(record)
    assert labels.grid.matches(CT)
    assert (labels.labels, record.method, record.author) == ((1,), "import", "ann"), "the only value is one lesion"
    assert abs(labels.volume_mm3 - float((ball > 0).sum()) * 125.0) <= 18.0, "half a voxel of the CT"
    points = CT.to_mm(np.argwhere(np.ones(CT.shape)))
    nearest = np.clip(np.rint(PET.to_index(points)).astype(int), 0, np.array(PET.shape) - 1)
    by_centre = (ball[tuple(nearest.T)] > 0).reshape(CT.shape)
    assert 2 * (by_centre & (labels.array > 0)).sum() / (by_centre.sum() + (labels.array > 0).sum()) > 0.93


def test_masks_that_cannot_be_placed_are_refused(store: Store, tmp_path):
    add_scans(store, DAY1, 1)
    foreign = grid_of((10, 10, 10), (3.0, 3.0, 3.0), (0.0, 0.0, 0.0))
    write_nifti(tmp_path / "foreign.nii.gz", np.ones(foreign.shape, np.uint8), foreign)
    # The PET reaches 10 mm beyond the CT: a mask there alone would come out empty, as if nothing were left.
    edge = np.zeros(PET.shape, np.uint8)
    edge[:, -1, :] = 2
    write_nifti(tmp_path / "edge.nii.gz", edge, PET)
    for name, message in (
        ("foreign", r"grid \(10, 10, 10\) fits none of the timepoint's scans \(\(40, 32, 16\), \(24, 22, 12\)\)"),
        ("edge", r"Lesion 2 of the mask has no voxel on the reference scan's grid.*Draw the mask on the reference"),
    ):
        with pytest.raises(InputError, match=message):
            import_mask(store, tmp_path / f"{name}.nii.gz", patient_id="P1", timepoint=DAY1, author="ann")
    assert store.masks.of("P1") == []
    assert store.verify() == []


def test_an_imported_file_is_the_scan_it_was(store: Store, tmp_path):
    volume = body_image(CT, "CT", 5)
    write_nifti(tmp_path / "ct.nii.gz", volume.array, CT)
    scan = import_scan(
        store,
        [tmp_path / "ct.nii.gz"],
        dataset="d",
        patient_id="P1",
        timepoint=DAY1,
        modality="CT",
        person="ann",
        extra={"simulated": True},
    )
    assert np.array_equal(store.scans.load(scan).array, canonical(volume).array)
    assert (scan.scan_id, scan.imported_by, scan.metadata["format"]) == ("CT", "ann", "NIfTI")
    assert scan.metadata["simulated"] is True


@pytest.mark.parametrize("order", ["LPS", "RAS", "SLP", "AIR"])
def test_a_scan_is_stored_in_one_order_of_axes_and_the_file_s_own_is_told(store: Store, tmp_path, order):
    volume = stored_as(body_image(CT, "CT", 5), order)
    write_nifti(tmp_path / "ct.nii.gz", volume.array, volume.grid)
    asked: dict[str, Any] = {"dataset": "d", "patient_id": "P1", "timepoint": DAY1, "modality": "CT", "person": "ann"}
    scan = import_scan(store, [tmp_path / "ct.nii.gz"], **asked)
    assert (scan.orientation, scan.metadata["file_orientation"]) == ("LPS", order)
    assert np.array_equal(store.scans.load(scan).array, stored_as(volume, "LPS").array)
    again = stored_as(volume, "PRI")
    write_nifti(tmp_path / "again.nii.gz", again.array, again.grid)
    with pytest.raises(StoreError, match="already"):
        import_scan(store, [tmp_path / "again.nii.gz"], **asked)


def test_a_mask_in_another_order_of_axes_lies_where_it_was_drawn(store: Store, tmp_path):
    volume = body_image(CT, "CT", 5)
    write_nifti(tmp_path / "ct.nii.gz", volume.array, CT)
    import_scan(
        store, [tmp_path / "ct.nii.gz"], dataset="d", patient_id="P1", timepoint=DAY1, modality="CT", person="ann"
    )
    drawn = np.zeros(CT.shape, np.uint8)
    drawn[3:7, 4:6, 2:5] = 1
    for order in ("LPS", "SAR"):
        mask = stored_as(LabelMap(drawn, CT), order)
        write_nifti(tmp_path / f"{order}.nii.gz", mask.array, mask.grid)
        record = import_mask(store, tmp_path / f"{order}.nii.gz", patient_id="P1", timepoint=DAY1, author="ann")
        assert np.array_equal(stored_as(store.masks.load(record), "RAS").array, drawn)
