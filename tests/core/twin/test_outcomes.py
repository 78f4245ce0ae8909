"""Outcomes of several patients: percentages of cubes, days and categories, all by hand."""

from __future__ import annotations

import numpy as np
import pytest

from core.errors import InputError
from core.lesions.masks import measure
from core.remembered.protocols import FollowedLesion, ResponseProtocol
from core.twin.happenings import Happening
from core.twin.outcome_rows import by_criterion, spider_rows, swimmer_rows, waterfall_rows
from core.twin.outcomes import PatientResponse, Visit, cohort, patient_response
from core.types import Grid, LabelMap, Volume
from store import Store
from tests.store_phantom import JUDGED, pass_scans

DAYS = ("2024-01-01", "2024-02-01", "2024-03-01", "2024-04-01")  # 0, 31, 60, 91
#: Limits on volumes without an absolute one: -65 % and +40 %.
VOLUMES = "volume-macdonald-sphere"
GRID = Grid((48, 48, 28), np.eye(4))


def visit(
    store: Store, patient: str, day: str, *sides: int, verdict="accept", dataset="d", simulated=False, method="nnunet"
):
    """A scan and its mask with a cube of each side (mm) as lesion 1, 2 ...; side 0: that lesion is not there."""
    noise = np.random.default_rng([sum(map(ord, patient)), DAYS.index(day)]).normal(size=GRID.shape)
    store.scans.add(
        Volume(noise.astype(np.float32), GRID, "CT"),
        dataset=dataset,
        patient_id=patient,
        timepoint=day,
        person="demo",
        metadata={"simulated": True} if simulated else {},
    )
    array, corner = np.zeros(GRID.shape, np.uint8), 0
    for label, side in enumerate(sides, start=1):
        array[corner : corner + side, :side, :side] = label
        corner += side
    labels = LabelMap(array, GRID)
    newest = store.masks.latest(patient, day)
    record = store.masks.add(
        labels,
        patient_id=patient,
        timepoint=day,
        method=method,
        checkpoint_sha256="ab" * 32 if method == "nnunet" else None,
        author="demo",
        lesions=measure(labels),
        parent_version=newest.version if newest else None,
        verdict=JUDGED,
    )
    if verdict:
        pass_scans(store, patient, day)
        store.decisions.decide(patient, day, record.version, verdict, "demo", "test", "as the test has it")
    return record


def one(store: Store, patient: str = "P1", criterion: str | None = VOLUMES) -> PatientResponse:
    """The response of a patient who has one; criterion None: by the protocol."""
    found = patient_response(store, patient, "d", criterion)
    assert found is not None
    return found


def best(found: PatientResponse) -> Visit:
    assert found.best is not None
    return found.best


def verdict(found: PatientResponse) -> str:
    return "" if found.verdict is None else found.verdict.verdict


def progressed(found: PatientResponse) -> float | None:
    return None if found.progression is None else found.progression.days


def test_the_best_change_is_the_least_volume_up_to_the_first_progression(store: Store):
    """20, 12, 15, 5 mm: 8000, 1728 (-78.4 %), 3375 (+95.3 % of the nadir: PD), 125 mm3 (-98.4 %, too late to count)."""
    for day, side in zip(DAYS, (20, 12, 15, 5), strict=True):
        visit(store, "P1", day, side)
    found = one(store)
    assert best(found).timepoint == DAYS[1]
    assert best(found).change_percent == pytest.approx(-78.4)
    assert [v.category for v in found.visits[:3]] == ["baseline", "PR", "PD"]
    assert found.best_response == "PR"
    assert progressed(found) == 60
    assert found.days_observed == 91
    assert verdict(found) == "real"


