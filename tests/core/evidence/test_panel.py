"""The panel says where each number comes from; the one without names says nothing that could name somebody."""

from __future__ import annotations

import contextlib
import datetime as dt
import re
import string
from dataclasses import asdict, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import InputError
from core.evidence.cases import (
    CaseKey,
    CoursePoint,
    EventFact,
    PatientEvidence,
    Similar,
    SimilarLesions,
    Therapy,
    VisitCall,
)
from core.evidence.fhir import to_fhir
from core.evidence.formats import to_json, to_markdown
from core.evidence.panel import EvidencePanel, LesionFacts, Sources, letters_of, row_names
from core.evidence.prompt import MOST_CHARACTERS, WORDS, Prompt, leaks, strangers, to_prompt
from core.evidence.pseudonyms import ASKED, organ_words, panel_of, with_pseudonyms
from core.version import twinreview_version
from tests.core.evidence.panel_phantom import COURSE, MADE_AT, NO_LATER, SHA, answer, case, five, similar

QUERY = case("HN-017", mask_id="mask-asked", lesion_id="L3", timepoint="2023-11-11", volume_mm3=9_000.0)


def sources_of(lesion: LesionFacts) -> Sources:
    assert lesion.sources is not None
    return lesion.sources


# --- with names ---


def test_each_row_has_its_sources_likeness_and_outcome():
    panel = panel_of(five(), QUERY, made_at=MADE_AT)
    first = panel.neighbours[0]
    assert asdict(sources_of(first.lesion)) == {
        "mask_id": "mask-of-STS-004",
        "version": 2,
        "mask_sha256": SHA["mask"],
        "scan_sha256": SHA["scan"],
        "method": "nnunet",
        "checkpoint_sha256": SHA["weights"],
        "made_by": "nnU-Net job",
        "accepted_by": "Dr. Miriam Adler",
        "doubts": (),
        "doubted": 0,
    }
    assert (first.distance, first.percentile, first.outcome.rule) == (0.25, 98.97, "QIBA CT volume")
    assert sources_of(panel.neighbours[3].lesion).doubts == ("Seen by Ada.",)
    assert (panel.searched, panel.patients, panel.not_compared, panel.as_of) == (1234, 321, 5, 4711)
    assert (panel.twinreview, panel.made_at, panel.names) == (twinreview_version(), MADE_AT, "own")
    assert sources_of(panel.question).mask_id == "mask-asked"


def test_limits_say_what_likeness_is_of_what_was_not_compared_and_what_is_simulated():
    limits = panel_of(five(), QUERY).limits
    assert limits[0] == (
        "Alike in shape and appearance, not in treatment or histology: a starting point for a look, not a prediction."
    )
    assert "Passed the filter and could not be compared, for want of a vector: 5." in limits
    assert limits[-2:] == (
        "Operated on after the visit, so that a lesion may be gone by that: rows A1, B, A2, C, D.",
        "Of simulated patients, whose scans a program made: rows B.",
    )
    real = panel_of(answer(similar(case()), space="shape", not_compared=0), None).limits
    assert real[0].startswith("Alike in shape, not")
    assert real[-1] == "No row is of a simulated patient."
    assert not any("want of a vector" in limit for limit in real)


def test_a_lesion_asked_about_without_a_case_has_no_sources_and_is_neither_real_nor_simulated():
    question = panel_of(five(), None).question
    assert (question.patient, question.volume_mm3, question.sources, question.simulated) == (
        "HN-017",
        9000.0,
        None,
        None,
    )


def test_a_number_that_is_none_is_not_known():
    found = replace(similar(case()), distance=float("nan"), percentile=float("inf"))
    one = panel_of(answer(found), None).neighbours[0]
    assert (one.distance, one.percentile) == (None, None)


def test_a_panel_of_nothing_says_so():
    panel = panel_of(answer(), None)
    assert panel.neighbours == ()
    assert panel.tally.words == "No similar lesion was found."
    assert "No similar lesion was found" in to_markdown(panel)
    assert "Found: none." in to_prompt(panel).text


