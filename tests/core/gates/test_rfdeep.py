"""RF-Deep: crops and features on a small encoder, and what the forest says."""

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
from core.gates.scan import combining, detectors, features, rates, rfdeep
from core.gates.scan.rfdeep import IN_DISTRIBUTION, Reference, RfDeep
from core.types import Grid, LabelMap, Volume

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
    configuration = SimpleNamespace(patch_size=[8, 8, 8], spacing=[3.0, 2.0, 2.0])

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

    def on_network_grid(self, mask, seen):
        return mask.array.transpose(2, 1, 0) > 0

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
        anchor_shape=rows[:, 0],
        dice=np.full(len(kinds), np.nan, np.float32),
        kind=np.array(kinds),
        domain=np.full(len(kinds), "real"),
        group=groups,
        crossfit=np.full(len(kinds), np.nan, np.float32),
        provenance={"features_version": features.FEATURES_VERSION, "checkpoint_sha256": CHECKPOINT, "network": "net"},
    )
    return replace(reference, crossfit=rfdeep.crossfit(reference, folds=4, trees=TREES))


@pytest.fixture(scope="module")
def reference():
    return make_reference()


@pytest.fixture(scope="module")
def gate(reference):
    return RfDeep(reference, trees=120, jobs=1)


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
    np.testing.assert_allclose(features.encode(segmenter.network, crop).rows, expected, rtol=1e-5, atol=1e-6)


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
    assert np.isnan(found.logits[:4]).all()
    assert np.isfinite(found.logits[4:]).all()
    assert np.isnan(found.anchor_shape).all()
    result = gate.score_rows(np.empty((0, 6), np.float32))
    assert (result.odd, result.score, result.crop_scores) == (None, None, ())


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
        features.crop_of(flat)


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
    assert [gate.score_rows(rows).odd for rows in usual].count(False) >= 34
    assert [gate.score_rows(rows).odd for rows in odd].count(True) >= 38


def test_a_score_is_the_mean_of_its_crops_in_any_order_and_the_same_for_a_gate_fitted_again(gate, reference):
    rows = np.random.default_rng(8).normal(size=(8, 6)).astype(np.float32)
    result = gate.score_rows(rows)
    assert result.score == pytest.approx(np.mean(result.crop_scores))
    assert gate.score_rows(rows[::-1]).score == pytest.approx(result.score)
    again = RfDeep(reference, trees=120, jobs=2).score_rows(rows)
    assert again == result


def test_scoring_a_scan_says_which_network_and_refuses_another(segmenter):
    rows = np.concatenate(
        [features.scan_features(segmenter, [volume("CT", seed=n), volume("PET", seed=n)]).rows[None] for n in range(9)]
    )
    base = make_reference()
    rows[4:] += 2  # a planted shift in every feature
    small = Reference(
        **{name: getattr(base, name)[:9] for name in rfdeep.ARRAYS if name not in ("rows", "kind", "crossfit")},
        rows=rows,
        kind=np.array([IN_DISTRIBUTION] * 4 + ["shift A"] * 5),
        crossfit=np.linspace(0, 0.4, 9, dtype="f4"),
        provenance=base.provenance,
    )
    gate = RfDeep(small, trees=TREES, jobs=1)
    result = gate.score_scan([volume("PET", seed=30), volume("CT", seed=30)], segmenter)
    assert result.score is not None
    assert result.score < 0.5
    other = ThresholdSegmenter()
    other.checkpoint_sha256 = "b" * 64
    with pytest.raises(ModelError, match="bbbbbbbbbbbb"):
        gate.score_scan([volume("CT"), volume("PET")], other)
    with pytest.raises(WaitsForScan, match="Waits for PET"):
        gate.score_scan([volume("CT")], segmenter)


def test_a_mask_under_review_is_the_anchor_where_one_is_given(segmenter):
    scans = [volume("CT"), volume("PET", seed=1)]
    corner = np.zeros((20, 18, 16), np.uint8)
    corner[0, 0, 0] = 3
    mask = LabelMap(corner, scans[0].grid)
    own, given = features.scan_features(segmenter, scans), features.scan_features(segmenter, scans, mask=mask)
    assert given.tumour_voxels == own.tumour_voxels, "what the network found is still told"
    assert not np.array_equal(given.rows, own.rows)
    assert (given.rows == given.rows[0]).all(), "eight crops around one voxel are one crop"
    assert features.scan_features(segmenter, scans, mask=LabelMap(corner * 0, scans[0].grid)).rows.shape == (0, 11)


