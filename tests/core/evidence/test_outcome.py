"""What became of a lesion is told from the visit that is compared, and unknown is counted."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.evidence.cases import CoursePoint, EventFact, VisitCall
from core.evidence.outcome import FATES, outcome_of, tally_of
from core.evidence.outcome_words import end_sentence, fate_sentence, outcome_lines, progression_sentence
from core.evidence.telling import days_text, escaped, number_text, percent_text, percentile_text, volume_text
from tests.core.evidence.panel_phantom import COURSE, NO_LATER, case, five, similar

GONE: dict[str, Any] = {"volume_at_last_mm3": 0.0, "percent_to_last": -100.0}


def test_days_count_from_the_compared_visit_and_what_came_before_is_left_out():
    outcome = outcome_of(similar(case()))
    assert outcome.course == (
        CoursePoint("2024-03-01", 0.0, "measured", 10_000.0),
        CoursePoint("2024-05-30", 90.0, "measured", 6_000.0),
    )
    assert (outcome.progressed_days, outcome.ended_days, outcome.died) == (182.0, 365.0, True)


@pytest.mark.parametrize(
    ("more", "fate", "gone", "sentence"),
    [
        ({}, "shrank", False, "Shrank really: -40 % by day +90, to 6 mL (rule: QIBA CT volume)."),
        (
            {"percent_to_last": 52.52, "volume_at_last_mm3": 15_252.0},
            "grew",
            False,
            "Grew really: +52.5 % by day +90, to 15.3 mL (rule: QIBA CT volume).",
        ),
        (GONE, "gone", True, "Really gone: no longer seen by day +90 (rule: QIBA CT volume)."),
        (
            {"verdict_to_last": "within noise", "percent_to_last": -3.0},
            "within noise",
            False,
            "Within noise: -3 % by day +90, to 6 mL (rule: QIBA CT volume).",
        ),
        (
            {**GONE, "verdict_to_last": "unknown", "rule_to_last": "no rule for MR"},
            "unknown",
            True,
            "Unknown: no longer seen by day +90 (rule: no rule for MR).",
        ),
        (
            {"verdict_to_last": "", "rule_to_last": "", "percent_to_last": None},
            "unknown",
            False,
            "Unknown: not known by day +90, to 6 mL (no rule on record).",
        ),
        ({"percent_to_last": None}, "unknown", False, "Unknown: not known by day +90, to 6 mL (rule: QIBA CT volume)."),
        ({"percent_to_last": math.nan}, "unknown", False, None),
    ],
)
def test_a_fate_is_what_the_rule_said_and_nothing_more(more, fate, gone, sentence):
    outcome = outcome_of(similar(case(**more)))
    assert (outcome.fate, outcome.gone) == (fate, gone)
    assert sentence is None or fate_sentence(outcome) == sentence


def test_no_later_visit_is_not_unknown_and_later_visits_without_a_volume_are():
    first = outcome_of(similar(case(**NO_LATER), courses={"L1": COURSE[:2]}))
    assert (first.fate, fate_sentence(first)) == ("no later visit", "No later visit.")
    merged = (*COURSE[:2], CoursePoint("2024-05-30", 150.0, "merged into", None))
    second = outcome_of(similar(case(**NO_LATER), courses={"L1": merged}))
    assert second.fate == "unknown"
    assert fate_sentence(second) == (
        "Unknown: no later visit tells its volume. At the patient's last visit: merged into."
    )


def test_a_last_visit_that_tells_no_volume_is_told_beside_the_last_that_does():
    course = (*COURSE, CoursePoint("2024-09-01", 244.0, "not in view", None))
    outcome = outcome_of(similar(case(), courses={"L1": course}))
    assert (outcome.fate, outcome.state_since) == ("shrank", "not in view")
    assert fate_sentence(outcome).endswith("At the patient's last visit: not in view.")


def test_a_course_that_is_not_on_record_is_no_later_visit_only_where_the_case_says_so():
    assert outcome_of(similar(case(), courses={})).course == ()
    assert outcome_of(similar(case(), courses={})).fate == "shrank"
    assert outcome_of(similar(case(**NO_LATER), courses={})).fate == "no later visit"


def test_a_response_before_the_visit_is_no_outcome():
    assert outcome_of(similar(case())).response == "SD"
    before = (VisitCall("2024-02-01", "CR", "CR"), VisitCall("2024-03-01", "CR", "CR"))
    assert outcome_of(similar(case(), calls=before)).response == ""


def test_what_began_after_the_visit_is_told_an_operation_too_and_no_stop_and_nothing_of_the_day_itself():
    begun = outcome_of(similar(case())).begun
    assert [(one.therapy, one.days) for one in begun] == [("surgery", 31.0), ("radiotherapy", 40.0)]


def test_a_day_that_cannot_be_read_is_told_as_such():
    event = EventFact("e", "spring", "drug-start", "chemotherapy", "")
    outcome = outcome_of(similar(case(), events=(event,), progressed_on="?", ended="off-study", ended_on=None))
    assert (outcome.begun[0].days, outcome.progressed_days, outcome.ended_days) == (None, None, None)
    assert outcome_lines(outcome)[2:] == (
        "Progression: on a day not known.",
        "Follow-up ended (off-study): on a day not known.",
        "Begun after it: chemotherapy on a day not known.",
    )


def test_progression_before_the_visit_says_so_and_none_without_a_criterion_is_unknown():
    outcome = outcome_of(similar(case(), progressed_on="2024-02-01"))
    assert progression_sentence(outcome) == "Progression: day -29, before this visit."
    none = outcome_of(similar(case(), progressed_on=None, criterion="", ended="", ended_on=None))
    assert progression_sentence(none) == "Progression: unknown, no criterion tells it."
    assert end_sentence(none) == "Neither death nor an end of follow-up on record."


@pytest.mark.parametrize("kind", ["death", "Died", "exitus"])
def test_a_death_is_one_in_the_words_of_before_too(kind):
    assert outcome_of(similar(case(), ended=kind)).died
    assert not outcome_of(similar(case(), ended="last-contact")).died


def test_five_lesions_are_counted_and_none_is_dropped():
    found = five().found
    tally = tally_of([outcome_of(one) for one in found], [one.case.patient_id for one in found])
    assert tally.words == (
        "Of 5 lesions of 4 patients: 2 shrank really, 1 within noise, 1 unknown, 1 without a later visit."
    )
    assert tally.response_words == (
        "Patient's best response after it, by lesion: 4 SD, 1 no later call; death on record: 3 patients."
    )
    one = tally_of([outcome_of(found[0])], ["STS-004"])
    assert one.words == "Of 1 lesion of 1 patient: 1 shrank really."
    assert tally_of([], []).words == "No similar lesion was found."


def test_a_lesion_that_is_gone_and_not_really_is_told_in_the_count():
    gone = outcome_of(similar(case(**GONE, verdict_to_last="unknown")))
    assert tally_of([gone], ["A"]).words == (
        "Of 1 lesion of 1 patient: 1 unknown; 1 of those within noise or unknown no longer seen."
    )


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["real", "within noise", "unknown", ""]),
            st.one_of(st.none(), st.floats()),
            st.one_of(st.none(), st.just(0.0), st.floats()),
            st.integers(0, 3),
            st.sampled_from(["A", "B", "C"]),
        )
    )
)
def test_the_counts_add_up_to_all_whatever_is_known(rows):
    outcomes = [
        outcome_of(
            similar(case(verdict_to_last=verdict, percent_to_last=percent, volume_at_last_mm3=volume, later=later))
        )
        for verdict, percent, volume, later, _ in rows
    ]
    tally = tally_of(outcomes, [row[-1] for row in rows])
    assert sum(tally.fates) == sum(n for _, n in tally.responses) == tally.lesions == len(rows)
    assert sum(tally.count(fate) for fate in FATES) == len(rows)
    for outcome, row in zip(outcomes, rows, strict=True):
        assert outcome.fate in FATES
        assert outcome.fate not in ("gone", "shrank", "grew") or row[0] == "real"
        assert all(outcome_lines(outcome))


# --- numbers as text ---


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (0.0004, "<0.001"),
        (-0.0004, ">-0.001"),
        (0.0126, "0.013"),
        (0.5, "0.5"),
        (1.004, "1"),
        (9.994, "9.99"),
        (12.34, "12.3"),
        (120.4, "120"),
        (1234.5, "1,234"),
        (-98_765.0, "-98,765"),
        (2e9, "beyond a thousand million"),
    ],
)
def test_a_number_is_short_and_never_rounded_to_nothing(value, text):
    assert number_text(value) == text


def test_every_number_has_its_unit_and_what_is_not_known_says_so():
    assert (volume_text(12_345.0), volume_text(0.0), volume_text(None), volume_text(math.inf)) == (
        "12.3 mL",
        "0 mL",
        "not known",
        "not known",
    )
    assert (percent_text(12.34), percent_text(-100.0), percent_text(0.0), percent_text(None)) == (
        "+12.3 %",
        "-100 %",
        "0 %",
        "not known",
    )
    assert (days_text(60.0), days_text(-14.4), days_text(0.2), days_text(None), days_text(4000.0)) == (
        "day +60",
        "day -14",
        "day 0",
        "on a day not known",
        "day +4,000",
    )
    assert percentile_text(99.97) == "closer than more than 99.9 % of pairs"
    assert (percentile_text(100.0), percentile_text(0.0)) == ("closer than 100 % of pairs", "closer than 0 % of pairs")
    assert percentile_text(math.nan) == "not known"


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_no_number_has_four_digits_side_by_side(value):
    for text in (number_text(value), volume_text(value), percent_text(value), days_text(value)):
        assert not any(part.isdigit() and len(part) > 3 for part in text.replace(",", " ").replace(".", " ").split())


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<b>bold</b>", r"\<b\>bold\</b\>"),
        ("a|b", r"a\|b"),
        ("![x](y)", r"\!\[x\](y)"),
        ("`x` $y$ *z* ~a~", r"\`x\` \$y\$ \*z\* \~a\~"),
        ("# head\nline", r"\# head line"),
        ("1. one", r"1\. one"),
        ("- one", r"\- one"),
        ("-40 %", "-40 %"),
        ("12.5 mL", "12.5 mL"),
        ("---", r"\---"),
        ("day +90, 2024-03-01 at 12:30: 6.5 mL", "day +90, 2024-03-01 at 12:30: 6.5 mL"),
        ("http://a.b www.c.d e@f.g :red", "http:\u2060//a.b www\u2060.c.d e@\u2060f.g :\u2060red"),
        ("\u202ereversed\x07", "\ufffdreversed\ufffd"),
        ("\\", "\\\\"),
        ("", ""),
    ],
)
def test_text_from_outside_is_shown_as_it_is_and_no_more_is_escaped_than_must_be(text, shown):
    assert escaped(text) == shown
