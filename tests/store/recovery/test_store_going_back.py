"""What docs/operation.md says of going back to an older TwinReview, done with the older one as it was released."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from core.twin.timeline import patient_timeline
from store import open_store, rebuild
from tests.store_phantom import ANSWER, DAY1, add_mask

ROOT = Path(__file__).resolve().parents[3]
#: The last one of schema 2, before there were ledgers.
OLDER = "d0cd739"

#: Run by the older code, from its own folder; answers on the last line, as JSON.
STEPS = """
import json, sys
import numpy as np
from core.types import Grid, Volume
from store import open_store, rebuild
root, step = sys.argv[1:]
answer = None
if step == "rebuild":
    try:
        answer = rebuild(root)
    except Exception as error:
        answer = str(error)
else:
    with open_store(root) as store:
        if step == "make":
            voxels = np.random.default_rng(1).normal(size=(12, 10, 8)).astype(np.float32)
            volume = Volume(voxels, Grid((12, 10, 8), np.diag([1, 1, 2, 1.0])), "CT", "")
            store.add_scan(volume, dataset="set", patient_id="P1", timepoint="2020-01-01", person="demo")
        store.add_event("P1", "2020-01-01", "steroids", step, "demo")
        answer = [store.verify(), [m.status for m in store.masks("P1")], len(store.events("P1"))]
print(json.dumps(answer))
"""


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The older code, out of the repository's own history."""
    where = tmp_path_factory.mktemp("older")
    try:
        packed = subprocess.run(
            ["git", "archive", OLDER, "core", "store", "weights/__init__.py"], cwd=ROOT, capture_output=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip(f"needs git, and a history that goes back to {OLDER}")
    subprocess.run(["tar", "-x", "-C", str(where)], input=packed.stdout, check=True)
    return where


def by_the_older(older: Path, root: Path, step: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-B", "-c", STEPS, str(root), step],
        cwd=older,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(older)},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def unknown_to_the_older(problems: list[str]) -> bool:
    """True if the older one's verify names nothing but ledgers and fields of sidecars that came after it."""
    return all("ledger.jsonl belongs to no record" in text or "which the database has not" in text for text in problems)


def test_the_older_rebuild_brings_back_what_was_recorded_since_and_the_newer_one_goes_on(
    older: Path, tmp_path: Path
) -> None:
    root = tmp_path / "data"
    by_the_older(older, root, "make")
    with open_store(root) as store:
        assert len(list(root.glob("twin.duckdb.v2-before-migration-*"))) == 1
        add_mask(store, 3, scans_pass=False)
        store.decisions.decide("P1", DAY1, 1, "accept", "demo", *ANSWER)
    (root / "twin.duckdb").rename(tmp_path / "away")
    assert by_the_older(older, root, "rebuild")["decisions"] == 1
    problems, statuses, events = by_the_older(older, root, "event")
    assert unknown_to_the_older(problems), problems
    assert (statuses, events) == (["accepted"], 2)
    with open_store(root) as store:  # updated once more
        assert len(store.events.of("P1")) == 2
    rebuild(root)
    with open_store(root) as store:
        assert store.verify() == []
        assert [m.status for m in store.masks.of("P1")] == ["accepted"]
        assert [cell.state for cell in patient_timeline(store, "P1").cells] == ["too small to measure"]


def test_the_copy_alone_is_no_way_back_and_an_entry_that_the_older_does_not_know_is_refused_in_words(
    older: Path, tmp_path: Path
) -> None:
    """Why the document does not say to rename the copy, and to keep a backup."""
    root = tmp_path / "data"
    by_the_older(older, root, "make")
    with open_store(root) as store:
        record = add_mask(store, 3, scans_pass=False)
    (kept,) = root.glob("twin.duckdb.v2-before-migration-*")
    (root / "twin.duckdb").rename(tmp_path / "away")
    kept.rename(root / "twin.duckdb")
    problems, _, _ = by_the_older(older, root, "event")
    assert any("audit.jsonl is broken" in text for text in problems)
    rebuild(root)
    with open_store(root) as store:
        image = store.masks.path(record)
        image.rename(tmp_path / "lost")
        store.files.check()
    (root / "twin.duckdb").unlink()
    assert "'file.doubted' of a newer TwinReview" in by_the_older(older, root, "rebuild")
