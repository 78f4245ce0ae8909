"""References of the scan gate made of own scans: marked, fitted, compared, put in force, and back again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.errors import InputError, ModelError, StoreError
from core.gates.scan import reference_sets
from core.gates.scan.building import assemble, no_deep, row_of
from core.gates.scan.card import Card
from core.gates.scan.looks import LOOKS_VERSION
from core.gates.scan.reference import IN_DISTRIBUTION, REAL
from core.gates.scan.reference_sets import SHIPPED, fitted_sets, gate_in_force, go_back, mark, marked_sets, use
from core.gates.scan.scan_gate import ScanGate
from core.jobs.jobs import run_inline
from core.jobs.stages import rescoring, scan_gate, scan_reference
from core.jobs.stages.rescoring import is_of_another_gate, scan_to_rescore
from core.types import Volume
from store import Store
from tests.core.gates.test_scan_gate import limb
from tests.store_phantom import DAY1, DAY2, add_scan, with_people

SET = "clinic"


def pair(seed: int, noise: float = 1.0) -> list[Volume]:
    """A CT, and a PET that follows it."""
    return [limb(seed, noise=noise), replace(limb(seed, "MR", noise), modality="PET")]


def _patient(store: Store, name: str, seed: int, **more: Any) -> None:
    for modality in ("CT", "PET"):
        scan = pair(seed)[modality == "PET"]
        store.scans.add(scan, dataset="d", patient_id=name, timepoint=DAY1, person="demo", **more)


@pytest.fixture
def gated(store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Four patients with a CT and a PET each, and a shipped gate of such scans."""
    rows = [row_of(IN_DISTRIBUTION, REAL, f"S{n:02d}", pair(100 + n)) for n in range(24)]
    rows.append(row_of("strong noise", REAL, "S00", pair(100, noise=6)))
    facts = {"looks_version": LOOKS_VERSION, "card": Card.of(pair(100)).to_json()}
    shipped = ScanGate(assemble(rows, no_deep(rows), (1,), facts), "scan-gate-sts@shipped", "s")
    for module in (reference_sets, scan_reference):
        monkeypatch.setattr(module, "load_scan_gate", lambda *_: shipped)
    for number in range(4):
        _patient(store, f"P{number}", number)
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
    args = {"name": SET, "exposures": ["CT contrast reversed"]}
    with pytest.raises(InputError, match="Expected faults of"):
        run_inline(gated, scan_reference.KIND, {**args, "exposures": ["x"]}, "demo")
    made = run_inline(gated, scan_reference.KIND, args, "demo")
    figures = {(row["origin"], row["kind"]): row["scans"] for row in made["figures"]}
    own = {kind: n for (origin, kind), n in figures.items() if origin == "own"}
    assert own == {IN_DISTRIBUTION: 2, "CT contrast reversed": 2, "metal of the ward": 1}
    assert figures[("shipped", IN_DISTRIBUTION)] == 24
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
    with pytest.raises(InputError, match="and of another kind, or faults"):
        run_inline(gated, scan_reference.KIND, {"name": SET, "with_shipped": False}, "demo")
    with pytest.raises(InputError, match="nothing to go back to"):
        go_back(gated, "demo")
    assert not gated.jobs.newest(10)


def test_a_scan_verdict_of_another_gate_is_scored_again_once_where_a_mask_is_accepted(
    gated: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rescoring, "shipped_facts", lambda: {"sha256": "s", "gate": "scan-gate-sts@new"})
    old = {"model_id": "rfdeep-sts-ctpet"}
    assert is_of_another_gate(old, "rfdeep-sts-ctpet", None, ())
    assert is_of_another_gate(old, "scan-gate-sts@old", None, ())
    assert not is_of_another_gate(old, "scan-gate-sts@new", None, ())
    assert not is_of_another_gate({"state": "in distribution"}, "", None, ()), "it does not say"
    assert is_of_another_gate({}, "clinic v1 abc", None, ("clinic v1 abc",)), "one gone back from"
    verdict = {"state": "in distribution", "score": 0.1, "threshold": 0.5, **old}
    gated.verdicts.add_scan_verdict("P0", DAY1, verdict, "demo")
    assert scan_to_rescore(gated) is None, "nothing is accepted there"
    monkeypatch.setattr(type(gated.masks), "of_all", lambda *_: [Accepted()])
    assert scan_to_rescore(gated) == ("P0", DAY1)
    job = gated.jobs.create("score_ood", {"patient_id": "P0", "timepoint": DAY1, "rescored_by": "s"}, "system")
    assert scan_to_rescore(gated) is None
    gated.jobs.update(job, status="failed", message="x")
    assert scan_to_rescore(gated) is None, "what failed is not tried for ever"


class Accepted:
    """An accepted mask of P0."""

    patient_id, timepoint, status = "P0", DAY1, "accepted"
