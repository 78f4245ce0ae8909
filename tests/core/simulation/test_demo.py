"""The demo cohort as a visitor meets it: the shipped network and gates over simulated scans."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.lesions.metrics import dice
from core.simulation import demo
from core.simulation.demo import build
from core.simulation.demo_stories import DEMO
from core.simulation.demo_timepoints import demo_timepoint
from core.twin.curve_points import volume_points
from store import Store
from tests.store_phantom import DAY1, add_scan

STORIES = {story.patient_id: story for story in DEMO}


def _verdict(visit):
    from core.gates.scan.scan_gate import score_scan

    scan = demo_timepoint(STORIES["DEMO-06"], visit).scan
    return score_scan([scan.ct, scan.pet], phantom=True).state


def test_the_scan_gate_catches_the_odd_scan_and_passes_the_one_before():
    assert STORIES["DEMO-06"].fates == {3: "ood"}
    assert _verdict(3) == "out of distribution"
    assert _verdict(2) == "in distribution"


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_a_complete_response_ends_in_an_accepted_empty_mask(store: Store):
    story = STORIES["DEMO-03"]
    weeks = (story.weeks[2], story.weeks[3])
    courses = tuple(replace(c, volumes_ml=c.volumes_ml[2:4], suv=(6, 0)) for c in story.courses)
    build(store, stories=[replace(story, weeks=weeks, courses=courses, fates={1: "correct"})])
    before, after = (store.masks.accepted("DEMO-03", story.date(week)) for week in weeks)
    assert before is not None
    assert after is not None
    assert [lesion["lesion_id"] for lesion in before.lesions] == ["L1"]
    assert not after.lesions
    assert after.version == len(store.masks.of("DEMO-03", after.timepoint))
    assert [p.volume_mm3 for p in volume_points(store, "DEMO-03") if p.lesion_id == "L1"][-1] == 0


@pytest.mark.soak
def test_a_patient_is_segmented_well_decided_and_not_made_twice(store: Store):
    story = replace(STORIES["DEMO-08"], weeks=STORIES["DEMO-08"].weeks[:2], fates={1: "open"})
    made = build(store, stories=[story])
    assert (made["patients"], made["timepoints"], made["mask_versions"], made["decisions"]) == (1, 2, 2, 1)
    assert made["open"] == [f"DEMO-08 {story.date(story.weeks[1])}"]
    for visit, record in enumerate(store.masks.of("DEMO-08")):
        truth = demo_timepoint(story, visit).scan.truth.array > 0
        assert dice(store.masks.load(record).array > 0, truth) > 0.8
        assert [lesion["lesion_id"] for lesion in record.lesions] == ["L1"]
    assert [p.timepoint for p in volume_points(store, "DEMO-08") if p.lesion_id == "total"] == [story.date(0)]
    assert all(scan.metadata["simulated"] for scan in store.scans.of("DEMO-08"))
    assert build(store, stories=[story])["mask_versions"] == 2
    assert store.verify() == []


def test_a_visit_without_a_mask_is_passed_over_when_masks_are_scored_at_last(store: Store):
    add_scan(store)
    demo._score(store, [("P1", DAY1)])
    assert store.verdicts.of_masks() == []
