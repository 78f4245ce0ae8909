"""What human correction changed, on a clinic whose every voxel was placed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from core.errors import InputError, StoreError
from core.review.correction import correction, mask_agreement
from core.types import Grid, LabelMap
from store import Store
from tests import clinic


def bar(stop: int) -> LabelMap:
    """`stop` voxels of 2 x 1 x 5 mm in a row along i, from i = 0."""
    array = np.zeros((20, 3, 3), np.uint8)
    array[:stop, 1, 1] = 1
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
