"""References of the scan gate made of own scans: marked, fitted, compared, put in force, and back again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.errors import InputError, ModelError, StoreError
from core.gates.scan import reference_sets
from core.gates.scan.reference import IN_DISTRIBUTION
from core.gates.scan.reference_sets import SHIPPED, fitted_sets, gate_in_force, go_back, mark, marked_sets, use
from core.gates.scan.scan_gate import ScanGate
from core.jobs.jobs import run_inline
from core.jobs.stages import scan_gate, scan_reference
from core.jobs.stages.rescoring import scan_to_rescore
from store import Store
from tests.core.gates.test_scan_gate import limb, small_reference
from tests.store_phantom import DAY1, DAY2, add_scan, with_people

SET = "clinic"


@pytest.fixture(scope="module")
def shipped() -> ScanGate:
    return ScanGate(small_reference(), reference_sets.shipped_id())


@pytest.fixture
def gated(store: Store, shipped: ScanGate, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Four patients with an MR each, and a small gate in the shipped one's place."""
    for module in (reference_sets, scan_reference):
        monkeypatch.setattr(module, "load_scan_gate", lambda *_: shipped)
    for number in range(4):
        scan = limb(60 + number, "MR")
        store.scans.add(scan, dataset="d", patient_id=f"P{number}", timepoint=DAY1, person="demo")
    return store


def test_a_set_has_a_next_version_for_every_mark_and_names_no_patient(store: Store) -> None:
    add_scan(store)
    add_scan(store, day=DAY2, seed=2)
    first = mark(store, SET, "P1", DAY1, IN_DISTRIBUTION, "demo")
    second = mark(store, f" {SET} ", "P1", DAY2, "metal streaks", "demo")
    assert (first.version, second.version, len(second.members)) == (1, 2, 2)
    assert "P1" not in str(store.reference_sets.all("scan-gate-reference")[-1].detail)
    with pytest.raises(InputError, match="is metal streaks in 'clinic' already"):
        mark(store, SET, "P1", DAY2, "metal streaks", "demo")
    third = mark(store, SET, "P1", DAY2, None, "demo")
    assert [member.kind for member in third.members] == [IN_DISTRIBUTION]
    assert marked_sets(store) == {SET: third}
    for name, day, kind in ((" ", DAY1, "x"), (SET, "2001-01-01", "x"), (SET, DAY1, "x" * 61)):
        with pytest.raises(InputError, match="Expected a"):
            mark(store, name, "P1", day, kind, "demo")
    assert store.verify() == []


def test_simulated_scans_are_never_marked_beside_real_ones_and_readers_mark_none(store: Store) -> None:
    with_people(store, "ann")
    add_scan(store)
    add_scan(store, patient="S1", seed=3, metadata={"simulated": True})
    mark(store, SET, "P1", DAY1, IN_DISTRIBUTION, "demo")
    with pytest.raises(InputError, match="simulated scans never judge real ones"):
        mark(store, SET, "S1", DAY1, IN_DISTRIBUTION, "demo")
    with pytest.raises(StoreError, match="'ann' is reader"):
        mark(store, SET, "P1", DAY1, "metal streaks", "ann")


def test_a_gate_is_fitted_to_marked_scans_and_their_faults_compared_put_in_force_and_taken_back(gated: Store) -> None:
    for number, kind in enumerate((IN_DISTRIBUTION, IN_DISTRIBUTION, "metal of the ward")):
        mark(gated, SET, f"P{number}", DAY1, kind, "demo")
    args = {"name": SET, "exposures": ["MR: contrast reversed", "metal streaks"]}
    with pytest.raises(InputError, match="Expected faults of"):
        run_inline(gated, scan_reference.KIND, {**args, "exposures": ["x"]}, "demo")
    made = run_inline(gated, scan_reference.KIND, args, "demo")
    figures = {(row["origin"], row["kind"]): row["scans"] for row in made["figures"]}
    own = {kind: n for (origin, kind), n in figures.items() if origin == "own"}
    assert own == {IN_DISTRIBUTION: 2, "MR: contrast reversed": 2, "metal of the ward": 1}
    assert figures[("shipped", IN_DISTRIBUTION)] == 4, "of the shipped ones those with an MR"
    flagged = {row["kind"]: row["candidate"] for row in made["figures"] if row["origin"] == "own"}
    assert flagged["MR: contrast reversed"] == 2
    assert any("Only 6 patients with MR" in note for note in made["notes"])
    assert gate_in_force(gated) is None, "fitting alone changes nothing"
    (gate,) = fitted_sets(gated)
    assert gate == made["gate"]
    use(gated, gate, "demo")
    scored = run_inline(gated, scan_gate_kind(), {"patient_id": "P3", "timepoint": DAY1}, "demo")
    assert scored["model_id"] == gate
    with pytest.raises(InputError, match="in force already"):
        use(gated, gate, "demo")
    assert go_back(gated, "demo") == SHIPPED
    assert go_back(gated, "demo") == gate, "and forth"
    assert gated.verify() == []


