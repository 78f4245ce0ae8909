"""A timeline as JSON: the keys that scripts rely on, and the demo's contradictions told rightly in it."""

from __future__ import annotations

import json

import pytest

import cli
from core.twin.patient_responses import patient_responses
from core.twin.timeline_json import timeline_json, timeline_report
from core.twin.trajectory import growth_report
from store import Store, open_store
from tests import clinic
from tests.core.twin.test_trajectory import DAYS as VISITS
from tests.core.twin.test_trajectory import _cubes, _scan
from tests.core.twin.timeline_phantom import DAYS, lesion, link, mask, timeline

CELL = {
    "lesion_id", "timepoint", "state", "into", "volume_mm3", "longest_diameter_mm", "short_axis_mm", "modality",
    "slice_thickness_mm", "mask_id", "version", "method", "checkpoint_sha256", "made_by", "accepted_by", "doubts",
    "link",
}  # fmt: skip
CHANGE = {
    "lesion_id", "from", "to", "percent", "verdict", "rule", "log_sd", "widened_by", "growth_percent_per_day",
    "doubling_days", "mask_ids",
}  # fmt: skip
RESPONSE = {"timepoint", "criterion", "call", "sentence", "flips_within_noise"}


def test_every_key_of_the_contract_is_there_and_unknown_is_null() -> None:
    said = [link(DAYS[1], None, "L2", "merged into", into=("L1",), confidence=0.6)]
    made = timeline(mask(DAYS[0], lesion("L1", 30), lesion("L2", 25)), mask(DAYS[1], lesion("L1", 60)), links=said)
    found = timeline_json(made, patient_responses(made))
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert (found["patient_id"], found["protocol"], found["baseline"]) == ("P1", "recist-1.1", DAYS[0])
    assert all(cell.keys() >= CELL for cell in found["cells"])
    assert all(change.keys() >= CHANGE for change in found["changes"])
    assert all(answer.keys() >= RESPONSE for answer in found["responses"])
    by_place = {(cell["lesion_id"], cell["timepoint"]): cell for cell in found["cells"]}
    merged = by_place["L2", DAYS[1]]
    assert (merged["state"], merged["into"], merged["volume_mm3"]) == ("merged into", ["L1"], None)
    assert merged["link"] == {"confidence": 0.6, "confirmed_by": None, "doubts": []}
    waiting = by_place["L1", DAYS[2]]
    assert (waiting["state"], waiting["mask_id"], waiting["why"]) == ("not assessed", None, "No mask yet.")
    assert by_place["L1", DAYS[0]]["link"] is None


def test_the_steps_of_growth_are_the_timelines_changes(store: Store) -> None:
    for day, sides in zip(VISITS[:3], ((20, 12), (24, 0), (26, 14)), strict=True):
        _scan(store, day)
        _cubes(store, day, *sides)
    lesions = growth_report(store, "P1")["lesions"]
    steps = [step for name in lesions for step in lesions[name]["steps"]]
    assert timeline_report(store, "P1")["changes"] == steps
    assert {(step["lesion_id"], step["verdict"]) for step in steps if step["from"] == VISITS[1]} == {
        ("L1", "within noise"),
        ("L2", "unknown"),
        ("total", "unknown"),
    }


@pytest.mark.parametrize("words", [["timeline"], ["patient", "timeline"]])
def test_the_verb_prints_it_and_refuses_a_patient_who_is_not_there(tmp_path, capsys, words: list[str]) -> None:
    with open_store(tmp_path) as store:
        clinic.add_scan(store, "KIM", clinic.DAYS[0], clinic.noise(1))
        clinic.accept(store, clinic.add_mask(store, "KIM", clinic.DAYS[0], 800))
    assert cli.main([*words, "KIM", "--data", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(cell["lesion_id"], cell["state"]) for cell in found["cells"]] == [("L1", "measured")]
    assert found["cells"][0]["volume_mm3"] == pytest.approx(800 * 1000 * clinic.VOXEL_ML)
    assert cli.main([*words, "NOBODY", "--data", str(tmp_path), "--json"]) == 1
    assert "no patient 'NOBODY'" in json.loads(capsys.readouterr().out)["error"]
