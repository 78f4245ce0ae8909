"""The database made again from the files is the database that was."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from core.errors import StoreError
from core.review.worklist import work_items
from core.twin.curve_points import volume_points
from store import Store, open_store, rebuild
from store.ledger.batch import TABLES
from tests.store_phantom import ANSWER, DAY1, JUDGED, add_mask, busy_history


def contents(store: Store) -> dict[str, Any]:
    tables = {t: store.db.query(f"SELECT * FROM {t} ORDER BY {order}") for t, order in TABLES.items()}
    tables["audit"] = store.db.query("SELECT * FROM audit ORDER BY seq")
    tables["jobs"] = store.db.query("SELECT job_id, kind, params, person, status, result FROM jobs ORDER BY job_id")
    return tables


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    root = tmp_path_factory.mktemp("busy") / "data"
    with open_store(root) as store:
        busy_history(store)
        return root, contents(store)


@pytest.fixture
def busy_root(made_once: tuple[Path, dict[str, Any]], tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    root = tmp_path / "data"
    shutil.copytree(made_once[0], root, symlinks=True)
    return root, made_once[1]


def test_every_table_comes_back_row_by_row(busy_root: tuple[Path, dict[str, Any]]) -> None:
    root, before = busy_root
    assert all(before.values()), "the history must reach every table"
    (root / "twin.duckdb").unlink()
    counts = rebuild(root)
    assert counts["masks"] == len(before["masks"])
    assert counts["adopted"] == 0
    with open_store(root) as store:
        assert contents(store) == before
        assert store.verify() == []
        assert add_mask(store, 2).version == 4  # life goes on, and numbers too
        assert store.verify() == []


def test_the_old_database_is_kept_and_rebuilding_twice_changes_nothing(busy_root: tuple[Path, dict[str, Any]]) -> None:
    root, before = busy_root
    old = (root / "twin.duckdb").read_bytes()
    assert rebuild(root) == rebuild(root)
    with open_store(root) as store:
        assert contents(store) == before
    kept = sorted((root / "before-rebuild").glob("*/twin.duckdb"))
    assert len(kept) == 2
    assert kept[0].read_bytes() == old


@pytest.mark.parametrize("damage", [b"", b"not a database" * 500])
def test_a_damaged_database_is_replaced_and_says_how(busy_root: tuple[Path, dict[str, Any]], damage: bytes) -> None:
    root, before = busy_root
    (root / "twin.duckdb").write_bytes(damage)
    with pytest.raises(StoreError, match="rebuild"):
        open_store(root)
    rebuild(root)
    assert [path.read_bytes() for path in (root / "before-rebuild").glob("*/twin.duckdb")] == [damage]
    with open_store(root) as store:
        assert contents(store) == before


def test_a_missing_database_is_not_taken_for_a_new_folder(busy_root: tuple[Path, dict[str, Any]]) -> None:
    root, _ = busy_root
    (root / "twin.duckdb").unlink()
    with pytest.raises(StoreError, match="Run `rebuild`"):
        open_store(root)
    assert not (root / "twin.duckdb").exists()


def test_a_row_that_was_tampered_with_does_not_survive(busy_root: tuple[Path, dict[str, Any]]) -> None:
    root, before = busy_root
    with open_store(root) as store:
        store.db.execute("UPDATE masks SET status = 'accepted'")
    rebuild(root)
    with open_store(root) as store:
        assert contents(store) == before


def without_ledgers(root: Path) -> None:
    for path in root.glob("processed/**/ledger.jsonl"):
        path.unlink()


def test_an_altered_audit_is_made_again_from_the_database_or_the_ledgers(
    busy_root: tuple[Path, dict[str, Any]],
) -> None:
    root, before = busy_root
    audit = root / "audit.jsonl"
    whole = audit.read_text()
    audit.write_text(whole.replace('"leak"', '"fine"'))
    rebuild(root)  # the old database still has the true one
    assert audit.read_text() == whole
    audit.write_text(whole.replace('"leak"', '"fine"'))
    (root / "twin.duckdb").unlink()
    rebuild(root)  # the ledgers have it
    assert audit.read_text() == whole
    with open_store(root) as store:
        assert contents(store) == before
        assert store.verify() == []


def test_where_an_entry_is_lost_everywhere_accepted_masks_wait_to_be_affirmed(
    busy_root: tuple[Path, dict[str, Any]],
) -> None:
    """The altered entry counts for nothing, and what is lost may have withdrawn what the rest calls accepted."""
    root, before = busy_root
    audit = root / "audit.jsonl"
    audit.write_text(audit.read_text().replace('"leak"', '"fine"'))
    (root / "twin.duckdb").unlink()
    without_ledgers(root)
    counts = rebuild(root)
    assert (counts["gaps"], counts["to_affirm"], counts["adopted"]) == (1, 1, 0)
    assert counts["decisions"] == len(before["decisions"]) - 1
    with open_store(root) as store:
        assert store.verify() == []
        assert volume_points(store, "P1") == []
        assert [m.status for m in store.masks.of("P1", DAY1)].count("accepted") == 0
        assert store.events.of("P1")
        assert any("are lost" in str(e["payload"]) for e in store.audit_log(50) if e["action"] == "store.recovered")
        store.decisions.decide("P1", DAY1, 2, "accept", "demo", *ANSWER)
        assert volume_points(store, "P1")
        assert store.verify() == []


def without_history(root: Path) -> None:
    (root / "twin.duckdb").unlink()
    (root / "audit.jsonl").unlink()
    without_ledgers(root)


def test_the_ledgers_alone_bring_everything_back(busy_root: tuple[Path, dict[str, Any]]) -> None:
    root, before = busy_root
    (root / "twin.duckdb").unlink()
    (root / "audit.jsonl").unlink()
    with pytest.raises(StoreError, match="Run `rebuild`"):
        open_store(root)
    assert not (root / "twin.duckdb").exists()
    counts = rebuild(root)
    assert (counts["gaps"], counts["adopted"], counts["to_affirm"]) == (0, 0, 0)
    with open_store(root) as store:
        assert contents(store) == before
        assert store.verify() == []


def unnumbered(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows without the numbers of their entries, which are others in a new chain."""
    return [{key: value for key, value in row.items() if key != "seq"} for row in rows]


