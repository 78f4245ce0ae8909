"""Weights learned from marks, and the order of a list after a few of them: by hand, and for all inputs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from core.errors import InputError
from core.evidence.learning import (
    MOST_LOG_WEIGHT,
    PLAIN_SHARE,
    TYPICAL,
    Click,
    comparisons_of,
    fit_weights,
    margins,
)
from core.evidence.reordering import reordered

NUMBERS = st.floats(-5, 5, width=32)
TABLES = st.integers(2, 12).flatmap(
    lambda n: st.integers(1, 5).flatmap(lambda d: arrays(np.float64, (n, d), elements=NUMBERS))
)


@st.composite
def marked_tables(draw: st.DrawFn) -> tuple[np.ndarray, list[Click]]:
    """Vectors and marks on them; the patient of a lesion is its row by threes."""
    table = draw(TABLES)
    row = st.integers(0, len(table) - 1)
    pairs = draw(st.lists(st.tuples(row, row, st.booleans()).filter(lambda one: one[0] != one[1]), max_size=20))
    return table, [Click(query, other, said, f"P{query // 3}") for query, other, said in pairs]


def test_every_relevant_lesion_is_compared_with_every_other_of_the_same_query():
    clicks = [Click(0, 1, True, "A"), Click(0, 2, False, "A"), Click(0, 3, False, "A"), Click(4, 5, True, "B")]
    found = comparisons_of(clicks)
    rows = list(zip(found.query.tolist(), found.near.tolist(), found.far.tolist(), found.weight.tolist(), strict=True))
    # Three marks on lesion 0 share their weight among two pairs; the one mark on lesion 4 has no other to compare.
    assert rows == [(0, 1, 2, 1.5), (0, 1, 3, 1.5), (4, 5, TYPICAL, 1.0)]


def test_margins_by_hand():
    vectors = np.array([[0.0, 0.0], [1.0, 2.0], [3.0, 0.0]])
    pair = comparisons_of([Click(0, 1, True, "A"), Click(0, 2, False, "A")])
    assert margins(vectors, pair).tolist() == [[9 - 1, 0 - 4]]
    alone = comparisons_of([Click(0, 1, True, "A"), Click(1, 2, False, "A")])
    # Squares are (1, 4) and (4, 4), their mean (2.5, 4).
    assert margins(vectors, alone).tolist() == [[1.5, 0.0], [1.5, 0.0]]


def test_without_marks_all_weights_are_exactly_one():
    assert fit_weights(np.random.default_rng(0).normal(size=(5, 3)), []).tolist() == [1.0, 1.0, 1.0]
    assert fit_weights(np.zeros((0, 3)), []).tolist() == [1.0, 1.0, 1.0]


def test_one_mark_alone_has_nothing_to_be_compared_with():
    vectors = np.random.default_rng(0).normal(size=(5, 3))
    assert fit_weights(vectors, [Click(0, 1, True, "A")]) == pytest.approx([1.0] * 3)


def test_equal_lesions_teach_nothing():
    assert fit_weights(np.ones((3, 2)), [Click(0, 1, True, "A"), Click(0, 2, False, "A")]).tolist() == [1.0, 1.0]


def test_the_number_that_sorts_the_marks_counts_more_and_the_other_less():
    # Lesion 1 is like lesion 0 in the first number only, lesion 2 in the second only.
    vectors = np.array([[0.0, 0.0], [0.0, 2.0], [2.0, 0.0]])
    weights = fit_weights(vectors, [Click(0, 1, True, "A"), Click(0, 2, False, "A")])
    assert weights[0] > 1.0 > weights[1]
    assert weights.prod() == pytest.approx(1.0)
    turned = fit_weights(vectors, [Click(0, 1, False, "A"), Click(0, 2, True, "A")])
    assert turned == pytest.approx(weights[::-1])


def test_weights_are_the_least_of_their_loss_by_brute_force():
    vectors = np.array([[0.0, 0.0], [0.5, 2.0], [2.0, 0.3], [1.0, 1.0]])
    clicks = [Click(0, 1, True, "A"), Click(0, 2, False, "A"), Click(3, 2, True, "B"), Click(3, 0, False, "B")]
    # By symmetry of the ridge the logs are u and -u: one number to try.
    logs = np.linspace(-3, 3, 60_001)
    weights = np.exp(np.stack([logs, -logs]))
    typical = 2 * vectors.var(axis=0) @ weights
    near = [((vectors[a] - vectors[b]) ** 2) @ weights for a, b in ((0, 1), (3, 2))]
    far = [((vectors[a] - vectors[b]) ** 2) @ weights for a, b in ((0, 2), (3, 0))]
    lost = sum(2 * np.logaddexp(0, -(f - n) / typical / PLAIN_SHARE) for n, f in zip(near, far, strict=True))
    best = logs[np.argmin(lost + 1.0 * 2 * logs**2)]
    assert np.log(fit_weights(vectors, clicks, 1.0)) == pytest.approx([best, -best], abs=1e-3)


@settings(max_examples=60, deadline=None)
@given(marked_tables(), st.floats(0.01, 100), st.randoms(use_true_random=False))
def test_weights_are_finite_positive_and_do_not_hang_on_the_order_of_marks(drawn, strength, random):
    table, clicks = drawn
    weights = fit_weights(table, clicks, strength)
    assert weights.shape == table.shape[1:]
    limit = np.exp(MOST_LOG_WEIGHT) * (1 + 1e-9)
    assert ((weights >= 1 / limit) & (weights <= limit)).all()
    random.shuffle(clicks)
    assert np.array_equal(weights, fit_weights(table, clicks, strength))


@settings(max_examples=30, deadline=None)
@given(marked_tables())
def test_a_stronger_ridge_leaves_weights_nearer_one(drawn):
    table, clicks = drawn
    held = [np.abs(np.log(fit_weights(table, clicks, strength))).max() for strength in (1.0, 1e4)]
    assert held[1] <= held[0] + 1e-6
    assert held[1] < 0.05


@pytest.mark.parametrize(
    ("vectors", "clicks", "strength", "said"),
    [
        (np.array([[np.nan]]), [], 1.0, "finite"),
        (np.zeros(3), [], 1.0, "finite"),
        (np.zeros((2, 1)), [], 0.0, "strength"),
        (np.zeros((2, 1)), [Click(0, 2, True, "A")], 1.0, "rows 0 to 1"),
        (np.zeros((2, 1)), [Click(-1, 1, True, "A")], 1.0, "rows 0 to 1"),
        (np.zeros((2, 1)), [Click(1, 1, True, "A")], 1.0, "itself"),
        (np.zeros((3, 1)), [Click(0, 1, True, "A"), Click(0, 2, True, "B")], 1.0, "two"),
    ],
)
def test_what_cannot_be_learned_from_is_refused_in_words(vectors, clicks, strength, said):
    with pytest.raises(InputError, match=said):
        fit_weights(vectors, clicks, strength)


# --- the order of a list ---


@st.composite
def lists(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict[int, bool], int]:
    """A query, what was found with its distances, marks, and a row without a mark."""
    table = draw(TABLES)
    query = draw(arrays(np.float64, table.shape[1:], elements=NUMBERS))
    marks = draw(st.dictionaries(st.integers(0, len(table) - 1), st.booleans(), max_size=len(table) - 1))
    row = draw(st.sampled_from([at for at in range(len(table)) if at not in marks]))
    return query, table, np.sqrt(((table - query) ** 2).sum(axis=1)), marks, row


def rank(order: np.ndarray, row: int) -> int:
    return order.tolist().index(row)


@settings(max_examples=150, deadline=None)
@given(lists())
def test_a_relevant_mark_never_moves_a_lesion_back_and_the_other_never_forward(drawn):
    query, table, distances, marks, row = drawn
    before = rank(reordered(query, table, distances, marks), row)
    assert rank(reordered(query, table, distances, {**marks, row: True}), row) <= before
    assert rank(reordered(query, table, distances, {**marks, row: False}), row) >= before


@settings(max_examples=60, deadline=None)
@given(lists())
def test_undone_marks_leave_no_trace_and_their_order_says_nothing(drawn):
    query, table, distances, marks, row = drawn
    without = reordered(query, table, distances, marks)
    marked = {**marks, row: True}
    again = reordered(query, table, distances, dict(reversed(marked.items())))
    assert np.array_equal(again, reordered(query, table, distances, marked))
    del marked[row]
    assert np.array_equal(without, reordered(query, table, distances, marked))
    assert sorted(without.tolist()) == list(range(len(table)))


@given(arrays(np.float64, st.integers(1, 20), elements=st.floats(0, 10)))
def test_without_marks_the_order_is_that_of_distances_exactly(distances):
    table = np.zeros((len(distances), 2))
    assert np.array_equal(reordered(np.zeros(2), table, distances, {}), np.argsort(distances, kind="stable"))


def unmarked(order: np.ndarray, marks: dict[int, bool]) -> list[int]:
    return [row for row in order.tolist() if row not in marks]


@settings(max_examples=60, deadline=None)
@given(lists())
def test_the_equal_of_a_relevant_lesion_comes_forward_among_all_others_and_that_of_another_goes_back(drawn):
    query, table, distances, _, row = drawn
    table, distances = np.concatenate([table, table[row : row + 1]]), np.append(distances, distances[row])
    twin = len(table) - 1
    before = unmarked(reordered(query, table, distances, {}), {row: True}).index(twin)
    after = [unmarked(reordered(query, table, distances, {row: said}), {row: said}) for said in (True, False)]
    assert after[0].index(twin) <= before <= after[1].index(twin)


def test_one_mark_pulls_its_like_up_or_pushes_it_down():
    # Four lesions in four directions, nearly as far from the query, and one beside the third.
    table = np.array([[1.0, 0.0], [0.0, 1.01], [-1.02, 0.0], [0.0, -1.03], [-1.02, 0.01]])
    distances = np.linalg.norm(table, axis=1)
    assert reordered(np.zeros(2), table, distances, {}).tolist() == [0, 1, 2, 4, 3]
    assert reordered(np.zeros(2), table, distances, {2: True}).tolist() == [2, 4, 0, 1, 3]
    assert reordered(np.zeros(2), table, distances, {2: False}).tolist() == [0, 1, 3, 4, 2]


def test_two_marks_show_which_number_counts():
    # All are as far from the query; the even rows by the first number, the odd ones by the second.
    table = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.1], [0.1, -1.0], [0.9, -0.3], [-0.3, 0.9]])
    distances = np.linalg.norm(table, axis=1)
    order = reordered(np.zeros(2), table, distances, {0: True, 1: False})
    assert order[0] == 0
    assert order[-1] == 1
    assert set(order[1:3].tolist()) == {2, 4}


@pytest.mark.parametrize(
    ("query", "distances", "marks"),
    [
        (np.zeros(3), np.zeros(4), {}),
        (np.zeros(2), np.zeros(3), {}),
        (np.zeros(2), np.array([0, 0, 0, np.nan]), {}),
        (np.zeros(2), np.zeros(4), {4: True}),
        (np.zeros(2), np.zeros(4), {-1: True}),
        (np.array([0, np.inf]), np.zeros(4), {}),
    ],
)
def test_a_list_that_does_not_belong_together_is_refused(query, distances, marks):
    with pytest.raises(InputError):
        reordered(query, np.zeros((4, 2)), distances, marks)
