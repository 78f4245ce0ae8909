"""Events in free text, as older histories have them, are read by rules; what no rule reads is said."""

from __future__ import annotations

import pytest

from core.remembered.vocabulary import EventKind
from core.review.body_sites import apart, read_site
from core.review.event_words import read_event
from core.review.radiation_words import TECHNIQUES, names_radiation, read_radiation
from tests.clinic import event

#: The ways of ../shared/cases/timeline.tsv first, then those that are usual beside them.
WAYS = {
    "RT 60 Gy": "external-beam",
    "IMRT": "imrt",
    "VMAT": "vmat",
    "WBRT 30 Gy": "whole-brain",
    "Gamma Knife": "gamma-knife",
    "CyberKnife": "cyberknife",
    "proton": "proton",
    "brachytherapy": "brachytherapy",
    "chemoradiation": "chemoradiation",
    "radiotherapy": "external-beam",
    "SRS": "radiosurgery",
    "SBRT": "stereotactic-body",
    "SABR": "stereotactic-body",
    "EBRT": "external-beam",
    "XRT": "external-beam",
    "3D-CRT": "3d-conformal",
    "FSRT": "fractionated-stereotactic",
    "radiochemotherapy": "chemoradiation",
    "tomotherapy": "tomotherapy",
    "IORT": "intraoperative",
    "carbon ion therapy": "carbon-ion",
    "total body irradiation": "total-body",
    "external beam radiation therapy": "external-beam",
    "Strahlentherapie": "external-beam",
    "radiothérapie": "external-beam",
    "5 x 5 Gy": "not-said",
    "RT": "external-beam",
}


@pytest.mark.parametrize("text", WAYS)
@pytest.mark.parametrize("kind", ["treatment-start", "treatment", "radiotherapy"])
def test_radiotherapy_is_recognised_however_it_is_written(text, kind):
    read = read_event(event("2024-01-10", kind, text))
    assert read.kind is EventKind.RADIOTHERAPY
    assert read.not_recognised == ""
    expected = WAYS[text] if kind != "radiotherapy" or WAYS[text] != "not-said" else "external-beam"
    assert read.detail["technique"] == expected
    assert expected in TECHNIQUES


@pytest.mark.parametrize(
    "text",
    [
        "doxorubicin",
        "carboplatin AUC 5",
        "proton pump inhibitor",
        "RT-PCR positive",
        "RT thigh biopsy",
        "radiation necrosis resected",
        "radiology review",
        "CRT-D implanted",
        "no radiotherapy",
        "radiotherapy declined by the patient",
    ],
)
def test_what_is_no_radiotherapy_is_not_taken_for_it(text):
    assert not names_radiation(text)
    assert read_event(event("2024-01-10", "treatment-start", text)).kind is not EventKind.RADIOTHERAPY


def test_a_denied_course_beside_one_that_was_given_hides_it_not():
    assert names_radiation("no whole brain radiotherapy; SRS 18 Gy")
    assert not names_radiation("rt femur", is_surgery=True)
    assert names_radiation("resection, then RT 60 Gy", is_surgery=True)


@pytest.mark.parametrize(
    ("text", "dose", "fractions"),
    [
        ("60 Gy in 30 fractions", 60, 30),
        ("SBRT 5 x 7 Gy", 35, 5),
        ("SBRT 7 Gy x 5", 35, 5),
        ("30Gy/10", 30, 10),
        ("5040 cGy / 28 fx", 50.4, 28),
        ("60 Gy (30 x 2 Gy)", 60, 30),
        ("2 Gy daily", None, None),
        ("boost 10 Gy after 50 Gy", None, None),  # which is the course's is not said
        ("VMAT", None, None),
    ],
)
def test_the_dose_of_the_course_is_read_where_the_text_is_clear(text, dose, fractions):
    found = read_radiation(text)
    assert found is not None
    assert (found.dose_gy, found.fractions) == (dose, fractions)


@pytest.mark.parametrize(
    ("first", "second", "are_apart"),
    [
        ("hip", "thigh", True),
        ("left hip", "right hip", True),
        ("left hip", "hip", False),
        ("proximal left femur", "left thigh", False),
        ("left leg", "left thigh", False),
        ("pelvis", "hip", False),
        ("whole brain", "left frontal lobe", False),
        ("brain", "thigh", True),
        ("chest wall", "lung", True),
        ("chest", "right lung", False),
        ("whole body", "thigh", False),
        ("retroperitoneum", "kidney", False),
        ("lower leg", "thigh", True),
        ("somewhere", "thigh", False),
        ("hip and somewhere", "thigh", False),
        ("", "thigh", False),
        ("hip", "", False),
    ],
)
def test_two_places_are_apart_only_where_both_are_known(first, second, are_apart):
    assert apart(read_site(first), read_site(second)) is are_apart
    assert apart(read_site(second), read_site(first)) is are_apart


@pytest.mark.parametrize(
    ("kind", "detail", "read_as", "recognised", "left"),
    [
        ("treatment-start", "doxorubicin", "drug-start", {"drug": "doxorubicin"}, ""),
        ("treatment-start", "wide resection", "surgery", {"procedure": "wide resection"}, ""),
        ("treatment-start", "imatinib after resection", "drug-start", {"drug": "imatinib after resection"}, ""),
        ("treatment-stop", "end of cycles", "drug-stop", {}, "end of cycles"),
        ("treatment-stop", "SBRT", "drug-stop", {}, "SBRT"),
        ("surgery", "biopsy", "surgery", {"procedure": "biopsy"}, ""),
        ("steroids", {"dexamethasone_mg": 4}, "steroid-dose", {"drug": "dexamethasone"}, "mg 4"),
        ("steroids", "4 mg", "steroid-dose", {}, "4 mg"),
        ("steroids", "prednisone 40 mg daily", "steroid-dose", {"drug": "prednisone", "mg_per_day": 40}, ""),
        ("status", "ECOG 1, KPS 80%", "clinical-status", {"ecog": 1, "kps": 80}, ","),
        ("died", "of disease", "death", {"cause": "of disease"}, ""),
        ("house", "moved", None, {}, "moved"),
        ("treatment-start", "no radiotherapy", None, {}, "no radiotherapy"),
        (
            "treatment-start",
            "RT 60 Gy left hip, Dr X",
            "radiotherapy",
            {"technique": "external-beam", "dose_gy": 60, "site": "left hip"},
            "Dr X",
        ),
        ("other", {"what": "Gamma Knife"}, "radiotherapy", {"technique": "gamma-knife"}, ""),
        ("other", {"what": "moved"}, "other", {"what": "moved"}, ""),
        ("surgery", {"procedure": "IORT was not given"}, "surgery", {"procedure": "IORT was not given"}, ""),
    ],
)
def test_an_older_row_says_what_was_recognised_and_what_was_not(kind, detail, read_as, recognised, left):
    read = read_event(event("2024-01-10", kind, detail))
    assert (read.kind, read.detail, read.not_recognised) == (read_as, recognised, left)


@pytest.mark.parametrize("text", ["5" * 10_000, "RT " * 3000, "60 Gy x " * 1200, "no RT, " * 1400])
def test_a_long_text_of_nothing_is_read_as_any_other(text):
    """Some patterns took a minute on these, which pages would wait for."""
    read = read_event(event("2024-01-10", "house", text))
    assert read.kind in (None, EventKind.RADIOTHERAPY)
