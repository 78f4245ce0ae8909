"""The stages over a real store: lesion numbers, refinement, masks from elsewhere, and requests that make no sense."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from core.engines.auto import nnunet
from core.errors import InputError, ModelError, StoreError, TwinReviewError
from core.gates.mask.verdicts import score_mask, similar_lesions
from core.imaging import registration
from core.imaging.registration import RigidTransform
from core.imaging.volumes import read_label_map, write_nifti
from core.jobs.jobs import run_inline
from core.jobs.pipeline import KINDS, import_mask, import_scan
from core.jobs.stages import refine, segment
from core.jobs.stages.common import add_version
from core.lesions.matching import components
from core.review.readers import newest_visible_version, next_visible_label
from core.simulation.demo import build
from core.types import Grid, LabelMap, Volume, no_progress
from store import Store
from tests.core.imaging.test_bad_inputs import nifti

DAY1, DAY2, DAY3 = "2024-01-01", "2024-02-01", "2024-03-01"
LEFT, RIGHT, FAR = (-9.0, 0.0, 0.0), (9.0, 0.0, 0.0), (0.0, 24.0, 0.0)


def _grid(shape: tuple[int, int, int], spacing: tuple[float, float, float], origin: tuple[float, float, float]) -> Grid:
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = origin
    return Grid(shape, affine)


CT = _grid((40, 32, 16), (3.0, 3.0, 4.0), (-60.0, -48.0, -30.0))
PET = _grid((24, 22, 12), (5.0, 5.0, 5.0), (-60.0, -50.0, -30.0))


def _ball(grid: Grid, centre: tuple[float, float, float], radius_mm: float) -> np.ndarray:
    points = grid.to_mm(np.argwhere(np.ones(grid.shape)))
    return (np.linalg.norm(points - centre, axis=1) <= radius_mm).reshape(grid.shape)


def _body(grid: Grid, modality: Any, seed: int, lesions=(), shift_mm: float = 0.0) -> Volume:
    """A trunk with two bones, moved along x by `shift_mm`; lesions are (centre in the patient, radius)."""
    rng = np.random.default_rng(seed)
    x, y, z = (grid.to_mm(np.argwhere(np.ones(grid.shape))) - (shift_mm, 0, 0)).T.reshape(3, *grid.shape)
    trunk = (x / 40) ** 2 + (y / 36) ** 2 + (z / 60) ** 2 <= 1
    array = np.where(trunk, -80.0, -1000.0) if modality == "CT" else np.where(trunk, 0.8, 0.05)
    for bone in ((-20, -20), (14, -22)):
        array[np.hypot(x - bone[0], y - bone[1]) <= 7] = 700 if modality == "CT" else 0.4
    for (cx, cy, cz), radius in lesions:
        array[np.hypot(np.hypot(x - cx, y - cy), z - cz) <= radius] = 60 if modality == "CT" else 8.0
    return Volume((array + rng.normal(0, 0.01 * np.ptp(array), grid.shape)).astype(np.float32), grid, modality)


def _visit(
    store: Store, day: str, seed: int, lesions=(((0.0, 0.0, 0.0), 12.0),), shift_mm: float = 0.0, patient="P1"
) -> None:
    for grid, modality in ((CT, "CT"), (PET, "PET")):
        volume = _body(grid, modality, seed, lesions, shift_mm)
        store.scans.add(volume, dataset="d", patient_id=patient, timepoint=day, person="demo")


def _found(*balls: tuple[tuple[float, float, float], float], shift_mm: float = 0.0) -> np.ndarray:
    """What a perfect network would answer."""
    array = np.zeros(CT.shape, dtype=bool)
    for (x, y, z), radius in balls:
        array |= _ball(CT, (x + shift_mm, y, z), radius)
    return array


def _propose(store: Store, day: str, found: np.ndarray, folder: Path) -> dict[str, Any]:
    """The segment job with this answer in the network's place."""
    params = segment.prepare_segment(store, {"patient_id": "P1", "timepoint": day}, "demo")
    pieces = components(found, CT, min_volume_mm3=segment.MIN_LESION_MM3)
    reference = store.scans.load(store.scans.reference("P1", day))
    numbered, matching = segment._number(pieces, reference, params)
    write_nifti(folder / "mask.nii.gz", numbered, CT, overwrite=True)
    result = {"mask": "mask.nii.gz", "checkpoint_sha256": "0" * 64, "seconds": {}, "matching": matching}
    return segment.record_segment(store, params, result, folder, "demo")


def _labels(**lesions: np.ndarray) -> LabelMap:
    """_labels(L1=mask, L5=mask)."""
    array = np.zeros(CT.shape, dtype=np.uint8)
    for name, mask in lesions.items():
        array[mask] = int(name[1:])
    return LabelMap(array, CT)


def _add(store: Store, labels: LabelMap, day: str = DAY1) -> Any:
    parent = newest_visible_version(store, "P1", day, "demo")
    return add_version(store, labels, "P1", day, method="import", author="demo", parent_version=parent)


