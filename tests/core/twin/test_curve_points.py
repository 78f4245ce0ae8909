"""The points of a curve from masks alone, on values without a store."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from core.twin.curve_points import volume_points
from core.types import MaskRecord
from tests.core.review.test_decisions import version
from tests.core.twin.timeline_phantom import rows

DAYS = ("2020-01-01", "2020-01-11", "2020-03-01")  # day 0, 10 and 60: 2020 has a 29th of February


def visit(number: int, day: str, status: str = "accepted", **volumes: float) -> MaskRecord:
    """A version with lesions of these volumes."""
    lesions = tuple({**one, "longest_diameter_mm": 1.0} for one in version(number, status, volumes).lesions)
    return replace(version(number, status, volumes), timepoint=day, method="manual", lesions=lesions)


def points(*masks: MaskRecord, problems: Any = ()) -> list[tuple[str, float, float, str]]:
    """(lesion, days, mm3, mask) in the order in which they are given."""
    store = rows(*masks, problems=dict(problems), days=DAYS)
    return [(p.lesion_id, p.days, p.volume_mm3, p.mask_id) for p in volume_points(store, "P1")]


def rejecting(mask: MaskRecord, lesion: str) -> MaskRecord:
    """The same mask with that lesion rejected."""
    marked = tuple({**one, "rejected": True} if one["lesion_id"] == lesion else one for one in mask.lesions)
    return replace(mask, lesions=marked)


def test_days_count_from_the_first_timepoint_and_lesions_come_by_number_the_total_last() -> None:
    found = points(visit(1, DAYS[1], L10=10.0, L2=4.0), visit(2, DAYS[2], L10=12.0, L2=5.0))
    assert found == [
        ("L2", 10, 4, "m1"),
        ("L2", 60, 5, "m2"),
        ("L10", 10, 10, "m1"),
        ("L10", 60, 12, "m2"),
        ("total", 10, 14, "m1"),
        ("total", 60, 17, "m2"),
    ]


def test_only_accepted_masks_whose_file_can_be_read_have_points() -> None:
    masks = [visit(n + 1, DAYS[0], status, L1=1.0) for n, status in enumerate(("proposed", "rejected", "superseded"))]
    assert points(*masks) == []
    masks += [visit(4, DAYS[0], L1=3.0), visit(5, DAYS[1], L1=5.0)]
    assert points(*masks, problems={"m5": "file lost"}) == [("L1", 0, 3, "m4"), ("total", 0, 3, "m4")]
    assert points(*masks, problems={"m4": "file altered", "m5": "file missing"}) == []


def test_a_lesion_that_is_not_there_at_a_timepoint_counts_0_and_one_that_was_rejected_has_no_point() -> None:
    both, one = visit(1, DAYS[0], L1=10.0, L2=4.0), visit(2, DAYS[1], L1=11.0)
    assert ("L2", 10, 0, "m2") in points(both, one)
    rejected = rejecting(visit(2, DAYS[1], L1=11.0, L2=5.0), "L2")
    assert [p for p in points(both, rejected) if p[0] != "L1"] == [
        ("L2", 0, 4, "m1"),
        ("total", 0, 14, "m1"),
        ("total", 10, 11, "m2"),
    ]
    back = rejecting(visit(1, DAYS[0], L1=10.0, L2=4.0), "L2")
    assert ("L2", 10, 5, "m2") in points(back, visit(2, DAYS[1], L1=11.0, L2=5.0)), "it counts where it was not"
    assert {p[0] for p in points(rejected)} == {"L1", "total"}, "a lesion that counts nowhere has no curve"


def test_an_accepted_mask_without_lesions_is_a_total_of_0() -> None:
    assert points(visit(1, DAYS[1])) == [("total", 10, 0, "m1")]
