"""A study comes in whole or not at all: scans and masks of one patient and day, one change, one entry."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.errors import GeometryError, InputError, StoreError
from core.remembered.incoming import NewMask, NewScan
from store import Store, open_store, rebuild
from store.files import mask_files
from store.ledger import journal
from tests.store_phantom import DAY1, DAY2, add_scan, add_study, grid, labels, measures, scan_volume


def files_of(root: Path) -> list[str]:
    every = [p for top in ("raw", "processed", "incoming") for p in (root / top).rglob("*") if p.is_file()]
    return sorted(p.relative_to(root).as_posix() for p in every if p.name != "ledger.jsonl")


def test_scans_and_masks_that_come_together_are_one_entry_and_each_what_it_would_be_alone(store: Store):
    stored = add_study(store)
    assert [scan.scan_id for scan in stored.scans] == ["PET", "CT"]
    (record,) = stored.masks
    assert (record.version, record.status, record.method) == (1, "proposed", "import")
    assert record.scan_sha256 == stored.scans[1].sha256  # masks lie on the CT
    assert store.scans.of("P1") == sorted(stored.scans, key=lambda scan: scan.scan_id)
    assert store.masks.of("P1") == [record]
    assert store.masks.load(record).labels == (1, 2)
    assert [entry["action"] for entry in store.audit_log(1)] == ["study.added"]
    assert store.verify() == []


def test_a_study_of_a_day_that_has_scans_goes_on_from_there(store: Store):
    add_scan(store, "P1", DAY1)
    with pytest.raises(StoreError, match="is there already"):
        store.studies.add([NewScan(scan_volume(1))], [], dataset="set", patient_id="P1", timepoint=DAY2, person="demo")
    mask = labels(3)
    stored = store.studies.add(
        [NewScan(scan_volume(8)), NewScan(scan_volume(9))],
        [NewMask(mask, tuple(measures(mask))), NewMask(mask, tuple(measures(mask)))],
        dataset="set",
        patient_id="P1",
        timepoint=DAY1,
        person="demo",
    )
    assert [scan.scan_id for scan in stored.scans] == ["CT-2", "CT-3"]
    assert [record.version for record in stored.masks] == [1, 2]
    assert store.verify() == []


@pytest.mark.parametrize("kind", ["two alike", "a mask elsewhere", "a date that is none", "another data set"])
def test_where_one_part_cannot_be_stored_none_is(store: Store, kind: str):
    add_scan(store, "P0", DAY1)
    before = files_of(store.root), store.audit_log(1)
    scans, where = [NewScan(scan_volume(30)), NewScan(scan_volume(31))], grid()
    place = {"dataset": "set", "patient_id": "P1", "timepoint": DAY1}
    if kind == "two alike":
        scans[1] = scans[0]
    if kind == "a mask elsewhere":
        where = grid(origin=5.0)
    if kind == "a date that is none":
        place["timepoint"] = "2020-13-01"
    if kind == "another data set":
        place |= {"dataset": "other", "patient_id": "P0"}
    mask = labels(3, where=where)
    with pytest.raises((StoreError, InputError, GeometryError)):
        store.studies.add(scans, [NewMask(mask, tuple(measures(mask)))], **place, person="demo")
    assert (files_of(store.root), store.audit_log(1)) == before
    assert store.verify() == []


@pytest.mark.parametrize("lost", ["nothing", "the database", "database and audit"])
def test_a_rebuild_gives_the_same_study(store: Store, lost: str):
    add_study(store)
    scans, masks, root = store.scans.of("P1"), store.masks.of("P1"), store.root
    store.close()
    if lost != "nothing":
        (root / "twin.duckdb").unlink()
    if lost == "database and audit":
        (root / "audit.jsonl").unlink()
    rebuild(root)
    with open_store(root) as again:
        assert (again.scans.of("P1"), again.masks.of("P1")) == (scans, masks)
        assert again.verify() == []


def test_a_study_that_died_half_way_is_undone_and_one_that_was_recorded_is_finished(store: Store, monkeypatch):
    root = store.root

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    placed: list[Path] = []
    place = mask_files.place

    def half(staged: Path, target: Path) -> None:
        if len(placed) == 3:
            raise KeyboardInterrupt
        placed.append(target)
        place(staged, target)

    with monkeypatch.context() as patch:
        patch.setattr(mask_files, "place", half)
        patch.setattr(type(store.ledger), "_recover", lambda *_: None)
        with pytest.raises(KeyboardInterrupt):
            add_study(store)
    assert journal.pending(root) is not None
    store.close()
    with open_store(root) as again:
        assert (again.scans.of("P1"), again.masks.of("P1")) == ([], [])
        assert again.verify() == []
        with monkeypatch.context() as patch:
            patch.setattr(type(again.audit), "mirror", dies)
            with pytest.raises(KeyboardInterrupt):
                add_study(again)
    with open_store(root) as again:
        assert len(again.scans.of("P1")) == 2
        assert len(again.masks.of("P1")) == 1
        assert again.verify() == []


def test_the_entry_holds_no_more_than_the_sidecars_and_the_gate_s_word(store: Store):
    add_study(store)
    (entry,) = store.audit_log(1)
    assert set(entry["payload"]) == {"dataset", "patient_id", "timepoint", "scans", "masks"}
    for values in entry["payload"]["scans"]:
        sidecar = json.loads((store.root / values["path"].replace(".nii.gz", ".json")).read_text())
        assert sidecar == values


def test_who_may_not_see_a_data_set_stores_no_study_in_it(store: Store):
    store.people.add("ann", "reader", by="demo")
    store.people.grant("ann", ["other"], by="demo")
    with pytest.raises(StoreError, match="data set that was granted"):
        add_study(store.seen_by("ann"), person="ann")  # type: ignore[arg-type]
    assert store.scans.of("P1") == []