def _at(store: Store, day: str, version: int, centre: tuple[float, float, float]) -> int:
    """The lesion number at a point of the stored mask."""
    i, j, k = np.rint(CT.to_index(np.array([centre]))[0]).astype(int)
    return int(store.masks.load(store.masks.version("P1", day, version)).array[i, j, k])


# ---------------------------------------------------------------- lesion numbers


def test_numbers_follow_the_place_and_not_the_size_though_the_patient_moved(store: Store, tmp_path):
    """Moved by 18 mm, the left lesion lies exactly where the right one was; registration tells them apart."""
    _visit(store, DAY1, 1, ((LEFT, 8.0), (RIGHT, 6.5)))
    _visit(store, DAY2, 2, ((LEFT, 6.5), (RIGHT, 8.0)), shift_mm=18.0)
    first = _propose(store, DAY1, _found((LEFT, 8.0), (RIGHT, 6.5)), tmp_path)
    assert first["matching"] == {"prior": None}
    assert (_at(store, DAY1, 1, LEFT), _at(store, DAY1, 1, RIGHT)) == (1, 2), "the larger is lesion 1"
    second = _propose(store, DAY2, _found((LEFT, 6.5), (RIGHT, 8.0), shift_mm=18.0), tmp_path)
    assert second["matching"]["prior"] == DAY1
    assert second["matching"]["registration_converged"]
    assert (_at(store, DAY2, 1, (9.0, 0, 0)), _at(store, DAY2, 1, (27.0, 0, 0))) == (1, 2)
    assert second["matching"]["new"] == second["matching"]["vanished"] == []


def test_segmenting_a_timepoint_again_keeps_its_numbers_and_registers_nothing(store: Store, tmp_path):
    _visit(store, DAY1, 1)
    _add(store, _labels(L7=_found((LEFT, 7.0)), L3=_found((RIGHT, 7.0))))
    again = _propose(store, DAY1, _found((LEFT, 6.0), (RIGHT, 8.0)), tmp_path)
    assert again["version"] == 2
    assert again["parent_version"] == 1
    assert (_at(store, DAY1, 2, LEFT), _at(store, DAY1, 2, RIGHT)) == (7, 3)
    assert again["matching"] == {"prior": DAY1, "merged": {}, "new": [], "vanished": []}


def test_a_rejected_version_does_not_hide_the_numbers_of_the_one_before(store: Store, tmp_path):
    _visit(store, DAY1, 1)
    _add(store, _labels(L4=_found((LEFT, 7.0))))
    _add(store, _labels(L9=_found((LEFT, 7.0))))
    store.decisions.decide("P1", DAY1, 2, "reject", "demo", "wrong")
    _propose(store, DAY1, _found((LEFT, 7.0), (RIGHT, 6.5)), tmp_path)
    assert _at(store, DAY1, 3, LEFT) == 4
    assert _at(store, DAY1, 3, RIGHT) == 10, "9 was used, though in a rejected version: never given again"
    assert next_visible_label(store, "P1", "demo") == 11


def test_a_lesion_that_returns_after_a_complete_response_has_its_old_number(store: Store, tmp_path):
    for seed, day in enumerate((DAY1, DAY2, DAY3)):
        _visit(store, day, seed, () if day == DAY2 else ((LEFT, 7.0),))
    _add(store, _labels(L2=_found((LEFT, 7.0))))
    empty = _propose(store, DAY2, np.zeros(CT.shape, bool), tmp_path)
    assert empty["matching"]["vanished"] == [2]
    assert (empty["volume_mm3"], empty["lesions"]) == (0.0, [])
    back = _propose(store, DAY3, _found((LEFT, 7.0)), tmp_path)
    assert back["matching"]["prior"] == DAY1
    assert _at(store, DAY3, 1, LEFT) == 2


def test_one_of_two_lesions_that_was_gone_returns_under_its_old_number(store: Store, tmp_path):
    """The nearest earlier mask knows lesion 1 only; lesion 4 is found again in the one before that, 12 mm away."""
    both = ((LEFT, 7.0), (RIGHT, 7.0))
    for seed, (day, lesions) in enumerate(((DAY1, both), (DAY2, both[:1]), (DAY3, (*both, (FAR, 7.0))))):
        _visit(store, day, seed, lesions, shift_mm=12.0 if day == DAY3 else 0.0)
    _add(store, _labels(L1=_found(both[0]), L4=_found(both[1])))
    _add(store, _labels(L1=_found(both[0])), DAY2)
    back = _propose(store, DAY3, _found(*both, (FAR, 7.0), shift_mm=12.0), tmp_path)
    assert [_at(store, DAY3, 1, (x + 12, y, z)) for x, y, z in (LEFT, RIGHT, FAR)] == [1, 4, 5]
    assert back["matching"]["new"] == [5]
    assert back["matching"]["vanished"] == []


