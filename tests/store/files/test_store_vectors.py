"""Nearest masks: the index finds what looking at every vector finds."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import InputError
from core.remembered.rows import ShapeVector
from store import Store
from store.files import vector_index
from store.files.vector_index import VectorIndex
from tests.store_phantom import add_mask, add_scan


def rows_of(array: np.ndarray, patients: int = 50) -> list[ShapeVector]:
    return [
        ShapeVector("L1", vector.tolist(), (), f"m{n}", f"P{n % patients}", "2026-01-01", 1, "accepted")
        for n, vector in enumerate(array)
    ]


def exact(array: np.ndarray, query: np.ndarray, k: int, allowed: np.ndarray | None = None) -> list[tuple[str, float]]:
    distances = np.sqrt(((array - query) ** 2).sum(axis=1))
    order = [n for n in np.argsort(distances, kind="stable") if allowed is None or allowed[n]]
    return [(f"m{n}", distances[n]) for n in order[:k]]


@pytest.fixture(scope="module")
def five_hundred() -> np.ndarray:
    return np.random.default_rng(5).normal(size=(500, 23))


def test_recall_is_1_on_500_vectors_and_distances_are_not_squared(five_hundred: np.ndarray) -> None:
    index = VectorIndex.from_rows(rows_of(five_hundred))
    patient = np.arange(500) % 50
    for n, query in enumerate(np.random.default_rng(6).normal(size=(60, 23))):
        for excluded in (None, f"P{n % 50}"):
            allowed = None if excluded is None else patient != n % 50
            found = index.query(query, 10, exclude_patient=excluded)
            expected = exact(five_hundred, query, 10, allowed)
            assert [neighbour.mask_id for neighbour in found] == [mask_id for mask_id, _ in expected]
            np.testing.assert_allclose([neighbour.distance for neighbour in found], [d for _, d in expected])
            assert all(neighbour.patient_id != excluded for neighbour in found)


def test_the_distance_by_hand() -> None:
    index = VectorIndex(2)
    index.add("a", "L1", "P1", [0.0, 0.0])
    index.add("b", "L1", "P2", [3.0, 4.0])
    index.add("c", "L2", "P3", [0.0, 1.0])
    assert [(n.mask_id, n.lesion_id, n.distance) for n in index.query([0.0, 0.0], 3)] == [
        ("a", "L1", 0.0),
        ("c", "L2", 1.0),
        ("b", "L1", 5.0),
    ]
    assert [n.mask_id for n in index.query([0.0, 0.0], 9, exclude_patient="P1")] == ["c", "b"]
    index.add("c", "L2", "P3", [30.0, 40.0])  # measured again: replaced, not doubled
    assert [(n.mask_id, n.distance) for n in index.query([0.0, 0.0], 9)] == [("a", 0.0), ("b", 5.0), ("c", 50.0)]


def test_when_nothing_is_eligible_the_answer_is_empty() -> None:
    index = VectorIndex(1)
    assert index.query([1.0], 3) == []
    index.add("a", "L1", "P1", [1.0])
    assert index.query([1.0], 3, exclude_patient="P1") == []


def test_a_single_eligible_vector_among_many_of_the_same_patient_is_found() -> None:
    array = np.random.default_rng(1).normal(size=(300, 4))
    rows = [replace(row, patient_id="P1") for row in rows_of(array)]
    rows[137] = replace(rows[137], patient_id="P2")
    index = VectorIndex.from_rows(rows)
    assert [n.mask_id for n in index.query(array[0], 5, exclude_patient="P1")] == ["m137"]


def test_beyond_the_exact_size_a_filter_that_leaves_little_still_gets_k(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector_index, "EXACT_UP_TO", 10)
    array = np.random.default_rng(2).normal(size=(5_000, 3))
    rows = [replace(row, patient_id="P1" if n % 500 else "P2") for n, row in enumerate(rows_of(array))]
    found = VectorIndex.from_rows(rows).query(array[1], 10, exclude_patient="P1")
    allowed = np.arange(5_000) % 500 == 0
    assert [n.mask_id for n in found] == [mask_id for mask_id, _ in exact(array, array[1], 10, allowed)]


@pytest.mark.parametrize("bad", [[float("nan"), 1.0], [float("inf"), 1.0], [1e300, 1.0], [1.0], [[1.0, 2.0]], []])
def test_vectors_that_are_none_are_refused_both_ways(bad: Any) -> None:
    index = VectorIndex(2)
    with pytest.raises(InputError):
        index.add("a", "L1", "P1", bad)
    with pytest.raises(InputError):
        index.query(bad, 1)
    assert len(index) == 0


def test_other_arguments_that_are_none_are_refused() -> None:
    with pytest.raises(InputError, match="at least one"):
        VectorIndex(0)
    with pytest.raises(InputError, match="Accept some masks"):
        VectorIndex.from_rows([])
    with pytest.raises(InputError, match="k of at least 1"):
        VectorIndex(1).query([1.0], 0)


def test_the_cache_answers_as_the_index_did_and_a_stale_one_is_not_used(
    tmp_path: Path, five_hundred: np.ndarray
) -> None:
    rows = rows_of(five_hundred)
    made = VectorIndex.from_rows(rows)
    made.save(tmp_path / "index.bin")
    loaded = VectorIndex.load(tmp_path / "index.bin", rows)
    query = np.zeros(23)
    assert loaded.query(query, 10, "P3") == made.query(query, 10, "P3")
    loaded.add("new", "L1", "P99", query)
    assert loaded.query(query, 1)[0].mask_id == "new"
    fewer = VectorIndex.load(tmp_path / "index.bin", rows[:20])
    assert len(fewer) == 20
    assert len(fewer.query(query, 500)) == 20
    (tmp_path / "index.bin").write_bytes(b"no index")
    assert VectorIndex.load(tmp_path / "index.bin", rows).query(query, 10) == made.query(query, 10)


def test_adding_and_asking_at_once(five_hundred: np.ndarray) -> None:
    index = VectorIndex.from_rows(rows_of(five_hundred[:50]))
    failures: list[BaseException] = []

    def work(start: int) -> None:
        try:
            for n in range(start, 500, 4):
                index.add(f"m{n}", "L1", f"P{n % 50}", five_hundred[n])
                assert index.query(five_hundred[n], 1)[0].distance == 0.0
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(50 + n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(index) == 500


def test_the_index_is_made_from_what_the_store_holds(store: Store) -> None:
    for number in range(3):
        add_scan(store, f"P{number}", seed=number)
        record = add_mask(store, number + 1, patient=f"P{number}")
        store.vectors.add(record.mask_id, "L1", f"P{number}", [float(number), 0.0], ["a", "b"], "demo")
    index = VectorIndex.from_rows(store.vectors.all(), scale=lambda vector: vector * 10)
    found = index.query([0.0, 0.0], 2, exclude_patient="P0")
    assert [(n.patient_id, n.distance) for n in found] == [("P1", 10.0), ("P2", 20.0)]
