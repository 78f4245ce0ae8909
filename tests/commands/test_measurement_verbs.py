"""The verbs of measurements drawn by hand: what was kept, and one that is taken back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import cli
from core.types import LesionMeasure
from store import open_store
from tests.store_phantom import DAY1, DAY2, add_length, add_mask, add_scan, with_people


def test_what_was_kept_is_listed_and_withdrawing_tells_what_flips(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with open_store(tmp_path) as store:
        with_people(store, "ann")
        for seed, (day, voxels) in enumerate(((DAY1, 4), (DAY2, 4))):
            add_scan(store, day=day, seed=seed)
            lesion = LesionMeasure(1, "L1", voxels * 1280.0, voxels, voxels * 8.0, (0.0, 0.0, 0.0))
            add_mask(store, voxels, day=day, lesions=[lesion])
            store.decisions.decide("P1", day, 1, "accept", "ann", "agrees")
        beside = add_length(store)
        kept = add_length(store, day=DAY2, mm=48.0, lesion_id="L1", sets="longest diameter")

    def run(*words: str, fails: bool = False) -> Any:
        told = ["--data", str(tmp_path), "--reviewer", "ann", "--json"]
        assert cli.main(["measurement", *words, *told]) == int(fails)
        return json.loads(capsys.readouterr().out)

    listed = run("list", "P1")
    assert [(one["measurement_id"], one["words"], one["sets"]) for one in listed] == [
        (beside.measurement_id, "16.0 mm", None),
        (kept.measurement_id, "48.0 mm", "longest diameter"),
    ]
    asked = ("withdraw", "P1", kept.measurement_id, "--reason", "on the wrong slice")
    assert f"That changes {DAY2} from PD to SD" in run(*asked, fails=True)["error"]
    done = run(*asked, "--confirm")
    assert (done["stands"], done["withdrawn_reason"]) == (False, "on the wrong slice")
    assert done["flips"] == [{"timepoint": DAY2, "before": "PD", "after": "SD"}]
    assert len(run("list", "P1")) == 1
    assert len(run("list", "P1", "--withdrawn")) == 2
