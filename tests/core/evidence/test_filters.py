"""A filter passes the same lesions over cases and as a query; what cannot be told neither passes nor fails."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import InputError
from core.evidence.cases import CaseKey, PatientEvidence
from core.evidence.filters import RESPONSES, LesionFilter, Passing, selected
from core.evidence.graph_database import GraphDatabase
from core.evidence.graph_schema import rows_of
from core.evidence.reading_query import reading_query
from tests.core.evidence.evidence_phantom import KINDS, THERAPIES, patients, three_patients


def key(patient: str, timepoint: str, lesion: str = "L1") -> CaseKey:
    return CaseKey(f"mask-{patient}-{timepoint}", lesion)


def test_the_missions_filter_finds_what_is_counted_by_hand() -> None:
    by = LesionFilter(organ="liver", volume_factor=2.0, therapy="chemotherapy", response="responded")
    found = selected(by, three_patients(), 1200.0)
    assert found.keys == {key("ANN", "2024-01-01")}
    # Ann's second, Bo's first and L2 fail; Bo's second and Cy's are told by nothing.
    assert found.unknown == {
        "no treatment on record": 2,
        "no call after it": 2,
        "nobody named the organ": 1,
    }
    assert by.words() == ("organ liver", "volume within 2×", "on chemotherapy", "responded (CR or PR)")


def test_bounds_of_a_volume_are_within() -> None:
    ann = three_patients()[0]
    for of, passes in ((500.0, True), (2000.0, True), (499.0, False), (2001.0, False)):
        assert LesionFilter(volume_factor=2.0).passes(ann.cases[0], ann, of) == Passing(passes)


def test_an_event_within_the_days_after_passes_and_what_is_not_on_record_is_not_told() -> None:
    ann, _, cy = three_patients()
    first, second = ann.cases[:2]
    assert LesionFilter(event_after="radiotherapy", within_days=30).passes(first, ann, 1.0) == Passing(True)
    assert LesionFilter(event_after="radiotherapy", within_days=29).passes(first, ann, 1.0) == Passing(False)
    assert LesionFilter(event_after="radiotherapy").passes(second, ann, 1.0) == Passing(False)
    assert LesionFilter(event_after="surgery").passes(cy.cases[0], cy, 1.0) == Passing(None, ("no event on record",))
    undated = replace(ann, events=(replace(ann.events[0], date="2024"),))
    assert LesionFilter(event_after="surgery").passes(first, undated, 1.0) == Passing(
        None, ("an event without a date",)
    )


def test_a_drug_of_no_known_class_may_be_of_the_class_that_is_asked_for() -> None:
    ann = three_patients()[0]
    unclear = replace(ann.cases[0], therapies=("drug of no known class",))
    asked = LesionFilter(therapy="chemotherapy")
    assert asked.passes(unclear, ann, 1.0) == Passing(None, ("a drug of no known class",))
    assert asked.passes(replace(unclear, therapies=("radiotherapy",)), ann, 1.0) == Passing(False)
    begun = replace(ann, events=(replace(ann.events[0], kind="drug-start", therapy="drug of no known class"),))
    assert LesionFilter(event_after="chemotherapy").passes(unclear, begun, 1.0).passes is None
    assert LesionFilter(event_after="surgery").passes(unclear, begun, 1.0).passes is False


def test_a_response_before_is_no_response_after() -> None:
    ann = three_patients()[0]
    assert LesionFilter(response="PR").passes(ann.cases[0], ann, 1.0) == Passing(True)
    assert LesionFilter(response="CR").passes(ann.cases[0], ann, 1.0) == Passing(False)
    assert LesionFilter(response="PR").passes(ann.cases[1], ann, 1.0) == Passing(None, ("no call after it",))


def test_without_anything_asked_all_pass_and_one_patient_can_be_left_out() -> None:
    assert len(selected(LesionFilter(), three_patients(), 1.0).keys) == 6
    assert len(selected(LesionFilter(), three_patients(), 1.0, but="ANN").keys) == 3
    assert LesionFilter().words() == ()


@pytest.mark.parametrize(
    "wrong",
    [
        {"volume_factor": 0.5},
        {"volume_factor": float("nan")},
        {"response": "well"},
        {"within_days": 30},
        {"event_after": "surgery", "within_days": 0},
        {"event_after": "surgery", "within_days": 366},
    ],
)
def test_a_filter_that_is_none_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError, match="Expected"):
        LesionFilter(**wrong)  # type: ignore[arg-type]


def test_a_factor_needs_a_volume() -> None:
    ann = three_patients()[0]
    for volume in (0.0, float("nan")):
        with pytest.raises(InputError, match="above 0"):
            LesionFilter(volume_factor=2.0).passes(ann.cases[0], ann, volume)
    with pytest.raises(InputError, match="above 0"):
        LesionFilter(volume_factor=2.0).cypher()


@st.composite
def filters(draw: st.DrawFn) -> LesionFilter:
    event = draw(st.sampled_from(["", *KINDS, *THERAPIES]))
    return LesionFilter(
        organ=draw(st.sampled_from(["", "", "liver", "it's \\ `odd` ‘ö’"])),
        volume_factor=draw(st.one_of(st.none(), st.sampled_from([1.0, 2.0]), st.floats(1.0, 50.0))),
        modality=draw(st.sampled_from(["", "", "CT", "MR"])),
        therapy=draw(st.sampled_from(["", "", *THERAPIES])),
        response=draw(st.sampled_from(["", *RESPONSES])),
        event_after=event,
        within_days=draw(st.one_of(st.none(), st.integers(1, 365))) if event else None,
        with_later=draw(st.booleans()),
        dataset=draw(st.sampled_from(["", "", "made"])),
    )


@settings(max_examples=20, deadline=None)
@given(patients(), st.lists(filters(), min_size=10, max_size=10), st.floats(1.0, 1e4))
def test_cases_and_the_graph_pass_the_same(made: list[PatientEvidence], by: list[LesionFilter], volume: float) -> None:
    graph = GraphDatabase(rows_of(made))  # as EvidenceGraph, without a process each
    for one in by:
        text, parameters = one.cypher(volume)
        assert reading_query(text)
        assert graph.observation_keys(text, parameters) == selected(one, made, volume).keys
