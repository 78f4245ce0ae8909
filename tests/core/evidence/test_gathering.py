from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.evidence import base as of_base
from core.evidence.base import evidence_at_once, evidence_base, shape_of
from core.evidence.cases import CaseKey
from core.evidence.gathering import event_facts, therapies_on
from core.lesions.shape import VECTOR_NAMES
from core.remembered.rows import LesionVector
from core.review.event_words import read_event
from core.review.radiation_words import TECHNIQUES
from core.twin.patient_responses import calls_in_force, patient_responses
from core.twin.timeline import patient_timeline
from store import Store, open_store
from tests import clinic


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clinic, to be copied."""
    root = tmp_path_factory.mktemp("clinic") / "data"
    clinic.build(root)
    return root


@pytest.fixture
def opened(built: Path, tmp_path: Path) -> Iterator[Store]:
    with open_store(shutil.copytree(built, tmp_path / "data", symlinks=True)) as store:
        yield store


def test_a_case_tells_what_became_of_a_lesion_by_the_last_visit_and_not_only_the_next(opened: Store):
    base = evidence_base(opened)
    anna = [case for case in base.cases if case.patient_id == "ANNA"]
    assert [(case.timepoint, case.later) for case in anna] == list(zip(clinic.DAYS, (3, 2, 1, 0), strict=False))
    first, last = anna[0], anna[-1]
    assert (first.last_timepoint, first.days_to_last) == (clinic.DAYS[3], 168)
    assert first.percent_to_last == pytest.approx(120)
    assert first.verdict_to_last == "real"
    assert first.volume_at_last_mm3 == pytest.approx(12 * 2200)
    assert (last.last_timepoint, last.days_to_last, last.percent_to_last, last.verdict_to_last) == ("", None, None, "")
    assert (first.accepted_by, anna[1].accepted_by) == ("demo", "second reader")
    assert first.simulated, "a program made her later scans"
    assert not base.case_of(CaseKey("no such mask", "L1"))


def test_only_accepted_lesions_are_evidence_and_a_withdrawn_one_leaves_at_once(opened: Store):
    assert {case.patient_id for case in evidence_base(opened).cases} == {"ANNA", "BEN", "DORA", "ELLA", "FAY"}
    opened.decisions.decide("FAY", clinic.DAYS[0], 1, "withdraw", "demo", "second-look")
    opened.decisions.decide("FAY", clinic.DAYS[1], 1, "withdraw", "demo", "second-look")
    base = evidence_base(opened)
    assert "FAY" not in base.patients
    assert evidence_base(opened) is base, "nothing changed since"


def test_a_page_that_need_not_wait_gets_the_base_of_before_without_what_was_withdrawn(opened: Store, monkeypatch):
    monkeypatch.setattr(of_base, "NOTICED_S", -1.0)
    monkeypatch.setattr(of_base, "_in_background", lambda store, memory: None)
    whole = evidence_base(opened)
    opened.decisions.decide("FAY", clinic.DAYS[1], 1, "withdraw", "demo", "second-look")
    known, behind = evidence_at_once(opened)
    assert behind
    assert (known.as_of, len(known.cases)) == (whole.as_of, len(whole.cases) - 1)
    assert evidence_at_once(opened)[0] is known, "what is made of it is kept"
    assert evidence_base(opened).as_of > whole.as_of


def test_who_sees_a_part_has_evidence_of_that_part_alone(opened: Store):
    opened.people.add("guest", by="demo")
    opened.people.grant("guest", ["other"], by="demo")
    assert evidence_base(opened.seen_by("guest")).cases == ()
    assert len(evidence_base(opened.seen_by("demo")).cases) == len(evidence_base(opened).cases)


def test_the_calls_that_evidence_reads_are_those_of_the_patients_response(opened: Store):
    for patient in evidence_base(opened).patients:
        timeline, stored = patient_timeline(opened, patient), opened.protocols.of(patient)
        events = opened.events.of(patient)
        whole, quick = patient_responses(timeline, stored, events), calls_in_force(timeline, stored, events)
        assert whole is not None
        assert quick is not None
        assert quick[0] == whole.in_force
        assert [(one.timepoint, one.call, one.value) for one in quick[1]] == [
            (one.timepoint, one.call, one.value) for one in whole.calls
        ]


def test_what_was_given_on_a_day_is_told_by_class_and_an_unknown_name_is_no_nothing():
    events = [
        clinic.event("2024-01-10", "drug-start", {"drug": "doxorubicin"}),
        clinic.event("2024-02-10", "drug-stop", {"drug": "doxorubicin"}),
        clinic.event("2024-02-20", "drug-start", {"drug": "XY-123"}),
        clinic.event("2024-03-01", "drug-start", {"drug": "pembrolizumab"}),
    ]
    assert therapies_on(events, "2024-01-09")[0] == ()
    assert therapies_on(events, "2024-01-20")[0] == ("chemotherapy",)
    assert therapies_on(events, "2024-02-15")[0] == ()
    assert therapies_on(events, "2024-02-25")[0] == ("drug of no known class",)
    assert set(therapies_on(events, "2024-03-05")[0]) == {"drug of no known class", "immunotherapy"}


def test_drugs_of_several_classes_that_begin_together_are_all_told():
    begun = clinic.event("2024-01-10", "drug-start", {"drug": "carboplatin and pembrolizumab"})
    facts = event_facts(read_event(begun))
    assert [fact.therapy for fact in facts] == ["chemotherapy", "immunotherapy"]
    assert len({fact.event_id for fact in facts}) == 2
    with_drug = {"technique": TECHNIQUES[0], "dose_gy": 60, "drug": "temozolomide"}
    told = event_facts(read_event(clinic.event("2024-01-10", "radiotherapy", with_drug)))
    assert [fact.therapy for fact in told] == ["radiotherapy", "chemotherapy"]
    assert [fact.therapy for fact in event_facts(read_event(clinic.event("2024-01-10", "relapse", {})))] == [None]


def test_the_shape_of_a_stored_vector_is_found_by_its_names():
    own = LesionVector("L1", [9.0, *range(12), 5.0], ["contrast/CT/x", *VECTOR_NAMES, "history/y"])
    assert list(shape_of(own)) == list(range(12))
    assert list(shape_of(LesionVector("L1", list(range(12)), VECTOR_NAMES))) == list(range(12))
    assert shape_of(LesionVector("L1", [1.0], ["size"])) == ()