def scan_gate_kind() -> Any:
    from core.jobs.pipeline import KINDS

    return KINDS["score_ood"]


def test_a_gate_whose_file_is_gone_is_neither_put_in_force_nor_scored_with(gated: Store) -> None:
    mark(gated, SET, "P0", DAY1, IN_DISTRIBUTION, "demo")
    made = run_inline(gated, scan_reference.KIND, {"name": SET, "exposures": []}, "demo")
    use(gated, made["gate"], "demo")
    (path,) = Path(gated.root / "cache" / "scan-gates").iterdir()
    path.unlink()
    with pytest.raises(ModelError, match=r"not there\. Fit it again"):
        scan_gate.prepare_score_scan(gated, {"patient_id": "P0", "timepoint": DAY1}, "demo")
    use(gated, SHIPPED, "demo")
    with pytest.raises(ModelError, match=r"not there\. Fit it again"):
        use(gated, made["gate"], "demo")
    with pytest.raises(InputError, match="or 'shipped', got 'none'"):
        use(gated, "none", "demo")


def test_what_cannot_make_a_gate_is_refused_before_it_is_a_job(gated: Store) -> None:
    with pytest.raises(InputError, match="Expected a set with marked scans"):
        run_inline(gated, scan_reference.KIND, {"name": SET}, "demo")
    mark(gated, SET, "P0", DAY1, IN_DISTRIBUTION, "demo")
    mark(gated, "odd ones", "P1", DAY1, "metal of the ward", "demo")
    with pytest.raises(InputError, match="Expected scans in distribution"):
        run_inline(gated, scan_reference.KIND, {"name": "odd ones", "with_shipped": False}, "demo")
    with pytest.raises(InputError, match="nothing to go back to"):
        go_back(gated, "demo")
    assert not gated.jobs.newest(10)


def test_a_scan_verdict_of_another_gate_is_scored_again_once_where_a_mask_is_accepted(
    gated: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = reference_sets.id_in_force(gated)
    assert now == reference_sets.shipped_id()
    monkeypatch.setattr(type(gated.masks), "of_all", lambda *_: [Accepted()])
    verdict = {"state": "in distribution", "score": 0.1, "threshold": 0.5}
    for model_id, asked_again in ((now, False), ("rfdeep-sts-ctpet", True), ("", False), ("clinic v1 abc", True)):
        gated.verdicts.add_scan_verdict("P0", DAY1, {**verdict, "model_id": model_id}, "demo")
        assert (scan_to_rescore(gated) == ("P0", DAY1)) == asked_again, model_id
    monkeypatch.setattr(type(gated.masks), "of_all", lambda *_: [])
    assert scan_to_rescore(gated) is None, "nothing is accepted there"
    monkeypatch.setattr(type(gated.masks), "of_all", lambda *_: [Accepted()])
    job = gated.jobs.create("score_ood", {"patient_id": "P0", "timepoint": DAY1, "rescored_by": now}, "system")
    assert scan_to_rescore(gated) is None
    gated.jobs.update(job, status="failed", message="x")
    assert scan_to_rescore(gated) is None, "what failed is not tried for ever"


class Accepted:
    """An accepted mask of P0."""

    patient_id, timepoint, status = "P0", DAY1, "accepted"
