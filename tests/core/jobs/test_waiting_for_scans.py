"""A CT without its PET, with the wrong one or a part of it: what the stages say, and what is kept."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace

import pytest

from core.engines.auto.channels import WaitsForScan
from core.errors import GeometryError, InputError
from core.jobs.jobs import run_inline
from core.jobs.pipeline import KINDS
from core.review.worklist import work_items
from core.simulation.demo_stories import DEMO
from core.simulation.demo_timepoints import demo_timepoint
from core.types import Grid, Volume
from store import Store

DAY = "2025-01-20"
REQUEST = {"patient_id": "P1", "timepoint": DAY}
#: What the demo stores with a phantom's scans: the scan gate compares them with phantoms.
PHANTOM = {"simulated": True, "method": "phantom"}


@pytest.fixture(scope="module")
def visit():
    return demo_timepoint(next(story for story in DEMO if story.patient_id == "DEMO-02"), 0).scan


def add(store: Store, *volumes: Volume) -> None:
    for volume in volumes:
        store.scans.add(volume, dataset="d", patient_id="P1", timepoint=DAY, person="demo", metadata=PHANTOM)


def part(pet: Volume, slices: int) -> Volume:
    return replace(pet, array=pet.array[:, :, :slices], grid=Grid((*pet.grid.shape[:2], slices), pet.grid.affine))


def moved(pet: Volume, *by_mm: float) -> Volume:
    affine = pet.grid.affine.copy()
    affine[:3, 3] += by_mm
    return replace(pet, grid=Grid(pet.grid.shape, affine))


def test_a_ct_alone_is_judged_alone_and_again_once_the_pet_is_there(store: Store, visit):
    add(store, visit.ct)
    said = run_inline(store, KINDS["score_ood"], REQUEST, "demo")
    assert (said["state"], said["judgement"]["verdict"]) == ("in distribution", "passes")
    assert "with CT." in said["note"]
    add(store, visit.pet)
    said = run_inline(store, KINDS["score_ood"], REQUEST, "demo")
    assert (said["state"], said["doubts"]) == ("in distribution", [])
    assert "with CT and PET." in said["note"]
    assert said["coverage"][0]["field"] == 1.0
    assert said["one_body"]["outline"] > 0.9
    assert set(said["judgement"]["seen"]) == {scan.sha256 for scan in store.scans.of("P1", DAY)}
    assert store.verdicts.of_scans("P1", DAY)[-1].state == "in distribution"
    assert "scan gate" not in work_items(store)[0].reason


def test_the_network_waits_in_the_same_words(store: Store, visit):
    add(store, visit.ct)
    with pytest.raises(WaitsForScan, match=r"^Waits for PET: import it for this date\."):
        run_inline(store, KINDS["segment"], REQUEST, "demo")
    assert store.masks.of("P1") == []


def test_a_pet_alone_is_judged_alone(store: Store, visit):
    add(store, visit.pet)
    said = run_inline(store, KINDS["score_ood"], REQUEST, "demo")
    assert (said["state"], set(said["parts"])) == ("in distribution", {"PET values", "PET steps", "PET sizes"})


@pytest.mark.parametrize("bad", ["none", "a third"])
def test_too_little_of_a_pet_is_refused_by_the_network_and_not_judged_by_the_gate(store: Store, visit, bad):
    add(store, visit.ct, moved(visit.pet, 0, 0, 600) if bad == "none" else part(visit.pet, 20))
    share = "The PET covers none of the CT" if bad == "none" else "The PET covers 36 % of the CT"
    with pytest.raises(GeometryError, match=share):
        run_inline(store, KINDS["segment"], REQUEST, "demo")
    assert store.masks.of("P1") == []
    said = run_inline(store, KINDS["score_ood"], REQUEST, "demo")
    assert (said["state"], said["score"]) == ("cannot be judged", None)
    assert said["note"].startswith(share)


def test_a_part_of_a_pet_is_told_and_kept_with_the_version_and_doubted_by_the_gate(store: Store, visit):
    add(store, visit.ct, part(visit.pet, 42))
    told = run_inline(store, KINDS["segment"], REQUEST, "demo")
    (note,) = told["notes"]
    assert note.startswith("The PET covers 75 % of the CT")
    record = store.masks.version("P1", DAY, 1)
    assert all(0.5 < lesion["mean_probability"] <= 1 for lesion in record.lesions)
    (kept,) = record.prompts
    assert (kept["type"], kept["other"], kept["field"], kept["words"]) == ("coverage", "PET", 0.75, note)
    said = run_inline(store, KINDS["score_ood"], REQUEST, "demo")
    assert said["state"] in ("doubtful", "out of distribution")
    assert said["doubts"][0] == note
    assert said["note"].startswith(note)
    assert any("The PET covers 75 % of the CT" in item.reason for item in work_items(store))


def test_a_pet_of_another_place_of_the_body_is_doubted(store: Store, visit):
    add(store, visit.ct, moved(visit.pet, 50, 0, 0))
    said = run_inline(store, KINDS["score_ood"], REQUEST, "demo")
    assert said["state"] in ("doubtful", "out of distribution")
    assert any(doubt.startswith("CT and PET may show two bodies") for doubt in said["doubts"])
    json.dumps(said)


def test_what_is_waited_for_survives_a_worker():
    raised = WaitsForScan(["CT", "PET"], ["MR T1"])
    same = pickle.loads(pickle.dumps(raised))
    assert (str(same), same.missing, same.brief) == (str(raised), ("CT", "PET"), raised.brief)
    assert raised.brief == "Waits for CT and PET: import them for this date."
    assert isinstance(raised, InputError)
