"""Verbs that decide tell which calls they flipped, and record them, without asking: scripts go on as they are."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import cli
from core.remembered.flips import TOLD
from core.types import LesionMeasure
from store import open_store
from tests.store_phantom import DAY1, DAY2, DAY3, add_mask, add_scan, with_people

Run = Callable[..., Any]
LOST, BACK = ({"timepoint": DAY3, "before": x, "after": y} for x, y in (("PD", ""), ("", "PD")))


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """P1: one lesion 32, 32 and 48 mm long; all accepted: baseline, SD, PD."""
    with open_store(tmp_path) as store:
        with_people(store, "ann")
        for seed, (day, voxels) in enumerate(((DAY1, 4), (DAY2, 4), (DAY3, 6))):
            add_scan(store, day=day, seed=seed)
            lesion = LesionMeasure(1, "L1", voxels * 1280.0, voxels, voxels * 8.0, (0.0, 0.0, 0.0))
            add_mask(store, voxels, day=day, lesions=[lesion])
            store.decisions.decide("P1", day, 1, "accept", "ann", "agrees")

    def run(*words: str) -> Any:
        assert cli.main([*words, "--data", str(tmp_path), "--reviewer", "ann", "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return run


def test_withdrawing_accepting_and_linking_tell_their_flips_and_the_audit_has_them(run: Run, tmp_path: Path) -> None:
    assert run("withdraw", "P1", DAY3, "1", "--reason", "withdrawn-error")["flips"] == [LOST]
    told = run("accept", "P1", DAY3, "1", "--reason", "agrees")
    assert (told["verdict"], told["flips"]) == ("accept", [BACK])
    linked = run("link", "P1", DAY2, "1", "1", "L2", "--reason", "another place")
    assert linked["flips"][0]["timepoint"] == DAY2
    with open_store(tmp_path) as store:
        entries = [one["payload"] for one in store.audit_log(3)][::-1]
        assert [one["flips"] for one in entries] == [[LOST], [BACK], linked["flips"]]
        assert {one["flips_told"] for one in entries} == {TOLD}
        assert store.verify() == []
