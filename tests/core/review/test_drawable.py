"""Which lesions a brush offers, and under which label: told by hand for small patients."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from core.review.drawable import drawable_of, free_label
from core.types import MaskRecord
from tests.core.review.test_readers import version
from tests.store_phantom import DAY1, DAY2


def mask(day: str, status: Any = "accepted", **lesions: int) -> MaskRecord:
    """A version of those lesions, each with its label."""
    rows = tuple({"label": label, "lesion_id": name.replace("_", "-")} for name, label in lesions.items())
    return replace(version(1, "ann", status=status), timepoint=day, lesions=rows)


def test_on_a_timepoint_without_a_mask_the_patients_lesions_are_offered_by_number_with_where_they_were_last():
    found = drawable_of(None, [mask(DAY1, L10=1, L2=2), mask(DAY2, L2=1)])
    assert list(found.offered.items()) == [(2, "L2"), (10, "L10")]
    assert found.last_seen == {"L2": DAY2, "L10": DAY1}
    assert found.new_label == 11


def test_a_lesion_whose_number_is_another_lesions_label_here_is_offered_under_a_free_one():
    """Label 1 of this mask is L2: L1 cannot be drawn under 1."""
    here = mask(DAY2, L2=1)
    found = drawable_of(here, [mask(DAY1, L1=1, L2=2), here])
    assert found.offered == {255: "L1"}
    assert found.new_label == 3


def test_what_was_rejected_or_could_not_be_linked_is_not_offered_and_no_number_is_given_twice():
    said_no = replace(mask(DAY1, L1=1), lesions=({"label": 1, "lesion_id": "L1", "rejected": True},))
    found = drawable_of(None, [said_no, mask(DAY2, "rejected", L7=7), mask(DAY2, unlinked_4=4, L2=2)])
    assert found.offered == {2: "L2"}
    assert found.new_label == 8


def test_what_a_label_was_drawn_as_it_stays_though_others_have_found_more_meanwhile():
    """Label 2 was drawn as new when the patient had L1 alone; now somebody's L2 would be offered under it."""
    seen = [mask(DAY1, L1=1), mask(DAY1, "proposed", L2=1)]
    assert drawable_of(None, seen).offered == {1: "L1", 2: "L2"}
    found = drawable_of(None, seen, {2: None, 5: "L1"})
    assert found.offered == {5: "L1", 255: "L2"}
    assert found.new_label == 3


def test_a_browser_that_names_a_lesion_which_the_patient_has_not_or_the_version_has_itself_is_not_believed():
    here = mask(DAY2, L1=1)
    assert drawable_of(here, [here], {2: "L9", 3: "L1"}).offered == {}


def test_a_free_label_is_the_number_that_a_new_lesion_will_have_else_the_lowest_and_none_when_all_are_in_use():
    assert free_label([1, 2], 3) == 3
    assert free_label(range(3, 256), 300) == 1
    assert free_label([1, *range(200, 256)], 200) == 2
    assert free_label(range(1, 256), 1) is None
