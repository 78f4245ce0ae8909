"""A patient's response on values written by hand: what the rows of charts hold, in what order, and what is unknown."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from core.twin.change import Change
from core.twin.criteria.values import Call
from core.twin.curve import Treatment
from core.twin.happenings import Happening
from core.twin.outcome_rows import by_criterion, spider_rows, swimmer_rows, waterfall_rows, worst_first
from core.twin.outcomes import (
    PatientResponse,
    Visit,
    best_category,
    progression_date,
    until_progression,
    visits_of,
)
from tests.core.twin.timeline_phantom import DAYS, lesion, mask, timeline

BASELINE = Visit("2024-01-11", 0.0, 80.0, 0.0, None, "baseline", "baseline", (), "mask-1", 3, "Baseline: sum 80 mm.")
BEST = Visit(
    "2024-02-10",
    30.0,
    40.0,
    -50.046,
    -50.046,
    "PR",
    "PR",
    (),
    "mask-2",
    2,
    "PR: sum 40 mm.",
    ("A note.",),
    True,
    ("L1: mask gate: doubtful.",),
)
WORSE = Visit("2024-03-11", 60.0, 80.0, 0.0, 100.0, "PD", "PD", ("L2", "L3"), "mask-3", 1, "PD: new lesion L2.")
VERDICT = Change(-50.046, "real", "QIBA")
PATIENT = PatientResponse(
    "P1",
    "set",
    "recist-1.1",
    "rano-bm",
    (BASELINE, BEST, WORSE),
    ("2023-12-01",),
    BEST,
    "PR",
    VERDICT,
    (Treatment("doxorubicin", 5.0, 40.0),),
    (Happening(-10.0, "surgery", "surgery: biopsy"),),
    Happening(75.0, "death", "death: of disease"),
    ("2024-04-01",),
    True,
    "2024-03-11",
    "a doubt",
    "set by ann",
)
UNKNOWN = replace(
    PATIENT,
    patient_id="P0",
    best=None,
    verdict=None,
    best_response="NE",
    ended=None,
    simulated=False,
    progressed_on=None,
    protocol_criterion="recist-1.1",
)


def test_a_row_of_the_waterfall_is_the_best_change_and_where_it_comes_from():
    assert waterfall_rows([PATIENT]) == [
        {
            "patient": "P1",
            "dataset": "set",
            "criterion": "recist-1.1",
            "criterion_of_protocol": "rano-bm",
            "baseline": "2024-01-11",
            "baseline_why": "set by ann",
            "best_response": "PR",
            "best_change_percent": -50.05,
            "verdict_of_volumes": "real",
            "verdict_rule": "QIBA",
            "timepoint": "2024-02-10",
            "days": 30.0,
            "response_there": "PR",
            "measure": "sum of diameters",
            "unit": "mm",
            "value_at_baseline": 80.0,
            "value": 40.0,
            "progressed_on": "2024-03-11",
            "progression_days": 60.0,
            "progression_from_nadir_percent": 100.0,
            "without_progression_until_days": None,
            "death_days": 75.0,
            "doubt": "a doubt",
            "doubts_at_baseline": "",
            "doubts_there": "L1: mask gate: doubtful.",
            "note": "",
            "baseline_mask_id": "mask-1",
            "mask_id": "mask-2",
            "simulated": True,
        }
    ]


def test_no_change_at_all_is_written_as_zero_percent_and_not_left_out():
    (row,) = waterfall_rows([replace(PATIENT, best=replace(BEST, change_percent=0.0))])
    assert row["best_change_percent"] == 0.0


def test_where_no_change_is_known_its_row_says_why_and_is_empty_else():
    (row,) = waterfall_rows([replace(UNKNOWN, visits=(BASELINE, BEST))])
    unknown = ("best_change_percent", "days", "value", "progression_days", "death_days")
    assert [row[name] for name in unknown] == [None] * 5
    empty = ("verdict_of_volumes", "verdict_rule", "timepoint", "response_there", "mask_id", "progressed_on")
    assert [row[name] for name in empty] == [""] * 6
    assert (row["value_at_baseline"], row["baseline_mask_id"]) == (80.0, "mask-1")
    assert row["without_progression_until_days"] == 30.0
    assert row["note"] == "not every target was measured at any visit that counts"
    (row,) = waterfall_rows([replace(PATIENT, verdict=None)])
    assert row["verdict_of_volumes"] == "unknown"


def test_it_is_said_why_there_is_no_best_change():
    for value in (0.0, None):
        nothing = replace(BASELINE, value=value)
        told = replace(UNKNOWN, visits=(nothing, BEST)).why_no_best_change
        assert told == "no sum of targets at baseline, so nothing to change from"
    assert replace(UNKNOWN, visits=(BASELINE,)).why_no_best_change == "no visit after baseline"
    assert replace(PATIENT, visits=(BASELINE, BEST)).why_no_best_change == ""


def test_the_worst_best_change_comes_first_then_the_patients_name_and_unknown_ones_last():
    patients = [
        replace(PATIENT, patient_id=name, best=None if percent is None else replace(BEST, change_percent=percent))
        for name, percent in (("D", -80.0), ("A", None), ("C", 20.0), ("B", 20.0), ("G", -0.5), ("E", 0.0), ("F", 0.5))
    ]
    assert [response.patient_id for response in worst_first(patients)] == ["B", "C", "F", "E", "G", "D", "A"]
    assert [row["patient"] for row in waterfall_rows(patients)] == ["B", "C", "F", "E", "G", "D", "A"]


def test_patients_of_one_criterion_stand_together_those_of_most_first():
    one, two, three = (replace(PATIENT, patient_id=name) for name in "ABC")
    other = replace(one, patient_id="X", criterion="volume-beaumont", best=replace(BEST, change_percent=90.0))
    assert list(by_criterion([other, one, two])) == ["recist-1.1", "volume-beaumont"]
    assert [row["patient"] for row in waterfall_rows([other, three, one])] == ["A", "C", "X"]


def test_rows_of_the_spider_are_the_visits_of_one_patient_after_the_other():
    rows = spider_rows([PATIENT, replace(UNKNOWN, visits=(replace(BASELINE, value=None),))])
    assert [row["patient"] for row in rows] == ["P1", "P1", "P1", "P0"]
    assert rows[2] == {
        "patient": "P1",
        "dataset": "set",
        "criterion": "recist-1.1",
        "criterion_of_protocol": "rano-bm",
        "timepoint": "2024-03-11",
        "days_since_baseline": 60.0,
        "measure": "sum of diameters",
        "unit": "mm",
        "value": 80.0,
        "change_percent": 0.0,
        "from_nadir_percent": 100.0,
        "response": "PD",
        "could_flip_within_noise": "",
        "new_lesions": "L2, L3",
        "why": "PD: new lesion L2.",
        "doubts": "",
        "mask_version": 1,
        "mask_id": "mask-3",
        "simulated": True,
    }
    assert [row["change_percent"] for row in rows] == [0.0, -50.05, 0.0, 0.0]
    assert (rows[1]["why"], rows[1]["could_flip_within_noise"]) == ("PR: sum 40 mm. A note.", "yes")
    assert (rows[3]["value"], rows[3]["simulated"]) == (None, False)
    (gap,) = spider_rows([replace(PATIENT, visits=(replace(BEST, change_percent=None),))])
    assert gap["change_percent"] is None


def test_rows_of_the_swimmer_are_periods_and_events_of_a_patient_who_ended():
    rows = swimmer_rows([PATIENT])
    assert [(row["what"], row["from_days"], row["to_days"], row["detail"]) for row in rows] == [
        ("observed", 0.0, 60.0, ""),
        ("doubted", 30.0, 30.0, "L1: mask gate: doubtful."),
        ("response", 0.0, 0.0, "baseline"),
        ("response", 30.0, 30.0, "PR"),
        ("response", 60.0, 60.0, "PD"),
        ("new lesion", 60.0, 60.0, "L2, L3"),
        ("progression", 60.0, 60.0, "2024-03-11"),
        ("treatment", 5.0, 40.0, "doxorubicin"),
        ("surgery", -10.0, -10.0, "surgery: biopsy"),
        ("death", 75.0, 75.0, "death: of disease"),
    ]
    assert {(row["criterion"], row["simulated"]) for row in rows} == {("recist-1.1", True)}
    last = swimmer_rows([replace(UNKNOWN, visits=(BASELINE,))])[-1]
    assert (last["what"], last["from_days"], last["to_days"]) == ("no end on record", 0.0, None)


def test_how_long_a_patient_was_in_view_and_followed():
    assert (PATIENT.days_observed, PATIENT.days_followed) == (60.0, 75.0)
    assert UNKNOWN.days_followed == 60.0
    early = replace(PATIENT, ended=Happening(10.0, "death", "death"))
    assert early.days_followed == 60.0, "a visit after the death on record is still drawn"
    assert (PATIENT.progression, PATIENT.days_without_progression) == (WORSE, None)
    unseen = replace(UNKNOWN, visits=(BASELINE, BEST, replace(WORSE, category="NE")))
    assert unseen.days_without_progression == 30.0, "what cannot be evaluated proves nothing"


def call(day: str, days: float, word: str, value: float | None = None, **more: Any) -> Call:
    return Call(day, days, "recist-1.1", word, f"{word}: so.", value=value, **more)


def test_visits_are_counted_from_the_baseline_and_a_new_lesion_appears_once():
    masks = (mask(day, lesion("L1", 40), version=4 + n) for n, day in enumerate(DAYS))
    calls = (
        call(DAYS[0], 0.0, "before baseline"),
        call(DAYS[1], 59.0, "baseline", 80.0, baseline=80.0),
        call(DAYS[2], 120.0, "iUPD", 40.0, baseline=80.0, nadir=80.0, new_lesions=("L2",)),
        call(DAYS[3], 181.0, "iCPD", 60.0, baseline=80.0, nadir=40.0, new_lesions=("L2", "L3")),
    )
    visits = visits_of(calls, timeline(*masks))
    assert [(v.timepoint, v.days, v.value, v.category) for v in visits] == [
        (DAYS[1], 0.0, 80.0, "baseline"),
        (DAYS[2], 61.0, 40.0, "PD"),
        (DAYS[3], 122.0, 60.0, "PD"),
    ]
    assert [v.appeared for v in visits] == [(), ("L2",), ("L3",)]
    assert [(v.mask_id, v.version) for v in visits] == [(f"m-{DAYS[n]}", 4 + n) for n in (1, 2, 3)]
    assert [(v.change_percent, v.nadir_percent) for v in visits] == [(0.0, None), (-50.0, -50.0), (-25.0, 50.0)]
    assert visits_of((), timeline()) == ()


def test_visits_count_up_to_the_day_that_progression_dates_from():
    """A lesion in doubt at the first visit was called new at the second: progression dates from the first."""
    calls = [call("a", 0.0, "PR"), call("b", 1.0, "PD", progressed_on="a"), call("c", 2.0, "PD", progressed_on="a")]
    assert progression_date(calls) == "a"
    assert progression_date(calls[:1]) is None
    doubted = replace(BEST, timepoint="2024-02-10")
    counted = until_progression((BASELINE, doubted, WORSE), "2024-02-10")
    assert counted == [doubted]
    assert best_category(counted, "2024-02-10") == "PD"
    assert best_category(until_progression((BASELINE, BEST, WORSE), "2024-03-11"), "2024-03-11") == "PR"
    assert until_progression((BASELINE, BEST, WORSE), None) == [BEST, WORSE]
    assert best_category([], None) == "NE"