def test_one_lost_ledger_costs_its_patient_alone(busy_root: tuple[Path, dict[str, Any]]) -> None:
    """P2's ledger is gone, and with it all that was told of P2: sidecars are adopted, P1 is as it was."""
    root, before = busy_root
    (root / "twin.duckdb").unlink()
    (root / "audit.jsonl").unlink()
    (root / "processed/set/P2/ledger.jsonl").unlink()
    counts = rebuild(root)
    assert counts["gaps"]
    assert (counts["adopted"], counts["to_affirm"]) == (3, 0)
    with open_store(root) as store:
        assert store.verify() == []
        after = contents(store)
        lost = {row["mask_id"] for row in before["masks"] if row["patient_id"] == "P2"}
        kept = ("masks", "decisions", "mask_anomalies", "events", "growth_fits", "mask_vectors", "lesion_looks")
        for table in (*kept, "evidence_marks"):
            others = [row for row in before[table] if row.get("mask_id") not in lost or table == "masks"]
            assert unnumbered(after[table]) == unnumbered(others), table
        assert volume_points(store, "P1")
        assert [r.status for r in store.masks.of("P2")] == ["proposed"]


def test_a_lost_common_ledger_costs_people_and_jobs_but_no_acceptance(
    busy_root: tuple[Path, dict[str, Any]],
) -> None:
    root, before = busy_root
    (root / "twin.duckdb").unlink()
    (root / "audit.jsonl").unlink()
    (root / "processed/ledger.jsonl").unlink()
    counts = rebuild(root)
    assert (counts["adopted"], counts["to_affirm"], counts["jobs"]) == (0, 0, 0)
    with open_store(root) as store:
        assert contents(store)["masks"] == before["masks"]
        assert [person.name for person in store.people.all()] == ["demo"]
        (problem,) = store.verify()
        assert "decisions were made by 'ann', whom nobody added" in problem


def test_an_adopted_mask_waits_though_its_acceptance_is_proven(busy_root: tuple[Path, dict[str, Any]]) -> None:
    """The entry that tells of the mask is cut out, and the loss looks explained by another patient's lost ledger."""
    root, _ = busy_root
    (root / "twin.duckdb").unlink()
    (root / "audit.jsonl").unlink()
    (root / "processed/set/P2/ledger.jsonl").unlink()
    ledger = root / "processed/set/P1/ledger.jsonl"
    lines = ledger.read_text().splitlines(keepends=True)
    entries = [json.loads(line) for line in lines]
    gone = [n for n, e in enumerate(entries) if e["action"] == "mask.added" and e["payload"]["version"] == 2]
    del lines[gone[0]]
    ledger.write_text("".join(lines))
    assert rebuild(root)["to_affirm"] == 1
    with open_store(root) as store:
        assert store.masks.version("P1", DAY1, 2).status == "proposed"
        assert volume_points(store, "P1") == []
        assert store.verify() == []


