"""The lists that are read at once say what one question a patient says."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.remembered.lists import CohortMask, CohortScan
from core.remembered.protocols import ResponseProtocol
from core.review.blind_reading import Hidden, closed_timepoints, seen_of_all, seen_of_patient
from core.review.decisions import withdrawn_mask_ids
from core.review.worklist import work_items
from core.twin.cohort_records import CohortRecords
from core.twin.criteria.table import CRITERIA
from core.twin.outcomes import cohort, patient_response
from store import Store, open_store
from tests import clinic
from tests.store_phantom import DAY1, DAY2, JUDGED, add_mask, add_scan, busy_history, pass_scans, with_people

PEOPLE = ("demo", "ann", "ben")


@pytest.fixture(scope="module")
def clinics(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The clinic of the page tests, and the history of the store tests beside it."""
    root = tmp_path_factory.mktemp("views") / "data"
    clinic.build(root)
    with open_store(root) as store:
        busy_history(store)
        yield store


def of_each_patient(store: Store) -> list[tuple[Any, ...]]:
    """What the worklist rests on, one question a patient: the newest verdicts, and what was withdrawn."""
    scans = {(row.patient_id, row.timepoint): row.score_id for row in store.verdicts.of_scans()}
    masks = {row.mask_id: row for row in store.verdicts.of_masks()}
    rows: list[tuple[Any, ...]] = []
    for patient in (row.patient_id for row in store.patients.all()):
        back = withdrawn_mask_ids(store.decisions.of(patient))
        for day in store.patients.timepoints(patient):
            versions = [
                (r.mask_id, r.version, r.method, r.status, r.mask_id in back, masks.get(r.mask_id))
                for r in store.masks.of(patient, day)
            ]
            files = tuple(scan.sha256 for scan in store.scans.of(patient, day))
            rows.append((patient, day, files, scans.get((patient, day)), versions))
    return rows


def of_the_view(store: Store) -> list[tuple[Any, ...]]:
    return [
        (
            row.patient_id,
            row.timepoint,
            row.scan_sha256s,
            row.scan_verdicts[-1].score_id if row.scan_verdicts else None,
            [
                (v.mask_id, v.version, v.method, v.status, v.last_verdict == "withdraw", v.mask_verdict)
                for v in row.versions
            ],
        )
        for row in store.views.worklist()
    ]


def test_the_worklist_is_that_of_one_question_a_patient(clinics: Store) -> None:
    assert of_the_view(clinics) == of_each_patient(clinics)


def test_the_newest_verdict_on_each_version_is_listed_once(clinics: Store) -> None:
    newest = {row.mask_id: row for row in clinics.verdicts.of_masks()}
    rows = clinics.views.quality()
    assert [row.mask_id for row in rows] == list(newest), "in the order in which they were scored first"
    status = {record.mask_id: record.status for record in clinics.masks.of_all()}
    for row in rows:
        verdict = newest[row.mask_id]
        assert (row.patient_id, row.timepoint, row.version) == (verdict.patient_id, verdict.timepoint, verdict.version)
        said = (verdict.result.get("p_value"), verdict.result.get("flagged"))
        assert (row.p_value, row.flagged, row.status) == (*said, status[row.mask_id])
        scores = [lesion["score"] for lesion in verdict.lesions if lesion.get("score") is not None]
        assert row.score == max(scores, default=None)
        assert json.loads(row.result) == verdict.result


def test_a_version_is_as_odd_as_its_oddest_lesion_by_the_newest_verdict(store: Store) -> None:
    add_scan(store, "P0", DAY1, seed=50)
    record = add_mask(store, 3, patient="P0", verdict=JUDGED)
    lesions = [
        {"lesion_id": "L1", "score": None},
        {"lesion_id": "L2", "score": 1.5, "top_features": [["log_volume", 1.25]]},
        {"lesion_id": "L3", "score": 2.25, "top_features": [["sphericity", -3.14], ["log_volume", 0.5]]},
    ]
    result = {"verdict": "unusual", "p_value": 0.03, "flagged": True, "lesions": lesions}
    store.verdicts.add_mask_verdict(record.mask_id, result, "demo")
    (row,) = store.views.quality()
    assert (row.p_value, row.flagged, row.score) == (0.03, True, 2.25)
    assert row.why == "sphericity -3.1, log_volume +0.5"
    nothing: dict[str, Any] = {"verdict": "empty mask", "p_value": None, "flagged": None, "lesions": []}
    store.verdicts.add_mask_verdict(record.mask_id, nothing, "demo")
    (row,) = store.views.quality()
    assert (row.p_value, row.flagged, row.score, row.why) == (None, None, None, "")