def test_no_change_at_all_is_better_than_growth_and_worse_than_a_thousandth_less(store: Store):
    """Of 8008 mm3: 8027, +0.24 %, then none; and none, then 8001, -0.09 %."""
    for patient, sides in (("GREW", (2, 3, 2)), ("SHRANK", (2, 2, 1))):
        for day, side in zip(DAYS[:3], sides, strict=True):
            visit(store, patient, day, 20, side, method="manual")
        both = (FollowedLesion("L1"), FollowedLesion("L2"))
        store.protocols.set(
            patient, ResponseProtocol(VOLUMES, targets=both, nontargets=()), "demo", "the small one too"
        )
    assert (best(one(store, "GREW")).timepoint, best(one(store, "GREW")).change_percent) == (DAYS[2], 0)
    assert best(one(store, "SHRANK")).timepoint == DAYS[2]
    assert best(one(store, "SHRANK")).change_percent == pytest.approx(-100 * 7 / 8008)


def test_another_criterion_gives_another_best_response(store: Store):
    for day, side in zip(DAYS[:2], (20, 17), strict=True):  # 4913 of 8000: -38.6 %
        visit(store, "P1", day, side)
    assert one(store).best_response == "SD"
    assert one(store, criterion="volume-beaumont").best_response == "PR"  # at -35 %


def test_a_new_lesion_is_progression_and_adds_nothing_to_the_target(store: Store):
    """16 mm of 20 mm is -48.8 %, whatever the new one measures."""
    visit(store, "P1", DAYS[0], 20, 0)
    visit(store, "P1", DAYS[1], 16, 10)
    visit(store, "P1", DAYS[2], 16, 12)
    found = one(store)
    assert best(found).change_percent == pytest.approx(-48.8)
    assert (best(found).category, found.best_response) == ("PD", "PD")
    assert [v.appeared for v in found.visits] == [(), ("L2",), ()]
    assert found.visits[1].value == 4096


def test_the_baseline_is_the_protocols_and_day_zero_of_everything(store: Store):
    """The last accepted visit before treatment: an older one and one that waits are named, and count for nothing."""
    visit(store, "P1", DAYS[0], 25)
    visit(store, "P1", DAYS[1], 20)
    visit(store, "P1", DAYS[2], 21)
    visit(store, "P1", DAYS[3], 25, verdict=None)
    store.events.add("P1", "2024-02-11", "treatment-start", "doxorubicin", "demo")
    store.events.add("P1", "2024-02-21", "treatment-stop", "end of cycles", "demo")
    store.events.add("P1", "2024-01-22", "surgery", "biopsy", "demo")
    found = one(store)
    assert [v.days for v in found.visits] == [0, 29]
    assert (found.before, found.waiting) == ((DAYS[0],), (DAYS[3],))
    assert found.baseline_why == "the last accepted visit before treatment began on 2024-02-11"
    assert best(found).change_percent == pytest.approx(100 * (9261 / 8000 - 1))
    assert verdict(found) == "within noise"  # 28 mm across: QIBA asks for 39 %
    assert [(t.name, t.start_days, t.end_days) for t in found.treatments] == [("doxorubicin", 10, 20)]
    assert found.events == (Happening(-10, "surgery", "surgery: biopsy"),)


def test_a_rejected_lesion_leaves_a_gap_and_the_others_count(store: Store):
    visit(store, "P1", DAYS[0], 20, 10)
    second = visit(store, "P1", DAYS[1], 10, 10)
    visit(store, "P1", DAYS[2], 18, 10)
    store.decisions.decide("P1", DAYS[1], second.version, "reject", "demo", "test", "", "L2")
    found = one(store)
    gap = found.visits[1]
    assert (gap.change_percent, gap.category) == (None, "NE")
    assert gap.value is None
    assert best(found).timepoint == DAYS[2]
    assert best(found).change_percent == pytest.approx(100 * ((5832 + 1000) / 9000 - 1))
    assert found.best_response == "SD"
    assert spider_rows([found])[1]["value"] is None


