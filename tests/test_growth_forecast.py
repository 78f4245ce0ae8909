"""Forecasts: the last value carried forward, the held curve, and when there is none."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import InputError
from core.growth import forecast as module
from core.growth import learn_locf
from core.growth.curves import CURVES, FLOOR_MM3
from core.growth.forecast import choose, forecast, locf, predict, rolling_skill, shipped_quantiles
from core.types import VolumePoint

SHIPPED = Path(module.__file__).with_name("locf_quantiles.json")
LALEH = "growth/laleh2022_dev.csv"


def points(days, volumes, lesion="L1"):
    return [
        VolumePoint(f"day {d}", float(d), float(v), lesion, f"mask {d}", 1) for d, v in zip(days, volumes, strict=True)
    ]


def test_the_last_value_is_carried_forward_unchanged_and_its_interval_widens():
    band = locf(points([60, 0, 30], [900, 500, 700]), [0, 42, 200, 400])
    assert band.days.tolist() == [60, 102, 260, 460]
    assert band.median_mm3.tolist() == [900] * 4
    # In the table's first bin the 80 % quantiles of the log error are the file's own numbers.
    row = json.loads(SHIPPED.read_text())["measurable"][0]
    assert row["median_days"] == 42
    assert band.low80_mm3[1] == pytest.approx(900 * math.exp(row["log_error"][1]))
    assert band.high95_mm3[1] == pytest.approx(900 * math.exp(row["log_error"][4]))
    width = np.log(band.high80_mm3 / band.low80_mm3)
    assert (np.diff(width) >= 0).all()
    assert width[-1] > width[0]


def test_a_lesion_at_the_floor_cannot_shrink_further():
    band = locf(points([0, 30], [500, 0]), [60])
    assert band.low95_mm3[0] == pytest.approx(FLOOR_MM3)
    assert band.high95_mm3[0] > FLOOR_MM3


def test_no_points_give_an_empty_band():
    assert locf([], [10, 20]).days.size == 0


@pytest.mark.parametrize(
    ("volumes", "count"), [([], "none"), ([500], "is 1"), ([500, 600], "are 2"), ([500, 0, 600, 0, math.nan], "are 2")]
)
def test_fewer_than_three_measurable_points_are_refused_with_the_reason(volumes, count):
    answer = forecast(points(range(0, 40 * len(volumes), 40), volumes), [30, 60])
    assert answer.refused is not None
    assert f"there {count}" in answer.refused or f"are {count}" in answer.refused
    assert "at least 3 accepted masks" in answer.refused
    assert answer.median_mm3.size == answer.days.size == answer.locf_mm3.size == 0


def test_three_scans_on_one_day_are_one_point():
    assert forecast(points([0, 0, 0], [500, 600, 700]), [30]).refused


def test_a_named_curve_that_the_points_do_not_determine_is_refused():
    answer = forecast(points([0, 50, 100, 150], [1000] * 4), [30], method="gompertz")
    assert answer.refused
    assert "cannot be told" in answer.refused


def test_a_forecast_lies_beside_locf_with_ordered_bands():
    answer = forecast(points([0, 60, 120, 180, 240], [1000, 1400, 1900, 2300, 2600]), [30, 90, 180])
    assert answer.refused is None
    assert answer.method == "gompertz (held)"
    assert answer.days.tolist() == answer.locf.days.tolist() == [270, 330, 420]
    rising = np.array([answer.low95_mm3, answer.low80_mm3, answer.median_mm3, answer.high80_mm3, answer.high95_mm3])
    assert (np.diff(rising, axis=0) > 0).all()
    assert (np.diff(answer.high80_mm3 / answer.low80_mm3) > 0).all()
    assert answer.locf_mm3.tolist() == [2600] * 3


def test_an_exponential_forecast_of_exact_data_hits_it_and_beats_locf():
    days = np.arange(0, 301, 60)
    answer = forecast(points(days, CURVES["exponential"].volume_mm3(days, 500, 0.004)), [100], method="exponential")
    assert answer.median_mm3[0] == pytest.approx(500 * math.exp(0.004 * 400), rel=1e-3)
    assert answer.skill_vs_locf == pytest.approx(1.0, abs=1e-3)
    assert answer.origins == 3


def test_skill_is_the_share_of_locf_error_that_is_saved():
    # Origins after 3 and 4 points. LOCF errs by ln 2 twice; the exponential through noiseless doublings by 0.
    t, v = np.array([0.0, 30, 60, 90, 120]), 1000.0 * np.array([1.0, 2, 4, 8, 16])
    assert rolling_skill(t, v, "exponential") == (pytest.approx(1.0, abs=1e-4), 2)
    # Growth that turns: the line runs on to 2·8000, LOCF stays.
    skill, origins = rolling_skill(t, np.array([1000.0, 2000, 4000, 8000, 8000]), "exponential")
    assert origins == 2
    assert skill == pytest.approx(0.0, abs=1e-3)  # ours 0 + ln 2, LOCF's ln 2 + 0


def test_skill_is_unknown_with_too_few_points_or_nothing_to_save():
    assert forecast(points([0, 30, 60, 90], [500, 600, 700, 800]), [30]).skill_vs_locf is None
    assert forecast(points([0, 30, 60, 90, 120], [500] * 5), [30]).skill_vs_locf is None


def test_points_of_two_lesions_and_impossible_horizons_are_errors():
    with pytest.raises(InputError, match="L1, L2"):
        forecast(points([0], [1]) + points([0], [1], "L2"), [30])
    with pytest.raises(InputError, match="at least 0 days"):
        forecast(points([0, 1, 2], [500] * 3), [-1])
    with pytest.raises(InputError, match="Unknown method"):
        forecast([], [1], method="oracle")


def test_a_horizon_beyond_what_was_observed_is_said():
    notes = forecast(points([0, 30, 60], [500, 600, 700]), [90, 900]).notes
    assert any("longer than the time observed" in note for note in notes)
    assert any("longer than any in the data" in note for note in notes)


@settings(max_examples=15)
@given(
    volumes=st.lists(st.floats(200, 50000), min_size=3, max_size=5), factor=st.floats(1.0, 50.0),
    shift=st.integers(-300, 300),
)  # fmt: skip
def test_forecasts_follow_the_unit_of_volume_and_the_origin_of_time(volumes, factor, shift):
    days = np.arange(len(volumes)) * 50
    one = forecast(points(days, volumes), [40, 160])
    two = forecast(points(days + shift, np.array(volumes) * factor), [40, 160])
    for name in ("median_mm3", "low80_mm3", "high95_mm3", "locf_mm3"):
        assert getattr(two, name) == pytest.approx(getattr(one, name) * factor, rel=1e-3)
    assert two.days == pytest.approx(one.days + shift)


@settings(max_examples=15)
@given(st.permutations([(0, 800.0), (40, 900.0), (90, 1500.0), (130, 1400.0)]))
def test_the_order_of_the_points_does_not_matter(shuffled):
    ordered = forecast(points(*zip(*sorted(shuffled), strict=True)), [60])
    assert forecast(points(*zip(*shuffled, strict=True)), [60]).high80_mm3 == pytest.approx(ordered.high80_mm3)


def test_bands_cover_simulated_gompertz_growth_as_they_say():
    random = np.random.default_rng(11)
    days = np.arange(0, 361, 45.0)
    truth = CURVES["gompertz"].volume_mm3(days, 2000, 20000, 0.012)
    inside80 = inside95 = 0
    for _ in range(100):
        seen = truth * np.exp(random.normal(0, 0.25, days.size))
        band = predict(choose(days[:-1], seen[:-1], "gompertz"), days[-1:])
        inside80 += band.low80_mm3[0] <= seen[-1] <= band.high80_mm3[0]
        inside95 += band.low95_mm3[0] <= seen[-1] <= band.high95_mm3[0]
    # .1 % quantiles of Binomial(100, p): 67 and 87; an honest band is not all of the axis either.
    assert 67 <= inside80 <= 94
    assert inside95 >= 87


def test_the_reader_handles_the_traps_of_the_file(tmp_path):
    lesion = [(60, 1e3), (-7, 9e2), (20, 0), (60, 2e3), (90, 5e2), (120, 30), (150, 70)]
    rows = ["Pt_hashID,T_days,Lesion_vol", *(f"a,{day},{volume}" for day, volume in lesion), "b,0,5", "b,9,6"]
    path = tmp_path / "f.csv"
    path.write_text("\n".join(rows))
    ((days, volumes),) = learn_locf.read_series(path)
    assert days.tolist() == [-7, 20, 60, 90, 120, 150]
    assert volumes == pytest.approx([900, FLOOR_MM3, 2000, 500, FLOOR_MM3, 70])


@pytest.mark.parametrize(
    ("text", "message"), [("x,y\n1,2\n", "lacks the columns"), ("Pt_hashID,T_days,Lesion_vol\na,soon,1\n", "row 2")]
)
def test_a_file_that_is_not_one_is_named(tmp_path, text, message):
    path = tmp_path / "f.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        learn_locf.read_series(path)


def test_the_command_says_in_one_line_what_is_wrong(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "core.growth.learn_locf", str(tmp_path / "none.csv")], capture_output=True, text=True,
        cwd=Path(__file__).parents[1], check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "Cannot read" in done.stderr


def test_shipped_quantiles_carry_their_provenance_and_no_rows():
    shipped = json.loads(SHIPPED.read_text())
    assert "10.1371/journal.pcbi.1009822" in shipped["source"]
    assert len(shipped["source_sha256"]) == 64
    assert all(len(row["log_error"]) == 5 for row in shipped["measurable"] + shipped["at_floor"])
    assert shipped_quantiles().log_errors([1.0, 1e5]).shape == (5, 2)


def test_shipped_quantiles_are_what_the_command_makes_from_the_real_file(shared_data):
    assert learn_locf.document(shared_data / LALEH) == json.loads(SHIPPED.read_text())


def test_locf_on_the_real_file_is_as_wrong_as_published_and_its_interval_covers(shared_data):
    measured = learn_locf.evaluate(learn_locf.read_series(shared_data / LALEH), holdout=2)
    # 14.3 % and .370 on the 641 lesions of the whole data set; this part of it has 438: 14.5 % and .364.
    assert measured["lesions"] == 438
    assert measured["median_ape_percent"] == pytest.approx(14.3, abs=0.5)
    assert measured["mean_abs_log_error"] == pytest.approx(0.370, abs=0.01)
    assert 0.78 <= measured["coverage_80"] <= 0.84
    assert 0.93 <= measured["coverage_95"] <= 0.97


def test_the_held_curve_covers_real_lesions_and_is_told_to_be_worse_than_locf(shared_data):
    series = learn_locf.read_series(shared_data / LALEH)[::4]
    series = [(t, v) for t, v in series if (v[:-2] > FLOOR_MM3).sum() >= 3]
    bands = [predict(choose(t[:-2], v[:-2]), t[-2:]) for t, v in series]
    ahead = np.concatenate([v[-2:] for _, v in series])
    low, mid, high = (np.concatenate([getattr(b, k) for b in bands]) for k in ("low80_mm3", "median_mm3", "high80_mm3"))
    last = np.repeat([v[-3] for _, v in series], 2)
    assert len(series) > 90
    assert 0.75 <= ((ahead >= low) & (ahead <= high)).mean() <= 0.92
    ours, theirs = np.abs(np.log(ahead / mid)).mean(), np.abs(np.log(ahead / last)).mean()
    assert theirs < ours < 1.35 * theirs
