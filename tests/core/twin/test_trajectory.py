"""The twin is made of accepted masks only; volumes and rates are those of cubes, by hand."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import StoreError
from core.lesions.masks import measure
from core.twin.trajectory import (
    accepted_masks_by_timepoint,
    diameter_mm,
    forecast_lesion_or_total,
    growth_report,
    nan_to_null,
    points_by_lesion,
)
from core.types import TOTAL_LESION_ID, Grid, LabelMap, Volume, VolumePoint
from store import Store
from tests.store_phantom import JUDGED, pass_scans

DAYS = ("2024-01-01", "2024-02-01", "2024-03-01", "2024-04-01", "2024-05-01")  # 0, 31, 60, 91, 121
GRID = Grid((48, 48, 28), np.eye(4))


def _scan(store: Store, day: str, modality="CT") -> None:
    noise = np.random.default_rng(DAYS.index(day)).normal(size=GRID.shape).astype(np.float32)
    volume = Volume(noise, GRID, modality)
    store.scans.add(volume, dataset="d", patient_id="P1", timepoint=day, person="demo")


def _cubes(store: Store, day: str, *sides: int, method: str = "nnunet", verdict: str | None = "accept"):
    """A mask with a cube of each side (mm) as lesion 1, 2 ...; side 0: that lesion is not there."""
    array = np.zeros(GRID.shape, np.uint8)
    corner = 0
    for label, side in enumerate(sides, start=1):
        array[corner : corner + side, :side, :side] = label
        corner += side
    labels = LabelMap(array, GRID)
    newest = store.masks.latest("P1", day)
    record = store.masks.add(
        labels,
        patient_id="P1",
        timepoint=day,
        method=method,
        checkpoint_sha256="ab" * 32 if method == "nnunet" else None,
        author="demo",
        lesions=measure(labels),
        parent_version=newest.version if newest else None,
        verdict=JUDGED,
    )
    if verdict:
        pass_scans(store, "P1", day)
        store.decisions.decide("P1", day, record.version, verdict, "demo", "test", "as the test has it")
    return record


def test_volumes_and_growth_rate_of_cubes(store: Store):
    """20 mm to 24 mm cubes in 31 days: 8,000 to 13,824 mm3, SGR = 3 ln(1.2) / 31 = 1.764 % per day."""
    for day, side in zip(DAYS[:2], (20, 24), strict=True):
        _scan(store, day)
        _cubes(store, day, side)
    found = growth_report(store, "P1")
    lesion = found["lesions"]["L1"]
    assert [(p["days"], p["volume_mm3"]) for p in lesion["points"]] == [(0.0, 8000.0), (31.0, 13824.0)]
    assert lesion["points"][0]["longest_diameter_mm"] == pytest.approx(20 * math.sqrt(2), abs=1.0)
    (step,) = lesion["steps"]
    rate = step["rate"]
    sgr = 300 * math.log(1.2) / 31
    half = 100 * math.log(1.39) / 31  # the smallest real growth of 10-35 mm
    assert rate["sgr_percent_per_day"] == pytest.approx(sgr)
    assert (rate["low95"], rate["high95"]) == (pytest.approx(sgr - half), pytest.approx(sgr + half))
    assert rate["doubling_days"] == pytest.approx(31 * math.log(2) / (3 * math.log(1.2)))
    assert step["change"]["verdict"] == "real"
    assert step["change"]["percent_change"] == pytest.approx(72.8)
    assert step == lesion["since_first"]
    assert found["lesions"][TOTAL_LESION_ID]["points"][1]["volume_mm3"] == 13824.0
    assert found["not_in_the_curve"] == []


def test_only_accepted_masks_enter_and_the_others_are_named(store: Store):
    for day in DAYS:
        _scan(store, day)
    _cubes(store, DAYS[0], 20)
    _cubes(store, DAYS[1], 24, verdict=None)
    _cubes(store, DAYS[2], 28, verdict="reject")
    withdrawn = _cubes(store, DAYS[3], 22)
    store.decisions.decide("P1", DAYS[3], withdrawn.version, "reject", "demo", "mistake")
    found = growth_report(store, "P1")
    assert found["timepoints"] == list(DAYS)
    assert found["not_in_the_curve"] == list(DAYS[1:])
    assert list(accepted_masks_by_timepoint(store, "P1")) == [DAYS[0]]
    assert [p["timepoint"] for p in found["lesions"]["L1"]["points"]] == [DAYS[0]]
    assert found["lesions"]["L1"]["steps"] == []
    assert found["lesions"]["L1"]["since_first"] is None


def test_the_accepted_version_counts_and_not_the_newest(store: Store):
    _scan(store, DAYS[0])
    _cubes(store, DAYS[0], 10)
    _cubes(store, DAYS[0], 20, verdict=None)
    (point,) = growth_report(store, "P1")["lesions"]["L1"]["points"]
    assert (point["volume_mm3"], point["version"]) == (1000.0, 1)


def test_a_lesion_that_vanishes_counts_nothing_and_the_total_adds_up(store: Store):
    for day, sides in ((DAYS[0], (20, 12)), (DAYS[1], (20, 0))):
        _scan(store, day)
        _cubes(store, day, *sides)
    lesions = growth_report(store, "P1")["lesions"]
    assert list(lesions) == ["L1", "L2", TOTAL_LESION_ID]
    assert [p["volume_mm3"] for p in lesions["L2"]["points"]] == [1728.0, 0.0]
    assert [p["longest_diameter_mm"] for p in lesions["L2"]["points"]][1] == 0.0
    assert [p["volume_mm3"] for p in lesions[TOTAL_LESION_ID]["points"]] == [9728.0, 8000.0]
    (gone,) = lesions["L2"]["steps"]
    assert (gone["change"]["verdict"], gone["change"]["percent_change"]) == ("real", -100.0)
    assert gone["rate"]["floored"] is True
    (same,) = lesions["L1"]["steps"]
    assert same["change"]["verdict"] == "within noise"
    assert same["rate"]["text"] == "not distinguishable from no growth"


def test_two_segmenters_widen_the_noise_and_are_said(store: Store):
    """+72.8 % is real beside 39 %, and not beside the +81.8 % of two different segmenters."""
    for day, side, method in ((DAYS[0], 20, "nnunet"), (DAYS[1], 24, "medsam")):
        _scan(store, day)
        _cubes(store, day, side, method=method)
    (step,) = growth_report(store, "P1")["lesions"]["L1"]["steps"]
    assert step["change"]["verdict"] == "within noise"
    assert "different segmenters" in step["change"]["note"]


def test_mr_has_no_rule_and_says_unknown(store: Store):
    for day, side in ((DAYS[0], 20), (DAYS[1], 27)):
        _scan(store, day, "MR")
        _cubes(store, day, side)
    (step,) = growth_report(store, "P1")["lesions"]["L1"]["steps"]
    assert step["change"]["verdict"] == "unknown"
    assert "MR" in step["change"]["rule"]
    assert step["rate"]["doubling_days"] is None
    assert step["rate"]["text"] == "unknown: no rule for MR"


def test_the_forecast_is_refused_below_three_points_and_else_stands_beside_locf(store: Store):
    for day, side in zip(DAYS[:2], (20, 21), strict=True):
        _scan(store, day)
        _cubes(store, day, side)
    assert "at least 3" in growth_report(store, "P1")["lesions"]["L1"]["forecast"]["refused"]
    for day, side in zip(DAYS[2:4], (22, 23), strict=True):
        _scan(store, day)
        _cubes(store, day, side)
    ahead = growth_report(store, "P1")["lesions"]["L1"]["forecast"]
    assert not ahead["refused"]
    assert ahead["bands"]["days"] == [91 + 28, 91 + 56, 91 + 84]
    assert ahead["locf"]["median_mm3"] == [pytest.approx(23**3)] * 3
    names = ("low95_mm3", "low80_mm3", "low50_mm3", "median_mm3", "high50_mm3", "high80_mm3", "high95_mm3")
    assert all(sorted(row) == list(row) for row in zip(*(ahead["bands"][name] for name in names), strict=True))
    assert ahead["bands"]["high80_mm3"][0] > ahead["bands"]["low80_mm3"][0]
    (check,) = ahead["checks"]
    assert (check["said_at"], check["about"], check["came_mm3"]) == (DAYS[2], DAYS[3], 23**3)


def test_a_report_of_a_cube_that_grew_ten_thousandfold_asks_whether_it_is_plausible(store: Store):
    for day, side in zip(DAYS[:4], (2, 2, 2, 28), strict=True):
        _scan(store, day)
        _cubes(store, day, side, method="manual")
    ahead = growth_report(store, "P1")["lesions"]["L1"]["forecast"]
    assert "at least 3" in ahead["refused"]
    (question,) = ahead["warnings"]
    assert question in ahead["notes"]
    assert "22 mL on 2024-04-01 after at most 0.07 mL (5 mm across) 31 days before" in question


def test_everything_is_json_without_nan_whatever_the_series(store: Store):
    for day, sides in zip(DAYS, ((20, 0), (0, 12), (0, 0), (1, 12), (20, 13)), strict=True):
        _scan(store, day)
        _cubes(store, day, *sides, method="manual")  # 1 mm is too small for a network
    found = growth_report(store, "P1")
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert [p["volume_mm3"] for p in found["lesions"][TOTAL_LESION_ID]["points"]] == [8000, 1728, 0, 1729, 10197]


def test_a_patient_without_accepted_masks_has_no_lesions_and_an_unknown_one_is_refused(store: Store):
    _scan(store, DAYS[0])
    assert growth_report(store, "P1") == {
        "patient_id": "P1",
        "timepoints": [DAYS[0]],
        "not_in_the_curve": [DAYS[0]],
        "not_read": {},
        "lesions": {},
    }
    with pytest.raises(StoreError, match=r"no patient 'P9'\. Import a scan first"):
        growth_report(store, "P9")


def test_lesions_are_in_order_of_number_and_their_points_in_order_of_time():
    points = [
        VolumePoint(f"2024-01-{int(d) + 1:02d}", d, 1.0, lesion, "m", 1)
        for lesion in (TOTAL_LESION_ID, "L10", "L2")
        for d in (9.0, 0.0, 4.0)
    ]
    series = points_by_lesion(points)
    assert list(series) == ["L2", "L10", TOTAL_LESION_ID]
    assert [p.days for p in series["L10"]] == [0.0, 4.0, 9.0]
    assert points_by_lesion([]) == {}
    assert forecast_lesion_or_total({"L2": series["L2"][:2]}, "L2").refused


def test_the_diameter_of_the_total_is_that_of_its_largest_lesion(store: Store):
    _scan(store, DAYS[0])
    record = _cubes(store, DAYS[0], 10, 20)
    large, small = diameter_mm(record, "L2"), diameter_mm(record, "L1")
    assert 0 < small < large == diameter_mm(record, TOTAL_LESION_ID)
    assert diameter_mm(record, "L9") == 0.0


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=50)
@given(plain)
def test_cleaning_leaves_nothing_that_json_cannot_say_and_changes_nothing_else(value):
    text = json.dumps(nan_to_null(value), allow_nan=False)
    expected = json.loads(json.dumps(value), parse_constant=lambda _: None)  # NaN, Infinity, -Infinity
    assert json.loads(text) == expected