def test_without_a_lesion_at_baseline_there_is_no_best_change_and_it_is_said(store: Store):
    visit(store, "P1", DAYS[0], 0)
    visit(store, "P1", DAYS[1], 10)
    found = one(store)
    assert (found.best, found.verdict, found.best_response) == (None, None, "PD")
    assert "no sum of targets at baseline" in found.why_no_best_change
    (row,) = waterfall_rows([found])
    assert (row["best_change_percent"], row["note"]) == (None, found.why_no_best_change)


def test_the_verdict_of_a_best_change_knows_whether_one_method_made_both_masks(store: Store):
    for patient, method in (("SAME", "nnunet"), ("OTHER", "manual")):
        visit(store, patient, DAYS[0], 20)
        visit(store, patient, DAYS[1], 16, method=method)
    same, other = one(store, "SAME").verdict, one(store, "OTHER").verdict
    assert same is not None
    assert other is not None
    assert ("widened" in same.rule, "widened" in other.rule) == (False, True)


def test_complete_response_is_minus_100_percent_and_real(store: Store):
    visit(store, "P1", DAYS[0], 20)
    visit(store, "P1", DAYS[1], 0)
    found = one(store)
    assert (best(found).change_percent, found.best_response, verdict(found)) == (-100, "CR", "real")


def test_a_patient_without_a_visit_after_baseline_is_not_evaluable_and_there(store: Store):
    visit(store, "ONE", DAYS[0], 20)
    visit(store, "ONE", DAYS[1], 20, verdict=None)
    visit(store, "REJECTED", DAYS[0], 20, verdict="reject")
    for day in DAYS[:2]:
        visit(store, "EMPTY", day, 0)
        visit(store, "TWO", day, 20)
    found = cohort(store)
    assert [(o.patient_id, o.best_response) for o in found.responses] == [("ONE", "NE"), ("TWO", "SD")]
    alone = found.responses[0]
    assert (alone.best, alone.why_no_best_change, alone.waiting) == (None, "no visit after baseline", (DAYS[1],))
    assert (alone.days_observed, alone.days_without_progression) == (0, 0)
    assert found.left_out == {
        "REJECTED": "0 of 1 timepoints accepted; one is needed",
        "EMPTY": "no lesion in any accepted mask",
    }


def test_each_is_told_by_their_protocol_or_all_by_one_criterion(store: Store):
    """20 to 17 mm: -15 % of diameter, -38.6 % of volume, which Beaumont's -35 % calls PR."""
    for patient in ("A", "B"):
        for day, side in zip(DAYS[:2], (20, 17), strict=True):
            visit(store, patient, day, side)
    store.protocols.set("B", ResponseProtocol("volume-beaumont"), "demo", "as the trial has it")
    a, b = cohort(store).responses
    assert (a.criterion, a.best_response, a.is_by_protocol) == ("recist-1.1", "SD", True)
    assert (b.criterion, b.best_response, b.is_by_protocol) == ("volume-beaumont", "PR", True)
    assert best(a).change_percent == pytest.approx(-15, abs=1)
    assert best(b).change_percent == pytest.approx(-38.6, abs=0.1)
    assert (verdict(a), verdict(b)) == (verdict(b), verdict(a)), "of the same volumes"
    a, b = cohort(store, "volume-beaumont").responses
    assert (a.best_response, a.protocol_criterion, a.is_by_protocol) == ("PR", "recist-1.1", False)
    assert (b.best_response, b.is_by_protocol) == ("PR", True)
    assert list(by_criterion([b, a, b])) == ["volume-beaumont"]


def test_who_cannot_be_told_by_the_protocol_is_left_out_in_words(store: Store):
    for day in DAYS[:2]:
        visit(store, "P1", day, 20)
    store.protocols.set("P1", ResponseProtocol("recist-1.1", baseline=DAYS[3]), "demo", "a slip")
    found = cohort(store)
    assert found.responses == ()
    assert found.left_out["P1"].startswith("The protocol cannot be followed. The baseline that demo set")


