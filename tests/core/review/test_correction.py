"""What human correction changed, on a clinic whose every voxel was placed."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from core.errors import InputError, StoreError
from core.review.correction import correction, mask_agreement, summarise, timepoint_rows, versions_to_compare
from core.types import Grid, LabelMap, MaskRecord
from store import Store
from tests import clinic


def bar(stop: int, start: int = 0) -> LabelMap:
    """Voxels of 2 x 1 x 5 mm in a row along i, up to `stop`."""
    array = np.zeros((20, 3, 3), np.uint8)
    array[start:stop, 1, 1] = 1
    return LabelMap(array, Grid(array.shape, np.diag([2.0, 1.0, 5.0, 1.0])))


def by_name(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {row["comparison"]: row for row in rows}


def test_two_bars_differ_by_what_counting_gives():
    found = mask_agreement(bar(10), bar(15))
    assert found["dice"] == pytest.approx(20 / 25)
    assert found["volume_difference_ml"] == pytest.approx(0.05)
    # the longer bar's last voxels lie 2, 4 ... 10 mm beyond the other's end: the 95th percentile of 15 distances
    distances = [0.0] * 10 + [2.0, 4.0, 6.0, 8.0, 10.0]
    assert found["hd95_mm"] == pytest.approx(np.percentile(distances, 95))


def test_an_empty_mask_has_no_distance_and_two_empty_ones_agree():
    assert mask_agreement(bar(0), bar(5)) == {"dice": 0, "hd95_mm": None, "volume_difference_ml": pytest.approx(0.05)}
    assert mask_agreement(bar(0), bar(0)) == {"dice": 1, "hd95_mm": 0, "volume_difference_ml": 0}


def test_what_came_and_what_went_count_both_against_the_overlap_and_cancel_in_the_volume():
    found = mask_agreement(bar(10), bar(18, start=6))  # 10 and 12 voxels, 4 of them in both
    assert found["dice"] == pytest.approx(8 / 22)
    assert found["volume_difference_ml"] == pytest.approx(0.02)


def version(number: int, method: str, status: Any = "superseded", day: str = "day") -> MaskRecord:
    blank: dict[str, Any] = dict.fromkeys(MaskRecord.__dataclass_fields__)
    made = MaskRecord(**{**blank, "method": method, "status": status, "timepoint": day})
    return replace(made, mask_id=f"{day}-{number}", version=number)


def clinic_of(records: dict[str, list[MaskRecord]], problems: dict[str, str] | None = None) -> Any:
    """A store of these patients' versions; a mask is a bar of ten voxels for each version number."""
    return SimpleNamespace(
        patients=SimpleNamespace(
            all=lambda: [SimpleNamespace(patient_id=name) for name in records], require=lambda name: records[name]
        ),
        masks=SimpleNamespace(
            of=lambda name, day=None: [r for r in records[name] if day in (None, r.timepoint)],
            problems=lambda name: problems or {},
            load=lambda record: bar(10 * record.version),
        ),
    )


def test_the_newest_version_of_each_engine_up_to_the_accepted_one_is_compared():
    records = [
        version(5, "nnunet"),
        version(3, "medsam-manual", "accepted"),
        version(1, "nnunet"),
        version(2, "nnunet"),
        version(4, "medsam"),
    ]
    assert {side: record.version for side, record in versions_to_compare(records).items()} == {
        None: 3,
        "nnunet": 2,
        "medsam": 3,
    }
    by_hand = [version(1, "manual", "rejected"), version(2, "manual", "accepted"), version(3, "nnunet")]
    assert {side: record.version for side, record in versions_to_compare(by_hand).items()} == {None: 2}
    assert versions_to_compare([version(1, "nnunet", "proposed")]) == {}


@pytest.mark.parametrize(
    ("records", "problems", "missing"),
    [
        ([version(1, "nnunet", "accepted")], {}, [None, "no MedSAM version", "no MedSAM version"]),
        ([version(1, "nnunet"), version(2, "medsam", "accepted")], {}, [None, None, None]),
        (
            [version(1, "manual", "accepted")],
            {},
            ["no nnU-Net version", "no MedSAM version", "no nnU-Net and no MedSAM version"],
        ),
        ([version(1, "nnunet")], {"day-1": "lost"}, ["no accepted version"] * 3),
        (
            [version(1, "nnunet"), version(2, "medsam", "accepted")],
            {"day-1": "altered"},
            ["no nnU-Net version", None, "no nnU-Net version"],
        ),
        (
            [version(1, "nnunet"), version(2, "medsam", "accepted")],
            {"day-1": "lost", "day-2": "altered"},
            ["altered: the accepted version cannot be read"] * 3,
        ),
    ],
)
def test_a_comparison_that_cannot_be_made_says_why(
    records: list[MaskRecord], problems: dict[str, str], missing: list[str | None]
):
    rows = timepoint_rows(clinic_of({"P": records}, problems), "P", "day")
    assert [row["missing"] for row in rows] == missing
    assert [row["dice"] is None for row in rows] == [why is not None for why in missing]


