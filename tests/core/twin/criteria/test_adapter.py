"""A timeline as visits: what each cell becomes, which lesions are new, and what persons said."""

from __future__ import annotations

import pytest

from core.errors import InputError
from core.twin.criteria.adapter import ClinicalWord, SteroidDose, VisitWord, from_timeline, is_new_since
from core.twin.criteria.table import calls_of
from core.twin.criteria.values import FollowedLesion, NewLesion, Protocol
from core.types import Grid
from tests.core.twin.timeline_phantom import DAYS, FIELD, lesion, link, mask, timeline

D1, D2, D3, D4 = DAYS
L1 = FollowedLesion("L1", "liver")
PROTOCOL = Protocol("recist-1.1", D1, (L1,))


def calls(found, protocol=PROTOCOL, **more) -> list[str]:
    return [call.call for call in calls_of(from_timeline(found, protocol, **more), protocol)]


def test_diameters_of_accepted_masks_are_judged_and_a_timepoint_without_one_is_no_visit():
    found = timeline(mask(D1, lesion("L1", 60)), mask(D2, lesion("L1", 30)), mask(D4, lesion("L1", 37)))
    assert calls(found) == ["baseline", "PR", "PD"]
    assert [visit.timepoint for visit in from_timeline(found, PROTOCOL)] == [D1, D2, D4]
    assert [visit.days for visit in from_timeline(found, PROTOCOL)] == [0, 59, 181]


def test_an_accepted_mask_that_cannot_be_read_is_a_visit_without_measurements():
    masks = (mask(D1, lesion("L1", 60)), mask(D2, lesion("L1", 30)))
    assert calls(timeline(*masks, problems={f"m-{D2}": "The file is missing"})) == ["baseline", "NE"]


def test_a_node_without_a_short_axis_is_not_known_and_says_so():
    protocol = Protocol("recist-1.1", D1, (FollowedLesion("L1", "", True),))
    found = timeline(mask(D1, lesion("L1", 20)), mask(D2, lesion("L1", 9)))
    (_, call) = calls_of(from_timeline(found, protocol), protocol)
    assert call.call == "NE"
    assert "the short axis of L1 is not known" in call.sentence


def test_a_lesion_that_was_absent_at_baseline_is_new_at_every_visit_that_has_it():
    one = lesion("L1", 40)
    found = timeline(mask(D1, one), mask(D2, one, lesion("L2", 6)), mask(D3, one, lesion("L2", 12)))
    visits = from_timeline(found, PROTOCOL)
    assert [visit.new_lesions for visit in visits] == [(), (NewLesion("L2", 6),), (NewLesion("L2", 12),)]
    second, third = calls_of(visits, PROTOCOL)[1:]
    assert (second.call, third.call) == ("SD", "PD")
    assert third.progressed_on == D2
    assert calls(found, words=[VisitWord(D2, new_lesions={"L2": True})]) == ["baseline", "PD", "PD"]


def test_what_a_protocol_names_or_the_baseline_has_is_not_new():
    found = timeline(mask(D1, lesion("L1", 40)), mask(D2, lesion("L1", 40), lesion("L2", 12)))
    named = Protocol("recist-1.1", D1, (L1,), (FollowedLesion("L2"),))
    assert from_timeline(found, named)[1].new_lesions == ()
    assert not is_new_since(found, "L2", D2, D2)
    assert is_new_since(found, "L2", D2, D1)


def test_a_lesion_that_was_there_before_the_baseline_is_not_new():
    one, two = lesion("L1", 40), lesion("L2", 12)
    found = timeline(mask(D1, one, two), mask(D2, one), mask(D3, one, two))
    assert from_timeline(found, Protocol("recist-1.1", D2, (L1,)))[2].new_lesions == ()


def test_a_lesion_whose_place_was_not_in_view_at_baseline_is_new_by_a_persons_word_alone():
    far = lesion("L2", 40, centroid_mm=(100.0, 100.0, 150.0))
    low = Grid((100, 100, 45), FIELD.affine)
    found = timeline(mask(D1, lesion("L1", 40)), mask(D2, lesion("L1", 40), far), fields={D1: low})
    assert calls(found) == ["baseline", "SD"]
    assert calls(found, words=[VisitWord(D2, new_lesions={"L2": True})]) == ["baseline", "PD"]


def test_a_label_that_nobody_could_link_may_be_a_new_lesion_and_leaves_no_complete_response():
    found = timeline(
        mask(D1, lesion("L1", 40)),
        mask(D2, lesion("unlinked-2", 20, 2)),
        links=[link(D1, 1, "L1", "new"), link(D2, 2, None, "unlinked"), link(D2, None, "L1", "gone")],
    )
    (_, call) = calls_of(from_timeline(found, PROTOCOL), PROTOCOL)
    assert call.call == "PR"
    assert "unlinked-2" in " ".join(call.notes)


def test_merged_lesions_count_as_the_mass_once():
    found = timeline(
        mask(D1, lesion("L1", 30), lesion("L2", 30, centroid_mm=(100.0, 100.0, 140.0))),
        mask(D2, lesion("L1", 60)),
        links=[
            link(D1, 1, "L1", "new"),
            link(D1, 2, "L2", "new"),
            link(D2, 1, "L1", "merged", into=("L1", "L2")),
            link(D2, None, "L2", "merged into", into=("L1",)),
        ],
    )
    protocol = Protocol("recist-1.1", D1, (L1, FollowedLesion("L2")))
    (_, call) = calls_of(from_timeline(found, protocol), protocol)
    assert (call.call, call.sum_mm, call.baseline_mm) == ("SD", 60, 60)


def test_a_steroid_dose_goes_on_and_a_clinical_word_counts_at_one_visit():
    one = lesion("L1", 40)
    found = timeline(mask(D1, one), mask(D2, one), mask(D3, one))
    visits = from_timeline(
        found,
        PROTOCOL,
        steroids=[SteroidDose("2025-02-01", 4.0), SteroidDose("2025-05-02", 8.0)],
        clinical=[ClinicalWord("2025-02-27", "better"), ClinicalWord("2025-02-01", "worse")],
    )
    assert [visit.dexamethasone_mg for visit in visits] == [None, 4.0, 4.0]
    assert [visit.clinical for visit in visits] == ["unknown", "better", "unknown"]


def test_a_word_on_a_day_without_a_visit_is_refused():
    with pytest.raises(InputError, match="none on another day"):
        from_timeline(timeline(mask(D1, lesion("L1", 40))), PROTOCOL, words=[VisitWord(D2)])


def test_an_older_scan_that_is_accepted_later_changes_no_call():
    masks = [mask(D2, lesion("L1", 60)), mask(D3, lesion("L1", 30))]
    protocol = Protocol("recist-1.1", D2, (L1,))
    assert calls(timeline(*masks), protocol) == ["baseline", "PR"]
    assert calls(timeline(mask(D1, lesion("L1", 10)), *masks), protocol) == ["before baseline", "baseline", "PR"]
