"""The demo cohort holds the stories that it promises."""

from __future__ import annotations

import datetime as dt
import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from core.errors import InputError
from core.simulation.demo_stories import DEMO, REAL
from core.simulation.demo_timepoints import demo_timepoint, demo_timepoints, real_timepoints
from core.simulation.story import Story


def story(patient_id: str) -> Story:
    return next(s for s in (*DEMO, *REAL) if s.patient_id == patient_id)


@pytest.mark.parametrize("stories", [DEMO, REAL], ids=["demo", "real"])
def test_every_story_is_complete(stories):
    assert len({s.patient_id for s in stories}) == len(stories) >= 6
    for s in stories:
        visits = len(s.weeks)
        assert 4 <= visits <= 6
        gaps = np.diff(s.weeks)
        assert s.weeks[0] == 0
        assert gaps.min() >= 4
        assert gaps.max() <= 10
        assert all(2025 <= dt.date.fromisoformat(s.date(w)).year <= 2026 for w in s.weeks)
        for course in s.courses:
            assert len(course.volumes_ml) == visits
            assert isinstance(course.suv, float | int) or len(course.suv) == visits
        assert set(s.fates) <= set(range(visits))
        assert bool(s.fault) == bool({"ood", "bad_mask"} & set(s.fates.values()))


@pytest.mark.parametrize("stories", [DEMO, REAL], ids=["demo", "real"])
def test_enough_masks_are_accepted_for_the_mask_gate(stories):
    """19 masks of other patients calibrate the gate at 5 %."""
    accepted: Counter[str] = Counter()
    for s in stories:
        for visit in range(len(s.weeks)):
            alive = any(c.volumes_ml[visit] > 0 for c in s.courses)
            accepted[s.patient_id] += alive and s.fates.get(visit, "accept") == "accept"
    for s in stories:
        assert sum(accepted.values()) - accepted[s.patient_id] >= 19


def test_the_demo_has_the_stories_that_were_promised():
    def volumes(patient_id: str, lesion: int = 0) -> list[float]:
        return list(story(patient_id).courses[lesion].volumes_ml)

    assert volumes("DEMO-01") == sorted(volumes("DEMO-01"))
    relapse = volumes("DEMO-02")
    nadir = relapse.index(min(relapse))
    assert min(relapse) < 0.5 * relapse[0]
    assert relapse[-1] > 1.728 * relapse[nadir]
    assert volumes("DEMO-03")[-2:] == [0, 0]
    assert volumes("DEMO-04", 1)[:3] == [0, 0, 44]
    assert len(story("DEMO-05").courses) == 2
    kinds = Counter(fate for s in DEMO for fate in s.fates.values())
    assert kinds["ood"] == kinds["bad_mask"] == 1
    assert kinds["open"] >= 3
    assert kinds["arrived"] == 1
    assert all(s.fates[len(s.weeks) - 1] == "open" for s in DEMO if "open" in s.fates.values())


def test_timepoints_are_the_same_every_time_and_labelled_simulated():
    first, again = next(demo_timepoints([story("DEMO-03")])), demo_timepoint(story("DEMO-03"), 0)
    assert np.array_equal(first.scan.ct.array, again.scan.ct.array)
    assert np.array_equal(first.scan.pet.array, again.scan.pet.array)
    assert first.metadata["simulated"] is True
    assert first.metadata["story"] == story("DEMO-03").text
    assert (first.dataset, first.patient_id, first.date) == ("demo", "DEMO-03", "2025-04-07")


def test_complete_response_leaves_an_empty_mask_for_the_reviewer():
    visits = list(demo_timepoints([story("DEMO-03")]))
    assert [v.fate for v in visits] == ["accept", "accept", "accept", "correct", "correct"]
    assert visits[3].scan.truth.labels == ()
    assert visits[3].mask is not None
    assert visits[3].mask.labels == ()
    assert visits[0].scan.volumes_mm3[1] == pytest.approx(112_000, rel=0.01)
    assert [[e.kind for e in v.events] for v in visits] == [[], ["drug-start"], [], ["drug-stop"], []]
    for before, visit in itertools.pairwise(visits):
        assert all(before.date < e.date <= visit.date for e in visit.events)


def test_merging_joins_the_two_labels():
    visits = [demo_timepoint(story("DEMO-05"), visit) for visit in (0, 4)]
    assert [ndimage.label(v.scan.truth.array > 0)[1] for v in visits] == [2, 1]
    assert all(v.scan.truth.labels == (1, 2) for v in visits)


def test_a_warped_patient_grows_by_the_known_factor_and_moves():
    first, last = (demo_timepoint(story("DEMO-01"), visit) for visit in (0, 4))
    volumes_ml = story("DEMO-01").courses[0].volumes_ml
    assert first.scan.volumes_mm3[1] == pytest.approx(1e3 * volumes_ml[0], rel=0.01)
    assert last.scan.volumes_mm3[1] == pytest.approx(1e3 * volumes_ml[4], rel=0.02)
    assert np.array_equal(first.scan.motion, np.eye(4))
    assert np.abs(last.scan.motion - np.eye(4)).max() > 0.5
    assert last.fate == "arrived"


def test_the_faults_are_where_the_stories_say():
    odd = demo_timepoint(story("DEMO-06"), 3)
    assert odd.fate == "ood"
    assert odd.metadata["fault"] == story("DEMO-06").fault
    bad = demo_timepoint(story("DEMO-07"), 3)
    assert bad.fate == "bad_mask"
    assert bad.mask is not None
    assert bad.mask.volume_mm3 > 1.02 * bad.scan.truth.volume_mm3


def test_a_real_patient_is_followed_up(shared_data):
    visits = list(real_timepoints(shared_data / "sts", [story("SIM-STS_008")]))
    assert [v.dataset for v in visits] == ["sts-sim"] * 4
    assert all(v.metadata["simulated"] is True and "Simulated follow-up" in v.story for v in visits)
    base = visits[0].scan.volumes_mm3[1]
    assert [v.scan.volumes_mm3[1] / base for v in visits] == pytest.approx([1, 0.75, 0.5, 0], abs=0.02)
    assert visits[-1].scan.truth.labels == ()


def test_a_folder_without_the_scans_is_named(tmp_path: Path):
    with pytest.raises(InputError, match="CT_image"):
        next(real_timepoints(tmp_path))
