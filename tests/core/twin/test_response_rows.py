"""A patient's response on values written by hand: what the rows of charts hold, in what order, and what is unknown."""

from __future__ import annotations

import math
from dataclasses import replace

from core.twin.change import Change
from core.twin.curve import Treatment
from core.twin.outcomes import (
    PatientResponse,
    Visit,
    spider_rows,
    swimmer_rows,
    until_progression,
    visits_of,
    waterfall_rows,
    worst_first,
)
from core.twin.response import volumetric_response
from core.types import VolumePoint

BASELINE = Visit("2024-01-11", 0.0, 12345.67, 0.0, 0.0, "baseline", (), "mask-1", 3, "")
BEST = Visit("2024-02-10", 30.0, 6172.835, 0.0, -50.046, "PR", (), "mask-2", 2, "note of the second")
WORSE = Visit("2024-03-11", 60.0, 12345.67, 500.0, 0.0, "PD", ("L2", "L3"), "mask-3", 1, "")
VERDICT = Change(-50.046, "real", "QIBA")
PATIENT = PatientResponse(
    "P1",
    "set",
    "recist_sphere",
    (BASELINE, BEST, WORSE),
    BEST,
    "PR",
    VERDICT,
    (Treatment("doxorubicin", 5.0, 40.0),),
    ((-10.0, "surgery: biopsy"),),
    (75.0, "death: of disease"),
    ("2024-04-01",),
    True,
    "a doubt",
)
UNKNOWN = replace(PATIENT, patient_id="P0", best=None, verdict=None, best_response="NE", ended=None, simulated=False)