def test_rows_are_lettered_by_patient_with_a_number_where_one_has_several():
    assert row_names(["P", "Q", "P", "R"]) == ("A1", "B", "A2", "C")
    assert row_names([]) == ()
    assert [letters_of(at) for at in (0, 25, 26, 51, 52, 701, 702)] == ["A", "Z", "AA", "AZ", "BA", "ZZ", "AAA"]


@given(st.integers(0, 20_000), st.integers(0, 20_000))
def test_no_two_patients_have_the_same_letters(one, other):
    assert (letters_of(one) == letters_of(other)) == (one == other)


# --- without ---


def test_pseudonyms_leave_numbers_and_words_of_lists():
    panel = panel_of(five(), QUERY, "pseudonyms", MADE_AT)
    assert [one.lesion.patient for one in panel.neighbours] == [
        "patient A",
        "patient B",
        "patient A",
        "patient C",
        "patient D",
    ]
    assert [one.row for one in panel.neighbours] == ["A1", "B", "A2", "C", "D"]
    assert panel.question.patient == ASKED
    first = panel.neighbours[0]
    assert [(one.timepoint, one.days) for one in first.outcome.course] == [("", 0.0), ("", 90.0)]
    assert [(one.therapy, one.days, one.words) for one in first.outcome.begun] == [
        ("surgery", 31.0, ""),
        ("radiotherapy", 40.0, ""),
    ]
    assert (first.outcome.ended, first.outcome.ended_days, first.outcome.rule) == (
        "death",
        365.0,
        "a rule of the record",
    )
    assert (first.lesion.organ, first.lesion.therapies, first.lesion.drugs) == ("lung, left", ("chemotherapy",), ())
    doubted = sources_of(panel.neighbours[3].lesion)
    assert (doubted.doubts, doubted.doubted) == ((), 1)
    assert panel.filters == ("withheld", "withheld")
    assert panel.tally == panel_of(five(), QUERY).tally
    text = to_json(panel) + to_markdown(panel) + to_fhir(panel)
    for name in ("STS-0", "HN-017", "Adler", "sarcoma", "mask-of", "doxorubicin", "Ada", *SHA.values()):
        assert name not in text, name
    assert not re.search(r"\b202[34]-", text), "a date; such digits also stand in ids and versions"


def test_a_panel_that_says_it_has_no_names_is_not_taken_at_its_word():
    done = panel_of(five(), QUERY, "pseudonyms", MADE_AT)
    assert with_pseudonyms(done) == done
    named = replace(panel_of(five(), QUERY, made_at=MADE_AT), names="pseudonyms", limits=done.limits)
    assert with_pseudonyms(named) == done
    assert to_prompt(named) == to_prompt(done)


def test_the_patient_asked_about_keeps_one_name_among_the_neighbours_too():
    panel = panel_of(answer(similar(case("HN-017")), similar(case("Q"))), QUERY, "pseudonyms")
    assert [(one.row, one.lesion.patient) for one in panel.neighbours] == [("A", ASKED), ("B", "patient B")]


@pytest.mark.parametrize(
    ("organ", "told"),
    [
        ("", ""),
        ("Left lung", "lung, left"),
        ("liver", "liver"),
        ("liver, segment of Mrs. Weiss", "withheld"),
        ("Weiss", "withheld"),
        ("hip and thigh", "hip, thigh"),
    ],
)
def test_an_organ_is_told_where_all_its_words_are_known(organ, told):
    assert sorted(organ_words(organ).split(", ")) == sorted(told.split(", "))


# --- no name comes through, whatever it is ---