OF_INTENSITIES = ("unit", "voxels", "why", "mean", "suv_max", "suv_mean", "suv_peak", "mtv_ml", "tlg_g", "sul_peak")
OF_COMPARTMENTS = ("name", "volume_mm3", "longest_diameter_mm", "short_axis_mm")


def parts_in_brief(parts: Any, names: Sequence[str]) -> list[dict[str, Any]] | None:
    return None if parts is None else [{name: part.get(name) for name in names} for part in parts]


def in_brief(kind: Any, record: Any) -> Any:
    """What the cohort has of a record: what changes ask of lesions, and metadata that says one of two facts."""
    values = {name: getattr(record, name) for name in kind.__dataclass_fields__}
    if "lesions" in values:
        asked = ["lesion_id", "label", "voxels", "volume_mm3", "longest_diameter_mm", "centroid_mm", "rejected"]
        asked += ["short_axis_mm", "longest_diameter_3d_mm", "slices"]
        values["lesions"] = [
            {name: lesion.get(name) for name in asked}
            | {"intensities": parts_in_brief(lesion.get("intensities"), OF_INTENSITIES)}
            | {"compartments": parts_in_brief(lesion.get("compartments"), OF_COMPARTMENTS)}
            for lesion in record.lesions
        ]
    if "metadata" in values and not {"simulated", "slice_thickness_mm"} & set(values["metadata"]):
        values["metadata"] = {}
    return kind(**values)


@pytest.mark.parametrize("criterion", [None, *CRITERIA])
def test_the_responses_of_a_cohort_are_those_of_its_patients(clinics: Store, criterion: str | None) -> None:
    found = cohort(clinics, criterion)
    assert found.responses
    for one in found.responses:
        assert repr(one) == repr(patient_response(clinics, one.patient_id, one.dataset, criterion))


def test_the_protocol_in_force_is_the_patients_own_else_that_of_the_data_set(store: Store) -> None:
    for patient in ("P0", "P1", "P2"):
        add_scan(store, patient, DAY1, seed=50 + int(patient[1]))
    dataset = store.patients.all()[0].dataset
    store.protocols.set("P0", ResponseProtocol("irecist"), "demo", "first")
    store.protocols.set_for_dataset(dataset, ResponseProtocol("rano-bm"), "demo", "the trial's")
    store.protocols.set("P1", ResponseProtocol("percist"), "demo", "PET")
    rows = {row.patient_id: row.protocol for row in store.views.cohort()}
    assert rows == {patient: store.protocols.of(patient) for patient in ("P0", "P1", "P2")}
    assert rows["P2"] is not None
    assert rows["P2"].protocol.criterion == "rano-bm"


def test_a_cohort_with_files_that_cannot_be_read_is_told_the_same(tmp_path: Path) -> None:
    clinic.build(tmp_path / "data")
    with open_store(tmp_path / "data") as store:
        for patient, day in (("ANNA", clinic.DAYS[0]), ("BEN", clinic.DAYS[1])):
            record = store.masks.accepted(patient, day)
            assert record is not None
            (store.root / store.masks.file_of(record).name).unlink()
        store.files.check()
        assert len(store.masks.problems()) == 2
        for one in cohort(store).responses:
            assert repr(one) == repr(patient_response(store, one.patient_id, one.dataset))
        assert [one.doubt for one in cohort(store).responses if one.patient_id == "ANNA"] != [""]


def test_what_the_cohort_reads_of_a_patient_is_what_the_store_says(clinics: Store) -> None:
    records = CohortRecords(clinics.views.cohort(), clinics.scans, clinics.reference_sets)
    for patient in (row.patient_id for row in clinics.patients.all()):
        assert records.patients.timepoints(patient) == clinics.patients.timepoints(patient)
        accepted = [record for record in clinics.masks.of(patient) if record.status == "accepted"]
        assert records.masks.of(patient) == [in_brief(CohortMask, record) for record in accepted]
        assert records.scans.of(patient) == [in_brief(CohortScan, scan) for scan in clinics.scans.of(patient)]
        assert records.events.of(patient) == clinics.events.of(patient)
        day = clinics.patients.timepoints(patient)[0]
        assert records.scans.reference(patient, day) == in_brief(CohortScan, clinics.scans.reference(patient, day))


