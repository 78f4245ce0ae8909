"""What was accepted under an older mask gate is scored again; what the new one doubts comes back to the worklist."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.access import SYSTEM
from core.errors import JobCancelled, StoreError
from core.gates.mask import fitting, rescoring, verdicts
from core.jobs.jobs import run_inline
from core.jobs.stages.mask_gate import fit_if_outdated
from core.jobs.stages.rescoring import KIND, follow_reference
from core.remembered.judgements import DOUBTS
from core.remembered.vocabulary import NOT_ENOUGH_MASKS
from core.review.doubted_since import new_doubts
from core.review.doubts import mask_judgement
from core.review.worklist import work_items
from core.types import LabelMap, MaskRecord
from store import Store, open_store
from tests.clinic import SHAPE, add_child, grid, lesion, noise
from tests.clinic import add_scan as add_volume
from tests.store_phantom import DAY1, add_mask, add_scan

ANSWER = ("doubt-answered", "Looked at it on the scan: it is what is there.")
TOO_FEW: dict[str, Any] = {
    "verdict": NOT_ENOUGH_MASKS,
    "p_value": None,
    "flagged": None,
    "n_reference": 0,
    "lesions": [],
}
LATER = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)


def _accept(store: Store, record: MaskRecord) -> None:
    store.decisions.decide(record.patient_id, record.timepoint, record.version, "accept", "demo", *ANSWER)


def _drawn(store: Store, patient: str, array: Any, seed: int) -> MaskRecord:
    add_volume(store, patient, DAY1, noise(seed))
    labels = LabelMap(array.astype(np.uint8), grid())
    return add_child(store, labels, patient, DAY1, method="manual", author="demo")


def test_the_whole_scan_as_tumour_accepted_with_2_references_comes_back_once_there_are_30(store: Store) -> None:
    for number in range(2):
        _accept(store, _drawn(store, f"R{number:02d}", lesion(300 + 40 * number), number))
        follow_reference(store)
    whole = _drawn(store, "ODD", np.ones(SHAPE, bool), 99)
    _accept(store, whole)
    follow_reference(store)
    assert not work_items(store), "whoever accepted it looked at it, and no gate could say more then"
    for number in range(2, 30):
        flat = 1 + (number % 5) / 5
        _accept(store, _drawn(store, f"R{number:02d}", lesion(300 + 40 * number, flat), number))
    found = follow_reference(store)
    assert found["scored"] == 31
    (item,) = [item for item in work_items(store) if item.patient_id == "ODD"]
    assert (item.urgency, item.version, item.task) == (0, whole.version, "Affirm or withdraw")
    assert item.reason.startswith("version 1 is accepted, and doubted since: Mask gate: doubtful.")
    assert store.verify() == []


def _of_one_number(store: Store, patient: str, value: float) -> MaskRecord:
    """A mask whose shape is one number, which need not be read from an image."""
    add_scan(store, patient, DAY1, seed=int.from_bytes(patient.encode()[-3:]))
    record = add_mask(store, 4, 0, patient, DAY1, verdict=TOO_FEW)
    store.vectors.add(record.mask_id, "L1", patient, [value], ["size"], "demo")
    _accept(store, record)
    return record


@pytest.fixture(scope="module")
def of_25(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 patients of 0 … 23, and one accepted lesion of 500 that no gate has judged; to be copied."""
    root = tmp_path_factory.mktemp("rescoring") / "data"
    with open_store(root) as store:
        for number in range(24):
            _of_one_number(store, f"R{number:02d}", float(number))
        _of_one_number(store, "odd", 500.0)
        fit_if_outdated(store)
    return root


@pytest.fixture
def doubted(of_25: Path, tmp_path: Path) -> Iterator[Store]:
    """Those patients."""
    with open_store(shutil.copytree(of_25, tmp_path / "of-25", symlinks=True)) as store:
        yield store


def test_only_what_the_new_gate_says_otherwise_is_written_and_no_image_is_read(
    doubted: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(doubted.masks), "load", lambda *_: pytest.fail("an image was read"))
    before = doubted.audit.last()[0]
    first = rescoring.rescore(doubted, {})
    assert (first["scored"], first["not_scored"], first["notes"]) == (25, 0, [])
    assert doubted.audit.last()[0] - before == first["changed"] == 25, "one entry a verdict"
    assert {entry["person"] for entry in doubted.audit_log(first["changed"])} == {SYSTEM}
    again = rescoring.rescore(doubted, {})
    assert (again["scored"], again["changed"]) == (25, 0), "as after a stop: what is done is not done again"
    assert [item.patient_id for item in work_items(doubted)] == ["odd"]