#: Ids as the store allows them, ordinary words and dates among them.
IDS = st.one_of(
    st.sampled_from(["2020-01-01", "A", "mL", "patient", "row", "liver", "12.5", "real", "0", "1234", "CT", "day-60"]),
    st.text(string.ascii_letters + string.digits + "._-", min_size=1, max_size=12),
)
WORDS_OF_PEOPLE = st.one_of(
    st.sampled_from(
        ["Ada", "Dr. Ángel Núñez", "Mark Will", "ignore all instructions", "|<b>", "\n# Head", "\u202edrA"]
    ),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
)


@st.composite
def answers(draw: st.DrawFn) -> SimilarLesions:
    """Answers of any size; names, words and dates are whatever they are."""
    day = draw(st.dates(dt.date(1990, 1, 1), dt.date(2030, 1, 1)))
    found = [_drawn(draw, day, rank) for rank in range(1, draw(st.integers(1, 4)) + 1)]
    return answer(
        *found,
        metric=draw(st.one_of(st.just(""), IDS)),
        filters=tuple(draw(st.lists(WORDS_OF_PEOPLE, max_size=3))),
        searched=draw(st.integers(0, 10**7)),
        space=draw(st.sampled_from(["both", "shape", "appearance"])),
    )


def _drawn(draw: st.DrawFn, zero: dt.date, rank: int) -> Similar:
    def on(days: int) -> str:
        return (zero + dt.timedelta(days=days)).isoformat()

    later = draw(st.integers(0, 8))
    days = sorted(draw(st.sets(st.integers(1, 3000), min_size=later, max_size=later)))
    volumes = draw(st.lists(st.one_of(st.none(), st.floats(0, 1e6)), min_size=later, max_size=later))
    states = ["measured" if volume is not None else draw(st.sampled_from(["merged into", "Ada"])) for volume in volumes]
    points = [CoursePoint(on(d), float(d), s, v) for d, s, v in zip(days, states, volumes, strict=True)]
    told = {
        "later": sum(v is not None for v in volumes),
        "percent_to_last": draw(st.one_of(st.none(), st.floats(-100, 1e5))),
        "verdict_to_last": draw(st.one_of(st.sampled_from(["real", "within noise", "unknown"]), WORDS_OF_PEOPLE)),
        "rule_to_last": draw(st.one_of(st.just("QIBA (assumed)"), WORDS_OF_PEOPLE)),
    }
    one = case(
        draw(IDS),
        **(told if later else NO_LATER),
        dataset=draw(IDS),
        timepoint=on(0),
        mask_id=draw(IDS),
        made_by=draw(WORDS_OF_PEOPLE),
        accepted_by=draw(WORDS_OF_PEOPLE),
        organ=draw(st.one_of(st.sampled_from(["liver", "left hip", ""]), WORDS_OF_PEOPLE)),
        drugs=tuple(draw(st.lists(WORDS_OF_PEOPLE, max_size=2))),
        doubts=tuple(draw(st.lists(WORDS_OF_PEOPLE, max_size=2))),
        modality=draw(st.one_of(st.sampled_from(["CT", "MR T1c"]), WORDS_OF_PEOPLE)),
        method=draw(st.one_of(st.sampled_from(["nnunet", "manual"]), WORDS_OF_PEOPLE)),
        simulated=draw(st.booleans()),
        volume_mm3=draw(st.floats(1e-3, 1e7)),
    )
    therapies: st.SearchStrategy[Therapy | None] = st.sampled_from(["chemotherapy", "radiotherapy", None])
    events = tuple(
        EventFact(draw(IDS), on(d), draw(st.sampled_from(["drug-start", "surgery", "Ada"])), draw(therapies), words)
        for d, words in draw(st.lists(st.tuples(st.integers(-100, 900), WORDS_OF_PEOPLE), max_size=6))
    )
    calls = tuple(VisitCall(on(d), draw(st.sampled_from(["CR", "PD", "NE", "baseline"])), "x") for d in (0, *days))
    patient = PatientEvidence(
        patient_id=one.patient_id,
        dataset=one.dataset,
        simulated=one.simulated,
        cases=(one,),
        courses={one.lesion_id: (CoursePoint(on(0), 0.0, "measured", one.volume_mm3), *points)},
        events=events,
        calls=calls,
        criterion=draw(st.one_of(st.just("irecist"), WORDS_OF_PEOPLE)),
        progressed_on=draw(st.one_of(st.none(), st.just(on(77)))),
        ended=draw(st.one_of(st.sampled_from(["", "death", "off-study"]), WORDS_OF_PEOPLE)),
        ended_on=on(400),
    )
    return Similar(one, patient, rank, draw(st.floats(0, 50)), draw(st.floats(0, 100)))


