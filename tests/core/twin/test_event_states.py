"""Which dose of steroids held on a day, and how the patient was; what nobody said is not known."""

from __future__ import annotations

import pytest

from core.twin.event_states import dexamethasone_mg_at
from tests.clinic import event


def dose(day, drug, mg):
    return event(day, "steroid-dose", {"drug": drug, "mg_per_day": mg})


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([], None),
        ([dose("2024-02-01", "dexamethasone", 8)], None),  # only later
        ([dose("2024-01-01", "dexamethasone", 8)], 8),
        ([dose("2024-01-10", "dexamethasone", 4), dose("2024-01-01", "dexamethasone", 8)], 4),
        ([dose("2024-01-01", "dexamethasone", 8), dose("2024-01-10", "dexamethasone", 0)], 0),
        ([dose("2024-01-01", "dexamethasone", 2), dose("2024-01-10", "prednisone", 40)], 8),
        ([dose("2024-01-01", "dexamethasone", 2), event("2024-01-10", "steroids", "dexamethasone, more")], None),
        ([event("2024-01-10", "steroids", "4 mg")], None),
        ([event("2024-01-10", "steroids", "dexamethasone 4 mg daily")], 4),
    ],
)
def test_a_dose_holds_until_another_of_its_drug_and_is_told_as_dexamethasone(events, expected):
    assert dexamethasone_mg_at(events, "2024-01-20") == (None if expected is None else pytest.approx(expected))
