"""What the mask gate measures of a mask, on phantoms whose answers are known by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from core.gates.mask.bounds import body_of, bounds_of
from core.gates.mask.components import part_of
from core.gates.mask.contrast import contrast_of
from core.gates.mask.local import around
from core.gates.mask.looking import Surroundings, vectors_of
from core.gates.mask.past import PastLesion, history_of, limits, position_of
from core.gates.mask.rules import broken_rules
from core.types import Grid, LabelMap, Volume

#: 2 mm cubes; a body 60 x 60 mm across in air, a hot ball of 12 mm radius in its middle.
SHAPE, MM = (40, 40, 30), 2.0
GRID = Grid(SHAPE, np.diag([MM, MM, MM, 1.0]))
AT = np.stack(np.meshgrid(*(np.arange(n) * MM for n in SHAPE), indexing="ij"), axis=-1)
MIDDLE = np.array([40.0, 40.0, 30.0])


def _ball(radius_mm: float, middle: np.ndarray = MIDDLE) -> np.ndarray:
    return np.linalg.norm(AT - middle, axis=-1) <= radius_mm


BODY = (np.abs(AT[..., 0] - 40) < 30) & (np.abs(AT[..., 1] - 40) < 30)
PET = Volume(np.where(_ball(12), 8.0, np.where(BODY, 1.0, 0.0)).astype(np.float32), GRID, "PET")
CT = Volume(np.where(_ball(12), 40.0, np.where(BODY, -90.0, -1000.0)).astype(np.float32), GRID, "CT")


def _mask(inside: np.ndarray, *more: np.ndarray) -> LabelMap:
    array = inside.astype(np.uint8)
    for number, one in enumerate(more, 2):
        array[one] = number
    return LabelMap(array, GRID)


def _contrast(inside: np.ndarray, channel: str) -> dict[str, float]:
    seen = around(_mask(inside), 1, [PET, CT])
    assert seen is not None
    return contrast_of(seen, channel)


def test_the_right_mask_has_the_whole_step_at_its_border_and_nothing_on_either_wrong_side():
    found = _contrast(_ball(12), "PET")
    assert found["beyond/left_out"] == 0
    assert found["beyond/open_border"] == 0
    assert found["within/taken_in"] < 0.1
    assert _contrast(_ball(12), "CT")["fat_inside"] < 0.1


@pytest.mark.parametrize(
    ("wrong", "name", "least"),
    [
        (_ball(6), "beyond/left_out", 1.0),
        (_ball(6), "beyond/open_border", 0.9),
        (_ball(20), "within/taken_in", 0.9),
        (_ball(12) & (AT[..., 0] < 40), "beyond/left_out", 0.3),
        (_ball(12) & (AT[..., 0] < 40), "beyond/open_border", 0.15),
    ],
)
def test_core_only_grown_and_half_are_told_by_uptake(wrong: np.ndarray, name: str, least: float):
    assert _contrast(wrong, "PET")[name] > max(least, _contrast(_ball(12), "PET")[name] + 0.1)


def test_a_hole_in_the_border_of_a_lesion_so_large_that_cubes_are_wider_than_the_rim_is_still_seen():
    grid = Grid((60, 60, 60), np.diag([5.0, 5.0, 5.0, 1.0]))
    at = np.stack(np.meshgrid(*(np.arange(60) * 5.0,) * 3, indexing="ij"), axis=-1)
    ball = np.linalg.norm(at - 150, axis=-1) <= 120
    half = LabelMap((ball & (at[..., 0] < 150)).astype(np.uint8), grid)
    seen = around(half, 1, [Volume(np.where(ball, 8.0, 1.0).astype(np.float32), grid, "PET")])
    assert seen is not None
    assert seen.step_mm > 4
    assert contrast_of(seen, "PET")["beyond/open_border"] > 0.15


def test_fat_in_a_mask_is_told_by_ct():
    found = _contrast(_ball(20), "CT")
    assert found["fat_inside"] == pytest.approx(1 - (12 / 20) ** 3, abs=0.08)
    assert found["fat_in_rim"] == 1.0


def test_a_scan_that_shows_nothing_of_the_lesion_gives_no_number():
    elsewhere = Volume(np.ones((5, 5, 5), np.float32), Grid((5, 5, 5), np.diag([2.0, 2.0, 2.0, 1.0]) + _moved()), "PET")
    seen = around(_mask(_ball(12)), 1, [elsewhere])
    assert seen is not None
    assert contrast_of(seen, "PET") == {}


def _moved() -> np.ndarray:
    out = np.zeros((4, 4))
    out[:3, 3] = 500
    return out


def test_two_hot_pieces_at_the_border_are_not_one_hole_and_a_small_warm_halo_is_none():
    """Of two equal hot pieces at opposite sides the hole is one of them, half of what both together take of the rim."""
    aside = np.array([14.0, 0.0, 0.0])
    right, left = _ball(5, MIDDLE + aside), _ball(5, MIDDLE - aside)
    warm = np.where(_ball(12), 8.0, np.where(_ball(16), 4.0, 1.0))

    def hole(pet: np.ndarray) -> float:
        seen = around(_mask(_ball(12)), 1, [Volume(pet.astype(np.float32), GRID, "PET")])
        assert seen is not None
        return contrast_of(seen, "PET")["beyond/open_border"]

    one, two = hole(np.where(right, 8.0, PET.array)), hole(np.where(right | left, 8.0, PET.array))
    assert one == pytest.approx(two, rel=0.1)
    assert 0 < one < 0.2
    assert hole(warm) == 0


def test_shares_of_scan_body_and_air_by_hand():
    whole = np.ones(SHAPE, dtype=bool)
    found = bounds_of(_mask(whole), 1, body_of(_mask(whole), [CT]))
    share = BODY.mean()
    assert found["of_scan"] == 1
    assert found["of_body"] == 1
    assert found["not_body"] == pytest.approx(1 - share)
    assert found["full_slices"] == 1
    assert found["no_data"] == 0
    ball = bounds_of(_mask(_ball(12)), 1, body_of(_mask(_ball(12)), [CT]))
    assert (ball["not_body"], ball["full_slices"]) == (0, 0)


def test_a_mask_where_a_scan_has_no_data_is_told():
    short = Volume(PET.array[:, :, :15], Grid((40, 40, 15), GRID.affine), "PET")
    found = bounds_of(_mask(_ball(12)), 1, body_of(_mask(_ball(12)), [CT, short]))
    assert found["no_data"] == pytest.approx(0.55, abs=0.07)


SEEN = Surroundings(scans=(CT, PET))


def _rules(*lesions: np.ndarray) -> list[str]:
    return [doubt.words for doubt in broken_rules(vectors_of(_mask(*lesions), SEEN))]


def test_the_whole_scan_and_two_slabs_break_a_rule_and_a_tumour_does_not():
    """The whole scan as a tumour in two slabs was "usual" (p = .065)."""
    whole = np.ones(SHAPE, dtype=bool)
    upper = whole.copy()
    upper[:, :, :15] = False
    assert any("of the body" in words for words in _rules(whole))
    assert any("of the body" in words for words in _rules(whole, upper))
    thin = np.zeros(SHAPE, dtype=bool)
    thin[:, :, 14:17] = True
    assert any("whole body in 100% of its slices" in words for words in _rules(thin))
    assert _rules(_ball(12)) == []


def test_a_mask_in_the_air_breaks_a_rule():
    assert any("outside the body" in words for words in _rules(_ball(6, np.array([6.0, 6.0, 30.0]))))


def _past(inside: np.ndarray, matrix: np.ndarray | None = None) -> PastLesion:
    labels = _mask(inside)
    return PastLesion("2024-01-01", 56, labels.volume_mm3, labels, (1,), np.eye(4) if matrix is None else matrix)


def test_a_lesion_in_its_last_place_is_near_it_also_through_a_transform():
    still = position_of(_mask(_ball(12)), 1, _past(_ball(12)))
    assert (still["gap"], still["apart"]) == (0, 0)
    assert still["moved"] < 0.01
    assert still["unlike"] < 0.02
    shift = np.eye(4)
    shift[0, 3] = 10.0
    moved = position_of(_mask(_ball(12)), 1, _past(_ball(12, MIDDLE + np.array([10.0, 0, 0])), shift))
    assert moved["moved"] < 0.01
    assert moved["apart"] < 0.02


def test_half_of_it_is_unlike_it_and_even_growth_is_not():
    half = position_of(_mask(_ball(12) & (AT[..., 0] < 40)), 1, _past(_ball(12)))
    grown = position_of(_mask(_ball(14)), 1, _past(_ball(12)))
    assert half["unlike"] > 0.2
    assert grown["unlike"] < 0.06


def test_a_lesion_away_from_its_last_place_breaks_a_rule():
    there = _ball(6, np.array([62.0, 40.0, 30.0]))
    vectors = vectors_of(_mask(there), Surroundings(past={"L1": _past(_ball(6, np.array([18.0, 40.0, 30.0])))}))
    assert 10 * part_of(vectors[0], "position")["gap"] == pytest.approx(32, abs=3)
    kinds = {doubt.kind for doubt in broken_rules(vectors)}
    assert kinds == {"position"}


def test_a_jump_is_measured_by_what_treated_lesions_do_in_that_time():
    """At the limits themselves it is 1; growth by 8 % a year is far below; where the population says nothing, nothing
    is said."""
    low, high = limits(56.0, math.log(5000.0))
    past = PastLesion("2024-01-01", 56, 5000.0)
    assert history_of(5000 * math.exp(high), past)["jump"] == pytest.approx(1)
    assert history_of(5000 * math.exp(low), past)["jump"] == pytest.approx(1)
    assert low < -0.4
    assert high > 0.4
    assert history_of(5100, past)["jump"] < 0.1
    assert history_of(40, past) == {}
    jumped = vectors_of(_mask(_ball(16)), Surroundings(past={"L1": PastLesion("2024-01-01", 7, 300.0)}))
    (doubt,) = broken_rules(jumped)
    assert doubt.kind == "history"
    assert "times as far" in doubt.words
    assert broken_rules(jumped, judged=["history"]) == [], "statistics judge it where enough patients have a past"