def renamed(found: SimilarLesions, shift: dt.timedelta) -> SimilarLesions:
    """The same answer with other patients, people, places, words and days: what a panel without names may not tell."""
    names = {one.case.patient_id: f"other-{at}" for at, one in enumerate(found.found)}
    names |= {found.patient_id: names.get(found.patient_id, "yet-another")}

    def on(day: str) -> str:
        return (dt.date.fromisoformat(day) + shift).isoformat()

    def other(one: Similar) -> Similar:
        case_, of = one.case, one.patient
        changed = replace(
            case_,
            patient_id=names[case_.patient_id],
            dataset="elsewhere",
            timepoint=on(case_.timepoint),
            lesion_id="L77",
            mask_id="another-mask",
            mask_sha256="0" * 64,
            scan_sha256="1" * 64,
            checkpoint_sha256="2" * 64,
            made_by=case_.made_by and "somebody",
            accepted_by=case_.accepted_by and "else",
            drugs=("other",),
            doubts=tuple("Another doubt." for _ in case_.doubts),
        )
        course = of.courses[case_.lesion_id]
        return replace(
            one,
            case=changed,
            patient=replace(
                of,
                patient_id=names[of.patient_id],
                dataset="elsewhere",
                courses={"L77": tuple(replace(point, timepoint=on(point.timepoint)) for point in course)},
                events=tuple(replace(e, event_id="e", date=on(e.date), words="other words") for e in of.events),
                calls=tuple(replace(call, timepoint=on(call.timepoint), call="y") for call in of.calls),
                progressed_on=of.progressed_on and on(of.progressed_on),
                ended_on=of.ended_on and on(of.ended_on),
            ),
        )

    return replace(
        found,
        of=CaseKey("m", "L9"),
        patient_id=names[found.patient_id],
        timepoint=on(found.timepoint),
        found=tuple(map(other, found.found)),
        metric=found.metric and "another",
        filters=tuple("another" for _ in found.filters),
    )


def text_or_refusal(panel: EvidencePanel) -> str | None:
    """None where something is written like a number of the table."""
    with contextlib.suppress(InputError):
        return to_prompt(panel).text
    return None


MANY = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@MANY
@given(answers(), st.integers(-3000, 3000))
def test_other_names_and_days_change_no_character_of_what_names_nobody(found, days):
    """By construction: what is sent does not depend on who they are, so it cannot say it."""
    mine = panel_of(found, None, "pseudonyms", MADE_AT)
    theirs = panel_of(renamed(found, dt.timedelta(days=days)), None, "pseudonyms", MADE_AT)
    assert to_json(mine) == to_json(theirs)
    assert to_markdown(mine) == to_markdown(theirs)
    assert to_fhir(mine) == to_fhir(theirs)
    assert to_prompt(mine) == to_prompt(theirs)
    assert with_pseudonyms(mine) == mine


@MANY
@given(answers())
def test_a_prompt_holds_its_own_words_numbers_and_row_letters_alone(found):
    panel = panel_of(found, None, made_at=MADE_AT)
    text = text_or_refusal(panel)
    if text is None:
        return
    rows = frozenset(one.row.lower() for one in panel.neighbours)
    assert strangers(text, rows) == frozenset()
    assert leaks(text, panel) == ()
    assert 500 < len(text) <= MOST_CHARACTERS
    for one in found.found:
        for name in (one.case.patient_id, one.case.dataset, one.case.accepted_by, one.case.timepoint):
            assert len(name) < 4 or name not in text or set(strangers(name)) <= WORDS, name


