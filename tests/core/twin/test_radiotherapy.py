"""Growth after radiotherapy of that site may be necrosis; radiation of another place silences nothing."""

from __future__ import annotations

import pytest

from core.twin.radiotherapy import CANNOT_TELL, cannot_tell, radiotherapy_courses
from tests.clinic import event

LATER = "2024-06-01"


def course(site="", start="2024-01-10", **more):
    detail = {"technique": "vmat", **({"site": site} if site else {}), **more}
    return event(start, "radiotherapy", detail)


@pytest.mark.parametrize(
    ("given", "lesion_site", "where"),
    [
        (course("left hip"), "left thigh", None),
        (course("hip"), "hip", "of the hip"),
        (course("left thigh"), "right thigh", None),
        (course("leg"), "left thigh", "of the leg"),
        (course(), "left thigh", "site not given"),
        (course(), None, "site not given"),
        (course("left hip"), None, "of the left hip; where the lesion lies is not given"),
        (
            course("left hip"),
            "liver or so",
            "of the left hip; where the lesion lies, 'liver or so', is not understood in full",
        ),
        (course("field 2b"), "left thigh", "site 'field 2b' not understood in full"),
        (event("2024-01-10", "treatment-start", "RT 60 Gy to the hip"), "thigh", None),
        (event("2024-01-10", "radiotherapy", "50 Gy"), "thigh", "site not given"),
        (event("2024-01-10", "treatment-start", "WBRT 30 Gy"), "thigh", None),
        (event("2024-01-10", "treatment-start", "WBRT 30 Gy"), "left frontal", "of the brain"),
        (course(technique="whole-brain"), "thigh", None),
        (event("2024-01-10", "radiotherapy", "hip, Dr X"), "thigh", "site 'hip' not understood in full"),
    ],
)
def test_only_radiation_of_the_lesions_site_or_of_one_that_is_not_known_counts(given, lesion_site, where):
    expected = None if where is None else f"{CANNOT_TELL} (radiotherapy 2024-01-10, {where})"
    assert cannot_tell([given], LATER, 40.0, lesion_site) == expected


def test_the_course_of_the_site_counts_though_another_came_later():
    events = [course("left thigh"), course("brain", "2024-03-01")]
    said = cannot_tell(events, LATER, 40.0, "left thigh")
    assert said is not None
    assert "2024-01-10, of the left thigh" in said


@pytest.mark.parametrize(("day", "told"), [("2026-03-08", True), ("2026-03-09", True), ("2026-03-10", False)])
def test_two_years_are_counted_from_the_last_day_where_that_is_known(day, told):
    said = cannot_tell([course("hip", end_date="2024-03-09")], day, 40.0, "hip")
    assert (said is not None) is told
    assert said is None or "radiotherapy 2024-01-10 to 2024-03-09, of the hip" in said


def test_courses_are_told_by_date_and_a_stop_begins_none():
    events = [
        event("2024-05-01", "treatment-start", "SBRT 5 x 7 Gy"),
        event("2024-05-10", "treatment-stop", "SBRT"),
        course("hip"),
        event("2024-02-01", "drug-start", {"drug": "imatinib"}),
    ]
    assert [(c.date, c.technique) for c in radiotherapy_courses(events)] == [
        ("2024-01-10", "vmat"),
        ("2024-05-01", "stereotactic-body"),
    ]