def test_the_cohort_knows_what_an_accepted_mask_was_drawn_from_and_what_doubts_it(store: Store) -> None:
    add_scan(store, "P1", DAY1, seed=50, metadata={"slice_thickness_mm": 2.5})
    add_mask(store, 3, patient="P1", verdict=JUDGED)
    add_mask(store, 4, patient="P1", method="medsam", author="ann", parent_version=1, verdict=JUDGED)
    drawn = add_mask(store, 5, patient="P1", method="manual", author="ann", parent_version=2, verdict=JUDGED)
    store.decisions.decide("P1", DAY1, 3, "accept", "bob", "good")
    odd: dict[str, Any] = {"verdict": "unusual", "p_value": 0.03, "flagged": True, "lesions": []}
    store.verdicts.add_mask_verdict(drawn.mask_id, odd, "demo")
    store.verdicts.add_scan_verdict("P1", DAY1, {"state": "doubtful", "score": None, "threshold": 0.5}, "demo")
    (row,) = store.views.cohort()
    assert [mask.version for mask in row.masks] == [1, 2, 3]
    assert [mask.version for mask in row.accepted] == [3]
    assert row.scans[0].metadata["slice_thickness_mm"] == 2.5
    assert [decision.reviewer for decision in row.acceptances] == ["bob"]
    assert row.mask_verdicts == tuple(store.verdicts.of_masks(mask_id=drawn.mask_id)[-1:])
    assert row.scan_verdicts == tuple(store.verdicts.of_scans("P1")[-1:])
    store.verdicts.add_mask_verdict(drawn.mask_id, {**odd, "verdict": "usual", "flagged": False}, "demo")
    store.verdicts.add_scan_verdict("P1", DAY1, {"state": "in distribution", "score": 0.1, "threshold": 0.5}, "demo")
    (row,) = store.views.cohort()
    assert row.mask_verdicts == tuple(store.verdicts.of_masks(mask_id=drawn.mask_id)[-1:])
    assert row.scan_verdicts == tuple(store.verdicts.of_scans("P1")[-1:])
    pass_scans(store)
    (row,) = store.views.cohort()
    assert row.scan_verdicts[0].result.keys() == {"judgement", "anchor_mask_id"}, "of what passes no more than is read"


def test_the_cohort_knows_what_was_simulated(store: Store) -> None:
    add_scan(store, "P0", DAY1, seed=50)
    add_scan(store, "P1", DAY1, seed=51, metadata={"simulated": True, "kvp": 120.0})
    scans = {row.patient_id: row.scans for row in store.views.cohort()}
    assert [scan.metadata for scan in scans["P0"]] == [{}]
    assert [scan.metadata for scan in scans["P1"]] == [store.scans.of("P1")[0].metadata]
    assert scans["P1"][0].metadata["simulated"] is True


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_a_blind_reader_sees_of_all_is_what_they_see_of_each(tmp_path_factory: Any, seed: int) -> None:
    chance = random.Random(seed)
    with open_store(tmp_path_factory.mktemp("blind") / "data") as store:
        with_people(store, *PEOPLE[1:])
        for number, patient in enumerate(("P1", "P2")):
            for day in (DAY1, DAY2):
                add_scan(store, patient, day, seed=2 * number + (day == DAY2))
                for _ in range(chance.randint(0, 3)):
                    method, who = chance.choice(("nnunet", "manual", "medsam", "staple")), chance.choice(PEOPLE)
                    add_mask(store, chance.randint(1, 9), patient=patient, day=day, method=method, author=who)
                if chance.random() < 0.6:
                    store.readings.set_blind(patient, day, True, "demo")
                for person in PEOPLE:
                    if chance.random() < 0.3:
                        store.readings.finish(patient, day, person)
        for person in PEOPLE:
            patients = [row.patient_id for row in store.patients.all()]
            seen = [record for patient in patients for record in seen_of_patient(store, patient, person)]
            assert seen_of_all(store, person) == seen
            view = store.seen_by(person)
            assert view.masks.of_all() == seen, "the tables are narrowed by the same rule"
            assert [record for p in patients for record in view.masks.of(p)] == seen
            places = {(patient, day) for patient in patients for day in closed_timepoints(store, patient, person)}
            closed = Hidden.of(store, view.scope)
            assert closed.places == places
            assert closed.mask_ids == {r.mask_id for place in places for r in store.masks.of(*place)}


def test_as_many_questions_for_many_patients_as_for_one(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    query = store.db.query

    def counted(sql: str, values: Any = ()) -> Any:
        asked.append(sql)
        return query(sql, values)

    monkeypatch.setattr(store.db, "query", counted)

    def count() -> list[int]:
        counts = []
        lists = (work_items, cohort, lambda s: s.views.quality(), lambda s: seen_of_all(s, "demo"))
        for one in lists:
            asked.clear()
            one(store)
            counts.append(len(asked))
        return counts

    add_scan(store, "P0", DAY1, seed=50)
    add_mask(store, 3, patient="P0", verdict=JUDGED)
    store.decisions.decide("P0", DAY1, 1, "accept", "demo", "good")
    few = count()
    for number in range(1, 6):
        add_scan(store, f"P{number}", DAY1, seed=50 + number)
        add_mask(store, 3, patient=f"P{number}")
        store.decisions.decide(f"P{number}", DAY1, 1, "accept", "demo", "good")
    assert count() == few