def test_a_timepoint_that_arrives_late_is_numbered_after_the_nearest_earlier_one_else_the_next(store: Store, tmp_path):
    for seed, day in enumerate((DAY1, DAY2, DAY3)):
        _visit(store, day, seed, ((LEFT, 7.0),))
    _add(store, _labels(L6=_found((LEFT, 7.0))), DAY3)
    assert _propose(store, DAY2, _found((LEFT, 7.0)), tmp_path)["matching"]["prior"] == DAY3
    assert _at(store, DAY2, 1, LEFT) == 6
    assert _propose(store, DAY3, _found((LEFT, 7.0)), tmp_path)["matching"]["prior"] == DAY3, "its own before all"


def test_two_lesions_that_became_one_are_said_to_have_merged(store: Store, tmp_path):
    _visit(store, DAY1, 1)
    _add(store, _labels(L1=_found((LEFT, 8.0)), L2=_found((RIGHT, 6.5))))
    merged = _propose(store, DAY1, _found((LEFT, 10.0), (RIGHT, 10.0)), tmp_path)
    assert merged["matching"]["merged"] == {"1": [1, 2]}
    assert [lesion["label"] for lesion in merged["lesions"]] == [1]


def test_pieces_below_half_a_millilitre_are_left_out(store: Store, tmp_path):
    """A ball of radius 4 mm has 268 mm3, one of 6 mm 905 mm3."""
    _visit(store, DAY1, 1)
    record = _propose(store, DAY1, _found((LEFT, 4.0), (RIGHT, 6.0)), tmp_path)
    assert len(record["lesions"]) == 1
    assert _at(store, DAY1, 1, RIGHT) == 1
    assert _at(store, DAY1, 1, LEFT) == 0


def _block(*voxels: tuple[slice | int, ...]) -> np.ndarray:
    """Blocks of voxels of 3 x 3 x 4 = 36 mm3."""
    array = np.zeros(CT.shape, dtype=bool)
    for block in voxels:
        array[block] = True
    return array


def test_the_smallest_lesion_that_the_network_may_propose_is_half_a_millilitre(store: Store, tmp_path, monkeypatch):
    found = _block(np.s_[5:7, 5:12, 5], np.s_[20:33, 20, 5])  # 14 voxels are 504 mm3, 13 are 468

    class Network:
        def segment(self, volumes: Any, progress: Any) -> Any:
            labels = LabelMap(found.astype(np.uint8), CT)
            return SimpleNamespace(labels=labels, checkpoint_sha256="0" * 64, channels=(), model_files={}, seconds={})

        def lesion_mask(self, array: np.ndarray) -> np.ndarray:
            return array > 0

    monkeypatch.setattr(nnunet, "load_segmenter", lambda model_id: Network())
    _visit(store, DAY1, 1)
    params = segment.prepare_segment(store, {"patient_id": "P1", "timepoint": DAY1}, "demo")
    result = segment.compute_segment(params, tmp_path, no_progress)
    assert np.array_equal(read_label_map(tmp_path / result["mask"]).array, found & (np.arange(40) < 10)[:, None, None])


def test_a_lesion_whose_centre_moved_by_more_than_10_mm_is_new(store: Store, tmp_path):
    """Voxels are 3 mm wide: 3 of them are 9 mm, 4 are 12 mm. Nothing overlaps."""
    _visit(store, DAY1, 1)
    _add(store, _labels(L2=_block(np.s_[10:12, 5:12, 5]), L5=_block(np.s_[10:12, 20:27, 5])))
    moved = _propose(store, DAY1, _block(np.s_[13:15, 5:12, 5], np.s_[14:16, 20:27, 5]), tmp_path)
    assert moved["matching"] == {"prior": DAY1, "merged": {}, "new": [6], "vanished": [5]}


def _no_alignment(store: Store, monkeypatch: Any, day: str) -> None:
    """From here on the scans of `day` do not align with any other: nothing is known of the motion."""
    shown = store.scans.load(store.scans.reference("P1", day)).array

    def fails(fixed: Volume, moving: Volume) -> RigidTransform:
        aligned = not np.array_equal(moving.array, shown)
        return RigidTransform(np.eye(4), 1.0 if aligned else 0.0, aligned, 0.0, "converged" if aligned else "no")

    monkeypatch.setattr(registration, "rigid", fails)


def test_the_nearest_timepoint_that_did_not_align_is_used_and_that_is_said(store: Store, tmp_path, monkeypatch):
    for seed, day in enumerate((DAY1, DAY2)):
        _visit(store, day, seed)
    _add(store, _labels(L3=_found((LEFT, 7.0))))
    _no_alignment(store, monkeypatch, DAY1)
    found = _propose(store, DAY2, _found((LEFT, 7.0)), tmp_path)
    assert found["matching"]["registration_converged"] is False
    assert _at(store, DAY2, 1, LEFT) == 3


