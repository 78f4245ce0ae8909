"""The mask gate: conformal validity, never the same patient, and silence where there is too little to go by."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import InputError
from core.gates.mask import conformal, neighbours
from core.gates.mask.conformal import MaskGate, conformal_p, robust_scale, scores_needed


def _reference(n: int, seed: int = 0, d: int = 6) -> tuple[np.ndarray, list[str]]:
    return np.random.default_rng(seed).normal(size=(n, d)), [f"P{i}" for i in range(n)]


def test_p_is_the_rank_by_hand():
    assert conformal_p(np.array([1.0, 2, 3, 4]), 3.0) == pytest.approx(3 / 5)
    assert conformal_p(np.array([1.0, 2, 3, 4]), 9.0) == pytest.approx(1 / 5)
    assert conformal_p(np.array([]), 1.0) == 1.0


@given(st.lists(st.integers(0, 8), min_size=1, max_size=40))
def test_exchangeable_scores_have_super_uniform_p_values(values):
    """Whichever of n + 1 equally likely scores is the new one: P(p <= t) <= t, exactly, ties included."""
    scores = np.array(values, dtype=float)
    p = np.array([conformal_p(np.delete(scores, i), scores[i]) for i in range(len(scores))])
    for t in np.unique(p):
        assert np.mean(p <= t) <= t + 1e-12


def test_a_lesion_s_score_is_the_mean_of_the_k_nearest_distances_to_lesions_of_others():
    vectors, patients = _reference(25)
    gate = MaskGate.fit(vectors, patients, k=4)
    new = np.full(6, 0.5)
    centre, spread = robust_scale(vectors)
    distances = np.sort(np.linalg.norm((vectors - centre) / spread - (new - centre) / spread, axis=1))
    assert gate.odds_of(new, "new") == pytest.approx(distances[:4].mean())
    assert gate.odds_of(vectors[4], "P4") == pytest.approx(gate.calibration[4])
    assert gate.distances(vectors[4], "P4")[4] == np.inf
    assert np.isnan(gate.scores_without("P4")[4])


@pytest.mark.parametrize(("alpha", "needed"), [(0.05, 19), (0.1, 9), (0.01, 99), (0.5, 1), (0.3, 3)])
def test_how_many_scores_an_alpha_needs(alpha: float, needed: int):
    assert scores_needed(alpha) == needed
    assert 1 / (needed + 1) <= alpha < 1 / needed


def test_an_empty_or_one_patient_reference_has_no_score():
    assert MaskGate.fit(np.zeros((0, 12)), []).odds_of(np.zeros(12), "new") is None
    alone = MaskGate.fit(np.random.default_rng(0).normal(size=(30, 4)), ["P1"] * 30)
    assert np.isnan(alone.scores_without("new")).all()
    assert alone.odds_of(np.zeros(4), "P1") is None


def test_reference_masks_that_all_have_one_component_do_not_make_two_infinitely_odd():
    vectors = np.column_stack([np.random.default_rng(0).normal(size=50), np.zeros(50)])
    centre, spread = robust_scale(vectors)
    assert (centre[1], spread[1]) == (0, 0.05)
    vectors[:10, 1] = np.log(2)
    assert robust_scale(vectors)[1][1] == pytest.approx(1.2533 * 0.2 * np.log(2))


def _left_out(vectors, patients, patient):
    """The gate over everybody but this patient, in the scale of the whole reference."""
    centre, spread = robust_scale(vectors)
    keep = [n for n, owner in enumerate(patients) if owner != patient]
    scaled = (vectors - centre) / spread
    scores = []
    for n in keep:
        away = [np.linalg.norm(scaled[n] - scaled[m]) for m in keep if patients[m] != patients[n]]
        scores.append(np.mean(sorted(away)[:3]))
    return np.array(scores)


@given(st.integers(0, 10_000), st.integers(2, 6))
@settings(max_examples=25, deadline=None)
def test_calibration_scores_do_not_rest_on_the_masks_of_the_patient_in_question(seed, owners):
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(24, 4))
    patients = [f"P{n}" for n in rng.integers(0, owners, 24)]
    gate = MaskGate.fit(vectors, patients, k=3)
    others = [owner for owner in patients if owner != "P0"]
    enough = [sum(other != owner for other in others) >= 3 for owner in others]
    expected = _left_out(vectors, patients, "P0")[enough] if all(enough) else None
    found = gate.calibration_without("P0")
    assert len(found) == sum(enough)
    if expected is not None:
        assert found == pytest.approx(expected)


def test_a_large_reference_is_fitted_in_parts_and_is_the_same(monkeypatch):
    vectors, patients = _reference(40)
    whole = MaskGate.fit(vectors, patients)
    for module in (conformal, neighbours):
        monkeypatch.setattr(module, "ROWS_AT_ONCE", 7)
    parts = MaskGate.fit(vectors, patients)
    assert np.array_equal(whole.calibration, parts.calibration)
    assert np.array_equal(whole.neighbours, parts.neighbours)
    assert np.array_equal(whole.calibration_without("P4"), parts.calibration_without("P4"))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_features_that_are_no_numbers_are_refused(bad: float):
    vectors, patients = _reference(20)
    gate = MaskGate.fit(vectors, patients)
    with pytest.raises(InputError, match="finite"):
        gate.odds_of(np.array([0, 0, 0, 0, 0, bad]), "new")
    with pytest.raises(InputError, match="finite"):
        gate.odds_of(np.zeros(5), "new")
    vectors[3, 2] = bad
    with pytest.raises(InputError, match="NaN or infinite"):
        MaskGate.fit(vectors, patients)


@pytest.mark.parametrize("options", [{"k": 0}, {"alpha": 0.0}, {"alpha": 1.0}, {"names": ["one"]}])
def test_impossible_settings_are_refused(options):
    with pytest.raises(InputError):
        MaskGate.fit(*_reference(20), **options)
