"""What waits for a person, in which order and with which reason; and the reasons to wait no more."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

from core.remembered.judgements import DOUBTS
from core.remembered.lists import WorklistRow, WorklistVersion
from core.remembered.rows import ScanVerdict
from core.review.worklist import WorkItem, WorklistStore, work_items
from store import Store
from tests.store_phantom import (
    ANSWER,
    DAY1,
    DAY2,
    DAY3,
    add_mask,
    add_scan,
    labels,
    measures,
    pass_scans,
    scan_result,
)

ODD = {"verdict": "unusual", "flagged": True, "p_value": 0.0123}
USUAL = {"verdict": "usual", "flagged": False, "p_value": 0.4}
MADE: Any = {"method": "nnunet", "author": "demo", "parent_version": None}


def doubt_scans(store: Store, patient: str = "P1") -> None:
    store.verdicts.add_scan_verdict(patient, DAY1, scan_result(store, patient, verdict=DOUBTS), "demo")


def test_without_patients_nothing_waits(store: Store):
    assert work_items(store) == []


def test_doubts_come_first_then_proposals_then_what_nobody_segmented(store: Store):
    seed = iter(range(1, 20))
    for patient, day in (("P1", DAY1), ("P1", DAY2), ("P2", DAY1), ("P2", DAY2), ("P3", DAY1)):
        add_scan(store, patient, day, next(seed))
    add_mask(store, 3, patient="P1", day=DAY2)
    odd = add_mask(store, 4, patient="P2", day=DAY1)
    store.verdicts.add_mask_verdict(odd.mask_id, ODD, "demo")
    doubt_scans(store, "P3")
    assert work_items(store) == [
        WorkItem(
            0,
            "P2",
            DAY1,
            1,
            "Accept or reject",
            "mask gate: doubtful. The mask gate said “unusual” (p = 0.012); version 1 (nnunet) is proposed",
        ),
        WorkItem(
            0,
            "P3",
            DAY1,
            None,
            "Segment",
            "scan gate: doubtful. The scan gate says: doubtful; no mask yet",
        ),
        WorkItem(1, "P1", DAY2, 1, "Accept or reject", "version 1 (nnunet) is proposed"),
        WorkItem(2, "P1", DAY1, None, "Segment", "no mask yet"),
        WorkItem(2, "P2", DAY2, None, "Segment", "no mask yet"),
    ]


def test_an_accepted_timepoint_is_settled_whatever_the_gates_said(store: Store):
    add_scan(store)
    record = add_mask(store, 3)
    store.verdicts.add_mask_verdict(record.mask_id, ODD, "demo")
    doubt_scans(store)
    assert [item.urgency for item in work_items(store)] == [0]
    store.decisions.decide("P1", DAY1, 1, "accept", "demo", *ANSWER)
    assert work_items(store) == []


def test_the_last_word_of_a_gate_counts_and_the_newest_proposal_is_the_one_in_question(store: Store):
    add_scan(store)
    first = add_mask(store, 3)
    store.verdicts.add_mask_verdict(first.mask_id, ODD, "demo")
    doubt_scans(store)
    store.verdicts.add_mask_verdict(first.mask_id, USUAL, "demo")
    pass_scans(store)
    assert [(item.urgency, item.version) for item in work_items(store)] == [(1, 1)]
    add_mask(store, 4, method="medsam")
    store.verdicts.add_mask_verdict(first.mask_id, ODD, "demo")
    (item,) = work_items(store)
    assert (item.urgency, item.version, item.reason) == (1, 2, "version 2 (medsam) is proposed")


def test_what_no_gate_has_judged_could_judge_or_saw_as_it_is_now_is_a_doubt(store: Store):
    add_scan(store)
    record = add_mask(store, 3)
    assert [item.urgency for item in work_items(store)] == [1]
    none = {"verdict": "not enough reference masks", "flagged": None, "p_value": None}
    store.verdicts.add_mask_verdict(record.mask_id, none, "demo")
    (item,) = work_items(store)
    assert (item.urgency, item.reason.partition(";")[0]) == (
        0,
        "mask gate: cannot be judged. The mask gate said “not enough reference masks”",
    )
    store.verdicts.add_mask_verdict(record.mask_id, USUAL, "demo")
    add_scan(store, seed=7, modality="PET")
    assert "of other files than those that are there" in work_items(store)[0].reason
    store.verdicts.add_scan_verdict("P1", DAY1, {"state": "no anchor", "score": None, "threshold": 0.5}, "demo")
    assert "scan gate: cannot be judged" in work_items(store)[0].reason
    add_scan(store, "P9", seed=8)
    store.masks.add(labels(2), patient_id="P9", timepoint=DAY1, lesions=measures(labels(2)), **MADE)
    assert [item.reason.count("has not judged") for item in work_items(store) if item.patient_id == "P9"] == [2]


def test_a_rejected_or_withdrawn_timepoint_waits_again_and_says_why(store: Store):
    for number, day in enumerate((DAY1, DAY2, DAY3)):
        add_scan(store, day=day, seed=number + 1)
        add_mask(store, 3, day=day)
    store.decisions.decide("P1", DAY1, 1, "reject", "demo", "leak")
    add_mask(store, 4, day=DAY2)
    store.decisions.decide("P1", DAY2, 2, "accept", "demo", "good")
    store.decisions.decide("P1", DAY2, 2, "reject", "demo", "mistake")
    store.decisions.decide("P1", DAY3, 1, "reject", "demo", "leak")
    add_mask(store, 5, day=DAY3)
    assert [(item.timepoint, item.task, item.reason) for item in work_items(store)] == [
        (DAY3, "Accept or reject", "version 2 (nnunet) is proposed"),
        (DAY1, "Segment again", "every version was rejected"),
        (DAY2, "Segment again", "the accepted version was withdrawn"),
    ]


def row(*statuses: str, day: str = DAY1) -> WorklistRow:
    """A timepoint of P1 with one version of each status, "m1" the first; both gates pass each."""
    said = ("a", "demo", "", '{"verdict": "usual", "p_value": 0.4}')
    versions = [
        WorklistVersion("P1", day, f"m{n}", f"f{n}", n, "nnunet", status, None, *said)
        for n, status in enumerate(statuses, 1)
    ]
    passed = ScanVerdict("s", "P1", day, {"state": "in distribution", "seen": ["scan"]}, "demo", "")
    return WorklistRow("P1", day, ("scan",), (passed,), tuple(versions))


def waiting(
    rows: list[WorklistRow],
    scan_files: Mapping[tuple[str, str], list[str]] | None = None,
    mask_files: Mapping[str, str] | None = None,
    to_affirm: Mapping[str, str] | None = None,
) -> list[WorkItem]:
    """The worklist of a store that says this of its files, and of what a rebuild could not prove."""
    parts = SimpleNamespace(
        views=SimpleNamespace(worklist=lambda: rows, judged_since=list),
        scans=SimpleNamespace(problems=lambda: scan_files or {}),
        masks=SimpleNamespace(problems=lambda: mask_files or {}),
        decisions=SimpleNamespace(to_affirm=lambda: to_affirm or {}),
    )
    return work_items(cast(WorklistStore, parts))


def test_a_decided_timepoint_waits_again_where_a_file_of_it_is_not_what_was_decided():
    decided = row("superseded", "accepted", day=DAY2)
    late = row("proposed", day=DAY1)
    assert waiting([decided], mask_files={"m1": "altered"}) == [], "the version that left the curve anyway"
    waits = WorkItem(
        0, "P1", DAY2, 2, "Look at the file", "scan CT is missing; accepted version 2: altered, so it left the curve"
    )
    assert waiting([late, decided], {("P1", DAY2): ["CT is missing"]}, {"m2": "altered"})[0] == waits
    doubted = WorkItem(0, "P1", DAY1, 1, "Accept or reject", "scan CT is missing; version 1 (nnunet) is proposed")
    assert waiting([decided, late], {("P1", DAY1): ["CT is missing"]}, {"m2": "altered"})[0] == doubted, "by date"


def test_the_newest_proposal_that_can_be_read_is_in_question_and_the_broken_one_is_named():
    (item,) = waiting([row("proposed", "proposed")], mask_files={"m2": "lost"})
    assert (item.urgency, item.version) == (0, 1)
    assert item.reason == "version 2: lost; version 1 (nnunet) is proposed"
    (item,) = waiting([row("proposed", "proposed")], mask_files={"m1": "altered", "m2": "lost"})
    assert (item.version, item.reason) == (2, "version 1: altered; version 2: lost; version 2 (nnunet) is proposed")


def test_a_proposal_that_a_rebuild_could_not_prove_is_a_doubt_and_a_rejected_one_is_none():
    (item,) = waiting([row("rejected", "proposed")], to_affirm={"m1": "not signed", "m2": "not signed"})
    assert item.urgency == 0
    assert item.reason == "version 2 waits to be affirmed: not signed; version 2 (nnunet) is proposed"
