"""What became of the gates' flags: upheld, overruled or open, by kind and by whom."""

from __future__ import annotations

from typing import Any

from core.remembered.judged_versions import DoubtedVersion
from core.remembered.judgements import DOUBTS, JUDGEMENT, PASSES, UNJUDGED, Judged, Judgement
from core.remembered.rows import MaskVerdict, ScanVerdict
from core.review.gate_record import KindRecord, gate_record, record_for, record_words
from core.types import Decision
from store import Store
from tests.store_phantom import DAY1, DAY2, add_mask, add_scan, with_people

ANSWER = ("doubt-answered", "Looked at it on the scan: it is what is there.")


def _judged(verdict: Judged, *kinds: str) -> dict[str, Any]:
    return {JUDGEMENT: Judgement(verdict, "because", "gate", ("aa",), kinds=kinds).to_json()}


def _decision(verdict: Any, reviewer: str, *answered: dict[str, Any]) -> Decision:
    return Decision("d", "m", verdict, reviewer, "x", "", "2024-01-01", None, answered)


def _doubt(gate: str, *kinds: str, verdict: Judged = DOUBTS, stale: bool = False) -> dict[str, Any]:
    return {"gate": gate, "verdict_id": "v", "verdict": verdict, "kinds": kinds, "reason": "because", "stale": stale}


def _version(
    *decisions: Decision,
    mask: dict[str, Any] | None = None,
    scan: dict[str, Any] | None = None,
    status: str = "proposed",
    day: str = DAY1,
    corrected: bool = False,
) -> DoubtedVersion:
    scans = () if scan is None else (ScanVerdict("s", "P1", day, scan, "demo", ""),)
    masks = () if mask is None else (MaskVerdict("a", "m", "P1", day, 1, mask, "demo", ""),)
    return DoubtedVersion("P1", day, 1, "m", "aa", status, corrected, decisions, ("aa",), scans, masks)


def _counts(record: tuple[KindRecord, ...], gate: str) -> dict[str, tuple[int, int, int]]:
    return {row.kind: (row.upheld, row.overruled, row.open) for row in record if row.gate == gate}


def test_without_flags_nothing_is_said_to_be_upheld():
    record = gate_record([])
    assert [(row.gate, row.kind, row.flags) for row in record] == [("scan", "all", 0), ("mask", "all", 0)]
    assert record_words(record, "mask") == "here: no flag decided on yet"


def test_a_flag_is_upheld_overruled_or_open_and_counts_once_for_each_of_its_kinds():
    odd = _judged(DOUBTS, "shape", "position")
    record = gate_record(
        [
            _version(_decision("reject", "ann", _doubt("mask", "shape", "position")), mask=odd, status="rejected"),
            _version(_decision("accept", "bob", _doubt("mask", "shape")), mask=odd, status="accepted"),
            _version(mask=odd, status="superseded", corrected=True),
            _version(mask=odd, status="superseded"),
            _version(mask=odd),
            _version(mask=_judged(PASSES)),
        ]
    )
    assert _counts(record, "mask") == {"all": (2, 1, 2), "shape": (2, 1, 1), "position": (2, 0, 2)}
    (overall,) = [row for row in record if (row.gate, row.kind) == ("mask", "all")]
    assert (overall.flags, overall.overruled_by) == (5, (("bob", 1),))
    assert record_words(record, "mask") == "here: 2 of 3 flags upheld; 2 open"
    assert _counts(record, "scan") == {"all": (0, 0, 0)}


def test_what_could_not_be_judged_is_no_flag_and_is_counted_apart():
    record = gate_record(
        [
            _version(_decision("accept", "bob", _doubt("mask", verdict=UNJUDGED)), status="accepted"),
            _version(_decision("accept", "bob", _doubt("scan", verdict=PASSES, stale=True)), status="accepted"),
        ]
    )
    assert _counts(record, "mask") == {"all": (0, 0, 0), "not-judged": (0, 1, 0)}
    assert _counts(record, "scan") == {"all": (0, 0, 0), "stale": (0, 1, 0)}


def test_a_scan_is_flagged_once_however_many_masks_it_has_and_the_last_word_counts():
    odd = _judged(DOUBTS, "appearance")
    first = _decision("reject", "ann", _doubt("scan", "appearance"))
    later = Decision("d", "m", "accept", "bob", "x", "", "2024-02-01", None, (_doubt("scan", "appearance"),))
    of_one = [_version(first, scan=odd, status="rejected"), _version(later, scan=odd, status="accepted")]
    assert _counts(gate_record(of_one), "scan")["all"] == (0, 1, 0)
    of_two = [*of_one, _version(scan=odd, day=DAY2), _version(scan=odd, day=DAY2)]
    assert _counts(gate_record(of_two), "scan")["all"] == (0, 1, 1)
    assert _counts(gate_record(of_two, {("P1", DAY2)}), "scan")["all"] == (0, 1, 0), "what is read blind is left out"


def test_a_withdrawn_acceptance_answers_nothing():
    made = (_decision("accept", "bob", _doubt("mask", "shape")), _decision("withdraw", "bob"))
    record = gate_record([_version(*made, mask=_judged(DOUBTS, "shape"))])
    assert _counts(record, "mask")["all"] == (0, 0, 1)


def test_the_record_is_made_of_what_was_stored_and_of_what_a_person_may_see(store: Store):
    with_people(store, "ann", "bob")
    seen = []
    for number, day in enumerate((DAY1, DAY2)):
        add_scan(store, day=day, seed=number)
        record = add_mask(store, 4, day=day)
        said = Judgement(DOUBTS, "shape: unlike others", "g", (record.mask_sha256,), kinds=("shape",))
        old = {"verdict": "unusual", "p_value": 0.01, "flagged": True, "n_reference": 30, "lesions": []}
        store.verdicts.add_mask_verdict(record.mask_id, {**old, JUDGEMENT: said.to_json()}, "demo")
        seen.append(record)
    store.decisions.decide("P1", DAY1, 1, "reject", "ann", "leak")
    store.decisions.decide("P1", DAY2, 1, "accept", "bob", *ANSWER)
    assert _counts(record_for(store, "demo"), "mask") == {"all": (1, 1, 0), "shape": (1, 1, 0)}
    child = add_mask(store, 5, day=DAY1, parent_version=1)
    store.decisions.decide("P1", DAY1, child.version, "accept", "ann", *ANSWER)
    assert _counts(record_for(store.seen_by("ann"), "ann"), "mask")["shape"] == (1, 1, 0)
    store.people.grant("bob", ["another"], by="demo")
    assert _counts(record_for(store.seen_by("bob"), "bob"), "mask") == {"all": (0, 0, 0)}
