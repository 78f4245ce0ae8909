"""Numbers of lesions that a network finds: they follow the place, over timepoints, motion and complete response."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from core.engines.auto import nnunet
from core.imaging import registration
from core.imaging.registration import RigidTransform, State
from core.imaging.volumes import read_label_map
from core.jobs.stages import segment
from core.review.drawable import drawable_lesions
from core.types import LabelMap, Volume, no_progress
from store import Store
from tests.core.jobs.scene import (
    CT,
    DAY1,
    DAY2,
    DAY3,
    FAR,
    LEFT,
    RIGHT,
    add_scans,
    add_version_of,
    as_the_network_finds,
    label_at,
    labels_of,
    propose,
)


def test_numbers_follow_the_place_and_not_the_size_though_the_patient_moved(store: Store, tmp_path):
    """Moved by 18 mm, the left lesion lies exactly where the right one was; registration tells them apart."""
    add_scans(store, DAY1, 1, ((LEFT, 8.0), (RIGHT, 6.5)))
    add_scans(store, DAY2, 2, ((LEFT, 6.5), (RIGHT, 8.0)), shift_mm=18.0)
    first = propose(store, DAY1, as_the_network_finds((LEFT, 8.0), (RIGHT, 6.5)), tmp_path)
    assert first["matching"] == {"prior": None}
    assert (label_at(store, DAY1, 1, LEFT), label_at(store, DAY1, 1, RIGHT)) == (1, 2), "the larger is lesion 1"
    second = propose(store, DAY2, as_the_network_finds((LEFT, 6.5), (RIGHT, 8.0), shift_mm=18.0), tmp_path)
    assert second["matching"]["prior"] == DAY1
    assert second["matching"]["registration_converged"]
    assert (label_at(store, DAY2, 1, (9.0, 0, 0)), label_at(store, DAY2, 1, (27.0, 0, 0))) == (1, 2)
    assert second["matching"]["new"] == second["matching"]["vanished"] == []


def test_segmenting_a_timepoint_again_keeps_its_numbers_and_registers_nothing(store: Store, tmp_path):
    add_scans(store, DAY1, 1)
    add_version_of(store, labels_of(L7=as_the_network_finds((LEFT, 7.0)), L3=as_the_network_finds((RIGHT, 7.0))))
    again = propose(store, DAY1, as_the_network_finds((LEFT, 6.0), (RIGHT, 8.0)), tmp_path)
    assert again["version"] == 2
    assert again["parent_version"] == 1
    assert (label_at(store, DAY1, 2, LEFT), label_at(store, DAY1, 2, RIGHT)) == (7, 3)
    assert again["matching"] == {"prior": DAY1, "merged": {}, "new": [], "vanished": []}


def test_a_rejected_version_does_not_hide_the_numbers_of_the_one_before(store: Store, tmp_path):
    add_scans(store, DAY1, 1)
    add_version_of(store, labels_of(L4=as_the_network_finds((LEFT, 7.0))))
    add_version_of(store, labels_of(L9=as_the_network_finds((LEFT, 7.0))))
    store.decisions.decide("P1", DAY1, 2, "reject", "demo", "wrong")
    propose(store, DAY1, as_the_network_finds((LEFT, 7.0), (RIGHT, 6.5)), tmp_path)
    assert label_at(store, DAY1, 3, LEFT) == 4
    assert label_at(store, DAY1, 3, RIGHT) == 10, "9 was used, though in a rejected version: never given again"
    assert drawable_lesions(store, "P1", "demo", None).new_label == 11


def test_a_lesion_that_returns_after_a_complete_response_has_its_old_number(store: Store, tmp_path):
    for seed, day in enumerate((DAY1, DAY2, DAY3)):
        add_scans(store, day, seed, () if day == DAY2 else ((LEFT, 7.0),))
    add_version_of(store, labels_of(L2=as_the_network_finds((LEFT, 7.0))))
    empty = propose(store, DAY2, np.zeros(CT.shape, bool), tmp_path)
    assert empty["matching"]["vanished"] == [2]
    assert (empty["volume_mm3"], empty["lesions"]) == (0.0, [])
    back = propose(store, DAY3, as_the_network_finds((LEFT, 7.0)), tmp_path)
    assert back["matching"]["prior"] == DAY1
    assert label_at(store, DAY3, 1, LEFT) == 2


def test_one_of_two_lesions_that_was_gone_returns_under_its_old_number(store: Store, tmp_path):
    """The nearest earlier mask knows lesion 1 only; lesion 4 is found again in the one before that, 12 mm away."""
    both = ((LEFT, 7.0), (RIGHT, 7.0))
    for seed, (day, lesions) in enumerate(((DAY1, both), (DAY2, both[:1]), (DAY3, (*both, (FAR, 7.0))))):
        add_scans(store, day, seed, lesions, shift_mm=12.0 if day == DAY3 else 0.0)
    add_version_of(store, labels_of(L1=as_the_network_finds(both[0]), L4=as_the_network_finds(both[1])))
    add_version_of(store, labels_of(L1=as_the_network_finds(both[0])), DAY2)
    back = propose(store, DAY3, as_the_network_finds(*both, (FAR, 7.0), shift_mm=12.0), tmp_path)
    assert [label_at(store, DAY3, 1, (x + 12, y, z)) for x, y, z in (LEFT, RIGHT, FAR)] == [1, 4, 5]
    assert back["matching"]["new"] == [5]
    assert back["matching"]["vanished"] == []


def test_a_timepoint_that_arrives_late_is_numbered_after_the_nearest_earlier_one_else_the_next(store: Store, tmp_path):
    for seed, day in enumerate((DAY1, DAY2, DAY3)):
        add_scans(store, day, seed, ((LEFT, 7.0),))
    add_version_of(store, labels_of(L6=as_the_network_finds((LEFT, 7.0))), DAY3)
    assert propose(store, DAY2, as_the_network_finds((LEFT, 7.0)), tmp_path)["matching"]["prior"] == DAY3
    assert label_at(store, DAY2, 1, LEFT) == 6
    assert propose(store, DAY3, as_the_network_finds((LEFT, 7.0)), tmp_path)["matching"]["prior"] == DAY3, (
        "its own before all"
    )


def test_two_lesions_that_became_one_are_said_to_have_merged(store: Store, tmp_path):
    add_scans(store, DAY1, 1)
    add_version_of(store, labels_of(L1=as_the_network_finds((LEFT, 8.0)), L2=as_the_network_finds((RIGHT, 6.5))))
    merged = propose(store, DAY1, as_the_network_finds((LEFT, 10.0), (RIGHT, 10.0)), tmp_path)
    assert merged["matching"]["merged"] == {"1": [1, 2]}
    assert [lesion["label"] for lesion in merged["lesions"]] == [1]


def test_pieces_below_half_a_millilitre_are_left_out(store: Store, tmp_path):
    """A ball of radius 4 mm has 268 mm3, one of 6 mm 905 mm3."""
    add_scans(store, DAY1, 1)
    record = propose(store, DAY1, as_the_network_finds((LEFT, 4.0), (RIGHT, 6.0)), tmp_path)
    assert len(record["lesions"]) == 1
    assert label_at(store, DAY1, 1, RIGHT) == 1
    assert label_at(store, DAY1, 1, LEFT) == 0


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
            return SimpleNamespace(
                labels=labels, checkpoint_sha256="0" * 64, channels=(), model_files={}, seconds={}, coverage=()
            )

        def lesion_mask(self, array: np.ndarray) -> np.ndarray:
            return array > 0

    monkeypatch.setattr(nnunet, "load_segmenter", lambda model_id: Network())
    add_scans(store, DAY1, 1)
    params = segment.prepare_segment(store, {"patient_id": "P1", "timepoint": DAY1}, "demo")
    result = segment.compute_segment(params, tmp_path, no_progress)
    assert np.array_equal(read_label_map(tmp_path / result["mask"]).array, found & (np.arange(40) < 10)[:, None, None])


def test_a_lesion_whose_centre_moved_by_more_than_10_mm_is_new(store: Store, tmp_path):
    """Voxels are 3 mm wide: 3 of them are 9 mm, 4 are 12 mm. Nothing overlaps."""
    add_scans(store, DAY1, 1)
    add_version_of(store, labels_of(L2=_block(np.s_[10:12, 5:12, 5]), L5=_block(np.s_[10:12, 20:27, 5])))
    moved = propose(store, DAY1, _block(np.s_[13:15, 5:12, 5], np.s_[14:16, 20:27, 5]), tmp_path)
    assert moved["matching"] == {"prior": DAY1, "merged": {}, "new": [6], "vanished": [5]}


def _no_alignment(store: Store, monkeypatch: Any, day: str) -> None:
    """From here on the scans of `day` do not align with any other: nothing is known of the motion."""
    shown = store.scans.load(store.scans.reference("P1", day)).array

    def fails(fixed: Volume, moving: Volume) -> RigidTransform:
        aligned = not np.array_equal(moving.array, shown)
        state: State = "good" if aligned else "failed"
        return RigidTransform(np.eye(4), 1.0 if aligned else 0.0, state, 0.0, "converged" if aligned else "no")

    monkeypatch.setattr(registration, "rigid", fails)


def test_the_nearest_timepoint_that_did_not_align_is_used_and_that_is_said(store: Store, tmp_path, monkeypatch):
    for seed, day in enumerate((DAY1, DAY2)):
        add_scans(store, day, seed)
    add_version_of(store, labels_of(L3=as_the_network_finds((LEFT, 7.0))))
    _no_alignment(store, monkeypatch, DAY1)
    found = propose(store, DAY2, as_the_network_finds((LEFT, 7.0)), tmp_path)
    assert found["matching"]["registration_converged"] is False
    assert label_at(store, DAY2, 1, LEFT) == 3


@pytest.mark.parametrize("aligns", [True, False])
def test_an_older_timepoint_that_did_not_align_gives_no_lesion_its_number(
    store: Store, tmp_path, monkeypatch, aligns: bool
):
    """A lesion called new is found out in review; one under a wrong number may not be."""
    for seed, day in enumerate((DAY1, DAY2, DAY3)):
        add_scans(store, day, seed)
    add_version_of(store, labels_of(L1=as_the_network_finds((LEFT, 7.0)), L4=as_the_network_finds((RIGHT, 7.0))))
    add_version_of(store, labels_of(L1=as_the_network_finds((LEFT, 7.0))), DAY2)
    _no_alignment(store, monkeypatch, DAY3 if aligns else DAY1)
    back = propose(store, DAY3, as_the_network_finds((LEFT, 7.0), (RIGHT, 7.0)), tmp_path)
    assert back["matching"]["registration_converged"] is True
    assert label_at(store, DAY3, 1, RIGHT) == (4 if aligns else 5)
    assert back["matching"]["new"] == ([] if aligns else [5])


def test_an_older_timepoint_gives_only_the_lesions_that_no_nearer_one_knows(store: Store, tmp_path, monkeypatch):
    """Lesion 1 was at the right before, and is at the left since: what is at the right now is none of the known."""
    for seed, day in enumerate((DAY1, DAY2, DAY3)):
        add_scans(store, day, seed)
    add_version_of(store, labels_of(L1=as_the_network_finds((RIGHT, 7.0)), L2=as_the_network_finds((FAR, 5.0))))
    add_version_of(store, labels_of(L1=as_the_network_finds((LEFT, 7.0))), DAY2)
    _no_alignment(store, monkeypatch, DAY3)
    found = propose(store, DAY3, as_the_network_finds((LEFT, 7.0), (RIGHT, 7.0)), tmp_path)
    assert (label_at(store, DAY3, 1, LEFT), label_at(store, DAY3, 1, RIGHT)) == (1, 3)
    assert found["matching"]["new"] == [3]


def test_the_accepted_version_tells_the_numbers_though_a_newer_one_is_proposed(store: Store, tmp_path):
    add_scans(store, DAY1, 1)
    add_version_of(store, labels_of(L4=as_the_network_finds((LEFT, 7.0))))
    store.decisions.decide("P1", DAY1, 1, "accept", "demo", "good")
    add_version_of(store, labels_of(L9=as_the_network_finds((LEFT, 7.0))))
    propose(store, DAY1, as_the_network_finds((LEFT, 7.0)), tmp_path)
    assert label_at(store, DAY1, 3, LEFT) == 4
