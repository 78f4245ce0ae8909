"""An event holds what its kind may hold, in its units and ranges; anything else is refused, and nothing is dropped."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InputError
from core.remembered.vocabulary import EventKind
from core.review.events import ENTERED_KINDS, FIELDS, checked_event, event_text, is_checked
from core.review.steroids import STEROIDS, dexamethasone_mg
from tests.clinic import event

DAY = "2024-02-01"


@pytest.mark.parametrize(
    ("kind", "given", "stored", "text"),
    [
        (
            "surgery",
            {"procedure": " wide resection ", "site": "left thigh"},
            None,
            "surgery: wide resection, left thigh",
        ),
        (
            "radiotherapy",
            {"dose_gy": "50.4", "technique": "VMAT", "fractions": "28", "site": "left hip", "end_date": "2024-03-10"},
            {"technique": "vmat", "site": "left hip", "dose_gy": 50.4, "fractions": 28, "end_date": "2024-03-10"},
            "radiotherapy: vmat, left hip, 50.4 Gy in 28 fractions, until 2024-03-10",
        ),
        (
            "radiotherapy",
            {"technique": "Gamma Knife"},
            {"technique": "gamma-knife"},
            "radiotherapy: gamma-knife, site not given, dose not given",
        ),
        ("drug-start", {"drug": "doxorubicin", "dose": 75, "unit": "mg/m2"}, None, "drug-start: doxorubicin 75 mg/m2"),
        ("drug-stop", {"drug": "doxorubicin", "reason": "toxic"}, None, "drug-stop: doxorubicin, toxic"),
        (
            "steroid-dose",
            {"drug": "prednisone", "mg_per_day": "40"},
            {"drug": "prednisone", "mg_per_day": 40},
            "steroid-dose: prednisone 40 mg a day (as dexamethasone 6 mg)",
        ),
        ("steroid-dose", {"drug": "dexamethasone", "mg_per_day": 0}, None, "steroid-dose: dexamethasone 0 mg a day"),
        (
            "clinical-status",
            {"ecog": "0", "kps": 90, "course": "stable"},
            {"ecog": 0, "kps": 90, "course": "stable"},
            "clinical-status: ECOG 0, KPS 90 %, stable",
        ),
        ("relapse", {"shown_by": "imaging"}, None, "relapse: imaging"),
        ("death", {}, None, "death"),
        ("last-contact", {"comment": "by phone"}, None, "last-contact: by phone"),
        ("other", {"what": "moved away"}, None, "other: moved away"),
    ],
)
def test_an_event_is_stored_in_its_units_and_told_in_a_line(kind, given, stored, text):
    found = checked_event(kind, DAY, given)
    wanted = stored if stored is not None else {k: v.strip() if isinstance(v, str) else v for k, v in given.items()}
    assert (found.kind, found.detail) == (kind, wanted)
    kept = event(DAY, kind, found.detail)
    assert is_checked(kept)
    assert event_text(kept) == text


@pytest.mark.parametrize(
    ("kind", "detail", "said"),
    [
        ("chemo", {}, "of surgery, radiotherapy, drug-start"),
        ("treatment-start", {"drug": "x"}, "only older events have"),
        ("surgery", {"prodecure": "x"}, "only procedure, site, comment, got prodecure"),
        ("surgery", {"procedure": "  "}, "procedure as 1 to 500"),
        ("radiotherapy", {"dose_gy": 50}, "its technique"),
        ("radiotherapy", {"technique": "vmat", "dose_gy": "50,4"}, "after a point"),
        ("radiotherapy", {"technique": "vmat", "dose_gy": 5040}, "number of Gy from 0.1 to 200, got '5040'"),
        ("radiotherapy", {"technique": "vmat", "dose_gy": float("nan")}, "0.1 to 200"),
        ("radiotherapy", {"technique": "vmat", "dose_gy": True}, "0.1 to 200"),
        ("radiotherapy", {"technique": "vmat", "fractions": 2.5}, "a whole number from 1 to 100"),
        ("radiotherapy", {"technique": "vmat", "end_date": "2024-01-31"}, "end on or after its first day 2024-02-01"),
        ("radiotherapy", {"technique": "vmat", "end_date": "31.03.2024"}, "end_date: Expected a date"),
        ("drug-start", {}, "its drug"),
        ("drug-start", {"drug": "x", "dose": 75}, "together with its unit"),
        ("drug-start", {"drug": "SBRT"}, "which is radiotherapy"),
        ("steroid-dose", {"drug": "prednisone"}, "its mg_per_day"),
        ("steroid-dose", {"drug": "aspirin", "mg_per_day": 1}, "drug as one of dexamethasone"),
        ("steroid-dose", {"drug": "prednisone", "mg_per_day": -1}, "mg a day from 0 to 2000"),
        ("clinical-status", {}, "ecog, kps or course"),
        ("clinical-status", {"ecog": 5}, "from 0 to 4"),
        ("clinical-status", {"kps": 85}, "in tens"),
        ("clinical-status", {"course": None}, "better, stable, worse"),
        ("other", {}, "its what"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_is_allowed(kind, detail, said):
    with pytest.raises(InputError, match=said):
        checked_event(kind, DAY, detail)
    assert not is_checked(event(DAY, kind, detail))


def test_a_death_is_not_foreseen_and_a_drug_may_be_planned():
    today = dt.date(2024, 1, 31)
    with pytest.raises(InputError, match="death on a day that has been"):
        checked_event("death", DAY, {}, today)
    assert checked_event("death", "2024-01-31", {}, today).kind is EventKind.DEATH
    assert checked_event("drug-start", DAY, {"drug": "x"}, today)
    with pytest.raises(InputError, match="YYYY-MM-DD"):
        checked_event("death", "1.2.2024", {})


@given(st.sampled_from(ENTERED_KINDS), st.dictionaries(st.text(max_size=8), st.integers() | st.text(max_size=5)))
def test_of_a_checked_event_nothing_was_dropped(kind: EventKind, detail: dict[str, Any]):
    try:
        found = checked_event(kind, DAY, detail)
    except InputError:
        return
    assert found.detail.keys() == detail.keys() <= {field.key for field in FIELDS[kind]}


def test_doses_of_steroids_are_alike_by_the_published_table():
    alike = {drug: dexamethasone_mg(drug, 100) for drug in STEROIDS}
    assert alike == pytest.approx(
        {
            "dexamethasone": 100,
            "betamethasone": 100,
            "methylprednisolone": 18.75,
            "triamcinolone": 18.75,
            "prednisolone": 15,
            "prednisone": 15,
            "hydrocortisone": 3.75,
            "cortisone": 3,
        }
    )
    assert dexamethasone_mg("aspirin", 100) is None
