"""Stores that rebuilds are tried on."""

from __future__ import annotations

from pathlib import Path

import pytest

from store import open_store
from tests.store_phantom import ANSWER, DAY1, add_mask, add_scan


@pytest.fixture
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TWIN_AUDIT_KEY", raising=False)
    monkeypatch.delenv("TWIN_AUDIT_ANCHOR", raising=False)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """One patient whose mask was accepted."""
    with open_store(tmp_path / "data") as store:
        add_scan(store)
        add_mask(store, 4, 2, scans_pass=False)
        store.decisions.decide("P1", DAY1, 1, "accept", "demo", *ANSWER)
    return tmp_path / "data"