def test_a_run_that_is_cancelled_leaves_what_it_wrote_and_says_so(doubted: Store) -> None:
    def until_the_third(fraction: float, message: str) -> None:
        if fraction > 0.11:
            raise JobCancelled("cancelled")

    with pytest.raises(JobCancelled, match="after 3 of 25 accepted masks; what was scored again is stored"):
        rescoring.rescore(doubted, {}, until_the_third)
    assert rescoring.rescore(doubted, {})["changed"] == 22


def test_it_is_due_once_a_gate_and_when_nobody_has_decided_for_a_while(doubted: Store) -> None:
    just_decided = dt.datetime.fromisoformat(doubted.vectors.last_change()[1])  # by the clock it may be long ago
    assert not rescoring.is_due(doubted, just_decided), "somebody has just decided"
    assert rescoring.is_due(doubted, LATER)
    done = run_inline(doubted, KIND, {"gate": rescoring.in_force(doubted)}, SYSTEM)
    assert done["gate"] == rescoring.in_force(doubted)
    assert not rescoring.is_due(doubted, LATER), "this gate has scored them"
    doubted.decisions.decide("R00", DAY1, 1, "withdraw", "demo", "second-look")
    assert not rescoring.is_due(doubted, LATER), "the gate is to be fitted first"
    assert fitting.is_outdated(doubted)
    fit_if_outdated(doubted)
    assert rescoring.is_due(doubted, LATER)


def test_a_mask_on_which_the_gate_fails_keeps_its_verdict_and_is_counted(
    doubted: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object) -> None:
        raise ZeroDivisionError("odd")

    monkeypatch.setattr(verdicts, "verdict_on", fails)
    found = rescoring.rescore(doubted, {})
    assert found["scored"] == found["changed"] == 0
    assert found["not_scored"] == 25
    assert "were not scored again" in found["notes"][0]
    assert not [record for record in caplog.records if "odd" in record.getMessage()]


def test_a_doubt_of_another_kind_is_affirmed_by_an_answer_which_supersedes_nothing(doubted: Store) -> None:
    with pytest.raises(StoreError, match="accepted one already"):
        doubted.decisions.decide("odd", DAY1, 1, "accept", "demo", *ANSWER)
    rescoring.rescore(doubted, {})
    proposed = add_mask(doubted, 5, patient="odd", day=DAY1)
    with pytest.raises(StoreError, match="in your own words"):
        doubted.decisions.decide("odd", DAY1, 1, "accept", "demo", "agrees")
    affirmed = doubted.decisions.decide("odd", DAY1, 1, "accept", "demo", *ANSWER)
    assert [one["gate"] for one in affirmed.answered] == ["mask"]
    assert doubted.masks.version("odd", DAY1, proposed.version).status == "proposed"
    assert doubted.masks.version("odd", DAY1, 1).status == "accepted"
    assert "odd" not in [item.patient_id for item in work_items(doubted)]
    with pytest.raises(StoreError, match="accepted one already"):
        doubted.decisions.decide("odd", DAY1, 1, "accept", "demo", *ANSWER)
    assert doubted.verify() == []


def test_a_doubt_is_new_until_somebody_withdraws_the_version(doubted: Store) -> None:
    rescoring.rescore(doubted, {})
    (odd,) = [one for one in doubted.views.judged_since() if one.patient_id == "odd"]
    (doubt,) = new_doubts(odd)
    assert (doubt.gate, doubt.judgement.verdict) == ("mask", DOUBTS)
    newest = doubted.verdicts.of_masks("odd")[-1]
    assert mask_judgement(newest, odd.mask_sha256) == doubt.judgement
    doubted.decisions.decide("odd", DAY1, 1, "withdraw", "demo", "second-look")
    assert doubted.views.judged_since(odd.mask_id) == []
    (item,) = [item for item in work_items(doubted) if item.patient_id == "odd"]
    assert item.task == "Accept or reject"


def test_a_gate_that_cannot_judge_any_more_asks_nobody_again(doubted: Store) -> None:
    record = doubted.masks.version("R00", DAY1, 1)
    doubted.verdicts.add_mask_verdict(record.mask_id, TOO_FEW, "demo")
    (since,) = doubted.views.judged_since(record.mask_id)
    assert new_doubts(since) == ()
