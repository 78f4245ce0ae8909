"""Rebuilds that die at any step: the next one ends them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from core.twin.curve_points import volume_points
from store import open_store, rebuild
from store.database.connection import StoreDamaged
from tests.store.reopening import ROOT, go_on, kill_rebuild, put_back


def check_kills(root: Path, tmp_path: Path, expected: list[dict[str, Any]] | None, stride: int) -> int:
    """Kill a rebuild at every `stride`th step, run it again, and compare; how many steps there were."""
    for stop in range(1, 200, stride):
        copy = tmp_path / f"killed-{stop}"
        shutil.copytree(root, copy, symlinks=True)
        if not kill_rebuild(copy, stop):
            return stop - 1
        rebuild(copy)
        with open_store(copy) as store:
            entries = store.audit.entries()
            if expected is None:
                assert volume_points(store, "P1") == []
                assert [e["action"] for e in entries[:3]] == ["person.added", "store.recovered", "scan.adopted"]
                assert [m.status for m in store.masks.of("P1")] == ["proposed"]
            else:
                assert entries == expected
            assert store.verify() == []
        shutil.rmtree(copy)
    raise AssertionError("it never ended")


REBUILD = """
import os, sys
from store import rebuild
from store.files import mask_files
replace = mask_files.replace_bytes
def dies(*arguments):
    replace(*arguments)
    os._exit(9)
mask_files.replace_bytes = dies
rebuild(sys.argv[1])
"""


def test_a_rebuild_whose_process_dies_is_ended_by_the_next(root: Path) -> None:
    entries = go_on(root)
    put_back(root, "twin.duckdb", "audit.jsonl")
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", REBUILD, str(root)], cwd=ROOT, env=env, check=False)
    assert done.returncode == 9
    with pytest.raises(StoreDamaged, match="Run `rebuild`"):
        open_store(root)
    rebuild(root)
    with open_store(root) as store:
        assert store.audit.entries() == entries
        assert store.verify() == []


@pytest.mark.parametrize("stride", [5, pytest.param(1, marks=pytest.mark.soak)])
def test_a_rebuild_that_is_killed_at_any_step_is_ended_by_the_next(root: Path, tmp_path: Path, stride: int) -> None:
    entries = go_on(root)
    put_back(root, "twin.duckdb", "audit.jsonl")
    assert check_kills(root, tmp_path, entries, stride) >= 8


@pytest.mark.parametrize("stride", [7, pytest.param(1, marks=pytest.mark.soak)])
def test_an_adopting_rebuild_that_is_killed_is_ended_by_the_next(root: Path, tmp_path: Path, stride: int) -> None:
    (root / "twin.duckdb").unlink()
    (root / "audit.jsonl").unlink()
    for path in root.glob("processed/**/ledger.jsonl"):
        path.unlink()
    assert check_kills(root, tmp_path, None, stride) >= 8