def test_a_ledger_with_a_line_cut_out_makes_nobody_s_acceptance_certain(
    busy_root: tuple[Path, dict[str, Any]],
) -> None:
    root, _ = busy_root
    (root / "twin.duckdb").unlink()
    (root / "audit.jsonl").unlink()
    ledger = root / "processed/set/P1/ledger.jsonl"
    kept = [line for line in ledger.read_text().splitlines(keepends=True) if '"growth.fitted"' not in line]
    ledger.write_text("".join(kept))
    counts = rebuild(root)
    assert (counts["gaps"], counts["to_affirm"]) == (1, 1)
    with open_store(root) as store:
        assert volume_points(store, "P1") == []
        assert store.verify() == []


def test_a_sidecar_edited_to_accepted_is_adopted_as_proposed_and_says_what_it_claimed(
    busy_root: tuple[Path, dict[str, Any]],
) -> None:
    root, _ = busy_root
    without_history(root)
    sidecar = root / "processed/set/P2" / DAY1 / "mask_v001.json"
    values = json.loads(sidecar.read_text())
    values["status"] = "accepted"
    sidecar.write_text(json.dumps(values))
    counts = rebuild(root)
    assert (counts["to_affirm"], counts["gaps"]) == (2, None), "nobody knows how much is lost"
    with open_store(root) as store:
        assert volume_points(store, "P2") == []
        assert store.masks.version("P2", DAY1, 1).status == "proposed"
        assert "claims that it was accepted" in store.decisions.to_affirm()[values["mask_id"]]
        reasons = {item.timepoint: item.reason for item in work_items(store) if item.patient_id == "P2"}
        assert "waits to be affirmed" in reasons[DAY1]
        assert json.loads(sidecar.read_text())["status"] == "proposed"
        assert store.verify() == []
        store.verdicts.add_mask_verdict(values["mask_id"], JUDGED, "demo")
        store.decisions.decide("P2", DAY1, 1, "accept", "demo", *ANSWER)
        assert values["mask_id"] not in store.decisions.to_affirm()
        assert len(volume_points(store, "P2")) == 2
        assert store.verify() == []


def test_a_broken_sidecar_is_left_out_and_named_and_stops_nothing(busy_root: tuple[Path, dict[str, Any]]) -> None:
    root, before = busy_root
    without_history(root)
    folder = root / "processed/set/P1" / DAY1
    (folder / "mask_v003.json").write_text("{")
    stray = json.loads((folder / "mask_v001.json").read_text())
    stray["patient_id"] = "../../etc"
    (folder / "mask_v001.json").write_text(json.dumps(stray))
    counts = rebuild(root)
    assert (counts["masks"], counts["left_out"]) == (len(before["masks"]) - 2, 2)
    with open_store(root) as store:
        problems = store.verify()
        assert len([p for p in problems if "belongs to no record" in p]) == 4
        assert len(problems) == 4


def _without_seq(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows without the numbers of audit entries that were lost."""
    return [{key: value for key, value in row.items() if key != "seq"} for row in rows]


def test_sidecars_alone_give_scans_masks_and_measurements(busy_root: tuple[Path, dict[str, Any]]) -> None:
    root, before = busy_root
    without_history(root)
    counts = rebuild(root)
    assert counts["adopted"] == len(before["scans"]) + len(before["masks"])
    assert counts["to_affirm"] == 1
    with open_store(root) as store:
        after = contents(store)
        assert after["decisions"] == []
        for table in ("scans", "measurements"):
            assert _without_seq(after[table]) == _without_seq(before[table])
        waiting = [{**row, "status": row["status"].replace("accepted", "proposed")} for row in before["masks"]]
        assert _without_seq(after["masks"]) == _without_seq(waiting)
        assert store.verify() == []
        assert store.masks.accepted("P1", DAY1) is None
        assert not (root / "processed/set/P1" / DAY1 / "mask_final.nii.gz").is_symlink()


def test_a_mask_that_nobody_recorded_does_not_become_accepted_by_a_rebuild(
    busy_root: tuple[Path, dict[str, Any]],
) -> None:
    root, before = busy_root
    folder = root / "processed/set/P2" / DAY1
    shutil.copy(folder / "mask_v001.nii.gz", folder / "mask_v002.nii.gz")
    sidecar = json.loads((folder / "mask_v001.json").read_text())
    sidecar.update(mask_id="00000000-0000-4000-8000-000000000000", version=2, status="accepted")
    (folder / "mask_v002.json").write_text(json.dumps(sidecar))
    rebuild(root)
    with open_store(root) as store:
        assert contents(store) == before
        assert volume_points(store, "P2") == []
        assert len([p for p in store.verify() if "belongs to no record" in p]) == 2


def test_an_open_store_and_a_missing_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no data folder"):
        rebuild(tmp_path / "nothing")
    with open_store(tmp_path / "data"), pytest.raises(StoreError, match="open in this process"):
        rebuild(tmp_path / "data")