@pytest.mark.parametrize("aligns", [True, False])
def test_an_older_timepoint_that_did_not_align_gives_no_lesion_its_number(
    store: Store, tmp_path, monkeypatch, aligns: bool
):
    """A lesion called new is found out in review; one under a wrong number may not be."""
    for seed, day in enumerate((DAY1, DAY2, DAY3)):
        _visit(store, day, seed)
    _add(store, _labels(L1=_found((LEFT, 7.0)), L4=_found((RIGHT, 7.0))))
    _add(store, _labels(L1=_found((LEFT, 7.0))), DAY2)
    _no_alignment(store, monkeypatch, DAY3 if aligns else DAY1)
    back = _propose(store, DAY3, _found((LEFT, 7.0), (RIGHT, 7.0)), tmp_path)
    assert back["matching"]["registration_converged"] is True
    assert _at(store, DAY3, 1, RIGHT) == (4 if aligns else 5)
    assert back["matching"]["new"] == ([] if aligns else [5])


def test_an_older_timepoint_gives_only_the_lesions_that_no_nearer_one_knows(store: Store, tmp_path, monkeypatch):
    """Lesion 1 was at the right before, and is at the left since: what is at the right now is none of the known."""
    for seed, day in enumerate((DAY1, DAY2, DAY3)):
        _visit(store, day, seed)
    _add(store, _labels(L1=_found((RIGHT, 7.0)), L2=_found((FAR, 5.0))))
    _add(store, _labels(L1=_found((LEFT, 7.0))), DAY2)
    _no_alignment(store, monkeypatch, DAY3)
    found = _propose(store, DAY3, _found((LEFT, 7.0), (RIGHT, 7.0)), tmp_path)
    assert (_at(store, DAY3, 1, LEFT), _at(store, DAY3, 1, RIGHT)) == (1, 3)
    assert found["matching"]["new"] == [3]


def test_the_accepted_version_tells_the_numbers_though_a_newer_one_is_proposed(store: Store, tmp_path):
    _visit(store, DAY1, 1)
    _add(store, _labels(L4=_found((LEFT, 7.0))))
    store.decisions.decide("P1", DAY1, 1, "accept", "demo", "good")
    _add(store, _labels(L9=_found((LEFT, 7.0))))
    _propose(store, DAY1, _found((LEFT, 7.0)), tmp_path)
    assert _at(store, DAY1, 3, LEFT) == 4


# ---------------------------------------------------------------- refinement, with the real LiteMedSAM


def _box_request(scan: str, grid: Grid, centre=(0.0, 0.0, 0.0), radius_mm=12.0, **more: Any) -> dict[str, Any]:
    low, high = (np.rint(grid.to_index(np.array([np.add(centre, d)]))[0]) for d in (-radius_mm, radius_mm))
    k = int(np.rint(grid.to_index(np.array([centre]))[0][2]))
    box = {"type": "box", "slice": k, "coords": [low[0], low[1], high[0], high[1]]}
    return {"patient_id": "P1", "timepoint": DAY1, "scan": scan, "prompts": [box], **more}


def test_without_propagation_only_the_prompted_slice_of_that_lesion_changes(store: Store):
    _visit(store, DAY1, 1)
    # Lesion 2 covers a stripe through the ball: it must not lose a voxel to lesion 1.
    stripe = np.zeros(CT.shape, bool)
    stripe[18:20, :, 5:11] = True
    before = _labels(L1=_found(((0, 0, 0), 7.0)) & ~stripe, L2=stripe)
    _add(store, before)
    request = _box_request("CT", CT, lesion=1)
    k = request["prompts"][0]["slice"]
    kept = run_inline(store, KINDS["refine"], request, "ann")
    after = store.masks.load(store.masks.version("P1", DAY1, 2)).array
    elsewhere = np.arange(CT.shape[2]) != k
    assert np.array_equal(after[:, :, elsewhere], before.array[:, :, elsewhere])
    assert np.array_equal(after == 2, before.array == 2)
    truth = _ball(CT, (0, 0, 0), 12.0)[:, :, k] & ~stripe[:, :, k]
    assert 2 * np.sum((after[:, :, k] == 1) & truth) / (np.sum(after[:, :, k] == 1) + truth.sum()) > 0.85
    assert (kept["version"], kept["parent_version"], kept["method"], kept["reviewer"]) == (2, 1, "medsam", "ann")
    assert kept["prompts"][0]["lesion"] == kept["lesion"] == 1
    assert kept["prompts"][0]["propagate"] is False
    assert kept["stops"] == []
    assert store.verify() == []


