"""Proposed targets, the table of criteria, and what a protocol or visit may not say."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.errors import InputError
from core.twin.criteria.table import ABOUT, CRITERIA, calls_by_criterion, calls_of, disagreeing_timepoints
from core.twin.criteria.targets import Candidate, propose_targets
from core.twin.criteria.values import FollowedLesion, Measurement, Protocol, Visit


def candidate(name: str, mm: float | None, organ: str = "liver", is_node: bool = False, state="measured") -> Candidate:
    longest, short = (None, mm) if is_node else (mm, None)
    return Candidate(FollowedLesion(name, organ, is_node), Measurement(name, state, longest, short))


def ids(lesions) -> list[str]:
    return [lesion.lesion_id for lesion in lesions]


def test_the_largest_two_of_an_organ_are_proposed_and_the_others_followed_with_a_reason():
    found = propose_targets(
        [candidate("L1", 12), candidate("L2", 30), candidate("L3", 20), candidate("L4", 40, "lung")]
    )
    assert ids(found.targets) == ["L4", "L2", "L3"]
    assert ids(found.nontargets) == ["L1"]
    assert "two lesions of liver" in found.why_not["L1"]


def test_at_most_five_are_proposed():
    found = propose_targets([candidate(f"L{n}", 50 - n, f"organ {n}") for n in range(1, 8)])
    assert ids(found.targets) == ["L1", "L2", "L3", "L4", "L5"]
    assert ids(found.nontargets) == ["L6", "L7"]


def test_all_nodes_are_one_organ_and_measured_by_their_short_axis():
    lesions = [candidate(f"N{n}", mm, f"chain {n}", True) for n, mm in enumerate((16, 15, 20, 14.9, 9), start=1)]
    found = propose_targets(lesions)
    assert ids(found.targets) == ["N3", "N1"]
    assert ids(found.nontargets) == ["N2", "N4"], "N5 is a normal node: neither"
    assert found.why_not["N4"] == "short axis 14.9 mm, below 15 mm"


def test_what_is_small_or_not_measured_is_no_target():
    lesions = [candidate("L1", 9.9), candidate("L2", None), candidate("L3", None, state="too small to measure")]
    found = propose_targets([*lesions, candidate("L4", 10), candidate("L5", None, state="absent")])
    assert ids(found.targets) == ["L4"]
    assert ids(found.nontargets) == ["L1", "L2", "L3"]
    assert found.why_not["L2"] == "its longest diameter is not known"


def test_no_lesion_gives_no_target_and_lesions_of_no_named_organ_are_of_one():
    assert propose_targets([]).targets == ()
    assert ids(propose_targets([candidate(f"L{n}", 20 + n, "") for n in range(3)]).targets) == ["L2", "L1"]


def _visit(day: int, mm: float) -> Visit:
    cell = Measurement("L1", "measured", mm, mm, 1000.0 * mm**3, mm)
    return Visit(f"2025-01-{day:02d}", day, (cell,), dexamethasone_mg=0, clinical="stable")


PROTOCOL = Protocol("recist-1.1", "2025-01-01", (FollowedLesion("L1"),), log_sd=0.05)


def test_all_criteria_are_shown_and_where_they_disagree():
    calls = calls_by_criterion([_visit(1, 100), _visit(29, 110)], PROTOCOL)
    assert set(calls) == set(CRITERIA) == set(ABOUT)
    assert calls["recist-1.1"][1].call == "SD"
    assert calls["volume-beaumont"][1].call == "SD"
    assert calls["lugano"][1].call == "NE"
    assert disagreeing_timepoints(calls) == ()
    more = calls_by_criterion([_visit(1, 100), _visit(29, 116)], PROTOCOL)
    assert (more["recist-1.1"][1].call, more["volume-beaumont"][1].call) == ("SD", "PD")
    assert disagreeing_timepoints(more) == ("2025-01-29",)
    assert more["recist-1.1"][1].flips_within_noise is True
    assert more["volume-beaumont"][1].flips_within_noise is None, "the noise is of diameters"


def test_the_nadir_stops_at_progression():
    calls = calls_of([_visit(1, 100), _visit(2, 130), _visit(3, 50), _visit(4, 90)], PROTOCOL)
    assert [call.nadir_mm for call in calls[1:]] == [100, 100, 100]
    assert {call.progressed_on for call in calls[1:]} == {"2025-01-02"}


def test_progression_that_is_confirmed_dates_from_where_it_was_first_called():
    protocol = Protocol("irecist", "2025-01-01", (FollowedLesion("L1"),))
    visits = [Visit(f"2025-0{n}-01", 30.0 * n, _visit(1, mm).measurements) for n, mm in ((1, 40), (2, 50), (3, 56))]
    last = calls_of(visits, protocol)[-1]
    assert (last.call, last.progressed_on) == ("iCPD", "2025-02-01")
    assert "Progression dates from 2025-02-01." in last.notes


def test_growth_of_non_target_lesions_asks_for_a_persons_word_until_there_is_one():
    protocol = Protocol("recist-1.1", "2025-01-01", (), (FollowedLesion("L1"),))
    visits = [_visit(1, 20), _visit(2, 25)]
    asked = calls_of(visits, protocol)[1]
    assert asked.call == "non-CR/non-PD"
    assert "from 20 to 25 mm: a person must say" in asked.notes[0]
    said = calls_of([visits[0], replace(visits[1], nontarget="non-CR/non-PD")], protocol)[1]
    assert said.notes == ()


def test_the_size_at_baseline_is_told_where_it_is_too_small_for_a_target():
    (call,) = calls_of([_visit(1, 8)], PROTOCOL)
    assert call.notes == ("L1 has 8 mm at baseline: below 10 mm, not measurable.",)


def test_no_visits_have_no_calls():
    for name in CRITERIA:
        assert calls_of([], Protocol(name, "2025-01-01")) == ()


@pytest.mark.parametrize(
    ("visits", "protocol", "says"),
    [
        ([_visit(1, 10)], Protocol("recist", "2025-01-01"), "Expected a criterion of recist-1.1"),
        ([_visit(1, 10)], Protocol("recist-1.1", "2024-01-01"), "Expected a visit at the baseline"),
        ([_visit(2, 10), _visit(1, 10)], Protocol("recist-1.1", "2025-01-01"), "in order of time"),
    ],
)
def test_a_protocol_that_does_not_fit_the_visits_is_refused(visits, protocol, says):
    with pytest.raises(InputError, match=says):
        calls_of(visits, protocol)


def test_words_and_figures_that_are_none_are_refused():
    with pytest.raises(InputError, match="at least 0"):
        Measurement("L1", longest_mm=-1)
    with pytest.raises(InputError, match="Deauville"):
        Visit("2025-01-01", 0, deauville=6)
    with pytest.raises(InputError, match="each lesion once"):
        Protocol("recist-1.1", "2025-01-01", (FollowedLesion("L1"),), (FollowedLesion("L1"),))


def test_rano_bm_tells_of_targets_in_one_slice_or_narrow_ones_and_of_those_of_which_it_is_not_known():
    visit = Visit(
        "2025-01-01",
        0,
        (
            Measurement("L1", longest_mm=20, short_axis_mm=8, slices=2),
            Measurement("L2", longest_mm=20, short_axis_mm=4, slices=1),
            Measurement("L3", longest_mm=20),
        ),
    )
    protocol = Protocol("rano-bm", "2025-01-01", tuple(FollowedLesion(f"L{n}") for n in (1, 2, 3)))
    (call,) = calls_of([visit], protocol)
    assert call.notes == (
        "L2 has 1 axial slices at baseline: below 2, not measurable.",
        "How many axial slices L3 has is not known: measurable from 2, so it may not be.",
        "L2 has 4 mm across its diameter at baseline: below 5, not measurable.",
        "How many mm across its diameter L3 has is not known: measurable from 5, so it may not be.",
    )
    (recist,) = calls_of([visit], replace(protocol, criterion="recist-1.1"))
    assert recist.notes == ()


def test_what_comes_after_progression_under_a_criterion_of_uptake_says_what_it_would_be_by_itself():
    visits = [
        Visit("2025-01-01", 0.0, deauville=5),
        Visit("2025-02-01", 31.0, deauville=5, uptake_change="higher"),
        Visit("2025-03-01", 59.0, deauville=2),
    ]
    calls = calls_of(visits, Protocol("lugano", "2025-01-01"))
    assert [call.progressed_on for call in calls] == [None, "2025-02-01", "2025-02-01"]
    assert "by itself this visit would be CMR: Deauville 2" in calls[2].sentence
