"""Good needs every figure; what is missing or bad is said in words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.imaging.registration.judging import LIMITS, judge
from core.imaging.registration.transform import Figure

FINE = {
    "information": 1.0, "overlap": 0.9, "edges": 0.97, "blocks_at_home": 0.9, "of_one_mind": 0.9,
    "second_opinion": 0.2, "drift": 0.0, "outline": 0.98, "outline_distance": 2.0, "inverse": 0.5,
    "agreement": 1.0, "rival": 0.0,
}  # fmt: skip


def quality(**other: float | None) -> dict[str, Figure]:
    return {name: Figure(value, "1", name) for name, value in {**FINE, **other}.items()}


def test_an_alignment_with_all_figures_fine_is_good():
    assert FINE.keys() == LIMITS.keys()
    assert judge(quality()) == ("good", "converged")


@pytest.mark.parametrize(
    ("figures", "state", "said"),
    [
        ({"information": 0.3, "overlap": 0.4, "edges": 0.86, "inverse": 4.0}, "good", "converged"),
        ({"information": 0.29}, "doubtful", "little information (0.29 nats, expected 0.3)"),
        ({"information": 0.14}, "failed", "little information (0.14 nats"),
        ({"overlap": 0.39}, "doubtful", "only 39% of the smaller scan"),
        ({"overlap": 0.24}, "failed", "only 24% of the smaller scan"),
        ({"edges": 0.85}, "doubtful", "edges do not run along each other (0.85"),
        ({"edges": 0.59}, "failed", "edges do not run along"),
        ({"edges": None}, "doubtful", "edges could not be measured"),
        ({"blocks_at_home": 0.29}, "doubtful", "only 29% of small pieces are found where they should be"),
        ({"blocks_at_home": 0.0}, "doubtful", "only 0% of small pieces"),
        ({"of_one_mind": 0.29}, "doubtful", "only 29% of small pieces agree"),
        ({"second_opinion": 2.1}, "doubtful", "small pieces together put it 2.1 mm elsewhere"),
        ({"drift": 4.0}, "doubtful", "4 mm to one side"),
        ({"outline": 0.84}, "doubtful", "outlines of the bodies differ (Dice 0.84"),
        ({"outline": None, "outline_distance": None}, "good", "converged"),
        ({"inverse": 5.0}, "doubtful", "the other way round it comes 5 mm off"),
        ({"inverse": 16.0}, "failed", "16 mm off"),
        ({"inverse": None}, "doubtful", "inverse could not be measured"),
        ({"agreement": 0.2}, "doubtful", "only 20% of the starts"),
        ({"rival": 0.95}, "doubtful", "another place fits nearly as well (95%"),
    ],
)
def test_each_figure_is_doubted_and_fails_beyond_its_limits(figures, state, said):
    found, message = judge(quality(**figures))
    assert found == state
    assert said in message


def test_a_field_too_small_for_pieces_needs_better_edges():
    assert (
        judge(quality(blocks_at_home=None, of_one_mind=None, second_opinion=None, drift=None, edges=0.95))[0] == "good"
    )
    state, message = judge(quality(blocks_at_home=None, of_one_mind=None, second_opinion=None, drift=None, edges=0.90))
    assert state == "doubtful"
    assert "edges alone (0.90)" in message


def test_what_was_still_moving_is_doubted():
    assert judge(quality(), stopped_early=True)[0] == "doubtful"


def test_where_scanner_or_fields_say_the_same_a_rival_is_no_doubt_but_all_else_is():
    assert judge(quality(rival=1.0, agreement=0.1), usual=True)[0] == "good"
    assert judge(quality(rival=1.0, edges=0.7), usual=True)[0] == "doubtful"


def test_a_figure_that_is_not_there_is_not_taken_for_good():
    some = quality()
    del some["overlap"]
    assert judge(some)[0] == "doubtful"
    assert judge({})[0] == "doubtful"
    assert judge({**quality(), "edges": replace(quality()["edges"], value=None)})[0] == "doubtful"