def test_a_box_on_the_pet_lands_where_it_was_meant_on_the_ct(store: Store):
    _visit(store, DAY1, 1, (((10.0, 5.0, 3.0), 12.0),))
    kept = run_inline(store, KINDS["refine"], _box_request("PET", PET, (10.0, 5.0, 3.0)), "demo")
    (lesion,) = kept["lesions"]
    x, y, z = lesion["centroid_mm"]
    k_mm = float(PET.to_mm(np.array([[0, 0, kept["prompts"][0]["slice"]]]))[0, 2])
    assert np.hypot(x - 10, y - 5) < 4, "less than a voxel of the PET"
    assert abs(z - k_mm) <= 2.5, "within the prompted slice, which is 5 mm thick"
    assert kept["prompts"][0]["scan"] == "PET", "as drawn: indices of the PET's own file"
    assert store.masks.load(store.masks.version("P1", DAY1, 1)).grid.matches(CT)


def test_a_prompt_refines_the_lesion_under_it_and_new_never_reuses_a_number(store: Store):
    _visit(store, DAY1, 1)
    _add(store, _labels(L3=_found(((0, 0, 0), 7.0))))
    under = run_inline(store, KINDS["refine"], _box_request("CT", CT), "demo")
    assert under["lesion"] == 3
    _add(store, _labels(L8=_found(((0, 0, 0), 7.0))))
    store.decisions.decide("P1", DAY1, 3, "reject", "demo", "wrong")
    request = _box_request("CT", CT, lesion="new", parent_version=1)
    new = run_inline(store, KINDS["refine"], request, "demo")
    assert new["lesion"] == 9
    assert new["parent_version"] == 1
    assert {lesion["label"] for lesion in new["lesions"]} == {3, 9}


def test_lesion_under_takes_the_one_that_shares_most():
    labels = _labels(L2=_found((LEFT, 8.0)), L5=_found((RIGHT, 8.0)))
    assert refine.lesion_under(_found((RIGHT, 8.0), (LEFT, 3.0)), labels) == 5
    assert refine.lesion_under(_found((FAR, 5.0)), labels) is None
    assert refine.lesion_under(np.zeros(CT.shape, bool), labels) is None


def test_a_step_that_fails_leaves_a_failed_job_and_nothing_else(store: Store):
    _visit(store, DAY1, 1)
    with pytest.raises(ModelError, match="no-such-model"):
        run_inline(
            store, KINDS["segment"], {"patient_id": "P1", "timepoint": DAY1, "model_id": "no-such-model"}, "demo"
        )

    def dies(*_: Any) -> dict[str, Any]:
        raise OSError("the disk is full")

    kind = KINDS["refine"]
    broken = type(kind)(kind.name, kind.prepare, dies, kind.record)
    with pytest.raises(OSError, match="disk"):
        run_inline(store, broken, _box_request("CT", CT), "demo")
    assert [job.status for job in store.jobs.newest()] == ["failed", "failed"]
    assert "disk" not in store.jobs.newest()[0].message, "a bug's own text may name a patient's files"
    assert store.masks.of("P1") == []
    assert list((store.root / "jobs").iterdir()) == []
    assert store.verify() == []


def test_a_scan_gates_verdict_is_kept_with_the_scans_it_was_about(store: Store, tmp_path):
    _visit(store, DAY1, 1)
    kind = KINDS["score_ood"]
    params = kind.prepare(store, {"patient_id": "P1", "timepoint": DAY1}, "demo")
    assert [scan["modality"] for scan in params["scans"]] == ["CT", "PET"], "the reference scan first"
    hashes = [scan["sha256"] for scan in params["scans"]]
    result = {"state": "no anchor", "score": None, "threshold": 0.5, "scan_sha256": hashes}
    assert kind.record(store, params, result, tmp_path, "ann") == result
    (kept,) = store.verdicts.of_scans("P1")
    assert (kept.timepoint, kept.state, kept.score, kept.person) == (DAY1, "no anchor", None, "ann")
    assert kept.result["scan_sha256"] == [scan.sha256 for scan in store.scans.of("P1", DAY1)]


def test_the_demo_of_real_scans_says_where_it_looked_for_them(store: Store, tmp_path):
    with pytest.raises(InputError, match=r"folder of real scans at .*nothing; it is not there\. Give it with --sts"):
        build(store, real=True, sts=tmp_path / "nothing")
    assert store.patients.all() == []


# ---------------------------------------------------------------- masks from elsewhere


def test_a_mask_on_the_pets_grid_is_brought_to_the_ct(store: Store, tmp_path):
    _visit(store, DAY1, 1)
    ball = _ball(PET, (0, 0, 0), 15.0).astype(np.uint8) * 4
    write_nifti(tmp_path / "pet_mask.nii.gz", ball, PET)
    record = import_mask(store, tmp_path / "pet_mask.nii.gz", patient_id="P1", timepoint=DAY1, author="ann")
    labels = store.masks.load(record)
    assert labels.grid.matches(CT)
    assert (labels.labels, record.method, record.author) == ((4,), "import", "ann")
    points = CT.to_mm(np.argwhere(np.ones(CT.shape)))
    nearest = np.rint(PET.to_index(points)).astype(int)
    inside = ((nearest >= 0) & (nearest < PET.shape)).all(axis=1)
    expected = np.zeros(len(points), np.uint8)
    expected[inside] = ball[tuple(nearest[inside].T)]
    # Exactly between two PET voxels either neighbour is the nearest one.
    tie = (np.abs(PET.to_index(points) % 1 - 0.5) < 1e-6).any(axis=1)
    assert np.array_equal(labels.array.ravel()[~tie], expected[~tie])


