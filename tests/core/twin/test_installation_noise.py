"""This installation's own noise from repeated measurements; figures by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from core.errors import InputError
from core.twin.installation_noise import RepeatedMeasurement, estimate_noise


def pairs(*log_ratios: float) -> list[RepeatedMeasurement]:
    return [RepeatedMeasurement(1000.0, 1000.0 * math.exp(ratio), 20.0 + n, "CT") for n, ratio in enumerate(log_ratios)]


@pytest.mark.parametrize(
    ("log_ratios", "log_sd"),
    [
        ((0.2,), math.sqrt(0.04 / 2)),
        ((0.1, -0.1), math.sqrt(0.02 / 4)),
        ((0.3, 0.0, -0.4), math.sqrt(0.25 / 6)),
        ((0.0, 0.0), 0.0),
    ],
)
def test_the_deviation_is_the_root_of_half_the_mean_square_of_the_log_ratios(
    log_ratios: tuple[float, ...], log_sd: float
) -> None:
    assert estimate_noise(pairs(*log_ratios)).log_sd == pytest.approx(log_sd)


def test_ten_pairs_are_enough_and_their_interval_is_that_of_chi_square() -> None:
    """Quantiles of chi-square of ten degrees of freedom: 3.247 and 20.483; Student's t 2.228."""
    found = estimate_noise(pairs(*[0.1, -0.1] * 5))
    assert found.log_sd == pytest.approx(0.070711, abs=1e-6)
    assert found.low95 == pytest.approx(0.070711 * math.sqrt(10 / 20.483), abs=1e-5)
    assert found.high95 == pytest.approx(0.070711 * math.sqrt(10 / 3.247), abs=1e-4)
    assert found.used_log_sd == pytest.approx(0.070711 * 2.2281 / 1.959964, abs=1e-5)
    assert (found.is_enough, estimate_noise(pairs(*[0.1] * 9)).is_enough) == (True, False)
    assert (found.smallest_diameter_mm, found.largest_diameter_mm) == (20.0, 29.0)


def test_masks_that_never_differ_are_copies_and_are_not_used() -> None:
    assert not estimate_noise(pairs(*[0.0] * 20)).is_enough


def test_the_rule_says_what_was_repeated_and_how_often() -> None:
    assert estimate_noise(pairs(0.1, 0.2), "readers").rule == (
        "own repeatability, CT, 20–21 mm, 2 readings by two readers"
    )
    of_mr = [replace(pair, modality="MR", sequence="T1") for pair in pairs(0.1)]
    assert estimate_noise(of_mr).rule == "own repeatability, MR T1, 20–20 mm, 1 repeated scans"


def test_the_interval_holds_the_true_deviation_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(5)
    held = 0
    for _ in range(400):
        found = estimate_noise(pairs(*rng.normal(0.0, 0.12 * math.sqrt(2), 12)))
        held += found.low95 <= 0.12 <= found.high95
    assert 0.92 <= held / 400 <= 0.98


def test_pairs_that_are_no_measurements_of_one_thing_are_refused() -> None:
    with pytest.raises(InputError, match="at least one pair"):
        estimate_noise([])
    with pytest.raises(InputError, match=r"one modality and sequence, got CT, MR T1\."):
        estimate_noise([*pairs(0.1), replace(pairs(0.1)[0], modality="MR", sequence="T1")])
    for figures in ((0.0, 1.0, 20.0), (1.0, math.nan, 20.0), (1.0, 1.0, 0.0)):
        with pytest.raises(InputError, match="two volumes and a diameter above 0"):
            estimate_noise([RepeatedMeasurement(*figures, "CT")])