def test_targets_of_a_protocol_alone_are_in_the_sum(store: Store):
    visit(store, "P1", DAYS[0], 20, 16)
    visit(store, "P1", DAYS[1], 20, 8)
    both = one(store)
    chosen = ResponseProtocol(VOLUMES, targets=(FollowedLesion("L2"),), nontargets=(FollowedLesion("L1"),))
    store.protocols.set("P1", chosen, "demo", "as the board says")
    assert best(both).change_percent == pytest.approx(100 * ((8000 + 512) / (8000 + 4096) - 1))
    assert best(one(store)).change_percent == pytest.approx(-87.5)


def test_datasets_are_chosen_progress_is_told_and_an_unknown_criterion_is_refused(store: Store):
    for patient, dataset in (("A", "one"), ("B", "two")):
        for day in DAYS[:2]:
            visit(store, patient, day, 20, dataset=dataset)
    assert [o.patient_id for o in cohort(store).responses] == ["A", "B"]
    assert [o.patient_id for o in cohort(store, datasets=["two"]).responses] == ["B"]
    assert cohort(store, datasets=[]).responses == ()
    told: list[tuple[float, str]] = []
    cohort(store, progress=lambda fraction, text: told.append((fraction, text)))
    assert told == [(0.0, "A (1 of 2)"), (0.5, "B (2 of 2)"), (1.0, "")]
    with pytest.raises(InputError, match="got 'WHO'"):
        cohort(store, "WHO")
    with pytest.raises(InputError, match="got 'WHO'"):
        patient_response(store, "A", "one", "WHO")


def test_an_empty_store_has_an_empty_cohort(store: Store):
    assert cohort(store).responses == ()
    assert cohort(store).left_out == {}


def test_progression_soon_after_radiotherapy_is_in_doubt_and_counts_all_the_same(store: Store):
    for patient in ("IRRADIATED", "NOT"):
        visit(store, patient, DAYS[0], 20)
        visit(store, patient, DAYS[1], 25)  # +95 %
    store.events.add("IRRADIATED", DAYS[0], "radiotherapy", "50 Gy", "demo")
    for day in DAYS[:2]:
        visit(store, "STABLE", day, 20)
    store.events.add("STABLE", DAYS[0], "radiotherapy", "50 Gy", "demo")
    assert one(store, "STABLE").doubt == ""
    irradiated, other = (one(store, patient) for patient in ("IRRADIATED", "NOT"))
    assert progressed(irradiated) == 31
    assert irradiated.doubt == "necrosis or recurrence cannot be told apart (radiotherapy 2024-01-01, site not given)"
    assert other.doubt == ""


def test_rows_hold_what_the_figures_show_and_name_their_masks(store: Store):
    masks = [visit(store, "GROWS", day, side, simulated=True) for day, side in zip(DAYS[:2], (20, 24), strict=True)]
    for day, side in zip(DAYS[:2], (20, 10), strict=True):
        visit(store, "SHRINKS", day, side)
    store.events.add("SHRINKS", DAYS[0], "treatment-start", "pazopanib", "demo")
    store.events.add("GROWS", DAYS[2], "death", "of disease", "demo")
    outcomes = cohort(store, VOLUMES).responses
    first, second = waterfall_rows(outcomes)
    assert (first["patient"], first["best_change_percent"], first["best_response"]) == ("GROWS", 72.8, "PD")
    assert (first["value_at_baseline"], first["value"], first["unit"], first["simulated"]) == (8000, 13824, "mm3", True)
    assert (first["baseline_mask_id"], first["mask_id"]) == (masks[0].mask_id, masks[1].mask_id)
    assert (first["criterion"], first["criterion_of_protocol"]) == (VOLUMES, "recist-1.1")
    assert (first["progression_days"], first["without_progression_until_days"], first["death_days"]) == (31, None, 60)
    assert (second["patient"], second["best_change_percent"]) == ("SHRINKS", -87.5)
    assert (second["progression_days"], second["without_progression_until_days"]) == (None, 31)
    assert [row["change_percent"] for row in spider_rows(outcomes)] == [0.0, 72.8, 0.0, -87.5]
    grows, shrinks = outcomes
    assert grows.ended == Happening(60, "death", "death: of disease")
    assert (grows.events, grows.days_observed, grows.days_followed) == ((), 31, 60)
    assert shrinks.ended is None
    whats = [(row["what"], row["from_days"], row["to_days"], row["detail"]) for row in swimmer_rows([shrinks])]
    assert whats == [
        ("observed", 0, 31, ""),
        ("response", 0, 0, "baseline"),
        ("response", 31, 31, "PR"),
        ("treatment", 0, None, "pazopanib"),
        ("no end on record", 31, None, ""),
    ]
    assert swimmer_rows([grows])[-1]["what"] == "death"


