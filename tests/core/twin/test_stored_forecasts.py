"""Kept forecasts: what was said stays as it was said, and is judged by what came, by date."""

from __future__ import annotations

import datetime as dt
import math
import shutil
from dataclasses import replace

import pytest

from core.errors import InputError, StoreError
from core.growth.curves import FLOOR_MM3
from core.growth.forecast import forecast
from core.growth.population import default_population
from core.twin.stored_forecasts import (
    ForecastVerification,
    StoredForecast,
    compare_with_observed,
    find_stored_id,
    forecast_record,
    make_and_store_forecast,
    masks_were_replaced,
    prospective_performance,
    store_forecast,
    stored_forecasts,
    try_store_forecast,
    verify_forecasts,
)
from core.types import VolumePoint
from store import Store, open_store
from tests import clinic

ZERO = dt.date(2024, 1, 1)


def points(days, volumes):
    return [
        VolumePoint((ZERO + dt.timedelta(d)).isoformat(), float(d), float(v), "L1", f"mask {d}", 1)
        for d, v in zip(days, volumes, strict=True)
    ]


#: A week ahead everything is as at the start but the limits; two weeks ahead all is e times that.
SAID = StoredForecast(
    "2024-03-01T10:00:00Z",
    "demo",
    "2024-02-26",
    1000.0,
    (0.0, 7.0, 14.0),
    (
        (1000.0,) * 7,
        (100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 9000.0),
        tuple(math.e * v for v in (100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 9000.0)),
    ),
    ("mask 0", "mask 28", "mask 56"),
    "somewhere",
    "0" * 64,
)


@pytest.fixture
def patient(store: Store):
    """A store that knows ANNA."""
    clinic.add_scan(store, "ANNA", "2024-01-01", clinic.noise(1))
    return store


def test_what_came_is_judged_by_date_between_two_days_on_the_logarithm():
    (check,) = compare_with_observed(SAID, points([0, 28, 56, 67], [1, 1, 1000, 300]))
    assert (check.origin_timepoint, check.target_timepoint, check.days) == ("2024-02-26", "2024-03-08", 11)
    share = 4 / 7
    assert check.median_mm3 == pytest.approx(1000 * math.exp(share))
    assert check.low80_mm3 == pytest.approx(200 * math.exp(share))
    assert check.high80_mm3 == pytest.approx(5000 * math.exp(share))
    assert (check.last_mm3, check.observed_mm3) == (1000, 300)
    assert not check.inside80, "200 e^(4/7) = 354"


def test_visits_it_knew_and_visits_beyond_its_reach_are_not_judged():
    assert compare_with_observed(SAID, points([0, 28, 56], [1, 1, 1])) == ()
    assert [c.days for c in compare_with_observed(SAID, points([56, 57, 70, 71], [9, 9, 9, 9]))] == [1, 14]


def test_an_earlier_timepoint_accepted_later_moves_no_date():
    """Days count from the first accepted timepoint; the judgement goes by the calendar."""
    later = [replace(p, days=p.days + 100) for p in points([0, 28, 56, 63], [1, 1, 1000, 1000])]
    first = replace(later[0], timepoint="2023-09-23", days=0.0, mask_id="mask new")
    assert [c.days for c in compare_with_observed(SAID, [first, *later])] == [7]


def test_a_lesion_that_is_gone_came_as_the_floor():
    (check,) = compare_with_observed(SAID, points([56, 63], [1000, 0]))
    assert check.observed_mm3 == FLOOR_MM3


def test_a_total_of_lesions_that_are_gone_is_judged_at_the_floor():
    gone = replace(SAID, quantiles_mm3=((0.0,) * 7, (0.0,) * 5 + (300.0, 900.0), (0.0,) * 5 + (300.0, 900.0)))
    back, still = (compare_with_observed(gone, points([56, 63], [1000, volume]))[0] for volume in (500, 0))
    assert (still.median_mm3, still.observed_mm3) == pytest.approx((FLOOR_MM3, FLOOR_MM3))
    assert still.inside80
    assert not back.inside80


