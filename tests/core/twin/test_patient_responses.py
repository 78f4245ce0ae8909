"""A patient's response: whose protocol, which baseline and targets, what the volumes say against it, what flips."""

from __future__ import annotations

from typing import Any

import pytest

from core.errors import InputError
from core.remembered.protocols import Flip, FollowedLesion, ResponseProtocol, StoredProtocol
from core.remembered.rows import Event
from core.twin.patient_responses import PatientResponses, flips, patient_responses
from core.twin.timeline import PatientTimeline
from tests.core.twin.timeline_phantom import DAYS, lesion, link, mask, timeline

#: 60 mL and 15 mL are spheres of 48.6 and 30.6 mm, 10 mL of 26.7 mm.
TREATED = (mask(DAYS[1], lesion("L1", 48.57)), mask(DAYS[2], lesion("L1", 30.6)))
OLDER = mask(DAYS[0], lesion("L1", 26.73))


def event(date: str, kind: str, **detail: Any) -> Event:
    return Event(f"{kind}-{date}", "P1", date, kind, detail, "ann", "")


def stored(person: str = "ann", dataset: str | None = None, **protocol: Any) -> StoredProtocol:
    said = ResponseProtocol(**{"criterion": "recist-1.1", **protocol})
    return StoredProtocol("", said, None if dataset else "P1", dataset, "the board's", person, "")


def calls(found: PatientResponses | None) -> list[str]:
    assert found is not None
    return [call.call for call in found.calls]


def of(found: PatientTimeline, protocol: StoredProtocol | None = None, *events: Event) -> PatientResponses:
    made = patient_responses(found, protocol, events)
    assert made is not None
    return made


def test_an_older_scan_that_is_accepted_later_does_not_move_a_baseline_that_treatment_or_a_person_sets() -> None:
    """The case "PR on treatment (60 to 15 mL); then an older scan of 10 mL is accepted"."""
    start = event(DAYS[1], "drug-start", drug="doxorubicin")
    before = of(timeline(*TREATED), None, start)
    after = of(timeline(OLDER, *TREATED), None, start)
    assert calls(before) == ["baseline", "PR"]
    assert calls(after) == ["before baseline", "baseline", "PR"]
    assert after.in_force.baseline_why == f"the last accepted visit before treatment began on {DAYS[1]}"
    chosen = of(timeline(OLDER, *TREATED), stored(baseline=DAYS[1]))
    assert calls(chosen) == ["before baseline", "baseline", "PR"]
    assert chosen.in_force.baseline_why == "set by ann"


def test_where_nobody_knows_of_a_treatment_the_flip_is_told() -> None:
    before, after = of(timeline(*TREATED)), of(timeline(OLDER, *TREATED))
    assert flips(before, after) == (
        Flip(DAYS[0], "", "baseline"),
        Flip(DAYS[1], "baseline", "PD"),
        Flip(DAYS[2], "PR", "PD"),
    )
    assert after.in_force.baseline_why == "the first accepted visit; no start of treatment is on record"
    assert flips(after, after) == ()
    assert flips(None, None) == ()


def test_nobodys_protocol_is_recist_with_proposed_targets_and_says_so() -> None:
    found = of(timeline(mask(DAYS[0], *(lesion(f"L{n}", 10 + n) for n in range(1, 5)), lesion("L5", 8)))).in_force
    assert (found.protocol.criterion, found.stored) == ("recist-1.1", None)
    assert [one.lesion_id for one in found.protocol.targets] == ["L4", "L3"], "two of what may be one organ"
    assert found.targets_why == "proposed by size; nobody has chosen them"
    assert found.why_not["L5"].startswith("longest diameter 8 mm")


def test_a_persons_targets_criterion_and_data_set_count() -> None:
    visits = timeline(
        mask(DAYS[0], lesion("L1", 60), lesion("L2", 20)), mask(DAYS[1], lesion("L1", 60), lesion("L2", 26))
    )
    assert calls(of(visits)) == ["baseline", "SD"]
    small = stored(targets=(FollowedLesion("L2", "lung"),), nontargets=(FollowedLesion("L1", "liver"),))
    assert calls(of(visits, small)) == ["baseline", "PD"]
    other = of(visits, stored(dataset="trial", criterion="volume-recist-sphere"))
    assert other.in_force.protocol.criterion == "volume-recist-sphere"
    assert set(other.others) >= {"recist-1.1", "irecist", "rano-bm"}
    assert "volume-recist-sphere" not in other.others