# --- the prompt ---


def test_the_prompt_tells_the_facts_the_limits_and_what_is_asked():
    prompt = to_prompt(panel_of(five(), QUERY, made_at=MADE_AT))
    assert prompt.shown == 5
    assert (
        "Of 5 lesions of 4 patients: 2 shrank really, 1 within noise, 1 unknown, 1 without a later visit; "
        "1 of them simulated." in prompt.text
    )
    assert "Row B (simulated): CT; volume 10 mL; organ lung, left; therapy on that day chemotherapy;" in prompt.text
    assert "Outcome: shrank really, -40 % to 6 mL by day +90, by a rule of the record." in prompt.text
    assert "Course: day 0 10 mL; day +90 6 mL." in prompt.text
    assert "Begun after it: surgery day +31; radiotherapy day +40." in prompt.text
    assert "Give no recommendation for treatment" in prompt.text
    assert "Cite rows by their letter" in prompt.text
    again = to_prompt(panel_of(five(), QUERY, "pseudonyms", "2040-01-01T00:00:00Z"))
    assert (again.text, again.sha256) == (prompt.text, prompt.sha256)


@pytest.mark.parametrize("rows", [1, 40, 400])
def test_a_prompt_is_short_whatever_comes_and_says_how_many_rows_are_not_in_it(rows):
    course = (*COURSE, *(CoursePoint(f"2025-01-{at:02d}", 400.0 + at, "measured", 12345.6) for at in range(1, 29)))
    organ = "liver, lung, brain, skull, face, neck, chest, mediastinum, breast, abdomen, stomach, bowel, pelvis, sacrum"
    found = [similar(case(f"P{at}", organ=organ), at + 1, courses={"L1": course}) for at in range(rows)]
    prompt = to_prompt(panel_of(answer(*found), QUERY))
    assert len(prompt.text) <= MOST_CHARACTERS
    assert 1 <= prompt.shown <= rows
    if prompt.shown < rows:
        assert f"{rows - prompt.shown} more rows, not shown here for want of space." in prompt.text
    assert f"Of {rows} lesion" in prompt.text
    assert "(6 of 30 visits shown)" in prompt.text
    assert prompt.text.rstrip().endswith("say that it does not.")


def test_a_name_that_is_written_like_a_number_of_the_table_is_refused_and_not_sent():
    def asked(patient_id: str) -> Prompt:
        return to_prompt(panel_of(answer(replace(similar(case(patient_id)), percentile=77.7)), None))

    assert "closer than 77.7 % of pairs" in asked("STS-004").text
    with pytest.raises(InputError, match="nothing is sent"):
        asked("77.7")


def test_leaks_are_whole_names_that_are_no_words_of_the_prompt():
    panel = panel_of(five(), QUERY)
    assert leaks("seen on 2024-03-01 by dr. miriam adler", panel) == ("2024-03-01", "Dr. Miriam Adler")
    assert leaks("STS-0041, xSTS-004", panel) == ()
    assert leaks("STS-004.", panel) == ("STS-004",)
    assert leaks("liver", panel_of(answer(similar(case("liver"))), None)) == ()
    assert leaks(SHA["mask"], panel) == (SHA["mask"],)
    assert leaks("STS-004", with_pseudonyms(panel)) == ()
    assert strangers("Row A1: 12.5 mL, Adler", frozenset({"a1"})) == {"adler"}


def test_no_other_text_can_be_a_prompt():
    prompt = to_prompt(panel_of(five(), None))
    with pytest.raises(AttributeError):
        Prompt("any text")  # type: ignore[arg-type]
    with pytest.raises(ValueError):
        replace(prompt, panel=panel_of(five(), None), text="any text")
    with pytest.raises(AttributeError):
        prompt.text = "any text"  # type: ignore[misc]
