"""References of the scan gate made of own scans: marked, fitted, compared, put in force, and back again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.errors import InputError, ModelError, StoreError
from core.gates.scan import reference_sets
from core.gates.scan.card import Card
from core.gates.scan.looks import LOOKS_VERSION
from core.gates.scan.reference import IN_DISTRIBUTION, REAL
from core.gates.scan.reference_sets import SHIPPED, fitted_sets, gate_in_force, go_back, mark, marked_sets, use
from core.gates.scan.scan_gate import ScanGate
from core.jobs.jobs import run_inline
from core.jobs.pipeline import KINDS
from core.jobs.stages import rescoring, scan_reference
from core.jobs.stages.rescoring import is_of_another_gate, scan_to_rescore
from store import Store
from tests.core.gates.test_scan_gate import limb
from tests.store_phantom import DAY1, DAY2, add_scan, with_people
from weights.recipes.scan_gate.build import assemble, deep_features, row_of

SET, SHIPPED_ID = "clinic", "scan-gate-sts@abc"


@pytest.fixture(scope="module")
def shipped() -> ScanGate:
    """A gate of fourteen MR: CT it cannot judge."""
    rows = [row_of(IN_DISTRIBUTION, REAL, f"S{n:02d}", [limb(n, "MR")]) for n in range(14)]
    rows.append(row_of("strong noise", REAL, "S00", [limb(0, "MR", noise=6)]))
    pair = row_of("nothing usual", REAL, "S01", [limb(1), limb(1, "PET")])
    facts = {"looks_version": LOOKS_VERSION, "card": Card.of([limb(0, "MR")]).to_json()}
    return ScanGate(assemble([*rows, pair], deep_features(None, [*rows, pair]), (1,), facts), SHIPPED_ID)


@pytest.fixture
def gated(store: Store, shipped: ScanGate, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Fourteen patients with an MR each, rougher than the shipped gate's."""
    for module in (reference_sets, scan_reference):
        monkeypatch.setattr(module, "load_scan_gate", lambda *_: shipped)
    monkeypatch.setattr(rescoring, "shipped_id", lambda: SHIPPED_ID)
    for n in range(14):
        scan = limb(200 + n, "MR", noise=3)
        store.scans.add(scan, dataset="d", patient_id=f"P{n:02d}", timepoint=DAY1, person="demo")
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


def test_a_gate_is_fitted_to_marked_scans_compared_put_in_force_and_taken_back(gated: Store) -> None:
    for n in range(13):
        mark(gated, SET, f"P{n:02d}", DAY1, IN_DISTRIBUTION, "demo")
    mark(gated, SET, "P13", DAY1, "another ward", "demo")
    args = {"name": SET, "exposures": ["MR: strong blur"]}
    with pytest.raises(InputError, match="Expected faults of"):
        run_inline(gated, scan_reference.KIND, {**args, "exposures": ["x"]}, "demo")
    made = run_inline(gated, scan_reference.KIND, args, "demo")
    own = {row["kind"]: row for row in made["figures"] if row["origin"] == "own"}
    assert {kind: row["scans"] for kind, row in own.items()} == {
        IN_DISTRIBUTION: 13,
        "another ward": 1,
        "MR: strong blur": 13,
    }
    assert own[IN_DISTRIBUTION]["in_force"] == 13, "they are rougher than what the shipped gate knows"
    assert own[IN_DISTRIBUTION]["candidate"] <= 1
    assert own["MR: strong blur"]["candidate"] == 13
    assert next(row["scans"] for row in made["figures"] if row["origin"] == "shipped") == 14
    assert gate_in_force(gated) is None, "fitting alone changes nothing"
    (gate,) = fitted_sets(gated)
    assert scored(gated)["judgement"]["gate_model"] == SHIPPED_ID
    use(gated, gate, "demo")
    after = scored(gated)
    assert (after["judgement"]["gate_model"], after["state"]) == (gate, "in distribution")
    with pytest.raises(InputError, match="in force already"):
        use(gated, gate, "demo")
    assert go_back(gated, "demo") == SHIPPED
    assert go_back(gated, "demo") == gate, "and forth"
    assert gated.verify() == []


def scored(store: Store) -> Any:
    return run_inline(store, KINDS["score_ood"], {"patient_id": "P13", "timepoint": DAY1}, "demo")


def test_a_gate_whose_file_is_gone_is_neither_put_in_force_nor_scored_with(gated: Store) -> None:
    mark(gated, SET, "P00", DAY1, IN_DISTRIBUTION, "demo")
    made = run_inline(gated, scan_reference.KIND, {"name": SET, "with_shipped": False}, "demo")
    assert made["notes"] == ["1 patients are in distribution; without 12 it cannot judge."]
    use(gated, made["gate"], "demo")
    assert scored(gated)["judgement"]["verdict"] == "cannot be judged"
    (path,) = Path(gated.root / "cache" / "scan-gates").iterdir()
    path.unlink()
    with pytest.raises(ModelError, match=r"not there\. Fit it again"):
        scored(gated)
    use(gated, SHIPPED, "demo")
    with pytest.raises(ModelError, match=r"not there\. Fit it again"):
        use(gated, made["gate"], "demo")
    with pytest.raises(InputError, match="or 'shipped', got 'none'"):
        use(gated, "none", "demo")


def test_what_cannot_make_a_gate_is_refused_before_it_is_a_job(gated: Store) -> None:
    for _ in range(2):
        with pytest.raises(InputError, match="Expected a set with scans marked as in distribution"):
            run_inline(gated, scan_reference.KIND, {"name": SET}, "demo")
        if not marked_sets(gated):
            mark(gated, SET, "P00", DAY1, "metal streaks", "demo")
    with pytest.raises(InputError, match="nothing to go back to"):
        go_back(gated, "demo")
    assert not gated.jobs.newest(10)


def test_a_scan_verdict_of_another_gate_is_scored_again_once_where_a_mask_is_accepted(
    gated: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert is_of_another_gate("rfdeep-sts-ctpet", SHIPPED_ID, ())
    assert not is_of_another_gate(SHIPPED_ID, SHIPPED_ID, ())
    assert not is_of_another_gate("", SHIPPED_ID, ()), "it does not say"
    assert is_of_another_gate("clinic v1 abc", SHIPPED_ID, ("clinic v1 abc",)), "one gone back from"
    old = {"state": "in distribution", "score": 0.1, "threshold": 0.5, "model_id": "rfdeep-sts-ctpet"}
    gated.verdicts.add_scan_verdict("P00", DAY1, old, "demo")
    assert scan_to_rescore(gated) is None, "nothing is accepted there"
    monkeypatch.setattr(type(gated.masks), "of_all", lambda *_: [Accepted()])
    assert scan_to_rescore(gated) == ("P00", DAY1)
    request = {"patient_id": "P00", "timepoint": DAY1, "rescored_by": SHIPPED_ID}
    job = gated.jobs.create("score_ood", request, "system")
    assert scan_to_rescore(gated) is None
    gated.jobs.update(job, status="failed", message="x")
    assert scan_to_rescore(gated) is None, "what failed is not tried for ever"


class Accepted:
    """An accepted mask of P00."""

    patient_id, timepoint, status = "P00", DAY1, "accepted"