def test_masks_that_cannot_be_placed_are_refused(store: Store, tmp_path):
    _visit(store, DAY1, 1)
    foreign = _grid((10, 10, 10), (3.0, 3.0, 3.0), (0.0, 0.0, 0.0))
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
    volume = _body(CT, "CT", 5)
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
    assert np.array_equal(store.scans.load(scan).array, volume.array)
    assert (scan.scan_id, scan.imported_by, scan.metadata["format"]) == ("CT", "ann", "NIfTI")
    assert scan.metadata["simulated"] is True


# ---------------------------------------------------------------- everything that can be asked wrongly

Bad = Callable[[Any, Path], Any]
BAD: dict[str, tuple[Bad, type[TwinReviewError], str]] = {}


def bad(kind: str, error: type[TwinReviewError], message: str) -> Callable[[Bad], Bad]:
    """Register a request that raises `error` with a text that matches `message`."""

    def register(ask: Bad) -> Bad:
        BAD[kind] = (ask, error, message)
        return ask

    return register


def _import(store: Store, *files: Path, **changes: Any) -> Any:
    values: dict[str, Any] = {"dataset": "d", "patient_id": "P1", "timepoint": DAY2, "modality": "CT", "person": "demo"}
    return import_scan(store, files, **{**values, **changes})


def _mask_file(folder: Path, array: np.ndarray, grid: Grid = CT) -> Path:
    write_nifti(folder / "mask.nii.gz", array, grid)
    return folder / "mask.nii.gz"


def _import_mask(store: Store, path: Path, **changes: Any) -> Any:
    return import_mask(store, path, **{"patient_id": "P1", "timepoint": DAY1, "author": "demo", **changes})


def _refine(store: Store, *prompts: Any, **changes: Any) -> Any:
    request = {"patient_id": "P1", "timepoint": DAY1, "scan": "CT", "prompts": list(prompts), **changes}
    return run_inline(store, KINDS["refine"], request, "demo")


def _box(*coords: Any, k: Any = 7) -> dict[str, Any]:
    return {"type": "box", "slice": k, "coords": list(coords)}


def _written(folder: Path, data: bytes, name: str = "scan.nii.gz") -> Path:
    (folder / name).write_bytes(data)
    return folder / name


GOOD = np.random.default_rng(3).normal(size=(6, 7, 8)).astype(np.float32)

