"""A version that a gate doubts is accepted only by who answers the doubt; the lines of timeline.tsv on gates."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import cli
from core.errors import InputError, StoreError
from core.gates.mask import verdicts as mask_gate
from core.jobs.stages import common
from core.jobs.stages.scan_gate import record_score_scan
from core.remembered.judgements import DOUBTS, JUDGEMENT, PASSES, UNJUDGED, Judgement
from core.review.decisions import DOUBT_ANSWERED, DOUBT_ANSWERED_WORDS
from core.twin.timeline import patient_timeline
from core.twin.timeline_changes import volume_end
from store import Store, open_store, rebuild
from store.database.connection import Connection
from store.database.migrations import MIGRATIONS, migrate
from store.records.correction_plans import Plans
from tests.store_phantom import (
    ANSWER,
    DAY1,
    DAY2,
    JUDGED,
    add_mask,
    add_scan,
    grid,
    labels,
    measures,
    pass_scans,
    scan_result,
    with_people,
)

OWN = "the border follows the tumour"


def mask_result(verdict: Any, kinds: tuple[str, ...] = ()) -> dict[str, Any]:
    """What a mask gate says; of what was stored before there were judgements, its words alone."""
    said = Judgement(verdict, f"The mask gate says: {verdict}.", "mask-1", (), kinds=kinds)
    return {**JUDGED, JUDGEMENT: said.to_json()}


def bare(store: Store, day: str = DAY1, **more: Any) -> Any:
    """A version that no gate was asked about."""
    mask = labels(5)
    values = {"patient_id": "P1", "timepoint": day, "method": "nnunet", "author": "demo", "parent_version": None}
    return store.masks.add(mask, **{**values, "lesions": measures(mask), **more})


def accept(store: Store, reason: str = "agrees", comment: str = "", day: str = DAY1, version: int = 1) -> Any:
    return store.decisions.decide("P1", day, version, "accept", "demo", reason, comment)


def status(store: Store, day: str = DAY1, version: int = 1) -> str:
    return store.masks.version("P1", day, version).status


def _stale(store: Store) -> None:
    pass_scans(store)
    add_scan(store, modality="PET", seed=7, where=grid((6, 5, 4)))


SCANS: dict[str, Callable[[Store], object]] = {
    "passes": pass_scans,
    "doubtful": lambda s: s.verdicts.add_scan_verdict("P1", DAY1, scan_result(s, verdict=DOUBTS), "demo"),
    "unjudged": lambda s: s.verdicts.add_scan_verdict("P1", DAY1, scan_result(s, verdict=UNJUDGED), "demo"),
    "before judgements": lambda s: s.verdicts.add_scan_verdict("P1", DAY1, {"state": "in distribution"}, "demo"),
    "missing": lambda s: None,
    "stale": _stale,
}
MASKS: dict[str, Any] = {
    "passes": mask_result(PASSES),
    "doubtful": mask_result(DOUBTS, ("position",)),
    "unjudged": mask_result(UNJUDGED),
    "few": {"verdict": "not enough reference masks", "p_value": None, "flagged": None},
    "usual": {"verdict": "usual", "p_value": 0.5},
    "missing": None,
}
DOUBTED = 1 + list(MASKS).index("doubtful")
#: Reason and comment ("": the gates' own words), and whether they answer a doubt.
SAID = [
    ("agrees", "", False),
    ("agrees", OWN, False),
    ("other", OWN, False),
    (DOUBT_ANSWERED, "", False),
    (DOUBT_ANSWERED, " a b ", False),
    (DOUBT_ANSWERED, "...", False),
    (DOUBT_ANSWERED, DOUBT_ANSWERED_WORDS, False),
    (DOUBT_ANSWERED, OWN, True),
]


@pytest.mark.parametrize("of_scan", SCANS)
def test_only_an_answer_gets_a_version_past_a_doubt(store: Store, of_scan: str) -> None:
    add_scan(store)
    for result in MASKS.values():
        bare(store, verdict=result)
    SCANS[of_scan](store)
    for of_mask, record in zip(MASKS, store.masks.of("P1"), strict=True):
        scan, mask = store.verdicts.standing(record)
        assert (scan.is_doubt, mask.is_doubt) == (of_scan != "passes", of_mask not in ("passes", "usual"))
        for reason, comment, answers in SAID:
            said = comment or " ".join(one.judgement.reason for one in (scan, mask) if one.is_doubt)
            why = store.decisions.why_not_accept(record, "demo", said, None, reason)
            assert bool(why) == ((scan.is_doubt or mask.is_doubt) and not answers), (of_mask, reason, said)
            for verdict in (scan, mask):
                assert (verdict.judgement.reason in why) == (bool(why) and verdict.is_doubt)
    with pytest.raises(StoreError, match="cannot be accepted while a gate's doubt stands"):
        accept(store, version=DOUBTED)
    assert store.decisions.of("P1") == []
    made = accept(store, DOUBT_ANSWERED, OWN, version=DOUBTED)
    assert store.masks.version("P1", DAY1, DOUBTED).status == "accepted"
    told = [(one["gate"], one["verdict"], one["verdict_id"], one["stale"], one["reason"]) for one in made.answered]
    standing = store.verdicts.standing(store.masks.version("P1", DAY1, DOUBTED))
    assert told == [
        (v.gate, v.judgement.verdict, v.verdict_id, v.stale, v.judgement.reason) for v in standing if v.is_doubt
    ]
    assert store.decisions.of("P1") == [made]
    assert store.audit.entries()[-1]["payload"]["answered"] == list(made.answered)


def test_gate_line_1_out_of_distribution_and_an_odd_mask_are_not_accepted_by_saying_that_it_agrees(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with open_store(tmp_path) as store:
        add_scan(store)
        said = {"state": "out of distribution", "score": 0.99, "threshold": 0.5}
        store.verdicts.add_scan_verdict("P1", DAY1, said, "demo")
        bare(store, verdict={"verdict": "unusual", "p_value": 0.001, "flagged": True})

    def run(*words: str, ends: int = 0) -> Any:
        assert cli.main([*words, "--data", str(tmp_path), "--reviewer", "demo", "--json"]) == ends
        out, err = capsys.readouterr()
        assert bool(err.strip()) == bool(ends)
        return json.loads(out)

    found = run("gate", "verdicts", "P1", DAY1)
    assert [(one["gate"], one["verdict"], one["stale"]) for one in found] == [
        ("scan", "doubtful", True),  # it does not say which scans it saw
        ("mask", "doubtful", False),
    ]
    assert {"gate", "verdict", "reason", "stale", "gate_model", "seen", "nearest"} <= found[0].keys()
    assert run("gate", "verdicts", "P1", DAY1, "1") == found
    assert "no mask version 2" in run("gate", "verdicts", "P1", DAY1, "2", ends=1)["error"]
    refused = run("accept", "P1", DAY1, "1", "--reason", "agrees", ends=1)["error"]
    assert "out of distribution" in refused
    assert "p = 0.001" in refused
    assert "doubt-answered" in refused
    with open_store(tmp_path) as store:
        assert (status(store), store.decisions.of("P1")) == ("proposed", [])
    done = run("accept", "P1", DAY1, "1", "--reason", DOUBT_ANSWERED, "--comment", OWN)
    assert [one["gate"] for one in done["answered"]] == ["scan", "mask"]


def test_gate_line_2_scans_that_were_never_scored_are_refused_whoever_asks(store: Store) -> None:
    add_scan(store)
    bare(store, verdict=JUDGED)
    store.people.add("nobody at all", "reader", by="demo")
    with pytest.raises(StoreError, match=r"Scan gate: cannot be judged\. It has not judged these scans"):
        store.decisions.decide("P1", DAY1, 1, "accept", "nobody at all", "x")
    assert status(store) == "proposed"


def test_gate_line_3_a_verdict_on_the_ct_alone_is_stale_once_a_pet_is_there(store: Store) -> None:
    add_scan(store)
    record = add_mask(store, 5)
    assert not any(verdict.is_doubt for verdict in store.verdicts.standing(record))
    add_scan(store, modality="PET", seed=7, where=grid((6, 5, 4)))
    with pytest.raises(StoreError, match="of other files than those that are there now"):
        accept(store)
    pass_scans(store)
    accept(store)
    assert status(store) == "accepted"


def test_gate_line_4_a_gate_that_fails_leaves_the_version_doubtful(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: Any) -> Any:
        raise RuntimeError("P1 in /data/P1")

    add_scan(store)
    pass_scans(store)
    monkeypatch.setattr(mask_gate, "verdict_on", fails)
    with caplog.at_level(logging.ERROR):
        made: dict[str, Any] = {"method": "manual", "author": "demo", "parent_version": None}
        record = common.add_version(store, labels(5), "P1", DAY1, **made)
    assert "RuntimeError" in caplog.text
    assert "P1" not in caplog.text
    _, mask = store.verdicts.standing(record)
    assert (mask.judgement.verdict, mask.judgement.kinds, mask.stale) == (UNJUDGED, ("not-judged",), False)
    assert "failed over this mask (RuntimeError)" in mask.words
    assert len(store.vectors.of(record.mask_id)) == 1, "what was measured is kept"
    with pytest.raises(StoreError, match="failed over this mask"):
        accept(store)
    monkeypatch.undo()
    accept(store, *ANSWER)


def test_an_anchored_scan_verdict_counts_for_its_mask_alone(store: Store) -> None:
    add_scan(store)
    first, second = add_mask(store, 5), add_mask(store, 6)
    odd = {**scan_result(store, verdict=DOUBTS), "anchor_mask_id": first.mask_id}
    store.verdicts.add_scan_verdict("P1", DAY1, odd, "demo")
    assert [store.verdicts.standing(one)[0].is_doubt for one in (first, second)] == [True, False]
    accept(store, version=2)


def test_a_rejection_keeps_what_it_upholds_and_what_takes_back_or_is_on_a_lesion_answers_nothing(store: Store) -> None:
    add_scan(store)
    pass_scans(store)
    bare(store, verdict=mask_result(DOUBTS, ("shape",)))
    said = store.decisions.decide("P1", DAY1, 1, "reject", "demo", "leak")
    (answered,) = said.answered
    assert (answered["gate"], answered["verdict"], answered["kinds"]) == ("mask", DOUBTS, ["shape"])
    mask = two_doubted(store)
    on_lesion = store.decisions.decide("P1", DAY1, mask, "reject", "demo", "not-a-lesion", lesion_id="L2")
    assert on_lesion.answered == ()
    taken = accept(store, *ANSWER, version=mask)
    assert [one["gate"] for one in taken.answered] == ["mask"]
    assert store.decisions.decide("P1", DAY1, mask, "withdraw", "demo", "second-look").answered == ()


def two_doubted(store: Store) -> int:
    """The number of a version with two lesions that the mask gate doubts."""
    mask = labels(5, 2)
    made: dict[str, Any] = {
        "patient_id": "P1",
        "timepoint": DAY1,
        "method": "nnunet",
        "author": "demo",
        "parent_version": None,
    }
    return store.masks.add(mask, **made, lesions=measures(mask), verdict=mask_result(DOUBTS)).version


def test_answers_outlive_a_rebuild_and_mark_the_curve(store: Store) -> None:
    with_people(store, "ann")
    add_scan(store)
    pass_scans(store)
    record = bare(store, verdict=mask_result(DOUBTS, ("position",)))
    made = store.decisions.decide("P1", DAY1, 1, "accept", "ann", DOUBT_ANSWERED, OWN)
    mark = f"mask gate: doubtful (position); answered by ann: {OWN}"
    assert told(store) == (mark,)
    end = volume_end(patient_timeline(store, "P1"), "L1", DAY1)
    assert end is not None
    assert end.doubts == ("mask gate: doubtful (position)",), "an answer does not narrow the noise"
    store.verdicts.add_mask_verdict(record.mask_id, mask_result(PASSES), "demo")
    assert told(store) == (f"mask gate: doubtful (position) when it was accepted; answered by ann: {OWN}",)
    store.verdicts.add_mask_verdict(record.mask_id, mask_result(DOUBTS, ("history",)), "demo")
    assert told(store)[0] == "mask gate: doubtful (history)", "nobody has answered that"
    assert told(store) == rows_told(store)
    root = store.root
    store.close()
    for name in ("twin.duckdb", "audit.jsonl"):
        (root / name).unlink()
    rebuild(root)
    with open_store(root) as again:
        assert again.decisions.of("P1") == [made]
        assert again.verify() == []


def told(store: Store) -> tuple[str, ...]:
    cell = patient_timeline(store, "P1").cell("L1", DAY1)
    assert cell is not None
    return cell.doubts


def rows_told(store: Store) -> tuple[str, ...]:
    """The same of the cohort's rows."""
    from core.twin.cohort_records import CohortRecords

    records = CohortRecords(store.views.cohort(), store.scans, store.reference_sets)
    cell = patient_timeline(records, "P1").cell("L1", DAY1)
    assert cell is not None
    return cell.doubts


