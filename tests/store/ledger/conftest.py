"""Stores that are opened again."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from store import open_store
from tests.store_phantom import ANSWER, DAY1, add_mask, add_scan


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A store with one accepted mask; `old/` beside it is its database and audit of before the acceptance's end."""
    folder = tmp_path / "data"
    with open_store(folder) as store:
        add_scan(store)
        add_mask(store, 4, scans_pass=False)
        store.decisions.decide("P1", DAY1, 1, "accept", "demo", *ANSWER)
    (tmp_path / "old").mkdir()
    for name in ("twin.duckdb", "audit.jsonl"):
        shutil.copy(folder / name, tmp_path / "old" / name)
    return folder


ROOT = Path(__file__).resolve().parents[3]

HOLDER = """
import sys
from store import open_store
from store.database.migrations import MIGRATIONS, migrate
from tests.store_phantom import DAY1, add_mask
store = open_store(sys.argv[1])
store.events.add("P1", DAY1, "steroids", "2 mg", "demo")
print("ready", flush=True)
for line in sys.stdin:
    if line.strip() == "event":
        store.events.add("P1", DAY1, "steroids", "8 mg", "demo")
        print("done", flush=True)
store.close()
"""


@pytest.fixture
def held(root: Path) -> Iterator[tuple[Path, Callable[[], None]]]:
    """The store, held by another process that has written and rests; and a call that lets it write once more."""
    other = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(root)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert other.stdin is not None
    assert other.stdout is not None
    assert other.stdout.readline() == "ready\n"

    def write() -> None:
        assert other.stdin is not None
        assert other.stdout is not None
        other.stdin.write("event\n")
        other.stdin.flush()
        assert other.stdout.readline() == "done\n"

    yield root, write
    other.stdin.close()
    other.wait(30)
