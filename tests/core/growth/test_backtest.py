"""The back-test: it names every method and figure, and no forecast knows what came later."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import cli
from core.errors import InputError
from core.growth.backtest import backtest
from core.growth.curves import GROWTH_LAWS
from core.growth.methods import FITS, POPULATION, fit_forecast
from core.growth.population import MEDIAN, default_population
from core.growth.series import Lesion, backtest_cases
from tests.core.growth.simulated_lesions import simulated

ROOT = Path(__file__).parents[3]
LALEH = "growth/laleh2022_dev.csv"


@pytest.mark.soak
def test_the_backtest_names_every_method_and_figure_and_locf_has_no_skill_against_itself():
    answer = backtest(simulated(6, scans=9))
    assert set(answer["holdout"]) == {"1", "2", "3"}
    assert set(answer["horizon_weeks"]) == {"0-8", "8-16", "16-32", ">32", ">16"}
    wanted = {
        "n",
        "median_ape_percent",
        "mean_abs_log_error",
        "coverage_50",
        "coverage_80",
        "coverage_95",
        "interval_score_80",
        "crps",
        "skill_vs_locf",
        "skill_low",
        "skill_high",
        "milliseconds",
    }
    for table in (*answer["holdout"].values(), *answer["horizon_weeks"].values()):
        assert set(table) == {*POPULATION, *FITS}
        for figures in table.values():
            assert wanted <= set(figures)
        assert table["locf"]["skill_vs_locf"] == 0
    # Nine scans a lesion: the fourth to the ninth can be forecast from the one before.
    assert {case: table["combined"]["n"] for case, table in answer["next_scan"].items()} == {
        "any": 6 * 6,
        "the last": 6,
        "not the last": 6 * 5,
    }
    assert answer["next_scan"]["the last"]["locf"] == answer["holdout"]["1"]["locf"]
    held = answer["holdout"]["2"]["locf"]
    ahead = [np.log(x.volumes_mm3[-2:] / x.volumes_mm3[-3]) for x in simulated(6, scans=9)]
    assert held["n"] == 12
    assert held["mean_abs_log_error"] == pytest.approx(np.abs(ahead).mean())


def test_a_file_without_a_long_enough_lesion_is_refused_and_an_unchanging_one_has_no_skill(tmp_path):
    with pytest.raises(InputError, match="at least 6 scans"):
        backtest([])
    still = [Lesion("a-1", np.linspace(0, 252, 7), np.full(7, 900.0))]
    answer = backtest(still, fits=False)
    json.dumps(answer, allow_nan=False)
    assert answer["holdout"]["2"]["combined"]["skill_vs_locf"] is None
    assert answer["holdout"]["2"]["combined"]["mean_abs_log_error"] == 0


def test_no_forecast_knows_what_came_later():
    lesions = simulated(6)
    changed = [x._replace(volumes_mm3=np.append(x.volumes_mm3[:-1], 99.0)) for x in lesions]
    o, other = backtest_cases(lesions), backtest_cases(changed)
    for name in ("combined", "trend_prior"):
        horizon, _ = o.grid()
        made = [POPULATION[name].forecast(default_population().everyone, part.past, horizon) for part in (o, other)]
        assert made[0] == pytest.approx(made[1])


def test_a_law_with_too_few_points_makes_no_forecast():
    assert np.isnan(fit_forecast("logistic", np.array([0.0, 1]), np.array([100.0, 200]), np.array([5.0]))).all()
    made = fit_forecast(
        "exponential", np.array([0.0, 50, 100]), 100 * np.exp(0.01 * np.array([0.0, 50, 100])), np.array([50.0])
    )
    assert made[0, MEDIAN] == pytest.approx(0.5, abs=1e-6)
    assert set(FITS.values()) == set(GROWTH_LAWS)


def test_on_real_lesions_the_forecast_is_as_good_as_is_claimed(shared_data, capsys):
    assert cli.main(["backtest", "growth", str(shared_data / LALEH), "--json", "--quick"]) == 0
    answer = json.loads(capsys.readouterr().out)
    held = answer["holdout"]["2"]
    ours, locf = held["combined"], held["locf"]
    assert ours["n"] == 876
    assert ours["median_ape_percent"] <= 15
    assert ours["mean_abs_log_error"] <= locf["mean_abs_log_error"]
    assert 0.78 <= ours["coverage_80"] <= 0.84
    assert ours["interval_score_80"] <= 2.45
    for weeks in ("16-32", ">32", ">16"):
        assert answer["horizon_weeks"][weeks]["combined"]["skill_low"] > 0
    # Follow-up tends to end where a lesion has grown, so the last scan is missed more often than those before it.
    following = answer["next_scan"]
    assert following["the last"]["combined"]["coverage_80"] < 0.8 < following["not the last"]["combined"]["coverage_80"]
    # 14.3 % and .370 are of the whole file, 641 lesions of six points; the development file has 438 of them.
    assert locf["median_ape_percent"] == pytest.approx(14.3, abs=0.5)
    assert locf["mean_abs_log_error"] == pytest.approx(0.370, abs=0.01)
