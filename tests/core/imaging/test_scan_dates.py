"""The day of a scan: which attribute says it, which days it cannot be, and another one only with a reason."""

from __future__ import annotations

import datetime as dt

import pytest
from pydicom import Dataset

from core.errors import InputError
from core.imaging.scan_dates import DateFound, birth_year_of, check_scan_date, date_of, differs_from_file
from tests.core.imaging.outcomes import shows

TODAY = dt.date(2026, 3, 2)


def header(**values: str) -> Dataset:
    ds = Dataset()
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({"StudyDate": "20240305", "SeriesDate": "20240309"}, ("2024-03-05", "StudyDate", ())),
        ({"SeriesDate": "20240309", "ContentDate": "20240310"}, ("2024-03-09", "SeriesDate", ())),
        ({"AcquisitionDate": "2024.03.05"}, ("2024-03-05", "AcquisitionDate", ())),
        ({"StudyDate": "20240305", "AcquisitionDate": "20240306"}, ("2024-03-05", "StudyDate", ())),  # over midnight
        (
            {"StudyDate": "20240305", "AcquisitionDate": "20240401"},
            ("2024-03-05", "StudyDate", (("AcquisitionDate", "2024-04-01"),)),
        ),
        ({"StudyDate": "", "SeriesDate": "20241399"}, (None, None, ())),
        ({}, (None, None, ())),
    ],
)
def test_the_day_is_the_study_s_and_who_says_another_is_named(values, found):
    assert date_of(header(**values)) == DateFound(*found)


@pytest.mark.parametrize(("born", "year"), [("19510203", 1951), ("19000101", None), ("", None), ("X", None)])
def test_a_year_of_birth_is_taken_where_it_is_one(born, year):
    assert birth_year_of(header(PatientBirthDate=born)) == year


@shows("Studies, dates and people", "dates in the future or before birth", "refused")
@pytest.mark.parametrize(
    ("date", "birth_year", "says"),
    [
        ("2026-03-03", None, "in the future"),
        ("1990-01-01", 1991, "year of birth"),
        ("2024-02-30", None, "YYYY-MM-DD"),
        ("20240305", None, "YYYY-MM-DD"),
    ],
)
def test_a_day_on_which_nobody_can_have_been_scanned_is_refused(date, birth_year, says):
    with pytest.raises(InputError, match=says):
        check_scan_date(date, birth_year, TODAY)


@pytest.mark.parametrize(("date", "birth_year"), [("2026-03-02", None), ("1991-01-01", 1991), ("1970-01-01", 1950)])
def test_any_other_day_is_taken(date, birth_year):
    assert check_scan_date(date, birth_year, TODAY).isoformat() == date


def test_today_is_a_day_of_a_scan_wherever_on_earth_it_is_and_next_week_is_none():
    check_scan_date(dt.date.today().isoformat())
    with pytest.raises(InputError, match="in the future"):
        check_scan_date((dt.date.today() + dt.timedelta(days=7)).isoformat())


@shows("Studies, dates and people", "another date than the file's", "by a person's word", "both are named")
def test_another_day_than_the_file_s_needs_a_reason_and_the_refusal_names_both():
    of_file = DateFound("2024-03-05", "StudyDate")
    with pytest.raises(InputError, match=r"2024-03-05 \(StudyDate\), you say 2025-09-30"):
        differs_from_file("2025-09-30", of_file, "  ")
    for reason in ("x" * 501, "a\nb"):
        with pytest.raises(InputError, match="printable characters"):
            differs_from_file("2025-09-30", of_file, reason)
    assert differs_from_file("2025-09-30", of_file, "shifted on purpose")
    assert not differs_from_file("2024-03-05", of_file, "")
    assert not differs_from_file("2025-09-30", DateFound(None, None), "")