def test_a_lesion_at_the_floor_that_stays_there_came_inside_its_band():
    at_floor = replace(SAID, last_mm3=FLOOR_MM3, quantiles_mm3=((FLOOR_MM3,) * 7,) * 3)
    (check,) = compare_with_observed(at_floor, points([56, 60], [0, 0]))
    assert check.inside80


def test_a_forecast_whose_masks_were_replaced_says_so():
    known = points([0, 28, 56, 63], [1, 1, 1, 1])
    assert not masks_were_replaced(SAID, known)
    assert not masks_were_replaced(SAID, known[:3]), "nothing came since"
    assert masks_were_replaced(SAID, [known[0], replace(known[1], mask_id="mask 28 corrected"), *known[2:]])


def test_who_reads_a_timepoint_blind_keeps_no_forecast_from_a_curve_that_lacks_it(tmp_path):
    clinic.build(tmp_path / "data")
    with open_store(tmp_path / "data") as store:
        store.readings.set_blind("ANNA", clinic.DAYS[1], True, "demo")
        for view in (store, store.seen_by("second reader")):
            with pytest.raises(InputError, match=f"whole curve, but {clinic.DAYS[1]} is read blind by second reader"):
                make_and_store_forecast(view, "ANNA", "total", 12, "second reader")
        store.readings.finish("ANNA", clinic.DAYS[1], "second reader")
        assert make_and_store_forecast(store.seen_by("second reader"), "ANNA", "total", 12, "second reader")


def test_what_is_kept_comes_back_as_it_was_said_and_is_not_kept_twice(patient):
    known = points([0, 56, 112, 168], [1000, 1400, 1900, 2300])
    ahead = forecast(known, [0, 42, 84])
    said = forecast_record(ahead, known, default_population())
    fit_id = store_forecast(patient, "ANNA", "L1", said, "demo")
    assert (
        store_forecast(patient, "ANNA", "L1", said, "second reader")
        == fit_id
        == find_stored_id(patient, "ANNA", "L1", said)
    )
    (found,) = stored_forecasts(patient, "ANNA", "L1")
    assert (found.person, found.origin_timepoint, found.last_mm3) == ("demo", "2024-06-17", 2300)
    assert found.days_ahead == (0, 42, 84)
    assert [list(row) for row in found.quantiles_mm3] == ahead.fan.quantiles_mm3.tolist()
    assert found.masks == tuple(sorted(f"mask {day}" for day in (0, 56, 112, 168)))
    assert found.learned_sha256 == default_population().sha256
    assert stored_forecasts(patient, "ANNA", "total") == []
    assert [entry["person"] for entry in patient.audit_log() if entry["action"] == "growth.fitted"] == ["demo"]


def test_after_a_correction_another_forecast_can_be_kept_beside_the_first(patient):
    for last in (2300, 1200):
        known = points([0, 56, 112, 168], [1000, 1400, 1900, last])
        store_forecast(
            patient, "ANNA", "L1", forecast_record(forecast(known, [0, 84]), known, default_population()), "demo"
        )
    assert [found.last_mm3 for found in stored_forecasts(patient, "ANNA", "L1")] == [2300, 1200]


@pytest.mark.parametrize(("days", "horizon"), [([0, 56], [0, 84]), ([0, 56, 112], [0])])
def test_where_nothing_is_forecast_nothing_can_be_kept(days, horizon):
    known = points(days, [1000] * len(days))
    with pytest.raises(InputError, match="Expected a forecast to keep, got none"):
        forecast_record(forecast(known, horizon), known, default_population())


@pytest.fixture(scope="module")
def clinic_root(tmp_path_factory):
    """ANNA with four accepted visits, of which the first three were known when her total was kept; BEN with two."""
    root = tmp_path_factory.mktemp("clinic")
    clinic.build(root)
    clinic.keep_before_the_last_visit(root)
    return root


