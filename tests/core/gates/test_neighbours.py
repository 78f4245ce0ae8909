"""The index finds the neighbours that all distances give, or is not used."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from core.gates.mask import neighbours
from core.gates.mask.conformal import MaskGate
from core.gates.mask.neighbours import nearest_of, nearest_of_all, recall_of

COUNT, K = 1_500, 5
#: The owner of most lesions.
MANY = -1


def reference(seed: int = 3, own: int = 40) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Vectors of 12 features that hang on four hidden ones; one patient has `own` of them, others five each."""
    random = np.random.default_rng(seed)
    scaled = random.normal(size=(COUNT, 4)) @ random.normal(size=(4, 12)) + 0.3 * random.normal(size=(COUNT, 12))
    owners = np.array([MANY] * own + [n // 5 for n in range(COUNT - own)], dtype=np.intp)
    return scaled, owners


@pytest.fixture
def by_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """So few are many here."""
    monkeypatch.setattr(neighbours, "INDEX_FROM", 100)


@pytest.mark.usefixtures("by_index")
def test_the_index_finds_what_all_distances_give_and_distances_are_exact(caplog: pytest.LogCaptureFixture) -> None:
    scaled, owners = reference()
    found, means = nearest_of_all(scaled, owners, K)
    right, exact = nearest_of(scaled, owners, slice(0, COUNT), K)
    assert caplog.messages == []
    assert recall_of(found, scaled, owners, K) == 1.0
    np.testing.assert_array_equal(found, right)
    np.testing.assert_allclose(means, exact, rtol=1e-12)
    assert not (owners[found] == owners[:, None]).any()


@pytest.mark.usefixtures("by_index")
def test_a_gate_fitted_by_the_index_is_the_gate_fitted_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    scaled, owners = reference()
    fast = MaskGate.fit(scaled, list(owners), k=K)
    monkeypatch.setattr(neighbours, "INDEX_FROM", 10 * COUNT)
    monkeypatch.setattr(neighbours, "_by_index", lambda *_: pytest.fail("too few for an index"))
    exact = MaskGate.fit(scaled, list(owners), k=K)
    np.testing.assert_array_equal(fast.neighbours, exact.neighbours)
    np.testing.assert_allclose(fast.calibration, exact.calibration, rtol=1e-12)


@pytest.mark.usefixtures("by_index")
@pytest.mark.parametrize("poor", ["misses neighbours", "gives up"])
def test_an_index_that_misses_neighbours_is_not_used(
    poor: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    scaled, owners = reference()
    right, exact = nearest_of(scaled, owners, slice(0, COUNT), K)
    wrong = right.copy()
    wrong[:, -1] = (right[:, -1] + 1) % COUNT
    monkeypatch.setattr(neighbours, "_by_index", lambda *_: (wrong, exact) if poor == "misses neighbours" else None)
    found, _ = nearest_of_all(scaled, owners, K)
    np.testing.assert_array_equal(found, right)
    assert "is not used" in caplog.text


@pytest.mark.usefixtures("by_index")
def test_one_owner_of_nearly_all_and_numbers_too_large_for_single_precision_are_answered_exactly() -> None:
    scaled, owners = reference(own=COUNT - 4)
    found, means = nearest_of_all(scaled, owners, K)
    right, exact = nearest_of(scaled, owners, slice(0, COUNT), K)
    np.testing.assert_array_equal(np.sort(found), np.sort(right))
    np.testing.assert_allclose(means, exact)
    assert np.isnan(means[owners == MANY]).all(), "fewer than k lesions of other patients"
    large = scaled * 1e30
    np.testing.assert_array_equal(nearest_of_all(large, owners, K)[0], nearest_of(large, owners, slice(0, COUNT), K)[0])
