"""What learning gains on held-out marks: figures by hand, no patient on both sides, and what may be put in force."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from core.errors import InputError
from core.evidence import gain
from core.evidence.gain import NETWORK, NO_LEARNING, WEIGHTS, HeldOut, Space, choose, folds, gain_of, held_out
from core.evidence.learned_metric import LearnedMetric
from core.evidence.learning import Click
from core.gates.mask.neighbours import nearest_of_all
from tests.core.evidence.test_graph_network import kinds_that_neighbours_reveal

SHAPE = Space("shape", "the gate's numbers")

BY_HAND = (
    Click(0, 1, True, "A"),
    Click(0, 2, False, "A"),
    Click(0, 3, False, "A"),
    Click(4, 5, True, "B"),
    Click(4, 6, False, "B"),
    Click(7, 8, True, "C"),
)
HAND_HELD = HeldOut(
    BY_HAND,
    {
        NO_LEARNING: np.array([2.0, 1.0, 2.0, 5.0, 4.0, 3.0]),
        WEIGHTS: np.array([1.0, 2.0, 2.0, 4.0, 5.0, 3.0]),
    },
)


def marks(taste: np.ndarray, vectors: np.ndarray, patients: int = 24, seed: int = 0) -> list[Click]:
    """Six marks on a lesion of each patient; relevant are the three that are nearest by these numbers."""
    random, out = np.random.default_rng(seed), []
    for query in range(patients):
        others = random.choice(np.setdiff1d(np.arange(len(vectors)), query), 6, replace=False)
        away = ((vectors[others] - vectors[query]) ** 2) @ taste
        said = away < np.median(away)
        out += [Click(query, int(one), bool(yes), f"P{query}") for one, yes in zip(others, said, strict=True)]
    return out


@pytest.fixture(scope="module")
def lesions() -> tuple[np.ndarray, np.ndarray]:
    vectors = np.random.default_rng(11).normal(size=(80, 6))
    return vectors, nearest_of_all(vectors, np.arange(80), gain.NEIGHBOURS)[0]


def test_pairs_in_order_by_hand():
    # A: the relevant one is at 2, the others at 1 (wrong) and 2 (a tie). B: at 5 and 4 (wrong). C has one kind only.
    right, pairs = gain.pairs_in_order(HAND_HELD, NO_LEARNING)
    assert (right.tolist(), pairs.tolist()) == ([0.5, 0.0], [2.0, 1.0])
    right, pairs = gain.pairs_in_order(HAND_HELD, WEIGHTS)
    assert (right.tolist(), pairs.tolist()) == ([2.0, 1.0], [2.0, 1.0])


def test_a_gain_by_hand():
    found = gain_of(HAND_HELD, WEIGHTS, NO_LEARNING)
    assert found is not None
    assert (found.accuracy, found.accuracy_over) == (1.0, pytest.approx(0.5 / 3))
    assert found.difference == pytest.approx(2.5 / 3)
    # Two patients are drawn: A twice gives 1.5 of 2 pairs, B twice 1 of 1, both 2.5 of 3.
    assert (found.low, found.high, found.low_99) == tuple(map(pytest.approx, (0.75, 1.0, 0.75)))
    assert (found.pairs, found.groups) == (3, 2)
    relevant = [one.relevant for one in BY_HAND]
    assert found.auroc == pytest.approx(roc_auc_score(relevant, -HAND_HELD.squares[WEIGHTS]))
    assert found.auroc_over == pytest.approx(roc_auc_score(relevant, -HAND_HELD.squares[NO_LEARNING]))


def test_without_a_pair_there_is_no_gain_to_tell():
    alone = HeldOut(BY_HAND[-1:], {NO_LEARNING: np.ones(1), WEIGHTS: np.ones(1)})
    assert gain_of(alone, WEIGHTS, NO_LEARNING) is None


@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(1, 9)), min_size=1, max_size=13, unique_by=lambda one: one[0])
)
def test_folds_deal_whole_patients_evenly(sizes):
    clicks = [Click(group, 100 + at, True, f"P{group}") for group, count in sizes for at in range(count)]
    found = folds(clicks)
    assert set(found) == {one.group for one in clicks}
    assert set(found.values()) == set(range(min(gain.FOLDS, len(sizes))))
    held = [sum(found[one.group] == fold for one in clicks) for fold in set(found.values())]
    assert max(held) - min(held) <= max(count for _, count in sizes)
    assert folds(clicks[::-1]) == found


def test_a_patients_own_marks_never_change_how_they_are_ordered(lesions):
    vectors, neighbours = lesions
    clicks = marks(np.array([1.0, 1, 0, 0, 0, 0]), vectors, 15)
    before = held_out(vectors, neighbours, clicks)
    aside = {group for group, fold in folds(clicks).items() if fold == 0}
    turned = [replace(one, relevant=not one.relevant) if one.group in aside else one for one in clicks]
    after = held_out(vectors, neighbours, turned)
    where = [at for at, one in enumerate(before.clicks) if one.group in aside]
    assert [(one.query, one.other) for one in before.clicks] == [(one.query, one.other) for one in after.clicks]
    for name in (NO_LEARNING, WEIGHTS, NETWORK):
        assert np.array_equal(before.squares[name][where], after.squares[name][where])


def test_a_taste_is_learned_as_weights_and_told(lesions):
    vectors, neighbours = lesions
    clicks = marks(np.array([1.0, 1, 0, 0, 0, 0]), vectors)
    found = choose(vectors, neighbours, clicks, SHAPE)
    assert found.kind == WEIGHTS
    assert found.weights[:2].min() > 1 > found.weights[2:].max()
    assert (found.space, found.space_id, found.clicks, found.groups) == ("shape", "the gate's numbers", 144, 24)
    assert found.gains[0].low_99 > 0
    assert found.words == f"gains on held-out marks: {gain.in_words(found.gains[0])}"
    again = choose(vectors, neighbours, clicks[::-1], SHAPE)
    assert again.version == found.version
    assert LearnedMetric.from_json(found.to_json()).version == found.version


def test_marks_at_random_put_nothing_in_force(lesions):
    vectors, neighbours = lesions
    random = np.random.default_rng(2)
    clicks = [replace(one, relevant=bool(random.random() < 0.5)) for one in marks(np.ones(6), vectors)]
    found = choose(vectors, neighbours, clicks, SHAPE)
    assert found.kind == "none"
    assert found.words.startswith("no gain on held-out marks: ")
    assert len(found.gains) == 3
    assert np.array_equal(found.apply(vectors), vectors)


def test_a_gain_that_is_sure_to_95_percent_alone_is_not_enough(lesions, monkeypatch):
    vectors, neighbours = lesions
    clicks = marks(np.array([1.0, 1, 0, 0, 0, 0]), vectors)
    sure = gain_of(held_out(vectors, neighbours, clicks), WEIGHTS, NO_LEARNING)
    assert sure is not None
    unsure = replace(sure, low=0.01, low_99=-0.01)
    monkeypatch.setattr(gain, "gain_of", lambda held, metric, over, seed: replace(unsure, metric=metric, over=over))
    found = choose(vectors, neighbours, clicks, SHAPE)
    assert found.kind == "none"
    assert found.words.startswith("no gain on held-out marks that is sure to 99 %: +")


def test_a_network_is_chosen_where_neighbours_tell_what_numbers_do_not():
    vectors, neighbours, clicks = kinds_that_neighbours_reveal()
    found = choose(vectors, neighbours, clicks, SHAPE)
    assert found.kind == NETWORK
    assert found.neighbours == neighbours.shape[1]
    assert all(one.low_99 > 0 for one in found.gains if one.metric == NETWORK)


def test_vectors_too_long_for_the_network_get_weights():
    random = np.random.default_rng(4)
    vectors = random.normal(size=(80, 41))
    neighbours = nearest_of_all(vectors, np.arange(80), gain.NEIGHBOURS)[0]
    taste = np.zeros(41)
    taste[:3] = 1
    found = choose(vectors, neighbours, marks(taste, vectors, 60), SHAPE)
    assert found.kind == WEIGHTS
    assert found.gains[2].difference == 0


def test_too_few_marks_or_patients_say_so(lesions):
    vectors, neighbours = lesions
    clicks = marks(np.array([1.0, 1, 0, 0, 0, 0]), vectors)
    assert choose(vectors, neighbours, clicks[:7], SHAPE).words == "too few marks: 7 of 30"
    assert choose(vectors, neighbours, [], SHAPE).words == "too few marks: 0 of 30"
    few = choose(vectors, neighbours, clicks[:54], SHAPE)
    assert few.words == "too few patients with relevant and not relevant marks on one lesion: 9 of 10"
    assert (few.kind, few.clicks, few.groups, few.gains) == ("none", 54, 9, ())
    one_kind = [replace(one, relevant=True) for one in clicks]
    assert choose(vectors, neighbours, one_kind, SHAPE).words.endswith("0 of 10")


def test_marks_on_lesions_that_are_not_there_are_refused(lesions):
    vectors, neighbours = lesions
    with pytest.raises(InputError, match="rows 0 to 79"):
        choose(vectors, neighbours, [Click(0, 80, True, "A")], SHAPE)


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ((0.0123, -0.034, 0.05), "+.01 (-.03 to +.05)"),
        ((-1.0, -1.0, 0.004), "-1.00 (-1.00 to .00)"),
        ((0.5, -0.004, 1.0), "+.50 (.00 to +1.00)"),
    ],
)
def test_a_gain_in_words(numbers, words):
    found = gain_of(HAND_HELD, WEIGHTS, NO_LEARNING)
    assert found is not None
    assert gain.in_words(replace(found, difference=numbers[0], low=numbers[1], high=numbers[2])) == words
