"""Every backend gives what comparing all in double precision gives; no filter loses a neighbour."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from core.errors import InputError, ModelError
from core.evidence.nearest import approximate, choosing
from core.evidence.nearest.approximate import ApproximateIndex, held_to_the_exact
from core.evidence.nearest.base import NearestIndex
from core.evidence.nearest.choosing import Backend, index_in_force, make_index
from core.evidence.nearest.exact import ExactIndex

HAS_RUVECTOR = importlib.util.find_spec("ruvector") is not None
MADE = [
    "exact",
    "hnsw",
    pytest.param("ruvector", marks=pytest.mark.skipif(not HAS_RUVECTOR, reason="ruvector is not installed")),
]
COUNT, K = 3_000, 10


def lesions(count: int = COUNT, seed: int = 2) -> NDArray[np.float32]:
    """Vectors of 12 features that hang on four hidden ones."""
    random = np.random.default_rng(seed)
    made = random.normal(size=(count, 4)) @ random.normal(size=(4, 12)) + 0.3 * random.normal(size=(count, 12))
    return made.astype(np.float32)


def brute_force(
    vectors: NDArray[np.float32], query: NDArray[np.float32], k: int, allowed: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    away = np.sqrt(((vectors.astype(float) - query.astype(float)) ** 2).sum(axis=1))
    rows = np.arange(len(vectors)) if allowed is None else np.flatnonzero(allowed)
    order = rows[np.argsort(away[rows], kind="stable")][:k]
    return order, away[order]


def test_three_lesions_on_a_line_come_in_their_order_with_their_distances() -> None:
    index = make_index(np.array([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0]], np.float32), "exact")
    rows, away = index.search(np.array([3.0, 4.0], np.float32), 3)
    assert rows.tolist() == [1, 0, 2]
    assert away.tolist() == [0.0, 5.0, 5.0]


@pytest.mark.parametrize("backend", MADE)
def test_a_backend_finds_what_comparing_all_finds(backend: Backend) -> None:
    vectors = lesions()
    index = make_index(vectors, backend)
    assert index.name == backend
    for query in lesions(20, seed=3):
        rows, away = index.search(query, K)
        right, exact = brute_force(vectors, query, K)
        assert rows.tolist() == right.tolist()
        np.testing.assert_allclose(away, exact, rtol=1e-12)


@pytest.mark.parametrize("backend", MADE)
@pytest.mark.parametrize("share", [0.001, 0.01, 0.1, 0.5, 0.9, 1.0])
def test_a_filter_loses_no_neighbour(backend: Backend, share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(approximate, "EXACT_UP_TO", 20)  # so few are few here
    vectors = lesions()
    index = make_index(vectors, backend)
    allowed = np.random.default_rng(5).random(COUNT) < share
    for query in lesions(10, seed=3):
        rows, _ = index.search(query, K, allowed)
        assert rows.tolist() == brute_force(vectors, query, K, allowed)[0].tolist()


@pytest.mark.parametrize("backend", MADE)
def test_a_filter_that_leaves_only_the_farthest_loses_none(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(approximate, "EXACT_UP_TO", 20)
    vectors = lesions()
    index, query = make_index(vectors, backend), vectors[0]
    allowed = np.ones(COUNT, bool)
    allowed[brute_force(vectors, query, COUNT // 2)[0]] = False
    assert index.search(query, K, allowed)[0].tolist() == brute_force(vectors, query, K, allowed)[0].tolist()


@pytest.mark.parametrize("backend", MADE)
def test_nobody_allowed_is_nobody_found_and_few_are_all_of_them(backend: Backend) -> None:
    vectors = lesions(300)
    index = make_index(vectors, backend)
    nobody = np.zeros(300, bool)
    assert [len(part) for part in index.search(vectors[0], K, nobody)] == [0, 0]
    three = nobody.copy()
    three[[5, 7, 200]] = True
    assert sorted(index.search(vectors[0], K, three)[0].tolist()) == [5, 7, 200]
    assert len(index.search(vectors[0], 1_000)[0]) == 300


@pytest.mark.parametrize("backend", MADE)
def test_of_no_lesion_nothing_is_found(backend: Backend) -> None:
    index = make_index(np.empty((0, 12), np.float32), backend)
    assert len(index.search(np.zeros(12, np.float32), K)[0]) == 0
    assert len(index.search(np.zeros(12, np.float32), K, np.zeros(0, bool))[0]) == 0


@pytest.mark.parametrize("backend", MADE)
def test_equal_lesions_are_all_found_in_the_order_of_their_rows(backend: Backend) -> None:
    vectors = np.repeat(lesions(30), 20, axis=0)
    rows, away = make_index(vectors, backend).search(vectors[200], 20)
    assert away.tolist() == [0.0] * 20
    assert {row // 20 for row in rows.tolist()} == {10}


@given(
    arrays(np.float32, st.tuples(st.integers(257, 400), st.just(3)), elements=st.floats(-2, 2, width=16)),
    st.floats(-1e6, 1e6, width=32),
    st.integers(1, 300),
    st.integers(0, 2**32 - 1),
)
def test_the_exact_index_rules_out_none_of_the_nearest(
    vectors: NDArray[np.float32], offset: float, k: int, seed: int
) -> None:
    """Far from the origin single precision tells few lesions apart, and none may be lost for it."""
    vectors = vectors + np.float32(offset)
    allowed = np.random.default_rng(seed).random(len(vectors)) < 0.9
    for of in (None, allowed):
        rows, away = ExactIndex(vectors).search(vectors[0], k, of)
        right, exact = brute_force(vectors, vectors[0], k, of)
        np.testing.assert_allclose(away, exact, rtol=1e-12)
        np.testing.assert_array_equal(np.sort(rows[away < exact[-1]]), np.sort(right[exact < exact[-1]]))


class Misses:
    """An index that is wrong: it finds what comes first, whatever it is asked."""

    def __call__(self, query: NDArray[np.float32], count: int) -> NDArray[np.intp]:
        return np.arange(count, dtype=np.intp)


def test_an_index_that_misses_neighbours_is_not_used_and_that_is_said(caplog: pytest.LogCaptureFixture) -> None:
    exact = ExactIndex(lesions())
    assert held_to_the_exact(ApproximateIndex("poor", exact, Misses())) is exact
    assert "poor found 0.0" in caplog.text


def test_an_index_that_gives_up_is_answered_exactly() -> None:
    vectors = lesions()
    index = ApproximateIndex("gives up", ExactIndex(vectors), lambda query, count: None)
    assert index.search(vectors[3], K)[0].tolist() == brute_force(vectors, vectors[3], K)[0].tolist()
    assert index.recall() == 1.0


def test_auto_is_exact_for_few_and_hnsw_for_many(monkeypatch: pytest.MonkeyPatch) -> None:
    assert make_index(lesions()).name == "exact"
    monkeypatch.setattr(choosing, "INDEX_FROM", COUNT)
    assert make_index(lesions()).name == "hnsw"


def test_the_setting_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    for backend in ("exact", "hnsw"):
        monkeypatch.setenv("TWIN_NEIGHBOURS", backend)
        assert index_in_force(lesions()).name == backend


@pytest.mark.skipif(HAS_RUVECTOR, reason="ruvector is installed")
def test_a_backend_that_is_not_installed_says_how_to_get_it() -> None:
    with pytest.raises(ModelError, match="requirements-extra"):
        make_index(lesions(), "ruvector")


@pytest.mark.parametrize(
    "vectors", [np.zeros(3), np.zeros((3, 0)), np.full((3, 2), np.nan), np.full((3, 2), np.inf), np.full((3, 2), 1e16)]
)
def test_vectors_that_are_none_are_refused(vectors: NDArray[np.float64]) -> None:
    with pytest.raises(InputError, match="Expected"):
        make_index(vectors.astype(np.float32), "exact")


@pytest.mark.parametrize("index", [ExactIndex(lesions(30)), make_index(lesions(30), "hnsw")])
def test_a_question_that_is_none_is_refused(index: NearestIndex) -> None:
    right = np.zeros(12, np.float32)
    questions: list[tuple[NDArray[np.float32], int, NDArray[np.bool_] | None]] = [
        (np.zeros(11, np.float32), 1, None),
        (np.full(12, np.nan, np.float32), 1, None),
        (right, 0, None),
        (right, 1, np.ones(29, bool)),
        (right, 1, np.ones(30, np.uint8)),
    ]
    for query, k, allowed in questions:
        with pytest.raises(InputError, match="Expected"):
            index.search(query, k, allowed)