@pytest.mark.parametrize(
    ("protocol", "told"),
    [
        ({"criterion": "who-1979"}, "Expected a criterion of recist-1.1"),
        ({"baseline": DAYS[3]}, "has no accepted mask now"),
    ],
)
def test_a_protocol_that_cannot_be_followed_is_refused_in_words(protocol: dict[str, str], told: str) -> None:
    with pytest.raises(InputError, match=told):
        patient_responses(timeline(mask(DAYS[0], lesion("L1", 30))), stored(**protocol))


def test_a_patient_without_a_visit_has_no_response() -> None:
    assert patient_responses(timeline()) is None


def test_a_merge_that_lowers_the_sum_is_contradicted_by_the_volumes() -> None:
    said = [link(DAYS[1], None, "L2", "merged into", into=("L1",), confidence=0.9)]
    both = mask(DAYS[0], lesion("L1", 40), lesion("L2", 38))
    found = of(timeline(both, mask(DAYS[1], lesion("L1", 52)), links=said))
    assert calls(found) == ["baseline", "PR"], "78 to 52 mm"
    assert not any(note.startswith("The volumes contradict it") for note in found.calls[1].notes), "62 to 74 mL"
    grown = of(timeline(both, mask(DAYS[1], {**lesion("L1", 54), "volume_mm3": 130_000.0}), links=said))
    assert calls(grown) == ["baseline", "PR"], "78 to 54 mm, 62 to 130 mL"
    assert grown.disagree == (DAYS[1],)
    assert any(note.startswith("The volumes contradict it. PD: sum 130 mL") for note in grown.calls[1].notes)


def test_a_call_that_noise_could_turn_says_so_and_one_within_it_too() -> None:
    """QIBA's noise of 50-100 mm is 24 % of volume for a change, 8 % of diameter."""

    def second(diameter_mm: float) -> tuple[str, bool | None]:
        found = of(timeline(mask(DAYS[0], lesion("L1", 60)), mask(DAYS[1], lesion("L1", diameter_mm)))).calls[1]
        return found.call, found.flips_within_noise

    assert second(60) == ("SD", False)
    assert second(70) == ("SD", True)  # +16.7 %, up to +26 %
    assert second(73) == ("PD", True)  # +21.7 %, from +13 % on
    assert second(80) == ("PD", False)  # +33 %, from +24 % on


def test_steroids_and_status_come_from_events_and_unknown_ones_are_no_pass() -> None:
    visits = timeline(mask(DAYS[0], lesion("L1", 30)), mask(DAYS[1], lesion("L1", 18)))
    rano = stored(criterion="rano-bm")

    def call(*events: Event) -> str:
        return of(visits, rano, *events).calls[1].call

    dose = [event(day, "steroid-dose", drug="dexamethasone", mg_per_day=mg) for day, mg in ((DAYS[0], 2), (DAYS[1], 8))]
    stable = event(DAYS[1], "clinical-status", course="stable")
    less = event(DAYS[1], "steroid-dose", drug="dexamethasone", mg_per_day=1)
    assert call(dose[0], less, stable) == "PR"
    assert call(*dose, stable) == "SD"
    unread = Event("x", "P1", DAYS[1], "steroids", "dexamethasone as before", "ann", "")
    assert call(dose[0], unread, stable) not in ("CR", "PR"), "a dose that nobody can read is not the one before"
    assert call() not in ("CR", "PR")
    assert call(dose[0], less, event(DAYS[1], "clinical-status", course="worse")) == "PD"


def test_what_a_reader_said_of_a_visit_counts_and_of_two_words_the_later() -> None:
    tiny = timeline(mask(DAYS[0], lesion("L1", 30)), mask(DAYS[1], lesion("L1", 30), lesion("L2", 6)))
    assert calls(of(tiny)) == ["baseline", "SD"], "6 mm of a new lesion needs a person's word"
    new = event(DAYS[1], "assessment", new="L2")
    assert calls(of(tiny, None, new)) == ["baseline", "PD"]
    assert calls(of(tiny, None, new, event(DAYS[1], "assessment", not_new="L2"))) == ["baseline", "SD"]
    progressed = event(DAYS[1], "assessment", nontarget="PD")
    assert calls(of(tiny, None, progressed)) == ["baseline", "PD"]
    assert calls(of(tiny, None, event("2025-02-02", "assessment", new="L2"))) == ["baseline", "SD"], "on no visit"


def test_a_baseline_whose_mask_cannot_be_read_leaves_every_visit_not_evaluable() -> None:
    masks = (mask(DAYS[0], lesion("L1", 40), mask_id="lost"), mask(DAYS[1], lesion("L1", 30)))
    found = of(timeline(*masks, problems={"lost": "file lost"}))
    assert calls(found) == ["baseline", "NE"]
    assert "cannot be read" in found.in_force.targets_why
