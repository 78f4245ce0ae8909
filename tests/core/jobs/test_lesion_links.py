"""Which lesions a network's pieces are: told from accepted masks, by their place, over motion and complete response."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from core.engines.auto import nnunet
from core.imaging.volumes import read_label_map
from core.jobs.stages import segment
from core.jobs.stages.draft import save_draft
from core.jobs.stages.linking import good_path, prepare_links
from core.remembered.links import StoredTransform
from core.types import LabelMap, no_progress
from store import Store
from tests.core.jobs.scene import (
    CT,
    DAY1,
    DAY2,
    DAY3,
    FAR,
    LEFT,
    RIGHT,
    accept,
    add_scans,
    add_version_of,
    as_the_network_finds,
    label_at,
    labels_of,
    lesion_at,
    propose,
    registered,
    said_of,
)

BOTH = ((LEFT, 7.0), (RIGHT, 7.0))


def days(store: Store, *names: str) -> None:
    """Scans of these days, all registered with each other as lying alike."""
    for seed, day in enumerate(names):
        add_scans(store, day, seed)
        for earlier in names[:seed]:
            registered(store, day, earlier)


def known(store: Store, day: str, **lesions: tuple[tuple[float, float, float], float]) -> None:
    """An accepted mask of a day: known(store, DAY1, L2=(LEFT, 7.0))."""
    add_version_of(store, labels_of(**{name: as_the_network_finds(ball) for name, ball in lesions.items()}), day)
    accept(store, day, store.masks.of("P1", day)[-1].version)


def test_lesions_follow_the_place_and_not_the_size_though_the_patient_moved(store: Store, tmp_path):
    """Moved by 18 mm, the left lesion lies exactly where the right one was; registration tells them apart."""
    add_scans(store, DAY1, 1, ((LEFT, 8.0), (RIGHT, 6.5)))
    add_scans(store, DAY2, 2, ((LEFT, 6.5), (RIGHT, 8.0)), shift_mm=18.0)
    propose(store, DAY1, as_the_network_finds((LEFT, 8.0), (RIGHT, 6.5)), tmp_path)
    assert (lesion_at(store, DAY1, 1, LEFT), lesion_at(store, DAY1, 1, RIGHT)) == ("L1", "L2"), "the larger is L1"
    accept(store, DAY1)
    second = propose(store, DAY2, as_the_network_finds((LEFT, 6.5), (RIGHT, 8.0), shift_mm=18.0), tmp_path)
    assert (lesion_at(store, DAY2, 1, (9.0, 0, 0)), lesion_at(store, DAY2, 1, (27.0, 0, 0))) == ("L1", "L2")
    assert [(link["relation"], link["from_timepoint"]) for link in second["links"]] == [("stable", DAY1)] * 2
    (kept,) = store.transforms.of("P1")
    assert kept.registration_state in ("good", "doubtful")
    assert kept.matrix[0][3] == pytest.approx(-18.0, abs=1.5)
    links = store.links.of("P1", DAY2)
    assert {link.evidence["transform_id"] for link in links} == {kept.transform_id}, "which is stored, and named"
    accept(store, DAY2)
    assert len(store.transforms.of("P1")) == 1, "a pair is registered once"


def test_nothing_is_told_by_a_mask_of_another_day_that_nobody_accepted(store: Store, tmp_path):
    """Once it is accepted the later one is told anew when that is accepted, and keeps no number of its own."""
    days(store, DAY1, DAY2)
    propose(store, DAY1, as_the_network_finds((LEFT, 7.0)), tmp_path)
    propose(store, DAY2, as_the_network_finds((LEFT, 7.0)), tmp_path)
    assert said_of(store, DAY2) == {2: ("L2", "new")}
    accept(store, DAY1)
    accept(store, DAY2)
    assert said_of(store, DAY2) == {2: ("L1", "stable")}
    assert {link.confirmed_by for link in store.links.of("P1")} == {"ann"}
    assert store.verify() == []


def test_segmenting_a_timepoint_again_keeps_its_lesions_and_registers_nothing(store: Store, tmp_path):
    add_scans(store, DAY1, 1)
    add_version_of(store, labels_of(L7=as_the_network_finds((LEFT, 7.0)), L3=as_the_network_finds((RIGHT, 7.0))))
    again = propose(store, DAY1, as_the_network_finds((LEFT, 6.0), (RIGHT, 8.0)), tmp_path)
    assert (again["version"], again["parent_version"]) == (2, 1)
    assert (lesion_at(store, DAY1, 2, LEFT), lesion_at(store, DAY1, 2, RIGHT)) == ("L7", "L3")
    assert (label_at(store, DAY1, 2, LEFT), label_at(store, DAY1, 2, RIGHT)) == (7, 3), "where the number is free"
    assert {link["relation"] for link in again["links"]} == {"new"}, "of this visit"
    assert store.transforms.of("P1") == []


def test_a_rejected_version_does_not_hide_the_lesions_of_the_one_before(store: Store, tmp_path):
    add_scans(store, DAY1, 1)
    add_version_of(store, labels_of(L4=as_the_network_finds((LEFT, 7.0))))
    add_version_of(store, labels_of(L9=as_the_network_finds((LEFT, 7.0))))
    store.decisions.decide("P1", DAY1, 2, "reject", "demo", "wrong")
    propose(store, DAY1, as_the_network_finds((LEFT, 7.0), (RIGHT, 6.5)), tmp_path)
    assert lesion_at(store, DAY1, 3, LEFT) == "L4"
    assert lesion_at(store, DAY1, 3, RIGHT) == "L10", "9 was used, though in a rejected version: never given again"


def test_a_lesion_that_returns_after_a_complete_response_is_the_one_that_it_was(store: Store, tmp_path):
    days(store, DAY1, DAY2, DAY3)
    known(store, DAY1, L2=(LEFT, 7.0))
    empty = propose(store, DAY2, np.zeros(CT.shape, bool), tmp_path)
    assert (empty["volume_mm3"], empty["lesions"]) == (0.0, [])
    assert said_of(store, DAY2) == {"L2": ("L2", "gone")}
    accept(store, DAY2)
    propose(store, DAY3, as_the_network_finds((LEFT, 7.0)), tmp_path)
    assert said_of(store, DAY3) == {2: ("L2", "reappeared")}


def test_a_lesion_that_the_nearest_mask_has_not_is_found_in_the_one_before(store: Store, tmp_path):
    """The patient lies 12 mm further on the third day; L4 was gone on the second."""
    for seed, day in enumerate((DAY1, DAY2, DAY3)):
        add_scans(store, day, seed)
    registered(store, DAY2, DAY1)
    for day in (DAY1, DAY2):
        registered(store, DAY3, day, shift_mm=-12.0)
    known(store, DAY1, L1=BOTH[0], L4=BOTH[1])
    known(store, DAY2, L1=BOTH[0])
    propose(store, DAY3, as_the_network_finds(*BOTH, (FAR, 7.0), shift_mm=12.0), tmp_path)
    told = {lesion: relation for lesion, relation in said_of(store, DAY3).values()}
    assert told == {"L1": "stable", "L4": "reappeared", "L5": "new"}
    assert [lesion_at(store, DAY3, 1, (x + 12, y, z)) for x, y, z in (LEFT, RIGHT, FAR)] == ["L1", "L4", "L5"]


def test_a_timepoint_that_arrives_late_is_told_from_the_accepted_one_after_it(store: Store, tmp_path):
    days(store, DAY2, DAY3)
    known(store, DAY3, L6=(LEFT, 7.0))
    propose(store, DAY2, as_the_network_finds((LEFT, 7.0)), tmp_path)
    assert said_of(store, DAY2)[6][0] == "L6"


def test_two_lesions_that_became_one_are_said_to_have_merged(store: Store, tmp_path):
    days(store, DAY1, DAY2)
    known(store, DAY1, L1=(LEFT, 8.0), L2=(RIGHT, 6.5))
    merged = propose(store, DAY2, as_the_network_finds((LEFT, 10.0), (RIGHT, 10.0)), tmp_path)
    assert said_of(store, DAY2) == {1: ("L1", "merged"), "L2": ("L2", "merged into")}
    assert sorted(tuple(link["into"]) for link in merged["links"]) == [("L1",), ("L1", "L2")]
    assert [lesion["label"] for lesion in merged["lesions"]] == [1]


def test_pieces_below_half_a_millilitre_are_left_out_where_no_lesion_was(store: Store, tmp_path):
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
        compartment_names: dict[int, str] = {}  # noqa: RUF012

        def segment(self, volumes: Any, progress: Any) -> Any:
            labels = LabelMap(found.astype(np.uint8), CT)
            return SimpleNamespace(
                labels=labels,
                checkpoint_sha256="0" * 64,
                channels=(),
                model_files={},
                seconds={},
                coverage=(),
                probability=None,
            )

        def lesion_mask(self, array: np.ndarray) -> np.ndarray:
            return array > 0

    monkeypatch.setattr(nnunet, "load_segmenter", lambda model_id: Network())
    add_scans(store, DAY1, 1)
    params = segment.prepare_segment(store, {"patient_id": "P1", "timepoint": DAY1}, "demo")
    result = segment.compute_segment(params, tmp_path, no_progress)
    assert np.array_equal(read_label_map(tmp_path / result["mask"]).array, found & (np.arange(40) < 10)[:, None, None])
    (told,) = result["left_out"]
    assert (told["pieces"], round(told["volume_mm3"])) == (1, 468)
    assert told["words"].startswith("1 piece of what the network found (0.47 mL in all")
    notes = segment.record_segment(store, params, result, tmp_path, "demo")["notes"]
    assert told["words"] in notes, "what is left out is never left out silently"
    assert store.masks.version("P1", DAY1, 1).prompts[0]["type"] == "left-out"


@pytest.mark.parametrize("aligns", [True, False])
def test_an_older_timepoint_that_did_not_align_tells_no_lesion(store: Store, tmp_path, aligns: bool):
    """A lesion called new is found out in review; one under a wrong number may not be. That nobody looked is said."""
    for seed, day in enumerate((DAY1, DAY2, DAY3)):
        add_scans(store, day, seed)
    registered(store, DAY2, DAY1)
    registered(store, DAY3, DAY2)
    registered(store, DAY3, DAY1, "good" if aligns else "failed")
    known(store, DAY1, L1=(LEFT, 7.0), L4=(RIGHT, 7.0))
    known(store, DAY2, L1=(LEFT, 7.0))
    back = propose(store, DAY3, as_the_network_finds(*BOTH), tmp_path)
    assert lesion_at(store, DAY3, 1, LEFT) == "L1"
    assert lesion_at(store, DAY3, 1, RIGHT) == ("L4" if aligns else "L5")
    (right,) = [link for link in back["links"] if link["lesion_id"] in ("L4", "L5") and link["label"]]
    assert any(f"{DAY1} could not be aligned" in doubt for doubt in right["doubts"]) == (not aligns)


def test_by_way_of_another_visit_the_registration_counts_that_a_person_set_right(store: Store, tmp_path):
    """The third day is registered with the second alone, and that first lay 18 mm off: there L1 would be L2."""
    for seed, day in enumerate((DAY1, DAY2, DAY3)):
        add_scans(store, day, seed)
    known(store, DAY1, L1=(LEFT, 7.0), L2=(RIGHT, 7.0))
    registered(store, DAY2, DAY1, shift_mm=18.0)
    registered(store, DAY3, DAY2)
    right = registered(store, DAY2, DAY1)
    store.transforms.judge(right.transform_id, "accepted", "ann", "set by hand")
    propose(store, DAY3, as_the_network_finds((LEFT, 7.0)), tmp_path)
    assert lesion_at(store, DAY3, 1, LEFT) == "L1"
    assert len(store.transforms.of("P1")) == 3, "nothing was registered again"
    store.transforms.judge(right.transform_id, "refused", "ann", "it is off too")
    params = prepare_links(store, "P1", DAY3, {DAY1: store.masks.of("P1", DAY1), DAY2: []})
    assert good_path([StoredTransform(**one) for one in params["among"]], DAY3, DAY1) is None


def test_the_nearest_timepoint_says_where_a_lesion_is_before_older_ones(store: Store, tmp_path):
    """L1 was at the right before, and is at the left since: what is at the left now is L1."""
    days(store, DAY1, DAY2, DAY3)
    known(store, DAY1, L1=(RIGHT, 7.0), L2=(FAR, 5.0))
    known(store, DAY2, L1=(LEFT, 7.0))
    propose(store, DAY3, as_the_network_finds((LEFT, 7.0)), tmp_path)
    assert lesion_at(store, DAY3, 1, LEFT) == "L1"


def test_the_accepted_version_tells_the_lesions_though_a_newer_one_is_proposed(store: Store, tmp_path):
    add_scans(store, DAY1, 1)
    known(store, DAY1, L4=(LEFT, 7.0))
    add_version_of(store, labels_of(L9=as_the_network_finds((LEFT, 7.0))))
    propose(store, DAY1, as_the_network_finds((LEFT, 7.0)), tmp_path)
    assert lesion_at(store, DAY1, 3, LEFT) == "L4"


def test_a_lesion_that_is_erased_and_drawn_again_under_another_label_is_not_gone(store: Store):
    """It is told by its place in the version before; and one that was gone is there again once the brush draws it."""
    days(store, DAY1, DAY2)
    known(store, DAY1, L1=(LEFT, 7.0), L2=(RIGHT, 7.0))
    left, right = (as_the_network_finds(ball) for ball in BOTH)

    def draw(parent: int | None, **lesions: np.ndarray) -> dict[int | str, tuple[str | None, str]]:
        drawn: Any = {"parent_version": parent, "labels": labels_of(**lesions), "answers": [], "person": "ann"}
        return said_of(store, DAY2, save_draft(store, "P1", DAY2, **drawn)["version"])

    assert draw(None, L1=left) == {1: ("L1", "stable")}
    assert draw(1, L9=left) == {9: ("L1", "stable")}
    assert draw(1, L2=right) == {2: ("L2", "stable"), "L1": ("L1", "gone")}
    assert draw(3, L1=left, L2=right) == {1: ("L1", "stable"), 2: ("L2", "stable")}


def test_a_person_s_word_on_a_lesion_stays_when_it_is_told_anew(store: Store, tmp_path):
    days(store, DAY1, DAY2)
    propose(store, DAY1, as_the_network_finds((LEFT, 7.0)), tmp_path)
    propose(store, DAY2, as_the_network_finds(*BOTH), tmp_path)
    record = store.masks.version("P1", DAY2, 1)
    label = label_at(store, DAY2, 1, LEFT)
    store.links.set(record.mask_id, label, "L7", "ann", "another one, seen on the MR")
    accept(store, DAY1)
    accept(store, DAY2)
    assert lesion_at(store, DAY2, 1, LEFT) == "L7"
