"""Situations: each shows what its name says, on a ball and on a real scan."""

from __future__ import annotations

import pytest

from core.errors import InputError
from core.imaging.volumes import read_label_map, read_volume
from core.simulation.followups import simulated_visit
from core.simulation.situations import situations
from core.types import LabelMap
from tests.bench.bench_followups import changes, judged
from tests.core.simulation.test_followups import ball_scan


@pytest.fixture(scope="module")
def shown():
    """Name -> the visits that it shows."""
    scans, mask = ball_scan()
    found = situations(scans[0], mask)
    assert not [one.why_not for one in found.values() if one.why_not]
    wanted = ("another comes back", "two merge", "cut short", "the only lesion goes")
    return {name: [simulated_visit(scans[:1], mask, visit) for visit in found[name].visits] for name in wanted}


def test_two_lesions_lie_apart_before_they_merge(shown):
    before, after = shown["two merge"]
    assert sorted(before.lesions_of.values()) == [(1,), (2,)]
    assert [set(held) for held in after.lesions_of.values()] == [{1, 2}]
    assert after.volumes_mm3[2] > before.volumes_mm3[2]


def test_a_lesion_that_comes_back_was_there_and_gone(shown):
    assert [visit.truth.labels for visit in shown["another comes back"]] == [(1, 2), (1,), (1, 2)]


def test_what_a_short_scan_leaves_out_it_leaves_out_wholly_and_the_tumour_stays_whole(shown):
    before, after = shown["cut short"]
    assert before.in_view == {1: 1.0, 2: 1.0}
    assert after.in_view == {1: 1.0, 2: 0.0}


def test_a_visit_that_nobody_says_anything_of_is_judged_silently_wrong(shown):
    """The bench's judge, without any proposal."""
    assert judged(shown["the only lesion goes"][:1], shown["the only lesion goes"][1], ()) == ["silently wrong"]
    assert judged(shown["two merge"][:1], shown["two merge"][1], ()) == ["silently wrong"]


def test_an_empty_mask_has_no_situations():
    scans, mask = ball_scan()
    with pytest.raises(InputError, match="holds a tumour"):
        situations(scans[0], LabelMap(mask.array * 0, mask.grid))


def test_on_a_real_scan_the_change_of_the_true_masks_is_within_three_percent(shared_data):
    home = shared_data / "sts" / "STS_019"
    scan, mask = read_volume(home / "CT_image.nii.gz", "CT"), read_label_map(home / "CT_mask.nii.gz")
    before, after = (simulated_visit([scan], mask, v) for v in situations(scan, mask)["shrinks by 50 %"].visits)
    assert after.volumes_mm3[1] == pytest.approx(0.5 * before.volumes_mm3[1], rel=0.011)
    assert abs(changes(before, after)["L1"]) < 3