bad("no files", InputError, "got none. Choose an image")(lambda s, f: _import(s))
bad("a file that is not there", InputError, "there is none at.*Check the path")(lambda s, f: _import(s, f / "x.nii.gz"))
bad("an empty file", InputError, "0 bytes.*Copy or export it again")(lambda s, f: _import(s, _written(f, b"")))
bad("no image", InputError, "whatever its name says.*Export it as")(lambda s, f: _import(s, _written(f, b"a,b\n" * 99)))
bad("a truncated file", InputError, "truncated or damaged.*Copy or export it again")(
    lambda s, f: _import(s, _written(f, nifti(f).read_bytes()[:-200]))
)
bad("NaN voxels", InputError, "NaN or infinite.*Replace them")(
    lambda s, f: _import(s, nifti(f, np.where(GOOD > 2, np.nan, GOOD)))
)
bad("four dimensions", InputError, "got 4 dimensions.*Split the frames")(
    lambda s, f: _import(s, nifti(f, np.stack([GOOD, GOOD], -1)))
)
bad("a singular affine", InputError, "singular.*Export the image again")(
    lambda s, f: _import(s, nifti(f, srow_z=[0, 0, 0, 5], sform_code=1))
)
bad("a sheared affine", InputError, "sheared.*Resample it to a rectangular grid")(
    lambda s, f: _import(s, nifti(f, srow_y=[0, 2, 1, 0], sform_code=1))
)
bad("a constant image", InputError, "all 4.*export it again")(lambda s, f: _import(s, nifti(f, np.full_like(GOOD, 4))))
bad("10^12 voxels", InputError, "claims 1,000,000,000,000.*header is damaged")(
    lambda s, f: _import(s, nifti(f, dim=[3, 10000, 10000, 10000, 1, 1, 1, 1]))
)
bad("a zip that is none", InputError, "not a zip.*Make the zip again")(
    lambda s, f: _import(s, _written(f, b"PK nothing", "series.zip"))
)
bad("the same scan twice", StoreError, "is there already: CT of patient P1.*Nothing was imported")(
    lambda s, f: _import(s, _written(f, (s.root / s.scans.of("P1", DAY1)[0].path).read_bytes()))
)
bad("a day that does not exist", InputError, "YYYY-MM-DD, got '2024-02-30'")(
    lambda s, f: _import(s, nifti(f), timepoint="2024-02-30")
)
bad("a patient id that is a path", InputError, r"patient id of 1 to 64.*got '\.\./P1'.*Choose another")(
    lambda s, f: _import(s, nifti(f), patient_id="../P1")
)
bad("no dataset", InputError, "dataset of 1 to 64.*got ''")(lambda s, f: _import(s, nifti(f), dataset=""))
bad("another dataset", StoreError, "belongs to dataset d, not e. Use that dataset")(
    lambda s, f: _import(s, nifti(f), dataset="e")
)
bad("an unknown modality", InputError, "modality CT, PET or MR, got 'US'")(
    lambda s, f: _import(s, nifti(f), modality="US")
)
bad("a sequence of CT", InputError, "sequence for MR only, got 'T1' for CT. Leave it empty")(
    lambda s, f: _import(s, nifti(f), sequence="T1")
)
bad("a sequence that is a path", InputError, "sequence of 1 to 64.*got 'T1/x'")(
    lambda s, f: _import(s, nifti(f), modality="MR", sequence="T1/x")
)
bad("nobody", InputError, "name of a person.*got ''")(lambda s, f: _import(s, nifti(f), person=""))
bad("a CT under masks that lie on the PET", StoreError, "1 mask version.*on the grid of PET.*under another date")(
    lambda s, f: _import(s, nifti(f), timepoint=DAY3)
)
bad("a mask for nobody", StoreError, "no scan of 'P9'.*Import one first")(
    lambda s, f: _import_mask(s, _mask_file(f, np.ones(CT.shape, np.uint8)), patient_id="P9")
)
bad("a mask on another grid", InputError, "fits none of the timepoint's scans.*Draw or resample it")(
    lambda s, f: _import_mask(s, _mask_file(f, np.ones((5, 5, 5), np.uint8), Grid((5, 5, 5), np.eye(4))))
)
bad("a mask of fractions", InputError, "whole numbers|fraction")(
    lambda s, f: _import_mask(s, _mask_file(f, np.full(CT.shape, 0.5, np.float32)))
)
bad("a negative label", InputError, "0 to 255|negative")(
    lambda s, f: _import_mask(s, _mask_file(f, np.full(CT.shape, -1, np.int16)))
)
bad("a label of 300", InputError, "255")(lambda s, f: _import_mask(s, _mask_file(f, np.full(CT.shape, 300, np.int16))))
bad("a mask that is not there", InputError, "there is none at")(lambda s, f: _import_mask(s, f / "mask.nii.gz"))
bad("a timepoint without scans", InputError, rf"no scans on {DAY2} \(timepoints: {DAY1}, {DAY3}\). Import one first")(
    lambda s, f: run_inline(s, KINDS["segment"], {"patient_id": "P1", "timepoint": DAY2}, "demo")
)
bad("an unknown patient", InputError, r"Patient 'P9' has no scans.*\(timepoints: none\)")(
    lambda s, f: run_inline(s, KINDS["score_ood"], {"patient_id": "P9", "timepoint": DAY1}, "demo")
)
bad("no date", InputError, "YYYY-MM-DD, got 'yesterday'")(
    lambda s, f: run_inline(s, KINDS["segment"], {"patient_id": "P1", "timepoint": "yesterday"}, "demo")
)
bad("an unknown model", ModelError, "no-such-model")(
    lambda s, f: run_inline(
        s, KINDS["segment"], {"patient_id": "P1", "timepoint": DAY1, "model_id": "no-such-model"}, "demo"
    )
)
bad("a scan that the timepoint has not", InputError, r"one of the timepoint's scans \(CT, PET\), got 'MR'")(
    lambda s, f: _refine(s, _box(5, 5, 9, 9), scan="MR")
)
bad("no prompts", InputError, "at least one box or positive point, got none. Draw a box")(lambda s, f: _refine(s))
bad("negative points only", InputError, "at least one box or positive point, got none")(
    lambda s, f: _refine(s, {"type": "point", "slice": 7, "coords": [5, 5], "positive": False})
)
bad("a slice beyond the scan", InputError, r"Slice 16 does not exist in the CT image: it must be 0\.\.15")(
    lambda s, f: _refine(s, _box(5, 5, 9, 9, k=16))
)
bad("a box beyond the image", InputError, r"box at \(5, 5, 40, 9\).*outside.*X must be 0\.\.39 and Y 0\.\.31")(
    lambda s, f: _refine(s, _box(5, 5, 40, 9))
)
bad("a box turned round", InputError, r"X0 <= X1 and Y0 <= Y1")(lambda s, f: _refine(s, _box(9, 5, 5, 9)))
bad("a box of three numbers", InputError, "A box takes 4 numbers, got 3")(lambda s, f: _refine(s, _box(5, 5, 9)))
bad("a box with NaN", InputError, "finite coordinates")(lambda s, f: _refine(s, _box(5, 5, float("nan"), 9)))
bad("an infinite slice", InputError, "type, slice and coords as numbers")(
    lambda s, f: _refine(s, _box(5, 5, 9, 9, k=float("inf")))
)
bad("a circle", InputError, "type box or point, got 'circle'")(
    lambda s, f: _refine(s, {"type": "circle", "slice": 7, "coords": [5, 5, 3]})
)
bad("a prompt in words", InputError, "type, slice and coords as numbers, got 'over there'")(
    lambda s, f: _refine(s, "over there")
)
bad("lesion 0", InputError, "lesion number from 1 to 255, got 0")(lambda s, f: _refine(s, _box(5, 5, 9, 9), lesion=0))
bad("lesion two", InputError, "lesion number as a whole number, got 'two'")(
    lambda s, f: _refine(s, _box(5, 5, 9, 9), lesion="two")
)
bad("a parent that is not there", StoreError, "no mask version 9 .*there is 1, 2")(
    lambda s, f: _refine(s, _box(5, 5, 9, 9), parent_version=9)
)
bad("a parent in words", InputError, "mask version as a whole number, got 'last'")(
    lambda s, f: _refine(s, _box(5, 5, 9, 9), parent_version="last")
)
bad("neither accept nor reject", InputError, "accept, reject or withdraw, got 'maybe'")(
    lambda s, f: s.decisions.decide("P1", DAY1, 1, "maybe", "demo", "ok")
)
bad("no reason", InputError, "reason code of 1 to 64.*got ''")(
    lambda s, f: s.decisions.decide("P1", DAY1, 1, "reject", "demo", "")
)
bad("accepting twice", StoreError, "is the accepted one already. Nothing was changed")(
    lambda s, f: s.decisions.decide("P1", DAY1, 1, "accept", "demo", "ok")
)
bad("accepting what was rejected", StoreError, "was rejected, which is final. Make a new version")(
    lambda s, f: s.decisions.decide("P1", DAY1, 2, "accept", "demo", "ok")
)
bad("no similar lesions at all", InputError, "k of at least 1, got 0")(
    lambda s, f: similar_lesions(s, "P1", DAY1, 1, k=0)
)
bad("a gate over no version", StoreError, "no mask version 7")(lambda s, f: score_mask(s, "P1", DAY1, 7, "demo"))
bad("an event on no day", InputError, "YYYY-MM-DD")(
    lambda s, f: s.events.add("P1", "2024-13-01", "surgery", "left", "demo")
)


