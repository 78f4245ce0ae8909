from __future__ import annotations

import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from core.errors import InputError
from core.evidence import asking
from core.evidence.base import evidence_base
from core.evidence.versions import (
    LEARNED,
    go_back,
    keep_metric,
    kept_metrics,
    metric_in_force,
    offered_metric,
    put_in_force,
    version_rows,
)
from core.jobs.jobs import run_inline
from core.jobs.stages.learn_evidence import KIND, is_due
from core.lesions.shape import VECTOR_NAMES
from core.remembered.looks import LesionLook
from core.remembered.marks import NewMark
from core.types import MaskRecord
from store import Store, open_store
from tests.store_phantom import ANSWER, DAY1, DAY2, add_mask, add_scan


def lesion(store: Store, patient: str, value: float, day: str = DAY1, accept: bool = True) -> MaskRecord:
    """A lesion that lies at that value on the line of shapes."""
    add_scan(store, patient, day, seed=zlib.crc32(f"{patient} {day}".encode()))
    record = add_mask(store, 4, 0, patient, day)
    vector = [value, *[0.0] * (len(VECTOR_NAMES) - 1)]
    store.vectors.add(record.mask_id, "L1", patient, vector, VECTOR_NAMES, "demo")
    if accept:
        store.decisions.decide(patient, day, record.version, "accept", "demo", *ANSWER)
    return record


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve patients with one accepted lesion each, of the values 0 to 11; to be copied."""
    root = tmp_path_factory.mktemp("line") / "data"
    with open_store(root) as store:
        for number in range(12):
            lesion(store, f"R{number:02d}", float(number))
    return root


@pytest.fixture
def line(built: Path, tmp_path: Path) -> Iterator[Store]:
    with open_store(shutil.copytree(built, tmp_path / "data", symlinks=True)) as store:
        yield store


def names(found: asking.SimilarLesions) -> list[str]:
    return [one.case.patient_id for one in found.found]


def test_a_proposed_lesion_is_asked_about_and_only_accepted_ones_answer(line: Store):
    lesion(line, "new", 5.2, DAY2, accept=False)
    lesion(line, "also-new", 5.3, DAY2, accept=False)
    found, own = asking.ask_about(line, ("new", DAY2, "L1"), "demo", k=3)
    assert (names(found), own) == (["R05", "R06", "R04"], None)
    assert found.space == "shape", "nobody has looked at it"
    line.decisions.decide("R06", DAY1, 1, "withdraw", "demo", "second-look")
    assert names(asking.ask_about(line, ("new", DAY2, "L1"), "demo", k=3)[0]) == ["R05", "R04", "R07"]


def test_what_a_person_may_not_see_answers_nothing(line: Store):
    lesion(line, "new", 5.2, DAY2)
    line.people.add("guest", by="demo")
    line.people.grant("guest", ["another"], by="demo")
    assert evidence_base(line.seen_by("guest")).cases == ()
    assert len(evidence_base(line.seen_by("demo")).cases) == 13


def test_looks_are_compared_as_soon_as_an_encoder_has_given_them(line: Store):
    asked = lesion(line, "new", 5.2, DAY2)
    for record in [*(line.masks.accepted(f"R{n:02d}", DAY1) for n in range(12)), asked]:
        assert record is not None
        place = 30.0 if record is asked else float(int(record.patient_id[1:]) * 3 % 12) * 5
        vector = np.array([place, 1.0, (place * 7) % 5], np.float32)
        line.looks.add(record.mask_id, [LesionLook("L1", "eyes", "CT", record.scan_sha256, vector)], "demo")
    found, _ = asking.ask_about(line, ("new", DAY2, "L1"), "demo", "appearance", k=3)
    assert found.space == "appearance"
    assert found.searched == 12
    both, _ = asking.ask_about(line, ("new", DAY2, "L1"), "demo")
    assert both.space == "both"


def test_marks_of_one_person_order_for_that_person_and_stay_when_a_new_version_comes(line: Store):
    lesion(line, "new", 5.2, DAY2)
    line.people.add("ann", "reader", by="demo")
    made = asking.mark_pair(line, ("new", DAY2, "L1"), ("R09", DAY1, "L1"), True, None, "demo")
    assert (made.rank, made.relevant, made.space) == (8, True, "shape")
    assert names(asking.ask_about(line, ("new", DAY2, "L1"), "demo")[0])[0] == "R09"
    assert names(asking.ask_about(line, ("new", DAY2, "L1"), "ann")[0])[0] == "R05"
    record = add_mask(line, 4, 0, "new", DAY2)
    line.vectors.add(record.mask_id, "L1", "new", [5.2, *[0.0] * 11], VECTOR_NAMES, "demo")
    line.decisions.decide("new", DAY2, record.version, "accept", "demo", *ANSWER)
    assert names(asking.ask_about(line, ("new", DAY2, "L1"), "demo")[0])[0] == "R09"
    line.marks.withdraw(made.mark_id, "demo")
    assert names(asking.ask_about(line, ("new", DAY2, "L1"), "demo")[0])[0] == "R05"


def test_what_cannot_be_asked_says_what_to_do(line: Store):
    add_scan(line, "bare", DAY1, seed=99)
    with pytest.raises(InputError, match="Segment it first"):
        asking.ask_about(line, ("bare", DAY1, "L1"), "demo")
    with pytest.raises(InputError, match="which it has not"):
        asking.ask_about(line, ("R00", DAY1, "L7"), "demo")
    with pytest.raises(InputError, match="Name it with the protocol"):
        asking.ask_about(line, ("R00", DAY1, "L1"), "demo", same_organ=True)
    with pytest.raises(InputError, match="Ask for `similar`"):
        asking.mark_pair(line, ("R00", DAY1, "L1"), ("R00", DAY1, "L1"), True, None, "demo")


def test_too_few_marks_put_nothing_in_force_and_that_is_on_record(line: Store):
    asking.mark_pair(line, ("R00", DAY1, "L1"), ("R09", DAY1, "L1"), True, None, "demo")
    told = run_inline(line, KIND, {}, "demo")
    assert "too few marks: 1 of" in told["shape"]
    assert metric_in_force(line, "shape") is None
    assert [row["in_force"] for row in version_rows(line) if row["by"] == "shape"] == [False]
    with pytest.raises(InputError, match="Nothing was undone"):
        go_back(line, "shape", "demo")


def test_many_marks_that_agree_put_a_metric_in_force_which_orders_by_what_they_mean(tmp_path: Path):
    """Lesions of fourteen patients, each with three relevant and three irrelevant marks: what counts is the second
    number, while the first, which says nothing, is as large."""
    random = np.random.default_rng(3)
    numbers = np.zeros((26, len(VECTOR_NAMES)))
    numbers[:, :2] = random.normal(size=(26, 2)) * 3
    with open_store(tmp_path / "data") as store:
        records = []
        for row, vector in enumerate(numbers):
            add_scan(store, f"R{row:02d}", DAY1, seed=row + 1)
            record = add_mask(store, 4, 0, f"R{row:02d}", DAY1)
            store.vectors.add(record.mask_id, "L1", f"R{row:02d}", vector.tolist(), VECTOR_NAMES, "demo")
            store.decisions.decide(f"R{row:02d}", DAY1, 1, "accept", "demo", *ANSWER)
            records.append(record.mask_id)
        for query in range(14):
            others = random.choice(np.setdiff1d(np.arange(26), query), 6, replace=False)
            away = np.abs(numbers[others, 1] - numbers[query, 1])
            for other, near in zip(others, away < np.median(away), strict=True):
                pair = (records[query], "L1", records[int(other)], "L1")
                store.marks.add(NewMark(*pair, bool(near), "shape", 1, 1.0), "demo")
        assert is_due(store)
        told = run_inline(store, KIND, {}, "demo")
        assert "gains on held-out marks" in told["shape"]
        assert metric_in_force(store, "shape") is None, "a person decides"
        offered = offered_metric(store, "shape")
        assert offered is not None
        kept = put_in_force(store, "shape", offered.metric.version[:8], "demo")
        assert metric_in_force(store, "shape") is not None
        assert offered_metric(store, "shape") is None
        assert kept.metric.weights[1] > 2 * kept.metric.weights[0]
        assert not is_due(store), "not before there are twice as many"
        found, _ = asking.ask_about(store, ("R20", DAY1, "L1"), "demo", k=25)
        by_meaning = np.abs(numbers[[int(one.case.patient_id[1:]) for one in found.found], 1] - numbers[20, 1])
        assert np.mean(by_meaning[:8]) < np.mean(by_meaning[-8:])
        assert go_back(store, "shape", "demo") is None
        assert store.verify() == []


def test_a_metric_in_force_changes_the_answer_and_going_back_restores_it(line: Store):
    lesion(line, "new", 5.2, DAY2)
    before, _ = asking.ask_about(line, ("new", DAY2, "L1"), "demo", k=12)
    base = evidence_base(line)
    from core.evidence.learned_metric import LearnedMetric
    from core.evidence.retrieval import searchable, space_id

    there = searchable(base, False, "CT", "shape")
    assert there is not None
    weights = np.full(there.plain.shape[1], 4.0, np.float32)
    name = space_id("shape", base.encoder, "CT", False)
    for factor in (1.0, 2.0):
        metric = LearnedMetric("weights", "shape", name, weights * factor, (), 0, 40, 12, (), 1, "made by hand")
        keep_metric(line, metric, there.space, 7, LEARNED, "demo")
        put_in_force(line, "shape", metric.version, "demo")
    after, _ = asking.ask_about(line, ("new", DAY2, "L1"), "demo", k=12)
    assert after.metric == kept_metrics(line, "shape")[-1].metric.version
    assert [one.distance for one in after.found] == pytest.approx(
        [one.distance * np.sqrt(8.0) for one in before.found], rel=1e-5
    )
    first = go_back(line, "shape", "demo")
    assert first is not None
    assert first.metric.version == kept_metrics(line, "shape")[0].metric.version
    assert first.metric.weights[0] == 4.0
    assert go_back(line, "shape", "demo") is None
    again, _ = asking.ask_about(line, ("new", DAY2, "L1"), "demo", k=12)
    assert again.metric == ""
    assert [one.distance for one in again.found] == [one.distance for one in before.found]
    assert len(kept_metrics(line, "shape")) == 6, "what was undone stays on record"
    with pytest.raises(InputError, match="evidence versions"):
        put_in_force(line, "shape", "f" * 64, "demo")


def test_similar_rows_are_by_lesion_and_refuse_none(line: Store):
    record = lesion(line, "new", 5.2, DAY2, accept=False)
    rows = asking.similar_rows(line, record, 2, "demo")
    assert [(row["of"], row["rank"], row["patient_id"]) for row in rows] == [("L1", 1, "R05"), ("L1", 2, "R06")]
    with pytest.raises(InputError, match="k of at least 1, got 0"):
        asking.similar_rows(line, record, 0, "demo")