def test_a_row_of_the_waterfall_is_the_best_change_and_where_it_comes_from():
    assert waterfall_rows([PATIENT]) == [
        {
            "patient": "P1",
            "dataset": "set",
            "rule": "recist_sphere",
            "best_response": "PR",
            "best_change_percent": -50.05,
            "verdict": "real",
            "verdict_rule": "QIBA",
            "timepoint": "2024-02-10",
            "days": 30.0,
            "response_there": "PR",
            "baseline_mL": 12.3457,
            "volume_mL": 6.1728,
            "progression_days": 60.0,
            "doubt": "a doubt",
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
    unknown = ("best_change_percent", "days", "volume_mL", "progression_days")
    assert [row[name] for name in unknown] == [None] * 4
    assert [row[name] for name in ("verdict", "verdict_rule", "timepoint", "response_there", "mask_id")] == [""] * 5
    assert (row["baseline_mL"], row["baseline_mask_id"]) == (12.3457, "mask-1")
    assert row["note"] == "a baseline lesion was not measured at any timepoint that counts"


def test_the_baseline_alone_says_why_there_is_no_best_change():
    nothing, unmeasured = replace(BASELINE, volume_mm3=0.0), replace(BASELINE, volume_mm3=math.nan)
    for later in (nothing, unmeasured, BEST):
        why = replace(UNKNOWN, visits=(nothing, later, later)).why_no_best_change
        assert why == "no lesion at baseline, so nothing to change from"
        why = replace(UNKNOWN, visits=(unmeasured, later, later)).why_no_best_change
        assert why == "a lesion was not measured at baseline"
        why = replace(UNKNOWN, visits=(replace(BASELINE, volume_mm3=1.0), later, later)).why_no_best_change
        assert why == "a baseline lesion was not measured at any timepoint that counts"
    assert replace(PATIENT, visits=(nothing, BEST)).why_no_best_change == ""


def test_the_worst_best_change_comes_first_then_the_patients_name_and_unknown_ones_last():
    patients = [
        replace(PATIENT, patient_id=name, best=None if percent is None else replace(BEST, change_percent=percent))
        for name, percent in (("D", -80.0), ("A", None), ("C", 20.0), ("B", 20.0), ("G", -0.5), ("E", 0.0), ("F", 0.5))
    ]
    assert [response.patient_id for response in worst_first(patients)] == ["B", "C", "F", "E", "G", "D", "A"]
    assert [row["patient"] for row in waterfall_rows(patients)] == ["B", "C", "F", "E", "G", "D", "A"]


def test_rows_of_the_spider_are_the_visits_of_one_patient_after_the_other():
    rows = spider_rows([PATIENT, replace(UNKNOWN, visits=(replace(BASELINE, volume_mm3=math.nan),))])
    assert [row["patient"] for row in rows] == ["P1", "P1", "P1", "P0"]
    assert rows[2] == {
        "patient": "P1",
        "dataset": "set",
        "rule": "recist_sphere",
        "timepoint": "2024-03-11",
        "days_since_baseline": 60.0,
        "volume_mL": 12.3457,
        "new_lesions_mL": 0.5,
        "change_percent": 0.0,
        "response": "PD",
        "note": "",
        "mask_version": 1,
        "mask_id": "mask-3",
        "simulated": True,
    }
    assert [row["change_percent"] for row in rows] == [0.0, -50.05, 0.0, 0.0]
    assert (rows[1]["note"], rows[3]["volume_mL"], rows[3]["simulated"]) == ("note of the second", None, False)
    (gap,) = spider_rows([replace(PATIENT, visits=(replace(BEST, change_percent=None),))])
    assert gap["change_percent"] is None


def test_rows_of_the_swimmer_are_periods_and_events_of_a_patient_who_ended():
    rows = swimmer_rows([PATIENT])
    assert [(row["what"], row["from_days"], row["to_days"], row["detail"]) for row in rows] == [
        ("observed", 0.0, 60.0, ""),
        ("response", 0.0, 0.0, "baseline"),
        ("response", 30.0, 30.0, "PR"),
        ("response", 60.0, 60.0, "PD"),
        ("new lesion", 60.0, 60.0, "L2, L3"),
        ("treatment", 5.0, 40.0, "doxorubicin"),
        ("event", -10.0, -10.0, "surgery: biopsy"),
        ("follow-up ended", 75.0, 75.0, "death: of disease"),
    ]
    assert all((row["patient"], row["dataset"], row["simulated"]) == ("P1", "set", True) for row in rows)
    last = swimmer_rows([UNKNOWN])[-1]
    assert (last["what"], last["from_days"], last["to_days"], last["detail"]) == ("still followed", 60.0, None, "")


def test_the_first_progression_is_the_one_and_nothing_after_it_counts():
    again = replace(WORSE, timepoint="2024-05-01", days=111.0)
    patient = replace(PATIENT, visits=(BASELINE, BEST, WORSE, BEST, again))
    assert patient.progression is WORSE
    assert patient.days_observed == 111.0
    assert until_progression(patient.visits) == [BEST, WORSE]
    assert until_progression((BASELINE, BEST)) == [BEST]
    assert replace(PATIENT, visits=(BASELINE, BEST)).progression is None


def test_visits_are_counted_from_the_baseline_and_a_new_lesion_appears_once():
    series = {"L1": (1000.0, 500.0, 800.0), "L2": (0.0, 5.0, 7.0)}
    points = [
        VolumePoint(day, days, volumes[n], lesion, f"mask-{n}", 4 + n)
        for lesion, volumes in series.items()
        for n, (day, days) in enumerate((("2024-01-11", 10.0), ("2024-02-10", 40.0), ("2024-03-11", 70.0)))
    ]
    visits = visits_of(volumetric_response(points), points)
    assert [(v.timepoint, v.days, v.volume_mm3, v.new_volume_mm3) for v in visits] == [
        ("2024-01-11", 0.0, 1000.0, 0.0),
        ("2024-02-10", 30.0, 500.0, 5.0),
        ("2024-03-11", 60.0, 800.0, 7.0),
    ]
    assert [v.appeared for v in visits] == [(), ("L2",), ()]
    assert [(v.mask_id, v.version) for v in visits] == [("mask-0", 4), ("mask-1", 5), ("mask-2", 6)]
    assert [v.change_percent for v in visits] == [0.0, -50.0, -20.0]
    assert visits_of([], []) == ()
