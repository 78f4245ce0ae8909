"""The lines of ../shared/cases/timeline.tsv on which lesion is which, from what was drawn to what is on a curve."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core.imaging.volumes import write_nifti
from core.jobs.mask_import import import_mask
from core.jobs.stages.common import add_version
from core.jobs.stages.draft import save_draft
from core.jobs.stages.relinking import relink
from core.jobs.stages.segment import MIN_LESION_MM3
from core.remembered.links import LinkProposal
from core.review.identity import offered_labels
from core.twin.timeline import PatientTimeline, patient_timeline
from core.types import LabelMap, MaskRecord
from store import Store
from tests.core.jobs.scene import (
    CT,
    DAY1,
    DAY2,
    LEFT,
    RIGHT,
    accept,
    add_scans,
    add_version_of,
    as_the_network_finds,
    ball_of,
    body_image,
    grid_of,
    labels_of,
    lesion_at,
    propose,
    registered,
    said_of,
)


@pytest.fixture
def visits(store: Store) -> Store:
    """Scans of two days, in which the patient lies alike; nothing is registered yet."""
    for seed, day in enumerate((DAY1, DAY2)):
        add_scans(store, day, seed, ((LEFT, 7.0),))
    return store


def draw(store: Store, day: str, labels: LabelMap, parent: int | None = None) -> int:
    """A version by hand; its number."""
    saved = save_draft(store, "P1", day, parent_version=parent, labels=labels, answers=[], person="ann")
    return int(saved["version"])


def imported(store: Store, day: str, labels: LabelMap, folder: Path) -> MaskRecord:
    write_nifti(folder / "mask.nii.gz", np.array(labels.array), labels.grid, overwrite=True)
    return import_mask(store, folder / "mask.nii.gz", patient_id="P1", timepoint=day, author="ann")


def curves(found: PatientTimeline) -> dict[str, list[str]]:
    """The states of each lesion, by time."""
    return {lesion: [cell.state for cell in found.row(lesion)] for lesion in found.lesions}


@pytest.mark.parametrize("label", [1, 2])
def test_the_same_tumour_drawn_by_hand_at_two_visits_is_one_lesion(visits: Store, label: int):
    """As L1, which the brush offers first, or as "new": then it is told by its place, when it is accepted at last."""
    ball = as_the_network_finds((LEFT, 7.0))
    draw(visits, DAY1, labels_of(L1=ball))
    accept(visits, DAY1)
    assert offered_labels(None, ["L1"]) == {1: "L1"}
    draw(visits, DAY2, labels_of(**{f"L{label}": ball}))
    accept(visits, DAY2)
    assert said_of(visits, DAY2) == {label: ("L1", "stable")}
    found = patient_timeline(visits, "P1")
    assert curves(found) == {"L1": ["measured", "measured"]}
    assert len({point.volume_mm3 for point in found.points}) == 1
    assert visits.verify() == []


def test_where_the_registration_failed_lesions_are_unlinked_and_nothing_on_the_curve_moves(visits: Store):
    failed = registered(visits, DAY2, DAY1, "failed")
    add_version_of(visits, labels_of(L1=ball_of(CT, LEFT, 7.0), L2=ball_of(CT, RIGHT, 7.0)))
    accept(visits, DAY1)
    before = [point for point in patient_timeline(visits, "P1").points if point.lesion_id != "total"]
    propose(visits, DAY2, as_the_network_finds((LEFT, 7.0)), visits.root.parent)
    told = [(None, "unlinked"), ("L1", "not assessed"), ("L2", "not assessed")]
    assert said_of(visits, DAY2) == dict(zip([1, "L1", "L2"], told, strict=True))
    (link,) = [link for link in visits.links.of("P1", DAY2) if link.label]
    assert any(f"{DAY1}: failed" in doubt for doubt in link.doubts), "and that is said"
    accept(visits, DAY2)
    found = patient_timeline(visits, "P1")
    assert [point for point in found.points if point.lesion_id != "total"] == before
    assert curves(found) == {"L1": ["measured", "not assessed"], "L2": ["measured", "not assessed"]}
    assert [one.label for one in found.unlinked_at(DAY2)] == [1]
    visits.transforms.judge(failed.transform_id, "accepted", "ann", "the bones lie on each other")
    relink(visits, visits.masks.version("P1", DAY2, 1), "ann")
    assert lesion_at(visits, DAY2, 1, LEFT) == "L1", "once a person says that it is right"


def test_a_patient_who_moved_by_50_mm_is_not_numbered_by_a_registration_that_failed(visits: Store, tmp_path: Path):
    """By the failed matrix L1 would lie where L2 was."""
    first, second = (-30.0, 0.0, 0.0), (20.0, 0.0, 0.0)
    add_version_of(visits, labels_of(L1=ball_of(CT, first, 7.0), L2=ball_of(CT, second, 7.0)))
    accept(visits, DAY1)
    registered(visits, DAY2, DAY1, "failed")
    propose(visits, DAY2, as_the_network_finds((second, 7.0)), tmp_path)
    assert {relation for _, relation in said_of(visits, DAY2).values()} == {"unlinked", "not assessed"}
    registered(visits, DAY2, DAY1, "good", shift_mm=-50.0)
    relink(visits, visits.masks.version("P1", DAY2, 1), "ann")
    assert lesion_at(visits, DAY2, 1, second) == "L1"
    assert said_of(visits, DAY2)["L2"] == ("L2", "not in view")


def test_two_tumours_60_mm_apart_in_a_binary_mask_are_two_lesions(visits: Store, tmp_path: Path):
    both = labels_of(L1=as_the_network_finds(((-30.0, 0.0, 0.0), 7.0), ((30.0, 0.0, 0.0), 7.0)))
    record = imported(visits, DAY1, both, tmp_path)
    assert [(one["label"], one["lesion_id"]) for one in record.lesions] == [(1, "L1"), (2, "L2")]
    assert [one["longest_diameter_mm"] for one in record.lesions] == [pytest.approx(14.0, abs=3.5)] * 2
    assert sum(one["volume_mm3"] for one in record.lesions) == both.volume_mm3
    assert any("Label 2 lay apart from label 1" in word for word in record.prompts[0]["warnings"])


def test_a_stray_voxel_of_12_mm3_is_no_new_lesion_unless_a_person_says_so(store: Store):
    fine = grid_of((40, 30, 12), (2.0, 2.0, 3.0), (-40.0, -30.0, -18.0))
    store.scans.add(body_image(fine, "CT", 1), dataset="d", patient_id="P1", timepoint=DAY1, person="demo")
    array = ball_of(fine, LEFT, 9.0).astype(np.uint8)
    array[35, 15, 6] = 2
    draw(store, DAY1, LabelMap(array, fine))
    (stray,) = [link for link in store.links.of("P1") if link.label == 2]
    assert (stray.lesion_id, stray.relation) == (None, "unlinked")
    assert any("nothing but 12 mm3" in doubt for doubt in stray.doubts)
    accept(store, DAY1)
    found = patient_timeline(store, "P1")
    assert found.lesions == ("L1",)
    assert [one.volume_mm3 for one in found.unlinked] == [12.0]
    store.links.set(stray.mask_id, 2, "L2", "ann", "a small lesion")
    assert patient_timeline(store, "P1").lesions == ("L1", "L2")


def test_label_numbers_that_change_places_between_two_files_move_nothing_on_the_curve(visits: Store, tmp_path: Path):
    registered(visits, DAY2, DAY1)
    large, small = ball_of(CT, LEFT, 8.0), ball_of(CT, (16.0, 0.0, 0.0), 5.0)
    imported(visits, DAY1, labels_of(L1=large, L2=small), tmp_path)
    accept(visits, DAY1)
    imported(visits, DAY2, labels_of(L2=large, L1=small), tmp_path)
    assert said_of(visits, DAY2) == {1: ("L2", "stable"), 2: ("L1", "stable")}
    accept(visits, DAY2)
    found = patient_timeline(visits, "P1")
    volumes = {lesion: [cell.volume_mm3 for cell in found.row(lesion)] for lesion in found.lesions}
    assert volumes == {"L1": [large.sum() * 36.0] * 2, "L2": [small.sum() * 36.0] * 2}


def test_a_piece_of_9_8_mm_where_the_tumour_was_is_kept_and_too_small_to_measure(visits: Store, tmp_path: Path):
    registered(visits, DAY2, DAY1)
    add_version_of(visits, labels_of(L1=ball_of(CT, LEFT, 12.0)))
    accept(visits, DAY1)
    piece, elsewhere = (as_the_network_finds(((x, 0.0, 2.0), 4.9)) for x in (-9.0, 30.0))  # 11 voxels each
    assert piece.sum() * 36.0 == elsewhere.sum() * 36.0 == 396.0 < MIN_LESION_MM3
    propose(visits, DAY2, piece | elsewhere, tmp_path)
    assert np.array_equal(visits.masks.load(visits.masks.version("P1", DAY2, 1)).array == 1, piece)
    assert said_of(visits, DAY2) == {1: ("L1", "stable")}, "what is as small elsewhere is noise"
    accept(visits, DAY2)
    found = patient_timeline(visits, "P1")
    assert curves(found) == {"L1": ["measured", "too small to measure"]}
    assert [point.timepoint for point in found.points if point.lesion_id == "L1"] == [DAY1], "and it is not 0 mm3"


def test_a_lesion_chosen_when_it_was_drawn_can_be_accepted_after_another_visit_was(store: Store) -> None:
    """What its person chose is said again when others have been accepted meanwhile, and not outdated for ever."""
    for seed, day in enumerate((DAY1, DAY2)):
        add_scans(store, day, seed)
    first = add_version_of(store, labels_of(L1=as_the_network_finds((LEFT, 7.0))), DAY1)
    chosen = LinkProposal(1, "L1", "stable", evidence={"chosen": True})
    second = add_version(
        store,
        labels_of(L1=as_the_network_finds((RIGHT, 7.0))),
        "P1",
        DAY2,
        method="manual",
        author="demo",
        parent_version=None,
        links=(chosen,),
    )
    accept(store, DAY1, first.version)
    assert store.links.why_outdated(second.mask_id)
    accept(store, DAY2, second.version)
    (link,) = [x for x in store.links.of_mask(second.mask_id) if x.label == 1]
    assert (link.lesion_id, link.confirmed_by) == ("L1", "ann")