def test_a_cohort_is_all_its_timepoints_and_a_mask_that_is_not_seen_is_as_if_it_were_not_there():
    records = {
        "P1": [version(2, "medsam", "accepted", "b"), version(1, "nnunet", "accepted", "a")],
        "P2": [version(1, "nnunet", "accepted", "c")],
        "P3": [],
    }
    store = clinic_of(records)
    found = correction(store)
    assert [(row["patient_id"], row["timepoint"]) for row in found["timepoints"][::3]] == [
        ("P1", "a"),
        ("P1", "b"),
        ("P2", "c"),
    ]
    assert list(found["patients"]) == ["P1", "P2"]
    network = by_name(found["summary"])["nnU-Net against final"]
    assert (network["n"], network["patients"], network["dice_n"], network["dice_mean"]) == (2, 2, 2, 1)
    assert [s["n"] for s in found["patients"]["P2"]] == [1, 0, 0]
    alone = correction(store, "P1", seen=["a-1", "c-1"])
    assert [row["timepoint"] for row in alone["timepoints"]] == ["a"] * 3
    with pytest.raises(InputError, match="The cohort has no mask yet"):
        correction(store, seen=[])
    with pytest.raises(InputError, match="Patient 'P3' has no mask yet"):
        correction(store, "P3")


def test_a_measure_that_one_timepoint_has_not_is_summarised_from_the_others():
    rows = timepoint_rows(clinic_of({"P": [version(1, "nnunet", "accepted")]}), "P", "day")[:1]
    rows = [rows[0] | {"dice": dice, "hd95_mm": far} for dice, far in ((0.2, None), (0.3, 4.0), (1.0, 6.0))]
    network = summarise(rows)[0]
    assert (network["dice_mean"], network["dice_median"], network["dice_n"]) == (pytest.approx(0.5), 0.3, 3)
    assert (network["hd95_mm_mean"], network["hd95_mm_n"]) == (5, 2)
    assert (network["n"], network["patients"]) == (3, 1)


@pytest.fixture
def cohort(store: Store) -> Any:
    """KIM: network 800, refined 1000, accepted 1000 of it. LEE: network accepted as it was. MAX: nothing accepted."""
    for seed, patient in enumerate(("KIM", "LEE", "MAX")):
        clinic.add_scan(store, patient, clinic.DAYS[0], clinic.noise(seed))
        network = clinic.add_mask(store, patient, clinic.DAYS[0], 800)
        if patient == "LEE":
            clinic.accept(store, network)
    clinic.accept(store, clinic.add_mask(store, "KIM", clinic.DAYS[0], 1000, method="medsam-manual"))
    clinic.add_mask(store, "KIM", clinic.DAYS[0], 3000)  # newer than the accepted one: not what was corrected
    return store


def test_a_patient_shows_what_refining_changed(cohort: Any):
    rows = by_name(correction(cohort, "KIM")["timepoints"])
    row = rows["nnU-Net against final"]
    assert (row["first_version"], row["second_version"]) == (1, 2)
    assert row["dice"] == pytest.approx(1600 / 1800)
    assert row["volume_difference_ml"] == pytest.approx(200 * clinic.VOXEL_ML)
    assert row["hd95_mm"] > 0
    assert rows["MedSAM-refined against final"]["dice"] == 1
    assert rows["nnU-Net against MedSAM-refined"]["dice"] == pytest.approx(1600 / 1800)


def test_what_is_absent_is_said_and_not_counted(cohort: Any):
    found = correction(cohort)
    missing = {(r["patient_id"], r["comparison"]): r["missing"] for r in found["timepoints"]}
    assert missing["LEE", "MedSAM-refined against final"] == "no MedSAM version"
    assert missing["MAX", "nnU-Net against final"] == "no accepted version"
    summary = by_name(found["summary"])
    assert (summary["nnU-Net against final"]["n"], summary["MedSAM-refined against final"]["n"]) == (2, 1)
    assert summary["nnU-Net against final"]["dice_mean"] == pytest.approx((1600 / 1800 + 1) / 2)
    assert summary["nnU-Net against final"]["dice_median"] == pytest.approx((1600 / 1800 + 1) / 2)
    alone = by_name(found["patients"]["MAX"])["nnU-Net against final"]
    assert (alone["n"], alone["dice_mean"], alone["hd95_mm_n"]) == (0, None, 0)


def test_nobody_to_measure_is_a_sentence(store: Store):
    with pytest.raises(InputError, match="no mask yet"):
        correction(store)
    with pytest.raises(StoreError, match="NOBODY"):
        correction(store, "NOBODY")
