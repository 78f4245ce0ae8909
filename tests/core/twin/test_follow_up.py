"""The dead are not followed any more, and a last contact ends only what came before it."""

from __future__ import annotations

import pytest

from core.twin.curve import events_on_axis, treatments
from core.twin.follow_up import follow_up_end, seen_after_death
from tests.clinic import event

ZERO = "2024-01-01"


@pytest.mark.parametrize(
    ("events", "ended"),
    [
        ([], None),
        ([("2024-05-01", "last-contact")], "2024-05-01"),
        ([("2024-02-01", "last-contact")], None),  # seen again since
        ([("2024-05-01", "last-contact"), ("2024-07-01", "last-contact")], "2024-07-01"),
        ([("2024-05-01", "last-contact"), ("2024-06-01", "death")], "2024-06-01"),
        ([("2024-02-01", "off-study"), ("2024-06-01", "death")], "2024-06-01"),
        ([("2024-02-01", "off-study"), ("2024-06-01", "last-contact")], "2024-02-01"),
        ([("2024-02-01", "Lost_to_follow-up")], "2024-02-01"),
        ([("2024-02-01", "Died")], "2024-02-01"),
    ],
)
def test_a_death_ends_follow_up_before_all_else_and_a_last_contact_only_after_the_last_visit(events, ended):
    found = follow_up_end([event(day, kind) for day, kind in events], "2024-03-01")
    assert (None if found is None else found.date) == ended


def test_visits_after_the_death_on_record_are_told():
    events = [event("2024-02-01", "death", {})]
    assert seen_after_death(events, ["2024-01-01", "2024-02-01"]) == ""
    assert seen_after_death([], ["2024-03-01"]) == ""
    assert "2024-03-01: one of them is wrong" in seen_after_death(events, ["2024-01-01", "2024-03-01", "2024-04-01"])


def test_drugs_are_spans_by_name_radiotherapy_with_a_last_day_too_and_all_end_with_death():
    events = [
        event("2024-01-11", "drug-start", {"drug": "Doxorubicin", "dose": 75, "unit": "mg/m2"}),
        event("2024-01-21", "drug-start", {"drug": "imatinib"}),
        event("2024-01-31", "drug-start", {"drug": "doxorubicin", "dose": 60, "unit": "mg/m2"}),  # another dose
        event("2024-02-10", "drug-stop", {"drug": "doxorubicin"}),
        event("2024-02-11", "drug-stop", {"drug": "pazopanib"}),  # nobody said that it was begun
        event("2024-02-20", "radiotherapy", {"technique": "vmat", "site": "hip", "end_date": "2024-05-30"}),
        event("2024-02-21", "radiotherapy", {"technique": "radiosurgery"}),
        event("2024-03-01", "treatment-start", "of before"),
        event("2024-04-10", "death", {}),
    ]
    found = [(t.name, t.start_days, t.end_days) for t in treatments(events, ZERO)]
    assert found == [
        ("Doxorubicin 75 mg/m2", 10, 30),
        ("imatinib", 20, 100),
        ("doxorubicin 60 mg/m2", 30, 40),
        ("radiotherapy: vmat, hip, dose not given", 50, 100),
        ("of before", 60, 100),
    ]
    assert events_on_axis(events, ZERO) == [
        (41, "drug-stop: pazopanib"),
        (51, "radiotherapy: radiosurgery, site not given, dose not given"),
        (100, "death"),
    ]