def test_the_blind_reader_hears_of_no_verdict_or_answer_on_what_is_hidden(store: Store) -> None:
    with_people(store, "ann", "ben")
    add_scan(store)
    pass_scans(store)
    store.readings.set_blind("P1", DAY1, True, "demo")
    mask = bare(store, method="manual", author="ann", verdict=mask_result(DOUBTS, ("shape",)))
    anchored = {**scan_result(store), "anchor_mask_id": mask.mask_id}
    store.verdicts.add_scan_verdict("P1", DAY1, anchored, "demo")
    for person in ("ann", "demo"):
        store.readings.finish("P1", DAY1, person)
    store.decisions.decide("P1", DAY1, 1, "accept", "ann", DOUBT_ANSWERED, OWN)
    seen = store.seen_by("ben")
    said = [seen.verdicts.of_masks("P1"), seen.verdicts.of_scans("P1"), seen.decisions.of("P1"), seen.views.cohort()]
    said += [patient_timeline(seen, "P1"), seen.views.worklist(), seen.audit_log()]
    assert mask.mask_id not in repr(said)
    assert OWN not in repr(said)
    assert store.seen_by("ann").decisions.of("P1")[0].comment == OWN


def test_a_verdict_that_nobody_could_read_is_not_stored(store: Store) -> None:
    add_scan(store)
    record = bare(store)
    for broken in ({}, {"verdict": "fine"}, {**mask_result(PASSES)[JUDGEMENT], "reason": " "}, "passes"):
        with pytest.raises(InputError, match=r"judgement|reason"):
            store.verdicts.add_mask_verdict(record.mask_id, {**JUDGED, JUDGEMENT: broken}, "demo")
    wrong = {**mask_result(PASSES)[JUDGEMENT], "verdict": "fine"}
    with pytest.raises(InputError, match="passes, doubtful, cannot be judged"):
        store.verdicts.add_scan_verdict("P1", DAY1, {**scan_result(store), JUDGEMENT: wrong}, "demo")
    assert store.verdicts.of_masks("P1") == store.verdicts.of_scans("P1") == []


