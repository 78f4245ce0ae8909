"""The evaluation's arithmetic, and that what is learned from and what is tested never share a patient."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.gates.scan import combining, detectors, evaluate, rates, reporting
from core.gates.scan.evaluate import CONTROL, ENSEMBLE, ID_ONLY, LEAVE_OUT, SAW_OOD, SEPARATE, UNIFIED, Method
from core.gates.scan.reference import IN_DISTRIBUTION, Reference

TREES = 30


def reference_of(apart=3.0, patients=16, width=6, seed=0):
    """Gaussian rows; two kinds of shift lie `apart` from in-distribution ones along one axis each."""
    rng = np.random.default_rng(seed)
    kinds = [IN_DISTRIBUTION] * patients + ["shift A"] * patients + ["shift B"] * patients
    rows = rng.normal(size=(len(kinds), 4, width)).astype(np.float32)
    for n, kind in enumerate(kinds):
        if kind != IN_DISTRIBUTION:
            rows[n, :, 0 if kind.endswith("A") else 1] += apart
    nothing = np.full((len(kinds), 1), np.nan, np.float32)
    arrays = {name: np.full((len(kinds), 200), np.nan, np.float32) for name in ("CT", "PET", "MR")} | {
        **{name: nothing for name in ("fit", "logits", "geometry", "anchor_shape", "slices", "cubes", "MR seen")},
        "rows": rows,
        "centre": rows[:, 0],
        "histogram": np.abs(rows[:, 0]),
        "dice": nothing[:, 0],
        "crossfit": nothing[:, 0],
        "kind": np.array(kinds),
        "domain": np.full(len(kinds), "real"),
        "group": np.array([f"P{n % patients:02d}" for n in range(len(kinds))]),
        "content": np.full(len(kinds), ""),
        "levels": np.array([2, 2, 2]),
    }
    return Reference(arrays, {})


def method(name, group=ID_ONLY, fit=None, shuffled=False):
    return Method(name, group, ("rows",), fit or combining.mahalanobis("rows"), shuffled)


def test_auroc_and_fpr_by_hand():
    scores, ood = np.array([1.0, 2, 3, 2, 4, 5]), np.array([False, False, False, True, True, True])
    # Pairs won: 2 beats 1, ties 2, loses to 3; 4 and 5 beat all three: (1.5 + 3 + 3) / 9.
    assert rates.auroc(scores, ood) == pytest.approx(7.5 / 9)
    # The 3 counted twice: (1.5 + 4 + 4) / 12.
    assert rates.auroc(scores, ood, np.array([1, 1, 2, 1, 1, 1])) == pytest.approx(9.5 / 12)
    # 95 % of three is all three: threshold 2 flags the scans at 2 and 3.
    assert rates.fpr_at_tpr(scores, ood) == pytest.approx(2 / 3)
    assert rates.fpr_at_tpr(scores, ood, 0.6) == 0.0
    assert np.isnan(rates.auroc(scores, np.zeros(6, bool)))
    assert np.isnan(rates.fpr_at_tpr(scores, np.ones(6, bool)))


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=2, max_size=60))
def test_auroc_and_fpr_agree_with_scikit_learn(pairs):
    from sklearn.metrics import roc_auc_score, roc_curve

    scores, ood = np.array([p[0] for p in pairs], float), np.array([p[1] for p in pairs])
    if ood.all() or not ood.any():
        return
    assert rates.auroc(scores, ood) == pytest.approx(roc_auc_score(ood, scores))
    fpr, tpr, _ = roc_curve(ood, scores, drop_intermediate=False)
    assert rates.fpr_at_tpr(scores, ood) == pytest.approx(fpr[np.flatnonzero(tpr >= 0.95 - 1e-12)[0]])


@pytest.mark.parametrize("protocol", [SEPARATE, UNIFIED, LEAVE_OUT, ENSEMBLE])
def test_nothing_is_learned_of_a_patient_or_of_a_kind_that_is_tested(protocol):
    """A detector that only remembers: what it was given, by the number that each scan bears."""
    reference = reference_of()
    reference.arrays["rows"][..., 0] = np.arange(len(reference.kind))[:, None]
    seen: list[tuple[str, set[str], set[str]]] = []

    def remember(table, ood, groups):
        learned = np.asarray(table["rows"])[:, 0, 0].astype(int)

        def score(other):
            asked = np.asarray(other["rows"])[:, 0, 0].astype(int)
            assert not set(reference.group[learned]) & set(reference.group[asked])
            seen.append(("", set(reference.kind[learned]), set(reference.kind[asked])))
            return np.zeros(len(asked))

        return score

    evaluate.evaluate(reference, [method("memory", SAW_OOD, remember)], protocol, bootstraps=0)
    kinds = {frozenset(learned) for _, learned, _ in seen}
    if protocol == UNIFIED:
        assert kinds == {frozenset({IN_DISTRIBUTION, "shift A", "shift B"})}
    else:
        assert kinds == {frozenset({IN_DISTRIBUTION, kind}) for kind in ("shift A", "shift B")}


def test_a_kind_left_out_along_an_axis_never_seen_is_found_by_distance_but_not_by_the_forest():
    chosen = [method("Mahalanobis"), method("forest", SAW_OOD, combining.forest("rows", None, TREES))]
    figures, means = evaluate.evaluate(reference_of(), chosen, LEAVE_OUT, bootstraps=50)
    by_name = {(figure.method, figure.kind): figure.auroc for figure in figures}
    assert by_name["Mahalanobis", "shift B"] > 0.9
    assert by_name["forest", "shift B"] < 0.8
    mean = next(m for m in means if m.method == "Mahalanobis")
    assert mean.kinds == 2
    assert mean.auroc_95[0] <= mean.auroc <= mean.auroc_95[1]


def test_shuffled_labels_and_halves_of_the_same_find_nothing():
    reference = reference_of(patients=40)
    shuffled = method("shuffled", CONTROL, combining.forest("rows", None, TREES), shuffled=True)
    figures, _ = evaluate.evaluate(reference, [shuffled], UNIFIED, bootstraps=0)
    assert np.mean([figure.auroc for figure in figures]) == pytest.approx(0.5, abs=0.25)
    assert evaluate.itself(method("Mahalanobis"), reference) == pytest.approx(0.5, abs=0.03)


def test_an_interval_over_another_method_is_of_the_same_patients_and_kinds():
    better = Method(evaluate.MAHALANOBIS, ID_ONLY, ("rows",), combining.mahalanobis("rows"))
    worse = Method(evaluate.IHF, ID_ONLY, ("rows",), combining.simple(detectors.column(5), "rows"))
    _, means = evaluate.evaluate(reference_of(), [better, worse], LEAVE_OUT, bootstraps=100)
    low, high = next(m for m in means if m.method == evaluate.MAHALANOBIS).over[evaluate.IHF]
    assert 0 < low < high < 1
    assert reporting._gain((low, high)).startswith("+0.")


def test_a_method_without_its_arrays_is_left_out():
    (in_force,) = [one for one in evaluate.methods(4) if one.name == evaluate.IN_FORCE]
    figures, means = evaluate.evaluate(reference_of(), [in_force], LEAVE_OUT, bootstraps=0)
    assert (figures, means) == ([], [])


def test_the_largest_of_standardised_scores_sees_what_either_sees():
    reference = reference_of(apart=6)
    first = combining.mahalanobis("early")  # three levels of two features: it sees all six
    one = combining.simple(detectors.column(0), "rows")
    chosen = [method("both", fit=combining.largest(one, first))]
    figures, _ = evaluate.evaluate(reference, chosen, LEAVE_OUT, bootstraps=0)
    assert min(figure.auroc for figure in figures) > 0.9


def test_react_cuts_what_is_above_and_ash_keeps_the_largest():
    inside = np.linspace(0, 1, 11, dtype=np.float32)[None]
    assert combining.react(np.array([[0.5, 3.0]]), inside).tolist() == [[0.5, pytest.approx(0.9)]]
    kept = combining.ash(np.array([[1.0, 5.0, 2.0, 4.0]]), inside)
    assert kept.tolist() == [[0.0, 5.0, 0.0, 4.0]]


def test_the_threshold_is_the_conformal_rank_of_the_cross_fitted_scores():
    assert combining.pass_threshold(np.arange(1, 20) / 20) == pytest.approx(0.95)  # 19 of 19: the largest
    assert combining.pass_threshold(np.arange(1, 40) / 40) == pytest.approx(0.95)  # ceil(40 * .95) = 38th of 39
    assert np.isnan(combining.pass_threshold(np.array([])))
