"""A version is stored with what the mask gate says of it, whatever happens to the gate."""

from __future__ import annotations

import numpy as np
import pytest

from core.gates.mask import verdicts
from core.gates.mask.fitted import REAL, SIMULATED
from core.gates.mask.fitting import fit_small
from core.jobs.stages.common import add_version
from core.remembered.judgements import Judgement
from core.review.doubts import gate_verdicts
from core.types import LabelMap, MaskRecord
from store import Store
from tests.store_phantom import DAY1, DAY2, SHAPE, add_mask, add_scan, grid, labels, transform


def _added(store: Store, mask: LabelMap, patient: str = "P1", day: str = DAY1) -> MaskRecord:
    return add_version(store, mask, patient, day, method="import", author="demo", parent_version=None)


def _said(store: Store, record: MaskRecord) -> Judgement:
    (stored,) = store.verdicts.of_masks(mask_id=record.mask_id)
    return Judgement.from_json(stored.result["judgement"])


def test_the_verdict_names_every_file_that_it_saw_and_is_not_stale(store: Store):
    scan = add_scan(store)
    record = _added(store, labels(4, 2))
    said = _said(store, record)
    assert set(said.seen) == {scan.sha256, record.mask_sha256}
    assert said.verdict == "cannot be judged"
    assert "0 other patients have masks to compare with, 19 are needed" in said.reason
    _, of_mask = gate_verdicts(record, [scan.sha256], [], store.verdicts.of_masks(mask_id=record.mask_id))
    assert (of_mask.stale, of_mask.is_doubt) == (False, True)


def test_a_gate_that_fails_is_a_doubt_and_the_version_is_stored(store: Store, monkeypatch: pytest.MonkeyPatch):
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("of the test")

    add_scan(store)
    monkeypatch.setattr(verdicts, "vectors_of", broken)
    record = _added(store, labels(4, 2))
    said = _said(store, record)
    assert (record.version, said.verdict, said.kinds) == (1, "cannot be judged", ("not-judged",))
    assert "The mask gate failed over this mask (ZeroDivisionError)" in said.reason
    monkeypatch.undo()
    verdicts.score_mask(store, "P1", DAY1, 1, "demo")
    assert [row.lesion_id for row in store.vectors.of(record.mask_id)] == ["L1", "L2"], (
        "measured when it is asked again"
    )


def test_an_empty_mask_after_a_tumour_is_doubtful_and_one_without_a_past_is_not_judged(store: Store):
    add_scan(store)
    add_scan(store, day=DAY2, seed=2)
    empty = LabelMap(np.zeros(SHAPE, np.uint8), grid())
    assert _said(store, _added(store, empty)).verdict == "cannot be judged"
    tumour = _added(store, labels(4))
    unaccepted = _said(store, _added(store, empty, day=DAY2))
    assert unaccepted.verdict == "cannot be judged", "nobody has accepted the tumour, so it tells nothing"
    add_mask(store, 4)
    store.decisions.decide("P1", DAY1, add_mask(store, 4, 1).version, "accept", "demo", "good")
    assert tumour.version == 2
    said = _said(store, _added(store, empty, day=DAY2))
    assert (said.verdict, said.kinds) == ("doubtful", ("empty",))
    assert f"L1 was there on {DAY1} and is not in this mask" in said.reason
    part = _said(store, _added(store, labels(4), day=DAY2))
    assert part.kinds == ("history",), "L2 is lost"


def test_the_whole_scan_is_doubtful_from_the_first_and_comes_back_when_more_is_known(store: Store):
    """It was accepted with two references; with 30 it must come back. Here it never passes: a rule comes first."""
    add_scan(store)
    whole = LabelMap(np.ones(SHAPE, np.uint8), grid())
    record = _added(store, whole)
    assert (_said(store, record).verdict, _said(store, record).kinds[0]) == ("doubtful", "position")
    again = verdicts.score_mask(store, "P1", DAY1, record.version, "demo")
    assert again["judgement"]["verdict"] == "doubtful", "and again without its images"


def test_simulated_patients_are_judged_by_simulated_ones_alone(store: Store):
    for number in range(20):
        patient = f"R{number:02d}"
        add_scan(store, patient, seed=100 + number, metadata={"simulated": number < 19})
        record = add_mask(store, 4, 0, patient)
        store.vectors.add(record.mask_id, "L1", patient, [float(number)], ["size"], "demo")
        store.decisions.decide(patient, DAY1, record.version, "accept", "demo", "good")
    assert fit_small(store)
    told = {}
    for patient, simulated in (("S", True), ("real", False)):
        add_scan(store, patient, seed=len(patient), metadata={"simulated": simulated})
        record = add_mask(store, 4, 0, patient)
        store.vectors.add(record.mask_id, "L1", patient, [9.2], ["size"], "demo")
        told[patient] = verdicts.score_mask(store, patient, DAY1, record.version, "demo")
    assert (told["S"]["set"], told["S"]["verdict"], told["S"]["n_reference"]) == (SIMULATED, "usual", 19)
    assert (told["real"]["set"], told["real"]["verdict"]) == (REAL, "not enough reference masks")
    assert told["real"]["n_reference"] == 1
    newest = store.reference_sets.newest("fitted-mask-gate")
    assert newest is not None
    assert newest.detail["sets"]["simulated"]["name"] == "accepted masks of simulated patients"


def test_a_lesion_is_held_against_its_last_place_where_the_scans_were_registered(store: Store):
    add_scan(store)
    add_scan(store, day=DAY2, seed=2)
    store.decisions.decide("P1", DAY1, add_mask(store, 4).version, "accept", "demo", "good")
    unregistered = _said(store, _added(store, labels(4), day=DAY2))
    assert f"Where these scans lie in those of {DAY1} is not known." in unregistered.reason
    store.transforms.add("P1", transform(store), "demo")
    there, elsewhere = labels(4), np.zeros(SHAPE, np.uint8)
    elsewhere[:4, 8, 6] = 1
    assert _said(store, _added(store, there, day=DAY2)).kinds == ("not-judged",)
    said = _said(store, _added(store, LabelMap(elsewhere, grid()), day=DAY2))
    assert said.kinds[0] == "position"
    assert "from its last place" in said.reason


def test_a_scan_that_comes_later_is_looked_at_when_the_mask_is_scored_again(store: Store):
    add_scan(store)
    record = _added(store, labels(4))
    later = add_scan(store, seed=5, modality="PET")
    assert verdicts.score_mask(store, "P1", DAY1, record.version, "demo")["judgement"]["seen"].count(later.sha256) == 1
    assert any(name.startswith("contrast/PET") for name in store.vectors.of(record.mask_id)[0].names)
