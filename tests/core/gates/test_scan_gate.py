"""The scan gate: crops and features on a small encoder, the forest's verdict, and the evaluation's arithmetic."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from functools import lru_cache
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.engines.auto.channels import WaitsForScan
from core.errors import JobCancelled, ModelError
from core.gates.scan import detectors, evaluate, features, scan_gate
from core.gates.scan.scan_gate import IN_DISTRIBUTION, Reference, ScanGate
from core.types import Grid, Volume

CHECKPOINT = "a" * 64
TREES = 40


def volume(modality="CT", shape=(20, 18, 16), seed=0, hot=True):
    """Noise with a bright ball in the middle (`hot`), so that a threshold network finds something."""
    array = np.random.default_rng(seed).normal(0, 0.1, shape).astype(np.float32)
    if hot:
        middle = tuple(slice(n // 2 - 3, n // 2 + 3) for n in shape)
        array[middle] += 5
    return Volume(array, Grid(shape, np.diag([-2.0, -2.0, 3.0, 1.0])), modality)


class ThresholdSegmenter:
    """Voxels whose channels sum to more than 4 are tumour; the encoder is a real one of torch, two stages."""

    model_id, checkpoint_sha256 = "threshold", CHECKPOINT
    configuration = SimpleNamespace(patch_size=[8, 8, 8])

    def __init__(self):
        import torch
        from torch import nn

        torch.manual_seed(0)
        first = nn.Sequential(nn.Conv3d(2, 3, 3, padding=1), nn.InstanceNorm3d(3), nn.LeakyReLU(inplace=True))
        second = nn.Sequential(nn.Conv3d(3, 5, 3, stride=2, padding=1), nn.LeakyReLU(inplace=True))

        class Encoder(nn.Module):
            def __init__(self):
                super().__init__()
                self.stages = nn.ModuleList([first, second])

            def forward(self, x):
                return self.stages[1](self.stages[0](x))

        self.network = nn.Module()
        self.network.encoder = Encoder()
        self.network.eval()

    def select_channels(self, volumes):
        by_modality = {v.modality: v for v in volumes}
        if {"CT", "PET"} - by_modality.keys():
            raise WaitsForScan(sorted({"CT", "PET"} - by_modality.keys()), sorted(by_modality))
        return [by_modality["CT"], by_modality["PET"]]

    def infer_cached(self, volumes, progress=lambda fraction, message: None):
        data = np.stack([v.array.transpose(2, 1, 0) for v in volumes])
        progress(0.5, "window 1 of 1")
        summed = data.sum(axis=0)
        return SimpleNamespace(data=data, logits=np.stack([np.full_like(summed, 4), summed]))


@pytest.fixture(scope="module")
def segmenter():
    return ThresholdSegmenter()


@lru_cache
def make_reference(apart=3.0, seed=0, scans=24, width=6):
    """Gaussian features; OOD scans of two kinds lie `apart` from in-distribution ones along one axis each."""
    rng = np.random.default_rng(seed)
    kinds = [IN_DISTRIBUTION] * scans + ["shift A"] * (scans // 2) + ["shift B"] * (scans // 2)
    rows = rng.normal(size=(len(kinds), 8, width)).astype(np.float32)
    for n, kind in enumerate(kinds):
        if kind != IN_DISTRIBUTION:
            rows[n, :, 0 if kind.endswith("A") else 1] += apart
    groups = np.array([f"P{n % scans:02d}" for n in range(len(kinds))])
    reference = Reference(
        rows=rows,
        centre=rows[:, 0],
        logits=rows[:, 0, :4],
        histogram=np.abs(rows[:, 0]),
        geometry=rows[:, 0],
        kind=np.array(kinds),
        domain=np.full(len(kinds), "real"),
        group=groups,
        crossfit=np.full(len(kinds), np.nan, np.float32),
        provenance={"features_version": features.FEATURES_VERSION, "checkpoint_sha256": CHECKPOINT, "network": "net"},
    )
    return replace(reference, crossfit=scan_gate.crossfit(reference, folds=4, trees=TREES))


@pytest.fixture(scope="module")
def reference():
    return make_reference()


@pytest.fixture(scope="module")
def gate(reference):
    return ScanGate(reference, trees=120, jobs=1)


# Crops


def test_crops_lie_around_their_anchor_and_are_shifted_to_stay_inside():
    data = np.arange(10 * 10 * 10, dtype=np.float32).reshape(1, 10, 10, 10)
    inside, corner, far = features.cut(data, np.array([[5, 5, 5], [0, 0, 0], [9, 9, 9]]), (4, 4, 4))
    assert np.array_equal(inside[0], data[0, 3:7, 3:7, 3:7])
    assert np.array_equal(corner[0], data[0, :4, :4, :4])
    assert np.array_equal(far[0], data[0, 6:, 6:, 6:])


def test_a_scan_smaller_than_the_patch_is_padded_with_zeros_as_nnunet_pads():
    padding = pytest.importorskip("acvl_utils.cropping_and_padding.padding")  # comes with nnunetv2
    data = np.random.default_rng(0).normal(size=(2, 5, 12, 3)).astype(np.float32)
    expected, _ = padding.pad_nd_image(data, (8, 8, 8), "constant", {"constant_values": 0}, True, None)
    assert np.array_equal(features.pad_to(data, (8, 8, 8)), expected)
    crop = features.cut(data, np.array([[2, 6, 1]]), (8, 8, 8))[0]
    assert np.array_equal(crop, expected[:, :, 2:10])


@given(st.integers(1, 30), st.integers(1, 8), st.integers(0, 2**64 - 1))
def test_anchors_are_tumour_voxels_without_repeats_while_there_are_enough(size, crops, seed):
    tumour = ((np.arange(40) >= 5) & (np.arange(40) < 5 + size)).reshape(2, 4, 5)
    anchors = features.draw_anchors(tumour, crops, seed)
    assert anchors.shape == (crops, 3)
    assert tumour[tuple(anchors.T)].all()
    assert len(np.unique(anchors, axis=0)) == min(size, crops)
    assert np.array_equal(anchors, features.draw_anchors(tumour, 8, seed)[:crops])


def test_no_tumour_has_no_anchor():
    assert features.draw_anchors(np.zeros((3, 3, 3), bool), 8, 1).shape == (0, 3)


# Features


def test_features_are_the_averages_of_the_first_convolution_and_of_each_stage(segmenter):
    import torch

    crop = np.random.default_rng(1).normal(size=(1, 2, 8, 8, 8)).astype(np.float32)
    first, second = segmenter.network.encoder.stages
    with torch.inference_mode():
        convolved = first[0](torch.from_numpy(crop))
        by_hand = [convolved.mean(dim=(2, 3, 4))]  # before LeakyReLU overwrites it
        by_hand.append(first[1:](convolved).mean(dim=(2, 3, 4)))
        by_hand.append(second(first(torch.from_numpy(crop))).mean(dim=(2, 3, 4)))
    expected = torch.cat(by_hand, dim=1).numpy()
    assert expected.shape == (1, 3 + 3 + 5)
    np.testing.assert_allclose(features.encode(segmenter.network, crop), expected, rtol=1e-5, atol=1e-6)


def test_the_same_scans_give_the_same_features_whatever_their_order(segmenter):
    ct, pet = volume("CT"), volume("PET", seed=1)
    once, again = features.scan_features(segmenter, [ct, pet]), features.scan_features(segmenter, [pet, ct])
    assert once.rows.shape == (8, 11)
    assert np.array_equal(once.rows, again.rows)
    assert np.array_equal(features.scan_features(segmenter, [ct, pet], crops=4).rows, once.rows[:4])
    other = features.scan_features(segmenter, [volume("CT", seed=2), pet])
    assert not np.array_equal(once.rows, other.rows)


def test_a_scan_in_which_nothing_is_segmented_has_no_anchor_and_no_score(segmenter, gate):
    found = features.scan_features(segmenter, [volume("CT", hot=False), volume("PET", hot=False)])
    assert not found.anchored
    assert found.rows.shape == (0, 11)
    assert np.isnan(found.logits).all()
    result = gate.score_rows(np.empty((0, 6), np.float32))
    assert (result.state, result.score, result.crop_scores) == ("no anchor", None, ())
    assert "person decides" in result.note


def test_cancelling_stops_the_features(segmenter):
    def cancel(fraction, message):
        if fraction > 0.3:
            raise JobCancelled("stopped")

    with pytest.raises(JobCancelled):
        features.scan_features(segmenter, [volume("CT"), volume("PET")], progress=cancel)


def test_a_network_without_encoder_or_of_two_dimensions_is_refused(segmenter):
    import torch

    with pytest.raises(ModelError, match="encoder"):
        features.encode(torch.nn.Linear(1, 1), np.zeros((1, 1, 4, 4, 4), np.float32))
    flat = SimpleNamespace(model_id="flat", configuration=SimpleNamespace(patch_size=[8, 8]))
    with pytest.raises(ModelError, match="2-D"):
        features.patch_of(flat)


def test_logit_scores_by_hand():
    # One tumour voxel of logits 0 and ln 3: softmax 1/4, 3/4.
    logits = np.array([0.0, np.log(3)], np.float32).reshape(2, 1)
    scores = features.logit_scores(logits, np.array([True]))
    entropy = -(0.25 * np.log(0.25) + 0.75 * np.log(0.75))
    np.testing.assert_allclose(scores, [0.25, -np.log(3), -np.log(4), entropy], rtol=1e-6)


# The gate


def test_a_planted_shift_is_separated_from_the_reference(gate):
    usual = np.random.default_rng(7).normal(size=(40, 8, 6)).astype(np.float32)
    odd = usual.copy()
    odd[:, :, 0] += 3
    states = [gate.score_rows(rows).state for rows in usual]
    assert states.count("in distribution") >= 34
    assert [gate.score_rows(rows).state for rows in odd].count("out of distribution") >= 38


def test_a_score_is_the_mean_of_its_crops_in_any_order_and_the_same_for_a_gate_fitted_again(gate, reference):
    rows = np.random.default_rng(8).normal(size=(8, 6)).astype(np.float32)
    result = gate.score_rows(rows)
    assert result.score == pytest.approx(np.mean(result.crop_scores))
    assert gate.score_rows(rows[::-1]).score == pytest.approx(result.score)
    again = ScanGate(reference, trees=120, jobs=2).score_rows(rows)
    assert again.to_json() == result.to_json()
    assert result.to_json()["crop_scores"] == list(result.crop_scores)
    assert result.n_reference == 24


def test_scoring_a_scan_says_which_network_and_refuses_another(segmenter):
    rows = np.concatenate(
        [features.scan_features(segmenter, [volume("CT", seed=n), volume("PET", seed=n)]).rows[None] for n in range(9)]
    )
    base = make_reference()
    rows[4:] += 2  # a planted shift in every feature
    small = Reference(
        **{name: getattr(base, name)[:9] for name in scan_gate.ARRAYS if name not in ("rows", "kind", "crossfit")},
        rows=rows,
        kind=np.array([IN_DISTRIBUTION] * 4 + ["shift A"] * 5),
        crossfit=np.linspace(0, 0.4, 9, dtype="f4"),
        provenance=base.provenance,
    )
    gate = ScanGate(small, trees=TREES, jobs=1)
    result = gate.score_scan([volume("PET", seed=30), volume("CT", seed=30)], segmenter=segmenter)
    assert result.score is not None
    assert result.score < 0.5
    assert result.checkpoint_sha256 == CHECKPOINT
    other = ThresholdSegmenter()
    other.checkpoint_sha256 = "b" * 64
    with pytest.raises(ModelError, match="bbbbbbbbbbbb"):
        gate.score_scan([volume("CT"), volume("PET")], segmenter=other)
    waiting = gate.score_scan([volume("CT")], segmenter=segmenter)
    assert (waiting.state, waiting.score, waiting.waits_for) == ("cannot be judged", None, ("PET",))
    assert waiting.note == "Waits for PET: import it for this date."
    assert (waiting.threshold, waiting.n_reference) == (result.threshold, result.n_reference)


def test_features_of_another_version_or_without_threshold_are_refused(reference):
    old = replace(reference, provenance={**reference.provenance, "features_version": 0})
    with pytest.raises(ModelError, match="version 0"):
        ScanGate(old, trees=TREES)
    with pytest.raises(ModelError):
        ScanGate(replace(reference, crossfit=np.full(48, np.nan, np.float32)), trees=TREES)


def test_the_threshold_is_the_conformal_rank_of_the_cross_fitted_scores():
    assert scan_gate.pass_threshold(np.arange(1, 20) / 20) == pytest.approx(0.95)  # 19 of 19: the largest
    assert scan_gate.pass_threshold(np.arange(1, 40) / 40) == pytest.approx(0.95)  # ceil(40 * .95) = 38th of 39
    assert scan_gate.pass_threshold(np.array([0.3, 0.1])) == pytest.approx(0.3)
    assert np.isnan(scan_gate.pass_threshold(np.array([])))


@given(st.integers(1, 40), st.integers(2, 8))
def test_a_patient_is_never_in_two_folds(patients, folds):
    groups = np.array([f"P{n % patients}" for n in range(2 * patients + 3)])
    fold = scan_gate.fold_of(groups, folds)
    assert all(len(set(fold[groups == g])) == 1 for g in groups)
    assert fold.max() < folds


def test_cross_fitting_sees_nothing_of_a_scans_own_patient():
    """Labels tied to patients at random: a leak would show as AUROC near 1 for exact copies of the same rows."""
    base = make_reference(apart=0.0, scans=16)
    rows = base.rows[:16].repeat(2, axis=0)
    groups = np.array([f"P{n // 2}" for n in range(32)])
    kinds = np.where(np.random.default_rng(3).permutation(16) < 8, IN_DISTRIBUTION, "shift A").repeat(2)
    twins = {
        name: getattr(base, name)[:32] for name in ("centre", "logits", "histogram", "geometry", "crossfit", "domain")
    }
    copied = Reference(**twins, rows=rows, kind=kinds, group=groups, provenance=base.provenance)
    scores = scan_gate.crossfit(copied, folds=6, trees=TREES)
    assert evaluate.auroc(scores, copied.ood) < 0.85


def test_reference_features_survive_the_file_and_a_damaged_or_pickled_one_is_refused(reference, tmp_path):
    path = tmp_path / "reference.npz"
    path.write_bytes(reference.to_bytes())
    assert path.read_bytes() == reference.to_bytes()
    back = scan_gate.read_reference(path)
    for name in scan_gate.ARRAYS:
        assert np.array_equal(getattr(back, name), getattr(reference, name)), name
    assert back.provenance == reference.provenance
    path.write_bytes(reference.to_bytes()[:500])
    with pytest.raises(ModelError, match=r"reference\.npz"):
        scan_gate.read_reference(path)
    arrays = {name: getattr(reference, name) for name in scan_gate.ARRAYS}
    np.savez(path, **{**arrays, "kind": reference.kind.astype(object)}, provenance="{}")
    with pytest.raises(ModelError):
        scan_gate.read_reference(path)
    with pytest.raises(ModelError):
        scan_gate.read_reference(tmp_path / "absent.npz")


def test_features_that_are_not_finite_or_of_one_class_are_refused(reference):
    rows = reference.rows.copy()
    rows[0, 0, 0] = np.nan
    with pytest.raises(ModelError, match="finite"):
        replace(reference, rows=rows)
    with pytest.raises(ModelError, match="classes"):
        replace(reference, kind=np.full(48, IN_DISTRIBUTION))


# Figures


def test_auroc_and_fpr_by_hand():
    scores, ood = np.array([1.0, 2, 3, 2, 4, 5]), np.array([False, False, False, True, True, True])
    # Pairs won: 2 beats 1, ties 2, loses to 3; 4 and 5 beat all three: (1.5 + 3 + 3) / 9.
    assert evaluate.auroc(scores, ood) == pytest.approx(7.5 / 9)
    # 95 % of three is all three: threshold 2 flags the scans at 2 and 3.
    assert evaluate.fpr_at_tpr(scores, ood) == pytest.approx(2 / 3)
    assert evaluate.fpr_at_tpr(scores, ood, 0.6) == 0.0
    assert np.isnan(evaluate.auroc(scores, np.zeros(6, bool)))
    assert np.isnan(evaluate.fpr_at_tpr(scores, np.ones(6, bool)))


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=2, max_size=60))
def test_auroc_and_fpr_agree_with_scikit_learn(pairs):
    from sklearn.metrics import roc_auc_score, roc_curve

    scores, ood = np.array([p[0] for p in pairs], float), np.array([p[1] for p in pairs])
    if ood.all() or not ood.any():
        return
    assert evaluate.auroc(scores, ood) == pytest.approx(roc_auc_score(ood, scores))
    fpr, tpr, _ = roc_curve(ood, scores, drop_intermediate=False)
    assert evaluate.fpr_at_tpr(scores, ood) == pytest.approx(fpr[np.flatnonzero(tpr >= 0.95 - 1e-12)[0]])


@pytest.mark.parametrize("left_out", [None, "shift A"])
def test_a_split_shares_no_patient_and_leaves_the_kind_out(reference, left_out):
    for seed in range(20):
        split = evaluate.draw_split(reference, seed, left_out, scans=10)
        assert not set(reference.group[split.train]) & set(reference.group[split.test])
        trained, tested = reference.kind[split.train], reference.kind[split.test]
        assert (trained == IN_DISTRIBUTION).sum() <= 10
        assert (trained != IN_DISTRIBUTION).sum() <= 10
        if left_out:
            assert left_out not in trained
            assert set(tested) <= {IN_DISTRIBUTION, left_out}


def test_every_detector_finds_a_planted_shift_and_shuffled_labels_find_nothing(reference):
    figures = {f.method: f for f in evaluate.evaluate(reference, evaluate.methods(20), 5)}
    for name in (
        "RF-Deep (anchored crops)",
        "nearest neighbours, anchored crops",
        "Mahalanobis (Ledoit-Wolf), anchored crops",
    ):
        assert figures[name].auroc > 0.95, name
    shuffled = figures["RF-Deep, labels shuffled (should be .5)"]
    assert shuffled.auroc == pytest.approx(0.5, abs=0.3)
    assert "| saw OOD labels | RF-Deep" in evaluate.unified_table(list(figures.values()))


def test_shuffled_labels_average_to_a_half_over_many_resamplings():
    control = evaluate.Method("control", evaluate.CONTROL, "rows", detectors.forest_detector(2, 8), shuffled=True)
    figure = evaluate.evaluate(make_reference(), [control], 60)[0]
    assert figure.auroc == pytest.approx(0.5, abs=0.08)


def test_a_kind_left_out_along_an_axis_never_seen_is_found_by_distance_but_not_by_the_forest(reference):
    """Shift B moves another feature than shift A: what the forest did not learn, it cannot see."""
    chosen = [m for m in evaluate.methods(30) if m.looks_at == "rows" and not m.shuffled]
    figures = evaluate.evaluate(reference, chosen, 5, kinds=["shift A", "shift B"])
    by_name = {(f.method[:7], f.kind): f.auroc for f in figures}
    assert by_name["nearest", "shift B"] > 0.9
    assert by_name["RF-Deep", "shift B"] < 0.8
    table = evaluate.left_out_table(figures)
    assert table.splitlines()[-1].startswith("| mean of kinds |")
    assert len(table.splitlines()) == 5


def test_histograms_are_shares_by_modality_and_values_beyond_the_edges_fall_in_the_ends():
    ct, pet = volume("CT"), volume("PET")
    found = detectors.histogram([ct, pet])
    assert found.shape == (len(detectors.HU_EDGES) - 1 + len(detectors.SUV_EDGES) - 1,)
    assert found.sum() == pytest.approx(2.0, abs=1e-5)
    far = Volume(np.full(ct.grid.shape, 9000, np.float32), ct.grid, "CT")
    assert detectors.histogram([far])[-1] == 1.0


def test_importing_the_gate_does_not_import_torch_or_scikit_learn():
    code = "import sys, core.gates.scan.scan_gate, core.gates.scan.evaluate;"
    code += "sys.exit('torch' in sys.modules or 'sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
