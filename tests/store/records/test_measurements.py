"""Measurements that persons drew and kept: they lie on a scan, go along with it, and stand until they are withdrawn."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from core.errors import InputError, StoreError
from core.remembered.hand_measurements import Drawn, Measured
from store import Store, open_store, rebuild
from store.seen import WITHHELD
from tests.store.recovery.test_store_rebuild import contents
from tests.store_phantom import DAY1, DAY2, DAY3, add_length, add_mask, add_scan


@pytest.fixture
def clinic(store: Store) -> Store:
    for seed, (patient, day) in enumerate((("P1", DAY1), ("P1", DAY2), ("P2", DAY1))):
        add_scan(store, patient, day, seed=seed)
    return store


def test_what_is_kept_comes_back_as_it_was_said(clinic: Store) -> None:
    kept = add_length(clinic, lesion_id="L1", sets="short axis")
    assert clinic.measurements.of("P1") == [kept]
    assert (kept.timepoint, kept.patient_id, kept.scan_id) == (DAY1, "P1", "CT")
    assert (kept.value, kept.unit, kept.lesion_id, kept.sets, kept.person) == (16.0, "mm", "L1", "short axis", "ann")
    assert kept.points_mm == ((8.0, 16.0, 40.0), (24.0, 16.0, 40.0))
    assert (kept.stands, kept.sets_diameter, kept.words) == (True, True, "16.0 mm")
    region = Drawn(kept.scan_sha256, "roi", "axial", ((40.0, 40.0, 40.0), (56.0, 40.0, 40.0), (40.0, 56.0, 40.0)))
    values = {
        "mean": 41.23, "sd": 9.1, "least": 3.0, "greatest": 70.0,
        "voxels": 13, "voxels_without_value": 0, "area_mm2": math.pi * 256,
    }  # fmt: skip
    found = clinic.measurements.add(region, Measured(41.23, "HU", values), "bob")
    assert found.statistics == values
    assert found.words == "mean 41.23 HU, SD 9.1, 3 to 70, 13 voxels, 804 mm²"
    assert clinic.measurements.of("P2") == []


def test_one_that_is_withdrawn_stays_on_record_and_counts_no_more(clinic: Store) -> None:
    first, second = add_length(clinic, lesion_id="L1", sets="longest diameter"), add_length(clinic, mm=24.0)
    with pytest.raises(InputError):
        clinic.measurements.withdraw(first.measurement_id, "bob", "  ")
    clinic.measurements.withdraw(first.measurement_id, "bob", "on the wrong slice")
    assert clinic.measurements.of("P1") == [second]
    old = clinic.measurements.by_id(first.measurement_id)
    assert (old.stands, old.sets_diameter, old.value) == (False, False, 16.0)
    assert (old.withdrawn_by, old.withdrawn_reason) == ("bob", "on the wrong slice")
    with pytest.raises(StoreError, match="was withdrawn by bob"):
        clinic.measurements.withdraw(first.measurement_id, "ann", "again")
    with pytest.raises(StoreError, match="no measurement"):
        clinic.measurements.withdraw("none", "ann", "again")
    assert len(clinic.measurements.history("P1")) == 2


def test_it_is_the_same_after_a_rebuild_and_checked_by_verify(clinic: Store, tmp_path: Path) -> None:
    add_length(clinic, lesion_id="L1", sets="longest diameter")
    clinic.measurements.withdraw(add_length(clinic, "bob", day=DAY2).measurement_id, "ann", "a slip")
    assert clinic.verify() == []
    before, root = contents(clinic), clinic.root
    clinic.close()
    rebuild(root)
    with open_store(root) as again:
        assert contents(again) == before
        assert again.verify() == []


def test_a_blind_reader_sees_their_own_alone_and_cannot_withdraw_others(clinic: Store) -> None:
    clinic.people.add("bea", "reader", by="demo")
    theirs, other = add_length(clinic), add_length(clinic, day=DAY2)
    clinic.readings.set_blind("P1", DAY1, True, "demo")
    own = add_length(clinic, "bea", mm=24.0)
    seen = clinic.seen_by("bea")
    assert seen.measurements.of("P1") == [other, own]
    with pytest.raises(StoreError, match="no measurement"):
        seen.measurements.withdraw(theirs.measurement_id, "bea", "not mine to see")
    added = {e["seq"]: e["payload"] for e in seen.audit_log(50) if e["action"] == "measurement.added"}
    assert list(added.values()).count(WITHHELD) == 2  # of the day that is closed, as all that is about it
    assert len(clinic.measurements.of("P1")) == 3


def test_who_may_not_see_a_data_set_sees_none_of_its_measurements(clinic: Store) -> None:
    add_scan(clinic, "P3", seed=9, dataset="other")
    kept = add_length(clinic, patient="P3")
    clinic.people.add("dan", "reader", by="demo")
    clinic.people.grant("dan", ["set"], by="demo")
    seen = clinic.seen_by("dan")
    assert seen.measurements.of("P3") == []
    with pytest.raises(StoreError, match="no scan to measure on"):
        seen.measurements.add(Drawn(kept.scan_sha256, "length", "axial", kept.points_mm), Measured(16.0, "mm"), "dan")


def test_it_goes_where_its_scan_goes_but_is_of_no_lesion_of_another_patient(clinic: Store) -> None:
    kept = add_length(clinic, patient="P2", lesion_id="L1", sets="longest diameter")
    clinic.corrections.move_timepoint("P2", DAY1, to_timepoint=DAY2, reason="a slip", person="demo")
    (moved,) = clinic.measurements.of("P2")
    assert (moved.timepoint, moved.sets_diameter) == (DAY2, True)
    add_mask(clinic, 4, patient="P1")
    clinic.corrections.move_timepoint(
        "P2", DAY2, to_timepoint=DAY3, to_patient_id="P1", reason="another patient", person="demo"
    )
    (moved,) = clinic.measurements.of("P1")
    assert (moved.measurement_id, moved.of_patient, moved.sets_diameter) == (kept.measurement_id, "P2", False)
    withdrawn = clinic.corrections.withdraw_timepoint("P1", DAY3, reason="a slip", person="demo")
    assert clinic.measurements.of("P1") == []
    clinic.corrections.restore(withdrawn.withdrawal_id or "", person="demo", reason="it was right")
    assert [one.measurement_id for one in clinic.measurements.of("P1")] == [kept.measurement_id]
    clinic.corrections.delete_patient("P1", confirm="P1", reason="asked", person="demo")
    assert clinic.db.query("SELECT * FROM hand_measurements") == []
    assert clinic.verify() == []