def _everything_stored(store: Store) -> dict[str, Any]:
    files = {
        p.relative_to(store.root).as_posix(): p.lstat().st_mtime_ns
        for top in ("raw", "processed", "incoming", "quarantine", "jobs")
        for p in (store.root / top).rglob("*")
        if not p.is_dir() and p.name != "ledger.jsonl"
    }  # it tells of jobs, failed ones too
    tables = {
        "scans": store.scans.of("P1"),
        "masks": store.masks.of("P1"),
        "decisions": store.decisions.of("P1"),
        "patients": store.patients.all(),
        "events": store.events.of("P1"),
        "people": store.people.all(),
        "vectors": store.vectors.all(),
        "anomalies": store.verdicts.of_masks(),
        "ood": store.verdicts.of_scans(),
    }
    return {"files": files, **tables}


def test_after_every_kind_of_bad_request_nothing_is_stored_and_verify_is_clean(store: Store, tmp_path, monkeypatch):
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    _visit(store, DAY1, 1)
    _add(store, _labels(L1=_found(((0, 0, 0), 9.0))))
    _add(store, _labels(L1=_found(((0, 0, 0), 11.0))))
    store.decisions.decide("P1", DAY1, 2, "reject", "demo", "leak")
    store.decisions.decide("P1", DAY1, 1, "accept", "demo", "good")
    store.scans.add(_body(PET, "PET", 9), dataset="d", patient_id="P1", timepoint=DAY3, person="demo")
    lesion = LabelMap(_ball(PET, (0, 0, 0), 12.0).astype(np.uint8), PET)
    _add(store, lesion, DAY3)
    before = _everything_stored(store)

    wrong = {}
    for number, (kind, (ask, error, message)) in enumerate(BAD.items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        try:
            with pytest.raises(error, match=f"(?s){message}") as caught:
                ask(store, folder)
            assert len(str(caught.value)) < 400, "a sentence or two, not a page"
        except BaseException as failure:
            wrong[kind] = failure
    assert not wrong, "\n".join(f"{kind}: {failure!r}" for kind, failure in wrong.items())
    assert len(BAD) >= 50
    assert store.verify() == []
    assert _everything_stored(store) == before
    assert list(temporary.iterdir()) == []
