"""A history that lost a part is never taken for a whole one, and no rebuild ends where none can go on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.twin.curve_points import volume_points
from store import open_store, rebuild
from store.database.connection import StoreDamaged
from store.ledger import ledgers
from tests.store.recovery.damage import KEY, P1, P2, end_of, lose, waiting
from tests.store.reopening import kill_rebuild
from tests.store_phantom import DAY1, DAY2, add_mask, add_scan, busy_history

pytestmark = pytest.mark.usefixtures("no_key")


@pytest.mark.parametrize("how", ["torn", "cut", "garbled", "altered"])
def test_a_withdrawal_whose_line_is_lost_does_not_bring_its_mask_back(root: Path, how: str) -> None:
    with open_store(root) as store:
        store.decisions.decide("P1", DAY1, 1, "withdraw", "demo", "second-look")
    lose(root, "twin.duckdb", "audit.jsonl")
    end_of(root, P1, how)
    counts = rebuild(root)
    assert (counts["gaps"], counts["to_affirm"]) == (None, 1), "nobody knows how much is lost"
    assert len(waiting(root)) == 1
    assert json.loads((root / f"processed/set/P1/{DAY1}/mask_v001.json").read_text())["status"] == "proposed"
    again = rebuild(root)
    assert (again["gaps"], again["to_affirm"], again["audit"]) == (0, 0, counts["audit"]), "once is enough"


def test_a_rejected_lesion_whose_line_is_lost_is_not_counted_again(root: Path) -> None:
    with open_store(root) as store:
        store.decisions.decide("P1", DAY1, 1, "reject", "demo", "vessel", lesion_id="L2")
    lose(root, "twin.duckdb", "audit.jsonl")
    end_of(root, P1, "cut")
    assert rebuild(root)["to_affirm"] == 1
    with open_store(root) as store:
        assert volume_points(store, "P1") == []


def test_the_torn_end_of_the_audit_file_counts_where_nothing_else_is_left(root: Path) -> None:
    with open_store(root) as store:
        store.decisions.decide("P1", DAY1, 1, "withdraw", "demo", "second-look")
    lose(root, "twin.duckdb", P1, ledgers.COMMON)
    shutil.rmtree(root / "processed/set/P1" / DAY1)
    end_of(root, "audit.jsonl", "torn")
    counts = rebuild(root)
    assert (counts["gaps"], counts["to_affirm"]) == (None, 1)


def test_a_patient_whose_ledger_is_gone_is_adopted_whoever_was_there_besides(root: Path) -> None:
    shutil.copytree(root, root.with_name("only"), symlinks=True)
    with open_store(root) as store:
        add_scan(store, "P2", seed=2)
        add_mask(store, 3, patient="P2")
    lose(root, "twin.duckdb", "audit.jsonl", P2)
    counts = rebuild(root)
    assert (counts["gaps"], counts["adopted"], counts["to_affirm"]) == (None, 2, 0)
    with open_store(root) as store:
        assert [row.patient_id for row in store.patients.all()] == ["P1", "P2"]
        assert volume_points(store, "P1")
        assert store.verify() == []
    only = root.with_name("only")
    lose(only, "twin.duckdb", "audit.jsonl", P1)
    counts = rebuild(only)
    assert (counts["gaps"], counts["adopted"], counts["to_affirm"]) == (None, 2, 1)
    assert len(waiting(only)) == 1


@pytest.mark.parametrize(("torn", "lost"), [(P1, ()), (P1, ("twin.duckdb",)), ("audit.jsonl", ())])
def test_a_half_line_of_an_entry_that_another_copy_has_is_no_loss(root: Path, lost: tuple[str, ...], torn: str) -> None:
    end_of(root, torn, "torn")
    lose(root, *lost)
    counts = rebuild(root)
    assert (counts["gaps"], counts["to_affirm"]) == (0, 0)
    with open_store(root) as store:
        assert volume_points(store, "P1")
        assert store.verify() == []


def test_sidecars_put_back_with_an_older_ledger_are_no_sign_that_the_audit_file_lacks_something(tmp_path: Path) -> None:
    root, old = tmp_path / "data", tmp_path / "old"
    with open_store(root) as store:
        add_scan(store)
        add_mask(store, 4)
    shutil.copytree(root / "processed", old, symlinks=True)
    with open_store(root) as store:
        store.decisions.decide("P1", DAY1, 1, "accept", "demo", "good")
    lose(root, "twin.duckdb")
    shutil.rmtree(root / "processed")
    shutil.copytree(old, root / "processed", symlinks=True)
    counts = rebuild(root)
    assert (counts["gaps"], counts["to_affirm"], counts["sidecars"]) == (0, 0, 1)
    with open_store(root) as store:
        assert volume_points(store, "P1")
        assert store.verify() == []


def facts(root: Path) -> dict[str, Any]:
    """What a store holds, without numbers of entries and what a rebuild says of itself."""
    with open_store(root) as store:
        assert store.verify() == []
        tables = {
            "masks": "mask_id, status, lesions",
            "decisions": "decision_id, verdict",
            "events": "event_id",
            "scans": "patient_id, timepoint, scan_id, sha256",
            "mask_anomalies": "anomaly_id",
            "mask_vectors": "mask_id, lesion_id",
            "lesion_looks": "mask_id, lesion_id, encoder, modality, vector",
            "evidence_marks": "mark_id, relevant, withdrawn_by",
            "people": "name, role",
            "growth_fits": "fit_id",
        }
        rows = {name: store.db.query(f"SELECT {what} FROM {name} ORDER BY {what}") for name, what in tables.items()}
        return {**rows, "affirm": store.decisions.to_affirm(), "points": volume_points(store, "P1")}


GAPS: dict[str, Callable[[Path], None]] = {
    "a lost ledger": lambda root: lose(root, "twin.duckdb", "audit.jsonl", P1),
    "a gap in the old database": lambda root: gap_in_database(root),
    "a torn end": lambda root: torn_end(root),
}


def torn_end(root: Path) -> None:
    lose(root, "twin.duckdb", "audit.jsonl")
    end_of(root, P1, "torn")


def gap_in_database(root: Path) -> None:
    with open_store(root) as store:
        store.db.execute("DELETE FROM audit WHERE seq BETWEEN 5 AND 25")
    lose(root, "audit.jsonl", P1, P2, ledgers.COMMON)


@pytest.mark.soak
@pytest.mark.parametrize(
    ("key", "gap", "stride"),
    [
        ("", "a lost ledger", 23),
        (KEY, "a gap in the old database", 23),
        *(pytest.param(key, gap, 1, marks=pytest.mark.soak) for key in ("", KEY) for gap in GAPS),
    ],
)
def test_a_rebuild_over_a_gap_that_is_killed_at_any_step_is_ended_by_the_next(
    tmp_path: Path, gap: str, key: str, stride: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, whole = tmp_path / "data", tmp_path / "whole"
    with open_store(root) as store:
        busy_history(store)
    if key:
        monkeypatch.setenv("TWIN_AUDIT_KEY", key)
        with open_store(root) as store:
            store.ledger.begin_signing("ann")
            store.events.add("P1", DAY2, "steroids", "4 mg", "ann")
            store.events.add("P2", DAY1, "steroids", "4 mg", "ann")
    GAPS[gap](root)
    shutil.copytree(root, whole, symlinks=True)
    rebuild(whole)
    monkeypatch.delenv("TWIN_AUDIT_KEY", raising=False)  # the new chain is unsigned, which `verify` would say
    expected = facts(whole)
    ended = 0
    for stop in range(1, 200, stride):
        copy = tmp_path / f"killed-{stop}"
        shutil.copytree(root, copy, symlinks=True)
        monkeypatch.setenv("TWIN_AUDIT_KEY", key)
        ended = 0 if kill_rebuild(copy, stop) else ended + 1
        rebuild(copy)
        monkeypatch.setenv("TWIN_AUDIT_KEY", "")
        assert facts(copy) == expected, stop
        shutil.rmtree(copy)
        if ended > 1:  # once alone it may be a file that is not there to be removed
            assert stop > 16
            return
    raise AssertionError("it never ended")


def test_an_older_ledger_put_back_after_a_rebuild_over_a_gap_is_no_dead_end(root: Path, tmp_path: Path) -> None:
    with open_store(root) as store:
        add_scan(store, "P2", seed=2)
        add_mask(store, 3, patient="P2")
        store.decisions.decide("P2", DAY1, 1, "accept", "demo", "good")
        for day in range(12):
            store.events.add("P2", DAY1, "steroids", f"{day} mg", "demo")
        store.events.add("P1", DAY1, "steroids", "4 mg", "demo")
    for name in (P1, P2):
        shutil.copy(root / name, tmp_path / name.replace("/", "-"))
    lose(root, "twin.duckdb", "audit.jsonl", P2)
    assert rebuild(root)["gaps"]
    with open_store(root) as store:
        store.decisions.decide("P2", DAY1, 1, "reject", "demo", "leak")
        before = store.db.query("SELECT * FROM masks ORDER BY mask_id")
    for name in (P1, P2):
        shutil.copy(tmp_path / name.replace("/", "-"), root / name)
        with pytest.raises(StoreDamaged, match="Run `rebuild`"):
            open_store(root)
        rebuild(root)
        with open_store(root) as store:
            assert store.verify() == []
            assert store.db.query("SELECT * FROM masks ORDER BY mask_id") == before
            assert volume_points(store, "P1")


def test_what_only_an_older_chain_accepts_waits_for_a_person(root: Path, tmp_path: Path) -> None:
    """P2's ledger comes back after P2 was adopted and P2's acceptance withdrawn; the old acceptance must not count."""
    with open_store(root) as store:
        for day in range(12):
            store.events.add("P1", DAY1, "steroids", f"{day} mg", "demo")
        add_scan(store, "P2", seed=2)
        add_mask(store, 3, patient="P2")
        store.decisions.decide("P2", DAY1, 1, "accept", "demo", "good")
    shutil.copy(root / P2, tmp_path / "P2")
    lose(root, "twin.duckdb", "audit.jsonl", P2)
    (root / P1).write_bytes(b"".join((root / P1).read_bytes().splitlines(True)[:4]))
    rebuild(root)
    shutil.copy(tmp_path / "P2", root / P2)
    rebuild(root)
    with open_store(root) as store:
        assert volume_points(store, "P2") == []
        assert store.verify() == []
