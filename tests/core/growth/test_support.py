"""What a forecast needs of what was observed, how far it reaches, and whether the last value is plausible."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from core.growth.burden import total_forecast
from core.growth.curves import FLOOR_MM3
from core.growth.forecast import forecast
from core.growth.support import why_doubt_last
from core.types import VolumePoint


def points(days: Sequence[float], volumes: Sequence[float], lesion: str = "L1") -> list[VolumePoint]:
    return [
        VolumePoint(f"day {d:g}", float(d), float(v), lesion, f"mask {d}", 1)
        for d, v in zip(days, volumes, strict=True)
    ]


def test_three_scans_within_three_days_are_refused_with_what_there_is_and_what_is_needed():
    answer = forecast(points([0, 1, 3], [500, 600, 700]), [28, 84])
    assert answer.refused is not None
    assert "over at least 42 days" in answer.refused
    assert "are 3 days apart" in answer.refused
    assert answer.fan.days.size == answer.locf.days.size == 0
    assert forecast(points([0, 1, 41.5], [500, 600, 700]), [28]).refused
    assert forecast(points([-12, 1, 30], [500, 600, 700]), [28]).refused is None


def test_a_total_within_three_days_is_refused_and_a_lesion_seen_so_shortly_is_carried_forward():
    lesions = {"L1": points([0, 1, 3], [500, 600, 700]), "L2": points([0, 1, 3], [50, 60, 70], "L2")}
    short = total_forecast(lesions, points([0, 1, 3], [550, 660, 770], "total"), [28])
    assert short.refused is not None
    assert "3 days apart" in short.refused
    days = [0, 42, 82, 83, 84]
    lesions = {"L1": points(days, [5000] * 5), "L2": points(days[2:], [300, 400, 500], "L2")}
    answer = total_forecast(lesions, points(days, [5000, 5000, 5300, 5400, 5500], "total"), [28])
    assert any(note.startswith("L2: too few points, or too few days") for note in answer.notes)


def test_visits_within_a_few_days_have_no_hindcast():
    answer = forecast(points([0, 10, 20, 30, 60], [500] * 5), [28])
    assert [check.target_timepoint for check in answer.checks] == []
    later = forecast(points([0, 10, 50, 90], [500] * 4), [28])
    assert [check.origin_timepoint for check in later.checks] == ["day 50"]


@pytest.mark.parametrize(
    ("days", "asked", "said"),
    [
        ([0, 20, 42], [28], []),
        ([0, 20, 42], [43], ["Beyond 6 weeks it looks further ahead"]),
        ([0, 20, 42], [85], ["Beyond 6 weeks", "It ends after 12 weeks: twice the 42 days observed."]),
        ([0, 200, 400], [399, 600], ["Beyond 57 weeks", "It ends after 69 weeks: no further were enough other"]),
        ([0, 300, 700], [600], ["It ends after 69 weeks: no further were enough other"]),
    ],
)
def test_the_notes_say_where_it_ends_for_which_reason_and_where_it_looks_further_ahead_than_back(days, asked, said):
    notes = [n for n in forecast(points(days, [500] * 3), asked).notes if n.startswith(("It ends", "Beyond"))]
    assert len(notes) == len(said)
    assert all(note.startswith(word) for note, word in zip(notes, said, strict=True))


def test_a_last_value_ten_thousand_times_the_one_before_is_asked_about_with_its_numbers():
    series = points([0, 42, 84, 126], [110, 115, 120, 1_200_000])
    answer = forecast(series, [28])
    (question,) = answer.warnings
    assert answer.notes[0] == question
    assert question.startswith(
        "Is the last value plausible? 1,200 mL on day 126 after 0.12 mL 42 days before: ×10,000."
    )
    assert "99.9 % rose by less than ×13 " in question
    # Also beside a refusal, and in a total by the lesion's name.
    assert forecast(points([0, 126], [120, 1_200_000]), [28]).notes == (
        question.replace("42 days", "126 days").replace("×13 ", "×84 "),
    )
    other = points([0, 42, 84, 126], [5000] * 4, "L2")
    total = points([0, 42, 84, 126], [5110, 5115, 5120, 1_205_000], "total")
    assert total_forecast({"L1": series, "L2": other}, total, [28]).warnings == (f"L1: {question}",)


@pytest.mark.parametrize(
    ("days", "volumes", "asked"),
    [
        ([0, 42], [1000, 12_900], False),  # exp(2.56) is 12.94
        ([0, 42], [1000, 13_000], True),
        ([0, 168], [1000, 160_000], False),  # twice the root: exp(5.12) is 167
        ([0, 168], [1000, 170_000], True),
        ([0, 1], [1000, 4300], False),  # counted as two weeks: exp(2.56 / sqrt 3) is 4.38
        ([0, 1], [1000, 4500], True),
        ([0, 42], [200_000, 1000], False),  # exp(5.40) is 221
        ([0, 42], [230_000, 1000], True),
        ([0, 42], [14_000, FLOOR_MM3], False),
        ([0, 42], [16_000, FLOOR_MM3], True),
        ([0], [1000], False),
        ([], [], False),
    ],
)
def test_a_step_is_asked_about_beyond_what_99_9_percent_did_in_that_time(days, volumes, asked):
    assert (why_doubt_last(np.array(days, float), np.array(volumes, float)) is not None) is asked


@pytest.mark.parametrize("long", [120, 1200])
def test_a_lesion_at_the_floor_has_a_band_of_some_width_however_long_it_was_watched(long):
    fan = forecast(points([0, 40, 80, long], [900, 500, 300, 0]), [1, 28, 200]).fan
    for percent, least in ((50, 1.1), (80, 2.0), (95, 10.0)):
        low, high = fan.limits_mm3(percent)
        assert low == pytest.approx(FLOOR_MM3)
        assert (high > least * FLOOR_MM3).all()
    assert fan.median_mm3 == pytest.approx(FLOOR_MM3)