def test_a_forecast_is_kept_before_the_visit_and_judged_after_it(clinic_root):
    with open_store(clinic_root) as store:
        (found,) = verify_forecasts(store)
        assert verify_forecasts(store, "BEN") == []
        assert (found.patient_id, found.lesion_id, found.forecast.person) == ("ANNA", "total", "second reader")
        assert (found.forecast.origin_timepoint, found.forecast.days_ahead[-1]) == (clinic.DAYS[2], 84)
        (visit,) = found.visits
        assert (visit.target_timepoint, visit.days, visit.last_mm3, visit.observed_mm3) == (
            clinic.DAYS[3],
            56,
            20400,
            26400,
        )
        assert not found.masks_replaced
        assert prospective_performance([found])["totals"] == {
            "forecasts": 1,
            "patients": 1,
            "visits": 1,
            "inside80": int(visit.inside80),
            "skill_vs_locf": None,
        }
        assert prospective_performance([found])["single lesions"]["forecasts"] == 0
        json = found.to_json()
        assert (json["visits"][0]["about"], json["masks_replaced"]) == (clinic.DAYS[3], False)
        assert store.verify() == []


def test_what_cannot_be_kept_says_why(clinic_root):
    with open_store(clinic_root) as store:
        for patient, lesion, weeks, error, says in (
            ("NOBODY", "total", 12, StoreError, "NOBODY"),
            ("ANNA", "L9", 12, InputError, "got 'L9'. Known: L1, total"),
            ("CARA", "total", 12, InputError, "none yet, accept a mask first"),
            ("BEN", "total", 12, InputError, "at least 3 accepted masks"),
            ("ANNA", "total", 0, InputError, "Expected 1 to 104 weeks ahead, got 0"),
            ("ANNA", "total", 105, InputError, "Expected 1 to 104 weeks ahead, got 105"),
        ):
            with pytest.raises(error, match=says):
                make_and_store_forecast(store, patient, lesion, weeks, "demo")
        assert try_store_forecast(store, "BEN", "total", 12, "demo") is None
        assert len(verify_forecasts(store)) == 1


def test_a_forecast_is_kept_for_one_week_to_two_years_of_weeks(clinic_root, tmp_path):
    shutil.copytree(clinic_root, tmp_path / "copy", symlinks=True)
    with open_store(tmp_path / "copy") as store:
        for weeks in (1, 104):
            make_and_store_forecast(store, "ANNA", "L1", weeks, "demo")
        short, long = stored_forecasts(store, "ANNA", "L1")
        assert (short.origin_timepoint, short.days_ahead) == (clinic.DAYS[3], (0, 7))
        assert long.days_ahead[:3] == (0, 7, 14)


def test_of_several_kept_at_one_timepoint_the_first_counts_and_totals_stand_apart():
    def one(patient, lesion, kept_at, volume):
        said = replace(SAID, stored_at=kept_at)
        return ForecastVerification(
            patient, lesion, said, compare_with_observed(said, points([56, 63, 70], [1000, volume, volume])), False
        )

    record = prospective_performance(
        [
            one("A", "L1", "2024-03-02T00:00:00Z", 1_000_000),
            one("A", "L1", "2024-03-01T00:00:00Z", 2000),
            one("A", "L1", "2024-03-01T00:00:00Z", 1_000_000),
            one("A", "L2", "2024-03-01T00:00:00Z", 200),
            one("B", "L1", "2024-03-01T00:00:00Z", 6000),
            one("A", "total", "2024-03-01T00:00:00Z", 1000),
        ]
    )
    # A week ahead the 80 % band is 200 to 5000, two weeks ahead e times that; L2's second 200 lies below 544.
    assert record["single lesions"] | {"skill_vs_locf": 0} == {
        "forecasts": 3,
        "patients": 2,
        "visits": 6,
        "inside80": 4,
        "skill_vs_locf": 0,
    }
    # Medians 1000 and 1000e against the last value 1000, twice each: log errors by hand.
    ours = [math.log(2), 1 - math.log(2), math.log(5), 1 + math.log(5), math.log(6), math.log(6) - 1]
    locf = [math.log(2)] * 2 + [math.log(5)] * 2 + [math.log(6)] * 2
    assert record["single lesions"]["skill_vs_locf"] == pytest.approx(1 - sum(ours) / sum(locf))
    assert record["totals"]["forecasts"] == 1
    assert prospective_performance([])["totals"]["visits"] == 0