def test_the_scan_job_says_which_scans_it_was_given(store: Store) -> None:
    scan = add_scan(store)
    params = {"patient_id": "P1", "timepoint": DAY1, "scans": [{"sha256": scan.sha256}]}
    said = {"in distribution": PASSES, "out of distribution": DOUBTS, "doubtful": DOUBTS, "no anchor": UNJUDGED}
    for state, verdict in {**said, "cannot be judged": UNJUDGED}.items():
        result = {"state": state, "score": None, "threshold": 0.5, "note": "So it is.", "model_id": "rfdeep"}
        record_score_scan(store, params, result, Path(), "demo")
        of_scan, _ = store.verdicts.standing(bare(store))
        assert (of_scan.judgement.verdict, of_scan.judgement.seen, of_scan.stale) == (verdict, (scan.sha256,), False)
        assert (of_scan.judgement.reason, of_scan.judgement.gate_model) == ("So it is.", "rfdeep")
        assert bool(of_scan.judgement.kinds) == (verdict != PASSES)


def test_decisions_of_a_database_from_before_answer_nothing() -> None:
    db = Connection(None)
    before = next(n for n, one in enumerate(MIGRATIONS) if one.name == "doubts that decisions answer")
    migrate(db, MIGRATIONS[:before])
    names = "decision_id, mask_id, verdict, reviewer, reason, comment, created_at"
    db.execute(f"INSERT INTO decisions ({names}) VALUES ('d', 'm', 'accept', 'ann', 'agrees', '', 't')")
    migrate(db)
    assert db.query("SELECT answered FROM decisions") == [{"answered": "[]"}]


