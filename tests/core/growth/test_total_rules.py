"""The rules of the total of a patient's lesions: the tails of a draw, what is gone, hindcasts, where it ends, notes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from scipy.stats import norm

from core.growth import burden
from core.growth.burden import ASSUMED, sum_lesion_forecasts, total_forecast
from core.growth.curves import FLOOR_MM3
from core.growth.forecast import UNAWARE, clean_series, forecast, histories_until
from core.growth.population import LEVELS, MEDIAN, default_population, locf_quantiles
from core.types import VolumePoint

DAYS = (10, 52, 94, 136)
LIMITS = np.array([[-1.0, -0.5, -0.2, 0.0, 0.1, 0.3, 0.9]])


def points(days: Sequence[float], volumes: Sequence[float], lesion: str = "L1") -> list[VolumePoint]:
    return [
        VolumePoint(f"day {d}", float(d), float(v), lesion, f"mask {d}", 1) for d, v in zip(days, volumes, strict=True)
    ]


def one_draw(monkeypatch: pytest.MonkeyPatch, *scores: float) -> None:
    """Every lesion is drawn once, with this normal score."""
    monkeypatch.setattr(burden, "DRAWS", 1)
    monkeypatch.setattr(burden, "_scores", lambda lesions: np.array([scores]))


@pytest.mark.parametrize("side", [0, -1])
def test_beyond_the_outer_limits_a_draw_goes_on_along_the_line_of_the_last_two(monkeypatch, side):
    at, limits = norm.ppf(LEVELS), LIMITS[0]
    inner = (1, -2)[side]
    score = float(at[side]) * 1.5
    slope = (limits[side] - limits[inner]) / (at[side] - at[inner])
    one_draw(monkeypatch, score)
    expected = 1000 * np.exp(limits[side] + slope * (score - at[side]))
    assert sum_lesion_forecasts([LIMITS], [1000.0], [False])[0] == pytest.approx([expected] * 7)


def test_between_two_limits_a_draw_lies_on_the_line_of_their_normal_scores(monkeypatch):
    at = norm.ppf(LEVELS)
    one_draw(monkeypatch, float(at[5] + at[6]) / 2, float(at[0]))
    both = sum_lesion_forecasts([LIMITS, LIMITS], [1000.0, 2000.0], [False, False])[0]
    assert both == pytest.approx([1000 * np.exp(0.6) + 2000 * np.exp(-1.0)] * 7)


@pytest.mark.parametrize(
    ("score", "gone", "expected"),
    [(-1.0, True, 0.0), (-1.0, False, FLOOR_MM3), (1.0, True, None), (1.0, False, None), (0.1, True, None)],
)
def test_a_lesion_that_was_gone_counts_only_where_it_comes_back_above_the_floor(monkeypatch, score, gone, expected):
    one_draw(monkeypatch, score)
    if expected is None:
        expected = FLOOR_MM3 * np.exp(np.interp(score, norm.ppf(LEVELS), LIMITS[0]))
    assert sum_lesion_forecasts([LIMITS], [FLOOR_MM3], [gone])[0] == pytest.approx([expected] * 7)


def test_a_lesion_too_small_to_measure_counts_in_the_middle_as_one_of_5_mm():
    lesions = {"L1": points(DAYS, [1000] * 4), "L2": points(DAYS, [900, 500, 300, 0.5], "L2")}
    answer = total_forecast(lesions, points(DAYS, [1900, 1500, 1300, 1000.5], "total"), [28])
    assert answer.fan.median_mm3.tolist() == pytest.approx([1000 + FLOOR_MM3])


def test_the_total_of_locf_is_drawn_from_the_measured_intervals_of_its_lesions():
    learned = default_population().everyone
    lesions = {"L1": points(DAYS, [1000, 1200, 1500, 1400]), "L2": points(DAYS, [300, 350, 250, 200], "L2")}
    answer = total_forecast(lesions, points(DAYS, [1300, 1550, 1750, 1600], "total"), [28, 84])
    assert answer.locf.days.tolist() == answer.fan.days.tolist() == [136 + 28, 136 + 84]
    tables = [
        locf_quantiles(learned, histories_until(clean_series(series), 3), np.array([[28.0, 84.0]]))[0]
        for series in lesions.values()
    ]
    expected = sum_lesion_forecasts(tables, [1400.0, 200.0], [False, False])
    expected[:, MEDIAN] = 1600
    assert answer.locf.quantiles_mm3 == pytest.approx(expected)


def test_what_cannot_be_forecast_in_a_total_has_the_interval_of_locf_and_moves_nothing():
    lesions = {"L1": points(DAYS[1:], [300, 300, 0]), "L2": points(DAYS[1:], [300, 350, 0], "L2")}
    total = points(DAYS, [900, 600, 650, 500], "total")
    answer = total_forecast(lesions, total, [28, 168])
    assert not answer.moved
    assert answer.fan.quantiles_mm3 == pytest.approx(answer.locf.quantiles_mm3)


def test_a_total_in_which_no_lesion_was_measured_last_is_refused():
    answer = total_forecast({"L1": points(DAYS[:3], [1000] * 3)}, points(DAYS, [1000] * 4, "total"), [28])
    assert answer.refused == "No lesion counts in the last total."
    few = total_forecast({"L1": points(DAYS[:2], [1000] * 2)}, points(DAYS[:2], [1000] * 2, "total"), [28])
    assert few.refused is not None
    assert "at least 3 accepted masks" in few.refused
    assert "there are none" in str(total_forecast({}, [], [28]).refused)


def test_the_total_ends_at_twice_the_time_observed_and_its_notes_say_what_is_in_it():
    lesions = {"L1": points(DAYS, [1000, 1200, 1500, 1400]), "L2": points(DAYS, [300] * 4, "L2")}
    total = points(DAYS, [1300, 1500, 1800, 1700], "total")
    answer = total_forecast(lesions, total, [252, 253])
    assert answer.fan.days.tolist() == [136 + 252]
    end = "It ends after 36 weeks: twice the 126 days observed."
    (far,) = answer.warnings
    assert far.startswith("Beyond 18 weeks it looks further ahead")
    assert answer.notes == (far, ASSUMED, UNAWARE, end)
    assert total_forecast(lesions, total, [126]).notes == (ASSUMED, UNAWARE)
    assert not total_forecast(lesions, total, [28, 168]).moved


def test_a_hindcast_of_the_total_is_the_forecast_that_would_have_been_made_then():
    days = [10, 52, 94, 262, 310]
    lesions = {
        "L1": points(days, [8000, 5000, 3500, 3000, 2800]),
        "L2": points(days, [4000, 3000, 2000, 900, 800], "L2"),
    }
    total = points(days, [12000, 8000, 5500, 3900, 3600], "total")
    checks = total_forecast(lesions, total, [28]).checks
    assert [(c.origin_timepoint, c.target_timepoint, c.days) for c in checks] == [
        ("day 94", "day 262", 168),
        ("day 262", "day 310", 48),
    ]
    assert [(c.last_mm3, c.observed_mm3) for c in checks] == [(5500, 3900), (3900, 3600)]
    for check, known in zip(checks, (3, 4), strict=True):
        then = {name: series[:known] for name, series in lesions.items()}
        fan = total_forecast(then, total[:known], [check.days]).fan
        low, high = fan.limits_mm3(80)
        assert check.median_mm3 == pytest.approx(fan.median_mm3[0])
        assert (check.low80_mm3, check.high80_mm3) == (pytest.approx(low[0]), pytest.approx(high[0]))
    assert checks[0].median_mm3 != pytest.approx(5500, rel=0.01)


def test_visits_before_which_no_total_could_be_forecast_have_no_hindcast_and_later_ones_have():
    days = [0, 42, 84, 126, 168, 210, 252]
    volumes = [1000, 0, 0, 1000, 1000, 1000, 1000]
    lesions = {name: points(days, volumes, name) for name in ("L1", "L2")}
    total = points(days, [2 * volume for volume in volumes], "total")
    assert [c.target_timepoint for c in total_forecast(lesions, total, [28]).checks] == ["day 210", "day 252"]
    unmeasured = {name: [p for p in series if p.days != 168] for name, series in lesions.items()}
    assert [c.target_timepoint for c in total_forecast(unmeasured, total, [28]).checks] == ["day 252"]


def test_the_forecast_of_the_only_lesion_is_that_of_the_total_with_what_was_learned_and_measured():
    series = points(DAYS[:3], [4000, 2000, 1000])
    noise = {"mask 94": 0.6}
    answer = total_forecast({"L1": series}, points(DAYS[:3], [4000, 2000, 1000], "total"), [168], None, noise)
    assert answer.fan.quantiles_mm3 == pytest.approx(forecast(series, [168], None, noise).fan.quantiles_mm3)
