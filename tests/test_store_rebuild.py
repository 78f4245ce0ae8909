"""The database made again from the files is the database that was."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from core.errors import StoreError
from store import Store, open_store, rebuild
from store.replay import TABLES
from tests.store_phantom import DAY1, add_mask, busy_history


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
    assert (root / "twin.duckdb.bak").exists()
    assert len(old) > 0


@pytest.mark.parametrize("damage", [b"", b"not a database" * 500])
def test_a_damaged_database_is_replaced_and_says_how(busy_root: tuple[Path, dict[str, Any]], damage: bytes) -> None:
    root, before = busy_root
    (root / "twin.duckdb").write_bytes(damage)
    with pytest.raises(StoreError, match="rebuild"):
        open_store(root)
    rebuild(root)
    assert (root / "twin.duckdb.bak").exists()
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


def test_an_altered_audit_is_refused_unless_the_database_has_it_whole(busy_root: tuple[Path, dict[str, Any]]) -> None:
    root, before = busy_root
    audit = root / "audit.jsonl"
    whole = audit.read_text()
    audit.write_text(whole.replace('"leak"', '"fine"'))
    rebuild(root)  # the old database still has the true one
    assert audit.read_text() == whole
    audit.write_text(whole.replace('"leak"', '"fine"'))
    (root / "twin.duckdb").unlink()
    with pytest.raises(StoreError, match="altered after it was written"):
        rebuild(root)
    assert not (root / "twin.duckdb").exists()
    audit.write_text(whole)
    rebuild(root)
    with open_store(root) as store:
        assert contents(store) == before


def _without_seq(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows without the numbers of audit entries that were lost."""
    return [{key: value for key, value in row.items() if key != "seq"} for row in rows]


def test_sidecars_alone_give_scans_masks_and_measurements(busy_root: tuple[Path, dict[str, Any]]) -> None:
    root, before = busy_root
    (root / "twin.duckdb").unlink()
    (root / "audit.jsonl").unlink()
    (root / "processed/set/P1" / DAY1 / "mask_final.nii.gz").unlink()
    counts = rebuild(root)
    assert counts["adopted"] == 1 + len(before["scans"]) + len(before["masks"])
    with open_store(root) as store:
        after = contents(store)
        assert after["decisions"] == []
        for table in ("scans", "masks", "measurements"):
            assert _without_seq(after[table]) == _without_seq(before[table])
        assert store.verify() == []
        final = store.final_mask("P1", DAY1)
        assert final is not None
        assert final.version == 2


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
        assert store.volume_points("P2") == []
        assert len([p for p in store.verify() if "belongs to no record" in p]) == 2


def test_an_open_store_and_a_missing_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no data folder"):
        rebuild(tmp_path / "nothing")
    with open_store(tmp_path / "data"), pytest.raises(StoreError, match="open in this process"):
        rebuild(tmp_path / "data")
