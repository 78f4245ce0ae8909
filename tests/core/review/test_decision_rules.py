"""Which decisions are allowed and what follows, on values alone, without a store."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.errors import InputError, StoreError
from core.review.decisions import (
    check_decision,
    counted_lesions,
    counted_volume_mm3,
    lesions_after,
    lesions_in_one_total_only,
    rejected_lesion_ids,
    statuses_after,
    withdrawn_mask_ids,
)
from core.types import Decision, MaskRecord
from tests.core.review.test_decisions import version


def without(record: MaskRecord, *lesions: str) -> MaskRecord:
    """The version once these lesions of it were rejected."""
    for name in lesions:
        record = replace(record, lesions=tuple(lesions_after(record.lesions, "reject", {int(name[1:])})))
    return record


def test_rejected_lesions_do_not_count_and_the_volume_is_that_of_the_others() -> None:
    record = replace(version(1), volume_mm3=15.0)  # with a voxel that no lesion has
    assert (rejected_lesion_ids(record), counted_volume_mm3(record)) == (frozenset(), 15.0)
    less = without(record, "L1")
    assert rejected_lesion_ids(less) == {"L1"}
    assert [lesion["lesion_id"] for lesion in counted_lesions(less)] == ["L2"]
    assert counted_volume_mm3(less) == 4.0
    assert counted_volume_mm3(without(less, "L2")) == 0.0


def test_a_lesion_that_is_accepted_again_is_as_it_was_and_the_others_stay_as_they_are() -> None:
    record = version(1)
    less = without(record, "L1", "L2")
    assert [lesion.get("rejected") for lesion in less.lesions] == [True, True]
    again = lesions_after(less.lesions, "accept", {1})
    assert again == [{"label": 1, "lesion_id": "L1", "volume_mm3": 10.0}, less.lesions[1]]
    assert record.lesions[0].get("rejected") is None, "what was given is not changed"


def test_totals_differ_in_the_lesions_that_one_has_rejected_and_the_other_counts() -> None:
    whole = version(1)
    assert lesions_in_one_total_only(without(whole, "L2"), without(whole, "L1")) == ("L1", "L2")
    assert lesions_in_one_total_only(version(2, lesions={"L1": 3.0}), whole) == ()


def test_an_acceptance_is_withdrawn_if_the_newest_word_on_the_whole_version_says_so() -> None:
    def said(mask: str, verdict: str, lesion: str | None = None) -> Decision:
        return Decision("d", mask, verdict, "ann", "", "", "", lesion)  # type: ignore[arg-type]

    history = [
        said("m1", "accept"),
        said("m1", "withdraw"),
        said("m1", "reject", "L1"),
        said("m2", "withdraw"),
        said("m2", "accept"),
        said("m3", "reject"),
    ]
    assert withdrawn_mask_ids(history) == {"m1"}


#: verdict, lesion, newest verdict on it -> by status of the version, what the refusal says, or "" where it is allowed.
ALLOWED = {
    ("accept", None): {"proposed": "", "accepted": "accepted one already", "superseded": ""},
    ("reject", None): {"proposed": "", "accepted": "", "superseded": ""},
    ("withdraw", None): {"proposed": "is proposed, not", "accepted": "", "superseded": "is superseded, not"},
    ("accept", "L1"): {"proposed": "", "accepted": "", "superseded": "was superseded"},
    ("reject", "L1"): {"proposed": "", "accepted": "", "superseded": "was superseded"},
}


@pytest.mark.parametrize(("verdict", "lesion"), ALLOWED)
@pytest.mark.parametrize("status", ["proposed", "accepted", "superseded", "rejected"])
def test_what_is_allowed_by_status(verdict: str, lesion: str | None, status: str) -> None:
    refused = ALLOWED[verdict, lesion].get(status, "was rejected, which is final")
    if not refused:
        check_decision(version(1, status), verdict, lesion)
        return
    with pytest.raises(StoreError, match=refused):
        check_decision(version(1, status), verdict, lesion)


def test_decisions_that_no_version_and_no_lesion_can_have_are_refused() -> None:
    with pytest.raises(InputError, match="accept, reject or withdraw, got 'affirm'"):
        check_decision(version(1), "affirm", None)
    with pytest.raises(InputError, match="whole version is withdrawn, not a lesion"):
        check_decision(version(1, "accepted"), "withdraw", "L1")
    with pytest.raises(StoreError, match="has no lesion 'L7'; it has L1, L2"):
        check_decision(version(1), "reject", "L7")
    with pytest.raises(StoreError, match="it has none"):
        check_decision(version(1, lesions={}), "reject", "L1")


def test_the_same_word_on_a_lesion_again_is_refused_and_the_other_is_not() -> None:
    for verdict, earlier in (("accept", "accept"), ("reject", "reject")):
        with pytest.raises(StoreError, match=f"is {verdict}ed already"):
            check_decision(version(1), verdict, "L1", earlier)
    check_decision(version(1), "accept", "L1", "reject")
    check_decision(version(1), "reject", "L1", "accept")
    check_decision(version(1), "accept", "L1", None)


def test_the_last_lesion_that_counts_in_an_accepted_version_stays() -> None:
    alone = without(version(1, "accepted"), "L2")
    with pytest.raises(StoreError, match="L1 is the last lesion of version 1 of P1"):
        check_decision(alone, "reject", "L1")
    check_decision(alone, "accept", "L1")
    check_decision(alone, "accept", "L2", "reject")
    check_decision(without(version(1), "L2"), "reject", "L1")  # proposed: nobody counts it yet
    check_decision(version(1, "accepted"), "reject", "L1")


def test_a_version_without_any_lesion_can_be_accepted_and_one_with_all_rejected_cannot() -> None:
    check_decision(version(1, lesions={}), "accept", None)
    check_decision(without(version(1), "L1"), "accept", None)
    with pytest.raises(StoreError, match="Every lesion of version 1 of P1"):
        check_decision(without(version(1), "L1", "L2"), "accept", None)
    check_decision(without(version(1), "L1", "L2"), "reject", None)


def test_of_the_versions_of_a_timepoint_the_accepted_one_supersedes_what_is_not_final() -> None:
    versions = [version(n + 1, status) for n, status in enumerate(("rejected", "superseded", "accepted", "proposed"))]
    versions.append(version(5))
    assert statuses_after(versions[4], versions, "accept", None) == (
        {"m5": "accepted", "m3": "superseded", "m4": "superseded"},
        5,
    )
    assert statuses_after(versions[2], versions, "withdraw", None) == ({"m3": "proposed"}, None)
    assert statuses_after(versions[2], versions, "reject", None) == ({"m3": "rejected"}, None)
    assert statuses_after(versions[3], versions, "reject", None) == ({"m4": "rejected"}, 3)
    assert statuses_after(versions[2], versions, "reject", "L1") == ({"m3": "accepted"}, 3)