steps = st.lists(
    st.one_of(
        st.sampled_from([("mask",), ("scan",), ("score",), ("odd scan",), ("pass",), ("odd",), ("unjudged",)]),
        st.tuples(
            st.just("decide"),
            st.integers(1, 2),
            st.sampled_from(["accept", "accept", "reject", "withdraw"]),
            st.sampled_from(["agrees", DOUBT_ANSWERED]),
            st.sampled_from(["", OWN]),
        ),
    ),
    max_size=14,
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps)
def test_no_sequence_of_calls_accepts_a_version_over_a_doubt_without_an_answer(
    tmp_path_factory: pytest.TempPathFactory, sequence: Any
) -> None:
    with open_store(tmp_path_factory.mktemp("doubts")) as store:
        add_scan(store)
        bare(store, verdict=JUDGED)
        for number, step in enumerate(sequence):
            _do(store, step, number)
        for decision in store.decisions.of("P1"):
            assert decision.verdict != "withdraw" or decision.answered == ()
        assert store.verify() == []


def _do(store: Store, step: Any, number: int) -> None:
    """One step; a decision is checked against what the gates said just before."""
    if step[0] == "mask":
        bare(store)
    elif step[0] == "scan":
        add_scan(store, seed=100 + number, modality="PET", where=grid((6, 5, 4)))
    elif step[0] in ("score", "odd scan"):
        verdict = PASSES if step[0] == "score" else DOUBTS
        store.verdicts.add_scan_verdict("P1", DAY1, scan_result(store, verdict=verdict), "demo")
    elif step[0] == "decide":
        _, version, verdict, reason, comment = step
        record = store.masks.of("P1", DAY1)[min(version, len(store.masks.of("P1", DAY1))) - 1]
        doubts = [one for one in store.verdicts.standing(record) if one.is_doubt]
        try:
            made = store.decisions.decide("P1", DAY1, record.version, verdict, "demo", reason, comment)
        except StoreError:
            return
        assert verdict != "accept" or not doubts or (reason, comment) == (DOUBT_ANSWERED, OWN)
        assert len(made.answered) == (0 if verdict == "withdraw" else len(doubts))
    else:
        verdict = {"pass": PASSES, "odd": DOUBTS, "unjudged": UNJUDGED}[step[0]]
        store.verdicts.add_mask_verdict(store.masks.of("P1", DAY1)[-1].mask_id, mask_result(verdict), "demo")


def test_a_restored_timepoint_of_an_older_entry_has_decisions_that_answer_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def as_before(plans: Plans, *place: Any) -> Any:
        rows = of_timepoint(plans, *place)
        return {**rows, "decisions": [{k: v for k, v in row.items() if k != "answered"} for row in rows["decisions"]]}

    of_timepoint = Plans._rows_of_timepoint
    monkeypatch.setattr(Plans, "_rows_of_timepoint", as_before)
    add_scan(store)
    add_mask(store, 5)
    add_scan(store, day=DAY2, seed=9)
    accept(store)
    gone = store.corrections.withdraw_timepoint("P1", DAY1, reason="wrong patient", person="demo")
    assert store.decisions.of("P1") == []
    store.corrections.restore(str(gone.withdrawal_id), reason="it was right", person="demo")
    assert [one.answered for one in store.decisions.of("P1")] == [()]
    assert store.verify() == []