def test_of_the_dead_nobody_says_that_they_are_still_followed(store: Store):
    for patient in ("DEAD", "SEEN", "HEARD"):
        for day, side in zip(DAYS[:2], (20, 22), strict=True):
            visit(store, patient, day, side)
        store.events.add(patient, DAYS[0], "drug-start", {"drug": "pazopanib"}, "demo")
    store.events.add("DEAD", DAYS[2], "last-contact", {}, "demo")
    death = store.events.add("DEAD", "2024-05-01", "death", {"cause": "of disease"}, "demo")
    store.events.add("SEEN", "2024-01-15", "last-contact", {}, "demo")
    store.events.add("HEARD", DAYS[3], "last-contact", {}, "demo")
    dead, seen, heard = one(store, "DEAD"), one(store, "SEEN"), one(store, "HEARD")
    rows = [(row["what"], row["from_days"], row["to_days"], row["detail"]) for row in swimmer_rows([dead])]
    assert rows[3:] == [
        ("treatment", 0, 121, "pazopanib"),
        ("other event", 60, 60, "last-contact"),
        ("death", 121, 121, "death: of disease"),
    ]
    assert (seen.ended, seen.events) == (None, (Happening(14, "other event", "last-contact"),))
    assert (heard.ended, heard.days_followed) == (Happening(91, "last contact", "last-contact"), 91)
    store.events.correct(death, "2024-01-20", "death", {"cause": "of disease"}, "demo", "the day was wrong")
    assert f"death on 2024-01-20 lies before the visit of {DAYS[1]}" in one(store, "DEAD").doubt


def test_events_are_told_apart_and_radiotherapy_with_a_last_day_is_a_bar(store: Store):
    for day in DAYS[:2]:
        visit(store, "P1", day, 20)
    beam = {"technique": "vmat", "site": "left hip", "dose_gy": 50}
    store.events.add("P1", DAYS[0], "radiotherapy", {**beam, "end_date": "2024-01-21"}, "demo")
    store.events.add("P1", DAYS[1], "radiotherapy", beam, "demo")
    store.events.add("P1", DAYS[1], "relapse", {"shown_by": "imaging"}, "demo")
    store.events.add("P1", DAYS[1], "steroid-dose", {"drug": "dexamethasone", "mg_per_day": 4}, "demo")
    store.events.add("P1", DAYS[1], "surgery", {"procedure": "resection"}, "demo")
    found = one(store)
    assert [(t.name.split(":")[0], t.start_days, t.end_days) for t in found.treatments] == [("radiotherapy", 0, 20)]
    kinds = ["radiotherapy", "relapse", "said of the patient", "surgery"]
    assert sorted(event.kind for event in found.events) == kinds


def test_an_unconfirmed_progression_is_none_yet(store: Store):
    """iRECIST: 20 to 25 mm is iUPD; 20 mm then is iSD, and progression has no date."""
    for day, side in zip(DAYS[:3], (20, 25, 20), strict=True):
        visit(store, "P1", day, side)
    found = one(store, criterion="irecist")
    assert [v.call for v in found.visits] == ["baseline", "iUPD", "iSD"]
    assert (found.progression, found.best_response, found.days_without_progression) == (None, "SD", 60)
    assert one(store, criterion="recist-1.1").progressed_on == DAYS[1]
