"""Sidecars and entries that are odd: one alone is left out or named, and everything else comes back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.errors import StoreError
from store import open_store, rebuild
from store.ledger import ledgers
from tests.store.recovery.damage import P1, acceptance, append, lose
from tests.store_phantom import DAY1, add_mask, add_scan

pytestmark = pytest.mark.usefixtures("no_key")

ODD: dict[str, Callable[[dict[str, Any]], Any]] = {
    "text for a number": lambda v: v.update(voxels_added="many"),
    "a number as text": lambda v: v.update(voxels_added=str(v["voxels_added"])),
    "a number without end": lambda v: v.update(voxels_added=10**30),
    "no number": lambda v: v.update(volume_mm3=float("nan")),
    "a lesion twice": lambda v: v.update(lesions=v["lesions"] * 2),
    "a label of text": lambda v: v["lesions"][0].update(label="x"),
    "a lesion without volume": lambda v: v["lesions"][0].update(volume_mm3=None),
    "lesions of text": lambda v: v.update(lesions="L1"),
    "nobody": lambda v: v.update(reviewer=None),
    "half a character": lambda v: v.update(reviewer="\ud800"),
    "half a character within": lambda v: v["lesions"][0].update(lesion_id="\ud800"),
    "an id of lists": lambda v: v.update(mask_id=["a"]),
    "an id of keys": lambda v: v.update(mask_id={}),
    "no id": lambda v: v.update(mask_id=None),
    "a patient of lists": lambda v: v.update(patient_id=["P1"]),
    "a version of lists": lambda v: v.update(version=[2]),
}


def adopting(root: Path, place: str, change: Callable[[dict[str, Any]], Any]) -> dict[str, int | None]:
    """Lose all history, change one sidecar, and rebuild."""
    lose(root, "twin.duckdb", "audit.jsonl", P1, ledgers.COMMON)
    values = json.loads((root / place).read_text())
    change(values)
    (root / place).write_text(json.dumps(values))
    return rebuild(root)


@pytest.mark.parametrize("odd", ODD)
def test_one_odd_sidecar_of_a_mask_is_left_out_and_all_others_are_adopted(root: Path, odd: str) -> None:
    with open_store(root) as store:
        add_mask(store, 5, scans_pass=False)
    counts = adopting(root, f"processed/set/P1/{DAY1}/mask_v002.json", ODD[odd])
    assert (counts["adopted"], counts["left_out"]) == (2, 1)
    with open_store(root) as store:
        assert [p.endswith("belongs to no record.") for p in store.verify()] == [True, True]
        assert [record.version for record in store.masks.of("P1")] == [1]


ODD_SCANS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a hash of lists": lambda v: v.update(content_sha256=["a"]),
    "a kind that there is not": lambda v: v.update(modality="XX"),
    "a shape of text": lambda v: v.update(shape="abc"),
    "nobody": lambda v: v.update(imported_by=None),
    "half a character": lambda v: v.update(metadata={"scanner": "\ud800"}),
    "an id of lists": lambda v: v.update(scan_id=["a"]),
    "a dataset of lists": lambda v: v.update(dataset=["set"]),
}


@pytest.mark.parametrize("odd", ODD_SCANS)
def test_one_odd_sidecar_of_a_scan_is_left_out_and_all_others_are_adopted(root: Path, odd: str) -> None:
    with open_store(root) as store:
        pet = add_scan(store, seed=7, modality="PET")
    counts = adopting(root, pet.path.replace(".nii.gz", ".json"), ODD_SCANS[odd])
    assert (counts["scans"], counts["masks"], counts["left_out"]) == (1, 1, 1)
    with open_store(root) as store:
        assert [p.endswith("belongs to no record.") for p in store.verify()] == [True, True]


FOREIGN: dict[str, tuple[str, dict[str, Any]]] = {
    "a scan of nothing": ("scan.added", {}),
    "a decision of nothing": ("mask.decided", {"decision": {}}),
    "a decision of text": ("mask.decided", {"decision": "accept"}),
    "a person without role": ("person.added", {"name": 5}),
    "a mask of lists": ("mask.added", {"patient_id": ["P1"], "timepoint": DAY1, "version": 2, "lesions": 5}),
    "statuses of lists": ("mask.decided", {"decision": {"mask_id": "a"}, "patient_id": "P1", "statuses": ["a"]}),
    "doubts of numbers": ("mask.unproven", {"patient_id": "P1", "mask_ids": 5}),
    "doubts of lists": ("mask.unproven", {"patient_id": "P1", "mask_ids": [["a"]]}),
    "an event of nothing": ("event.added", {"patient_id": "P1"}),
    "an event without a key": (
        "event.added",
        {"event_id": None, "patient_id": "P1", "date": DAY1, "kind": "x", "detail": ""},
    ),
    "a kind of no version": ("mask.painted", {}),
}


@pytest.mark.parametrize("foreign", FOREIGN)
def test_an_entry_that_is_whole_but_nobody_s_is_named_and_nothing_is_touched(root: Path, foreign: str) -> None:
    append(root, *FOREIGN[foreign])
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file() and path.suffix != ".new"}
    with pytest.raises(StoreError, match=r"Entry 5 of the audit \(.* rebuild\."):
        rebuild(root)
    after = {path: path.read_bytes() for path in root.rglob("*") if path.is_file() and path.suffix != ".new"}
    assert after == before


def test_a_column_that_an_entry_names_is_no_statement(root: Path, tmp_path: Path) -> None:
    with open_store(root) as store:
        payload = acceptance(store)
    out = tmp_path / "stolen.csv"
    payload["decision"][f"seq) SELECT 1; COPY (SELECT 1) TO '{out}'; --"] = 1
    append(root, "mask.decided", payload)
    rebuild(root)
    assert not out.exists()
    with open_store(root) as store:
        assert len(store.decisions.of("P1")) == 2
