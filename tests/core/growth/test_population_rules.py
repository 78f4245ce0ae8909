"""What a population makes of a history: its summary, its features, its quantiles, on values written by hand."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

from core.errors import InputError
from core.growth import population as module
from core.growth.curves import FLOOR_MM3
from core.growth.population import LEVELS, MEDIAN, PopulationParameters, default_population, probability_below
from core.growth.prior import posterior
from core.growth.series import LOG_FLOOR, LesionHistories, lesion_histories, padded_history

SHIPPED = Path(module.__file__).with_name("population.json")
TABLE = np.array([-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0])


def history(*lesions: tuple[list[float], list[float]]) -> LesionHistories:
    """Of each lesion its days, and how far its log volumes lie above the floor."""
    rows = [
        padded_history(np.array(days), np.exp(LOG_FLOOR + np.array(above)), len(days) - 1) for days, above in lesions
    ]
    return lesion_histories(rows, [len(days) for days, _ in lesions])


def parameters(**changes: Any) -> PopulationParameters:
    """Nothing moves, no band: only what is changed has an effect."""
    nothing = {"measurable": np.zeros((7, 12)), "at_floor": np.zeros((7, 4))}
    still = {state: np.zeros(7) for state in nothing}
    shipped = default_population().everyone
    values: dict[str, Any] = {
        "weights": {law: np.zeros((2, 3)) for law in shipped.weights},
        "band": nothing,
        "shift": still,
        "locf_days": {state: np.array([30.0, 90.0]) for state in nothing},
        "locf": {state: np.zeros((2, 7)) for state in nothing},
        **changes,
    }
    return replace(shipped, **values)


def test_the_summary_of_a_history_is_what_counting_gives():
    # Steps of +0.5 in 42 days and of -1 in 168: as over six weeks 0.5 and 1 / 2. The last slope is -1 in 168 days.
    past = history(([0.0, 42.0, 210.0], [2.0, 2.5, 1.5]), ([0.0, 7.0], [1.0, 1.3]), ([0.0], [4.0]))
    found = module.history_summary(past)
    assert found["step"] == pytest.approx([0.5, 0.3 / math.sqrt(14 / 42), 0])
    # Within twenty days a slope is counted as over twenty; a month has thirty.
    assert found["slope"] == pytest.approx([-30 / 168, 0.3 / 20 * 30, 0])
    assert found["rise"] == pytest.approx([0, 0.3, 0], abs=1e-12)
    assert found["size"] == pytest.approx([1.5, 1.3, 4])
    assert found["young"] == pytest.approx([math.exp(-2.1), math.exp(-0.07), 1])
    assert module.history_summary(history(([0.0, 9.0, 20.0], [2.0, 0.5, 1.7])))["rise"] == pytest.approx([1.2])


def test_the_features_of_a_measurable_lesion_are_products_of_its_summary_and_the_root_of_the_horizon():
    names = ("step", "slope", "rise", "size", "young")
    values = {name: np.array([x, 9.0, -9.0]) for name, x in zip(names, (0.4, 0.3, 0.2, 2.0, 0.7), strict=True)}
    found = module.design_matrix("measurable", values, np.full(3, 240.0), np.array([0.25, 9.0, -9.0]))
    small = math.exp(-2)  # the root of 240 days in units of 60 is 2
    assert found[0] == pytest.approx([1, 2, 4, 0.4, 0.8, 4.0, 2 * small, small, 0.6, 1.4, 0.4, 0.25])
    high, low = math.exp(-9), math.exp(9)
    assert found[1] == pytest.approx([1, 2, 4, 1.5, 3, 12, 2 * high, high, 2, 18, 4, 1])
    assert found[2] == pytest.approx([1, 2, 4, 0, 0, 0, 2 * low, low, -2, -18, 0, -1])


def test_the_features_of_a_lesion_at_the_floor_are_its_horizon_and_how_long_it_was_watched():
    found = module.design_matrix("at_floor", {"young": np.array([0.7])}, np.array([240.0]), np.zeros(1))
    assert found.tolist() == [pytest.approx([1, 2, 0.7, 1.4])]


def test_the_weight_of_a_prior_lies_between_the_middles_of_its_bins_and_changes_after_the_third_scan():
    early, late = [0.0, 1.0, 0.5], [0.2, 0.4, 0.0]
    learned = parameters(weights={"trend": np.array([early, late]), "tgi": np.zeros((2, 3))})
    past = history(([0.0, 42.0, 84.0], [3.0, 2.5, 2.4]), ([0.0, 42.0, 84.0, 126.0], [3.0, 2.5, 2.4, 2.9]))
    horizon = np.array([[28.0, 56.0, 84.0, 126.0, 300.0], [0.0, 56.0, 84.0, 112.0, 140.0]])
    weights = np.array([[0.0, 0.5, 1.0, 0.625, 0.5], [0.2, 0.3, 0.4, 0.2, 0.0]])
    alone, _ = module.prior_change(learned, "trend", past, horizon)
    assert module.combined_change(learned, past, horizon) == pytest.approx(weights * alone)
    both = replace(learned, weights={"trend": learned.weights["trend"], "gompertz": np.ones((2, 3))})
    second, _ = module.prior_change(learned, "gompertz", past, horizon)
    assert module.combined_change(both, past, horizon) == pytest.approx(weights * alone + second)


def test_a_prior_says_how_far_the_volume_will_have_moved_from_the_last_one():
    learned = parameters()
    past = history(([0.0, 42.0, 84.0], [3.0, 2.5, 2.4]))
    mean, variance = posterior(
        "tgi", learned.priors["tgi"], past.days, past.logs, past.seen, np.array([[84.0 + 28, 84.0 + 56]])
    )
    change, sd = module.prior_change(learned, "tgi", past, np.array([[28.0, 56.0]]))
    assert change == pytest.approx(mean - LOG_FLOOR - 2.4)
    assert sd == pytest.approx(np.sqrt(variance))
    alone = module.prior_alone(
        replace(learned, standardised={"tgi": TABLE / 10}), "tgi", past, np.array([[28.0, 56.0]])
    )
    assert alone[0] == pytest.approx(change[0][:, None] + sd[0][:, None] * TABLE / 10)


def test_the_median_of_a_prior_alone_is_its_mean_whatever_was_learned_of_its_errors():
    learned = parameters(standardised={"tgi": TABLE + 0.5})
    past = history(([0.0, 42.0, 84.0], [9.0, 9.5, 9.4]))
    change, _ = module.prior_change(learned, "tgi", past, np.array([[28.0, 56.0]]))
    alone = module.prior_alone(learned, "tgi", past, np.array([[28.0, 56.0]]))
    assert alone[..., MEDIAN] == pytest.approx(change)
    assert alone.shape == (1, 2, 7)


def test_each_lesion_has_the_band_of_its_own_state_about_the_combined_median():
    """Two lesions, one at the floor, two horizons: bands of one feature each."""
    band = {"measurable": np.zeros((7, 12)), "at_floor": np.zeros((7, 4))}
    band["measurable"][:, 1], band["at_floor"][:, 2] = TABLE / 10, TABLE / 5  # by the root; by how short it was watched
    learned = parameters(
        widen={},
        back=np.zeros(7),  # what a lesion at the floor is given at least has tests of its own
        band=band,
        shift={"measurable": np.full(7, 0.01), "at_floor": np.array([0, 0, 0, 0, 0.5, 0.6, 0.7])},
    )
    past = history(([0.0, 42.0, 84.0], [9.0, 9.5, 9.4]), ([0.0, 42.0, 100.0], [1.0, 0.5, 0.0]))
    found = module.combined_quantiles(learned, past, np.array([[60.0, 240.0], [60.0, 240.0]]))
    assert found.shape == (2, 2, 7)
    measured = 0.01 + TABLE / 10, 0.01 + TABLE / 5
    for h in (0, 1):
        expected = measured[h].copy()
        expected[MEDIAN] = 0
        assert found[0, h] == pytest.approx(expected)
        young = math.exp(-1)
        assert found[1, h] == pytest.approx([0, 0, 0, 0, 0.5 + young / 5, 0.6 + young * 0.4, 0.7 + young * 0.6])


def test_the_errors_of_locf_lie_between_those_of_the_horizons_they_were_counted_at():
    errors = {"measurable": np.array([TABLE, 3 * TABLE]) / 10, "at_floor": np.array([TABLE, 2 * TABLE]) / 5}
    learned = parameters(locf={state: table + 0.01 for state, table in errors.items()})
    past = history(([0.0, 42.0, 84.0], [9.0, 9.5, 9.4]), ([0.0, 42.0, 100.0], [1.0, 0.5, 0.0]))
    found = module.locf_quantiles(learned, past, np.array([[10.0, 60.0, 200.0], [10.0, 60.0, 200.0]]))
    for h, times in enumerate((1.0, 2.0, 3.0)):
        expected = 0.01 + times * TABLE / 10
        expected[MEDIAN] = 0
        assert found[0, h] == pytest.approx(expected)
    for h, times in enumerate((1.0, 1.5, 2.0)):
        expected = np.maximum(0.01 + times * TABLE / 5, 0)
        expected[: MEDIAN + 1] = 0
        assert found[1, h] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("given", "floor", "mended"),
    [
        ([-3, -2, -1, 0, 1, 2, 3], -9, [-3, -2, -1, 0, 1, 2, 3]),
        ([-1, -2, -3, 0, 3, 2, 1], -9, [-3, -3, -3, 0, 3, 3, 3]),
        ([1, 2, 3, 0, -1, -2, -3], -9, [0, 0, 0, 0, 0, 0, 0]),
        ([-3, -2, -1, 0, 1, 2, 3], -1.5, [-1.5, -1.5, -1, 0, 1, 2, 3]),
        ([-3, -2, -1, 0, 1, 2, 3], 1.5, [1.5, 1.5, 1.5, 1.5, 1.5, 2, 3]),
    ],
)
def test_limits_are_put_in_order_outward_from_the_median_and_above_the_floor(given, floor, mended):
    both = module.fix_quantile_crossing(np.array([given, TABLE.tolist()], float), np.array([floor, -9.0]))
    assert both[0].tolist() == mended
    assert both[1].tolist() == TABLE.tolist()


def test_a_probability_goes_by_normal_scores_between_limits_and_on_their_line_beyond():
    at = norm.ppf(LEVELS)
    limits = np.array([-3.0, -2.0, -1.0, 0.0, 0.5, 0.7, 2.0])
    middle = 0.6  # halfway between the limits of 0.75 and 0.9
    below = at[0] + (at[1] - at[0]) * (-4 + 3) / 1
    above = at[5] + (at[6] - at[5]) * (3 - 0.7) / 1.3
    expected = norm.cdf([(at[4] + at[5]) / 2, below, above, *at])
    values = np.array([middle, -4.0, 3.0, *limits])
    assert probability_below(np.tile(limits, (10, 1)), values) == pytest.approx(expected)


def test_a_probability_where_all_limits_are_one_is_certain_and_the_next_row_is_answered_too():
    flat = np.zeros((3, 7))
    table = np.vstack([flat, norm.ppf(LEVELS)[None]])
    assert probability_below(table, np.array([0.1, -0.1, 0.0, 0.0])) == pytest.approx([1, 0, 0, 0.5])
    # Half of the limits at the floor: of lying just above it the probability is the highest level there.
    half = np.array([[0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 3.0]])
    assert probability_below(half, np.array([0.0])) == pytest.approx([0.5])
    two = np.array([[0.0] * 6 + [1.0]])
    assert probability_below(two, np.array([0.5])) == pytest.approx([norm.cdf((norm.ppf(0.9) + norm.ppf(0.975)) / 2)])


def test_a_file_that_is_no_population_is_refused_and_the_shipped_one_is_read_whole(tmp_path):
    values = json.loads(SHIPPED.read_text(encoding="utf-8"))
    read = module.Population.from_json(values)
    assert (read.version, read.lesions, len(read.folds)) == (2, values["lesions"], 5)
    assert read.everyone.max_days == values["everyone"]["max_days"]
    assert read.folds[3].shift["at_floor"].tolist() == values["folds"][3]["shift"]["at_floor"]
    without = {name: value for name, value in values.items() if name != "next_scan"}
    assert module.Population.from_json(without).next_scan == {}
    wrong: list[Any] = [
        {**values, "version": 3},
        {**values, "version": 1},
        {**values, "folds": values["folds"][:4]},
        {**values, "folds": values["folds"] * 2},
    ]
    for changed in wrong:
        with pytest.raises(InputError, match="version 2"):
            module.Population.from_json(changed)
    others: list[Any] = [{}, 1, {**values["everyone"], "band": [1]}]
    no_parameters = (json.dumps({**values, "everyone": other}) for other in others)
    for number, content in enumerate(("no JSON", "[]", "{}", *no_parameters)):
        path = tmp_path / f"{number}.json"
        path.write_text(content)
        with pytest.raises(InputError, match=rf"{path.name}|version 2"):
            module.read_population(path)
    with pytest.raises(InputError, match="absent"):
        module.read_population(tmp_path / "absent.json")


def test_the_newest_population_that_was_learned_here_is_in_force_else_the_shipped_one():
    values = json.loads(SHIPPED.read_text(encoding="utf-8"))
    sets: list[Any] = [kept({**values, "source": name}) for name in ("first", "second", "third")]
    assert module.active_population(sets).source == "third"
    assert module.active_population([]).sha256 == values["source_sha256"]


def kept(detail: dict[str, Any]) -> Any:
    return type("Kept", (), {"detail": detail})()


def test_a_lesion_at_the_floor_is_not_moved_by_a_prior_and_its_neighbour_is():
    learned = parameters(weights={"trend": np.ones((2, 3))})
    past = history(([0.0, 42.0, 84.0], [3.0, 2.5, 2.4]), ([0.0, 42.0, 84.0], [1.0, 0.5, 0.0]))
    found = module.combined_change(learned, past, np.array([[84.0], [84.0]]))
    assert found[0, 0] == pytest.approx(module.prior_change(learned, "trend", past, np.array([[84.0]] * 2))[0][0, 0])
    assert found[1, 0] == 0
    assert math.exp(LOG_FLOOR) == pytest.approx(FLOOR_MM3)