def test_features_of_another_version_or_without_threshold_are_refused(reference):
    old = replace(reference, provenance={**reference.provenance, "features_version": 0})
    with pytest.raises(ModelError, match="version 0"):
        RfDeep(old, trees=TREES)
    with pytest.raises(ModelError):
        RfDeep(replace(reference, crossfit=np.full(48, np.nan, np.float32)), trees=TREES)


def test_the_threshold_is_the_conformal_rank_of_the_cross_fitted_scores():
    assert combining.pass_threshold(np.arange(1, 20) / 20) == pytest.approx(0.95)  # 19 of 19: the largest
    assert combining.pass_threshold(np.arange(1, 40) / 40) == pytest.approx(0.95)  # ceil(40 * .95) = 38th of 39
    assert combining.pass_threshold(np.array([0.3, 0.1])) == pytest.approx(0.3)
    assert np.isnan(combining.pass_threshold(np.array([])))


@given(st.integers(1, 40), st.integers(2, 8))
def test_a_patient_is_never_in_two_folds(patients, folds):
    groups = np.array([f"P{n % patients}" for n in range(2 * patients + 3)])
    fold = combining.fold_of(groups, folds)
    assert all(len(set(fold[groups == g])) == 1 for g in groups)
    assert fold.max() < folds


def test_cross_fitting_sees_nothing_of_a_scans_own_patient():
    """Labels tied to patients at random: a leak would show as AUROC near 1 for exact copies of the same rows."""
    base = make_reference(apart=0.0, scans=16)
    rows = base.rows[:16].repeat(2, axis=0)
    groups = np.array([f"P{n // 2}" for n in range(32)])
    kinds = np.where(np.random.default_rng(3).permutation(16) < 8, IN_DISTRIBUTION, "shift A").repeat(2)
    replaced = ("rows", "kind", "group")
    twins = {name: getattr(base, name)[:32] for name in rfdeep.ARRAYS if name not in replaced}
    copied = Reference(**twins, rows=rows, kind=kinds, group=groups, provenance=base.provenance)
    scores = rfdeep.crossfit(copied, folds=6, trees=TREES)
    assert rates.auroc(scores, copied.ood) < 0.85


def test_reference_features_survive_the_file_and_a_damaged_or_pickled_one_is_refused(reference, tmp_path):
    path = tmp_path / "reference.npz"
    path.write_bytes(reference.to_bytes())
    assert path.read_bytes() == reference.to_bytes()
    back = rfdeep.read_features(path)
    for name in rfdeep.ARRAYS:
        np.testing.assert_array_equal(getattr(back, name), getattr(reference, name), name)
    assert back.provenance == reference.provenance
    path.write_bytes(reference.to_bytes()[:500])
    with pytest.raises(ModelError, match=r"reference\.npz"):
        rfdeep.read_features(path)
    arrays = {name: getattr(reference, name) for name in rfdeep.ARRAYS}
    np.savez(path, **{**arrays, "kind": reference.kind.astype(object)}, provenance="{}")
    with pytest.raises(ModelError):
        rfdeep.read_features(path)
    with pytest.raises(ModelError):
        rfdeep.read_features(tmp_path / "absent.npz")


def test_features_that_are_not_finite_or_of_one_class_are_refused(reference):
    rows = reference.rows.copy()
    rows[0, 0, 0] = np.nan
    with pytest.raises(ModelError, match="finite"):
        replace(reference, rows=rows)
    with pytest.raises(ModelError, match="classes"):
        replace(reference, kind=np.full(48, IN_DISTRIBUTION))


def test_histograms_are_shares_by_modality_and_values_beyond_the_edges_fall_in_the_ends():
    ct, pet = volume("CT"), volume("PET")
    found = detectors.histogram([ct, pet])
    assert found.shape == (len(detectors.HU_EDGES) - 1 + len(detectors.SUV_EDGES) - 1,)
    assert found.sum() == pytest.approx(2.0, abs=1e-5)
    far = Volume(np.full(ct.grid.shape, 9000, np.float32), ct.grid, "CT")
    assert detectors.histogram([far])[-1] == 1.0


def test_importing_the_gate_does_not_import_torch_or_scikit_learn():
    code = "import sys, core.gates.scan.scan_gate, core.gates.scan.evaluate, core.gates.scan.rfdeep;"
    code += "sys.exit('torch' in sys.modules or 'sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
